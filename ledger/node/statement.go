// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/intake"
	"github.com/traccia-ledger/traccia/ledger/rows"
)

// first returns the submission that a statement is about, from whichever year; nil where none of its events opens.
func (n *Node) first(ctx context.Context, iss, jti string) (*intake.First, error) {
	for _, y := range slices.Backward(n.all()) {
		r, err := y.lookUp(ctx, iss, jti)
		if err != nil {
			return nil, err
		}
		if r != nil && !y.gone {
			return y.first(ctx, r)
		}
	}
	return nil, nil
}

func (y *year) first(ctx context.Context, r *rows.Receipt) (*intake.First, error) {
	until, err := y.withheld(ctx)
	if err != nil {
		return nil, err
	}
	var first *intake.First
	for at := range r.Count {
		events, err := y.openEvents(ctx, r.First+uint64(at), 1)
		if errors.Is(err, ErrErased) {
			continue
		} else if err != nil {
			return nil, err
		}
		body, err := ledger.ParseBody(events[0].Body)
		if err != nil {
			return nil, fmt.Errorf("couldn't read the body of event %d: %w", r.First+uint64(at), err)
		}
		if first == nil {
			first = &intake.First{Scope: body.Scope, Subjects: map[ledger.Subject]bool{}}
			if body.Scope == ledger.ScopeDeferred {
				first.Withheld = until
			}
			if first.Receipt, err = ledger.ParseReceipt(body.Receipt); err != nil {
				return nil, fmt.Errorf("couldn't read the receipt of event %d: %w", r.First+uint64(at), err)
			}
		}
		first.Subjects[body.Subject.Code] = true
	}
	return first, nil
}
