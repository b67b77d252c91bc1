// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/verifier"
)

// auditAnswer is the audit of a body. It holds no person's code, and no operator's unless asked.
type auditAnswer struct {
	cli.Verdict
	Period auditPeriod `json:"period"`
	Limits auditLimits `json:"limits"`
	*verifier.AuditReport
	Compared  auditCompared   `json:"compared"`
	Authority *auditAuthority `json:"authority,omitempty"` // nil but for an audit of all

	zone *time.Location // Period.Zone
}

// auditAuthority says what the authority's key came to.
type auditAuthority struct {
	Days     uint64 `json:"day_keys"`
	Live     uint64 `json:"private_kept_back"` // a token in them may still be good
	ByTerm   uint64 `json:"erased_by_term"`
	ByAsking uint64 `json:"erased_at_request"`
}

type auditPeriod struct {
	From string `json:"from,omitempty"` // days; absent: from the first of the lists
	To   string `json:"to,omitempty"`   // the last day; absent: that of the lists
	Zone string `json:"zone"`
}

// auditCompared says which files the body itself gave.
type auditCompared struct {
	Declared int  `json:"declared_purposes"`
	Watched  int  `json:"watch_list"`
	Answers  bool `json:"own_answers"`
	AllOf    bool `json:"own_answers_all"`
}

// auditLimits are thresholds as the report states them.
type auditLimits struct {
	Burst        int      `json:"burst"`
	BurstWindow  string   `json:"burst_window"`
	Hours        string   `json:"hours"`
	Saturday     bool     `json:"saturday"`
	Closed       []string `json:"closed"`
	OutOfHours   int      `json:"out_of_hours"`
	Many         int      `json:"many_operators"`
	ManyDays     int      `json:"many_operators_days"`
	NoCase       int      `json:"no_case"`
	OneOperator  float64  `json:"one_operator_share"`
	OneCase      float64  `json:"one_case_share"`
	LeastShared  int      `json:"least_calls_for_shares"`
	ShiftV       float64  `json:"purpose_shift_v"`
	LeastInShift int      `json:"least_accesses_for_shift"`
}

type auditFlags struct {
	agencyFlags
	body, from, to, zone, hours       string
	lists, closed                     []string
	saturday, showOperators           bool
	purposes, watch, records          string
	html, csv, register, lang, temp   string
	subject, answer, breach, affected string
	by                                verifier.AuditBreach
	limits                            verifier.AuditLimits
	source                            auditFetch
	all, authorityPassphrase          string
	authorityKeys                     []string
}

const auditLong = `audit looks at all that a body consulted in a period, for its data protection
officer: from the body's own lists, one file a year, which agency list --private
fetches. With --url, --key and --ledger it fetches them itself, or what is new; who
looks leaves a trace in the citizens' histories, once a month. It checks

  - that each list is complete, and each event right by every rule: signatures, keys
    in force at the time, decisions replayed by the policies of the time
  - the tokens in the private parts against the receipts, the consents that the body
    itself collected, and what the body declared of its purposes (--purposes)
  - what operators and case references say, if anything
  - what is unusual: bursts by an operator, calls out of hours, a citizen looked up
    by many, calls without a case, a sudden change of purposes, and the citizens of
    a watch list that you give (--watch)

and makes one report: text, --json, --html (a page to print) and --csv (every
occurrence). Each method and threshold is in the report and in docs/audit.md. The
same files give the same report, byte for byte.

Operators have pseudonyms unless --show-operators; citizens are never named but in
--answer and --affected.

Further documents from the same data:
  --register FILE                  an extract for the register of processing (Art. 30)
  --subject-file F --answer FILE   what was done with one citizen's data (Art. 15)
  --breach FILE [--affected FILE]  a draft for the notice of a breach (Art. 33): whose
                                   data, which, since when; --breach-operator and
                                   others say which accesses it is about

For the authority, --all audits every body, from the folder that ledgerd export
--authority wrote: each event is opened with --authority-key, without the operator,
or erased on a ground that is checked; both its tags recompute; a wrap that doesn't
open what it is beside is a finding. Then the same rules and methods, and a sum for
each body. --authority-key may be repeated, for keys that were in force before.

The verdict is about rules and what was declared. What is unusual isn't wrong by
itself, and doesn't change it.`

func auditCommand() *cobra.Command {
	f := auditFlags{limits: verifier.DefaultAuditLimits()}
	cmd := &cobra.Command{
		Use:   "audit (--body ID --list FILE | --all FOLDER --authority-key FILE) --policy FILE [--from DAY --to DAY]",
		Short: "Audit what a body consulted, for its DPO; or all bodies, for the authority",
		Long:  auditLong,
		Example: `  verifier audit --body c_a944 --list c_a944-2026.list --url https://registro.example --key c_a944.key \
    --ledger registro.example --policy policy.txt --html audit.html
  verifier audit --body c_a944 --list c_a944-2026.list --policy policy.txt --from 2026-01-01 --to 2026-06-30 \
    --purposes purposes.json --html audit.html --csv findings.csv
  verifier audit --body c_a944 --list c_a944-2026.list --policy policy.txt --subject-file who.txt --answer answer.html
  verifier audit --all for-the-garante --authority-key garante.key --policy policy.txt --html audit.html --csv findings.csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := f.run(cmd)
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	f.add(cmd)
	return cmd
}

func (f *auditFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.body, "body", "", "id of the body")
	flags.StringVar(&f.all, "all", "", "folder that ledgerd export --authority wrote: audit all bodies")
	flags.StringArrayVar(&f.authorityKeys, "authority-key", nil, "the authority's private key file, which opens what is in the folder; may be repeated")
	flags.StringVar(&f.authorityPassphrase, "authority-passphrase-file", "", "file with the passphrase of the authority's keys")
	flags.StringArrayVar(&f.lists, "list", nil, "file with a year of the body's list; may be repeated, year after year")
	flags.StringVar(&f.policy, "policy", "", "file with the keys of logs, witnesses and monitors that you trust")
	f.source.add(cmd)
	f.bundles.add(cmd)
	flags.StringVar(&f.seen, "seen", "", "file with the log indexes, or the answers, that the body's own calls got")
	flags.BoolVar(&f.seenIsAll, "seen-is-all", false, "the file of --seen has all of them, look-ups included")
	flags.StringVar(&f.from, "from", "", "first day, e.g. 2026-01-01")
	flags.StringVar(&f.to, "to", "", "last day")
	flags.StringVar(&f.zone, "zone", "Europe/Rome", "time zone of days and hours")
	flags.StringVar(&f.purposes, "purposes", "", "file with the purposes that the body declared (docs/audit.md)")
	flags.StringVar(&f.records, "records", "", "file of the body's own records of what others consulted of its data, where it runs a gateway")
	flags.StringVar(&f.watch, "watch", "", "file with citizens' codes to watch, one a line")
	flags.StringVar(&f.hours, "hours", "07:00-20:00", "working hours, Monday to Friday but for public holidays")
	flags.BoolVar(&f.saturday, "saturday", false, "Saturday is a working day")
	flags.StringArrayVar(&f.closed, "closed", nil, "a further holiday, 12-07 each year or 2026-12-07; may be repeated")
	flags.IntVar(&f.limits.Burst, "burst", f.limits.Burst, "calls of an operator in an hour that are not too many")
	flags.IntVar(&f.limits.OutOfHours, "out-of-hours", f.limits.OutOfHours, "calls of an operator out of hours from which they are told")
	flags.IntVar(&f.limits.Many, "many", f.limits.Many, "operators who looked at one citizen in 30 days, from which it is told")
	flags.IntVar(&f.limits.NoCase, "no-case", f.limits.NoCase, "calls of an operator without a case, from which they are told")
	flags.BoolVar(&f.showOperators, "show-operators", false, "name operators and case references in the report")
	flags.StringVar(&f.html, "html", "", "file for a page to print")
	flags.StringVar(&f.csv, "csv", "", "file for every occurrence of a finding, one a line")
	flags.StringVar(&f.register, "register", "", "file for the extract of the register, a page to print")
	flags.StringVar(&f.subject, "subject-file", "", "file with the code of one citizen, whom --answer is for")
	flags.StringVar(&f.answer, "answer", "", "file for the answer to that citizen, a page to print")
	flags.StringVar(&f.breach, "breach", "", "file for the draft of a breach's notice, a page to print")
	flags.StringVar(&f.affected, "affected", "", "file for the citizens whom the breach concerns, as CSV")
	flags.StringVar(&f.by.Operator, "breach-operator", "", "the breach is about accesses by the operator with this id")
	flags.StringVar(&f.by.PurposeID, "breach-purpose", "", "and with this purpose id")
	flags.StringVar(&f.by.EService, "breach-eservice", "", "and of this e-service")
	flags.StringVar(&f.by.Provider, "breach-provider", "", "and of data of this body")
	flags.StringVar(&f.lang, "lang", "it", "language of the pages: it or en")
	flags.StringVar(&f.temp, "temp", "", "directory to sort in; the system's if left out")
	cmd.MarkFlagRequired("policy")
	cmd.MarkFlagsOneRequired("body", "all")
	cmd.MarkFlagsRequiredTogether("body", "list")
	cmd.MarkFlagsRequiredTogether("all", "authority-key")
	for _, name := range []string{"body", "seen", "purposes", "records", "register", "answer", "breach", "url"} {
		cmd.MarkFlagsMutuallyExclusive("all", name) // they are about one body
	}
	cmd.MarkFlagDirname("all")
	cmd.MarkFlagFilename("authority-key", "key")
	cmd.MarkFlagsRequiredTogether("subject-file", "answer")
	cmd.MarkFlagDirname("temp")
}

// config checks the flags, and reads the small files.
func (f *auditFlags) config() (c verifier.AuditConfig, err error) {
	if f.all == "" {
		if err := cli.CheckID("--body", f.body); err != nil {
			return c, err
		}
	}
	if f.lang != "it" && f.lang != "en" {
		return c, cli.WrongFlag("--lang", "it or en", strconv.Quote(f.lang))
	}
	if f.breach == "" && (f.affected != "" || f.by != verifier.AuditBreach{}) {
		return c, cli.WrongFlag("--affected, --breach-…", "--breach beside them", "none")
	}
	if f.seenIsAll && f.seen == "" {
		return c, cli.WrongFlag("--seen-is-all", "--seen beside it", "none")
	}
	for name, n := range map[string]int{"--burst": f.limits.Burst, "--out-of-hours": f.limits.OutOfHours, "--many": f.limits.Many, "--no-case": f.limits.NoCase} {
		if n < 1 {
			return c, cli.WrongFlag(name, "1 or more", strconv.Itoa(n))
		}
	}
	c = verifier.AuditConfig{Body: f.body, All: f.all != "", Consents: rules.Consents, ShowOperators: f.showOperators, Limits: f.limits}
	if c.Zone, c.From, c.To, err = periodOf(f.from, f.to, f.zone); err != nil {
		return c, err
	}
	if c.Limits.Hours, err = f.workingHours(); err != nil {
		return c, err
	}
	if f.purposes != "" {
		text, err := cli.ReadFile(f.purposes, maxSubmission)
		if err != nil {
			return c, fmt.Errorf("couldn't read the declared purposes: %w", err)
		}
		if c.Declared, err = verifier.ParseAuditPurposes(text); err != nil {
			return c, cli.Usagef("--purposes %s: %w", f.purposes, err)
		}
		if c.Declared.Body != f.body {
			return c, cli.WrongFlag("--purposes", "those of "+f.body, "those of "+c.Declared.Body)
		}
	}
	if f.watch != "" {
		if c.Watched, err = readCodes(f.watch, "--watch"); err != nil {
			return c, err
		}
	}
	if f.subject != "" {
		codes, err := readCodes(f.subject, "--subject-file")
		if err != nil {
			return c, err
		}
		if len(codes) != 1 {
			return c, cli.WrongFlag("--subject-file", "the code of one citizen", strconv.Itoa(len(codes)))
		}
		c.Subject = codes[0]
	}
	if f.breach != "" {
		c.Breach = &f.by
	}
	return c, nil
}

// periodOf reads days as flags give them; to is the first instant behind the last.
func periodOf(first, last, name string) (zone *time.Location, from, to time.Time, err error) {
	if zone, err = time.LoadLocation(name); err != nil {
		return zone, from, to, cli.WrongFlag("--zone", "a name as Europe/Rome", strconv.Quote(name))
	}
	for _, day := range []struct {
		name, text string
		to         *time.Time
	}{{"--from", first, &from}, {"--to", last, &to}} {
		if day.text == "" {
			continue
		}
		if *day.to, err = time.ParseInLocation(time.DateOnly, day.text, zone); err != nil {
			return zone, from, to, cli.WrongFlag(day.name, "a day as 2026-11-22", strconv.Quote(day.text))
		}
	}
	if !to.IsZero() {
		to = to.AddDate(0, 0, 1)
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return zone, from, to, cli.WrongFlag("--to", "a day that isn't before --from", last)
	}
	return zone, from, to, nil
}

func (f *auditFlags) workingHours() (h verifier.AuditHours, err error) {
	h = verifier.AuditHours{Saturday: f.saturday, Closed: f.closed}
	opens, closes, _ := strings.Cut(f.hours, "-")
	for _, end := range []struct {
		text string
		to   *int
	}{{opens, &h.Opens}, {closes, &h.Closes}} {
		at, err := time.Parse("15:04", end.text)
		if err != nil && end.text != "24:00" {
			return h, cli.WrongFlag("--hours", "hours as 07:00-20:00", strconv.Quote(f.hours))
		}
		if *end.to = at.Hour()*60 + at.Minute(); end.text == "24:00" {
			*end.to = 24 * 60
		}
	}
	if err := h.Check(); err != nil {
		return h, cli.Usagef("--hours, --closed: %w", err)
	}
	return h, nil
}

// readCodes reads citizens' codes, one a line; blank lines and what follows # say nothing.
func readCodes(path, flag string) (codes []ledger.Subject, err error) {
	text, err := cli.ReadFile(path, maxAnswer)
	if err != nil {
		return nil, fmt.Errorf("couldn't read %s: %w", flag, err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		code, err := ledger.ParseSubject(line)
		if err != nil {
			return nil, cli.Usagef("%s %s, line %d: expected a citizen's code, 16 characters or 11 digits", flag, path, n)
		}
		codes = append(codes, code)
	}
	return codes, nil
}

func (f *auditFlags) run(cmd *cobra.Command) (*auditAnswer, error) {
	c, err := f.config()
	if err != nil {
		return nil, err
	}
	if err := f.source.fetch(cmd, &c, f.lists); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(f.temp, "traccia-audit-")
	if err != nil {
		return nil, fmt.Errorf("couldn't make a directory to sort in: %w", err)
	}
	defer os.RemoveAll(dir)
	c.NewSorter = func() (verifier.Sorter[verifier.AuditItem], error) {
		return newDiskSorter(audited, dir, sortedInMemory), nil
	}
	occurrences, err := newTable(f.csv, "class", "code", "origin", "index", "receipt", "occurred_at", "expected", "found")
	if err != nil {
		return nil, err
	}
	c.Each = func(class, code string, e verifier.AuditEvidence) error {
		return occurrences.add(class, code, e.Origin, fmt.Sprint(e.Index), e.Receipt, e.OccurredAt, e.Expected, e.Found)
	}
	people, err := newTable(f.affected, "citizen", "accesses", "first", "last")
	if err != nil {
		return nil, err
	}
	c.Affected = func(who ledger.Subject, p verifier.AuditAffected) error {
		return people.add(string(who), fmt.Sprint(p.Accesses), p.First.Format(time.RFC3339), p.Last.Format(time.RFC3339))
	}
	audit, err := verifier.NewAudit(c)
	if err != nil {
		return nil, err
	}
	defer audit.Close()
	var opened *auditAuthority
	if f.all != "" {
		opened, err = f.readAll(cmd, &c, audit)
	} else {
		err = f.read(cmd, audit)
	}
	if err != nil {
		return nil, err
	}
	if f.records != "" {
		if err := (reconcileFiles{cmd, nil}).lines(f.records, own.MaxLine, audit.Record); err != nil {
			return nil, err
		}
	}
	report, err := audit.Conclude()
	for _, t := range []*table{occurrences, people} {
		if err == nil {
			err = t.close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't conclude the audit: %w", err)
	}
	a := f.newAnswer(&c, report)
	a.Authority = opened
	return a, f.writePages(&c, a)
}

// read gives the lists to the audit, as the verifier judges them.
func (f *auditFlags) read(cmd *cobra.Command, audit *verifier.Audit) error {
	policy, err := readPolicy(f.policy)
	if err != nil {
		return err
	}
	bundles, err := f.bundles.read()
	if err != nil {
		return err
	}
	// How old a list is plays no part: the report says until when it is complete, and doesn't change from day to day.
	cfg := verifier.AgencyConfig{Policy: policy, Policies: bundles.find, AllSeen: f.seenIsAll}
	if f.seen != "" {
		seen, err := readSeen(f.seen)
		if err != nil {
			return err
		}
		cfg.Seen = seen.of
	}
	cfg.Each = func(e *verifier.ListedEvent) error {
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		return audit.Event(e)
	}
	var all int64
	for _, path := range f.lists {
		if info, err := os.Stat(path); err == nil {
			all += info.Size()
		}
	}
	bar := cli.NewProgress(cmd, "auditing", all)
	defer bar.Close()
	for _, path := range f.lists {
		file, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("couldn't read the list: %w", err)
		}
		r, err := verifier.Agency(&counted{file, bar}, cfg)
		file.Close()
		if err == nil {
			err = audit.List(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *auditFlags) newAnswer(c *verifier.AuditConfig, r *verifier.AuditReport) *auditAnswer {
	l := c.Limits
	a := &auditAnswer{
		AuditReport: r, Period: auditPeriod{f.from, f.to, f.zone}, zone: c.Zone,
		Limits: auditLimits{
			Burst: l.Burst, BurstWindow: l.BurstWindow.String(), Hours: f.hours, Saturday: f.saturday, Closed: orEmpty(f.closed), OutOfHours: l.OutOfHours,
			Many: l.Many, ManyDays: int(l.ManyWindow.Hours() / 24), NoCase: l.NoCase, OneOperator: l.OneOperator, OneCase: l.OneCase, LeastShared: l.LeastShared,
			ShiftV: l.ShiftV, LeastInShift: l.LeastInShift,
		},
		Compared: auditCompared{Watched: len(c.Watched), Answers: f.seen != "", AllOf: f.seenIsAll},
	}
	if c.Declared != nil {
		a.Compared.Declared = len(c.Declared.Purposes)
	}
	r.Special, r.Findings, r.Uses, r.Top = orEmpty(r.Special), orEmpty(r.Findings), orEmpty(r.Uses), orEmpty(r.Top)
	r.Lists, r.Names = orEmpty(r.Lists), orEmpty(r.Names)
	a.Verdict.Problems = r.Problems
	a.Result = cli.Unproven
	if r.Proven() {
		a.Result = cli.Proven
	}
	return a
}
