// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

var quiet = slog.New(slog.DiscardHandler)

// backedUp is a ledger that runs, with its directory and a world that knows its bodies.
type backedUp struct {
	*testing.T
	world *nodetest.World
	dir   string
	node  *node.Node
	sent  int
}

func newBackedUp(t *testing.T) *backedUp {
	t.Helper()
	b := &backedUp{T: t, world: nodetest.NewWorld(t, time.Now()), dir: filepath.Join(t.TempDir(), "ledger")}
	b.world.Create(t, b.dir, node.Options{})
	b.open()
	b.world.Register(t, b.node)
	t.Cleanup(b.close)
	return b
}

func (b *backedUp) open() {
	b.Helper()
	n, err := node.Open(b.Context(), b.dir, node.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.node = n
}

func (b *backedUp) close() {
	if b.node != nil {
		if err := b.node.Close(); err != nil {
			b.Error(err)
		}
		b.node = nil
	}
}

func (b *backedUp) submit(n int) {
	b.Helper()
	for range n {
		if _, _, err := b.node.Submit(b.Context(), b.world.Submission(b, b.sent)); err != nil {
			b.Fatal(err)
		}
		b.sent++
	}
}

// backup makes one while the ledger runs.
func (b *backedUp) backup() string {
	b.Helper()
	out := filepath.Join(b.TempDir(), "backup")
	note, err := node.Backup(b.Context(), b.dir, out, quiet, func(to string) error { return b.node.Backup(b.Context(), to) })
	if err != nil {
		b.Fatal(err)
	}
	if len(note.Logs) != 1 || note.Logs[0].Size == 0 {
		b.Fatalf("a backup of %v", note.Logs)
	}
	return out
}

// lose takes the store away, and returns where it went.
func (b *backedUp) lose() {
	b.Helper()
	b.close()
	if err := os.Rename(filepath.Join(b.dir, "store"), filepath.Join(b.TempDir(), "lost")); err != nil {
		b.Fatal(err)
	}
}

func (b *backedUp) restore(from, keysFrom string) error {
	_, err := node.Restore(b.Context(), from, b.dir, keysFrom, node.Options{})
	return err
}

func TestBackupAndRestore(t *testing.T) {
	b := newBackedUp(t)
	b.submit(20)
	if err := b.node.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := b.node.Latest().Root
	from := b.backup()
	b.lose()
	if err := b.restore(from, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := nodetest.AuditDir(t.Context(), b.dir, ""); err != nil {
		t.Errorf("the restored ledger: %v", err)
	}
	b.open()
	if got := b.node.Latest().Root; got != want {
		t.Errorf("restored %v, expected %v", got, want)
	}
	// It goes on: an old submission is known, a new one isn't.
	if _, replayed, err := b.node.Submit(t.Context(), b.world.Submission(t, 3)); err != nil || !replayed {
		t.Errorf("a submission of before: replayed %v, %v", replayed, err)
	}
	b.submit(1)
}

// A backup holds nothing that opens an event.
func TestBackupHoldsNoKey(t *testing.T) {
	b := newBackedUp(t)
	b.submit(5)
	from := b.backup()
	b.close()
	secrets := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(b.dir, "keys"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".key") {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(data)) {
				if secret, ok := strings.CutPrefix(line, "plain: "); ok {
					secrets[strings.TrimSpace(secret)] = true
				}
			}
		}
		return err
	})
	if err != nil || len(secrets) < 4 {
		t.Fatalf("found %d keys: %v", len(secrets), err)
	}
	err = filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for secret := range secrets {
			if strings.Contains(string(data), secret) {
				t.Errorf("%s holds a key", path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(from, "keys")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a backup with keys: %v", err)
	}
}

// Published is what nobody may go behind.
func TestRestoreBehind(t *testing.T) {
	b := newBackedUp(t)
	b.submit(5)
	old := b.backup()
	b.submit(5)
	if err := b.node.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	newer := b.backup()
	b.lose()
	err := b.restore(old, "")
	if !errors.Is(err, node.ErrBehind) {
		t.Fatalf("restoring an old backup: %v", err)
	}
	if !strings.Contains(err.Error(), "leaves were published") {
		t.Errorf("the message doesn't say why: %v", err)
	}
	if _, err := os.Stat(filepath.Join(b.dir, "store")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused restore left a store: %v", err)
	}
	// The newer one is accepted, whose end is what was published.
	if err := b.restore(newer, ""); err != nil {
		t.Fatal(err)
	}
}

// What was erased since the backup is erased again, and nothing else.
func TestRestoreErasesAgain(t *testing.T) {
	b := newBackedUp(t)
	b.submit(20)
	b.close() // so that the backup has the last head, and nothing newer is published
	from := filepath.Join(t.TempDir(), "backup")
	copyAtRest := func(to string) error {
		db, err := pebble.Open(filepath.Join(b.dir, "store"), pebble.Options{Logger: quiet})
		if err != nil {
			return err
		}
		return errors.Join(db.Checkpoint(t.Context(), to), db.Close())
	}
	if _, err := node.Backup(t.Context(), b.dir, from, quiet, copyAtRest); err != nil {
		t.Fatal(err)
	}
	wraps := wrapsOf(t, b.dir)
	gone := wraps[0]
	k, err := keys.Open(filepath.Join(b.dir, "keys"), "")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := rows.ParseWrap(gone.Value)
	if err != nil {
		t.Fatal(err)
	}
	_, stored, err := keys.ParseWrap(parsed.Stored)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(k.AppendErasure(ledger.Hash(gone.Key), sha256.Sum256(stored)), k.Close()); err != nil {
		t.Fatal(err)
	}
	b.lose()
	if err := b.restore(from, ""); err != nil {
		t.Fatal(err)
	}
	left := wrapsOf(t, b.dir)
	if len(left) != len(wraps)-1 {
		t.Errorf("%d wraps left of %d, expected one less", len(left), len(wraps))
	}
	for _, w := range left {
		if string(w.Key) == string(gone.Key) {
			t.Error("the erased wrap is back")
		}
	}
}

func wrapsOf(t *testing.T, dir string) []store.Row {
	t.Helper()
	return rowsOf(t, dir, store.TableWrap)
}

func rowsOf(t *testing.T, dir string, table store.Table) (list []store.Row) {
	t.Helper()
	db, err := pebble.OpenReadOnly(filepath.Join(dir, "store"), pebble.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	snap, err := db.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	err = snap.Scan(t.Context(), table, nil, nil, 0, func(key, value []byte) error {
		list = append(list, store.Row{Table: table, Key: append([]byte{}, key...), Value: append([]byte{}, value...)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRestoreRefusals(t *testing.T) {
	b := newBackedUp(t)
	b.submit(3)
	from := b.backup()
	b.close()

	if err := b.restore(from, ""); !errors.Is(err, node.ErrNotEmpty) {
		t.Errorf("into a ledger with a store: %v", err)
	}
	b.lose()
	if err := b.restore(t.TempDir(), ""); !errors.Is(err, node.ErrNoBackup) {
		t.Errorf("from an empty folder: %v", err)
	}
	if err := b.restore(from, t.TempDir()); err == nil {
		t.Error("with other keys beside the ledger's own")
	}
	other := newBackedUp(t)
	foreign := other.backup()
	if err := b.restore(foreign, ""); err == nil {
		t.Error("the backup of another ledger")
	}

	// Into an empty directory, with the operator's copy of the keys.
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if _, err := node.Restore(t.Context(), from, elsewhere, "", node.Options{}); err == nil {
		t.Error("without keys")
	}
	if left, err := os.ReadDir(elsewhere); err != nil || len(left) > 0 {
		t.Errorf("a refused restore left %v, %v", left, err)
	}
	// b.close published past the backup: only keys from before it accept it.
	copied := filepath.Join(t.TempDir(), "keys")
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(b.dir, "keys"))); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Restore(t.Context(), from, elsewhere, copied, node.Options{}); !errors.Is(err, node.ErrBehind) {
		t.Errorf("with keys that know of more: %v", err)
	}
	if left, err := os.ReadDir(elsewhere); err != nil || len(left) > 0 {
		t.Errorf("a refused restore left %v, %v", left, err)
	}
}

// A damaged backup is refused by what its note says, or by the store.
func TestRestoreDamaged(t *testing.T) {
	b := newBackedUp(t)
	b.submit(3)
	if err := b.node.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	from := b.backup()
	b.lose()
	path := filepath.Join(from, "BACKUP")
	note, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(note), `"size": `, `"size": 1`, 1)
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := b.restore(from, ""); err == nil || !strings.Contains(err.Error(), "verify the backup") {
		t.Errorf("a backup that says another size: %v", err)
	}
	if err := os.WriteFile(path, note, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := b.restore(from, ""); err != nil {
		t.Errorf("the backup as it was: %v", err)
	}
}
