// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/serving"
	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
)

// Limits of a request.
const (
	maxForm  = 64 << 10
	patience = 30 * time.Second // to send a form, and again to take a page
)

// DoorPath begins the paths to which providers send browsers back, and of what they read.
const DoorPath = "/entra/"

// serves says whether a path is one of the pages'.
func serves(p string) bool {
	if p == "/" || strings.HasPrefix(p, assetPath) || strings.HasPrefix(p, verifierPath) || strings.HasPrefix(p, DoorPath) {
		return true
	}
	for _, lang := range languages {
		if rest, ok := strings.CutPrefix(p, "/"+lang); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// handler is everything that a request passes.
func (s *server) handler() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w := &serving.Recorder{ResponseWriter: rw}
		name := "none"
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				s.fail(w, r, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
			}
			s.requests.WithLabelValues(name, strconv.Itoa(w.Status)).Inc()
		}()
		s.harden(w.Header(), false)
		control := http.NewResponseController(w)
		control.SetReadDeadline(time.Now().Add(patience))
		control.SetWriteDeadline(time.Now().Add(2 * patience))
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		var err error
		if name, err = s.route(w, &r); err != nil {
			s.fail(w, r, err)
		}
	})
}

// harden sets what every answer carries. No answer may be kept by anyone, but for assets.
func (s *server) harden(h http.Header, wasm bool) {
	script := "'self'"
	if wasm {
		script += " 'wasm-unsafe-eval'"
	}
	h.Set("Content-Security-Policy", "default-src 'none'; script-src "+script+"; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-store")
	if s.secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// route answers a request, and returns its name for the metrics. It puts the session into the request's context.
func (s *server) route(w http.ResponseWriter, in **http.Request) (name string, err error) {
	r := *in
	p := r.URL.Path
	if r.URL.RawPath != "" || path.Clean(p) != p {
		// One spelling for each page.
		short, ok := strings.CutSuffix(p, "/")
		if lang, below := split(short); ok && lang != "" && s.readable(below) && r.Method == http.MethodGet {
			http.Redirect(w, r, short, http.StatusMovedPermanently)
			return "none", nil
		}
		return "none", errNoPage
	}
	if strings.HasPrefix(p, assetPath) {
		return "asset", s.assets.serve(w, r)
	}
	if strings.HasPrefix(p, verifierPath) {
		return "verifier", s.serveVerifier(w, r)
	}
	if err := s.foreign.Check(r); err != nil {
		return "none", &statusError{status: http.StatusForbidden, key: "foreign"}
	}
	if wait := s.limits.address(r); wait > 0 {
		return "none", tooMany(wait)
	}
	if p == "/" {
		w.Header().Set("Vary", "Accept-Language")
		return "root", s.redirect(w, r, "/"+preferred(r))
	}
	if id, ok := strings.CutPrefix(p, DoorPath); ok && s.Origin != "" {
		return "door", s.serveDoor(w, r, id)
	}
	if r, err = s.withSession(w, r); err != nil {
		return "none", err
	}
	*in = r
	lang, below := split(p)
	if id, ok := strings.CutPrefix(below, enterPath+"/"); ok && s.Origin != "" {
		return "begin", s.serveBegin(w, r, id)
	}
	page, ok := s.findPage(below)
	if s.Origin == "" && below == "" {
		return "landing", s.redirect(w, r, p+registerPath)
	}
	if !ok {
		return "none", errNoPage
	}
	name = cmp.Or(page.path, "landing")
	if !slices.Contains(page.methods, r.Method) && !(r.Method == http.MethodHead && slices.Contains(page.methods, http.MethodGet)) {
		w.Header().Set("Allow", strings.Join(page.methods, ", "))
		return name, &statusError{status: http.StatusMethodNotAllowed, key: "method"}
	}
	if r.Method == http.MethodPost && r.ParseForm() != nil {
		return name, &statusError{status: http.StatusBadRequest, key: "form"}
	}
	current := session.From(r.Context())
	if current != nil {
		if wait := s.limits.identity(current); wait > 0 {
			return name, tooMany(wait)
		}
	}
	if !page.open && current == nil {
		return name, s.sendToEnter(w, r, lang, page)
	}
	if r.Method == http.MethodPost && current != nil && !page.anyone && r.PostForm.Get(personField) != current.Person() {
		return name, &statusError{status: http.StatusConflict, key: "person"}
	}
	if page.wasm {
		s.harden(w.Header(), true)
	}
	return name, page.serve(s, w, r)
}

// split parts a path into its language and the rest; "" if it has none.
func split(p string) (lang, below string) {
	for _, l := range languages {
		if rest, ok := strings.CutPrefix(p, "/"+l); ok && (rest == "" || rest[0] == '/') {
			return l, rest
		}
	}
	return "", p
}

// cookieName is that of a cookie. Browsers send one with the prefix over TLS alone, for this host and every path, and take
// none from another host of the domain.
func (s *server) cookieName(name string) string {
	if s.secure {
		return "__Host-" + name
	}
	return name
}

const (
	sessionCookie = "traccia-session"
	loginCookie   = "traccia-login"
)

func (s *server) setCookie(w http.ResponseWriter, name, value string, age time.Duration) {
	c := &http.Cookie{
		Name: s.cookieName(name), Value: value, Path: "/", HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode,
		MaxAge: int(age / time.Second),
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// cookie returns a cookie's value, "" if there isn't exactly one.
func (s *server) cookie(r *http.Request, name string) string {
	all := r.CookiesNamed(s.cookieName(name))
	if len(all) != 1 {
		return ""
	}
	return all[0].Value
}

// withSession puts the session of a request's cookie into its context.
func (s *server) withSession(w http.ResponseWriter, r *http.Request) (*http.Request, error) {
	value := s.cookie(r, sessionCookie)
	if value == "" || s.Origin == "" {
		return r, nil
	}
	current, err := s.sessions.Get(r.Context(), value)
	switch {
	case errors.Is(err, session.ErrEnded):
		s.setCookie(w, sessionCookie, "", 0)
		return r, nil
	case err != nil:
		return r, err
	}
	if current.Mandate != nil {
		if current, err = s.stillActs(r, value, current); err != nil {
			return r, err
		}
	}
	return r.WithContext(session.With(r.Context(), current)), nil
}

// sendToEnter asks a visitor to log in, and says so if they were logged in a while ago.
func (s *server) sendToEnter(w http.ResponseWriter, r *http.Request, lang string, p page) error {
	ended := len(r.CookiesNamed(s.cookieName(sessionCookie))) > 0
	if ended || r.Method == http.MethodPost {
		e := &statusError{status: http.StatusForbidden, key: "ended"}
		if s.readable(p.path) {
			e.next = p.path
		}
		return e
	}
	return s.redirect(w, r, "/"+lang+enterPath+"?verso="+strings.TrimPrefix(p.path, "/"))
}

// redirect sends a browser to a path of ours.
func (s *server) redirect(w http.ResponseWriter, r *http.Request, path string) error {
	http.Redirect(w, r, path, http.StatusSeeOther)
	return nil
}
