// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/consent/consenttest"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/policies"
)

// agreeing is a citizen whose consents the consumer collects at its desk.
type agreeing struct {
	consenttest.Citizen
	f         *fixture
	collector consenttest.Collector
}

// agreeing registers a key of the consumer's, and activates policies that permit what a consent covers and nothing else.
func (f *fixture) agreeing(code ledger.Subject) *agreeing {
	f.t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	a := &agreeing{f: f, Citizen: consenttest.Citizen{Code: code}, collector: consenttest.Collector{Ledger: ledgerName, ID: f.receipt.Consumer, Key: key}}
	rand.Read(a.Salt[:])
	public, err := jws.NewKey("", key.Public())
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.node.AddKey(f.t.Context(), f.receipt.Consumer, public, ""); err != nil {
		f.t.Fatal(err)
	}
	term := []policies.Term{{ID: "x", IRI: "https://w3id.org/dpv/pd#Income", It: "x", En: "x", SentenceIt: "x", SentenceEn: "x"}}
	document, err := (&policies.Bundle{
		Schema: policies.BundleSchema, Version: "consents", DescriptionIt: "Prova", DescriptionEn: "Test",
		Vocabulary: policies.Vocabulary{Categories: term, Purposes: term, LegalBases: term, BodyKinds: term},
		Files: []policies.File{{Name: "all.cedar", Text: `
@id("consent") @reference("Reg. (UE) 2016/679, art. 6, par. 1, lett. a)") @reason_it("C'è il consenso.") @reason_en("There is a consent.")
permit (principal, action, resource) when { context.consent };
`}},
	}).Format()
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.node.ActivatePolicies(f.t.Context(), document); err != nil {
		f.t.Fatal(err)
	}
	return a
}

// says has a statement of the citizen's recorded, and returns its record.
func (a *agreeing) says(kind string, change func(*consent.Record)) *consent.Record {
	a.f.t.Helper()
	a.At = time.Now().UTC().Truncate(time.Second)
	r := a.Record(a.f.t, ledgerName, kind)
	if r.Terms != nil {
		r.Terms.Recipients, r.Terms.Purposes, r.Terms.Categories = []string{a.f.receipt.Consumer}, []string{a.f.receipt.Purpose}, a.f.receipt.DataCategories
		r.Validity.From = a.At.Add(-time.Hour)
	}
	if change != nil {
		change(r)
	}
	raw, err := ledger.FormatConsentSubmission(a.collector.Submission(a.f.t, &a.Citizen, consenttest.Statement(a.f.t, r, consenttest.Desk)))
	if err != nil {
		a.f.t.Fatal(err)
	}
	answer, _, err := a.f.node.RecordConsent(a.f.t.Context(), raw)
	if err != nil {
		a.f.t.Fatal(err)
	}
	leaf, err := ledger.ParseLeaf(answer.Entries[0].Leaf)
	if err != nil {
		a.f.t.Fatal(err)
	}
	a.Next(leaf.(ledger.Event).Commitment)
	rand.Read(a.Salt[:])
	return r
}

func (a *agreeing) withdraws(id string) {
	a.f.t.Helper()
	a.says(ledger.KindConsentWithdrawn, func(r *consent.Record) { r.Ends = id })
}

// event is the body of the event that an answer's Traccia-Receipt names.
func (f *fixture) event(g got) (*ledger.Body, *ledger.SignedReceipt, *ledger.Decision) {
	f.t.Helper()
	id, _, _ := strings.Cut(g.header.Get(ReceiptHeader), ";")
	_, jti, _ := strings.Cut(id, "/")
	a, err := f.node.Fetch(f.t.Context(), "inps", jti)
	if err != nil {
		f.t.Fatalf("%q: %v", id, err)
	}
	b, err := ledger.ParseBody(a.Entries[0].Body)
	if err != nil {
		f.t.Fatal(err)
	}
	r, err := ledger.ParseReceipt(b.Receipt)
	if err != nil {
		f.t.Fatal(err)
	}
	d, err := ledger.ParseDecision(b.Decision)
	if err != nil {
		f.t.Fatal(err)
	}
	return b, r, d
}

// TestConsent: where consent is the basis, the receipt names the one in force that covers the call; without it, and after
// its withdrawal, the access is denied and recorded so.
func TestConsent(t *testing.T) {
	f := newFixture(t)
	s := f.person(1)
	c := f.agreeing(s)
	f.answers(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/consensi") {
			body, _ := io.ReadAll(r.Body)
			w.Write(body)
			return
		}
		io.WriteString(w, `{"isee":1}`)
	})
	refused := func(what, path, body string, events int) {
		t.Helper()
		before := f.events()
		g := f.post(path, body)
		if g.status != http.StatusForbidden || g.problem.Code != "denied" {
			t.Fatalf("%s: %d %s", what, g.status, g.body)
		}
		b, r, d := f.event(g)
		if b.Kind != ledger.KindDenied || r.ConsentID != "" || d.Facts.Consent {
			t.Errorf("%s: %s, consent %q", what, b.Kind, r.ConsentID)
		}
		if n := f.events() - before; n != events {
			t.Errorf("%s: %d events, want %d", what, n, events)
		}
	}
	allowed := func(what, path, body, id string) {
		t.Helper()
		g := f.post(path, body)
		if g.status != http.StatusOK {
			t.Fatalf("%s: %d %s", what, g.status, g.body)
		}
		b, r, d := f.event(g)
		if b.Kind != ledger.KindAccess || r.ConsentID != id || !d.Facts.Consent || r.Consumer != f.receipt.Consumer {
			t.Errorf("%s: %s by %q, want %q", what, b.Kind, r.ConsentID, id)
		}
	}
	list := func(people ...ledger.Subject) string {
		var items []string
		for _, p := range people {
			items = append(items, about(p))
		}
		return `{"persone":[` + strings.Join(items, ",") + `]}`
	}
	refused("none", "/consenso", about(s), 2) // the look-up, once a month, and the denial
	refused("none, known from the answer", "/consensi", list(s), 1)
	c.says(ledger.KindConsentRefused, nil)
	refused("refused", "/consenso", about(s), 1)
	c.says(ledger.KindConsentGiven, func(r *consent.Record) { r.Terms.Purposes = []string{"Altro"} })
	c.says(ledger.KindConsentGiven, func(r *consent.Record) { r.Terms.Categories = []string{"https://w3id.org/dpv/pd#Altro"} })
	c.says(ledger.KindConsentGiven, func(r *consent.Record) { r.Terms.Recipients = []string{"inps"} })
	refused("for something else", "/consenso", about(s), 1)
	first := c.says(ledger.KindConsentGiven, nil)
	allowed("given", "/consenso", about(s), first.ID)
	allowed("given, known from the answer", "/consensi", list(s), first.ID)
	refused("of another too", "/consensi", list(s, f.person(2)), 2)
	second := c.says(ledger.KindConsentGiven, nil)
	allowed("given again", "/consenso", about(s), second.ID)
	c.withdraws(second.ID)
	allowed("the first still", "/consenso", about(s), first.ID)
	c.withdraws(first.ID)
	refused("withdrawn", "/consenso", about(s), 1)

	// The provider isn't asked once the policies are known.
	f.eventually("the policies are known", func() bool {
		before := f.asked.Load()
		f.post("/consenso", about(s))
		return f.asked.Load() == before
	})
}

// TestWithdrawnMeanwhile: a consent that is withdrawn between the look-up and the record lets nothing out.
func TestWithdrawnMeanwhile(t *testing.T) {
	f := newFixture(t)
	s := f.person(1)
	c := f.agreeing(s)
	given := c.says(ledger.KindConsentGiven, nil)
	var once sync.Once
	f.onTheWay(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Path == "/v1/access-receipts" {
			once.Do(func() { c.withdraws(given.ID) })
		}
		next.ServeHTTP(w, r)
	})
	g := f.post("/consenso", about(s))
	if g.status != http.StatusForbidden || g.problem.Code != "denied" {
		t.Fatalf("%d %s", g.status, g.body)
	}
	b, r, d := f.event(g)
	if b.Kind != ledger.KindDenied || r.ConsentID != given.ID || d.Facts.Consent {
		t.Errorf("%s, consent %q", b.Kind, r.ConsentID)
	}
}

// TestConsentUnknown: while nobody can tell whether the person consents, nobody is asked and nothing is released.
func TestConsentUnknown(t *testing.T) {
	f := newFixture(t)
	s := f.person(1)
	f.agreeing(s).says(ledger.KindConsentGiven, nil)
	f.gateway.patience = 200 * time.Millisecond
	for _, test := range []struct {
		name   string
		way    func(w http.ResponseWriter)
		status int
		code   string
	}{
		{"a ledger that is down", cut, http.StatusServiceUnavailable, "ledger_unavailable"},
		{"a ledger that is busy", func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }, http.StatusServiceUnavailable, "ledger_unavailable"},
		{"a proxy that refuses", func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) }, http.StatusServiceUnavailable, "ledger_unavailable"},
		{"no answer of a ledger", func(w http.ResponseWriter) { io.WriteString(w, "{") }, http.StatusServiceUnavailable, "ledger_unavailable"},
		{"a refusal", func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `{"code":"not_signer"}`)
		}, http.StatusBadGateway, "consent_unknown"},
	} {
		f.onTheWay(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if strings.HasSuffix(r.URL.Path, "/look-up") {
				test.way(w)
				return
			}
			next.ServeHTTP(w, r)
		})
		g := f.post("/consenso", about(s))
		if g.status != test.status || g.problem.Code != test.code || strings.Contains(string(g.body), string(s)) {
			t.Errorf("%s: %d %s", test.name, g.status, g.body)
		}
	}
	if n := f.asked.Load(); n != 0 {
		t.Errorf("the provider was asked %d times", n)
	}
}

// TestLookUpForOthers: by a consumer's voucher only a party that speaks for the provider is told of its consents.
func TestLookUpForOthers(t *testing.T) {
	f := newFixture(t)
	s := f.person(1)
	f.agreeing(s).says(ledger.KindConsentGiven, nil)
	key, err := agencykey.New("altro", jws.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.node.AddBody(t.Context(), registry.Body{ID: "altro", Name: "Altro", Tenant: "11111111-2222-4333-8444-555555555555"}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.node.AddKey(t.Context(), "altro", key.Key, ""); err != nil {
		t.Fatal(err)
	}
	find := func() error {
		before := f.events()
		_, err := f.gateway.ask.find(t.Context(), key, &f.receipt.Receipt, f.sample.Voucher, s)
		if n := f.events() - before; err != nil && n != 0 {
			t.Errorf("a refused look-up left %d events", n)
		}
		return err
	}
	for _, providers := range [][]string{nil, {"altro"}} {
		if providers != nil {
			if _, err := f.node.SetScope(t.Context(), registry.Scope{ID: "altro", Providers: providers}); err != nil {
				t.Fatal(err)
			}
		}
		var no *refused
		if err := find(); !errors.As(err, &no) || no.problem.Code != "claim_mismatch" || no.problem.Where != "voucher#consumerId" {
			t.Errorf("providers %v: %v", providers, err)
		}
	}
	if _, err := f.node.SetScope(t.Context(), registry.Scope{ID: "altro", Providers: []string{"inps"}}); err != nil {
		t.Fatal(err)
	}
	if err := find(); err != nil {
		t.Error(fmt.Errorf("for a provider that it speaks for: %w", err))
	}
}
