// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/export"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/place"
	"github.com/traccia-ledger/traccia/ledger/store"
)

type exportAnswer struct {
	cli.Done
	Folder string       `json:"folder"`
	Bodies bool         `json:"bodies"`
	Sealed bool         `json:"sealed,omitempty"` // for the authority
	Logs   []export.Log `json:"logs"`
}

func (a *exportAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "The ledger is in %s\n", a.Folder)
	for _, l := range a.Logs {
		fmt.Fprintf(w, "  %s: %d leaves, %d records, %d events", l.Origin, l.Size, l.Records, l.Events)
		if a.Bodies {
			fmt.Fprintf(w, " of which %d opened and %d erased", l.Opened, l.Erased)
		}
		if a.Sealed {
			fmt.Fprintf(w, " of which %d are handed over sealed and %d are erased", l.Sealed, l.Erased)
		}
		fmt.Fprintln(w)
	}
	if a.Sealed {
		fmt.Fprintln(w, "What is in sealed/ opens with the authority's key and no other. Erasing someone in the ledger doesn't reach this copy.")
		fmt.Fprintf(w, "The authority checks it with: verifier audit --all %s --authority-key FILE --policy FILE\n", a.Folder)
		return
	}
	if a.Bodies {
		fmt.Fprintln(w, "IT HOLDS PERSONAL DATA: who consulted which person's file, when and why. Erasing someone in the ledger")
		fmt.Fprintln(w, "doesn't reach this copy. Keep it where the ledger's keys would be kept, and destroy it when it served.")
	}
	fmt.Fprintf(w, "Check it with: verifier export %s --key LOG.VKEY\n", a.Folder)
}

func exportCommand() *cobra.Command {
	var flags ledgerFlags
	var out string
	var bodies, authority bool
	cmd := &cobra.Command{
		Use:   "export --data DIR --out FOLDER [--bodies | --authority]",
		Short: "Write a ledger as a folder of plain files",
		Long: `Writes the ledger, as it was last published, to a new folder that anyone can
read without this software: the log's checkpoint, tiles and entries as
c2sp.org/tlog-tiles lays them out, its records as lines of JSON, and digests of
every file. docs/export.md describes each byte; verifier export checks it all.

That much is public, needs no passphrase, and can be exported while the ledger
is served. With --bodies the opened events are written too: PERSONAL DATA, and
the ledger must not be served meanwhile.

With --authority the events are written as the ledger keeps them, each with the
wrap of its key that only the authority opens whose key the configuration names
(ledgerd authority). It works while the ledger is served, and needs the
passphrase of the ledger's keys: tags can only be shown with the year's VRF key.`,
		Example: `  ledgerd export --data /var/lib/traccia --out traccia-2026
  ledgerd export --data /var/lib/traccia --out /secure/traccia-2026 --bodies
  ledgerd export --data /var/lib/traccia --out /secure/for-the-garante --authority`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return cli.WrongFlag("--out", "a new folder for the export", "nothing")
			}
			run := exportPublic
			if bodies {
				run = exportBodies
			} else if authority {
				run = exportSealed
			}
			m, err := run(cmd, flags, out)
			if err != nil {
				return err
			}
			return cli.Print(cmd, &exportAnswer{Folder: out, Bodies: bodies, Sealed: authority, Logs: m.Logs})
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&out, "out", "", "new folder for the export")
	cmd.Flags().BoolVar(&bodies, "bodies", false, "also write the opened events: personal data")
	cmd.Flags().BoolVar(&authority, "authority", false, "also write the events sealed, for the authority alone")
	cmd.MarkFlagsMutuallyExclusive("bodies", "authority")
	return cmd
}

// exportPublic exports what the public can see. It needs no key.
func exportPublic(cmd *cobra.Command, flags ledgerFlags, out string) (m *export.Manifest, err error) {
	settings, err := node.ReadSettings(flags.data)
	if err != nil {
		return nil, err
	}
	// First what is published, then the store, which is no older.
	published, err := node.LastPublished(flags.data, settings)
	if err != nil {
		return nil, err
	}
	opt, err := flags.place(cmd)
	if err != nil {
		return nil, err
	}
	where, err := node.PlaceOf(flags.data, settings, opt)
	if err != nil {
		return nil, err
	}
	db, err := where.OpenReadOnly(cmd.Context(), opt.Log)
	if errors.Is(err, store.ErrLocked) {
		path, remove, err := copyServed(cmd.Context(), flags.data, out)
		if err != nil {
			return nil, err
		}
		defer remove()
		copied, err := place.Parse(path, "")
		if err != nil {
			return nil, err
		}
		if db, err = copied.OpenReadOnly(cmd.Context(), opt.Log); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	e := exporting{cmd: cmd, data: flags.data, name: settings.Name, published: published, db: db}
	return e.write(out)
}

// copyServed has the process that serves the ledger copy its store beside the folder to be made.
func copyServed(ctx context.Context, data, out string) (path string, remove func(), err error) {
	temp, err := os.MkdirTemp(filepath.Dir(filepath.Clean(out)), ".export-")
	if err != nil {
		return "", nil, fmt.Errorf("couldn't make room for a copy of the store: %w", err)
	}
	remove = func() { os.RemoveAll(temp) }
	if path, err = filepath.Abs(filepath.Join(temp, "store")); err == nil {
		err = askForCopy(ctx, data, path)
	}
	if err != nil {
		remove()
		return "", nil, err
	}
	return path, remove, nil
}

// exportSealed hands the events over to the authority, of a ledger that is served or not.
func exportSealed(cmd *cobra.Command, flags ledgerFlags, out string) (m *export.Manifest, err error) {
	ctx := cmd.Context()
	opt, err := flags.options(cmd)
	if err != nil {
		return nil, err
	}
	settings, err := node.ReadSettings(flags.data)
	if err != nil {
		return nil, err
	}
	// First what is published, then the store, which is no older.
	published, err := node.LastPublished(flags.data, settings)
	if err != nil {
		return nil, err
	}
	l, err := node.OpenAtRest(ctx, flags.data, opt)
	if errors.Is(err, store.ErrLocked) {
		var remove func()
		if opt.Place, remove, err = copyServed(ctx, flags.data, out); err != nil {
			return nil, err
		}
		defer remove()
		l, err = node.OpenAtRest(ctx, flags.data, opt)
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	sealed, err := l.Sealed(ctx, time.Now())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sealed.Close()) }()
	e := exporting{cmd: cmd, data: flags.data, name: settings.Name, published: published, db: l.Store, sealed: sealed}
	return e.write(out)
}

// exportBodies also opens the events, of a ledger that nobody serves.
func exportBodies(cmd *cobra.Command, flags ledgerFlags, out string) (m *export.Manifest, err error) {
	opt, err := flags.options(cmd)
	if err != nil {
		return nil, err
	}
	l, err := node.OpenAtRest(cmd.Context(), flags.data, opt)
	if errors.Is(err, store.ErrLocked) {
		return nil, fmt.Errorf("events are opened in a ledger that nobody serves: %w", err)
	} else if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	published, err := node.LastPublished(flags.data, l.Settings)
	if err != nil {
		return nil, err
	}
	events, err := l.Events(cmd.Context())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, events.Close()) }()
	e := exporting{cmd: cmd, data: flags.data, name: l.Settings.Name, published: published, db: l.Store}
	e.open = func(ctx context.Context, epoch uint32, index uint64, leaf []byte) ([32]byte, []byte, error) {
		event, err := events.Open(ctx, epoch, index, leaf)
		if errors.Is(err, node.ErrErased) {
			err = export.ErrErased
		}
		return event.Nonce, event.Body, err
	}
	return e.write(out)
}

// exporting is one export.
type exporting struct {
	cmd       *cobra.Command
	data      string
	name      string
	published []node.LastCheckpoint
	db        store.Store
	open      func(ctx context.Context, epoch uint32, index uint64, leaf []byte) ([32]byte, []byte, error)
	sealed    *node.SealedEvents // nil but for the authority
}

func (e exporting) write(out string) (m *export.Manifest, err error) {
	ctx := e.cmd.Context()
	if len(e.published) == 0 {
		return nil, fmt.Errorf("nothing was published of %s yet: serve the ledger once", e.name)
	}
	vkey, err := os.ReadFile(filepath.Join(e.data, "log.vkey"))
	if err != nil {
		return nil, err
	}
	epochs, shards, err := node.Shards(ctx, e.db)
	if err != nil {
		return nil, err
	}
	snap, err := e.db.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	src := export.Source{
		Name: e.name, VKey: vkey, Open: e.open,
		Blob: func(ctx context.Context, digest ledger.Hash) ([]byte, error) {
			return snap.Get(ctx, store.TableBlob, digest[:])
		},
	}
	if e.sealed != nil {
		src.Seal, src.Days = e.sealed.Line, e.sealed.Days
	}
	var leaves uint64
	for _, p := range e.published {
		i := slices.Index(epochs, p.Epoch)
		if i < 0 || shards[i].Root().Size < p.Size {
			return nil, fmt.Errorf("%w: %d leaves of %s were published", node.ErrBehind, p.Size, p.Origin)
		}
		src.Logs = append(src.Logs, export.SourceLog{Epoch: p.Epoch, Signed: p.Signed, Checkpoint: p.Checkpoint, Tiles: shards[i]})
		leaves += p.Size
	}
	progress := cli.NewProgress(e.cmd, "exporting", int64(leaves))
	defer progress.Close()
	src.Progress = func(n int) { progress.Add(int64(n)) }
	return export.Write(ctx, out, src)
}
