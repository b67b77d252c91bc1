// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"crypto/ed25519"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/verifier"
)

const (
	firstJTI  = "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11"
	statedJTI = "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a12"
)

// statement is a body's on the receipt of the provider's side with firstJTI.
func statement(kind string, change func(r *ledger.Receipt)) event {
	k, _ := ledger.KindOf(kind)
	e := event{kind: kind, jti: statedJTI}
	if k.Role == ledger.RoleConsumer {
		e.scope, e.iss = ledger.ScopeReported, consumer
	}
	e.receipt = func(r *ledger.Receipt) {
		r.EService, r.PurposeID, r.Pair = "", "", ledger.Hex{}
		r.Statement = &ledger.Statement{Kind: k.Statement, Receipt: provider + "/" + firstJTI, Text: "Era per un altro"}
		if change != nil {
			change(r)
		}
	}
	return e
}

func TestHistoryStatements(t *testing.T) {
	m := newMade(t, 2026, nil)
	at := m.event(event{jti: firstJTI})
	m.event(event{})
	correction := m.event(statement(ledger.KindCorrection, nil))
	dispute := m.event(statement(ledger.KindDispute, nil))
	r := judged(m.settle())
	if !r.Proven() {
		t.Fatalf("problems: %v", r.Problems)
	}
	about := &verifier.Place{Epoch: 2026, Index: at}
	for _, e := range r.Events {
		switch e.Index {
		case at:
			want := []verifier.Place{{Epoch: 2026, Index: correction}, {Epoch: 2026, Index: dispute}}
			if d := cmp.Diff(want, e.Statements); d != "" || e.About != nil {
				t.Errorf("what is stated of it: %s", d)
			}
		case correction, dispute:
			want := map[uint64][2]string{correction: {ledger.StatementError, provider}, dispute: {ledger.StatementNotAsked, consumer}}[e.Index]
			if d := cmp.Diff(about, e.About); d != "" || e.Statement != want[0] || e.Issuer != want[1] || e.Text != "Era per un altro" || e.IssuerName == "" ||
				e.Receipt != provider+"/"+firstJTI || e.Partner != nil {
				t.Errorf("%+v, %s", e, d)
			}
		default:
			if e.About != nil || len(e.Statements) > 0 {
				t.Errorf("%+v", e)
			}
		}
	}
}

// What a statement may not be, and what the citizen is told.
func TestHistoryWrongStatements(t *testing.T) {
	stranger := func(r *ledger.Receipt) { r.Iss, r.Consumer = "c_f205", "c_f205" }
	for name, x := range map[string]struct {
		make func(m *made)
		code string
	}{
		"a dispute by a stranger": {func(m *made) {
			m.event(event{jti: firstJTI})
			m.event(statement(ledger.KindDispute, stranger))
		}, ledger.CodeNotParty},
		"a correction by a stranger, in the name of the issuer": {func(m *made) {
			m.event(event{jti: firstJTI})
			e := statement(ledger.KindCorrection, nil)
			e.signer = signerOf("c_f205")
			m.event(e)
		}, "bad_signature"},
		"on an access that isn't there": {func(m *made) {
			m.event(event{})
			m.event(statement(ledger.KindDispute, nil))
		}, verifier.CodeNoReceipt},
		"before the access": {func(m *made) {
			m.event(statement(ledger.KindCorrection, nil))
			m.event(event{jti: firstJTI})
		}, verifier.CodeNoReceipt},
		"on a statement": {func(m *made) {
			m.event(event{jti: firstJTI})
			m.event(statement(ledger.KindCorrection, nil))
			e := statement(ledger.KindCorrection, func(r *ledger.Receipt) { r.Statement.Receipt = provider + "/" + statedJTI })
			e.jti = "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a13"
			m.event(e)
		}, verifier.CodeNoReceipt},
		"a correction put off, of what wasn't": {func(m *made) {
			m.given = true
			m.event(event{jti: firstJTI})
			e := statement(ledger.KindCorrection, nil)
			e.scope = ledger.ScopeDeferred
			m.event(e)
		}, verifier.CodeOtherScope},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMade(t, 2026, nil)
			x.make(m)
			r := judged(m.settle())
			if got := codes(r); r.Proven() || !slices.Contains(got, x.code) {
				t.Errorf("%v, want %s", r.Problems, x.code)
			}
			for _, e := range r.Events {
				if len(e.Statements) > 0 && x.code != verifier.CodeNoReceipt {
					t.Errorf("a statement that doesn't count is shown beside event %d", e.Index)
				}
			}
			for _, words := range r.Missing("en") {
				if strings.HasPrefix(words, "A rule of the ledger is broken") && !strings.Contains(words, "wrong_") {
					t.Errorf("no plain words: %s", words)
				}
			}
		})
	}
}

func TestHistoryStatementOnErased(t *testing.T) {
	m := newMade(t, 2026, nil)
	m.event(event{jti: firstJTI, erased: true})
	at := m.event(event{kind: ledger.KindRequest, scope: ledger.ScopeConsent, iss: requester, receipt: func(r *ledger.Receipt) {
		r.Operation = ledger.Operation{Method: "DELETE", Path: "/months/2026-06"}
	}})
	m.event(statement(ledger.KindDispute, nil))
	r := judged(m.settle())
	if !r.Proven() || r.Events[0].Ground != "request" || *r.Events[0].Request != (verifier.Place{Epoch: 2026, Index: at}) {
		t.Fatalf("%v, %+v", r.Problems, r.Events[0])
	}
	notes := strings.Join(r.Notes("en"), "\n")
	for _, want := range []string{"Events erased on a request that Ente gestore signed, saying that you made it", "If you didn't ask, something is being hidden from you.", "is a statement on receipt " + provider + "/" + firstJTI} {
		if !strings.Contains(notes, want) {
			t.Errorf("no note says %q:\n%s", want, notes)
		}
	}
}

// deferred is an access put off until then, under an order of the requester's.
func deferred(t *testing.T, until time.Time, signer ed25519.PrivateKey) event {
	t.Helper()
	order := ledger.Deferral{Aud: ledgerName, Iss: requester, JTI: statedJTI, Reference: "decreto 17/2026", Until: until.Format(time.RFC3339)}
	compact, err := ledger.SignDeferral(&order, requester+"-1", signer)
	if err != nil {
		t.Fatal(err)
	}
	return event{
		scope: ledger.ScopeDeferred, jti: firstJTI,
		receipt: func(r *ledger.Receipt) { r.Deferral = ledger.Hex(ledger.DeferralDigest(compact)) },
		body:    func(b *ledger.Body) { b.Deferral = compact },
	}
}

func TestHistoryDeferred(t *testing.T) {
	until := time.Date(2027, 6, 30, 0, 0, 0, 0, time.UTC)
	m := newMade(t, 2026, nil)
	m.event(deferred(t, until, signerOf(requester)))
	e := statement(ledger.KindCorrection, nil)
	e.scope = ledger.ScopeDeferred
	m.event(e)
	m.settle()
	r := judged(m)
	if !r.Proven() || len(r.Events) != 0 || !strings.Contains(strings.Join(r.Notes("en"), "\n"), "whose notice a judge or a law defers may exist") {
		t.Errorf("before the list is given: %v, %+v, %v", r.Problems, r.Events, r.Notes("en"))
	}
	m.given = true
	r = judged(m)
	want := &verifier.Deferred{Until: "2027-06-30T00:00:00Z", By: requester, Name: "Ente " + requester, Reference: "decreto 17/2026"}
	if !r.Proven() || len(r.Events) != 2 || len(r.Events[0].Statements) != 1 {
		t.Fatalf("%v, %+v", r.Problems, r.Events)
	}
	if d := cmp.Diff(want, r.Events[0].Deferred); d != "" {
		t.Error(d)
	}
	// What is no longer deferred is spoken of where it would have stood.
	m = newMade(t, 2026, nil)
	m.given = true
	m.event(deferred(t, until, signerOf(requester)))
	m.event(statement(ledger.KindCorrection, nil))
	m.event(statementWith(ledger.KindDispute, "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a13"))
	if r := judged(m.settle()); !r.Proven() || len(r.Events[0].Statements) != 2 {
		t.Errorf("%v, %+v", r.Problems, r.Events)
	}
}

func statementWith(kind, jti string) event {
	e := statement(kind, nil)
	e.jti = jti
	return e
}

// A ledger that puts off what it may not is caught when the list is given.
func TestHistoryWrongOrders(t *testing.T) {
	until := time.Date(2027, 6, 30, 0, 0, 0, 0, time.UTC)
	for name, x := range map[string]struct {
		event event
		code  string
	}{
		"no order":                   {event{scope: ledger.ScopeDeferred}, "no_order"},
		"an order signed by another": {deferred(t, until, signerOf("c_f205")), "bad_signature"},
		"an order past its end":      {deferred(t, time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), signerOf(requester)), "bad_deferral"},
		"an order for too long":      {deferred(t, time.Date(2029, 1, 1, 0, 0, 1, 0, time.UTC), signerOf(requester)), "bad_deferral"},
		"an order that isn't the receipt's": {func() event {
			e := deferred(t, until, signerOf(requester))
			e.receipt = func(r *ledger.Receipt) { r.Deferral = ledger.Hex{1} }
			return e
		}(), ledger.CodeDigestMismatch},
	} {
		m := newMade(t, 2026, nil)
		m.given = true
		m.event(x.event)
		if r := judged(m.settle()); r.Proven() || !slices.Contains(codes(r), x.code) {
			t.Errorf("%s: %v, want %s", name, r.Problems, x.code)
		}
	}
}

func judged(m *made) *verifier.HistoryReport {
	m.t.Helper()
	return m.check(m.bundle())
}
