// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"crypto"
	"crypto/sha256"
	"fmt"
	"strconv"
	"time"

	"github.com/traccia-ledger/traccia/ledger/ijson"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// DeferralType is the typ in the header of an order that defers a notice.
const DeferralType = "traccia-deferral+jwt"

// MaxDeferral is the length of the longest order in bytes of its compact JWS;
// each event's body repeats it.
const MaxDeferral = 2048

// DeferralMonths is how long after the end of its year an event may be deferred
// (formats §5).
const DeferralMonths = 24

// Deferral is the payload of an order by which the notice of an access to the
// citizen is put off: the access goes to ScopeDeferred, whose lists are given once
// the last order of their year has ended. It names an office and a norm, and no
// person; the citizen reads it then. It is signed as a compact JWS, with a key that
// the log registers for iss, and the header {"alg","kid","typ":"traccia-deferral+jwt"}:
//
//	{"aud":"registro.example","iss":"procura_bo","jti":"0b5f3c52-6f0d-4a39-9d0c-0a4c4a3f3f10",
//	"reference":"art. 329 c.p.p., decreto 17/2026","until":"2027-06-30T00:00:00Z"}
//
// That iss is entitled to order it nobody can read from the log: it shows who signed.
type Deferral struct {
	Aud       string `json:"aud"`       // the ledger's name
	Iss       string `json:"iss"`       // id of the body that orders
	JTI       string `json:"jti"`       // uuid
	Reference string `json:"reference"` // text: norm, office, number of the order
	Until     string `json:"until"`     // RFC 3339, UTC, final Z: when the notice is due
}

// Ends is Until; zero if that isn't a time, which no parsed order has.
func (d *Deferral) Ends() time.Time {
	t, _ := parseTime(d.Until)
	return t
}

// DeferralLimit is the instant at which the last order of a year has ended,
// whatever it says.
func DeferralLimit(epoch uint32) time.Time {
	return time.Date(int(epoch)+1, time.January+DeferralMonths, 1, 0, 0, 0, 0, time.UTC)
}

// DeferralDigest is what the receipt of a deferred access says of its order: the
// SHA-256 of the compact JWS.
func DeferralDigest(compact string) Hash { return sha256.Sum256([]byte(compact)) }

// SignedDeferral is an order in its compact form, well formed. Its signature is
// not yet verified.
type SignedDeferral struct {
	Deferral
	Compact string
	JWS     *jws.Unverified
}

func (d *Deferral) check() *Problem {
	var c checker
	if CheckName(d.Aud) != nil {
		c.fail(CodeBadName, "aud", "a ledger's name", textFound(d.Aud))
	}
	c.id("iss", d.Iss)
	c.uuid("jti", d.JTI)
	c.text("reference", d.Reference, MaxText)
	c.time("until", d.Until)
	return c.problem
}

// SignDeferral formats and signs an order. It refuses, with a *Problem, what
// [ParseDeferral] would refuse.
func SignDeferral(d *Deferral, kid string, signer crypto.Signer) (string, error) {
	if p := d.check(); p != nil {
		return "", p.under("deferral")
	}
	payload, err := marshal(d)
	if err != nil {
		return "", err
	}
	compact, err := jws.Sign(DeferralType, payload, kid, signer)
	if err != nil {
		return "", fmt.Errorf("couldn't sign the order: %w", err)
	}
	_, err = ParseDeferral(compact)
	return compact, err
}

// ParseDeferral decodes a compact order. Errors are *Problem, at "deferral" or
// "deferral#<path of the claim>" and so on, as those of [ParseReceipt].
func ParseDeferral(compact string) (*SignedDeferral, error) {
	if n := len(compact); n > MaxDeferral {
		return nil, &Problem{CodeTooLong, "deferral", fmt.Sprintf("at most %d bytes", MaxDeferral), strconv.Itoa(n)}
	}
	u, err := jws.Parse(compact)
	if err != nil {
		return nil, tokenProblem(err).under("deferral")
	}
	if u.Header.Typ != DeferralType {
		return nil, &Problem{CodeBadValue, "deferral#typ", DeferralType, textFound(u.Header.Typ)}
	}
	s := &SignedDeferral{Compact: compact, JWS: u}
	if err := ijson.Unmarshal(u.Payload, &s.Deferral); err != nil {
		return nil, jsonProblem(err).under("deferral")
	}
	if p := s.check(); p != nil {
		return nil, p.under("deferral")
	}
	return s, nil
}
