// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"context"
	"html"
	"io"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/notice"
	"github.com/traccia-ledger/traccia/cmd/internal/web/webtest"
	"github.com/traccia-ledger/traccia/ledger"
)

const posta = "nessuno@posta.example"

// mailing serves the pages of a ledger, with notices by a real mail server.
func mailing(t *testing.T, l *webtest.Ledger) (*site, *webtest.Mail) {
	t.Helper()
	server := webtest.NewMail(t, "starttls", "", "")
	sender, err := notice.Open(notice.Settings{Server: server.Address, TLS: "starttls", From: "avvisi@registro.example"}, server.Roots)
	if err != nil {
		t.Fatal(err)
	}
	return serveNode(t, l.Node, func(c *Config) { c.Notices = sender }), server
}

// textOf is that of a message.
func textOf(t *testing.T, m webtest.Message) string {
	t.Helper()
	parsed, err := mail.ReadMessage(strings.NewReader(m.Text))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(quotedprintable.NewReader(parsed.Body))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sentCode is the one in the last message.
func sentCode(t *testing.T, server *webtest.Mail) string {
	t.Helper()
	all := server.Messages()
	code := regexp.MustCompile(`\d{4} \d{4}`).FindString(textOf(t, all[len(all)-1]))
	if code == "" {
		t.Fatal("no code was sent")
	}
	return code
}

// TestNotices: nothing is sent to an address that wasn't confirmed; then one message a day at most, for a body that is new, which
// says nothing else.
func TestNotices(t *testing.T) {
	l := webtest.NewLedger(t, webtest.Config{Years: 1, Accesses: 1})
	s, server := mailing(t, l)
	b, other := s.enter(webtest.Nobody), s.enter(webtest.Other)
	says := func(status int, a answer, want string) {
		t.Helper()
		if a.status != status || !strings.Contains(html.UnescapeString(a.body), want) {
			t.Errorf("%d, and it lacks %q", a.status, want)
		}
	}
	sent := 0
	run := func(more int, why string) {
		t.Helper()
		if err := s.pages.noticeDesk.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		sent += more
		if n := len(server.Messages()); n != sent {
			t.Fatalf("%s: %d messages, want %d", why, n, sent)
		}
	}
	step := func(who *browser, step string, more ...string) answer {
		t.Helper()
		form := url.Values{"passo": {step}}
		for i := 0; i < len(more); i += 2 {
			form.Set(more[i], more[i+1])
		}
		return who.post("/it/avvisi", form)
	}
	says(http.StatusOK, b.get("/it/avvisi"), "Gli avvisi sono spenti")
	says(http.StatusOK, b.get("/en/avvisi"), "Send me the code")
	for _, wrong := range []string{"", "nessuno", "a@b.it\r\nBcc: c@d.it", "<script>@b.it"} {
		if a := step(s.enter(webtest.Citizen), "indirizzo", "posta", wrong); a.status != http.StatusBadRequest && a.status != http.StatusTooManyRequests || strings.Contains(a.body, "<script>") {
			t.Errorf("%q: %d", wrong, a.status)
		}
	}
	says(http.StatusBadRequest, step(b, "codice", "codice", "00000000"), "non vale più")
	says(http.StatusBadRequest, step(b, "altro"), "")
	if a := step(b, "indirizzo", "posta", posta); a.status != http.StatusSeeOther {
		t.Fatalf("%d\n%s", a.status, s.log)
	}
	sent++
	code := sentCode(t, server)
	says(http.StatusOK, b.get("/it/avvisi"), "Manca la conferma")
	// Before it is confirmed: nothing, whatever is recorded; and the code is good for its citizen alone.
	l.Access(webtest.Nobody, nil)
	run(0, "not confirmed")
	says(http.StatusBadRequest, step(other, "codice", "codice", code), "non vale più")
	for range 3 {
		says(http.StatusBadRequest, step(b, "codice", "codice", "1234"), "non è quello")
	}
	if a := step(b, "codice", "codice", " "+code); a.status != http.StatusSeeOther {
		t.Fatalf("confirmed: %d\n%s", a.status, s.log)
	}
	says(http.StatusOK, b.get("/it/avvisi"), "Gli avvisi sono accesi")
	run(0, "nothing is new")

	a, err := s.pages.noticeDesk.Get(t.Context(), webtest.Nobody)
	if err != nil || len(a.Bodies) != 1 {
		t.Fatalf("%+v, %v", a, err)
	}
	known := a.Bodies
	// access has a body consult that never did, and before it perhaps some that did.
	access := func() {
		t.Helper()
		for {
			var body string
			l.Access(webtest.Nobody, func(r *ledger.Receipt) { body = r.Consumer })
			if !slices.Contains(known, body) {
				known = append(known, body)
				return
			}
		}
	}
	access()
	run(1, "a new body")
	run(0, "it was told")
	message := server.Messages()[sent-1]
	text := textOf(t, message)
	for _, wrong := range []string{string(webtest.Nobody), "http", "www", "registro.example/", s.URL, "INPS", known[0], known[1]} {
		if strings.Contains(text, wrong) {
			t.Errorf("the notice says %q", wrong)
		}
	}
	if message.To != posta || !message.TLS || !strings.Contains(text, "qualcosa di nuovo") {
		t.Errorf("%+v", message)
	}
	// From here on the list needn't be made anew.
	s.pages.noticeDesk.Bodies = func(context.Context, ledger.Subject) ([]string, error) { return slices.Clone(known), nil }
	l.Later(time.Hour)
	access()
	run(0, "another the same day")
	l.Later(24 * time.Hour)
	server.Refuse(451)
	run(0, "the server is busy")
	server.Refuse(0)
	run(0, "claimed")
	l.Later(61 * time.Minute)
	run(1, "once more, an hour later")
	l.Later(25 * time.Hour)
	run(0, "a day without anything")

	// More by bodies that the list had is nothing to tell.
	l.Access(webtest.Nobody, nil)
	run(0, "no new body")

	server.Refuse(550)
	access()
	for range 3 {
		run(0, "refused for good")
		l.Later(61 * time.Minute)
	}
	b = s.enter(webtest.Nobody)
	says(http.StatusOK, b.get("/it/avvisi"), "I messaggi non arrivano")
	server.Refuse(0)
	run(0, "failing")
	if a := step(b, "ferma"); a.status != http.StatusSeeOther {
		t.Errorf("stopped: %d", a.status)
	}
	if a, err := s.pages.noticeDesk.Get(t.Context(), webtest.Nobody); a != nil || err != nil {
		t.Errorf("stopped, it is kept: %v, %v", a, err)
	}
	says(http.StatusOK, b.get("/it/avvisi"), "Mandami il codice")
	// A code is good for so long, and for so many tries; so many are sent.
	step(b, "indirizzo", "posta", posta)
	sent++
	code = sentCode(t, server)
	l.Later(25 * time.Hour)
	b = s.enter(webtest.Nobody)
	says(http.StatusBadRequest, step(b, "codice", "codice", code), "non vale più")
	step(b, "indirizzo", "posta", posta)
	sent++
	code = sentCode(t, server)
	for range 5 {
		step(b, "codice", "codice", "x")
	}
	says(http.StatusBadRequest, step(b, "codice", "codice", code), "non vale più")
	if a := step(b, "indirizzo", "posta", posta); a.status != http.StatusTooManyRequests {
		t.Errorf("a fourth code: %d", a.status)
	}
	for _, personal := range []string{posta, "posta.example", string(webtest.Nobody)} {
		if strings.Contains(s.log.String(), personal) {
			t.Errorf("the log names %s: %s", personal, s.log)
		}
	}
	if a := s.visitor().post("/it/avvisi", url.Values{"passo": {"ferma"}}); a.status != http.StatusForbidden {
		t.Errorf("without a session: %d", a.status)
	}
	without := serveNode(t, l.Node, nil)
	says(http.StatusOK, without.enter(webtest.Nobody).get("/it/avvisi"), "non manda avvisi")
	if a := without.enter(webtest.Nobody).post("/it/avvisi", url.Values{"passo": {"indirizzo"}, "posta": {posta}}); a.status != http.StatusBadRequest {
		t.Errorf("where there are none: %d", a.status)
	}
}
