// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"testing"

	"github.com/traccia-ledger/traccia/cmd/internal/web/webtest"
	"github.com/traccia-ledger/traccia/ledger"
)

// open starts a browser in which somebody has entered.
func (s *site) open(who ledger.Subject) *webtest.Browser {
	s.Helper()
	b := webtest.NewBrowser(s)
	b.SetCookie(s.URL, s.pages.cookieName(sessionCookie), s.enterCookie(who))
	return b
}

// TestAccessesInBrowser: every state of the list and its pages in Chromium, in both languages, on a desktop and on the narrowest
// phone, without a violation that axe-core finds.
func TestAccessesInBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes its time")
	}
	l := webtest.NewLedger(t, webtest.Config{Years: 2, Accesses: 24})
	l.State(ledger.StatementError, "Pratica di un'altra persona")
	s := serveNode(t, l.Node, nil)
	b := s.open(webtest.Citizen)
	for _, size := range []struct {
		name string
		webtest.Size
	}{{"desktop", webtest.Desktop}, {"phone", webtest.Phone}} {
		b.Resize(size.Size)
		for _, p := range []struct{ name, path string }{
			{"accesses", "/it/accessi"}, {"accesses-en", "/en/accessi"}, {"filtered", "/it/accessi?ente=inps"}, {"nothing", "/it/accessi?al=2001-01-01"},
			{"whole", "/it/accessi/intero"}, {"report", "/it/accessi/relazione"},
		} {
			b.Open(s.URL + p.path)
			b.Wait("#main h1")
			b.Look(p.name + "-" + size.name)
		}
	}
}
