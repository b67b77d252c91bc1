// SPDX-License-Identifier: EUPL-1.2

package webauthn

import (
	"encoding/json"
	"time"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// Rules are those by which a ledger records consents.
type Rules struct{}

// List implements node.ConsentRules.
func (Rules) List(name string, partial bool) node.ConsentList { return list{NewList(name, partial)} }

type list struct{ *consent.List }

func (l list) Clone() node.ConsentList { return list{l.List.Clone()} }

// Kind implements node.ConsentRules.
func (Rules) Kind(statement json.RawMessage, private *ledger.Private) (kind string, ends time.Time, err error) {
	s, err := consent.ParseStatement(statement)
	if err != nil {
		return "", time.Time{}, err
	}
	if private != nil && !s.Evidence.CheckLogin(private) {
		return "", time.Time{}, &ledger.Problem{Code: consent.CodeEvidence, Where: "private#login", Expected: "the login token that the evidence names, if any", Found: "another, or none"}
	}
	if s.Record.Kind == ledger.KindConsentGiven {
		ends = s.Record.Validity.Until
	}
	return s.Record.Kind, ends, nil
}

// Expired implements node.ConsentRules.
func (Rules) Expired(e node.ConsentExpiry) (json.RawMessage, *ledger.Receipt, error) {
	r := &consent.Record{
		Kind: ledger.KindConsentExpired, ID: consent.NewID(), Created: e.At.UTC().Truncate(time.Second), Language: "it",
		Ledger: e.Name, Epoch: e.Epoch, Previous: e.Previous, Subject: e.Subject, Ends: e.ID,
	}
	record, err := consent.FormatRecord(r)
	if err != nil {
		return nil, nil, err
	}
	raw, err := consent.FormatStatement(record, consent.Evidence{Type: consent.EvidenceClock})
	if err != nil {
		return nil, nil, err
	}
	s, err := consent.ParseStatement(raw)
	if err != nil {
		return nil, nil, err
	}
	receipt := consent.Receipt(s, raw, e.Body, e.At)
	receipt.Actor = ledger.ActorService
	return raw, receipt, nil
}
