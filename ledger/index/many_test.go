// SPDX-License-Identifier: EUPL-1.2

package index_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/index"
)

// grow makes a tree and its reference of keys of every shape, and a list of keys to ask for: some that are in, some that
// aren't, some close to both.
func grow(rnd *rand.Rand, size int) (tree *index.Tree, ref *reference, asked []index.Hash) {
	tree, ref = index.New(), new(reference)
	for i := range size {
		k := key(rnd.Uint64())
		if len(ref.pairs) > 0 && rnd.IntN(3) == 0 {
			k = near(rnd, ref.pairs[rnd.IntN(len(ref.pairs))].key, rnd.IntN(256))
		}
		tree.Insert(k, uint64(i))
		ref.insert(k, uint64(i))
	}
	for _, p := range ref.pairs {
		asked = append(asked, p.key, near(rnd, p.key, rnd.IntN(256)))
		if rnd.IntN(4) == 0 {
			asked = append(asked, near(rnd, p.key, 255), near(rnd, p.key, 254))
		}
	}
	for range 5 {
		asked = append(asked, key(rnd.Uint64()))
	}
	rnd.Shuffle(len(asked), func(i, j int) { asked[i], asked[j] = asked[j], asked[i] })
	return tree, ref, asked
}

// TestManyAgainstReference compares with the reference's bytes, and with what the single proofs say.
func TestManyAgainstReference(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		tree, ref, asked := grow(rnd, rnd.IntN(120))
		root := tree.Root()
		for _, n := range []int{1, 2, 3, 10, len(asked)} {
			keys := asked[:min(n, len(asked))]
			if rnd.IntN(2) == 0 {
				keys = append(keys[:len(keys):len(keys)], keys[rnd.IntN(len(keys))])
			}
			proof := tree.ProveMany(keys)
			if want := ref.proveMany(keys); !bytes.Equal(proof, want) {
				t.Fatalf("seed %d, %d keys: proof\n%x, want\n%x", seed, len(keys), proof, want)
			}
			got, err := index.CheckMany(root, keys, proof)
			if err != nil {
				t.Fatalf("seed %d, %d keys: %v", seed, len(keys), err)
			}
			for i, k := range keys {
				want, err := index.Check(root, k, tree.Prove(k))
				if err != nil || got[i] != want {
					t.Fatalf("seed %d, %d keys: result %d is %v, want %v (%v)", seed, len(keys), i, got[i], want, err)
				}
			}
			back := slices.Clone(keys)
			slices.Reverse(back)
			if !bytes.Equal(tree.ProveMany(back), proof) {
				t.Fatalf("seed %d: the order of the keys changes the proof", seed)
			}
		}
	}
}

func TestManyTampered(t *testing.T) {
	for seed := range uint64(12) {
		rnd := rand.New(rand.NewPCG(seed, 8))
		tree, ref, asked := grow(rnd, []int{0, 1, 2, 3, 12, 60}[seed%6])
		root := tree.Root()
		keys := asked[:min(len(asked), 1+rnd.IntN(8))]
		proof := tree.ProveMany(keys)
		if _, err := index.CheckMany(root, keys, proof); err != nil {
			t.Fatal(err)
		}
		refused := func(what string, root index.Hash, keys []index.Hash, proof []byte) {
			t.Helper()
			if got, err := index.CheckMany(root, keys, proof); err != index.ErrProof || got != nil {
				t.Fatalf("seed %d, %s: CheckMany = %v, %v", seed, what, got, err)
			}
		}
		for b := range 8 * len(proof) {
			bad := bytes.Clone(proof)
			bad[b/8] ^= 1 << (b % 8)
			refused(fmt.Sprintf("bit %d", b), root, keys, bad)
		}
		for n := range proof {
			refused(fmt.Sprintf("cut to %d", n), root, keys, proof[:n])
		}
		refused("one more byte", root, keys, append(bytes.Clone(proof), 0))
		refused("one more hash", root, keys, append(bytes.Clone(proof), root[:]...))
		for b := range 256 {
			bad := root
			bad[b/8] ^= 128 >> (b % 8)
			refused(fmt.Sprintf("bit %d of the root", b), bad, keys, proof)
		}
		// For another set of keys it is the proof only if the reference gives it for that set too.
		for i := range keys {
			for b := range 256 {
				other := slices.Clone(keys)
				other[i][b/8] ^= 128 >> (b % 8)
				_, err := index.CheckMany(root, other, proof)
				if same := bytes.Equal(ref.proveMany(other), proof); same != (err == nil) {
					t.Fatalf("seed %d, bit %d of key %d: %v, the same proof: %v", seed, b, i, err, same)
				}
			}
		}
		if fewer := keys[1:]; len(fewer) > 0 && !bytes.Equal(ref.proveMany(fewer), proof) {
			refused("a key less", root, fewer, proof)
		}
	}
}

func FuzzCheckMany(f *testing.F) {
	tree := index.New()
	for i := range uint64(40) {
		tree.Insert(key(i), i)
	}
	root := tree.Root()
	for n := range uint64(12) {
		var keys []index.Hash
		var flat []byte
		for i := range n {
			k := key(30 + 3*i)
			keys, flat = append(keys, k), append(flat, k[:]...)
		}
		f.Add(flat, tree.ProveMany(keys))
	}
	f.Fuzz(func(t *testing.T, flat, proof []byte) {
		var keys []index.Hash
		for ; len(flat) >= 32; flat = flat[32:] {
			keys = append(keys, index.Hash(flat))
		}
		if _, err := index.CheckMany(root, keys, proof); err == nil && !bytes.Equal(proof, tree.ProveMany(keys)) {
			t.Errorf("another proof of the same: %x", proof)
		}
	})
}

// TestDeepMany: no proof makes the reader go deeper than a key has bits.
func TestDeepMany(t *testing.T) {
	shape := bytes.Repeat([]byte{0xff}, 4000)
	proof := slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(shape))), shape, bytes.Repeat([]byte{1}, 1<<16))
	if _, err := index.CheckMany(index.Hash{}, []index.Hash{{}}, proof); err != index.ErrProof {
		t.Errorf("CheckMany = %v", err)
	}
}
