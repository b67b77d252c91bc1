// SPDX-License-Identifier: EUPL-1.2

package ledger_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
)

func sampleDecision() ledger.Decision {
	return ledger.Decision{
		Effect: ledger.EffectAllow, Bundle: ledger.Hex{1, 2}, Policies: []string{"isee-check", "once-only"},
		Facts: &ledger.Facts{
			Consumer: "c_a944", Kinds: []string{"comune"}, Provider: "inps", ProviderKinds: []string{},
			Categories: []string{"dsu", "isee"}, Purpose: "isee-check", LegalBasis: "A6-1-e", Actor: ledger.ActorOperator,
			Profile: ledger.ProfileAudit02, LoA: 2, Subjects: 1,
		},
	}
}

const sampleDecisionText = `{"effect":"allow","bundle":"0102000000000000000000000000000000000000000000000000000000000000","policies":["isee-check","once-only"],` +
	`"facts":{"consumer":"c_a944","kinds":["comune"],"provider":"inps","provider_kinds":[],"categories":["dsu","isee"],"purpose":"isee-check",` +
	`"legal_basis":"A6-1-e","actor":"operator","profile":"AUDIT_REST_02","loa":2,"subjects":1,"late":false,"consent":false,"entitlement":false}}`

func TestDecision(t *testing.T) {
	d := sampleDecision()
	data, err := ledger.FormatDecision(d)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != sampleDecisionText {
		t.Errorf("got %s", data)
	}
	back, err := ledger.ParseDecision(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, *back); diff != "" {
		t.Error(diff)
	}
	if back, err := ledger.ParseDecision([]byte(`{"effect":"recorded"}`)); err != nil || back.Effect != ledger.EffectRecorded {
		t.Errorf("recorded: %v", err)
	}
	for _, test := range []struct{ name, old, new, code, where string }{
		{"another effect", `"allow"`, `"maybe"`, ledger.CodeBadValue, "decision#effect"},
		{"recorded with facts", `"allow"`, `"recorded"`, ledger.CodeBadValue, "decision#effect"},
		{"no bundle", `"bundle":"0102000000000000000000000000000000000000000000000000000000000000",`, ``, ledger.CodeMissing, "decision#bundle"},
		{"a bundle in capitals", `"0102`, `"010A`, ledger.CodeSyntax, "decision#bundle"},
		{"allowed by nobody", `["isee-check","once-only"]`, `[]`, ledger.CodeBadCount, "decision#policies"},
		{"policies out of order", `["isee-check","once-only"]`, `["once-only","isee-check"]`, ledger.CodeBadValue, "decision#policies"},
		{"a policy twice", `["isee-check","once-only"]`, `["isee-check","isee-check"]`, ledger.CodeBadValue, "decision#policies"},
		{"a policy with a space", `"isee-check","once`, `"isee check","once`, ledger.CodeBadValue, "decision#policies/0"},
		{"a code for a term", `"purpose":"isee-check"`, `"purpose":"isee\"check"`, ledger.CodeBadValue, "decision#facts/purpose"},
		{"no categories", `["dsu","isee"]`, `[]`, ledger.CodeBadCount, "decision#facts/categories"},
		{"nobody", `"subjects":1`, `"subjects":0`, ledger.CodeBadCount, "decision#facts/subjects"},
		{"loa 5", `"loa":2`, `"loa":5`, ledger.CodeBadValue, "decision#facts/loa"},
		{"an actor of no kind", `"operator"`, `"person"`, ledger.CodeBadValue, "decision#facts/actor"},
		{"a signed request", `"AUDIT_REST_02"`, `"SIGNED_REQUEST"`, ledger.CodeBadValue, "decision#facts/profile"},
		{"more", `"late":false`, `"late":false,"weather":"fine"`, ledger.CodeUnknownName, "decision#facts"},
		{"less", `"late":false,`, ``, ledger.CodeMissing, "decision#facts/late"},
		{"another order", `"loa":2,"subjects":1`, `"subjects":1,"loa":2`, ledger.CodeSyntax, "decision"},
		{"white space", `"loa":2`, `"loa": 2`, ledger.CodeSyntax, "decision"},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := strings.Replace(sampleDecisionText, test.old, test.new, 1)
			if text == sampleDecisionText {
				t.Fatal("nothing changed")
			}
			_, err := ledger.ParseDecision([]byte(text))
			var p *ledger.Problem
			if !errors.As(err, &p) || p.Code != test.code || p.Where != test.where {
				t.Errorf("got %v, want %s at %s", err, test.code, test.where)
			}
		})
	}
}

// TestLongestDecision: the limits of its parts keep every decision within
// MaxDecision.
func TestLongestDecision(t *testing.T) {
	ids := func(n int) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf("%0*d", ledger.MaxTerm, i)
		}
		return list
	}
	longest := strings.Repeat("x", ledger.MaxTerm)
	body := strings.Repeat("b", 64)
	data, err := ledger.FormatDecision(ledger.Decision{
		Effect: ledger.EffectAllow, Bundle: ledger.Hex{1}, Policies: ids(ledger.MaxPolicies),
		Facts: &ledger.Facts{
			Consumer: body, Kinds: ids(ledger.MaxKinds), Provider: body, ProviderKinds: ids(ledger.MaxKinds), Categories: ids(ledger.MaxDataCategories),
			Purpose: longest, LegalBasis: longest, Actor: ledger.ActorOperator, Profile: ledger.ProfileAudit02, LoA: 4, Subjects: ledger.MaxSubjects,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > ledger.MaxDecision {
		t.Errorf("%d bytes", len(data))
	}
	if _, err := ledger.ParseDecision(data); err != nil {
		t.Error(err)
	}
}

func FuzzDecision(f *testing.F) {
	f.Add([]byte(sampleDecisionText))
	f.Add([]byte(`{"effect":"recorded"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ledger.ParseDecision(data)
		if err != nil {
			return
		}
		again, err := ledger.FormatDecision(*d)
		if err != nil || string(again) != string(data) {
			t.Errorf("%s: %s, %v", data, again, err)
		}
	})
}
