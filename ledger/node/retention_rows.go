// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// removal collects deletions.
type removal struct {
	n     *Node
	write []store.Row
}

func (r *removal) add(ctx context.Context, row store.Row) error {
	if r.write = append(r.write, row); len(r.write) < rewrapBatch {
		return nil
	}
	select {
	case <-r.n.stop:
		return sequencer.ErrClosed
	default:
	}
	return r.flush(ctx)
}

func (r *removal) flush(ctx context.Context) error {
	write := r.write
	r.write = nil
	if len(write) == 0 {
		return nil
	}
	return r.n.rows.Commit(ctx, nil, write)
}

// removeBodies takes the sealed bodies and private parts of a destroyed month away. Of an event the running numbers are
// left, without the handle that ties it to others of its person. Beside the month's first and last head stand events that
// may be of the month next to it, and consents open for longer: there the wrap tells.
func (n *Node) removeBodies(ctx context.Context, month string) error {
	epoch := epochOfMonth(month)
	handle, err := n.keys.Handle(epoch)
	if errors.Is(err, keys.ErrDestroyed) || errors.Is(err, fs.ErrNotExist) {
		return nil // whoever destroyed it took the epoch's rows away
	} else if err != nil {
		return err
	}
	e, err := engine.New(n.rows)
	if err != nil {
		return err
	}
	shard, err := e.OpenShard(ctx, epoch)
	if errors.Is(err, engine.ErrNoShard) {
		return nil
	} else if err != nil {
		return err
	}
	return n.withSnapshot(ctx, func(snap store.Reader) error {
		begin, end := monthSpan(month)
		h := headsOf(snap, shard, epoch)
		first, err := h.since(ctx, uint64(begin.UnixMilli()))
		if err != nil || first.Leaf == 0 {
			return err
		}
		after, err := h.since(ctx, uint64(end.UnixMilli()))
		if err != nil {
			return err
		}
		inner, last := after.Before, after.Leaf
		if after.Leaf == 0 {
			inner, last = h.size, h.size
		}
		removed := &removal{n: n}
		ofMonth := func(index uint64, handle ledger.Hash) (bool, error) {
			row, err := snap.Get(ctx, store.TableWrap, handle[:])
			if err != nil {
				return false, err
			}
			if row == nil {
				return index > first.Leaf && index < inner, nil
			}
			// A consent's key may be under the key of a later month.
			wrap, err := rows.ParseWrap(row)
			return err == nil && wrap.Month == month, nil
		}
		from, to := rows.LeafKey(epoch, first.Before), rows.LeafKey(epoch, last)
		err = snap.Scan(ctx, store.TableBody, from, to, 0, func(key, value []byte) error {
			_, index, err := rows.ParseLeafKey(key)
			if err != nil {
				return err
			}
			event, err := rows.ParseEvent(&handle, epoch, index, value)
			if err != nil {
				return err
			}
			if mine, err := ofMonth(index, event.Handle); err != nil || !mine {
				return err
			}
			left := rows.FormatEvent(&handle, epoch, index, rows.Event{I: event.I, J: event.J})
			return removed.add(ctx, store.Row{Table: store.TableBody, Key: slices.Clone(key), Value: left})
		})
		if err != nil {
			return err
		}
		err = snap.Scan(ctx, store.TablePrivate, from, to, 0, func(key, value []byte) error {
			_, index, err := rows.ParseLeafKey(key)
			if err != nil {
				return err
			}
			private, err := rows.ParsePrivate(&handle, epoch, index, value)
			if err != nil {
				return err
			}
			if mine, err := ofMonth(index, private.Handle); err != nil || !mine {
				return err
			}
			return removed.add(ctx, store.Row{Table: store.TablePrivate, Key: slices.Clone(key)})
		})
		if err != nil {
			return err
		}
		return removed.flush(ctx)
	})
}

// removeWraps takes the wrapped keys of destroyed months away, and marks the months as done.
func (n *Node) removeWraps(ctx context.Context, months []string) error {
	return n.withSnapshot(ctx, func(snap store.Reader) error {
		removed := &removal{n: n}
		err := snap.Scan(ctx, store.TableWrap, nil, nil, 0, func(key, value []byte) error {
			wrap, err := rows.ParseWrap(value)
			if err != nil || !slices.Contains(months, wrap.Month) {
				return nil
			}
			return removed.add(ctx, store.Row{Table: store.TableWrap, Key: slices.Clone(key)})
		})
		if err != nil {
			return err
		}
		for _, month := range months {
			removed.write = append(removed.write, store.Row{Table: store.TableCounter, Key: rows.RenewedKey(month), Value: rows.FormatCounter(rows.GoneVersion, 8)})
		}
		if err := removed.flush(ctx); err != nil {
			return fmt.Errorf("couldn't commit: %w", err)
		}
		return nil
	})
}
