// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/words"
	"github.com/traccia-ledger/traccia/verifier"
)

// page is what the template shows, in one language.
type page struct {
	Lang, Title, Subject, Verdict, Class, Made string
	W                                          map[string]string
	Missing, Notes                             []string
	Events                                     []pageEvent
	Lists                                      []pageList
	Consents                                   []words.ConsentLine
	Logs                                       []verifier.HistoryShard
	Warning                                    string
}

type pageEvent struct {
	When, What, Why, Basis, Signed, Place, State string
	Data, Plain                                  string   // what was consulted, and the purpose in a sentence
	Further                                      []string // what was put off, and what others state of it
}

type pageList struct {
	Name, State string
	Events      uint32
}

// writePage writes a history as a page to print. It names the citizen: it is theirs.
func writePage(path, lang string, r *verifier.HistoryReport) error {
	return writeHTML(path, "history.html", newPage(lang, r))
}

func newPage(lang string, r *verifier.HistoryReport) *page {
	w, speak := pageWords[lang], words.In(lang, pageTime)
	p := &page{
		Lang: lang, Title: w["title"], Subject: string(r.Subject), W: w, Class: "bad",
		Notes: r.Notes(lang), Logs: r.Shards, Consents: speak.Consents(r),
	}
	var good bool
	if p.Verdict, good = speak.Verdict(r); good {
		p.Class = "good"
	} else if r.CompleteUntil.IsZero() {
		p.Missing = r.Missing(lang)
	}
	if !r.Excerpt {
		p.Warning = w["warning"]
	}
	stated := statements(r.Events)
	for i := range r.Events {
		e := newPageEvent(w, speak, &r.Events[i])
		for _, s := range stated[verifier.Place{Epoch: r.Events[i].Epoch, Index: r.Events[i].Index}] {
			e.Further = append(e.Further, w["later"]+" "+speak.Stated(s))
		}
		p.Events = append(p.Events, e)
	}
	for _, s := range r.Scopes {
		p.Lists = append(p.Lists, pageList{Name: fmt.Sprintf("%d %s", s.Epoch, s.Scope), Events: s.Events, State: speak.List(s)})
	}
	return p
}

func pageTime(t time.Time) string { return t.UTC().Format("02/01/2006 15:04:05 UTC") }

func newPageEvent(w map[string]string, speak *words.Speaker, e *verifier.HistoryEvent) pageEvent {
	p := pageEvent{State: e.State, Place: fmt.Sprintf("%d/%d, %s", e.Epoch, e.Index, e.Scope), When: speak.State(e.State), What: speak.Erased(e)}
	if e.Number != nil {
		p.Place += fmt.Sprintf(", %s %d", w["number"], *e.Number)
	}
	if e.Deferred != nil {
		p.Further = append(p.Further, speak.PutOff(e.Deferred))
	}
	if e.Kind == "" {
		return p
	}
	if t, err := time.Parse(time.RFC3339, e.OccurredAt); err == nil && e.State == verifier.StateOpen {
		p.When = pageTime(t)
	}
	p.What, p.Signed = speak.What(e), speak.Signed(e)
	p.explain(w, speak, e)
	p.Further = append(p.Further, speak.Decided(e)...)
	return p
}

// explain says why an access was made, on which ground and to which data.
func (p *pageEvent) explain(w map[string]string, speak *words.Speaker, e *verifier.HistoryEvent) {
	why := speak.Purpose(e.Purpose)
	p.Why, p.Plain = why.Label, why.Sentence
	p.Basis = strings.TrimSuffix(speak.Basis(e.LegalBasis).Label+", "+e.LegalReference, ", ")
	for i, category := range e.DataCategories {
		label := speak.Category(category).Label
		if i == 0 {
			p.Data = w["data"] + " " + label
		} else {
			p.Data += "; " + label
		}
	}
}

var pageWords = map[string]map[string]string{
	"it": {
		"title": "Storico degli accessi ai tuoi dati", "of": "Codice", "who": "Chi e che cosa", "when": "Quando", "why": "Perché", "data": "Dati:", "basis": "Base giuridica",
		"signed": "Firma", "place": "Nel registro", "number": "numero", "consents": "I tuoi consensi", "lists": "Elenchi controllati", "events": "eventi", "notes": "Che cosa questo documento non prova",
		"missing": "Che cosa manca", "logs": "Registri", "none": "Non risulta alcun accesso.", "entries": "voci", "witnesses": "testimoni", "monitors": "monitor",
		"warning": "Chi possiede il file dello storico intero può riconoscere nel registro pubblico ogni tuo evento futuro fino alla fine dell'anno. A chi te lo chiede mostra un estratto.",
		"later":   "In seguito:",
	},
	"en": {
		"title": "Who accessed your data", "of": "Code", "who": "Who and what", "when": "When", "why": "Why", "data": "Data:", "basis": "Legal basis",
		"signed": "Signature", "place": "In the ledger", "number": "number", "consents": "Your consents", "lists": "Lists checked", "events": "events", "notes": "What this document doesn't prove",
		"missing": "What is missing", "logs": "Logs", "none": "No access is recorded.", "entries": "entries", "witnesses": "witnesses", "monitors": "monitors",
		"warning": "Whoever has the file of the whole history can recognise each of your further events in the public log until the year ends. Show an excerpt to those who ask.",
		"later":   "Later:",
	},
}
