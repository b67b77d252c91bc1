// SPDX-License-Identifier: EUPL-1.2

package words

import (
	"fmt"
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

// Consent says an event about consent, in the middle of a sentence; "" for other kinds.
func (s *Speaker) Consent(kind, who string) string {
	return strings.ReplaceAll(consentKinds[s.lang][kind], "{who}", who)
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

// Evidence says whose word a consent stands on, by the type of its evidence; who is the body that recorded it.
func (s *Speaker) Evidence(evidence, who string) string {
	return strings.ReplaceAll(consentWords[s.lang][evidence], "{who}", who)
}

// ConsentLine is one consent in plain words: what became of it, what it is, and what it covers.
type ConsentLine struct{ State, What, Terms string }

// Consents says what a history's list of consents comes to, one line for each of its Consents.
func (s *Speaker) Consents(r *verifier.HistoryReport) (lines []ConsentLine) {
	w := consentWords[s.lang]
	labels := func(list []string, of func(string) Term) string {
		said := make([]string, len(list))
		for i, word := range list {
			said[i] = of(word).Label
		}
		return strings.Join(said, ", ")
	}
	for _, c := range r.Consents {
		l := ConsentLine{State: w[c.State], What: s.Consent(c.Kind, c.Collector)}
		if c.State == ledger.ConsentWithdrawn {
			l.State += " " + s.when(c.Ended)
		}
		l.What += "; " + s.Evidence(c.Evidence, c.Collector)
		if c.Mandate != "" {
			l.What += ", " + w["mandate"]
		}
		if len(c.Recipients) > 0 {
			l.Terms = fmt.Sprintf("%s %s; %s %s; %s %s; ", w["to"], strings.Join(c.Recipients, ", "), w["for"], labels(c.Purposes, s.Purpose), w["of"], labels(c.Categories, s.Category))
		}
		l.Terms += fmt.Sprintf("%s %s %s %s", w["from"], s.when(c.From), w["until"], s.when(c.Until))
		lines = append(lines, l)
	}
	return lines
}
