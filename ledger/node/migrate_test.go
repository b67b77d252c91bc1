// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
	"github.com/traccia-ledger/traccia/ledger/store"
)

func noProgress(int64) func(int) { return func(int) {} }

// TestMigrate moves a ledger into a database and back, with use in between:
// answers, checkpoints and numbers are what they were, and go on.
func TestMigrate(t *testing.T) {
	pgtest.Engines(t, func(t *testing.T, server *pgtest.Server) {
		r := newLedger(t, node.Options{})
		r.load(0, 40)
		if _, err := node.Migrate(t.Context(), r.dir, server.Database(t), node.Options{}, noProgress); !errors.Is(err, store.ErrLocked) {
			t.Errorf("migrated while it is served: %v", err)
		}
		epoch := r.Epoch()
		before := r.stop()
		r.holds(before)
		first := before
		moves := []string{server.Database(t), filepath.Join(t.TempDir(), "rows"), server.Database(t)}
		if testing.Short() {
			moves = moves[:1]
		}
		for i, to := range moves {
			published := publishedFile(t, r, epoch)
			m, err := node.Migrate(t.Context(), r.dir, to, node.Options{}, noProgress)
			if err != nil {
				t.Fatal(err)
			}
			if m.From == m.To || m.Sum.Rows == 0 || len(m.Logs) != 1 || m.Logs[0].Size != uint64(len(before.Leaves)) {
				t.Errorf("move %d: %+v, the log has %d leaves", i, m, len(before.Leaves))
			}
			if !bytes.Equal(publishedFile(t, r, epoch), published) {
				t.Errorf("move %d changed the published checkpoint", i)
			}
			seen := r.audit()
			if len(seen.Leaves) != len(before.Leaves) || seen.RootAt(uint64(len(seen.Leaves))) != before.RootAt(uint64(len(before.Leaves))) {
				t.Fatalf("move %d: another log", i)
			}
			r.start(node.Options{})
			n := len(r.acks)
			if got := r.load(0, n+20); got != n { // compares each with what was answered before
				t.Errorf("move %d: %d of %d submissions are known", i, got, n)
			}
			before = r.stop()
			r.holds(before)
		}
		if before.RootAt(uint64(len(first.Leaves))) != first.RootAt(uint64(len(first.Leaves))) {
			t.Error("the log isn't the one it was")
		}
		// The place where it was first holds the ledger as it was then: it isn't
		// opened, and is brought up to date.
		if _, err := node.Open(t.Context(), r.dir, node.Options{Place: "store"}); !errors.Is(err, node.ErrBehind) {
			t.Errorf("the older state was opened: %v", err)
		}
		if _, err := node.Migrate(t.Context(), r.dir, "store", node.Options{}, noProgress); err != nil {
			t.Fatal(err)
		}
		if settings, err := node.ReadSettings(r.dir); err != nil || settings.Store != "" {
			t.Errorf("back where it began the configuration says %q, %v", settings.Store, err)
		}
		r.holds(r.audit())
	})
}

func publishedFile(t *testing.T, r *running, epoch uint32) []byte {
	t.Helper()
	signed, err := keys.ReadPublished(filepath.Join(r.dir, "keys"), epoch)
	if err != nil || signed == nil {
		t.Fatalf("no published checkpoint: %v", err)
	}
	return signed
}

// TestMigrateGoesOn cuts migrations short, uses the ledger where it still is,
// and migrates it in the end.
func TestMigrateGoesOn(t *testing.T) {
	long(t)
	text := pgtest.Postgres(t).Database(t)
	r := newLedger(t, node.Options{})
	for round := range 3 {
		r.load(round*20, round*20+20)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err := node.Migrate(ctx, r.dir, text, node.Options{}, func(rows int64) func(int) {
			left := rows * int64(round+1) / 5
			return func(n int) {
				if left -= int64(n); left < 0 {
					cancel()
				}
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("round %d: %v", round, err)
		}
		r.start(node.Options{})
	}
	r.load(60, 70)
	r.holds(r.stop())
	if _, err := node.Migrate(t.Context(), r.dir, text, node.Options{}, noProgress); err != nil {
		t.Fatal(err)
	}
	r.start(node.Options{})
	if got := r.load(0, 80); got != 70 {
		t.Errorf("%d of 70 submissions are known", got)
	}
	r.holds(r.stop())
}

// TestMigrateElsewhere refuses to write over another ledger.
func TestMigrateElsewhere(t *testing.T) {
	text := pgtest.Postgres(t).Database(t)
	other := newLedgerIn(t, text, node.Options{})
	other.load(0, 10)
	before := other.stop()
	r := &running{t: t, world: nodetest.NewWorld(t, other.world.Now), dir: filepath.Join(t.TempDir(), "ledger"), acks: map[int]*ledger.Answer{}}
	r.world.Create(t, r.dir, node.Options{})
	if _, err := node.Migrate(t.Context(), r.dir, text, node.Options{}, noProgress); !errors.Is(err, fs.ErrExist) {
		t.Errorf("migrated over another ledger: %v", err)
	}
	if seen := other.audit(); len(seen.Leaves) != len(before.Leaves) {
		t.Errorf("the other ledger has %d leaves, had %d", len(seen.Leaves), len(before.Leaves))
	}
	if _, err := node.Migrate(t.Context(), r.dir, "store", node.Options{}, noProgress); err == nil {
		t.Error("migrated to where it is")
	}
}
