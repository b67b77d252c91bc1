// SPDX-License-Identifier: EUPL-1.2

package policies

import (
	"encoding/binary"
	"slices"
)

// formula is a condition in the one form that a formulas gives to it: equal
// numbers are equal conditions.
type formula int

const (
	never  formula = 0
	always formula = 1
)

// node is one formula: an atom, or what joins others.
type node struct {
	op    operator // opTrue, opFalse, opAtom, opNot, opAnd, opOr
	atom  int      // with opAtom: index into the atoms of a comparison
	kids  []formula
	atoms []int // in it, ascending
}

// formulas builds each condition once.
type formulas struct {
	nodes []node
	known map[string]formula
}

func newFormulas() *formulas {
	f := &formulas{known: map[string]formula{}}
	f.add(node{op: opFalse})
	f.add(node{op: opTrue})
	return f
}

func (f *formulas) add(n node) formula {
	key := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(n.op)), uint64(n.atom))
	for _, k := range n.kids {
		key = binary.AppendUvarint(key, uint64(k))
	}
	if known, ok := f.known[string(key)]; ok {
		return known
	}
	if n.op == opAtom {
		n.atoms = []int{n.atom}
	}
	for _, k := range n.kids {
		n.atoms = append(n.atoms, f.nodes[k].atoms...)
	}
	slices.Sort(n.atoms)
	n.atoms = slices.Compact(n.atoms)
	f.nodes = append(f.nodes, n)
	f.known[string(key)] = formula(len(f.nodes) - 1)
	return formula(len(f.nodes) - 1)
}

func (f *formulas) not(a formula) formula {
	switch {
	case a == never:
		return always
	case a == always:
		return never
	case f.nodes[a].op == opNot:
		return f.nodes[a].kids[0]
	}
	return f.add(node{op: opNot, kids: []formula{a}})
}

func (f *formulas) and(list ...formula) formula { return f.join(opAnd, always, never, list) }
func (f *formulas) or(list ...formula) formula  { return f.join(opOr, never, always, list) }

// join flattens, sorts and shortens a conjunction or disjunction. Of the two
// constants, one changes nothing and the other decides.
func (f *formulas) join(op operator, neutral, decisive formula, list []formula) formula {
	var kids []formula
	for _, k := range list {
		switch {
		case k == decisive:
			return decisive
		case k == neutral:
		case f.nodes[k].op == op:
			kids = append(kids, f.nodes[k].kids...)
		default:
			kids = append(kids, k)
		}
	}
	slices.Sort(kids)
	kids = slices.Compact(kids)
	for _, k := range kids {
		if f.nodes[k].op == opNot && slices.Contains(kids, f.nodes[k].kids[0]) {
			return decisive
		}
	}
	switch len(kids) {
	case 0:
		return neutral
	case 1:
		return kids[0]
	}
	return f.add(node{op: op, kids: kids})
}

// read builds a condition whose atoms are numbered anew.
func (f *formulas) read(c *condition, number func(atom int) int) formula {
	kids := make([]formula, len(c.kids))
	for i, k := range c.kids {
		kids[i] = f.read(k, number)
	}
	switch c.op {
	case opTrue:
		return always
	case opFalse:
		return never
	case opAtom:
		return f.add(node{op: opAtom, atom: number(c.atom)})
	case opNot:
		return f.not(kids[0])
	case opAnd:
		return f.and(kids...)
	case opOr:
		return f.or(kids...)
	default: // opIf
		return f.or(f.and(kids[0], kids[1]), f.and(f.not(kids[0]), kids[2]))
	}
}

// given is what is left of a formula where some atoms are known. The memo is of
// one such knowledge.
func (f *formulas) given(a formula, known map[int]bool, memo map[formula]formula) formula {
	n := f.nodes[a]
	if !slices.ContainsFunc(n.atoms, func(atom int) bool { _, ok := known[atom]; return ok }) {
		return a
	}
	if done, ok := memo[a]; ok {
		return done
	}
	var out formula
	switch n.op {
	case opAtom:
		if out = never; known[n.atom] {
			out = always
		}
	case opNot:
		out = f.not(f.given(n.kids[0], known, memo))
	default:
		kids := make([]formula, len(n.kids))
		for i, k := range n.kids {
			kids[i] = f.given(k, known, memo)
		}
		if n.op == opAnd {
			out = f.and(kids...)
		} else {
			out = f.or(kids...)
		}
	}
	memo[a] = out
	return out
}
