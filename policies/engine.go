// SPDX-License-Identifier: EUPL-1.2

package policies

import (
	_ "embed"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"github.com/traccia-ledger/traccia/ledger"
)

//go:embed schema.cedarschema
var schemaText []byte

// validator checks policies against schema.cedarschema.
var validator = sync.OnceValue(func() *validate.Validator {
	var s schema.Schema
	if err := s.UnmarshalCedar(schemaText); err != nil {
		panic(err)
	}
	resolved, err := s.Resolve()
	if err != nil {
		panic(err)
	}
	return validate.New(resolved)
})

// Policy is one policy of a bundle, as far as a reader has to know it.
type Policy struct {
	ID        string // unique in the bundle
	Forbids   bool
	Reference string // the norm it rests on
	ReasonIt  string // why, in plain words
	ReasonEn  string
}

type policy struct {
	Policy
	cedar *cedar.Policy
	when  *condition
}

// Engine decides by one bundle. It is safe for concurrent use.
type Engine struct {
	bundle   *Bundle
	document []byte
	digest   ledger.Hash
	policies []policy // by id
	atoms    []atom

	purposes, legalBases, categories, kinds map[string]string   // words to terms
	kindsWithin                             map[string][]string // a kind and those broader than it
	art9Bases                               map[string]bool
	resources                               map[string]cedar.Entity // by term of categories
	likely                                  map[facet]map[string]set256
	table                                   table
}

var action = cedar.NewEntityUID("Action", "consult")

// Compile reads the policies of a bundle. Each has the annotations @id,
// @reference, @reason_it and @reason_en, and passes Cedar's strict validation
// against schema.cedarschema. Beyond that, conditions are comparisons (==, !=,
// <, <=, >, >=, contains, containsAll, containsAny, isEmpty) or booleans of the
// context, joined by &&, ||, ! and if-then-else; each comparison is about one
// fact and constants, and the constants are words that the fact can be. There is
// no like, no has, no arithmetic, no extension function, and no hierarchy of
// entities. A refusal is a *ledger.Problem.
func Compile(document []byte) (*Engine, error) {
	b, err := ParseBundle(document)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		bundle: b, document: document, digest: Digest(document),
		purposes: words(b.Vocabulary.Purposes), legalBases: words(b.Vocabulary.LegalBases),
		categories: words(b.Vocabulary.Categories), kinds: words(b.Vocabulary.BodyKinds),
		kindsWithin: within(b.Vocabulary.BodyKinds), art9Bases: map[string]bool{}, resources: map[string]cedar.Entity{},
	}
	for _, t := range b.Vocabulary.LegalBases {
		e.art9Bases[t.ID] = t.Art9
	}
	for _, t := range append([]Term{{ID: ledger.TermUnknown}}, b.Vocabulary.Categories...) {
		group := t.Broader
		if group == "" {
			group = t.ID
		}
		e.resources[t.ID] = cedar.Entity{
			UID:        cedar.NewEntityUID("Category", types.String(t.ID)),
			Attributes: cedar.NewRecord(cedar.RecordMap{"art9": types.Boolean(t.Art9), "group": types.String(group)}),
		}
	}
	if err := e.readPolicies(); err != nil {
		return nil, err
	}
	e.foresee()
	e.fillTable()
	return e, nil
}

func (e *Engine) readPolicies() error {
	r := newReader(&e.bundle.Vocabulary)
	for i, f := range e.bundle.Files {
		where := fmt.Sprintf("bundle#files/%d", i)
		list, err := cedar.NewPolicyListFromBytes(f.Name, []byte(f.Text))
		if err != nil {
			return refuse(ledger.CodeSyntax, where, "policies in Cedar", f.Name+": "+err.Error())
		}
		for _, p := range list {
			at := fmt.Sprintf("%s, line %d", f.Name, p.Position().Line)
			read, err := e.readPolicy(r, p)
			if err != nil {
				return refuse("bad_policy", where, "a policy that may stand in a bundle", at+": "+err.Error())
			}
			e.policies = append(e.policies, *read)
		}
	}
	if n := len(e.policies); n < 1 || n > ledger.MaxPolicies {
		return refuse(ledger.CodeBadCount, "bundle#files", fmt.Sprintf("1 to %d policies", ledger.MaxPolicies), fmt.Sprint(n))
	}
	slices.SortFunc(e.policies, func(a, b policy) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	for i := range e.policies[1:] {
		if id := e.policies[i].ID; id == e.policies[i+1].ID {
			return refuse(ledger.CodeRepeated, "bundle#files", "policies with an @id of their own", fmt.Sprintf("%q twice", id))
		}
	}
	e.atoms = r.atoms
	return nil
}

func (e *Engine) readPolicy(r *reader, p *cedar.Policy) (*policy, error) {
	notes := p.Annotations()
	read := &policy{cedar: p, Policy: Policy{
		ID: string(notes["id"]), Forbids: p.Effect() == cedar.Forbid,
		Reference: string(notes["reference"]), ReasonIt: string(notes["reason_it"]), ReasonEn: string(notes["reason_en"]),
	}}
	if err := ledger.CheckTerm(read.ID); err != nil {
		return nil, fmt.Errorf("@id: %w", err)
	}
	for _, text := range []string{read.Reference, read.ReasonIt, read.ReasonEn} {
		if !plainText(text, maxTermText) {
			return nil, fmt.Errorf("%s: expected @reference, @reason_it and @reason_en of 1 to %d characters", read.ID, maxTermText)
		}
	}
	tree := (*ast.Policy)(p.AST())
	if err := validator().Policy(read.ID, tree); err != nil {
		return nil, fmt.Errorf("%s: %w", read.ID, err)
	}
	var err error
	if read.when, err = r.policy(tree); err != nil {
		return nil, fmt.Errorf("%s: %w", read.ID, err)
	}
	return read, nil
}

// Digest is the bundle's.
func (e *Engine) Digest() ledger.Hash { return e.digest }

// Document is what the digest is of.
func (e *Engine) Document() []byte { return e.document }

// Version is the bundle's.
func (e *Engine) Version() string { return e.bundle.Version }

// Bundle is what the engine decides by. It must not be changed.
func (e *Engine) Bundle() *Bundle { return e.bundle }

// Policies are those of the bundle, by id.
func (e *Engine) Policies() []Policy {
	list := make([]Policy, len(e.policies))
	for i, p := range e.policies {
		list[i] = p.Policy
	}
	return list
}

// Policy returns the bundle's policy with this id.
func (e *Engine) Policy(id string) (Policy, bool) {
	i, ok := slices.BinarySearchFunc(e.policies, id, func(p policy, id string) int {
		switch {
		case p.ID < id:
			return -1
		case p.ID > id:
			return 1
		}
		return 0
	})
	if !ok {
		return Policy{}, false
	}
	return e.policies[i].Policy, true
}

// check refuses facts that no decision of this bundle can stand on.
func (e *Engine) check(f *ledger.Facts) error {
	if err := ledger.CheckFacts(f); err != nil {
		return err
	}
	term := func(where string, terms map[string]string, list ...string) error {
		for _, id := range list {
			if terms[id] != id && id != ledger.TermUnknown {
				return refuse("unknown_term", "facts/"+where, "a term of the bundle's vocabulary", fmt.Sprintf("%q", id))
			}
		}
		return nil
	}
	for _, err := range []error{
		term("purpose", e.purposes, f.Purpose), term("legal_basis", e.legalBases, f.LegalBasis), term("categories", e.categories, f.Categories...),
		term("kinds", e.kinds, f.Kinds...), term("provider_kinds", e.kinds, f.ProviderKinds...),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// DecideOn takes the decision on an access of which these are the facts. It fails, with a *ledger.Problem, only
// for facts that aren't well formed or speak of terms that the bundle's
// vocabulary doesn't have. The facts become part of the decision.
//
// Every category is decided on by itself: a policy that forbids decides it, else
// one that permits. The access is allowed if every category is.
func (e *Engine) DecideOn(f *ledger.Facts) (ledger.Decision, error) {
	if err := e.check(f); err != nil {
		return ledger.Decision{}, err
	}
	return e.decide(f), nil
}

// decide takes the decision on checked facts by what the table knows.
func (e *Engine) decide(f *ledger.Facts) ledger.Decision {
	d := ledger.Decision{Effect: ledger.EffectAllow, Bundle: ledger.Hex(e.digest), Facts: f}
	common := e.likely[facetPurpose][f.Purpose].and(e.likely[facetLegalBasis][f.LegalBasis]).and(e.likely[facetActor][f.Actor])
	known := e.table.of(f, len(e.atoms))
	var permits, forbids []string
	for _, category := range f.Categories {
		these := common.and(e.likely[facetCategory][category])
		holds := slices.Clone(known)
		holds.add(e.table.words[facetCategory][category])
		permitted, forbidden := false, false
		for i := range e.policies {
			if p := &e.policies[i]; these[i/64]>>(i%64)&1 == 1 && p.when.holds(holds) {
				if p.Forbids {
					forbidden, forbids = true, append(forbids, p.ID)
				} else {
					permitted, permits = true, append(permits, p.ID)
				}
			}
		}
		if forbidden || !permitted {
			d.Effect = ledger.EffectDeny
		}
	}
	if d.Policies = permits; d.Effect == ledger.EffectDeny {
		d.Policies = forbids
	}
	d.Policies = ledger.SortedTerms(d.Policies)
	return d
}

// askCedar takes the decision on checked facts by Cedar's own authorizer, which evaluates every policy that can apply. It is
// slower than decide, and what replays: what the ledger decided by its table is held against it.
func (e *Engine) askCedar(f *ledger.Facts) ledger.Decision {
	d := ledger.Decision{Effect: ledger.EffectAllow, Bundle: ledger.Hex(e.digest), Facts: f}
	req, principal := e.request(f)
	common := e.likely[facetPurpose][f.Purpose].and(e.likely[facetLegalBasis][f.LegalBasis]).and(e.likely[facetActor][f.Actor])
	var permits, forbids []string
	for _, category := range f.Categories {
		resource := e.resources[category]
		req.Resource = resource.UID
		these := chosen{e, common.and(e.likely[facetCategory][category])}
		effect, why := cedar.Authorize(these, entities{principal, resource}, req)
		if effect == cedar.Deny {
			d.Effect = ledger.EffectDeny
		}
		for _, r := range why.Reasons {
			if effect == cedar.Deny {
				forbids = append(forbids, string(r.PolicyID))
			} else {
				permits = append(permits, string(r.PolicyID))
			}
		}
		// Compile lets no policy pass that could fail here. If one did, it denies.
		for _, r := range why.Errors {
			d.Effect = ledger.EffectDeny
			forbids = append(forbids, string(r.PolicyID))
		}
	}
	if d.Policies = permits; d.Effect == ledger.EffectDeny {
		d.Policies = forbids
	}
	d.Policies = ledger.SortedTerms(d.Policies)
	return d
}

// request is what Cedar is asked but for the category, with the principal.
func (e *Engine) request(f *ledger.Facts) (cedar.Request, cedar.Entity) {
	body := cedar.NewEntityUID("Body", types.String(f.Consumer))
	principal := cedar.Entity{UID: body, Attributes: cedar.NewRecord(cedar.RecordMap{"kinds": stringSet(f.Kinds)})}
	return cedar.Request{Principal: body, Action: action, Context: cedar.NewRecord(cedar.RecordMap{
		"purpose": types.String(f.Purpose), "legal_basis": types.String(f.LegalBasis), "art9_basis": types.Boolean(e.art9Bases[f.LegalBasis]),
		"provider": types.String(f.Provider), "provider_kinds": stringSet(f.ProviderKinds), "actor": types.String(f.Actor), "profile": types.String(f.Profile),
		"loa": types.Long(f.LoA), "subjects": types.Long(f.Subjects), "late": types.Boolean(f.Late),
		"consent": types.Boolean(f.Consent), "entitlement": types.Boolean(f.Entitlement),
	})}, principal
}

func stringSet(list []string) types.Set {
	values := make([]types.Value, len(list))
	for i, s := range list {
		values[i] = types.String(s)
	}
	return types.NewSet(values...)
}

// entities are those of one request.
type entities struct{ principal, resource cedar.Entity }

func (e entities) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	switch uid {
	case e.principal.UID:
		return e.principal, true
	case e.resource.UID:
		return e.resource, true
	}
	return cedar.Entity{}, false
}

// holds evaluates an atom. The facts have one category.
func (e *Engine) holds(a atom, f *ledger.Facts) bool {
	req, principal := e.request(f)
	resource := e.resources[f.Categories[0]]
	v, err := eval.Eval(a.node, eval.Env{
		Entities: entities{principal, resource}, Principal: principal.UID, Action: action, Resource: resource.UID, Context: req.Context,
	})
	return err == nil && v == types.True
}

// foresee finds, for each word that a category, purpose, legal basis or actor
// can be, the policies that can apply where it is that word: the others needn't
// be evaluated.
func (e *Engine) foresee() {
	e.likely = map[facet]map[string]set256{}
	for _, f := range []facet{facetCategory, facetPurpose, facetLegalBasis, facetActor} {
		e.likely[f] = map[string]set256{}
		for _, word := range e.domain(f) {
			facts := someFacts()
			setWord(&facts, f, word)
			known := make([]truth, len(e.atoms))
			for i, a := range e.atoms {
				if a.facet == f {
					known[i] = truthOf(e.holds(a, &facts))
				}
			}
			var can set256
			for i, p := range e.policies {
				if p.when.given(func(atom int) truth { return known[atom] }) != no {
					can[i/64] |= 1 << (i % 64)
				}
			}
			e.likely[f][word] = can
		}
	}
}

// domain is every word that a fact with a closed vocabulary can be.
func (e *Engine) domain(f facet) []string {
	switch f {
	case facetCategory:
		return append(ids(e.bundle.Vocabulary.Categories), ledger.TermUnknown)
	case facetPurpose:
		return append(ids(e.bundle.Vocabulary.Purposes), ledger.TermUnknown)
	case facetLegalBasis:
		return append(ids(e.bundle.Vocabulary.LegalBases), ledger.TermUnknown)
	case facetProfile:
		return profiles
	}
	return actors
}

// set256 is a set of policies by number; ledger.MaxPolicies is less than 256.
type set256 [4]uint64

func (s set256) and(t set256) set256 {
	for i := range s {
		s[i] &= t[i]
	}
	return s
}

// chosen are some of an engine's policies.
type chosen struct {
	*Engine
	set set256
}

// All makes chosen a cedar.PolicyIterator.
func (c chosen) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for i := range c.policies {
			if c.set[i/64]>>(i%64)&1 == 1 && !yield(cedar.PolicyID(c.policies[i].ID), c.policies[i].cedar) {
				return
			}
		}
	}
}
