// SPDX-License-Identifier: EUPL-1.2

package index_test

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// reference is the tree written from docs/formats.md §5 alone, without a thought for speed: a list of pairs, and every
// hash computed from it each time.
type reference struct{ pairs []pair }

type pair struct {
	key   [32]byte
	index uint64
}

func (r *reference) insert(key [32]byte, index uint64) (first uint64, ok bool) {
	for _, p := range r.pairs {
		if prefix(p.key, 255) == prefix(key, 255) {
			return p.index, false
		}
	}
	r.pairs = append(r.pairs, pair{key, index})
	return 0, true
}

// prefix returns key with all bits but the first n cleared.
func prefix(key [32]byte, n int) [32]byte {
	for i := n; i < 256; i++ {
		key[i/8] &^= 128 >> (i % 8)
	}
	return key
}

func right(key [32]byte, i int) bool { return key[i/8]&(128>>(i%8)) != 0 }

func subtree(pairs []pair, depth int) [32]byte {
	if len(pairs) == 0 {
		return [32]byte{}
	}
	if len(pairs) == 1 {
		b := append([]byte{2}, pairs[0].key[:]...)
		return sha256.Sum256(binary.BigEndian.AppendUint64(b, pairs[0].index))
	}
	l, r := divide(pairs, depth)
	left, right := subtree(l, depth+1), subtree(r, depth+1)
	return sha256.Sum256(slices.Concat([]byte{3}, left[:], right[:]))
}

func divide(pairs []pair, depth int) (l, r []pair) {
	for _, p := range pairs {
		if right(p.key, depth) {
			r = append(r, p)
		} else {
			l = append(l, p)
		}
	}
	return l, r
}

func (r *reference) root() [32]byte { return subtree(r.pairs, 0) }

func (r *reference) prove(key [32]byte) []byte {
	here, depth := r.pairs, 0
	var siblings [][32]byte
	for len(here) > 1 {
		mine, other := divide(here, depth)
		if right(key, depth) {
			mine, other = other, mine
		}
		siblings = append(siblings, subtree(other, depth+1))
		here, depth = mine, depth+1
	}
	proof := []byte{0, byte(depth)}
	bitmap := make([]byte, (depth+7)/8)
	for k, s := range siblings {
		if s != [32]byte{} {
			bitmap[k/8] |= 128 >> (k % 8)
		}
	}
	proof = append(proof, bitmap...)
	if len(here) == 1 {
		proof[0] = 1
		if here[0].key != key {
			proof[0] = 2
			proof = append(proof, here[0].key[:]...)
		}
		proof = binary.BigEndian.AppendUint64(proof, here[0].index)
	}
	for _, s := range siblings {
		if s != [32]byte{} {
			proof = append(proof, s[:]...)
		}
	}
	return proof
}
