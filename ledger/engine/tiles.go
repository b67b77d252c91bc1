// SPDX-License-Identifier: EUPL-1.2

package engine

import (
	"context"
	"fmt"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/transparency-dev/merkle/compact"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// The Merkle tree is kept as tiles of height 8: a tile holds the 1 to 256
// complete nodes of levels 0, 8, 16, … that lie side by side. The levels
// between are recomputed when a tile is read and kept with it in memory, about
// 16 KiB a tile.

const (
	tileHeight  = 8
	tileWidth   = 1 << tileHeight
	hashSize    = len(ledger.Hash{})
	cachedTiles = 2048 // 32 MiB
)

// tileID names a tile; level counts tiles, not nodes.
type tileID struct {
	log   int64
	level uint
	index uint64
}

// tileOf returns the tile that holds or gives a node, the node's level within
// it and its position on that level.
func tileOf(log int64, node compact.NodeID) (id tileID, level uint, position uint64) {
	level = node.Level % tileHeight
	wide := tileHeight - level
	return tileID{log, node.Level / tileHeight, node.Index >> wide}, level, node.Index & (1<<wide - 1)
}

// tile is a tile with its inner levels: nodes[l] are the complete nodes l
// levels above its own hashes. A tile that others can see is never changed; a
// wider one may share its arrays, beyond what it shows.
type tile struct {
	nodes [tileHeight][]ledger.Hash
}

func newTile() *tile {
	t := new(tile)
	for l := range t.nodes {
		t.nodes[l] = make([]ledger.Hash, 0, tileWidth>>l)
	}
	return t
}

func (t *tile) width() int { return len(t.nodes[0]) }

func (t *tile) node(level uint, position uint64) (ledger.Hash, bool) {
	if position >= uint64(len(t.nodes[level])) {
		return ledger.Hash{}, false
	}
	return t.nodes[level][position], true
}

// parseTile expands the bytes of a tile row.
func parseTile(raw []byte) (*tile, bool) {
	if len(raw) == 0 || len(raw)%hashSize != 0 || len(raw) > tileWidth*hashSize {
		return nil, false
	}
	t := newTile()
	for ; len(raw) > 0; raw = raw[hashSize:] {
		t.nodes[0] = append(t.nodes[0], ledger.Hash(raw[:hashSize]))
	}
	for l := 1; l < tileHeight; l++ {
		below := t.nodes[l-1]
		for i := 0; i+1 < len(below); i += 2 {
			t.nodes[l] = append(t.nodes[l], ledger.HashChildren(below[i], below[i+1]))
		}
	}
	return t, true
}

// bytes returns the tile as its row holds it, and as tlog-tiles serves it.
func (t *tile) bytes(width int) []byte {
	raw := make([]byte, 0, width*hashSize)
	for i := range t.nodes[0][:width] {
		raw = append(raw, t.nodes[0][i][:]...)
	}
	return raw
}

// tileCache keeps tiles of any log, least recently used first to go. A cached
// tile may be narrower than the stored one, never different.
type tileCache struct {
	*lru.Cache[tileID, *tile]
}

func newTileCache(size int) (*tileCache, error) {
	cache, err := lru.New[tileID, *tile](size)
	return &tileCache{cache}, err
}

// loadTiles reads tiles from a snapshot, in order. A tile that isn't stored, or
// isn't a tile, is damage: callers ask for those that must be there.
func loadTiles(ctx context.Context, r store.Reader, ids []tileID) ([]*tile, error) {
	keys := make([][]byte, len(ids))
	for i, id := range ids {
		keys[i] = tileKey(id)
	}
	rows, err := r.GetMany(ctx, store.TableTile, keys)
	if err != nil {
		return nil, err
	}
	tiles := make([]*tile, len(ids))
	for i, row := range rows {
		t, ok := parseTile(row)
		if !ok {
			return nil, damagedTile(ids[i])
		}
		tiles[i] = t
	}
	return tiles, nil
}

func damagedTile(id tileID) error {
	return fmt.Errorf("%w: tile %d of level %d of log %d", store.ErrDamaged, id.index, id.level, id.log)
}

// nodes returns the hashes of complete nodes. near gives the tiles that the
// caller has at hand, or nil; snapshot is called when some must be read.
func (e *Engine) nodes(ctx context.Context, log int64, ids []compact.NodeID,
	near func(tileID) *tile, snapshot func() (store.Reader, error),
) ([][]byte, error) {
	hashes := make([]ledger.Hash, len(ids))
	var missing []int // positions in ids
	var wanted []tileID
	for i, node := range ids {
		id, level, position := tileOf(log, node)
		t := near(id)
		if t == nil {
			t, _ = e.cache.Get(id)
		}
		found := false
		if t != nil {
			hashes[i], found = t.node(level, position)
		}
		if !found {
			missing = append(missing, i)
			wanted = append(wanted, id)
		}
	}
	if len(missing) > 0 {
		r, err := snapshot()
		if err != nil {
			return nil, err
		}
		tiles, err := loadTiles(ctx, r, wanted)
		if err != nil {
			return nil, err
		}
		for j, i := range missing {
			_, level, position := tileOf(log, ids[i])
			hash, ok := tiles[j].node(level, position)
			if !ok {
				return nil, damagedTile(wanted[j])
			}
			hashes[i] = hash
			e.cache.Add(wanted[j], tiles[j])
		}
	}
	out := make([][]byte, len(ids))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out, nil
}
