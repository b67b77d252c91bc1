// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/consent/passkeytest"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
)

// asks is the link of the body's request, with what change makes of it.
func (s *site) asks(change func(*consent.Request)) string {
	s.Helper()
	now := s.pages.Node.Now()
	r := &consent.Request{
		Ledger: nodetest.Name, Body: askingBody.ID, ID: consent.NewID(), IssuedAt: now.Unix(), Expires: now.Add(time.Hour).Unix(),
		LegalBasis: []string{consent.BasisConsent}, Recipients: []string{askingBody.ID}, Purposes: []string{"SocialWelfareProvision"},
		Categories: []string{"https://w3id.org/dpv/pd#Income", "Name"}, Days: 365,
	}
	if change != nil {
		change(r)
	}
	compact, err := consent.SignRequest(r, askingBody.Kid(s), askingBody.Key)
	if err != nil {
		s.Fatal(err)
	}
	return consent.RequestLink("", "it", compact)
}

var (
	challengeForm = regexp.MustCompile(`data-challenge="([^"]*)"`)
	draftForm     = regexp.MustCompile(`name="documento" value="([^"]*)"`)
	noticeForm    = regexp.MustCompile(`<p><strong>([^<]*):</strong> ([^<]*)</p>`)
)

// toSign is the record that a page has for a passkey.
func toSign(t *testing.T, a answer) (draft string, challenge [32]byte) {
	t.Helper()
	c, d := challengeForm.FindStringSubmatch(a.body), draftForm.FindStringSubmatch(a.body)
	if a.status != http.StatusOK || c == nil || d == nil {
		t.Fatalf("%d: nothing to sign in %s", a.status, a.body)
	}
	raw, err := base64.RawURLEncoding.DecodeString(c[1])
	if err != nil {
		t.Fatal(err)
	}
	return d[1], [32]byte(raw)
}

// enrol makes the citizen's passkey in software, and answers as the page's script does.
func (b *browser) enrol() (*passkeytest.Passkey, answer) {
	b.Helper()
	draft, challenge := toSign(b.T, b.get("/it/consensi/passkey"))
	p := passkeytest.New(b, "ES256", b.pages.passkey().RP, b.pages.passkey().Origin)
	data, client := p.Register(challenge)
	return p, b.post("/it/consensi/passkey", signedForm(draft, nil, data, client, nil))
}

// consents signs the request that the browser has.
func (b *browser) consents(p *passkeytest.Passkey) url.Values {
	b.Helper()
	draft, challenge := toSign(b.T, b.get("/it/consensi/richiesta"))
	data, client, signature := p.Sign(b, challenge)
	form := signedForm(draft, p.ID, data, client, signature)
	form.Set("risposta", "si")
	return form
}

func signedForm(draft string, credential, data, client, signature []byte) url.Values {
	text := base64.RawURLEncoding.EncodeToString
	return url.Values{"documento": {draft}, "credential": {text(credential)}, "authenticator_data": {text(data)}, "client_data": {text(client)}, "signature": {text(signature)}}
}

// TestConsentsGive: from a body's link through the login and a new passkey to a consent, which the passkey signed over the text that
// the citizen read.
func TestConsentsGive(t *testing.T) {
	n, _ := consentNode(t)
	s := serveNode(t, n, withDoors(&door{}))
	who, other := nodetest.Person(1), nodetest.Person(2)
	b := s.visitor()
	link := s.asks(nil)
	if a := b.get(link); a.status != http.StatusSeeOther || a.header.Get("Location") != "/it/consensi/richiesta" {
		t.Fatalf("the link: %d %v", a.status, a.header)
	}
	a := b.get("/it/consensi/richiesta")
	if a.status != http.StatusOK || !strings.Contains(a.body, "Entra per rispondere") || !strings.Contains(a.body, "Erogazione di una prestazione sociale") || challengeForm.MatchString(a.body) {
		t.Fatalf("for a visitor: %d", a.status)
	}
	if a := b.post("/it/consensi/richiesta", url.Values{"risposta": {"no"}}); a.status == http.StatusSeeOther && a.header.Get("Location") == "/it/consensi" {
		t.Error("a visitor answered")
	}
	// The login is another's in tests; its cookie is all that counts.
	b.setCookie(sessionCookie, s.signInCookie(who))
	if a = b.get("/it/consensi/richiesta"); !strings.Contains(a.body, "Ti serve una passkey") || challengeForm.MatchString(a.body) {
		t.Errorf("without a passkey: %d", a.status)
	}
	passkey, a := b.enrol()
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/it/consensi/richiesta" {
		t.Fatalf("a passkey: %d %s\n%s", a.status, a.body, s.log)
	}
	if a = b.get("/it/consensi/richiesta"); !strings.Contains(a.body, "La passkey è tua") {
		t.Error("the request doesn't say that the passkey is recorded")
	}
	form := b.consents(passkey)
	a = b.get("/it/consensi/richiesta")
	if b.post("/it/consensi/richiesta", form).status != http.StatusConflict {
		t.Error("a record was taken that the citizen was shown before another")
	}
	// Shown last, and nothing between: recorded, once.
	a = b.get("/it/consensi/richiesta")
	read := sha256.New()
	for _, m := range noticeForm.FindAllStringSubmatch(a.body, -1) {
		read.Write([]byte(html.UnescapeString(m[1] + ": " + m[2] + "\n")))
	}
	draft, challenge := toSign(t, a)
	data, client, signature := passkey.Sign(t, challenge)
	form = signedForm(draft, passkey.ID, data, client, signature)
	form.Set("risposta", "si")
	if a := s.signIn(other).post("/it/consensi/richiesta", form); a.status != http.StatusConflict {
		t.Errorf("another person's record: %d", a.status)
	}
	if a := b.do(http.MethodPost, "/it/consensi/richiesta", form, "Sec-Fetch-Site", "cross-site"); a.status != http.StatusForbidden {
		t.Errorf("another site's form: %d", a.status)
	}
	if a := b.post("/it/consensi/richiesta", form); a.status != http.StatusSeeOther || a.header.Get("Location") != "/it/consensi" {
		t.Fatalf("the consent: %d %s\n%s", a.status, a.body, s.log)
	}
	if a := b.post("/it/consensi/richiesta", form); a.status != http.StatusConflict {
		t.Errorf("the same again: %d", a.status)
	}
	if a := b.get("/it/consensi"); !strings.Contains(a.body, "Il consenso è annotato") || !strings.Contains(a.body, "di usare questi tuoi dati: «Reddito» e «Nome e cognome»") {
		t.Errorf("the list: %s", a.body)
	}
	if a := b.get("/it/consensi"); !strings.Contains(a.body, "Lo rifacciamo adesso") || !strings.Contains(a.body, "Il tuo consenso: Regolamento (UE) 2016/679 (GDPR), art. 6") {
		t.Error("it doesn't show again what they read")
	}
	terms := s.lastTerms(who)
	if terms.Notice.Digest != ledger.Hash(read.Sum(nil)) || terms.Controller != askingBody.ID || terms.Notice.Version != noticeVersion {
		t.Errorf("recorded is %+v", terms)
	}
	list, err := s.pages.Node.Consents(t.Context(), who)
	if err != nil || len(list) != 2 || list[1].Evidence != consent.EvidencePasskey || list[1].State != ledger.ConsentInForce || list[1].Collector != s.pages.Node.OperatorID() {
		t.Errorf("%+v, %v", list, err)
	}
	if theirs, err := s.pages.Node.Consents(t.Context(), other); err != nil || len(theirs) != 0 {
		t.Errorf("another person has %+v, %v", theirs, err)
	}

	// Asked once more they are told; they refuse without a passkey.
	b.get(link)
	if a := b.get("/it/consensi/richiesta"); !strings.Contains(a.body, "Hai già dato questo consenso") {
		t.Error("it doesn't say that the same is in force")
	}
	if a := b.post("/it/consensi/richiesta", url.Values{"risposta": {"no"}}); a.status != http.StatusSeeOther {
		t.Errorf("refusing: %d %s", a.status, s.log)
	}
	if a := b.get("/en/consensi"); !strings.Contains(a.body, "you said no") || !strings.Contains(a.body, "you refused that") {
		t.Error("it doesn't say that they refused")
	}
	for _, code := range []ledger.Subject{who, other} {
		if strings.Contains(s.log.String(), string(code)) {
			t.Errorf("the log names a person: %s", s.log)
		}
	}
}

// TestRefusalsOfOthers: a "no" on the page of one person isn't recorded in the list of another whom the session shows since: the
// citizen's when the delegate began to act in another tab, the delegate's when the mandate ended.
func TestRefusalsOfOthers(t *testing.T) {
	n, _ := consentNode(t)
	s := serveNode(t, n, nil)
	citizen, delegate := nodetest.Person(1), nodetest.Person(2)
	d := s.at(citizen)
	mandate := d.record(t, ledger.KindMandateGiven, &ledger.Private{Delegate: delegate}, func(*consent.Record) {})
	b := s.signIn(delegate)
	b.get(s.asks(nil))
	no := func(shown string) url.Values { return url.Values{"risposta": {"no"}, personField: {shown}} }
	for _, meanwhile := range []func(){
		func() { b.post("/it/per-altri", url.Values{"codice": {string(citizen)}}) },
		func() {
			d.record(t, ledger.KindMandateEnded, &ledger.Private{}, func(r *consent.Record) { r.Ends = mandate })
		},
	} {
		shown := b.person()
		meanwhile()
		if a := b.post("/it/consensi/richiesta", no(shown)); a.status != http.StatusConflict || !strings.Contains(a.body, "Nel frattempo hai cambiato persona") {
			t.Errorf("a no for %q: %d", shown, a.status)
		}
	}
	for _, who := range []ledger.Subject{citizen, delegate} {
		if s.lastOf(who, ledger.KindConsentRefused).ID != "" {
			t.Errorf("%s has refused", who)
		}
	}
	if a := b.post("/it/consensi/richiesta", no(string(delegate))); a.status != http.StatusSeeOther || s.lastOf(delegate, ledger.KindConsentRefused).ID == "" {
		t.Errorf("from their own page: %d", a.status)
	}
}

// TestConsentsUsed: a consent says which accesses named it.
func TestConsentsUsed(t *testing.T) {
	n, world := consentNode(t)
	s := serveNode(t, n, nil)
	b := s.signIn(nodetest.Person(1))
	passkey, _ := b.enrol()
	b.get(s.asks(nil))
	if a := b.post("/it/consensi/richiesta", b.consents(passkey)); a.status != http.StatusSeeOther {
		t.Fatalf("%d", a.status)
	}
	if a := b.withHistory("it"); !strings.Contains(a.body, "Nessuna, fino allo stato del registro") {
		t.Error("it doesn't say that no access named it")
	}
	world.Now = n.Now()
	raw := world.Make(t, 1, nodetest.Access{
		Subjects: 1, First: 1, Provider: nodetest.Hub, Consumer: askingBody.ID, Purpose: "SocialWelfareProvision", Consent: s.lastOf(nodetest.Person(1), ledger.KindConsentGiven).ID,
	})
	// Whether the policies allow it is the same to the list.
	var denied *node.Denied
	if _, _, err := n.Submit(t.Context(), raw); err != nil && !errors.As(err, &denied) {
		t.Fatal(err)
	}
	b.post("/it/accessi/aggiorna", nil)
	a := b.withHistory("it")
	_, used, _ := strings.Cut(a.body, "Consultazioni che l&#39;hanno indicato</dt>")
	used, _, _ = strings.Cut(used, "</dd>")
	if !strings.Contains(used, "<li>") || !strings.Contains(used, "Ente "+askingBody.ID) {
		t.Errorf("the accesses that named it: %s", used)
	}
}

// TestConsentsUnderMandate: whoever acts for a citizen gives and ends consents in the citizen's list, with a passkey of their own
// that counts there alone, and no longer than the mandate.
func TestConsentsUnderMandate(t *testing.T) {
	n, _ := consentNode(t)
	s := serveNode(t, n, nil)
	citizen, delegate := nodetest.Person(1), nodetest.Person(2)
	d := s.at(citizen)
	var end time.Time
	mandate := d.record(t, ledger.KindMandateGiven, &ledger.Private{Delegate: delegate}, func(r *consent.Record) {
		r.Validity.Until = r.Validity.From.AddDate(0, 1, 0)
		end = r.Validity.Until
	})
	b := s.signIn(delegate)
	own, _ := b.enrol()
	if a := b.post("/it/per-altri", url.Values{"codice": {string(citizen)}}); a.status != http.StatusSeeOther {
		t.Fatalf("acting: %d", a.status)
	}
	b.get(s.asks(nil))
	if a := b.get("/it/consensi/richiesta"); !strings.Contains(a.body, "Ti serve una passkey") {
		t.Error("their own passkey counts in the other's list")
	}
	passkey, a := b.enrol()
	if a.status != http.StatusSeeOther {
		t.Fatalf("a passkey for the mandate: %d %s", a.status, s.log)
	}
	form := b.consents(own)
	if a := b.post("/it/consensi/richiesta", form); a.status != http.StatusConflict {
		t.Errorf("signed with the passkey of their own list: %d", a.status)
	}
	if a := b.post("/it/consensi/richiesta", b.consents(passkey)); a.status != http.StatusSeeOther {
		t.Fatalf("the consent: %d %s", a.status, s.log)
	}
	given := s.lastOf(citizen, ledger.KindConsentGiven)
	if given.Mandate != mandate || !given.Until.Equal(end) || given.State != ledger.ConsentInForce {
		t.Errorf("%+v", given)
	}
	if s.lastOf(delegate, ledger.KindConsentGiven).ID != "" {
		t.Error("it is in the delegate's list")
	}
	// A record that waits is of the list for which it was made.
	b.get(s.asks(nil))
	form = b.consents(passkey)
	b.post("/it/per-altri", url.Values{"fine": {"1"}})
	if a := b.post("/it/consensi/richiesta", form); a.status != http.StatusConflict {
		t.Errorf("signed for the citizen, sent for the delegate: %d", a.status)
	}
	if a := b.post("/it/consensi/revoca", url.Values{"id": {given.ID}}); a.status != http.StatusNotFound {
		t.Errorf("ended from the delegate's own list: %d", a.status)
	}
	b.post("/it/per-altri", url.Values{"codice": {string(citizen)}})
	if a := b.post("/it/consensi/revoca", url.Values{"id": {given.ID}}); a.status != http.StatusSeeOther || s.stateOf(citizen, given.ID) != ledger.ConsentWithdrawn {
		t.Errorf("ended by the delegate: %d", a.status)
	}
}

// lastTerms are those of a citizen's last consent.
func (s *site) lastTerms(who ledger.Subject) *consent.Terms {
	s.Helper()
	h, err := s.pages.Node.History(s.Context(), who)
	if err != nil {
		s.Fatal(err)
	}
	var terms *consent.Terms
	for _, e := range h.Shards[0].Events {
		body, err := ledger.ParseBody(e.Body)
		if err != nil {
			s.Fatal(err)
		}
		if body.Kind != ledger.KindConsentGiven {
			continue
		}
		statement, err := consent.ParseStatement(body.Consent)
		if err != nil {
			s.Fatal(err)
		}
		terms = statement.Record.Terms
	}
	return terms
}

// TestConsentAnswers: what isn't the citizen's passkey over the record that they were shown is recorded by nobody.
func TestConsentAnswers(t *testing.T) {
	n, _ := consentNode(t)
	s := serveNode(t, n, nil)
	b := s.signIn(nodetest.Person(1))
	passkey, _ := b.enrol()
	b.get(s.asks(nil))
	for what, spoil := range map[string]func(url.Values){
		"no signature":        func(v url.Values) { v.Del("signature"); v.Del("credential") },
		"no base64":           func(v url.Values) { v.Set("signature", "%") },
		"another's signature": func(v url.Values) { v.Set("signature", v.Get("client_data")) },
		"an unknown passkey":  func(v url.Values) { v.Set("credential", "AAAA") },
		"another draft":       func(v url.Values) { v.Set("documento", consent.NewID()) },
		"a new passkey's answer": func(v url.Values) {
			data, client := passkey.Register([32]byte{})
			v.Set("authenticator_data", base64.RawURLEncoding.EncodeToString(data))
			v.Set("client_data", base64.RawURLEncoding.EncodeToString(client))
		},
	} {
		form := b.consents(passkey)
		spoil(form)
		if a := b.post("/it/consensi/richiesta", form); a.status != http.StatusConflict || !strings.Contains(a.body, "Non è stato annotato nulla") {
			t.Errorf("%s: %d", what, a.status)
		}
	}
	if a := b.post("/it/consensi/richiesta", url.Values{"risposta": {"forse"}}); a.status != http.StatusBadRequest {
		t.Errorf("neither yes nor no: %d", a.status)
	}
	// The list grows between reading and signing, by a body's desk.
	form := b.consents(passkey)
	_, previous, err := s.pages.Node.ConsentPlace(t.Context(), nodetest.Person(1))
	if err != nil {
		t.Fatal(err)
	}
	d := s.at(nodetest.Person(1))
	d.Previous = previous
	d.record(t, ledger.KindConsentRefused, &ledger.Private{}, func(*consent.Record) {})
	if a := b.post("/it/consensi/richiesta", form); a.status != http.StatusConflict || !strings.Contains(a.body, "nel frattempo") {
		t.Errorf("for a place that is taken: %d", a.status)
	}
	if a := b.post("/it/consensi/richiesta", b.consents(passkey)); a.status != http.StatusSeeOther {
		t.Errorf("then signed again: %d", a.status)
	}
	// Without the login's token a passkey would be nobody's.
	if a := s.enter(nodetest.Person(2)).get("/it/consensi/passkey"); challengeForm.MatchString(a.body) {
		t.Error("a passkey on a login without a token")
	}
	// So many statements at once, and no more; but what was given can be ended.
	status := 0
	for range statementsAtOnce {
		status = b.post("/it/consensi/richiesta", url.Values{"risposta": {"no"}}).status
	}
	if status != http.StatusTooManyRequests {
		t.Errorf("after %d answers: %d", statementsAtOnce, status)
	}
	list, err := s.pages.Node.Consents(t.Context(), nodetest.Person(1))
	if err != nil {
		t.Fatal(err)
	}
	if a := b.post("/it/consensi/revoca", url.Values{"id": {list[len(list)-1].ID}}); a.status != http.StatusSeeOther {
		t.Errorf("ending one: %d", a.status)
	}
}

// TestConsentRequests: a citizen is shown nothing but what a body of the ledger signed and the policies in force know.
func TestConsentRequests(t *testing.T) {
	n, _ := consentNode(t)
	s := serveNode(t, n, nil)
	b := s.signIn(nodetest.Person(1))
	good := s.asks(nil)
	for what, link := range map[string]string{
		"nothing":               "/it/consensi/richiesta?domanda=x",
		"a changed request":     good[:len(good)-8] + "AAAAAAAA",
		"another ledger's":      s.asks(func(r *consent.Request) { r.Ledger = "altro.example" }),
		"another body's":        s.asks(func(r *consent.Request) { r.Body = nodetest.Consumers[1] }),
		"an unknown body's":     s.asks(func(r *consent.Request) { r.Body = "nessuno" }),
		"one that is over":      s.asks(func(r *consent.Request) { r.IssuedAt -= 7200; r.Expires = r.IssuedAt + 60 }),
		"one of the future":     s.asks(func(r *consent.Request) { r.IssuedAt += 600 }),
		"an unknown purpose":    s.asks(func(r *consent.Request) { r.Purposes = []string{"<b>Ogni scopo</b>"} }),
		"unknown data":          s.asks(func(r *consent.Request) { r.Categories = []string{"tutto"} }),
		"an unknown recipient":  s.asks(func(r *consent.Request) { r.Recipients = []string{"nessuno"} }),
		"health without Art. 9": s.asks(func(r *consent.Request) { r.Categories = []string{"disability"} }),
	} {
		a := b.get(link)
		if a.status == http.StatusSeeOther {
			a = b.get("/it/consensi/richiesta")
		}
		if a.status != http.StatusBadRequest || !strings.Contains(a.body, "Questa richiesta non è valida") || challengeForm.MatchString(a.body) || strings.Contains(a.body, "<b>") {
			t.Errorf("%s: %d", what, a.status)
		}
		if a := b.get("/it/consensi/richiesta"); !strings.Contains(a.body, "Nessuna richiesta") {
			t.Errorf("%s: it is still there", what)
		}
	}
	b.get(s.asks(func(r *consent.Request) {
		r.Categories, r.LegalBasis = []string{"disability"}, []string{consent.BasisExplicit}
	}))
	if a := b.get("/it/consensi/richiesta"); a.status != http.StatusOK || !strings.Contains(a.body, "consenso esplicito") {
		t.Errorf("health on explicit consent: %d", a.status)
	}
}
