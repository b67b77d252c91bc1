// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"testing"

	"github.com/traccia-ledger/traccia/cmd/internal/web/webtest"
	"github.com/traccia-ledger/traccia/ledger"
)

// TestRequestsInBrowser: letters, requests for erasure and notices, each step and state in Chromium, on the narrowest phone, and a
// letter on paper.
func TestRequestsInBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT CHECKED with -short: letters, requests and notices in a real browser")
	}
	l := webtest.NewLedger(t, webtest.Config{Years: 1, Accesses: 2})
	l.Access(webtest.Citizen, func(r *ledger.Receipt) { r.Actor = ledger.ActorModel })
	l.State(ledger.StatementError, "Pratica di un'altra persona")
	s, server := mailing(t, l)
	b := s.open(webtest.Citizen)
	b.Resize(webtest.Phone)
	lookAtLetters(t, s, b)
	lookAtNotices(t, s, b, server)
	lookAtErasures(t, s, b, l)
}

func lookAtLetters(t *testing.T, s *site, b *webtest.Browser) {
	t.Helper()
	b.Open(s.URL + "/it/accessi")
	b.Wait(".traccia-verdict-complete")
	b.Click(".traccia-complain button", "button[value=garante]")
	b.Look("complaint-whom")
	b.Click("button[value=garante]", "#parole")
	b.Look("complaint-form")
	webtest.Eval[bool](b, `document.querySelector('#parole').focus(), true`)
	b.Press("Non so perché.")
	b.Click(".traccia-letter-form [type=submit]", ".traccia-letter")
	b.Look("complaint-letter")
	if text := webtest.Eval[string](b, `document.querySelector('.traccia-words').innerText`); text != "Non so perché." {
		t.Errorf("the letter says %q", text)
	}
	b.Resize(webtest.Desktop)
	b.Media("print")
	b.Look("complaint-paper", "page-has-heading-one") // a letter is headed as one
	b.Media("")
	b.Resize(webtest.Phone)
	// The session ends while they write.
	b.Open(s.URL + "/it/accessi")
	b.Wait(".traccia-verdict-complete")
	b.Click(".traccia-complain button", "button[value=ente]")
	b.Click("button[value=ente]", "#parole")
	webtest.Eval[bool](b, `document.querySelector('#parole').focus(), true`)
	b.Press("Una pagina intera.")
	b.SetCookie(s.URL, s.pages.cookieName(sessionCookie), "ended")
	b.Click(".traccia-letter-form [type=submit]", "#parole[readonly]")
	b.Look("ended")
	if text := webtest.Eval[string](b, `document.querySelector('#parole').value`); text != "Una pagina intera." {
		t.Errorf("after the session's end the text is %q", text)
	}
	b.SetCookie(s.URL, s.pages.cookieName(sessionCookie), s.enterCookie(webtest.Citizen))
	b.Open(s.URL + "/it" + complaintPath)
	b.Look("complaint-none")
}

func lookAtNotices(t *testing.T, s *site, b *webtest.Browser, server *webtest.Mail) {
	t.Helper()
	b.Open(s.URL + "/it/avvisi")
	b.Look("notices-off")
	webtest.Eval[bool](b, `document.querySelector('#posta').focus(), true`)
	b.Press(posta + "\r")
	b.Wait("#codice")
	b.Look("notices-asked")
	webtest.Eval[bool](b, `document.querySelector('#codice').focus(), true`)
	b.Press("1\r")
	b.Wait(".alert-danger")
	b.Look("notices-wrong")
	webtest.Eval[bool](b, `document.querySelector('#codice').focus(), true`)
	b.Press(sentCode(t, server) + "\r")
	b.Wait(".traccia-state-done")
	b.Look("notices-on")
}

func lookAtErasures(t *testing.T, s *site, b *webtest.Browser, l *webtest.Ledger) {
	t.Helper()
	here := s.URL + "/it/cancellazione"
	b.Open(here)
	b.Look("erasure-form")
	b.Click("button[value=controlla]", ".alert-danger")
	send := func() string {
		t.Helper()
		b.Open(here)
		b.Click("[name=mese]", "[name=mese]")
		b.Click("#motivo-a", "#motivo-a")
		b.Click("button[value=controlla]", "#capito")
		b.Look("erasure-confirm")
		b.Click("#capito", "#capito")
		b.Click("button[value=conferma]", ".traccia-state-requested")
		open, err := l.ErasureRequests(t.Context())
		if err != nil || len(open) != 1 {
			t.Fatalf("%v, %v", open, err)
		}
		return open[0].ID
	}
	id := send()
	b.Look("erasure-requested")
	if err := l.RefuseErasure(t.Context(), id, "Per questi mesi un giudizio è in corso."); err != nil {
		t.Fatal(err)
	}
	b.Open(here)
	b.Wait(".traccia-state-refused")
	b.Look("erasure-refused")
	if _, err := l.GrantErasure(t.Context(), send(), true); err != nil {
		t.Fatal(err)
	}
	b.Open(here)
	b.Wait(".traccia-state-done")
	b.Look("erasure-done")
}
