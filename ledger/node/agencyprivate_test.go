// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
)

// TestAgencyPrivate: a body gets the private parts of its events' receipts, each once, but none with a token that is still
// good, and none of another body's.
func TestAgencyPrivate(t *testing.T) {
	c := newClock(time.Date(2026, 5, 30, 12, 0, 0, 0, time.UTC))
	r := newLedgerAt(t, c, c.options())
	defer func() { r.Close() }()
	const body = "c_b002"
	for n, a := range []nodetest.Access{{Subjects: 3, First: 1, Consumer: body}, {Subjects: 1, First: 2, Consumer: "c_c003"}, {Subjects: 1, First: 2, Consumer: body}} {
		a.Provider = "prov_a"
		if _, _, err := r.make(n, a); err != nil {
			t.Fatal(err)
		}
	}
	r.lookAt(t, body, 0)
	all := node.AgencyRange{Epoch: r.Epoch(), Count: 100}
	fetch := func(at node.AgencyRange) *history.AgencyPart {
		t.Helper()
		p, err := r.part(t, body, at, true)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := fetch(all); len(p.Events) < 5 || len(p.Private) != 1 || p.Private[0].Index != p.Events[4].Index {
		t.Errorf("with live vouchers: %d private parts of %d events, want that of the look-up alone", len(p.Private), len(p.Events))
	}
	c.add(time.Hour)
	p := fetch(all)
	if len(p.Private) != 3 {
		t.Fatalf("%d private parts, want 3: %d events of three receipts", len(p.Private), len(p.Events))
	}
	for n, at := range []int{0, 3, 4} {
		e, v := p.Events[at], p.Private[n]
		b, err := ledger.ParseBody(e.Body)
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := ledger.ParseReceipt(b.Receipt)
		if err != nil || v.Index != e.Index || ledger.Hex(ledger.PrivateDigest(&v.Salt, v.Content)) != receipt.PrivateDigest {
			t.Errorf("private part %d isn't that of event %d: %v", n, at, err)
		}
	}
	// From within a receipt's events on.
	if p := fetch(node.AgencyRange{Epoch: r.Epoch(), From: 1, Count: 1}); len(p.Private) != 1 || p.Private[0].Index != p.Events[0].Index {
		t.Errorf("%d private parts from the second event on", len(p.Private))
	}
}
