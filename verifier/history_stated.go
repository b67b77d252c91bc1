// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"github.com/traccia-ledger/traccia/ledger"
)

// Place is where an event stands.
type Place struct {
	Epoch uint32 `json:"epoch"`
	Index uint64 `json:"index"`
}

// Deferred says under which order the notice of an access was put off.
type Deferred struct {
	Until     string `json:"until"`     // when the order ended
	By        string `json:"by"`        // the body that signed it
	Name      string `json:"by_name"`   // of that body
	Reference string `json:"reference"` // norm, office, number of the order
}

// statements ties what bodies state of an access to it.
func (c *historyCheck) statements() {
	accesses := map[string]*historyEvent{}
	unseen := c.bundle.Excerpt
	if len(c.shards) > 0 {
		unseen = unseen || c.shards[0].preamble.PreviousSize > 0
	}
	for _, e := range c.events {
		if e.opened == nil {
			unseen = true
			continue
		}
		s := e.opened.Receipt.Statement
		if s == nil {
			if kind, _ := ledger.KindOf(e.opened.Body.Kind); kind.Accesses() && len(e.faults) == 0 {
				accesses[e.opened.Receipt.ReceiptID()] = e
			}
			continue
		}
		about := accesses[s.Receipt]
		switch {
		case about != nil:
			e.states(about)
		case unseen:
			c.note(noteStatedUnseen, e.at.epoch, e.at.index, s.Receipt)
		default:
			e.fault(CodeNoReceipt, "receipt#statement/receipt", "a receipt of an event before it in the citizen's lists", "another")
		}
	}
}

// states checks a statement on an access, and shows them beside each other.
func (e *historyEvent) states(about *historyEvent) {
	r, scope := e.opened.Receipt, about.opened.Body.Scope
	if err := r.States(&about.opened.Receipt.Receipt); err != nil {
		e.faults = append(e.faults, *asProblem(err))
	}
	// What was deferred and isn't any more is spoken of in the scope that it would have had.
	if own := r.Iss == about.opened.Receipt.Iss; own && e.scope != scope && scope != ledger.ScopeDeferred {
		e.fault(CodeOtherScope, "body#scope", scope+", as the receipt that it is about", e.scope)
	}
	if len(e.faults) == 0 {
		e.about = about
		about.stated = append(about.stated, e)
	}
}

// deferred says under which order an event was put off; nil if under none.
func (e *historyEvent) deferred() *Deferred {
	order := e.opened.Order
	if order == nil {
		return nil
	}
	by, _ := e.shard.registry.Body(order.Iss)
	return &Deferred{Until: order.Until, By: order.Iss, Name: by.Name, Reference: order.Reference}
}

func (e *historyEvent) place() Place { return Place{e.at.epoch, e.at.index} }
