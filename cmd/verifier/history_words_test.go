// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/verifier"
)

// told is a history with one event of each kind that isn't a plain access.
func told() *verifier.HistoryReport {
	access := verifier.HistoryEvent{
		Epoch: 2026, Index: 12, Scope: ledger.ScopeDeferred, State: verifier.StateOpen, Kind: ledger.KindAccess, Agency: "c_a944", Name: "Comune di Bologna",
		Issuer: "inps", Provider: "inps", ProviderName: "INPS", OccurredAt: "2026-11-22T09:30:00Z", Purpose: "https://w3id.org/dpv/sector/publicservices#SocialWelfareProvision", LegalBasis: "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e",
		LegalReference: "D.Lgs. 230/2021, art. 6", DataCategories: []string{"https://w3id.org/dpv/pd#Income", "assegno-unico", "una parola"},
		Deferred:   &verifier.Deferred{Until: "2027-06-30T00:00:00Z", By: "procura_bo", Name: "Procura di Bologna", Reference: "decreto 17/2026"},
		Statements: []verifier.Place{{Epoch: 2026, Index: 40}},
	}
	about := &verifier.Place{Epoch: 2026, Index: 12}
	statement := verifier.HistoryEvent{
		Epoch: 2026, Index: 40, Scope: ledger.ScopeReported, State: verifier.StateOpen, Kind: ledger.KindDispute, Agency: "c_a944", Name: "Comune di Bologna",
		Issuer: "c_a944", IssuerName: "Comune di Bologna", Provider: "inps", OccurredAt: "2026-11-23T09:30:00Z", Purpose: "Contestazione", LegalBasis: "x",
		About: about, Receipt: "inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11", Statement: ledger.StatementNotAsked, Text: "Nessuna pratica <nostra>",
	}
	correction := statement
	correction.Index, correction.Kind, correction.Statement, correction.Text, correction.About = 41, ledger.KindCorrection, ledger.StatementError, "", nil
	undelivered := correction
	undelivered.Index, undelivered.Kind, undelivered.Statement = 42, ledger.KindUndelivered, ledger.StatementUndelivered
	emergency := access
	emergency.Index, emergency.Scope, emergency.Deferred, emergency.Effect = 43, "inps", nil, ledger.EffectAllow
	emergency.BreakGlass = &verifier.SessionPlace{Session: "0f9e7c1a-5b1d-4a86-9f0e-2f4c3c1a7b55", Number: 3}
	denied := emergency
	denied.Index, denied.Kind, denied.Effect = 44, ledger.KindDenied, ledger.EffectDeny
	hub := access
	hub.Index, hub.Issuer = 45, hub.Agency
	erased := verifier.HistoryEvent{Epoch: 2026, Index: 5, Scope: "inps", State: verifier.StateErased, Ground: "request", Request: &verifier.Place{Epoch: 2026, Index: 50}}
	return &verifier.HistoryReport{Subject: "RSSMRA80A01H501U", Events: []verifier.HistoryEvent{erased, access, statement, correction, undelivered, emergency, denied, hub}}
}

func TestHistoryText(t *testing.T) {
	var out bytes.Buffer
	newHistoryAnswer("mine.history", told()).Text(&out)
	for _, want := range []string{
		"its content was erased: on a request that you are said to have made, see below and event 2026/50",
		"notice deferred until 2027-06-30T00:00:00Z by order decreto 17/2026, signed by Procura di Bologna (procura_bo)",
		"LATER: Comune di Bologna (c_a944) says that it did not ask for event 2026/12: “Nessuna pratica <nostra>” (event 2026/40)",
		"Comune di Bologna (c_a944) says that it recorded receipt inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11 in error (event 2026/41)",
		"Comune di Bologna (c_a944) says that nothing was released of receipt inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11 (event 2026/42)",
		"BREAK-GLASS: released before it was recorded, while the ledger was down (session 0f9e7c1a-5b1d-4a86-9f0e-2f4c3c1a7b55, number 3)",
		"signed by who consulted (c_a944), not by the holder of the data",
		"Comune di Bologna (c_a944) was GIVEN data of INPS (inps) in an emergency; the policies, asked afterwards, refuse it",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, &out)
		}
	}
}

func TestHistoryPageWords(t *testing.T) {
	for lang, wants := range map[string][]string{
		"it": {
			"su una richiesta (evento 2026/50) firmata da chi dice che l&#39;hai fatta tu. Se non l&#39;hai fatta, ti si sta nascondendo qualcosa.",
			"Erogazione di una prestazione sociale<p class=\"plain\">Serve a darti una prestazione sociale.</p>", "Dati: Reddito; Assegno unico e universale; una parola",
			"Compito di interesse pubblico o pubblici poteri (GDPR, art. 6, par. 1, lett. e), D.Lgs. 230/2021, art. 6", "<td>Contestazione</td><td>x</td>",
			"Notizia differita fino al 30/06/2027 00:00:00 UTC, ordine decreto 17/2026, firmato da Procura di Bologna (procura_bo).",
			"In seguito: Comune di Bologna (c_a944) dichiara di non aver chiesto l&#39;accesso 2026/12: “Nessuna pratica &lt;nostra&gt;”",
			"dichiara di aver registrato per errore l&#39;evento inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11",
			"dichiara di non aver consegnato alcun dato dell&#39;accesso inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11",
			"Emergenza: il registro non era raggiungibile e i dati sono stati consegnati prima di annotarlo (sessione 0f9e7c1a-5b1d-4a86-9f0e-2f4c3c1a7b55, n. 3).",
			"ha avuto dati di INPS (inps) in emergenza; le regole, interrogate dopo, non lo consentono",
		},
		"en": {
			"on a request (event 2026/50) signed by who says that you made it. If you didn&#39;t, something is being hidden from you.",
			"Delivery of a social benefit<p class=\"plain\">It serves to give you a social benefit.</p>", "Data: Income; Single universal child allowance; una parola",
			"Notice deferred until 30/06/2027 00:00:00 UTC, order decreto 17/2026, signed by Procura di Bologna (procura_bo).",
			"Later: Comune di Bologna (c_a944) says that it did not ask for access 2026/12: “Nessuna pratica &lt;nostra&gt;”",
			"says that it recorded event inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11 in error",
		},
	} {
		var out bytes.Buffer
		if err := pages.ExecuteTemplate(&out, "history.html", newPage(lang, told())); err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: the page lacks %q:\n%s", lang, want, &out)
			}
		}
	}
}
