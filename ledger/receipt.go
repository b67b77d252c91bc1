// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/traccia-ledger/traccia/ledger/ijson"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// ReceiptType is the typ in a receipt's header; see also IntegrityType.
const ReceiptType = "traccia-receipt+jwt"

// Limits of a receipt.
const (
	MaxReceipt        = 8192 // bytes of the compact JWS; each event's body repeats it
	MaxDataCategories = 64
	MaxPath           = 512 // bytes of the path template
)

// Who signed a receipt.
const (
	RoleProvider = "provider" // the party that runs the recording gateway, for a provider it speaks for
	RoleConsumer = "consumer" // the consumer alone

	// RoleRequester: who looked into the ledger itself, or identified the citizen
	// who asks for something, and is issuer, provider and consumer in one.
	RoleRequester = "requester"
)

// What acted at the consumer.
const (
	ActorOperator = "operator" // a person at work
	ActorService  = "service"  // a batch job or an application
	ActorModel    = "model"    // a system that decides by itself
)

// Receipt is the payload of a receipt: which body consulted which, when and
// why. It names neither a citizen nor an operator. It is signed as a compact
// JWS with the header {"alg","kid","typ":"traccia-receipt+jwt"}; these members,
// in any order and with any white space:
//
//	{"aud":"registro.example","iss":"inps","jti":"5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11","iat":1795339800,
//	"role":"provider","provider":"inps","consumer":"c_a944","eservice":"843ac013-941a-4afe-8243-e668142e73e6",
//	"purpose_id":"9d1f2a34-7a0b-4c77-8f2e-1f6b1f0c2d3e","purpose":"Verifica ISEE per prestazione sociale",
//	"legal_basis":"https://w3id.org/dpv/legal/eu/gdpr#A6-1-e","legal_reference":"D.P.C.M. 159/2013, art. 11",
//	"data_categories":["https://w3id.org/dpv/pd#Income"],"actor":"operator",
//	"operation":{"method":"POST","path":"/isee/attestazioni"},"occurred_at":"2026-11-22T09:30:00Z",
//	"pair":"1f0c…64 hex","private_digest":"f523…64 hex","subjects":{"count":1,"root":"ab65…64 hex"}}
//
// One of role requester, or with a statement, rests on no call over PDND, and has
// no eservice, purpose_id and pair.
//
// Texts are 1 to 200 characters without control characters, line or paragraph
// separators and bidirectional controls. An optional text that is there but
// empty counts as absent; a hash that is there isn't zero.
type Receipt struct {
	Aud            string            `json:"aud"`                       // the ledger's name
	Iss            string            `json:"iss"`                       // id of the body that signed and submits
	JTI            string            `json:"jti"`                       // uuid, once per iss
	IssuedAt       int64             `json:"iat"`                       // seconds since 1970
	Role           string            `json:"role"`                      // a Role constant
	Provider       string            `json:"provider"`                  // id of the body whose data were consulted
	Consumer       string            `json:"consumer"`                  // id of the body that consulted
	EService       string            `json:"eservice,omitempty"`        // uuid, of PDND's catalogue; none unless OfCall
	PurposeID      string            `json:"purpose_id,omitempty"`      // uuid of PDND's purpose (finalità); none unless OfCall
	Purpose        string            `json:"purpose"`                   // text
	LegalBasis     string            `json:"legal_basis"`               // text, best an IRI of W3C DPV
	LegalReference string            `json:"legal_reference,omitempty"` // text: the norm
	DataCategories []string          `json:"data_categories"`           // 1 to 64 texts, none twice
	Actor          string            `json:"actor"`                     // an Actor constant
	Operation      Operation         `json:"operation"`                 // of the provider's API
	OccurredAt     string            `json:"occurred_at"`               // RFC 3339, UTC, final Z, up to 9 decimals
	ConsentID      string            `json:"consent_id,omitempty"`      // text, where consent is the basis
	ConsentDigest  Hex               `json:"consent_digest,omitzero"`   // SHA-256 of the consent member of the body, of events about consent alone
	Mandate        string            `json:"mandate,omitempty"`         // uuid of the mandate under which a delegate asked; of a look-up alone
	Pair           Hex               `json:"pair,omitzero"`             // Pair; none unless OfCall
	PrivateDigest  Hex               `json:"private_digest"`            // PrivateDigest
	Subjects       SubjectCommitment `json:"subjects"`
	Statement      *Statement        `json:"statement,omitempty"`   // what it says of another receipt
	Deferral       Hex               `json:"deferral,omitzero"`     // DeferralDigest, where notice of the access is deferred
	BreakGlass     *BreakGlass       `json:"break_glass,omitempty"` // where the answer was released while the ledger was down
}

// Operation is what was called: the template of the path, never the path with a
// citizen's code in it.
type Operation struct {
	Method string `json:"method"` // GET, HEAD, POST, PUT, PATCH or DELETE
	Path   string `json:"path"`   // begins with /, ASCII without space, ? and #, up to 512 bytes
}

// SubjectCommitment is how many subjects a receipt is about and the root of
// their [SubjectTree].
type SubjectCommitment struct {
	Count int `json:"count"`         // 1 to 10,000
	Root  Hex `json:"root,omitzero"` // of none, none
}

// ReceiptID is the identity of a submission, "<iss>/<jti>".
func (r *Receipt) ReceiptID() string {
	return r.Iss + "/" + r.JTI
}

// OfCall says whether the receipt is that of a call over PDND, and rests on its
// tokens.
func (r *Receipt) OfCall() bool { return r.Role != RoleRequester && r.Statement == nil }

// Occurred is OccurredAt; zero if that isn't a time, which no parsed receipt has.
func (r *Receipt) Occurred() time.Time {
	t, _ := parseTime(r.OccurredAt)
	return t
}

func (r *Receipt) checkWhole() *Problem {
	if p := r.check(); p != nil {
		return p
	}
	var c checker
	c.hash("private_digest", r.PrivateDigest)
	c.hash("subjects/root", r.Subjects.Root)
	return c.problem
}

// check leaves out the digests of what a receipt alone commits to.
func (r *Receipt) check() *Problem {
	var c checker
	if CheckName(r.Aud) != nil {
		c.fail(CodeBadName, "aud", "a ledger's name", textFound(r.Aud))
	}
	c.id("iss", r.Iss)
	c.uuid("jti", r.JTI)
	if r.IssuedAt < 0 || r.IssuedAt > ijson.MaxNumber {
		c.fail(CodeBadTime, "iat", "seconds since 1970", "a number out of range")
	}
	c.word("role", r.Role, RoleProvider, RoleConsumer, RoleRequester)
	c.id("provider", r.Provider)
	c.id("consumer", r.Consumer)
	c.call(r)
	c.text("purpose", r.Purpose, MaxText)
	c.text("legal_basis", r.LegalBasis, MaxText)
	if r.LegalReference != "" {
		c.text("legal_reference", r.LegalReference, MaxText)
	}
	c.categories(r.DataCategories)
	c.word("actor", r.Actor, ActorOperator, ActorService, ActorModel)
	c.word("operation/method", r.Operation.Method, "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
	c.path("operation/path", r.Operation.Path)
	c.time("occurred_at", r.OccurredAt)
	if r.ConsentID != "" {
		c.text("consent_id", r.ConsentID, MaxText)
	}
	if r.ConsentDigest != (Hex{}) && r.Role != RoleRequester {
		c.fail(CodeBadValue, "consent_digest", "one with "+RoleRequester+" alone", "one")
	}
	if r.Mandate != "" {
		c.uuid("mandate", r.Mandate)
		if r.Role != RoleRequester || r.ConsentDigest != (Hex{}) {
			c.fail(CodeBadValue, "mandate", "one in a look-up alone", "one")
		}
	}
	if r.BreakGlass != nil {
		c.breakGlass(r)
	}
	if n := r.Subjects.Count; n < 1 || n > MaxSubjects {
		c.fail(CodeBadCount, "subjects/count", fmt.Sprintf("1 to %d", MaxSubjects), strconv.Itoa(n))
	}
	return c.problem
}

// call checks the claims that tie a receipt to a call over PDND.
func (c *checker) call(r *Receipt) {
	if !r.OfCall() {
		const neither = "with " + RoleRequester + " and in a statement"
		if r.EService != "" || r.PurposeID != "" || r.Pair != (Hex{}) {
			c.fail(CodeBadValue, "role", "no eservice, purpose_id and pair "+neither, "one of them")
		}
		if r.Deferral != (Hex{}) {
			c.fail(CodeBadValue, "deferral", "none "+neither, "one")
		}
		if r.Statement != nil {
			c.statement(r)
		} else if r.Provider != r.Iss || r.Consumer != r.Iss {
			c.fail(CodeBadValue, "role", "iss as provider and consumer with "+RoleRequester, "another")
		}
		return
	}
	for _, claim := range []struct{ where, text string }{{"eservice", r.EService}, {"purpose_id", r.PurposeID}} {
		if claim.text == "" {
			c.fail(CodeMissing, claim.where, "a uuid in lower-case hex, 8-4-4-4-12", "nothing")
		} else {
			c.uuid(claim.where, claim.text)
		}
	}
	c.hash("pair", r.Pair)
	if r.Deferral != (Hex{}) {
		c.word("role", r.Role, RoleProvider)
	}
}

func (c *checker) categories(list []string) {
	const where = "data_categories"
	if n := len(list); n < 1 || n > MaxDataCategories {
		c.fail(CodeBadCount, where, fmt.Sprintf("1 to %d categories", MaxDataCategories), strconv.Itoa(n))
		return
	}
	for i, category := range list {
		at := where + "/" + strconv.Itoa(i)
		c.text(at, category, MaxText)
		for _, before := range list[:i] {
			if before == category {
				c.fail(CodeRepeated, at, "each category once", "one that occurs before")
			}
		}
	}
}

func (c *checker) path(where, s string) {
	if len(s) > MaxPath {
		c.fail(CodeTooLong, where, fmt.Sprintf("1 to %d bytes", MaxPath), strconv.Itoa(len(s)))
		return
	}
	if s == "" || s[0] != '/' {
		c.fail(CodeBadValue, where, "a path template that begins with /", textFound(s))
		return
	}
	for i := range len(s) {
		if b := s[i]; b <= ' ' || b >= 0x7f || b == '?' || b == '#' {
			c.fail(CodeBadValue, where, "a path template of ASCII without space, ? and #", fmt.Sprintf("another character at byte %d", i))
			return
		}
	}
}

// FormatReceipt encodes a receipt's payload. It refuses, with a *Problem, what
// [ParseReceipt] would refuse.
func FormatReceipt(r *Receipt) ([]byte, error) {
	if p := r.checkWhole(); p != nil {
		return nil, p.under("receipt")
	}
	return marshal(r)
}

// marshal is json.Marshal without the escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// SignReceipt formats and signs a receipt. The algorithm follows from the key:
// ES256 (P-256), RS256 or EdDSA (Ed25519).
func SignReceipt(r *Receipt, kid string, signer crypto.Signer) (string, error) {
	payload, err := FormatReceipt(r)
	if err != nil {
		return "", err
	}
	compact, err := jws.Sign(ReceiptType, payload, kid, signer)
	if err != nil {
		return "", fmt.Errorf("couldn't sign receipt: %w", err)
	}
	if _, err := ParseReceipt(compact); err != nil {
		return "", err
	}
	return compact, nil
}

// SignedReceipt is a receipt in its compact form, well formed. Its signature is
// not yet verified: that takes the key, and is JWS.Verify.
type SignedReceipt struct {
	Receipt
	Compact       string
	JWS           *jws.Unverified
	PayloadDigest Hash // SHA-256 of the payload's bytes: what makes two receipts the same entry
	payload       []byte
}

// ParseReceipt decodes a compact receipt, of ReceiptType or, where the body's
// gateway signed it, of IntegrityType. Errors are *Problem, at "receipt",
// "receipt#<path of the claim>", "receipt#<header parameter>", "receipt#header",
// "receipt#payload" or "receipt#signature".
func ParseReceipt(compact string) (*SignedReceipt, error) {
	if n := len(compact); n > MaxReceipt {
		return nil, &Problem{CodeTooLong, "receipt", fmt.Sprintf("at most %d bytes", MaxReceipt), strconv.Itoa(n)}
	}
	u, err := jws.Parse(compact)
	if err != nil {
		return nil, tokenProblem(err).under("receipt")
	}
	s := &SignedReceipt{Compact: compact, JWS: u, payload: u.Payload}
	switch {
	case u.Header.Typ == ReceiptType:
	case u.Header.Typ == IntegrityType && signsHeaders(u.Payload):
		var p *Problem
		if s.payload, p = parseIntegrity(u.Payload); p != nil {
			return nil, p.under("receipt")
		}
	default:
		return nil, &Problem{CodeBadValue, "receipt#typ", ReceiptType + ", or " + IntegrityType + " of a request's signature", textFound(u.Header.Typ)}
	}
	s.PayloadDigest = sha256.Sum256(s.payload)
	if err := ijson.Unmarshal(s.payload, &s.Receipt); err != nil {
		return nil, jsonProblem(err).under("receipt")
	}
	if p := s.checkWhole(); p != nil {
		return nil, p.under("receipt")
	}
	return s, nil
}
