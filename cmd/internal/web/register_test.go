// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/cmd/internal/api"
	"github.com/traccia-ledger/traccia/cmd/internal/fetch"
	"github.com/traccia-ledger/traccia/cmd/internal/web/register"
	"github.com/traccia-ledger/traccia/cmd/internal/web/webtest"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/statistics"
	"github.com/traccia-ledger/traccia/verifier"
)

// told is a register as its JSON has it.
type told struct {
	Schema   string
	Logs     []map[string]any
	Months   []toldMonth
	Policies []struct{ SHA256, From, Place string }
	Checks   []struct {
		Scope    string
		Attested any
	}
	Bodies int
}

type toldMonth struct {
	Month, Origin, Told string
	From, To, Events    uint64
	Lines               int
	Others              *statistics.Joined
	Problems            []string
}

// read asks for a public page as JSON.
func read[T any](b *browser, path string) (v T) {
	b.Helper()
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	a := b.get(path + separator + "formato=json")
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json" {
		b.Fatalf("%s: %d %s", path, a.status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		b.Fatalf("%s: %v", path, err)
	}
	return v
}

// TestRegister: what the public pages say is what whoever reads the log finds there, line by line, and nothing of what the log
// keeps from the public.
func TestRegister(t *testing.T) {
	l := webtest.NewLedger(t, webtest.Config{Years: 2, Accesses: 120, Scopes: 1})
	s := serveNode(t, l.Node, nil)
	b := s.visitor()

	// As an outsider reads it.
	server := httptest.NewServer(api.New(l.Node, slog.New(slog.DiscardHandler), prometheus.NewRegistry()).Handler())
	t.Cleanup(server.Close)
	policy, _, err := l.ReaderPolicy()
	if err != nil {
		t.Fatal(err)
	}
	first, err := checkpoint.ParseKey(policy.Logs[0].VKey)
	if err != nil {
		t.Fatal(err)
	}
	prefix, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	report, err := verifier.Statistics(t.Context(), verifier.StatisticsConfig{
		Origin: first.Name(), Logs: []note.Verifier{first},
		Year: func(epoch uint32) checkpoint.Fetcher { return fetch.NewLog(prefix.JoinPath("log", fmt.Sprint(epoch))) },
	})
	// The clock jumps over the minutes in which a ledger tells of the last months.
	late := slices.ContainsFunc(report.Problems, func(p ledger.Problem) bool { return p.Code == statistics.CodeMissing })
	if err != nil || len(report.Problems) > 0 && !late || len(report.Months) < 6 {
		t.Fatalf("%d months: %v, %v", len(report.Months), report.Problems, err)
	}
	r := read[told](b, "/it/registro")
	if r.Schema != register.Schema || len(r.Logs) != 2 || r.Logs[0]["final"] != true || r.Logs[1]["final"] != false {
		t.Errorf("%+v", r)
	}
	if late && !strings.Contains(b.get("/it/registro").body, "Dovrebbero essere già pubblici") && len(read[told](b, "/it/registro").Months) == len(report.Months) {
		t.Error("the page doesn't say that months are missing")
	}
	lines, joined, lined := 0, 0, "" // a month with lines
	for _, want := range report.Months {
		i := slices.IndexFunc(r.Months, func(m toldMonth) bool { return m.Month == want.Month })
		if i < 0 {
			t.Errorf("%s isn't told", want.Month)
			continue
		}
		got := toldMonth{want.Month, want.Origin, r.Months[i].Told, want.From, want.To, want.Events, len(want.Bodies), want.Others, nil}
		if diff := cmp.Diff(got, r.Months[i]); diff != "" {
			t.Errorf("%s (-log +page):\n%s", want.Month, diff)
		}
		if lines += len(want.Bodies); len(want.Bodies) > 0 {
			lined = want.Month
		}
	}
	// Bodies have their line or none.
	for _, body := range l.Registry().Bodies() {
		for _, m := range read[bodyJSON2](b, "/en/registro/enti?ente="+body.ID).Months {
			i := slices.IndexFunc(report.Months, func(w verifier.StatisticsMonth) bool { return w.Month == m.Month })
			if i < 0 {
				continue
			}
			want := report.Months[i]
			switch i := slices.IndexFunc(want.Bodies, func(w statistics.Line) bool { return w.ID == body.ID }); {
			case i < 0 && m.Events != nil:
				t.Errorf("%s, %s: %d events, and no line in the log", m.Month, body.ID, *m.Events)
			case i >= 0 && (m.Events == nil || *m.Events != want.Bodies[i].Events):
				t.Errorf("%s, %s: another number than %d", m.Month, body.ID, want.Bodies[i].Events)
			case i < 0 && want.Others != nil:
				joined++
			}
		}
	}
	if lines == 0 || joined == 0 {
		t.Fatalf("%d lines, %d bodies perhaps joined: nothing was tested", lines, joined)
	}

	// Each page, and what it names.
	hub := r.Checks[len(r.Checks)-1].Scope
	places := regexp.MustCompile(`/registro/foglia\?log=\d+&amp;n=\d+`)
	seen := map[string]bool{}
	for _, path := range []string{"/it/registro", "/it/registro/enti", "/it/registro/controlli", "/it/registro/enti?ente=" + hub, "/it/registro?anno=" + report.Months[0].Month[:4]} {
		a := b.get(path)
		if a.status != http.StatusOK || strings.Contains(a.body, string(webtest.Citizen)) || strings.Contains(a.body, string(webtest.Other)) {
			t.Errorf("%s: %d, or it names somebody", path, a.status)
		}
		for _, place := range places.FindAllString(a.body, -1) {
			seen[strings.ReplaceAll(place, "&amp;", "&")] = true
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d places", len(seen))
	}
	for place := range seen {
		leaf := read[struct {
			Kind   string
			Record map[string]any
		}](b, "/it"+place)
		if leaf.Kind != "head" && (leaf.Kind != "record" || leaf.Record["kind"] == "") {
			t.Errorf("%s is %v", place, leaf)
		}
	}
	if a := b.get("/it/registro/foglia?log=" + fmt.Sprint(l.Epoch()) + "&n=0"); a.status != http.StatusOK || !strings.Contains(a.body, "inizio del registro") {
		t.Errorf("the preamble: %d", a.status)
	}
	for _, bad := range []string{"foglia?log=2026", "foglia?log=x&n=1", "foglia?log=1999&n=0", fmt.Sprintf("foglia?log=%d&n=%d", l.Epoch(), uint64(1)<<63), "enti?ente=", "enti?ente=nessuno", "enti?ente=" + strings.Repeat("x", 5000)} {
		if a := b.get("/it/registro/" + bad); a.status != http.StatusNotFound {
			t.Errorf("%.40s: %d", bad, a.status)
		}
	}
	testRegisterKeys(t, l, b, hub, lined)
}

// bodyJSON2 reads what bodyJSON writes.
type bodyJSON2 struct {
	Body struct {
		Keys []struct {
			Kid, Place, Revoked, Reason string
		}
	}
	Months []struct {
		Month  string
		Events *uint64
	}
}

// testRegisterKeys revokes a key: it is shown as valid until the log says otherwise, and where that is.
func testRegisterKeys(t *testing.T, l *webtest.Ledger, b *browser, body, month string) {
	before := read[bodyJSON2](b, "/it/registro/enti?ente="+body).Body.Keys
	if len(before) != 1 || before[0].Revoked != "" {
		t.Fatalf("%+v", before)
	}
	index, err := l.RevokeKey(t.Context(), body, before[0].Kid, "rotation")
	if err == nil {
		_, err = l.AddBody(t.Context(), registry.Body{ID: "c_d704", Name: "Comune di Forlì <b>"})
	}
	if err == nil {
		err = l.Settle(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	after := read[bodyJSON2](b, "/it/registro/enti?ente="+body).Body.Keys
	if want := fmt.Sprintf("%d/%d", l.Epoch(), index); len(after) != 1 || after[0].Revoked != want || after[0].Reason != "rotation" {
		t.Errorf("%+v, want revoked at %s", after, want)
	}
	found := func(query string) bodiesJSON2 { return read[bodiesJSON2](b, "/it/registro/enti?"+query) }
	for query, want := range map[string]int{
		"cerca=FORLI": 1, "cerca=forl%C3%AC+comune": 1, "cerca=c_d704": 1, "cerca=nessuno": 0, "cerca=%ff": len(l.Registry().Bodies()), "pagina=-7": len(l.Registry().Bodies()), "pagina=99999999999999999999": len(l.Registry().Bodies()),
	} {
		if got := found(query); got.Found != want || got.Page != 1 {
			t.Errorf("%s: %+v, want %d", query, got, want)
		}
	}
	for _, code := range []string{string(webtest.Citizen), strings.ToLower(string(webtest.Other)), " " + string(webtest.Nobody)} {
		// Somebody searched for a person: the page doesn't repeat it.
		if a := b.get("/it/registro/enti?cerca=" + url.QueryEscape(code)); a.status != http.StatusOK || strings.Contains(strings.ToUpper(a.body), strings.ToUpper(strings.TrimSpace(code))) {
			t.Errorf("a code is searched for: %d, or it is repeated", a.status)
		}
	}
	if rows := found("ordine=eventi&mese=" + month).Bodies; rows[0].Events == nil || rows[len(rows)-1].Events != nil {
		t.Error("the order of events")
	}
	if a := b.get("/it/registro/enti?cerca=forli"); !strings.Contains(a.body, "Comune di Forlì &lt;b&gt;") {
		t.Error("a name isn't escaped")
	}
}

type bodiesJSON2 struct {
	Found, Page int
	Bodies      []struct {
		ID     string
		Events *uint64
	}
}

// TestRegisterCaches: caches may keep a public page for some seconds, and never that somebody has entered.
func TestRegisterCaches(t *testing.T) {
	s := newSite(t, nil)
	b := s.visitor()
	for _, path := range []string{"/it/registro", "/en/registro/enti", "/en/registro/controlli", "/it/registro?formato=json"} {
		a := b.get(path)
		tag := a.header.Get("ETag")
		if a.status != http.StatusOK || tag == "" || a.header.Get("Cache-Control") != publicCache || a.header.Get("Vary") != "Cookie" {
			t.Errorf("%s: %d %v", path, a.status, a.header)
		}
		// The page of the next minute may be another.
		if a := b.get(path, "If-None-Match", tag); a.status != http.StatusNotModified && a.header.Get("ETag") == tag {
			t.Errorf("%s again: %d", path, a.status)
		}
		citizen := s.enter(anna).get(path)
		if citizen.header.Get("Cache-Control") != "no-store" || citizen.header.Get("ETag") != "" || citizen.header.Get("Vary") != "Cookie" {
			t.Errorf("%s for a citizen: %v", path, citizen.header)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut} {
		if a := b.do(method, "/it/registro", nil); a.status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, a.status)
		}
	}
	if a := b.get("/it/registro"); !strings.Contains(a.body, "Nessun testimone") || !strings.Contains(a.body, "Non è ancora finito un mese") || !strings.Contains(a.body, "Nessuna politica è attiva") {
		t.Error("a new ledger that nobody watches")
	}
}

// TestRegisterAlone: where nobody can enter there are the public pages, and none that want somebody.
func TestRegisterAlone(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Origin = "" })
	b := s.enter(anna)
	if a := b.get("/it"); a.status != http.StatusSeeOther || a.header.Get("Location") != "/it/registro" {
		t.Errorf("/it: %d %v", a.status, a.header)
	}
	for _, p := range allPages() {
		alone := slices.ContainsFunc(registerPages(), func(q page) bool { return q.path == p.path })
		for _, method := range p.methods {
			a := b.do(method, "/en"+p.path, nil)
			switch {
			case p.path == "":
			case alone && (a.status != http.StatusOK || strings.Contains(a.body, string(anna)) || strings.Contains(a.body, `href="/en/entra"`) || strings.Contains(a.body, `href="/en/privacy"`)):
				t.Errorf("%s: %d, or it is for who entered", p.path, a.status)
			case !alone && a.status != http.StatusNotFound:
				t.Errorf("%s %s: %d", method, p.path, a.status)
			}
		}
	}
	for _, path := range []string{"/entra/altrove", "/it/entra/altrove"} {
		if a := b.get(path); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

// TestRegisterInBrowser: every page and state in Chromium.
func TestRegisterInBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes its time")
	}
	l := webtest.NewLedger(t, webtest.Config{Years: 2, Accesses: 60, Scopes: 2})
	s := serveNode(t, l.Node, nil)
	hub := l.Registry().Scopes()[len(l.Registry().Scopes())-1]
	b := webtest.NewBrowser(t)
	for _, look := range []struct {
		name, path string
		size       webtest.Size
	}{
		{"whole-desktop", "/it/registro", webtest.Desktop}, {"bodies-desktop", "/it/registro/enti?mese=%d-02&ordine=eventi", webtest.Desktop},
		{"body-desktop", "/en/registro/enti?ente=" + hub, webtest.Desktop}, {"checks-desktop", "/it/registro/controlli", webtest.Desktop},
		{"whole", "/it/registro", webtest.Phone}, {"whole-en", "/en/registro", webtest.Phone}, {"bodies", "/en/registro/enti", webtest.Phone},
		{"found-none", "/it/registro/enti?cerca=nessuno", webtest.Phone}, {"body", "/it/registro/enti?ente=" + hub, webtest.Phone},
		{"checks", "/en/registro/controlli", webtest.Phone}, {"record", fmt.Sprintf("/it/registro/foglia?log=%d&n=1", l.Epoch()), webtest.Phone},
		{"event", fmt.Sprintf("/en/registro/foglia?log=%d&n=%d", l.Epoch(), eventOf(t, l)), webtest.Phone},
	} {
		b.Resize(look.size)
		b.Open(s.URL + strings.ReplaceAll(look.path, "%d", fmt.Sprint(l.Epoch()-1)))
		b.Look("register-" + look.name)
	}
	b.Media("", "forced-colors", "active")
	b.Open(s.URL + "/it/registro")
	b.Look("register-contrast", "color-contrast")
	b.Media("")
	// By the keyboard: a word, and what is found.
	b.Open(s.URL + "/it/registro/enti")
	webtest.Eval[bool](b, `document.getElementById('cerca').focus(), true`)
	b.Press("istituto\r")
	b.Wait(`[role=status] a`)
	i := slices.IndexFunc(s.pages.pages, func(p page) bool { return p.path == registerPath })
	for _, state := range []string{"late", "few", "stopped"} {
		s.pages.pages[i].serve = func(s *server, w http.ResponseWriter, r *http.Request) error {
			v, err := s.registerView(r)
			if err != nil {
				return err
			}
			v.State = state
			return s.sendPublic(w, r, "register", v, nil)
		}
		b.Open(s.URL + "/it/registro")
		b.Look("register-" + state)
	}
}

// eventOf is the place of an event.
func eventOf(t *testing.T, l *webtest.Ledger) uint64 {
	t.Helper()
	for index := uint64(0); ; index++ {
		leaf, err := register.NewKeeper(l.Node).Leaf(t.Context(), register.Place{Epoch: l.Epoch(), Index: index})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := leaf.Value.(ledger.Event); ok {
			return index
		}
	}
}
