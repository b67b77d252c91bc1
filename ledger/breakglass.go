// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Limits of a session of break-glass.
const (
	MaxSession      = 15 * time.Minute
	MaxSessionCalls = 1000
)

// vitalBases are the legal bases on which an answer may be released while the
// ledger is down, as ids of the default vocabulary and as IRIs.
var vitalBases = []string{
	"https://w3id.org/dpv/legal/eu/gdpr#A6-1-d", "A6-1-d",
	"https://w3id.org/dpv/legal/eu/gdpr#A9-2-c", "A9-2-c",
}

// IsVital says whether a legal basis is that of vital interests, GDPR Art. 6(1)(d)
// or 9(2)(c).
func IsVital(legalBasis string) bool { return slices.Contains(vitalBases, legalBasis) }

// BreakGlass says that the answer was released while the ledger was down: which
// session allowed it, and the place of the receipt in the session's. Each names
// the one before, so that none is missing and none was put in between.
//
//	{"session":"0f9e7c1a-5b1d-4a86-9f0e-2f4c3c1a7b55","number":2,"previous":"8c1d…64 hex"}
type BreakGlass struct {
	Session  string `json:"session"`           // uuid, opened by a record of the issuer's
	Number   int    `json:"number"`            // 1 to MaxSessionCalls
	Previous Hex    `json:"previous,omitzero"` // SHA-256 of the payload of the receipt before; none exactly in the first
}

// breakGlass checks a receipt of a session. That the session was open is for
// whoever has the log.
func (c *checker) breakGlass(r *Receipt) {
	b := r.BreakGlass
	c.uuid("break_glass/session", b.Session)
	if b.Number < 1 || b.Number > MaxSessionCalls {
		c.fail(CodeBadCount, "break_glass/number", fmt.Sprintf("1 to %d", MaxSessionCalls), strconv.Itoa(b.Number))
	}
	if (b.Number == 1) != (b.Previous == Hex{}) {
		c.fail(CodeBadValue, "break_glass/previous", "the digest of the receipt before, and none in the first", "the contrary")
	}
	switch {
	case !r.OfCall():
		c.fail(CodeBadValue, "break_glass", "none in a receipt of no call", "one")
	case r.ConsentID != "":
		c.fail(CodeBadValue, "break_glass", "none where a consent is named", "one")
	case !IsVital(r.LegalBasis):
		c.fail(CodeBadValue, "legal_basis", "vital interests (A6-1-d, A9-2-c) with break_glass", textFound(r.LegalBasis))
	}
	c.word("role", r.Role, RoleProvider)
}
