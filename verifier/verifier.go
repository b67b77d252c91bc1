// SPDX-License-Identifier: EUPL-1.2

// Package verifier checks what a ledger hands out, without trusting the ledger:
// the answer to a submission (Receipt) and the public log as it grows (Log).
// docs/formats.md says what has to hold; this package is its reader.
//
// Trusted are the log's verifier keys, the submission that a party sent itself,
// and the state that an earlier Log returned. Everything else, each byte of an
// answer and of what a Fetcher returns, is the ledger's word until it is proven.
//
// What must always hold: nothing is called proven of which any part wasn't
// checked; no input makes it panic; no problem repeats a person's code. It opens
// no connection and no file, and compiles for browsers (GOOS=js GOARCH=wasm);
// arrows_test.go holds what it may import.
package verifier

import "github.com/traccia-ledger/traccia/ledger"

// Codes of problems that this package finds, beside those of package ledger.
const (
	CodeUnknownLog      = "unknown_log"      // no key for this log
	CodeBadSignature    = "bad_signature"    // doesn't verify, or isn't well formed
	CodeWrongOrigin     = "wrong_origin"     // of another log
	CodeWrongEpoch      = "wrong_epoch"      // of another year
	CodeMalformedLeaf   = "malformed_leaf"   // or one of another type
	CodeBadProof        = "bad_proof"        // doesn't lead to the checkpoint's root
	CodeTagRepeated     = "tag_repeated"     // one tag in two leaves
	CodeCommitment      = "commitment"       // the leaf commits to other bytes
	CodeBodiesDiffer    = "bodies_differ"    // in more than their subject
	CodeOtherReceipt    = "other_receipt"    // another than the answer or the submission says
	CodeWrongAudience   = "wrong_audience"   // made for another ledger
	CodeWrongAgency     = "wrong_agency"     // the agency isn't who consulted
	CodeWrongScope      = "wrong_scope"      // not one that this issuer can have
	CodeWrongKey        = "wrong_key"        // not registered for this issuer and kid
	CodeKeyTooLate      = "key_too_late"     // registered after the event
	CodeWrongSubject    = "wrong_subject"    // not under the receipt's root at its place
	CodeOtherSubmission = "other_submission" // the submission isn't what was recorded
	CodeFork            = "fork"             // two histories
	CodeRollback        = "rollback"         // smaller than before
)

func problem(code, where, expected, found string) *ledger.Problem {
	return &ledger.Problem{Code: code, Where: where, Expected: expected, Found: found}
}
