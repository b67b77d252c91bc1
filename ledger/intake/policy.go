// SPDX-License-Identifier: EUPL-1.2

package intake

import (
	"fmt"
	"math"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// decide takes the decision on an access by the bundle that is active behind
// every record so far: its record moves the registry's version, so that whatever
// was decided by another one is sent back. What is denied is recorded as such.
func (in *Intake) decide(p *sequencer.Pending, grant ledger.Grant) error {
	active, ok := in.Registry.Policy(math.MaxUint64)
	if !ok {
		return nil
	}
	bundle, err := in.Bundle(ledger.Hash(active.SHA256))
	if err != nil {
		return fmt.Errorf("couldn't decide by the active policies: %w", err)
	}
	d, err := bundle.Decide(&ledger.Access{
		Receipt: &p.Receipt.Receipt, Assurance: &p.Assurance, Grant: grant,
		ConsumerAttributes: in.Registry.Attributes(p.Receipt.Consumer, math.MaxUint64),
		ProviderAttributes: in.Registry.Attributes(p.Receipt.Provider, math.MaxUint64),
	})
	if err != nil {
		return fmt.Errorf("couldn't decide by the active policies: %w", err)
	}
	if d.Effect == ledger.EffectDeny {
		p.Kind = ledger.KindDenied
	}
	p.Decision, err = ledger.FormatDecision(d)
	return err
}
