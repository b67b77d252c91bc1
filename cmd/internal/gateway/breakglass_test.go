// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/policies"
)

// activate has the ledger decide by policies of one file.
func (f *fixture) activate(version, text string) {
	f.t.Helper()
	term := []policies.Term{{ID: "x", IRI: "https://w3id.org/dpv/pd#Income", It: "x", En: "x", SentenceIt: "x", SentenceEn: "x"}}
	document, err := (&policies.Bundle{
		Schema: policies.BundleSchema, Version: version, DescriptionIt: "Prova", DescriptionEn: "Test",
		Vocabulary: policies.Vocabulary{Categories: term, Purposes: term, LegalBases: term, BodyKinds: term},
		Files:      []policies.File{{Name: "all.cedar", Text: text}},
	}).Format()
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.node.ActivatePolicies(f.t.Context(), document); err != nil {
		f.t.Fatal(err)
	}
}

const permitAll = `
@id("all") @reference("GDPR Art. 6") @reason_it("Tutti.") @reason_en("All.")
permit (principal, action, resource) when { context.subjects > 0 };
`

// emergency is a fixture with a vital operation, POST /emergenza, whose policies the gateway knows.
func emergency(t *testing.T, text string) *fixture {
	f := newFixture(t)
	f.gateway.patience = 300 * time.Millisecond
	s := &f.parts.Config.EServices[0]
	s.Vital = true
	o := s.Operations[0]
	o.Path, o.LegalBasis = "/emergenza", "https://w3id.org/dpv/legal/eu/gdpr#A6-1-d"
	s.Operations = append(s.Operations, o)
	f.answers(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, secret) })
	f.activate("1", text)
	if g := f.post("/persona", about(f.person(1))); g.status != 200 {
		t.Fatalf("%d %s", g.status, g.body)
	}
	f.eventually("the policies are known", func() bool {
		kept, err := f.memory.Lessons()
		return err == nil && kept.Bundle != nil && len(kept.Kinds) == 2
	})
	return f
}

const secret = "riservato"

// down cuts every connection to the ledger.
func down(w http.ResponseWriter, _ *http.Request, _ http.Handler) { cut(w) }

// opens opens a session.
func (f *fixture) opens() memory.Session {
	f.t.Helper()
	s, err := f.gateway.OpenSession("Anna Verdi", "registro irraggiungibile", false)
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// given is a call that is answered with what break-glass releases; it returns the receipt's id.
func (f *fixture) given(session memory.Session, number int) string {
	f.t.Helper()
	g := f.post("/emergenza", about(f.person(number)))
	id, rest, _ := strings.Cut(g.header.Get(ReceiptHeader), "; ")
	if want := fmt.Sprintf("spooled=%s; number=%d", session.ID, number); g.status != 200 || string(g.body) != secret || rest != want {
		f.t.Fatalf("%d %s %v, want %s", g.status, g.body, g.header, want)
	}
	return id
}

// eventOf is what the ledger has of a receipt; nil if nothing.
func (f *fixture) eventOf(id string) (*ledger.Body, *ledger.SignedReceipt) {
	f.t.Helper()
	iss, jti, _ := strings.Cut(id, "/")
	a, err := f.node.Fetch(f.t.Context(), iss, jti)
	if err != nil {
		return nil, nil
	}
	b, err := ledger.ParseBody(a.Entries[0].Body)
	if err != nil {
		f.t.Fatal(err)
	}
	r, err := ledger.ParseReceipt(b.Receipt)
	if err != nil {
		f.t.Fatal(err)
	}
	return b, r
}

// settled waits until the log has the session's end with so many recorded, and all is told.
func (f *fixture) settled(id string, count, recorded int) registry.Session {
	f.t.Helper()
	var s registry.Session
	f.eventually(fmt.Sprintf("the log has the end of the session, with %d of %d recorded", recorded, count), func() bool {
		var ok bool
		s, ok = f.node.Registry().Session("inps", id, 1<<62)
		return ok && s.Closed != nil && s.Closed.Count == count && s.Closed.Recorded == recorded
	})
	f.eventually("the gateway knows", func() bool { return f.gateway.session(id).TellRecorded == recorded })
	return s
}

// TestBreakGlass: while the ledger is down, what is vital is released in an open session against spooled receipts, across a
// restart too, and nothing else is; then all of it is recorded, in order.
func TestBreakGlass(t *testing.T) {
	f := emergency(t, permitAll)
	f.onTheWay(down)
	refused := func(path, found string) {
		t.Helper()
		g := f.post(path, about(f.person(1)))
		if g.status != 503 || g.problem.Code != "ledger_unavailable" || g.problem.Found != found || bytes.Contains(g.body, []byte(secret)) {
			t.Errorf("%s: %d %s", path, g.status, g.body)
		}
	}
	const nobody = "a ledger that doesn't answer"
	refused("/emergenza", nobody+", and no session of break-glass")
	session := f.opens()
	if _, err := f.gateway.OpenSession("Anna Verdi", "di nuovo", false); !errors.Is(err, memory.ErrOpen) {
		t.Errorf("a second session: %v", err)
	}
	ids := []string{f.given(session, 1), f.given(session, 2)}
	refused("/persona", nobody)

	f.stop()
	f.start()
	f.gateway.patience = 300 * time.Millisecond
	ids = append(ids, f.given(session, 3))
	if st, err := f.memory.Status(); err != nil || st.Spooled != 3 || st.Lacking != 0 || !st.BreakGlass {
		t.Errorf("%+v, %v", st, err)
	}
	renewed, err := f.gateway.OpenSession("Carlo Neri", "ancora", true)
	if err != nil {
		t.Fatal(err)
	}
	ids = append(ids, f.given(renewed, 1))

	f.onTheWay(nil)
	first := f.settled(session.ID, 3, 3)
	if warrant := Warrant(&session); first.Warrant != ledger.Hex(warrant) {
		t.Errorf("warrant %x, want %x", first.Warrant, warrant)
	}
	// Once the ledger is back an open session changes nothing.
	if g := f.post("/emergenza", about(f.person(9))); g.status != 200 || !strings.Contains(g.header.Get(ReceiptHeader), "; index=") {
		t.Errorf("%d %v", g.status, g.header)
	}
	if _, err := f.gateway.CloseSession(); err != nil {
		t.Fatal(err)
	}
	f.settled(renewed.ID, 1, 1)
	var previous ledger.Hash
	last := uint64(0)
	for i, id := range ids {
		b, r := f.eventOf(id)
		if b == nil || b.Kind != ledger.KindAccess || r.BreakGlass == nil {
			t.Fatalf("%d: %+v", i, b)
		}
		if r.BreakGlass.Number == 1 {
			previous = ledger.Hash{}
		}
		if ledger.Hash(r.BreakGlass.Previous) != previous {
			t.Errorf("receipt %d names another before it", i)
		}
		previous = r.PayloadDigest
		for _, e := range f.records() {
			if e.Receipt == id {
				if e.Index <= last {
					t.Errorf("receipt %d isn't recorded in order", i)
				}
				last = e.Index
			}
		}
	}
	if first.Index >= last || first.Closed.Last != ledger.Hex(f.digestOf(ids[2])) {
		t.Errorf("%+v", first)
	}
	f.eventually("every submission is settled", func() bool { return len(f.memory.Unsettled()) == 0 })
	if st, err := f.memory.Status(); err != nil || st.Spooled != 0 || st.Lacking != 0 || st.Missing != 0 || st.BreakGlass {
		t.Errorf("%+v, %v", st, err)
	}
}

func (f *fixture) digestOf(id string) ledger.Hash {
	_, r := f.eventOf(id)
	return r.PayloadDigest
}

// TestBreakGlassDecides: what the last policies don't permit isn't released, nor without any to decide by, nor on a consent.
func TestBreakGlassDecides(t *testing.T) {
	for name, c := range map[string]struct {
		text, found string
		change      func(f *fixture)
	}{
		"they don't permit it late": {`
@id("timely") @reference("x") @reason_it("x") @reason_en("x")
permit (principal, action, resource) when { !context.late };
`, ", and break-glass, but policies that don't allow this", func(*fixture) {}},
		"none are known": {permitAll, ", and break-glass without policies to decide by", func(f *fixture) {
			f.stop()
			f.startWith(func(m *memory.Memory) error { return m.Learn(memory.Lessons{}) })
		}},
		"not marked as vital": {permitAll, "", func(f *fixture) { f.parts.Config.EServices[0].Vital = false }},
		"on another ground":   {permitAll, "", func(f *fixture) { f.operation().LegalBasis = "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e" }},
	} {
		t.Run(name, func(t *testing.T) {
			f := emergency(t, c.text)
			c.change(f)
			f.gateway.patience = 300 * time.Millisecond
			f.onTheWay(down)
			f.opens()
			g := f.post("/emergenza", about(f.person(1)))
			if g.status != 503 || g.problem.Found != "a ledger that doesn't answer"+c.found || bytes.Contains(g.body, []byte(secret)) {
				t.Errorf("%d %s", g.status, g.body)
			}
			if st, err := f.memory.Status(); err != nil || st.Spooled != 0 {
				t.Errorf("%+v, %v", st, err)
			}
		})
	}
	f := emergency(t, permitAll)
	f.opens()
	route := &config.Route{Service: &f.parts.Config.EServices[0], Operation: f.operation()}
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("Authorization", "Bearer x")
	who, err := judge{f}.Check(t.Context(), r, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	receipt := receiptOf(ledgerName, "inps", route, who)
	receipt.Subjects.Count = 1
	c := &call{Gateway: f.gateway, Parts: f.parts, route: route, who: who}
	if ok, why := c.vital(receipt); !ok {
		t.Errorf("not vital: %s", why)
	}
	receipt.ConsentID = "c"
	if ok, _ := c.vital(receipt); ok {
		t.Error("on a consent")
	}
}

// operation is POST /emergenza.
func (f *fixture) operation() *config.Operation {
	list := f.parts.Config.EServices[0].Operations
	return &list[len(list)-1]
}

// TestBreakGlassDeniedLater: what the policies of the ledger deny by the time that it is back is recorded as denied.
func TestBreakGlassDeniedLater(t *testing.T) {
	f := emergency(t, permitAll)
	f.onTheWay(down)
	session := f.opens()
	id := f.given(session, 1)
	f.forbidAll()
	f.onTheWay(nil)
	if _, err := f.gateway.CloseSession(); err != nil {
		t.Fatal(err)
	}
	f.settled(session.ID, 1, 1)
	if b, r := f.eventOf(id); b == nil || b.Kind != ledger.KindDenied || r.BreakGlass == nil {
		t.Errorf("%+v", b)
	}
}

// TestBreakGlassRefused: a receipt that the ledger doesn't take any more stays spooled, and its session says so; under a key
// that it takes, the same receipt is recorded.
func TestBreakGlassRefused(t *testing.T) {
	f := emergency(t, permitAll)
	f.onTheWay(down)
	session := f.opens()
	ids := []string{f.given(session, 1), f.given(session, 2)}
	signer := f.world.Signer("c_h501")
	key, err := jws.NewKey("", signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.node.AddKey(t.Context(), "inps", key, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := f.gateway.CloseSession(); err != nil {
		t.Fatal(err)
	}
	// The ledger takes neither receipt, but statements.
	f.onTheWay(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/access-receipts") {
			w.WriteHeader(422)
			io.WriteString(w, `{"code":"expired","where":"voucher#exp"}`)
			return
		}
		next.ServeHTTP(w, r)
	})
	f.settled(session.ID, 2, 0)
	if st, err := f.memory.Status(); err != nil || st.Spooled != 0 || st.Lacking != 2 {
		t.Errorf("%+v, %v", st, err)
	}
	old := f.parts.Key.Kid
	if _, err := f.node.RevokeKey(t.Context(), "inps", old, "rotation"); err != nil {
		t.Fatal(err)
	}
	f.onTheWay(nil)
	parts := *f.parts
	parts.Key = &agencykey.Key{Key: key, Body: "inps", Signer: signer}
	if err := f.gateway.Reload(&parts); err != nil {
		t.Fatal(err)
	}
	f.settled(session.ID, 2, 2)
	for i, id := range ids {
		b, r := f.eventOf(id)
		if b == nil || r.BreakGlass.Number != i+1 || r.JWS.Header.Kid != key.Kid {
			t.Errorf("%d: %+v", i, b)
		}
	}
	if st, err := f.memory.Status(); err != nil || st.Lacking != 0 {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestBreakGlassGone: of what was spooled and surely not released a statement says so.
func TestBreakGlassGone(t *testing.T) {
	f := emergency(t, permitAll)
	session := f.opens()
	f.settledOpening(session)
	ctx, cancel := context.WithCancel(t.Context())
	f.onTheWay(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		cancel() // while the ledger is asked
		cut(w)
	})
	if g := f.call(ctx, http.MethodPost, "/emergenza", about(f.person(1))); g.err == nil {
		t.Fatalf("answered %d", g.status)
	}
	f.eventually("the receipt is spooled", func() bool { return len(f.memory.Spooled(session.ID)) == 1 })
	f.eventually("that nothing was released is noted", func() bool {
		withheld, err := f.memory.IsWithheld(f.memory.Spooled(session.ID)[0])
		return err == nil && withheld
	})
	f.onTheWay(nil)
	if _, err := f.gateway.CloseSession(); err != nil {
		t.Fatal(err)
	}
	f.settled(session.ID, 1, 1)
	// Of the receipt in the session, and of the one that was sent before it.
	f.eventually("statements say that nothing was released", func() bool {
		kinds := map[string]int{}
		for _, e := range f.records() {
			if b, _ := f.eventOf(e.Receipt); b != nil {
				kinds[b.Kind]++
			}
		}
		return kinds[ledger.KindUndelivered] == 2 && kinds[ledger.KindAccess] == 3
	})
}

// settledOpening waits until the opening of a session is recorded.
func (f *fixture) settledOpening(s memory.Session) {
	f.t.Helper()
	f.eventually("the opening is recorded", func() bool { return f.gateway.session(s.ID).TellOpened })
}

// TestBreakGlassAnswersLost: whichever answer of the ledger is lost while a session is delivered, and whenever the gateway is
// started again, all is recorded once.
func TestBreakGlassAnswersLost(t *testing.T) {
	f := emergency(t, permitAll)
	f.onTheWay(down)
	session := f.opens()
	ids := []string{f.given(session, 1), f.given(session, 2)}
	if _, err := f.gateway.CloseSession(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	asked := map[string]bool{} // guarded by mu
	lost := make(chan struct{}, 100)
	f.onTheWay(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		mu.Lock()
		first := r.Method == http.MethodPost && !asked[string(body)] && len(asked) < 6
		asked[string(body)] = true
		mu.Unlock()
		if first {
			next.ServeHTTP(httptest.NewRecorder(), r)
			cut(w)
			lost <- struct{}{}
			return
		}
		next.ServeHTTP(w, r)
	})
	for range 3 {
		<-lost
		f.stop()
		f.start()
	}
	f.settled(session.ID, 2, 2)
	for _, id := range ids {
		if b, _ := f.eventOf(id); b == nil || b.Kind != ledger.KindAccess {
			t.Errorf("%+v", b)
		}
	}
	seen := map[string]int{}
	for _, e := range f.records() {
		seen[e.Receipt]++
	}
	for _, id := range ids {
		if seen[id] != 1 {
			t.Errorf("%d events of one receipt", seen[id])
		}
	}
}

// TestClocks: a ledger whose clock is behind takes nothing that lies in its future, and nothing is released; one whose clock is
// ahead takes it as late. What break-glass released meanwhile waits for the clock.
func TestClocks(t *testing.T) {
	f := emergency(t, permitAll)
	f.skew.Store(int64(-time.Hour))
	if g := f.post("/emergenza", about(f.person(1))); g.status != 502 || g.problem.Code != "not_recorded" || bytes.Contains(g.body, []byte(secret)) {
		t.Errorf("a clock that is behind: %d %s", g.status, g.body)
	}
	f.onTheWay(down)
	session := f.opens()
	id := f.given(session, 1)
	if _, err := f.gateway.CloseSession(); err != nil {
		t.Fatal(err)
	}
	f.onTheWay(nil)
	f.eventually("the ledger answers again", func() bool { return !f.gateway.recorder.down.Load() })
	if b, _ := f.eventOf(id); b != nil || f.gateway.session(session.ID).TellOpened {
		t.Error("recorded in the ledger's future")
	}
	f.skew.Store(0)
	f.settled(session.ID, 1, 1)
	if b, _ := f.eventOf(id); b == nil || b.Kind != ledger.KindAccess {
		t.Errorf("%+v", b)
	}
	f.skew.Store(int64(time.Hour))
	g := f.post("/emergenza", about(f.person(2)))
	ahead, _, _ := strings.Cut(g.header.Get(ReceiptHeader), ";")
	if b, _ := f.eventOf(ahead); g.status != 200 || b == nil || !b.Assurance.Late {
		t.Errorf("a clock that is ahead: %d %s %+v", g.status, g.body, b)
	}
}
