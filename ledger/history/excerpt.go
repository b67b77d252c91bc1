// SPDX-License-Identifier: EUPL-1.2

package history

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
)

// ErrNotOpened: an excerpt was asked of an event that the bundle doesn't open.
var ErrNotOpened = errors.New("the bundle opens no such event")

// Choose returns the excerpt of chosen events of a whole bundle, by epoch and log index. It carries no VRF proof, no index proof,
// and of records and heads only those that the chosen events need: it shows nothing of the others but that there may be
// some. The bundle's own proofs must be good.
func (b *Bundle) Choose(chosen map[uint32][]uint64) (*Bundle, error) {
	out := &Bundle{Excerpt: true, Subject: b.Subject}
	for i := range b.Shards {
		s := &b.Shards[i]
		_, epoch, err := ledger.ParseOrigin(s.Origin)
		if err != nil {
			return nil, fmt.Errorf("couldn't make an excerpt: %w", err)
		}
		if len(chosen[epoch]) == 0 {
			continue
		}
		part, err := s.excerpt(chosen[epoch])
		if err != nil {
			return nil, err
		}
		out.Shards = append(out.Shards, *part)
	}
	for epoch := range chosen {
		if !slices.ContainsFunc(out.Shards, func(s Shard) bool { _, e, _ := ledger.ParseOrigin(s.Origin); return e == epoch }) {
			return nil, fmt.Errorf("couldn't make an excerpt of %d: %w", epoch, ErrNotOpened)
		}
	}
	return out, nil
}

func (s *Shard) excerpt(chosen []uint64) (*Shard, error) {
	size, root, err := unverified(s.Checkpoint)
	if err != nil {
		return nil, err
	}
	known, err := checkLeaves(size, root, s.Leaves, s.Proof)
	if err != nil {
		return nil, err
	}
	catalogue, heads := NewCatalogue(), []uint64(nil)
	for _, l := range s.Leaves {
		switch leaf, _ := ledger.ParseLeaf(l.Leaf); leaf := leaf.(type) {
		case ledger.Record:
			catalogue.Add(l.Index, leaf.JSON)
		case ledger.Head:
			heads = append(heads, l.Index)
		}
	}
	out := &Shard{Origin: s.Origin, Checkpoint: s.Checkpoint}
	keep := map[uint64]bool{0: true}
	for _, e := range s.Events {
		if !slices.Contains(chosen, e.Index) || e.Nonce == nil {
			continue
		}
		out.Events = append(out.Events, e)
		keep[e.Index] = true
		before, after := Around(heads, e.Index)
		for _, l := range s.Leaves {
			// What stands between the heads may be needed to show that they are neighbours.
			if leaf, _ := ledger.ParseLeaf(l.Leaf); leaf != nil && l.Index >= before && l.Index <= after {
				if _, event := leaf.(ledger.Event); !event {
					keep[l.Index] = true
				}
			}
		}
		body, err := ledger.ParseBody(e.Body)
		if err != nil {
			return nil, err
		}
		receipt, err := ledger.ParseReceipt(body.Receipt)
		if err != nil {
			return nil, err
		}
		needed := slices.Concat(catalogue.Signer(receipt.Iss, receipt.JWS.Header.Kid), catalogue.Bodies(receipt.Consumer, receipt.Provider), catalogue.Policies(), catalogue.Session(&receipt.Receipt))
		for _, index := range needed {
			keep[index] = true
		}
	}
	for _, index := range chosen {
		if !slices.ContainsFunc(out.Events, func(e Event) bool { return e.Index == index }) {
			return nil, fmt.Errorf("couldn't make an excerpt of event %d: %w", index, ErrNotOpened)
		}
	}
	var indexes []uint64
	for _, l := range s.Leaves {
		if keep[l.Index] {
			out.Leaves, indexes = append(out.Leaves, l), append(indexes, l.Index)
		}
	}
	out.Proof, err = proofFrom(known, size, indexes)
	return out, err
}

// Around returns, of ascending indexes of heads, the last before an event and the first after it; 0 where there is none.
func Around(heads []uint64, index uint64) (before, after uint64) {
	next, _ := slices.BinarySearch(heads, index)
	if next > 0 {
		before = heads[next-1]
	}
	if next < len(heads) {
		after = heads[next]
	}
	return before, after
}

// unverified reads size and root from a note without looking at signatures: whoever uses them checks leaves against the
// root, and their reader checks the note.
func unverified(note []byte) (size uint64, root ledger.Hash, err error) {
	lines := strings.SplitN(string(note), "\n", 4)
	if len(lines) < 4 {
		return 0, root, ErrProof
	}
	hash, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(hash) != len(root) {
		return 0, root, ErrProof
	}
	if size, err = strconv.ParseUint(lines[1], 10, 64); err != nil {
		return 0, root, ErrProof
	}
	return size, ledger.Hash(hash), nil
}
