// SPDX-License-Identifier: EUPL-1.2

package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/trillian"
	"github.com/google/trillian/storage"
	"github.com/google/trillian/storage/tree"
	"github.com/google/trillian/types"
	"github.com/transparency-dev/merkle/compact"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// logTX is a transaction of Trillian on one log: reads see one snapshot, writes
// are gathered and committed on the condition that what they stand on is as it
// was read. It doesn't read its own writes, which nothing of Trillian wants.
type logTX struct {
	engine *Engine
	tree   *trillian.Tree
	snap   store.Snapshot

	rootRow []byte // nil before the first root
	root    types.LogRootV1

	expect, write []store.Row
	dequeued      map[string]bool // queue keys taken in this transaction
	touched       []tileID        // tiles written
}

func (t *logTX) readRoot(ctx context.Context) error {
	row, err := t.snap.Get(ctx, store.TableRoot, logKey(t.tree.TreeId))
	if err != nil {
		return err
	}
	if row == nil {
		return storage.ErrTreeNeedsInit
	}
	if err := t.root.UnmarshalBinary(row); err != nil {
		return fmt.Errorf("%w: the root of log %d", store.ErrDamaged, t.tree.TreeId)
	}
	t.rootRow = row
	return nil
}

func (t *logTX) Close() error { return t.snap.Close() }

// Commit writes what was gathered; a read-only transaction has nothing.
func (t *logTX) Commit(ctx context.Context) error {
	if len(t.write) == 0 {
		return nil
	}
	err := t.engine.store.Commit(ctx, t.expect, t.write)
	for _, id := range t.touched {
		t.engine.cache.Remove(id)
	}
	return err
}

// put writes a row over one that was read as was, nil for none.
func (t *logTX) put(row store.Row, was []byte) {
	t.expect = append(t.expect, store.Row{Table: row.Table, Key: row.Key, Value: was})
	t.write = append(t.write, row)
}

// identities returns the leaves known under the identities of leaves.
func (t *logTX) identities(ctx context.Context, leaves []*trillian.LogLeaf) (map[string]*trillian.LogLeaf, error) {
	keys := make([][]byte, len(leaves))
	for i, leaf := range leaves {
		if len(leaf.LeafIdentityHash) != hashSize || len(leaf.MerkleLeafHash) != hashSize {
			return nil, status.Error(codes.InvalidArgument, "a leaf without its two hashes of 32 bytes")
		}
		keys[i] = identityKey(t.tree.TreeId, leaf.LeafIdentityHash)
	}
	rows, err := t.snap.GetMany(ctx, store.TableIdentity, keys)
	if err != nil {
		return nil, err
	}
	known := make(map[string]*trillian.LogLeaf, len(leaves))
	for i, row := range rows {
		if row == nil {
			continue
		}
		leaf, err := parseQueued(row)
		if err != nil {
			return nil, err
		}
		known[string(leaves[i].LeafIdentityHash)] = leaf
	}
	return known, nil
}

func parseQueued(row []byte) (*trillian.LogLeaf, error) {
	leaf := new(trillian.LogLeaf)
	if err := proto.Unmarshal(row, leaf); err != nil {
		return nil, fmt.Errorf("%w: a leaf of Trillian's queue", store.ErrDamaged)
	}
	return leaf, nil
}

// putLeaf writes a leaf's row and its entry by hash.
func (t *logTX) putLeaf(leaf *trillian.LogLeaf, was []byte) error {
	value, err := proto.MarshalOptions{}.MarshalAppend([]byte{leafTrillian}, leaf)
	if err != nil {
		return err
	}
	id, index := t.tree.TreeId, uint64(leaf.LeafIndex)
	t.put(store.Row{Table: store.TableLeaf, Key: leafKey(id, index), Value: value}, was)
	t.write = append(t.write, store.Row{
		Table: store.TableLeafHash, Key: be.AppendUint64(leafHashKey(id, leaf.MerkleLeafHash), index), Value: []byte{},
	})
	return nil
}

func (t *logTX) LatestSignedLogRoot(context.Context) (*trillian.SignedLogRoot, error) {
	if t.rootRow == nil {
		return nil, storage.ErrTreeNeedsInit
	}
	return &trillian.SignedLogRoot{LogRoot: t.rootRow}, nil
}

// StoreSignedLogRoot refuses a tree smaller than the one it replaces.
func (t *logTX) StoreSignedLogRoot(_ context.Context, root *trillian.SignedLogRoot) error {
	var next types.LogRootV1
	if err := next.UnmarshalBinary(root.LogRoot); err != nil {
		return status.Error(codes.InvalidArgument, "a root that can't be read")
	}
	if next.TreeSize < t.root.TreeSize || next.TreeSize > math.MaxInt64 {
		return status.Errorf(codes.FailedPrecondition, "a root of size %d after one of size %d", next.TreeSize, t.root.TreeSize)
	}
	t.put(store.Row{Table: store.TableRoot, Key: logKey(t.tree.TreeId), Value: root.LogRoot}, t.rootRow)
	return nil
}

func (t *logTX) GetMerkleNodes(ctx context.Context, ids []compact.NodeID) ([]tree.Node, error) {
	hashes, err := t.engine.nodes(ctx, t.tree.TreeId, ids, func(tileID) *tile { return nil },
		func() (store.Reader, error) { return t.snap, nil })
	if err != nil {
		return nil, err
	}
	return toNodes(ids, hashes), nil
}

// SetMerkleNodes stores the nodes that tiles are made of. The others are what
// those give, so they are not kept.
func (t *logTX) SetMerkleNodes(ctx context.Context, nodes []tree.Node) error {
	byTile := map[tileID][]tree.Node{}
	for _, node := range nodes {
		if len(node.Hash) != hashSize {
			return status.Errorf(codes.InvalidArgument, "a node of %d bytes", len(node.Hash))
		}
		if id, level, _ := tileOf(t.tree.TreeId, node.ID); level == 0 {
			byTile[id] = append(byTile[id], node)
		}
	}
	for id, nodes := range byTile {
		was, err := t.snap.Get(ctx, store.TableTile, tileKey(id))
		if err != nil {
			return err
		}
		slices.SortFunc(nodes, func(a, b tree.Node) int { return int(int64(a.ID.Index - b.ID.Index)) })
		raw := slices.Clone(was)
		for _, node := range nodes {
			at := int(node.ID.Index%tileWidth) * hashSize
			if at > len(raw) {
				return status.Errorf(codes.FailedPrecondition, "a node that isn't next to the last one of its tile: %v", node.ID)
			}
			raw = append(raw[:at], append(slices.Clone(node.Hash), raw[min(at+hashSize, len(raw)):]...)...)
		}
		t.put(store.Row{Table: store.TableTile, Key: tileKey(id), Value: raw}, was)
		t.touched = append(t.touched, id)
	}
	return nil
}

// DequeueLeaves takes from the queue, oldest first, or from the leaves that
// were placed beyond the root.
func (t *logTX) DequeueLeaves(ctx context.Context, limit int, cutoff time.Time) ([]*trillian.LogLeaf, error) {
	if t.tree.TreeType == trillian.TreeType_PREORDERED_LOG {
		return t.contiguous(ctx, t.root.TreeSize, uint64(max(limit, 0)))
	}
	from := logKey(t.tree.TreeId)
	to := be.AppendUint64(logKey(t.tree.TreeId), uint64(cutoff.UnixNano())+1)
	leaves := []*trillian.LogLeaf{}
	if limit <= 0 {
		return leaves, nil
	}
	err := t.snap.Scan(ctx, store.TableQueue, from, to, limit+len(t.dequeued), func(key, value []byte) error {
		if t.dequeued[string(key)] || len(leaves) == limit {
			return nil
		}
		leaf, err := parseQueued(value)
		if err != nil {
			return err
		}
		t.dequeued[string(key)] = true
		leaves = append(leaves, leaf)
		return nil
	})
	return leaves, err
}

// UpdateSequencedLeaves moves leaves from the queue to their places.
func (t *logTX) UpdateSequencedLeaves(ctx context.Context, leaves []*trillian.LogLeaf) error {
	for _, leaf := range leaves {
		if err := leaf.IntegrateTimestamp.CheckValid(); err != nil {
			return status.Errorf(codes.InvalidArgument, "a leaf without a time: %v", err)
		}
		key := queueKey(t.tree.TreeId, uint64(leaf.QueueTimestamp.AsTime().UnixNano()), leaf.LeafIdentityHash)
		if !t.dequeued[string(key)] {
			return status.Error(codes.FailedPrecondition, "a leaf that wasn't dequeued in this transaction")
		}
		was, err := t.snap.Get(ctx, store.TableQueue, key)
		if err != nil {
			return err
		}
		t.put(store.Row{Table: store.TableQueue, Key: key}, was)
		if err := t.putLeaf(leaf, nil); err != nil {
			return err
		}
		row, err := proto.Marshal(leaf)
		if err != nil {
			return err
		}
		t.write = append(t.write, store.Row{Table: store.TableIdentity, Key: identityKey(t.tree.TreeId, leaf.LeafIdentityHash), Value: row})
	}
	return nil
}

// GetLeavesByRange returns leaves side by side: those in the tree, of which
// none may be missing, and for a PREORDERED_LOG those placed after it.
func (t *logTX) GetLeavesByRange(ctx context.Context, start, count int64) ([]*trillian.LogLeaf, error) {
	if start < 0 || count <= 0 {
		return nil, status.Errorf(codes.InvalidArgument, "leaves %d, +%d", start, count)
	}
	from, n, size := uint64(start), min(uint64(count), MaxRead), t.root.TreeSize
	if t.tree.TreeType == trillian.TreeType_LOG {
		if from >= size {
			return nil, status.Errorf(codes.OutOfRange, "leaf %d of a log of %d leaves", from, size)
		}
		n = min(n, size-from)
	}
	leaves, err := t.contiguous(ctx, from, n)
	if err != nil {
		return nil, err
	}
	if got := from + uint64(len(leaves)); got < from+n && got < size {
		return nil, fmt.Errorf("%w: leaf %d of log %d is missing", store.ErrDamaged, got, t.tree.TreeId)
	}
	return leaves, nil
}

var errGap = errors.New("engine: a gap")

// contiguous returns the leaves from an index on, up to count or a gap.
func (t *logTX) contiguous(ctx context.Context, from, count uint64) ([]*trillian.LogLeaf, error) {
	leaves := []*trillian.LogLeaf{}
	id := t.tree.TreeId
	err := t.snap.Scan(ctx, store.TableLeaf, leafKey(id, from), leafKey(id, from+count), 0, func(key, value []byte) error {
		index := be.Uint64(key[8:])
		if index != from+uint64(len(leaves)) {
			return errGap
		}
		leaf, err := logLeaf(index, slices.Clone(value))
		leaves = append(leaves, leaf)
		return err
	})
	if err != nil && err != errGap {
		return nil, err
	}
	return leaves, nil
}

// GetLeavesByHash returns the leaves of the tree with those Merkle leaf hashes:
// all there are of each, for a log may hold a leaf twice.
func (t *logTX) GetLeavesByHash(ctx context.Context, hashes [][]byte, bySequence bool) ([]*trillian.LogLeaf, error) {
	leaves := []*trillian.LogLeaf{}
	for _, hash := range hashes {
		if len(hash) != len(ledger.Hash{}) {
			return nil, status.Errorf(codes.InvalidArgument, "a hash of %d bytes", len(hash))
		}
		found, err := t.engine.findLeaves(ctx, t.snap, t.tree.TreeId, hash, t.root.TreeSize, func(tileID) *tile { return nil })
		if err != nil {
			return nil, err
		}
		for _, index := range found {
			value, err := t.snap.Get(ctx, store.TableLeaf, leafKey(t.tree.TreeId, index))
			if err != nil {
				return nil, err
			}
			leaf, err := logLeaf(index, value)
			if err != nil {
				return nil, err
			}
			leaves = append(leaves, leaf)
		}
	}
	if bySequence {
		slices.SortFunc(leaves, func(a, b *trillian.LogLeaf) int { return int(a.LeafIndex - b.LeafIndex) })
	}
	return leaves, nil
}
