// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/words"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/verifier"
)

// complaintAnswer is what a citizen's file proves. It holds no person's code.
type complaintAnswer struct {
	cli.Verdict
	Excerpt bool                       `json:"excerpt"`
	Steps   []verifier.HistoryStep     `json:"steps"`
	Logs    []verifier.HistoryShard    `json:"logs"`
	Signers []verifier.ComplaintSigner `json:"signers"`
	Events  []complaintEvent           `json:"events"`
	Missing []complaintPoint           `json:"missing"`
	Notes   []string                   `json:"notes"`
	Warning string                     `json:"warning,omitempty"`

	file   string
	report *verifier.ComplaintReport
}

type complaintEvent struct {
	*verifier.HistoryEvent
	Proven  []complaintPoint `json:"proven"`
	Missing []complaintPoint `json:"missing"`
}

// complaintPoint is one thing that is proven, or isn't, as a code and in words.
type complaintPoint struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

const complaintWarning = "This file is a whole history: whoever has it can recognise each further event of its citizen in the public log until the year ends. An excerpt of the events complained of is enough."

func complaintCommand() *cobra.Command {
	var f historyFlags
	cmd := &cobra.Command{
		Use:   "complaint FILE --policy FILE",
		Short: "Handle a complaint from a citizen's excerpt alone: what is proven, who signed it, what is missing",
		Long: `complaint reads the file that a citizen sends with a complaint, an excerpt of their
history, and asks nobody else. For each event it says

  - what is proven: that it is in the log that the policy's witnesses saw, that its
    content is what the log committed to, who signed it and with which key, by which
    policies it was decided
  - what the file doesn't show or can't prove, and who can be asked for it

It ends with 0 if everything that the file shows is right, with 1 if anything in it
isn't: then the events concerned aren't to be believed. That an excerpt says nothing
of other events is no fault of it, and is among what is missing.

The policy names the log's key, witnesses and monitors; get it once, from a place
you trust, and keep it. docs/audit.md says how the authority works with it.`,
		Example: `  verifier complaint excerpt.history --policy policy.txt
  verifier complaint excerpt.history --policy policy.txt --html complaint.html --lang it`,
		Args: oneArgument("the file with the excerpt or history"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := checkComplaint(args[0], &f)
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	f.addTo(cmd)
	return cmd
}

func checkComplaint(file string, f *historyFlags) (*complaintAnswer, error) {
	policy, data, rules, err := f.read(file)
	if err != nil {
		return nil, err
	}
	a := newComplaintAnswer(file, verifier.Complaint(data, policy, time.Now(), rules))
	if f.html != "" && a.report.Malformed == nil {
		if err := writeHTML(f.html, "complaint.html", newComplaintPage(f.lang, a.report)); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func newComplaintAnswer(file string, r *verifier.ComplaintReport) *complaintAnswer {
	a := &complaintAnswer{
		file: file, report: r, Excerpt: r.Excerpt, Steps: r.Steps(), Logs: orEmpty(r.Shards), Signers: orEmpty(r.Signers),
		Events: []complaintEvent{}, Missing: []complaintPoint{}, Notes: r.Notes("en"),
	}
	a.Result, a.Problems = cli.Unproven, r.Problems
	if r.Malformed != nil {
		a.Problems = []ledger.Problem{*r.Malformed}
		return a
	}
	if r.Proven() {
		a.Result = cli.Proven
	}
	speak := words.In("en", pageTime)
	for i := range r.Events {
		e := complaintEvent{&r.Events[i], []complaintPoint{}, []complaintPoint{}}
		for _, code := range r.Entries[i].Proofs {
			e.Proven = append(e.Proven, complaintPoint{code, speak.Complaint(code, e.HistoryEvent)})
		}
		for _, code := range r.Entries[i].Lacks {
			e.Missing = append(e.Missing, complaintPoint{code, speak.Complaint(code, e.HistoryEvent)})
		}
		a.Events = append(a.Events, e)
	}
	for _, code := range r.Lacks {
		a.Missing = append(a.Missing, complaintPoint{code, speak.ComplaintFile(code, r)})
	}
	if !r.Excerpt {
		a.Warning = complaintWarning
	}
	return a
}

// Text says to people what the file proves.
func (a *complaintAnswer) Text(w io.Writer) {
	r := a.report
	if r.Malformed != nil {
		fmt.Fprintf(w, "%s is no history of a ledger, nor an excerpt of one.\n", a.file)
		return
	}
	stated := statements(r.Events)
	for i, e := range a.Events {
		printEvent(w, e.HistoryEvent, stated[verifier.Place{Epoch: e.Epoch, Index: e.Index}])
		for _, p := range e.Proven {
			fmt.Fprintf(w, "  proven   %s\n", p.Text)
		}
		for _, p := range e.Missing {
			fmt.Fprintf(w, "  missing  %s\n", p.Text)
		}
		if i < len(a.Events)-1 {
			fmt.Fprintln(w)
		}
	}
	fmt.Fprintln(w)
	if a.Result == cli.Proven {
		fmt.Fprintln(w, "PROVEN: everything that this file shows.")
	} else {
		fmt.Fprintln(w, "NOT PROVEN:")
		for _, m := range r.Missing("en") {
			fmt.Fprintf(w, "  - %s\n", m)
		}
	}
	printLogs(w, r.Shards)
	for _, s := range a.Signers {
		fmt.Fprintf(w, "signed by %s: %d events, key %s, %s\n", words.Named(s.Body, s.Name), s.Events, s.Kid, keyBasis("en", s))
	}
	fmt.Fprintln(w, "\nNot in this file:")
	for _, p := range a.Missing {
		fmt.Fprintf(w, "  - %s\n", p.Text)
	}
	fmt.Fprintln(w, "\nWhat the citizen is told of it:")
	for _, n := range a.Notes {
		fmt.Fprintf(w, "  - %s\n", n)
	}
	if a.Warning != "" {
		fmt.Fprintf(w, "\nWARNING: %s\n", a.Warning)
	}
}

// keyBasis says where a key is registered, and on whose word.
func keyBasis(lang string, s verifier.ComplaintSigner) string {
	record := uint64(0)
	if s.Record != nil {
		record = *s.Record
	}
	return fmt.Sprintf(complaintPageWords[lang]["basis_"+s.Basis], s.Epoch, record)
}

// complaintPage is what the template shows, in one language.
type complaintPage struct {
	Lang, Title, Subject, Verdict, Class string
	W                                    map[string]string
	Wrong, Missing, Notes                []string
	Steps                                []complaintStep
	Events                               []complaintPageEvent
	Signers                              []string
	Logs                                 []verifier.HistoryShard
	Warning                              string
}

type complaintStep struct{ Name, State, Class string }

type complaintPageEvent struct {
	pageEvent
	Proven, Missing []string
}

func newComplaintPage(lang string, r *verifier.ComplaintReport) *complaintPage {
	w, speak := complaintPageWords[lang], words.In(lang, pageTime)
	p := &complaintPage{Lang: lang, Title: w["title"], Subject: string(r.Subject), W: w, Verdict: w["proven"], Class: "good", Notes: r.Notes(lang), Logs: r.Shards}
	if !r.Proven() {
		p.Verdict, p.Class, p.Wrong = w["not_proven"], "bad", r.HistoryReport.Missing(lang)
	}
	if !r.Excerpt {
		p.Warning = w["warning"]
	}
	for _, s := range r.Steps() {
		if name := w["step_"+s.Name]; name != "" && s.State != verifier.StepNone {
			p.Steps = append(p.Steps, complaintStep{name, w["state_"+s.State], s.State})
		}
	}
	stated := statements(r.Events)
	for i := range r.Events {
		e := complaintPageEvent{pageEvent: newPageEvent(pageWords[lang], speak, &r.Events[i])}
		for _, s := range stated[verifier.Place{Epoch: r.Events[i].Epoch, Index: r.Events[i].Index}] {
			e.Further = append(e.Further, pageWords[lang]["later"]+" "+speak.Stated(s))
		}
		for _, code := range r.Entries[i].Proofs {
			e.Proven = append(e.Proven, speak.Complaint(code, &r.Events[i]))
		}
		for _, code := range r.Entries[i].Lacks {
			e.Missing = append(e.Missing, speak.Complaint(code, &r.Events[i]))
		}
		p.Events = append(p.Events, e)
	}
	for _, s := range r.Signers {
		p.Signers = append(p.Signers, fmt.Sprintf("%s: %d %s, %s %s, %s", words.Named(s.Body, s.Name), s.Events, w["events"], w["key"], s.Kid, keyBasis(lang, s)))
	}
	for _, code := range r.Lacks {
		p.Missing = append(p.Missing, speak.ComplaintFile(code, r))
	}
	return p
}

var complaintPageWords = map[string]map[string]string{
	"it": {
		"title": "Reclamo: che cosa prova il documento dell'interessato", "of": "Interessato",
		"proven": "PROVATO: tutto ciò che il documento mostra.", "not_proven": "NON PROVATO: qualcosa nel documento non è da credere.",
		"wrong": "Che cosa non va", "checked": "Che cosa è stato controllato", "event": "Evento", "is_proven": "Provato", "is_missing": "Non provato da questo documento, e a chi chiedere",
		"signers": "Chi ha firmato", "events": "eventi", "key": "chiave", "logs": "Registri", "entries": "voci", "witnesses": "testimoni", "monitors": "monitor",
		"missing": "Che cosa il documento non mostra", "notes": "Che cosa ne è detto all'interessato",
		"basis_operator": "registrata (voce %d/%d) sulla parola del gestore del registro", "basis_signed": "registrata (voce %d/%d) con la firma di una chiave precedente dell'ente",
		"warning":   "Questo documento è uno storico intero: chi lo possiede può riconoscere nel registro pubblico ogni evento futuro dell'interessato fino alla fine dell'anno. Per un reclamo basta un estratto degli eventi contestati.",
		"step_file": "Il documento è scritto come deve", "step_log": "Lo stato del registro è firmato con una chiave fidata", "step_witnesses": "L'hanno visto i testimoni e un monitor fra quelli fidati",
		"step_leaves": "Ciò che è mostrato è nel registro in quello stato", "step_time": "Lo stato è recente e gli anni si seguono", "step_lists": "Gli elenchi sono tutti, e dell'interessato",
		"step_complete": "In nessun elenco manca un evento", "step_events": "Ogni evento segue tutte le regole",
		"state_ok": "sì", "state_failed": "NO", "state_unknown": "non si è potuto controllare",
	},
	"en": {
		"title": "Complaint: what the citizen's file proves", "of": "Complainant",
		"proven": "PROVEN: everything that the file shows.", "not_proven": "NOT PROVEN: something in the file isn't to be believed.",
		"wrong": "What is wrong", "checked": "What was checked", "event": "Event", "is_proven": "Proven", "is_missing": "Not proven by this file, and whom to ask",
		"signers": "Who signed", "events": "events", "key": "key", "logs": "Logs", "entries": "entries", "witnesses": "witnesses", "monitors": "monitors",
		"missing": "What the file doesn't show", "notes": "What the citizen is told of it",
		"basis_operator": "registered (entry %d/%d) on the word of the ledger's operator", "basis_signed": "registered (entry %d/%d), signed by an earlier key of the body",
		"warning":   "This file is a whole history: whoever has it can recognise each further event of the citizen in the public log until the year ends. For a complaint an excerpt of the events complained of is enough.",
		"step_file": "The file is written as it has to be", "step_log": "A trusted key signed the state of the log", "step_witnesses": "Trusted witnesses and a monitor have seen it",
		"step_leaves": "What is shown is in the log in that state", "step_time": "The state is fresh, and the years follow on each other", "step_lists": "The lists are all there, and the citizen's",
		"step_complete": "No event is left out of any list", "step_events": "Each event follows every rule",
		"state_ok": "yes", "state_failed": "NO", "state_unknown": "couldn't be checked",
	},
}
