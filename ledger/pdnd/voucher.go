// SPDX-License-Identifier: EUPL-1.2

package pdnd

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// voucher is what PDND's access token says. Ids are uuids; the last four are "" in vouchers older than July 2025.
type voucher struct {
	jti, issuer, clientID, purposeID string
	audience                         []string
	issuedAt, notBefore, expires     time.Time
	evidenceDigest                   string // SHA-256 of the compact evidence in lower-case hex, or ""

	producerID, consumerID, eserviceID, descriptorID string

	jkt string // RFC 7638 thumbprint of the key that it is bound to (cnf, RFC 9449), or ""
}

func readVoucher(r *reader) voucher {
	v := voucher{
		jti:          r.uuid("jti"),
		issuer:       r.text("iss", 256),
		audience:     readAudience(r),
		clientID:     r.uuid("client_id"),
		issuedAt:     r.seconds("iat"),
		notBefore:    r.seconds("nbf"),
		expires:      r.seconds("exp"),
		purposeID:    r.uuid("purposeId"),
		producerID:   r.optionalUUID("producerId"),
		consumerID:   r.optionalUUID("consumerId"),
		eserviceID:   r.optionalUUID("eserviceId"),
		descriptorID: r.optionalUUID("descriptorId"),
	}
	if sub := r.uuid("sub"); sub != v.clientID {
		r.refuse(CodeMismatch, "sub", "the client_id, "+v.clientID, sub)
	}
	if r.has("digest") {
		v.evidenceDigest = readEvidenceDigest(r)
	}
	if r.has("cnf") {
		v.jkt = readThumbprint(r)
	}
	return v
}

// readEvidenceDigest reads {"alg":"SHA256","value":"<64 hex digits>"}.
func readEvidenceDigest(r *reader) string {
	const shape = `{"alg":"SHA256","value":64 hex digits in lower case}`
	raw := find(r.members, "digest")
	members, err := parseObject(raw)
	if err != nil || string(find(members, "alg")) != `"SHA256"` {
		r.refuse(ledger.CodeBadValue, "digest", shape, kind(raw)+" that is something else")
		return ""
	}
	value := find(members, "value")
	if len(value) != 66 || value[0] != '"' || strings.ContainsFunc(string(value[1:65]), func(c rune) bool { return c > 'f' || !isHex(byte(c)) }) {
		r.refuse(ledger.CodeBadValue, "digest", shape, "as value "+kind(value))
		return ""
	}
	return string(value[1:65])
}

// readThumbprint reads {"jkt":"<43 characters of base64url>"}. Another kind of binding would go unchecked, so it is refused.
func readThumbprint(r *reader) string {
	raw := find(r.members, "cnf")
	members, err := parseObject(raw)
	if jkt := find(members, "jkt"); err == nil && len(members) == 1 && len(jkt) == 45 && jkt[0] == '"' {
		if sum, err := base64.RawURLEncoding.Strict().DecodeString(string(jkt[1:44])); err == nil && len(sum) == 32 {
			return string(jkt[1:44])
		}
	}
	r.refuse(ledger.CodeBadValue, "cnf", `{"jkt":43 characters of base64url}`, kind(raw)+" that is something else")
	return ""
}

func (c *Checker) judgeVoucher(v *voucher, call *Call) *ledger.Problem {
	if !slices.Contains(c.config.Issuers, v.issuer) {
		return &ledger.Problem{Code: CodeIssuer, Where: "voucher#iss", Expected: strings.Join(c.config.Issuers, " or "), Found: show(v.issuer)}
	}
	if p := judgeTimes("voucher", "access", v.issuedAt, v.notBefore, v.expires, call.OccurredAt); p != nil {
		return p
	}
	for _, id := range []struct{ name, expected, found string }{
		{"producerId", call.ProducerID, v.producerID},
		{"consumerId", call.ConsumerID, v.consumerID},
		{"eserviceId", call.EServiceID, v.eserviceID},
		{"purposeId", call.PurposeID, v.purposeID},
	} {
		if id.expected != "" && id.found != "" && id.expected != id.found {
			return &ledger.Problem{Code: CodeMismatch, Where: "voucher#" + id.name, Expected: "this access's, " + show(id.expected), Found: id.found}
		}
	}
	if len(call.DescriptorIDs) > 0 && v.descriptorID != "" && !slices.Contains(call.DescriptorIDs, v.descriptorID) {
		return &ledger.Problem{Code: CodeMismatch, Where: "voucher#descriptorId", Expected: "a version that is served, " + strings.Join(call.DescriptorIDs, " or "), Found: v.descriptorID}
	}
	return judgeAudience("voucher", v.audience, call.Audience)
}

func (v *voucher) flags() []string {
	if v.producerID == "" || v.consumerID == "" {
		return []string{FlagOldVoucher}
	}
	return nil
}
