// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
)

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
