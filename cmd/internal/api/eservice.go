// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
)

// The headers of a request that comes over PDND.
const (
	headerVoucher   = "Authorization"
	headerSignature = "Agid-JWT-Signature"
	headerDigest    = "Digest"
)

// overPDND checks a submission that a body's own gateway sent to the ledger as an e-service of PDND: a voucher for it, and
// the request's signature by INTEGRITY_REST_02 over its exact bytes. Where the signature covers the header Traccia-Claims it
// is the receipt (docs/formats.md §9), and the submission is returned with it. A request without these headers is returned
// as it came: the receipt in it is signed.
func (s *Server) overPDND(r *http.Request, content []byte) ([]byte, error) {
	var voucher, signature, digest, claims string
	for _, h := range []struct {
		name string
		into *string
	}{{headerVoucher, &voucher}, {headerSignature, &signature}, {headerDigest, &digest}, {ledger.ClaimsHeader, &claims}} {
		values := r.Header.Values(h.name)
		if len(values) > 1 {
			return nil, &ledger.Problem{Code: ledger.CodeRepeated, Where: "header:" + h.name, Expected: "the header once", Found: fmt.Sprintf("%d times", len(values))}
		}
		if len(values) == 1 {
			*h.into = strings.TrimSpace(values[0])
		}
	}
	if voucher == "" && signature == "" && claims == "" {
		if sum := sha256.Sum256(content); digest != "" && digest != "SHA-256="+base64.StdEncoding.EncodeToString(sum[:]) {
			return nil, &ledger.Problem{Code: ledger.CodeDigestMismatch, Where: "header:" + headerDigest, Expected: "the SHA-256 of the content, in base64", Found: "another digest"}
		}
		return content, nil
	}
	scheme, token, _ := strings.Cut(voucher, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return nil, &ledger.Problem{Code: ledger.CodeMissing, Where: "header:" + headerVoucher, Expected: "Bearer and a voucher of PDND for this ledger's e-service", Found: foundVoucher(voucher)}
	}
	tenant, client, err := s.node.Caller(r.Context(), strings.TrimSpace(token))
	if err != nil {
		return nil, err
	}
	submission, receipt, err := join(content, claims, signature)
	if err != nil {
		return nil, err
	}
	signed, err := pdnd.CheckRequest(r.Context(), r, content, s.node.Settings.PDND.EService.Audience, callerKeys{bodyKeys{s.node, receipt.Iss}}, s.node.Now())
	if err != nil {
		return nil, err
	}
	if signed.ClientID != "" && signed.ClientID != client {
		return nil, &ledger.Problem{Code: pdnd.CodeMismatch, Where: "header:" + headerSignature + "#client_id", Expected: "the voucher's client, " + client, Found: "another"}
	}
	if body, ok := s.node.Registry().Body(receipt.Iss); ok && body.Tenant != "" && tenant != "" && body.Tenant != tenant {
		return nil, &ledger.Problem{Code: "not_caller", Where: "header:" + headerVoucher + "#consumerId", Expected: "the tenant of " + receipt.Iss + ", " + body.Tenant, Found: tenant}
	}
	return submission, nil
}

func foundVoucher(voucher string) string {
	if voucher == "" {
		return "nothing"
	}
	return "something else"
}

// join puts a receipt that is the request's signature to the content that it covers; where claims is "", the content has
// a receipt of its own.
func join(content []byte, claims, signature string) ([]byte, *ledger.SignedReceipt, error) {
	if claims == "" {
		submission, err := ledger.ParseSubmission(content)
		if err != nil {
			return nil, nil, err
		}
		receipt, err := ledger.ParseReceipt(submission.Receipt)
		return content, receipt, err
	}
	const where = "header:" + headerSignature
	if signature == "" {
		return nil, nil, &ledger.Problem{Code: ledger.CodeMissing, Where: where, Expected: "the request's signature over " + ledger.ClaimsHeader + ", a compact JWS (INTEGRITY_REST_02)", Found: "nothing"}
	}
	receipt, err := ledger.ParseReceipt(signature)
	var p *ledger.Problem
	if errors.As(err, &p) {
		return nil, nil, &ledger.Problem{Code: p.Code, Where: strings.Replace(p.Where, "receipt", where, 1), Expected: p.Expected, Found: p.Found}
	}
	if err != nil {
		return nil, nil, err
	}
	if payload, err := base64.RawURLEncoding.DecodeString(claims); err != nil || receipt.JWS.Header.Typ != ledger.IntegrityType || sha256.Sum256(payload) != receipt.PayloadDigest {
		return nil, nil, &ledger.Problem{Code: pdnd.CodeMismatch, Where: where + "#signed_headers", Expected: "traccia-claims as in the header of the request", Found: "another value"}
	}
	submission, err := ledger.Complete(content, signature)
	return submission, receipt, err
}

// callerKeys are the keys that a body's gateway signs requests with: those that the log registers for the body, and those
// of PDND's clients.
type callerKeys struct{ bodyKeys }

func (k callerKeys) Key(ctx context.Context, kid string, at time.Time) (jose.JSONWebKey, error) {
	key, err := k.bodyKeys.Key(ctx, kid, at)
	if errors.Is(err, pdnd.ErrUnknownKey) {
		return k.node.ClientKey(ctx, kid, at)
	}
	return key, err
}

// headerStatus is the status of a refusal by overPDND.
func headerStatus(status int, p ledger.Problem) int {
	switch {
	case strings.HasPrefix(p.Where, "header:"+headerVoucher):
		return http.StatusUnauthorized
	case status == http.StatusUnprocessableEntity && strings.HasPrefix(p.Where, "header:"):
		return http.StatusBadRequest
	}
	return status
}
