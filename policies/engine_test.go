// SPDX-License-Identifier: EUPL-1.2

package policies

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
)

func TestDecide(t *testing.T) {
	e := compile(t, smallBundle())
	for _, test := range []struct {
		name     string
		edit     func(f *ledger.Facts)
		effect   string
		policies []string
	}{
		{"as it should be", func(*ledger.Facts) {}, ledger.EffectAllow, []string{"isee-check"}},
		{"by a body of no kind", func(f *ledger.Facts) { f.Kinds = []string{} }, ledger.EffectDeny, nil},
		{"for another purpose", func(f *ledger.Facts) { f.Purpose = "statistics" }, ledger.EffectDeny, nil},
		{"for a purpose nobody knows", func(f *ledger.Facts) { f.Purpose = ledger.TermUnknown }, ledger.EffectDeny, nil},
		{"by a model", func(f *ledger.Facts) { f.Actor = ledger.ActorModel }, ledger.EffectDeny, nil},
		{"on a consent that isn't there", func(f *ledger.Facts) { f.LegalBasis = "a6-1-a" }, ledger.EffectDeny, nil},
		{"on consent", func(f *ledger.Facts) { f.LegalBasis, f.Consent = "a6-1-a", true }, ledger.EffectAllow, []string{"isee-check"}},
		{"another category too", func(f *ledger.Facts) { f.Categories = []string{"household", "isee"} }, ledger.EffectDeny, nil},
		{"two of them", func(f *ledger.Facts) { f.Categories = []string{"income", "isee"} }, ledger.EffectAllow, []string{"isee-check"}},
		{"of too many", func(f *ledger.Facts) { f.Subjects = 101 }, ledger.EffectDeny, []string{"no-mass"}},
		{"of many, well proved, from the right provider", func(f *ledger.Facts) { f.Subjects, f.ProviderKinds = 101, []string{"ente"} }, ledger.EffectAllow, []string{"isee-check"}},
		{"of health", func(f *ledger.Facts) { f.Categories, f.LegalBasis, f.LoA = []string{"disability"}, "a9-2-g", 2 }, ledger.EffectAllow, []string{"health"}},
		{"of health, by whom nobody knows", func(f *ledger.Facts) { f.Categories, f.LegalBasis, f.LoA = []string{"disability"}, "a9-2-g", 1 }, ledger.EffectDeny, nil},
		{"by INPS, of anything", func(f *ledger.Facts) { f.Consumer, f.Categories = "inps", []string{"household", "isee"} }, ledger.EffectAllow, []string{"inps-own", "isee-check"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, err := e.DecideOn(iseeCheck(test.edit))
			if err != nil {
				t.Fatal(err)
			}
			if d.Effect != test.effect || !slices.Equal(d.Policies, test.policies) || d.Bundle != ledger.Hex(e.Digest()) {
				t.Errorf("%s by %v, want %s by %v", d.Effect, d.Policies, test.effect, test.policies)
			}
			data, err := ledger.FormatDecision(d)
			if err != nil {
				t.Fatal(err)
			}
			if back, err := ledger.ParseDecision(data); err != nil || back.Effect != d.Effect {
				t.Errorf("%s: %v", data, err)
			}
		})
	}
}

func TestFacts(t *testing.T) {
	e := compile(t, smallBundle())
	got := e.Facts(&ledger.Access{
		Receipt: &ledger.Receipt{
			Consumer: "c_a944", Provider: "inps", Purpose: "isee-check", LegalBasis: "https://example.org/a6-1-e", Actor: ledger.ActorService,
			DataCategories: []string{"meteo", "ISEE", "isee", "https://example.org/income", "calcio"}, Subjects: ledger.SubjectCommitment{Count: 3},
		},
		Assurance:          &ledger.Assurance{Profile: ledger.ProfileVoucher, LoA: 3, Late: true},
		ConsumerAttributes: []string{"Comuni e loro Consorzi e Associazioni", "Gestori di qualcosa"},
		ProviderAttributes: nil,
		Grant:              ledger.Grant{Entitlement: true},
	})
	want := &ledger.Facts{
		Consumer: "c_a944", Kinds: []string{"comune", "pa"}, Provider: "inps", ProviderKinds: []string{}, Categories: []string{"income", "isee", "unknown"},
		Purpose: "isee-check", LegalBasis: "a6-1-e", Actor: ledger.ActorService, Profile: ledger.ProfileVoucher, LoA: 3, Subjects: 3, Late: true, Entitlement: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := e.DecideOn(got); err != nil {
		t.Error(err)
	}
}

func TestFactsRefused(t *testing.T) {
	e := compile(t, smallBundle())
	for where, edit := range map[string]func(f *ledger.Facts){
		"facts/purpose":      func(f *ledger.Facts) { f.Purpose = "ISEE-check" },
		"facts/legal_basis":  func(f *ledger.Facts) { f.LegalBasis = "x" },
		"facts/categories":   func(f *ledger.Facts) { f.Categories = []string{"ISEE"} },
		"facts/kinds":        func(f *ledger.Facts) { f.Kinds = []string{"regione"} },
		"facts/categories/0": func(f *ledger.Facts) { f.Categories = []string{"a b"} },
		"facts/actor":        func(f *ledger.Facts) { f.Actor = "x" },
	} {
		_, err := e.DecideOn(iseeCheck(edit))
		var p *ledger.Problem
		if !errors.As(err, &p) || p.Where != where {
			t.Errorf("%s: %v", where, err)
		}
	}
}

func TestBundleRefused(t *testing.T) {
	for _, test := range []struct{ name, old, new, expected string }{
		{"no Cedar", "permit (principal is Body", "allow (principal is Body", "policies in Cedar"},
		{"no id", `@id("health")`, ``, "@id"},
		{"an id twice", `@id("health")`, `@id("isee-check")`, "twice"},
		{"no reference", `@reference("GDPR Art. 9(2)(g)")`, ``, "@reference"},
		{"an attribute that isn't there", `context.loa >= 2`, `context.level >= 2`, "health"},
		{"a text for a number", `context.loa >= 2`, `context.loa >= "2"`, "health"},
		{"like", `context.loa >= 2`, `context.purpose like "isee*"`, "something else than"},
		{"an extension", `context.loa >= 2`, `ip("1.2.3.4").isLoopback()`, "something else than"},
		{"arithmetic", `context.loa >= 2`, `context.loa * 2 >= 4`, "something else than"},
		{"two facts", `context.loa >= 2`, `context.loa >= context.subjects`, "about 2 facts"},
		{"no fact", `context.loa >= 2`, `1 == 1`, "about 0 facts"},
		{"has", `context.loa >= 2`, `context has loa`, "something else than"},
		{"in", `context.loa >= 2`, `resource in Category::"isee"`, "something else than"},
		{"is", `context.loa >= 2`, `principal is Body`, "something else than"},
		{"a whole set of kinds", `context.loa >= 2`, `principal.kinds == ["comune"]`, "kinds of body"},
		{"which kinds there are not", `context.loa >= 2`, `["comune"].containsAll(principal.kinds)`, "kinds of body"},
		{"in as a scope", `permit (principal is Body, action, resource)`, `permit (principal is Body, action, resource in Category::"isee")`, "a scope with in"},
		{"a purpose nobody knows", `"isee-check", "benefit"`, `"isee-check", "benefits"`, "can't be"},
		{"a category nobody knows", `resource.group == "income"`, `resource == Category::"incomes"`, "can't be"},
		{"a kind nobody knows", `contains("comune")`, `contains("comuni")`, "can't be"},
		{"an actor nobody knows", `== "model"`, `== "robot"`, "can't be"},
		{"a body that can't be", `Body::"inps"`, `Body::"INPS"`, "no body's id"},
	} {
		t.Run(test.name, func(t *testing.T) {
			data, err := smallBundle(test.old, test.new).Format()
			if err != nil {
				t.Fatal(err)
			}
			_, err = Compile(data)
			var p *ledger.Problem
			if !errors.As(err, &p) || !strings.Contains(p.Error(), test.expected) {
				t.Errorf("got %v, want %q", err, test.expected)
			}
		})
	}
}

func TestVocabularyRefused(t *testing.T) {
	for name, edit := range map[string]func(v *Vocabulary){
		"no purposes":          func(v *Vocabulary) { v.Purposes = nil },
		"an id twice":          func(v *Vocabulary) { v.Purposes[1].ID = v.Purposes[0].ID },
		"a word of two terms":  func(v *Vocabulary) { v.Purposes[1].Also = []string{v.Purposes[0].IRI} },
		"unknown":              func(v *Vocabulary) { v.Purposes[1].ID = "unknown" },
		"a word for unknown":   func(v *Vocabulary) { v.Purposes[1].Also = []string{"unknown"} },
		"an id with a space":   func(v *Vocabulary) { v.Purposes[1].ID = "a b" },
		"broader than nothing": func(v *Vocabulary) { v.Categories[1].Broader = "x" },
		"broader than itself":  func(v *Vocabulary) { v.Categories[1].Broader = v.Categories[1].ID },
		"no sentence":          func(v *Vocabulary) { v.Categories[1].SentenceIt = "" },
		"a control character":  func(v *Vocabulary) { v.Categories[1].It = "a\u202eb" },
	} {
		b := smallBundle()
		edit(&b.Vocabulary)
		if _, err := b.Format(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestFailingPolicyDenies: Compile lets no policy pass that could fail, but if
// one did, it denies.
func TestFailingPolicyDenies(t *testing.T) {
	e := compile(t, smallBundle())
	broken := compile(t, smallBundle())
	for i := range broken.policies {
		if broken.policies[i].ID == "health" {
			if err := broken.policies[i].cedar.UnmarshalCedar([]byte(`permit (principal, action, resource) when { context.weather == "fine" };`)); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := set256{^uint64(0)}
	for f := range broken.likely {
		for word := range broken.likely[f] {
			broken.likely[f][word] = all
		}
	}
	if d := e.askCedar(iseeCheck()); d.Effect != ledger.EffectAllow {
		t.Fatalf("%v", d)
	}
	if d := broken.askCedar(iseeCheck()); d.Effect != ledger.EffectDeny || !slices.Equal(d.Policies, []string{"health"}) {
		t.Errorf("%v", d)
	}
}

func FuzzBundle(f *testing.F) {
	data, err := smallBundle().Format()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Compile(data)
		if err != nil {
			return
		}
		again, err := e.bundle.Format()
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("%s: %s, %v", data, again, err)
		}
		facts := someFacts()
		if _, err := e.DecideOn(&facts); err != nil {
			t.Error(err)
		}
	})
}
