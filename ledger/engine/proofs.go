// SPDX-License-Identifier: EUPL-1.2

package engine

import (
	"context"
	"fmt"

	"github.com/google/trillian/storage/tree"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// MaxRead is the most leaves that one call of Leaves returns.
const MaxRead = 4096

// Complete nodes never change, so a proof needs no view of the store at one
// moment: a tile read late only knows more.

// hashes returns complete nodes of the tree that st knows.
func (s *Shard) hashes(ctx context.Context, st *state, ids []compact.NodeID) ([][]byte, error) {
	var snap store.Snapshot
	defer func() {
		if snap != nil {
			snap.Close()
		}
	}()
	return s.engine.nodes(ctx, s.tree.TreeId, ids, st.edgeTile, func() (_ store.Reader, err error) {
		snap, err = s.engine.store.Snapshot(ctx)
		return snap, err
	})
}

func (s *Shard) treeNodes(ctx context.Context, st *state, ids []compact.NodeID) ([]tree.Node, error) {
	hashes, err := s.hashes(ctx, st, ids)
	if err != nil {
		return nil, err
	}
	return toNodes(ids, hashes), nil
}

func toNodes(ids []compact.NodeID, hashes [][]byte) []tree.Node {
	nodes := make([]tree.Node, len(ids))
	for i, id := range ids {
		nodes[i] = tree.Node{ID: id, Hash: hashes[i]}
	}
	return nodes
}

func hashChildren(left, right []byte) []byte {
	hash := ledger.HashChildren(ledger.Hash(left), ledger.Hash(right))
	return hash[:]
}

func fixed(hashes [][]byte) []ledger.Hash {
	out := make([]ledger.Hash, len(hashes))
	for i := range hashes {
		out[i] = ledger.Hash(hashes[i])
	}
	return out
}

// atSize returns the state if the log has that size at least.
func (s *Shard) atSize(size uint64) (*state, error) {
	st := s.state.Load()
	if size > st.root.Size {
		return nil, fmt.Errorf("%w: size %d of a log of %d leaves", ErrRange, size, st.root.Size)
	}
	return st, nil
}

func (s *Shard) prove(ctx context.Context, st *state, nodes proof.Nodes) ([]ledger.Hash, error) {
	hashes, err := s.hashes(ctx, st, nodes.IDs)
	if err != nil {
		return nil, fmt.Errorf("couldn't make a proof: %w", err)
	}
	hashes, err = nodes.Rehash(hashes, hashChildren)
	if err != nil {
		return nil, fmt.Errorf("couldn't make a proof: %w", err)
	}
	return fixed(hashes), nil
}

// Inclusion proves that the leaf at index is in the log of that size, as
// RFC 6962 has it: the sibling nodes from the leaf up.
func (s *Shard) Inclusion(ctx context.Context, index, size uint64) ([]ledger.Hash, error) {
	st, err := s.atSize(size)
	if err != nil {
		return nil, err
	}
	nodes, err := proof.Inclusion(index, size)
	if err != nil {
		return nil, fmt.Errorf("%w: leaf %d of a log of %d leaves", ErrRange, index, size)
	}
	return s.prove(ctx, st, nodes)
}

// Consistency proves that the log of size to extends that of size from.
func (s *Shard) Consistency(ctx context.Context, from, to uint64) ([]ledger.Hash, error) {
	st, err := s.atSize(to)
	if err != nil {
		return nil, err
	}
	nodes, err := proof.Consistency(from, to)
	if err != nil {
		return nil, fmt.Errorf("%w: from size %d to %d", ErrRange, from, to)
	}
	return s.prove(ctx, st, nodes)
}

// Range proves the leaves from to to-1 together in the log of that size: left
// is the compact range of the leaves before them and right that of the leaves
// after. Whoever has the leaves merges the three and compares the root.
func (s *Shard) Range(ctx context.Context, from, to, size uint64) (left, right []ledger.Hash, err error) {
	st, err := s.atSize(size)
	if err != nil {
		return nil, nil, err
	}
	if from > to || to > size {
		return nil, nil, fmt.Errorf("%w: leaves %d to %d of a log of %d leaves", ErrRange, from, to, size)
	}
	ids := compact.RangeNodes(0, from, nil)
	n := len(ids)
	hashes, err := s.hashes(ctx, st, compact.RangeNodes(to, size, ids))
	if err != nil {
		return nil, nil, fmt.Errorf("couldn't make a proof: %w", err)
	}
	return fixed(hashes[:n]), fixed(hashes[n:]), nil
}

// RootAt returns the root the log had at a size.
func (s *Shard) RootAt(ctx context.Context, size uint64) (ledger.Hash, error) {
	st, err := s.atSize(size)
	if err != nil {
		return ledger.Hash{}, err
	}
	if size == st.root.Size {
		return st.root.Hash, nil
	}
	hash, err := s.rootAt(ctx, st, size)
	if err != nil {
		return ledger.Hash{}, fmt.Errorf("couldn't compute a root: %w", err)
	}
	return hash, nil
}

func (s *Shard) rootAt(ctx context.Context, st *state, size uint64) (ledger.Hash, error) {
	if size == 0 {
		return emptyRoot, nil
	}
	hashes, err := s.hashes(ctx, st, compact.RangeNodes(0, size, nil))
	if err != nil {
		return ledger.Hash{}, err
	}
	root := hashes[len(hashes)-1]
	for i := len(hashes) - 2; i >= 0; i-- {
		root = hashChildren(hashes[i], root)
	}
	return ledger.Hash(root), nil
}

// Tile returns the first width hashes, 1 to 256, of a tile of
// c2sp.org/tlog-tiles, 32 bytes each.
func (s *Shard) Tile(ctx context.Context, level uint, index uint64, width int) ([]byte, error) {
	st := s.state.Load()
	if level > 7 || width < 1 || width > tileWidth || !within(index, width, st.root.Size>>(tileHeight*level)) {
		return nil, fmt.Errorf("%w: tile %d of level %d, width %d, of a log of %d leaves", ErrRange, index, level, width, st.root.Size)
	}
	id := tileID{s.tree.TreeId, level, index}
	t := st.edgeTile(id)
	if t == nil {
		t, _ = s.engine.cache.Get(id)
	}
	if t != nil && t.width() >= width {
		return t.bytes(width), nil
	}
	snap, err := s.engine.store.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("couldn't read a tile: %w", err)
	}
	defer snap.Close()
	raw, err := snap.Get(ctx, store.TableTile, tileKey(id))
	if err != nil {
		return nil, fmt.Errorf("couldn't read a tile: %w", err)
	}
	if len(raw) < width*hashSize {
		return nil, fmt.Errorf("couldn't read a tile: %w", damagedTile(id))
	}
	return raw[:width*hashSize], nil
}

// within reports whether the items index*256 to index*256+width-1 are among the
// first count.
func within(index uint64, width int, count uint64) bool {
	return index <= count/tileWidth && index*tileWidth+uint64(width) <= count
}

// Entries returns the first width leaves, 1 to 256, of an entry bundle of
// c2sp.org/tlog-tiles: u16 length ‖ leaf, for each.
func (s *Shard) Entries(ctx context.Context, index uint64, width int) ([]byte, error) {
	st := s.state.Load()
	if width < 1 || width > tileWidth || !within(index, width, st.root.Size) {
		return nil, fmt.Errorf("%w: entries %d, width %d, of a log of %d leaves", ErrRange, index, width, st.root.Size)
	}
	bundle := make([]byte, 0, width*104)
	err := s.scanLeaves(ctx, index*tileWidth, uint64(width), func(leaf []byte) {
		bundle = be.AppendUint16(bundle, uint16(len(leaf)))
		bundle = append(bundle, leaf...)
	})
	return bundle, err
}

// Leaves returns the leaves from an index on, as many as count or MaxRead, or
// as the log has: the caller goes on after the last one.
func (s *Shard) Leaves(ctx context.Context, from, count uint64) ([][]byte, error) {
	size := s.state.Load().root.Size
	if from > size {
		return nil, fmt.Errorf("%w: leaf %d of a log of %d leaves", ErrRange, from, size)
	}
	count = min(count, size-from, MaxRead)
	leaves := make([][]byte, 0, count)
	err := s.scanLeaves(ctx, from, count, func(leaf []byte) {
		leaves = append(leaves, append([]byte(nil), leaf...))
	})
	return leaves, err
}

// scanLeaves calls f for exactly count leaves. They must be there.
func (s *Shard) scanLeaves(ctx context.Context, from, count uint64, f func(leaf []byte)) error {
	if count == 0 {
		return nil
	}
	snap, err := s.engine.store.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("couldn't read leaves: %w", err)
	}
	defer snap.Close()
	id, next := s.tree.TreeId, from
	err = snap.Scan(ctx, store.TableLeaf, leafKey(id, from), leafKey(id, from+count), 0, func(key, value []byte) error {
		if be.Uint64(key[8:]) != next {
			return fmt.Errorf("%w: leaf %d of log %d is missing", store.ErrDamaged, next, id)
		}
		leaf, err := leafRow(next, value)
		if err != nil {
			return err
		}
		f(leaf)
		next++
		return nil
	})
	if err == nil && next != from+count {
		err = fmt.Errorf("%w: leaf %d of log %d is missing", store.ErrDamaged, next, id)
	}
	if err != nil {
		return fmt.Errorf("couldn't read leaves: %w", err)
	}
	return nil
}

// IndexOf returns the least index of a leaf by its Merkle leaf hash.
func (s *Shard) IndexOf(ctx context.Context, leafHash ledger.Hash) (uint64, bool, error) {
	st := s.state.Load()
	snap, err := s.engine.store.Snapshot(ctx)
	if err != nil {
		return 0, false, fmt.Errorf("couldn't find a leaf: %w", err)
	}
	defer snap.Close()
	found, err := s.engine.findLeaves(ctx, snap, s.tree.TreeId, leafHash[:], st.root.Size, st.edgeTile)
	if err != nil {
		return 0, false, fmt.Errorf("couldn't find a leaf: %w", err)
	}
	if len(found) == 0 {
		return 0, false, nil
	}
	return found[0], true, nil
}

// findLeaves returns the indexes below size of the leaves with that hash,
// ascending. The row gives candidates; the tile decides.
func (e *Engine) findLeaves(ctx context.Context, snap store.Reader, log int64, hash []byte, size uint64, near func(tileID) *tile) ([]uint64, error) {
	prefix := leafHashKey(log, hash)
	var ids []compact.NodeID
	if err := snap.Scan(ctx, store.TableLeafHash, prefix, store.After(prefix), 0, func(key, _ []byte) error {
		if index := be.Uint64(key[len(prefix):]); index < size {
			ids = append(ids, compact.NewNodeID(0, index))
		}
		return nil
	}); err != nil {
		return nil, err
	}
	hashes, err := e.nodes(ctx, log, ids, near, func() (store.Reader, error) { return snap, nil })
	if err != nil {
		return nil, err
	}
	var found []uint64
	for i, id := range ids {
		if string(hashes[i]) == string(hash) {
			found = append(found, id.Index)
		}
	}
	return found, nil
}
