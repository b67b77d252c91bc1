// SPDX-License-Identifier: EUPL-1.2

// Package consent is what a citizen agrees to, refuses and takes back, as events of their list in +consent
// (docs/consent.md): records that follow ISO/IEC TS 27560 in the profile of W3C's Data Privacy Vocabulary, the evidence
// that each stands on, and the fold that says what was in force at which place of the log.
//
// A record is signed by the citizen with a passkey (W3C Web Authentication level 3), whose challenge is made from the
// record's bytes; or attested by the body that collected it at its desk. Passkeys are enrolled and revoked, mandates of
// delegates given and ended, by events of the same list. What is checked here needs the events alone, with the standard
// library: a reader of the list checks it as the ledger did.
//
// Trusted are the events' receipts, verified by the caller (package opened): that a body collected this, for this
// citizen. Not proven, by any of this: what the screen or the official showed.
//
// What must always hold: what the parsers accept, the formatters write to the same bytes; a record counts only at the
// place in its list that it names, so none counts twice; an event that doesn't open takes away, never adds.
package consent

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// Codes of problems with consents, beside those of package ledger.
const (
	CodeOtherPlace = "consent_place"      // another ledger, year, citizen or place in the list
	CodeEvidence   = "consent_evidence"   // not the evidence that this takes, or it doesn't verify
	CodeUnknown    = "consent_unknown"    // no consent, passkey or mandate of this id
	CodeNotInForce = "consent_not_valid"  // ended, refused, or outside its validity
	CodeNotCovered = "consent_not_covers" // another body, purpose or category
)

// Challenge is what a passkey signs: SHA-256 of
//
//	"traccia/v1/consent" 00 ‖ 0010 "registro.example" ‖ 000007ea ‖ record
func Challenge(name string, epoch uint32, record []byte) ledger.Hash {
	m := append([]byte(ledger.NameSpace), "/consent\x00"...)
	m = binary.BigEndian.AppendUint16(m, uint16(len(name)))
	m = append(m, name...)
	m = binary.BigEndian.AppendUint32(m, epoch)
	return sha256.Sum256(append(m, record...))
}

func problem(code, where, expected, found string) *ledger.Problem {
	return &ledger.Problem{Code: code, Where: where, Expected: expected, Found: found}
}

// jsonProblem puts an error of package ijson under a part's name.
func jsonProblem(part string, err error) *ledger.Problem {
	var e *ijson.Error
	if !errors.As(err, &e) {
		return problem(ledger.CodeSyntax, part, "an I-JSON object", "something else")
	}
	where := part
	if e.Pointer != "" {
		where += "#" + e.Pointer[1:]
	}
	code := ledger.CodeSyntax
	switch e.Found {
	case "nothing":
		code = ledger.CodeMissing
	case "an unknown name":
		code = ledger.CodeUnknownName
	}
	return problem(code, where, e.Expected, e.Found)
}

// instantForm is how a record writes instants: seconds, UTC.
const instantForm = "2006-01-02T15:04:05Z"

func parseInstant(s string) (time.Time, bool) {
	t, err := time.Parse(instantForm, s)
	return t, err == nil && t.Format(instantForm) == s
}

// hexDigits is what parseHash reads, as ledger.Hex does.
const hexDigits = "64 lower-case hex digits, not all zero"

func parseHash(s string) (h ledger.Hash, ok bool) {
	err := (*ledger.Hex)(&h).UnmarshalText([]byte(s))
	return h, err == nil
}

// textFound describes a text without repeating it.
func textFound(s string) string {
	if s == "" {
		return "an empty string"
	}
	return fmt.Sprintf("a string of %d bytes", len(s))
}
