// SPDX-License-Identifier: EUPL-1.2

package enginetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/store/storetest"
)

func be(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func slicesOf(hashes []ledger.Hash) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}

var factory = compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

// rangeRoot merges a range proof with the leaves it is about.
func rangeRoot(from, to, size uint64, left, right []ledger.Hash, between reference) (ledger.Hash, error) {
	whole, err := factory.NewRange(0, from, slicesOf(left))
	if err != nil {
		return ledger.Hash{}, err
	}
	for _, h := range between {
		if err := whole.Append(h[:], nil); err != nil {
			return ledger.Hash{}, err
		}
	}
	rest, err := factory.NewRange(to, size, slicesOf(right))
	if err != nil {
		return ledger.Hash{}, err
	}
	if err := whole.AppendRange(rest, nil); err != nil {
		return ledger.Hash{}, err
	}
	root, err := whole.GetRootHash(nil)
	if err != nil || size == 0 {
		return reference(nil).root(), err
	}
	return ledger.Hash(root), nil
}

// testProofsAtAllSizes grows a log leaf by leaf and proves everything about
// every size from the last one, and that a changed proof is refused.
func testProofsAtAllSizes(t *testing.T, f storetest.Factory) {
	const n = 70
	s := newShard(t, newEngine(t, openStore(t, f)))
	all := leaves(0, n)
	hashes := referenceOf(all)
	for i := range all {
		mustAppend(t, s, all[i:i+1])
	}
	for size := uint64(0); size <= n; size++ {
		root, err := s.RootAt(t.Context(), size)
		if err != nil || root != hashes[:size].root() {
			t.Fatalf("RootAt(%d) = %x, %v", size, root, err)
		}
		for index := range size {
			p, err := s.Inclusion(t.Context(), index, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, hashes[index][:], slicesOf(p), root[:]); err != nil {
				t.Fatalf("leaf %d of %d: %v", index, size, err)
			}
			for i := range p {
				p[i] = flipped(p[i], int(index+size)%256)
				if proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, hashes[index][:], slicesOf(p), root[:]) == nil {
					t.Fatalf("leaf %d of %d: a changed proof is good", index, size)
				}
				p[i] = flipped(p[i], int(index+size)%256)
			}
		}
		for from := range size + 1 {
			p, err := s.Consistency(t.Context(), from, size)
			if err != nil {
				t.Fatal(err)
			}
			old := hashes[:from].root()
			if err := proof.VerifyConsistency(rfc6962.DefaultHasher, from, size, slicesOf(p), old[:], root[:]); err != nil {
				t.Fatalf("from %d to %d: %v", from, size, err)
			}
			for to := from; to <= size; to += 1 + (size-from)/5 {
				left, right, err := s.Range(t.Context(), from, to, size)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := rangeRoot(from, to, size, left, right, hashes[from:to]); err != nil || got != root {
					t.Fatalf("range %d to %d of %d: %x, %v", from, to, size, got, err)
				}
			}
		}
	}
	checkRefusals(t, s, n)
}

func checkRefusals(t *testing.T, s *engine.Shard, n uint64) {
	t.Helper()
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"inclusion of the next leaf":        func() error { _, err := s.Inclusion(ctx, n, n); return err },
		"inclusion at a size to come":       func() error { _, err := s.Inclusion(ctx, 0, n+1); return err },
		"inclusion in nothing":              func() error { _, err := s.Inclusion(ctx, 0, 0); return err },
		"inclusion far away":                func() error { _, err := s.Inclusion(ctx, math.MaxUint64, math.MaxUint64); return err },
		"consistency to a size to come":     func() error { _, err := s.Consistency(ctx, 1, n+1); return err },
		"consistency backwards":             func() error { _, err := s.Consistency(ctx, 3, 2); return err },
		"root at a size to come":            func() error { _, err := s.RootAt(ctx, n+1); return err },
		"range at a size to come":           func() error { _, _, err := s.Range(ctx, 0, 1, n+1); return err },
		"range backwards":                   func() error { _, _, err := s.Range(ctx, 3, 2, n); return err },
		"range beyond its size":             func() error { _, _, err := s.Range(ctx, 1, 5, 4); return err },
		"leaves from beyond the end":        func() error { _, err := s.Leaves(ctx, n+1, 1); return err },
		"a tile wider than the log":         func() error { _, err := s.Tile(ctx, 0, n/256, int(n%256)+1); return err },
		"a tile of no width":                func() error { _, err := s.Tile(ctx, 0, 0, 0); return err },
		"a tile wider than a tile":          func() error { _, err := s.Tile(ctx, 0, 0, 257); return err },
		"a tile far away":                   func() error { _, err := s.Tile(ctx, 0, math.MaxUint64/256+1, 1); return err },
		"a tile too high":                   func() error { _, err := s.Tile(ctx, 7, 0, 1); return err },
		"a tile higher than there can be":   func() error { _, err := s.Tile(ctx, 8, 0, 1); return err },
		"entries wider than the log":        func() error { _, err := s.Entries(ctx, n/256, int(n%256)+1); return err },
		"entries of no width":               func() error { _, err := s.Entries(ctx, 0, 0); return err },
		"entries far away":                  func() error { _, err := s.Entries(ctx, math.MaxUint64/256+1, 1); return err },
		"entries with a width below nought": func() error { _, err := s.Entries(ctx, 0, -1); return err },
	} {
		if err := call(); !errors.Is(err, engine.ErrRange) {
			t.Errorf("%s: %v, want ErrRange", name, err)
		}
	}
	if got, err := s.Leaves(ctx, n, 5); err != nil || len(got) != 0 {
		t.Errorf("Leaves at the end = %d leaves, %v", len(got), err)
	}
	if got, err := s.Leaves(ctx, 0, math.MaxUint64); err != nil || uint64(len(got)) != min(n, engine.MaxRead) {
		t.Errorf("Leaves without end = %d leaves, %v", len(got), err)
	}
}

// testTiles compares every tile and entry bundle of some sizes, whole and in
// part, with those computed from the leaves.
func testTiles(t *testing.T, f storetest.Factory) {
	s := newShard(t, newEngine(t, openStore(t, f)))
	all := leaves(0, 600)
	hashes := referenceOf(all)
	for at, to := 0, 0; at < len(all); at = to {
		to = min(at+[]int{100, 155, 1, 1, 300}[at%5], len(all))
		mustAppend(t, s, all[at:to])
		for index := uint64(0); index*256 < uint64(to); index++ {
			full := min(256, to-int(index)*256)
			for _, width := range []int{1, (full + 1) / 2, full} {
				if got, err := s.Tile(t.Context(), 0, index, width); err != nil || !bytes.Equal(got, hashes.tile(0, index, width)) {
					t.Fatalf("size %d: tile %d, width %d: %v", to, index, width, err)
				}
				var want []byte
				for _, l := range all[index*256:][:width] {
					want = append(binary.BigEndian.AppendUint16(want, uint16(len(l))), l...)
				}
				if got, err := s.Entries(t.Context(), index, width); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("size %d: entries %d, width %d: %v", to, index, width, err)
				}
			}
		}
		if width := to / 256; width > 0 {
			if got, err := s.Tile(t.Context(), 1, 0, width); err != nil || !bytes.Equal(got, hashes.tile(1, 0, width)) {
				t.Fatalf("size %d: level 1, width %d: %v", to, width, err)
			}
		}
	}
	checkRefusals(t, s, uint64(len(all)))
}

// testBigLog has tiles on three levels, and proofs read them from a store with
// nothing in memory.
func testBigLog(t *testing.T, f storetest.Factory) {
	if testing.Short() {
		t.Skip("a log of 70,000 leaves")
	}
	const n = 256*256 + 4000
	st := f.Open(t)
	s := newShard(t, newEngine(t, st))
	hashes := make(reference, 0, n)
	tree := factory.NewEmptyRange(0)
	for at := uint64(0); at < n; {
		to := min(at+5000, n)
		batch := leaves(at, to)
		for _, l := range batch {
			h := ledger.HashLeaf(l)
			hashes = append(hashes, h)
			if err := tree.Append(h[:], nil); err != nil {
				t.Fatal(err)
			}
		}
		root := mustAppend(t, s, batch)
		want, err := tree.GetRootHash(nil)
		if err != nil || !bytes.Equal(root.Hash[:], want) {
			t.Fatalf("the root of size %d is %x, want %x, %v", to, root.Hash, want, err)
		}
		at = to
	}
	st = f.Reopen(t, st)
	defer st.Close()
	s, err := newEngine(t, st).OpenShard(t.Context(), epoch)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		size := 1 + r.Uint64N(n)
		index := r.Uint64N(size)
		root, err := s.RootAt(t.Context(), size)
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.Inclusion(t.Context(), index, size)
		if err != nil {
			t.Fatal(err)
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, hashes[index][:], slicesOf(p), root[:]); err != nil {
			t.Fatalf("leaf %d of %d: %v", index, size, err)
		}
		last := s.Root()
		c, err := s.Consistency(t.Context(), size, last.Size)
		if err != nil {
			t.Fatal(err)
		}
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, size, last.Size, slicesOf(c), root[:], last.Hash[:]); err != nil {
			t.Fatalf("from %d to %d: %v", size, last.Size, err)
		}
	}
	for _, test := range []struct {
		level uint
		index uint64
		width int
	}{{0, 256, 256}, {0, 0, 17}, {1, 0, 256}, {1, 1, n % (256 * 256) / 256}, {2, 0, 1}} {
		got, err := s.Tile(t.Context(), test.level, test.index, test.width)
		if err != nil || !bytes.Equal(got, hashes.tile(test.level, test.index, test.width)) {
			t.Errorf("%s: %v", label("tile %d of level %d, width %d", test.index, test.level, test.width), err)
		}
	}
}
