// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/words"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/verifier"
)

// historyAnswer is the verdict on a citizen's bundle. It holds no person's code.
type historyAnswer struct {
	cli.Verdict
	Complete      bool                    `json:"complete"`
	CompleteUntil string                  `json:"complete_until,omitempty"` // only if every rule holds
	Stale         bool                    `json:"stale"`
	Excerpt       bool                    `json:"excerpt"`
	Scopes        int                     `json:"scopes"` // lists of the last year
	Events        []verifier.HistoryEvent `json:"events"`
	Missing       []string                `json:"missing"`
	Notes         []string                `json:"notes"`
	Lists         []verifier.HistoryScope `json:"lists"`
	Consents      []ledger.ConsentSummary `json:"consents"` // what the events in +consent come to
	Logs          []verifier.HistoryShard `json:"logs"`
	Warning       string                  `json:"warning,omitempty"`

	file   string
	report *verifier.HistoryReport
}

const wholeWarning = "Whoever has this file can recognise each further event of its citizen in the public log until the year ends. Show an excerpt instead (--excerpt)."

type historyFlags struct {
	policy, html, lang, excerpt, out string
	bundles                          bundleFlag
}

func historyCommand() *cobra.Command {
	var f historyFlags
	cmd := &cobra.Command{
		Use:   "history FILE --policy FILE",
		Short: "Check a citizen's history, offline: is the list complete?",
		Long: `history checks the file that ledgerd history wrote for a citizen, without asking the
ledger: who consulted their data, when, why, on what legal basis, and whether the
list is complete. It says COMPLETE up to an instant only if

  - as many of the policy's witnesses as it asks for, and one of its monitors,
    cosigned the state of the ledger that the file shows
  - the file has a list for each scope that the ledger states, made with the
    citizen's key, with no event left out between or after those shown
  - each event is opened and right by every rule of docs/formats.md section 5, or
    erased on a ground that is checked

and otherwise exactly what is missing. The policy names the log's key, witnesses
and monitors; get it once, from a place you trust, and keep it. docs/history.md
describes the file.

WARNING: whoever has a whole history can recognise each further event of its
citizen in the public log until the year ends. Don't give it away: --excerpt
writes a file of chosen events alone, by the numbers after "event".`,
		Example: `  verifier history mine.history --policy policy.txt
  verifier history mine.history --policy policy.txt --html mine.html --lang en
  verifier history mine.history --policy policy.txt --excerpt 2026/12,2026/40 --out to-show.history`,
		Args: oneArgument("the file with the history"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := checkHistory(args[0], &f)
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	f.addTo(cmd)
	cmd.Flags().StringVar(&f.excerpt, "excerpt", "", "events to put into a file to show to others: YEAR/INDEX, …")
	cmd.Flags().StringVar(&f.out, "out", "", "where --excerpt writes that file")
	cmd.MarkFlagsRequiredTogether("excerpt", "out")
	return cmd
}

// addTo adds the flags of every command that reads a citizen's file.
func (f *historyFlags) addTo(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.policy, "policy", "", "file with the keys of log, witnesses and monitors that you trust")
	f.bundles.add(cmd)
	cmd.Flags().StringVar(&f.html, "html", "", "also write a page to read and print, which needs nothing else")
	cmd.Flags().StringVar(&f.lang, "lang", "it", "language of the page: it or en")
	cmd.MarkFlagRequired("policy")
	cmd.MarkFlagFilename("policy", "txt")
}

// read reads the file, the policy, and the rules with the policies at hand.
func (f *historyFlags) read(file string) (policy *checkpoint.Policy, data []byte, with verifier.Rules, err error) {
	if f.lang != "it" && f.lang != "en" {
		return nil, nil, with, cli.WrongFlag("--lang", "it or en", strconv.Quote(f.lang))
	}
	if policy, err = readPolicy(f.policy); err != nil {
		return nil, nil, with, err
	}
	data, err = cli.ReadFile(file, history.MaxFile)
	if err != nil {
		return nil, nil, with, fmt.Errorf("couldn't read the history: %w", err)
	}
	found, err := f.bundles.read()
	if err != nil {
		return nil, nil, with, err
	}
	with = rules
	with.Policies = found.find
	return policy, data, with, nil
}

func checkHistory(file string, f *historyFlags) (*historyAnswer, error) {
	policy, data, rules, err := f.read(file)
	if err != nil {
		return nil, err
	}
	a := newHistoryAnswer(file, verifier.History(data, policy, time.Now(), rules))
	if f.html != "" && a.report.Malformed == nil {
		if err := writePage(f.html, f.lang, a.report); err != nil {
			return nil, err
		}
	}
	if f.excerpt != "" && a.report.Malformed == nil {
		if err := writeExcerpt(data, f); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func newHistoryAnswer(file string, r *verifier.HistoryReport) *historyAnswer {
	a := &historyAnswer{
		file: file, report: r, Complete: r.Complete, Stale: r.Stale, Excerpt: r.Excerpt,
		Events: orEmpty(r.Events), Missing: r.Missing("en"), Notes: r.Notes("en"), Lists: orEmpty(r.Scopes), Consents: orEmpty(r.Consents), Logs: orEmpty(r.Shards),
	}
	a.Problems = r.Problems
	if r.Malformed != nil {
		a.Problems = []ledger.Problem{*r.Malformed}
		a.Missing = []string{"This is no history of a ledger."}
	}
	a.Result = cli.Unproven
	if r.Proven() {
		a.Result = cli.Proven
	}
	if !r.CompleteUntil.IsZero() {
		a.CompleteUntil = instant(r.CompleteUntil)
	}
	for _, s := range r.Scopes {
		if s.Epoch == r.Scopes[len(r.Scopes)-1].Epoch {
			a.Scopes++
		}
	}
	if r.Malformed == nil && !r.Excerpt {
		a.Warning = wholeWarning
	}
	return a
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// writeExcerpt writes the file that is fit to be shown. What is wrong with the whole is wrong with it too.
func writeExcerpt(data []byte, f *historyFlags) error {
	b, err := history.Parse(data)
	if err != nil {
		return err
	}
	chosen := map[uint32][]uint64{}
	for word := range strings.SplitSeq(f.excerpt, ",") {
		year, at, found := strings.Cut(strings.TrimSpace(word), "/")
		epoch, err := strconv.ParseUint(year, 10, 32)
		index, wrong := strconv.ParseUint(at, 10, 64)
		if !found || err != nil || wrong != nil {
			return cli.WrongFlag("--excerpt", "YEAR/INDEX, …", strconv.Quote(word))
		}
		chosen[uint32(epoch)] = append(chosen[uint32(epoch)], index)
	}
	x, err := b.Choose(chosen)
	if err != nil {
		return cli.Usagef("--excerpt: %w", err)
	}
	file, err := history.Format(x)
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.out, file, 0o600); err != nil {
		return fmt.Errorf("couldn't write the excerpt: %w", err)
	}
	return nil
}

// Text says the history to people.
func (a *historyAnswer) Text(w io.Writer) {
	r := a.report
	if r.Malformed != nil {
		fmt.Fprintf(w, "%s is no history of a ledger.\n", a.file)
		return
	}
	if len(r.Events) == 0 {
		fmt.Fprintln(w, "Nobody is recorded to have consulted your data.")
	}
	stated := statements(r.Events)
	for i := range r.Events {
		printEvent(w, &r.Events[i], stated[verifier.Place{Epoch: r.Events[i].Epoch, Index: r.Events[i].Index}])
	}
	fmt.Fprintln(w)
	switch {
	case a.Excerpt && a.Result == cli.Proven:
		fmt.Fprintln(w, "EXCERPT: the events above took place. Nothing is said of others.")
	case a.Complete:
		fmt.Fprintf(w, "COMPLETE up to %s: nothing is left out of %d lists.\n", a.CompleteUntil, a.Scopes)
	case a.Stale && a.CompleteUntil != "":
		fmt.Fprintf(w, "STALE: nothing is left out up to %s, but that is too long ago. Ask for a new file.\n", a.CompleteUntil)
	default:
		fmt.Fprintln(w, "NOT COMPLETE:")
		for _, m := range a.Missing {
			fmt.Fprintf(w, "  - %s\n", m)
		}
	}
	printLogs(w, r.Shards)
	fmt.Fprintln(w)
	if !a.Excerpt {
		printConsents(w, r)
		printLists(w, r.Scopes)
	}
	fmt.Fprintln(w, "Not proven by this file:")
	for _, n := range a.Notes {
		fmt.Fprintf(w, "  - %s\n", n)
	}
	if a.Warning != "" {
		fmt.Fprintf(w, "\nWARNING: %s\n", a.Warning)
	}
}

func printLogs(w io.Writer, shards []verifier.HistoryShard) {
	for _, s := range shards {
		fmt.Fprintf(w, "%s: %d entries, seen by witnesses %s, by monitors %s\n", s.Origin, s.Size, names(s.Witnesses), names(s.Monitors))
		if s.KeyFrom != "" {
			fmt.Fprintf(w, "  its key isn't in your policy: %s announced it\n", s.KeyFrom)
		}
	}
}

func names(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// statements finds what is stated of each event.
func statements(events []verifier.HistoryEvent) map[verifier.Place][]*verifier.HistoryEvent {
	of := map[verifier.Place][]*verifier.HistoryEvent{}
	for i := range events {
		if about := events[i].About; about != nil {
			of[*about] = append(of[*about], &events[i])
		}
	}
	return of
}

// statedWords says what a body states of an access.
func statedWords(e *verifier.HistoryEvent) string {
	about := "receipt " + e.Receipt
	if e.About != nil {
		about = "event " + words.Place(*e.About)
	}
	says := map[string]string{
		ledger.StatementError:       " says that it recorded %s in error",
		ledger.StatementUndelivered: " says that nothing was released of %s",
		ledger.StatementNotAsked:    " says that it did not ask for %s",
	}[e.Statement]
	text := words.Named(e.Issuer, e.IssuerName) + fmt.Sprintf(says, about)
	if e.Text != "" {
		text += ": \u201c" + e.Text + "\u201d"
	}
	return text + fmt.Sprintf(" (event %d/%d)", e.Epoch, e.Index)
}

func printEvent(w io.Writer, e *verifier.HistoryEvent, stated []*verifier.HistoryEvent) {
	when := e.OccurredAt
	if e.State != verifier.StateOpen {
		when = strings.ToUpper(e.State)
	}
	switch e.State {
	case verifier.StateOpen, verifier.StateUnexplained:
		fmt.Fprintf(w, "%-21s %s\n", when, what(e))
		if e.Purpose != "" {
			speak := words.In("en", pageTime)
			basis := speak.Basis(e.LegalBasis).Label
			fmt.Fprintf(w, "%-21s why: %s; legal basis: %s\n", "", speak.Purpose(e.Purpose).Label, strings.TrimSuffix(basis+", "+e.LegalReference, ", "))
			what := make([]string, len(e.DataCategories))
			for i, c := range e.DataCategories {
				what[i] = speak.Category(c).Label
			}
			fmt.Fprintf(w, "%-21s data: %s\n", "", strings.Join(what, ", "))
			fmt.Fprintf(w, "%-21s %s\n", "", signatures(e))
		}
		if g := e.BreakGlass; g != nil {
			fmt.Fprintf(w, "%-21s BREAK-GLASS: released before it was recorded, while the ledger was down (session %s, number %d)\n", "", g.Session, g.Number)
		}
		for _, line := range decided(e) {
			fmt.Fprintf(w, "%-21s %s\n", "", line)
		}
		if d := e.Deferred; d != nil {
			fmt.Fprintf(w, "%-21s notice deferred until %s by order %s, signed by %s\n", "", d.Until, d.Reference, words.Named(d.By, d.Name))
		}
		for _, s := range stated {
			fmt.Fprintf(w, "%-21s LATER: %s\n", "", statedWords(s))
		}
	case verifier.StateErased:
		ground := "its term of retention is over"
		if e.Ground == "request" {
			ground = "on a request that you are said to have made, see below and event " + words.Place(*e.Request)
		}
		fmt.Fprintf(w, "%-21s its content was erased: %s\n", when, ground)
	default:
		fmt.Fprintf(w, "%-21s its content isn't shown, without a ground\n", when)
	}
	fmt.Fprintf(w, "%-21s event %d/%d, list %s", "", e.Epoch, e.Index, e.Scope)
	if e.Number != nil {
		fmt.Fprintf(w, ", number %d", *e.Number)
	}
	fmt.Fprintln(w)
}

// decided says by which policies an access was allowed or refused.
func decided(e *verifier.HistoryEvent) (lines []string) {
	verb := map[string]string{ledger.EffectAllow: "allowed by", ledger.EffectDeny: "refused by"}[e.Effect]
	if verb == "" {
		return nil
	}
	if len(e.Policies) == 0 {
		return []string{"refused, because no policy allows it"}
	}
	if len(e.Grounds) == 0 {
		return []string{verb + " " + strings.Join(e.Policies, ", ")}
	}
	for _, g := range e.Grounds {
		lines = append(lines, fmt.Sprintf("%s %s (%s): %s", verb, g.Policy, g.Reference, g.En))
	}
	return lines
}

// what says who did what.
func what(e *verifier.HistoryEvent) string {
	who, whose := words.Named(e.Agency, e.Name), words.Named(e.Provider, e.ProviderName)
	switch e.Kind {
	case ledger.KindAccess:
		return fmt.Sprintf("%s consulted data of %s", who, whose)
	case ledger.KindDenied:
		if e.BreakGlass != nil {
			return fmt.Sprintf("%s was GIVEN data of %s in an emergency; the policies, asked afterwards, refuse it", who, whose)
		}
		return fmt.Sprintf("%s asked for data of %s and was refused", who, whose)
	case ledger.KindCorrection, ledger.KindDispute, ledger.KindUndelivered:
		return statedWords(e)
	case ledger.KindRequest:
		return "you made a request, by way of " + who
	case ledger.KindLookUp:
		if e.Mandate != "" {
			return who + " showed your list to who acts for you, under mandate " + e.Mandate
		}
		return who + " looked into this ledger"
	}
	if about := words.In("en", pageTime).Consent(e.Kind, who); about != "" {
		return about
	}
	return "an event that nothing explains"
}

// signatures says whose word an event is.
func signatures(e *verifier.HistoryEvent) string {
	text := "signed by " + e.Issuer + " alone"
	switch {
	case e.Partner != nil:
		text = fmt.Sprintf("signed by %s; the other side signed too, see event %d/%d", e.Issuer, e.Epoch, *e.Partner)
	case e.Kind != ledger.KindAccess && e.Kind != ledger.KindDenied, e.Issuer == e.Agency && e.Issuer == e.Provider:
	case e.Issuer == e.Agency:
		text = "signed by who consulted (" + e.Issuer + "), not by the holder of the data"
	default:
		text = "signed by the holder's side (" + e.Issuer + "), not by who consulted"
	}
	if e.Key == "operator" {
		text += "; that the key is theirs is the ledger operator's word"
	}
	return text
}

func printLists(w io.Writer, scopes []verifier.HistoryScope) {
	fmt.Fprintln(w, "Lists:")
	for _, s := range scopes {
		state := "declared, not checked"
		switch {
		case s.Withheld:
			state = "not shown yet"
		case !s.Attested.IsZero():
			state = "checked by its party, which signed that up to " + instant(s.Attested)
		case !s.Alarm.IsZero():
			state = "NOT AS ITS PARTY RECORDED IT, as it signed, up to " + instant(s.Alarm)
		case s.Scope[0] == '+':
			state = "kept by the ledger itself"
		}
		fmt.Fprintf(w, "  %d %-20s %d events, %s\n", s.Epoch, s.Scope, s.Events, state)
	}
	fmt.Fprintln(w)
}
