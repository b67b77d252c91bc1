// SPDX-License-Identifier: EUPL-1.2

package checkpoint

import (
	"context"
	"fmt"

	"github.com/traccia-ledger/traccia/ledger"
)

// Leaves returns the leaves from ≤ i < to of the log at a checkpoint, and nothing that isn't proven to be in it. Of the rest
// of the log it fetches the hash tiles on the edges of the range only. The error is ErrTiles or the Fetcher's.
func Leaves(ctx context.Context, f Fetcher, now Checkpoint, from, to uint64) ([][]byte, error) {
	if from > to || to > now.Size {
		return nil, fmt.Errorf("couldn't read leaves %d to %d of a log of %d", from, to, now.Size)
	}
	h := hashReader{fetch: f, size: now.Size, tiles: make(map[Tile][]byte)}
	whole, err := h.rangeOf(ctx, 0, from)
	if err != nil {
		return nil, err
	}
	first := from / TileWidth
	count := (to+TileWidth-1)/TileWidth - first
	bundle := func(ctx context.Context, i uint64) ([][]byte, error) {
		t, _ := tileAt(EntryLevel, first+i, now.Size)
		return fetchEntries(ctx, f, t)
	}
	var leaves [][]byte
	at := first * TileWidth
	for bundled, err := range ahead(ctx, count, bundle) {
		if err != nil {
			return nil, err
		}
		for _, l := range bundled {
			if at++; at <= from || at > to {
				continue
			}
			hash := ledger.HashLeaf(l)
			if err := whole.Append(hash[:], nil); err != nil {
				return nil, fmt.Errorf("couldn't append leaf %d: %w", at-1, err)
			}
			leaves = append(leaves, l)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rest, err := h.rangeOf(ctx, to, now.Size)
	if err != nil {
		return nil, err
	}
	if err := whole.AppendRange(rest, nil); err != nil {
		return nil, fmt.Errorf("couldn't join ranges: %w", err)
	}
	if rootOf(whole) != now.Root {
		return nil, ErrTiles
	}
	return leaves, nil
}
