// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/words"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/verifier"
)

// TestConsentWords: each kind and state has words in both languages, and a page and a text say what a consent covers.
func TestConsentWords(t *testing.T) {
	at := time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
	r := &verifier.HistoryReport{Shards: []verifier.HistoryShard{{Origin: "registro.example/2026"}}}
	states := []string{ledger.ConsentInForce, ledger.ConsentRefused, ledger.ConsentWithdrawn, ledger.ConsentExpired, ledger.ConsentDoubtful}
	evidence := []string{"passkey", "desk", "login", "registration"}
	for _, kind := range []string{
		ledger.KindConsentGiven, ledger.KindConsentRefused, ledger.KindConsentWithdrawn, ledger.KindConsentExpired, ledger.KindEntitlementGiven,
		ledger.KindEntitlementEnded, ledger.KindPasskeyEnrolled, ledger.KindPasskeyRevoked, ledger.KindMandateGiven, ledger.KindMandateEnded,
	} {
		for i, state := range states {
			r.Consents = append(r.Consents, ledger.ConsentSummary{
				ID: "6f1c2d3e-52f0-4d0e-9d5e-3f1b7f0f7a11", Kind: kind, State: state, Collector: "c_a944", Evidence: evidence[i%len(evidence)],
				Recipients: []string{"c_a944"}, Purposes: []string{"Verifica ISEE"}, Categories: []string{"https://w3id.org/dpv/pd#Income"},
				From: at, Until: at.AddDate(1, 0, 0), Ended: at, Mandate: "6f1c2d3e-52f0-4d0e-9d5e-3f1b7f0f7a12",
			})
		}
	}
	for lang, wants := range map[string][]string{
		"it": {"IN VIGORE", "Hai dato un consenso, raccolto da c_a944", "per Verifica ISEE", "da chi agisce per te", "al 22/11/2027"},
		"en": {"IN FORCE", "you gave a consent, collected by c_a944", "for Verifica ISEE", "by a delegate", "to 22/11/2027"},
	} {
		for _, l := range words.In(lang, pageTime).Consents(r) {
			if l.State == "" || strings.HasPrefix(l.What, ";") || strings.Contains(l.What, "{") || strings.Contains(l.What, ";  ") || strings.HasSuffix(l.What, "; ") {
				t.Errorf("%s: %+v", lang, l)
			}
		}
		var out bytes.Buffer
		if err := pages.ExecuteTemplate(&out, "history.html", newPage(lang, r)); err != nil {
			t.Fatal(err)
		}
		for _, word := range wants {
			if !strings.Contains(out.String(), word) {
				t.Errorf("the page in %s doesn't say %q", lang, word)
			}
		}
	}
	var out strings.Builder
	printConsents(&out, r)
	if text := out.String(); !strings.Contains(text, "Your consents:") || !strings.Contains(text, "IN FORCE") {
		t.Errorf("found %s", text)
	}
}
