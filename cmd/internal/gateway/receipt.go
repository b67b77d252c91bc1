// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"crypto/rand"
	"time"

	"github.com/google/uuid"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/checks"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/ledger"
)

// receiptOf is what is recorded of a call, but for its subjects and digests.
func receiptOf(ledgerName, iss string, route *config.Route, call *checks.Call) *ledger.Receipt {
	o := route.Operation
	return &ledger.Receipt{
		Aud: ledgerName, Iss: iss, JTI: uuid.NewString(), IssuedAt: time.Now().Unix(), Role: ledger.RoleProvider,
		Provider: route.Service.Provider, Consumer: call.Consumer, EService: route.Service.ID, PurposeID: call.PurposeID,
		Purpose: o.Purpose, LegalBasis: o.LegalBasis, LegalReference: o.LegalReference, DataCategories: o.DataCategories,
		Actor: call.Actor, Operation: ledger.Operation{Method: o.Method, Path: o.Path},
		OccurredAt: call.At.UTC().Format("2006-01-02T15:04:05.000Z"), Pair: call.Pair,
	}
}

// undelivered is the statement that nothing was released of what a receipt
// authorised.
func undelivered(about *ledger.Receipt) *ledger.Receipt {
	now := time.Now()
	return &ledger.Receipt{
		Aud: about.Aud, Iss: about.Iss, JTI: uuid.NewString(), IssuedAt: now.Unix(), Role: about.Role, Provider: about.Provider, Consumer: about.Consumer,
		Purpose: "Mancata consegna", LegalBasis: "https://w3id.org/dpv/legal/eu/gdpr#A6-1-c",
		LegalReference: "Regolamento (UE) 2016/679, art. 5, par. 1, lett. d)", DataCategories: []string{"https://w3id.org/dpv#ObservedPersonalData"},
		Actor: ledger.ActorService, Operation: ledger.Operation{Method: "POST", Path: "/statements"}, OccurredAt: now.UTC().Format(time.RFC3339),
		Statement: &ledger.Statement{Kind: ledger.StatementUndelivered, Receipt: about.ReceiptID()},
	}
}

// seal makes the submission of a receipt: it commits to the private part and the
// subjects, and is signed.
func seal(key *agencykey.Key, r *ledger.Receipt, private *ledger.Private, subjects []ledger.Subject) (*ledger.Submission, error) {
	s := &ledger.Submission{Voucher: private.Voucher, Evidence: private.Evidence}
	var err error
	if s.Private.Content, err = ledger.FormatPrivate(private); err != nil {
		return nil, err
	}
	rand.Read(s.Private.Salt[:])
	s.Subjects = make([]ledger.SaltedSubject, len(subjects))
	for i, subject := range subjects {
		s.Subjects[i].Subject = subject
		rand.Read(s.Subjects[i].Salt[:])
	}
	tree, err := ledger.NewSubjectTree(s.Subjects)
	if err != nil {
		return nil, err
	}
	r.PrivateDigest = ledger.PrivateDigest(&s.Private.Salt, s.Private.Content)
	r.Subjects = ledger.SubjectCommitment{Count: tree.Len(), Root: tree.Root()}
	if s.Receipt, err = ledger.SignReceipt(r, key.Kid, key.Signer); err != nil {
		return nil, err
	}
	_, err = s.Open() // which also finds a person's code in what the configuration says of the operation
	return s, err
}
