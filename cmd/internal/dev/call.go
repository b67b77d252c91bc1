// SPDX-License-Identifier: EUPL-1.2

package dev

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"time"

	guid "github.com/google/uuid"

	"github.com/traccia-ledger/traccia/ledger"
)

// EService is one of the e-services that stand behind the hub's gateway, by the ids that vouchers for it bear.
type EService struct {
	ID, Descriptor string
	Provider       Body
	Audience       string
}

// EService makes one up by its name.
func (w *World) EService(name, provider, audience string) (EService, error) {
	body, ok := w.byID[provider]
	if !ok {
		return EService{}, fmt.Errorf("%s is none of the bodies with keys", provider)
	}
	return EService{fixedUUID("e-service " + name), fixedUUID("descriptor of " + name), body, audience}, nil
}

// voucherLife is PDND's.
const voucherLife = 10 * time.Minute

// Tokens are what a consumer sends with a call at this instant: a voucher of the stand-in for PDND, and an evidence of the
// consumer's where the profile has one, which names this operator.
func (w *World) Tokens(s EService, consumer, profile, operator string, now time.Time) (voucher, evidence string, err error) {
	body, ok := w.byID[consumer]
	if !ok {
		return "", "", fmt.Errorf("%s is none of the bodies with keys", consumer)
	}
	clientID := fixedUUID("client of " + body.ID)
	purpose := fixedUUID("purpose of " + body.ID + " for " + s.ID)
	issued := now.Unix()
	return w.sign(profile, &voucherClaims{
		JTI: guid.NewString(), Issuer: Issuer, Audience: s.Audience, ClientID: clientID, Subject: clientID,
		IssuedAt: issued, NotBefore: issued, Expires: issued + int64(voucherLife.Seconds()), PurposeID: purpose,
		Producer: s.Provider.Tenant, Consumer: body.Tenant, EService: s.ID, Descriptor: s.Descriptor,
	}, &evidenceClaims{
		Issuer: clientID, Audience: s.Audience, PurposeID: purpose, Dnonce: 1_000_000_000_000 + rand.Int64N(9_000_000_000_000),
		JTI: guid.NewString(), IssuedAt: issued, Expires: issued + int64(voucherLife.Seconds()), UserID: operator, Location: "sportello-1", LoA: "LOA3",
	}, int(clientID[0])%clientKeys)
}

// Sign is what a consumer adds to a call under INTEGRITY_REST_02: the digest of its content, and a signature good once.
func (w *World) Sign(s EService, consumer, contentType string, content []byte, now time.Time) (digest, signature string, err error) {
	clientID := fixedUUID("client of " + consumer)
	sum := sha256.Sum256(content)
	digest = "SHA-256=" + base64.StdEncoding.EncodeToString(sum[:])
	signature, err = signToken(w.tokens.clients[int(clientID[0])%clientKeys], map[string]any{
		"iss": clientID, "aud": s.Audience, "jti": guid.NewString(), "iat": now.Unix(), "exp": now.Add(voucherLife).Unix(),
		"signed_headers": []map[string]string{{"digest": digest}, {"content-type": contentType}},
	})
	return digest, signature, err
}

// Citizens returns some of the population, those whose files are asked for most.
func (w *World) Citizens(n int) []ledger.Subject {
	list := make([]ledger.Subject, n)
	for i := range list {
		list[i] = citizen(uint64(i))
	}
	return list
}
