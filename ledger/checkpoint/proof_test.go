// SPDX-License-Identifier: EUPL-1.2

package checkpoint_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

// prove returns the text of a proof of leaf i in a log of size leaves.
func prove(t testing.TB, i, size uint64) (text []byte, leaf ledger.Hash) {
	t.Helper()
	s, _, _ := key(t, origin, 1)
	tree := testonly.New(rfc6962.DefaultHasher)
	for n := range size {
		tree.AppendData(fmt.Appendf(nil, "leaf %d", n))
	}
	path, err := tree.InclusionProof(i, size)
	if err != nil {
		t.Fatal(err)
	}
	hashes := make([]ledger.Hash, len(path))
	for n, h := range path {
		hashes[n] = ledger.Hash(h)
	}
	signed := sign(t, s, checkpoint.Checkpoint{Origin: origin, Size: size, Root: ledger.Hash(tree.Hash())})
	return checkpoint.FormatProof(checkpoint.Proof{Index: i, Hashes: hashes, Checkpoint: signed}), ledger.Hash(tree.LeafHash(i))
}

func TestProof(t *testing.T) {
	_, v, _ := key(t, origin, 1)
	for _, at := range [][2]uint64{{0, 1}, {0, 2}, {1, 2}, {2, 3}, {6, 7}, {255, 256}, {256, 257}, {100, 300}} {
		text, leaf := prove(t, at[0], at[1])
		check := func(text []byte, leaf ledger.Hash) error {
			p, err := checkpoint.ParseProof(text)
			if err != nil {
				return err
			}
			c, err := checkpoint.Open(p.Checkpoint, v)
			if err != nil {
				return err
			}
			return p.Check(leaf, c)
		}
		if err := check(text, leaf); err != nil {
			t.Fatalf("%v: %v", at, err)
		}
		for b := range 8 * len(text) {
			bad := bytes.Clone(text)
			bad[b/8] ^= 1 << (b % 8)
			if check(bad, leaf) == nil {
				t.Fatalf("%v: bit %d of %q", at, b, bad)
			}
		}
		for n := range text {
			if check(text[:n], leaf) == nil {
				t.Errorf("%v: cut to %d", at, n)
			}
		}
		other := leaf
		other[31] ^= 1
		if check(text, other) != checkpoint.ErrProof {
			t.Errorf("%v: another leaf", at)
		}
		p, err := checkpoint.ParseProof(text)
		if err != nil {
			t.Fatal(err)
		}
		for i := range at[1] + 3 {
			p.Index = i
			if got := check(checkpoint.FormatProof(p), leaf) == nil; got != (i == at[0]) {
				t.Errorf("%v: index %d: %v", at, i, got)
			}
		}
		// In RFC 6962 a proof doesn't bind the size but by its shape; the signature does.
		p.Index = at[0]
		c, err := checkpoint.Open(p.Checkpoint, v)
		if err != nil {
			t.Fatal(err)
		}
		for c.Size = range 2*at[1] + 2 {
			want := at[0] < c.Size && way(at[0], c.Size) == way(at[0], at[1])
			if got := p.Check(leaf, c) == nil; got != want {
				t.Errorf("%v: size %d: %v", at, c.Size, got)
			}
		}
	}
}

// way tells on which side the siblings lie, from leaf i up to the root of a tree of n leaves.
func way(i, n uint64) (sides string) {
	for last := n - 1; last > 0; i, last = i/2, last/2 {
		if i%2 == 1 {
			sides += "left "
		} else if i < last {
			sides += "right "
		}
	}
	return sides
}

func TestParseProofRefuses(t *testing.T) {
	good, _ := prove(t, 1, 3)
	if _, err := checkpoint.ParseProof(good); err != nil {
		t.Fatal(err)
	}
	hash := strings.Split(string(good), "\n")[2]
	replace := func(old, new string) string {
		if !strings.Contains(string(good), old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(string(good), old, new, 1)
	}
	for name, text := range map[string]string{
		"nothing":            "",
		"another version":    replace("@v1", "@v2"),
		"extra data":         replace("index", "extra AAAA\nindex"),
		"empty extra data":   replace("index", "extra \nindex"),
		"a leading zero":     replace("index 1", "index 01"),
		"a sign":             replace("index 1", "index +1"),
		"no index":           replace("index 1\n", ""),
		"two indexes":        replace("index 1\n", "index 1\nindex 1\n"),
		"a carriage return":  replace("index 1\n", "index 1\r\n"),
		"another spelling":   replace(hash, hash[:42]+string(hash[42]+1)+"="),
		"a short hash":       replace(hash, hash[:40]),
		"no empty line":      replace("\n\n"+origin, "\n"+origin),
		"no checkpoint":      string(good[:strings.Index(string(good), origin)]),
		"too many hashes":    replace(hash+"\n", strings.Repeat(hash+"\n", 65)),
		"no newline":         string(good[:len(good)-1]),
		"a space in the end": replace("@v1\n", "@v1 \n"),
	} {
		if p, err := checkpoint.ParseProof([]byte(text)); err != checkpoint.ErrProof {
			t.Errorf("%s: ParseProof = %v, %v", name, p, err)
		}
	}
}

func FuzzParseProof(f *testing.F) {
	for _, at := range [][2]uint64{{0, 1}, {6, 7}} {
		text, _ := prove(f, at[0], at[1])
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := checkpoint.ParseProof(text)
		if err != nil {
			return
		}
		if diff := cmp.Diff(string(text), string(checkpoint.FormatProof(p))); diff != "" {
			t.Error(diff)
		}
	})
}
