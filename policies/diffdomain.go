// SPDX-License-Identifier: EUPL-1.2

package policies

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"

	"github.com/traccia-ledger/traccia/ledger"
)

// anyOther stands for the words or ids that nobody names.
const anyOther = "any other"

// value is one that a fact can have, or several that nothing tells apart. Of
// kinds it is what one attribute of a body amounts to.
type value struct {
	label string
	set   [2]func(*ledger.Facts) // before and after: a word may mean another term
	true  []bool                 // by atom of the comparison

	from, to int // of numbers of people: the range that it stands for
}

// values lists what a fact can be.
func (c *comparison) listValues(f facet) []value {
	set := func(label string, do func(*ledger.Facts)) value {
		return value{label: label, set: [2]func(*ledger.Facts){do, do}}
	}
	var list []value
	switch f {
	case facetCategory, facetPurpose, facetLegalBasis:
		return c.wordValues(f)
	case facetKinds, facetProviderKinds:
		return c.kindValues(f)
	case facetActor, facetProfile:
		for _, word := range c.engines[0].domain(f) {
			list = append(list, set(word, func(facts *ledger.Facts) { setWord(facts, f, word) }))
		}
	case facetConsent:
		for _, b := range []bool{false, true} {
			list = append(list, set(strconv.FormatBool(b), func(facts *ledger.Facts) { facts.Consent = b }))
		}
	case facetEntitlement:
		for _, b := range []bool{false, true} {
			list = append(list, set(strconv.FormatBool(b), func(facts *ledger.Facts) { facts.Entitlement = b }))
		}
	case facetLate:
		for _, b := range []bool{false, true} {
			list = append(list, set(strconv.FormatBool(b), func(facts *ledger.Facts) { facts.Late = b }))
		}
	case facetLoA:
		for n := range 5 {
			list = append(list, set(strconv.Itoa(n), func(facts *ledger.Facts) { facts.LoA = n }))
		}
	case facetSubjects:
		starts := cutsOf(c.engines[0].atoms, c.engines[1].atoms, c.exceptAtoms)
		for i, n := range starts {
			v := set(strconv.Itoa(n), func(facts *ledger.Facts) { facts.Subjects = n })
			if v.from, v.to = n, ledger.MaxSubjects; i+1 < len(starts) {
				v.to = starts[i+1] - 1
			}
			list = append(list, v)
		}
	case facetConsumer, facetProvider:
		named := namedIn(f, c.engines[0].atoms, c.engines[1].atoms, c.exceptAtoms)
		other := "other"
		for slices.Contains(named, other) {
			other += "-"
		}
		for _, id := range named {
			list = append(list, set(id, func(facts *ledger.Facts) { setWord(facts, f, id) }))
		}
		list = append(list, set(anyOther, func(facts *ledger.Facts) { setWord(facts, f, other) }))
	}
	return list
}

// wordValues are the pairs of terms that a word can mean before and after.
func (c *comparison) wordValues(f facet) (list []value) {
	lookUp := func(e *Engine) map[string]string {
		return map[facet]map[string]string{facetCategory: e.categories, facetPurpose: e.purposes, facetLegalBasis: e.legalBases}[f]
	}
	before, after := lookUp(c.engines[0]), lookUp(c.engines[1])
	words := slices.Concat(slices.Collect(maps.Keys(before)), slices.Collect(maps.Keys(after)))
	pairs := map[[2]string]bool{{ledger.TermUnknown, ledger.TermUnknown}: true}
	for _, word := range words {
		pairs[[2]string{term(before, word), term(after, word)}] = true
	}
	for _, p := range slices.SortedFunc(maps.Keys(pairs), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		label := p[1]
		if p[0] != p[1] {
			label = fmt.Sprintf("%s (%s before)", p[1], p[0])
		}
		list = append(list, value{label: label, set: [2]func(*ledger.Facts){
			func(facts *ledger.Facts) { setWord(facts, f, p[0]) },
			func(facts *ledger.Facts) { setWord(facts, f, p[1]) },
		}})
	}
	return list
}

// kindValues are what attributes amount to before and after.
func (c *comparison) kindValues(f facet) (list []value) {
	words := slices.Concat(slices.Collect(maps.Keys(c.engines[0].kinds)), slices.Collect(maps.Keys(c.engines[1].kinds)))
	slices.Sort(words)
	known := map[string]bool{}
	for _, word := range slices.Compact(words) {
		kinds := [2][]string{c.engines[0].kindsOf([]string{word}), c.engines[1].kindsOf([]string{word})}
		key := fmt.Sprint(kinds)
		if known[key] {
			continue
		}
		known[key] = true
		label := c.engines[1].kinds[word]
		if before := c.engines[0].kinds[word]; label == "" {
			label = before + " (before)"
		}
		add := func(k int) func(*ledger.Facts) {
			return func(facts *ledger.Facts) {
				into := &facts.Kinds
				if f == facetProviderKinds {
					into = &facts.ProviderKinds
				}
				*into = ledger.SortedTerms(slices.Concat(*into, kinds[k]))
			}
		}
		list = append(list, value{label: label, set: [2]func(*ledger.Facts){add(0), add(1)}})
	}
	return list
}

// domainFact says how large a fact is.
func (c *comparison) domainFact(f facet) DomainFact {
	d := DomainFact{Fact: f.String(), Values: len(c.values[f])}
	switch f {
	case facetSubjects:
		d.Values = ledger.MaxSubjects
	}
	var all []int
	for n, a := range c.atoms {
		if a == f {
			all = append(all, n)
		}
	}
	classes := map[string]bool{}
	for i := range c.values[f] {
		classes[c.signature(f, i, all)] = true
	}
	d.Classes = len(classes)
	if f == facetKinds || f == facetProviderKinds {
		delete(classes, c.nothing(all))
		d.Classes = 1 << len(classes)
	}
	return d
}

// count is how many values a fact has; of kinds, how many sets of attributes.
func (c *comparison) count(f facet) *big.Int {
	n := c.domainFact(f).Values
	if f == facetKinds || f == facetProviderKinds {
		return new(big.Int).Lsh(big.NewInt(1), uint(n))
	}
	return big.NewInt(int64(n))
}

// signature is what some atoms are for a value.
func (c *comparison) signature(f facet, i int, atoms []int) string {
	out := make([]byte, len(atoms))
	for k, a := range atoms {
		if c.values[f][i].true[a] {
			out[k] = 1
		}
	}
	return string(out)
}

func (c *comparison) nothing(atoms []int) string { return string(make([]byte, len(atoms))) }
