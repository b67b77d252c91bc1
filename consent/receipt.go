// SPDX-License-Identifier: EUPL-1.2

package consent

import (
	"crypto/sha256"
	"encoding/json"
	"time"

	"github.com/google/uuid"

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

// NewID is the id of a new record.
func NewID() string { return uuid.NewString() }

// Receipt is the receipt with which a body collects a statement. Its private_digest is for the caller to fill in.
func Receipt(s *Statement, raw json.RawMessage, body string, now time.Time) *ledger.Receipt {
	return &ledger.Receipt{
		Aud: s.Record.Ledger, Iss: body, JTI: uuid.NewString(), IssuedAt: now.Unix(), Role: ledger.RoleRequester,
		Provider: body, Consumer: body, Purpose: receiptPurpose, LegalBasis: receiptBasis, LegalReference: receiptReference,
		DataCategories: []string{receiptCategory}, Actor: ledger.ActorOperator,
		Operation: ledger.Operation{Method: "POST", Path: receiptPath}, OccurredAt: now.UTC().Format(instantForm),
		ConsentID: s.Record.concerns(), ConsentDigest: sha256.Sum256(raw),
		Subjects: ledger.SubjectCommitment{Count: 1, Root: ledger.Hex(s.Record.Subject)},
	}
}
