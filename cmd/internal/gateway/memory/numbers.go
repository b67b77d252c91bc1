// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
)

// numbers are what is known of a subject's numbers in a year's log.
type numbers struct {
	known bool   // any of them
	last  uint32 // the greatest
	index uint64 // of its event
	gaps  []gap  // below it
}

// gap is a run of numbers that weren't told.
type gap struct {
	from, to uint32
	ticket   uint64 // calls that could have one of them have lesser ones
}

// take compares a number with those told before, and counts it among them. What it
// leaves out becomes a gap with this ticket. Gaps are replaced, never changed.
func (n *numbers) take(number uint32, index, ticket uint64) *ledger.Problem {
	next := uint32(0)
	if n.known {
		next = n.last + 1
	}
	if n.known && number <= n.last {
		return n.fill(number, index)
	}
	if n.known && index < n.index {
		return orderProblem(n.index, index)
	}
	n.known, n.last, n.index = true, number, index
	if number > next {
		n.gaps = append(slices.Clone(n.gaps), gap{next, number - 1, ticket})
	}
	return nil
}

// fill takes a number out of the gap that it is in.
func (n *numbers) fill(number uint32, index uint64) *ledger.Problem {
	i := slices.IndexFunc(n.gaps, func(g gap) bool { return g.from <= number && number <= g.to })
	if i < 0 {
		return &ledger.Problem{Code: CodeNumberAgain, Expected: "a number of this subject that no other event has", Found: fmt.Sprintf("%d again", number)}
	}
	if index > n.index {
		return orderProblem(n.index, index)
	}
	found := n.gaps[i]
	var rest []gap
	if found.from < number {
		rest = append(rest, gap{found.from, number - 1, found.ticket})
	}
	if number < found.to {
		rest = append(rest, gap{number + 1, found.to, found.ticket})
	}
	n.gaps = slices.Replace(slices.Clone(n.gaps), i, i+1, rest...)
	return nil
}

func orderProblem(last, found uint64) *ledger.Problem {
	return &ledger.Problem{Code: CodeIndexOrder, Expected: fmt.Sprintf("an index on the other side of %d, as the numbers are", last), Found: fmt.Sprint(found)}
}

// formatLast is the value of a row s, and setLast reads it.
func (n *numbers) formatLast() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, n.last), n.index)
}

func (n *numbers) setLast(value []byte) error {
	if len(value) != 4+8 {
		return errDamaged
	}
	n.known, n.last, n.index = true, binary.BigEndian.Uint32(value), binary.BigEndian.Uint64(value[4:])
	return nil
}
