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
	return nodeOf(subtree(l, depth+1), subtree(r, depth+1))
}

func nodeOf(left, right [32]byte) [32]byte {
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

// proveMany is the multi-proof written from docs/index.md alone; the shape is a text of 0 and 1.
func (r *reference) proveMany(asked [][32]byte) []byte {
	set := slices.Clone(asked)
	slices.SortFunc(set, func(a, b [32]byte) int { return slices.Compare(a[:], b[:]) })
	shape, contents := showMany(r.pairs, slices.Compact(set), 0)
	return packMany(shape, contents)
}

func packMany(shape string, contents []byte) []byte {
	var packed []byte
	for i, c := range shape {
		if i%8 == 0 {
			packed = append(packed, 0)
		}
		if c == '1' {
			packed[i/8] |= 128 >> (i % 8)
		}
	}
	return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(packed))), packed, contents)
}

func showMany(here []pair, set [][32]byte, depth int) (shape string, contents []byte) {
	if len(set) == 0 {
		if h := subtree(here, depth); h != [32]byte{} {
			return "1", h[:]
		}
		return "0", nil
	}
	switch len(here) {
	case 0:
		return "00", nil
	case 1:
		if index := binary.BigEndian.AppendUint64(nil, here[0].index); len(set) == 1 && set[0] == here[0].key {
			return "01", index
		} else {
			return "10", append(here[0].key[:], index...)
		}
	}
	left, rest := divide(here, depth)
	var setLeft, setRight [][32]byte
	for _, k := range set {
		if right(k, depth) {
			setRight = append(setRight, k)
		} else {
			setLeft = append(setLeft, k)
		}
	}
	shapeLeft, contentsLeft := showMany(left, setLeft, depth+1)
	shapeRight, contentsRight := showMany(rest, setRight, depth+1)
	return "11" + shapeLeft + shapeRight, slices.Concat(contentsLeft, contentsRight)
}
