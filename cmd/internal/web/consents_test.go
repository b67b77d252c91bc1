// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"context"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/consent/consenttest"
	"github.com/traccia-ledger/traccia/consent/webauthn"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/policies"
	"github.com/traccia-ledger/traccia/verifier"
)

// askingBody collects consents at its desk, and asks for them.
var askingBody = &consenttest.Collector{Ledger: nodetest.Name, ID: nodetest.Consumers[0], Key: nodetest.Signer(nodetest.Consumers[0], 0)}

// consentNode is a ledger that records consents, and the world of its accesses.
func consentNode(t *testing.T) (*node.Node, *nodetest.World) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ledger")
	world := nodetest.NewWorld(t, time.Now())
	world.Create(t, dir, node.Options{})
	n, err := node.Open(context.Background(), dir, node.Options{Consents: webauthn.Rules{}, Policies: policies.Open})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	world.Register(t, n)
	if _, err := n.ActivatePolicies(t.Context(), policies.Default()); err != nil {
		t.Fatal(err)
	}
	return n, world
}

// at is the desk of the body with somebody at it.
func (s *site) at(who ledger.Subject) *desk {
	return &desk{&consenttest.Citizen{Code: who}, askingBody, s.pages.Node}
}

// signInCookie is the cookie of somebody whose login left its signed token; signIn a browser with it.
func (s *site) signInCookie(subjects ...ledger.Subject) string {
	s.Helper()
	cookie, err := s.pages.sessions.Begin(s.Context(), session.Identity{Provider: "test", Level: 2, Subjects: subjects, At: time.Now(), Token: consenttest.Login})
	if err != nil {
		s.Fatal(err)
	}
	return cookie
}

func (s *site) signIn(subjects ...ledger.Subject) *browser {
	s.Helper()
	b := s.visitor()
	b.setCookie(sessionCookie, s.signInCookie(subjects...))
	return b
}

// withHistory asks for the consents until the history behind them is made.
func (b *browser) withHistory(lang string) answer {
	b.Helper()
	for end := time.Now().Add(time.Minute); ; {
		a := b.get("/" + lang + "/consensi")
		if a.status != http.StatusOK || !strings.Contains(a.body, "traccia-wait") || time.Now().After(end) {
			return a
		}
		time.Sleep(300 * time.Millisecond) // no faster than a person may ask
	}
}

// stateOf is what became of a citizen's consent.
func (s *site) stateOf(who ledger.Subject, id string) string {
	s.Helper()
	list, err := s.pages.Node.Consents(s.Context(), who)
	if err != nil {
		s.Fatal(err)
	}
	i := slices.IndexFunc(list, func(c ledger.ConsentSummary) bool { return c.ID == id })
	if i < 0 {
		return ""
	}
	return list[i].State
}

// TestConsentsEnd: citizens see what they gave, end it with one form on the strength of their login, and take the proofs away;
// nobody else can.
func TestConsentsEnd(t *testing.T) {
	n, _ := consentNode(t)
	s := serveNode(t, n, nil)
	who, other := nodetest.Person(1), nodetest.Person(2)
	d := s.at(who)
	given := d.record(t, ledger.KindConsentGiven, &ledger.Private{}, func(*consent.Record) {})
	refused := d.record(t, ledger.KindConsentRefused, &ledger.Private{}, func(*consent.Record) {})
	entitled := d.record(t, ledger.KindEntitlementGiven, &ledger.Private{}, func(*consent.Record) {})
	mandate := d.record(t, ledger.KindMandateGiven, &ledger.Private{Delegate: nodetest.Person(3)}, func(*consent.Record) {})
	theirs := s.at(other).record(t, ledger.KindConsentGiven, &ledger.Private{}, func(*consent.Record) {})

	b := s.signIn(who)
	for lang, wants := range map[string][]string{
		"it": {"di usare questi tuoi dati: «", "Hai dato un consenso", "hai rifiutato", "per un diritto che", "come tutore", "Revoca", "Rinuncia"},
		"en": {"can use these data of yours", "You gave a consent", "you refused", "for an entitlement", "as a guardian", "Withdraw", "Renounce"},
	} {
		a := b.withHistory(lang)
		for _, want := range wants {
			if a.status != http.StatusOK || !strings.Contains(a.body, want) {
				t.Errorf("%s: %d, and it lacks %q", lang, a.status, want)
			}
		}
		if strings.Contains(a.body, theirs) || strings.Contains(a.body, string(nodetest.Person(3))) {
			t.Errorf("%s: it shows another person's", lang)
		}
	}
	// A sentence is right of several recipients, and of days that begin with a vowel.
	day := func(month time.Month, day int) time.Time { return time.Date(2026, month, day, 12, 0, 0, 0, time.UTC) }
	several := ledger.ConsentSummary{
		Kind: ledger.KindConsentGiven, State: ledger.ConsentInForce, Recipients: []string{"ente_a", "ente_b"}, From: day(3, 8), Until: day(4, 11), Categories: []string{"isee"},
	}
	if l, err := s.pages.consentLine("it", several); err != nil || !strings.HasPrefix(l.Sentence, "Dall'8 marzo 2026 all'11 aprile 2026 permetti a ente_a e ente_b di usare") {
		t.Errorf("%q %v", l.Sentence, err)
	}
	// Whatever isn't a citizen's own that they can end is as if it weren't there, in every parameter.
	for _, id := range []string{theirs, refused, mandate, "", "x", given + "0"} {
		if a := b.post("/it/consensi/revoca", url.Values{"id": {id}}); a.status != http.StatusNotFound {
			t.Errorf("ending %q: %d", id, a.status)
		}
	}
	if a := b.do(http.MethodPost, "/it/consensi/revoca", url.Values{"id": {given}}, "Sec-Fetch-Site", "cross-site"); a.status != http.StatusForbidden {
		t.Errorf("another site's form: %d", a.status)
	}
	if a := s.visitor().post("/it/consensi/revoca", url.Values{"id": {given}}); s.stateOf(who, given) != ledger.ConsentInForce {
		t.Errorf("a visitor's form (%d) ended it", a.status)
	}
	if a := s.enter(who).post("/it/consensi/revoca", url.Values{"id": {given}}); a.status != http.StatusForbidden || !strings.Contains(a.body, "Bisogna entrare di nuovo") {
		t.Errorf("without the login's token: %d", a.status)
	}
	if s.stateOf(other, theirs) != ledger.ConsentInForce {
		t.Error("another person's consent ended")
	}

	for id, told := range map[string]string{given: "Il consenso è revocato", entitled: "Hai rinunciato"} {
		if a := b.post("/it/consensi/revoca", url.Values{"id": {id}}); a.status != http.StatusSeeOther || a.header.Get("Location") != "/it/consensi" {
			t.Fatalf("ending it: %d\n%s\n%s", a.status, a.body, s.log)
		}
		if state := s.stateOf(who, id); state != ledger.ConsentWithdrawn {
			t.Errorf("it is %s", state)
		}
		if a := b.get("/it/consensi"); !strings.Contains(a.body, told) {
			t.Errorf("it doesn't say %q", told)
		}
		if a := b.get("/it/consensi"); strings.Contains(a.body, told) {
			t.Errorf("it says twice %q", told)
		}
		b.post("/it/consensi/revoca", url.Values{"id": {id}}) // pressed twice
		if a := b.get("/it/consensi"); !strings.Contains(a.body, "Era già finito") {
			t.Error("ended twice, it doesn't say so")
		}
	}
	a := b.withHistory("it")
	proofs := chosenOf(a.body, given)
	if len(proofs) != 2 {
		t.Fatalf("%d: the events of a consent that was given and withdrawn: %q", a.status, proofs)
	}
	file := b.post("/it/accessi/estratto", url.Values{"evento": proofs})
	policy, _, err := s.pages.Node.ReaderPolicy()
	if err != nil {
		t.Fatal(err)
	}
	report := verifier.History([]byte(file.body), policy, s.pages.Node.Now(), verifier.Rules{
		Consents: func(name string, partial bool) verifier.Consents { return consent.NewList(name, partial) },
	})
	var codes []string
	for _, p := range report.Problems {
		codes = append(codes, p.Code)
	}
	unseen := []string{verifier.CodeTooFewWitnesses, verifier.CodeNoMonitor} // nobody cosigns this ledger
	if file.status != http.StatusOK || !report.Excerpt || !slices.Equal(codes, unseen) || len(report.Events) != 2 {
		t.Errorf("its proofs: %d, %d events, %v", file.status, len(report.Events), report.Problems)
	}
	if a := s.signIn(other).post("/it/accessi/estratto", url.Values{"evento": proofs}); a.status != http.StatusBadRequest {
		t.Errorf("another person's proofs: %d", a.status)
	}
	for _, code := range []ledger.Subject{who, other, nodetest.Person(3)} {
		if strings.Contains(s.log.String(), string(code)) {
			t.Errorf("the log names a person: %s", s.log)
		}
	}
}

// chosenOf are the events that the form for a consent's proofs names.
func chosenOf(page, id string) (ids []string) {
	_, after, _ := strings.Cut(page, `<li id="c-`+id)
	part, _, _ := strings.Cut(after, "</li>\n<li id=")
	part, _, _ = strings.Cut(part, "</details>")
	for _, m := range hiddenEvents.FindAllStringSubmatch(part, -1) {
		ids = append(ids, m[1])
	}
	return ids
}

var hiddenEvents = regexp.MustCompile(`type="hidden" name="evento" value="([^"]*)"`)

// TestConsentWords: each kind and state has its sentence, with the same places in each language.
func TestConsentWords(t *testing.T) {
	s := newSite(t, nil)
	ended := []string{ledger.ConsentInForce, ledger.ConsentWithdrawn, ledger.ConsentExpired, ledger.ConsentDoubtful}
	for kind, states := range map[string][]string{
		ledger.KindConsentGiven: ended, ledger.KindEntitlementGiven: ended, ledger.KindPasskeyEnrolled: ended, ledger.KindMandateGiven: ended,
		ledger.KindConsentRefused: {ledger.ConsentRefused},
	} {
		for _, state := range states {
			for _, lang := range languages {
				l, err := s.pages.consentLine(lang, ledger.ConsentSummary{Kind: kind, State: state, Recipients: []string{"kind:Comuni", "inps"}, Relation: consent.RelationProxy})
				if err != nil || strings.ContainsAny(l.Sentence, "{}%") {
					t.Errorf("%s, %s: %q, %v", kind, state, l.Sentence, err)
				}
			}
		}
	}
}
