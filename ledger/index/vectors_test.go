// SPDX-License-Identifier: EUPL-1.2

package index_test

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger/index"
)

var update = flag.Bool("update", false, "write testdata/many.json again, with the reference")

const manyFile = "testdata/many.json"

// manyVectors are data for whoever implements docs/index.md elsewhere. Integers are decimal texts, bytes hex.
type manyVectors struct {
	Proofs  []manyProof   `json:"proofs"`
	Refused []manyRefused `json:"refused"`
}

type manyProof struct {
	Name     string       `json:"name"`
	Inserted []manyKey    `json:"inserted"` // in this order
	Root     string       `json:"root"`
	Asked    []string     `json:"asked"`
	Proof    string       `json:"proof"`
	Expect   []manyResult `json:"expect"` // one for each asked
}

type manyKey struct {
	Key   string `json:"key"`
	Index string `json:"index"`
}

type manyResult string // "absent", or "match 7"

// manyRefused has a root to which the proof leads as far as it can be read: what refuses it is the rule in Why.
type manyRefused struct {
	Why   string   `json:"why"`
	Root  string   `json:"root"`
	Asked []string `json:"asked"`
	Proof string   `json:"proof"`
}

func TestManyVectors(t *testing.T) {
	if *update {
		data, err := json.MarshalIndent(makeManyVectors(), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(manyFile, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(manyFile)
	if err != nil {
		t.Fatal(err)
	}
	var vectors manyVectors
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(makeManyVectors(), vectors); diff != "" {
		t.Errorf("the reference makes other vectors:\n%s", diff)
	}
	for _, v := range vectors.Proofs {
		tree := index.New()
		for _, in := range v.Inserted {
			value, err := strconv.ParseUint(in.Index, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			tree.Insert(hashOf(t, in.Key), value)
		}
		root, asked := tree.Root(), hashesOf(t, v.Asked)
		if got := hex.EncodeToString(root[:]); got != v.Root {
			t.Errorf("%s: root %s, want %s", v.Name, got, v.Root)
		}
		if got := hex.EncodeToString(tree.ProveMany(asked)); got != v.Proof {
			t.Errorf("%s: proof %s, want %s", v.Name, got, v.Proof)
		}
		results, err := index.CheckMany(hashOf(t, v.Root), asked, bytesOf(t, v.Proof))
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		for i, r := range results {
			got := manyResult(r.Kind.String())
			if r.Kind == index.Match {
				got += manyResult(" " + strconv.FormatUint(r.Index, 10))
			}
			if got != v.Expect[i] {
				t.Errorf("%s: result %d is %s, want %s", v.Name, i, got, v.Expect[i])
			}
		}
	}
	for _, v := range vectors.Refused {
		if got, err := index.CheckMany(hashOf(t, v.Root), hashesOf(t, v.Asked), bytesOf(t, v.Proof)); err != index.ErrProof {
			t.Errorf("%s: CheckMany = %v, %v", v.Why, got, err)
		}
	}
}

func bytesOf(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func hashOf(t *testing.T, s string) index.Hash { return index.Hash(bytesOf(t, s)) }

func hashesOf(t *testing.T, list []string) (out []index.Hash) {
	for _, s := range list {
		out = append(out, hashOf(t, s))
	}
	return out
}

// bitsKey is a key that begins with these bits and goes on with zeros.
func bitsKey(bits string) (k [32]byte) {
	for i, c := range bits {
		if c == '1' {
			k[i/8] |= 128 >> (i % 8)
		}
	}
	return k
}

func makeManyVectors() manyVectors {
	var v manyVectors
	prove := func(name string, ref *reference, asked ...[32]byte) {
		root := ref.root()
		p := manyProof{Name: name, Inserted: []manyKey{}, Root: hex.EncodeToString(root[:]), Proof: hex.EncodeToString(ref.proveMany(asked))}
		for _, in := range ref.pairs {
			p.Inserted = append(p.Inserted, manyKey{hex.EncodeToString(in.key[:]), strconv.FormatUint(in.index, 10)})
		}
		for _, k := range asked {
			p.Asked = append(p.Asked, hex.EncodeToString(k[:]))
			expect := manyResult("absent")
			for _, in := range ref.pairs {
				if in.key == k {
					expect = manyResult("match " + strconv.FormatUint(in.index, 10))
				}
			}
			p.Expect = append(p.Expect, expect)
		}
		v.Proofs = append(v.Proofs, p)
	}
	a, b, c := bitsKey("000"), bitsKey("010"), bitsKey("1")
	three := &reference{pairs: []pair{{a, 7}, {b, 8}, {c, 9}}}
	prove("the example", three, a, bitsKey("011"))
	prove("an empty tree, two keys", new(reference), a, c)
	prove("one leaf, asked for", &reference{pairs: []pair{{a, 7}}}, a)
	prove("one leaf, asked for with another", &reference{pairs: []pair{{a, 7}}}, c, a)
	prove("one leaf, not asked for", &reference{pairs: []pair{{a, 7}}}, b)
	prove("every key", three, c, b, a)
	prove("a key twice", three, c, c)
	prove("an empty side", &reference{pairs: []pair{{a, 7}, {b, 8}}}, c, a)
	last := a
	last[31] = 1
	prove("two keys in an empty subtree, two in a leaf", &reference{pairs: []pair{{a, 1 << 40}, {bitsKey("0001"), 2}}}, a, last, bitsKey("1"), bitsKey("11"))
	deep := &reference{pairs: []pair{{a, 1}, {bitsKey("0" + strings.Repeat("0", 253) + "1"), 2}}}
	prove("255 bits deep", deep, a, last)
	many := new(reference)
	var asked [][32]byte
	for i := range uint64(50) {
		many.insert(key(i), 100+i)
		if i%5 == 0 {
			asked = append(asked, key(i), key(1000+i))
		}
	}
	prove("fifty keys, ten of them and ten others", many, asked...)

	refuse := func(why string, root [32]byte, proof []byte, asked ...[32]byte) {
		r := manyRefused{Why: why, Root: hex.EncodeToString(root[:]), Proof: hex.EncodeToString(proof), Asked: []string{}}
		for _, k := range asked {
			r.Asked = append(r.Asked, hex.EncodeToString(k[:]))
		}
		v.Refused = append(v.Refused, r)
	}
	leaf := func(k [32]byte, index uint64) [32]byte { return subtree([]pair{{k, index}}, 0) }
	value := func(i byte) []byte { return []byte{0, 0, 0, 0, 0, 0, 0, i} }
	whole := func(k [32]byte, i byte) []byte { return append(k[:], value(i)...) }
	la, lb, lc, empty := leaf(a, 7), leaf(b, 8), leaf(c, 9), [32]byte{}
	left := nodeOf(la, lb)
	refuse("no key", three.root(), packMany("11"+"1"+"1", slices.Concat(left[:], lc[:])))
	refuse("no proof", three.root(), nil, a)
	refuse("the shape is longer than the proof", la, append([]byte{0, 0, 0, 99}, packMany("01", value(7))[4:]...), a)
	refuse("a shape of a byte too many", la, slices.Concat([]byte{0, 0, 0, 2, 0x40, 0}, value(7)), a)
	refuse("a bit set after the shape", la, slices.Concat([]byte{0, 0, 0, 1, 0x41}, value(7)), a)
	refuse("the shape ends early", la, packMany("", value(7)), a)
	refuse("contents too long", la, packMany("01", append(value(7), 0)), a)
	refuse("contents too short", la, packMany("01", value(7)[1:]), a)
	refuse("a match shown as another leaf", la, packMany("10", whole(a, 7)), a)
	refuse("a match of two keys", la, packMany("01", value(7)), a, b)
	refuse("a leaf elsewhere than its key says", nodeOf(lc, lb), packMany("11"+"10"+"1", slices.Concat(whole(c, 9), lb[:])), a)
	refuse("a node of two empty sides", nodeOf(empty, empty), packMany("11"+"00"+"0", nil), a)
	refuse("a node of nothing and a leaf", nodeOf(la, empty), packMany("11"+"01"+"0", value(7)), a)
	refuse("a node of nothing and a leaf, both shown", nodeOf(empty, lc), packMany("11"+"00"+"10", whole(c, 9)), a, bitsKey("11"))
	refuse("an empty side sent as a hash", nodeOf(nodeOf(la, lb), empty), packMany("11"+"11"+"01"+"01"+"1", slices.Concat(value(7), value(8), empty[:])), a, b)
	refuse("another root", lc, packMany("01", value(7)), a)
	refuse("another index", la, packMany("01", value(6)), a)
	return v
}
