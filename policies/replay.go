// SPDX-License-Identifier: EUPL-1.2

package policies

import (
	"bytes"
	"fmt"

	"github.com/traccia-ledger/traccia/ledger"
)

var _ ledger.Bundle = (*Engine)(nil)

// Decide implements ledger.Bundle.
func (e *Engine) Decide(a *ledger.Access) (ledger.Decision, error) {
	f := e.Facts(a)
	if err := ledger.CheckFacts(f); err != nil {
		return ledger.Decision{}, err // of a receipt or an assurance that was never parsed
	}
	return e.decide(f), nil
}

// Replay implements ledger.Bundle.
func (e *Engine) Replay(d *ledger.Decision, a *ledger.Access) error {
	if ledger.Hash(d.Bundle) != e.digest || d.Facts == nil {
		return refuse(ledger.CodeDecision, "body#decision/bundle", fmt.Sprintf("%x", e.digest), fmt.Sprintf("%x", d.Bundle))
	}
	with := *a
	with.Grant = ledger.Grant{Consent: d.Facts.Consent, Entitlement: d.Facts.Entitlement}
	f := e.Facts(&with)
	if err := ledger.CheckFacts(f); err != nil {
		return refuse(ledger.CodeDecision, "body#decision", "one on facts that can be", err.Error())
	}
	again := e.askCedar(f)
	if !bytes.Equal(again.Facts.Key(), d.Facts.Key()) {
		return refuse(ledger.CodeDecision, "body#decision/facts", "those of receipt, assurance and the bodies' records, in the bundle's terms", "others")
	}
	want, err := ledger.FormatDecision(again)
	if err != nil {
		return err
	}
	got, err := ledger.FormatDecision(*d)
	if err != nil {
		return err
	}
	if !bytes.Equal(want, got) {
		return refuse(ledger.CodeDecision, "body#decision", fmt.Sprintf("%s by %v", again.Effect, again.Policies), fmt.Sprintf("%s by %v", d.Effect, d.Policies))
	}
	return nil
}

// Explain implements ledger.Bundle.
func (e *Engine) Explain(d *ledger.Decision) []ledger.Ground {
	grounds := []ledger.Ground{}
	for _, id := range d.Policies {
		if p, ok := e.Policy(id); ok {
			grounds = append(grounds, ledger.Ground{Policy: id, Reference: p.Reference, It: p.ReasonIt, En: p.ReasonEn})
		}
	}
	return grounds
}

// Open compiles a bundle for those who know nothing of its language.
func Open(document []byte) (ledger.Bundle, error) {
	e, err := Compile(document)
	if err != nil {
		return nil, err
	}
	return e, nil
}
