// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/accesses"
	"github.com/traccia-ledger/traccia/cmd/internal/web/webtest"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/verifier"
)

// TestAccesses: what citizens do with their lists, in one ledger with accesses to Citizen's data and to Other's.
func TestAccesses(t *testing.T) {
	l := webtest.NewLedger(t, webtest.Config{Years: 2, Accesses: 12})
	for _, c := range []struct {
		name string
		test func(t *testing.T, l *webtest.Ledger, s *site)
	}{
		{"the list", testList}, {"filters", testFilters}, {"files", testFiles}, {"others' data", testOfOthers}, {"waiting", testWaiting},
		{"nothing to read", testUnreadable},
		{"visits", testVisits}, // last: time passes
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, l, serveNode(t, l.Node, nil)) })
	}
}

// ready asks for a page until its history is made.
func (b *browser) ready(path string) answer {
	b.Helper()
	for end := time.Now().Add(time.Minute); ; {
		a := b.get(path)
		if a.status != http.StatusOK || !strings.Contains(a.body, "traccia-wait") || time.Now().After(end) {
			return a
		}
	}
}

var chosenEvents = regexp.MustCompile(`id="scegli-[^"]*" name="evento" value="([^"]*)"`)

func events(a answer) (ids []string) {
	for _, m := range chosenEvents.FindAllStringSubmatch(a.body, -1) {
		ids = append(ids, m[1])
	}
	return ids
}

// testList: a citizen sees their own list, whole, in both languages.
func testList(t *testing.T, l *webtest.Ledger, s *site) {
	b := s.enter(webtest.Citizen)
	for lang, wants := range map[string][]string{
		"it": {"L&#39;elenco è completo", "In tutto 24 consultazioni.", "senza chiederti il consenso", "Ente per ente", "È la prima volta", "Tutti i dettagli", "Norma che l&#39;ente ha indicato", "Controllato alle ", "Metti nell&#39;estratto<span class=\"visually-hidden\"> la consultazione del"},
		"en": {"The list is complete", "24 consultations in all.", "without asking for your consent", "Body by body", "All details"},
	} {
		a := b.ready("/" + lang + "/accessi")
		for _, want := range wants {
			if a.status != http.StatusOK || !strings.Contains(a.body, want) {
				t.Errorf("%s: %d, and it lacks %q", lang, a.status, want)
			}
		}
		if strings.Contains(a.body, "adesso") || strings.Contains(a.body, "just now") {
			t.Errorf("%s: a list that may be minutes old is said to be of now", lang)
		}
		if strings.Contains(a.body, "op-") || strings.Contains(a.body, string(webtest.Other)) || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: the page names an operator or another citizen, or may be kept", lang)
		}
	}
	before := l.Latest().Root.Size
	b.post("/it/accessi/aggiorna", nil)
	b.ready("/it/accessi")
	h, err := l.History(t.Context(), webtest.Citizen)
	if err != nil {
		t.Fatal(err)
	}
	for _, shard := range h.Shards {
		for _, list := range shard.Lists {
			if list.Scope == ledger.ScopeLedger && list.Count > 0 {
				t.Errorf("looking at one's own list left %d look-ups (the log had %d leaves)", list.Count, before)
			}
		}
	}
	if strings.Contains(s.log.String(), string(webtest.Citizen)) || strings.Contains(s.log.String(), "error") {
		t.Errorf("the log: %s", s.log)
	}
}

// testFilters: a filter shows what it chooses, and takes whatever a request says.
func testFilters(t *testing.T, _ *webtest.Ledger, s *site) {
	b := s.enter(webtest.Citizen)
	all := b.ready("/it/accessi")
	body := regexp.MustCompile(`accessi\?ente=([a-z0-9_]+)|<option value="([a-z0-9_]+)">`).FindStringSubmatch(all.body)
	if body == nil {
		t.Fatal("no body to choose")
	}
	id := body[1] + body[2]
	chosen := b.ready("/it/accessi?ente=" + id)
	if n := strings.Count(chosen.body, `class="traccia-body"`); n != 1 || !strings.Contains(chosen.body, "su 24.") || !strings.Contains(chosen.body, " selected>") {
		t.Errorf("%s: %d bodies", id, n)
	}
	for query, want := range map[string]string{
		"al=2001-01-01": "Mostrate 0 consultazioni su 24.", "dal=2001-01-01": "Mostrate 24 consultazioni su 24.", "dal=ieri": "Uno dei due giorni non si capisce", "dal=2026-02-02&al=2026-02-01": "nessuna consultazione può stare fra i due",
		"motivo=nessuno": "Mostrate 0", "dati=nessuno": "Mostrate 0", "ente=" + url.QueryEscape(`"><script>`): "Mostrate 0", "anno=1900": "Le consultazioni del",
		"ente=" + id + "&pagina=-7": "traccia-body", "ente=" + id + "&pagina=999999999999999999999": "traccia-body", "novita=1": "Mostrate 0", "ente=%zz": "Ente per ente",
	} {
		if a := b.ready("/it/accessi?" + query); a.status != http.StatusOK || !strings.Contains(a.body, want) || strings.Contains(a.body, "<script") {
			t.Errorf("%s: %d, want %q", query, a.status, want)
		}
	}
}

// testFiles: what a citizen takes away is theirs, whole, and as it should be.
func testFiles(t *testing.T, l *webtest.Ledger, s *site) {
	b := s.enter(webtest.Citizen)
	ids := events(b.ready("/it/accessi"))
	policy, _, err := l.ReaderPolicy()
	if err != nil {
		t.Fatal(err)
	}
	judge := func(a answer) *verifier.HistoryReport {
		t.Helper()
		if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/gzip" || !strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment") {
			t.Fatalf("%d %v", a.status, a.header)
		}
		return verifier.History([]byte(a.body), policy, l.Now(), verifier.Rules{Policies: l.PoliciesOf})
	}
	if r := judge(b.post("/it/accessi/estratto", url.Values{"evento": ids[:3]})); !r.Proven() || !r.Excerpt || len(r.Events) < 3 {
		t.Errorf("the excerpt: %v, %d events", r.Problems, len(r.Events))
	}
	if a := b.post("/it/accessi/intero", nil); a.status != http.StatusBadRequest || !strings.Contains(a.body, "Manca la conferma") {
		t.Errorf("without the confirmation: %d", a.status)
	}
	if r := judge(b.post("/it/accessi/intero", url.Values{"capito": {"1"}})); !r.Complete || r.Subject != webtest.Citizen {
		t.Errorf("the whole: %v", r.Problems)
	}
	a := b.post("/en/accessi/dati", url.Values{"formato": {"json"}})
	var data accesses.Data
	if err := json.Unmarshal([]byte(a.body), &data); err != nil || data.Schema != accesses.DataSchema || !data.Complete || data.Subject != webtest.Citizen || len(data.Events) != 24 {
		t.Errorf("JSON: %v, %d events", err, len(data.Events))
	}
	a = b.post("/it/accessi/dati", url.Values{"formato": {"csv"}})
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(a.body, "\ufeff")))
	r.Comma = ';'
	if lines, err := r.ReadAll(); err != nil || len(lines) != 25 || lines[0][0] != "event" || !strings.HasPrefix(a.body, "\ufeff") {
		t.Errorf("CSV: %v", err)
	}
	if a := b.get("/it/accessi/relazione"); a.status != http.StatusOK || strings.Count(a.body, `class="traccia-entry"`) != 24 {
		t.Errorf("the report: %d", a.status)
	}
	for _, form := range []url.Values{nil, {"evento": {""}}, {"evento": {"2026"}}, {"evento": {"2026/x"}}, {"evento": {"-1/-1"}}, {"evento": {"2026/99999999999999999999999"}}} {
		if a := b.post("/it/accessi/estratto", form); a.status != http.StatusBadRequest {
			t.Errorf("%v: %d", form, a.status)
		}
	}
	if a := b.post("/it/accessi/dati", url.Values{"formato": {"exe"}}); a.status != http.StatusBadRequest {
		t.Errorf("another format: %d", a.status)
	}
}

// testUnreadable: that nothing can be read isn't said as that nothing was there.
func testUnreadable(t *testing.T, l *webtest.Ledger, s *site) {
	s.pages.histories = accesses.NewKeeper(wrong{Ledger: l, change: func(b *history.Bundle) {
		for i := range b.Shards {
			for j := range b.Shards[i].Events {
				b.Shards[i].Events[j].Nonce, b.Shards[i].Events[j].Body = nil, nil
			}
		}
	}})
	for who, wants := range map[ledger.Subject][2]string{
		webtest.Citizen: {"Non resta leggibile alcuna consultazione", "Nessun ente ha consultato"},
		webtest.Nobody:  {"Nessun ente ha consultato", "Non resta leggibile"},
	} {
		b := s.enter(who)
		for _, path := range []string{"/it/accessi", "/it/accessi/relazione"} {
			if a := b.ready(path); !strings.Contains(a.body, wants[0]) || strings.Contains(a.body, wants[1]) {
				t.Errorf("%s: %d, want %q", path, a.status, wants[0])
			}
		}
	}
}

// testOfOthers: no parameter shows another citizen's data, and no page of these is anybody's without a session.
func testOfOthers(t *testing.T, _ *webtest.Ledger, s *site) {
	mine, other := s.enter(webtest.Citizen), s.enter(webtest.Other)
	theirs := events(other.ready("/it/accessi"))
	if len(theirs) == 0 {
		t.Fatal("the other citizen has no accesses")
	}
	secret := strings.ReplaceAll(theirs[0], "/", "-")
	for _, id := range append(theirs, strings.Join([]string{events(mine.ready("/it/accessi"))[0], theirs[0]}, ",")) {
		if a := mine.post("/it/accessi/estratto", url.Values{"evento": {id}}); a.status != http.StatusBadRequest || !strings.Contains(a.body, "Una riga non è del tuo elenco") {
			t.Errorf("an excerpt of another's event %s: %d", id, a.status)
		}
	}
	for _, value := range []string{string(webtest.Other), theirs[0]} {
		form := url.Values{}
		for _, name := range []string{"anno", "pagina", "novita", "subject", "codice", "quale", "evento", "session"} {
			form.Set(name, value)
		}
		for _, path := range []string{"/it/accessi", "/it/accessi/relazione", "/it/accessi/intero"} {
			for _, filter := range []string{"", "&ente=" + value, "&motivo=" + value, "&dati=" + value} {
				if a := mine.ready(path + "?" + form.Encode() + filter); a.status != http.StatusOK || strings.Contains(a.body, "e"+secret+`"`) || strings.Contains(a.body, string(webtest.Other)) {
					t.Errorf("%s with %s%s: %d, or it shows another's", path, value, filter, a.status)
				}
			}
		}
		form.Set("formato", "json")
		form.Set("capito", "1")
		if a := mine.post("/it/accessi/dati", form); a.status != http.StatusOK || strings.Contains(a.body, string(webtest.Other)) || strings.Contains(a.body, `"event": "`+theirs[0]+`"`) {
			t.Errorf("data with %s: %d, or another's", value, a.status)
		}
		a := mine.post("/it/accessi/intero", form)
		if b, err := history.Parse([]byte(a.body)); err != nil || b.Subject != webtest.Citizen {
			t.Errorf("the whole history with %s: %v", value, err)
		}
	}
	for _, p := range []page{accessesPage, refreshPage, excerptPage, wholePage, reportPage, dataPage} {
		for _, method := range p.methods {
			if a := s.visitor().do(method, "/it"+p.path, nil, "Sec-Fetch-Site", "same-origin"); a.status == http.StatusOK || strings.Contains(a.body, "traccia-list") {
				t.Errorf("%s %s without a session: %d", method, p.path, a.status)
			}
			if method == http.MethodPost {
				if a := mine.do(method, "/it"+p.path, url.Values{"formato": {"json"}, "capito": {"1"}}, "Sec-Fetch-Site", "cross-site"); a.status != http.StatusForbidden {
					t.Errorf("%s %s from another site: %d", method, p.path, a.status)
				}
			}
		}
	}
}

// testVisits: what is new since the last visit is shown as long as the visit lasts; the browser alone remembers it, and
// what it remembers is worth nothing to another citizen, or changed.
func testVisits(t *testing.T, l *webtest.Ledger, s *site) {
	b := s.enter(webtest.Citizen)
	if a := b.ready("/it/accessi"); !strings.Contains(a.body, "È la prima volta") {
		t.Error("the first visit isn't said to be")
	}
	refresh := func() string {
		t.Helper()
		b.setCookie(sessionCookie, s.enterCookie(webtest.Citizen))
		b.post("/it/accessi/aggiorna", nil)
		return b.ready("/it/accessi").body
	}
	l.Access(webtest.Citizen, nil)
	if strings.Contains(refresh(), "traccia-tag-new") {
		t.Error("in the first visit something is new")
	}
	l.Later(5 * time.Hour)
	if !strings.Contains(refresh(), "Nessuna novità") {
		t.Error("in the second visit something is new, though nothing was recorded")
	}
	l.Later(5 * time.Hour)
	l.Access(webtest.Citizen, nil)
	for range 2 {
		if body := refresh(); !strings.Contains(body, "1 novità dalla tua ultima visita") || strings.Count(body, "traccia-tag-new") != 1 {
			t.Error("in the third visit not one access is new")
		}
	}
	if a := b.ready("/it/accessi?novita=1"); !strings.Contains(a.body, "Mostrata 1 consultazione su 26.") {
		t.Error("what is new alone isn't shown")
	}
	u, _ := url.Parse(s.URL)
	var cookie string
	for _, c := range b.Jar.Cookies(u) {
		if strings.HasSuffix(c.Name, visitCookie) {
			cookie = c.Value
		}
	}
	other := s.enter(webtest.Other)
	if cookie == "" {
		t.Fatal("the browser remembers nothing")
	}
	other.setCookie(visitCookie, cookie)
	if a := other.ready("/it/accessi"); !strings.Contains(a.body, "È la prima volta") {
		t.Error("another citizen's visit counts")
	}
	// One browser remembers those of several: of a person's codes, and of whom they act for.
	other.setCookie(sessionCookie, s.enterCookie(webtest.Citizen))
	if a := other.ready("/it/accessi"); !strings.Contains(a.body, "1 novità dalla tua ultima visita") {
		t.Error("after a look at another list, the first one's last visit is forgotten")
	}
	changed := []byte(cookie)
	changed[20] ^= 'A' ^ 'B' // in the instants
	for name, value := range map[string]string{"changed": string(changed), "too long": strings.Repeat(cookie, 20), "cut": cookie[:8], "none": "%"} {
		b.setCookie(visitCookie, value)
		if a := b.ready("/it/accessi"); a.status != http.StatusOK || !strings.Contains(a.body, "È la prima volta") {
			t.Errorf("a memory that is %s counts: %d", name, a.status)
		}
	}
}

// slow gives histories only once it is let.
type slow struct {
	accesses.Ledger
	let  chan struct{}
	fail error
}

func (l slow) History(ctx context.Context, who ledger.Subject) (*history.Bundle, error) {
	<-l.let
	if l.fail != nil {
		return nil, l.fail
	}
	return l.Ledger.History(ctx, who)
}

// testWaiting: a list that isn't there yet is waited for in one page, in which it then appears; one that doesn't come is
// said not to.
func testWaiting(t *testing.T, l *webtest.Ledger, s *site) {
	for name, c := range map[string]struct {
		fail error
		want string
	}{"comes": {nil, "L&#39;elenco è completo"}, "fails": {errors.New("no history"), "L&#39;elenco non è arrivato"}} {
		let := make(chan struct{})
		s.pages.histories = accesses.NewKeeper(slow{l, let, c.fail})
		b := s.enter(webtest.Citizen)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/it/accessi", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := b.Client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var text strings.Builder
		part := make([]byte, 1<<16)
		once := sync.OnceFunc(func() { close(let) })
		for err == nil {
			var n int
			n, err = response.Body.Read(part)
			text.Write(part[:n])
			if strings.Contains(text.String(), "Stiamo preparando il tuo elenco") {
				once()
			}
		}
		whole := text.String()
		before, after, found := strings.Cut(whole, `<div class="traccia-list"`)
		if !found || !strings.Contains(before, "traccia-wait") || !strings.Contains(after, c.want) || strings.Count(whole, "</html>") != 1 || strings.Count(whole, "<h1") != 1 {
			t.Errorf("a list that %s: %s", name, whole)
		}
	}
}
