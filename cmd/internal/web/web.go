// SPDX-License-Identifier: EUPL-1.2

// Package web is the ledger's pages for citizens: what they read, in Italian and English, in any browser and without
// JavaScript (but for verification in the browser itself).
//
// A page is one Go file, one template and one catalog in each language, listed in pages. Every request passes the same
// way: headers, sizes and deadlines, no other site's forms, so many requests an address and an identity, then the session.
// What a citizen sees is of the codes that their session's identity proves: no path, query or form chooses a person. A form only
// says of whom its page was, and does nothing if the session shows another by now.
//
// Nothing personal is in a URL, a log line, a metric or a cookie.
package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	wasm "github.com/traccia-ledger/traccia/cmd/internal/browser"
	"github.com/traccia-ledger/traccia/cmd/internal/web/accesses"
	"github.com/traccia-ledger/traccia/cmd/internal/web/consents"
	"github.com/traccia-ledger/traccia/cmd/internal/web/notice"
	"github.com/traccia-ledger/traccia/cmd/internal/web/register"
	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// Config of the pages. Node, Origin and Log are required.
type Config struct {
	Node   *node.Node
	Origin string // as browsers write it: https://registro.example; http on this machine alone; "": nobody can enter, see registerPages
	Doors  []Door // ways in, in the order they are shown
	// Public are JSON documents for providers of identity, by their name below DoorPath.
	Public   map[string][]byte
	Messages bool // what goes between the doors and providers is kept for 24 months, see package login
	Operator Operator
	// Verifier is the one that citizens' browsers run, nil while there is none; browsers get it once the log records its digest.
	Verifier func() *wasm.Site
	// Notices sends them by e-mail, nil where the operator sends none; every NoticesEvery, an hour if zero, it is looked who is due.
	Notices      notice.Sender
	NoticesEvery time.Duration
	Log          *slog.Logger
	Metrics      prometheus.Registerer
}

// Operator says who answers for the pages. Where an address is empty a page of ours stands in its place.
type Operator struct {
	Name          string `json:"name"`                    // as the header shows it
	Accessibility string `json:"accessibility,omitempty"` // URL of the accessibility statement (L. 4/2004)
	Privacy       string `json:"privacy,omitempty"`       // URL of the privacy notice
}

// A Door is a way in. Package login has SPID's and CIE's; ledgerd dev has a stand-in.
type Door interface {
	// ID is its name in paths and forms: [a-z0-9-]+.
	ID() string
	// Kind says how its button looks: "spid", "cie" or "sample".
	Kind() string
	// Name is what its button says after "enter with".
	Name() string
	// Options are the people among whom a form lets choose; none but for a stand-in.
	Options() []string
	// Begin answers to a citizen who chose it. A *Refusal is shown in plain words.
	Begin(r *http.Request, v Visit) (Step, error)
	// Return takes the browser back that the provider sent to DoorPath and the id, with the cookie of the Step.
	Return(r *http.Request, cookie string) (session.Identity, Visit, error)
	// Leave is the address at which the provider's own session ends, from where the browser comes back to an address of
	// ours; "" if there is none.
	Leave(ctx context.Context, identity session.Identity, back string) string
}

// Visit is what a citizen was about to do when they chose a door.
type Visit struct {
	Lang string // a language of ours
	Next string // path of a page below the language
}

// Step is how a login goes on: elsewhere with a cookie for the way back, or it is done.
type Step struct {
	Location string
	Cookie   string
	Identity *session.Identity
}

// Refusal is a login that didn't succeed, for a reason that the citizen is told.
type Refusal struct {
	Reason string // a key below login.refused in the catalogs
	Cause  error  // for the operator; holds nothing personal
}

func (r *Refusal) Error() string { return fmt.Sprintf("login refused (%s): %v", r.Reason, r.Cause) }

func (r *Refusal) Unwrap() error { return r.Cause }

// server answers for one node.
type server struct {
	Config
	secure     bool // the origin is https
	sessions   *session.Store
	texts      map[string]catalog   // by language
	templates  map[string]templates // by language
	assets     *assets
	foreign    *http.CrossOriginProtection
	limits     limits
	histories  *accesses.Keeper
	noticeDesk *notice.Desk // nil: there are no notices
	desk       *consents.Desk
	register   *register.Keeper
	pages      []page
	requests   *prometheus.CounterVec
}

// Pages is the handler of the pages, see Serves for which paths.
type Pages struct{ *server }

// New returns the pages of a node.
func New(c Config) (*Pages, error) {
	s := &server{
		Config: c, sessions: session.New(c.Node, c.Node.Now), foreign: http.NewCrossOriginProtection(), limits: newLimits(), histories: accesses.NewKeeper(c.Node),
		desk: &consents.Desk{Ledger: c.Node, Name: c.Node.Settings.Name}, register: register.NewKeeper(c.Node), pages: allPages(),
	}
	err := s.setOrigin()
	if err != nil {
		return nil, err
	}
	if s.texts, err = readCatalogs(); err != nil {
		return nil, err
	}
	s.noticeDesk = s.newDesk()
	if s.assets, err = readAssets(); err != nil {
		return nil, err
	}
	if s.templates, err = s.parseTemplates(); err != nil {
		return nil, err
	}
	s.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "traccia_page_requests_total", Help: "Requests for pages, by page and status.",
	}, []string{"page", "status"})
	if c.Metrics != nil {
		c.Metrics.MustRegister(s.requests)
	}
	return &Pages{s}, nil
}

// setOrigin reads the address of the pages. Without one they are those that nobody enters.
func (s *server) setOrigin() error {
	if s.Origin == "" {
		s.pages = registerPages()
		return nil
	}
	origin, err := url.Parse(s.Origin)
	if err != nil || origin.Host == "" || s.Origin != origin.Scheme+"://"+origin.Host {
		return fmt.Errorf("origin: expected https://host, found %q", s.Origin)
	}
	switch host := net.ParseIP(origin.Hostname()); {
	case origin.Scheme == "https":
		s.secure = true
	case origin.Scheme == "http" && (host != nil && host.IsLoopback() || origin.Hostname() == "localhost"):
	default:
		return fmt.Errorf("origin: expected https://host, found %q", s.Origin)
	}
	// A proxy in front of the ledger may give it another host's name.
	if err := s.foreign.AddTrustedOrigin(s.Origin); err != nil {
		return fmt.Errorf("origin: %w", err)
	}
	return nil
}

// Sweep takes ended sessions away, and requests that were answered long ago, and sends notices, until ctx ends.
func (p *Pages) Sweep(ctx context.Context) {
	if p.noticeDesk != nil {
		go p.every(ctx, cmp.Or(p.NoticesEvery, time.Hour), "send notices", p.noticeDesk.Run)
	}
	go p.every(ctx, 24*time.Hour, "take answered requests away", p.Node.SweepErasures)
	p.sessions.Sweep(ctx, func(err error) { p.Log.Error("pages", "error", err) })
}

// every does something now and then again until ctx ends.
func (p *Pages) every(ctx context.Context, interval time.Duration, what string, do func(context.Context) error) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			p.Log.Error("pages", "error", fmt.Errorf("couldn't %s: %w", what, err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Beside serves the pages' paths, and leaves all others to the handler of the API.
func (p *Pages) Beside(api http.Handler) http.Handler {
	pages := p.handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if serves(r.URL.Path) {
			pages.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}

// page is one of them; in each language it has its own URL.
type page struct {
	path    string // below the language, "/accessi"; "" is the landing page
	open    bool   // visitors may see it; others need a session
	methods []string
	anyone  bool // its form does the same whoever the page was of; others act for them alone, see personField
	wasm    bool // it runs the verifier in the browser
	serve   func(s *server, w http.ResponseWriter, r *http.Request) error
	nav     string // key of its name in the navigation; "" it isn't there
}

// allPages lists them, those of the navigation in its order.
func allPages() []page {
	return []page{
		landingPage, accessesPage, refreshPage, excerptPage, wholePage, reportPage, dataPage, complaintPage, erasurePage, noticesPage,
		consentsPage, endPage, requestPage, passkeyPage, verifyPage, minePage, registerPage, bodiesPage, checksPage, leafPage,
		enterPage, leavePage, leftPage, codePage, othersPage, accessibilityPage, privacyPage,
	}
}

// registerPages are those of a ledger that nobody can enter: what is public anyway, and the verifier for whoever has a file.
func registerPages() []page {
	return []page{registerPage, bodiesPage, checksPage, leafPage, verifyPage, accessibilityPage}
}

func (s *server) findPage(path string) (page, bool) {
	i := slices.IndexFunc(s.pages, func(p page) bool { return p.path == path })
	if i < 0 {
		return page{}, false
	}
	return s.pages[i], true
}

// readable says whether a citizen can be sent to a page: there is one at this path, and it is for reading.
func (s *server) readable(path string) bool {
	p, ok := s.findPage(path)
	return ok && slices.Contains(p.methods, http.MethodGet)
}

var errNoPage = errors.New("no such page")
