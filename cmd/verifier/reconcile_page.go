// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
)

type reconcilePage struct {
	Lang, Period, Verdict, Class, More string
	W                                  map[string]string
	A                                  *reconcileAnswer
}

// writeReconcilePage writes a comparison as a page to print.
func writeReconcilePage(path, lang string, a *reconcileAnswer) error {
	w := reconcileWords[lang]
	p := reconcilePage{Lang: lang, W: w, A: a, Verdict: w[string(a.Result)], Class: "bad"}
	if a.Result == cli.Proven {
		p.Class = "good"
	}
	from, to := a.Period.From, a.Period.To
	if p.Period = w["whole"]; from != "" || to != "" {
		p.Period = fmt.Sprintf(w["period"], orDash(from), orDash(to), a.Period.Zone)
	}
	if more := a.Found - uint64(len(a.Problems)); more > 0 {
		p.More = fmt.Sprintf(w["more"], len(a.Problems), a.Found)
	}
	return writeHTML(path, "reconcile.html", p)
}

func orDash(s string) string {
	if s == "" {
		return "…"
	}
	return s
}

var reconcileWords = map[string]map[string]string{
	"it": {
		"title": "Riconciliazione degli accessi", "period": "Periodo: dal %s al %s (%s)", "whole": "Periodo: tutto ciò che è nei file", "compared": "Confronto", "matched": "Corrispondenti",
		"in_ledger": "Mancanti nel registro", "at_gateway": "Mancanti al gateway", "in_tracing": "Mancanti nel tracciamento", "differing": "Differenti",
		"traces-ledger": "tracce del gateway e registro", "traces-tracing": "tracce del gateway e tracciamento PDND", "ledger-tracing": "registro e tracciamento PDND",
		"calls": "Chiamate al gateway", "receipts": "Ricevute nel registro", "cohorts": "Dati aggregati nel registro", "requests": "Richieste nel tracciamento", "findings": "Differenze", "what": "Che cosa",
		"where": "Dove", "expected": "Atteso (in inglese)", "found": "Trovato (in inglese)", "notes": "Che cosa questo documento non prova", "more": "Le prime %d di %d.",
		"proven": "Le fonti concordano.", "not_proven": "Le fonti NON concordano.", "unchecked": "Il confronto non è stato possibile.",
	},
	"en": {
		"title": "Reconciliation of accesses", "period": "Period: %s to %s (%s)", "whole": "Period: all that is in the files", "compared": "Comparison", "matched": "Matched",
		"in_ledger": "Missing in the ledger", "at_gateway": "Missing at the gateway", "in_tracing": "Missing in tracing", "differing": "Differing",
		"traces-ledger": "the gateway's traces and the ledger", "traces-tracing": "the gateway's traces and PDND's tracing", "ledger-tracing": "the ledger and PDND's tracing",
		"calls": "Calls at the gateway", "receipts": "Receipts in the ledger", "cohorts": "Aggregates in the ledger", "requests": "Requests in tracing", "findings": "Differences", "what": "What",
		"where": "Where", "expected": "Expected", "found": "Found", "notes": "What this document doesn't prove", "more": "The first %d of %d.",
		"proven": "The sources agree.", "not_proven": "The sources do NOT agree.", "unchecked": "Nothing could be compared.",
	},
}
