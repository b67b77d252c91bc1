// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"fmt"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/statistics"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// The totals of a month (package statistics) are made from the agencies' counters as they stood at the heads with which it
// began and ended. They are written soon after it, in the log of the day; those of the last month of a year stand in the
// next year's log, for its leaves end with the final head.

// recordTotals writes the records of the months that are over and have none yet.
func (n *Node) recordTotals(ctx context.Context) error {
	n.telling.Lock()
	defer n.telling.Unlock()
	y := n.year()
	begun, err := n.monthsBegun(ctx, y.epoch)
	if err != nil {
		return err
	}
	now := n.opt.now()
	month := statistics.MonthOf(y.epoch, uint64(now.UnixMilli()), false)
	if ledger.EpochOf(now) == y.epoch && (len(begun) == 0 || begun[len(begun)-1].month < month) {
		if _, err := y.seq.Head(ctx); err != nil { // the month before ends with it
			return err
		}
	}
	records, err := n.untold(ctx, y)
	if err != nil || len(records) == 0 {
		return err
	}
	_, err = y.seq.Record(ctx, records...)
	return err
}

// monthBegun is a row about the head with which a month began.
type monthBegun struct {
	month int
	rows.MonthBegun
}

func (n *Node) monthsBegun(ctx context.Context, epoch uint32) (list []monthBegun, err error) {
	snap, err := n.rows.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	from := rows.MonthBegunKey(epoch, 0)
	err = snap.Scan(ctx, store.TableCounter, from, store.After(from[:5]), 0, func(key, value []byte) error {
		_, month, err := rows.ParseMonthBegunKey(key)
		if err != nil {
			return err
		}
		begun, err := rows.ParseMonthBegun(value)
		list = append(list, monthBegun{month, begun})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't read how months began: %w", err)
	}
	return list, nil
}

// untold makes the records of the months of y's log, and of the one before, that are over and that neither tells. Whoever
// writes them holds telling.
func (n *Node) untold(ctx context.Context, y *year) (records [][]byte, err error) {
	told := map[string]bool{}
	for _, epoch := range []uint32{y.epoch - 1, y.epoch} {
		err := n.eachRecord(ctx, epoch, func(_ uint64, record []byte) {
			if !statistics.Is(record) {
				return
			}
			if r, err := statistics.Parse(record); err == nil {
				told[(&statistics.Span{Origin: r.Origin, Month: r.Month}).Key()] = true
			}
		})
		if err != nil {
			return nil, err
		}
	}
	for _, epoch := range []uint32{y.epoch - 1, y.epoch} {
		totals, err := n.totals(ctx, epoch)
		if err != nil {
			return nil, err
		}
		for _, t := range totals {
			if told[t.Key()] {
				continue
			}
			parts, err := t.Format()
			if err != nil {
				return nil, err
			}
			records = append(records, parts...)
		}
	}
	return records, nil
}

// totals makes those of all months of an epoch that are over.
func (n *Node) totals(ctx context.Context, epoch uint32) (list []*statistics.Totals, err error) {
	begun, err := n.monthsBegun(ctx, epoch)
	if err != nil {
		return nil, err
	}
	var begins []statistics.Begin
	counts := map[uint64]map[string]uint64{} // by the head that ends the month
	for i, b := range begun {
		begins = append(begins, statistics.Begin{Month: b.month, Head: b.Head, Events: b.Events()})
		if i == 0 {
			continue
		}
		var ok bool
		if counts[b.Head], ok = b.Since(begun[i-1].MonthBegun); !ok {
			return nil, fmt.Errorf("%w: the agencies' counters go back at head %d", store.ErrDamaged, b.Head)
		}
	}
	for _, s := range statistics.Spans(ledger.Origin(n.Settings.Name, epoch), epoch, begins) {
		var of map[string]uint64
		if s.From != s.To {
			of = counts[s.To]
		}
		list = append(list, statistics.Make(s, of))
	}
	return list, nil
}
