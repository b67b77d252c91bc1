// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"net/http"
	"strings"

	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/ledger"
)

// othersPage is where a parent, guardian, support administrator or proxy begins to act for a citizen, and ends it.
var othersPage = page{path: "/per-altri", anyone: true, methods: []string{http.MethodGet, http.MethodPost}, serve: serveOthers, nav: "nav.others"}

// othersView is what others.html shows.
type othersView struct{ Refused bool }

// serveOthers lets a citizen see the list of another whose mandate names them. The code comes in a form, never in a URL;
// no answer says whether a code exists, or has mandates for others. What a delegate sees leaves an event in the other's list
// before it is shown.
func serveOthers(s *server, w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return s.render(w, r, "others", othersView{})
	}
	cookie, current := s.cookie(r, sessionCookie), session.From(r.Context())
	if r.PostFormValue("fine") != "" {
		_, err := s.sessions.Change(r.Context(), cookie, func(c *session.Session) error { c.Choose(0); return nil })
		if err != nil {
			return err
		}
		return s.redirect(w, r, "/"+lang(r)+afterLogin)
	}
	if wait := s.limits.guess(current); wait > 0 {
		return tooMany(wait)
	}
	citizen, err := ledger.ParseSubject(strings.ToUpper(strings.TrimSpace(r.PostFormValue("codice"))))
	var m *session.Mandate
	if err == nil {
		if m, err = s.mandate(r, current, citizen); err != nil {
			return err
		}
	}
	if m == nil {
		return s.renderStatus(w, r, http.StatusForbidden, "others", othersView{Refused: true})
	}
	if err := s.Node.LookUpUnder(r.Context(), citizen, m.ID); err != nil {
		return err
	}
	if _, err := s.sessions.Change(r.Context(), cookie, func(c *session.Session) error { c.Act(citizen, *m); return nil }); err != nil {
		return err
	}
	return s.redirect(w, r, "/"+lang(r)+afterLogin)
}

// mandate is the one in force under which the identity may act for a citizen, nil if there is none.
func (s *server) mandate(r *http.Request, current *session.Session, citizen ledger.Subject) (*session.Mandate, error) {
	for _, delegate := range current.Identity.Subjects {
		m, err := s.Node.Mandate(r.Context(), citizen, delegate)
		if err != nil {
			return nil, err
		}
		if m != nil && delegate != citizen {
			return &session.Mandate{ID: m.ID, Relation: m.Relation, Collector: m.Collector, Until: m.Until, Delegate: delegate}, nil
		}
	}
	return nil, nil
}

// stillActs looks at each request whether the mandate is still in force; the session goes on without it if it isn't.
func (s *server) stillActs(r *http.Request, cookie string, current *session.Session) (*session.Session, error) {
	m, err := s.mandate(r, current, current.Subject)
	if err != nil || m != nil && m.ID == current.Mandate.ID {
		return current, err
	}
	return s.sessions.Change(r.Context(), cookie, func(c *session.Session) error { c.Choose(0); return nil })
}
