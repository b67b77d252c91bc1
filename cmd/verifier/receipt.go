// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/verifier"
)

// receiptAnswer is the verdict on one answer. What stands after checks is as
// the file says it; result says whether to believe it.
type receiptAnswer struct {
	cli.Verdict
	Origin     string           `json:"origin"`
	Index      uint64           `json:"index"` // of the first event
	Count      int              `json:"count"` // of events, at consecutive indexes
	TreeSize   uint64           `json:"tree_size"`
	Root       string           `json:"root"`
	ReceiptID  string           `json:"receipt_id"`
	RecordedAt string           `json:"recorded_at,omitempty"`
	Checks     []verifier.Check `json:"checks"`

	Key        *verifier.ReceiptKey `json:"key,omitempty"`
	Kind       string               `json:"kind,omitempty"`
	Scope      string               `json:"scope,omitempty"`
	Provider   string               `json:"provider,omitempty"`
	Consumer   string               `json:"consumer,omitempty"`
	Purpose    string               `json:"purpose,omitempty"`
	LegalBasis string               `json:"legal_basis,omitempty"`
	OccurredAt string               `json:"occurred_at,omitempty"`
	Assurance  *ledger.Assurance    `json:"assurance,omitempty"`

	file   string
	hint   string // what the file is instead, or what would let more be checked
	report *verifier.ReceiptReport
}

func receiptCommand() *cobra.Command {
	var keyFile, submissionFile string
	cmd := &cobra.Command{
		Use:   "receipt FILE --key FILE",
		Short: "Check the answer to a submission, offline",
		Long: `receipt checks the file that a ledger answered a submission with, without asking
the ledger. Five checks make it proven:

  checkpoint_signature  the log's key signed the checkpoint in the file
  inclusion             the events' leaves are in the log at that checkpoint
  body_commitment       the leaves commit to the bodies in the file, and no others
  receipt_signature     the receipt is signed by its issuer, with a key that the log
                        registers before the events, and agrees with the bodies
  subject_root          the subjects are those that the receipt was made for

With --submission the answer must also be about what was submitted. Above 100
subjects that file is needed: the answer then holds one body, and the others are
made from the submission's subjects. Without it the result is "unchecked".`,
		Example: `  verifier receipt receipt.json --key log.vkey
  verifier receipt receipt.json --key log.vkey --submission submission.json
  verifier receipt receipt.json --key log.vkey --json`,
		Args: oneArgument("the file with the ledger's answer"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := checkReceipt(args[0], keyFile, submissionFile)
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	cmd.Flags().StringVar(&keyFile, "key", "", "file with the log's verifier key (log.vkey), one or more lines")
	cmd.Flags().StringVar(&submissionFile, "submission", "", "file with what was submitted")
	cmd.MarkFlagRequired("key")
	cmd.MarkFlagFilename("key", "vkey")
	cmd.MarkFlagFilename("submission", "json")
	return cmd
}

// oneArgument refuses none, and more than one.
func oneArgument(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("expected one argument, %s, found %d", what, len(args))
		}
		return nil
	}
}

func checkReceipt(file, keyFile, submissionFile string) (*receiptAnswer, error) {
	logs, err := readKeys(keyFile)
	if err != nil {
		return nil, err
	}
	data, err := cli.ReadFile(file, maxAnswer)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the receipt: %w", err)
	}
	var submission *ledger.Submission
	if submissionFile != "" {
		text, err := cli.ReadFile(submissionFile, maxSubmission)
		if err != nil {
			return nil, fmt.Errorf("couldn't read the submission: %w", err)
		}
		if submission, err = ledger.ParseSubmission(text); err != nil {
			return nil, cli.Usagef("--submission %s is no submission: %w", submissionFile, err)
		}
	}
	a := &receiptAnswer{file: file, report: verifier.Receipt(data, logs, submission)}
	a.fill()
	switch r := a.report; {
	case r.Malformed != nil:
		a.hint = whatInstead(data)
	case r.Answer.Range != nil && submission == nil:
		a.hint = "give the file that was sent with --submission: it has the other subjects"
	}
	return a, nil
}

// whatInstead names a file that is likely to be mistaken for an answer.
func whatInstead(data []byte) string {
	if _, err := ledger.ParseSubmission(data); err == nil {
		return "it is a submission; the ledger's answer to it is what agency receipt submit --out writes"
	}
	var refusal struct {
		Status int
		Code   string
	}
	if json.Unmarshal(data, &refusal) == nil && refusal.Status >= 400 {
		return fmt.Sprintf("it is an error that a ledger answered with, %d %q, and proves nothing", refusal.Status, refusal.Code)
	}
	return ""
}

func (a *receiptAnswer) fill() {
	r := a.report
	a.Problems, a.Checks, a.Key = r.Problems(), r.Checks, r.Key
	switch {
	case r.Proven():
		a.Result = cli.Proven
	case len(a.Problems) > 0:
		a.Result = cli.Unproven
	}
	if r.Answer != nil {
		a.Origin, a.ReceiptID, a.Index, a.Count = r.Answer.Origin, r.Answer.ReceiptID, r.Answer.FirstIndex, r.Answer.Count
	}
	if r.TreeSize > 0 {
		a.TreeSize, a.Root = r.TreeSize, hex.EncodeToString(r.Root[:])
	}
	if b := r.Body; b != nil {
		a.RecordedAt, a.Kind, a.Scope, a.Assurance = instant(r.RecordedAt()), b.Kind, b.Scope, &b.Assurance
	}
	if c := r.Receipt; c != nil {
		a.Provider, a.Consumer, a.Purpose, a.LegalBasis, a.OccurredAt = c.Provider, c.Consumer, c.Purpose, c.LegalBasis, c.OccurredAt
	}
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// Text says what was proven to people.
func (a *receiptAnswer) Text(w io.Writer) {
	switch {
	case a.report.Malformed != nil:
		fmt.Fprintf(w, "%s is not a ledger's answer to a submission.\n", a.file)
		a.printHint(w)
		return
	case a.Result == cli.Proven:
		fmt.Fprintf(w, "Proven: the log %s holds %s of receipt %s.\n\n", a.Origin, a.events(), a.ReceiptID)
	case a.Result == cli.Unproven:
		fmt.Fprintf(w, "NOT proven: rely on nothing that %s says.\n\n", a.file)
	default:
		fmt.Fprintf(w, "Not all of %s could be checked; what was checked is right.\n", a.file)
		a.printHint(w)
		fmt.Fprintln(w)
	}
	for _, c := range a.Checks {
		switch {
		case c.OK:
			fmt.Fprintf(w, "  ok         %-21s %s\n", c.Name, a.meaning(c.Name))
		case c.Problem != nil:
			fmt.Fprintf(w, "  FAILED     %s\n", c.Name)
		default:
			fmt.Fprintf(w, "  unchecked  %-21s %s\n", c.Name, c.Unchecked)
		}
	}
	fmt.Fprintln(w)
	if a.Result != cli.Unproven {
		a.printFacts(w)
		a.printLimits(w)
	}
}

func (a *receiptAnswer) printHint(w io.Writer) {
	if a.hint != "" {
		fmt.Fprintf(w, "hint: %s\n", a.hint)
	}
}

// events says how many there are, and where.
func (a *receiptAnswer) events() string {
	if a.Count == 1 {
		return fmt.Sprintf("the event at index %d,", a.Index)
	}
	return fmt.Sprintf("the %d events at indexes %d to %d,", a.Count, a.Index, a.Index+uint64(a.Count)-1)
}

// meaning says what a check that is OK has proven.
func (a *receiptAnswer) meaning(check string) string {
	switch check {
	case verifier.CheckCheckpoint:
		return fmt.Sprintf("the log's key signed size %d, root %s", a.TreeSize, a.Root)
	case verifier.CheckInclusion:
		return "the leaves are in the log at that size"
	case verifier.CheckBody:
		return "the leaves commit to these bodies and to no others"
	case verifier.CheckSignature:
		return fmt.Sprintf("signed by %s, key %s (%s), registered at index %d", a.report.Receipt.Iss, a.Key.Kid, a.Key.Alg, a.Key.Index)
	default:
		return "the subjects are those that the receipt was made for"
	}
}

func (a *receiptAnswer) printFacts(w io.Writer) {
	r := a.report.Receipt
	if r == nil {
		return
	}
	line := func(name, text string) { fmt.Fprintf(w, "  %-12s %s\n", name, text) }
	fmt.Fprintln(w, "What was recorded:")
	line(a.Kind, fmt.Sprintf("%s consulted data of %s about %s", r.Consumer, r.Provider, plural(a.Count, "subject")))
	line("purpose", r.Purpose)
	line("legal basis", strings.TrimSuffix(r.LegalBasis+"; "+r.LegalReference, "; "))
	line("categories", strings.Join(r.DataCategories, ", "))
	line("done by", article(r.Actor)+", "+r.Operation.Method+" "+r.Operation.Path)
	line("occurred", r.OccurredAt+", as "+r.Iss+" states")
	line("recorded", a.RecordedAt+", by the ledger's clock, in scope "+a.Scope)
	line("reported by", r.Iss+", as "+r.Role)
	line("assurance", assurance(a.Assurance))
	fmt.Fprintln(w)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func article(actor string) string {
	if strings.ContainsRune("aeio", rune(actor[0])) {
		return "an " + actor
	}
	return "a " + actor
}

// assurance says which tokens the ledger says it verified.
func assurance(a *ledger.Assurance) string {
	text := a.Profile + ", voucher of " + a.Voucher.Issuer
	if a.LoA > 0 {
		text += fmt.Sprintf(", operator identified at level %d", a.LoA)
	}
	if a.Late {
		text += ", recorded late"
	}
	if len(a.Flags) > 0 {
		text += "; " + strings.Join(a.Flags, ", ")
	}
	return text
}

// printLimits says what the file can't prove.
func (a *receiptAnswer) printLimits(w io.Writer) {
	fmt.Fprintln(w, "Not proven by this file alone:")
	if a.Key != nil {
		word := "the ledger's operator alone says so"
		if a.Key.Basis == registry.BasisSigned {
			word = "an earlier key of theirs is said to vouch for it"
		}
		fmt.Fprintf(w, "  - that the key is %s's: %s; and that it wasn't revoked before\n    the event, which only the whole log shows\n", a.report.Receipt.Iss, word)
	}
	if a.report.Answer.Entries[0].Number != nil {
		fmt.Fprintln(w, "  - the numbers that the file gives to events")
	}
	fmt.Fprint(w, `  - that everyone is shown this log: that takes witnesses' cosignatures
  - the instants, but for the order of leaves, and that tokens were verified: the
    word of issuer and ledger
  - that the purpose is true, and that a citizen's list of accesses is complete
`)
}
