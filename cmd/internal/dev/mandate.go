// SPDX-License-Identifier: EUPL-1.2

package dev

import (
	"crypto/rand"
	"time"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/ledger"
)

// Delegation is whom one of People may act for, and who they are.
func (w *World) Delegation() (delegate, citizen ledger.Subject) {
	people := w.People()
	return people[1][0], people[2][0]
}

// Mandate is what the sample's municipality submits at its desk so that a support administrator may act for a citizen for a year, and
// the mandate's id. The place is that of node.ConsentPlace.
func (w *World) Mandate(citizen, delegate ledger.Subject, epoch uint32, previous *ledger.Hash, now time.Time) (raw []byte, id string, err error) {
	now = now.UTC().Truncate(time.Second)
	s := &ledger.ConsentSubmission{Subject: ledger.SaltedSubject{Subject: citizen}}
	rand.Read(s.Subject.Salt[:])
	rand.Read(s.Private.Salt[:])
	if s.Private.Content, err = ledger.FormatPrivate(&ledger.Private{Delegate: delegate}); err != nil {
		return nil, "", err
	}
	tree, err := ledger.NewSubjectTree([]ledger.SaltedSubject{s.Subject})
	if err != nil {
		return nil, "", err
	}
	id = consent.NewID()
	record, err := consent.FormatRecord(&consent.Record{
		Kind: ledger.KindMandateGiven, ID: id, Created: now, Language: "it", Ledger: w.config.Ledger, Epoch: epoch, Previous: previous, Subject: tree.Root(),
		Validity: &consent.Validity{From: now, Until: now.AddDate(1, 0, 0)},
		Relation: &consent.Relation{Kind: consent.RelationAdministrator, Deed: "Decreto di prova n. 1 del giudice tutelare di Esempio"},
	})
	if err != nil {
		return nil, "", err
	}
	if s.Consent, err = consent.FormatStatement(record, consent.Evidence{Type: consent.EvidenceDesk, Document: "carta d'identità di prova"}); err != nil {
		return nil, "", err
	}
	statement, err := consent.ParseStatement(s.Consent)
	if err != nil {
		return nil, "", err
	}
	receipt := consent.Receipt(statement, s.Consent, Municipality, now)
	receipt.PrivateDigest = ledger.Hex(ledger.PrivateDigest(&s.Private.Salt, s.Private.Content))
	key, _ := w.Key(Municipality)
	if s.Receipt, err = ledger.SignReceipt(receipt, key.Kid, w.Signer(Municipality)); err != nil {
		return nil, "", err
	}
	raw, err = ledger.FormatConsentSubmission(s)
	return raw, id, err
}
