// SPDX-License-Identifier: EUPL-1.2

package policies

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/traccia-ledger/traccia/ledger"
)

// comparison is one run of Diff.
type comparison struct {
	ctx      context.Context
	progress func(done, total int)

	engines     [2]*Engine // before and after
	exceptAtoms []atom
	values      [facets][]value
	atoms       []facet // of the comparison: those of both bundles and the exceptions, equal ones once
	formulas    *formulas
	start       state
	solved      map[state]*diagram
}

// state is what is left to know: whether the access was and is allowed, and
// whether it is excepted.
type state struct{ before, after, except formula }

// diagram says what becomes of accesses by a fact and those after it; nil: nothing
// changes.
type diagram struct {
	change Change // of a leaf, "" of a branch
	facet  facet
	edges  []edge
}

type edge struct {
	class class
	to    *diagram
}

// class is a set of values of a fact that the remaining conditions don't tell
// apart. Of kinds it is a set of sets of attributes, each by an example.
type class struct {
	members []int   // indexes into values, ascending
	sets    [][]int // of kinds: indexes of the attributes that make an example
	atoms   []int   // of kinds: by which sets are told apart
	ways    int     // of kinds: how many there are in all
}

// maxSets bounds what the sets of kinds can amount to at one place.
const maxSets = 1 << 14

var leaves = map[Change]*diagram{Allowed: {change: Allowed}, Excepted: {change: Excepted}, Denied: {change: Denied}}

func newComparison(before, after *Engine, except Exceptions) (*comparison, error) {
	c := &comparison{engines: [2]*Engine{before, after}, formulas: newFormulas(), solved: map[state]*diagram{}}
	r := newReader(&after.bundle.Vocabulary)
	var conditions []*condition
	for _, p := range except {
		read, err := r.policy((*ast.Policy)(p.AST()))
		if err != nil {
			return nil, refuse("bad_policy", "exceptions", "conditions as those of a bundle", fmt.Sprintf("line %d: %v", p.Position().Line, err))
		}
		conditions = append(conditions, read)
	}
	c.exceptAtoms = r.atoms
	for f := range facet(facets) {
		c.values[f] = c.listValues(f)
	}
	known := map[string]int{}
	number := func(k int, list []atom) func(int) int {
		numbers := make([]int, len(list))
		for i, a := range list {
			numbers[i] = c.number(k, a, known)
		}
		return func(atom int) int { return numbers[atom] }
	}
	decided := func(k int) formula {
		numbers := number(k, c.engines[k].atoms)
		var permits, forbids []formula
		for _, p := range c.engines[k].policies {
			if read := c.formulas.read(p.when, numbers); p.Forbids {
				forbids = append(forbids, read)
			} else {
				permits = append(permits, read)
			}
		}
		return c.formulas.and(c.formulas.or(permits...), c.formulas.not(c.formulas.or(forbids...)))
	}
	c.start.before, c.start.after = decided(0), decided(1)
	numbers := number(1, r.atoms)
	for _, read := range conditions {
		c.start.except = c.formulas.or(c.start.except, c.formulas.read(read, numbers))
	}
	return c, nil
}

// number evaluates an atom on every value of its fact. Two that come out the same
// are one.
func (c *comparison) number(k int, a atom, known map[string]int) int {
	list := c.values[a.facet]
	truth := make([]byte, 1+len(list))
	truth[0] = byte(a.facet)
	for i := range list {
		facts := someFacts()
		list[i].set[k](&facts)
		if c.engines[k].holds(a, &facts) {
			truth[i+1] = 1
		}
	}
	if n, ok := known[string(truth)]; ok {
		return n
	}
	n := len(c.atoms)
	known[string(truth)] = n
	c.atoms = append(c.atoms, a.facet)
	for i := range list {
		for len(list[i].true) <= n {
			list[i].true = append(list[i].true, false)
		}
		list[i].true[n] = truth[i+1] == 1
	}
	// Values of other facts say nothing of this atom.
	for f := range c.values {
		for i := range c.values[f] {
			for len(c.values[f][i].true) <= n {
				c.values[f][i].true = append(c.values[f][i].true, false)
			}
		}
	}
	return n
}

// solve finds what becomes of the accesses that a state is about.
func (c *comparison) solve(depth int, s state) (*diagram, error) {
	switch {
	case s.before == s.after:
		return nil, nil
	case s.before == always && s.after == never:
		return leaves[Denied], nil
	case s.before == never && s.after == always && s.except == always:
		return leaves[Excepted], nil
	case s.before == never && s.after == always && s.except == never:
		return leaves[Allowed], nil
	}
	if done, ok := c.solved[s]; ok {
		return done, nil
	}
	if err := c.ctx.Err(); err != nil {
		return nil, err
	}
	f, atoms := c.next(s)
	classes, known, err := c.classes(f, atoms)
	if err != nil {
		return nil, err
	}
	out := &diagram{facet: f}
	for i, one := range classes {
		memo := map[formula]formula{}
		to, err := c.solve(depth+1, state{
			c.formulas.given(s.before, known[i], memo), c.formulas.given(s.after, known[i], memo), c.formulas.given(s.except, known[i], memo),
		})
		if err != nil {
			return nil, err
		}
		if depth == 0 {
			c.progress(i+1, len(classes))
		}
		at := slices.IndexFunc(out.edges, func(e edge) bool { return e.to == to })
		if at < 0 {
			out.edges = append(out.edges, edge{one, to})
		} else {
			merged := &out.edges[at].class
			merged.members, merged.sets = append(merged.members, one.members...), append(merged.sets, one.sets...)
		}
	}
	if len(out.edges) == 1 {
		out = out.edges[0].to
	}
	c.solved[s] = out
	return out, nil
}

// next chooses the first fact on which something still depends.
func (c *comparison) next(s state) (facet, []int) {
	atoms := map[int]bool{}
	for _, f := range []formula{s.before, s.after, s.except} {
		for _, a := range c.formulas.nodes[f].atoms {
			atoms[a] = true
		}
	}
	first := facet(facets)
	for a := range atoms {
		first = min(first, c.atoms[a])
	}
	var list []int
	for _, a := range slices.Sorted(maps.Keys(atoms)) {
		if c.atoms[a] == first {
			list = append(list, a)
		}
	}
	return first, list
}

// classes groups a fact's values by what the atoms are for them.
func (c *comparison) classes(f facet, atoms []int) (classes []class, known []map[int]bool, err error) {
	if f == facetKinds || f == facetProviderKinds {
		return c.kindClasses(f, atoms)
	}
	at := map[string]int{}
	for i := range c.values[f] {
		signature := c.signature(f, i, atoms)
		n, ok := at[signature]
		if !ok {
			n = len(classes)
			at[signature] = n
			classes = append(classes, class{})
			known = append(known, knowledge(atoms, signature))
		}
		classes[n].members = append(classes[n].members, i)
	}
	return classes, known, nil
}

// kindClasses finds everything that sets of attributes amount to: unions of what
// single ones do, and nothing.
func (c *comparison) kindClasses(f facet, atoms []int) (classes []class, known []map[int]bool, err error) {
	single := map[string]int{} // an attribute for each thing that one amounts to
	for i := range c.values[f] {
		signature := c.signature(f, i, atoms)
		if _, ok := single[signature]; !ok && signature != c.nothing(atoms) {
			single[signature] = i
		}
	}
	sets := map[string][]int{c.nothing(atoms): {}}
	order := []string{c.nothing(atoms)}
	for n := 0; n < len(order); n++ { // by the number of attributes it takes
		for _, one := range slices.Sorted(maps.Keys(single)) {
			union := []byte(order[n])
			for k := range union {
				union[k] |= one[k]
			}
			if _, ok := sets[string(union)]; !ok {
				sets[string(union)] = append(slices.Clone(sets[order[n]]), single[one])
				order = append(order, string(union))
			}
		}
		if len(order) > maxSets {
			return nil, nil, fmt.Errorf("couldn't compare the bundles: kinds of body are combined in more than %d ways at one place", maxSets)
		}
	}
	for _, signature := range order {
		classes = append(classes, class{sets: [][]int{sets[signature]}, atoms: atoms, ways: len(order)})
		known = append(known, knowledge(atoms, signature))
	}
	return classes, known, nil
}

func knowledge(atoms []int, signature string) map[int]bool {
	known := make(map[int]bool, len(atoms))
	for k, a := range atoms {
		known[a] = signature[k] == 1
	}
	return known
}

// groups lists the ways to the leaves.
func (c *comparison) groups(d *diagram, path map[facet]class, into *[]Group) error {
	if d == nil {
		return nil
	}
	if d.change == "" {
		for _, e := range d.edges {
			path[d.facet] = e.class
			if err := c.groups(e.to, path, into); err != nil {
				return err
			}
		}
		delete(path, d.facet)
		return nil
	}
	g := Group{Change: d.change, Facts: []Value{}}
	facts := [2]ledger.Facts{someFacts(), someFacts()}
	for f := range facet(facets) {
		one, ok := path[f]
		if ok {
			g.Facts = append(g.Facts, Value{f.String(), c.labels(f, one)})
		}
		var example []int
		switch {
		case ok && one.sets != nil:
			example = one.sets[0]
		case ok:
			example = one.members[:1]
		case f != facetKinds && f != facetProviderKinds:
			example = []int{0}
		}
		for _, i := range example {
			for k := range facts {
				c.values[f][i].set[k](&facts[k])
			}
		}
	}
	reasons := [2]*Reason{&g.Before, &g.After}
	for k, e := range c.engines {
		decided := e.decide(&facts[k])
		reasons[k].Effect, reasons[k].Policies = decided.Effect, append([]string{}, decided.Policies...)
	}
	if allowed := g.After.Effect == ledger.EffectAllow; g.Before.Effect == g.After.Effect || allowed == (d.change == Denied) {
		return fmt.Errorf("couldn't compare the bundles: %s is said to change, and decided the same", g.String())
	}
	*into = append(*into, g)
	return nil
}

// labels says a class to people.
func (c *comparison) labels(f facet, one class) (list []string) {
	values := c.values[f]
	if one.sets == nil && f == facetSubjects {
		return c.ranges(one)
	}
	if one.sets == nil {
		if len(one.members) > len(values)/2 && len(values) > 4 {
			var but []string
			for i := range values {
				if !slices.Contains(one.members, i) {
					but = append(but, values[i].label)
				}
			}
			return []string{"any but " + strings.Join(but, ", ")}
		}
		for _, i := range one.members {
			list = append(list, values[i].label)
		}
		if f == facetCategory {
			return c.grouped(list)
		}
		return list
	}
	return c.kindLabels(f, one)
}

// grouped says "income.*" for a category that is there with all that are narrower.
func (c *comparison) grouped(list []string) (short []string) {
	narrower := map[string][]string{}
	for _, t := range c.engines[1].bundle.Vocabulary.Categories {
		if t.Broader != "" {
			narrower[t.Broader] = append(narrower[t.Broader], t.ID)
		}
	}
	there, under := set(list), map[string]bool{}
	for id, terms := range narrower {
		if there[id] && !slices.ContainsFunc(terms, func(t string) bool { return !there[t] }) {
			for _, t := range append(terms, id) {
				under[t] = true
			}
			short = append(short, id+".*")
		}
	}
	slices.Sort(short)
	for _, label := range list {
		if !under[label] {
			short = append(short, label)
		}
	}
	return short
}

// ranges joins numbers that follow each other.
func (c *comparison) ranges(one class) (list []string) {
	values := c.values[facetSubjects]
	for k := 0; k < len(one.members); k++ {
		from, to := values[one.members[k]].from, values[one.members[k]].to
		for k+1 < len(one.members) && values[one.members[k+1]].from == to+1 {
			k++
			to = values[one.members[k]].to
		}
		label := strconv.Itoa(from)
		if to > from {
			label += "–" + strconv.Itoa(to)
		}
		list = append(list, label)
	}
	return list
}

// kindLabels says sets of kinds: by single attributes where one is enough, and by
// an example where it takes several. Whatever else a body is changes nothing.
func (c *comparison) kindLabels(f facet, one class) (list []string) {
	signature := func(set []int) string { return c.union(f, set, one.atoms) }
	nothing := c.nothing(one.atoms)
	var matter []string
	for i := range c.values[f] {
		if signature([]int{i}) != nothing {
			matter = append(matter, c.values[f][i].label)
		}
	}
	none := slices.ContainsFunc(one.sets, func(set []int) bool { return len(set) == 0 })
	if !none && len(one.sets) == one.ways-1 {
		return matter
	}
	for _, set := range one.sets {
		if len(set) == 0 {
			if len(matter) == len(c.values[f]) {
				list = append(list, "no kind")
			} else {
				list = append(list, "none of "+strings.Join(matter, ", "))
			}
			continue
		}
		if len(set) == 1 {
			for i := range c.values[f] {
				if signature([]int{i}) == signature(set) {
					list = append(list, c.values[f][i].label)
				}
			}
			continue
		}
		var with []string
		for _, i := range set {
			with = append(with, c.values[f][i].label)
		}
		list = append(list, strings.Join(with, " with "))
	}
	return list
}

// union is what atoms are for a set of attributes.
func (c *comparison) union(f facet, set, atoms []int) string {
	out := []byte(c.nothing(atoms))
	for _, i := range set {
		for k, bit := range []byte(c.signature(f, i, atoms)) {
			out[k] |= bit
		}
	}
	return string(out)
}
