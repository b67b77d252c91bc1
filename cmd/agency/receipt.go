// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
)

// maxSubmission is the longest submission that a ledger takes, in bytes.
const maxSubmission = 4 << 20

type receiptSubmitAnswer struct {
	cli.Done
	ReceiptID  string `json:"receipt_id"`
	FirstIndex uint64 `json:"first_index"`
	Count      int    `json:"count"`
	Replayed   bool   `json:"replayed"` // it was recorded before
	Origin     string `json:"origin"`
	Receipt    string `json:"receipt_file"`
}

func (a *receiptSubmitAnswer) Text(w io.Writer) {
	word := "recorded"
	if a.Replayed {
		word = "was recorded before"
	}
	fmt.Fprintf(w, "%s %s: %d entries from index %d of %s\n", a.ReceiptID, word, a.Count, a.FirstIndex, a.Origin)
	fmt.Fprintf(w, "receipt: %s (check it with verifier receipt)\n", a.Receipt)
}

func receiptSubmitCommand() *cobra.Command {
	var f clientFlags
	var own ownFlags
	var out string
	cmd := &cobra.Command{
		Use:   "submit submission.json --url U --out receipt.json",
		Short: "Submit one signed submission and keep the ledger's answer",
		Long: `submit sends a submission and writes the ledger's answer, with the proof that the
access is in the log, to a file of mode 0600, in place of one of that name.

A ledger that is busy, restarting or out of reach is asked again for as long as
--patience says. Submitting the same file again is safe: it is recorded once, and
gets the same entries (replayed).

An access that the ledger's policies deny is recorded too: its answer is kept
likewise, and the command ends with 1.

A file of receipt prepare goes through the body's own gateway on PDND, whose
address for the ledger's e-service --url is then.

With --records the answer is also checked, and what a provider has to keep of it
added to that file: see agency submit.

Ends with 0 when recorded, 1 when the ledger refuses the submission and says
where, what it expected and what it found, 3 when nothing could be concluded.`,
		Example: `  agency receipt submit submission.json --url https://registro.example --out receipt.json`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client(cmd)
			if err != nil {
				return err
			}
			raw, err := cli.ReadFile(args[0], maxSubmission)
			if err != nil {
				return fmt.Errorf("couldn't read the submission: %w", err)
			}
			what, err := identify(raw)
			if err != nil {
				return err
			}
			want := &what.identity
			records, err := own.open()
			if err != nil {
				return err
			}
			defer records.close()
			a, refused := c.submit(cmd.Context(), what)
			if refused != nil {
				refused = fmt.Errorf("couldn't submit %s: %w", want.id, refused)
			}
			if a == nil {
				return refused
			}
			if err := durable.Replace(out, a.raw, 0o600); err != nil {
				return fmt.Errorf("%s is recorded, but couldn't keep the answer (submit it again): %w", want.id, err)
			}
			if err := what.keep(records, a); err != nil {
				return err
			}
			if refused != nil {
				return refused
			}
			return cli.Print(cmd, &receiptSubmitAnswer{
				ReceiptID: a.ReceiptID, FirstIndex: a.FirstIndex, Count: a.Count, Replayed: a.replayed, Origin: a.Origin, Receipt: out,
			})
		},
	}
	f.add(cmd, time.Minute)
	own.add(cmd)
	cmd.Flags().StringVar(&out, "out", "", "file for the ledger's answer")
	cmd.MarkFlagRequired("out")
	cmd.MarkFlagFilename("out", "json")
	return cmd
}

// identity is what the answer to a submission must be about.
type identity struct {
	id    string // <iss>/<jti>
	count int
}

// sending is a submission as it is sent.
type sending struct {
	identity
	content []byte
	claims  string // value of ledger.ClaimsHeader, "" where the content has a receipt
}

// identify checks a submission, or one that is prepared, as far as that goes
// without a ledger.
func identify(raw []byte) (*sending, error) {
	if p, receipt, err := parsePrepared(raw); err != nil {
		return nil, err
	} else if p != nil {
		return &sending{identity{receipt.ReceiptID(), receipt.Subjects.Count}, p.Content, p.Claims}, nil
	}
	s, err := ledger.ParseSubmission(raw)
	if err != nil {
		return nil, err
	}
	opened, err := s.Open()
	if err != nil {
		return nil, err
	}
	return &sending{identity{opened.Receipt.ReceiptID(), len(s.Subjects)}, raw, ""}, nil
}

// keep adds what is to be kept of the answer to a party's own records.
func (s *sending) keep(records *ownRecords, a *answer) error {
	submission := s.content
	if s.claims != "" && len(a.Entries) > 0 {
		body, err := ledger.ParseBody(a.Entries[0].Body)
		if err != nil {
			return &cli.CouldNotCheck{Err: fmt.Errorf("couldn't read the ledger's answer: %w", err)}
		}
		if submission, err = ledger.Complete(s.content, body.Receipt); err != nil {
			return err
		}
	}
	return records.keep([]*received{{submission, a}})
}

// answer is what the ledger sent, as it came.
type answer struct {
	*ledger.Answer
	raw      []byte
	replayed bool
}

// readAnswer takes an answer apart and refuses one about something else. What
// its proofs are worth is for the verifier.
func readAnswer(status int, raw []byte, want *identity) (*answer, error) {
	a, err := ledger.ParseAnswer(raw)
	if err != nil {
		// A problem of the ledger's answer is none of the submission's.
		return nil, &cli.CouldNotCheck{Err: fmt.Errorf("couldn't read the ledger's answer: %w", err)}
	}
	if a.ReceiptID != want.id || a.Count != want.count {
		return nil, fmt.Errorf("the ledger's answer is about %s with %d subjects, expected %s with %d", a.ReceiptID, a.Count, want.id, want.count)
	}
	return &answer{a, raw, status == http.StatusOK}, nil
}

// submit sends one submission until it is answered. A refusal by the ledger is
// a *ledger.Problem; that of an access that is denied comes with its answer.
func (c *client) submit(ctx context.Context, what *sending) (*answer, error) {
	want := &what.identity
	a, err := patiently(ctx, c, func() (*answer, error) {
		r, err := c.request(ctx, "v1/access-receipts", "application/json", what.content)
		if err != nil {
			return nil, err
		}
		if what.claims != "" {
			r.Header.Set(ledger.ClaimsHeader, what.claims)
		}
		status, data, err := c.ask(r)
		if err != nil {
			return nil, err
		}
		return readAnswer(status, data, want)
	})
	var gaveUp *cli.CouldNotCheck
	var refused *refusal
	if !errors.As(err, &gaveUp) && errors.As(err, &refused) {
		return refused.recorded(want)
	}
	return a, err
}

// recorded is the verdict, with the answer of an access that is denied.
func (e *refusal) recorded(want *identity) (*answer, error) {
	if e.answer == nil {
		return nil, e.verdict()
	}
	a, err := readAnswer(e.status, e.answer, want)
	if err != nil {
		return nil, err
	}
	return a, &e.problem
}

// verdict makes a ledger's refusal of a submission a problem, and leaves any
// other 4xx, which judges the request and not what was sent, an error.
func (e *refusal) verdict() error {
	switch e.status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusGone, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		if e.problem.Code != "" {
			return &e.problem
		}
	}
	return &cli.CouldNotCheck{Err: e}
}
