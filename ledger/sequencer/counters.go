// SPDX-License-Identifier: EUPL-1.2

package sequencer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/statistics"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// putOff keeps until when notices of this month are put off, in the commit that
// puts one off: until the last of them nobody is given a key of ScopeDeferred.
func (b *batch) putOff(ctx context.Context, until time.Time) error {
	if until.IsZero() {
		return nil
	}
	key := rows.DeferredKey(seal.Month(time.UnixMilli(int64(b.ms))))
	before, err := b.count(ctx, key, 8)
	if err != nil {
		return err
	}
	b.counters[string(key)], b.widths[string(key)] = max(before, uint64(until.UnixMilli())), 8
	return nil
}

// count reads a counter as it stands in this batch.
func (b *batch) count(ctx context.Context, key []byte, width int) (uint64, error) {
	n, ok := b.counters[string(key)]
	if !ok {
		if n, ok = b.s.counters.Get(string(key)); !ok {
			row, err := b.snap.Get(ctx, store.TableCounter, key)
			if err != nil {
				return 0, fmt.Errorf("couldn't read a counter: %w", err)
			}
			if n, err = rows.ParseCounter(row, width); err != nil {
				return 0, fmt.Errorf("couldn't read a counter: %w", err)
			}
		}
	}
	return n, nil
}

// next gives the counter's next number.
func (b *batch) next(ctx context.Context, key []byte, width int) (uint64, error) {
	n, err := b.count(ctx, key, width)
	if err != nil {
		return 0, err
	}
	if width == 4 && n == math.MaxUint32 {
		return 0, errors.New("a subject's running numbers of the epoch are used up")
	}
	b.counters[string(key)], b.widths[string(key)] = n+1, width
	return n, nil
}

// monthBegun keeps, in the commit of the head with which a month begins, what the agencies' counters say: a head stands in a
// commit of its own, so the store has all of them. From two of these a month's totals are made, whatever crashed between.
func (b *batch) monthBegun(ctx context.Context, ms uint64) error {
	month := statistics.MonthOf(b.s.Epoch, ms, b.s.ending)
	if b.s.lastHead > 0 && month <= statistics.MonthOf(b.s.Epoch, b.s.lastHead, false) {
		return nil
	}
	begun := rows.MonthBegun{Head: b.size}
	prefix := rows.AgencyCounterKey(b.s.Epoch, "")
	err := b.snap.Scan(ctx, store.TableCounter, prefix, store.After(prefix), 0, func(key, value []byte) error {
		next, err := rows.ParseCounter(value, 8)
		begun.Next = append(begun.Next, rows.AgencyNext{Agency: string(key[len(prefix):]), Next: next})
		return err
	})
	if err != nil {
		return fmt.Errorf("couldn't read the agencies' counters: %w", err)
	}
	b.rows = append(b.rows, store.Row{Table: store.TableCounter, Key: rows.MonthBegunKey(b.s.Epoch, month), Value: rows.FormatMonthBegun(begun)})
	return nil
}
