// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// Codes of what the tokens in a private part say against their receipt.
const (
	CodePairMismatch    = "pair_mismatch"     // the receipt's pair isn't of these tokens
	CodeTokenPurpose    = "token_purpose"     // the voucher or evidence is for another purpose
	CodeTokenEService   = "token_eservice"    // the voucher is for another e-service
	CodeTokenTime       = "token_time"        // the voucher was over, or not valid yet
	CodeEvidenceDigest  = "evidence_digest"   // the voucher names another evidence than AUDIT_REST_02 takes
	CodeTokenMalformed  = "token_malformed"   // a token that can't be read
	CodeConsentMissing  = "consent_missing"   // consent is the basis, and none is named
	CodePurposeUnlisted = "purpose_unlisted"  // a purpose that the body didn't declare
	CodePurposeOver     = "purpose_over"      // declared for another time
	CodeEServiceUnused  = "eservice_unlisted" // not declared for the purpose
	CodeCategoryAdded   = "category_unlisted" // likewise
	CodeBasisOther      = "basis_unlisted"    // likewise
)

// claims are what is read of a token. Its signature was the ledger's to check: the assurance in the body says by which key.
type claims struct {
	JTI      string `json:"jti"`
	Iat      *int64 `json:"iat"`
	Nbf      *int64 `json:"nbf"`
	Exp      *int64 `json:"exp"`
	Purpose  string `json:"purposeId"`
	EService string `json:"eserviceId"`
	UserID   string `json:"-"`
	Digest   struct {
		Value string `json:"value"`
	} `json:"digest"`
	ok bool
}

func claimsOf(token string) (c claims) {
	parts := strings.Split(token, ".")
	if len(parts) < 2 {
		return c
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return claims{}
	}
	// Whoever writes a number here isn't known by it.
	var who struct {
		UserID any `json:"userID"`
	}
	_ = json.Unmarshal(payload, &who)
	c.UserID, _ = who.UserID.(string)
	c.ok = true
	return c
}

// leeway is how far the clocks of PDND, consumers and providers may differ.
const leeway = time.Minute

// tokens holds the tokens in a receipt's private part against the receipt.
func (a *Audit) tokens(e *ListedEvent, at AuditEvidence) error {
	v, r, profile := e.Private, &e.Opened.Receipt.Receipt, e.Opened.Body.Assurance.Profile
	if v == nil || v.Voucher == "" {
		return nil
	}
	tell := func(code, expected, found string) error {
		one := at
		one.Expected, one.Found = expected, found
		return a.find(ClassConformity, code, "", one)
	}
	voucher, evidence, digest := claimsOf(v.Voucher), claims{ok: true}, ""
	if v.Evidence != "" {
		sum := sha256.Sum256([]byte(v.Evidence))
		evidence, digest = claimsOf(v.Evidence), hex.EncodeToString(sum[:])
	}
	if !voucher.ok || !evidence.ok {
		return tell(CodeTokenMalformed, "a voucher, and evidence where there is any", "something else")
	}
	if len(voucher.JTI) > ledger.MaxText || ledger.Hex(ledger.Pair(voucher.JTI, digest, v.RequestDigest)) != r.Pair {
		if err := tell(CodePairMismatch, "the pair of voucher, evidence and request digest in the private part", "another"); err != nil {
			return err
		}
	}
	for _, check := range []struct {
		code, expected, found string
	}{
		{CodeTokenPurpose, r.PurposeID, voucher.Purpose}, {CodeTokenPurpose, r.PurposeID, evidence.Purpose}, {CodeTokenEService, r.EService, voucher.EService},
	} {
		if check.found == "" || check.found == check.expected {
			continue
		}
		found := "another"
		if isUUID(check.found) {
			found = check.found
		}
		if err := tell(check.code, check.expected, found); err != nil {
			return err
		}
	}
	from := voucher.Nbf
	if from == nil {
		from = voucher.Iat
	}
	occurred := r.Occurred()
	if from != nil && occurred.Before(time.Unix(*from, 0).Add(-leeway)) || voucher.Exp != nil && occurred.After(time.Unix(*voucher.Exp, 0).Add(leeway)) {
		if err := tell(CodeTokenTime, "a voucher that was good when the access took place", "another"); err != nil {
			return err
		}
	}
	if profile == ledger.ProfileAudit02 && voucher.Digest.Value != digest {
		return tell(CodeEvidenceDigest, "a voucher that names the evidence's digest", "another")
	}
	return nil
}
