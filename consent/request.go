// SPDX-License-Identifier: EUPL-1.2

package consent

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// RequestType is the typ of a signed request.
const RequestType = "traccia-consent-request+jwt"

// Limits of a request.
const (
	MaxRequest     = 3 << 10 // characters of its compact form: a link holds it, and a cookie
	MaxRequestDays = 1_461   // of validity asked for: four years, which a passkey of five outlives for a year
	maxRequestOpen = 366 * 24 * time.Hour
)

// Request is what a body asks citizens to consent to, in a link to the ledger's pages. It names nobody: the same link is for all.
//
//	{"alg":"ES256","kid":"k1","typ":"traccia-consent-request+jwt"}
//	{"aud":"registro.example","iss":"c_a944","jti":"5a0e7b3c-…","iat":1795339800,"exp":1803115800,"legal_basis":["eu-gdpr:A6-1-a"],
//	"recipients":["c_a944"],"purposes":["SocialWelfareProvision"],"categories":["isee"],"days":365}
//
// It is a compact JWS by a key of the body that the log registers. What it asks for is shown in the words of the ledger's
// vocabulary, never in the body's own.
type Request struct {
	Ledger     string   `json:"aud"`
	Body       string   `json:"iss"` // who asks: the controller
	ID         string   `json:"jti"` // uuid
	IssuedAt   int64    `json:"iat"` // unix seconds
	Expires    int64    `json:"exp"` // nobody can answer it any more; at most a year later
	LegalBasis []string `json:"legal_basis"`
	Recipients []string `json:"recipients"` // these and the next two as in Terms
	Purposes   []string `json:"purposes"`
	Categories []string `json:"categories"`
	Days       int      `json:"days"` // of 24 hours that the consent is valid, from when it is given
}

func (r *Request) check() *ledger.Problem {
	var c checker
	if ledger.CheckName(r.Ledger) != nil {
		c.fail(ledger.CodeBadName, "aud", "a ledger's name", textFound(r.Ledger))
	}
	c.check("jti", ledger.CheckUUID(r.ID))
	if r.IssuedAt < 1 || r.Expires <= r.IssuedAt || r.Expires-r.IssuedAt > int64(maxRequestOpen/time.Second) {
		c.fail(ledger.CodeBadTime, "exp", "after iat, by at most 366 days", strconv.FormatInt(r.Expires, 10))
	}
	if r.Days < 1 || r.Days > MaxRequestDays {
		c.fail(ledger.CodeBadValue, "days", fmt.Sprintf("1 to %d", MaxRequestDays), strconv.Itoa(r.Days))
	}
	if c.problem == nil {
		t := r.Terms()
		// What the pages add: it is checked when there is a record.
		t.Notice.Version, t.Withdrawal = "1", "1"
		t.check(&c, false)
	}
	if p := c.problem; p != nil {
		return problem(p.Code, requestPlaces.Replace(p.Where), p.Expected, p.Found)
	}
	return nil
}

// requestPlaces says of the parts of a record where a request has them.
var requestPlaces = strings.NewReplacer(
	"record#", "request#", "dpv:hasDataController", "iss", "dpv:hasLegalBasis", "legal_basis", "dpv:hasProcess/dpv:hasRecipient", "recipients",
	"dpv:hasProcess/dpv:hasPurpose", "purposes", "dpv:hasProcess/dpv:hasPersonalData", "categories",
)

// Terms are what it asks consent to, but for notice and way to withdraw.
func (r *Request) Terms() *Terms {
	return &Terms{Controller: r.Body, LegalBasis: r.LegalBasis, Recipients: r.Recipients, Purposes: r.Purposes, Categories: r.Categories}
}

// Validity is that of a consent given at an instant.
func (r *Request) Validity(from time.Time) *Validity {
	return &Validity{From: from, Until: from.Add(time.Duration(r.Days) * 24 * time.Hour)}
}

// SignRequest makes a request's compact form. It refuses, with a *ledger.Problem, what ParseRequest would refuse.
func SignRequest(r *Request, kid string, signer crypto.Signer) (string, error) {
	payload, err := formatRequest(r)
	if err != nil {
		return "", err
	}
	compact, err := jws.Sign(RequestType, payload, kid, signer)
	if err != nil {
		return "", fmt.Errorf("couldn't sign the request: %w", err)
	}
	if len(compact) > MaxRequest {
		return "", problem(ledger.CodeTooLong, "request", fmt.Sprintf("at most %d characters, signed", MaxRequest), strconv.Itoa(len(compact)))
	}
	return compact, nil
}

// RequestPath below a language is where the pages take a signed request, as the query's RequestField.
const (
	RequestPath  = "/consensi/richiesta"
	RequestField = "domanda"
)

// RequestLink is where citizens answer a signed request on the pages of an origin, https://registro.example, in a language.
func RequestLink(origin, lang, compact string) string {
	return origin + "/" + lang + RequestPath + "?" + RequestField + "=" + compact
}

func formatRequest(r *Request) ([]byte, error) {
	if p := r.check(); p != nil {
		return nil, p
	}
	return marshal(r)
}

// UnverifiedRequest is a well-formed request whose signature nobody has checked: that takes the body's key, and is JWS.Verify.
type UnverifiedRequest struct {
	Request
	JWS *jws.Unverified
}

// ParseRequest reads a compact request. Errors are *ledger.Problem, at "request" or within.
func ParseRequest(compact string) (*UnverifiedRequest, error) {
	if len(compact) > MaxRequest {
		return nil, problem(ledger.CodeTooLong, "request", fmt.Sprintf("at most %d characters", MaxRequest), strconv.Itoa(len(compact)))
	}
	token, err := jws.Parse(compact)
	if err != nil {
		var e *jws.Error
		if errors.As(err, &e) {
			return nil, problem(ledger.CodeSyntax, "request", e.Expected, e.Found)
		}
		return nil, err
	}
	if token.Header.Typ != RequestType {
		return nil, problem(ledger.CodeBadValue, "request#header/typ", RequestType, textFound(token.Header.Typ))
	}
	u := &UnverifiedRequest{JWS: token}
	if err := ijson.Unmarshal(token.Payload, &u.Request); err != nil {
		return nil, jsonProblem("request", err)
	}
	again, err := formatRequest(&u.Request)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, token.Payload) {
		return nil, problem(ledger.CodeSyntax, "request", "the one way to write this request", "another")
	}
	return u, nil
}
