// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"errors"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// lastHead is the last head that a year's published log has.
func (r *running) lastHead(epoch uint32) registry.CheckStatement {
	r.t.Helper()
	p, err := r.Published(epoch)
	if err != nil {
		r.t.Fatal(err)
	}
	s := registry.CheckStatement{Aud: ledger.Origin(nodetest.Name, epoch), Scope: nodetest.Hub, Size: p.Root.Size, Root: ledger.Hex(p.Root.Hash), Result: registry.CheckProven}
	for at := p.Root.Size; at > 0 && s.Until == 0; at-- {
		tile := (at - 1) / 256
		bundle, err := r.Entries(r.t.Context(), epoch, tile, int(min(256, p.Root.Size-256*tile)))
		if err != nil {
			r.t.Fatal(err)
		}
		leaves, err := checkpoint.ParseEntries(bundle, int(min(256, p.Root.Size-256*tile)))
		if err != nil {
			r.t.Fatal(err)
		}
		if head, ok := parse(r.t, leaves[(at-1)%256]).(ledger.Head); ok {
			s.Head, s.Until = at-1, head.UnixMS
		}
	}
	return s
}

func (r *running) attest(s registry.CheckStatement) error {
	r.t.Helper()
	payload, err := registry.FormatCheckStatement(s)
	if err != nil {
		r.t.Fatal(err)
	}
	statement, err := jws.Sign(registry.CheckStatementType, payload, nodetest.Key(s.Scope, 0).Kid, nodetest.Signer(s.Scope, 0))
	if err != nil {
		r.t.Fatal(err)
	}
	_, _, _, err = r.RecordCheck(r.t.Context(), statement)
	return err
}

// TestCheckOverNewYear: the last events of a year are checked when it is over, and that stands in the next year's log.
func TestCheckOverNewYear(t *testing.T) {
	c := newClock(january(2027).Add(-time.Hour))
	r := newLedgerAt(t, c, node.Options{})
	refused := func(what string, s registry.CheckStatement, code string) {
		t.Helper()
		var p *ledger.Problem
		if err := r.attest(s); !errors.As(err, &p) || p.Code != code {
			t.Errorf("%s: %v, want %s", what, err, code)
		}
	}
	record := func() {
		t.Helper()
		raw := r.world.Make(t, 1, nodetest.Access{Provider: nodetest.Hub})
		if _, _, err := r.Submit(t.Context(), raw); err != nil {
			t.Fatal(err)
		}
		if err := r.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	record()
	first := r.lastHead(2026)
	first.IssuedAt = c.Now().Unix()
	if err := r.attest(first); err != nil {
		t.Fatal(err)
	}
	c.set(january(2027).Add(20 * time.Minute))
	if _, _, err := r.Submit(t.Context(), r.world.Make(t, 2, nodetest.Access{Provider: nodetest.Hub})); err != nil {
		t.Fatal(err)
	}
	last := r.lastHead(2026)
	for end := time.Now().Add(time.Minute); last.Head == first.Head; last = r.lastHead(2026) {
		if time.Now().After(end) {
			t.Fatal("the year's final head isn't published")
		}
		time.Sleep(time.Millisecond)
	}
	last.IssuedAt = c.Now().Unix()
	old := first
	old.IssuedAt = last.IssuedAt
	refused("the last year's check again", old, "not_newer")
	other := last
	other.Root[0] ^= 1
	refused("another history of the last year", other, "other_log")
	if err := r.attest(last); err != nil {
		t.Fatal(err)
	}
	if a, ok := r.Registry().Attested(nodetest.Hub, last.Aud); !ok || a.CheckStatement != last || r.Epoch() != 2027 {
		t.Errorf("in the log of %d: %+v, %v", r.Epoch(), a, ok)
	}
	long := last
	long.Aud = ledger.Origin(nodetest.Name, 2025)
	refused("a year that isn't there", long, ledger.CodeBadValue)
	r.years()
}
