// SPDX-License-Identifier: EUPL-1.2

package sequencer_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// heads returns what the log's heads say, after an audit that checks them.
func (f *fixture) heads() []ledger.Head {
	f.t.Helper()
	var heads []ledger.Head
	for _, b := range f.audit().Leaves {
		leaf, err := ledger.ParseLeaf(b)
		f.must(err)
		if h, ok := leaf.(ledger.Head); ok {
			heads = append(heads, h)
		}
	}
	return heads
}

func TestHeadsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		if heads := f.heads(); len(heads) != 1 || heads[0].Keys != 0 || f.shard.Root().Size != 2 {
			t.Fatalf("a new shard has %d heads and %d leaves, expected a head right after the preamble", len(heads), f.shard.Root().Size)
		}
		// An event at any moment is under a head 25 s later, and one head
		// covers all that came meanwhile.
		for round := range 5 {
			time.Sleep(time.Duration(round) * 7 * time.Second)
			begun := len(f.heads())
			f.submit(10 * round)
			time.Sleep(24 * time.Second)
			f.submit(10*round + 1)
			synctest.Wait()
			if got := len(f.heads()); got != begun {
				t.Errorf("round %d: a head 24 s after an event", round)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			heads := f.heads()
			if len(heads) != begun+1 {
				t.Fatalf("round %d: %d heads 25 s after an event, expected %d", round, len(heads), begun+1)
			}
			last := heads[len(heads)-1]
			if events := f.audit().Report.Events; last.Keys != 2*events {
				t.Errorf("round %d: the head covers %d keys of %d events", round, last.Keys, events)
			}
			if at := time.UnixMilli(int64(last.UnixMS)); at.After(time.Now()) || time.Since(at) > time.Second || !f.seq.LastHead().Equal(at) {
				t.Errorf("round %d: the head says %s at %s", round, at, time.Now())
			}
		}
		// Idle: a head every 4 minutes, not more.
		begun := len(f.heads())
		time.Sleep(20*time.Minute + time.Second)
		synctest.Wait()
		if got := len(f.heads()) - begun; got != 5 {
			t.Errorf("%d heads in 20 idle minutes, expected 5", got)
		}
	})
}

// TestHeadsGrow asks for heads faster than milliseconds pass.
func TestHeadsGrow(t *testing.T) {
	c := &clock{now: time.Now()}
	f := newFixture(t, func(cfg *sequencer.Config) { cfg.Now = c.Now })
	for n := range 20 {
		_, err := f.seq.Head(t.Context())
		f.must(err)
		f.submit(n)
		if n%5 == 4 {
			f.restart()
		}
	}
	heads := f.heads() // audited: they grow strictly
	if want := uint64(c.Now().UnixMilli()) + 24; heads[len(heads)-1].UnixMS > want {
		t.Errorf("%d heads in no time at all reach %d, expected at most %d", len(heads), heads[len(heads)-1].UnixMS, want)
	}
}

// TestHeadAfterRestart: what a crash left without a head gets one in time.
func TestHeadAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.submit(1)
		time.Sleep(10 * time.Second)
		f.powerCut()
		begun := len(f.heads())
		time.Sleep(25 * time.Second)
		synctest.Wait()
		if got := len(f.heads()); got != begun+1 {
			t.Errorf("%d heads 25 s after a restart, expected %d", got, begun+1)
		}
	})
}

func TestClockSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &clock{now: time.Now().Add(time.Hour)}
		f := newFixture(t, func(cfg *sequencer.Config) { cfg.Now = c.Now })
		f.submit(0)
		before := f.audit().LastMS

		c.add(-sequencer.MaxClockStep)
		f.submit(1)
		if got := f.audit().LastMS; got != before {
			t.Errorf("recorded at %d with a clock within the step, expected %d", got, before)
		}
		for _, restart := range []bool{false, true} {
			if restart {
				f.restart() // what was recorded last is known beyond a restart
			}
			c.add(-time.Millisecond)
			size := f.shard.Root().Size
			if _, err := f.seq.Submit(t.Context(), f.pending(2, nodetest.Access{})); !errors.Is(err, sequencer.ErrClock) {
				t.Errorf("restart %v: behind by more than the step: %v", restart, err)
			}
			if _, err := f.seq.Head(t.Context()); !errors.Is(err, sequencer.ErrClock) {
				t.Errorf("restart %v: a head behind by more than the step: %v", restart, err)
			}
			if _, err := f.seq.Record(t.Context(), bodyRecord(t, "ente_a")); !errors.Is(err, sequencer.ErrClock) {
				t.Errorf("restart %v: a record behind by more than the step: %v", restart, err)
			}
			if f.shard.Root().Size != size || f.seq.Err() != nil {
				t.Errorf("restart %v: the log grew, or the sequencer stopped: %v", restart, f.seq.Err())
			}
		}
		// It asks the clock again now and then, not all the time.
		reads := c.count()
		time.Sleep(time.Minute)
		if got := c.count() - reads; got > 300 {
			t.Errorf("the clock was read %d times in a minute", got)
		}
		c.add(time.Second)
		f.submit(2)
		c.add(time.Hour)
		f.submit(3)
		if got, want := f.audit().LastMS, uint64(c.Now().UnixMilli()); got != want {
			t.Errorf("once the clock is right: recorded at %d, expected %d", got, want)
		}
		// A clock that is behind at the start and is set right doesn't put a
		// head off beyond its time.
		c.add(-10 * time.Minute)
		f.restart()
		begun := len(f.heads())
		time.Sleep(time.Minute)
		c.add(11 * time.Minute)
		time.Sleep(3*time.Minute + 2*time.Second)
		synctest.Wait()
		if got := len(f.heads()); got != begun+1 {
			t.Errorf("%d heads 4 minutes after the start, expected %d", got, begun+1)
		}
	})
}

func TestYearOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &clock{now: time.Date(time.Now().Year(), 12, 31, 23, 59, 59, 990e6, time.UTC)}
		f := newFixture(t, func(cfg *sequencer.Config) { cfg.Now = c.Now })
		f.submit(0)
		c.add(9 * time.Millisecond)
		f.submit(1)
		// The year's last millisecond is taken: no head may follow in it.
		if _, err := f.seq.Head(t.Context()); !errors.Is(err, sequencer.ErrYearOver) {
			t.Errorf("a head that would lie in the next year: %v", err)
		}
		c.add(time.Millisecond)
		size := f.shard.Root().Size
		if _, err := f.seq.Submit(t.Context(), f.pending(2, nodetest.Access{})); !errors.Is(err, sequencer.ErrYearOver) {
			t.Errorf("a submission in the next year: %v", err)
		}
		reads := c.count()
		time.Sleep(10 * time.Minute)
		if got := c.count() - reads; got > 3000 {
			t.Errorf("the clock was read %d times in ten minutes", got)
		}
		if _, err := f.seq.Submit(t.Context(), f.pending(0, nodetest.Access{})); !errors.Is(err, sequencer.ErrYearOver) || f.shard.Root().Size != size {
			t.Errorf("later: %v, log size %d, expected %d", err, f.shard.Root().Size, size)
		}
		f.must(f.seq.Close())
	})
}

// TestNoFirstHead: a shard that can't get its first head isn't opened, so that
// no event comes before it.
func TestNoFirstHead(t *testing.T) {
	c := &clock{now: time.Now().AddDate(-1, 0, 0)}
	f := newLog(t, func(cfg *sequencer.Config) { cfg.Now = c.Now })
	if err := f.open(); !errors.Is(err, sequencer.ErrYearOver) {
		t.Fatalf("a new shard in another year: %v", err)
	}
	c.add(time.Since(c.Now()))
	f.mustOpen()
	f.submit(0)
	f.audit()
	f.must(f.seq.Close())
	f.must(f.db.Close())
}

// TestWrongIndex builds logs by hand whose last head isn't what the leaves give.
func TestWrongIndex(t *testing.T) {
	event := func(f *fixture, n byte) ledger.Event {
		return ledger.Event{Epoch: f.epoch, SubjectTag: ledger.Hash{n, 1}, AgencyTag: ledger.Hash{n, 2}, Commitment: ledger.Hash{n}}
	}
	head := func(f *fixture, ms uint64) ledger.Head {
		return ledger.Head{Epoch: f.epoch, Scopes: ledger.ScopesHash(nil), UnixMS: ms}
	}
	for _, c := range []struct {
		name string
		fill func(f *fixture)
		want error
	}{
		{"right", func(f *fixture) { f.append(head(f, 1)) }, nil},
		{"another root", func(f *fixture) { h := head(f, 1); h.Root[5] ^= 1; f.append(h) }, sequencer.ErrIndex},
		{"more keys", func(f *fixture) { h := head(f, 1); h.Keys = 1; f.append(h) }, sequencer.ErrIndex},
		{"without the event before it", func(f *fixture) { f.append(head(f, 1), event(f, 1), head(f, 2)) }, sequencer.ErrIndex},
		{"an event after it", func(f *fixture) { f.append(head(f, 1), event(f, 1)) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newLog(t, nil)
			c.fill(f)
			err := f.open()
			if !errors.Is(err, c.want) {
				t.Errorf("opened with %v, expected %v", err, c.want)
			}
			if err == nil {
				f.must(f.seq.Close())
			}
			f.must(f.db.Close())
		})
	}
}
