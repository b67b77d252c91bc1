// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
)

// door lets in who a form names: a stand-in for tests.
type door struct{ begun []Visit }

func (d *door) ID() string        { return "prova" }
func (d *door) Kind() string      { return "sample" }
func (d *door) Name() string      { return "prova" }
func (d *door) Options() []string { return []string{string(anna), string(bruno)} }

func (d *door) Begin(r *http.Request, v Visit) (Step, error) {
	d.begun = append(d.begun, v)
	subject, err := ledger.ParseSubject(r.PostFormValue("chi"))
	if err != nil {
		return Step{}, &Refusal{"no_code", err}
	}
	return Step{Identity: &session.Identity{Provider: "prova", Level: 2, Subjects: []ledger.Subject{subject}}}, nil
}

func (d *door) Leave(context.Context, session.Identity, string) string { return "" }

func (d *door) Return(*http.Request, string) (session.Identity, Visit, error) {
	return session.Identity{}, Visit{}, &Refusal{"expired", errors.New("none is under way")}
}

// link is a door that leads elsewhere, as a provider of identity does.
type link struct {
	door
	visit Visit
}

func (d *link) ID() string        { return "altrove" }
func (d *link) Kind() string      { return "spid" }
func (d *link) Options() []string { return nil }

func (d *link) Begin(_ *http.Request, v Visit) (Step, error) {
	d.visit = v
	return Step{Location: "https://provider.example/authorize", Cookie: "under way"}, nil
}

func (d *link) Return(_ *http.Request, cookie string) (session.Identity, Visit, error) {
	if cookie != "under way" {
		return session.Identity{}, Visit{}, &Refusal{"expired", errors.New("none is under way")}
	}
	return session.Identity{Provider: d.ID(), Level: 2, Subjects: []ledger.Subject{anna}}, d.visit, nil
}

func withDoors(doors ...Door) func(*Config) {
	return func(c *Config) { c.Doors = doors }
}

// everywhere has a request for each kind of answer.
func everywhere(s *site) [][2]string {
	list := [][2]string{
		{"GET", "/"}, {"GET", "/it/"}, {"GET", "/it/none"}, {"GET", "/it//esci"}, {"GET", "/it/%61ccessi"}, {"GET", "/entra/none"},
		{"GET", "/entra/altrove?code=x"}, {"GET", "/it/entra/altrove"}, {"GET", "/it/entra/none"}, {"POST", "/it/entra/altrove"}, {"GET", s.pages.assets.prefix + "css/traccia.css"}, {"GET", "/assets/none"},
		{"TRACE", "/it"}, {"PUT", "/it"}, {"HEAD", "/it"}, {"OPTIONS", "/it/esci"}, {"POST", "/it/codice"},
	}
	for _, p := range allPages() {
		for _, method := range p.methods {
			list = append(list, [2]string{method, "/it" + p.path}, [2]string{method, "/en" + p.path})
		}
	}
	return list
}

// TestHeaders: every answer says what a browser may do with it, and pages are kept by nobody.
func TestHeaders(t *testing.T) {
	s := newSite(t, withDoors(&link{}))
	for n, request := range everywhere(s) {
		for who, b := range map[string]*browser{"visitor": s.visitor(), "citizen": s.enter(nodetest.Person(n))} {
			var form url.Values
			if request[0] == http.MethodPost {
				form = url.Values{personField: {b.person()}}
			}
			a := b.do(request[0], request[1], form, "Sec-Fetch-Site", "same-origin")
			where := fmt.Sprintf("%s, %s %s (%d)", who, request[0], request[1], a.status)
			csp := a.header.Get("Content-Security-Policy")
			for _, part := range []string{"default-src 'none'", "script-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
				if !strings.Contains(csp, part) {
					t.Errorf("%s: no %s in the CSP %q", where, part, csp)
				}
			}
			if strings.Contains(csp, "unsafe-inline") || strings.Contains(csp, "unsafe-eval'") && !strings.Contains(csp, "'wasm-unsafe-eval'") || strings.Contains(csp, "http") {
				t.Errorf("%s: the CSP %q", where, csp)
			}
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
				"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
				"Strict-Transport-Security": "max-age=31536000",
			} {
				if a.header.Get(name) != want {
					t.Errorf("%s: %s is %q", where, name, a.header.Get(name))
				}
			}
			asset := strings.HasPrefix(request[1], s.pages.assets.prefix)
			public := who == "visitor" && strings.Contains(request[1], registerPath)
			if cache := a.header.Get("Cache-Control"); cache != "no-store" && !asset && !(public && cache == publicCache) {
				t.Errorf("%s: Cache-Control is %q", where, cache)
			}
			if a.status >= 500 {
				t.Errorf("%s\n%s", where, s.log)
			}
			for _, inline := range []string{"<script>", "<style", " style=", " onclick=", "javascript:"} {
				if strings.Contains(a.body, inline) && !asset {
					t.Errorf("%s: %s in the page", where, inline)
				}
			}
		}
	}
}

// TestCookies: for this host over TLS, out of scripts' reach, and gone when the browser leaves.
func TestCookies(t *testing.T) {
	s := newSite(t, withDoors(&door{}, &link{}))
	b := s.visitor()
	check := func(what string, a answer, name string, gone bool) string {
		t.Helper()
		for _, c := range (&http.Response{Header: a.header}).Cookies() {
			if c.Name != "__Host-"+name {
				continue
			}
			if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || (c.MaxAge < 0) != gone {
				t.Errorf("%s: %s", what, c)
			}
			return c.Value
		}
		t.Errorf("%s: no cookie: %v", what, a.header)
		return ""
	}
	check("a login that leads elsewhere", b.get("/it/entra/altrove"), loginCookie, false)
	back := b.get("/entra/altrove?code=x")
	check("its return", back, loginCookie, true)
	first := check("its return", back, sessionCookie, false)
	again := check("another login", b.post("/it/entra", url.Values{"con": {"prova"}, "chi": {string(bruno)}}), sessionCookie, false)
	if first == again {
		t.Error("a login keeps the cookie of the one before")
	}
	old := s.visitor()
	old.setCookie(sessionCookie, first)
	if a := old.get("/it"); strings.Contains(a.body, string(anna)) {
		t.Error("the session before another login goes on")
	}
	check("leaving", b.post("/it/esci", nil), sessionCookie, true)
	old = s.visitor()
	old.setCookie(sessionCookie, again)
	a := old.get("/it")
	if strings.Contains(a.body, string(bruno)) {
		t.Error("the session goes on after its citizen left")
	}
	check("an ended session", a, sessionCookie, true)
}

// TestFixation: a cookie that somebody else chose is worth nothing after a login, nor before it.
func TestFixation(t *testing.T) {
	s := newSite(t, withDoors(&door{}))
	thief := s.enter(bruno)
	u, _ := url.Parse(s.URL)
	planted := thief.Jar.Cookies(u)[0].Value
	victim := s.visitor()
	victim.setCookie(sessionCookie, planted)
	if a := victim.post("/it/entra", url.Values{"con": {"prova"}, "chi": {string(anna)}}); a.status != http.StatusSeeOther {
		t.Fatalf("%d", a.status)
	}
	if a := victim.get("/it"); !strings.Contains(a.body, string(anna)) {
		t.Error("the login didn't count")
	}
	if a := thief.get("/it"); strings.Contains(a.body, string(anna)) || strings.Contains(a.body, string(bruno)) {
		t.Error("who planted the cookie has a session")
	}
	// Two cookies of one name, as another host of the domain could once add: neither counts.
	r := httptest.NewRequest(http.MethodGet, s.URL+"/it", nil)
	own := s.enter(anna).Jar.Cookies(u)[0]
	r.AddCookie(own)
	r.AddCookie(&http.Cookie{Name: own.Name, Value: planted})
	w := httptest.NewRecorder()
	s.pages.Beside(http.NotFoundHandler()).ServeHTTP(w, r)
	if strings.Contains(w.Body.String(), string(anna)) {
		t.Error("one of two cookies counts")
	}
}

// TestForeignForms: no other site makes a citizen's browser do anything.
func TestForeignForms(t *testing.T) {
	s := newSite(t, withDoors(&door{}, &link{}))
	for _, p := range allPages() {
		if !slices.Contains(p.methods, http.MethodPost) {
			continue
		}
		for _, headers := range [][]string{
			{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "", "Origin", "https://evil.example"}, {"Sec-Fetch-Site", "", "Origin", "null"},
		} {
			b := s.enter(anna)
			a := b.post("/it"+p.path, url.Values{"con": {"prova"}, "chi": {string(bruno)}, "quale": {"0"}}, headers...)
			if a.status != http.StatusForbidden || len(a.header.Values("Set-Cookie")) > 0 {
				t.Errorf("%s with %v: %d %v", p.path, headers, a.status, a.header)
			}
			if a := b.get("/it"); !strings.Contains(a.body, string(anna)) {
				t.Errorf("%s with %v had an effect", p.path, headers)
			}
		}
	}
	// What a link does for a citizen it doesn't do for another site.
	if a := s.visitor().get("/it/entra/altrove", "Sec-Fetch-Site", "cross-site"); a.header.Get("Location") != "/it/entra" || len(a.header.Values("Set-Cookie")) > 0 {
		t.Errorf("a login that another site begins: %d %v", a.status, a.header)
	}
}

// TestPersons: a form acts for whom its page showed or not at all, whatever another tab did meanwhile. Every page that takes forms is
// tried; those that do the same for anyone are named here.
func TestPersons(t *testing.T) {
	s := newSite(t, withDoors(&door{}))
	free := []string{enterPath, leavePath, "/codice", "/per-altri"}
	meanwhile := map[string]func(b *browser){
		"nothing":       func(*browser) {},
		"another code":  func(b *browser) { b.post("/en/codice", url.Values{"quale": {"1"}}) },
		"another login": func(b *browser) { b.setCookie(sessionCookie, s.enterCookie(bruno)) },
		"the same person's login": func(b *browser) {
			b.setCookie(sessionCookie, s.enterCookie(ledger.Subject(strings.Fields(b.person())[0])))
		},
	}
	field := regexp.MustCompile(`<form[^>]*method="post"[^>]*><input type="hidden" name="` + personField + `" value="([^"]*)">`)
	for n, p := range allPages() {
		own := nodetest.Person(n + 1)
		if b := s.enter(own); slices.Contains(p.methods, http.MethodGet) {
			page := b.get("/it" + p.path).body
			forms := field.FindAllStringSubmatch(page, -1)
			if slices.ContainsFunc(forms, func(m []string) bool { return m[1] != string(own) }) || len(forms) != strings.Count(page, `method="post"`) {
				t.Errorf("%s has forms of %v", p.path, forms)
			}
		}
		if !slices.Contains(p.methods, http.MethodPost) {
			continue
		}
		for what, do := range meanwhile {
			for _, shown := range []string{string(own), "", string(own) + " a mandate that ended"} {
				b := s.enter(own, bruno)
				do(b)
				stale := (shown != string(own) || strings.HasPrefix(what, "another")) && !slices.Contains(free, p.path)
				a := b.post("/it"+p.path, url.Values{personField: {shown}, "con": {"prova"}, "chi": {string(own)}, "quale": {"0"}, "risposta": {"si"}, "passo": {"ferma"}})
				if got := a.status == http.StatusConflict && strings.Contains(a.body, "Nel frattempo hai cambiato persona"); got != stale {
					t.Errorf("%s, shown %q, meanwhile %s: %d", p.path, shown, what, a.status)
				}
			}
		}
	}
	// A form that a template has and formTag doesn't know would be sent in vain.
	for _, pattern := range []string{"templates/*.html", "../browser/site/panel.html"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			text := string(data)
			if all := strings.Count(text, "<form"); all != len(formTag.FindAllString(text, -1))+strings.Count(text, `method="get"`) {
				t.Errorf("%s has %d forms, and not all say how they are sent", f, all)
			}
		}
	}
}

// TestOpenRedirects: whatever a request says, a browser is sent to our own pages alone.
func TestOpenRedirects(t *testing.T) {
	elsewhere := &link{}
	s := newSite(t, withDoors(&door{}, elsewhere))
	for _, to := range []string{
		"//evil.example", "/evil.example", "https://evil.example", "\\\\evil.example", "/\\evil.example", "%2f%2fevil.example", "..//evil.example", "privacy/../..//evil.example",
		"@evil.example", ".evil.example", "\t//evil.example", "javascript:alert(1)", "privacy\r\nLocation: https://evil.example", "entra/altrove", "esci", "none",
	} {
		form := url.Values{"con": {"prova"}, "chi": {string(anna)}, "verso": {to}, "quale": {"0"}}
		b := s.enter(anna)
		answers := map[string]answer{
			"login": s.visitor().post("/it/entra", form), "code": b.post("/it/codice", form), "login page": b.get("/it/entra?verso=" + url.QueryEscape(to)),
		}
		v := s.visitor()
		v.get("/it/entra/altrove?verso=" + url.QueryEscape(to))
		answers["return"] = v.get("/entra/altrove?code=x&verso=" + url.QueryEscape(to))
		elsewhere.visit.Next = to // as if a door were mistaken
		v.setCookie(loginCookie, "under way")
		answers["mistaken door"] = v.get("/entra/altrove?code=x")
		for what, a := range answers {
			if location := a.header.Get("Location"); a.status != http.StatusSeeOther || location != "/it"+afterLogin {
				t.Errorf("%s to %q: %d to %q", what, to, a.status, location)
			}
		}
	}
	for _, path := range []string{"//evil.example/", "/it//evil.example/", "/it/..//evil.example/", "/it/%2f/evil.example/"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: path}
		w := httptest.NewRecorder()
		s.pages.handler().ServeHTTP(w, r)
		if w.Code != http.StatusNotFound {
			t.Errorf("%s: %d to %q", path, w.Code, w.Header().Get("Location"))
		}
	}
}

// TestOthersData: no parameter, path or header of a request shows anyone another's data.
func TestOthersData(t *testing.T) {
	s := newSite(t, withDoors(&link{}))
	other := s.enter(bruno)
	u, _ := url.Parse(s.URL)
	theirs := other.Jar.Cookies(u)[0].Value
	names := []string{"subject", "codice", "cf", "chi", "quale", "con", "verso", "id", "user", "session", "fiscal_number", sessionCookie, "__Host-" + sessionCookie}
	values := []string{string(bruno), "TINIT-" + string(bruno), "1", "-1", "99999999999999999999", theirs}
	person := 0
	for _, p := range allPages() {
		for _, value := range values {
			all := url.Values{}
			for _, name := range names {
				all.Set(name, value)
			}
			person++ // a new one each time: nobody may ask for so many pages
			own := nodetest.Person(person)
			b := s.enter(own)
			for _, method := range p.methods {
				path := "/it" + p.path + "?" + all.Encode()
				form := all
				if method == http.MethodGet {
					form = nil
				} else {
					form.Set(personField, b.person())
				}
				a := b.do(method, path, form, "Sec-Fetch-Site", "same-origin", "X-Forwarded-User", string(bruno), "Authorization", "Bearer "+theirs)
				if a.status >= 500 || a.status == http.StatusTooManyRequests || strings.Contains(a.body, string(bruno)) || strings.Contains(a.header.Get("Location"), string(bruno)) {
					t.Errorf("%s %s shows another's code (%d)", method, p.path, a.status)
				}
			}
			if p.path == leavePath {
				continue
			}
			if a := b.get("/it"); !strings.Contains(a.body, string(own)) || strings.Contains(a.body, string(bruno)) {
				t.Errorf("after %s the session shows another's code", p.path)
			}
		}
	}
	if strings.Contains(s.log.String(), string(bruno)) || strings.Contains(s.log.String(), string(nodetest.Person(1))) {
		t.Errorf("the log names a person: %s", s.log)
	}
}

// TestLimits: so many pages an identity, whatever browser it uses, and an address; forms of a size.
func TestLimits(t *testing.T) {
	s := newSite(t, nil)
	one, two := s.enter(anna), s.enter(anna)
	var last answer
	for i := range 2*identityAtOnce + 100 {
		last = []*browser{one, two}[i%2].get("/it/privacy")
		if last.status != http.StatusOK {
			break
		}
	}
	if last.status != http.StatusTooManyRequests || last.header.Get("Retry-After") == "" || !strings.Contains(last.body, "Troppe richieste") {
		t.Errorf("%d %v", last.status, last.header)
	}
	if a := s.enter(bruno).get("/it/privacy"); a.status != http.StatusOK {
		t.Errorf("somebody else: %d", a.status)
	}
	handler := s.pages.Beside(http.NotFoundHandler())
	from := func(address string) int {
		r := httptest.NewRequest(http.MethodGet, "/it", nil)
		r.RemoteAddr = address
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	status := http.StatusOK
	for i := 0; i < 10*addressAtOnce && status == http.StatusOK; i++ {
		status = from(fmt.Sprintf("[2001:db8::%x]:%d", i, 1024+i)) // all of one network
	}
	if status != http.StatusTooManyRequests || from("[2001:db8:1::1]:1") != http.StatusOK || from("192.0.2.1:1") != http.StatusOK {
		t.Errorf("an address without a limit, or one that limits others: %d", status)
	}
	big := url.Values{"quale": {"0"}, "x": {strings.Repeat("x", maxForm)}}
	if a := s.enter(bruno).post("/it/codice", big); a.status != http.StatusBadRequest {
		t.Errorf("a form of %d bytes: %d", maxForm, a.status)
	}
}

// TestErrors: what goes wrong is told in words, and the rest to the log alone.
func TestErrors(t *testing.T) {
	s := newSite(t, nil)
	s.pages.pages = append(s.pages.pages, page{path: "/panico", open: true, methods: []string{http.MethodGet}, serve: func(*server, http.ResponseWriter, *http.Request) error {
		panic("a secret of the server")
	}}, page{path: "/chiusa", methods: []string{http.MethodGet, http.MethodPost}, serve: serveText("privacy")})
	b := s.visitor()
	a := b.get("/en/panico")
	if a.status != http.StatusInternalServerError || !strings.Contains(a.body, "Something went wrong") || strings.Contains(a.body, "secret") {
		t.Errorf("a panic: %d %s", a.status, a.body)
	}
	reference := a.body[strings.Index(a.body, `<strong class="traccia-code">`)+29:][:8]
	if !strings.Contains(s.log.String(), reference) || !strings.Contains(s.log.String(), "a secret of the server") {
		t.Errorf("reference %q isn't in the log", reference)
	}
	if a := b.get("/en/chiusa"); a.status != http.StatusSeeOther || a.header.Get("Location") != "/en/entra?verso=chiusa" {
		t.Errorf("a visitor: %d %v", a.status, a.header)
	}
	b.setCookie(sessionCookie, "of a session that ended")
	if a := b.get("/en/chiusa"); a.status != http.StatusForbidden || !strings.Contains(a.body, "The session is over") || !strings.Contains(a.body, "/en/entra?verso=chiusa") {
		t.Errorf("an ended session: %d %s", a.status, a.body)
	}
	if a := b.post("/en/chiusa", nil); a.status != http.StatusSeeOther && a.status != http.StatusForbidden {
		t.Errorf("a form of a visitor: %d", a.status)
	}
	// What a citizen wrote isn't lost with the session, nor when the page was another person's; and they come back to its form.
	long := "<b>Quattro</b> pagine\nscritte piano"
	ended := s.enter(anna)
	u, _ := url.Parse(s.URL)
	if _, err := s.pages.sessions.End(t.Context(), ended.Jar.Cookies(u)[0].Value); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		b      *browser
		path   string
		status int
		next   string
	}{
		"ended, a letter":      {ended, complaintPage.path, http.StatusForbidden, "accessi%2freclamo"},
		"ended, an erasure":    {s.visitor(), erasurePath, http.StatusForbidden, "cancellazione"},
		"ended, no page of it": {s.visitor(), refreshPage.path, http.StatusForbidden, ""},
		"another person's":     {s.enter(bruno), erasurePath, http.StatusConflict, ""},
	} {
		a := c.b.post("/it"+c.path, url.Values{"parole": {long}, personField: {string(anna)}})
		kept := strings.Contains(a.body, `readonly>`+html.EscapeString(long)+`</textarea>`)
		if a.status != c.status || !kept || strings.Contains(a.body, "?verso=") != (c.next != "") || !strings.Contains(a.body, c.next) {
			t.Errorf("%s: %d, the words are shown: %v, next %q", what, a.status, kept, c.next)
		}
	}
	if a := s.enter(anna).post("/it"+erasurePath, url.Values{"parole": {long}}, "Sec-Fetch-Site", "cross-site"); strings.Contains(a.body, "Quattro") {
		t.Error("another site's words are shown")
	}
	if a := s.enter(anna).get("/en/none"); a.status != http.StatusNotFound || !strings.Contains(a.body, "There is no such page") || !strings.Contains(a.body, string(anna)) {
		t.Errorf("no such page, logged in: %d", a.status)
	}
}
