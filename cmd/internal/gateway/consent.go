// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/ledger"
)

// find asks the ledger which consent of a citizen's an access can rest on: the id of the last consent or entitlement in
// force that reaches the receipt's consumer for its purpose and categories, "" where there is none. What it finds is named
// in the receipt and no more: whether it covers the access at its place in the log, the ledger decides when it records, so
// that a withdrawal in between wins. The error is errUnknown, or a *refused.
func (l *ledgerClient) find(ctx context.Context, key *agencykey.Key, r *ledger.Receipt, voucher string, subject ledger.Subject) (string, error) {
	content, err := l.lookUp(key, r, voucher, subject)
	if err != nil {
		return "", err
	}
	data, err := l.ask(ctx, "v1/agencies/"+key.Body+"/consents/look-up", content, func(req *http.Request) error {
		return key.SignRequest(req, content, l.name, time.Now())
	})
	if err != nil {
		return "", err
	}
	var seen struct{ Consents []ledger.ConsentSummary }
	if err := json.Unmarshal(data, &seen); err != nil {
		return "", fmt.Errorf("couldn't read what the ledger tells of consents: %w", errUnknown)
	}
	return choose(seen.Consents, r), nil
}

// lookUp is the request's content. The voucher is the call's: by it the ledger knows for which consumer the provider's
// gateway asks, and that it calls.
func (l *ledgerClient) lookUp(key *agencykey.Key, r *ledger.Receipt, voucher string, subject ledger.Subject) ([]byte, error) {
	s := &ledger.ConsentSubmission{Subject: ledger.SaltedSubject{Subject: subject}}
	rand.Read(s.Subject.Salt[:])
	rand.Read(s.Private.Salt[:])
	var err error
	if s.Private.Content, err = ledger.FormatPrivate(&ledger.Private{Voucher: voucher}); err != nil {
		return nil, err
	}
	tree, err := ledger.NewSubjectTree([]ledger.SaltedSubject{s.Subject})
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	s.Receipt, err = ledger.SignReceipt(&ledger.Receipt{
		Aud: l.name, Iss: key.Body, JTI: uuid.NewString(), IssuedAt: now.Unix(), Role: ledger.RoleRequester, Provider: key.Body, Consumer: key.Body,
		Purpose: "Verifica del consenso per una richiesta di " + r.Consumer, LegalBasis: "https://w3id.org/dpv/legal/eu/gdpr#A6-1-c",
		LegalReference: "Regolamento (UE) 2016/679, art. 7, par. 1", DataCategories: []string{"https://w3id.org/dpv#ConsentRecord"},
		Actor: ledger.ActorService, Operation: ledger.Operation{Method: http.MethodPost, Path: "/v1/agencies/{agency}/consents/look-up"},
		OccurredAt: now.Format(time.RFC3339), Subjects: ledger.SubjectCommitment{Count: 1, Root: tree.Root()},
		PrivateDigest: ledger.PrivateDigest(&s.Private.Salt, s.Private.Content),
	}, key.Kid, key.Signer)
	if err != nil {
		return nil, err
	}
	return ledger.FormatConsentSubmission(s)
}

// choose takes the last that covers the receipt, as the ledger judges it: words are compared byte for byte.
func choose(list []ledger.ConsentSummary, r *ledger.Receipt) (id string) {
	for _, s := range list {
		given := s.Kind == ledger.KindConsentGiven || s.Kind == ledger.KindEntitlementGiven
		purpose := slices.Contains(s.Purposes, r.Purpose) || slices.Contains(s.Purposes, r.PurposeID)
		left := func(category string) bool { return !slices.Contains(s.Categories, category) }
		at := r.Occurred()
		if given && s.State == ledger.ConsentInForce && purpose && !slices.ContainsFunc(r.DataCategories, left) && !at.Before(s.From) && at.Before(s.Until) {
			id = s.ID
		}
	}
	return id
}

// consent finds the consent that the call rests on, where it rests on one: an access to one person's data. Without one in
// force none is named, and the policies decide. A word is the outcome of a call that ends here.
func (c *call) consent(receipt *ledger.Receipt, list []ledger.Subject) (outcome string) {
	if !c.route.Operation.RestsOnConsent() || len(list) != 1 {
		receipt.ConsentID = ""
		return ""
	}
	if receipt.ConsentID != "" {
		return "" // of the request's person, who is the answer's
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), c.patience)
	defer cancel()
	id, err := c.ask.find(ctx, c.Key, receipt, c.who.Private.Voucher, list[0])
	var no *refused
	switch {
	case err == nil:
		receipt.ConsentID = id
		return ""
	case c.r.Context().Err() != nil:
		return outcomeGone
	case errors.As(err, &no):
		c.log.Error("the ledger refused to tell of a consent", "code", no.problem.Code, "where", no.problem.Where, "expected", no.problem.Expected)
		return c.refuse(http.StatusBadGateway, &ledger.Problem{
			Code: "consent_unknown", Where: "ledger", Expected: "a ledger that tells whether the person consents", Found: "a refusal by the ledger, " + no.problem.Code,
		})
	case errors.Is(err, errUnknown):
		return c.later(&ledger.Problem{Code: "ledger_unavailable", Where: "ledger", Expected: "the same call again, later", Found: "a ledger that doesn't answer"})
	}
	return c.fault(err, http.StatusInternalServerError)
}
