// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
	_ "time/tzdata" // --zone, on machines that have none

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/govway"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/verifier"
)

// reconcileAnswer is the verdict on a period's traces, tracing files and receipts. It holds no person's code.
type reconcileAnswer struct {
	cli.Verdict
	Period      reconcilePeriod            `json:"period"`
	Ledger      string                     `json:"ledger"`         // "list", "records" or ""
	Checked     bool                       `json:"ledger_checked"` // the list, here, by --policy
	Calls       uint64                     `json:"calls"`
	Receipts    uint64                     `json:"receipts"`
	Cohorts     uint64                     `json:"cohorts"` // records of aggregates
	Requests    uint64                     `json:"requests"`
	Comparisons []verifier.ReconcileCounts `json:"comparisons"`
	By          matchedBy                  `json:"matched_by"`
	NotReleased uint64                     `json:"not_released"`
	AboutNobody uint64                     `json:"about_nobody"`
	Undelivered uint64                     `json:"undelivered"` // receipts without a call, of which a statement says so
	Keyless     uint64                     `json:"without_key"`
	AtTheEdge   uint64                     `json:"at_the_edge"`
	Others      uint64                     `json:"other_events"`
	Unopened    uint64                     `json:"unopened"`
	BadLines    uint64                     `json:"bad_lines"`
	Found       uint64                     `json:"problems_found"` // problems has the first thousand, --csv all
	Notes       []string                   `json:"notes"`
}

type reconcilePeriod struct {
	From   string `json:"from,omitempty"` // days; absent: from the first
	To     string `json:"to,omitempty"`   // the last day
	Zone   string `json:"zone"`
	Window string `json:"window"`
}

type matchedBy struct {
	Receipt uint64 `json:"receipt"`
	Pair    uint64 `json:"pair"`
	Voucher uint64 `json:"voucher"`
}

type reconcileFlags struct {
	traces, tracing, submissions     []string
	records, list, policy, cohorts   string
	from, to, zone, csv, html, langs string
	temp                             string
	window                           time.Duration
	bundles                          bundleFlag
}

func reconcileCommand() *cobra.Command {
	var f reconcileFlags
	cmd := &cobra.Command{
		Use:   "reconcile [--traces FILE] [--tracing FILE] [--records FILE | --list FILE]",
		Short: "Compare a gateway's traces, PDND's tracing and the ledger",
		Long: `reconcile compares what three sources say of a body's calls in a period, two of
them at least:

  --traces   lines of a gateway: GovWay's topics request and response as they are
             shipped, or the topic traccia of docs/reconcile.md
  --tracing  the CSV files that the body filed with PDND
  --records  the party's own records of what the ledger acknowledged, with
             --submissions, what it submitted; or --list, the list of a body that
             agency list fetched
  --cohorts  beside those, what verifier statistics --json said of the same log: the
             public records of aggregates that the party gave out, or was given

It says which calls have no receipt, which receipts no call, and where the two or
the counts filed differ. Calls and receipts are matched by the receipt that the
answer carried, else by the pair of the call's tokens, else by its voucher.

A list is checked first if --policy is given, and else taken as verifier agency
checked it. Records are taken as they are: verifier provider checks them.

Files may have millions of lines: they are sorted on disk (--temp), in files that
only this process can open. The report names receipts, purposes, log indexes and
lines: no citizen, no operator and no token.`,
		Example: `  verifier reconcile --traces request.log --traces response.log --records own.ndjson \
    --submissions accesses.ndjson --from 2026-11-01 --to 2026-11-30 --html november.html
  verifier reconcile --traces traccia.log --tracing 2026-11-22.csv --list c_a944-2026.list --policy policy.txt --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := f.run(cmd)
			if err != nil {
				return err
			}
			if f.html != "" {
				if err := writeReconcilePage(f.html, f.langs, a); err != nil {
					return err
				}
			}
			return cli.Print(cmd, a)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.traces, "traces", nil, "file of a gateway's traces; may be repeated")
	flags.StringArrayVar(&f.tracing, "tracing", nil, "CSV file as filed with PDND's tracing; may be repeated")
	flags.StringVar(&f.records, "records", "", "file of the party's own records")
	flags.StringArrayVar(&f.submissions, "submissions", nil, "file of submissions, as agency submit takes it; may be repeated")
	flags.StringVar(&f.list, "list", "", "file with a body's list")
	flags.StringVar(&f.policy, "policy", "", "policy file to check the list with")
	flags.StringVar(&f.cohorts, "cohorts", "", "file with what verifier statistics --json said, for its aggregates")
	f.bundles.add(cmd)
	flags.StringVar(&f.from, "from", "", "first day, e.g. 2026-11-01")
	flags.StringVar(&f.to, "to", "", "last day")
	flags.StringVar(&f.zone, "zone", "Europe/Rome", "time zone of days")
	flags.DurationVar(&f.window, "window", 10*time.Minute, "how far apart a call and its receipt may be")
	flags.StringVar(&f.csv, "csv", "", "file for all findings, one a line")
	flags.StringVar(&f.html, "html", "", "file for a page to print")
	flags.StringVar(&f.langs, "lang", "it", "language of the page: it or en")
	flags.StringVar(&f.temp, "temp", "", "directory to sort in; the system's if left out")
	cmd.MarkFlagsMutuallyExclusive("records", "list")
	cmd.MarkFlagsMutuallyExclusive("submissions", "list")
	cmd.MarkFlagDirname("temp")
	return cmd
}

// config checks the flags.
func (f *reconcileFlags) config() (c verifier.ReconcileConfig, err error) {
	c = verifier.ReconcileConfig{
		Window: f.window, Traces: len(f.traces) > 0, Tracing: len(f.tracing) > 0, Ledger: f.records != "" || f.list != "", NoVouchers: f.list != "",
	}
	sources := 0
	for _, given := range []bool{c.Traces, c.Tracing, c.Ledger} {
		if given {
			sources++
		}
	}
	switch {
	case sources < 2:
		return c, cli.Usagef("expected two of --traces, --tracing, and --records or --list")
	case len(f.submissions) > 0 && f.records == "":
		return c, cli.WrongFlag("--submissions", "--records beside them", "none")
	case f.policy != "" && f.list == "":
		return c, cli.WrongFlag("--policy", "--list beside it (records are checked by verifier provider)", "none")
	case f.cohorts != "" && !c.Ledger:
		return c, cli.WrongFlag("--cohorts", "--records or --list beside it, which say whose aggregates they are", "none")
	case f.langs != "it" && f.langs != "en":
		return c, cli.WrongFlag("--lang", "it or en", strconv.Quote(f.langs))
	case f.window < 0:
		return c, cli.WrongFlag("--window", "a time of 0 or more", f.window.String())
	}
	c.Zone, c.From, c.To, err = periodOf(f.from, f.to, f.zone)
	return c, err
}

func (f *reconcileFlags) run(cmd *cobra.Command) (*reconcileAnswer, error) {
	c, err := f.config()
	if err != nil {
		return nil, err
	}
	a := &reconcileAnswer{Period: reconcilePeriod{f.from, f.to, f.zone, f.window.String()}}
	var problems []ledger.Problem
	if f.policy != "" {
		list, err := checkAgency(cmd, f.list, &agencyFlags{policy: f.policy, bundles: f.bundles})
		if err != nil {
			return nil, err
		}
		a.Checked, problems = true, list.Problems
		if len(problems) == 0 && !list.Complete {
			problems = append(problems, ledger.Problem{Code: "incomplete", Where: "list", Expected: "a complete list", Found: "another"})
		}
	}
	dir, err := os.MkdirTemp(f.temp, "traccia-reconcile-")
	if err != nil {
		return nil, fmt.Errorf("couldn't make a directory to sort in: %w", err)
	}
	defer os.RemoveAll(dir)
	c.NewSorter = func() (verifier.Sorter[verifier.ReconcileItem], error) {
		return newDiskSorter(reconciled, dir, sortedInMemory), nil
	}
	findings, err := newTable(f.csv, "code", "where", "expected", "found")
	if err != nil {
		return nil, err
	}
	c.Each = func(p ledger.Problem) error { return findings.add(p.Code, p.Where, p.Expected, p.Found) }
	var told *statisticsAnswer
	if f.cohorts != "" {
		if told, err = readStatistics(f.cohorts); err != nil {
			return nil, err
		}
	}
	r, err := verifier.NewReconciler(c)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := f.read(cmd, r, told); err != nil {
		return nil, err
	}
	report, err := r.Conclude()
	if err == nil {
		err = findings.close()
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't compare: %w", err)
	}
	a.fill(f, report, problems)
	return a, nil
}

// read gives all files to the comparison; told may be nil.
func (f *reconcileFlags) read(cmd *cobra.Command, r *verifier.Reconciler, told *statisticsAnswer) error {
	var all int64
	for _, path := range append(append(append([]string{f.records, f.list}, f.submissions...), f.traces...), f.tracing...) {
		if info, err := os.Stat(path); path != "" && err == nil {
			all += info.Size()
		}
	}
	bar := cli.NewProgress(cmd, "reading", all)
	defer bar.Close()
	in := reconcileFiles{cmd, bar}
	if f.list != "" {
		if err := in.list(f.list, r); err != nil {
			return err
		}
	}
	if f.records != "" {
		if err := in.lines(f.records, own.MaxLine, r.Record); err != nil {
			return err
		}
	}
	if told != nil {
		for n := range told.Cohorts {
			c, err := told.Cohorts[n].record()
			if err == nil {
				err = r.Cohort(told.Cohorts[n].Origin, told.Cohorts[n].Index, c)
			}
			if err != nil {
				return fmt.Errorf("%s: /cohorts/%d: %w", f.cohorts, n, err)
			}
		}
	}
	for n, path := range f.submissions {
		if err := in.lines(path, maxSubmission, func(line uint64, text []byte) error { return r.Submission(n, line, text) }); err != nil {
			return err
		}
	}
	for n, path := range f.traces {
		if err := in.lines(path, govway.MaxLine, func(line uint64, text []byte) error { return r.Trace(n, line, text) }); err != nil {
			return err
		}
	}
	for n, path := range f.tracing {
		var columns verifier.TracingColumns
		known := false
		err := in.lines(path, verifier.MaxTracingLine, func(line uint64, text []byte) error {
			text = bytes.TrimSuffix(text, []byte("\r"))
			if line > 1 && known {
				return r.Filed(n, line, text, columns)
			}
			if line == 1 {
				if columns, known = verifier.ParseTracingHeader(text); !known {
					return r.BadTracing(n)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// reconcileFiles reads files, and shows how far it is.
type reconcileFiles struct {
	cmd *cobra.Command
	bar *cli.Progress
}

// lines gives each line of a file without its end; one that is too long is cut, which no parser takes. Blank ones are passed over.
func (f reconcileFiles) lines(path string, most int, take func(line uint64, text []byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("couldn't read: %w", err)
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 1<<16)
	var text []byte
	for line := uint64(1); ; {
		piece, err := in.ReadSlice('\n')
		f.bar.Add(int64(len(piece)))
		if len(text) <= most {
			text = append(text, piece...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("couldn't read: %w", err)
		}
		if text = bytes.TrimSuffix(text, []byte("\n")); len(text) > 0 {
			if len(text) > most {
				text = text[:1]
			}
			if err := take(line, text); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
		line, text = line+1, text[:0]
		if line%4096 == 0 && f.cmd.Context().Err() != nil {
			return f.cmd.Context().Err()
		}
	}
}

func (f reconcileFiles) list(path string, r *verifier.Reconciler) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("couldn't read the list: %w", err)
	}
	defer file.Close()
	parts := history.NewAgencyReader(&counted{file, f.bar})
	for {
		p, err := parts.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = r.Listed(p)
		}
		if err != nil {
			return fmt.Errorf("couldn't read the list: %w", err)
		}
	}
}

func (a *reconcileAnswer) fill(f *reconcileFlags, r *verifier.ReconcileReport, problems []ledger.Problem) {
	a.Calls, a.Receipts, a.Cohorts, a.Requests, a.Comparisons = r.Calls, r.Receipts, r.Cohorts, r.Requests, r.Comparisons
	a.By = matchedBy{r.By.Receipt, r.By.Pair, r.By.Voucher}
	a.NotReleased, a.AboutNobody, a.Undelivered, a.Keyless, a.AtTheEdge, a.Others, a.Unopened, a.BadLines = r.NotReleased, r.AboutNobody, r.Undelivered, r.Keyless, r.AtTheEdge, r.Others, r.Unopened, r.BadLines
	a.Found = r.Found + uint64(len(problems))
	a.Notes, a.Problems = r.Notes, append(problems, r.Problems...)
	a.Comparisons = orEmpty(a.Comparisons)
	switch {
	case f.list != "":
		a.Ledger = "list"
		if !a.Checked {
			a.Notes = append(a.Notes, "The list is taken as it is (--policy): verifier agency says whether anything is left out of it.")
		}
	case f.records != "":
		a.Ledger = "records"
		a.Notes = append(a.Notes, "The records are taken as they are: verifier provider says whether the log agrees with them.")
		if len(f.submissions) == 0 {
			a.Notes = append(a.Notes, "Without --submissions, receipts are known by their id alone, and by the time of their answer.")
		}
	}
	switch {
	case f.cohorts != "":
		a.Notes = append(a.Notes, "The aggregates are taken as they are: verifier statistics says whether their records are right.")
	case a.Cohorts > 0:
		a.Notes = append(a.Notes, "Without --cohorts, aggregates are known by their id alone, and by the time of their answer.")
	}
	switch {
	case r.Incomparable:
		a.Result = cli.Unchecked
	case a.Found > 0:
		a.Result = cli.Unproven
	default:
		a.Result = cli.Proven
	}
}

// compared are the sources of a comparison, in words.
var compared = map[string]string{
	"traces-ledger": "calls of the gateway and receipts of the ledger", "traces-tracing": "calls of the gateway and requests filed with PDND",
	"ledger-tracing": "receipts of the ledger and requests filed with PDND",
}

// Text says the comparison to people.
func (a *reconcileAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "%d calls of the gateway, %d receipts of the ledger, %d requests filed with PDND\n", a.Calls, a.Receipts, a.Requests)
	if a.Cohorts > 0 {
		fmt.Fprintf(w, "%d aggregates of the ledger, which count as receipts do\n", a.Cohorts)
	}
	for _, c := range a.Comparisons {
		fmt.Fprintf(w, "\n%s:\n  %d matched", compared[c.Between], c.Matched)
		for _, n := range []struct {
			many uint64
			what string
		}{
			{c.MissingInLedger, "missing in the ledger"}, {c.MissingAtGateway, "missing at the gateway"}, {c.MissingInTracing, "missing in tracing"},
			{c.Differing, "differing"},
		} {
			if n.many > 0 {
				fmt.Fprintf(w, ", %d %s", n.many, n.what)
			}
		}
		fmt.Fprintln(w)
		if by := a.By; c.Between == "traces-ledger" && c.Matched > 0 {
			fmt.Fprintf(w, "  matched by receipt %d, by pair %d, by voucher alone %d\n", by.Receipt, by.Pair, by.Voucher)
		}
	}
	if a.BadLines > 0 {
		fmt.Fprintf(w, "%d lines couldn't be read\n", a.BadLines)
	}
	fmt.Fprintln(w, "\nNot proven by this:")
	for _, n := range a.Notes {
		fmt.Fprintf(w, "  - %s\n", n)
	}
	if more := a.Found - uint64(len(a.Problems)); more > 0 {
		fmt.Fprintf(w, "%d findings, of which %d follow: --csv has all\n", a.Found, len(a.Problems))
	}
}
