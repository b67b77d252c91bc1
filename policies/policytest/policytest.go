// SPDX-License-Identifier: EUPL-1.2

// Package policytest makes bundles for the tests of those who decide by them.
package policytest

import (
	"testing"

	"github.com/traccia-ledger/traccia/policies"
)

// Bundle returns the document of a bundle in the words of the sample accesses of
// package nodetest. Its policy "checks" permits what the condition says, and
// "one-by-one" forbids lists of people.
func Bundle(t testing.TB, version, condition string) []byte {
	t.Helper()
	term := func(id, iri string) []policies.Term {
		return []policies.Term{{ID: id, IRI: iri, It: id, En: id, SentenceIt: id, SentenceEn: id}}
	}
	b := policies.Bundle{
		Schema: policies.BundleSchema, Version: version, DescriptionIt: "Prova", DescriptionEn: "Test",
		Vocabulary: policies.Vocabulary{
			Categories: term("Income", "https://w3id.org/dpv/pd#Income"), Purposes: term("checks", "Verifica dei requisiti"),
			LegalBases: term("A6-1-e", "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e"), BodyKinds: term("comune", "Comuni"),
		},
		Files: []policies.File{{Name: "all.cedar", Text: `
@id("checks") @reference("L. 241/1990") @reason_it("Controlla.") @reason_en("It checks.")
permit (principal, action, resource) when { ` + condition + ` };
@id("one-by-one") @reference("GDPR Art. 5") @reason_it("Uno alla volta.") @reason_en("One by one.")
forbid (principal, action, resource) when { context.subjects > 1 };
`}},
	}
	document, err := b.Format()
	if err != nil {
		t.Fatal(err)
	}
	return document
}
