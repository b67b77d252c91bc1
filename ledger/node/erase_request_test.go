// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/consent/consenttest"
	"github.com/traccia-ledger/traccia/consent/webauthn"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
)

// A key that opens requests alone stays: they are the ground of what was erased. With a consent under it, it goes, and what
// was asked under it is asked again.
func TestErasedConsents(t *testing.T) {
	const person = 1
	y := newYear(t)
	if err := y.Close(); err != nil {
		t.Fatal(err)
	}
	y.start(node.Options{Now: y.now, Consents: webauthn.Rules{}})
	y.accesses(time.January) // of persons 0 and 1
	erase := func(month string, wraps, requests int) {
		t.Helper()
		people := []ledger.Subject{nodetest.Person(person)}
		for _, apply := range []bool{false, true} {
			if e, err := y.Erase(t.Context(), people, month, apply); err != nil || e.Wraps != wraps || e.Requests != requests {
				t.Fatalf("apply %v: %+v, %v", apply, e, err)
			}
		}
	}
	asked := func(want ...string) {
		t.Helper()
		y.settle()
		got := y.asked(person)
		slices.Sort(got) // they are recorded in any order
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	const january, february = "gestore DELETE /months/2026-01", "gestore DELETE /months/2026-02"
	y.at(time.February, 10)
	erase("2026-01", 1, 1)
	asked(january)
	erase("", 0, 0)
	asked(january)
	_, last, err := y.ConsentPlace(t.Context(), nodetest.Person(person))
	if err != nil || last == nil {
		t.Fatalf("the request isn't in the list: %v", err)
	}
	c := y.citizen(person)
	c.Next(*last)
	c.must(c.record(ledger.KindConsentGiven), consenttest.Desk)
	erase("2026-01", 0, 0)
	erase("2026-02", 1, 2)
	asked(january, february)
	erase("", 0, 0)
	if err := y.Close(); err != nil {
		t.Fatal(err)
	}
	if checked, erased := healthy(t, y.dir); checked != 3 || erased != 3 { // access, request and consent are erased
		t.Errorf("fsck: %d bodies, %d erased", checked, erased)
	}
}

// What a body's request must be.
func TestRequestRefused(t *testing.T) {
	r := newLedger(t, node.Options{})
	r.access(0, 1)
	month, person := r.world.Now.Format("2006-01"), nodetest.Person(1)
	change := func(what func(s *ledger.Submission)) []byte {
		s, err := ledger.ParseSubmission(r.world.Request(t, 0, "c_a001", month, person))
		if err != nil {
			t.Fatal(err)
		}
		what(s)
		raw, err := ledger.FormatSubmission(s)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	other, err := ledger.ParseSubmission(r.world.Request(t, 1, "c_b002", month, person))
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		raw         []byte
		code, where string
	}{
		"no submission":            {[]byte("{}"), ledger.CodeMissing, "/receipt"},
		"an access":                {r.world.Make(t, 1, nodetest.Access{}), ledger.CodeBadValue, "receipt#operation"},
		"an unknown body":          {r.world.Request(t, 0, "c_z999", month, person), "bad_signature", "receipt"},
		"another's subjects":       {change(func(s *ledger.Submission) { s.Subjects = other.Subjects }), ledger.CodeRootMismatch, "receipt#subjects/root"},
		"another's private part":   {change(func(s *ledger.Submission) { s.Private = other.Private }), ledger.CodeDigestMismatch, "receipt#private_digest"},
		"a signature of another's": {change(func(s *ledger.Submission) { s.Receipt = swapped(s.Receipt, other.Receipt) }), "bad_signature", "receipt"},
	} {
		for _, apply := range []bool{false, true} {
			var p *ledger.Problem
			if _, err := r.EraseRequested(t.Context(), x.raw, apply); !errors.As(err, &p) || p.Code != x.code || p.Where != x.where {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if e := r.erase(1, false); e.Wraps != 1 {
		t.Errorf("a refused request erased: %+v", e)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// swapped is a receipt with another's signature.
func swapped(receipt, other string) string {
	cut := func(s string) int { return len(s) - 1 - slices.Index(reversed(s), '.') }
	return receipt[:cut(receipt)] + other[cut(other):]
}

func reversed(s string) []byte {
	b := []byte(s)
	slices.Reverse(b)
	return b
}
