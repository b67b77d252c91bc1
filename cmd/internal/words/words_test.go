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

// TestWord: whose word an access is follows from who signed, also where who consulted speaks for the holder.
func TestWord(t *testing.T) {
	for _, test := range []struct {
		name         string
		e            verifier.HistoryEvent
		word, signed string // in Italian
	}{
		{"the holder's party", verifier.HistoryEvent{Issuer: "gestore", IssuerName: "GESTORE", Agency: "inps", Name: "INPS", Provider: "c_h501", ProviderName: "ROMA CAPITALE"},
			"Ha firmato chi tiene i dati, tramite GESTORE. Chi ha consultato (INPS) non ha firmato: che sia stato lui lo dice chi tiene i dati.", "solo di chi detiene i dati (GESTORE)"},
		{"who consulted, for the holder", verifier.HistoryEvent{Issuer: "inps", IssuerName: "INPS", Agency: "inps", Name: "INPS", Provider: "c_h501", ProviderName: "ROMA CAPITALE"},
			"Ha firmato solo chi ha consultato (INPS). Chi tiene i dati (ROMA CAPITALE) non l'ha confermato.", "solo di chi ha consultato (INPS)"},
		{"who consulted", verifier.HistoryEvent{Scope: ledger.ScopeReported, Issuer: "inps", IssuerName: "INPS", Agency: "inps", Name: "INPS", Provider: "c_h501"},
			"Ha firmato solo chi ha consultato (INPS). Chi tiene i dati (c_h501) non l'ha confermato.", "solo di chi ha consultato (INPS)"},
		{"its own data", verifier.HistoryEvent{Issuer: "inps", IssuerName: "INPS", Agency: "inps", Name: "INPS", Provider: "inps", ProviderName: "INPS"}, "Ha firmato INPS.", "INPS"},
	} {
		s := In("it", func(t time.Time) string { return t.Format(time.DateOnly) })
		test.e.Kind = ledger.KindAccess
		if got := s.Word(&test.e); got != test.word {
			t.Errorf("%s: %s", test.name, got)
		}
		if got := s.Signed(&test.e); got != test.signed {
			t.Errorf("%s, in short: %s", test.name, got)
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

// TestElided: Italian articles before days that begin with a vowel, and nothing else, lose theirs.
func TestElided(t *testing.T) {
	for text, want := range map[string]string{
		"il 8 novembre 2026":                          "l'8 novembre 2026",
		"Il 11 marzo hai revocato":                    "L'11 marzo hai revocato",
		"Dal 8 marzo 2026 al 11 aprile 2026":          "Dall'8 marzo 2026 all'11 aprile 2026",
		"fino al 8 maggio, del 11 maggio":             "fino all'8 maggio, dell'11 maggio",
		"il 18 novembre, al 1 agosto, il 8 per mille": "il 18 novembre, al 1 agosto, il 8 per mille",
		"email 8 novembre":                            "email 8 novembre",
		"up to 8 November":                            "up to 8 November",
	} {
		if got := Elided(text); got != want {
			t.Errorf("%q is written %q, want %q", text, got, want)
		}
	}
}

// TestInstants: an instant has the article or the preposition that its sentence wants, and one.
func TestInstants(t *testing.T) {
	at := time.Date(2026, 11, 8, 17, 0, 0, 0, time.UTC)
	event := &verifier.HistoryEvent{Kind: ledger.KindAccess, OccurredAt: at.Format(time.RFC3339), Agency: "c_a944", Name: "Comune di Bologna", Issuer: "inps", IssuerName: "INPS"}
	for lang, months := range map[string]string{"it": "novembre", "en": "November"} {
		s := In(lang, func(t time.Time) string { return t.Format("2 ") + months })
		for _, c := range []struct{ said, it, en string }{
			{s.List(verifier.HistoryScope{Scope: "inps", Attested: at}), "fino all'8 novembre", "up to 8 November"},
			{s.List(verifier.HistoryScope{Scope: "inps", Alarm: at}), "fino all'8 novembre", "up to 8 November"},
			{s.PutOff(&verifier.Deferred{Until: at.Format(time.RFC3339)}), "fino all'8 novembre,", "until 8 November,"},
			{s.Begin(at), "L'8 novembre", "On 8 November"},
			{s.Sentence(event), "L'8 novembre Comune di Bologna", "On 8 November Comune di Bologna"},
			{s.Word(event), "tramite INPS.", "by way of INPS."},
		} {
			if want := map[string]string{"it": c.it, "en": c.en}[lang]; !strings.Contains(c.said, want) {
				t.Errorf("%s: %q lacks %q", lang, c.said, want)
			}
		}
	}
}

// TestLedgersOwnPurposes: what a ledger's own look-ups were for is said in the reader's language, as the vocabulary's purposes are.
func TestLedgersOwnPurposes(t *testing.T) {
	for word, wants := range map[string][2]string{
		ledger.PurposeLookUp:          {"chiesta dall'interessato", "asked for by the person"},
		ledger.PurposeLookUpDelegated: {"chiesta da chi agisce", "asked for by who acts"},
		"Verifica":                    {"Verifica", "Verifica"}, // of a body's own
	} {
		for i, lang := range []string{"it", "en"} {
			if said := In(lang, nil).Purpose(word).Label; !strings.Contains(said, wants[i]) {
				t.Errorf("%s: %q lacks %q", lang, said, wants[i])
			}
		}
	}
	if none := In("it", nil).Purpose(""); none != (Term{}) {
		t.Errorf("no purpose is said as %+v", none)
	}
}
