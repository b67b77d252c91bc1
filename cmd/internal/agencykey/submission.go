// SPDX-License-Identifier: EUPL-1.2

package agencykey

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"io"

	"github.com/traccia-ledger/traccia/ledger"
)

// Seal makes the submission of a receipt: it makes salts, commits the receipt to
// private part and subjects, and signs it. deferral is the order that puts off the
// notice, "" for none. What the ledger would refuse in it is a *ledger.Problem.
func (k *Key) Seal(r *ledger.Receipt, private *ledger.Private, subjects []ledger.Subject, deferral string) (*ledger.Submission, error) {
	return k.seal(rand.Reader, r, private, subjects, deferral)
}

// SealAgain makes the same submission of the same receipt each time, byte for byte: what is made again of a record that is
// still there is then the same entry. Its salts come from the key and from iss and jti, which are to be of that record.
func (k *Key) SealAgain(r *ledger.Receipt, private *ledger.Private, subjects []ledger.Subject) (*ledger.Submission, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.Signer)
	if err != nil {
		return nil, fmt.Errorf("couldn't derive salts: %w", err)
	}
	seed, err := hkdf.Key(sha256.New, der, nil, "traccia/v1/salts\x00"+r.ReceiptID(), 32)
	if err != nil {
		return nil, fmt.Errorf("couldn't derive salts: %w", err)
	}
	block, err := aes.NewCipher(seed)
	if err != nil {
		return nil, fmt.Errorf("couldn't derive salts: %w", err)
	}
	again := *k
	if signer, ok := k.Signer.(*ecdsa.PrivateKey); ok {
		again.Signer = deterministic{signer}
	}
	return again.seal(cipher.StreamReader{S: cipher.NewCTR(block, make([]byte, aes.BlockSize)), R: zeros{}}, r, private, subjects, "")
}

// zeros, encrypted, are the key's stream.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// deterministic signs as RFC 6979 says.
type deterministic struct{ *ecdsa.PrivateKey }

func (k deterministic) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.PrivateKey.Sign(nil, digest, opts)
}

func (k *Key) seal(salts io.Reader, r *ledger.Receipt, private *ledger.Private, subjects []ledger.Subject, deferral string) (*ledger.Submission, error) {
	s := &ledger.Submission{Voucher: private.Voucher, Evidence: private.Evidence, Deferral: deferral}
	var err error
	if s.Private.Content, err = ledger.FormatPrivate(private); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(salts, s.Private.Salt[:]); err != nil {
		return nil, fmt.Errorf("couldn't make salts: %w", err)
	}
	s.Subjects = make([]ledger.SaltedSubject, len(subjects))
	for i, subject := range subjects {
		s.Subjects[i].Subject = subject
		if _, err := io.ReadFull(salts, s.Subjects[i].Salt[:]); err != nil {
			return nil, fmt.Errorf("couldn't make salts: %w", err)
		}
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
