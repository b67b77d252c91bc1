// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/intake"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// RecordSession records that a scope's party opened or closed a session of
// break-glass, by the statement that it signed. Sent again it answers with the
// same record, replayed. A refusal is a *ledger.Problem.
func (n *Node) RecordSession(ctx context.Context, statement string) (origin string, index uint64, replayed bool, err error) {
	done, err := n.use()
	if err != nil {
		return "", 0, false, err
	}
	defer done()
	s, _, err := registry.ParseSession(statement)
	if err != nil {
		return "", 0, false, err
	}
	err = n.current(ctx, func(y *year) (err error) {
		origin = y.origin
		if index, replayed = y.toldSession(s); replayed {
			return nil
		}
		if before := y.before(); before != nil {
			// Settled then, it isn't repeated in this year.
			if index, replayed = before.toldSession(s); replayed {
				origin = before.origin
				return nil
			}
		}
		index, err = y.recordSession(ctx, s, statement)
		var p *ledger.Problem
		if errors.As(err, &p) {
			// The same statement may have come in between.
			if again, ok := y.toldSession(s); ok {
				index, replayed, err = again, true, nil
			}
		}
		return err
	})
	return origin, index, replayed, err
}

// toldSession returns the record that says the same, whatever key signed it.
func (y *year) toldSession(statement any) (index uint64, ok bool) {
	switch s := statement.(type) {
	case registry.SessionOpened:
		if known, ok := y.registry.Session(s.Scope, s.Session, y.shard.Root().Size); ok && known.SessionOpened == s {
			return known.Index, true
		}
	case registry.SessionClosed:
		if known, ok := y.registry.Session(s.Scope, s.Session, y.shard.Root().Size); ok && known.Closed != nil && *known.Closed == s {
			return known.ClosedIndex, true
		}
	}
	return 0, false
}

func (y *year) recordSession(ctx context.Context, statement any, compact string) (uint64, error) {
	at, scope := int64(0), ""
	switch s := statement.(type) {
	case registry.SessionOpened:
		at, scope = s.Opened, s.Scope
	case registry.SessionClosed:
		at, scope = s.Closed, s.Scope
	}
	if latest := y.n.Now().Add(intake.MaxAhead); time.UnixMilli(at).After(latest) {
		return 0, &ledger.Problem{
			Code: "in_future", Where: "/statement", Expected: "an instant not after " + latest.UTC().Format(time.RFC3339), Found: time.UnixMilli(at).UTC().Format(time.RFC3339),
		}
	}
	record, err := registry.FormatRecord(registry.BreakGlass{Scope: scope, Statement: compact})
	if err != nil {
		return 0, err
	}
	return y.seq.Record(ctx, record)
}
