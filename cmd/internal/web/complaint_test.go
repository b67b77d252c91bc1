// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/webtest"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/verifier"
)

const complaintPath = "/accessi/reclamo"

var attachments = regexp.MustCompile(`(?s)<form method="post" action="/it/accessi/estratto" class="traccia-attach">(.*?)</form>`)
var attachedEvents = regexp.MustCompile(`name="evento" value="([^"]*)"`)

// TestComplaints: letters have the facts of the citizen's own list and nothing of others, and go with an excerpt that proves them.
func TestComplaints(t *testing.T) {
	l := webtest.NewLedger(t, webtest.Config{Years: 1, Accesses: 30})
	// The latest of all, so that it is on the list's first page.
	l.Access(webtest.Citizen, func(r *ledger.Receipt) {
		r.Actor, r.LegalBasis, r.OccurredAt = ledger.ActorModel, "PUBLIC_INTEREST_TASK", l.Now().UTC().Format(time.RFC3339)
	})
	l.State(ledger.StatementError, "Pratica di un'altra persona")
	s := serveNode(t, l.Node, nil)
	b := s.enter(webtest.Citizen)
	mine := events(b.ready("/it/accessi"))
	theirs := events(s.enter(webtest.Other).ready("/it/accessi"))

	if a := b.get("/en" + complaintPath); a.status != http.StatusOK || !strings.Contains(a.body, "First choose") {
		t.Errorf("without a choice: %d", a.status)
	}
	if a := b.post("/it"+complaintPath, url.Values{"evento": mine[:1]}); a.status != http.StatusOK || !strings.Contains(a.body, "A chi vuoi scrivere?") {
		t.Errorf("to whom: %d", a.status)
	}
	// One was an automated system's, on a public task.
	form := b.post("/it"+complaintPath, url.Values{"evento": mine, "destinatario": {"ente"}})
	for _, want := range []string{`value="object"`, `value="human"`, `value="know" checked`, `value="automated"`, "15 minuti senza"} {
		if !strings.Contains(form.body, want) {
			t.Errorf("the form to the body lacks %s", want)
		}
	}
	for _, wrong := range []string{`value="withdraw"`, `value="no_consent"`, `value="satisfy"`} {
		if strings.Contains(form.body, wrong) {
			t.Errorf("the form to the body has %s", wrong)
		}
	}
	said := url.Values{
		"evento": mine, "destinatario": {"ente"}, "pronto": {"1"}, "motivo": {"unknown", "none", "no_answer"}, "richiesta": {"object"},
		"nome": {"Anna  Rossi"}, "recapito": {"via Roma 1\r\nBologna"}, "parole": {"<script>alert(1)</script>\nNon so perché."},
	}
	letters := b.post("/it"+complaintPath, said)
	files := attachments.FindAllStringSubmatch(letters.body, -1)
	articles := strings.Split(letters.body, "<article")[1:]
	if letters.status != http.StatusOK || len(articles) < 2 || len(files) != len(articles) {
		t.Fatalf("%d, %d letters with %d attachments", letters.status, len(articles), len(files))
	}
	policy, _, err := l.ReaderPolicy()
	if err != nil {
		t.Fatal(err)
	}
	proven, stated := 0, false
	for i, f := range files {
		own := url.Values{"foglio": {regexp.MustCompile(`name="foglio" value="(\d+)"`).FindStringSubmatch(f[1])[1]}}
		for _, m := range attachedEvents.FindAllStringSubmatch(f[1], -1) {
			own.Add("evento", m[1])
		}
		x := b.post("/it/accessi/estratto", own)
		name := "estratto-" + own.Get("foglio") + ".history"
		if !strings.Contains(x.header.Get("Content-Disposition"), `"`+name+`"`) || !strings.Contains(articles[i], "<strong>"+name+"</strong>") {
			t.Errorf("letter %d names another file than %s (%d)", i+1, name, x.status)
		}
		r := verifier.History([]byte(x.body), policy, l.Now(), verifier.Rules{Policies: l.PoliciesOf})
		if !r.Proven() || !r.Excerpt {
			t.Errorf("attachment %d: %v", i+1, r.Problems)
		}
		var bodies []string
		for _, e := range r.Events {
			proven++
			stated = stated || e.Statement != ""
			if !slices.Contains(bodies, e.Agency) {
				bodies = append(bodies, e.Agency)
			}
		}
		if len(bodies) != 1 || !strings.Contains(articles[i], "("+bodies[0]+")") {
			t.Errorf("attachment %d is about %q", i+1, bodies)
		}
		text := html.UnescapeString(articles[i])
		for _, want := range []string{"Anna Rossi", "via Roma 1 Bologna", "Non so perché.", string(webtest.Citizen), "art. 21, par. 1", "art. 5, par. 1, lett. a) e b)", "Posto nel registro", "entro un mese"} {
			if !strings.Contains(text, want) {
				t.Errorf("letter %d lacks %q", i+1, want)
			}
		}
		if strings.Contains(articles[i], "<script") || strings.Contains(articles[i], "art. 12, par. 3 e 4, del") {
			t.Errorf("letter %d has what wasn't offered, or a script", i+1)
		}
	}
	if !stated || proven < len(mine) {
		t.Errorf("%d events are proven for %d accesses, a later statement among them: %v", proven, len(mine), stated)
	}
	said.Set("destinatario", "garante")
	complaint := b.post("/it"+complaintPath, said)
	text := html.UnescapeString(complaint.body)
	if strings.Count(complaint.body, "<article") != 1 || !strings.Contains(text, "art. 12, par. 3 e 4, del") || !strings.Contains(text, "art. 140-bis del Codice") || !strings.Contains(text, "<strong>estratto.history</strong>") {
		t.Errorf("the complaint to the Garante: %d", complaint.status)
	}
	said.Set("pronto", "0")
	if a := b.post("/en"+complaintPath, said); !strings.Contains(a.body, "Non so perché.") || !strings.Contains(a.body, `value="no_answer" checked`) || strings.Contains(a.body, "<article") {
		t.Error("going back loses what was said")
	}
	for what, form := range map[string]url.Values{
		"nothing": {}, "no event": {"evento": {"x"}}, "another's": {"evento": theirs[:1], "destinatario": {"ente"}, "pronto": {"1"}},
		"another's beside one's own": {"evento": {mine[0], theirs[0]}, "destinatario": {"garante"}, "pronto": {"1"}}, "somebody else": {"evento": mine[:1], "destinatario": {"tutti"}},
		"none there": {"evento": {"2026/0"}},
	} {
		if a := b.post("/it"+complaintPath, form); a.status != http.StatusBadRequest || strings.Contains(a.body, "<article") {
			t.Errorf("%s: %d", what, a.status)
		}
	}
	if a := s.visitor().post("/it"+complaintPath, said); a.status != http.StatusForbidden {
		t.Errorf("without a session: %d", a.status)
	}
	if a := b.post("/it"+complaintPath, said, "Sec-Fetch-Site", "cross-site"); a.status != http.StatusForbidden {
		t.Errorf("from another site: %d", a.status)
	}
	if strings.Contains(s.log.String(), "Rossi") || strings.Contains(s.log.String(), string(webtest.Citizen)) {
		t.Errorf("the log names a person: %s", s.log)
	}
}
