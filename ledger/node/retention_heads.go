// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"fmt"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// heads finds heads of a shard by place and by time, without reading the leaves between them.
type heads struct {
	rows  store.Reader
	shard *engine.Shard
	epoch uint32
	size  uint64
}

// headAt is a head; the zero value stands for none.
type headAt struct {
	Leaf   uint64
	Before uint64 // the head before it, 0 if none
	UnixMS uint64
}

func headsOf(from store.Reader, shard *engine.Shard, epoch uint32) *heads {
	return &heads{from, shard, epoch, shard.Root().Size}
}

// from returns the first head that isn't before this leaf.
func (h *heads) from(ctx context.Context, leaf uint64) (found headAt, err error) {
	err = h.rows.Scan(ctx, store.TableHead, rows.LeafKey(h.epoch, leaf), rows.LeafKey(h.epoch, h.size), 1, func(key, value []byte) error {
		_, at, err := rows.ParseLeafKey(key)
		if err != nil {
			return err
		}
		found.Leaf = at
		found.Before, err = rows.ParseCounter(value, 8)
		return err
	})
	if err != nil {
		return headAt{}, fmt.Errorf("couldn't read a head's row: %w", err)
	}
	if found.Leaf == 0 {
		return headAt{}, nil
	}
	leaves, err := h.shard.Leaves(ctx, found.Leaf, 1)
	if err != nil || len(leaves) != 1 {
		return headAt{}, fmt.Errorf("couldn't read the head at %d: %w", found.Leaf, err)
	}
	parsed, err := ledger.ParseLeaf(leaves[0])
	if err != nil {
		return headAt{}, fmt.Errorf("couldn't read the head at %d: %w", found.Leaf, err)
	}
	head, ok := parsed.(ledger.Head)
	if !ok {
		return headAt{}, fmt.Errorf("the leaf at %d is no head", found.Leaf)
	}
	found.UnixMS = head.UnixMS
	return found, nil
}

// since returns the first head of this instant (ms) or later.
func (h *heads) since(ctx context.Context, ms uint64) (found headAt, err error) {
	for low, high := uint64(0), h.size; low < high; {
		middle := low + (high-low)/2
		at, err := h.from(ctx, middle)
		switch {
		case err != nil:
			return headAt{}, err
		case at.Leaf == 0 || at.Leaf >= high: // none between
			high = middle
		case at.UnixMS >= ms:
			found, high = at, middle
		default:
			low = at.Leaf + 1
		}
	}
	return found, nil
}

// last returns the last head.
func (h *heads) last(ctx context.Context) (found headAt, err error) {
	for low, high := uint64(0), h.size; low < high; {
		middle := low + (high-low)/2
		at, err := h.from(ctx, middle)
		switch {
		case err != nil:
			return headAt{}, err
		case at.Leaf == 0:
			high = middle
		default:
			found, low = at, at.Leaf+1
		}
	}
	return found, nil
}
