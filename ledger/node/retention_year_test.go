// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/fsck"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// turned waits until the ledger records in a year.
func (r *running) turned(epoch uint32) {
	r.t.Helper()
	for range 1000 {
		if r.Epoch() == epoch {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.t.Fatalf("recording in %d", r.Epoch())
}

// TestYearRetired: once the retention of a year's last event is over, nobody
// can tell any more whom its events were about, and histories go on without it.
func TestYearRetired(t *testing.T) {
	const year = 2030
	ctx := context.Background()
	c := newClock(january(year).AddDate(0, 8, 0))
	r := newLedgerAt(t, c, node.Options{})
	if _, err := r.SetTerm(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if err := r.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	c.set(january(year).AddDate(0, 9, 5))
	r.world = nodetest.NewWorld(t, c.Now())
	if err := r.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	r.load(0, 20)
	c.set(january(year + 1).Add(time.Minute))
	r.turned(year + 1)
	before := r.world
	r.world = nodetest.NewWorld(t, c.Now())
	for n := 20; n < 40; n++ {
		if _, err := r.sendAgain(n); err != nil {
			t.Fatal(err)
		}
	}
	// October's events are kept until its first head after it and two months.
	if err := r.SetHold(keys.Hold{Month: "2030-10", Reason: "proc. 1/2031"}); err != nil {
		t.Fatal(err)
	}
	c.set(january(year+1).AddDate(0, 3, 0))
	if got, err := r.Retention(ctx, true); err != nil || len(r.Gone()) > 0 || len(got.Destroyed) > 0 {
		t.Fatalf("under a hold: %+v, gone %v, %v", got, r.Gone(), err)
	}
	if err := r.EndHold("2030-10"); err != nil {
		t.Fatal(err)
	}
	got, err := r.Retention(ctx, true)
	if err != nil || !slices.Equal(got.Destroyed, []string{"2030-10"}) {
		t.Fatalf("destroyed %+v, %v", got, err)
	}
	check := func() {
		t.Helper()
		if gone := r.Gone(); !slices.Equal(gone, []uint32{year}) {
			t.Errorf("gone: %v", gone)
		}
		b, err := r.History(ctx, nodetest.Person(1))
		if err != nil || len(b.Shards) != 1 || b.Shards[0].Origin != ledger.Origin(nodetest.Name, year+1) {
			t.Errorf("a history: %v", err)
		}
		for _, n := range []int{0, 7, 13} {
			if _, _, err := r.Submit(ctx, before.Submission(t, n)); !errors.Is(err, node.ErrErased) {
				t.Errorf("submission %d of a year that is gone: %v", n, err)
			}
			iss, jti, _ := strings.Cut(r.acks[n].ReceiptID, "/")
			if _, err := r.Fetch(ctx, iss, jti); !errors.Is(err, node.ErrErased) {
				t.Errorf("fetching %d: %v", n, err)
			}
		}
		p, err := r.Published(year)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Entries(ctx, year, 0, int(min(256, p.Root.Size))); err != nil {
			t.Errorf("the public log of the year: %v", err)
		}
	}
	check()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.start(c.options())
	check()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"vrf", "handle"} {
		if _, err := os.Stat(filepath.Join(r.dir, "keys", "epochs", "2030."+key+".key")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the %s key of %d is there: %v", key, year, err)
		}
	}
	rest, err := node.OpenAtRest(t.Context(), r.dir, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer rest.Close()
	snap, err := rest.Store.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	for _, table := range []store.Table{store.TableBody, store.TablePrivate, store.TableLookUp, store.TableCounter} {
		from := rows.LeafKey(year, 0)[:4]
		err := snap.Scan(ctx, table, from, store.After(from), 0, func(key, _ []byte) error {
			if table != store.TableCounter || rows.IsRunning(key) {
				t.Errorf("a row of %s is left", table)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	report, err := fsck.Check(ctx, fsck.Config{Name: nodetest.Name, Rows: snap, Keys: rest.Keys, Now: c.Now()})
	if err != nil || report.Found > 0 || report.BodiesErased == 0 || report.BodiesChecked == 0 {
		t.Errorf("fsck: %+v, %v", report, err)
	}
}
