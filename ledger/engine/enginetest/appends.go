// SPDX-License-Identifier: EUPL-1.2

package enginetest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/store"
	"github.com/traccia-ledger/traccia/ledger/store/storetest"
)

func testShards(t *testing.T, f storetest.Factory) {
	e := newEngine(t, openStore(t, f))
	if _, err := e.OpenShard(t.Context(), epoch); !errors.Is(err, engine.ErrNoShard) {
		t.Errorf("opening what isn't there: %v", err)
	}
	for _, n := range []uint32{2027, 2026, 2030} {
		s, err := e.CreateShard(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := s.Root(), (engine.Root{Hash: reference(nil).root()}); got != want {
			t.Errorf("a new shard has root %v", got)
		}
		if _, err := e.CreateShard(t.Context(), n); !errors.Is(err, engine.ErrShardExists) {
			t.Errorf("creating what is there: %v", err)
		}
	}
	// Another log of Trillian's is no shard.
	if _, err := createTree(t, e); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Epochs(t.Context()); err != nil || !slices.Equal(got, []uint32{2026, 2027, 2030}) {
		t.Errorf("Epochs = %v, %v", got, err)
	}
	// Shards don't mix.
	a, _ := e.OpenShard(t.Context(), 2026)
	b, _ := e.OpenShard(t.Context(), 2027)
	mustAppend(t, a, leaves(0, 300))
	mustAppend(t, b, leaves(1000, 1010))
	mustAppend(t, a, leaves(300, 310))
	checkLog(t, a, leaves(0, 310))
	checkLog(t, b, leaves(1000, 1010))
}

func testAppend(t *testing.T, f storetest.Factory) {
	st := openStore(t, f)
	s := newShard(t, newEngine(t, st))
	r := rand.New(rand.NewPCG(3, 4))
	var all [][]byte
	for len(all) < 1500 {
		n := uint64([]int{1, 1, 2, 7, 64, 255, 256, 257, 400}[r.IntN(9)])
		batch := leaves(uint64(len(all)), uint64(len(all))+n)
		var rows []store.Row
		for i := range batch {
			key := be(uint64(len(all) + i))
			rows = append(rows, store.Row{Table: store.TableBody, Key: key, Value: batch[i][:20]})
		}
		root, err := s.Append(t.Context(), batch, rows)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, batch...)
		want := engine.Root{Size: uint64(len(all)), Hash: referenceOf(all).root()}
		if root != want || s.Root() != want {
			t.Fatalf("after %d leaves Append returned %v and Root %v, want %v", len(all), root, s.Root(), want)
		}
		// The rows came with the leaves.
		snap, err := st.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			if got, err := snap.Get(t.Context(), row.Table, row.Key); err != nil || !bytes.Equal(got, row.Value) {
				t.Fatalf("a row of the batch reads %x, %v", got, err)
			}
		}
		snap.Close()
	}
	checkLog(t, s, all)
	for i := range all {
		if got, ok, err := s.IndexOf(t.Context(), ledger.HashLeaf(all[i])); err != nil || !ok || got != uint64(i) {
			t.Fatalf("IndexOf(leaf %d) = %d, %v, %v", i, got, ok, err)
		}
	}
	if _, ok, err := s.IndexOf(t.Context(), ledger.HashLeaf([]byte("none"))); err != nil || ok {
		t.Errorf("IndexOf of no leaf = %v, %v", ok, err)
	}
	// A hash that shares what the index keeps, and no more, isn't found.
	near := ledger.HashLeaf(all[5])
	near[31] ^= 1
	if _, ok, err := s.IndexOf(t.Context(), near); err != nil || ok {
		t.Errorf("IndexOf of a hash with the same first bytes = %v, %v", ok, err)
	}
}

func testAppendRefuses(t *testing.T, f storetest.Factory) {
	s := newShard(t, newEngine(t, openStore(t, f)))
	mustAppend(t, s, leaves(0, 3))
	before := s.Root()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name   string
		ctx    context.Context
		leaves [][]byte
		rows   []store.Row
	}{
		{"an empty leaf", t.Context(), [][]byte{leaf(9), {}}, nil},
		{"a leaf too long", t.Context(), [][]byte{make([]byte, ledger.MaxLeaf+1)}, nil},
		{"a row of the engine's", t.Context(), leaves(9, 10), []store.Row{{Table: store.TableRoot, Key: []byte{1}, Value: []byte{1}}}},
		{"a row without a key", t.Context(), leaves(9, 10), []store.Row{{Table: store.TableBody, Value: []byte{1}}}},
		{"an ended context", ended, leaves(9, 10), nil},
	} {
		if _, err := s.Append(test.ctx, test.leaves, test.rows); err == nil || errors.Is(err, engine.ErrUncertain) {
			t.Errorf("%s: %v", test.name, err)
		}
		if s.Root() != before {
			t.Errorf("%s changed the root", test.name)
		}
	}
	longest := bytes.Repeat([]byte{7}, ledger.MaxLeaf)
	mustAppend(t, s, [][]byte{longest})
	checkLog(t, s, append(leaves(0, 3), longest))
}

func testRowsAlone(t *testing.T, f storetest.Factory) {
	st := openStore(t, f)
	e := newEngine(t, st)
	s := newShard(t, e)
	mustAppend(t, s, leaves(0, 5))
	other, err := e.OpenShard(t.Context(), epoch)
	if err != nil {
		t.Fatal(err)
	}
	row := store.Row{Table: store.TableWrap, Key: []byte("handle"), Value: []byte("wrap")}
	root, err := s.Append(t.Context(), nil, []store.Row{row})
	if err != nil || root != s.Root() || root.Size != 5 {
		t.Errorf("rows alone: %v, %v", root, err)
	}
	mustAppend(t, s, leaves(5, 6))
	if _, err := other.Append(t.Context(), nil, []store.Row{row}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("rows alone after somebody appended: %v", err)
	}
}

// Equal leaves are kept each at its index, inside a batch and across batches.
func testDuplicates(t *testing.T, f storetest.Factory) {
	s := newShard(t, newEngine(t, openStore(t, f)))
	all := [][]byte{leaf(1), leaf(2), leaf(1)}
	mustAppend(t, s, all)
	mustAppend(t, s, [][]byte{leaf(2), leaf(3)})
	mustAppend(t, s, [][]byte{leaf(1)})
	all = append(all, leaf(2), leaf(3), leaf(1))
	checkLog(t, s, all)
	for i, want := range map[uint64]uint64{1: 0, 2: 1, 3: 4} {
		if got, ok, err := s.IndexOf(t.Context(), ledger.HashLeaf(leaf(i))); err != nil || !ok || got != want {
			t.Errorf("IndexOf(%d) = %d, %v, %v, want the first, %d", i, got, ok, err, want)
		}
	}
}

func testReopen(t *testing.T, f storetest.Factory) {
	st := f.Open(t)
	s := newShard(t, newEngine(t, st))
	var all [][]byte
	for i, n := range []uint64{1, 254, 1, 1, 300, 65} {
		batch := leaves(uint64(len(all)), uint64(len(all))+n)
		root := mustAppend(t, s, batch)
		all = append(all, batch...)
		st = f.Reopen(t, st)
		e := newEngine(t, st)
		var err error
		if s, err = e.OpenShard(t.Context(), epoch); err != nil {
			t.Fatal(err)
		}
		if s.Root() != root {
			t.Fatalf("reopened %d: root %v, want %v", i, s.Root(), root)
		}
		checkLog(t, s, all)
		checkSomeProofs(t, s, all)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

func checkSomeProofs(t *testing.T, s *engine.Shard, all [][]byte) {
	t.Helper()
	root := s.Root()
	for _, i := range []uint64{0, root.Size / 2, root.Size - 1} {
		p, err := s.Inclusion(t.Context(), i, root.Size)
		if err != nil {
			t.Fatal(err)
		}
		h := ledger.HashLeaf(all[i])
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, i, root.Size, h[:], slicesOf(p), root.Hash[:]); err != nil {
			t.Errorf("leaf %d of %d: %v", i, root.Size, err)
		}
	}
}

// testTwoEngines lets two engines with caches of their own append to one store.
func testTwoEngines(t *testing.T, f storetest.Factory) {
	st := openStore(t, f)
	newShard(t, newEngine(t, st))
	var shards [2]*engine.Shard
	reopen := func(i int) {
		t.Helper()
		var err error
		if shards[i], err = newEngine(t, st).OpenShard(t.Context(), epoch); err != nil {
			t.Fatal(err)
		}
	}
	reopen(0)
	reopen(1)
	var all [][]byte
	for turn := range 12 {
		winner, loser := shards[turn%2], shards[1-turn%2]
		batch := leaves(uint64(len(all)), uint64(len(all)+100))
		mustAppend(t, winner, batch)
		all = append(all, batch...)
		before := loser.Root()
		lost := store.Row{Table: store.TableBody, Key: be(uint64(turn)), Value: []byte("lost")}
		for range 2 { // and again: the shard isn't stopped, it is behind
			_, err := loser.Append(t.Context(), leaves(1e6, 1e6+50), []store.Row{lost})
			if !errors.Is(err, store.ErrConflict) || errors.Is(err, engine.ErrUncertain) {
				t.Fatalf("turn %d: the loser got %v", turn, err)
			}
		}
		if loser.Root() != before {
			t.Errorf("turn %d: the loser's root changed", turn)
		}
		// It still proves what it knows.
		if before.Size > 0 {
			checkSomeProofs(t, loser, all)
		}
		reopen(1 - turn%2)
	}
	reopen(0)
	checkLog(t, shards[0], all)
	snap, err := st.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	if err := snap.Scan(t.Context(), store.TableBody, nil, nil, 0, func(_, _ []byte) error {
		return errors.New("a row of a loser is there")
	}); err != nil {
		t.Error(err)
	}
}

// testWhileAppending proves and reads from several goroutines while the log
// grows; every answer must be right for the root it was asked at.
func testWhileAppending(t *testing.T, f storetest.Factory) {
	s := newShard(t, newEngine(t, openStore(t, f)))
	all := leaves(0, 2000)
	hashes := referenceOf(all)
	mustAppend(t, s, all[:1])
	done := make(chan struct{})
	var group sync.WaitGroup
	for seed := range uint64(3) {
		group.Go(func() {
			r := rand.New(rand.NewPCG(seed, 1))
			for {
				root := s.Root()
				i := r.Uint64N(root.Size)
				p, err := s.Inclusion(t.Context(), i, root.Size)
				if err == nil {
					err = proof.VerifyInclusion(rfc6962.DefaultHasher, i, root.Size, hashes[i][:], slicesOf(p), root.Hash[:])
				}
				if err != nil {
					t.Errorf("leaf %d of %d: %v", i, root.Size, err)
					return
				}
				width := int(min(256, root.Size-i/256*256))
				tile, err := s.Tile(t.Context(), 0, i/256, width)
				if err != nil || !bytes.Equal(tile, hashes.tile(0, i/256, width)) {
					t.Errorf("tile of leaf %d of %d: %v", i, root.Size, err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for at := 1; at < len(all); {
		to := min(at+37, len(all))
		mustAppend(t, s, all[at:to])
		at = to
	}
	close(done)
	group.Wait()
	checkLog(t, s, all)
}
