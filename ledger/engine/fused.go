// SPDX-License-Identifier: EUPL-1.2

package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/trillian"
	"github.com/google/trillian/storage"
	"github.com/google/trillian/storage/tree"
	"github.com/transparency-dev/merkle/compact"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// fusedBatch is the storage that one IntegrateBatch of Append sees: a queue
// that holds exactly the batch, and a tree as the shard's state has it. It
// gathers what Trillian writes, and commits once.
type fusedBatch struct {
	// Only ReadWriteTransaction is called; it panics on anything else.
	storage.LogStorage
	// Likewise, of a transaction.
	storage.LogTreeTX

	shard  *Shard
	before *state
	leaves [][]byte
	rows   []store.Row

	tiles     map[tileID]*tile // those that the batch touched, as they will be
	after     *state
	commitErr error
}

func (b *fusedBatch) ReadWriteTransaction(ctx context.Context, _ *trillian.Tree, f storage.LogTXFunc) error {
	if err := f(ctx, b); err != nil {
		return err
	}
	expect := []store.Row{{Table: store.TableRoot, Key: logKey(b.shard.tree.TreeId), Value: b.before.logRow}}
	if b.after == nil { // no leaves
		b.after = b.before
	}
	b.commitErr = b.shard.engine.store.Commit(ctx, expect, b.rows)
	return b.commitErr
}

func (b *fusedBatch) LatestSignedLogRoot(context.Context) (*trillian.SignedLogRoot, error) {
	return &trillian.SignedLogRoot{LogRoot: b.before.logRow}, nil
}

func (b *fusedBatch) DequeueLeaves(context.Context, int, time.Time) ([]*trillian.LogLeaf, error) {
	leaves := make([]trillian.LogLeaf, len(b.leaves))
	hashes := make([]ledger.Hash, len(b.leaves))
	out := make([]*trillian.LogLeaf, len(b.leaves))
	for i, leaf := range b.leaves {
		hashes[i] = ledger.HashLeaf(leaf)
		leaves[i].LeafValue = leaf
		leaves[i].MerkleLeafHash = hashes[i][:]
		out[i] = &leaves[i]
	}
	return out, nil
}

func (b *fusedBatch) GetMerkleNodes(ctx context.Context, ids []compact.NodeID) ([]tree.Node, error) {
	return b.shard.treeNodes(ctx, b.before, ids)
}

func (b *fusedBatch) UpdateSequencedLeaves(_ context.Context, leaves []*trillian.LogLeaf) error {
	const leafKeyLen, hashKeyLen = 16, 16 + hashPrefix
	size := 0
	for _, leaf := range leaves {
		size += leafKeyLen + hashKeyLen + 1 + len(leaf.LeafValue)
	}
	space := make(arena, size)
	id := uint64(b.shard.tree.TreeId)
	rows := make([]store.Row, 0, 2*len(leaves)+len(b.rows)+16)
	for _, leaf := range leaves {
		key := space.cut(leafKeyLen)
		be.PutUint64(key, id)
		be.PutUint64(key[8:], uint64(leaf.LeafIndex))
		value := space.cut(1 + len(leaf.LeafValue))
		value[0] = leafPlain
		copy(value[1:], leaf.LeafValue)
		byHash := space.cut(hashKeyLen)
		be.PutUint64(byHash, id)
		copy(byHash[8:], leaf.MerkleLeafHash[:hashPrefix])
		be.PutUint64(byHash[8+hashPrefix:], uint64(leaf.LeafIndex))
		rows = append(rows,
			store.Row{Table: store.TableLeaf, Key: key, Value: value},
			store.Row{Table: store.TableLeafHash, Key: byHash, Value: []byte{}})
	}
	b.rows = append(rows, b.rows...)
	return nil
}

// SetMerkleNodes gathers the nodes in copies of the tiles they belong to.
// Trillian gives every complete node that is new, in any order, so nothing is
// hashed again here.
func (b *fusedBatch) SetMerkleNodes(_ context.Context, nodes []tree.Node) error {
	b.tiles = make(map[tileID]*tile, len(nodes)/tileWidth+8)
	width := func(id tileID) int { // before the batch
		if t := b.before.edgeTile(id); t != nil {
			return t.width()
		}
		return 0
	}
	grown := 0
	for _, node := range nodes {
		if len(node.Hash) != hashSize {
			return fmt.Errorf("engine: a node of %d bytes", len(node.Hash))
		}
		id, level, position := tileOf(b.shard.tree.TreeId, node.ID)
		t := b.tiles[id]
		if t == nil {
			t = newTile()
			if old := b.before.edgeTile(id); old != nil {
				*t = *old // shares the arrays, which are longer than what old shows
			}
			b.tiles[id] = t
		}
		if position < uint64(width(id)>>level) {
			return errors.New("engine: a node that was complete before")
		}
		if int(position) >= len(t.nodes[level]) {
			t.nodes[level] = t.nodes[level][:position+1]
		}
		t.nodes[level][position] = ledger.Hash(node.Hash)
		grown++
	}
	// As many nodes as the tiles grew by: there is no gap.
	for id, t := range b.tiles {
		for level := range t.nodes {
			if len(t.nodes[level]) != t.width()>>level {
				return errors.New("engine: a tile with a missing node")
			}
			grown -= len(t.nodes[level]) - width(id)>>level
		}
		b.rows = append(b.rows, store.Row{Table: store.TableTile, Key: tileKey(id), Value: t.bytes(t.width())})
	}
	if grown != 0 {
		return errors.New("engine: a node that is missing or came twice")
	}
	return nil
}

func (b *fusedBatch) StoreSignedLogRoot(_ context.Context, root *trillian.SignedLogRoot) error {
	after, err := parseState(root.LogRoot)
	if err != nil {
		return err
	}
	if got, want := after.root.Size, b.before.root.Size+uint64(len(b.leaves)); got != want {
		return fmt.Errorf("engine: a root of size %d after a batch that ends at %d", got, want)
	}
	for level := uint(0); after.root.Size>>(tileHeight*level) > 0; level++ {
		id := tileID{b.shard.tree.TreeId, level, after.edgeIndex(level)}
		t := b.tiles[id]
		if t == nil {
			t = b.before.edgeTile(id)
		}
		after.edge = append(after.edge, t)
	}
	b.after = after
	b.rows = append(b.rows, store.Row{Table: store.TableRoot, Key: logKey(b.shard.tree.TreeId), Value: root.LogRoot})
	return nil
}
