// SPDX-License-Identifier: EUPL-1.2

// Package engine keeps the logs: RFC 6962 Merkle trees over leaves, one shard
// for each epoch, built by Trillian in this process over a store.Store.
//
// It is the only package that imports Trillian. There are two ways in. A Shard
// is the ledger's: Append runs one log.IntegrateBatch over a batch held in
// memory and makes one store.Commit of leaves, tiles, root and the caller's
// rows. LogStorage and AdminStorage are Trillian's own interfaces over the same
// rows, with Trillian's queue: they let its conformance suites judge the rows
// that shards stand on.
//
// Rows, all integers big-endian; log is an i64, the epoch for a shard:
//
//	tree       log                          trillian.Tree, protobuf
//	root       log                          Trillian's LogRootV1 (size, hash, time), TLS encoding
//	leaf       log ‖ u64 index              00 ‖ leaf, or 01 ‖ trillian.LogLeaf, protobuf
//	tile       log ‖ u8 level ‖ u64 index   1 to 256 hashes: a tile of c2sp.org/tlog-tiles
//	leaf_hash  log ‖ hash[:8] ‖ u64 index   empty
//	identity   log ‖ identity hash          trillian.LogLeaf       (queue only)
//	queue      log ‖ u64 nanoseconds ‖ identity hash   trillian.LogLeaf   (queue only)
//
// leaf_hash is the one index in random order. Eight bytes of the hash keep it
// small; the leaf index in the key keeps equal prefixes apart, so it is written
// without being read, and a find compares the whole hash with the tile. A
// shard's leaves are unique by construction (their commitments are random), so
// Append looks no duplicate up and no filter in memory is needed; equal leaves
// are kept each at its index, as RFC 6962 allows.
//
// Trusted: the store. What must always hold: a root is committed together with
// the leaves and tiles it covers, and only over the root it extends, so that of
// two sequencers one gets store.ErrConflict and the log stays whole; a complete
// node never changes; after a commit of unknown outcome a shard appends nothing
// until it is opened again. Roots are unsigned: checkpoints are not made here.
package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/google/trillian"
	"github.com/google/trillian/storage"
	"github.com/google/trillian/types"
	"github.com/transparency-dev/merkle/rfc6962"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/store"
)

var (
	// ErrNoShard: the store has no log of that epoch.
	ErrNoShard = errors.New("engine: no such shard")
	// ErrShardExists: the store has a log of that epoch already.
	ErrShardExists = errors.New("engine: the shard exists")
	// ErrUncertain: a commit failed and may be there or not. The shard appends
	// nothing more until it is opened again.
	ErrUncertain = errors.New("engine: the outcome of a commit is unknown; open the shard again")
	// ErrRange: an index, size, level, width or count that the log doesn't have.
	ErrRange = errors.New("engine: out of range")
)

// Engine opens the logs of one store. It is safe for concurrent use.
type Engine struct {
	store store.Store
	clock *monotonic
	cache *tileCache
}

// New returns the engine over s, which the caller closes after the last use.
func New(s store.Store) (*Engine, error) {
	startTrillian()
	cache, err := newTileCache(cachedTiles)
	if err != nil {
		return nil, err
	}
	return &Engine{store: s, clock: newMonotonic(), cache: cache}, nil
}

// LogStorage returns Trillian's view of the logs.
func (e *Engine) LogStorage() storage.LogStorage { return &logStorage{engine: e} }

// AdminStorage returns Trillian's view of the list of logs.
func (e *Engine) AdminStorage() storage.AdminStorage { return &adminStorage{engine: e} }

// A shard's tree is told from others by its name, and its id is the epoch.
func shardName(epoch uint32) string { return fmt.Sprintf("epoch %d", epoch) }

// CreateShard makes the empty log of an epoch, in one commit.
func (e *Engine) CreateShard(ctx context.Context, epoch uint32) (*Shard, error) {
	now := e.clock.Now()
	tree := &trillian.Tree{
		TreeId:          int64(epoch),
		TreeState:       trillian.TreeState_ACTIVE,
		TreeType:        trillian.TreeType_LOG,
		DisplayName:     shardName(epoch),
		MaxRootDuration: durationpb.New(0),
		CreateTime:      timestamppb.New(now),
		UpdateTime:      timestamppb.New(now),
	}
	treeRow, err := proto.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("couldn't create the shard: %w", err)
	}
	root := types.LogRootV1{RootHash: rfc6962.DefaultHasher.EmptyRoot(), TimestampNanos: uint64(now.UnixNano())}
	rootRow, err := root.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("couldn't create the shard: %w", err)
	}
	key := logKey(tree.TreeId)
	err = e.store.Commit(ctx,
		[]store.Row{{Table: store.TableTree, Key: key}, {Table: store.TableRoot, Key: key}},
		[]store.Row{{Table: store.TableTree, Key: key, Value: treeRow}, {Table: store.TableRoot, Key: key, Value: rootRow}})
	if errors.Is(err, store.ErrConflict) {
		return nil, ErrShardExists
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't create the shard: %w", err)
	}
	return e.OpenShard(ctx, epoch)
}

// OpenShard opens the log of an epoch as the last durable commit left it. It
// checks that the tiles give the root and that the last leaf is the last tile's,
// and returns an error wrapping store.ErrDamaged when they don't.
func (e *Engine) OpenShard(ctx context.Context, epoch uint32) (*Shard, error) {
	snap, err := e.store.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("couldn't open the shard: %w", err)
	}
	defer snap.Close()
	value, err := snap.Get(ctx, store.TableTree, logKey(int64(epoch)))
	if err != nil {
		return nil, fmt.Errorf("couldn't open the shard: %w", err)
	}
	if value == nil {
		return nil, fmt.Errorf("%w: epoch %d", ErrNoShard, epoch)
	}
	s := &Shard{engine: e, tree: new(trillian.Tree)}
	if err := proto.Unmarshal(value, s.tree); err != nil {
		return nil, fmt.Errorf("couldn't open the shard: %w: the tree row of epoch %d", store.ErrDamaged, epoch)
	}
	st, err := s.load(ctx, snap)
	if err != nil {
		return nil, fmt.Errorf("couldn't open the shard: %w", err)
	}
	s.state.Store(st)
	e.clock.atLeast(st.nanos)
	return s, nil
}

// Epochs returns the epochs that have a shard, ascending.
func (e *Engine) Epochs(ctx context.Context) ([]uint32, error) {
	snap, err := e.store.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("couldn't list the shards: %w", err)
	}
	defer snap.Close()
	trees, err := readTrees(ctx, snap)
	if err != nil {
		return nil, fmt.Errorf("couldn't list the shards: %w", err)
	}
	var epochs []uint32
	for _, tree := range trees {
		if tree.TreeId <= math.MaxUint32 && tree.DisplayName == shardName(uint32(tree.TreeId)) {
			epochs = append(epochs, uint32(tree.TreeId))
		}
	}
	slices.Sort(epochs)
	return epochs, nil
}

// Root is a log's size and its RFC 6962 root.
type Root struct {
	Size uint64
	Hash ledger.Hash
}
