// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

// Receipt checks the answer to a submission, as ledger.ParseAnswer reads it,
// with the keys of the logs that the caller trusts. submission may be nil; with
// it, the answer must be about what was submitted. Above 100 subjects an answer
// has one body only and the others are made from the submission's subjects, so
// without it nothing can be said of them.
//
// One answer can't show that the key wasn't revoked before the events, that
// their scope was listed, that their instant lies between the log's heads, that
// a citizen's list is complete, or that everyone sees the same log.
func Receipt(answer []byte, logs []note.Verifier, submission *ledger.Submission) *ReceiptReport {
	c := &receiptCheck{report: &ReceiptReport{}, logs: logs, submission: submission}
	var err error
	if c.answer, err = ledger.ParseAnswer(answer); err != nil {
		c.report.Malformed = asProblem(err)
		for _, name := range []string{CheckCheckpoint, CheckInclusion, CheckBody, CheckSignature, CheckSubject} {
			c.report.Checks = append(c.report.Checks, Check{Name: name, Unchecked: "this is no answer of a ledger"})
		}
		return c.report
	}
	c.report.Answer = c.answer
	c.name, c.epoch, _ = ledger.ParseOrigin(c.answer.Origin) // ParseAnswer did
	c.add(CheckCheckpoint, c.checkpoint())
	c.add(CheckInclusion, c.inclusion())
	c.open()
	c.add(CheckBody, c.commitments())
	c.add(CheckSignature, c.signature())
	c.add(CheckSubject, c.subjects())
	return c.report
}

// receiptCheck is one run of Receipt. What the checks find out, later ones use.
type receiptCheck struct {
	report     *ReceiptReport
	answer     *ledger.Answer
	logs       []note.Verifier
	submission *ledger.Submission
	name       string
	epoch      uint32

	log     *checkpoint.Checkpoint // nil if not signed
	events  []ledger.Event         // of the leaves, nil if any isn't one
	bodies  []*ledger.Body         // by entry, nil where unknown
	receipt *ledger.SignedReceipt  // of the first body, nil if none
	// tree is over the subjects that the submission has; nil without one, or with
	// one of another receipt, and then unfit says why.
	tree  *ledger.SubjectTree
	unfit *ledger.Problem
}

// unchecked says why a check couldn't be done. It is no problem of the answer.
type unchecked string

func (u unchecked) Error() string { return string(u) }

func (c *receiptCheck) add(name string, err error) {
	check := Check{Name: name, OK: err == nil}
	var why unchecked
	if errors.As(err, &why) {
		check.Unchecked = string(why)
	} else if err != nil {
		check.Problem = asProblem(err)
	}
	c.report.Checks = append(c.report.Checks, check)
}

func asProblem(err error) *ledger.Problem {
	var p *ledger.Problem
	if errors.As(err, &p) {
		return p
	}
	return problem(ledger.CodeSyntax, "", "something well formed", "something else")
}

// entry is the JSON Pointer of a member of an entry.
func entry(i int, member string) string {
	return "/entries/" + strconv.Itoa(i) + "/" + member
}

func (c *receiptCheck) checkpoint() error {
	var known []string
	for _, l := range c.logs {
		known = append(known, l.Name())
	}
	if !slices.Contains(known, c.answer.Origin) {
		return problem(CodeUnknownLog, "/origin", "a log whose key is given: "+fmt.Sprint(known), c.answer.Origin)
	}
	log, err := checkpoint.Open([]byte(c.answer.Checkpoint), c.logs...)
	if err != nil {
		return problem(CodeBadSignature, "/checkpoint", "a checkpoint signed by the key of "+c.answer.Origin, "one that isn't")
	}
	if log.Origin != c.answer.Origin {
		return problem(CodeWrongOrigin, "/checkpoint", c.answer.Origin, log.Origin)
	}
	c.log, c.report.TreeSize, c.report.Root = &log, log.Size, log.Root
	return nil
}

// open reads the first body and its receipt, and whether the submission is of
// that receipt. What is wrong with them is for the checks to say.
func (c *receiptCheck) open() {
	c.bodies = make([]*ledger.Body, c.answer.Count)
	first, err := ledger.ParseBody(c.answer.Entries[0].Body)
	if err != nil {
		return
	}
	c.bodies[0], c.report.Body = first, first
	if c.receipt, err = ledger.ParseReceipt(first.Receipt); err != nil {
		return
	}
	c.report.Receipt = &c.receipt.Receipt
	c.tree, c.unfit = c.fit()
}

// fit returns the tree over the submission's subjects if the submission is what
// was recorded: the same payload, whatever its signature, with its subjects.
func (c *receiptCheck) fit() (*ledger.SubjectTree, *ledger.Problem) {
	if c.submission == nil {
		return nil, nil
	}
	if c.submission.Receipt != c.receipt.Compact { // signed anew it is the same one
		sent, err := ledger.ParseReceipt(c.submission.Receipt)
		if err != nil || sent.PayloadDigest != c.receipt.PayloadDigest {
			return nil, problem(CodeOtherSubmission, "submission#receipt", "the submission of receipt "+c.receipt.ReceiptID(), "another")
		}
	}
	tree, err := ledger.NewSubjectTree(c.submission.Subjects)
	if err != nil || tree.Root() != c.receipt.Subjects.Root || tree.Len() != c.answer.Count {
		return nil, problem(CodeOtherSubmission, "submission#subjects", "the subjects under the receipt's root", "others")
	}
	return tree, nil
}

// commitments checks the bodies against their leaves and fills in c.bodies.
func (c *receiptCheck) commitments() error {
	text := c.answer.Entries[0].Body
	first := c.bodies[0]
	if first == nil { // open couldn't parse it
		_, err := ledger.ParseBody(text)
		p := asProblem(err)
		return problem(p.Code, entry(0, p.Where), p.Expected, p.Found)
	}
	if first.Origin != c.answer.Origin {
		return problem(CodeWrongOrigin, entry(0, "body#origin"), c.answer.Origin, first.Origin)
	}
	if at := time.UnixMilli(first.RecordedAt); ledger.EpochOf(at) != c.epoch {
		return problem(CodeWrongEpoch, entry(0, "body#recorded_at"), fmt.Sprintf("an instant of %d, UTC", c.epoch), at.UTC().Format(time.RFC3339))
	}
	if c.events == nil {
		return unchecked("the leaves aren't all events")
	}
	unknown := 0
	for i := range c.answer.Entries {
		body, err := c.body(i, first, text)
		if err != nil {
			return err
		}
		if body == nil {
			unknown++
			continue
		}
		nonce := [32]byte(c.answer.Entries[i].Nonce)
		if ledger.BodyCommitment(&nonce, body) != c.events[i].Commitment {
			return problem(CodeCommitment, entry(i, "body"), "the body and nonce that the leaf commits to", "others")
		}
	}
	if unknown > 0 {
		return unchecked(fmt.Sprintf("%d of %d bodies are made from the submission, which isn't given or isn't this receipt's", unknown, c.answer.Count))
	}
	return nil
}

// body returns the bytes of an entry's body: as it came, or the first one with
// the subject that the submission has there; nil if neither is at hand.
func (c *receiptCheck) body(i int, first *ledger.Body, text []byte) ([]byte, error) {
	if i == 0 {
		return text, nil
	}
	if own := c.answer.Entries[i].Body; len(own) > 0 {
		body, err := ledger.ParseBody(own)
		if err != nil {
			p := asProblem(err)
			return nil, problem(p.Code, entry(i, p.Where), p.Expected, p.Found)
		}
		same := *body
		same.Subject = first.Subject
		if again, err := ledger.FormatBody(&same); err != nil || !bytes.Equal(again, text) {
			return nil, problem(CodeBodiesDiffer, entry(i, "body"), "the first body with another subject", "one that differs in more")
		}
		c.bodies[i] = body
		return own, nil
	}
	if c.tree == nil {
		return nil, nil
	}
	body := *first
	s := c.submission.Subjects[i]
	body.Subject = ledger.BodySubject{Code: s.Subject, Salt: s.Salt, Position: i, Proof: c.tree.Proof(i)}
	c.bodies[i] = &body
	return ledger.FormatBody(&body)
}

// subjects checks who the bodies are about against the receipt and, if there is
// one, the submission.
func (c *receiptCheck) subjects() error {
	if c.receipt == nil {
		return unchecked("there is no receipt to compare with")
	}
	root, count := c.receipt.Subjects.Root, c.receipt.Subjects.Count
	if count != c.answer.Count {
		return problem(ledger.CodeCountMismatch, "/count", strconv.Itoa(count)+", as the receipt says", strconv.Itoa(c.answer.Count))
	}
	if c.unfit != nil {
		return c.unfit
	}
	var list []ledger.SaltedSubject
	var codes []ledger.Subject
	for i, b := range c.bodies {
		if b == nil {
			continue
		}
		s := ledger.SaltedSubject{Subject: b.Subject.Code, Salt: b.Subject.Salt}
		if b.Subject.Position != i || ledger.CheckSubject(ledger.Hash(root), count, i, s, b.Subject.Proof) != nil {
			return problem(CodeWrongSubject, entry(i, "body#subject"), fmt.Sprintf("the subject at place %d under the receipt's root", i), "one that doesn't prove to be")
		}
		list, codes = append(list, s), append(codes, s.Subject)
	}
	if c.receipt.Names(codes) {
		return problem(ledger.CodeNamesSubject, entry(0, "body#receipt"), "a receipt that names nobody", "one that names a subject")
	}
	if len(list) < count {
		return unchecked(fmt.Sprintf("of %d subjects %d are at hand; the submission has them", count, len(list)))
	}
	if _, err := ledger.NewSubjectTree(list); err != nil {
		return problem(asProblem(err).Code, "/entries", "each subject and salt once", "one that occurs before")
	}
	return nil
}
