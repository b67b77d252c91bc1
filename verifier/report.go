// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// Names of the checks of a receipt, in the order of a report.
const (
	// CheckCheckpoint: the log's key signed the checkpoint.
	CheckCheckpoint = "checkpoint_signature"
	// CheckInclusion: the leaves are events of this epoch and in the log at the
	// checkpoint's size, at the indexes that the answer says.
	CheckInclusion = "inclusion"
	// CheckBody: each leaf commits to its body, which is strict, of this log,
	// recorded in its year; bodies differ in their subject alone.
	CheckBody = "body_commitment"
	// CheckSignature: the receipt in the bodies is the one that the answer names,
	// made for this ledger, agreeing with scope and agency, and signed by its
	// issuer with a key that the log registers before the events.
	CheckSignature = "receipt_signature"
	// CheckSubject: the subjects are those under the receipt's root, each at its
	// place, and, where a submission is at hand, those that were sent.
	CheckSubject = "subject_root"
)

// Check is the outcome of one check: OK, or a Problem, or Unchecked.
type Check struct {
	Name      string          `json:"name"`
	OK        bool            `json:"ok"`
	Unchecked string          `json:"unchecked,omitempty"` // why nothing can be said
	Problem   *ledger.Problem `json:"problem,omitempty"`   // the first that was found
}

// ReceiptReport says what an answer proves.
type ReceiptReport struct {
	// Checks are the five, in their order.
	Checks []Check
	// Malformed is set when the document isn't an answer at all; nothing was
	// checked then.
	Malformed *ledger.Problem

	// What the answer says of itself; nil if Malformed.
	Answer *ledger.Answer
	// TreeSize and Root are the signed checkpoint's; zero without one.
	TreeSize uint64
	Root     ledger.Hash
	// Body is the first event's; nil if it isn't a body. It holds personal data,
	// and stands on no more than the checks say.
	Body *ledger.Body
	// Receipt is that in Body, likewise; nil if it isn't a receipt.
	Receipt *ledger.Receipt
	// Key is what the receipt is signed with; nil if the signature isn't good.
	Key *ReceiptKey
}

// ReceiptKey is a key as the log registers it.
type ReceiptKey struct {
	Index uint64 `json:"index"` // of its record
	Kid   string `json:"kid"`
	Alg   string `json:"alg"`
	// Basis says on whose word, see package registry. A proof by an earlier key
	// isn't verified here: that key isn't in an answer.
	Basis string `json:"basis"`
}

// Proven reports whether every check is OK.
func (r *ReceiptReport) Proven() bool {
	for _, c := range r.Checks {
		if !c.OK {
			return false
		}
	}
	return r.Malformed == nil
}

// Problems are those of the checks, or that of the document. Without any, and
// not Proven, something was left unchecked.
func (r *ReceiptReport) Problems() []ledger.Problem {
	var list []ledger.Problem
	if r.Malformed != nil {
		list = append(list, *r.Malformed)
	}
	for _, c := range r.Checks {
		if c.Problem != nil {
			list = append(list, *c.Problem)
		}
	}
	return list
}

// RecordedAt is when the ledger says that it recorded the events; zero without
// a body. It is the sequencer's clock, in milliseconds.
func (r *ReceiptReport) RecordedAt() time.Time {
	if r.Body == nil {
		return time.Time{}
	}
	return time.UnixMilli(r.Body.RecordedAt).UTC()
}
