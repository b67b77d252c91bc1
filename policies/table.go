// SPDX-License-Identifier: EUPL-1.2

package policies

import (
	"slices"
	"strconv"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/traccia-ledger/traccia/ledger"
)

// bits is a set of atoms by number.
type bits []uint64

func (b bits) has(atom int) bool { return b[atom/64]>>(atom%64)&1 == 1 }

func (b bits) add(other bits) {
	for i := range other {
		b[i] |= other[i]
	}
}

// table knows of every value that a fact can be which comparisons are true: Cedar
// was asked once for each. A decision then joins what it knows.
type table struct {
	words  [facets]map[string]bits // of subjects: nothing
	starts []int                   // of ranges of numbers of people in which nothing changes
	ranges []bits
}

// otherID stands for the ids of bodies that no policy names.
const otherID = ""

func (e *Engine) fillTable() {
	t := &e.table
	note := func(f facet, set func(*ledger.Facts)) bits {
		b := make(bits, (len(e.atoms)+63)/64)
		facts := someFacts()
		set(&facts)
		for i, a := range e.atoms {
			if a.facet == f && e.holds(a, &facts) {
				b[i/64] |= 1 << (i % 64)
			}
		}
		return b
	}
	for f := range facet(facets) {
		t.words[f] = map[string]bits{}
	}
	for _, f := range []facet{facetCategory, facetPurpose, facetLegalBasis, facetActor, facetProfile} {
		for _, word := range e.domain(f) {
			t.words[f][word] = note(f, func(facts *ledger.Facts) { setWord(facts, f, word) })
		}
	}
	for _, f := range []facet{facetConsumer, facetProvider} {
		for _, id := range namedIn(f, e.atoms) {
			t.words[f][id] = note(f, func(facts *ledger.Facts) { setWord(facts, f, id) })
		}
		// No id that can be named is like this one.
		t.words[f][otherID] = note(f, func(facts *ledger.Facts) { setWord(facts, f, "/") })
	}
	for _, kind := range ids(e.bundle.Vocabulary.BodyKinds) {
		t.words[facetKinds][kind] = note(facetKinds, func(facts *ledger.Facts) { facts.Kinds = []string{kind} })
		t.words[facetProviderKinds][kind] = note(facetProviderKinds, func(facts *ledger.Facts) { facts.ProviderKinds = []string{kind} })
	}
	for n := range 5 {
		t.words[facetLoA][strconv.Itoa(n)] = note(facetLoA, func(facts *ledger.Facts) { facts.LoA = n })
	}
	for _, is := range []bool{false, true} {
		word := strconv.FormatBool(is)
		t.words[facetLate][word] = note(facetLate, func(facts *ledger.Facts) { facts.Late = is })
		t.words[facetConsent][word] = note(facetConsent, func(facts *ledger.Facts) { facts.Consent = is })
		t.words[facetEntitlement][word] = note(facetEntitlement, func(facts *ledger.Facts) { facts.Entitlement = is })
	}
	t.starts = cutsOf(e.atoms)
	for _, n := range t.starts {
		t.ranges = append(t.ranges, note(facetSubjects, func(facts *ledger.Facts) { facts.Subjects = n }))
	}
}

// of is what is true of checked facts but for their categories.
func (t *table) of(f *ledger.Facts, atoms int) bits {
	b := make(bits, (atoms+63)/64)
	b.add(t.words[facetPurpose][f.Purpose])
	b.add(t.words[facetLegalBasis][f.LegalBasis])
	b.add(t.words[facetActor][f.Actor])
	b.add(t.words[facetProfile][f.Profile])
	b.add(t.words[facetLoA][strconv.Itoa(f.LoA)])
	b.add(t.words[facetLate][strconv.FormatBool(f.Late)])
	b.add(t.words[facetConsent][strconv.FormatBool(f.Consent)])
	b.add(t.words[facetEntitlement][strconv.FormatBool(f.Entitlement)])
	for _, party := range []struct {
		facet facet
		id    string
	}{{facetConsumer, f.Consumer}, {facetProvider, f.Provider}} {
		known, ok := t.words[party.facet][party.id]
		if !ok {
			known = t.words[party.facet][otherID]
		}
		b.add(known)
	}
	// Of kinds a comparison is true of a set if it is of one of them.
	for _, kind := range f.Kinds {
		b.add(t.words[facetKinds][kind])
	}
	for _, kind := range f.ProviderKinds {
		b.add(t.words[facetProviderKinds][kind])
	}
	at, found := slices.BinarySearch(t.starts, f.Subjects)
	if !found {
		at--
	}
	b.add(t.ranges[at])
	return b
}

// holds says whether a condition is true where these atoms are.
func (c *condition) holds(b bits) bool {
	switch c.op {
	case opTrue:
		return true
	case opFalse:
		return false
	case opAtom:
		return b.has(c.atom)
	case opNot:
		return !c.kids[0].holds(b)
	case opAnd:
		return c.kids[0].holds(b) && c.kids[1].holds(b)
	case opOr:
		return c.kids[0].holds(b) || c.kids[1].holds(b)
	default: // opIf
		if c.kids[0].holds(b) {
			return c.kids[1].holds(b)
		}
		return c.kids[2].holds(b)
	}
}

// cutsOf are the numbers of people at which one of the atoms may change, and 1.
func cutsOf(lists ...[]atom) []int {
	starts := []int{1}
	constants(facetSubjects, func(v types.Value) {
		if n, ok := v.(types.Long); ok {
			for _, at := range []types.Long{n, n + 1} {
				if at > 1 && at <= ledger.MaxSubjects {
					starts = append(starts, int(at))
				}
			}
		}
	}, lists...)
	slices.Sort(starts)
	return slices.Compact(starts)
}

// namedIn are the ids of bodies that atoms name, ascending.
func namedIn(f facet, lists ...[]atom) (ids []string) {
	constants(f, func(v types.Value) {
		switch v := v.(type) {
		case types.String:
			ids = append(ids, string(v))
		case types.EntityUID:
			ids = append(ids, string(v.ID))
		}
	}, lists...)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// constants visits those that a fact is compared with.
func constants(f facet, visit func(types.Value), lists ...[]atom) {
	for _, list := range lists {
		for _, a := range list {
			if a.facet != f {
				continue
			}
			ast.Inspect(ast.NewNode(a.node), func(n ast.IsNode) bool {
				if v, ok := n.(ast.NodeValue); ok {
					if set, ok := v.Value.(types.Set); ok {
						for e := range set.All() {
							visit(e)
						}
					}
					visit(v.Value)
				}
				return true
			})
		}
	}
}
