// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// maxProof is the length of the longest proof under a receipt's root:
// ⌈log2 10,000⌉.
const maxProof = 14

// Body is what an event's leaf commits to and whoever is entitled opens. It is
// written in exactly one way, without white space and in this order; salt and
// proof are base64url without padding:
//
//	{"origin":"registro.example/2026","kind":"access",
//	"subject":{"code":"RSSMRA80A01H501U","salt":"8sv7…43","position":0,"proof":["q2XA…43"]},
//	"scope":"inps","agency":"c_a944","recorded_at":1795339800123,"receipt":"eyJ…",
//	"assurance":{"profile":"VOUCHER_ONLY",…},"decision":{"effect":"recorded"}}
//
// A deferred access has its order behind the receipt, "deferral":"eyJ…"; events about consent have one member more at the
// end, "consent":{…}. In strings only " and \ are escaped, as \" and \\.
type Body struct {
	Origin     string // Origin
	Kind       string // a Kind constant
	Subject    BodySubject
	Scope      string // CheckScope
	Agency     string // CheckID
	RecordedAt int64  // milliseconds since 1970, by the sequencer's clock
	Receipt    string // compact
	Deferral   string // compact order; "" where notice isn't deferred
	Assurance  Assurance
	Decision   json.RawMessage // FormatDecision's bytes
	Consent    json.RawMessage // one I-JSON object, kept byte for byte, with kinds about consent and only there: what package consent reads
}

// BodySubject is the subject of one event and its place under the receipt's
// root.
type BodySubject struct {
	Code     Subject
	Salt     [32]byte
	Position int    // from 0
	Proof    []Hash // see SubjectTree.Proof
}

// bodyJSON is a body as JSON has it.
type bodyJSON struct {
	Origin  string `json:"origin"`
	Kind    string `json:"kind"`
	Subject struct {
		Code     string   `json:"code"`
		Salt     string   `json:"salt"`
		Position int      `json:"position"`
		Proof    []string `json:"proof"`
	} `json:"subject"`
	Scope      string          `json:"scope"`
	Agency     string          `json:"agency"`
	RecordedAt int64           `json:"recorded_at"`
	Receipt    string          `json:"receipt"`
	Deferral   string          `json:"deferral,omitempty"`
	Assurance  Assurance       `json:"assurance"`
	Decision   json.RawMessage `json:"decision"`
	Consent    json.RawMessage `json:"consent,omitempty"`
}

func (b *Body) check() *Problem {
	var c checker
	if _, _, err := ParseOrigin(b.Origin); err != nil {
		c.fail(CodeBadName, "origin", "a ledger's name, / and an epoch", textFound(b.Origin))
	}
	kind, ok := KindOf(b.Kind)
	if !ok {
		c.word("kind", b.Kind, kindNames()...)
	}
	if _, err := ParseSubject(string(b.Subject.Code)); err != nil {
		c.fail(CodeBadSubject, "subject/code", subjectForm, textFound(string(b.Subject.Code)))
	}
	if n := b.Subject.Position; n < 0 || n >= MaxSubjects {
		c.fail(CodeBadCount, "subject/position", fmt.Sprintf("0 to %d", MaxSubjects-1), strconv.Itoa(n))
	}
	if n := len(b.Subject.Proof); n > maxProof {
		c.fail(CodeBadCount, "subject/proof", fmt.Sprintf("at most %d hashes", maxProof), strconv.Itoa(n))
	}
	if CheckScope(b.Scope) != nil {
		c.fail(CodeBadID, "scope", "an id or a reserved word", textFound(b.Scope))
	}
	c.id("agency", b.Agency)
	if n := b.RecordedAt; n < 0 || n > ijson.MaxNumber {
		c.fail(CodeBadTime, "recorded_at", "milliseconds since 1970", "a number out of range")
	}
	c.token("receipt", b.Receipt, MaxReceipt)
	if b.Deferral != "" {
		c.token("deferral", b.Deferral, MaxDeferral)
	}
	b.Assurance.check(&c)
	c.object("decision", b.Decision, MaxDecision)
	if kind.Consent != (b.Consent != nil) {
		c.fail(CodeBadValue, "consent", "one with kinds about consent, and only there", "the contrary")
	} else if kind.Consent {
		c.object("consent", b.Consent, MaxConsent)
	}
	return c.problem
}

// FormatBody encodes a body. It refuses, with a *Problem, what [ParseBody]
// would refuse, but for what only [FormatDecision] checks of a decision; whether
// receipt, subject and proof belong together was the business of [Submission.Open].
func FormatBody(b *Body) ([]byte, error) {
	if p := b.check(); p != nil {
		return nil, p.under("body")
	}
	const hash = 43 + 3 // in base64url, with quotes and comma
	out := make([]byte, 0, 768+len(b.Receipt)+len(b.Deferral)+hash*len(b.Subject.Proof)+len(b.Decision)+len(b.Consent))
	out = append(out, `{"origin":`...)
	out = appendText(out, b.Origin)
	out = append(out, `,"kind":`...)
	out = appendText(out, b.Kind)
	out = append(out, `,"subject":{"code":`...)
	out = appendText(out, string(b.Subject.Code))
	out = append(out, `,"salt":`...)
	out = appendHash(out, &b.Subject.Salt)
	out = append(out, `,"position":`...)
	out = strconv.AppendInt(out, int64(b.Subject.Position), 10)
	out = append(out, `,"proof":[`...)
	for i := range b.Subject.Proof {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendHash(out, &b.Subject.Proof[i])
	}
	out = append(out, `]},"scope":`...)
	out = appendText(out, b.Scope)
	out = append(out, `,"agency":`...)
	out = appendText(out, b.Agency)
	out = append(out, `,"recorded_at":`...)
	out = strconv.AppendInt(out, b.RecordedAt, 10)
	out = append(out, `,"receipt":"`...)
	out = append(out, b.Receipt...)
	if b.Deferral != "" {
		out = append(out, `","deferral":"`...)
		out = append(out, b.Deferral...)
	}
	out = append(out, `","assurance":`...)
	out = b.Assurance.appendTo(out)
	out = append(out, `,"decision":`...)
	out = append(out, b.Decision...)
	if b.Consent != nil {
		out = append(out, `,"consent":`...)
		out = append(out, b.Consent...)
	}
	return append(out, '}'), nil
}

// appendText appends a string that checker.text or a narrower check accepted,
// so that nothing but " and \ needs an escape.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

func appendHash(b []byte, h *[32]byte) []byte {
	b = append(b, '"')
	b = base64url.AppendEncode(b, h[:])
	return append(b, '"')
}

// ParseBody decodes a body. What it accepts, [FormatBody] encodes to the same
// bytes. Errors are *Problem, at "body" or "body#<path>".
func ParseBody(data []byte) (*Body, error) {
	var w bodyJSON
	if err := ijson.Unmarshal(data, &w); err != nil {
		return nil, jsonProblem(err).under("body")
	}
	b := &Body{
		Origin: w.Origin, Kind: w.Kind, Scope: w.Scope, Agency: w.Agency, RecordedAt: w.RecordedAt,
		Receipt: w.Receipt, Deferral: w.Deferral, Assurance: w.Assurance, Decision: w.Decision, Consent: w.Consent,
		Subject: BodySubject{Code: Subject(w.Subject.Code), Position: w.Subject.Position},
	}
	var ok bool
	if b.Subject.Salt, ok = parseBase64Hash(w.Subject.Salt); !ok {
		return nil, &Problem{CodeBadSalt, "body#subject/salt", saltForm, textFound(w.Subject.Salt)}
	}
	for i, text := range w.Subject.Proof {
		h, ok := parseBase64Hash(text)
		if !ok {
			return nil, &Problem{CodeBadBase64, fmt.Sprintf("body#subject/proof/%d", i), saltForm, textFound(text)}
		}
		b.Subject.Proof = append(b.Subject.Proof, h)
	}
	if _, p := parseDecision(w.Decision); p != nil {
		p.Where = strings.TrimSuffix("decision/"+strings.TrimPrefix(p.Where, "/"), "/")
		return nil, p.under("body")
	}
	same, err := FormatBody(b)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(same, data) {
		return nil, &Problem{CodeSyntax, "body", "the one way to write this body", "another"}
	}
	return b, nil
}
