// SPDX-License-Identifier: EUPL-1.2

// Package enginetest holds the tests that the engine passes over every store:
// Trillian's own suites, and what they don't cover. A SQL store runs the same.
package enginetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/store/storetest"
)

// Run runs all the suites. It calls f once for each store a test wants.
func Run(t *testing.T, f func(t *testing.T) storetest.Factory) {
	t.Run("Trillian", func(t *testing.T) { runTrillian(t, f) })
	for _, test := range []struct {
		name string
		run  func(*testing.T, storetest.Factory)
	}{
		{"Shards", testShards},
		{"Append", testAppend},
		{"AppendRefuses", testAppendRefuses},
		{"RowsAlone", testRowsAlone},
		{"ProofsAtAllSizes", testProofsAtAllSizes},
		{"Tiles", testTiles},
		{"BigLog", testBigLog},
		{"Duplicates", testDuplicates},
		{"Reopen", testReopen},
		{"TwoEngines", testTwoEngines},
		{"WhileAppending", testWhileAppending},
		{"Uncertain", testUncertain},
		{"Damage", testDamage},
		{"NodeRoundTrips", testNodeRoundTrips},
		{"LeavesByHash", testLeavesByHash},
		{"TwoSigners", testTwoSigners},
		{"QueueDuplicates", testQueueDuplicates},
		{"SmallerRoots", testSmallerRoots},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, f(t)) })
	}
}

const epoch = 2026

// leaf returns a leaf of 102 bytes that is like no other.
func leaf(i uint64) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 102), i)
	for len(b) < 102 {
		b = append(b, byte(i)+byte(len(b)))
	}
	return b
}

func leaves(from, to uint64) [][]byte {
	var out [][]byte
	for i := from; i < to; i++ {
		out = append(out, leaf(i))
	}
	return out
}

// reference is the tree computed the plain way, RFC 6962 §2.1.
type reference []ledger.Hash

func referenceOf(leaves [][]byte) reference {
	hashes := make(reference, len(leaves))
	for i, l := range leaves {
		hashes[i] = ledger.HashLeaf(l)
	}
	return hashes
}

func (r reference) root() ledger.Hash {
	switch len(r) {
	case 0:
		return ledger.Hash{0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
			0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55}
	case 1:
		return r[0]
	}
	k := 1
	for k*2 < len(r) {
		k *= 2
	}
	return ledger.HashChildren(r[:k].root(), r[k:].root())
}

// tile returns a tile as c2sp.org/tlog-tiles defines it, from the leaves.
func (r reference) tile(level uint, index uint64, width int) []byte {
	var tile []byte
	for i := range uint64(width) {
		span := uint64(1) << (8 * level)
		at := (index*256 + i) * span
		hash := r[at : at+span].root()
		tile = append(tile, hash[:]...)
	}
	return tile
}

func newShard(t *testing.T, e *engine.Engine) *engine.Shard {
	t.Helper()
	s, err := e.CreateShard(t.Context(), epoch)
	if err != nil {
		t.Fatalf("CreateShard: %v", err)
	}
	return s
}

func mustAppend(t *testing.T, s *engine.Shard, leaves [][]byte) engine.Root {
	t.Helper()
	root, err := s.Append(t.Context(), leaves, nil)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	return root
}

// checkLog reads the whole log back and recomputes its root.
func checkLog(t *testing.T, s *engine.Shard, want [][]byte) {
	t.Helper()
	root := s.Root()
	if root.Size != uint64(len(want)) {
		t.Fatalf("the log has %d leaves, want %d", root.Size, len(want))
	}
	var got [][]byte
	for next := uint64(0); next < root.Size; next = uint64(len(got)) {
		more, err := s.Leaves(t.Context(), next, 1000)
		if err != nil || len(more) == 0 {
			t.Fatalf("Leaves(%d) = %d leaves, %v", next, len(more), err)
		}
		got = append(got, more...)
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("leaf %d is another", i)
		}
	}
	if hash := referenceOf(got).root(); hash != root.Hash {
		t.Fatalf("the root of size %d is %x, want %x", root.Size, root.Hash, hash)
	}
}

func flipped(h ledger.Hash, bit int) ledger.Hash {
	h[bit/8] ^= 1 << (bit % 8)
	return h
}

func label(format string, args ...any) string { return fmt.Sprintf(format, args...) }
