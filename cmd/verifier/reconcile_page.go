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
	Findings                           []reconcileFinding
	Notes                              []phrase
}

type reconcileFinding struct {
	What, Code, Where string
	Expected, Found   phrase
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
	for _, f := range a.Problems {
		p.Findings = append(p.Findings, reconcileFinding{w[f.Code], f.Code, f.Where, phraseOf(lang, f.Expected), phraseOf(lang, f.Found)})
	}
	for _, n := range a.Notes {
		p.Notes = append(p.Notes, phraseOf(lang, n))
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
		"where": "Dove", "expected": "Atteso", "found": "Trovato", "notes": "Che cosa questo documento non prova", "more": "Le prime %d di %d.",
		"proven": "Le fonti concordano.", "not_proven": "Le fonti NON concordano.", "unchecked": "Il confronto non è stato possibile.",
		"missing_in_ledger": "Manca nel registro", "missing_at_gateway": "Manca al gateway", "missing_in_tracing": "Manca nel tracciamento", "differs": "Differisce", "repeated_call": "Due chiamate con una ricevuta",
		"not_acknowledged": "Inviato, e non nel registro", "no_common_key": "Niente in comune per abbinare", "bad_line": "Riga illeggibile", "incomplete": "Incompleto",
	},
	"en": {
		"title": "Reconciliation of accesses", "period": "Period: %s to %s (%s)", "whole": "Period: all that is in the files", "compared": "Comparison", "matched": "Matched",
		"in_ledger": "Missing in the ledger", "at_gateway": "Missing at the gateway", "in_tracing": "Missing in tracing", "differing": "Differing",
		"traces-ledger": "the gateway's traces and the ledger", "traces-tracing": "the gateway's traces and PDND's tracing", "ledger-tracing": "the ledger and PDND's tracing",
		"calls": "Calls at the gateway", "receipts": "Receipts in the ledger", "cohorts": "Aggregates in the ledger", "requests": "Requests in tracing", "findings": "Differences", "what": "What",
		"where": "Where", "expected": "Expected", "found": "Found", "notes": "What this document doesn't prove", "more": "The first %d of %d.",
		"proven": "The sources agree.", "not_proven": "The sources do NOT agree.", "unchecked": "Nothing could be compared.",
		"missing_in_ledger": "Missing in the ledger", "missing_at_gateway": "Missing at the gateway", "missing_in_tracing": "Missing in tracing", "differs": "Differs", "repeated_call": "Two calls with one receipt",
		"not_acknowledged": "Submitted, and not in the ledger", "no_common_key": "Nothing in common to match by", "bad_line": "A line that can't be read", "incomplete": "Incomplete",
	},
}
