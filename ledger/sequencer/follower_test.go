// SPDX-License-Identifier: EUPL-1.2

package sequencer_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/index"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// atHead asks for a head and checks it: it is in the log, under Latest, and
// states the tree that was shown.
func (f *fixture) atHead(ctx context.Context, ask func(*index.Tree)) (sequencer.Head, error) {
	f.t.Helper()
	var at sequencer.Head
	var root ledger.Hash
	var keys uint64
	err := f.seq.AtHead(ctx, func(head sequencer.Head, tree *index.Tree) {
		at, root, keys = head, tree.Root(), tree.Len()
		if ask != nil {
			ask(tree)
		}
	})
	if err != nil {
		return at, err
	}
	if size := f.seq.Latest().Root.Size; size <= at.Index {
		f.t.Errorf("answered at the head %d, the latest checkpoint is of size %d", at.Index, size)
	}
	leaves, err := f.shard.Leaves(context.Background(), at.Index, 1)
	f.must(err)
	if string(leaves[0]) != string(at.Leaf) {
		f.t.Errorf("the log has another leaf at %d", at.Index)
	}
	leaf, err := ledger.ParseLeaf(at.Leaf)
	f.must(err)
	if h, ok := leaf.(ledger.Head); !ok || h.Root != root || h.Keys != keys {
		f.t.Errorf("the leaf at %d states something else than the tree: %v", at.Index, leaf)
	}
	return at, nil
}

// tagsOf are the tags of a committed submission's first event.
func tagsOf(t testing.TB, c *sequencer.Committed) ledger.Event {
	t.Helper()
	leaf, err := ledger.ParseLeaf(c.Events[0].Leaf)
	if err != nil {
		t.Fatal(err)
	}
	return leaf.(ledger.Event)
}

func TestAtHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		// Nothing is uncovered: answered at the head that is there.
		at, err := f.atHead(t.Context(), nil)
		f.must(err)
		if at.Index != 1 || f.shard.Root().Size != 2 {
			t.Fatalf("an idle log: head %d of %d leaves", at.Index, f.shard.Root().Size)
		}
		// A record adds no key, and needs no head.
		f.record("ente_x")
		if at, err = f.atHead(t.Context(), nil); err != nil || at.Index != 1 {
			t.Fatalf("after a record: head %d, %v", at.Index, err)
		}
		// An event is under a head at once, and one head serves all who wait.
		started := time.Now()
		tags := tagsOf(t, f.submit(1))
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				at, err := f.atHead(t.Context(), func(tree *index.Tree) {
					if _, ok := tree.Get(tags.SubjectTag); !ok {
						t.Error("the event isn't in the index")
					}
				})
				if err != nil || at.Index != 4 {
					t.Errorf("head %d, %v", at.Index, err)
				}
			})
		}
		wg.Wait()
		if waited := time.Since(started); waited > 0 {
			t.Errorf("waited for %s", waited)
		}
		// The next one not within a second.
		f.submit(2)
		if at, err = f.atHead(t.Context(), nil); err != nil || at.Index != 6 || time.Since(started) != time.Second {
			t.Errorf("a second event: head %d after %s, %v", at.Index, time.Since(started), err)
		}
		// Nor are there heads without need.
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := len(f.heads()); got != 3 {
			t.Errorf("%d heads, expected 3", got)
		}
		f.restart()
		if at, err = f.atHead(t.Context(), nil); err != nil || at.Index != 6 {
			t.Errorf("after a restart: head %d, %v", at.Index, err)
		}
	})
}

func TestProve(t *testing.T) {
	f := newFixture(t, nil)
	c := f.submit(1)
	tags := tagsOf(t, c)
	absent := ledger.Hash{1, 2, 3}
	keys := []ledger.Hash{tags.SubjectTag, absent, tags.AgencyTag}
	at, proofs, err := f.seq.Prove(t.Context(), keys)
	f.must(err)
	leaf, err := ledger.ParseLeaf(at.Leaf)
	f.must(err)
	tree := index.New()
	tree.Insert(tags.SubjectTag, c.First)
	tree.Insert(tags.AgencyTag, c.First)
	if root := leaf.(ledger.Head).Root; root != tree.Root() {
		t.Fatalf("root %x, want %x", root, tree.Root())
	}
	for i, key := range keys {
		if want := tree.Prove(key); !bytes.Equal(proofs[i], want) {
			t.Errorf("key %d: %x, want %x", i, proofs[i], want)
		}
	}
	if _, _, err := f.seq.Prove(t.Context(), make([]ledger.Hash, sequencer.MaxProve+1)); err == nil {
		t.Error("too many keys were taken")
	}
}

// TestAtHeadUnderLoad: whoever asks after an acknowledgement finds the event,
// however others go on recording.
func TestAtHeadUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		var wg sync.WaitGroup
		var number atomic.Int64
		for range 6 {
			wg.Go(func() {
				for range 15 {
					c := f.submit(int(number.Add(1)))
					tags := tagsOf(t, c)
					at, err := f.atHead(t.Context(), func(tree *index.Tree) {
						for _, tag := range []ledger.Hash{tags.SubjectTag, tags.AgencyTag} {
							if i, ok := tree.Get(tag); !ok || i != c.First {
								t.Errorf("event %d: the index has %d, %v", c.First, i, ok)
							}
						}
					})
					if err != nil || at.Index <= c.First {
						t.Errorf("event %d: head %d, %v", c.First, at.Index, err)
					}
				}
			})
			wg.Go(func() {
				for range 40 {
					f.submit(int(number.Add(1)))
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		f.audit()
	})
}

// TestAtHeadRefused: who can't be answered is told so, and isn't called.
func TestAtHeadRefused(t *testing.T) {
	never := func(sequencer.Head, *index.Tree) { panic("called") }
	t.Run("given up", func(t *testing.T) {
		f := newFixture(t, nil)
		f.submit(1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.seq.AtHead(ctx, never); !errors.Is(err, context.Canceled) {
			t.Errorf("AtHead = %v", err)
		}
	})
	t.Run("clock", func(t *testing.T) {
		c := &clock{now: time.Now()}
		f := newFixture(t, func(cfg *sequencer.Config) { cfg.Now = c.Now })
		f.submit(1)
		c.add(-time.Hour)
		if err := f.seq.AtHead(t.Context(), never); !errors.Is(err, sequencer.ErrClock) {
			t.Errorf("AtHead = %v", err)
		}
		c.add(time.Hour)
		if _, err := f.atHead(t.Context(), nil); err != nil {
			t.Errorf("the clock right again: %v", err)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		var disk *nodetest.FailingStore
		f := newFixture(t, func(cfg *sequencer.Config) {
			disk = &nodetest.FailingStore{Store: cfg.Rows}
			cfg.Rows = disk
		})
		f.submit(1)
		disk.Arm(errDisk, nil)
		if err := f.seq.AtHead(t.Context(), never); !errors.Is(err, sequencer.ErrStopped) {
			t.Errorf("the head fails: %v", err)
		}
		if err := f.seq.AtHead(t.Context(), never); !errors.Is(err, sequencer.ErrStopped) {
			t.Errorf("after that: %v", err)
		}
	})
	t.Run("closed", func(t *testing.T) {
		f := newFixture(t, nil)
		f.submit(1)
		f.seq.Close()
		if err := f.seq.AtHead(t.Context(), never); !errors.Is(err, sequencer.ErrClosed) {
			t.Errorf("AtHead = %v", err)
		}
	})
	t.Run("too many", func(t *testing.T) {
		f := newFixture(t, nil)
		inside, release := make(chan bool), make(chan bool)
		var wg sync.WaitGroup
		wg.Go(func() {
			f.must(f.seq.AtHead(t.Context(), func(sequencer.Head, *index.Tree) { close(inside); <-release }))
		})
		<-inside
		ctx, cancel := context.WithCancel(t.Context())
		var busy atomic.Int64
		for range 1200 {
			wg.Go(func() {
				if err := f.seq.AtHead(ctx, never); errors.Is(err, sequencer.ErrBusy) {
					busy.Add(1)
				} else if !errors.Is(err, context.Canceled) {
					t.Errorf("AtHead = %v", err)
				}
			})
		}
		for end := time.Now().Add(2 * time.Minute); busy.Load() < 1200-1023 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		}
		cancel()
		// None of those who wait is called, though they could be answered now.
		time.Sleep(10 * time.Millisecond)
		close(release)
		wg.Wait()
		if got := busy.Load(); got != 1200-1023 {
			t.Errorf("%d of 1200 beside one that runs were refused", got)
		}
	})
}

// TestCloseAnswers: those who wait for a head when the ledger ends get the last one.
func TestCloseAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.submit(1)
		_, err := f.atHead(t.Context(), nil)
		f.must(err)
		f.submit(2)
		done := make(chan error, 1)
		go func() {
			_, err := f.atHead(t.Context(), nil)
			done <- err
		}()
		synctest.Wait() // it waits for the second to pass
		f.must(f.seq.Close())
		if err := <-done; err != nil {
			t.Errorf("AtHead = %v", err)
		}
	})
}

// TestSlowAsker: commits go on while somebody looks at the index.
func TestSlowAsker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		started := time.Now()
		done := make(chan error, 1)
		go func() {
			done <- f.seq.AtHead(t.Context(), func(sequencer.Head, *index.Tree) { time.Sleep(10 * time.Second) })
		}()
		synctest.Wait()
		for n := range 20 {
			f.submit(n)
		}
		if waited := time.Since(started); waited > 0 {
			t.Errorf("20 commits took %s", waited)
		}
		f.must(<-done)
		_, err := f.atHead(t.Context(), nil)
		f.must(err)
	})
}
