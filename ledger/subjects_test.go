// SPDX-License-Identifier: EUPL-1.2

package ledger_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
)

// invented returns the n-th of many invented codes of 11 digits, and a salt.
func invented(n int) ledger.SaltedSubject {
	digits := fmt.Sprintf("%010d", n)
	for check := range 10 {
		if s, err := ledger.ParseSubject(digits + string(rune('0'+check))); err == nil {
			return ledger.SaltedSubject{Subject: s, Salt: sha256.Sum256([]byte(digits))}
		}
	}
	panic("no check digit is right")
}

func inventedList(n int) []ledger.SaltedSubject {
	list := make([]ledger.SaltedSubject, n)
	for i := range list {
		list[i] = invented(i)
	}
	return list
}

// rootByRFC6962 is the definition, MTH of RFC 6962 §2.1.
func rootByRFC6962(leaves []ledger.Hash) ledger.Hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	return ledger.HashChildren(rootByRFC6962(leaves[:k]), rootByRFC6962(leaves[k:]))
}

func leafHash(s ledger.SaltedSubject) ledger.Hash {
	b := append([]byte{0, byte(len(s.Subject))}, s.Subject...)
	return ledger.HashLeaf(append(b, s.Salt[:]...))
}

func TestSubjectTree(t *testing.T) {
	list := inventedList(260)
	var leaves []ledger.Hash
	for n := 1; n <= len(list); n++ {
		leaves = append(leaves, leafHash(list[n-1]))
		tree, err := ledger.NewSubjectTree(list[:n])
		if err != nil {
			t.Fatal(err)
		}
		if tree.Len() != n || tree.Root() != rootByRFC6962(leaves) {
			t.Fatalf("%d subjects: length %d or root wrong", n, tree.Len())
		}
		for i := range n {
			if err := ledger.CheckSubject(tree.Root(), n, i, list[i], tree.Proof(i)); err != nil {
				t.Fatalf("%d of %d: %v", i, n, err)
			}
		}
	}
}

func TestCheckSubjectRefuses(t *testing.T) {
	list := inventedList(21)
	for n := 1; n <= len(list); n++ {
		tree, err := ledger.NewSubjectTree(list[:n])
		if err != nil {
			t.Fatal(err)
		}
		root := tree.Root()
		for i := range n {
			proof := tree.Proof(i)
			refuse := func(what string, root ledger.Hash, count, position int, s ledger.SaltedSubject, proof []ledger.Hash) {
				if err := ledger.CheckSubject(root, count, position, s, proof); err != ledger.ErrNotSubject {
					t.Errorf("%d of %d, %s: error %v", i, n, what, err)
				}
			}
			for bit := range 256 {
				changed := root
				changed[bit/8] ^= 1 << (bit % 8)
				refuse("root changed", changed, n, i, list[i], proof)
				s := list[i]
				s.Salt[bit/8] ^= 1 << (bit % 8)
				refuse("salt changed", root, n, i, s, proof)
				for k := range proof {
					p := slices.Clone(proof)
					p[k][bit/8] ^= 1 << (bit % 8)
					refuse("proof changed", root, n, i, list[i], p)
				}
			}
			for position := -1; position <= n; position++ {
				if position != i {
					refuse("position changed", root, n, position, list[i], proof)
				}
			}
			refuse("another subject", root, n, i, invented(1000), proof)
			refuse("a hash more", root, n, i, list[i], append(slices.Clone(proof), root))
			if len(proof) > 0 {
				refuse("a hash less", root, n, i, list[i], proof[1:])
				refuse("the last hash gone", root, n, i, list[i], proof[:len(proof)-1])
			}
			refuse("no subjects", root, 0, i, list[i], proof)
			refuse("too many subjects", root, ledger.MaxSubjects+1, i, list[i], proof)
		}
	}
}

// A count says more than the proof shows: other counts can give the same path.
// But never one by which the position or the path's length comes out wrong.
func TestCheckSubjectOtherCounts(t *testing.T) {
	list := inventedList(21)
	for n := 1; n <= len(list); n++ {
		tree, err := ledger.NewSubjectTree(list[:n])
		if err != nil {
			t.Fatal(err)
		}
		last := n - 1
		for count := 1; count <= 40; count++ {
			err := ledger.CheckSubject(tree.Root(), count, last, list[last], tree.Proof(last))
			if (err == nil) != (count == n) && count <= n {
				t.Errorf("last of %d as of %d: %v", n, count, err)
			}
		}
	}
}

func TestNewSubjectTreeRefuses(t *testing.T) {
	twice := inventedList(5)
	twice[4].Subject = twice[1].Subject
	salt := inventedList(5)
	salt[3].Salt = salt[0].Salt
	for _, x := range []struct {
		name        string
		list        []ledger.SaltedSubject
		code, where string
	}{
		{"none", nil, ledger.CodeBadCount, "/subjects"},
		{"too many", inventedList(ledger.MaxSubjects + 1), ledger.CodeBadCount, "/subjects"},
		{"a subject twice", twice, ledger.CodeSubjectRepeated, "/subjects/4/subject"},
		{"a salt twice", salt, ledger.CodeSaltRepeated, "/subjects/3/salt"},
	} {
		_, err := ledger.NewSubjectTree(x.list)
		var p *ledger.Problem
		if !errors.As(err, &p) || p.Code != x.code || p.Where != x.where {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	if _, err := ledger.NewSubjectTree(inventedList(ledger.MaxSubjects)); err != nil {
		t.Error(err)
	}
}

func BenchmarkSubjectTree10000(b *testing.B) {
	list := inventedList(10_000)
	for b.Loop() {
		tree, err := ledger.NewSubjectTree(list)
		if err != nil {
			b.Fatal(err)
		}
		for i := range list {
			_ = tree.Proof(i)
		}
	}
}
