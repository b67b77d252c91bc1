// SPDX-License-Identifier: EUPL-1.2

// Package index is the completeness index of a shard: the unique-prefix binary Merkle tree over 256-bit keys (tags) of
// docs/formats.md §5, with proofs that a key is in it, at which log index, or that it isn't.
//
//	empty = 32 zero bytes      leaf = H(02 ‖ key ‖ u64 index)      node = H(03 ‖ left ‖ right)
//
// A subtree with exactly one key is that leaf; bit 0 of a key is the top bit of its first byte; left is bit 0. So the
// three keys 000…, 010… and 1… make
//
//	        node            depth 0
//	       /    \
//	    node     1…         depth 1
//	   /    \
//	000…    010…            depth 2
//
// The tree is a public function of the log: nothing here is secret, and a verifier trusts only the root it was given.
// What must always hold: the root depends on the set of keys and their indexes alone, never on the order or the batches
// in which they came; and no two keys in a tree share their first 255 bits, so a path fits the proof's u8 depth.
//
// Memory is at most 60 bytes a key all included, for keys that look random as tags do. Whoever can choose tags (only the
// holder of the VRF key) can make paths long: up to 255 nodes of 44 bytes for each 13 keys.
package index

import (
	"crypto/sha256"
	"encoding/binary"
)

// Hash is a SHA-256 value: a key, a node or a root. It is the same type as ledger.Hash.
type Hash = [32]byte

// Tree is an index in memory. It starts empty with New.
//
// Insert, and Root or Prove after an Insert, need the tree to themselves. Once Root has been called, and until the next
// Insert, any number of goroutines may call Root, Len, Get and Prove.
type Tree struct {
	root    ref
	keys    arena[entry]
	buckets arena[bucket]
	nodes   arena[node]
}

// A ref names a subtree: 0 is the empty one, with the top bit set a bucket, else a node.
type ref uint32

const bucketBit ref = 1 << 31

// bucketSize is how many keys hang from one bucket before it is split. Only the hash of the whole bucket is kept, and
// what lies inside is computed when needed: larger is less memory and more hashing.
const bucketSize = 12

// entry is a key, its log index, and the next entry of its bucket (0: none).
type entry struct {
	key   Hash
	index [8]byte // u64, big-endian; bytes, so that an entry is 44 bytes and not 48
	next  uint32
}

// bucket is a small subtree: a list of 1 to bucketSize entries in no order.
type bucket struct {
	hash  Hash
	first uint32
	count uint8
	stale bool // hash is to be computed again
}

// node has more than bucketSize keys below it; one of its sides may be empty.
type node struct {
	hash  Hash
	child [2]ref
	stale bool
}

// New returns an empty tree.
func New() *Tree { return new(Tree) }

// Len returns the number of keys.
func (t *Tree) Len() uint64 { return uint64(t.keys.used) }

// Insert adds key with the index of its leaf in the log. It refuses a key that is there already, or that shares its first
// 255 bits with one that is: then ok is false, first is the log index of the key that came first, and the tree is as it
// was. It panics at 2^31 keys, some 110 GB.
func (t *Tree) Insert(key Hash, index uint64) (first uint64, ok bool) {
	at, depth := &t.root, 0
	for {
		switch {
		case *at == 0:
			e := t.add(key, index, 0)
			*at = t.newBucket(e, 1)
			return 0, true
		case *at&bucketBit == 0:
			n := t.nodes.at(uint32(*at))
			n.stale = true
			at, depth = &n.child[bit(&key, depth)], depth+1
		default:
			b := t.buckets.at(uint32(*at &^ bucketBit))
			for e := b.first; e != 0; {
				there := t.keys.at(e)
				if sameBut255(&there.key, &key) {
					return binary.BigEndian.Uint64(there.index[:]), false
				}
				e = there.next
			}
			if b.count < bucketSize {
				b.first = t.add(key, index, b.first)
				b.count++
				b.stale = true
				return 0, true
			}
			*at = t.split(*at, depth)
		}
	}
}

// Get returns the log index of key.
func (t *Tree) Get(key Hash) (index uint64, ok bool) {
	r := t.root
	for depth := 0; r != 0 && r&bucketBit == 0; depth++ {
		r = t.nodes.at(uint32(r)).child[bit(&key, depth)]
	}
	if r == 0 {
		return 0, false
	}
	for e := t.buckets.at(uint32(r &^ bucketBit)).first; e != 0; e = t.keys.at(e).next {
		if there := t.keys.at(e); there.key == key {
			return binary.BigEndian.Uint64(there.index[:]), true
		}
	}
	return 0, false
}

// Root returns the root over all keys, and computes again what changed since the last call: once for a batch of keys.
func (t *Tree) Root() Hash { return t.hash(t.root, 0) }

// split turns a full bucket at depth into a node, and returns the node's ref. The bucket itself becomes one of the sides.
func (t *Tree) split(r ref, depth int) ref {
	b := t.buckets.at(uint32(r &^ bucketBit))
	var first [2]uint32
	var count [2]uint8
	for e := b.first; e != 0; {
		there := t.keys.at(e)
		next := there.next
		side := bit(&there.key, depth)
		there.next, first[side] = first[side], e
		count[side]++
		e = next
	}
	id := t.nodes.alloc()
	n := t.nodes.at(id)
	n.stale = true
	reused := false
	for side := range 2 {
		switch {
		case count[side] == 0:
		case !reused:
			b.first, b.count, b.stale = first[side], count[side], true
			n.child[side], reused = r, true
		default:
			n.child[side] = t.newBucket(first[side], count[side])
		}
	}
	return ref(id)
}

func (t *Tree) add(key Hash, index uint64, next uint32) uint32 {
	id := t.keys.alloc()
	e := t.keys.at(id)
	e.key, e.next = key, next
	binary.BigEndian.PutUint64(e.index[:], index)
	return id
}

func (t *Tree) newBucket(first uint32, count uint8) ref {
	id := t.buckets.alloc()
	b := t.buckets.at(id)
	b.first, b.count, b.stale = first, count, true
	return ref(id) | bucketBit
}

// hash returns the hash of the subtree r, whose root is at depth.
func (t *Tree) hash(r ref, depth int) Hash {
	switch {
	case r == 0:
		return Hash{}
	case r&bucketBit != 0:
		b := t.buckets.at(uint32(r &^ bucketBit))
		if b.stale {
			var list [bucketSize]*entry
			b.hash = hashEntries(t.sorted(b, &list), depth)
			b.stale = false
		}
		return b.hash
	default:
		n := t.nodes.at(uint32(r))
		if n.stale {
			left, right := t.hash(n.child[0], depth+1), t.hash(n.child[1], depth+1)
			n.hash = hashNode(&left, &right)
			n.stale = false
		}
		return n.hash
	}
}

// sorted returns the entries of b in ascending order of their keys, in list.
func (t *Tree) sorted(b *bucket, list *[bucketSize]*entry) []*entry {
	out := list[:0]
	for e := b.first; e != 0; {
		there := t.keys.at(e)
		i := len(out)
		out = append(out, there)
		for ; i > 0 && less(&there.key, &out[i-1].key); i-- {
			out[i] = out[i-1]
		}
		out[i] = there
		e = there.next
	}
	return out
}

// hashEntries returns the hash of the subtree at depth over entries, which are in ascending order.
func hashEntries(entries []*entry, depth int) Hash {
	switch len(entries) {
	case 0:
		return Hash{}
	case 1:
		return hashLeaf(&entries[0].key, &entries[0].index)
	}
	cut := firstRight(entries, depth)
	left, right := hashEntries(entries[:cut], depth+1), hashEntries(entries[cut:], depth+1)
	return hashNode(&left, &right)
}

// firstRight returns how many of the entries, in ascending order and alike in the bits before depth, go left at depth.
func firstRight(entries []*entry, depth int) int {
	cut := 0
	for cut < len(entries) && bit(&entries[cut].key, depth) == 0 {
		cut++
	}
	return cut
}

func hashLeaf(key *Hash, index *[8]byte) Hash {
	var b [1 + 32 + 8]byte
	b[0] = 2
	copy(b[1:], key[:])
	copy(b[33:], index[:])
	return sha256.Sum256(b[:])
}

func hashNode(left, right *Hash) Hash {
	var b [1 + 32 + 32]byte
	b[0] = 3
	copy(b[1:], left[:])
	copy(b[33:], right[:])
	return sha256.Sum256(b[:])
}

// bit returns bit i of a key; bit 0 is the top bit of the first byte.
func bit(key *Hash, i int) int { return int(key[i/8]>>(7-i%8)) & 1 }

// sameBut255 reports whether a and b are equal in their first 255 bits.
func sameBut255(a, b *Hash) bool {
	return [31]byte(a[:31]) == [31]byte(b[:31]) && (a[31]^b[31])&^1 == 0
}

func less(a, b *Hash) bool {
	for i := 0; i < 32; i += 8 {
		x, y := binary.BigEndian.Uint64(a[i:]), binary.BigEndian.Uint64(b[i:])
		if x != y {
			return x < y
		}
	}
	return false
}

// An arena holds values of one pointer-free type by number, from 1. Its chunks never move, so a pointer into it stays
// good, growing copies nothing, and the garbage collector has nothing to scan.
type arena[T any] struct {
	chunks []*[chunkSize]T
	used   uint32
}

// chunkSize makes every chunk a whole number of 8 KiB pages, so that the allocator rounds nothing up.
const chunkSize = 1 << 11

func (a *arena[T]) alloc() uint32 {
	if a.used%chunkSize == 0 {
		a.chunks = append(a.chunks, new([chunkSize]T))
	}
	a.used++
	if ref(a.used)&bucketBit != 0 {
		panic("index: more than 2^31 keys")
	}
	return a.used
}

func (a *arena[T]) at(id uint32) *T { return &a.chunks[(id-1)/chunkSize][(id-1)%chunkSize] }
