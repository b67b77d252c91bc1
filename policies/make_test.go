// SPDX-License-Identifier: EUPL-1.2

package policies

import (
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
)

// small is a bundle that shows every construct of the language.
const small = `
// ISEE checks by municipalities, on public task.
@id("isee-check")
@reference("D.P.C.M. 159/2013, art. 11")
@reason_it("Il Comune controlla l'ISEE che hai dichiarato.")
@reason_en("The municipality checks the ISEE that you declared.")
permit (principal, action == Action::"consult", resource)
when { resource.group == "income" && principal.kinds.contains("comune") && ["isee-check", "benefit"].contains(context.purpose) }
when { context.legal_basis == "a6-1-e" || (context.legal_basis == "a6-1-a" && context.consent) }
unless { context.actor == "model" };

@id("health")
@reference("GDPR Art. 9(2)(g)")
@reason_it("Serve per la prestazione.")
@reason_en("It is needed for the benefit.")
permit (principal is Body, action, resource)
when { if resource.art9 then context.art9_basis && context.loa >= 2 else false };

@id("inps-own")
@reference("L. 88/1989")
@reason_it("INPS usa i propri dati.")
@reason_en("INPS uses its own data.")
permit (principal == Body::"inps", action, resource in_scope);

@id("no-mass")
@reference("GDPR Art. 5(1)(c)")
@reason_it("Troppe persone in una volta.")
@reason_en("Too many people at once.")
forbid (principal, action, resource)
when { context.subjects > 100 && !(context.profile == "AUDIT_REST_02" && context.provider_kinds.containsAny(["ente"])) };
`

func term1(id string, more ...func(*Term)) Term {
	t := Term{ID: id, IRI: "https://example.org/" + id, It: id, En: id, SentenceIt: id, SentenceEn: id}
	for _, f := range more {
		f(&t)
	}
	return t
}

func art9(t *Term) { t.Art9 = true }

func broader(id string) func(*Term) { return func(t *Term) { t.Broader = id } }

func also(words ...string) func(*Term) { return func(t *Term) { t.Also = words } }

func smallVocabulary() Vocabulary {
	return Vocabulary{
		Categories: []Term{term1("income"), term1("isee", broader("income"), also("ISEE")), term1("household"), term1("disability", art9)},
		Purposes:   []Term{term1("isee-check"), term1("benefit"), term1("statistics")},
		LegalBases: []Term{term1("a6-1-e"), term1("a6-1-a"), term1("a9-2-g", art9)},
		BodyKinds:  []Term{term1("pa", also("Pubbliche Amministrazioni")), term1("comune", broader("pa"), also("Comuni e loro Consorzi e Associazioni")), term1("ente", broader("pa"))},
	}
}

func smallBundle(edits ...string) *Bundle {
	text := strings.NewReplacer(append([]string{"resource in_scope", "resource"}, edits...)...).Replace(small)
	return &Bundle{
		Schema: BundleSchema, Version: "0.1", DescriptionIt: "Prova", DescriptionEn: "Test",
		Vocabulary: smallVocabulary(), Files: []File{{"10-small.cedar", text}},
	}
}

func compile(t testing.TB, b *Bundle) *Engine {
	t.Helper()
	data, err := b.Format()
	if err != nil {
		t.Fatal(err)
	}
	e, err := Compile(data)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// check is an access that isee-check allows.
func iseeCheck(edits ...func(*ledger.Facts)) *ledger.Facts {
	f := someFacts()
	f.Kinds, f.Categories, f.Purpose, f.LegalBasis = []string{"comune", "pa"}, []string{"isee"}, "isee-check", "a6-1-e"
	for _, edit := range edits {
		edit(&f)
	}
	return &f
}
