// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// DefaultTerm is the term of retention, in calendar months, that a new ledger publishes.
const DefaultTerm = 24

// grace is how long after its retention ended a month is destroyed: by then every history shows a later cosignature, so
// that its reader finds the ground.
const grace = 24 * time.Hour

// retentionRecord is the public record of the term in force from its place in the log on.
//
//	{"kind":"retention","months":24}
func retentionRecord(months int) ([]byte, error) {
	if months < 1 || months > history.MaxMonths {
		return nil, &ledger.Problem{Code: "bad_term", Where: "months", Expected: fmt.Sprintf("1 to %d months", history.MaxMonths), Found: fmt.Sprint(months)}
	}
	return json.Marshal(struct {
		Kind   string `json:"kind"`
		Months int    `json:"months"`
	}{history.KindRetention, months})
}

// SetTerm publishes another term and returns its record's index. A shorter one is for what is recorded after it; a longer
// one is for what is already there too.
func (n *Node) SetTerm(ctx context.Context, months int) (uint64, error) {
	record, err := retentionRecord(months)
	if err != nil {
		return 0, err
	}
	return n.append(ctx, record)
}

// SetHold puts a month under a legal hold: nothing of it is erased or destroyed until EndHold.
func (n *Node) SetHold(h keys.Hold) error {
	n.erasing.Lock()
	defer n.erasing.Unlock()
	return n.keys.SetHold(h)
}

// EndHold ends a month's legal hold.
func (n *Node) EndHold(month string) error {
	n.erasing.Lock()
	defer n.erasing.Unlock()
	return n.keys.EndHold(month)
}

// KeptMonth is a month whose events open.
type KeptMonth struct {
	Month string
	Until time.Time // when the retention of its last event ends; zero while that isn't known
	Hold  string    // the reason of its legal hold, ""
	Due   bool      // its retention ended, and nothing holds it
}

// Retention says what is kept for how long.
type Retention struct {
	Term      int    // in force, in months; 0 without a record
	Record    uint64 // index of its record
	Months    []KeptMonth
	Holds     []keys.Hold
	Destroyed []string // months destroyed by this call
}

// Retention lists the months that are kept and until when. With apply it destroys those that are due: their keys first,
// then the wrapped keys, bodies and private parts; leaves, numbers and receipts' digests stay. What an error or a crash
// interrupts is finished when the ledger is opened next.
func (n *Node) Retention(ctx context.Context, apply bool) (*Retention, error) {
	done, err := n.use()
	if err != nil {
		return nil, err
	}
	defer done()
	n.erasing.Lock()
	defer n.erasing.Unlock()
	r, err := n.retention(ctx)
	if err != nil || !apply {
		return r, err
	}
	ctx = context.WithoutCancel(ctx)
	destroyed := []string{}
	for _, m := range r.Months {
		if !m.Due {
			continue
		}
		if err := n.keys.DestroyMonth(m.Month); err != nil {
			return nil, err
		}
		destroyed = append(destroyed, m.Month)
		n.step("retention: destroyed")
	}
	if len(destroyed) == 0 {
		return r, nil
	}
	if err := errors.Join(n.forget(ctx, nil, func() error { return nil }), n.finishRetention(ctx)); err != nil {
		return nil, err
	}
	if r, err = n.retention(ctx); err != nil {
		return nil, err
	}
	r.Destroyed = destroyed
	return r, nil
}

func (n *Node) retention(ctx context.Context) (*Retention, error) {
	r := &Retention{Months: []KeptMonth{}, Holds: n.keys.Holds(), Destroyed: []string{}}
	holds := map[string]string{}
	for _, h := range r.Holds {
		holds[h.Month] = h.Reason
	}
	snap, err := n.rows.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	e, err := engine.New(n.rows)
	if err != nil {
		return nil, err
	}
	var shard *heads
	for _, month := range n.keys.Months() {
		epoch := epochOfMonth(month)
		if shard == nil || shard.epoch != epoch {
			opened, err := e.OpenShard(ctx, epoch)
			if errors.Is(err, engine.ErrNoShard) {
				continue
			} else if err != nil {
				return nil, err
			}
			shard = headsOf(snap, opened, epoch)
		}
		m := KeptMonth{Month: month, Hold: holds[month]}
		if m.Until, err = n.keptUntil(ctx, shard, month); err != nil {
			return nil, err
		}
		if m.Until, err = keptUnread(ctx, snap, month, m.Until); err != nil {
			return nil, err
		}
		m.Due = m.Hold == "" && !m.Until.IsZero() && n.opt.now().After(m.Until.Add(grace))
		r.Months = append(r.Months, m)
	}
	err = n.eachRecord(ctx, n.Epoch(), func(index uint64, record []byte) {
		if months, ok := history.ParseRetention(record); ok {
			r.Term, r.Record = months, index
		}
	})
	return r, err
}

// keptUntil returns when the retention of a month's last event ends: the first head after the month, which isn't before
// the head after that event, plus the term. Of the terms since the month's first event, the longest counts; zero if the
// month isn't over, or no term was in force.
func (n *Node) keptUntil(ctx context.Context, shard *heads, month string) (time.Time, error) {
	begin, end := monthSpan(month)
	after, err := shard.since(ctx, uint64(end.UnixMilli()))
	if err != nil {
		return time.Time{}, err
	}
	last := time.UnixMilli(int64(after.UnixMS)).UTC()
	if after.Leaf == 0 {
		if shard.epoch == n.Epoch() {
			return time.Time{}, nil
		}
		last = end // a shard's last head isn't later than its year
	}
	first, err := shard.since(ctx, uint64(begin.UnixMilli()))
	if err != nil {
		return time.Time{}, err
	}
	longest := 0
	for epoch := shard.epoch; epoch <= n.Epoch(); epoch++ {
		err := n.eachRecord(ctx, epoch, func(index uint64, record []byte) {
			months, ok := history.ParseRetention(record)
			switch {
			case !ok:
			case epoch == shard.epoch && index < first.Before:
				longest = months // the one before it was replaced before the month began
			default:
				longest = max(longest, months)
			}
		})
		if err != nil {
			return time.Time{}, err
		}
	}
	if longest == 0 {
		return time.Time{}, nil
	}
	return last.AddDate(0, longest, 0), nil
}

// monthSpan returns the beginning of a month, and of the next.
func monthSpan(month string) (begin, end time.Time) {
	begin, err := time.Parse("2006-01", month)
	if err != nil {
		panic(err) // only for what seal.Month didn't make
	}
	return begin, begin.AddDate(0, 1, 0)
}

// finishRetention takes the rows of destroyed months out of the store, and then
// destroys the keys of years of which no month is left.
func (n *Node) finishRetention(ctx context.Context) error {
	var left []string
	err := n.withSnapshot(ctx, func(snap store.Reader) error {
		for _, month := range n.keys.DestroyedMonths() {
			if mark, err := readMark(ctx, snap, month); err != nil {
				return err
			} else if mark != rows.GoneVersion {
				left = append(left, month)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, month := range left {
		if err := n.removeBodies(ctx, month); err != nil {
			return fmt.Errorf("couldn't remove the bodies of %s: %w", month, err)
		}
		n.step("retention: bodies removed")
	}
	if len(left) > 0 {
		if err := n.removeWraps(ctx, left); err != nil {
			return fmt.Errorf("couldn't remove the wrapped keys of destroyed months: %w", err)
		}
		n.opt.Log.Info("months destroyed, their retention is over", "months", left)
	}
	return n.retireYears(ctx)
}

func (n *Node) withSnapshot(ctx context.Context, f func(store.Reader) error) error {
	snap, err := n.rows.Snapshot(ctx)
	if err != nil {
		return err
	}
	return errors.Join(f(snap), snap.Close())
}

// reading is withSnapshot for a caller of the node: the store stays open until f is
// done.
func (n *Node) reading(ctx context.Context, f func(store.Reader) error) error {
	done, err := n.use()
	if err != nil {
		return err
	}
	defer done()
	return n.withSnapshot(ctx, f)
}

// monthAfter is the calendar month after one like 2026-11.
func monthAfter(month string) string {
	_, end := monthSpan(month)
	return seal.Month(end)
}
