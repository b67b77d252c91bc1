// SPDX-License-Identifier: EUPL-1.2

package sequencer_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// asked counts what a store is asked through snapshots.
type asked struct {
	store.Store
	single, many atomic.Int64
}

func (a *asked) Snapshot(ctx context.Context) (store.Snapshot, error) {
	snap, err := a.Store.Snapshot(ctx)
	return askedSnapshot{snap, a}, err
}

type askedSnapshot struct {
	store.Snapshot
	a *asked
}

func (s askedSnapshot) Get(ctx context.Context, t store.Table, key []byte) ([]byte, error) {
	s.a.single.Add(1)
	return s.Snapshot.Get(ctx, t, key)
}

func (s askedSnapshot) GetMany(ctx context.Context, t store.Table, keys [][]byte) ([][]byte, error) {
	s.a.many.Add(1)
	return s.Snapshot.GetMany(ctx, t, keys)
}

// TestAskedOnceForABatch: a store at the end of a wire is asked once for each
// table, however many submissions, bodies and people a batch has.
func TestAskedOnceForABatch(t *testing.T) {
	g, counted := &gate{}, &asked{}
	f := newFixture(t, func(cfg *sequencer.Config) {
		counted.Store = cfg.Rows
		cfg.Rows, cfg.Step = counted, g.at
	})
	wait, release := g.hold("numbered")
	held := f.submitBesideHeld(wait, f.pending(0, nodetest.Access{}))
	const batch = 40
	var waiting []<-chan outcome
	for n := 1; n <= batch; n++ {
		waiting = append(waiting, f.submitBeside(f.pending(n, nodetest.Access{Subjects: 3, First: 3 * n})))
	}
	f.queued(batch * 3)
	counted.single.Store(0)
	counted.many.Store(0)
	release()
	for _, o := range append(waiting, held) {
		if o := <-o; o.err != nil {
			t.Fatal(o.err)
		}
	}
	if single, many := counted.single.Load(), counted.many.Load(); single > 0 || many > 3 {
		t.Errorf("%d submissions made %d single reads and %d of many", batch, single, many)
	}
}
