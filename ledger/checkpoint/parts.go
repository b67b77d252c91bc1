// SPDX-License-Identifier: EUPL-1.2

package checkpoint

import (
	"context"
	"iter"

	"github.com/traccia-ledger/traccia/ledger"
)

// PartSize is how many leaves ReadParts hands out at once, at most.
const PartSize = 16 * TileWidth

// keptTiles bounds the hash tiles that ReadParts holds, of 8 KiB each.
const keptTiles = 128

// Root returns the root over the leaves that have been read and authenticated.
func (r *Reader) Root() ledger.Hash { return rootOf(r.done) }

// ReadParts reads the leaves from Size up to now, and hands them out in order, in parts of at most PartSize, each part once
// it is known to be the log's. What was handed out counts as read, and an error ends the reading there: a long reading that
// broke off goes on with another call. The errors are those of Read, of the Fetcher and of part.
//
// Beside what Read fetches it fetches the hash tiles that lead from a part to now's root, less than one for sixty thousand
// leaves. part may keep the slices.
func (r *Reader) ReadParts(ctx context.Context, now Checkpoint, part func(first uint64, leaves [][]byte) error) error {
	h := hashReader{fetch: r.fetch, size: now.Size}
	for r.Size() < now.Size {
		if len(h.tiles) > keptTiles || h.tiles == nil {
			h.tiles = make(map[Tile][]byte)
		}
		upTo := now
		if end := (r.Size()/PartSize + 1) * PartSize; end < now.Size {
			root, err := h.prefix(ctx, end, now.Root)
			if err != nil {
				return err
			}
			upTo = Checkpoint{Origin: now.Origin, Size: end, Root: root}
		}
		first := r.Size()
		leaves := make([][]byte, 0, upTo.Size-first)
		err := r.Read(ctx, upTo, func(_ uint64, leaf []byte) error {
			leaves = append(leaves, leaf)
			return nil
		})
		if err != nil {
			return err
		}
		if err := part(first, leaves); err != nil {
			return err
		}
	}
	return r.Read(ctx, now, nil) // there is nothing to read; it may have gone back, or be another log
}

// Kept reads the leaves from Size up to now, as Read does, from where the caller kept them.
func (r *Reader) Kept(now Checkpoint, leaves iter.Seq2[[]byte, error], leaf func(index uint64, leaf []byte) error) error {
	next := clone(r.done)
	for l, err := range leaves {
		if err != nil {
			return err
		}
		hash := ledger.HashLeaf(l)
		// Append can only fail for lack of a hash function.
		_ = next.Append(hash[:], nil)
		if err := leaf(next.End()-1, l); err != nil {
			return err
		}
	}
	if next.End() != now.Size || rootOf(next) != now.Root {
		return ErrTiles
	}
	r.done = next
	return nil
}

// prefix returns the root over the first size leaves of a log whose root over h.size leaves is given.
func (h *hashReader) prefix(ctx context.Context, size uint64, root ledger.Hash) (ledger.Hash, error) {
	begin, err := h.rangeOf(ctx, 0, size)
	if err != nil {
		return ledger.Hash{}, err
	}
	rest, err := h.rangeOf(ctx, size, h.size)
	if err != nil {
		return ledger.Hash{}, err
	}
	whole := clone(begin)
	// It can only fail for ranges that don't touch.
	_ = whole.AppendRange(rest, nil)
	if rootOf(whole) != root {
		return ledger.Hash{}, ErrTiles
	}
	return rootOf(begin), nil
}
