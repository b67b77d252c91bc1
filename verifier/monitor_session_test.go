// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"crypto/ed25519"
	"slices"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/verifier"
)

const session = "0f9e7c1a-5b1d-4a86-9f0e-2f4c3c1a7b55"

// inpsSession is a statement about a session of the usual shard, signed by the n-th key with the first one's kid.
func inpsSession(n byte, statement any) registry.BreakGlass {
	payload, typ, err := registry.FormatSession(statement)
	if err != nil {
		panic(err)
	}
	compact, err := jws.Sign(typ, payload, "inps-1", ed25519.NewKeyFromSeed(append(make([]byte, 31), n)))
	if err != nil {
		panic(err)
	}
	return registry.BreakGlass{Scope: "inps", Statement: compact}
}

// TestMonitorSessions: a session of break-glass is told of; one that lacks receipts, or its end for a day, is an alarm
// as long as that is so.
func TestMonitorSessions(t *testing.T) {
	opened := registry.SessionOpened{
		Aud: "registro.example", Scope: "inps", Session: session, Opened: at(10).UnixMilli(), Until: at(60).UnixMilli(), Warrant: ledger.Hex{1},
	}
	closed := func(recorded int) registry.SessionClosed {
		return registry.SessionClosed{Aud: "registro.example", Scope: "inps", Session: session, Closed: at(50).UnixMilli(), Count: 2, Recorded: recorded, Last: ledger.Hex{2}}
	}
	const day = 86400
	l := usual()
	w := newWatch(t, l, nil)
	look := func(want ...string) {
		t.Helper()
		w.told = nil
		if err := w.look(t, l.Now(), at(3*day)); err != nil {
			t.Fatal(err)
		}
		told(t, slices.DeleteFunc(w.told, func(f verifier.Finding) bool {
			return f.Code == verifier.CodeHeadGap || f.Code == verifier.CodeNewKey || f.Code == verifier.CodeNewScope || f.Code == verifier.CodeClockBehind
		}), want)
	}
	// A run that begins now says nothing twice, and reports what stands.
	again := func(want ...string) {
		t.Helper()
		next := newWatch(t, l, nil)
		if err := next.Resume(l.Now(), inOrder(w.kept), uint64(len(w.kept)), at(3*day)); err != nil || len(next.told) > 0 {
			t.Errorf("%v, told %v", err, next.told)
		}
		told(t, next.Report().Alarms, want)
	}
	l.Record(inpsSession(2, opened))
	l.Record(inpsSession(1, opened))
	l.Head(70)
	look("alarm record_refused leaf 5: ", "notice break_glass leaf 6: expected that whoever depends on inps knows, found break-glass of inps, session "+session+", from ")
	l.Head(60 + day)
	look()
	l.Head(61 + day)
	const open = "alarm break_glass_open leaf 6: expected the end of session " + session + " of inps, within 24 hours of "
	look(open)
	look()
	again("alarm record_refused", open)
	l.Record(inpsSession(1, closed(1)))
	l.Head(70 + day)
	const missing = "alarm break_glass_missing leaf 10: expected 2 recorded receipts of session " + session + " of inps, found 1"
	look("notice break_glass leaf 10: expected that whoever depends on inps knows, found session "+session+" of inps closed at ", missing)
	again("alarm record_refused", missing)
	l.Record(inpsSession(1, closed(2)))
	l.Head(80 + day)
	look("notice break_glass leaf 12: ")
	again("alarm record_refused")
}
