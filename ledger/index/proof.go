// SPDX-License-Identifier: EUPL-1.2

package index

import (
	"errors"
	"math/bits"
)

// Kind is what a proof shows about a key.
type Kind uint8

// The zero Kind is none of these, so a Result that came with an error says nothing.
const (
	Absent Kind = 1 // the key isn't in the tree
	Match  Kind = 2 // the key is in the tree, with Result.Index
)

func (k Kind) String() string {
	switch k {
	case Absent:
		return "absent"
	case Match:
		return "match"
	}
	return "unknown"
}

// Result is what Check found.
type Result struct {
	Kind  Kind
	Index uint64 // of a Match: the index in the log of the leaf that holds the key
}

// ErrProof is the one answer to a proof that is malformed or doesn't lead to the root.
var ErrProof = errors.New("index proof refused")

// The kinds on the wire.
const (
	wireEmpty = 0 // the path ends at an empty subtree
	wireMatch = 1 // the path ends at the key
	wireOther = 2 // the path ends at another key
)

// Prove returns the proof of what the tree holds for key, under the tree's Root:
//
//	u8 kind (0 empty, 1 match, 2 other) ‖ u8 depth d ‖ bitmap of ⌈d/8⌉ bytes ‖ [1: u64 index | 2: key 32 ‖ u64 index] ‖ siblings
//
// For example that the key whose leaf is 9 lies at depth 2, with one sibling that isn't empty, at depth 2:
//
//	01 02 40 0000000000000009 b22459c3…
//
// A proof is at most 10 + 32 + 32 + 255·32 bytes; at a million keys some 680.
func (t *Tree) Prove(key Hash) []byte {
	var bitmap [32]byte
	siblings := make([]byte, 0, 32*32)
	depth := 0
	down := func(sibling Hash) {
		if sibling != (Hash{}) {
			bitmap[depth/8] |= 0x80 >> (depth % 8)
			siblings = append(siblings, sibling[:]...)
		}
		depth++
	}

	t.Root()
	r := t.root
	for r != 0 && r&bucketBit == 0 {
		n := t.nodes.at(uint32(r))
		side := bit(&key, depth)
		down(t.hash(n.child[1-side], depth+1))
		r = n.child[side]
	}
	var list [bucketSize]*entry
	var entries []*entry
	if r != 0 {
		entries = t.sorted(t.buckets.at(uint32(r&^bucketBit)), &list)
	}
	for len(entries) > 1 {
		cut := firstRight(entries, depth)
		mine, other := entries[:cut], entries[cut:]
		if bit(&key, depth) == 1 {
			mine, other = other, mine
		}
		down(hashEntries(other, depth+1))
		entries = mine
	}

	bitmapLen := (depth + 7) / 8
	proof := make([]byte, 2, 2+bitmapLen+40+len(siblings))
	proof[1] = byte(depth)
	proof = append(proof, bitmap[:bitmapLen]...)
	switch {
	case len(entries) == 0:
		proof[0] = wireEmpty
	case entries[0].key == key:
		proof[0] = wireMatch
		proof = append(proof, entries[0].index[:]...)
	default:
		proof[0] = wireOther
		proof = append(proof, entries[0].key[:]...)
		proof = append(proof, entries[0].index[:]...)
	}
	return append(proof, siblings...)
}

// commonBits returns the number of leading bits in which a and b agree.
func commonBits(a, b *Hash) int {
	for i := range a {
		if x := a[i] ^ b[i]; x != 0 {
			return i*8 + bits.LeadingZeros8(x)
		}
	}
	return 256
}
