// SPDX-License-Identifier: EUPL-1.2

package policies

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/traccia-ledger/traccia/ledger"
)

// Exceptions say where a new bundle may allow what the old one denied: Cedar
// policies, of which only the conditions count, in the language of [Compile] and
// the vocabulary of the new bundle. They need no annotations.
//
//	permit (principal, action, resource == Category::"isee") when { context.purpose == "isee-check" };
type Exceptions []*cedar.Policy

// ParseExceptions reads a file of them.
func ParseExceptions(name string, text []byte) (Exceptions, error) {
	list, err := cedar.NewPolicyListFromBytes(name, text)
	if err != nil {
		return nil, refuse(ledger.CodeSyntax, name, "policies in Cedar", err.Error())
	}
	for _, p := range list {
		if p.Effect() == cedar.Forbid {
			return nil, refuse(ledger.CodeBadValue, name, "permit policies alone", fmt.Sprintf("forbid at line %d", p.Position().Line))
		}
		if err := validator().Policy(name, (*ast.Policy)(p.AST())); err != nil {
			return nil, refuse("bad_policy", name, "conditions on what the schema has", fmt.Sprintf("line %d: %v", p.Position().Line, err))
		}
	}
	return Exceptions(list), nil
}

// Change is what becomes of accesses.
type Change string

// Changes.
const (
	Allowed  Change = "allow"    // denied before, allowed now
	Excepted Change = "excepted" // the same, where an exception says that it may be
	Denied   Change = "deny"     // allowed before, denied now
)

// Difference is everything on which two bundles decide differently.
type Difference struct {
	Domain  []DomainFact // what accesses can be, fact by fact
	Size    *big.Int     // of the domain: combinations of values
	Classes *big.Int     // combinations of values that the two bundles tell apart
	Steps   int          // of the comparison
	Groups  []Group
}

// DomainFact is one fact and how many values it has.
type DomainFact struct {
	Fact    string `json:"fact"`
	Values  int    `json:"values"`
	Classes int    `json:"classes"` // that the two bundles tell apart
}

// Group is a set of combinations of which the same becomes: every choice of one
// value of each fact. No combination is in two groups.
type Group struct {
	Change Change  `json:"change"`
	Facts  []Value `json:"facts"`  // those that matter; any value of the others
	Before Reason  `json:"before"` // of one of the combinations
	After  Reason  `json:"after"`
}

// Value is what a fact is in a group: one of these, ids of terms, words or ranges of numbers. "income.*" is a category with
// all that are narrower, "any but a, b" every other value; several kinds joined by "with" have to come together, and what
// else a body is changes nothing.
type Value struct {
	Fact  string   `json:"fact"`
	OneOf []string `json:"one_of"`
}

// Reason is a decision in short.
type Reason struct {
	Effect   string   `json:"effect"`
	Policies []string `json:"policies"`
}

// Diff compares two bundles on the whole domain of their vocabularies: every
// category, purpose and legal basis that one of them knows and any other word,
// every set of kinds of body, every number of people up to the limit, every
// level, profile, actor; every body by itself that one of them names and any
// other.
//
// That is complete, though not every combination is tried. A decision depends on
// the truth of the policies' comparisons alone, and each of those is about one
// fact (see [Compile]). So values of a fact that no comparison of either bundle
// tells apart can stand for each other whatever the other facts are. Of words and
// of levels every value is looked at; numbers of people change a comparison only
// at the constants that occur; an id that no policy names is like any other such
// id, because ids are only compared for equality; and a set of attributes makes a
// comparison of kinds true exactly if one of the attributes does, so that all sets
// are unions of what single attributes do.
//
// Facts are then fixed one after the other. What is left of both bundles'
// conditions, in a form that is the same for equal conditions, decides what comes
// of the facts that remain: where it is the same in both bundles nothing differs
// there, and where it was met before the result is known.
//
// progress, which may be nil, is told how much of the first fact is done.
func Diff(ctx context.Context, before, after *Engine, except Exceptions, progress func(done, total int)) (*Difference, error) {
	c, err := newComparison(before, after, except)
	if err != nil {
		return nil, err
	}
	c.ctx, c.progress = ctx, progress
	if c.progress == nil {
		c.progress = func(int, int) {}
	}
	root, err := c.solve(0, c.start)
	if err != nil {
		return nil, err
	}
	d := &Difference{Size: big.NewInt(1), Classes: big.NewInt(1), Steps: len(c.solved)}
	for f := range facet(facets) {
		of := c.domainFact(f)
		d.Domain = append(d.Domain, of)
		d.Size.Mul(d.Size, c.count(f))
		d.Classes.Mul(d.Classes, big.NewInt(int64(of.Classes)))
	}
	if err := c.groups(root, map[facet]class{}, &d.Groups); err != nil {
		return nil, err
	}
	order := map[Change]int{Allowed: 0, Excepted: 1, Denied: 2}
	slices.SortStableFunc(d.Groups, func(a, b Group) int { return order[a.Change] - order[b.Change] })
	return d, nil
}

// String says a group in one line.
func (g *Group) String() string {
	var out strings.Builder
	for i, v := range g.Facts {
		if i > 0 {
			out.WriteString("; ")
		}
		fmt.Fprintf(&out, "%s: %s", v.Fact, strings.Join(v.OneOf, " or "))
	}
	if out.Len() == 0 {
		return "everything"
	}
	return out.String()
}
