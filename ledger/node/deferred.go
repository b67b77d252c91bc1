// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// unread is how long a month is kept after the notices of its accesses were due, so that the citizen can ask for them.
const unread = 6 // months

// deferredUntil is when the lists of ScopeDeferred of a year are given to their citizens: by itself, when the year is over
// and the last of its orders has ended (formats §5). Before, the key of one would tell of what is still put off.
func deferredUntil(ctx context.Context, from store.Reader, epoch uint32) (time.Time, error) {
	due := time.Date(int(epoch)+1, time.January, 1, 0, 0, 0, 0, time.UTC)
	prefix := rows.DeferredKey(fmt.Sprintf("%04d-", epoch))
	err := from.Scan(ctx, store.TableCounter, prefix, store.After(prefix), 0, func(_, value []byte) error {
		ms, err := rows.ParseCounter(value, 8)
		if until := time.UnixMilli(int64(ms)).UTC(); until.After(due) {
			due = until
		}
		return err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("couldn't read until when notices are put off: %w", err)
	}
	if limit := ledger.DeferralLimit(epoch); due.After(limit) {
		due = limit
	}
	return due, nil
}

// keptUnread is when a month may be destroyed: not before the citizen could read accesses of it whose notice was put off.
func keptUnread(ctx context.Context, from store.Reader, month string, until time.Time) (time.Time, error) {
	row, err := from.Get(ctx, store.TableCounter, rows.DeferredKey(month))
	if err != nil || row == nil || until.IsZero() {
		return until, err
	}
	due, err := deferredUntil(ctx, from, epochOfMonth(month))
	if due = due.AddDate(0, unread, 0); due.After(until) {
		until = due
	}
	return until, err
}

// withheld is deferredUntil while that lies ahead, else the zero time.
func (y *year) withheld(ctx context.Context) (until time.Time, err error) {
	err = y.n.withSnapshot(ctx, func(snap store.Reader) error {
		until, err = deferredUntil(ctx, snap, y.epoch)
		return err
	})
	if err != nil || !y.n.opt.now().Before(until) {
		return time.Time{}, err
	}
	return until, nil
}
