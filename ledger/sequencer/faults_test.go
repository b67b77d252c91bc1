// SPDX-License-Identifier: EUPL-1.2

package sequencer_test

import (
	"errors"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// TestFailedCommit fails a commit that left nothing, and one that left
// everything. The sequencer can't tell them apart and must not try: it stops,
// and after a restart the retry of every submission has one entry.
func TestFailedCommit(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after error
		persisted     bool
		conflict      bool
	}{
		{name: "not persisted", before: errDisk},
		{name: "persisted", after: errDisk, persisted: true},
		{name: "another sequencer wrote", before: store.ErrConflict, conflict: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, faulty := &gate{}, &nodetest.FailingStore{}
			f := newFixture(t, func(cfg *sequencer.Config) {
				faulty.Store = cfg.Rows
				cfg.Rows, cfg.Step = faulty, g.at
			})
			acknowledged := f.submit(0)
			size := f.shard.Root().Size
			wait, release := g.hold("numbered")
			failing := f.submitBesideHeld(wait, f.pending(1, nodetest.Access{}))
			// Behind it waits everything there is, a head between the rest.
			behind := []<-chan outcome{f.submitBeside(f.pending(2, nodetest.Access{}))}
			headed := make(chan error, 1)
			go func() {
				_, err := f.seq.Head(t.Context())
				headed <- err
			}()
			f.queued(2)
			behind = append(behind, f.submitBeside(f.pending(3, nodetest.Access{})), f.submitBeside(f.pending(1, nodetest.Access{})))
			faulty.Arm(c.before, c.after)
			release()

			o := <-failing
			if !errors.Is(o.err, sequencer.ErrStopped) {
				t.Errorf("the commit that failed: %v", o.err)
			}
			cause := errDisk
			if c.conflict {
				cause = store.ErrConflict
			}
			if !errors.Is(o.err, cause) || errors.Is(o.err, engine.ErrUncertain) == c.conflict {
				t.Errorf("the commit that failed doesn't say why: %v", o.err)
			}
			for i, result := range behind {
				if o := <-result; !errors.Is(o.err, sequencer.ErrStopped) {
					t.Errorf("submission %d behind it: %+v", i, o)
				}
			}
			if err := <-headed; !errors.Is(err, sequencer.ErrStopped) {
				t.Errorf("a head behind it: %v", err)
			}
			if _, err := f.seq.Submit(t.Context(), f.pending(4, nodetest.Access{})); !errors.Is(err, sequencer.ErrStopped) {
				t.Errorf("a later submission: %v", err)
			}
			if f.seq.Err() == nil || f.shard.Root().Size != size || f.seq.Latest().Root.Size != size {
				t.Errorf("error %v, sizes %d and %d, expected %d", f.seq.Err(), f.shard.Root().Size, f.seq.Latest().Root.Size, size)
			}
			if err := f.seq.Close(); err == nil {
				t.Error("Close said nothing")
			}

			f.restart()
			want := size
			if c.persisted {
				want++
			}
			if got := f.shard.Root().Size; got != want {
				t.Errorf("after a restart the log has %d leaves, expected %d", got, want)
			}
			f.audit()
			if got := f.submit(0); !got.Replayed || got.First != acknowledged.First {
				t.Errorf("what was acknowledged: %+v, expected a replay of %d", got, acknowledged.First)
			}
			for n := 1; n <= 4; n++ {
				got := f.submit(n)
				if got.Replayed != (c.persisted && n == 1) {
					t.Errorf("the retry of submission %d: %+v", n, got)
				}
				if again := f.submit(n); !again.Replayed || again.First != got.First {
					t.Errorf("submission %d once more: %+v, expected a replay of %d", n, again, got.First)
				}
			}
			if seen := f.audit(); len(seen.Receipts) != 5 {
				t.Errorf("%d receipts, expected 5", len(seen.Receipts))
			}
		})
	}
}

// TestFailedHead: the head after a failed commit isn't tried either.
func TestFailedHead(t *testing.T) {
	faulty := &nodetest.FailingStore{}
	f := newFixture(t, func(cfg *sequencer.Config) {
		faulty.Store = cfg.Rows
		cfg.Rows = faulty
	})
	f.submit(0)
	faulty.Arm(nil, errDisk)
	if _, err := f.seq.Head(t.Context()); !errors.Is(err, sequencer.ErrStopped) {
		t.Errorf("a head whose commit failed: %v", err)
	}
	f.restart()
	f.submit(1)
	f.audit()
}

// TestFailedFirstHead: a shard whose first head failed opens once the disk is
// well, with one first head.
func TestFailedFirstHead(t *testing.T) {
	for _, persisted := range []bool{false, true} {
		faulty := &nodetest.FailingStore{}
		f := newLog(t, func(cfg *sequencer.Config) {
			faulty.Store = cfg.Rows
			cfg.Rows = faulty
		})
		if persisted {
			faulty.Arm(nil, errDisk)
		} else {
			faulty.Arm(errDisk, nil)
		}
		if err := f.open(); !errors.Is(err, errDisk) {
			t.Errorf("persisted %v: opened with %v", persisted, err)
		}
		f.mustOpen()
		f.submit(0)
		if heads := f.heads(); len(heads) != 1 {
			t.Errorf("persisted %v: %d heads", persisted, len(heads))
		}
		f.must(f.seq.Close())
		f.must(f.db.Close())
	}
}
