// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"context"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/webtest"
	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/consent/consenttest"
	"github.com/traccia-ledger/traccia/consent/webauthn"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
)

// TestInBrowser: a real browser takes the cookies, finds nothing that the CSP forbids, and judges each page and state.
func TestInBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT CHECKED with -short: the pages in a real browser")
	}
	dir := filepath.Join(t.TempDir(), "ledger")
	world := nodetest.NewWorld(t, time.Now())
	world.Create(t, dir, node.Options{})
	n, err := node.Open(context.Background(), dir, node.Options{Consents: webauthn.Rules{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	world.Register(t, n)
	s := serveNode(t, n, withDoors(&link{}, &door{}))
	citizen, delegate := nodetest.Person(1), nodetest.Person(2)
	d := &desk{&consenttest.Citizen{Code: citizen}, &consenttest.Collector{Ledger: nodetest.Name, ID: nodetest.Consumers[0], Key: nodetest.Signer(nodetest.Consumers[0], 0)}, n}
	d.record(t, ledger.KindMandateGiven, &ledger.Private{Delegate: delegate}, func(*consent.Record) {})
	u, _ := url.Parse(s.URL)
	name := s.pages.cookieName(sessionCookie)

	b := webtest.NewBrowser(t)
	look := func(what, path string) {
		t.Helper()
		b.Open(s.URL + path)
		b.Look(what)
	}
	b.Resize(webtest.Phone) // where it is hardest

	look("landing", "/it")
	look("enter", "/it/entra")
	look("refused", "/entra/altrove?code=1")
	look("not-found", "/en/none")
	look("accessibility", "/en/accessibilita")
	look("privacy", "/it/privacy")
	look("left", "/it/uscita")
	// In, by the form of a stand-in.
	b.Open(s.URL + "/it/entra")
	b.Click(`.traccia-door-sample button`, `.traccia-whose`)
	look("others", "/it/per-altri")
	if rows := webtest.Eval[int](b, `new Set(Map.groupBy(document.querySelectorAll('.traccia-nav li'), li => li.offsetTop).values().map(row => row[0].querySelector('a').getBoundingClientRect().left)).size`); rows != 1 {
		t.Errorf("the rows of the navigation begin in %d places", rows)
	}
	b.SetCookie(s.URL, name, s.enter(anna, bruno).Jar.Cookies(u)[0].Value)
	look("two-codes", "/it/per-altri")
	acting := s.enter(delegate)
	acting.post("/it/per-altri", url.Values{"codice": {string(citizen)}})
	b.SetCookie(s.URL, name, acting.Jar.Cookies(u)[0].Value)
	look("acting", "/it/privacy")
	b.Click(`.traccia-acting button`, `.traccia-whose:not(.traccia-acting)`)
}
