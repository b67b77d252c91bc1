// SPDX-License-Identifier: EUPL-1.2

package sequencer_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// TestRandomRuns does at random what a ledger lives through, and after each
// step reads the whole log again.
func TestRandomRuns(t *testing.T) {
	seeds, steps := uint64(3), 50
	if testing.Short() {
		seeds, steps = 1, 25
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 7))
		f := newFixture(t, func(c *sequencer.Config) { c.MaxBatch = 1 + r.IntN(40) })
		next := 0
		places := map[int]uint64{}
		for step := range steps {
			switch r.IntN(8) {
			case 0:
				f.restart()
			case 1:
				f.powerCut()
			case 2:
				_, err := f.seq.Head(t.Context())
				f.must(err)
			case 3:
				f.record("ente_" + string(rune('a'+step%26)))
			case 4: // what was sent before comes again
				for n, first := range places {
					if c := f.submit(n); !c.Replayed || c.First != first {
						t.Fatalf("seed %d, step %d: submission %d is at %d, sent again at %d", seed, step, n, first, c.First)
					}
				}
			default: // many at once
				var g sync.WaitGroup
				var mu sync.Mutex
				for range 1 + r.IntN(30) {
					p := f.pending(next, nodetest.Access{})
					n := next
					next++
					g.Go(func() {
						c, err := f.seq.Submit(context.Background(), p)
						if err != nil {
							t.Errorf("seed %d, step %d: %v", seed, step, err)
							return
						}
						mu.Lock()
						places[n] = c.First
						mu.Unlock()
					})
				}
				g.Wait()
			}
			seen := f.audit()
			if len(seen.Receipts) != len(places) || t.Failed() {
				t.Fatalf("seed %d, step %d: %d receipts in the log, %d acknowledged", seed, step, len(seen.Receipts), len(places))
			}
		}
	}
}

func TestAcknowledged(t *testing.T) {
	f := newFixture(t, nil)
	for n := range 20 {
		p := f.pending(n, nodetest.Access{})
		c, err := f.seq.Submit(t.Context(), p)
		f.must(err)
		cp, err := checkpoint.Open(c.Latest.Checkpoint, f.verifier)
		if err != nil || cp.Size != c.Latest.Root.Size || cp.Root != c.Latest.Root.Hash {
			t.Fatalf("submission %d: a checkpoint of %+v, %v, expected %+v", n, cp, err, c.Latest.Root)
		}
		if c.Replayed || c.Count != len(p.Subjects) || len(c.Events) != c.Count || cp.Size < c.First+uint64(c.Count) {
			t.Fatalf("submission %d of %d subjects: %d at %d, %d events, log size %d", n, len(p.Subjects), c.Count, c.First, len(c.Events), cp.Size)
		}
		leaves, err := f.shard.Leaves(t.Context(), c.First, uint64(c.Count))
		f.must(err)
		for i, e := range c.Events {
			if !slices.Equal(e.Leaf, leaves[i]) {
				t.Errorf("submission %d: the log has another leaf at %d", n, c.First+uint64(i))
			}
			event, err := ledger.ParseLeaf(e.Leaf)
			f.must(err)
			want := ledger.Event{
				Epoch: f.epoch, SubjectTag: ledger.SubjectTag(&p.Subjects[i].K, e.I), AgencyTag: ledger.AgencyTag(&p.AgencyK, e.J),
				Commitment: ledger.BodyCommitment(&e.Nonce, e.Body),
			}
			if event != want {
				t.Errorf("submission %d, entry %d: the leaf isn't made of what was acknowledged", n, i)
			}
			proof, err := f.shard.Inclusion(t.Context(), c.First+uint64(i), cp.Size)
			f.must(err)
			if err := (checkpoint.Proof{Index: c.First + uint64(i), Hashes: proof}).Check(ledger.HashLeaf(e.Leaf), cp); err != nil {
				t.Errorf("submission %d, entry %d: %v", n, i, err)
			}
		}
	}
	f.audit()
}

// TestIdentity sends submission 1 first, and then again or changed: before it
// is committed, in the same batch, after it, after a restart.
func TestIdentity(t *testing.T) {
	changed := nodetest.Access{Purpose: "Un'altra finalità"}
	for _, when := range []string{"same batch", "later batch", "restart", "power cut"} {
		t.Run(when, func(t *testing.T) {
			g := &gate{}
			f := newFixture(t, func(c *sequencer.Config) { c.Step = g.at })
			wait, release := g.hold("numbered")
			zero := f.submitBesideHeld(wait, f.pending(0, nodetest.Access{}))
			first := f.submitBeside(f.pending(1, nodetest.Access{}))
			var again, other <-chan outcome
			if when == "same batch" {
				again = f.submitBeside(f.pending(1, nodetest.Access{}))
				other = f.submitBeside(f.pending(1, changed))
			}
			release()
			if o := <-zero; o.err != nil {
				t.Fatal(o.err)
			}
			original := <-first
			if original.err != nil || original.Replayed || original.Count != 1 {
				t.Fatalf("the first: %+v", original)
			}
			switch when {
			case "restart":
				f.restart()
			case "power cut":
				f.powerCut()
			}
			if when != "same batch" {
				again = f.start(f.pending(1, nodetest.Access{}))
				other = f.start(f.pending(1, changed))
			}
			if o := <-again; o.err != nil || !o.Replayed || o.First != original.First || o.Count != 1 || o.Latest.Root.Size <= original.First {
				t.Errorf("the same again: %+v, expected a replay of %d", o, original.First)
			}
			if o := <-other; !errors.Is(o.err, sequencer.ErrConflict) {
				t.Errorf("another payload: %+v, expected a conflict", o)
			}
			// The same jti of another body is another submission.
			mine := f.pending(1, nodetest.Access{Provider: nodetest.Alone})
			c, err := f.seq.Submit(t.Context(), mine)
			if err != nil || c.Replayed {
				t.Errorf("the same jti of another iss: %+v, %v", c, err)
			}
			if seen := f.audit(); len(seen.Receipts) != 3 {
				t.Errorf("%d receipts, expected 3", len(seen.Receipts))
			}
		})
	}
}

// submitBesideHeld submits and waits until the gate holds its commit.
func (f *fixture) submitBesideHeld(wait func(), p *sequencer.Pending) <-chan outcome {
	result := f.start(p)
	wait()
	return result
}

func TestMoved(t *testing.T) {
	g := &gate{}
	f := newFixture(t, func(c *sequencer.Config) { c.Step = g.at })
	old := f.pending(0, nodetest.Access{})
	f.record("ente_a")
	if _, err := f.seq.Submit(t.Context(), old); !errors.Is(err, sequencer.ErrMoved) {
		t.Errorf("checked before the last record: %v", err)
	}
	// A record between two submissions of one batch: the first stands, the
	// second was checked against an older registry.
	wait, release := g.hold("numbered")
	held := f.submitBesideHeld(wait, f.pending(1, nodetest.Access{}))
	before := f.submitBeside(f.pending(2, nodetest.Access{}))
	after := f.pending(3, nodetest.Access{})
	recorded := make(chan error, 1)
	go func() {
		_, err := f.seq.Record(context.Background(), bodyRecord(t, "ente_b"))
		recorded <- err
	}()
	f.queued(2)
	moved := f.submitBeside(after)
	release()
	if err := errors.Join((<-held).err, (<-before).err, <-recorded); err != nil {
		t.Fatal(err)
	}
	if o := <-moved; !errors.Is(o.err, sequencer.ErrMoved) {
		t.Errorf("behind a record in its batch: %v", o.err)
	}
	after.Version = f.registry.Version()
	if _, err := f.seq.Submit(t.Context(), after); err != nil {
		t.Errorf("checked again: %v", err)
	}
	f.audit()
}

func TestRecords(t *testing.T) {
	f := newFixture(t, nil)
	size := f.shard.Root().Size
	good, bad := bodyRecord(t, "ente_a"), []byte(`{"kind":"body","id":"MAIUSCOLO","name":"x"}`)
	var problem *ledger.Problem
	if _, err := f.seq.Record(t.Context(), good, bad, good); !errors.As(err, &problem) {
		t.Errorf("a record that the registry refuses: %v", err)
	}
	if got := f.shard.Root().Size; got != size+1 {
		t.Errorf("the log has %d leaves, expected the one before the refused record: %d", got, size+1)
	}
	if _, err := f.seq.Record(t.Context(), bad); !errors.As(err, &problem) || f.shard.Root().Size != size+1 {
		t.Errorf("a refused record alone: %v", err)
	}
	if _, err := f.seq.Record(t.Context()); err == nil {
		t.Error("no record at all was taken")
	}
	if at, err := f.seq.Record(t.Context(), bodyRecord(t, "ente_b"), bodyRecord(t, "ente_c")); err != nil || at != size+1 {
		t.Errorf("two records at %d, %v, expected %d", at, err, size+1)
	}
	f.audit()
}

func TestBusy(t *testing.T) {
	g := &gate{}
	f := newFixture(t, func(c *sequencer.Config) { c.Step, c.MaxQueue = g.at, 6 })
	wait, release := g.hold("numbered")
	held := f.submitBesideHeld(wait, f.pending(0, nodetest.Access{}))
	a := f.submitBeside(f.pending(1, nodetest.Access{Subjects: 4}))
	b := f.submitBeside(f.pending(2, nodetest.Access{Subjects: 2}))
	size := f.shard.Root().Size
	for n := range 50 {
		if _, err := f.seq.Submit(t.Context(), f.pending(100+n, nodetest.Access{})); !errors.Is(err, sequencer.ErrBusy) {
			t.Fatalf("with a full queue: %v", err)
		}
	}
	if _, err := f.seq.Record(t.Context(), bodyRecord(t, "ente_a")); !errors.Is(err, sequencer.ErrBusy) {
		t.Errorf("a record with a full queue: %v", err)
	}
	if f.seq.Queued() != 6 || f.shard.Root().Size != size {
		t.Errorf("%d leaves wait and the log has %d, expected 6 and %d", f.seq.Queued(), f.shard.Root().Size, size)
	}
	release()
	if err := errors.Join((<-held).err, (<-a).err, (<-b).err); err != nil {
		t.Fatal(err)
	}
	// One larger than the whole queue goes through when nothing waits.
	if c, err := f.seq.Submit(t.Context(), f.pending(3, nodetest.Access{Subjects: 30})); err != nil || c.Count != 30 {
		t.Errorf("30 subjects: %+v, %v", c, err)
	}
	if f.seq.Queued() != 0 {
		t.Errorf("%d leaves wait in an empty queue", f.seq.Queued())
	}
	f.audit()
}

// TestGaveUp: a caller that no longer waits undoes nothing.
func TestGaveUp(t *testing.T) {
	g := &gate{}
	f := newFixture(t, func(c *sequencer.Config) { c.Step = g.at })
	wait, release := g.hold("durable")
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := f.seq.Submit(ctx, f.pending(0, nodetest.Access{}))
		result <- err
	}()
	wait()
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	release()
	if c := f.submit(0); !c.Replayed {
		t.Errorf("sent again: %+v", c)
	}
	f.audit()
}

func TestClose(t *testing.T) {
	g := &gate{}
	f := newFixture(t, func(c *sequencer.Config) { c.Step = g.at })
	wait, release := g.hold("numbered")
	waiting := []<-chan outcome{f.submitBesideHeld(wait, f.pending(0, nodetest.Access{}))}
	for n := 1; n < 40; n++ {
		waiting = append(waiting, f.submitBeside(f.pending(n, nodetest.Access{})))
	}
	closed := make(chan error, 1)
	go func() { closed <- f.seq.Close() }()
	late := f.pending(1000, nodetest.Access{})
	for { // until Close has shut the gate
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := f.seq.Submit(ctx, late); errors.Is(err, sequencer.ErrClosed) {
			break
		}
	}
	release()
	for n, result := range waiting {
		if o := <-result; o.err != nil {
			t.Errorf("submission %d, taken before Close: %v", n, o.err)
		}
	}
	f.must(<-closed)
	if _, err := f.seq.Submit(t.Context(), late); !errors.Is(err, sequencer.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	f.must(f.seq.Close())
	seen := f.audit()
	heads := seen.Report.Heads
	if last := heads[len(heads)-1]; last.Leaf+1 != uint64(len(seen.Leaves)) {
		t.Errorf("the last head is leaf %d of %d", last.Leaf, len(seen.Leaves))
	}
	if len(seen.Receipts) < 40 {
		t.Errorf("%d receipts, expected 40 or one more", len(seen.Receipts))
	}
	// Nothing new: no further head.
	size := f.shard.Root().Size
	f.restart()
	f.must(f.seq.Close())
	if got := f.shard.Root().Size; got != size {
		t.Errorf("a restart without events grew the log from %d to %d", size, got)
	}
}

// TestCloseUnderLoad closes while submitters go on: each is recorded and told
// so, or refused and not recorded.
func TestCloseUnderLoad(t *testing.T) {
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		f := newFixture(t, func(c *sequencer.Config) { c.MaxQueue = 30 })
		var g sync.WaitGroup
		var mu sync.Mutex
		acknowledged := 0
		enough := make(chan struct{})
		for from := range 8 {
			var mine []*sequencer.Pending
			for n := range 60 {
				mine = append(mine, f.pending(from*1000+n, nodetest.Access{}))
			}
			g.Go(func() {
				for _, p := range mine {
					_, err := f.seq.Submit(context.Background(), p)
					switch {
					case err == nil:
						mu.Lock()
						if acknowledged++; acknowledged == 100 {
							close(enough)
						}
						mu.Unlock()
					case errors.Is(err, sequencer.ErrBusy):
					case errors.Is(err, sequencer.ErrClosed):
						return
					default:
						t.Error(err)
						return
					}
				}
			})
		}
		<-enough
		f.must(f.seq.Close())
		g.Wait()
		if seen := f.audit(); len(seen.Receipts) != acknowledged {
			t.Fatalf("%d receipts in the log, %d acknowledged", len(seen.Receipts), acknowledged)
		}
	}
}
