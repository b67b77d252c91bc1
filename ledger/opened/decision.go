// SPDX-License-Identifier: EUPL-1.2

package opened

import (
	"encoding/hex"

	"github.com/traccia-ledger/traccia/ledger"
)

// checkDecision checks that the decision on an access is by the bundle of policies that was active at its leaf, on facts
// of its receipt, and follows from that bundle where it is at hand.
func (c *Checker) checkDecision(index uint64, e *Event, found *findings) {
	b, r := e.Body, &e.Receipt.Receipt
	d, err := ledger.ParseDecision(b.Decision)
	if err != nil {
		found.problem(err, "body#decision")
		return
	}
	e.Decision = d
	reg := c.shard.Registry
	access := &ledger.Access{
		Receipt: r, Assurance: &b.Assurance,
		ConsumerAttributes: reg.Attributes(r.Consumer, index), ProviderAttributes: reg.Attributes(r.Provider, index),
	}
	if err := ledger.CheckDecided(b.Kind, d, access); err != nil {
		found.problem(err, "body#decision")
		return
	}
	if kind, _ := ledger.KindOf(b.Kind); !kind.Accesses() {
		return
	}
	expected, decided := "none by a bundle, since none was active", ledger.EffectRecorded
	active, ok := reg.Policy(index)
	if ok {
		expected = "one by the bundle active at this leaf, " + hex.EncodeToString(active.SHA256[:])
	}
	if d.Effect != ledger.EffectRecorded {
		decided = "one by " + hex.EncodeToString(d.Bundle[:])
	}
	if active.SHA256 != d.Bundle {
		found.add(ledger.CodeDecision, "body#decision/bundle", expected, decided)
		return
	}
	if !ok || c.shard.Bundle == nil {
		return
	}
	bundle := c.shard.Bundle(ledger.Hash(d.Bundle))
	if bundle == nil {
		return
	}
	e.Bundle = bundle
	if err := bundle.Replay(d, access); err != nil {
		found.problem(err, "body#decision")
	}
}
