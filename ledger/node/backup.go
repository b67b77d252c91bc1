// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/ijson"
	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/place"
)

// BackupNote is the file BACKUP of a backup, written last: a folder without it is no backup.
//
//	{"format":"traccia-backup/1","made_at":"2026-11-22T09:30:00Z","logs":[
//	{"origin":"registro.example/2026","size":4712,"root":"b7f0…64 hex","checkpoint":"registro.example/2026\n4700\n…"}]}
type BackupNote struct {
	Format string      `json:"format"`
	MadeAt string      `json:"made_at"` // RFC 3339, UTC
	Logs   []BackedLog `json:"logs"`    // by epoch
}

// BackedLog is a log as the backup has it.
type BackedLog struct {
	Origin     string     `json:"origin"`
	Size       uint64     `json:"size"`
	Root       ledger.Hex `json:"root"`
	Checkpoint string     `json:"checkpoint"` // the last published before the copy; "" if none
}

const (
	backupFormat = "traccia-backup/1"
	backupFile   = "BACKUP"
)

// ErrNoBackup: the folder holds no whole backup.
var ErrNoBackup = errors.New("no backup here")

// ErrNotEmpty: a backup is only restored where there is no store.
var ErrNotEmpty = errors.New("there is a store already")

// Backup makes a backup of the ledger in dir, in a new folder out. The copy function copies the store, online or not, to
// a path that doesn't exist yet; it gets an absolute one. The backup holds no key: BACKUP, the store, and the public files
// (config.json, log.vkey, and the witness policy and key sources that config.json names). It is opened and compared with what was published
// before it gets its name.
func Backup(ctx context.Context, dir, out string, log *slog.Logger, copyStore func(to string) error) (*BackupNote, error) {
	settings, err := ReadSettings(dir)
	if err != nil {
		return nil, err
	}
	folder, err := durable.NewFolder(out, 0o700)
	if err != nil {
		return nil, fmt.Errorf("couldn't begin the backup: %w", err)
	}
	note, err := backup(ctx, dir, settings, folder, log, copyStore)
	if err != nil {
		return nil, errors.Join(err, folder.Abandon())
	}
	if err := folder.Finish(); err != nil {
		return nil, fmt.Errorf("couldn't finish the backup: %w", err)
	}
	return note, nil
}

func backup(ctx context.Context, dir string, settings Settings, folder *durable.Folder, log *slog.Logger, copyStore func(to string) error) (*BackupNote, error) {
	// What is published before the copy is made must be in it.
	published, err := LastPublished(dir, settings)
	if err != nil {
		return nil, err
	}
	to, err := filepath.Abs(folder.Path(storeDir))
	if err != nil {
		return nil, err
	}
	if err := copyStore(to); err != nil {
		return nil, err
	}
	logs, err := backedLogs(ctx, to, settings.Name, published, log)
	if err != nil {
		return nil, fmt.Errorf("couldn't verify the copy: %w", err)
	}
	for _, name := range publicFiles(settings) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("couldn't copy %s: %w", name, err)
		}
		if err := folder.Write(name, 0o644, data); err != nil {
			return nil, fmt.Errorf("couldn't copy %s: %w", name, err)
		}
	}
	note := &BackupNote{Format: backupFormat, MadeAt: time.Now().UTC().Format(time.RFC3339), Logs: logs}
	data, err := json.MarshalIndent(note, "", "  ")
	if err != nil {
		return nil, err
	}
	return note, folder.Write(backupFile, 0o644, append(data, '\n'))
}

// CopyStore copies the store of a ledger that nobody serves to a path that doesn't exist yet. The error wraps
// store.ErrLocked while a process serves it.
func CopyStore(ctx context.Context, dir string, opt Options, to string) (err error) {
	opt = opt.withDefaults()
	settings, err := ReadSettings(dir)
	if err != nil {
		return err
	}
	where, err := PlaceOf(dir, settings, opt)
	if err != nil {
		return err
	}
	db, err := where.Open(ctx, opt.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return place.Backup(ctx, db, to, opt.Log)
}

// publicFiles names the files of a data directory that a backup holds beside the store.
func publicFiles(s Settings) []string {
	names := []string{configFile, vkeyFile}
	if s.WitnessPolicy != "" && filepath.IsLocal(s.WitnessPolicy) {
		names = append(names, filepath.Clean(s.WitnessPolicy))
	}
	for _, source := range append(append([]string(nil), s.PDND.VoucherKeys...), s.PDND.ClientKeys...) {
		if !strings.Contains(source, "://") && filepath.IsLocal(source) {
			names = append(names, filepath.Clean(source))
		}
	}
	return names
}

// backedLogs opens a copy of a store and says what it holds, which must extend what was published.
func backedLogs(ctx context.Context, store, name string, before []LastCheckpoint, log *slog.Logger) (logs []BackedLog, err error) {
	db, err := pebble.OpenReadOnly(store, pebble.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return logsOf(ctx, db, name, before)
}

// extends says whether a log has the published one as its beginning.
func extends(ctx context.Context, shard *engine.Shard, cp checkpoint.Checkpoint) error {
	root := shard.Root()
	if cp.Size > root.Size {
		return fmt.Errorf("%w: the log ends at %d, %d leaves were published", ErrBehind, root.Size, cp.Size)
	}
	at, err := shard.RootAt(ctx, cp.Size)
	if err != nil {
		return err
	}
	if at != cp.Root {
		return fmt.Errorf("%w: at size %d the store has root %x, published was %x", ErrFork, cp.Size, at, cp.Root)
	}
	return nil
}

// ReadBackup reads the note of a backup.
func ReadBackup(from string) (*BackupNote, error) {
	data, err := os.ReadFile(filepath.Join(from, backupFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s has no %s file", ErrNoBackup, from, backupFile)
	} else if err != nil {
		return nil, fmt.Errorf("couldn't read the backup: %w", err)
	}
	var note BackupNote
	if err := ijson.Unmarshal(data, &note); err != nil {
		return nil, fmt.Errorf("couldn't read %s: %w", filepath.Join(from, backupFile), err)
	}
	if note.Format != backupFormat {
		return nil, fmt.Errorf("%w: %s is of format %q, this version reads %q", ErrNoBackup, from, note.Format, backupFormat)
	}
	return &note, nil
}

// Restore puts the store of a backup into the ledger in dir, which must have none. The ledger's keys are already in dir,
// or come from keysFrom, the operator's separate copy of them. It then opens the ledger, which erases again what was
// erased since the backup and refuses a store that is behind what was published; if that fails, dir is as before.
func Restore(ctx context.Context, from, dir, keysFrom string, opt Options) (note *BackupNote, err error) {
	if note, err = ReadBackup(from); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("couldn't restore: %w", err)
	}
	r := restoring{from: from, dir: dir, log: opt.withDefaults().Log}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.undo())
		}
	}()
	if err := r.publicFiles(); err != nil {
		return nil, err
	}
	settings, err := ReadSettings(dir)
	if err != nil {
		return nil, err
	}
	where, err := PlaceOf(dir, settings, opt)
	if err != nil {
		return nil, err
	}
	if names, err := os.ReadDir(where.Dir()); where.Dir() != "" && err == nil && len(names) > 0 {
		return nil, fmt.Errorf("%w in %s: move it away first if it is lost, and keep it until the ledger runs", ErrNotEmpty, where)
	}
	if err := r.keys(keysFrom); err != nil {
		return nil, err
	}
	if err := r.store(ctx, note, where); err != nil {
		return nil, err
	}
	n, err := Open(ctx, dir, opt)
	if err != nil {
		return nil, fmt.Errorf("couldn't run the restored ledger: %w", err)
	}
	return note, n.Close()
}

// restoring remembers what it made.
type restoring struct {
	from, dir string
	log       *slog.Logger
	made      []string
}

func (r *restoring) undo() error {
	var all error
	for _, path := range r.made {
		all = errors.Join(all, os.RemoveAll(path))
	}
	return all
}

// publicFiles brings back those that are missing. The configuration that is there may be newer than the backup's.
func (r *restoring) publicFiles() error {
	settings, err := ReadSettings(r.from)
	if err != nil {
		return err
	}
	for _, name := range publicFiles(settings) {
		data, err := os.ReadFile(filepath.Join(r.from, name))
		if err != nil {
			return fmt.Errorf("couldn't read the backup: %w", err)
		}
		path := filepath.Join(r.dir, name)
		there, err := os.ReadFile(path)
		switch {
		case err == nil && name == vkeyFile && !bytes.HasPrefix(there, data) && !bytes.HasPrefix(data, there): // a line a year
			return fmt.Errorf("%s isn't that of the backup: another ledger's", path)
		case err == nil:
			continue
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("couldn't restore: %w", err)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("couldn't restore: %w", err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return fmt.Errorf("couldn't restore: %w", err)
		}
		r.made = append(r.made, path)
	}
	return nil
}

// keys brings the keys from the operator's copy, or is content with those that are there.
func (r *restoring) keys(from string) error {
	path := filepath.Join(r.dir, keysDir)
	_, err := os.Stat(path)
	switch {
	case err == nil && from != "":
		return fmt.Errorf("%s exists: restore without other keys, or move it away if it isn't this ledger's", path)
	case err == nil:
		return nil
	case from == "":
		return fmt.Errorf("%s is missing: a backup holds no keys, they come from the operator's separate copy", path)
	}
	folder, err := durable.NewFolder(path, 0o700)
	if err != nil {
		return fmt.Errorf("couldn't copy the keys: %w", err)
	}
	if err := folder.CopyFS(os.DirFS(from), 0o600); err != nil {
		return errors.Join(fmt.Errorf("couldn't copy the keys: %w", err), folder.Abandon())
	}
	if err := folder.Finish(); err != nil {
		return fmt.Errorf("couldn't copy the keys: %w", err)
	}
	r.made = append(r.made, path)
	return nil
}

// store copies the store, and compares it with what the backup says of it.
func (r *restoring) store(ctx context.Context, note *BackupNote, where place.Place) error {
	path := where.Dir()
	if path == "" {
		return r.database(ctx, note, where)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty one
		return fmt.Errorf("couldn't restore: %w", err)
	}
	folder, err := durable.NewFolder(path, 0o700)
	if err != nil {
		return fmt.Errorf("couldn't restore the store: %w", err)
	}
	if err := folder.CopyFS(os.DirFS(filepath.Join(r.from, storeDir)), 0o600); err != nil {
		return errors.Join(fmt.Errorf("couldn't restore the store: %w", err), folder.Abandon())
	}
	err = r.verify(ctx, folder.Path("."), note)
	if err == nil {
		err = endSessions(ctx, folder.Path("."), pebble.Options{Logger: r.log})
	}
	if err != nil {
		return errors.Join(err, folder.Abandon())
	}
	if err := folder.Finish(); err != nil {
		return fmt.Errorf("couldn't restore the store: %w", err)
	}
	r.made = append(r.made, path)
	return nil
}

// verify compares a copy of the store with what the backup says of it.
func (r *restoring) verify(ctx context.Context, copied string, note *BackupNote) error {
	settings, err := ReadSettings(r.from)
	if err != nil {
		return err
	}
	got, err := backedLogs(ctx, copied, settings.Name, nil, r.log)
	if err == nil {
		err = sameLogs(got, note.Logs)
	}
	if err != nil {
		return fmt.Errorf("couldn't verify the backup: %w", err)
	}
	return nil
}

// database copies the store's rows into a database. What is written there stays, whatever fails later.
func (r *restoring) database(ctx context.Context, note *BackupNote, where place.Place) (err error) {
	copied := filepath.Join(r.from, storeDir)
	if err := r.verify(ctx, copied, note); err != nil {
		return err
	}
	from, err := pebble.OpenReadOnly(copied, pebble.Options{Logger: r.log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	snap, err := from.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	to, err := where.Create(ctx, r.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if _, err := place.Copy(ctx, snap, to, nil); err != nil {
		return fmt.Errorf("couldn't restore the store: %w", err)
	}
	_, err = sweepSessions(ctx, to, nil)
	return err
}

func sameLogs(got, want []BackedLog) error {
	if len(got) != len(want) {
		return fmt.Errorf("it says that it has %d logs, it has %d", len(want), len(got))
	}
	for i := range want {
		if got[i].Origin != want[i].Origin || got[i].Size != want[i].Size || got[i].Root != want[i].Root {
			return fmt.Errorf("it says %s with %d leaves and root %x, it has %s with %d and %x",
				want[i].Origin, want[i].Size, want[i].Root, got[i].Origin, got[i].Size, got[i].Root)
		}
	}
	return nil
}
