// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/export"
	"github.com/traccia-ledger/traccia/ledger/statistics"
	"github.com/traccia-ledger/traccia/verifier"
)

// statisticsAnswer is the verdict on the public totals of months.
type statisticsAnswer struct {
	cli.Verdict
	Logs   []countedLog   `json:"logs"`
	Months []countedMonth `json:"months"`
	Body   *ownCount      `json:"body,omitempty"`
	// Cohorts are the aggregates that bodies were given.
	Cohorts []toldCohort `json:"cohorts,omitempty"`

	one bool // month was asked for
}

type countedLog struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`
	Root   string `json:"root"`
	Events uint64 `json:"events"`
}

type countedMonth struct {
	Month   string             `json:"month"`
	Origin  string             `json:"origin"` // of the log whose events are counted
	From    uint64             `json:"from"`
	To      uint64             `json:"to"`
	Events  uint64             `json:"events"`
	Bodies  []statistics.Line  `json:"bodies"`
	Others  *statistics.Joined `json:"others,omitempty"`
	Told    string             `json:"told"`    // where the record stands
	Checked bool               `json:"checked"` // its leaves were read
}

// toldCohort is an aggregate, as its public record tells of it.
type toldCohort struct {
	ID         string   `json:"id"`
	Origin     string   `json:"origin"`
	Index      uint64   `json:"index"`
	Provider   string   `json:"provider"`
	Consumer   string   `json:"consumer"`
	EService   string   `json:"eservice"`
	PurposeID  string   `json:"purpose_id"`
	Purpose    string   `json:"purpose"`
	LegalBasis string   `json:"legal_basis"`
	Categories []string `json:"data_categories"`
	Method     string   `json:"method"` // of the call
	OccurredAt string   `json:"occurred_at"`
	Pair       string   `json:"pair"`    // of the call's tokens, as in receipts
	Size       int      `json:"size"`    // rounded down
	Minimum    int      `json:"minimum"` // that its provider gives out
	Policies   []string `json:"policies"`
	Replayed   bool     `json:"replayed"` // the decision was taken again by its policies
}

// ownCount is what a body counted itself.
type ownCount struct {
	ID     string `json:"id"`
	Events uint64 `json:"events"`
	OK     bool   `json:"ok"` // it goes together with the month's lines
}

type statisticsFlags struct {
	keyFile, month, body string
	events               int64
	bundles              bundleFlag
}

func statisticsCommand() *cobra.Command {
	var f statisticsFlags
	cmd := &cobra.Command{
		Use:   "statistics URL|FOLDER --key FILE",
		Short: "Check the public totals of each month",
		Long: `statistics reads the public logs of a ledger, or an export's, and compares the
totals that it publishes for each month with the leaves: the events between the
heads with which the month begins and ends, the lines that add up to them, none
that tells of fewer than ten events. It begins with the first year in the key
file, or the year of a URL such as https://registro.example/log/2026, and goes on
with each next year's log, whose key the year before announced.

It also tells of the aggregates that bodies were given: numbers about a group of
people and none of them, whose records are public. Their signatures are checked,
and the policies that decided on them where these are at hand (--bundle).

A body checks its own line: with --month, --body and --events it compares what it
counted itself among that month's leaves (from and to in the answer).

Not proven: that a line is that body's true number, which only the body can tell;
and what heads say of the index, which verifier monitor checks.`,
		Example: `  verifier statistics https://registro.example --key log.vkey
  verifier statistics traccia-2026 --key log.vkey --json
  verifier statistics https://registro.example --key log.vkey --month 2026-11 --body c_a944 --events 123`,
		Args: oneArgument("the URL of a ledger or log, or the folder of an export"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := checkStatistics(cmd, args[0], &f)
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	cmd.Flags().StringVar(&f.keyFile, "key", "", "file with the log's verifier key (log.vkey), one or more lines")
	cmd.Flags().StringVar(&f.month, "month", "", "this month alone, such as 2026-11")
	cmd.Flags().StringVar(&f.body, "body", "", "id of the body that counted its own events")
	cmd.Flags().Int64Var(&f.events, "events", 0, "how many it counted in the month")
	f.bundles.add(cmd)
	cmd.MarkFlagRequired("key")
	cmd.MarkFlagFilename("key", "vkey")
	cmd.MarkFlagsRequiredTogether("body", "events")
	return cmd
}

var monthForm = regexp.MustCompile(`^[0-9]{4}-(0[1-9]|1[0-2])$`)

func (f *statisticsFlags) check() error {
	switch {
	case f.month != "" && !monthForm.MatchString(f.month):
		return cli.WrongFlag("--month", "a month such as 2026-11", strconv.Quote(f.month))
	case f.body != "" && f.month == "":
		return cli.WrongFlag("--body", "--month beside it: a body compares one month at a time", "none")
	case f.body != "" && (ledger.CheckID(f.body) != nil || f.events < 0):
		return cli.Usagef("--body and --events: expected the id of a body, and how many events it counted")
	}
	return nil
}

func checkStatistics(cmd *cobra.Command, where string, f *statisticsFlags) (*statisticsAnswer, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	c, err := f.config(where)
	if err != nil {
		return nil, err
	}
	found, err := f.bundles.read()
	if err != nil {
		return nil, err
	}
	c.Policies = found.find
	progress := cli.NewProgress(cmd, "reading leaves", 0)
	defer progress.Close()
	c.Read = func(n int) { progress.Add(int64(n)) }
	report, err := verifier.Statistics(cmd.Context(), *c)
	if err != nil {
		return nil, fmt.Errorf("couldn't check %s: %w", where, err)
	}
	a := &statisticsAnswer{Logs: []countedLog{}, Months: []countedMonth{}, one: f.month != ""}
	a.Problems = report.Problems
	for _, l := range report.Logs {
		a.Logs = append(a.Logs, countedLog{l.Origin, l.Size, hex.EncodeToString(l.Root[:]), l.Events})
	}
	checked := 0
	for _, m := range report.Months {
		if m.Checked {
			checked++
		}
		a.Months = append(a.Months, countedMonth{m.Month, m.Origin, m.From, m.To, m.Events, orEmpty(m.Bodies), m.Others, m.Told, m.Checked})
		if f.body != "" {
			p := m.Own(f.body, uint64(f.events))
			if a.Body = (&ownCount{f.body, uint64(f.events), p == nil}); p != nil {
				a.Problems = append(a.Problems, *p)
			}
		}
	}
	for _, t := range report.Cohorts {
		a.Cohorts = append(a.Cohorts, toldCohort{
			t.ID(), t.Origin, t.Index, t.Provider, t.Consumer, t.EService, t.PurposeID, t.Purpose, t.LegalBasis, t.DataCategories, t.Operation.Method, t.OccurredAt,
			hex.EncodeToString(t.Pair[:]), t.Size, t.Minimum,
			orEmpty(t.Decision.Policies), t.Replayed,
		})
	}
	switch {
	case len(a.Problems) > 0:
		a.Result = cli.Unproven
	case checked > 0:
		a.Result = cli.Proven
	default:
		a.Result = cli.Unchecked // no month is over, or none whose leaves could be read
	}
	return a, nil
}

// config takes the URL of a ledger or of one log, or a folder.
func (f *statisticsFlags) config(where string) (*verifier.StatisticsConfig, error) {
	if !strings.Contains(where, "://") {
		return f.folder(where)
	}
	l, err := parseLedger(where, f.keyFile)
	if err != nil {
		return nil, err
	}
	first := l.epoch
	for epoch := range l.keys {
		if !l.one {
			first = min(first, epoch)
		}
	}
	return &verifier.StatisticsConfig{
		Origin: l.keys[first][0].Name(), Logs: l.all(), Month: f.month, Year: func(epoch uint32) checkpoint.Fetcher { return l.year(epoch) },
	}, nil
}

// folder reads an export, whose logs begin with the first for which there is a key.
func (f *statisticsFlags) folder(where string) (*verifier.StatisticsConfig, error) {
	logs, err := readKeys(f.keyFile)
	if err != nil {
		return nil, err
	}
	year := func(epoch uint32) string { return filepath.Join(where, filepath.FromSlash(export.LogPath(epoch))) }
	c := &verifier.StatisticsConfig{Logs: logs, Month: f.month, Year: func(epoch uint32) checkpoint.Fetcher { return checkpoint.FS{FS: os.DirFS(year(epoch))} }}
	first := uint32(0)
	for _, l := range logs {
		_, epoch, err := ledger.ParseOrigin(l.Name())
		if err != nil {
			continue
		}
		if _, missing := os.Stat(year(epoch)); errors.Is(missing, fs.ErrNotExist) {
			continue
		}
		if c.Origin == "" || epoch < first {
			c.Origin, first = l.Name(), epoch
		}
	}
	if c.Origin == "" {
		return nil, cli.Usagef("%s holds no log for which --key %s has a key", where, f.keyFile)
	}
	return c, nil
}

// Text says the totals to people.
func (a *statisticsAnswer) Text(w io.Writer) {
	for _, l := range a.Logs {
		fmt.Fprintf(w, "%s: %s read, %d events\n", l.Origin, plural64(l.Size), l.Events)
	}
	if len(a.Months) == 0 {
		fmt.Fprintln(w, "No month is told.")
	}
	for _, m := range a.Months {
		others := ""
		if o := m.Others; o != nil {
			others = fmt.Sprintf(", and %d joined with %d", o.Bodies, o.Events)
		}
		note := ""
		if !m.Checked {
			note = " (its leaves weren't read)"
		}
		fmt.Fprintf(w, "%s  %s events, %d bodies with a line%s%s\n", m.Month, strconv.FormatUint(m.Events, 10), len(m.Bodies), others, note)
		if !a.one {
			continue
		}
		fmt.Fprintf(w, "  leaves %d to %d of %s, told at %s\n", m.From, m.To, m.Origin, m.Told)
		for _, l := range m.Bodies {
			fmt.Fprintf(w, "  %-64s %d\n", l.ID, l.Events)
		}
	}
	for _, c := range a.Cohorts {
		fmt.Fprintf(w, "%s  %s was given an aggregate by %s about %d people or more: %s (leaf %d of %s)\n", c.OccurredAt, c.Consumer, c.Provider, c.Size, c.Purpose, c.Index, c.Origin)
	}
	if b := a.Body; b != nil && b.OK {
		fmt.Fprintf(w, "%d events of %s go together with this.\n", b.Events, b.ID)
	}
}
