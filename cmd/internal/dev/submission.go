// SPDX-License-Identifier: EUPL-1.2

package dev

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// Submission makes the n-th submission, n ≥ 0. An access to a provider of the hub is signed by the hub; any other is reported
// by the consumer. Calls in any order, also side by side, give the same; only the signature of the receipt is random.
func (w *World) Submission(n int) (*ledger.Submission, error) {
	s, err := w.session(n)
	if err != nil {
		return nil, fmt.Errorf("couldn't begin a session: %w", err)
	}
	r, ids := w.choices("access", n), w.ids("access", n)
	sub := &ledger.Submission{Voucher: s.voucher, Evidence: s.evidence}
	for _, subject := range w.subjects(n, w.count(n, r), s.service, r) {
		sub.Subjects = append(sub.Subjects, ledger.SaltedSubject{Subject: subject, Salt: salt(ids)})
	}
	tree, err := ledger.NewSubjectTree(sub.Subjects)
	if err != nil {
		return nil, fmt.Errorf("couldn't make subjects: %w", err)
	}
	occurred := w.config.Now.Add(-time.Duration(r.IntN(30_000)) * time.Millisecond)
	if w.config.Profile == ledger.ProfileAudit01 {
		own := s.evidenceClaims
		own.JTI = uuid(ids)
		if sub.Evidence, err = signToken(w.tokens.clients[s.client], own); err != nil {
			return nil, fmt.Errorf("couldn't sign evidence: %w", err)
		}
	}
	private := s.private(sub, r)
	if sub.Private.Content, err = ledger.FormatPrivate(private); err != nil {
		return nil, err
	}
	sub.Private.Salt = salt(ids)

	receipt := s.receipt()
	if len(sub.Subjects) > massive {
		e := extraction
		receipt.Purpose, receipt.LegalBasis, receipt.LegalReference, receipt.DataCategories = e.purpose, e.basis, e.reference, e.data
		receipt.Actor = ledger.ActorService
	}
	receipt.Aud, receipt.JTI, receipt.IssuedAt = w.config.Ledger, uuid(ids), occurred.Unix()
	receipt.OccurredAt = occurred.Format("2006-01-02T15:04:05.000Z")
	evidenceDigest := ""
	if sub.Evidence != "" {
		evidenceDigest = fmt.Sprintf("%x", sha256.Sum256([]byte(sub.Evidence)))
	}
	receipt.Pair = ledger.Hex(ledger.Pair(s.voucherJTI, evidenceDigest, private.RequestDigest))
	receipt.PrivateDigest = ledger.Hex(ledger.PrivateDigest(&sub.Private.Salt, sub.Private.Content))
	receipt.Subjects = ledger.SubjectCommitment{Count: len(sub.Subjects), Root: ledger.Hex(tree.Root())}
	sub.Receipt, err = ledger.SignReceipt(receipt, w.keys[receipt.Iss].Kid, w.Signer(receipt.Iss))
	return sub, err
}

func salt(r *rand.ChaCha8) (s [32]byte) {
	r.Read(s[:])
	return s
}

// private is the private part of an access, with the request in INPS's form for welfare services (WaaS).
func (s *session) private(sub *ledger.Submission, r *rand.Rand) *ledger.Private {
	office := fmt.Sprintf("%04d", r.IntN(40))
	request := fmt.Sprintf(`{"ente":{"codice_ente":%q,"denominazione_ente":%q,"codice_ufficio":%q},"beneficiario":{"codice_fiscale":%q}}`,
		s.consumer.ID, s.consumer.Name, office, sub.Subjects[0].Subject)
	p := &ledger.Private{
		Voucher:        sub.Voucher,
		Evidence:       sub.Evidence,
		RequestDigest:  fmt.Sprintf("%x", sha256.Sum256([]byte(request))),
		ResponseDigest: fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "answer to %s %d", request, r.Uint64()))),
	}
	if s.operator != "" {
		p.Operator = &ledger.Operator{ID: s.operator, Office: office}
		if s.provider.ID == hub {
			p.IdentityHeaders = map[string]string{"INPS-Identity-UserId": s.operator, "INPS-Identity-CodiceUfficio": office}
		}
	}
	if r.IntN(100) < 85 {
		p.Case = fmt.Sprintf("%d/%05d", 2020+r.IntN(7), r.IntN(100_000))
	}
	return p
}

// receipt has the claims that all receipts of a session share.
func (s *session) receipt() *ledger.Receipt {
	r := &ledger.Receipt{
		Iss: s.consumer.ID, Role: ledger.RoleConsumer, Provider: s.provider.ID, Consumer: s.consumer.ID,
		EService: s.service.id, PurposeID: s.purposeID(),
		Purpose: s.purpose, LegalBasis: s.basis, LegalReference: s.reference, DataCategories: s.data,
		Actor: s.actor, Operation: ledger.Operation{Method: "POST", Path: "/rest/" + s.service.slug + "/v1/consultazione"},
	}
	if slices.Contains(hubProviders, s.provider.ID) {
		r.Iss, r.Role = hub, ledger.RoleProvider
	}
	return r
}
