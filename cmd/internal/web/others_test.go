// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"context"
	"crypto/rand"
	"html"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/webtest"
	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/consent/consenttest"
	"github.com/traccia-ledger/traccia/consent/webauthn"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/verifier"
)

// desk records what a body attests about a citizen at its desk.
type desk struct {
	*consenttest.Citizen
	collector *consenttest.Collector
	node      *node.Node
}

func (d *desk) record(t *testing.T, kind string, private *ledger.Private, change func(*consent.Record)) string {
	t.Helper()
	d.At = d.node.Now().UTC().Truncate(time.Second)
	rand.Read(d.Salt[:])
	r := d.Record(t, nodetest.Name, kind)
	change(r)
	content, err := ledger.FormatPrivate(private)
	if err != nil {
		t.Fatal(err)
	}
	var salt [32]byte
	rand.Read(salt[:])
	s := d.collector.Submission(t, d.Citizen, consenttest.Statement(t, r, consenttest.Desk), func(r *ledger.Receipt) {
		r.PrivateDigest = ledger.Hex(ledger.PrivateDigest(&salt, content))
	})
	s.Private = ledger.SaltedPrivate{Salt: salt, Content: content}
	raw, err := ledger.FormatConsentSubmission(s)
	if err != nil {
		t.Fatal(err)
	}
	a, _, err := d.node.RecordConsent(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ledger.ParseLeaf(a.Entries[0].Leaf)
	if err != nil {
		t.Fatal(err)
	}
	d.Next(leaf.(ledger.Event).Commitment)
	return r.ID
}

// TestDelegates: whoever a mandate in force names sees its citizen's list, knows whose it is, and leaves an event there.
func TestDelegates(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ledger")
	world := nodetest.NewWorld(t, time.Now())
	world.Create(t, dir, node.Options{})
	n, err := node.Open(context.Background(), dir, node.Options{Consents: webauthn.Rules{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	world.Register(t, n)
	s := serveNode(t, n, nil)
	citizen, delegate, other := nodetest.Person(1), nodetest.Person(2), nodetest.Person(3)
	d := &desk{&consenttest.Citizen{Code: citizen}, &consenttest.Collector{Ledger: nodetest.Name, ID: nodetest.Consumers[0], Key: nodetest.Signer(nodetest.Consumers[0], 0)}, n}
	id := d.record(t, ledger.KindMandateGiven, &ledger.Private{Delegate: delegate}, func(*consent.Record) {})

	act := func(b *browser, code ledger.Subject) answer {
		return b.post("/it/per-altri", url.Values{"codice": {" " + strings.ToLower(string(code)) + " "}})
	}
	lookUps := func() (mandates []string) {
		t.Helper()
		h, err := n.History(t.Context(), citizen)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range h.Shards[0].Events {
			body, err := ledger.ParseBody(e.Body)
			if err != nil {
				t.Fatal(err)
			}
			receipt, err := ledger.ParseReceipt(body.Receipt)
			if err != nil {
				t.Fatal(err)
			}
			if body.Kind == ledger.KindLookUp {
				mandates = append(mandates, receipt.Mandate)
			}
		}
		return mandates
	}
	// Nobody else: not others, not for others, not the citizen for the delegate; and nothing tells why.
	pages := map[string]bool{}
	for _, refused := range []struct{ who, whom ledger.Subject }{{other, citizen}, {delegate, other}, {citizen, delegate}, {citizen, citizen}, {delegate, "RSSMRA80A01H501A"}, {delegate, ""}} {
		a := act(s.enter(refused.who), refused.whom)
		if a.status != http.StatusForbidden {
			t.Errorf("%s for %s: %d", refused.who, refused.whom, a.status)
		}
		pages[strings.ReplaceAll(a.body, string(refused.who), "")] = true
	}
	if len(pages) != 1 {
		t.Errorf("%d answers tell the reasons apart", len(pages))
	}
	if got := lookUps(); len(got) != 0 {
		t.Errorf("refused, they left look-ups: %q", got)
	}

	b := s.enter(delegate)
	if a := act(b, citizen); a.status != http.StatusSeeOther {
		t.Fatalf("the delegate: %d\n%s", a.status, s.log)
	}
	for _, path := range []string{"/it", "/it/per-altri", "/en/privacy", "/it/none"} {
		a := b.get(path)
		if !strings.Contains(a.body, string(citizen)) || strings.Contains(a.body, string(delegate)) ||
			!strings.Contains(a.body, "come tutore") && !strings.Contains(a.body, "as a guardian") {
			t.Errorf("%s doesn't say for whom one acts (%d)", path, a.status)
		}
	}
	if a := b.get("/it/cancellazione"); a.status != http.StatusOK || !strings.Contains(a.body, "non può chiedere la cancellazione") || strings.Contains(a.body, "<fieldset") {
		t.Errorf("a delegate is offered an erasure: %d", a.status)
	}
	if a := b.post("/it/cancellazione", url.Values{"passo": {"ritira"}}); a.status != http.StatusForbidden {
		t.Errorf("a delegate takes a request back: %d", a.status)
	}
	if got := lookUps(); len(got) != 1 || got[0] != id {
		t.Errorf("look-ups under %q", got)
	}
	if a := b.post("/it/per-altri", url.Values{"fine": {"1"}}); a.status != http.StatusSeeOther || strings.Contains(b.get("/it").body, string(citizen)) {
		t.Errorf("it didn't end: %d", a.status)
	}
	act(b, citizen)
	d.record(t, ledger.KindMandateEnded, &ledger.Private{}, func(r *consent.Record) { r.Ends = id })
	if a := b.get("/it"); strings.Contains(a.body, string(citizen)) || !strings.Contains(a.body, string(delegate)) {
		t.Error("the mandate ended, and the delegate still acts")
	}
	if a := act(b, citizen); a.status != http.StatusForbidden {
		t.Errorf("after its end: %d", a.status)
	}
	// Who tries many codes has to wait.
	status := 0
	for range guessesAtOnce + 1 {
		status = act(b, other).status
	}
	if status != http.StatusTooManyRequests {
		t.Errorf("after %d codes: %d", guessesAtOnce+1, status)
	}
	if strings.Contains(s.log.String(), string(citizen)) || strings.Contains(s.log.String(), string(delegate)) {
		t.Errorf("the log names a person: %s", s.log)
	}
}

// TestMandateInList: the citizen reads under which mandate their list was shown to whom acts for them, by the id that it has among
// their consents.
func TestMandateInList(t *testing.T) {
	l := webtest.NewLedger(t, webtest.Config{Years: 1, Accesses: 1})
	id := l.Delegate(webtest.Citizen, webtest.Other)
	s := serveNode(t, l.Node, nil)
	b := s.enter(webtest.Other)
	if a := b.post("/it/per-altri", url.Values{"codice": {string(webtest.Citizen)}}); a.status != http.StatusSeeOther {
		t.Fatalf("%d\n%s", a.status, s.log)
	}
	if a := b.ready("/it/accessi"); !strings.Contains(a.body, "come amministratore di sostegno") || !strings.Contains(a.body, string(webtest.Citizen)) {
		t.Errorf("the delegate isn't told whom they act for: %d", a.status)
	}
	// A letter says who writes, and for whom.
	letter := b.post("/it"+complaintPath, url.Values{"evento": events(b.ready("/it/accessi")), "destinatario": {"ente"}, "pronto": {"1"}, "nome": {"Anna Neri"}})
	facts := regexp.MustCompile(`(?s)<dl class="traccia-facts">(.*?)</dl>`).FindString(html.UnescapeString(letter.body))
	for _, want := range []string{
		`<dt>Interessato</dt><dd><span class="traccia-blank"></span></dd> <dt>Codice fiscale</dt><dd class="traccia-code">` + string(webtest.Citizen) + `</dd>`,
		`<dt>Chi scrive per l'interessato</dt><dd>Anna Neri, come amministratore di sostegno, mandato <code>` + id + `</code></dd> <dt>Codice fiscale</dt><dd class="traccia-code">` + string(webtest.Other) + `</dd>`,
	} {
		if !strings.Contains(strings.ReplaceAll(facts, "\n", " "), want) {
			t.Errorf("%d, and the letter lacks %s in %s", letter.status, want, facts)
		}
	}
	own := s.enter(webtest.Citizen)
	own.post("/it/accessi/aggiorna", nil)
	if a := own.ready("/en/accessi"); !strings.Contains(a.body, "showed your list to who acts for you, under mandate "+id) {
		t.Errorf("the citizen doesn't read who was shown their list (%d)", a.status)
	}
	h, err := l.History(t.Context(), webtest.Citizen)
	if err != nil {
		t.Fatal(err)
	}
	policy, _, err := l.ReaderPolicy()
	if err != nil {
		t.Fatal(err)
	}
	r := verifier.HistoryOf(h, policy, l.Now(), verifier.Rules{Policies: l.PoliciesOf, Consents: func(name string, partial bool) verifier.Consents { return consent.NewList(name, partial) }})
	if !r.Complete || len(r.Consents) != 1 || r.Consents[0].ID != id {
		t.Errorf("complete %v, consents %v, %v", r.Complete, r.Consents, r.Problems)
	}
	if !slices.ContainsFunc(r.Events, func(e verifier.HistoryEvent) bool { return e.Kind == ledger.KindLookUp && e.Mandate == id }) {
		t.Error("no look-up names the mandate")
	}
}
