// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/verifier"
)

func (e *erasable) make(a nodetest.Access) {
	e.Helper()
	if _, _, err := e.node.Submit(e.Context(), e.world.Make(e, e.sent, a)); err != nil {
		e.Fatal(err)
	}
	e.sent++
	if err := e.node.Settle(e.Context()); err != nil {
		e.Fatal(err)
	}
}

// An access whose notice is put off is shown by itself once its year is over and its order has ended, with whatever its
// issuer stated of it meanwhile; nothing tells of it before.
func TestHistoryOfDeferred(t *testing.T) {
	day := func(year int, m time.Month, d int) time.Time { return time.Date(year, m, d, 12, 0, 0, 0, time.UTC) }
	until := day(2026, time.March, 1)
	e := newErasable(t, day(2025, time.November, 10))
	e.make(nodetest.Access{Subjects: 1, First: 1, Provider: "hub", Until: until})
	e.make(nodetest.Access{Subjects: 1, First: 1, Provider: "hub", Consumer: nodetest.Consumers[0], States: ledger.StatementError, About: 0})
	e.make(nodetest.Access{Subjects: 1, First: 1, Provider: "hub"})
	for _, now := range []time.Time{day(2025, time.November, 11), day(2025, time.December, 31), day(2026, time.January, 10), until.Add(-time.Second)} {
		e.at(now)
		r := e.want(e.history(e.subject), verifier.StateOpen)
		if r.Scopes[1].Scope != ledger.ScopeDeferred || !r.Scopes[1].Withheld || r.Events[0].Deferred != nil {
			t.Errorf("%v: %+v", now, r.Scopes)
		}
		if notes := strings.Join(r.Notes("en"), "\n"); !strings.Contains(notes, "Accesses of 2025 whose notice a judge or a law defers may exist") {
			t.Errorf("%v: %s", now, notes)
		}
	}
	e.at(until)
	r := e.want(e.history(e.subject), verifier.StateOpen, verifier.StateOpen, verifier.StateOpen)
	want := verifier.Deferred{Until: "2026-03-01T12:00:00Z", By: nodetest.Alone, Name: "Ente alone", Reference: nodetest.Order}
	if d := r.Events[0].Deferred; d == nil || *d != want || len(r.Events[0].Statements) != 1 || r.Events[1].About == nil {
		t.Errorf("%+v", r.Events)
	}
	if got := codes(r); len(got) > 1 || len(got) == 1 && got[0] != verifier.CodeStale {
		t.Errorf("problems: %v", r.Problems)
	}
	if other := e.want(e.history(nodetest.Person(2))); other.Scopes[1].Withheld {
		t.Error("another's list is withheld")
	}
}
