// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"fmt"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/cmd/internal/web/webtest"
	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
)

// TestConsentsInBrowser: a citizen goes from a body's link to a consent and its withdrawal in Chromium, with a passkey of its virtual
// authenticator and the keyboard; every page and state on the way is judged by axe-core on the narrowest phone.
func TestConsentsInBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT CHECKED with -short: consents in a real browser")
	}
	n, _ := consentNode(t)
	s := serveLocal(t, n, nil)
	who := nodetest.Person(1)
	b := webtest.NewBrowser(t)
	b.Resize(webtest.Phone)
	name := s.pages.cookieName(sessionCookie)
	look := func(what, path, want string) {
		t.Helper()
		b.Open(s.URL + path)
		b.Wait(want)
		b.Look("consents-" + what)
	}
	link := s.asks(nil)
	look("bad", link[:len(link)-8]+"AAAAAAAA", "main .alert-danger")
	look("visitor", link, ".traccia-asked")
	b.SetCookie(s.URL, name, s.signInCookie(who))
	look("none", "/it/consensi", ".traccia-empty")
	look("no-key", "/it/consensi/richiesta", ".traccia-answer h3")

	// A device that doesn't recognise its owner answers with an error; one that does makes the passkey.
	look("passkey", "/it/consensi/passkey", "form[data-passkey] button:enabled")
	recognise := b.Authenticate()
	recognise(false)
	press := func(selector string) {
		t.Helper()
		webtest.Eval[bool](b, fmt.Sprintf("document.querySelector(%q).focus(), true", selector))
		b.Press("\r")
	}
	press("form[data-passkey] button")
	b.Wait("[data-part=error]")
	b.Look("consents-passkey-error")
	recognise(true)
	press("form[data-passkey] button")
	b.Wait(".traccia-asked")
	b.Look("consents-request")
	if !webtest.Eval[bool](b, `document.querySelector('main .alert-success') !== null`) {
		t.Error("it doesn't say that the passkey is recorded")
	}
	press("form[data-passkey] button")
	b.Wait("[aria-labelledby=vigore] .traccia-rows")
	given := s.lastOf(who, ledger.KindConsentGiven)
	if given.State != ledger.ConsentInForce || given.Evidence != consent.EvidencePasskey {
		t.Fatalf("%+v", given)
	}
	b.Resize(webtest.Desktop)
	look("given-en", "/en/consensi", "[aria-labelledby=vigore] .traccia-rows")
	b.Resize(webtest.Phone)
	s.ready(who)
	look("list", "/it/consensi", "[aria-labelledby=storia] .traccia-rows")
	b.Open(s.URL + link)
	b.Wait(".alert-info")
	b.Look("consents-already")
	// The same device makes no second passkey.
	b.Open(s.URL + "/it/consensi/passkey")
	b.Wait("form[data-passkey] button:enabled")
	press("form[data-passkey] button")
	b.Wait("[data-error=known]")

	// A number is no place for passkeys, and the page says which is.
	other := strings.Replace(s.URL, "localhost", "127.0.0.1", 1)
	b.SetCookie(other, name, s.signInCookie(who))
	b.Open(other + "/it/consensi/passkey")
	b.Wait("form[data-passkey] button:enabled")
	press("form[data-passkey] button")
	b.Wait("[data-error=address]")
	b.Look("consents-address")

	// One press, without JavaScript.
	b.Open(s.URL + "/it/consensi")
	press(".traccia-rows form button")
	b.Wait("main .alert-success")
	b.Look("consents-withdrawn")
	if got := s.lastOf(who, ledger.KindConsentGiven).State; got != ledger.ConsentWithdrawn {
		t.Errorf("it is %s", got)
	}
	b.Media("", "forced-colors", "active")
	look("contrast", "/it/consensi/richiesta", ".traccia-asked")
	if strings.Contains(s.log.String(), "error") {
		t.Errorf("the log: %s", s.log)
	}
}

// lastOf is the last thing of a kind in a citizen's list.
func (s *site) lastOf(who ledger.Subject, kind string) (last ledger.ConsentSummary) {
	s.Helper()
	list, err := s.pages.Node.Consents(s.Context(), who)
	if err != nil {
		s.Fatal(err)
	}
	for _, c := range list {
		if c.Kind == kind {
			last = c
		}
	}
	return last
}

// ready waits for a citizen's history.
func (s *site) ready(who ledger.Subject) {
	s.Helper()
	m, err := s.pages.histories.Get(who)
	if err != nil {
		s.Fatal(err)
	}
	<-m.Done()
}
