// SPDX-License-Identifier: EUPL-1.2

package history

import (
	"errors"
	"math/bits"
	"sort"

	"github.com/traccia-ledger/traccia/ledger"
)

// ErrProof is the one answer to a proof that isn't that of its leaves under a root.
var ErrProof = errors.New("proof of leaves refused")

// A proof of many leaves of one log is the hashes of the largest subtrees of the RFC 6962 tree that hold none of them,
// from left to right. Paths that run together are sent once, and each set of leaves has exactly one proof at a size. Of
// leaves 1 and 4 in a log of 6:
//
//	              ┌────────┴────────┐
//	         ┌────┴────┐         ┌──┴──┐
//	       ┌─┴─┐     ┌─┴─┐       4     5        proof   hash(0) ‖ hash(2,3) ‖ hash(5)
//	       0   1     2   3

// span is the subtree over the leaves from … to−1.
type span struct{ from, to uint64 }

// split cuts a span of two leaves or more where RFC 6962 does.
func (s span) split() (left, right span) {
	k := uint64(1) << (bits.Len64(s.to-s.from-1) - 1)
	return span{s.from, s.from + k}, span{s.from + k, s.to}
}

// CheckLeaves checks that leaves, ascending, are in the log of this size and root. The error is ErrProof.
func CheckLeaves(size uint64, root ledger.Hash, leaves []Leaf, proof []ledger.Hash) error {
	_, err := checkLeaves(size, root, leaves, proof)
	return err
}

// checkLeaves returns the hash of every subtree that it came across.
func checkLeaves(size uint64, root ledger.Hash, leaves []Leaf, proof []ledger.Hash) (map[span]ledger.Hash, error) {
	if len(leaves) == 0 || leaves[len(leaves)-1].Index >= size {
		return nil, ErrProof
	}
	for i := range leaves[1:] {
		if leaves[i+1].Index <= leaves[i].Index {
			return nil, ErrProof
		}
	}
	known := make(map[span]ledger.Hash)
	var subtree func(s span, leaves []Leaf) (ledger.Hash, bool)
	subtree = func(s span, leaves []Leaf) (h ledger.Hash, ok bool) {
		switch {
		case len(leaves) == 0:
			if len(proof) == 0 {
				return h, false
			}
			h, proof = proof[0], proof[1:]
		case s.to-s.from == 1:
			h = ledger.HashLeaf(leaves[0].Leaf)
		default:
			left, right := s.split()
			cut := sort.Search(len(leaves), func(i int) bool { return leaves[i].Index >= right.from })
			l, ok := subtree(left, leaves[:cut])
			if !ok {
				return h, false
			}
			r, ok := subtree(right, leaves[cut:])
			if !ok {
				return h, false
			}
			h = ledger.HashChildren(l, r)
		}
		known[s] = h
		return h, true
	}
	got, ok := subtree(span{0, size}, leaves)
	if !ok || len(proof) > 0 || got != root {
		return nil, ErrProof
	}
	return known, nil
}

// ProveLeaves returns the proof of the leaves at indexes, ascending, in the log of a size. inclusion gives the RFC 6962
// inclusion proof of one leaf at that size.
func ProveLeaves(size uint64, indexes []uint64, inclusion func(index uint64) ([]ledger.Hash, error)) ([]ledger.Hash, error) {
	known := make(map[span]ledger.Hash)
	for _, index := range indexes {
		path, err := inclusion(index)
		if err != nil {
			return nil, err
		}
		s := span{0, size}
		for at := len(path) - 1; s.to-s.from > 1; at-- {
			if at < 0 {
				return nil, ErrProof
			}
			left, right := s.split()
			if index < right.from {
				s, known[right] = left, path[at]
			} else {
				s, known[left] = right, path[at]
			}
		}
	}
	return proofFrom(known, size, indexes)
}

// proofFrom collects a proof from the hashes of subtrees.
func proofFrom(known map[span]ledger.Hash, size uint64, indexes []uint64) (proof []ledger.Hash, err error) {
	var subtree func(s span, indexes []uint64)
	subtree = func(s span, indexes []uint64) {
		switch {
		case len(indexes) == 0:
			h, ok := known[s]
			if !ok {
				err = ErrProof
			}
			proof = append(proof, h)
		case s.to-s.from > 1:
			left, right := s.split()
			cut := sort.Search(len(indexes), func(i int) bool { return indexes[i] >= right.from })
			subtree(left, indexes[:cut])
			subtree(right, indexes[cut:])
		}
	}
	if len(indexes) == 0 || indexes[len(indexes)-1] >= size {
		return nil, ErrProof
	}
	subtree(span{0, size}, indexes)
	return proof, err
}
