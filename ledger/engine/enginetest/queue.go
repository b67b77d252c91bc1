// SPDX-License-Identifier: EUPL-1.2

package enginetest

import (
	"bytes"
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/trillian"
	"github.com/google/trillian/storage"
	"github.com/google/trillian/storage/testonly"
	"github.com/google/trillian/storage/tree"
	"github.com/google/trillian/types"
	"github.com/transparency-dev/merkle/compact"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/store/storetest"
)

// What Trillian's suites leave out of its own interface.

func createTree(t *testing.T, e *engine.Engine) (*trillian.Tree, error) {
	t.Helper()
	tree, err := storage.CreateTree(t.Context(), e.AdminStorage(), proto.Clone(testonly.LogTree).(*trillian.Tree))
	if err != nil {
		return nil, err
	}
	_, err = newClient(e).server.InitLog(t.Context(), &trillian.InitLogRequest{LogId: tree.TreeId})
	return tree, err
}

func logLeaf(i uint64) *trillian.LogLeaf {
	hash := ledger.HashLeaf(leaf(i))
	return &trillian.LogLeaf{LeafValue: leaf(i), MerkleLeafHash: hash[:], LeafIdentityHash: hash[:]}
}

func queue(t *testing.T, e *engine.Engine, tree *trillian.Tree, from, to uint64) []*trillian.QueuedLogLeaf {
	t.Helper()
	var batch []*trillian.LogLeaf
	for i := from; i < to; i++ {
		batch = append(batch, logLeaf(i))
	}
	out, err := e.LogStorage().QueueLeaves(t.Context(), tree, batch, time.Now())
	if err != nil {
		t.Fatalf("QueueLeaves: %v", err)
	}
	return out
}

func inSnapshot(t *testing.T, e *engine.Engine, tree *trillian.Tree, f func(storage.ReadOnlyLogTreeTX)) {
	t.Helper()
	tx, err := e.LogStorage().SnapshotForTree(t.Context(), tree)
	if err != nil {
		t.Fatalf("SnapshotForTree: %v", err)
	}
	defer tx.Close()
	f(tx)
	if err := tx.Commit(t.Context()); err != nil {
		t.Errorf("Commit: %v", err)
	}
}

func testNodeRoundTrips(t *testing.T, f storetest.Factory) {
	e := newEngine(t, openStore(t, f))
	log, err := createTree(t, e)
	if err != nil {
		t.Fatal(err)
	}
	hashes := referenceOf(leaves(0, 800))
	want := map[compact.NodeID][]byte{}
	growing := factory.NewEmptyRange(0)
	r := rand.New(rand.NewPCG(8, 9))
	for growing.End() < uint64(len(hashes)) {
		var nodes []tree.Node
		for range min(uint64(1+r.IntN(300)), uint64(len(hashes))-growing.End()) {
			if err := growing.Append(hashes[growing.End()][:], func(id compact.NodeID, hash []byte) {
				want[id] = hash
				nodes = append(nodes, tree.Node{ID: id, Hash: hash})
			}); err != nil {
				t.Fatal(err)
			}
		}
		r.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
		if err := e.LogStorage().ReadWriteTransaction(t.Context(), log, func(ctx context.Context, tx storage.LogTreeTX) error {
			return tx.SetMerkleNodes(ctx, nodes)
		}); err != nil {
			t.Fatal(err)
		}
		// All nodes so far, those of inner levels too, in the order asked for.
		inSnapshot(t, e, log, func(tx storage.ReadOnlyLogTreeTX) {
			var ids []compact.NodeID
			for id := range want {
				ids = append(ids, id)
			}
			got, err := tx.GetMerkleNodes(t.Context(), ids)
			if err != nil {
				t.Fatal(err)
			}
			for i, node := range got {
				if node.ID != ids[i] || !bytes.Equal(node.Hash, want[ids[i]]) {
					t.Fatalf("node %v came back as %v %x, want %x", ids[i], node.ID, node.Hash, want[ids[i]])
				}
			}
			if _, err := tx.GetMerkleNodes(t.Context(), []compact.NodeID{compact.NewNodeID(0, growing.End())}); err == nil {
				t.Error("a node that isn't there was read")
			}
		})
	}
}

func testLeavesByHash(t *testing.T, f storetest.Factory) {
	e := newEngine(t, openStore(t, f))
	tree, err := createTree(t, e)
	if err != nil {
		t.Fatal(err)
	}
	// Two leaves with one Merkle hash and two identities.
	twin := logLeaf(2)
	twin.LeafIdentityHash = bytes.Repeat([]byte{9}, 32)
	queue(t, e, tree, 0, 5)
	if _, err := e.LogStorage().QueueLeaves(t.Context(), tree, []*trillian.LogLeaf{twin}, time.Now()); err != nil {
		t.Fatal(err)
	}
	asked := [][]byte{logLeaf(2).MerkleLeafHash, logLeaf(77).MerkleLeafHash, logLeaf(0).MerkleLeafHash}
	// Queued is not yet in the log.
	inSnapshot(t, e, tree, func(tx storage.ReadOnlyLogTreeTX) {
		if got, err := tx.GetLeavesByHash(t.Context(), asked, true); err != nil || len(got) != 0 {
			t.Errorf("before integration: %d leaves, %v", len(got), err)
		}
	})
	if n, err := integrate(t.Context(), e, tree, 100); err != nil || n != 6 {
		t.Fatalf("integrated %d, %v", n, err)
	}
	inSnapshot(t, e, tree, func(tx storage.ReadOnlyLogTreeTX) {
		got, err := tx.GetLeavesByHash(t.Context(), asked, true)
		if err != nil || len(got) != 3 {
			t.Fatalf("%d leaves, %v, want 3", len(got), err)
		}
		last := int64(-1)
		twos := 0
		for _, l := range got {
			if l.LeafIndex <= last {
				t.Errorf("index %d after %d", l.LeafIndex, last)
			}
			last = l.LeafIndex
			if bytes.Equal(l.LeafValue, leaf(2)) {
				twos++
			}
		}
		if twos != 2 {
			t.Errorf("%d of the twins were found", twos)
		}
	})
	// A shard's leaves are found through Trillian's interface too.
	s := newShard(t, e)
	mustAppend(t, s, leaves(0, 10))
	shard, err := storage.GetTree(t.Context(), e.AdminStorage(), epoch)
	if err != nil {
		t.Fatal(err)
	}
	inSnapshot(t, e, shard, func(tx storage.ReadOnlyLogTreeTX) {
		got, err := tx.GetLeavesByHash(t.Context(), asked, false)
		if err != nil || len(got) != 2 || got[0].LeafIndex != 2 || got[1].LeafIndex != 0 || !bytes.Equal(got[0].LeafValue, leaf(2)) {
			t.Errorf("of a shard: %v, %v", got, err)
		}
	})
}

// testTwoSigners lets several signers integrate one queue: each leaf is in the
// log once.
func testTwoSigners(t *testing.T, f storetest.Factory) {
	const n = 400
	st := openStore(t, f)
	e := newEngine(t, st)
	tree, err := createTree(t, e)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for i := range uint64(n / 20) {
			queue(t, e, tree, i*20, i*20+20)
		}
	})
	var mu sync.Mutex
	total := 0
	for range 3 {
		signer := newEngine(t, st)
		group.Go(func() {
			for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
				// One that loses, or whose clock is behind the other's root, tries again.
				got, _ := integrate(t.Context(), signer, tree, 15)
				mu.Lock()
				total += got
				done := total >= n
				mu.Unlock()
				if done {
					return
				}
			}
		})
	}
	group.Wait()
	inSnapshot(t, e, tree, func(tx storage.ReadOnlyLogTreeTX) {
		slr, err := tx.LatestSignedLogRoot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var root types.LogRootV1
		if err := root.UnmarshalBinary(slr.LogRoot); err != nil || root.TreeSize != n {
			t.Fatalf("the log has %d leaves, %v, want %d", root.TreeSize, err, n)
		}
		got, err := tx.GetLeavesByRange(t.Context(), 0, n)
		if err != nil || len(got) != n {
			t.Fatalf("%d leaves, %v", len(got), err)
		}
		seen := map[string]bool{}
		var values [][]byte
		for _, l := range got {
			seen[string(l.LeafValue)] = true
			values = append(values, l.LeafValue)
		}
		if len(seen) != n {
			t.Errorf("%d different leaves, want %d", len(seen), n)
		}
		if want := referenceOf(values).root(); !bytes.Equal(root.RootHash, want[:]) {
			t.Error("the root isn't that of the leaves")
		}
	})
}

func testQueueDuplicates(t *testing.T, f storetest.Factory) {
	e := newEngine(t, openStore(t, f))
	tree, err := createTree(t, e)
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string, batch []*trillian.LogLeaf, want ...codes.Code) {
		t.Helper()
		got, err := e.LogStorage().QueueLeaves(t.Context(), tree, batch, time.Now())
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		for i := range want {
			if code := codes.Code(got[i].GetStatus().GetCode()); code != want[i] {
				t.Errorf("%s: leaf %d is %v, want %v", when, i, code, want[i])
			}
			if !bytes.Equal(got[i].Leaf.LeafValue, batch[i].LeafValue) {
				t.Errorf("%s: leaf %d came back as another", when, i)
			}
		}
	}
	check("within a batch", []*trillian.LogLeaf{logLeaf(1), logLeaf(2), logLeaf(1)}, codes.OK, codes.OK, codes.AlreadyExists)
	check("in the queue", []*trillian.LogLeaf{logLeaf(3), logLeaf(2)}, codes.OK, codes.AlreadyExists)
	if n, err := integrate(t.Context(), e, tree, 100); err != nil || n != 3 {
		t.Fatalf("integrated %d, %v", n, err)
	}
	check("in the log", []*trillian.LogLeaf{logLeaf(1), logLeaf(4), logLeaf(3)}, codes.AlreadyExists, codes.OK, codes.AlreadyExists)
	if n, err := integrate(t.Context(), e, tree, 100); err != nil || n != 1 {
		t.Fatalf("integrated %d, %v", n, err)
	}
}

func testSmallerRoots(t *testing.T, f storetest.Factory) {
	e := newEngine(t, openStore(t, f))
	tree, err := createTree(t, e)
	if err != nil {
		t.Fatal(err)
	}
	queue(t, e, tree, 0, 10)
	if _, err := integrate(t.Context(), e, tree, 100); err != nil {
		t.Fatal(err)
	}
	root, err := (&types.LogRootV1{TreeSize: 9, RootHash: make([]byte, 32), TimestampNanos: uint64(time.Now().UnixNano())}).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.LogStorage().ReadWriteTransaction(t.Context(), tree, func(ctx context.Context, tx storage.LogTreeTX) error {
		return tx.StoreSignedLogRoot(ctx, &trillian.SignedLogRoot{LogRoot: root})
	}); err == nil {
		t.Error("a smaller root replaced a bigger one")
	}
}
