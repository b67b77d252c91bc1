// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

// inclusion checks the leaves and that they are in the log.
func (c *receiptCheck) inclusion() error {
	leaves, where := c.leaves()
	events := make([]ledger.Event, len(leaves))
	tags := make(map[ledger.Hash]bool, 2*len(leaves))
	for i, text := range leaves {
		leaf, err := ledger.ParseLeaf(text)
		event, ok := leaf.(ledger.Event)
		if err != nil || !ok {
			return problem(CodeMalformedLeaf, where(i), "the leaf of an event", "something else")
		}
		if event.Epoch != c.epoch {
			return problem(CodeWrongEpoch, where(i), strconv.Itoa(int(c.epoch)), strconv.Itoa(int(event.Epoch)))
		}
		// Which of two equal tags counts, the whole log decides: one of these
		// events at least would be in nobody's list.
		tags[event.SubjectTag], tags[event.AgencyTag] = true, true
		if len(tags) != 2*(i+1) {
			return problem(CodeTagRepeated, where(i), "tags not used before", "one that was")
		}
		events[i] = event
	}
	c.events = events
	if c.log == nil {
		return unchecked("without a signed checkpoint nothing leads anywhere")
	}
	if c.answer.Range != nil {
		return c.rangeProof(leaves)
	}
	for i, leaf := range leaves {
		e := &c.answer.Entries[i]
		if err := c.proof(entry(i, "proof"), e.Proof, e.Index, leaf); err != nil {
			return err
		}
	}
	return nil
}

// leaves returns the bytes of each entry's leaf, and where one is.
func (c *receiptCheck) leaves() (leaves [][]byte, where func(i int) string) {
	if r := c.answer.Range; r != nil {
		size := len(r.Leaves) / c.answer.Count // ParseAnswer saw that it is a leaf's
		leaves = slices.Collect(slices.Chunk([]byte(r.Leaves), size))
		return leaves, func(int) string { return "/range/leaves" }
	}
	for i := range c.answer.Entries {
		leaves = append(leaves, c.answer.Entries[i].Leaf)
	}
	return leaves, func(i int) string { return entry(i, "leaf") }
}

// proof checks a tlog-proof of a leaf, which must lead to the answer's own
// checkpoint.
func (c *receiptCheck) proof(where, text string, index uint64, leaf []byte) error {
	p, err := checkpoint.ParseProof([]byte(text))
	if err != nil {
		return problem(CodeBadProof, where, "a tlog-proof", "something else")
	}
	if p.Index != index {
		return problem(CodeBadProof, where, fmt.Sprintf("a proof of index %d", index), fmt.Sprintf("one of %d", p.Index))
	}
	if string(p.Checkpoint) != c.answer.Checkpoint {
		return problem(CodeBadProof, where, "a proof at the answer's checkpoint", "one at another")
	}
	if p.Check(ledger.HashLeaf(leaf), *c.log) != nil {
		return problem(CodeBadProof, where, "a proof that leads to the checkpoint's root", "one that doesn't")
	}
	return nil
}

var ranges = compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

// rangeProof checks all leaves at once: the compact range left of them, they
// themselves and the one right of them make the checkpoint's root.
func (c *receiptCheck) rangeProof(leaves [][]byte) error {
	bad := problem(CodeBadProof, "/range", "ranges that, with the leaves, lead to the checkpoint's root", "some that don't")
	first, end := c.answer.FirstIndex, c.answer.FirstIndex+uint64(len(leaves))
	if end > c.log.Size {
		return bad
	}
	all, err := ranges.NewRange(0, first, hashes(c.answer.Range.Left))
	if err != nil {
		return bad
	}
	for _, leaf := range leaves {
		hash := ledger.HashLeaf(leaf)
		if err := all.Append(hash[:], nil); err != nil {
			return bad
		}
	}
	rest, err := ranges.NewRange(end, c.log.Size, hashes(c.answer.Range.Right))
	if err != nil || all.AppendRange(rest, nil) != nil {
		return bad
	}
	if root, err := all.GetRootHash(nil); err != nil || ledger.Hash(root) != c.log.Root {
		return bad
	}
	return nil
}

func hashes(list []ledger.Hash) [][]byte {
	out := make([][]byte, len(list))
	for i := range list {
		out[i] = list[i][:]
	}
	return out
}
