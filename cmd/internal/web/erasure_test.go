// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/webtest"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/seal"
)

// TestErasure: a citizen asks, takes back, is refused and is granted; each state is told, to them alone.
func TestErasure(t *testing.T) {
	l := webtest.NewLedger(t, webtest.Config{Years: 1, Accesses: 3})
	s := serveNode(t, l.Node, nil)
	b, other := s.enter(webtest.Citizen), s.enter(webtest.Other)
	month := seal.Month(l.Now())
	whole := url.Values{"mese": {month}, "motivo": {"a"}, "parole": {"<b>Non serve</b>"}, "capito": {"1"}, "passo": {"conferma"}}
	without := func(change func(f url.Values)) url.Values {
		f := url.Values{}
		for k, v := range whole {
			f[k] = v
		}
		change(f)
		return f
	}
	says := func(status int, a answer, want string) {
		t.Helper()
		if a.status != status || !strings.Contains(html.UnescapeString(a.body), want) {
			t.Errorf("%d, and it lacks %q", a.status, want)
		}
	}
	says(http.StatusOK, b.get("/it/cancellazione"), "Quali mesi?")
	says(http.StatusOK, b.get("/en/cancellazione"), "What is gone for ever")
	says(http.StatusOK, b.get("/en/cancellazione"), "The session ends after 15 minutes")
	says(http.StatusOK, s.enter(webtest.Nobody).get("/it/cancellazione"), "non c'è nulla di tuo")
	for what, c := range map[string]struct {
		form url.Values
		want string
	}{
		"no month":       {without(func(f url.Values) { f.Del("mese") }), "Scegli almeno un mese"},
		"another month":  {without(func(f url.Values) { f.Set("mese", "2001-01") }), "Scegli almeno un mese"},
		"no ground":      {without(func(f url.Values) { f.Del("motivo") }), "Scegli perché"},
		"another ground": {without(func(f url.Values) { f.Set("motivo", "z") }), "Scegli perché"},
		"long words":     {without(func(f url.Values) { f.Set("parole", strings.Repeat("è", node.MaxErasureWords+1)) }), "troppo lungo"},
		"not understood": {without(func(f url.Values) { f.Del("capito") }), "Segna che hai capito"},
		"another step":   {without(func(f url.Values) { f.Set("passo", "subito") }), "Il modulo"},
	} {
		a := b.post("/it/cancellazione", c.form)
		if a.status != http.StatusBadRequest || what != "another step" && !strings.Contains(a.body, c.want) {
			t.Errorf("%s: %d", what, a.status)
		}
	}
	says(http.StatusOK, b.post("/it/cancellazione", without(func(f url.Values) { f.Set("passo", "controlla") })), "Non si può annullare")
	if r, err := l.OwnErasure(t.Context(), webtest.Citizen); r != nil || err != nil {
		t.Fatalf("something is asked before it was confirmed: %v, %v", r, err)
	}
	// The page of one code, while another tab chose the other.
	both := s.enter(webtest.Other, webtest.Citizen)
	stale := without(func(f url.Values) { f.Set(personField, both.person()) })
	both.post("/it/codice", url.Values{"quale": {"1"}})
	says(http.StatusConflict, both.post("/it/cancellazione", stale), "Nel frattempo hai cambiato persona")
	if open, err := l.ErasureRequests(t.Context()); len(open) != 0 || err != nil {
		t.Fatalf("an erasure is asked for another code: %v, %v", open, err)
	}
	ask := func() *node.ErasureRequest {
		t.Helper()
		if a := b.post("/it/cancellazione", whole); a.status != http.StatusSeeOther || a.header.Get("Location") != "/it/cancellazione" {
			t.Fatalf("%d %v", a.status, a.header)
		}
		says(http.StatusOK, b.get("/it/cancellazione"), "La richiesta è arrivata")
		open, err := l.ErasureRequests(t.Context())
		if err != nil || len(open) != 1 || open[0].Subject != webtest.Citizen || open[0].Words != "<b>Non serve</b>" {
			t.Fatalf("the operator sees %v, %v", open, err)
		}
		return &open[0]
	}
	ask()
	if a := b.get("/it/cancellazione"); strings.Contains(a.body, "<b>Non") || strings.Contains(a.body, "Quali mesi?") {
		t.Error("an open request can be asked again, or isn't escaped")
	}
	b.post("/it/cancellazione", whole) // again, in another window
	// Nobody else sees it or takes it back.
	if a := other.get("/it/cancellazione"); strings.Contains(a.body, "La richiesta è arrivata") {
		t.Error("another citizen sees the request")
	}
	other.post("/it/cancellazione", url.Values{"passo": {"ritira"}, "subject": {string(webtest.Citizen)}})
	says(http.StatusOK, b.get("/it/cancellazione"), "Ritira la richiesta")
	b.post("/it/cancellazione", url.Values{"passo": {"ritira"}})
	says(http.StatusOK, b.get("/it/cancellazione"), "Hai ritirato la richiesta")

	if err := l.RefuseErasure(t.Context(), ask().ID, "Un giudizio è in corso <i>."); err != nil {
		t.Fatal(err)
	}
	a := b.get("/it/cancellazione")
	says(http.StatusOK, a, "La richiesta non è stata accolta")
	says(http.StatusOK, a, "Un giudizio è in corso <i>.")
	says(http.StatusOK, a, "fare reclamo al Garante")
	says(http.StatusOK, a, "Quali mesi?") // another can be made
	if strings.Contains(a.body, "corso <i>") {
		t.Error("the reason isn't escaped")
	}
	b.ready("/it/accessi")
	l.Later(time.Second)
	if e, err := l.GrantErasure(t.Context(), ask().ID, true); err != nil || e.Wraps == 0 {
		t.Fatalf("%+v, %v", e, err)
	}
	b = s.enter(webtest.Citizen) // so many pages are asked for
	a = b.get("/it/cancellazione")
	says(http.StatusOK, a, "Cancellato")
	says(http.StatusOK, a, "non c'è nulla di tuo")
	a = b.ready("/it/accessi")
	says(http.StatusOK, a, "Consultazioni il cui contenuto è stato cancellato")
	says(http.StatusOK, a, "L'elenco è completo")
	if strings.Contains(s.log.String(), string(webtest.Citizen)) || strings.Contains(s.log.String(), "Non serve") {
		t.Errorf("the log names a person: %s", s.log)
	}
	if a := s.visitor().post("/it/cancellazione", whole); a.status != http.StatusForbidden {
		t.Errorf("without a session: %d", a.status)
	}
}
