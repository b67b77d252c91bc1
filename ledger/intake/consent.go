// SPDX-License-Identifier: EUPL-1.2

package intake

import (
	"context"
	"fmt"
	"math"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// Granted says what the consent that a receipt names is worth for it.
type Granted struct {
	Kind    string          // of the event that gave it; "" with a problem
	Problem *ledger.Problem // why it doesn't cover the access; nil: it does
	Seen    []sequencer.SeenConsents
}

func (g *Granted) grant() ledger.Grant {
	return ledger.Grant{Consent: g.Kind == ledger.KindConsentGiven, Entitlement: g.Kind == ledger.KindEntitlementGiven}
}

// allow decides on an access, with the consent that it names. One that names a consent which doesn't cover it is recorded
// only if it is denied: no reader would take it for an access that is explained (formats §5), whatever else allowed it.
func (in *Intake) allow(ctx context.Context, p *sequencer.Pending, subjects []ledger.SaltedSubject) error {
	var g Granted
	r := p.Receipt
	if r.ConsentID != "" {
		var err error
		if g, err = in.Consents(ctx, &r.Receipt, subjects, in.Registry.Attributes(r.Consumer, math.MaxUint64)); err != nil {
			return fmt.Errorf("couldn't look up the consent: %w", err)
		}
	}
	p.Consents = g.Seen
	if err := in.decide(p, g.grant()); err != nil {
		return err
	}
	if g.Problem == nil || p.Kind == ledger.KindDenied {
		return nil
	}
	// Recorded already, it finds its entry, whatever became of the consent.
	_, recorded, err := in.Recorded(ctx, r.Iss, r.JTI)
	if err != nil {
		return fmt.Errorf("couldn't look up the submission: %w", err)
	}
	if !recorded {
		return g.Problem
	}
	return nil
}
