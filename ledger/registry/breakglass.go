// SPDX-License-Identifier: EUPL-1.2

package registry

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// KindBreakGlass is the kind of a BreakGlass.
const KindBreakGlass = "break-glass"

// Types of the JWS by which a scope's party states that a session of break-glass was opened, and closed.
const (
	SessionOpenedType = "traccia-break-glass-opened+jwt"
	SessionClosedType = "traccia-break-glass-closed+jwt"
)

// BreakGlass says that a scope's party opened or closed a session of break-glass, in which its gateway released answers
// while the ledger was down (docs/break-glass.md).
//
//	{"kind":"break-glass","scope":"inps","statement":"eyJhbGciOiJFUzI1NiIs…"}
type BreakGlass struct {
	Kind      string `json:"kind"`
	Scope     string `json:"scope"`
	Statement string `json:"statement"` // compact JWS over SessionOpened or SessionClosed, by a key in force of the scope's body
}

// SessionOpened is what the party signs of a session's beginning. Who opened it and why stays with the party, which can
// show it later: warrant is the digest (docs/break-glass.md).
//
//	{"aud":"registro.example","scope":"inps","session":"0f9e7c1a-5b1d-4a86-9f0e-2f4c3c1a7b55",
//	"opened":1795339800000,"until":1795340700000,"warrant":"8c1d…64 hex"}
type SessionOpened struct {
	Aud     string     `json:"aud"` // the ledger's name
	Scope   string     `json:"scope"`
	Session string     `json:"session"` // uuid
	Opened  int64      `json:"opened"`  // unix_ms, the party's clock
	Until   int64      `json:"until"`   // unix_ms, at most ledger.MaxSession later
	Warrant ledger.Hex `json:"warrant"`
}

// SessionClosed is what the party signs of its end, when each of its receipts was answered by the ledger. One that says
// of fewer recorded than there were is followed by another once there are more.
//
//	{"aud":"registro.example","scope":"inps","session":"0f9e7c1a-5b1d-4a86-9f0e-2f4c3c1a7b55",
//	"closed":1795340520000,"count":12,"recorded":12,"last":"5f0c…64 hex"}
type SessionClosed struct {
	Aud      string     `json:"aud"`
	Scope    string     `json:"scope"`
	Session  string     `json:"session"`
	Closed   int64      `json:"closed"`        // unix_ms: from then on nothing was released in it
	Count    int        `json:"count"`         // receipts, numbered from 1
	Recorded int        `json:"recorded"`      // of them, as far as the ledger acknowledged them
	Last     ledger.Hex `json:"last,omitzero"` // SHA-256 of the last receipt's payload; none exactly without receipts
}

// Session is a session of break-glass, as the log shows it.
type Session struct {
	SessionOpened
	Index       uint64         // log index of the record of its opening
	Closed      *SessionClosed // the last; nil while there is none
	ClosedIndex uint64         // of that one's record
}

// Settled says whether the session is closed and each of its receipts recorded.
func (s *Session) Settled() bool { return s.Closed != nil && s.Closed.Recorded == s.Closed.Count }

// sessionOf is what names a session.
type sessionOf struct{ scope, session string }

// FormatSession returns the payload to sign, of a SessionOpened or a SessionClosed, and the typ to sign it as.
func FormatSession(statement any) (payload []byte, typ string, err error) {
	switch s := statement.(type) {
	case SessionOpened:
		typ, err = SessionOpenedType, checkOpened(s)
	case SessionClosed:
		typ, err = SessionClosedType, checkClosed(s)
	default:
		err = fmt.Errorf("couldn't format a %T as a statement of a session", statement)
	}
	if err != nil {
		return nil, "", err
	}
	payload, err = json.Marshal(statement)
	return payload, typ, err
}

// ParseSession reads a signed SessionOpened or SessionClosed, whose signature it doesn't check: that takes the keys of its
// scope. The error is a *ledger.Problem.
func ParseSession(compact string) (statement any, token *jws.Unverified, err error) {
	const where = "/statement"
	token, err = jws.Parse(compact)
	if err != nil || token.Header.Typ != SessionOpenedType && token.Header.Typ != SessionClosedType {
		return nil, nil, refuse("bad_statement", where, "a compact JWS with typ "+SessionOpenedType+" or "+SessionClosedType, "something else")
	}
	if token.Header.Typ == SessionOpenedType {
		var s SessionOpened
		if err := ijson.Unmarshal(token.Payload, &s); err != nil {
			return nil, nil, refuse("bad_statement", where, "that a session was opened", err.Error())
		}
		return s, token, checkOpened(s)
	}
	var s SessionClosed
	if err := ijson.Unmarshal(token.Payload, &s); err != nil {
		return nil, nil, refuse("bad_statement", where, "that a session was closed", err.Error())
	}
	return s, token, checkClosed(s)
}

func checkOpened(s SessionOpened) error {
	if err := checkSession(s.Aud, s.Scope, s.Session, s.Opened); err != nil {
		return err
	}
	if most := ledger.MaxSession.Milliseconds(); s.Until <= s.Opened || s.Until-s.Opened > most {
		return refuse("bad_statement", "/statement", "until at most 15 minutes after opened", fmt.Sprintf("%d ms after it", s.Until-s.Opened))
	}
	if s.Warrant == (ledger.Hex{}) {
		return refuse("bad_statement", "/statement", "the digest of who opened it and why as warrant", "zeros")
	}
	return nil
}

func checkClosed(s SessionClosed) error {
	if err := checkSession(s.Aud, s.Scope, s.Session, s.Closed); err != nil {
		return err
	}
	switch {
	case s.Count < 0 || s.Count > ledger.MaxSessionCalls:
		return refuse("bad_statement", "/statement", fmt.Sprintf("a count of 0 to %d", ledger.MaxSessionCalls), fmt.Sprint(s.Count))
	case s.Recorded < 0 || s.Recorded > s.Count:
		return refuse("bad_statement", "/statement", fmt.Sprintf("0 to %d recorded", s.Count), fmt.Sprint(s.Recorded))
	case (s.Count == 0) != (s.Last == ledger.Hex{}):
		return refuse("bad_statement", "/statement", "the digest of the last receipt, and none without receipts", "the contrary")
	}
	return nil
}

func checkSession(aud, scope, session string, at int64) error {
	const where = "/statement"
	switch {
	case ledger.CheckName(aud) != nil:
		return refuse("bad_statement", where, "a ledger's name as aud", fmt.Sprintf("%d bytes", len(aud)))
	case ledger.CheckID(scope) != nil:
		return refuse("bad_id", where, "the id of a body as scope", fmt.Sprintf("%d bytes", len(scope)))
	case ledger.CheckUUID(session) != nil:
		return refuse("bad_uuid", where, "a uuid in lower case as session", fmt.Sprintf("%d bytes", len(session)))
	case at < 0 || at > latestMS:
		return refuse("bad_statement", where, "an instant since 1970", "another")
	}
	return nil
}

// latestMS is the end of year 9999.
const latestMS = 253402300799999

func checkBreakGlass(r BreakGlass) error {
	s, _, err := ParseSession(r.Statement)
	if err != nil {
		return err
	}
	if scope := scopeOf(s); scope != r.Scope {
		return refuse("bad_statement", "/scope", "the statement's scope, "+scope, "another")
	}
	return nil
}

func scopeOf(statement any) string {
	if s, ok := statement.(SessionOpened); ok {
		return s.Scope
	}
	return statement.(SessionClosed).Scope
}

// Session returns a session of a scope as of log index at: opened by a record of lower index. False where there is none.
func (r *Registry) Session(scope, session string, at uint64) (Session, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	states := r.sessions[sessionOf{scope, session}]
	for i := len(states) - 1; i >= 0; i-- {
		// A closing stands at its own record; the opening alone at the session's first.
		if s := states[i]; s.Closed != nil && s.ClosedIndex < at || s.Closed == nil && s.Index < at {
			return s, true
		}
	}
	return Session{}, false
}

// Sessions returns every session as it stands now, in the order of opening.
func (r *Registry) Sessions() []Session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	list := make([]Session, 0, len(r.sessions))
	for _, states := range r.sessions {
		list = append(list, states[len(states)-1])
	}
	slices.SortFunc(list, func(a, b Session) int {
		if a.Index < b.Index {
			return -1
		}
		return 1
	})
	return list
}

// prepareBreakGlass takes a statement that a key in force of the scope's body signed: a session is opened once; closed
// within its time, and again only with more of the same receipts recorded.
func (r *Registry) prepareBreakGlass(rec BreakGlass) (func(index uint64), error) {
	statement, token, err := ParseSession(rec.Statement)
	if err != nil {
		return nil, err
	}
	if err := r.signedByScope(rec.Scope, token); err != nil {
		return nil, err
	}
	switch s := statement.(type) {
	case SessionOpened:
		of := sessionOf{s.Scope, s.Session}
		if s.Aud != r.name {
			return nil, refuse("other_ledger", "/statement", "a statement for "+r.name, "one for another ledger")
		}
		if known := r.sessions[of]; len(known) > 0 {
			return nil, refuse("session_repeated", "/statement", "a session not opened before", fmt.Sprintf("one opened at log index %d", known[0].Index))
		}
		return func(index uint64) { r.sessions[of] = []Session{{SessionOpened: s, Index: index}} }, nil
	case SessionClosed:
		of := sessionOf{s.Scope, s.Session}
		states := r.sessions[of]
		if s.Aud != r.name {
			return nil, refuse("other_ledger", "/statement", "a statement for "+r.name, "one for another ledger")
		}
		if len(states) == 0 {
			return nil, refuse("no_session", "/statement", "a session opened by a record before", "another")
		}
		last := states[len(states)-1]
		if s.Closed < last.Opened || s.Closed > last.Until {
			return nil, refuse("bad_statement", "/statement", "an end between "+unixMS(last.Opened)+" and "+unixMS(last.Until), unixMS(s.Closed))
		}
		if c := last.Closed; c != nil && (s.Closed != c.Closed || s.Count != c.Count || s.Last != c.Last || s.Recorded <= c.Recorded) {
			return nil, refuse("not_newer", "/statement", fmt.Sprintf("the same end, and more than %d of %d recorded", c.Recorded, c.Count), "another")
		}
		return func(index uint64) {
			last.Closed, last.ClosedIndex = &s, index
			r.sessions[of] = append(r.sessions[of], last)
		}, nil
	}
	return nil, nil
}

// signedByScope checks a statement's signature by a key in force of the scope's body.
func (r *Registry) signedByScope(scope string, token *jws.Unverified) error {
	i := r.find(scope, token.Header.Kid)
	if i < 0 || r.keys[scope][i].RevokedIndex != 0 {
		return refuse("bad_signature", "/statement", "a signature by a key in force of "+scope, "kid "+token.Header.Kid)
	}
	if err := token.Verify(r.keys[scope][i].key); err != nil {
		return refuse("bad_signature", "/statement", "a signature that verifies", err.Error())
	}
	return nil
}

func unixMS(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }
