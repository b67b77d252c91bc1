// SPDX-License-Identifier: EUPL-1.2

package words

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/verifier"
)

// TestBothLanguages: what is said in one language is said in the other.
func TestBothLanguages(t *testing.T) {
	for name, tables := range map[string][2]map[string]string{
		"phrases":     {phrases["it"], phrases["en"]},
		"kinds":       {consentKinds["it"], consentKinds["en"]},
		"consents":    {consentWords["it"], consentWords["en"]},
		"complaints":  {complaintWords["it"], complaintWords["en"]},
		"their files": {complaintFileWords["it"], complaintFileWords["en"]},
	} {
		it, en := slices.Sorted(maps.Keys(tables[0])), slices.Sorted(maps.Keys(tables[1]))
		if !slices.Equal(it, en) {
			t.Errorf("%s: said in Italian %v, in English %v", name, it, en)
		}
		for _, key := range it {
			if strings.Count(tables[0][key], "%s") != strings.Count(tables[1][key], "%s") || strings.Count(tables[0][key], "{") != strings.Count(tables[1][key], "{") {
				t.Errorf("%s: %s isn't said of the same things", name, key)
			}
		}
	}
}

// TestKinds: every kind of event and every state has words.
func TestKinds(t *testing.T) {
	for _, lang := range []string{"it", "en"} {
		s := In(lang, func(t time.Time) string { return t.Format(time.DateOnly) })
		for _, name := range append(slices.Collect(maps.Keys(consentKinds["en"])), ledger.KindAccess, ledger.KindDenied, ledger.KindCorrection,
			ledger.KindDispute, ledger.KindUndelivered, ledger.KindRequest, ledger.KindLookUp) {
			kind, known := ledger.KindOf(name)
			if !known {
				t.Errorf("words for %q, which is no kind", name)
			}
			e := &verifier.HistoryEvent{Kind: kind.Name, Agency: "c_a944", Name: "Comune di Bologna", Issuer: "inps", Provider: "inps", Receipt: "inps/1", Statement: kind.Statement}
			if got := s.What(e); got == "" || strings.ContainsAny(got, "{}") || strings.Contains(got, "%!") {
				t.Errorf("%s: an event %s is said as %q", lang, kind.Name, got)
			}
		}
	}
}
