// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"fmt"
	"strconv"

	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// Limits of a private part.
const (
	MaxPrivate         = 65536 // bytes of the whole
	MaxToken           = 16384 // bytes of a voucher, evidence or integrity signature
	MaxIdentityHeaders = 32
	MaxHeaderName      = 100  // bytes
	MaxHeaderValue     = 1024 // characters
)

// Private is the private part of a submission, kept once per receipt: what the
// submitter, the consumer's DPO and the authority may open, never the citizen.
// These members, in any order and with any white space; the bytes are kept as
// they are, because [PrivateDigest] commits to them:
//
//	{"voucher":"eyJ…","evidence":"eyJ…","integrity":"eyJ…",
//	"identity_headers":{"INPS-Identity-UserId":"m.rossi","INPS-Identity-CodiceUfficio":"0042"},
//	"operator":{"id":"m.rossi","office":"Servizi sociali"},"case":"2026/00123",
//	"request_digest":"9f86…64 hex","response_digest":"60303…64 hex"}
//
// An optional text that is there but empty counts as absent.
type Private struct {
	Voucher         string            `json:"voucher,omitempty"`          // PDND's access token, compact; none unless OfCall
	Evidence        string            `json:"evidence,omitempty"`         // Agid-JWT-TrackingEvidence, compact
	Integrity       string            `json:"integrity,omitempty"`        // Agid-JWT-Signature, compact
	IdentityHeaders map[string]string `json:"identity_headers,omitempty"` // name to value, as sent
	Operator        *Operator         `json:"operator,omitempty"`
	Login           string            `json:"login,omitempty"`           // the citizen's signed login token, compact; with evidence of consent alone
	Delegate        Subject           `json:"delegate,omitempty"`        // code of whom a mandate lets act for the citizen; in mandate-given alone
	Case            string            `json:"case,omitempty"`            // the consumer's file or procedure
	RequestDigest   string            `json:"request_digest,omitempty"`  // SHA-256 of the content as sent, 64 hex digits
	ResponseDigest  string            `json:"response_digest,omitempty"` // the same of the answer
}

// Operator is who acted at the consumer: a person, or service:<name>.
type Operator struct {
	ID     string `json:"id"`
	Office string `json:"office,omitempty"`
}

func (v *Private) check() *Problem {
	var c checker
	if v.Voucher != "" {
		c.token("voucher", v.Voucher, MaxToken)
	}
	if v.Evidence != "" {
		c.token("evidence", v.Evidence, MaxToken)
	}
	if v.Integrity != "" {
		c.token("integrity", v.Integrity, MaxToken)
	}
	if v.Login != "" {
		c.token("login", v.Login, MaxToken)
	}
	if n := len(v.IdentityHeaders); n > MaxIdentityHeaders {
		c.fail(CodeBadCount, "identity_headers", fmt.Sprintf("at most %d headers", MaxIdentityHeaders), strconv.Itoa(n))
	}
	if v.Delegate != "" {
		if _, err := ParseSubject(string(v.Delegate)); err != nil {
			c.fail(CodeBadValue, "delegate", "a subject's code", "another text")
		}
	}
	for name, value := range v.IdentityHeaders {
		c.headerName("identity_headers", name)
		c.text("identity_headers", value, MaxHeaderValue)
	}
	if v.Operator != nil {
		c.text("operator/id", v.Operator.ID, MaxText)
		if v.Operator.Office != "" {
			c.text("operator/office", v.Operator.Office, MaxText)
		}
	}
	if v.Case != "" {
		c.text("case", v.Case, MaxText)
	}
	c.digest("request_digest", v.RequestDigest)
	c.digest("response_digest", v.ResponseDigest)
	return c.problem
}

// headerName checks the name of an HTTP header, which a problem doesn't repeat.
func (c *checker) headerName(where, name string) {
	if name == "" || len(name) > MaxHeaderName {
		c.fail(CodeTooLong, where, fmt.Sprintf("header names of 1 to %d bytes", MaxHeaderName), strconv.Itoa(len(name)))
		return
	}
	for i := range len(name) {
		b := name[i]
		if (b < 'a' || 'z' < b) && (b < 'A' || 'Z' < b) && (b < '0' || '9' < b) && b != '-' && b != '_' {
			c.fail(CodeBadValue, where, "header names of letters, digits, - and _", fmt.Sprintf("another character at byte %d", i))
			return
		}
	}
}

// ParsePrivate decodes a private part. Errors are *Problem, at "private" or
// "private#<path>".
func ParsePrivate(content []byte) (*Private, error) {
	if n := len(content); n > MaxPrivate {
		return nil, &Problem{CodeTooLong, "private", fmt.Sprintf("at most %d bytes", MaxPrivate), strconv.Itoa(n)}
	}
	v := new(Private)
	if err := ijson.Unmarshal(content, v); err != nil {
		return nil, jsonProblem(err).under("private")
	}
	if p := v.check(); p != nil {
		return nil, p.under("private")
	}
	return v, nil
}

// FormatPrivate encodes a private part. It refuses, with a *Problem, what
// [ParsePrivate] would refuse.
func FormatPrivate(v *Private) ([]byte, error) {
	if p := v.check(); p != nil {
		return nil, p.under("private")
	}
	content, err := marshal(v)
	if err == nil && len(content) > MaxPrivate {
		return nil, &Problem{CodeTooLong, "private", fmt.Sprintf("at most %d bytes", MaxPrivate), strconv.Itoa(len(content))}
	}
	return content, err
}
