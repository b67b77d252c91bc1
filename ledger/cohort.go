// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"crypto"
	"fmt"
	"strconv"

	"github.com/traccia-ledger/traccia/ledger/ijson"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

const (
	// CohortType is the typ in the header of a cohort's statement.
	CohortType = "traccia-cohort+jwt"
	// LeastCohort is the smallest group of which a record may tell, whatever a gateway or a policy says.
	LeastCohort = 10
	// MaxCohort is the greatest, in people.
	MaxCohort = 1_000_000_000
)

// Cohort says which body was given an aggregate: numbers about a group of people, and nothing about any of them. It is
// public. It names no citizen and no operator, and is signed by the party that gave it out, as a compact JWS with the typ
// CohortType, over these members:
//
//	{"aud":"registro.example","iss":"inps","jti":"5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11","iat":1795339800,"provider":"inps",
//	"consumer":"r_emiro","eservice":"843ac013-…","purpose_id":"9d1f2a34-…","purpose":"cohort-analytics","legal_basis":"A6-1-e",
//	"legal_reference":"L. 328/2000, art. 21","data_categories":["isee"],"actor":"service",
//	"operation":{"method":"POST","path":"/coorti"},"occurred_at":"2026-11-22T09:30:00Z","pair":"1f0c…64 hex",
//	"size":1200,"minimum":50,"selection":"77ab…64 hex"}
type Cohort struct {
	Aud            string    `json:"aud"` // the ledger's name
	Iss            string    `json:"iss"` // id of the body that runs the recording gateway
	JTI            string    `json:"jti"`
	IssuedAt       int64     `json:"iat"`
	Provider       string    `json:"provider"` // for which the issuer speaks
	Consumer       string    `json:"consumer"`
	EService       string    `json:"eservice"`
	PurposeID      string    `json:"purpose_id"`
	Purpose        string    `json:"purpose"`
	LegalBasis     string    `json:"legal_basis"`
	LegalReference string    `json:"legal_reference,omitempty"`
	DataCategories []string  `json:"data_categories"`
	Actor          string    `json:"actor"`
	Operation      Operation `json:"operation"`
	OccurredAt     string    `json:"occurred_at"`
	Pair           Hex       `json:"pair"`      // Pair, as in receipts
	Size           int       `json:"size"`      // RoundCohort of the group's
	Minimum        int       `json:"minimum"`   // below which the issuer gives nothing out
	Selection      Hex       `json:"selection"` // of who was chosen, keyed by the issuer: equal where the same was asked
}

// ID is the identity of a cohort, "<iss>/<jti>".
func (c *Cohort) ID() string { return c.Iss + "/" + c.JTI }

// RoundCohort rounds a size down to two significant digits, tens at least, so that two records don't differ by one person.
func RoundCohort(size int) int {
	unit := 10
	for size >= 100*unit {
		unit *= 10
	}
	return size - size%unit
}

// Access is what policies decide on: an access to so many people's data, at most MaxSubjects.
func (c *Cohort) Access() *Receipt {
	return &Receipt{
		Aud: c.Aud, Iss: c.Iss, JTI: c.JTI, IssuedAt: c.IssuedAt, Role: RoleProvider, Provider: c.Provider, Consumer: c.Consumer,
		EService: c.EService, PurposeID: c.PurposeID, Purpose: c.Purpose, LegalBasis: c.LegalBasis, LegalReference: c.LegalReference,
		DataCategories: c.DataCategories, Actor: c.Actor, Operation: c.Operation, OccurredAt: c.OccurredAt, Pair: c.Pair,
		Subjects: SubjectCommitment{Count: min(max(c.Size, 1), MaxSubjects)},
	}
}

func (c *Cohort) check() *Problem {
	if p := c.Access().check(); p != nil {
		return p
	}
	var k checker
	if c.Minimum < LeastCohort || c.Minimum > MaxCohort {
		k.fail(CodeBadCount, "minimum", fmt.Sprintf("%d to %d people", LeastCohort, MaxCohort), strconv.Itoa(c.Minimum))
	}
	if c.Size < RoundCohort(c.Minimum) || c.Size > MaxCohort || RoundCohort(c.Size) != c.Size {
		k.fail(CodeBadCount, "size", "a number of people not below minimum, rounded down to two digits and to tens at least", strconv.Itoa(c.Size))
	}
	k.hash("selection", c.Selection)
	for _, text := range append([]string{c.Purpose, c.LegalBasis, c.LegalReference, c.Operation.Path}, c.DataCategories...) {
		if NamesPerson(text) {
			k.fail(CodeNamesSubject, "", "no person's code", "one")
		}
	}
	return k.problem
}

// SignCohort formats and signs a cohort's statement. It refuses, with a *Problem, what ParseCohort would refuse.
func SignCohort(c *Cohort, kid string, signer crypto.Signer) (string, error) {
	if p := c.check(); p != nil {
		return "", p.under("cohort")
	}
	payload, err := marshal(c)
	if err != nil {
		return "", err
	}
	compact, err := jws.Sign(CohortType, payload, kid, signer)
	if err != nil {
		return "", fmt.Errorf("couldn't sign a cohort: %w", err)
	}
	_, _, err = ParseCohort(compact)
	return compact, err
}

// ParseCohort reads a statement, whose signature it doesn't check. Errors are *Problem, at "cohort" or "cohort#<path>".
func ParseCohort(compact string) (*Cohort, *jws.Unverified, error) {
	if n := len(compact); n > MaxReceipt {
		return nil, nil, &Problem{CodeTooLong, "cohort", fmt.Sprintf("at most %d bytes", MaxReceipt), strconv.Itoa(n)}
	}
	token, err := jws.Parse(compact)
	if err != nil {
		return nil, nil, tokenProblem(err).under("cohort")
	}
	if token.Header.Typ != CohortType {
		return nil, nil, &Problem{CodeBadValue, "cohort#typ", CohortType, textFound(token.Header.Typ)}
	}
	c := new(Cohort)
	if err := ijson.Unmarshal(token.Payload, c); err != nil {
		return nil, nil, jsonProblem(err).under("cohort")
	}
	if p := c.check(); p != nil {
		return nil, nil, p.under("cohort")
	}
	return c, token, nil
}

// CohortSubmission is what the issuer sends to have a cohort recorded: the statement, and the tokens of the call that it
// tells of, which are checked and not kept.
//
//	{"statement":"eyJ…","voucher":"eyJ…","evidence":"eyJ…","request_digest":"9f86…64 hex"}
type CohortSubmission struct {
	Statement     string `json:"statement"`
	Voucher       string `json:"voucher"`
	Evidence      string `json:"evidence,omitempty"`
	RequestDigest string `json:"request_digest,omitempty"` // SHA-256 of the request's content
}

// ParseCohortSubmission decodes a submission. Errors are *Problem.
func ParseCohortSubmission(data []byte) (*CohortSubmission, error) {
	s := new(CohortSubmission)
	if err := ijson.Unmarshal(data, s); err != nil {
		return nil, jsonProblem(err)
	}
	var c checker
	c.token("/statement", s.Statement, MaxReceipt)
	c.token("/voucher", s.Voucher, MaxToken)
	if s.Evidence != "" {
		c.token("/evidence", s.Evidence, MaxToken)
	}
	c.digest("/request_digest", s.RequestDigest)
	if c.problem != nil {
		return nil, c.problem
	}
	return s, nil
}

// FormatCohortSubmission encodes a submission.
func FormatCohortSubmission(s *CohortSubmission) ([]byte, error) { return marshal(s) }

// CohortAnswer proves that a cohort's record is in the log. Bytes are base64url without padding.
//
//	{"cohort_id":"inps/5a0e7b3c-…","origin":"registro.example/2026","index":4711,"leaf":"AQQAAAfq…","proof":"c2sp.org/tlog-proof@v1\n…"}
type CohortAnswer struct {
	CohortID string `json:"cohort_id"`
	Origin   string `json:"origin"`
	Index    uint64 `json:"index"`
	Leaf     Base64 `json:"leaf"`
	Proof    string `json:"proof"`
}

// FormatCohortAnswer encodes an answer.
func FormatCohortAnswer(a *CohortAnswer) ([]byte, error) { return marshal(a) }

// ParseCohortAnswer decodes an answer. Errors are *Problem.
func ParseCohortAnswer(data []byte) (*CohortAnswer, error) {
	a := new(CohortAnswer)
	if err := ijson.Unmarshal(data, a); err != nil {
		return nil, jsonProblem(err)
	}
	return a, nil
}
