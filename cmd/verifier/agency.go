// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/verifier"
)

// agencyAnswer is the verdict on a body's list. It holds no person's code.
type agencyAnswer struct {
	cli.Verdict
	Body          string                 `json:"body"`
	Origin        string                 `json:"origin"`
	Complete      bool                   `json:"complete"`
	CompleteUntil string                 `json:"complete_until,omitempty"` // only if every rule holds
	Stale         bool                   `json:"stale"`
	Events        uint64                 `json:"events"`
	Open          uint64                 `json:"open"`
	Erased        uint64                 `json:"erased"`
	Withheld      uint64                 `json:"withheld"`
	Unexplained   uint64                 `json:"unexplained"`
	Paired        uint64                 `json:"paired"`      // accesses that both sides signed
	ByHolder      uint64                 `json:"by_holder"`   // that the holder's side alone signed
	Reported      uint64                 `json:"reported"`    // that the body alone signed
	Compared      uint64                 `json:"compared"`    // entries of --seen that are in the list
	Later         uint64                 `json:"later"`       // entries of --seen that are of after the list
	NotItsOwn     uint64                 `json:"not_its_own"` // events in the body's name that aren't in --seen
	Foreign       []verifier.AgencyEvent `json:"not_its_own_events"`
	Found         uint64                 `json:"problems_found"` // problems has the first thousand
	Missing       []string               `json:"missing"`
	Notes         []string               `json:"notes"`
	Log           *verifier.HistoryShard `json:"log,omitempty"`

	file string
}

type agencyFlags struct {
	policy, seen        string
	seenIsAll, noBodies bool
	bundles             bundleFlag
}

func agencyCommand() *cobra.Command {
	var f agencyFlags
	cmd := &cobra.Command{
		Use:   "agency FILE --policy FILE",
		Short: "Check a body's own list, offline: is it complete, and is it the body's?",
		Long: `agency checks the file that agency list fetched for a body, without asking the
ledger: all that is recorded in the body's name in one year. It says COMPLETE up to
an instant only if

  - as many of the policy's witnesses as it asks for, and one of its monitors,
    cosigned the states of the ledger that the file shows
  - the numbers 0, 1, 2 … of the body's events are all there, each at its entry of
    the log, and the next one is proven to be absent
  - each event is opened and right by every rule of docs/formats.md section 5, or
    erased on a ground that is checked

and otherwise what is missing. A file of agency list --proofs-only opens nothing:
with --proofs-only here too, that isn't held against it.

--seen gives what the body itself was answered with: a file of log indexes, one a
line, or of the ledger's answers (the files of agency submit --receipts, one behind
the other), or both. Each has to be in the list: an access that the ledger hid
under another body's tag shows only so. With --seen-is-all, which says that the
file has everything of that year, each event that isn't in it is shown as what it
is: an entry in your name that you did not make.

The file may be of any size; it is read in parts.`,
		Example: `  verifier agency c_a944-2026.list --policy policy.txt
  cat receipts/*.json > answers.ndjson
  verifier agency c_a944-2026.list --policy policy.txt --seen answers.ndjson --seen-is-all`,
		Args: oneArgument("the file with the list"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := checkAgency(cmd, args[0], &f)
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	cmd.Flags().StringVar(&f.policy, "policy", "", "file with the keys of log, witnesses and monitors that you trust")
	f.bundles.add(cmd)
	cmd.Flags().StringVar(&f.seen, "seen", "", "file with the log indexes, or the answers, that the body's own calls got")
	cmd.Flags().BoolVar(&f.seenIsAll, "seen-is-all", false, "the file of --seen has all of them, look-ups included")
	cmd.Flags().BoolVar(&f.noBodies, "proofs-only", false, "the list was fetched without the events' content")
	cmd.MarkFlagRequired("policy")
	cmd.MarkFlagFilename("policy", "txt")
	return cmd
}

func checkAgency(cmd *cobra.Command, path string, f *agencyFlags) (*agencyAnswer, error) {
	if f.seenIsAll && f.seen == "" {
		return nil, cli.WrongFlag("--seen-is-all", "--seen beside it", "none")
	}
	text, err := cli.ReadFile(f.policy, maxKeys)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the policy: %w", err)
	}
	policy, err := checkpoint.ParsePolicy(text)
	if err != nil {
		return nil, cli.Usagef("--policy %s: %w", f.policy, err)
	}
	bundles, err := f.bundles.read()
	if err != nil {
		return nil, err
	}
	cfg := verifier.AgencyConfig{Policy: policy, Now: time.Now(), Policies: bundles.find, ProofsOnly: f.noBodies, AllSeen: f.seenIsAll}
	if f.seen != "" {
		seen, err := readSeen(f.seen)
		if err != nil {
			return nil, err
		}
		cfg.Seen = seen.of
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the list: %w", err)
	}
	defer file.Close()
	var size int64
	if info, err := file.Stat(); err == nil {
		size = info.Size()
	}
	bar := cli.NewProgress(cmd, "checking", size)
	r, err := verifier.Agency(&counted{file, bar}, cfg)
	bar.Close()
	if err != nil {
		return nil, err
	}
	return newAgencyAnswer(path, r), nil
}

// counted is a file whose reading a bar shows.
type counted struct {
	io.Reader
	bar *cli.Progress
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.bar.Add(int64(n))
	return n, err
}

func newAgencyAnswer(path string, r *verifier.AgencyReport) *agencyAnswer {
	a := &agencyAnswer{
		file: path, Body: r.Agency, Origin: r.Origin, Complete: r.Complete, Stale: r.Stale, Events: r.Events, Open: r.Open,
		Erased: r.Erased, Withheld: r.Withheld, Unexplained: r.Unexplained, Paired: r.Paired, ByHolder: r.ByHolder, Reported: r.Reported, Compared: r.Compared, Later: r.Later,
		NotItsOwn: r.Foreign, Foreign: orEmpty(r.ForeignEvents), Found: r.Found, Missing: orEmpty(r.Missing), Notes: orEmpty(r.Notes),
	}
	a.Problems = r.Problems
	if r.Malformed != nil {
		a.Problems = append([]ledger.Problem{*r.Malformed}, r.Problems...)
		a.Missing = append([]string{"The file isn't a whole list: fetch it again, or go on with it."}, a.Missing...)
		a.Found++
	}
	a.Result = cli.Unproven
	if r.Proven() {
		a.Result = cli.Proven
	}
	if !r.CompleteUntil.IsZero() {
		a.CompleteUntil = instant(r.CompleteUntil)
	}
	if r.Parts > 0 {
		a.Log = &r.Log
	}
	return a
}

// listedLines is how many events that a body didn't make are said to people.
const listedLines = 20

// Text says the list to people.
func (a *agencyAnswer) Text(w io.Writer) {
	if a.Body == "" {
		fmt.Fprintf(w, "%s is no list of a body.\n", a.file)
		return
	}
	fmt.Fprintf(w, "%s in %s: %d events", a.Body, a.Origin, a.Events)
	for _, s := range []struct {
		n    uint64
		what string
	}{{a.Open, "opened"}, {a.Erased, "erased"}, {a.Withheld, "not opened"}, {a.Unexplained, "breaking a rule"}} {
		if s.n > 0 {
			fmt.Fprintf(w, ", %d %s", s.n, s.what)
		}
	}
	fmt.Fprintln(w)
	if a.Paired+a.ByHolder+a.Reported > 0 {
		fmt.Fprintf(w, "accesses signed by both sides: %d; by the holder of the data alone: %d; by %s alone: %d\n", a.Paired, a.ByHolder, a.Body, a.Reported)
	}
	if a.Compared+a.Later > 0 {
		fmt.Fprintf(w, "%d entries that you were answered with are in it, %d are later\n", a.Compared, a.Later)
	}
	if a.NotItsOwn > 0 {
		fmt.Fprintf(w, "%d entries in your name that you did not make:\n", a.NotItsOwn)
	}
	for n, e := range a.Foreign {
		if n == listedLines {
			fmt.Fprintf(w, "  and %d more, see --json\n", a.NotItsOwn-listedLines)
			break
		}
		fmt.Fprintf(w, "  number %d, entry %d: %s\n", e.Number, e.Index, foreign(&e))
	}
	fmt.Fprintln(w)
	switch {
	case a.Complete:
		fmt.Fprintf(w, "COMPLETE up to %s: no event is left out.\n", a.CompleteUntil)
		if a.NotItsOwn > 0 {
			fmt.Fprintln(w, "BUT NOT ONLY YOURS: ask those who signed the entries above what they are.")
		}
	case a.Stale && a.CompleteUntil != "":
		fmt.Fprintf(w, "STALE: nothing is left out up to %s, but that is too long ago. Run agency list again.\n", a.CompleteUntil)
	default:
		fmt.Fprintln(w, "NOT COMPLETE:")
		for n, m := range a.Missing {
			if n == listedLines {
				fmt.Fprintf(w, "  - and %d more, see --json\n", len(a.Missing)-listedLines)
				break
			}
			fmt.Fprintf(w, "  - %s\n", m)
		}
	}
	if a.Log != nil {
		fmt.Fprintf(w, "%s: %d entries, seen by witnesses %s, by monitors %s\n\n", a.Log.Origin, a.Log.Size, names(a.Log.Witnesses), names(a.Log.Monitors))
	}
	fmt.Fprintln(w, "Not proven by this file:")
	for _, n := range a.Notes {
		fmt.Fprintf(w, "  - %s\n", n)
	}
}

func foreign(e *verifier.AgencyEvent) string {
	if e.Kind == "" {
		return "not opened"
	}
	return fmt.Sprintf("%s of data of %s at %s, signed by %s: %s", e.Kind, e.Provider, e.OccurredAt, e.Issuer, e.Purpose)
}
