// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// MaxSubjects is how many subjects one receipt can be about.
const MaxSubjects = 10_000

// SaltedSubject is a subject with the salt that was made for it and one receipt.
type SaltedSubject struct {
	Subject Subject
	Salt    [32]byte
}

// hash is the RFC 6962 hash of the leaf LP(subject) ‖ salt[32].
func (s *SaltedSubject) hash() Hash {
	var room [1 + 2 + 16 + 32]byte
	b := appendLP(room[:1], string(s.Subject))
	return sha256.Sum256(append(b, s.Salt[:]...))
}

// SubjectTree is the RFC 6962 tree over the subjects of a receipt, in the order
// submitted. Its leaves are LP(subject) ‖ salt[32]:
//
//	0010 RSSMRA80A01H501U f2cbfbfe…                       50 bytes, or 45 with 11 digits
//
// It is safe for concurrent use.
type SubjectTree struct {
	// levels[0] holds the hashes of the leaves, the last level the root. The
	// last node of an odd level goes up unchanged.
	levels [][]Hash
}

// NewSubjectTree makes the tree over 1 to [MaxSubjects] subjects. A subject or a
// salt that occurs twice is refused with a *Problem.
func NewSubjectTree(subjects []SaltedSubject) (*SubjectTree, error) {
	n := len(subjects)
	if n < 1 || n > MaxSubjects {
		return nil, &Problem{CodeBadCount, "/subjects", fmt.Sprintf("1 to %d subjects", MaxSubjects), fmt.Sprint(n)}
	}
	if p := repeated(subjects); p != nil {
		return nil, p
	}
	level := make([]Hash, n)
	for i := range subjects {
		level[i] = subjects[i].hash()
	}
	t := &SubjectTree{levels: [][]Hash{level}}
	for len(level) > 1 {
		above := make([]Hash, 0, (len(level)+1)/2)
		for pair := range slices.Chunk(level, 2) {
			if len(pair) == 1 {
				above = append(above, pair[0])
				continue
			}
			above = append(above, HashChildren(pair[0], pair[1]))
		}
		t.levels = append(t.levels, above)
		level = above
	}
	return t, nil
}

// repeated finds the first subject or salt that occurs before.
func repeated(subjects []SaltedSubject) *Problem {
	if len(subjects) == 1 {
		return nil
	}
	codes := make(map[Subject]struct{}, len(subjects))
	salts := make(map[[32]byte]struct{}, len(subjects))
	for i := range subjects {
		s := &subjects[i]
		codes[s.Subject] = struct{}{}
		if len(codes) == i {
			return &Problem{CodeSubjectRepeated, fmt.Sprintf("/subjects/%d/subject", i), "a subject once", "one that occurs before"}
		}
		salts[s.Salt] = struct{}{}
		if len(salts) == i {
			return &Problem{CodeSaltRepeated, fmt.Sprintf("/subjects/%d/salt", i), "a salt for each subject", "one that occurs before"}
		}
	}
	return nil
}

// Len is the number of subjects.
func (t *SubjectTree) Len() int {
	return len(t.levels[0])
}

// Root is the root that the receipt commits to.
func (t *SubjectTree) Root() Hash {
	return t.levels[len(t.levels)-1][0]
}

// Proof is the inclusion proof of the subject at a position, deepest sibling
// first, at most 14 hashes. It panics when position isn't in [0, Len).
func (t *SubjectTree) Proof(position int) []Hash {
	if position < 0 || position >= t.Len() {
		panic(fmt.Sprintf("ledger: no subject at position %d of %d", position, t.Len()))
	}
	proof := make([]Hash, 0, len(t.levels)-1)
	for _, level := range t.levels[:len(t.levels)-1] {
		if sibling := position ^ 1; sibling < len(level) {
			proof = append(proof, level[sibling])
		}
		position /= 2
	}
	return proof
}

// ErrNotSubject is the one error of [CheckSubject].
var ErrNotSubject = errors.New("the receipt's root doesn't hold this subject at this position")

// CheckSubject verifies an inclusion proof of a subject under a receipt's root
// and count (RFC 9162 §2.1.3.2).
func CheckSubject(root Hash, count, position int, s SaltedSubject, proof []Hash) error {
	if count < 1 || count > MaxSubjects || position < 0 || position >= count {
		return ErrNotSubject
	}
	node, last, r := position, count-1, s.hash()
	for _, sibling := range proof {
		if last == 0 {
			return ErrNotSubject
		}
		if node%2 == 1 || node == last {
			r = HashChildren(sibling, r)
			for node%2 == 0 && node != 0 {
				node, last = node/2, last/2
			}
		} else {
			r = HashChildren(r, sibling)
		}
		node, last = node/2, last/2
	}
	if last != 0 || r != root {
		return ErrNotSubject
	}
	return nil
}
