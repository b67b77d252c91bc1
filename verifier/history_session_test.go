// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/verifier"
)

// opens is the record by which the provider's side opened a session of break-glass.
func (m *made) opens() {
	m.t.Helper()
	payload, typ, err := registry.FormatSession(registry.SessionOpened{
		Aud: ledgerName, Scope: provider, Session: session, Opened: int64(m.ms), Until: int64(m.ms) + 1000, Warrant: ledger.Hex{1},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	compact, err := jws.Sign(typ, payload, provider+"-1", signerOf(provider))
	if err != nil {
		m.t.Fatal(err)
	}
	m.record(registry.BreakGlass{Scope: provider, Statement: compact})
}

func inSession(e event) event {
	e.receipt = func(r *ledger.Receipt) {
		r.LegalBasis, r.BreakGlass = "A6-1-d", &ledger.BreakGlass{Session: session, Number: 1}
	}
	return e
}

// TestHistoryBreakGlass: what was released before it was recorded is shown so, and counts only after the record that
// opened its session.
func TestHistoryBreakGlass(t *testing.T) {
	m := newMade(t, 2026, nil)
	m.event(event{})
	m.opens()
	m.head(nil)
	at := m.event(inSession(event{}))
	r := judged(m.settle())
	if !r.Proven() {
		t.Fatalf("problems: %v", r.Problems)
	}
	for _, e := range r.Events {
		var want *verifier.SessionPlace
		if e.Index == at {
			want = &verifier.SessionPlace{Session: session, Number: 1}
		}
		if d := cmp.Diff(want, e.BreakGlass); d != "" {
			t.Errorf("event %d: %s", e.Index, d)
		}
	}

	m = newMade(t, 2026, nil)
	m.event(inSession(event{}))
	m.opens()
	if r := judged(m.settle()); r.Proven() || r.Events[0].State != verifier.StateUnexplained {
		t.Errorf("before its session: %+v", r.Events)
	}
}
