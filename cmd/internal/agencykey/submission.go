// SPDX-License-Identifier: EUPL-1.2

package agencykey

import (
	"crypto/rand"

	"github.com/traccia-ledger/traccia/ledger"
)

// Seal makes the submission of a receipt: it makes salts, commits the receipt to
// private part and subjects, and signs it. deferral is the order that puts off the
// notice, "" for none. What the ledger would refuse in it is a *ledger.Problem.
func (k *Key) Seal(r *ledger.Receipt, private *ledger.Private, subjects []ledger.Subject, deferral string) (*ledger.Submission, error) {
	s := &ledger.Submission{Voucher: private.Voucher, Evidence: private.Evidence, Deferral: deferral}
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
	if deferral != "" {
		r.Deferral = ledger.Hex(ledger.DeferralDigest(deferral))
	}
	if s.Receipt, err = ledger.SignReceipt(r, k.Kid, k.Signer); err != nil {
		return nil, err
	}
	if _, err := s.Open(); err != nil { // which also finds a subject's code in the receipt
		return nil, err
	}
	return s, nil
}
