// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"fmt"
	"strconv"
)

// Profiles of assurance: which of the consumer's tokens were there and good.
const (
	ProfileAudit02 = "AUDIT_REST_02" // voucher and evidence, the voucher naming the evidence's digest
	ProfileAudit01 = "AUDIT_REST_01" // voucher and evidence
	ProfileVoucher = "VOUCHER_ONLY"

	// ProfileRequest: no token of PDND stands behind the event, but the signed
	// request of whoever looked into the ledger itself.
	ProfileRequest = "SIGNED_REQUEST"
)

// Flags on the quality of what the consumer sent.
const (
	FlagOperatorMissing   = "operator_missing"
	FlagOperatorConstant  = "operator_constant"   // a value that names nobody
	FlagCaseMissing       = "case_missing"        // no case reference
	FlagEvidenceLongLived = "evidence_long_lived" // may be reused for long
	FlagDnonceText        = "dnonce_text"         // dnonce as a string
)

// MaxFlags is how many flags an Assurance has at most, each of 1 to 40
// characters of a-z, 0-9 and _.
const MaxFlags = 16

// Assurance says which checks of the consumer's tokens an event stands on. It
// is part of the body that the citizen opens, so it names no operator, jti or
// token.
//
//	{"profile":"AUDIT_REST_02","voucher":{"alg":"RS256","kid":"qZnd…","issuer":"interop.pagopa.it"},
//	"evidence":{"alg":"RS256","kid":"trc9…"},"loa":2,"late":false,"flags":["dnonce_text"]}
type Assurance struct {
	Profile  string         `json:"profile"`
	Voucher  VoucherCheck   `json:"voucher,omitzero"`   // zero exactly with ProfileRequest
	Evidence *EvidenceCheck `json:"evidence,omitempty"` // nil exactly with ProfileVoucher and ProfileRequest
	LoA      int            `json:"loa,omitempty"`      // level of the operator's identity, 1 to 4; 0 if not said
	Late     bool           `json:"late"`               // recorded more than 10 minutes after it occurred
	Flags    []string       `json:"flags"`              // Flag constants and others of that form, none twice
}

// VoucherCheck says what the voucher was verified with.
type VoucherCheck struct {
	Alg    string `json:"alg"`
	Kid    string `json:"kid"`
	Issuer string `json:"issuer"`
}

// EvidenceCheck says what the TrackingEvidence was verified with.
type EvidenceCheck struct {
	Alg string `json:"alg"`
	Kid string `json:"kid"`
}

func (a *Assurance) check(c *checker) {
	c.word("assurance/profile", a.Profile, ProfileAudit02, ProfileAudit01, ProfileVoucher, ProfileRequest)
	if a.Profile != ProfileRequest {
		c.algorithm("assurance/voucher/alg", a.Voucher.Alg)
		c.text("assurance/voucher/kid", a.Voucher.Kid, MaxText)
		c.text("assurance/voucher/issuer", a.Voucher.Issuer, MaxText)
	} else if a.Voucher != (VoucherCheck{}) {
		c.fail(CodeBadValue, "assurance/voucher", "none with "+ProfileRequest, "one")
	}
	if e := a.Evidence; e != nil {
		c.algorithm("assurance/evidence/alg", e.Alg)
		c.text("assurance/evidence/kid", e.Kid, MaxText)
	}
	if (a.Evidence != nil) != (a.Profile == ProfileAudit02 || a.Profile == ProfileAudit01) {
		c.fail(CodeBadValue, "assurance/evidence", "evidence with "+ProfileAudit02+" and "+ProfileAudit01+", and only there", "the contrary")
	}
	if a.LoA < 0 || a.LoA > 4 {
		c.fail(CodeBadValue, "assurance/loa", "1 to 4, or none", strconv.Itoa(a.LoA))
	}
	if n := len(a.Flags); n > MaxFlags {
		c.fail(CodeBadCount, "assurance/flags", fmt.Sprintf("at most %d flags", MaxFlags), strconv.Itoa(n))
		return
	}
	for i, flag := range a.Flags {
		c.flag(flag, a.Flags[:i])
	}
}

func (c *checker) algorithm(where, alg string) {
	c.word(where, alg, "RS256", "ES256", "EdDSA")
}

func (c *checker) flag(flag string, before []string) {
	const where, form = "assurance/flags", "words of 1 to 40 characters of a-z, 0-9 and _"
	if flag == "" || len(flag) > 40 {
		c.fail(CodeBadValue, where, form, textFound(flag))
	}
	for i := range len(flag) {
		if b := flag[i]; (b < 'a' || 'z' < b) && (b < '0' || '9' < b) && b != '_' {
			c.fail(CodeBadValue, where, form, fmt.Sprintf("another character at byte %d", i))
		}
	}
	for _, other := range before {
		if other == flag {
			c.fail(CodeRepeated, where, "each flag once", "one that occurs before")
		}
	}
}

func (a *Assurance) appendTo(b []byte) []byte {
	b = append(b, `{"profile":`...)
	b = appendText(b, a.Profile)
	if a.Profile != ProfileRequest {
		b = append(b, `,"voucher":{"alg":`...)
		b = appendText(b, a.Voucher.Alg)
		b = append(b, `,"kid":`...)
		b = appendText(b, a.Voucher.Kid)
		b = append(b, `,"issuer":`...)
		b = appendText(b, a.Voucher.Issuer)
		b = append(b, '}')
	}
	if e := a.Evidence; e != nil {
		b = append(b, `,"evidence":{"alg":`...)
		b = appendText(b, e.Alg)
		b = append(b, `,"kid":`...)
		b = appendText(b, e.Kid)
		b = append(b, '}')
	}
	if a.LoA != 0 {
		b = append(b, `,"loa":`...)
		b = strconv.AppendInt(b, int64(a.LoA), 10)
	}
	b = append(b, `,"late":`...)
	b = strconv.AppendBool(b, a.Late)
	b = append(b, `,"flags":[`...)
	for i, flag := range a.Flags {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, flag)
	}
	return append(b, "]}"...)
}
