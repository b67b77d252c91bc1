// SPDX-License-Identifier: EUPL-1.2

package index

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sort"
)

// What stands at a subtree, in the shape of a multi-proof. Of a subtree on the way to a key: two bits.
const (
	manyEmpty = 0 // nothing
	manyMatch = 1 // the leaf of the one key asked for here
	manyLeaf  = 2 // a leaf, shown whole
	manyNode  = 3 // a node; both sides follow
)

// ProveMany returns one proof of what the tree holds for each of keys, under the tree's Root. Paths that run together are
// shown once, so it is smaller than the single proofs. It depends on the set of keys, not on their order.
//
//	proof = u32 s ‖ shape of s bytes ‖ contents
//
// Both describe the subtrees in the order node, left, right, from the root. A subtree with a key of the set on its way is
// shown, with 2 bits of shape:
//
//	00 empty          nothing
//	01 match          u64 index                one key of the set leads here, and this is its leaf
//	10 leaf           key 32 ‖ u64 index       any other leaf
//	11 node           the left subtree, then the right
//
// and a subtree beside the way of all keys with 1 bit: 0 empty, 1 its hash, 32 bytes. The last byte of the shape is filled
// with zero bits. In the tree of the keys 000…, 010… and 1… (leaves 7, 8, 9), for 000… and 011…, which is absent:
//
//	node ─┬─ node ─┬─ 000…  match           shape    11 11 01 10 1 0000000 → f6 80
//	      │        └─ 010…  leaf            proof    00000002 f680 0000000000000007 010… 0000000000000008 hash(1…)
//	      └─ 1…    beside, a hash
//
// It is nil without keys.
func (t *Tree) ProveMany(keys []Hash) []byte {
	if len(keys) == 0 {
		return nil
	}
	t.Root()
	b := manyBuilder{tree: t}
	b.subtree(t.root, sortedSet(keys), 0)
	proof := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(b.shape.bytes)+len(b.contents)), uint32(len(b.shape.bytes)))
	proof = append(proof, b.shape.bytes...)
	return append(proof, b.contents...)
}

// CheckMany says what proof shows about each of keys in the tree with this root, in their order, or ErrProof. What is said
// of Check holds here too. A set of keys has exactly one proof under a root: CheckMany takes no other. It takes none for
// no keys.
func CheckMany(root Hash, keys []Hash, proof []byte) ([]Result, error) {
	if len(keys) == 0 || len(proof) < 4 {
		return nil, ErrProof
	}
	length := binary.BigEndian.Uint32(proof)
	if uint64(length) > uint64(len(proof)-4) {
		return nil, ErrProof
	}
	set := sortedSet(keys)
	c := manyChecker{shape: bitString{bytes: proof[4:][:length]}, contents: proof[4+length:]}
	results := make([]Result, len(set))
	hash, _, ok := c.subtree(set, results, 0)
	if !ok || hash != root || len(c.contents) > 0 || !c.shape.spent() {
		return nil, ErrProof
	}
	out := make([]Result, len(keys))
	for i := range keys {
		at, _ := slices.BinarySearchFunc(set, keys[i], compare)
		out[i] = results[at]
	}
	return out, nil
}

// manyBuilder collects a multi-proof. The methods for a subtree get the keys of the set that lead there.
type manyBuilder struct {
	tree     *Tree
	shape    bitString
	contents []byte
}

func (b *manyBuilder) subtree(r ref, set []Hash, depth int) {
	switch {
	case r == 0:
		b.entries(nil, set, depth)
	case r&bucketBit != 0:
		var list [bucketSize]*entry
		b.entries(b.tree.sorted(b.tree.buckets.at(uint32(r&^bucketBit)), &list), set, depth)
	default:
		b.shape.put(manyNode, 2)
		n := b.tree.nodes.at(uint32(r))
		cut := firstRightKey(set, depth)
		for side, keys := range [2][]Hash{set[:cut], set[cut:]} {
			if len(keys) > 0 {
				b.subtree(n.child[side], keys, depth+1)
			} else {
				b.beside(b.tree.hash(n.child[side], depth+1))
			}
		}
	}
}

// entries is subtree inside a bucket.
func (b *manyBuilder) entries(entries []*entry, set []Hash, depth int) {
	switch len(entries) {
	case 0:
		b.shape.put(manyEmpty, 2)
		return
	case 1:
		e := entries[0]
		if len(set) == 1 && e.key == set[0] {
			b.shape.put(manyMatch, 2)
		} else {
			b.shape.put(manyLeaf, 2)
			b.contents = append(b.contents, e.key[:]...)
		}
		b.contents = append(b.contents, e.index[:]...)
		return
	}
	b.shape.put(manyNode, 2)
	cut, cutKeys := firstRight(entries, depth), firstRightKey(set, depth)
	for side, keys := range [2][]Hash{set[:cutKeys], set[cutKeys:]} {
		half := entries[:cut]
		if side == 1 {
			half = entries[cut:]
		}
		if len(keys) > 0 {
			b.entries(half, keys, depth+1)
		} else {
			b.beside(hashEntries(half, depth+1))
		}
	}
}

func (b *manyBuilder) beside(hash Hash) {
	if hash == (Hash{}) {
		b.shape.put(0, 1)
		return
	}
	b.shape.put(1, 1)
	b.contents = append(b.contents, hash[:]...)
}

// manyChecker reads a multi-proof.
type manyChecker struct {
	shape    bitString
	contents []byte
}

// subtree reads a shown subtree at depth, to which the keys of set lead, and fills in their results. It returns the hash
// and whether it is empty, a leaf (of either kind) or a node.
func (c *manyChecker) subtree(set []Hash, results []Result, depth int) (hash Hash, what uint, ok bool) {
	what, ok = c.shape.take(2)
	if !ok {
		return hash, 0, false
	}
	switch what {
	case manyEmpty:
		for i := range results {
			results[i] = Result{Kind: Absent}
		}
		return Hash{}, manyEmpty, true
	case manyNode:
		hash, ok = c.node(set, results, depth)
		return hash, manyNode, ok
	}
	key := set[0]
	if what == manyLeaf {
		raw, ok := c.content(32)
		if !ok {
			return hash, 0, false
		}
		key = Hash(raw)
		if commonBits(&key, &set[0]) < depth {
			return hash, 0, false
		}
	}
	// The leaf of the one key is a match, and only that is.
	if one := len(set) == 1 && key == set[0]; one != (what == manyMatch) {
		return hash, 0, false
	}
	raw, ok := c.content(8)
	if !ok {
		return hash, 0, false
	}
	index := [8]byte(raw)
	for i := range set {
		results[i] = Result{Kind: Absent}
		if set[i] == key {
			results[i] = Result{Kind: Match, Index: binary.BigEndian.Uint64(index[:])}
		}
	}
	return hashLeaf(&key, &index), manyLeaf, true
}

func (c *manyChecker) node(set []Hash, results []Result, depth int) (hash Hash, ok bool) {
	if depth >= 255 {
		return hash, false
	}
	cut := firstRightKey(set, depth)
	var sides [2]Hash
	var what [2]uint
	for side, from := range [2]int{0, cut} {
		to := [2]int{cut, len(set)}[side]
		if from < to {
			sides[side], what[side], ok = c.subtree(set[from:to], results[from:to], depth+1)
		} else {
			sides[side], what[side], ok = c.beside()
		}
		if !ok {
			return hash, false
		}
	}
	// A subtree of no key is empty, and one of one key is its leaf: neither is a node.
	if what[0] == manyEmpty && what[1] != manyNode || what[1] == manyEmpty && what[0] != manyNode {
		return hash, false
	}
	return hashNode(&sides[0], &sides[1]), true
}

// beside reads a subtree that no key leads to. Whether a hash is a leaf's can't be told; it counts as a node's.
func (c *manyChecker) beside() (hash Hash, what uint, ok bool) {
	sent, ok := c.shape.take(1)
	if !ok || sent == 0 {
		return Hash{}, manyEmpty, ok
	}
	raw, ok := c.content(32)
	if !ok || Hash(raw) == (Hash{}) {
		return Hash{}, 0, false
	}
	return Hash(raw), manyNode, true
}

func (c *manyChecker) content(n int) (raw []byte, ok bool) {
	if len(c.contents) < n {
		return nil, false
	}
	raw, c.contents = c.contents[:n], c.contents[n:]
	return raw, true
}

// bitString is a string of bits, the top bit of a byte first.
type bitString struct {
	bytes []byte
	at    int
}

// put appends the low n bits of v.
func (s *bitString) put(v uint, n int) {
	for n--; n >= 0; n-- {
		if s.at%8 == 0 {
			s.bytes = append(s.bytes, 0)
		}
		s.bytes[s.at/8] |= byte(v>>n&1) << (7 - s.at%8)
		s.at++
	}
}

// take reads the next n bits.
func (s *bitString) take(n int) (v uint, ok bool) {
	if s.at+n > 8*len(s.bytes) {
		return 0, false
	}
	for range n {
		v = v<<1 | uint(s.bytes[s.at/8]>>(7-s.at%8)&1)
		s.at++
	}
	return v, true
}

// spent reports whether nothing is left but zero bits that fill the last byte.
func (s *bitString) spent() bool {
	return (s.at+7)/8 == len(s.bytes) && (s.at%8 == 0 || s.bytes[s.at/8]<<(s.at%8) == 0)
}

// sortedSet returns keys in ascending order, each once.
func sortedSet(keys []Hash) []Hash {
	set := slices.Clone(keys)
	slices.SortFunc(set, compare)
	return slices.Compact(set)
}

func compare(a, b Hash) int { return bytes.Compare(a[:], b[:]) }

// firstRightKey is firstRight for keys.
func firstRightKey(set []Hash, depth int) int {
	return sort.Search(len(set), func(i int) bool { return bit(&set[i], depth) == 1 })
}
