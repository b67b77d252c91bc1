// SPDX-License-Identifier: EUPL-1.2

package history

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

func sample() *Bundle {
	nonce := [32]byte{1, 2, 3}
	pi := bytes.Repeat([]byte{7}, piSize)
	return &Bundle{Subject: "RSSMRA80A01H501U", Shards: []Shard{{
		Origin: "registro.example/2026", Checkpoint: []byte("registro.example/2026\n5\nAA==\n\n— registro.example/2026 AA==\n"),
		Leaves: []Leaf{{0, []byte("p")}, {2, []byte("e")}, {3, []byte("f")}, {4, []byte("h")}}, Proof: []ledger.Hash{{9}}, Head: 4,
		Lists:  []List{{Scope: "+consent", Pi: pi}, {Scope: "+deferred"}, {Scope: "inps", Pi: pi, Count: 2}},
		Index:  []byte{1, 2, 3},
		Events: []Event{{2, &nonce, []byte("{}")}, {Index: 3}},
	}}}
}

func sampleExcerpt() *Bundle {
	b := sample()
	b.Excerpt = true
	s := &b.Shards[0]
	s.Head, s.Lists, s.Index, s.Events = 0, nil, nil, s.Events[:1]
	return b
}

func TestFormat(t *testing.T) {
	for name, b := range map[string]*Bundle{"whole": sample(), "excerpt": sampleExcerpt()} {
		file, err := Format(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := Parse(file)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(b, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestRefusedBundles(t *testing.T) {
	for name, change := range map[string]func(b *Bundle){
		"no subject":             func(b *Bundle) { b.Subject = "" },
		"a wrong subject":        func(b *Bundle) { b.Subject = "RSSMRA80A01H501X" },
		"no year":                func(b *Bundle) { b.Shards = nil },
		"a year twice":           func(b *Bundle) { b.Shards = append(b.Shards, b.Shards[0]) },
		"no origin":              func(b *Bundle) { b.Shards[0].Origin = "registro.example" },
		"no checkpoint":          func(b *Bundle) { b.Shards[0].Checkpoint = nil },
		"a checkpoint not UTF-8": func(b *Bundle) { b.Shards[0].Checkpoint = []byte{0xff} },
		"no leaves":              func(b *Bundle) { b.Shards[0].Leaves = nil },
		"leaves out of order":    func(b *Bundle) { slices.Reverse(b.Shards[0].Leaves) },
		"a leaf far away":        func(b *Bundle) { b.Shards[0].Leaves[3].Index = 1 << 53 },
		"an empty leaf":          func(b *Bundle) { b.Shards[0].Leaves[1].Leaf = nil },
		"a leaf too long":        func(b *Bundle) { b.Shards[0].Leaves[1].Leaf = make([]byte, ledger.MaxLeaf+1) },
		"a head far away":        func(b *Bundle) { b.Shards[0].Head = 1 << 53 },
		"no lists":               func(b *Bundle) { b.Shards[0].Lists = nil },
		"lists out of order":     func(b *Bundle) { slices.Reverse(b.Shards[0].Lists) },
		"a list twice":           func(b *Bundle) { b.Shards[0].Lists[1] = b.Shards[0].Lists[0] },
		"a scope of no form":     func(b *Bundle) { b.Shards[0].Lists[2].Scope = "INPS" },
		"a short VRF proof":      func(b *Bundle) { b.Shards[0].Lists[2].Pi = b.Shards[0].Lists[2].Pi[1:] },
		"a count on nothing":     func(b *Bundle) { b.Shards[0].Lists[1].Count = 1 },
		"no index proof":         func(b *Bundle) { b.Shards[0].Index = nil },
		"events out of order":    func(b *Bundle) { slices.Reverse(b.Shards[0].Events) },
		"an event far away":      func(b *Bundle) { b.Shards[0].Events[1].Index = 1 << 53 },
		"a body alone":           func(b *Bundle) { b.Shards[0].Events[0].Nonce = nil },
		"a nonce alone":          func(b *Bundle) { b.Shards[0].Events[0].Body = nil },
		"an excerpt with lists":  func(b *Bundle) { b.Excerpt = true },
	} {
		b := sample()
		change(b)
		if file, err := Format(b); err == nil {
			if _, err := Parse(file); err == nil {
				t.Errorf("%s is taken", name)
			}
		} else if strings.Contains(err.Error(), "RSSMRA") {
			t.Errorf("%s: an error repeats a subject", name)
		}
	}
	b := sampleExcerpt()
	b.Shards[0].Events = []Event{{Index: 2}}
	if _, err := Format(b); err == nil {
		t.Error("an excerpt of an unopened event is taken")
	}
}

func TestRefusedFiles(t *testing.T) {
	text, err := FormatDocument(sample())
	if err != nil {
		t.Fatal(err)
	}
	pack := func(header gzip.Header, text []byte) []byte {
		var file bytes.Buffer
		w := gzip.NewWriter(&file)
		w.Header = header
		w.Write(text)
		w.Close()
		return file.Bytes()
	}
	good := pack(gzip.Header{OS: 255}, text)
	if _, err := Parse(good); err != nil {
		t.Fatal(err)
	}
	replace := func(old, new string) []byte {
		changed := bytes.Replace(text, []byte(old), []byte(new), 1)
		if bytes.Equal(changed, text) {
			t.Fatalf("%q isn't there", old)
		}
		return pack(gzip.Header{}, changed)
	}
	for name, file := range map[string][]byte{
		"nothing":               {},
		"not packed":            text,
		"a name":                pack(gzip.Header{Name: "rossi"}, text),
		"a comment":             pack(gzip.Header{Comment: "rossi"}, text),
		"more in the header":    pack(gzip.Header{Extra: []byte{1}}, text),
		"a time":                pack(gzip.Header{ModTime: time.Unix(1795339800, 0)}, text),
		"twice":                 append(slices.Clone(good), good...),
		"a byte behind":         append(slices.Clone(good), 0),
		"cut":                   good[:len(good)-1],
		"white space":           pack(gzip.Header{}, append(slices.Clone(text), '\n')),
		"too long":              pack(gzip.Header{}, append(slices.Clone(text), make([]byte, MaxUnpacked)...)),
		"another schema":        replace(Schema, "traccia/history/2"),
		"another kind":          replace(`"kind":"whole"`, `"kind":"part"`),
		"an excerpt":            replace(`"kind":"whole"`, `"kind":"excerpt"`),
		"another warning":       replace("Whoever has", "Nobody with"),
		"an unknown member":     replace(`"head":4`, `"heads":4`),
		"a number spelt anew":   replace(`"head":4`, `"head":4.0`),
		"an escape":             replace(`"scope":"inps"`, `"scope":"\u0069nps"`),
		"padding":               replace(`"leaf":"cA"`, `"leaf":"cA=="`),
		"spare bits":            replace(`"leaf":"cA"`, `"leaf":"cB"`),
		"a nonce of 31 bytes":   replace(`"nonce":"AQID`, `"nonce":"`),
		"a hash cut":            replace(`"proof":"CQAA`, `"proof":"`),
		"an empty member there": replace(`{"index":3}`, `{"index":3,"body":""}`),
	} {
		if _, err := Parse(file); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, b := range []*Bundle{sample(), sampleExcerpt()} {
		text, err := FormatDocument(b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := ParseDocument(text)
		if err != nil {
			return
		}
		again, err := FormatDocument(b)
		if err != nil || !bytes.Equal(again, text) {
			t.Fatalf("formats to something else: %v", err)
		}
		file, err := Format(b)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Parse(file); err != nil || !cmp.Equal(b, back) {
			t.Fatalf("packs to something else: %v", err)
		}
	})
}

func tree(size int) (*testonly.Tree, []Leaf) {
	t := testonly.New(rfc6962.DefaultHasher)
	var leaves []Leaf
	for i := range size {
		l := Leaf{uint64(i), fmt.Appendf(nil, "leaf %d", i)}
		leaves = append(leaves, l)
		t.AppendData(l.Leaf)
	}
	return t, leaves
}

func prove(t *testing.T, log *testonly.Tree, size uint64, indexes []uint64) []ledger.Hash {
	t.Helper()
	proof, err := ProveLeaves(size, indexes, func(index uint64) (path []ledger.Hash, err error) {
		hashes, err := log.InclusionProof(index, size)
		for _, h := range hashes {
			path = append(path, ledger.Hash(h))
		}
		return path, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

// TestLeaves: every set of leaves in small logs is proven, and nothing else passes for its proof.
func TestLeaves(t *testing.T) {
	for size := 1; size <= 9; size++ {
		log, all := tree(size)
		root := ledger.Hash(log.HashAt(uint64(size)))
		for set := 1; set < 1<<size; set++ {
			var chosen []Leaf
			var indexes []uint64
			for i, l := range all {
				if set>>i&1 == 1 {
					chosen, indexes = append(chosen, l), append(indexes, l.Index)
				}
			}
			proof := prove(t, log, uint64(size), indexes)
			if err := CheckLeaves(uint64(size), root, chosen, proof); err != nil {
				t.Fatalf("size %d, leaves %v: %v", size, indexes, err)
			}
			if size <= 6 {
				tamper(t, uint64(size), root, chosen, proof)
			}
		}
	}
}

func tamper(t *testing.T, size uint64, root ledger.Hash, leaves []Leaf, proof []ledger.Hash) {
	t.Helper()
	refused := func(what string, size uint64, root ledger.Hash, leaves []Leaf, proof []ledger.Hash) {
		t.Helper()
		if CheckLeaves(size, root, leaves, proof) == nil {
			t.Fatalf("%s: taken, at size %d with %d leaves", what, size, len(leaves))
		}
	}
	for i := range proof {
		changed := slices.Clone(proof)
		for bit := range 256 {
			changed[i][bit/8] ^= 1 << (bit % 8)
			refused("a bit of the proof", size, root, leaves, changed)
			changed[i][bit/8] ^= 1 << (bit % 8)
		}
		refused("a hash less", size, root, leaves, slices.Delete(slices.Clone(proof), i, i+1))
	}
	refused("a hash more", size, root, leaves, append(slices.Clone(proof), ledger.Hash{}))
	for bit := range 256 {
		other := root
		other[bit/8] ^= 1 << (bit % 8)
		refused("a bit of the root", size, other, leaves, proof)
	}
	for i := range leaves {
		changed := slices.Clone(leaves)
		changed[i].Leaf = append(slices.Clone(changed[i].Leaf), '!')
		refused("another leaf", size, root, changed, proof)
		for _, by := range []uint64{1, ^uint64(0), 1 << 40} {
			moved := slices.Clone(leaves)
			moved[i].Index += by
			refused("another index", size, root, moved, proof)
		}
	}
	for other := range uint64(12) {
		// Of a tree whose shape is the same, the root is.
		if other != size && CheckLeaves(other, root, leaves, proof) == nil && shape(other, leaves) != shape(size, leaves) {
			t.Fatalf("size %d for %d: taken, with %d leaves", other, size, len(leaves))
		}
	}
	refused("no leaves", size, root, nil, proof)
}

// shape writes down which subtrees a proof has, without their sizes.
func shape(size uint64, leaves []Leaf) string {
	var b strings.Builder
	var walk func(s span, leaves []Leaf)
	walk = func(s span, leaves []Leaf) {
		if len(leaves) == 0 || s.to-s.from == 1 {
			fmt.Fprint(&b, len(leaves))
			return
		}
		left, right := s.split()
		cut := 0
		for cut < len(leaves) && leaves[cut].Index < right.from {
			cut++
		}
		b.WriteByte('(')
		walk(left, leaves[:cut])
		walk(right, leaves[cut:])
		b.WriteByte(')')
	}
	if size == 0 || leaves[len(leaves)-1].Index >= size {
		return "none"
	}
	walk(span{0, size}, leaves)
	return b.String()
}

// TestSubsets: from the proof of some leaves that of any of them can be made.
func TestSubsets(t *testing.T) {
	const size = 13
	log, all := tree(size)
	indexes := []uint64{0, 3, 4, 7, 12}
	var leaves []Leaf
	for _, i := range indexes {
		leaves = append(leaves, all[i])
	}
	known, err := checkLeaves(size, ledger.Hash(log.HashAt(size)), leaves, prove(t, log, size, indexes))
	if err != nil {
		t.Fatal(err)
	}
	for set := 1; set < 1<<len(indexes); set++ {
		var some []uint64
		for i := range indexes {
			if set>>i&1 == 1 {
				some = append(some, indexes[i])
			}
		}
		got, err := proofFrom(known, size, some)
		if want := prove(t, log, size, some); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v: %v", some, err)
		}
	}
}

func TestErasures(t *testing.T) {
	for _, e := range []Erasure{{Epoch: 2026, Index: 0}, {Epoch: 2026, Index: 69990}, {Epoch: 2026, Month: "2026-11"}} {
		if got, ok := ParseErasure(e.Operation()); !ok || got != e {
			t.Errorf("%+v: %+v %v", e, got, ok)
		}
	}
	for _, op := range []ledger.Operation{
		{Method: "GET", Path: "/events/2026/1"}, {Method: "DELETE", Path: "/events/2026/01"}, {Method: "DELETE", Path: "/events/2026"},
		{Method: "DELETE", Path: "/months/2026-13"}, {Method: "DELETE", Path: "/months/2026-11/"}, {Method: "DELETE", Path: "/events/2026/99999999999999999999"},
	} {
		if _, ok := ParseErasure(op); ok {
			t.Errorf("%+v is taken", op)
		}
	}
}

func TestCatalogue(t *testing.T) {
	private := ed25519.NewKeyFromSeed(make([]byte, 32))
	key, err := jws.NewKey("k", private.Public())
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := jws.FormatKey(key)
	if err != nil {
		t.Fatal(err)
	}
	check := func(head uint64) string {
		payload, err := registry.FormatCheckStatement(registry.CheckStatement{
			Aud: "registro.example/2026", Scope: "inps", Head: head, Size: 100, Root: ledger.Hex{1}, Result: registry.CheckProven,
		})
		if err != nil {
			t.Fatal(err)
		}
		statement, err := jws.Sign(registry.CheckStatementType, payload, "k", private)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`{"kind":"provider-check","scope":"inps","statement":"%s"}`, statement)
	}
	c := NewCatalogue()
	for i, r := range []string{
		`{"kind":"body","id":"inps","name":"INPS"}`,
		`{"kind":"scope","id":"inps","providers":["inps"]}`,
		`{"kind":"retention","months":24}`,
		`{"kind":"retention","months":0}`,
		check(2),
		check(3),
		`{"kind":"scope","id":"inps","providers":["inps","inail"]}`,
		`{"kind":"other"}`,
		fmt.Sprintf(`{"kind":"key","body":"inps","kid":"k","jwk":%s,"basis":"operator"}`, jwk),
	} {
		c.Add(uint64(i+1), []byte(r))
	}
	if got := c.Signer("inps", "other"); !slices.Equal(got, []uint64{1, 2, 7}) {
		t.Errorf("signer: %v", got)
	}
	if got := c.Terms(); !slices.Equal(got, []uint64{3}) {
		t.Errorf("terms: %v", got)
	}
	if got := c.LastCheck("inps", "registro.example/2026"); !slices.Equal(got, []uint64{1, 9, 2, 7, 6}) {
		t.Errorf("last check: %v", got)
	}
	if got := c.LastCheck("inail", "registro.example/2026"); got != nil {
		t.Errorf("inail never checked: %v", got)
	}
}
