// SPDX-License-Identifier: EUPL-1.2

package policies

import (
	"fmt"

	"github.com/cedar-policy/cedar-go"
	cedarast "github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/traccia-ledger/traccia/ledger"
)

// facet is one of the facts that policies tell accesses apart by. Facets vary
// independently of each other.
type facet int

const (
	facetCategory facet = iota
	facetPurpose
	facetLegalBasis
	facetActor
	facetConsent
	facetEntitlement
	facetSubjects
	facetLoA
	facetProfile
	facetLate
	facetConsumer
	facetProvider
	facetKinds
	facetProviderKinds
	facets int = iota
)

func (f facet) String() string {
	return [...]string{
		"category", "purpose", "legal_basis", "actor", "consent", "entitlement", "subjects", "loa", "profile", "late",
		"consumer", "provider", "kinds", "provider_kinds",
	}[f]
}

// attributes says which fact a condition is about that names an attribute.
var attributes = map[types.String]map[types.String]facet{
	"principal": {"kinds": facetKinds},
	"resource":  {"art9": facetCategory, "group": facetCategory},
	"context": {
		"purpose": facetPurpose, "legal_basis": facetLegalBasis, "art9_basis": facetLegalBasis,
		"provider": facetProvider, "provider_kinds": facetProviderKinds, "actor": facetActor, "profile": facetProfile,
		"loa": facetLoA, "subjects": facetSubjects, "late": facetLate, "consent": facetConsent, "entitlement": facetEntitlement,
	},
}

type operator int

const (
	opTrue operator = iota
	opFalse
	opAtom // a comparison about one facet
	opNot
	opAnd
	opOr
	opIf // kids: condition, then, else
)

// condition is when a policy applies: atoms and what joins them.
type condition struct {
	op   operator
	atom int // index in Engine.atoms
	kids []*condition
}

// atom is a comparison of one facet with constants.
type atom struct {
	facet facet
	node  ast.IsNode
}

// reader turns the conditions of a bundle's policies into atoms, each once.
type reader struct {
	vocabulary *Vocabulary
	terms      map[facet]map[string]bool // words allowed as constants, where the set is closed
	atoms      []atom
	known      map[string]int // by the atom's text
}

// policy reads scope and conditions. The error says what of Cedar isn't allowed here.
func (r *reader) policy(p *ast.Policy) (*condition, error) {
	and := []*condition{}
	for _, scope := range []struct {
		variable types.String
		node     ast.IsScopeNode
	}{{"principal", p.Principal}, {"resource", p.Resource}} {
		c, err := r.scope(scope.variable, scope.node)
		if err != nil {
			return nil, err
		}
		and = append(and, c)
	}
	for _, c := range p.Conditions {
		read, err := r.condition(c.Body)
		if err != nil {
			return nil, err
		}
		if c.Condition == ast.ConditionUnless {
			read = &condition{op: opNot, kids: []*condition{read}}
		}
		and = append(and, read)
	}
	all := and[0]
	for _, c := range and[1:] {
		all = &condition{op: opAnd, kids: []*condition{all, c}}
	}
	return all, nil
}

func (r *reader) scope(variable types.String, node ast.IsScopeNode) (*condition, error) {
	switch n := node.(type) {
	case ast.ScopeTypeAll, ast.ScopeTypeIs: // the schema has one type of each
		return &condition{op: opTrue}, nil
	case ast.ScopeTypeEq:
		equal := ast.NodeTypeEquals{BinaryNode: ast.BinaryNode{Left: ast.NodeTypeVariable{Name: variable}, Right: ast.NodeValue{Value: n.Entity}}}
		return r.condition(equal)
	}
	return nil, fmt.Errorf("a scope with in: neither bodies nor categories have parents; list them in a condition")
}

func (r *reader) condition(node ast.IsNode) (*condition, error) {
	join := func(op operator, nodes ...ast.IsNode) (*condition, error) {
		c := &condition{op: op}
		for _, n := range nodes {
			kid, err := r.condition(n)
			if err != nil {
				return nil, err
			}
			c.kids = append(c.kids, kid)
		}
		return c, nil
	}
	switch n := node.(type) {
	case ast.NodeTypeAnd:
		return join(opAnd, n.Left, n.Right)
	case ast.NodeTypeOr:
		return join(opOr, n.Left, n.Right)
	case ast.NodeTypeNot:
		return join(opNot, n.Arg)
	case ast.NodeTypeIfThenElse:
		return join(opIf, n.If, n.Then, n.Else)
	case ast.NodeValue:
		if n.Value == types.True {
			return &condition{op: opTrue}, nil
		}
		if n.Value == types.False {
			return &condition{op: opFalse}, nil
		}
	}
	return r.comparison(node)
}

// comparison reads an atom.
func (r *reader) comparison(node ast.IsNode) (*condition, error) {
	var about []facet
	var constants []types.Value
	var refused error
	ast.Inspect(ast.NewNode(node), func(n ast.IsNode) bool {
		switch n := n.(type) {
		case ast.NodeTypeAccess:
			variable, ok := n.Arg.(ast.NodeTypeVariable)
			f, known := attributes[variable.Name][n.Value]
			if !ok || !known {
				refused = fmt.Errorf("an attribute of something other than principal, resource and context")
			}
			about = append(about, f)
			return false
		case ast.NodeTypeVariable:
			switch n.Name {
			case "principal":
				about = append(about, facetConsumer)
			case "resource":
				about = append(about, facetCategory)
			default:
				refused = fmt.Errorf("%s as a whole", n.Name)
			}
		case ast.NodeValue:
			constants = append(constants, n.Value)
		case ast.NodeTypeEquals, ast.NodeTypeNotEquals, ast.NodeTypeLessThan, ast.NodeTypeLessThanOrEqual, ast.NodeTypeGreaterThan,
			ast.NodeTypeGreaterThanOrEqual, ast.NodeTypeContains, ast.NodeTypeContainsAll, ast.NodeTypeContainsAny, ast.NodeTypeIsEmpty, ast.NodeTypeSet:
		default:
			refused = fmt.Errorf("something else than ==, !=, <, <=, >, >=, contains, containsAll, containsAny and isEmpty in a comparison")
		}
		return refused == nil
	})
	if refused != nil {
		return nil, refused
	}
	if len(about) != 1 {
		return nil, fmt.Errorf("a comparison about %d facts: compare one with constants", len(about))
	}
	if about[0] == facetKinds || about[0] == facetProviderKinds {
		if all, ok := node.(ast.NodeTypeContainsAll); ok {
			if list, err := r.containsAll(all); list != nil || err != nil {
				return list, err
			}
		}
		if empty, ok := node.(ast.NodeTypeIsEmpty); ok {
			some := r.atom(about[0], ast.NodeTypeNot{UnaryNode: ast.UnaryNode{Arg: empty}})
			return &condition{op: opNot, kids: []*condition{some}}, nil
		}
		if !asksWhichKinds(node) {
			return nil, fmt.Errorf("kinds of body in a comparison other than contains, containsAny and isEmpty, and containsAll of a list of kinds")
		}
	}
	for _, value := range constants {
		if err := r.constant(about[0], value); err != nil {
			return nil, err
		}
	}
	return r.atom(about[0], node), nil
}

// atom numbers a comparison, the same one always the same.
func (r *reader) atom(f facet, node ast.IsNode) *condition {
	text := text(node)
	i, ok := r.known[text]
	if !ok {
		i = len(r.atoms)
		r.known[text] = i
		r.atoms = append(r.atoms, atom{f, node})
	}
	return &condition{op: opAtom, atom: i}
}

// asksWhichKinds says whether a comparison is true of two sets of kinds together
// exactly if it is true of one of them: what several attributes of a body amount
// to then follows from what each does.
func asksWhichKinds(node ast.IsNode) bool {
	switch n := node.(type) {
	case ast.NodeTypeContains:
		_, kinds := n.Left.(ast.NodeTypeAccess)
		return kinds
	case ast.NodeTypeContainsAny:
		return true
	}
	return false
}

// containsAll reads kinds.containsAll([a, b]) as kinds.contains(a) and
// kinds.contains(b); nil if it is something else.
func (r *reader) containsAll(n ast.NodeTypeContainsAll) (*condition, error) {
	kinds, ok := n.Left.(ast.NodeTypeAccess)
	list, also := n.Right.(ast.NodeTypeSet)
	if !ok || !also {
		return nil, nil
	}
	all := &condition{op: opTrue}
	for _, element := range list.Elements {
		c, err := r.condition(ast.NodeTypeContains{BinaryNode: ast.BinaryNode{Left: kinds, Right: element}})
		if err != nil {
			return nil, err
		}
		all = &condition{op: opAnd, kids: []*condition{all, c}}
	}
	return all, nil
}

// text is the one way to write a condition.
func text(node ast.IsNode) string {
	p := ast.Permit().When(ast.NewNode(node))
	return string(cedar.NewPolicyFromAST((*cedarast.Policy)(p)).MarshalCedar())
}

// constant refuses a word that the fact can't be: it would never match.
func (r *reader) constant(f facet, value types.Value) error {
	var word string
	switch v := value.(type) {
	case types.String:
		word = string(v)
	case types.EntityUID:
		word = string(v.ID)
	case types.Set:
		for e := range v.All() {
			if err := r.constant(f, e); err != nil {
				return err
			}
		}
		return nil
	default:
		return nil
	}
	if f == facetConsumer || f == facetProvider {
		if ledger.CheckID(word) != nil {
			return fmt.Errorf("%q, which is no body's id", word)
		}
		return nil
	}
	if !r.terms[f][word] {
		return fmt.Errorf("%q, which %s can't be", word, f)
	}
	return nil
}

func newReader(v *Vocabulary) *reader {
	r := &reader{vocabulary: v, known: map[string]int{}, terms: map[facet]map[string]bool{}}
	for f, list := range map[facet][]Term{facetCategory: v.Categories, facetPurpose: v.Purposes, facetLegalBasis: v.LegalBases} {
		r.terms[f] = set(append(ids(list), ledger.TermUnknown))
	}
	for _, f := range []facet{facetKinds, facetProviderKinds} {
		r.terms[f] = set(ids(v.BodyKinds))
	}
	r.terms[facetActor] = set(actors)
	r.terms[facetProfile] = set(profiles)
	return r
}

var (
	actors   = []string{ledger.ActorOperator, ledger.ActorService, ledger.ActorModel}
	profiles = []string{ledger.ProfileAudit02, ledger.ProfileAudit01, ledger.ProfileVoucher}
)

func ids(list []Term) []string {
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = t.ID
	}
	return out
}

func set(words []string) map[string]bool {
	m := make(map[string]bool, len(words))
	for _, w := range words {
		m[w] = true
	}
	return m
}

// truth is what is known of a condition.
type truth int8

const (
	unknown truth = iota
	no
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// given says whether a condition holds, where of is what is known of each atom.
func (c *condition) given(of func(atom int) truth) truth {
	switch c.op {
	case opTrue:
		return yes
	case opFalse:
		return no
	case opAtom:
		return of(c.atom)
	case opNot:
		switch c.kids[0].given(of) {
		case yes:
			return no
		case no:
			return yes
		}
		return unknown
	case opAnd:
		left, right := c.kids[0].given(of), c.kids[1].given(of)
		if left == no || right == no {
			return no
		}
		if left == yes && right == yes {
			return yes
		}
		return unknown
	case opOr:
		left, right := c.kids[0].given(of), c.kids[1].given(of)
		if left == yes || right == yes {
			return yes
		}
		if left == no && right == no {
			return no
		}
		return unknown
	default: // opIf
		then, otherwise := c.kids[1].given(of), c.kids[2].given(of)
		switch c.kids[0].given(of) {
		case yes:
			return then
		case no:
			return otherwise
		}
		if then == otherwise {
			return then
		}
		return unknown
	}
}
