// SPDX-License-Identifier: EUPL-1.2

package pdnd

import (
	"slices"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// evidence is what a consumer's TrackingEvidence says.
type evidence struct {
	jti, issuer, purposeID string
	audience               []string
	issuedAt, expires      time.Time
	notBefore              time.Time // zero where there is none
	userID                 string    // personal; "" where there is none
	loa                    int       // level of assurance 1 to 4; 0 where there is none
	nonce, nonceText       bool      // there is a dnonce; it is a string
}

// service is the name in a userID service:<name>, or "" where an operator is meant.
func (e *evidence) service() string {
	name, ok := strings.CutPrefix(e.userID, "service:")
	odd := func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.')
	}
	if !ok || len(name) > 64 || strings.ContainsFunc(name, odd) {
		return ""
	}
	return name
}

func readEvidence(r *reader) evidence {
	e := evidence{
		jti:       r.text("jti", 256),
		issuer:    r.text("iss", 256),
		audience:  readAudience(r),
		purposeID: r.uuid("purposeId"),
		issuedAt:  r.seconds("iat"),
		expires:   r.seconds("exp"),
		userID:    optionalText(r, "userID"),
		loa:       readLoA(r),
	}
	optionalText(r, "userLocation")
	if r.has("nbf") {
		e.notBefore = r.seconds("nbf")
	}
	if raw := find(r.members, "dnonce"); raw != nil {
		e.nonce, e.nonceText = true, raw[0] == '"'
		digits := strings.Trim(string(raw), `"`)
		if len(digits) != 13 || !isDigits(digits) {
			r.wrong("dnonce", "13 digits, as a number or a string")
		}
	}
	return e
}

// optionalText reads a string of up to 256 bytes that may be absent or empty.
func optionalText(r *reader, name string) string {
	raw := find(r.members, name)
	if raw == nil || string(raw) == `""` {
		return ""
	}
	return r.text(name, 256)
}

// readLoA takes LoA, userLoa or loa, one of them, with "LOA3", "LoA3", "loa3" or "3".
func readLoA(r *reader) int {
	level := 0
	for _, name := range []string{"LoA", "userLoa", "loa"} {
		raw := find(r.members, name)
		if raw == nil {
			continue
		}
		if level != 0 {
			r.refuse(ledger.CodeBadValue, name, "one of LoA, userLoa and loa", "more than one")
		}
		value := strings.Trim(strings.ToLower(string(raw)), `"`)
		value = strings.TrimPrefix(value, "loa")
		if raw[0] != '"' || len(value) != 1 || value[0] < '1' || value[0] > '4' {
			r.wrong(name, `a level as "LOA3", "LoA3" or "3"`)
			return 0
		}
		level = int(value[0] - '0')
	}
	return level
}

// judgeEvidence holds an evidence of this digest against the voucher of the same call.
func judgeEvidence(e *evidence, d digest, v *voucher, call *Call) *ledger.Problem {
	refuse := func(code, where, expected, found string) *ledger.Problem {
		return &ledger.Problem{Code: code, Where: where, Expected: expected, Found: found}
	}
	if v.evidenceDigest != "" {
		if v.evidenceDigest != d.String() {
			return refuse(ledger.CodeDigestMismatch, "voucher#digest", "the SHA-256 of the compact evidence in hex, "+d.String(), v.evidenceDigest)
		}
		if !e.nonce {
			return refuse(ledger.CodeMissing, "evidence#dnonce", "13 digits, as a number or a string", "nothing")
		}
	} else if e.issuer != v.clientID && e.issuer != v.consumerID {
		return refuse(CodeMismatch, "evidence#iss", "the voucher's client_id, "+v.clientID, showID(e.issuer))
	}
	if p := judgeTimes("evidence", "access", e.issuedAt, e.notBefore, e.expires, call.OccurredAt); p != nil {
		return p
	}
	if life := e.expires.Sub(e.issuedAt); life > MaxEvidenceLife {
		return refuse(CodeLifetime, "evidence#exp", "at most 30 days after iat", life.String())
	}
	if !slices.ContainsFunc(e.audience, func(a string) bool { return slices.Contains(v.audience, a) }) {
		return refuse(CodeAudience, "evidence#aud", "a value of the voucher's aud, "+show(v.audience[0]), show(e.audience[0]))
	}
	if p := judgeAudience("evidence", e.audience, call.Audience); p != nil {
		return p
	}
	if e.purposeID != v.purposeID {
		return refuse(CodeMismatch, "evidence#purposeId", "the voucher's, "+v.purposeID, e.purposeID)
	}
	return nil
}

func (e *evidence) flags(v *voucher) []string {
	var flags []string
	if f := operatorFlag(e); f != "" {
		flags = append(flags, f)
	}
	if e.loa == 0 {
		flags = append(flags, FlagLoAMissing)
	}
	if e.expires.Sub(e.issuedAt) > LongEvidenceLife {
		flags = append(flags, ledger.FlagEvidenceLongLived)
	}
	if e.issuer != v.clientID && e.issuer != v.consumerID {
		flags = append(flags, FlagEvidenceIssuer)
	}
	if e.nonceText {
		flags = append(flags, ledger.FlagDnonceText)
	}
	return flags
}

// constants are the userIDs of software that knows no operator.
var constants = []string{"admin", "administrator", "anonymous", "batch", "default", "demo", "n/a", "na", "n.d.", "nd", "none", "null", "operatore", "pdnd", "root", "service", "sistema", "system", "test", "undefined", "user", "utente"}

func operatorFlag(e *evidence) string {
	id := strings.ToLower(strings.TrimSpace(e.userID))
	if id == "" {
		return ledger.FlagOperatorMissing
	}
	if e.service() != "" {
		return ""
	}
	if slices.Contains(constants, id) || strings.HasPrefix(id, "service:") || strings.Trim(id, id[:1]) == "" {
		return ledger.FlagOperatorConstant
	}
	if _, err := ledger.ParseSubject(strings.ToUpper(id)); err == nil {
		if len(id) == 11 { // the code of an organisation
			return ledger.FlagOperatorConstant
		}
		return FlagOperatorFiscalCode
	}
	return ""
}
