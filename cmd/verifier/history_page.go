// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/verifier"
)

//go:embed history.html
var pageText string

// The page is self-contained: no script, no link, nothing to fetch.
var pageTemplate = template.Must(template.New("history").Parse(pageText))

// page is what the template shows, in one language.
type page struct {
	Lang, Title, Subject, Verdict, Class, Made string
	W                                          map[string]string
	Missing, Notes                             []string
	Events                                     []pageEvent
	Lists                                      []pageList
	Consents                                   []consentLine
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
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, newPage(lang, r)); err != nil {
		return fmt.Errorf("couldn't make the page: %w", err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		return fmt.Errorf("couldn't write the page: %w", err)
	}
	return nil
}

func newPage(lang string, r *verifier.HistoryReport) *page {
	w := pageWords[lang]
	p := &page{Lang: lang, Title: w["title"], Subject: string(r.Subject), W: w, Notes: r.Notes(lang), Logs: r.Shards}
	switch {
	case r.Excerpt && r.Proven():
		p.Verdict, p.Class = w["excerpt"], "good"
	case r.Complete:
		p.Verdict, p.Class = fmt.Sprintf(w["complete"], pageTime(r.CompleteUntil)), "good"
	case r.Stale && !r.CompleteUntil.IsZero():
		p.Verdict, p.Class = fmt.Sprintf(w["stale"], pageTime(r.CompleteUntil)), "bad"
	default:
		p.Verdict, p.Class, p.Missing = w["incomplete"], "bad", r.Missing(lang)
	}
	p.Consents = consentLines(lang, r)
	if !r.Excerpt {
		p.Warning = w["warning"]
	}
	stated := statements(r.Events)
	for i := range r.Events {
		e := newPageEvent(w, lang, &r.Events[i])
		for _, s := range stated[verifier.Place{Epoch: r.Events[i].Epoch, Index: r.Events[i].Index}] {
			e.Further = append(e.Further, w["later"]+" "+pageStatement(w, s))
		}
		p.Events = append(p.Events, e)
	}
	for _, s := range r.Scopes {
		l := pageList{Name: fmt.Sprintf("%d %s", s.Epoch, s.Scope), Events: s.Events, State: w["declared"]}
		switch {
		case s.Withheld:
			l.State = w["deferred"]
		case !s.Attested.IsZero():
			l.State = w["attested"] + " " + pageTime(s.Attested)
		case !s.Alarm.IsZero():
			l.State = w["alarm"] + " " + pageTime(s.Alarm)
		case s.Scope[0] == '+':
			l.State = w["own"]
		}
		p.Lists = append(p.Lists, l)
	}
	return p
}

func pageTime(t time.Time) string { return t.UTC().Format("02/01/2006 15:04:05 UTC") }

func newPageEvent(w map[string]string, lang string, e *verifier.HistoryEvent) pageEvent {
	p := pageEvent{State: e.State, Place: fmt.Sprintf("%d/%d, %s", e.Epoch, e.Index, e.Scope), When: w[e.State]}
	if e.Number != nil {
		p.Place += fmt.Sprintf(", %s %d", w["number"], *e.Number)
	}
	if e.Ground != "" {
		p.What = w["ground_"+e.Ground]
	}
	if e.Request != nil {
		p.What = fmt.Sprintf(p.What, place(*e.Request))
	}
	if d := e.Deferred; d != nil {
		until, _ := time.Parse(time.RFC3339, d.Until)
		p.Further = append(p.Further, fmt.Sprintf(w["put_off"], pageTime(until), d.Reference, named(d.By, d.Name)))
	}
	if e.Kind == "" {
		return p
	}
	if t, err := time.Parse(time.RFC3339, e.OccurredAt); err == nil && e.State == verifier.StateOpen {
		p.When = pageTime(t)
	}
	who, whose := named(e.Agency, e.Name), named(e.Provider, e.ProviderName)
	p.What = strings.NewReplacer("{who}", who, "{whose}", whose).Replace(w["kind_"+e.Kind])
	if e.Statement != "" {
		p.What = pageStatement(w, e)
	}
	if about := aboutConsent(lang, e.Kind, who); about != "" {
		p.What = about
		if rest, ok := strings.CutPrefix(about, "you "); ok {
			p.What = "You " + rest
		}
	}
	p.explain(w, lang, e)
	p.Further = append(p.Further, pageDecision(w, lang, e)...)
	switch {
	case e.Partner != nil:
		p.Signed = w["both"]
	case e.Kind != ledger.KindAccess && e.Kind != ledger.KindDenied:
		p.Signed = e.Issuer
	case e.Scope == ledger.ScopeReported:
		p.Signed = fmt.Sprintf(w["consumer_only"], e.Issuer)
	default:
		p.Signed = fmt.Sprintf(w["provider_only"], e.Issuer)
	}
	return p
}

// pageDecision says why the policies allowed or refused an access.
func pageDecision(w map[string]string, lang string, e *verifier.HistoryEvent) (lines []string) {
	if e.Effect == ledger.EffectDeny && len(e.Policies) == 0 {
		return []string{w["decided_none"]}
	}
	for _, g := range e.Grounds {
		reason := g.It
		if lang == "en" {
			reason = g.En
		}
		lines = append(lines, fmt.Sprintf("%s %s (%s, %s)", w["decided_"+e.Effect], reason, g.Policy, g.Reference))
	}
	return lines
}

// pageStatement says what a body states of an access.
func pageStatement(w map[string]string, e *verifier.HistoryEvent) string {
	about := e.Receipt
	if e.About != nil {
		about = place(*e.About)
	}
	text := strings.NewReplacer("{who}", named(e.Issuer, e.IssuerName), "{about}", about).Replace(w["stated_"+e.Statement])
	if e.Text != "" {
		text += ": \u201c" + e.Text + "\u201d"
	}
	return text
}

// explain says in the language's words why an access was made, on which ground and to which data.
func (p *pageEvent) explain(w map[string]string, lang string, e *verifier.HistoryEvent) {
	v := defaultVocabulary()
	p.Why, p.Plain = inWords(v.purposes, e.Purpose, lang)
	label, _ := inWords(v.bases, e.LegalBasis, lang)
	p.Basis = strings.TrimSuffix(label+", "+e.LegalReference, ", ")
	for i, category := range e.DataCategories {
		label, _ := inWords(v.categories, category, lang)
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
		"complete":   "COMPLETO fino al %s: in nessun elenco manca qualcosa.",
		"stale":      "NON AGGIORNATO: completo fino al %s, ma è passato troppo tempo. Chiedi un documento nuovo.",
		"incomplete": "NON COMPLETO",
		"excerpt":    "ESTRATTO: gli eventi elencati sono avvenuti. Di altri non si dice nulla.",
		"warning":    "Chi possiede il file dello storico intero può riconoscere nel registro pubblico ogni tuo evento futuro fino alla fine dell'anno. A chi te lo chiede mostra un estratto.",
		"open":       "", "erased": "cancellato", "withheld": "NON MOSTRATO", "unexplained": "NON SPIEGATO",
		"ground_retention": "Contenuto cancellato: è finito il periodo di conservazione.", "ground_request": "Contenuto cancellato su una richiesta (evento %s) firmata da chi dice che l'hai fatta tu. Se non l'hai fatta, ti si sta nascondendo qualcosa.",
		"stated_recorded-in-error": "{who} dichiara di aver registrato per errore l'evento {about}", "stated_not-asked": "{who} dichiara di non aver chiesto l'accesso {about}",
		"stated_undelivered": "{who} dichiara di non aver consegnato alcun dato dell'accesso {about}",
		"later":              "In seguito:", "put_off": "Notizia differita fino al %s, ordine %s, firmato da %s.",
		"kind_access": "{who} ha consultato dati di {whose}", "kind_denied": "{who} ha chiesto dati di {whose}; l'accesso è stato rifiutato",
		"kind_request": "Hai fatto una richiesta, tramite {who}", "kind_look-up": "{who} ha consultato questo registro",
		"both": "di entrambe le parti", "consumer_only": "solo di chi ha consultato (%s)", "provider_only": "solo di chi detiene i dati (%s)",
		"declared": "dichiarato, non controllato", "attested": "controllato da chi lo tiene, che lo firma, fino al", "alarm": "NON CORRISPONDE a quanto annotato da chi lo tiene, che lo firma, fino al", "own": "tenuto dal registro stesso", "deferred": "non ancora mostrato",
		"decided_allow": "Consentito:", "decided_deny": "Rifiutato:", "decided_none": "Rifiutato: nessuna regola lo consente.",
	},
	"en": {
		"title": "Who accessed your data", "of": "Code", "who": "Who and what", "when": "When", "why": "Why", "data": "Data:", "basis": "Legal basis",
		"signed": "Signature", "place": "In the ledger", "number": "number", "consents": "Your consents", "lists": "Lists checked", "events": "events", "notes": "What this document doesn't prove",
		"missing": "What is missing", "logs": "Logs", "none": "No access is recorded.", "entries": "entries", "witnesses": "witnesses", "monitors": "monitors",
		"complete":   "COMPLETE up to %s: nothing is left out of any list.",
		"stale":      "STALE: complete up to %s, but that is too long ago. Ask for a new document.",
		"incomplete": "NOT COMPLETE",
		"excerpt":    "EXCERPT: the events listed took place. Nothing is said of others.",
		"warning":    "Whoever has the file of the whole history can recognise each of your further events in the public log until the year ends. Show an excerpt to those who ask.",
		"open":       "", "erased": "erased", "withheld": "NOT SHOWN", "unexplained": "UNEXPLAINED",
		"ground_retention": "Content erased: its term of retention is over.", "ground_request": "Content erased on a request (event %s) signed by who says that you made it. If you didn't, something is being hidden from you.",
		"stated_recorded-in-error": "{who} says that it recorded event {about} in error", "stated_not-asked": "{who} says that it did not ask for access {about}",
		"stated_undelivered": "{who} says that it released no data of access {about}",
		"later":              "Later:", "put_off": "Notice deferred until %s, order %s, signed by %s.",
		"kind_access": "{who} consulted data of {whose}", "kind_denied": "{who} asked for data of {whose} and was refused",
		"kind_request": "You made a request, by way of {who}", "kind_look-up": "{who} looked into this ledger",
		"both": "of both sides", "consumer_only": "of who consulted (%s) alone", "provider_only": "of the holder's side (%s) alone",
		"declared": "declared, not checked", "attested": "checked by its party, which signed that up to", "alarm": "NOT AS ITS PARTY RECORDED IT, as it signed, up to", "own": "kept by the ledger itself", "deferred": "not shown yet",
		"decided_allow": "Allowed:", "decided_deny": "Refused:", "decided_none": "Refused: no policy allows it.",
	},
}
