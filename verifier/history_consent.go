// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"github.com/traccia-ledger/traccia/ledger"
)

// consents folds the citizen's list in +consent, and checks that a consent that an access names covered it at its place.
func (c *historyCheck) consents() {
	if c.bundle.Excerpt {
		for _, e := range c.events {
			if e.opened != nil && e.opened.Receipt.ConsentID != "" && e.opened.Body.Scope != ledger.ScopeConsent {
				c.note(noteConsentNotShown, e.at.epoch, e.at.index)
			}
		}
		return
	}
	var list Consents
	partial := len(c.shards) > 0 && c.shards[0].preamble.PreviousSize > 0
	if c.rules.Consents != nil && len(c.shards) > 0 {
		list = c.rules.Consents(c.shards[0].preamble.Name, partial)
	}
	wrong := false // an event of the list broke a rule
	for _, e := range c.events {
		switch {
		case e.scope == ledger.ScopeConsent && list != nil:
			c.addConsent(list, e, partial)
			wrong = wrong || len(e.faults) > 0
		case e.opened == nil || !accesses(e.opened.Body.Kind) || e.opened.Receipt.ConsentID == "":
		case list == nil && e.opened.Body.Kind == ledger.KindDenied:
		case list == nil:
			e.fault(CodeNoConsent, "receipt#consent_id", "a consent that covers the access", "nothing that this reader can judge")
		default:
			c.checkConsent(list, e, wrong)
		}
	}
	if list != nil {
		c.report.Consents = list.Summaries(instantOf(c.shards[len(c.shards)-1].headMS))
	}
}

// addConsent takes an event of the list. One that broke a rule by itself counts as one that doesn't open.
func (c *historyCheck) addConsent(list Consents, e *historyEvent, partial bool) {
	event := ledger.ConsentEvent{Epoch: e.at.epoch, Index: e.at.index}
	if leaf, ok := e.shard.leaves[e.at.index].(ledger.Event); ok {
		event.Commitment = leaf.Commitment
	}
	if e.opened != nil && len(e.faults) == 0 {
		event.Body, event.Receipt = e.opened.Body, e.opened.Receipt
	}
	p := list.Add(event)
	switch {
	case p == nil:
	case partial:
		c.note(noteConsentBefore, e.at.epoch, e.at.index)
	default:
		e.faults = append(e.faults, *p)
	}
}

// checkConsent holds what the ledger says of a consent that an access names against the list. A denied access may name one
// that doesn't cover it.
func (c *historyCheck) checkConsent(list Consents, e *historyEvent, wrong bool) {
	r := &e.opened.Receipt.Receipt
	kind, p := list.Covers(ledger.ConsentUseOf(r, e.shard.registry.Attributes(r.Consumer, e.at.index)))
	switch {
	case p == nil:
	case p.Code == ledger.CodeConsentErased && !wrong:
		c.note(noteConsentErased, e.at.epoch, e.at.index)
		e.unsure = true
		return
	case e.opened.Body.Kind != ledger.KindDenied:
		e.fault(CodeNoConsent, p.Where, p.Expected, p.Found)
		return
	}
	d, err := ledger.ParseDecision(e.opened.Body.Decision)
	if err != nil || d.Facts == nil {
		return // what is wrong with it is said elsewhere
	}
	if given, entitled := kind == ledger.KindConsentGiven, kind == ledger.KindEntitlementGiven; d.Facts.Consent != given || d.Facts.Entitlement != entitled {
		e.fault(ledger.CodeDecision, "body#decision/facts/consent", "what the consent that the access names was worth at its place", "something else")
	}
}
