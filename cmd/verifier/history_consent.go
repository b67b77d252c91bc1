// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/verifier"
)

// Words about consents, passkeys and mandates, by kind and language. {who} is the body that recorded it.
var consentKinds = map[string]map[string]string{
	"en": {
		ledger.KindConsentGiven: "you gave a consent, collected by {who}", ledger.KindConsentRefused: "you refused a consent, asked for by way of {who}",
		ledger.KindConsentWithdrawn: "you withdrew a consent, by way of {who}", ledger.KindConsentExpired: "a consent of yours expired, as {who} recorded",
		ledger.KindEntitlementGiven: "{who} recorded an entitlement of yours", ledger.KindEntitlementEnded: "an entitlement of yours ended, by way of {who}",
		ledger.KindPasskeyEnrolled: "you enrolled a passkey, by way of {who}", ledger.KindPasskeyRevoked: "you revoked a passkey, by way of {who}",
		ledger.KindMandateGiven: "{who} recorded a delegate of yours", ledger.KindMandateEnded: "a delegate's mandate ended, by way of {who}",
	},
	"it": {
		ledger.KindConsentGiven: "Hai dato un consenso, raccolto da {who}", ledger.KindConsentRefused: "Hai rifiutato un consenso, chiesto tramite {who}",
		ledger.KindConsentWithdrawn: "Hai revocato un consenso, tramite {who}", ledger.KindConsentExpired: "Un tuo consenso è scaduto, come ha annotato {who}",
		ledger.KindEntitlementGiven: "{who} ha annotato un tuo diritto", ledger.KindEntitlementEnded: "È cessato un tuo diritto, tramite {who}",
		ledger.KindPasskeyEnrolled: "Hai registrato una passkey, tramite {who}", ledger.KindPasskeyRevoked: "Hai revocato una passkey, tramite {who}",
		ledger.KindMandateGiven: "{who} ha annotato chi agisce per te", ledger.KindMandateEnded: "È cessato l'incarico di chi agiva per te, tramite {who}",
	},
}

// aboutConsent says an event about consent; "" for other kinds.
func aboutConsent(lang, kind, who string) string {
	return strings.ReplaceAll(consentKinds[lang][kind], "{who}", who)
}

// What a consent is now, and whose word it stands on.
var consentWords = map[string]map[string]string{
	"en": {
		"to": "to", "for": "for", "of": "of", "from": "valid from", "until": "to",
		ledger.ConsentInForce: "IN FORCE", ledger.ConsentRefused: "refused", ledger.ConsentWithdrawn: "ended on", ledger.ConsentExpired: "expired",
		ledger.ConsentDoubtful: "unknown: an event that may have ended it was erased",
		"passkey":              "signed with a passkey", "desk": "attested by {who} at its desk, a lower assurance", "login": "after a login, as {who} attests",
		"registration": "enrolled after a login or at a desk, as {who} attests", "mandate": "by a delegate",
	},
	"it": {
		"to": "a", "for": "per", "of": "dati:", "from": "valido dal", "until": "al",
		ledger.ConsentInForce: "IN VIGORE", ledger.ConsentRefused: "rifiutato", ledger.ConsentWithdrawn: "cessato il", ledger.ConsentExpired: "scaduto",
		ledger.ConsentDoubtful: "non si sa: un evento che potrebbe averlo fatto cessare è stato cancellato",
		"passkey":              "firmato con una passkey", "desk": "attestato da {who} allo sportello, con garanzia minore", "login": "dopo l'accesso con identità digitale, come attesta {who}",
		"registration": "registrata dopo l'accesso con identità digitale o allo sportello, come attesta {who}", "mandate": "da chi agisce per te",
	},
}

// consentLine is one consent in plain words: what became of it, and what it covers.
type consentLine struct{ State, What, Terms string }

// consentLines says what a history's list of consents comes to.
func consentLines(lang string, r *verifier.HistoryReport) (lines []consentLine) {
	w, v := consentWords[lang], defaultVocabulary()
	words := func(list []string, say func(string) string) string {
		said := slices.Clone(list)
		for i := range said {
			said[i] = say(said[i])
		}
		return strings.Join(said, ", ")
	}
	for _, c := range r.Consents {
		l := consentLine{State: w[c.State], What: aboutConsent(lang, c.Kind, c.Collector)}
		if c.State == ledger.ConsentWithdrawn {
			l.State += " " + pageTime(c.Ended)
		}
		l.What += "; " + strings.ReplaceAll(w[c.Evidence], "{who}", c.Collector)
		if c.Mandate != "" {
			l.What += ", " + w["mandate"]
		}
		if len(c.Recipients) > 0 {
			l.Terms = fmt.Sprintf("%s %s; %s %s; %s %s; ", w["to"], strings.Join(c.Recipients, ", "),
				w["for"], words(c.Purposes, func(s string) string { label, _ := inWords(v.purposes, s, lang); return label }),
				w["of"], words(c.Categories, func(s string) string { label, _ := inWords(v.categories, s, lang); return label }))
		}
		l.Terms += fmt.Sprintf("%s %s %s %s", w["from"], pageTime(c.From), w["until"], pageTime(c.Until))
		lines = append(lines, l)
	}
	return lines
}

func printConsents(w io.Writer, r *verifier.HistoryReport) {
	lines := consentLines("en", r)
	if len(lines) == 0 {
		return
	}
	fmt.Fprintln(w, pageWords["en"]["consents"]+":")
	for i, l := range lines {
		fmt.Fprintf(w, "  %s: %s\n      %s\n      id %s, event %d/%d\n", l.State, l.What, l.Terms, r.Consents[i].ID, r.Consents[i].Epoch, r.Consents[i].Index)
	}
	fmt.Fprintln(w)
}
