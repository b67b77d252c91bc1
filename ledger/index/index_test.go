// SPDX-License-Identifier: EUPL-1.2

package index_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/index"
)

func key(i uint64) index.Hash {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte("key"), i))
}

// near returns a key that agrees with k in exactly its first n bits.
func near(rnd *rand.Rand, k index.Hash, n int) index.Hash {
	var noise index.Hash
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	out := prefix(k, n)
	for i := n; i < 256; i++ {
		if i == n && !right(k, i) || i > n && right(noise, i) {
			out[i/8] |= 128 >> (i % 8)
		}
	}
	return out
}

func TestNear(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for n := range 256 {
		k := key(uint64(n))
		o := near(rnd, k, n)
		if prefix(k, n) != prefix(o, n) || right(k, n) == right(o, n) {
			t.Fatalf("near %d", n)
		}
	}
}

// TestAgainstReference grows trees of keys of every shape and compares each answer with the reference.
func TestAgainstReference(t *testing.T) {
	for seed := range uint64(16) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var ref reference
		tree := index.New()
		var seen []index.Hash
		for i := range 1 + rnd.IntN(150) {
			k := key(rnd.Uint64())
			if len(seen) > 0 && rnd.IntN(3) == 0 {
				k = near(rnd, seen[rnd.IntN(len(seen))], rnd.IntN(256))
			} else if len(seen) > 0 && rnd.IntN(10) == 0 {
				k = seen[rnd.IntN(len(seen))]
			}
			value := uint64(i)
			if rnd.IntN(10) == 0 {
				value = rnd.Uint64()
			}
			wantFirst, wantOK := ref.insert(k, value)
			first, ok := tree.Insert(k, value)
			if first != wantFirst || ok != wantOK {
				t.Fatalf("seed %d: Insert = %d, %v, want %d, %v", seed, first, ok, wantFirst, wantOK)
			}
			seen = append(seen, k)
			if rnd.IntN(8) > 0 {
				continue
			}
			if got, want := tree.Root(), ref.root(); got != want {
				t.Fatalf("seed %d, %d keys: root %x, want %x", seed, tree.Len(), got, want)
			}
		}
		if got, want := tree.Len(), uint64(len(ref.pairs)); got != want {
			t.Fatalf("seed %d: Len = %d, want %d", seed, got, want)
		}
		for _, p := range ref.pairs {
			if got, ok := tree.Get(p.key); !ok || got != p.index {
				t.Fatalf("seed %d: Get = %d, %v, want %d", seed, got, ok, p.index)
			}
		}
		asked := append([]index.Hash{{}, {0xff}}, seen...)
		for range 50 {
			asked = append(asked, key(rnd.Uint64()), near(rnd, seen[rnd.IntN(len(seen))], rnd.IntN(256)))
		}
		root := tree.Root()
		for _, k := range asked {
			proof := tree.Prove(k)
			if want := ref.prove(k); !bytes.Equal(proof, want) {
				t.Fatalf("seed %d: proof\n%x, want\n%x", seed, proof, want)
			}
			got, err := index.Check(root, k, proof)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			value, in := tree.Get(k)
			want := index.Result{Kind: index.Absent}
			if in {
				want = index.Result{Kind: index.Match, Index: value}
			}
			if got != want {
				t.Fatalf("seed %d: Check = %v, want %v", seed, got, want)
			}
		}
	}
}

// TestOrderAndBatches: neither changes the root.
func TestOrderAndBatches(t *testing.T) {
	const n = 3000
	rnd := rand.New(rand.NewPCG(2, 0))
	var want index.Hash
	for round := range 4 {
		tree := index.New()
		for _, i := range rnd.Perm(n) {
			tree.Insert(key(uint64(i)), uint64(i))
			if round > 0 && rnd.IntN(1<<(2*round)) == 0 {
				tree.Root()
			}
		}
		if round == 0 {
			want = tree.Root()
		}
		if got := tree.Root(); got != want {
			t.Fatalf("round %d: root %x, want %x", round, got, want)
		}
	}
}

// TestTampered flips each bit, moves each length and changes each index of proofs of all kinds.
func TestTampered(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 0))
	for _, size := range []int{0, 1, 2, 3, 20, 400} {
		tree := index.New()
		var keys []index.Hash
		for i := range size {
			k := key(uint64(i))
			if i%5 == 4 {
				k = near(rnd, keys[rnd.IntN(i)], 200+rnd.IntN(55))
			}
			keys = append(keys, k)
			tree.Insert(k, uint64(i))
		}
		root := tree.Root()
		for i := range 6 {
			k := key(uint64(1000 + i))
			if i%3 == 0 && size > 0 {
				k = keys[rnd.IntN(size)]
			} else if i%3 == 1 && size > 0 {
				k = near(rnd, keys[rnd.IntN(size)], rnd.IntN(256))
			}
			proof := tree.Prove(k)
			if _, err := index.Check(root, k, proof); err != nil {
				t.Fatal(err)
			}
			refused := func(what string, root, k index.Hash, proof []byte) {
				t.Helper()
				if got, err := index.Check(root, k, proof); err != index.ErrProof || got != (index.Result{}) {
					t.Fatalf("%d keys, %s: Check = %v, %v", size, what, got, err)
				}
			}
			for b := range 8 * len(proof) {
				bad := bytes.Clone(proof)
				bad[b/8] ^= 1 << (b % 8)
				refused(fmt.Sprintf("bit %d", b), root, k, bad)
			}
			for n := range proof {
				refused(fmt.Sprintf("cut to %d", n), root, k, proof[:n])
			}
			refused("one more byte", root, k, append(bytes.Clone(proof), 0))
			refused("one more sibling", root, k, append(bytes.Clone(proof), root[:]...))
			for b := range 256 {
				bad := root
				bad[b/8] ^= 128 >> (b % 8)
				refused(fmt.Sprintf("bit %d of the root", b), bad, k, proof)
			}
			if proof[0] != 1 {
				continue
			}
			at := 2 + (int(proof[1])+7)/8
			value := binary.BigEndian.Uint64(proof[at:])
			for _, other := range []uint64{value - 1, value + 1, 0, 1 << 63, ^uint64(0)} {
				if other == value {
					continue
				}
				bad := bytes.Clone(proof)
				binary.BigEndian.PutUint64(bad[at:], other)
				refused("another index", root, k, bad)
			}
			for b := range 256 {
				bad := k
				bad[b/8] ^= 128 >> (b % 8)
				refused("a match shown for another key", root, bad, proof)
			}
		}
	}
}

func FuzzCheck(f *testing.F) {
	tree := index.New()
	for i := range uint64(50) {
		tree.Insert(key(i), i)
	}
	root := tree.Root()
	for i := range uint64(60) {
		k := key(i)
		f.Add(k[:], tree.Prove(k))
	}
	f.Fuzz(func(t *testing.T, k, proof []byte) {
		if len(k) != 32 {
			return
		}
		if _, err := index.Check(root, index.Hash(k), proof); err == nil && !bytes.Equal(proof, tree.Prove(index.Hash(k))) {
			t.Errorf("another proof of the same: %x", proof)
		}
	})
}

func TestConcurrentReaders(t *testing.T) {
	tree := index.New()
	for i := range uint64(2000) {
		tree.Insert(key(i), i)
	}
	root := tree.Root()
	var wg sync.WaitGroup
	for g := range uint64(4) {
		wg.Go(func() {
			for i := range uint64(200) {
				k := key(g * i)
				if _, err := index.Check(root, k, tree.Prove(k)); err != nil {
					t.Error(err)
				}
				tree.Get(k)
				tree.Root()
			}
		})
	}
	wg.Wait()
}

func TestVectors(t *testing.T) {
	data, err := os.ReadFile("../testdata/vectors-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Index []struct {
			Name, Keys, Root string
			Inserted         []struct{ Key, Index string }
			Proofs           []struct{ Key, Proof, Verdict string }
		}
		IndexRefused []struct{ Why, Root, Key, Proof string } `json:"index_refused"`
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	unhex := func(s string) []byte {
		t.Helper()
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, v := range vectors.Index {
		tree := index.New()
		for _, in := range v.Inserted {
			value, err := strconv.ParseUint(in.Index, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			tree.Insert(index.Hash(unhex(in.Key)), value)
		}
		root := tree.Root()
		if got := hex.EncodeToString(root[:]); got != v.Root {
			t.Errorf("%s: root %s, want %s", v.Name, got, v.Root)
		}
		if got := strconv.FormatUint(tree.Len(), 10); got != v.Keys {
			t.Errorf("%s: %s keys, want %s", v.Name, got, v.Keys)
		}
		for _, p := range v.Proofs {
			k := index.Hash(unhex(p.Key))
			proof := tree.Prove(k)
			if got := hex.EncodeToString(proof); got != p.Proof {
				t.Errorf("%s: proof %s, want %s", v.Name, got, p.Proof)
			}
			result, err := index.Check(root, k, unhex(p.Proof))
			if err != nil {
				t.Errorf("%s: %v", v.Name, err)
				continue
			}
			verdict := []string{"absent empty", "match", "absent other"}[proof[0]]
			if result.Kind == index.Match {
				verdict += " " + strconv.FormatUint(result.Index, 10)
			}
			if verdict != p.Verdict {
				t.Errorf("%s: %s, want %s", v.Name, verdict, p.Verdict)
			}
		}
	}
	for _, v := range vectors.IndexRefused {
		if got, err := index.Check(index.Hash(unhex(v.Root)), index.Hash(unhex(v.Key)), unhex(v.Proof)); err != index.ErrProof {
			t.Errorf("%s: Check = %v, %v", v.Why, got, err)
		}
	}
	if len(vectors.Index) == 0 || len(vectors.IndexRefused) == 0 {
		t.Fatal("no vectors")
	}
}
