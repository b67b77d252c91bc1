// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// retireYears destroys the VRF and handle keys of each past year whose last
// event's retention ended (formats §6), and then takes away what only they gave
// a meaning. The years go in order: a history shows years without a gap, so one
// that a legal hold keeps keeps the years after it.
func (n *Node) retireYears(ctx context.Context) error {
	years := n.all()
	for _, y := range years[:len(years)-1] {
		if !y.gone {
			if over, err := n.isOver(ctx, y); err != nil || !over {
				return err
			}
			if err := n.keys.DestroyEpoch(y.epoch); err != nil {
				return err
			}
			n.step("retention: year destroyed")
			after, err := n.openYear(ctx, y.epoch)
			if err == nil {
				err = after.begin(ctx)
			}
			if err != nil {
				return err
			}
			n.changeYears(func(years []*year) []*year {
				years[slices.Index(years, y)] = after
				return years
			})
			if err := y.seq.Close(); err != nil {
				return err
			}
			n.opt.Log.Info("a year's keys destroyed, the retention of its last event is over", "origin", y.origin)
		}
		if err := n.removeYear(ctx, y.epoch); err != nil {
			return fmt.Errorf("couldn't remove the rows of %d: %w", y.epoch, err)
		}
	}
	return nil
}

// isOver says whether nothing of a past year is kept any more. It is shown until
// an event at its very end wouldn't be kept, whenever its last one came: that is
// all that a reader of a history can tell.
func (n *Node) isOver(ctx context.Context, y *year) (bool, error) {
	ofYear := func(month string) bool { return epochOfMonth(month) == y.epoch }
	if slices.ContainsFunc(n.keys.Months(), ofYear) {
		return false, nil
	}
	if kept, err := n.keepsBody(ctx, y); err != nil || kept {
		return false, err
	}
	var until time.Time
	err := n.withSnapshot(ctx, func(snap store.Reader) (err error) {
		until, err = n.keptUntil(ctx, headsOf(snap, y.shard, y.epoch), fmt.Sprintf("%04d-12", y.epoch))
		return err
	})
	return !until.IsZero() && n.opt.now().After(until.Add(grace)), err
}

// keepsBody says whether an event of a past year still opens: the keys of some
// are under those of later months.
func (n *Node) keepsBody(ctx context.Context, y *year) (bool, error) {
	found := errors.New("found")
	err := n.withSnapshot(ctx, func(snap store.Reader) error {
		from, to := rows.LeafKey(y.epoch, y.firstBody), rows.LeafKey(y.epoch+1, 0)
		return snap.Scan(ctx, store.TableBody, from, to, 0, func(key, value []byte) error {
			if !rows.HasBody(value) {
				return nil
			}
			_, index, err := rows.ParseLeafKey(key)
			if err != nil {
				return err
			}
			event, err := rows.ParseEvent(&y.handle, y.epoch, index, value)
			if err != nil {
				return err
			}
			// Of an erased one the body stays, and nothing opens it.
			if wrap, err := snap.Get(ctx, store.TableWrap, event.Handle[:]); err != nil || wrap == nil {
				return err
			}
			y.firstBody = index // those before it are gone for ever
			return found
		})
	})
	if errors.Is(err, found) {
		return true, nil
	}
	return false, err
}

// removeYear takes away the rows that say who and how often: those of receipts
// stay, for who sends one again.
func (n *Node) removeYear(ctx context.Context, epoch uint32) error {
	removed := &removal{n: n}
	err := n.withSnapshot(ctx, func(snap store.Reader) error {
		from := binary.BigEndian.AppendUint32(nil, epoch)
		for _, table := range []store.Table{store.TableBody, store.TablePrivate, store.TableLookUp, store.TableConsent, store.TableCounter, store.TableLeft, store.TableDayKey} {
			err := snap.Scan(ctx, table, from, store.After(from), 0, func(key, _ []byte) error {
				if table == store.TableCounter && !rows.IsRunning(key) {
					return nil
				}
				return removed.add(ctx, store.Row{Table: table, Key: slices.Clone(key)})
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return removed.flush(ctx)
}
