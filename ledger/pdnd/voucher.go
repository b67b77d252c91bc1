// SPDX-License-Identifier: EUPL-1.2

package pdnd

import (
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

func (c *Checker) judgeVoucher(v *voucher, call *Call) *ledger.Problem {
	if !slices.Contains(c.config.Issuers, v.issuer) {
		return &ledger.Problem{Code: CodeIssuer, Where: "voucher#iss", Expected: strings.Join(c.config.Issuers, " or "), Found: show(v.issuer)}
	}
	if p := judgeTimes("voucher", v.issuedAt, v.notBefore, v.expires, call.OccurredAt); p != nil {
		return p
	}
	for _, id := range []struct{ name, expected, found string }{
		{"producerId", call.ProducerID, v.producerID},
		{"consumerId", call.ConsumerID, v.consumerID},
		{"eserviceId", call.EServiceID, v.eserviceID},
		{"descriptorId", call.DescriptorID, v.descriptorID},
		{"purposeId", call.PurposeID, v.purposeID},
	} {
		if id.expected != "" && id.found != "" && id.expected != id.found {
			return &ledger.Problem{Code: CodeMismatch, Where: "voucher#" + id.name, Expected: "the receipt's, " + show(id.expected), Found: id.found}
		}
	}
	return nil
}

func (v *voucher) flags() []string {
	if v.producerID == "" || v.consumerID == "" {
		return []string{FlagOldVoucher}
	}
	return nil
}
