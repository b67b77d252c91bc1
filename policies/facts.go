// SPDX-License-Identifier: EUPL-1.2

package policies

import (
	"github.com/traccia-ledger/traccia/ledger"
)

// Facts looks up an access's words in the bundle's vocabulary.
func (e *Engine) Facts(a *ledger.Access) *ledger.Facts {
	r := a.Receipt
	f := &ledger.Facts{
		Consumer: r.Consumer, Kinds: e.kindsOf(a.ConsumerAttributes), Provider: r.Provider, ProviderKinds: e.kindsOf(a.ProviderAttributes),
		Categories: make([]string, len(r.DataCategories)), Purpose: term(e.purposes, r.Purpose), LegalBasis: term(e.legalBases, r.LegalBasis),
		Actor: r.Actor, Profile: a.Assurance.Profile, LoA: a.Assurance.LoA, Subjects: r.Subjects.Count, Late: a.Assurance.Late,
		Consent: a.Grant.Consent, Entitlement: a.Grant.Entitlement,
	}
	for i, word := range r.DataCategories {
		f.Categories[i] = term(e.categories, word)
	}
	f.Categories = ledger.SortedTerms(f.Categories)
	return f
}

func term(terms map[string]string, word string) string {
	if id, ok := terms[word]; ok {
		return id
	}
	return ledger.TermUnknown
}

// kindsOf are the terms that a body's attributes mean, with those broader than
// them. Attributes that the vocabulary doesn't know say nothing.
func (e *Engine) kindsOf(attributes []string) []string {
	kinds := []string{}
	for _, a := range attributes {
		if id, ok := e.kinds[a]; ok {
			kinds = append(kinds, e.kindsWithin[id]...)
		}
	}
	return ledger.SortedTerms(kinds)
}

// someFacts is a complete set of facts, to set some of.
func someFacts() ledger.Facts {
	return ledger.Facts{
		Consumer: "c_a944", Kinds: []string{}, Provider: "inps", ProviderKinds: []string{}, Categories: []string{ledger.TermUnknown},
		Purpose: ledger.TermUnknown, LegalBasis: ledger.TermUnknown, Actor: ledger.ActorOperator, Profile: ledger.ProfileAudit02, Subjects: 1,
	}
}

// setWord sets a fact that is a word.
func setWord(f *ledger.Facts, fact facet, word string) {
	switch fact {
	case facetCategory:
		f.Categories = []string{word}
	case facetPurpose:
		f.Purpose = word
	case facetLegalBasis:
		f.LegalBasis = word
	case facetActor:
		f.Actor = word
	case facetProfile:
		f.Profile = word
	case facetConsumer:
		f.Consumer = word
	case facetProvider:
		f.Provider = word
	}
}
