// SPDX-License-Identifier: EUPL-1.2

package intake

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/opened"
)

// checkStatement checks a statement against the receipt that it is about, and
// returns its scope. Who isn't party to that one is told that there is none, and so
// is the consumer of an access whose notice is put off: what the consumer states of
// it would give it away. What its issuer states of it is put off with it.
func (in *Intake) checkStatement(ctx context.Context, r *ledger.SignedReceipt, subjects []ledger.SaltedSubject, scope string) (string, time.Time, error) {
	never := time.Time{}
	first, err := in.First(ctx, r.Statement.Issuer(), r.Statement.JTI())
	if err != nil {
		return "", never, fmt.Errorf("couldn't look up the receipt that a statement is about: %w", err)
	}
	if first == nil || r.Iss != first.Receipt.Iss && (r.Iss != first.Receipt.Consumer || !first.Withheld.IsZero()) {
		return "", never, refuse("unknown_receipt", "receipt#statement/receipt", "a receipt in this ledger, of an access of the signer's", "none")
	}
	if err := r.States(&first.Receipt.Receipt); err != nil {
		return "", never, err
	}
	switch own := r.Iss == first.Receipt.Iss; {
	case !first.Withheld.IsZero():
		scope = ledger.ScopeDeferred
	case own && first.Scope != scope && first.Scope != ledger.ScopeDeferred:
		return "", never, refuse("no_scope", "receipt#iss", "the party that speaks for "+r.Provider+", as it did then", r.Iss)
	}
	for i, s := range subjects {
		if !first.Subjects[s.Subject] {
			return "", never, refuse("other_subject", fmt.Sprintf("/subjects/%d/subject", i), "a subject of the receipt that it is about, not erased", "another")
		}
	}
	return scope, first.Withheld, nil
}

// checkOrder checks the order that puts off the notice of an access.
func (in *Intake) checkOrder(order *ledger.SignedDeferral) error {
	if p := opened.CheckOrder(in.Registry, in.Name, math.MaxUint64, in.Now(), order); p != nil {
		return p
	}
	return nil
}

// checkSession checks that a session of break-glass was opened by a record.
func (in *Intake) checkSession(r *ledger.SignedReceipt) error {
	if p := opened.CheckSession(in.Registry, math.MaxUint64, &r.Receipt); p != nil {
		return p
	}
	return nil
}

// unlessRecorded lets pass what is refused today and was recorded before: an order
// may have ended since, or what a statement is about been erased. The sequencer
// finds what was recorded then.
func (in *Intake) unlessRecorded(ctx context.Context, r *ledger.SignedReceipt, refusal error) error {
	var p *ledger.Problem
	if !errors.As(refusal, &p) {
		return refusal
	}
	_, ok, err := in.Recorded(ctx, r.Iss, r.JTI)
	switch {
	case err != nil:
		return fmt.Errorf("couldn't look up the submission: %w", err)
	case ok:
		return nil
	}
	return refusal
}
