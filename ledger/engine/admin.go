// SPDX-License-Identifier: EUPL-1.2

package engine

import (
	"context"
	"fmt"

	"github.com/google/trillian"
	"github.com/google/trillian/storage"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/traccia-ledger/traccia/ledger/store"
)

// adminStorage is Trillian's storage.AdminStorage: the list of logs.
type adminStorage struct{ engine *Engine }

func (a *adminStorage) CheckDatabaseAccessible(ctx context.Context) error {
	snap, err := a.engine.store.Snapshot(ctx)
	if err != nil {
		return err
	}
	return snap.Close()
}

func (a *adminStorage) Snapshot(ctx context.Context) (storage.ReadOnlyAdminTX, error) {
	return a.begin(ctx)
}

func (a *adminStorage) begin(ctx context.Context) (*adminTX, error) {
	snap, err := a.engine.store.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return &adminTX{engine: a.engine, snap: snap, trees: map[int64]*trillian.Tree{}}, nil
}

func (a *adminStorage) ReadWriteTransaction(ctx context.Context, f storage.AdminTXFunc) error {
	return retry(func() error {
		tx, err := a.begin(ctx)
		if err != nil {
			return err
		}
		defer tx.Close()
		if err := f(ctx, tx); err != nil {
			return err
		}
		return a.engine.store.Commit(ctx, tx.expect, tx.write)
	})
}

// adminTX reads a snapshot and gathers writes; each tree it writes is expected
// to be as it was read.
type adminTX struct {
	engine        *Engine
	snap          store.Snapshot
	trees         map[int64]*trillian.Tree // written here; nil when deleted
	expect, write []store.Row
}

func (t *adminTX) Commit() error { return nil } // what was read is one snapshot

func (t *adminTX) Close() error { return t.snap.Close() }

func (t *adminTX) GetTree(ctx context.Context, treeID int64) (*trillian.Tree, error) {
	tree, _, err := t.read(ctx, treeID)
	return tree, err
}

// read also returns the row as the snapshot has it.
func (t *adminTX) read(ctx context.Context, treeID int64) (*trillian.Tree, []byte, error) {
	row, err := t.snap.Get(ctx, store.TableTree, logKey(treeID))
	if err != nil {
		return nil, nil, err
	}
	tree, written := t.trees[treeID]
	if !written && row != nil {
		tree = new(trillian.Tree)
		if err := proto.Unmarshal(row, tree); err != nil {
			return nil, nil, damagedTree(treeID)
		}
	}
	if tree == nil {
		return nil, nil, status.Errorf(codes.NotFound, "tree %d not found", treeID)
	}
	return proto.Clone(tree).(*trillian.Tree), row, nil
}

func damagedTree(treeID int64) error {
	return fmt.Errorf("%w: the tree row of log %d", store.ErrDamaged, treeID)
}

func readTrees(ctx context.Context, r store.Reader) ([]*trillian.Tree, error) {
	var trees []*trillian.Tree
	err := r.Scan(ctx, store.TableTree, nil, nil, 0, func(key, value []byte) error {
		tree := new(trillian.Tree)
		if err := proto.Unmarshal(value, tree); err != nil || len(key) != 8 || be.Uint64(key) != uint64(tree.TreeId) {
			return damagedTree(tree.TreeId)
		}
		trees = append(trees, tree)
		return nil
	})
	return trees, err
}

func (t *adminTX) ListTrees(ctx context.Context, includeDeleted bool) ([]*trillian.Tree, error) {
	all, err := readTrees(ctx, t.snap)
	if err != nil {
		return nil, err
	}
	trees := []*trillian.Tree{}
	for _, tree := range all {
		if includeDeleted || !tree.Deleted {
			trees = append(trees, tree)
		}
	}
	return trees, nil
}

// put writes a tree over the row it was read from, nil for none.
func (t *adminTX) put(tree *trillian.Tree, was []byte) error {
	row, err := proto.Marshal(tree)
	if err != nil {
		return err
	}
	key := logKey(tree.TreeId)
	t.expect = append(t.expect, store.Row{Table: store.TableTree, Key: key, Value: was})
	t.write = append(t.write, store.Row{Table: store.TableTree, Key: key, Value: row})
	t.trees[tree.TreeId] = proto.Clone(tree).(*trillian.Tree)
	return nil
}

func (t *adminTX) CreateTree(ctx context.Context, tree *trillian.Tree) (*trillian.Tree, error) {
	if err := storage.ValidateTreeForCreation(ctx, tree); err != nil {
		return nil, err
	}
	id, err := storage.NewTreeID()
	if err != nil {
		return nil, err
	}
	now := timestamppb.New(t.engine.clock.Now())
	created := proto.Clone(tree).(*trillian.Tree)
	created.TreeId, created.CreateTime, created.UpdateTime = id, now, proto.Clone(now).(*timestamppb.Timestamp)
	return created, t.put(created, nil)
}

func (t *adminTX) UpdateTree(ctx context.Context, treeID int64, update func(*trillian.Tree)) (*trillian.Tree, error) {
	tree, row, err := t.read(ctx, treeID)
	if err != nil {
		return nil, err
	}
	before := proto.Clone(tree).(*trillian.Tree)
	update(tree)
	if err := storage.ValidateTreeForUpdate(ctx, before, tree); err != nil {
		return nil, err
	}
	tree.UpdateTime = timestamppb.New(t.engine.clock.Now())
	return tree, t.put(tree, row)
}

func (t *adminTX) SoftDeleteTree(ctx context.Context, treeID int64) (*trillian.Tree, error) {
	return t.setDeleted(ctx, treeID, true)
}

func (t *adminTX) UndeleteTree(ctx context.Context, treeID int64) (*trillian.Tree, error) {
	return t.setDeleted(ctx, treeID, false)
}

func (t *adminTX) setDeleted(ctx context.Context, treeID int64, deleted bool) (*trillian.Tree, error) {
	tree, row, err := t.read(ctx, treeID)
	if err != nil {
		return nil, err
	}
	if tree.Deleted == deleted {
		return nil, status.Errorf(codes.FailedPrecondition, "tree %d: deleted is %v already", treeID, deleted)
	}
	tree.Deleted, tree.DeleteTime = deleted, nil
	if deleted {
		tree.DeleteTime = timestamppb.New(t.engine.clock.Now())
	}
	return tree, t.put(tree, row)
}

// HardDeleteTree removes a log and all its rows in one commit, gathered in
// memory: it is there for Trillian's suites. The ledger never deletes a log.
func (t *adminTX) HardDeleteTree(ctx context.Context, treeID int64) error {
	tree, row, err := t.read(ctx, treeID)
	if err != nil {
		return err
	}
	if !tree.Deleted {
		return status.Errorf(codes.FailedPrecondition, "tree %d isn't soft deleted", treeID)
	}
	prefix := logKey(treeID)
	t.expect = append(t.expect, store.Row{Table: store.TableTree, Key: prefix, Value: row})
	for table := store.TableTree; table < store.TableBody; table++ {
		if !table.Known() {
			continue
		}
		if err := t.snap.Scan(ctx, table, prefix, store.After(prefix), 0, func(key, _ []byte) error {
			t.write = append(t.write, store.Row{Table: table, Key: append([]byte(nil), key...)})
			return nil
		}); err != nil {
			return err
		}
	}
	t.trees[treeID] = nil
	return nil
}
