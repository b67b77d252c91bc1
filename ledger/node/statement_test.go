// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"errors"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
)

func (r *running) make(n int, a nodetest.Access) (*ledger.Answer, *ledger.Body, error) {
	r.t.Helper()
	raw := r.world.Make(r.t, n, a)
	answer, _, err := r.Submit(r.t.Context(), raw)
	if err != nil {
		return nil, nil, err
	}
	if _, err := nodetest.CheckAnswer(raw, answer, r.VKey()); err != nil {
		r.t.Errorf("submission %d: the answer doesn't verify: %v", n, err)
	}
	body, err := ledger.ParseBody(answer.Entries[0].Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer, body, nil
}

// Submissions 0 to 2 are of the hub's, 3 is reported by its consumer.
func TestStatements(t *testing.T) {
	r := newLedger(t, node.Options{})
	for n := range 4 {
		if _, _, err := r.make(n, nodetest.Access{Subjects: 3, First: 10}); err != nil {
			t.Fatal(err)
		}
	}
	for n, test := range []struct {
		name        string
		access      nodetest.Access
		kind, scope string
	}{
		{"the hub's correction", nodetest.Access{States: ledger.StatementError, About: 1, Subjects: 1, First: 11}, ledger.KindCorrection, nodetest.Hub},
		{"of all its subjects", nodetest.Access{States: ledger.StatementError, About: 1, Subjects: 3, First: 10}, ledger.KindCorrection, nodetest.Hub},
		{"the consumer's correction", nodetest.Access{States: ledger.StatementError, About: 3, Subjects: 1, First: 12}, ledger.KindCorrection, ledger.ScopeReported},
		{"the consumer's dispute", nodetest.Access{States: ledger.StatementNotAsked, About: 2, Subjects: 1, First: 10}, ledger.KindDispute, ledger.ScopeReported},
		{"the hub's, of nothing released", nodetest.Access{States: ledger.StatementUndelivered, About: 1, Subjects: 1, First: 11}, ledger.KindUndelivered, nodetest.Hub},
	} {
		_, body, err := r.make(100+n, test.access)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if body.Kind != test.kind || body.Scope != test.scope || body.Assurance.Profile != ledger.ProfileRequest || body.Assurance.Late {
			t.Errorf("%s: %s in %s, %+v", test.name, body.Kind, body.Scope, body.Assurance)
		}
	}
	if e := r.erase(12, true); e.Wraps != 1 {
		t.Fatalf("%+v", e)
	}
	if e := r.erase(11, true); e.Wraps != 1 {
		t.Fatalf("%+v", e)
	}
	// Of a statement that was recorded the ledger says that it is erased, not that it doesn't hold.
	if _, _, err := r.make(100, nodetest.Access{States: ledger.StatementError, About: 1, Subjects: 1, First: 11}); !errors.Is(err, node.ErrErased) {
		t.Errorf("an erased statement again: %v", err)
	}
	for n, test := range []struct {
		name        string
		access      nodetest.Access
		code, where string
	}{
		{"about nothing", nodetest.Access{States: ledger.StatementError, About: 50, Subjects: 1, First: 10}, "unknown_receipt", "receipt#statement/receipt"},
		{"of another consumer", nodetest.Access{States: ledger.StatementNotAsked, About: 1, Consumer: "c_d004", Subjects: 1, First: 10}, "unknown_receipt", "receipt#statement/receipt"},
		{"for another provider", nodetest.Access{States: ledger.StatementError, About: 1, Provider: "prov_b", Subjects: 1, First: 10}, ledger.CodeNotParty, "receipt#provider"},
		{"for another consumer", nodetest.Access{States: ledger.StatementError, About: 1, Consumer: "c_d004", Subjects: 1, First: 10}, ledger.CodeNotParty, "receipt#consumer"},
		{"a dispute of what the consumer reported", nodetest.Access{States: ledger.StatementNotAsked, About: 3, Subjects: 1, First: 10}, ledger.CodeNotParty, "receipt#statement/receipt"},
		{"about a statement", nodetest.Access{States: ledger.StatementError, About: 101, Provider: "prov_a", Consumer: "c_a001", Subjects: 1, First: 10}, ledger.CodeNotParty, "receipt#statement/receipt"},
		{"of another subject", nodetest.Access{States: ledger.StatementError, About: 1, Subjects: 2, First: 9}, "other_subject", "/subjects/0/subject"},
		{"of a subject that was erased", nodetest.Access{States: ledger.StatementError, About: 1, Subjects: 1, First: 12}, "other_subject", "/subjects/0/subject"},
	} {
		_, _, err := r.make(200+n, test.access)
		var p *ledger.Problem
		if !errors.As(err, &p) || p.Code != test.code || p.Where != test.where {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	healthy(t, r.dir)
}

func TestDeferred(t *testing.T) {
	r := newLedger(t, node.Options{})
	until := r.world.Now.AddDate(0, 6, 0)
	answer, body, err := r.make(0, nodetest.Access{Subjects: 1, First: 1, Until: until})
	if err != nil {
		t.Fatal(err)
	}
	order, err := ledger.ParseDeferral(body.Deferral)
	if err != nil || !order.Ends().Equal(until) || body.Scope != ledger.ScopeDeferred {
		t.Fatalf("%+v in %s: %v", order, body.Scope, err)
	}
	if answer.Entries[0].Number != nil {
		t.Error("the hub is told a number of +deferred")
	}
	again, _, err := r.make(0, nodetest.Access{Subjects: 1, First: 1, Until: until})
	if err != nil || nodetest.SameEntries(answer, again) != nil || again.Entries[0].Number != nil {
		t.Errorf("sent again: %v", err)
	}
	// The hub's correction is deferred with it, and the consumer can't give it away.
	answer, body, err = r.make(1, nodetest.Access{States: ledger.StatementError, About: 0, Subjects: 1, First: 1})
	if err != nil || body.Scope != ledger.ScopeDeferred || body.Deferral != "" || answer.Entries[0].Number != nil {
		t.Errorf("a correction: %+v, %v", body, err)
	}
	// The citizen would notice that the consumer looks at its own list.
	piece := node.AgencyRange{Epoch: ledger.EpochOf(r.Now()), Count: 10}
	if c, err := r.UnseenCitizens(t.Context(), body.Agency, piece, "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11"); err != nil || c.Count != 0 {
		t.Errorf("%d citizens to be looked up, %v", c.Count, err)
	}
	for n, test := range []struct {
		name        string
		access      nodetest.Access
		code, where string
	}{
		{"a dispute", nodetest.Access{States: ledger.StatementNotAsked, About: 0, Subjects: 1, First: 1}, "unknown_receipt", "receipt#statement/receipt"},
		{"an order that is over", nodetest.Access{Subjects: 1, Provider: "hub", Until: time.Now().Add(-time.Second)}, "bad_deferral", "deferral#until"},
		{"an order for three years", nodetest.Access{Subjects: 1, Provider: "hub", Until: until.AddDate(3, 0, 0)}, "bad_deferral", "deferral#until"},
	} {
		_, _, err := r.make(10+n, test.access)
		var p *ledger.Problem
		if !errors.As(err, &p) || p.Code != test.code || p.Where != test.where {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	healthy(t, r.dir)
}

// A month isn't destroyed before its citizens could read what was put off.
func TestDeferredIsKept(t *testing.T) {
	y := newYear(t)
	if _, err := y.SetTerm(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	y.settle()
	y.at(time.February, 10)
	if _, _, err := y.make(900, nodetest.Access{Subjects: 1, First: 1, Provider: "hub", Until: y.now().AddDate(0, 2, 0)}); err != nil {
		t.Fatal(err)
	}
	for _, month := range []time.Month{time.March, time.April, time.May} {
		y.accesses(month)
	}
	y.settle()
	until := map[string]string{}
	for _, m := range y.retention(false).Months {
		until[m.Month] = m.Until.Format("2006-01-02")
	}
	want := map[string]string{"2026-02": "2027-07-01", "2026-03": "2026-05-10", "2026-04": "2026-06-10", "2026-05": "0001-01-01"}
	for month, day := range want {
		if until[month] != day {
			t.Errorf("%s is kept until %s, want %s", month, until[month], day)
		}
	}
}
