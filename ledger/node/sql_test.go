// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// The crash matrix with the rows in a database.

func TestKilledAtEachStepOnSQL(t *testing.T) {
	long(t)
	pgtest.Engines(t, func(t *testing.T, s *pgtest.Server) { killedAtEachStep(t, s.Database(t), []int{2}) })
}

func TestKilledAnywhereOnSQL(t *testing.T) {
	long(t)
	pgtest.Engines(t, func(t *testing.T, s *pgtest.Server) { killedAnywhere(t, s.Database(t), 6*time.Second) })
}

func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("not in short mode")
	}
}

// TestDatabaseDies kills the database under load, and starts it again: whoever
// waits gets an answer, nothing acknowledged is lost, and the process goes on.
func TestDatabaseDies(t *testing.T) {
	server := pgtest.Own(t)
	r := newLedgerIn(t, server.Database(t), node.Options{})
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	for round := range rounds {
		from := round * 100
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.load(from, from+100)
		}()
		waitUntil(t, "some answers", func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return len(r.acks) > from+20
		})
		server.Kill()
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		<-done
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
	}
	seen := r.stop()
	r.holds(seen)
	if len(seen.Receipts) != rounds*100 {
		t.Errorf("%d receipts in the log, %d were sent", len(seen.Receipts), rounds*100)
	}
}

func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s", what)
		}
	}
}

// TestTwoProcessesOneDatabase starts a second ledger on a database in use, and
// one that takes it over from a process that stands still.
func TestTwoProcessesOneDatabase(t *testing.T) {
	server := pgtest.Postgres(t)
	text := server.Database(t)
	r := newLedgerIn(t, text, node.Options{})
	r.load(0, 20)
	if _, err := node.Open(t.Context(), r.dir, node.Options{}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	if _, err := node.OpenAtRest(t.Context(), r.dir, node.Options{}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("opened at rest while it is served: %v", err)
	}
	// The row of use is all that keeps the other out, so this is what it finds
	// when this process stood still for ten seconds.
	schema := text[strings.LastIndex(text, "=")+1:]
	server.Exec(t, `UPDATE `+schema+`.store_use SET until = now()`)
	second := &running{t: t, world: r.world, dir: r.dir, acks: map[int]*ledger.Answer{}}
	second.start(node.Options{})
	second.load(10, 40)
	for n := 40; n < 45; n++ {
		if _, err := r.send(n); err == nil {
			t.Errorf("who was replaced acknowledged submission %d", n)
		}
	}
	if r.Err() == nil {
		t.Error("who was replaced goes on")
	}
	if err := r.Close(); !errors.Is(err, store.ErrStopped) {
		t.Errorf("Close of who was replaced: %v", err)
	}
	second.load(20, 60)
	seen := second.stop()
	second.holds(seen)
	r.holds(seen)
}

// TestBackupOfSQL makes a backup while the ledger runs, and restores it into
// another database and into a directory.
func TestBackupOfSQL(t *testing.T) {
	server := pgtest.Postgres(t)
	r := newLedgerIn(t, server.Database(t), node.Options{})
	r.load(0, 30)
	if err := r.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	if _, err := node.Backup(t.Context(), r.dir, backup, quiet, func(to string) error { return r.Backup(t.Context(), to) }); err != nil {
		t.Fatal(err)
	}
	r.holds(r.stop())
	if _, err := node.Restore(t.Context(), backup, r.dir, "", node.Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("restored over the ledger: %v", err)
	}
	for name, place := range map[string]string{"database": server.Database(t), "directory": filepath.Join(t.TempDir(), "rows")} {
		t.Run(name, func(t *testing.T) {
			if _, err := node.Restore(t.Context(), backup, r.dir, "", node.Options{Place: place}); err != nil {
				t.Fatal(err)
			}
			again := &running{t: t, world: r.world, dir: copyDir(t, r.dir), acks: r.acks}
			again.start(node.Options{Place: place})
			if got := again.load(0, 30); got != 30 {
				t.Errorf("%d of 30 submissions are known", got)
			}
			if err := again.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNoPasswordInSettings refuses a configuration with a password in the URL,
// and doesn't show it.
func TestNoPasswordInSettings(t *testing.T) {
	settings := nodetest.Settings()
	settings.Store = "postgres://traccia:hunter2@127.0.0.1/ledger"
	dir := filepath.Join(t.TempDir(), "ledger")
	if err := node.Create(t.Context(), dir, settings, node.Options{}); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "PGPASSFILE") {
		t.Errorf("Create: %v", err)
	}
	if names, err := os.ReadDir(dir); err == nil && len(names) > 1 {
		t.Errorf("it left %v", names)
	}
}
