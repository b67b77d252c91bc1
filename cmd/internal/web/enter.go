// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
)

const (
	enterPath = "/entra"
	leavePath = "/esci"
	leftPath  = "/uscita"
)

// A login that takes longer is begun anew.
const loginAge = 10 * time.Minute

var (
	enterPage = page{path: enterPath, open: true, anyone: true, methods: []string{http.MethodGet, http.MethodPost}, serve: serveEnter}
	leavePage = page{path: leavePath, open: true, anyone: true, methods: []string{http.MethodPost}, serve: serveLeave}
	leftPage  = page{path: leftPath, open: true, methods: []string{http.MethodGet}, serve: serveText("left")}
	codePage  = page{path: "/codice", anyone: true, methods: []string{http.MethodPost}, serve: serveCode}
)

// afterLogin is the page to which a login leads that wasn't begun from another.
const afterLogin = accessesPath

// enterView is what enter.html shows.
type enterView struct {
	Doors   []Door
	Next    string
	Refused string // a reason, after a login that didn't succeed
}

// next reads the page that a login leads to: the path of one of ours, and nothing else, whatever the request says.
func (s *server) next(value string) string {
	if path := "/" + value; value != "" && s.readable(path) {
		return path
	}
	return afterLogin
}

func serveEnter(s *server, w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		next := s.next(r.URL.Query().Get("verso"))
		if session.From(r.Context()) != nil {
			return s.redirect(w, r, "/"+lang(r)+next)
		}
		return s.render(w, r, "enter", enterView{Doors: s.Doors, Next: strings.TrimPrefix(next, "/")})
	}
	// A form is a stand-in's alone.
	door := s.door(r.PostFormValue("con"))
	if door == nil || len(door.Options()) == 0 {
		return &statusError{status: http.StatusBadRequest, key: "form"}
	}
	return s.begin(w, r, door, r.PostFormValue("verso"))
}

// serveBegin sends a browser to a provider. It is a link: browsers let a form lead to no other site than those its page
// names, and a provider may send on to others. Another site that leads here gets no further than our own page.
func (s *server) serveBegin(w http.ResponseWriter, r *http.Request, id string) error {
	door := s.door(id)
	if door == nil || len(door.Options()) > 0 {
		return errNoPage
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		return &statusError{status: http.StatusMethodNotAllowed, key: "method"}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return s.redirect(w, r, "/"+lang(r)+enterPath)
	}
	return s.begin(w, r, door, r.URL.Query().Get("verso"))
}

func (s *server) begin(w http.ResponseWriter, r *http.Request, door Door, next string) error {
	visit := Visit{Lang: lang(r), Next: s.next(next)}
	step, err := door.Begin(r, visit)
	if err != nil {
		return s.refuse(w, r, visit, err)
	}
	if step.Identity != nil {
		return s.enter(w, r, *step.Identity, visit)
	}
	s.setCookie(w, loginCookie, step.Cookie, loginAge)
	http.Redirect(w, r, step.Location, http.StatusSeeOther)
	return nil
}

func (s *server) door(id string) Door {
	for _, d := range s.Doors {
		if d.ID() == id {
			return d
		}
	}
	return nil
}

// serveDoor takes a browser back from a provider. The cookie is worth nothing after it.
func (s *server) serveDoor(w http.ResponseWriter, r *http.Request, id string) error {
	door, document := s.door(id), s.Public[id]
	if door == nil && document == nil {
		return errNoPage
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		return &statusError{status: http.StatusMethodNotAllowed, key: "method"}
	}
	if door == nil {
		w.Header().Set("Content-Type", "application/json")
		w.Write(document)
		return nil
	}
	cookie := s.cookie(r, loginCookie)
	s.setCookie(w, loginCookie, "", 0)
	identity, visit, err := door.Return(r, cookie)
	if !slices.Contains(languages, visit.Lang) {
		visit.Lang = preferred(r)
	}
	visit.Next = s.next(strings.TrimPrefix(visit.Next, "/"))
	if err != nil {
		return s.refuse(w, r, visit, err)
	}
	return s.enter(w, r, identity, visit)
}

// enter begins a session. One that this browser had before ends, and its cookie with it.
func (s *server) enter(w http.ResponseWriter, r *http.Request, identity session.Identity, visit Visit) error {
	if old := s.cookie(r, sessionCookie); old != "" {
		if _, err := s.sessions.End(r.Context(), old); err != nil && !errors.Is(err, session.ErrEnded) {
			return err
		}
	}
	cookie, err := s.sessions.Begin(r.Context(), identity)
	if err != nil {
		return err
	}
	s.setCookie(w, sessionCookie, cookie, session.Absolute)
	if visit.Next == accessesPath {
		// Their list is begun while the browser is on its way to it; where there are too many, it is then.
		_, _ = s.histories.Get(identity.Subjects[0])
	}
	return s.redirect(w, r, "/"+visit.Lang+visit.Next)
}

// refuse says why a login didn't succeed, and offers to try again.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, visit Visit, err error) error {
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		return err
	}
	s.Log.Info("login refused", "reason", refusal.Reason, "cause", refusal.Cause)
	status := http.StatusForbidden
	if refusal.Reason == "unreachable" {
		status = http.StatusBadGateway
	}
	r.URL.Path = "/" + visit.Lang + enterPath // whose language the page is in
	return s.renderStatus(w, r, status, "enter", enterView{Doors: s.Doors, Next: strings.TrimPrefix(visit.Next, "/"), Refused: refusal.Reason})
}

// leavingView is what leaving.html shows.
type leavingView struct{ URL, Name string }

// LeftURLs are where browsers come back to after a provider ended its own session.
func LeftURLs(origin string) []string {
	var urls []string
	for _, lang := range languages {
		urls = append(urls, origin+"/"+lang+leftPath)
	}
	return urls
}

// serveLeave ends the session here, and then the provider's own.
func serveLeave(s *server, w http.ResponseWriter, r *http.Request) error {
	left := "/" + lang(r) + leftPath
	cookie := s.cookie(r, sessionCookie)
	s.setCookie(w, sessionCookie, "", 0)
	w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	if cookie == "" {
		return s.redirect(w, r, left)
	}
	ended, err := s.sessions.End(r.Context(), cookie)
	if errors.Is(err, session.ErrEnded) {
		return s.redirect(w, r, left)
	} else if err != nil {
		return err
	}
	if door := s.door(ended.Identity.Provider); door != nil {
		if elsewhere := door.Leave(r.Context(), ended.Identity, s.Origin+left); elsewhere != "" {
			// A page, not a redirect: the form may lead to our own site alone.
			return s.render(w, r, "leaving", leavingView{elsewhere, door.Name()})
		}
	}
	return s.redirect(w, r, left)
}

// serveCode shows the list of another of the codes that the identity proves. The form says which by its place.
func serveCode(s *server, w http.ResponseWriter, r *http.Request) error {
	which, err := strconv.Atoi(r.PostFormValue("quale"))
	if err != nil {
		return &statusError{status: http.StatusBadRequest, key: "form"}
	}
	_, err = s.sessions.Change(r.Context(), s.cookie(r, sessionCookie), func(current *session.Session) error {
		if !current.Choose(which) {
			return &statusError{status: http.StatusBadRequest, key: "form"}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.redirect(w, r, "/"+lang(r)+s.next(r.PostFormValue("verso")))
}
