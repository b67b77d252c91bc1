// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// Counted says how many events a citizen's lists have that a history shows now: a cheap way to see that there is something new.
// What an order puts off isn't counted before it ends. It leaves no event.
func (n *Node) Counted(ctx context.Context, subject ledger.Subject) (count uint64, err error) {
	done, err := n.use()
	if err != nil {
		return 0, err
	}
	defer done()
	err = n.withSnapshot(ctx, func(snap store.Reader) error {
		for _, y := range n.all() {
			if y.gone {
				continue
			}
			until, err := y.withheld(ctx)
			if err != nil {
				return err
			}
			scopes := append(y.registry.Scopes(), ledger.ScopeConsent, ledger.ScopeLedger, ledger.ScopeReported)
			if until.IsZero() {
				scopes = append(scopes, ledger.ScopeDeferred)
			}
			keys := make([][]byte, len(scopes))
			for i, scope := range scopes {
				keys[i] = rows.SubjectCounterKey(&y.handle, y.epoch, subject, scope)
			}
			values, err := snap.GetMany(ctx, store.TableCounter, keys)
			if err != nil {
				return err
			}
			for _, value := range values {
				next, err := rows.ParseCounter(value, 4)
				if err != nil {
					return err
				}
				count += next
			}
		}
		return nil
	})
	return count, err
}
