// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// consentPlace orders events over the years in one number.
func consentPlace(epoch uint32, index uint64) int64 { return int64(epoch)<<44 | int64(index) }

// consentEvent keeps an event about consent that the body itself recorded.
func (a *Audit) consentEvent(e *ListedEvent) error {
	if a.Consents == nil {
		return nil
	}
	body, err := ledger.FormatBody(e.Opened.Body)
	if err != nil {
		return err
	}
	return a.consents.Add(&AuditItem{
		Key: string(e.Opened.Body.Subject.Code), Time: consentPlace(e.Epoch, e.Index), Epoch: e.Epoch, Index: e.Index, Flags: flagConsent,
		Receipt: string(e.Commitment[:]), Data: body,
	})
}

// consentUse keeps an access that names a consent.
func (a *Audit) consentUse(e *ListedEvent, at AuditEvidence) error {
	r := &e.Opened.Receipt.Receipt
	if r.ConsentID == "" || e.Kind == ledger.KindDenied {
		return nil
	}
	if a.Consents == nil {
		a.report.ConsentsUnseen++
		return nil
	}
	use, err := json.Marshal(ledger.ConsentUseOf(r, e.Attributes))
	if err != nil {
		return err
	}
	return a.consents.Add(&AuditItem{
		Key: string(e.Opened.Body.Subject.Code), Time: consentPlace(e.Epoch, e.Index), Epoch: e.Epoch, Index: e.Index, Receipt: at.Receipt, Data: use,
	})
}

// foldConsents holds each access that names a consent against the events about consent that the body itself recorded of
// the citizen. What other bodies recorded isn't in the list: a consent of theirs can't be judged, nor one of the body's own
// after they recorded something in between, which may have ended it.
func (a *Audit) foldConsents() error {
	var fold *consentFold
	for i, err := range a.consents.Sorted() {
		if err != nil {
			return err
		}
		if fold == nil || fold.citizen != i.Key {
			fold = &consentFold{citizen: i.Key, list: a.Consents(a.ledger, true), own: map[string]bool{}}
		}
		if i.Flags&flagConsent != 0 {
			if err := a.addConsent(fold, i); err != nil {
				return err
			}
			continue
		}
		if err := a.useConsent(fold, i); err != nil {
			return err
		}
	}
	return nil
}

type consentFold struct {
	citizen string
	list    Consents
	last    ledger.Hash
	own     map[string]bool // ids of what the body itself recorded
}

func (a *Audit) addConsent(fold *consentFold, i *AuditItem) error {
	body, err := ledger.ParseBody(i.Data)
	if err != nil {
		return err
	}
	receipt, err := ledger.ParseReceipt(body.Receipt)
	if err != nil {
		return err
	}
	e := ledger.ConsentEvent{Epoch: i.Epoch, Index: i.Index, Commitment: ledger.Hash([]byte(i.Receipt)), Body: body, Receipt: receipt}
	// Between two of the body's own there may be others', which it isn't shown: as events that don't open.
	if before, ok := previousOf(body.Consent); ok && before != fold.last {
		fold.list.Add(ledger.ConsentEvent{Epoch: i.Epoch, Index: i.Index, Commitment: before})
	}
	fold.last = e.Commitment
	if p := fold.list.Add(e); p != nil {
		return a.find(ClassConformity, p.Code, "", AuditEvidence{
			Origin: body.Origin, Index: i.Index, Receipt: receipt.ReceiptID(), OccurredAt: receipt.OccurredAt, Expected: p.Expected, Found: p.Found,
		})
	}
	fold.own[receipt.ConsentID] = true
	return nil
}

func (a *Audit) useConsent(fold *consentFold, i *AuditItem) error {
	var use ledger.ConsentUse
	if err := json.Unmarshal(i.Data, &use); err != nil {
		return err
	}
	if !fold.own[use.ID] {
		a.report.ConsentsUnseen++
		return nil
	}
	_, p := fold.list.Covers(use)
	if p != nil && p.Code == ledger.CodeConsentErased {
		a.report.ConsentsUnseen++
		return nil
	}
	a.report.ConsentsSeen++
	if p == nil {
		return nil
	}
	return a.find(ClassConformity, CodeNoConsent, "", AuditEvidence{
		Origin: ledger.Origin(a.ledger, i.Epoch), Index: i.Index, Receipt: i.Receipt, OccurredAt: use.At.UTC().Format(time.RFC3339), Expected: p.Expected, Found: p.Found,
	})
}

// previousOf is the commitment that a record names as that of the citizen's last event before it.
func previousOf(statement json.RawMessage) (h ledger.Hash, ok bool) {
	var s struct {
		Record struct {
			Previous string `json:"traccia:previous"`
		} `json:"record"`
	}
	if json.Unmarshal(statement, &s) != nil {
		return h, false
	}
	raw, err := hex.DecodeString(s.Record.Previous)
	if err != nil || len(raw) != len(h) {
		return h, false
	}
	return ledger.Hash(raw), true
}
