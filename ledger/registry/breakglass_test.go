// SPDX-License-Identifier: EUPL-1.2

package registry

import (
	"bytes"
	"slices"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

const sampleSession = "0f9e7c1a-5b1d-4a86-9f0e-2f4c3c1a7b55"

func sampleOpened() SessionOpened {
	return SessionOpened{Aud: name, Scope: "inps", Session: sampleSession, Opened: 1795339800000, Until: 1795340700000, Warrant: ledger.Hex{1}}
}

func sampleClosed() SessionClosed {
	return SessionClosed{Aud: name, Scope: "inps", Session: sampleSession, Closed: 1795340520000, Count: 12, Recorded: 11, Last: ledger.Hex{2}}
}

func sessionRecord(t testing.TB, by signer, statement any) []byte {
	t.Helper()
	payload, typ, err := FormatSession(statement)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jws.Sign(typ, payload, by.key.Kid, by.private)
	if err != nil {
		t.Fatal(err)
	}
	return format(t, BreakGlass{Scope: scopeOf(statement), Statement: compact})
}

// TestBreakGlass: a session is opened once, under a key in force of its scope's body, and closed in its time; it is
// closed again only with more recorded.
func TestBreakGlass(t *testing.T) {
	r, key, second, foreign := twoBodies(t)
	opened := sampleOpened()
	changed := func(f func(s *SessionOpened)) SessionOpened {
		s := opened
		f(&s)
		return s
	}
	closed := func(f func(s *SessionClosed)) SessionClosed {
		s := sampleClosed()
		f(&s)
		return s
	}
	refused(t, r, sessionRecord(t, key, opened), "unknown_scope")
	apply(t, r, 5, format(t, Scope{ID: "inps", Providers: []string{"inps"}}))
	refused(t, r, sessionRecord(t, second, opened), "bad_signature")
	refused(t, r, sessionRecord(t, foreign, opened), "bad_signature")
	refused(t, r, sessionRecord(t, signer{jws.Key{Kid: "k1"}, second.private}, opened), "bad_signature")
	refused(t, r, sessionRecord(t, key, changed(func(s *SessionOpened) { s.Aud = "altro.example" })), "other_ledger")
	refused(t, r, sessionRecord(t, key, sampleClosed()), "no_session")
	apply(t, r, 6, sessionRecord(t, key, opened))
	refused(t, r, sessionRecord(t, key, opened), "session_repeated")
	refused(t, r, sessionRecord(t, key, changed(func(s *SessionOpened) { s.Warrant[0]++ })), "session_repeated")
	if list := r.InForce(); !slices.Contains(list, 6) {
		t.Errorf("an open session isn't repeated: %v", list)
	}
	for what, s := range map[string]SessionClosed{
		"before it opened": closed(func(s *SessionClosed) { s.Closed = opened.Opened - 1 }),
		"after its time":   closed(func(s *SessionClosed) { s.Closed = opened.Until + 1 }),
	} {
		t.Log(what)
		refused(t, r, sessionRecord(t, key, s), "bad_statement")
	}
	refused(t, r, sessionRecord(t, key, closed(func(s *SessionClosed) { s.Aud = "altro.example" })), "other_ledger")
	apply(t, r, 7, sessionRecord(t, key, sampleClosed()))
	for what, s := range map[string]SessionClosed{
		"the same":        sampleClosed(),
		"fewer":           closed(func(s *SessionClosed) { s.Recorded-- }),
		"another count":   closed(func(s *SessionClosed) { s.Count++; s.Recorded++ }),
		"another instant": closed(func(s *SessionClosed) { s.Closed++; s.Recorded++ }),
		"another last":    closed(func(s *SessionClosed) { s.Last[0]++; s.Recorded++ }),
	} {
		t.Log(what)
		refused(t, r, sessionRecord(t, key, s), "not_newer")
	}
	if list := r.InForce(); !slices.Contains(list, 6) || !slices.Contains(list, 7) {
		t.Errorf("a session that lacks a receipt isn't repeated: %v", list)
	}
	apply(t, r, 8, sessionRecord(t, key, closed(func(s *SessionClosed) { s.Recorded = s.Count })))
	if list := r.InForce(); slices.Contains(list, 6) || slices.Contains(list, 8) {
		t.Errorf("a settled session is repeated: %v", list)
	}
	for at, want := range map[uint64]int{6: -2, 7: -1, 8: 11, 9: 12} {
		s, ok := r.Session("inps", sampleSession, at)
		got := -2
		if ok && s.Closed == nil {
			got = -1
		} else if ok {
			got = s.Closed.Recorded
		}
		if got != want {
			t.Errorf("at %d: %+v, %v", at, s, ok)
		}
	}
	if _, ok := r.Session("c_a944", sampleSession, 100); ok {
		t.Error("a session of another scope")
	}
	if list := r.Sessions(); len(list) != 1 || !list[0].Settled() || list[0].Index != 6 || list[0].ClosedIndex != 8 {
		t.Errorf("%+v", list)
	}
}

// TestSessionForms: what no gateway may sign isn't read, whoever signed it.
func TestSessionForms(t *testing.T) {
	by := newSigner(t, "k1")
	good := map[string]string{
		SessionOpenedType: `{"aud":"registro.example","scope":"inps","session":"` + sampleSession + `","opened":1000,"until":901000,"warrant":"01` + zeros(62) + `"}`,
		SessionClosedType: `{"aud":"registro.example","scope":"inps","session":"` + sampleSession + `","closed":1000,"count":0,"recorded":0}`,
	}
	for typ, text := range good {
		for _, change := range []struct{ from, to string }{
			{"", ""}, {`"registro.example"`, `""`}, {`"inps"`, `"+ledger"`}, {sampleSession, "1"}, {`,"session"`, `,"note":1,"session"`},
			{`"until":901000`, `"until":901001`}, {`"until":901000`, `"until":1000`}, {`"warrant":"01`, `"warrant":"00`}, {`:1000`, `:-1000`},
			{`"count":0`, `"count":1`}, {`"count":0`, `"count":1001`}, {`"recorded":0`, `"recorded":1`}, {`"recorded":0`, `"recorded":0,"last":"01` + zeros(62) + `"`},
			{`,"recorded":0`, ``}, {`,"scope":"inps"`, ``},
		} {
			if !bytes.Contains([]byte(text), []byte(change.from)) {
				continue
			}
			payload := bytes.Replace([]byte(text), []byte(change.from), []byte(change.to), 1)
			compact, err := jws.Sign(typ, payload, "k1", by.private)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := ParseSession(compact); (err == nil) != (change.from == "") {
				t.Errorf("%s: %v", payload, err)
			}
		}
		if compact, err := jws.Sign("JWT", []byte(text), "k1", by.private); err != nil {
			t.Fatal(err)
		} else if _, _, err := ParseSession(compact); err == nil {
			t.Error("a statement of another type")
		}
	}
	refused(t, New(name), []byte(`{"kind":"break-glass","scope":"c_a944","statement":`+string(bytes.SplitN(sessionRecord(t, by, sampleOpened()), []byte(`"statement":`), 2)[1])), "bad_statement")
}

func zeros(n int) string { return string(bytes.Repeat([]byte("0"), n)) }
