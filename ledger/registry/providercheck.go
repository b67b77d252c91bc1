// SPDX-License-Identifier: EUPL-1.2

package registry

import (
	"encoding/json"
	"fmt"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// KindProviderCheck is the kind of a ProviderCheck.
const KindProviderCheck = "provider-check"

// CheckStatementType is the typ of the JWS by which a scope's party attests that it compared its own records with the log.
const CheckStatementType = "traccia-provider-check+jwt"

// Results of a CheckStatement.
const (
	CheckProven    = "proven"     // its records and the log agree
	CheckNotProven = "not_proven" // they don't: the party raises an alarm
)

// ProviderCheck says that a scope's party compared its own records with the log (docs/provider-check.md).
//
//	{"kind":"provider-check","scope":"inps","statement":"eyJhbGciOiJFUzI1NiIs…"}
type ProviderCheck struct {
	Kind      string `json:"kind"`
	Scope     string `json:"scope"`
	Statement string `json:"statement"` // compact JWS over CheckStatement, by a key in force of the scope's body
}

// CheckStatement is what the party signs. It has no count: how many accesses a party answered is nobody else's to read.
//
//	{"aud":"registro.example/2026","scope":"inps","iat":1795339800,"head":69998,"until":1795339500000,
//	"size":70000,"root":"5f0c…64 hex","result":"proven"}
type CheckStatement struct {
	Aud      string     `json:"aud"` // the log's origin
	Scope    string     `json:"scope"`
	IssuedAt int64      `json:"iat"`    // seconds, the party's clock
	Head     uint64     `json:"head"`   // log index of the head up to which it compared
	Until    uint64     `json:"until"`  // unix_ms of that head
	Size     uint64     `json:"size"`   // of the checkpoint under which it read the log
	Root     ledger.Hex `json:"root"`   // likewise
	Result   string     `json:"result"` // CheckProven or CheckNotProven
}

// Attestation is a ProviderCheck in the log.
type Attestation struct {
	CheckStatement
	Index uint64 // log index of its record
	Kid   string // of the key that signed it
}

// FormatCheckStatement returns the payload to sign.
func FormatCheckStatement(s CheckStatement) ([]byte, error) {
	if err := checkStatement(s); err != nil {
		return nil, err
	}
	return json.Marshal(s)
}

// ParseCheckStatement reads a signed statement, whose signature it doesn't check: that takes the keys of its scope. The
// error is a *ledger.Problem.
func ParseCheckStatement(compact string) (s CheckStatement, token *jws.Unverified, err error) {
	const where = "/statement"
	token, err = jws.Parse(compact)
	if err != nil || token.Header.Typ != CheckStatementType {
		return s, nil, refuse("bad_statement", where, "a compact JWS with typ "+CheckStatementType, "something else")
	}
	if err := ijson.Unmarshal(token.Payload, &s); err != nil {
		return s, nil, refuse("bad_statement", where, "a check statement", err.Error())
	}
	return s, token, checkStatement(s)
}

func checkStatement(s CheckStatement) error {
	const where = "/statement"
	switch _, _, err := ledger.ParseOrigin(s.Aud); {
	case err != nil:
		return refuse("bad_statement", where, "the origin of a log as aud", fmt.Sprintf("%d bytes", len(s.Aud)))
	case ledger.CheckID(s.Scope) != nil:
		return refuse("bad_id", where, "the id of a body as scope", fmt.Sprintf("%d bytes", len(s.Scope)))
	case s.IssuedAt < 0:
		return refuse("bad_statement", where, "an iat since 1970", "one before")
	case s.Head == 0 || s.Head >= s.Size:
		return refuse("bad_statement", where, "a head below size", fmt.Sprintf("%d of %d", s.Head, s.Size))
	case s.Root == ledger.Hex{}:
		return refuse("bad_statement", where, "the log's root", "zeros")
	case s.Result != CheckProven && s.Result != CheckNotProven:
		return refuse("bad_statement", where, "result "+CheckProven+" or "+CheckNotProven, "another")
	}
	return nil
}

func checkProviderCheck(r ProviderCheck) error {
	s, _, err := ParseCheckStatement(r.Statement)
	if err == nil && s.Scope != r.Scope {
		err = refuse("bad_statement", "/scope", "the statement's scope, "+s.Scope, "another")
	}
	return err
}

// checkOf is what checks follow on each other about: a scope, and the origin of a log.
type checkOf struct{ scope, aud string }

// Attested returns the last check of a scope in the log of this origin. That of a year's log may stand in the next year's.
func (r *Registry) Attested(scope, origin string) (Attestation, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	a, ok := r.checks[checkOf{scope, origin}]
	return a, ok
}

// prepareProviderCheck takes a statement that a key in force of the scope's body signed, about a later head than the last
// one: an old statement said again would look like a new check.
func (r *Registry) prepareProviderCheck(rec ProviderCheck) (func(index uint64), error) {
	s, token, err := ParseCheckStatement(rec.Statement)
	if err != nil {
		return nil, err
	}
	name, _, err := ledger.ParseOrigin(s.Aud)
	if err != nil || name != r.name {
		return nil, refuse("other_ledger", "/statement", "a statement about a log of "+r.name, "one about "+s.Aud)
	}
	if len(r.scopes[s.Scope]) == 0 {
		return nil, refuse("unknown_scope", "/scope", "a listed scope", s.Scope)
	}
	if err := r.signedByScope(s.Scope, token); err != nil {
		return nil, err
	}
	of := checkOf{s.Scope, s.Aud}
	if last, ok := r.checks[of]; ok && (s.Head <= last.Head || s.Until <= last.Until || s.IssuedAt <= last.IssuedAt) {
		return nil, refuse("not_newer", "/statement", fmt.Sprintf("a check up to a head after %d", last.Head), fmt.Sprintf("one up to %d", s.Head))
	}
	return func(index uint64) { r.checks[of] = Attestation{s, index, token.Header.Kid} }, nil
}
