// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/alertstest"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/policies"
)

func about(s ledger.Subject) string { return fmt.Sprintf(`{"cf":%q}`, s) }

// TestReleased: an answer is released as it came, with its receipt, and the provider's memory has its event.
func TestReleased(t *testing.T) {
	f := newFixture(t)
	s := f.person(1)
	var asked *http.Request
	f.answers(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Clone(context.Background())
		body, _ := io.ReadAll(r.Body)
		if string(body) != about(s) {
			t.Errorf("the provider got %q", body)
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Connection", "X-Inner")
		h.Set("X-Inner", "1")
		h.Set("X-Outer", "2")
		h.Set("Cache-Control", "max-age=60")
		h.Set(ReceiptHeader, "inps/forged; index=1")
		io.WriteString(w, `{"isee": 12345.67}`)
	})
	g := f.post("/persona?x=1", about(s))
	if g.err != nil || g.status != http.StatusOK || string(g.body) != `{"isee": 12345.67}` {
		t.Fatalf("%+v", g)
	}
	list := f.records()
	if len(list) != 1 || list[0].Subject != s || list[0].Number != 0 {
		t.Fatalf("%+v", list)
	}
	if want := fmt.Sprintf("%s; index=%d", list[0].Receipt, list[0].Index); g.header.Get(ReceiptHeader) != want {
		t.Errorf("%s: %q, want %q", ReceiptHeader, g.header.Get(ReceiptHeader), want)
	}
	if g.header.Get("X-Inner") != "" || g.header.Get("X-Outer") != "2" || g.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", g.header)
	}
	if asked.URL.Path != "/interno/persona" || asked.URL.RawQuery != "x=1" || asked.Header.Get("Authorization") == "" || asked.Header.Get("Accept-Encoding") != "identity" {
		t.Errorf("the provider was asked %s with %v", asked.URL, asked.Header)
	}
	_, jti, _ := strings.Cut(list[0].Receipt, "/")
	a, err := f.node.Fetch(t.Context(), "inps", jti)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ledger.ParseBody(a.Entries[0].Body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ledger.ParseReceipt(b.Receipt)
	if err != nil || b.Kind != ledger.KindAccess || b.Scope != "inps" || b.Agency != f.receipt.Consumer || r.Operation.Path != "/persona" {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestSubjects: each person of request and answer gets an event, once; who can't be named isn't told of.
func TestSubjects(t *testing.T) {
	f := newFixture(t)
	a, b, c := f.person(1), f.person(2), f.person(3)
	reply := ""
	f.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, reply)
	})
	for _, x := range []struct {
		path, body, reply string
		status, events    int
		code              string
	}{
		{"/nucleo", about(a), fmt.Sprintf(`{"componenti":[%q,%q,%q]}`, a, b, c), 200, 3, ""},
		{"/elenco", `{}`, fmt.Sprintf(`{"persone":[{"cf":%q},{"cf":%q},{"cf":%q}]}`, b, c, b), 200, 2, ""},
		{"/elenco", `{}`, `{"persone":[]}`, 200, 0, ""},
		{"/elenco", `{}`, `{"persone":[{"nome":"Mario"}]}`, 502, 0, "no_subject"},
		{"/elenco", `{}`, fmt.Sprintf(`{"persone":[{"cf":%q}]}`, strings.ToLower(string(a))), 502, 0, "bad_subject"},
		{"/elenco", `{}`, `{"persone":[{"cf":`, 502, 0, "unreadable_content"},
		{"/persona", `{}`, `{}`, 400, 0, "no_subject"},
		{"/altro", `{}`, `{}`, 404, 0, "no_operation"},
	} {
		reply = x.reply
		before := len(f.records())
		g := f.post(x.path, x.body)
		if g.status != x.status || g.problem.Code != x.code || x.code == "" && string(g.body) != x.reply {
			t.Errorf("%s %s: %d %s", x.path, x.reply, g.status, g.body)
		}
		if x.code != "" && (strings.Contains(string(g.body), "Mario") || strings.Contains(strings.ToUpper(string(g.body)), string(a))) {
			t.Errorf("%s: told %s", x.path, g.body)
		}
		if got := len(f.records()) - before; got != x.events || (got > 0) != (g.header.Get(ReceiptHeader) != "") {
			t.Errorf("%s %s: %d events, want %d; %s", x.path, x.reply, got, x.events, g.header.Get(ReceiptHeader))
		}
	}
	if g := f.call(t.Context(), http.MethodGet, "/status", ""); g.status != 200 || g.header.Get(ReceiptHeader) != "" {
		t.Errorf("of no persons: %+v", g)
	}
	for name, answer := range map[string]http.HandlerFunc{
		"names_person": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<p>"+string(a), 404) },
		"unreadable_content": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			http.Error(w, "\x1f\x8b", 404)
		},
	} {
		f.answers(answer)
		if g := f.post("/elenco", `{}`); g.status != 502 || g.problem.Code != name || strings.Contains(string(g.body), string(a)) {
			t.Errorf("%s: %d %s", name, g.status, g.body)
		}
	}
	if n := f.events(); n != 5 {
		t.Errorf("%d events in the log, want 5", n)
	}
}

// TestReloadRefused: what a restart alone changes is named.
func TestReloadRefused(t *testing.T) {
	var g Gateway
	g.parts.Store(&Parts{Config: new(config.Config)})
	for name, c := range map[string]config.Config{"listen": {Listen: "x"}, "tls": {TLS: new(config.TLS)}, "ledger/url": {Ledger: config.Ledger{URL: "x"}}} {
		if err := g.Reload(&Parts{Config: &c}); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLarge: what doesn't fit in memory is released as it came.
func TestLarge(t *testing.T) {
	f := newFixture(t)
	content := append([]byte(fmt.Sprintf(`{"persone":[{"cf":%q}],"testo":"`, f.person(1))), bytes.Repeat([]byte("a"), 3<<20)...)
	content = append(content, `"}`...)
	f.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(content)
	})
	if g := f.post("/elenco", "{}"); g.status != 200 || !bytes.Equal(g.body, content) || g.header.Get(ReceiptHeader) == "" {
		t.Errorf("%d, %d bytes", g.status, len(g.body))
	}
}

// TestAtOnce: many calls about one person are numbered without a gap.
func TestAtOnce(t *testing.T) {
	f := newFixture(t)
	s := f.person(1)
	const calls = 40
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			if g := f.post("/persona", about(s)); g.status != 200 {
				t.Errorf("%d %s %v", g.status, g.body, g.err)
			}
		})
	}
	all.Wait()
	seen := map[uint32]bool{}
	for _, e := range f.records() {
		seen[e.Number] = true
	}
	st, err := f.memory.Status()
	if err != nil || len(seen) != calls || st.Missing != 0 || st.Unsettled != 0 {
		t.Errorf("%d numbers, %+v, %v", len(seen), st, err)
	}
}

// forbidAll activates policies that permit nothing.
func (f *fixture) forbidAll() {
	f.t.Helper()
	f.activate("none", `
@id("at-most-none") @reference("GDPR Art. 5") @reason_it("Nessuno.") @reason_en("Nobody.")
forbid (principal, action, resource) when { context.subjects > 0 };
`)
}

// TestDenied: what the policies deny isn't released but recorded, and once the gateway knows them, not asked for.
func TestDenied(t *testing.T) {
	f := newFixture(t)
	s := f.person(1)
	secret := "riservato"
	f.answers(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, secret) })
	if g := f.post("/persona", about(s)); g.status != 200 {
		t.Fatalf("%d %s", g.status, g.body)
	}
	f.forbidAll()
	denied := func() got {
		g := f.post("/persona", about(s))
		if g.status != 403 || g.problem.Code != "denied" || !bytes.Contains(g.problem.Policies, []byte("at-most-none")) || bytes.Contains(g.body, []byte(secret)) {
			t.Fatalf("%d %s", g.status, g.body)
		}
		return g
	}
	if g := denied(); g.header.Get(ReceiptHeader) == "" || f.asked.Load() != 2 {
		t.Errorf("asked %d times, %v", f.asked.Load(), g.header)
	}
	f.eventually("the policies are known, and the provider isn't asked", func() bool {
		before := f.asked.Load()
		denied()
		return f.asked.Load() == before
	})
	for _, e := range f.records()[1:] {
		_, jti, _ := strings.Cut(e.Receipt, "/")
		a, err := f.node.Fetch(t.Context(), "inps", jti)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := ledger.ParseBody(a.Entries[0].Body); err != nil || b.Kind != ledger.KindDenied {
			t.Errorf("%+v, %v", b, err)
		}
	}
	// Policies that allow it again: the first call finds out, and nothing is released on the old ones.
	if _, err := f.node.ActivatePolicies(t.Context(), policies.Default()); err != nil {
		t.Fatal(err)
	}
	if g := f.post("/persona", about(s)); g.status != 503 || g.problem.Code != "policies_changed" || bytes.Contains(g.body, []byte(secret)) {
		t.Errorf("%d %s", g.status, g.body)
	}
	if g := f.post("/persona", about(s)); g.status != 200 || string(g.body) != secret {
		t.Errorf("%d %s", g.status, g.body)
	}
}

// TestProviderFails: nothing of a failing provider is released, and nothing recorded that didn't happen.
func TestProviderFails(t *testing.T) {
	f := newFixture(t)
	f.parts.Config.EServices[0].Timeout = 300 * time.Millisecond
	hang := make(chan struct{})
	defer close(hang)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		status int
		code   string
	}{
		"500":      {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "riservato", 500) }, 502, "provider_failed"},
		"hanging":  {func(http.ResponseWriter, *http.Request) { <-hang }, 504, "provider_failed"},
		"cut":      {func(w http.ResponseWriter, _ *http.Request) { cut(w) }, 502, "provider_failed"},
		"too long": {func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 5<<20)) }, 502, "provider_failed"},
		"broken off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "riservato")
			w.(http.Flusher).Flush()
			cut(w)
		}, 502, "provider_failed"},
		"stalling": {func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "riservato")
			w.(http.Flusher).Flush()
			<-hang
		}, 504, "provider_failed"},
	} {
		f.answers(c.answer)
		if g := f.post("/persona", about(f.person(1))); g.status != c.status || g.problem.Code != c.code || bytes.Contains(g.body, []byte("riservato")) {
			t.Errorf("%s: %d %s %v", name, g.status, g.body, g.err)
		}
	}
	if n := f.events(); n != 0 || len(f.memory.Unsettled()) != 0 {
		t.Errorf("%d events, %d unsettled", n, len(f.memory.Unsettled()))
	}
	// An error that tells of a person is released, recorded.
	f.answers(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "non trovato", 404) })
	if g := f.post("/persona", about(f.person(1))); g.status != 404 || g.header.Get(ReceiptHeader) == "" || f.events() != 1 {
		t.Errorf("%d %s, %d events", g.status, g.body, f.events())
	}
}

func isSubmission(r *http.Request) bool { return r.Method == http.MethodPost }

// TestLedgerFails: nothing is released without a proof, and whatever was recorded gets known.
func TestLedgerFails(t *testing.T) {
	secret := "riservato"
	var count int
	var mu sync.Mutex
	times := func(n int) bool { // true for the first n
		mu.Lock()
		defer mu.Unlock()
		count++
		return count <= n
	}
	lost := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(httptest.NewRecorder(), r)
		cut(w)
	}
	const always = 1 << 30
	for name, c := range map[string]struct {
		way    func(w http.ResponseWriter, r *http.Request, next http.Handler)
		n      int
		status int
		code   string
		events int // in the end, a statement among them where nothing was released
	}{
		"down for a moment":        {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { cut(w) }, 2, 200, "", 1},
		"down":                     {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { cut(w) }, always, 503, "ledger_unavailable", 2},
		"busy for a moment":        {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(503) }, 2, 200, "", 1},
		"too many for a moment":    {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(429) }, 2, 200, "", 1},
		"killed before it answers": {lost, 1, 200, "", 1},
		"its answers never arrive": {lost, always, 503, "ledger_unavailable", 2},
		"another server answers 403": {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			http.Error(w, "no", http.StatusForbidden)
		}, always, 503, "ledger_unavailable", 2},
		"another server answers 422": {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			http.Error(w, "no", http.StatusUnprocessableEntity)
		}, always, 503, "ledger_unavailable", 2},
		"it refuses": {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.WriteHeader(422)
			io.WriteString(w, `{"code":"key_revoked","where":"receipt#kid"}`)
		}, always, 502, "not_recorded", 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.gateway.patience = 700 * time.Millisecond
			f.answers(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, secret) })
			count = 0
			f.onTheWay(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if isSubmission(r) && times(c.n) {
					c.way(w, r, next)
					return
				}
				next.ServeHTTP(w, r)
			})
			g := f.post("/persona", about(f.person(1)))
			if g.status != c.status || g.problem.Code != c.code || (c.status == 200) != (string(g.body) == secret) {
				t.Errorf("%d %s %v", g.status, g.body, g.err)
			}
			f.onTheWay(nil)
			f.eventually("every submission is settled", func() bool { return len(f.memory.Unsettled()) == 0 && len(f.records()) == c.events })
			if n := f.events(); n != c.events || len(f.records()) != c.events {
				t.Errorf("%d events, %d in memory, want %d", n, len(f.records()), c.events)
			}
			if g := f.post("/persona", about(f.person(1))); g.status != 200 || string(g.body) != secret {
				t.Errorf("afterwards: %d %s", g.status, g.body)
			}
			if st, err := f.memory.Status(); err != nil || st.Missing != 0 {
				t.Errorf("%+v, %v", st, err)
			}
		})
	}
}

// TestDishonest: an answer with any part of it changed releases nothing.
func TestDishonest(t *testing.T) {
	for name, c := range map[string]struct{ from, to string }{
		"another index":   {`"index":`, `"index":1`},
		"another number":  {`"number":0`, `"number":null`},
		"another leaf":    {`"leaf":"AQEAAAfq`, `"leaf":"AQEAAAfr`},
		"another receipt": {`"receipt_id":"inps/`, `"receipt_id":"inpx/`},
		"no answer":       {`{"receipt_id"`, `{"no"`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.gateway.patience = time.Second
			f.answers(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "riservato") })
			f.onTheWay(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				rec := httptest.NewRecorder()
				next.ServeHTTP(rec, r)
				body := rec.Body.String()
				if isSubmission(r) {
					if !strings.Contains(body, c.from) {
						t.Errorf("nothing to change in %s", body)
					}
					body = strings.Replace(body, c.from, c.to, 1)
				}
				w.WriteHeader(rec.Code)
				io.WriteString(w, body)
			})
			if g := f.post("/persona", about(f.person(1))); g.status != 502 || g.problem.Code != "not_proven" || bytes.Contains(g.body, []byte("riservato")) {
				t.Errorf("%d %s", g.status, g.body)
			}
			if n := len(f.memory.Unsettled()); n != 1 {
				t.Errorf("%d unsettled: the operator must see it", n)
			}
		})
	}
}

// TestClientGone: a consumer that leaves gets nothing; what the ledger was told by then is known.
func TestClientGone(t *testing.T) {
	f := newFixture(t)
	s := f.person(1)
	leave := func(during func(cancel func())) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		during(cancel)
		if g := f.call(ctx, http.MethodPost, "/persona", about(s)); g.err == nil {
			t.Errorf("answered %d %s", g.status, g.body)
		}
	}
	leave(func(cancel func()) { // while the provider works
		f.answers(func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // or net/http doesn't watch the connection
			cancel()
			<-r.Context().Done()
		})
	})
	if n := f.events(); n != 0 {
		t.Errorf("%d events of a call that wasn't answered", n)
	}
	f.answers(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "riservato") })
	leave(func(cancel func()) { // while the ledger works
		f.onTheWay(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if isSubmission(r) {
				cancel()
				time.Sleep(50 * time.Millisecond)
			}
			next.ServeHTTP(w, r)
		})
	})
	f.eventually("the event is known", func() bool { return len(f.records()) == 2 && len(f.memory.Unsettled()) == 0 })
	f.stated()
}

// stated: the second event says of the first that nothing was released.
func (f *fixture) stated() {
	f.t.Helper()
	list := f.records()
	_, jti, _ := strings.Cut(list[1].Receipt, "/")
	a, err := f.node.Fetch(f.t.Context(), "inps", jti)
	if err != nil {
		f.t.Fatal(err)
	}
	b, err := ledger.ParseBody(a.Entries[0].Body)
	if err != nil || b.Kind != ledger.KindUndelivered || b.Subject.Code != list[0].Subject {
		f.t.Fatalf("%+v, %v", b, err)
	}
	if r, err := ledger.ParseReceipt(b.Receipt); err != nil || r.Statement.Receipt != list[0].Receipt {
		f.t.Errorf("%+v, %v", r, err)
	}
}

// loseAcknowledgements records submissions, and cuts their answers off.
func loseAcknowledgements(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if isSubmission(r) {
		next.ServeHTTP(httptest.NewRecorder(), r)
		cut(w)
		return
	}
	next.ServeHTTP(w, r)
}

// TestRestart: what a gateway didn't learn before it ended, the next one does.
func TestRestart(t *testing.T) {
	f := newFixture(t)
	f.gateway.patience = 100 * time.Millisecond
	s := f.person(1)
	f.onTheWay(loseAcknowledgements)
	if g := f.post("/persona", about(s)); g.status != 503 {
		t.Fatalf("%d %s", g.status, g.body)
	}
	f.stop()
	f.onTheWay(nil)
	f.start()
	f.eventually("the event is known", func() bool { return len(f.records()) == 2 && len(f.memory.Unsettled()) == 0 })
	f.stated()
	if g := f.post("/persona", about(s)); g.status != 200 || f.records()[2].Number != 2 {
		t.Errorf("%d %s, %+v", g.status, g.body, f.records())
	}
}

// TestKilledBeforeStatement: of what turned out to be recorded, and was never released, the statement is made once, whenever
// the gateway is killed between learning that and making it.
func TestKilledBeforeStatement(t *testing.T) {
	for name, kill := range map[string]func(t *testing.T, r *recorder){
		"before the answer is in the memory": func(t *testing.T, r *recorder) {
			for _, p := range r.memory.Unsettled() {
				raw, err := r.memory.Submission(p)
				if err != nil {
					t.Fatal(err)
				}
				s, err := ledger.ParseSubmission(raw)
				if err != nil {
					t.Fatal(err)
				}
				receipt, err := ledger.ParseReceipt(s.Receipt)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := r.owe(&recorded{receipt: receipt, subjects: s.Subjects}); err != nil {
					t.Fatal(err)
				}
			}
		},
		"after that": func(t *testing.T, r *recorder) {
			if list, err := r.settle(t.Context()); err != nil || len(list) != 1 || len(r.memory.Unsettled()) != 1 {
				t.Fatalf("%d settled, %v", len(list), err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.gateway.Close() // what settles is this test alone
			f.gateway.patience = 100 * time.Millisecond
			f.onTheWay(loseAcknowledgements)
			if g := f.post("/persona", about(f.person(1))); g.status != 503 {
				t.Fatalf("%d %s", g.status, g.body)
			}
			f.onTheWay(nil)
			kill(t, f.gateway.recorder)
			f.stop()
			f.start()
			f.eventually("the event is known", func() bool { return len(f.records()) == 2 && len(f.memory.Unsettled()) == 0 })
			f.stated()
			if n := f.events(); n != 2 {
				t.Errorf("%d events", n)
			}
		})
	}
}

// TestWitnessed: an acknowledged checkpoint waits until witnesses have seen it.
func TestWitnessed(t *testing.T) {
	f := newFixture(t)
	f.gateway.Close() // who looks is this test alone; calls go on
	f.gateway.ctx = t.Context()
	if g := f.post("/persona", about(f.person(1))); g.status != 200 {
		t.Fatalf("%d %s", g.status, g.body)
	}
	f.gateway.watch()
	if st, err := f.memory.Status(); err != nil || st.Waiting.IsZero() {
		t.Errorf("nothing waits without a witness: %+v, %v", st, err)
	}
	f.cosigned.Store(true)
	f.eventually("the checkpoint is witnessed", func() bool {
		f.gateway.watch()
		st, err := f.memory.Status()
		return err == nil && st.Waiting.IsZero()
	})
	// A checkpoint that the ledger showed nobody else.
	p, err := f.memory.Begin("5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11", nil)
	if err != nil {
		t.Fatal(err)
	}
	shown := f.node.Latest().Root
	if err := f.memory.Acknowledge(p, forked(f.node.Epoch(), shown.Size-1), nil); err != nil {
		t.Fatal(err)
	}
	f.gateway.watch()
	families, err := f.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range families {
		if m.GetName() == "traccia_gateway_fork" && m.GetMetric()[0].GetGauge().GetValue() != 1 {
			t.Error("no alarm")
		}
	}
	if st, err := f.memory.Status(); err != nil || st.Waiting.IsZero() {
		t.Errorf("the evidence is gone: %+v, %v", st, err)
	}
}

func TestAlerts(t *testing.T) {
	alertstest.Check(t, newFixture(t).metrics, "../../..", "gateway")
}
