// SPDX-License-Identifier: EUPL-1.2

package engine

import (
	"context"
	"fmt"

	"github.com/google/trillian"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// What follows reads a shard's rows as they are stored, without the checks and caches of a Shard: for whoever verifies
// the store itself, and must be able to read one that OpenShard refuses.

// StoredRoot returns the root that a shard's row states. It is ErrNoShard, or wraps store.ErrDamaged, where there is none
// that can be read.
func StoredRoot(ctx context.Context, r store.Reader, epoch uint32) (Root, error) {
	row, err := r.Get(ctx, store.TableRoot, logKey(int64(epoch)))
	if err != nil {
		return Root{}, err
	}
	if row == nil {
		return Root{}, fmt.Errorf("%w: epoch %d", ErrNoShard, epoch)
	}
	st, err := parseState(row)
	if err != nil {
		return Root{}, err
	}
	return st.root, nil
}

// CheckTree returns an error that wraps store.ErrDamaged unless the row that lists a shard is one that CreateShard writes,
// but for its times.
func CheckTree(ctx context.Context, r store.Reader, epoch uint32) error {
	row, err := r.Get(ctx, store.TableTree, logKey(int64(epoch)))
	if err != nil {
		return err
	}
	tree := new(trillian.Tree)
	if row == nil || proto.Unmarshal(row, tree) != nil {
		return damagedTree(int64(epoch))
	}
	want := &trillian.Tree{
		TreeId: int64(epoch), TreeState: trillian.TreeState_ACTIVE, TreeType: trillian.TreeType_LOG,
		DisplayName: shardName(epoch), MaxRootDuration: durationpb.New(0),
		CreateTime: tree.CreateTime, UpdateTime: tree.UpdateTime,
	}
	if !proto.Equal(tree, want) {
		return damagedTree(int64(epoch))
	}
	return nil
}

// StoredLeaves calls f for the leaf rows with from <= index < to, ascending; the leaf is valid during the call, and nil
// for a row that holds none.
func StoredLeaves(ctx context.Context, r store.Reader, epoch uint32, from, to uint64, f func(index uint64, leaf []byte) error) error {
	id := int64(epoch)
	return r.Scan(ctx, store.TableLeaf, leafKey(id, from), leafKey(id, to), 0, func(key, value []byte) error {
		if len(key) != 16 {
			return nil // StrayRows reports it
		}
		index := be.Uint64(key[8:])
		leaf, err := leafRow(index, value)
		if err != nil {
			leaf = nil
		}
		return f(index, leaf)
	})
}

// StoredTile returns a tile's row, nil where there is none.
func StoredTile(ctx context.Context, r store.Reader, epoch uint32, level uint, index uint64) ([]byte, error) {
	return r.Get(ctx, store.TableTile, tileKey(tileID{int64(epoch), level, index}))
}

// StoredTiles calls f for each tile row, by level and index; hashes is valid during the call.
func StoredTiles(ctx context.Context, r store.Reader, epoch uint32, f func(level uint, index uint64, hashes []byte) error) error {
	prefix := logKey(int64(epoch))
	return r.Scan(ctx, store.TableTile, prefix, store.After(prefix), 0, func(key, value []byte) error {
		if len(key) != 17 {
			return nil
		}
		return f(uint(key[8]), be.Uint64(key[9:]), value)
	})
}

// LeafHashPrefix is as much of a leaf hash as its row by hash keeps.
type LeafHashPrefix [hashPrefix]byte

// PrefixOf returns that part of a leaf hash.
func PrefixOf(hash ledger.Hash) LeafHashPrefix { return LeafHashPrefix(hash[:hashPrefix]) }

// StoredLeafHashes calls f for each row that finds a leaf by its hash, in the order of hashes.
func StoredLeafHashes(ctx context.Context, r store.Reader, epoch uint32, f func(prefix LeafHashPrefix, index uint64) error) error {
	prefix := logKey(int64(epoch))
	return r.Scan(ctx, store.TableLeafHash, prefix, store.After(prefix), 0, func(key, value []byte) error {
		if len(key) != 16+hashPrefix || len(value) > 0 {
			return nil
		}
		return f(LeafHashPrefix(key[8:]), be.Uint64(key[8+hashPrefix:]))
	})
}

// HasLeafHash says whether the leaf at index can be found by its hash.
func HasLeafHash(ctx context.Context, r store.Reader, epoch uint32, hash ledger.Hash, index uint64) (bool, error) {
	value, err := r.Get(ctx, store.TableLeafHash, be.AppendUint64(leafHashKey(int64(epoch), hash[:]), index))
	return value != nil, err
}

// StrayRows counts, by table, the rows of the engine that belong to none of these shards or whose key has another form.
// Rows of Trillian's queue are all stray: a ledger never uses it.
func StrayRows(ctx context.Context, r store.Reader, epochs []uint32) (map[store.Table]uint64, error) {
	lengths := map[store.Table]int{
		store.TableTree: 8, store.TableRoot: 8, store.TableLeaf: 16, store.TableTile: 17,
		store.TableLeafHash: 16 + hashPrefix, store.TableIdentity: 0, store.TableQueue: 0,
	}
	known := make(map[uint64]bool, len(epochs))
	for _, epoch := range epochs {
		known[uint64(epoch)] = true
	}
	stray := map[store.Table]uint64{}
	for table, length := range lengths {
		err := r.Scan(ctx, table, nil, nil, 0, func(key, _ []byte) error {
			if len(key) != length || !known[be.Uint64(key)] {
				stray[table]++
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("couldn't read the table %s: %w", table, err)
		}
	}
	return stray, nil
}
