// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// TestSessions: a row changes only from what it was, survives a restart, and goes when its hour is over.
func TestSessions(t *testing.T) {
	ctx := context.Background()
	r := newLedger(t, node.Options{})
	now := time.Now()
	key, next := rows.SessionKey(now.Add(time.Hour), [16]byte{1}), rows.SessionKey(now.Add(3*time.Hour), [16]byte{1})
	change := func(key []byte, from, to string, want error) {
		t.Helper()
		value := func(s string) []byte {
			if s == "" {
				return nil
			}
			return []byte(s)
		}
		if err := r.Node.ChangeSession(ctx, key, value(from), value(to)); !errors.Is(err, want) {
			t.Errorf("from %q to %q: %v, want %v", from, to, err, want)
		}
	}
	holds := func(key []byte, want string) {
		t.Helper()
		if got, err := r.Node.Session(ctx, key); err != nil || string(got) != want {
			t.Errorf("the row holds %q, %v, want %q", got, err, want)
		}
	}
	change(key, "", "a", nil)
	change(key, "", "b", store.ErrConflict)
	change(key, "a", "b", nil)
	change(next, "", "c", nil)
	r.stop()
	r.start(node.Options{})
	holds(key, "b")
	for _, sweep := range []struct {
		at   time.Time
		want int
	}{{now, 0}, {now.Add(59 * time.Minute), 0}, {now.Add(2 * time.Hour), 1}, {now.Add(2 * time.Hour), 0}} {
		if n, err := r.Node.SweepSessions(ctx, sweep.at); err != nil || n != sweep.want {
			t.Errorf("%s later %d went, %v, want %d", sweep.at.Sub(now), n, err, sweep.want)
		}
	}
	holds(key, "")
	holds(next, "c")
	change(next, "c", "", nil)
	change(next, "c", "d", store.ErrConflict) // what ended doesn't come back
}

// TestRestoreEndsSessions: one that ended after the backup isn't there again.
func TestRestoreEndsSessions(t *testing.T) {
	ctx := context.Background()
	b := newBackedUp(t)
	key := rows.SessionKey(time.Now().Add(time.Hour), [16]byte{1})
	if err := b.node.ChangeSession(ctx, key, nil, []byte("sealed")); err != nil {
		t.Fatal(err)
	}
	from := b.backup()
	b.lose()
	if err := b.restore(from, ""); err != nil {
		t.Fatal(err)
	}
	b.open()
	if row, err := b.node.Session(ctx, key); err != nil || row != nil {
		t.Errorf("the session is there again: %q, %v", row, err)
	}
}
