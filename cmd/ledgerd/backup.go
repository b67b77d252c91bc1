// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/store"
)

type backupAnswer struct {
	cli.Done
	Backup string           `json:"backup"`
	Logs   []node.BackedLog `json:"logs"`
}

func (a *backupAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "A backup in %s\n", a.Backup)
	writeLogs(w, a.Logs)
	fmt.Fprintln(w, "It holds no key: keep a copy of the keys directory elsewhere, and month keys in it for 30 days at most.")
}

func writeLogs(w io.Writer, logs []node.BackedLog) {
	for _, l := range logs {
		fmt.Fprintf(w, "  %s: %d leaves, root %x\n", l.Origin, l.Size, l.Root)
	}
}

func backupCommand() *cobra.Command {
	var flags ledgerFlags
	var out string
	cmd := &cobra.Command{
		Use:   "backup --data DIR --out DIR2",
		Short: "Copy a ledger's store, also while it is served",
		Long: `Makes a new folder with a copy of the ledger's store and its public files, opens
the copy and compares it with what the ledger has published. It needs no
passphrase and copies no key: whoever finds a backup can open no event with it.
The keys directory is copied apart, by means of the operator's own.

On the same file system the copy shares files with the store, which never
change: move it to another disk, or it is lost together with the store.`,
		Example: `  ledgerd backup --data /var/lib/traccia --out /backup/traccia-2026-11-22`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return cli.WrongFlag("--out", "a new folder for the backup", "nothing")
			}
			note, err := node.Backup(cmd.Context(), flags.data, out, logger(cmd), func(to string) error {
				return copyStore(cmd, flags, to)
			})
			if err != nil {
				return err
			}
			return cli.Print(cmd, &backupAnswer{Backup: out, Logs: note.Logs})
		},
	}
	flags.addPlace(cmd)
	cmd.Flags().StringVar(&out, "out", "", "new folder for the backup")
	return cmd
}

// copyStore copies the store of a ledger, asking the process that serves it, if one does.
func copyStore(cmd *cobra.Command, flags ledgerFlags, to string) error {
	opt, err := flags.place(cmd)
	if err != nil {
		return err
	}
	err = node.CopyStore(cmd.Context(), flags.data, opt, to)
	if errors.Is(err, store.ErrLocked) {
		return askForCopy(cmd.Context(), flags.data, to)
	}
	return err
}

func askForCopy(ctx context.Context, data, to string) error {
	path, err := socketPath(data)
	if err != nil {
		return err
	}
	reply, err := adminPost(ctx, path, adminCall{Backup: to})
	switch {
	case err != nil:
		return err
	case reply.Error != "":
		return errors.New(reply.Error)
	}
	return nil
}
