// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
)

// Invented codes.
const (
	anna  = ledger.Subject("RSSMRA80A01H501U")
	bruno = ledger.Subject("RSSMRA80A01H50MM")
)

// site is the pages of a ledger, served over TLS.
type site struct {
	*testing.T
	*httptest.Server
	pages *Pages
	log   *strings.Builder
}

// newSite serves the pages of a new ledger. change, if not nil, changes their configuration.
func newSite(t *testing.T, change func(*Config)) *site {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ledger")
	ctx := context.Background()
	world := nodetest.NewWorld(t, time.Now())
	world.Create(t, dir, node.Options{})
	n, err := node.Open(ctx, dir, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return serveNode(t, n, change)
}

// serveNode serves the pages of a node.
func serveNode(t *testing.T, n *node.Node, change func(*Config)) *site {
	t.Helper()
	return serveOn(t, n, httptest.NewTLSServer, change)
}

// serveLocal serves them on http://localhost, where a browser lets passkeys be used without a certificate that it trusts.
func serveLocal(t *testing.T, n *node.Node, change func(*Config)) *site {
	t.Helper()
	return serveOn(t, n, func(h http.Handler) *httptest.Server {
		s := httptest.NewServer(h)
		s.URL = strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
		return s
	}, change)
}

func serveOn(t *testing.T, n *node.Node, serve func(http.Handler) *httptest.Server, change func(*Config)) *site {
	t.Helper()
	s := &site{T: t, log: new(strings.Builder)}
	var handler http.Handler
	s.Server = serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(s.Close)
	c := Config{Node: n, Origin: s.URL, Operator: Operator{Name: "Gestore"}, Log: slog.New(slog.NewTextHandler(s.log, nil))}
	if change != nil {
		change(&c)
	}
	var err error
	if s.pages, err = New(c); err != nil {
		t.Fatal(err)
	}
	handler = s.pages.Beside(http.NotFoundHandler())
	return s
}

// browser is a client with its own cookies, that follows no redirect.
type browser struct {
	*site
	http.Client
}

// visitor is a browser that nobody logged in with.
func (s *site) visitor() *browser {
	s.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.Fatal(err)
	}
	b := &browser{site: s, Client: *s.Server.Client()}
	b.Jar, b.Timeout = jar, 30*time.Second
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b
}

// enter is a browser of somebody whose identity proves these codes.
func (s *site) enter(subjects ...ledger.Subject) *browser {
	s.Helper()
	b := s.visitor()
	b.setCookie(sessionCookie, s.enterCookie(subjects...))
	return b
}

// enterCookie is the cookie of a session of somebody whose identity proves these codes.
func (s *site) enterCookie(subjects ...ledger.Subject) string {
	s.Helper()
	cookie, err := s.pages.sessions.Begin(s.Context(), session.Identity{Provider: "test", Level: 2, Subjects: subjects, At: time.Now()})
	if err != nil {
		s.Fatal(err)
	}
	return cookie
}

func (b *browser) setCookie(name, value string) {
	u, _ := url.Parse(b.URL)
	b.Jar.SetCookies(u, []*http.Cookie{{Name: b.pages.cookieName(name), Value: value, Path: "/", Secure: true, HttpOnly: true}})
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
}

func (b *browser) do(method, path string, form url.Values, headers ...string) answer {
	b.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(b.Context(), method, b.URL+path, body)
	if err != nil {
		b.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := b.Client.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

func (b *browser) get(path string, headers ...string) answer {
	b.Helper()
	return b.do(http.MethodGet, path, nil, headers...)
}

// person is what the forms of a page say that this browser gets now; "" of a visitor's.
func (b *browser) person() string {
	u, _ := url.Parse(b.URL)
	for _, c := range b.Jar.Cookies(u) {
		if c.Name == b.pages.cookieName(sessionCookie) {
			if current, err := b.pages.sessions.Get(b.Context(), c.Value); err == nil {
				return current.Person()
			}
		}
	}
	return ""
}

// post sends a form of a page that this browser gets now, but for what form says.
func (b *browser) post(path string, form url.Values, headers ...string) answer {
	b.Helper()
	form = maps.Clone(form)
	if form == nil {
		form = url.Values{}
	}
	if !form.Has(personField) {
		form.Set(personField, b.person())
	}
	return b.do(http.MethodPost, path, form, append([]string{"Sec-Fetch-Site", "same-origin"}, headers...)...)
}
