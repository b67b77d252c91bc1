// SPDX-License-Identifier: EUPL-1.2

package engine

import (
	"context"
	"errors"
	"time"

	"github.com/google/trillian"
	"github.com/google/trillian/storage"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/traccia-ledger/traccia/ledger/store"
)

// logStorage is Trillian's storage.LogStorage over the rows of all logs, with a
// queue for LOG trees and leaves at given places for PREORDERED_LOG trees.
type logStorage struct{ engine *Engine }

// attempts is how often a transaction that lost against another is run again.
const attempts = 8

// retry calls f until it doesn't lose against another writer.
func retry(f func() error) error {
	var err error
	for range attempts {
		if err = f(); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return err
}

func (s *logStorage) CheckDatabaseAccessible(ctx context.Context) error {
	return (&adminStorage{engine: s.engine}).CheckDatabaseAccessible(ctx)
}

// GetActiveLogIDs returns the logs that take leaves or still integrate some.
func (s *logStorage) GetActiveLogIDs(ctx context.Context) ([]int64, error) {
	snap, err := s.engine.store.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	trees, err := readTrees(ctx, snap)
	if err != nil {
		return nil, err
	}
	ids := []int64{}
	for _, tree := range trees {
		state := tree.TreeState
		if !tree.Deleted && (state == trillian.TreeState_ACTIVE || state == trillian.TreeState_DRAINING) {
			ids = append(ids, tree.TreeId)
		}
	}
	return ids, nil
}

// SnapshotForTree returns a transaction also with storage.ErrTreeNeedsInit.
func (s *logStorage) SnapshotForTree(ctx context.Context, tree *trillian.Tree) (storage.ReadOnlyLogTreeTX, error) {
	tx, err := s.begin(ctx, tree)
	if tx == nil {
		return nil, err
	}
	return tx, err
}

func (s *logStorage) begin(ctx context.Context, tree *trillian.Tree) (*logTX, error) {
	snap, err := s.engine.store.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	tx := &logTX{engine: s.engine, tree: tree, snap: snap, dequeued: map[string]bool{}}
	if err := tx.readRoot(ctx); err != nil && err != storage.ErrTreeNeedsInit {
		return nil, errors.Join(err, snap.Close())
	} else if err != nil {
		return tx, err
	}
	return tx, nil
}

// ReadWriteTransaction runs f again when another writer came first.
func (s *logStorage) ReadWriteTransaction(ctx context.Context, tree *trillian.Tree, f storage.LogTXFunc) error {
	return retry(func() error {
		tx, err := s.begin(ctx, tree)
		if err != nil && err != storage.ErrTreeNeedsInit {
			return err
		}
		defer tx.Close()
		if err := f(ctx, tx); err != nil {
			return err
		}
		return tx.Commit(ctx)
	})
}

// write is ReadWriteTransaction for a log that must have a root.
func (s *logStorage) write(ctx context.Context, tree *trillian.Tree, f func(*logTX) error) error {
	return retry(func() error {
		tx, err := s.begin(ctx, tree)
		if tx != nil {
			defer tx.Close()
		}
		if err != nil {
			return err
		}
		if err := f(tx); err != nil {
			return err
		}
		return tx.Commit(ctx)
	})
}

// QueueLeaves queues leaves and reports those whose identity is known, in the
// log, in the queue or earlier in the same batch.
func (s *logStorage) QueueLeaves(ctx context.Context, tree *trillian.Tree, leaves []*trillian.LogLeaf, at time.Time) ([]*trillian.QueuedLogLeaf, error) {
	var out []*trillian.QueuedLogLeaf
	err := s.write(ctx, tree, func(tx *logTX) error {
		out = make([]*trillian.QueuedLogLeaf, len(leaves))
		known, err := tx.identities(ctx, leaves)
		if err != nil {
			return err
		}
		for i, leaf := range leaves {
			if first := known[string(leaf.LeafIdentityHash)]; first != nil {
				out[i] = queued(first, codes.AlreadyExists, "the leaf exists")
				continue
			}
			stored := proto.Clone(leaf).(*trillian.LogLeaf)
			stored.QueueTimestamp = timestamppb.New(at)
			row, err := proto.Marshal(stored)
			if err != nil {
				return err
			}
			tx.put(store.Row{Table: store.TableIdentity, Key: identityKey(tree.TreeId, leaf.LeafIdentityHash), Value: row}, nil)
			tx.put(store.Row{Table: store.TableQueue, Key: queueKey(tree.TreeId, uint64(at.UnixNano()), leaf.LeafIdentityHash), Value: row}, nil)
			known[string(leaf.LeafIdentityHash)] = stored
			out[i] = &trillian.QueuedLogLeaf{Leaf: stored}
		}
		return nil
	})
	return out, err
}

func queued(leaf *trillian.LogLeaf, code codes.Code, message string) *trillian.QueuedLogLeaf {
	return &trillian.QueuedLogLeaf{Leaf: leaf, Status: status.New(code, message).Proto()}
}

// AddSequencedLeaves stores leaves at the indexes they bring. One that finds
// its index or identity taken is reported and stops none of the others.
func (s *logStorage) AddSequencedLeaves(ctx context.Context, tree *trillian.Tree, leaves []*trillian.LogLeaf, at time.Time) ([]*trillian.QueuedLogLeaf, error) {
	var out []*trillian.QueuedLogLeaf
	err := s.write(ctx, tree, func(tx *logTX) error {
		out = make([]*trillian.QueuedLogLeaf, len(leaves))
		known, err := tx.identities(ctx, leaves)
		if err != nil {
			return err
		}
		keys := make([][]byte, len(leaves))
		for i, leaf := range leaves {
			keys[i] = leafKey(tree.TreeId, uint64(leaf.LeafIndex))
		}
		rows, err := tx.snap.GetMany(ctx, store.TableLeaf, keys)
		if err != nil {
			return err
		}
		placed := map[int64]*trillian.LogLeaf{}
		for i, row := range rows {
			if row != nil {
				if placed[leaves[i].LeafIndex], err = logLeaf(uint64(leaves[i].LeafIndex), row); err != nil {
					return err
				}
			}
		}
		for i, leaf := range leaves {
			identity := string(leaf.LeafIdentityHash)
			there := placed[leaf.LeafIndex]
			switch {
			case there != nil && string(there.LeafIdentityHash) == identity:
				out[i] = queued(there, codes.AlreadyExists, "the leaf exists")
				continue
			case there != nil:
				out[i] = queued(there, codes.FailedPrecondition, "the index is taken")
				continue
			case known[identity] != nil:
				out[i] = queued(known[identity], codes.FailedPrecondition, "the leaf exists elsewhere")
				continue
			}
			stored := proto.Clone(leaf).(*trillian.LogLeaf)
			stored.QueueTimestamp = timestamppb.New(at)
			stored.IntegrateTimestamp = timestamppb.New(time.Unix(0, 0)) // not yet
			if err := tx.putLeaf(stored, nil); err != nil {
				return err
			}
			row, err := proto.Marshal(stored)
			if err != nil {
				return err
			}
			tx.put(store.Row{Table: store.TableIdentity, Key: identityKey(tree.TreeId, leaf.LeafIdentityHash), Value: row}, nil)
			known[identity], placed[leaf.LeafIndex] = stored, stored
			out[i] = &trillian.QueuedLogLeaf{Leaf: stored, Status: status.New(codes.OK, "").Proto()}
		}
		return nil
	})
	return out, err
}
