// SPDX-License-Identifier: EUPL-1.2

package sequencer

import (
	"context"
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// checkClock refuses to record with a clock that can't be right.
func (s *Sequencer) checkClock(now time.Time) error {
	if s.finished.Load() {
		return fmt.Errorf("%w: it has its final head", ErrYearOver)
	}
	if behind := time.UnixMilli(int64(s.lastMS)).Sub(now); behind > MaxClockStep {
		return fmt.Errorf("%w: it is %s behind the last recorded instant", ErrClock, behind.Round(time.Second))
	}
	if s.ending {
		return nil
	}
	// Heads grow by a millisecond at least: the next may lie beyond the clock.
	next := max(now.UnixMilli(), int64(s.lastMS)+1)
	if year := ledger.EpochOf(time.UnixMilli(next)); year != s.Epoch {
		return fmt.Errorf("%w: the shard is %d's, the clock says %d", ErrYearOver, s.Epoch, year)
	}
	return nil
}

// resumeClock makes recorded instants go on from the last event's.
func (s *Sequencer) resumeClock(ctx context.Context) error {
	snap, err := s.Rows.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("couldn't read the store: %w", err)
	}
	defer snap.Close()
	last, err := snap.Get(ctx, store.TableCounter, lastInstantKey(s.Epoch))
	if err != nil {
		return fmt.Errorf("couldn't read the last recorded instant: %w", err)
	}
	ms, err := rows.ParseCounter(last, 8)
	if err != nil {
		return fmt.Errorf("couldn't read the last recorded instant: %w", err)
	}
	s.lastMS = max(s.lastMS, ms)
	return nil
}

// lastInstantKey keeps the recorded_at of the last commit beside the
// counters, so that time doesn't go back over a restart.
func lastInstantKey(epoch uint32) []byte {
	return append(rows.LeafKey(epoch, 0)[:4], 't')
}

// untilHead says how long the shard may go on without a head. Those who wait
// for one get it at once, but not a second one within a second.
func (s *Sequencer) untilHead() time.Duration {
	if s.asked = s.asked && (!s.uncovered.IsZero() || s.Err() != nil); s.asked {
		return min(s.untilDue(), max(time.Until(s.ownHead.Add(time.Second)), 0))
	}
	return s.untilDue()
}

func (s *Sequencer) untilDue() time.Duration {
	switch {
	case s.Err() != nil, s.finished.Load():
		return time.Hour
	case s.clockWrong:
		return time.Second // no head until it is right
	}
	now := s.Now()
	due := time.UnixMilli(int64(s.lastHead)).Add(s.HeadEvery)
	if !s.uncovered.IsZero() {
		if d := s.uncovered.Add(s.HeadAfter); d.Before(due) {
			due = d
		}
	}
	// A clock that went back doesn't put a head off for longer.
	return min(max(due.Sub(now), 0), s.HeadEvery)
}
