// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// eachRecord calls f with every record of a shard in order.
func (n *Node) eachRecord(ctx context.Context, epoch uint32, f func(index uint64, record []byte)) error {
	return n.records(ctx, rows.LeafKey(epoch, 0), rows.LeafKey(epoch+1, 0), f)
}

func (n *Node) records(ctx context.Context, from, to []byte, f func(index uint64, record []byte)) error {
	return n.withSnapshot(ctx, func(snap store.Reader) error { return scanRecords(ctx, snap, from, to, f) })
}

// scanRecords calls f with the records that a snapshot has between two keys (rows.LeafKey), in order.
func scanRecords(ctx context.Context, snap store.Reader, from, to []byte, f func(index uint64, record []byte)) error {
	err := snap.Scan(ctx, store.TableRecord, from, to, 0, func(key, value []byte) error {
		_, index, err := rows.ParseLeafKey(key)
		if err == nil {
			f(index, value)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("couldn't read the records: %w", err)
	}
	return nil
}

// PublicRecords calls f with the records among the leaves from ≤ index < to of an epoch's public log, in order. f keeps
// none of the bytes. ErrNotPublished where the log is shorter than to.
func (n *Node) PublicRecords(ctx context.Context, epoch uint32, from, to uint64, f func(index uint64, record []byte)) error {
	done, err := n.use()
	if err != nil {
		return err
	}
	defer done()
	if p, err := n.Published(epoch); err != nil || p.Root.Size < to {
		return ErrNotPublished
	}
	return n.records(ctx, rows.LeafKey(epoch, from), rows.LeafKey(epoch, to), f)
}

// PublicHead is a head of the public log.
type PublicHead struct {
	Index uint64
	At    time.Time // that it states
}

// PublicHeadFrom returns the first head of an epoch's public log that isn't before this leaf: it states an instant after the
// one at which the leaf was written. False where there is none yet.
func (n *Node) PublicHeadFrom(ctx context.Context, epoch uint32, leaf uint64) (PublicHead, bool, error) {
	return n.publicHead(ctx, epoch, func(h *heads) (headAt, error) { return h.from(ctx, leaf) })
}

// LastPublicHead returns the last head of an epoch's public log; false where it has none.
func (n *Node) LastPublicHead(ctx context.Context, epoch uint32) (PublicHead, bool, error) {
	return n.publicHead(ctx, epoch, func(h *heads) (headAt, error) { return h.last(ctx) })
}

func (n *Node) publicHead(ctx context.Context, epoch uint32, find func(h *heads) (headAt, error)) (PublicHead, bool, error) {
	var at headAt
	err := n.reading(ctx, func(snap store.Reader) error {
		p, err := n.Published(epoch)
		if err != nil {
			return err
		}
		h := headsOf(snap, n.yearOf(epoch).shard, epoch)
		h.size = p.Root.Size
		at, err = find(h)
		return err
	})
	if err != nil || at.Leaf == 0 {
		return PublicHead{}, false, err
	}
	return PublicHead{at.Leaf, time.UnixMilli(int64(min(at.UnixMS, math.MaxInt64))).UTC()}, true, nil
}
