// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/verifier"
)

// TestAgencyPairs: the body's own receipts and the holders' are tied one to one, by pair, and for the same citizen.
func TestAgencyPairs(t *testing.T) {
	one, two := citizens(2)[0].Subject, citizens(2)[1].Subject
	holder := func(s ledger.Subject, pair byte) event { return event{subject: s, pair: ledger.Hex{pair}} }
	own := func(s ledger.Subject, pair byte) event {
		return event{subject: s, pair: ledger.Hex{pair}, scope: ledger.ScopeReported, iss: consumer}
	}
	hub := func(s ledger.Subject, pair byte) event {
		return event{subject: s, pair: ledger.Hex{pair}, scope: consumer, iss: consumer, receipt: providedBy("c_f205")}
	}
	for name, test := range map[string]struct {
		events                     []event
		paired, byHolder, reported uint64
	}{
		"nothing":                     {nil, 0, 0, 0},
		"both":                        {[]event{holder(one, 1), own(one, 1)}, 1, 0, 0},
		"both, the body's first":      {[]event{own(one, 1), holder(one, 1)}, 1, 0, 0},
		"one twice":                   {[]event{holder(one, 1), holder(one, 1), own(one, 1)}, 1, 1, 0},
		"the body's own twice":        {[]event{own(one, 1), own(one, 1), holder(one, 1)}, 1, 0, 1},
		"both twice":                  {[]event{own(one, 1), own(one, 1), holder(one, 1), holder(one, 1)}, 2, 0, 0},
		"one side each":               {[]event{holder(one, 1), own(one, 2)}, 0, 1, 1},
		"by the body, for the holder": {[]event{hub(one, 1)}, 0, 0, 1},
		"of two citizens":             {[]event{holder(one, 1), own(two, 1)}, 0, 1, 1},
		"a look-up belongs to none":   {[]event{holder(one, 1), {kind: ledger.KindLookUp, scope: ledger.ScopeLedger, iss: consumer}}, 0, 1, 0},
		"erased":                      {[]event{holder(one, 1), func() event { e := own(one, 1); e.erased = true; return e }()}, 0, 1, 0},
	} {
		m := newMadeList(t)
		m.scope(consumer, "c_f205")
		for _, e := range test.events {
			m.access(e)
		}
		m.settle()
		r := m.judge(verifier.AgencyConfig{}, m.piece(0, 2), m.piece(2, 100))
		if len(test.events) < 2 {
			r = m.judge(verifier.AgencyConfig{}, m.piece(0, 100))
		}
		if r.Paired != test.paired || r.ByHolder != test.byHolder || r.Reported != test.reported {
			t.Errorf("%s: %d paired, %d by the holder, %d reported: %+v", name, r.Paired, r.ByHolder, r.Reported, r.Problems)
		}
	}
}
