// SPDX-License-Identifier: EUPL-1.2

package consent

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// What the receipts of these events say of themselves, beside who signed them and what they commit to.
const (
	receiptPurpose   = "Registrazione della volontà dell'interessato"
	receiptBasis     = "https://w3id.org/dpv/legal/eu/gdpr#A6-1-c"
	receiptReference = "Regolamento (UE) 2016/679, art. 7"
	receiptCategory  = "https://w3id.org/dpv#ConsentRecord"
	receiptPath      = "/consents"
)

// NewID is the id of a new record: a random uuid (RFC 9562 §5.4). Made here and not by a library for what browsers load.
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Receipt is the receipt with which a body collects a statement. Its private_digest is for the caller to fill in.
func Receipt(s *Statement, raw json.RawMessage, body string, now time.Time) *ledger.Receipt {
	return &ledger.Receipt{
		Aud: s.Record.Ledger, Iss: body, JTI: NewID(), IssuedAt: now.Unix(), Role: ledger.RoleRequester,
		Provider: body, Consumer: body, Purpose: receiptPurpose, LegalBasis: receiptBasis, LegalReference: receiptReference,
		DataCategories: []string{receiptCategory}, Actor: ledger.ActorOperator,
		Operation: ledger.Operation{Method: "POST", Path: receiptPath}, OccurredAt: now.UTC().Format(instantForm),
		ConsentID: s.Record.concerns(), ConsentDigest: sha256.Sum256(raw),
		Subjects: ledger.SubjectCommitment{Count: 1, Root: ledger.Hex(s.Record.Subject)},
	}
}
