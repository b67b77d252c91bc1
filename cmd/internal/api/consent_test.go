// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/consent/consenttest"
	"github.com/traccia-ledger/traccia/consent/webauthn"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/node"
)

func parseSubmission(t *testing.T, raw []byte) *ledger.Submission {
	t.Helper()
	s, err := ledger.ParseSubmission(raw)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// desk is a body with a key of its own at whose desk a citizen stands.
type desk struct {
	*fixture
	collector *consenttest.Collector
	citizen   *consenttest.Citizen
}

func newDesk(t *testing.T) *desk {
	f := newFixture(t, fastWorld, node.Options{Consents: webauthn.Rules{}})
	sub := parseSubmission(t, f.submission(t, 0))
	receipt, err := ledger.ParseReceipt(sub.Receipt)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{f, &consenttest.Collector{Ledger: ledgerName, ID: receipt.Consumer, Key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32))},
		&consenttest.Citizen{Code: sub.Subjects[0].Subject, Salt: [32]byte{1}, At: time.Now().UTC().Truncate(time.Second)}}
	key, err := jws.NewKey("", d.collector.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.node.AddKey(t.Context(), d.collector.ID, key, ""); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) send(t *testing.T, s *ledger.ConsentSubmission) reply {
	t.Helper()
	raw, err := ledger.FormatConsentSubmission(s)
	if err != nil {
		t.Fatal(err)
	}
	return d.do(t, http.MethodPost, "/v1/consents", bytes.NewReader(raw), "Content-Type", "application/json")
}

func (d *desk) statement(t *testing.T, kind string, change ...func(*consent.Record)) (*consent.Record, *ledger.ConsentSubmission) {
	t.Helper()
	d.citizen.At = time.Now().UTC().Truncate(time.Second)
	r := d.citizen.Record(t, ledgerName, kind)
	if r.Terms != nil {
		r.Terms.Recipients = []string{d.collector.ID}
	}
	for _, f := range change {
		f(r)
	}
	return r, d.collector.Submission(t, d.citizen, consenttest.Statement(t, r, consenttest.Desk))
}

// lookUp asks about the citizen's consents, with a receipt of its own.
func (d *desk) lookUp(t *testing.T, voucher string, change func(*ledger.Receipt)) reply {
	t.Helper()
	s := &ledger.ConsentSubmission{Subject: ledger.SaltedSubject{Subject: d.citizen.Code, Salt: [32]byte{3}}}
	s.Private.Salt = [32]byte{4}
	var err error
	if s.Private.Content, err = ledger.FormatPrivate(&ledger.Private{Voucher: voucher, Operator: &ledger.Operator{ID: "sportello-3"}}); err != nil {
		t.Fatal(err)
	}
	tree, err := ledger.NewSubjectTree([]ledger.SaltedSubject{s.Subject})
	if err != nil {
		t.Fatal(err)
	}
	r := &ledger.Receipt{
		Aud: ledgerName, Iss: d.collector.ID, JTI: uuid.NewString(), IssuedAt: time.Now().Unix(), Role: ledger.RoleRequester,
		Provider: d.collector.ID, Consumer: d.collector.ID, Purpose: "https://w3id.org/dpv/sector/publicservices#SocialWelfareProvision",
		LegalBasis: consent.BasisConsent, DataCategories: []string{"https://w3id.org/dpv/pd#Income"}, Actor: ledger.ActorOperator,
		Operation: ledger.Operation{Method: "POST", Path: "/consents/look-up"}, OccurredAt: time.Now().UTC().Format(time.RFC3339),
		PrivateDigest: ledger.Hex(ledger.PrivateDigest(&s.Private.Salt, s.Private.Content)),
		Subjects:      ledger.SubjectCommitment{Count: 1, Root: ledger.Hex(tree.Root())},
	}
	if change != nil {
		change(r)
	}
	if s.Receipt, err = ledger.SignReceipt(r, d.collector.Kid(t), d.collector.Key); err != nil {
		t.Fatal(err)
	}
	raw, err := ledger.FormatConsentSubmission(s)
	if err != nil {
		t.Fatal(err)
	}
	return d.signedPost(t, d.collector.ID, "consents/look-up", json.RawMessage(raw)).send(t, d.fixture)
}

// TestConsents: a desk looks up, gives, asks whether it is covered, and withdraws.
func TestConsents(t *testing.T) {
	d := newDesk(t)
	voucher := parseSubmission(t, d.submission(t, 0)).Voucher
	seen := func(got reply) (s node.ConsentsSeen) {
		t.Helper()
		if got.status != http.StatusOK {
			t.Fatalf("a look-up: %d %s", got.status, got.body)
		}
		if err := json.Unmarshal(got.body, &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := seen(d.lookUp(t, voucher, nil)); s.Previous != (ledger.Hex{}) || s.Covered != nil || len(s.Consents) != 0 || s.Epoch != d.node.Epoch() {
		t.Errorf("an empty list: %+v", s)
	}
	given, submission := d.statement(t, ledger.KindConsentGiven)
	named := func(r *ledger.Receipt) { r.ConsentID = given.ID }
	if s := seen(d.lookUp(t, voucher, named)); *s.Covered || s.Why.Code != consent.CodeUnknown {
		t.Errorf("not given yet: %+v", s)
	}
	got := d.send(t, submission)
	if got.status != http.StatusCreated {
		t.Fatalf("given: %d %s", got.status, got.body)
	}
	if again := d.send(t, submission); again.status != http.StatusOK {
		t.Errorf("sent again: %d %s", again.status, again.body)
	}
	s := seen(d.lookUp(t, voucher, named))
	if !*s.Covered || s.Why != nil || len(s.Consents) != 1 || s.Consents[0].State != ledger.ConsentInForce || s.Previous == (ledger.Hex{}) {
		t.Errorf("given: %+v", s)
	}
	if _, stale := d.statement(t, ledger.KindConsentWithdrawn, func(r *consent.Record) { r.Ends = given.ID }); d.send(t, stale).status != http.StatusUnprocessableEntity {
		t.Error("a record that follows on nothing is taken")
	}
	d.citizen.Next(ledger.Hash(s.Previous))
	_, withdrawn := d.statement(t, ledger.KindConsentWithdrawn, func(r *consent.Record) { r.Ends = given.ID })
	if got := d.send(t, withdrawn); got.status != http.StatusCreated {
		t.Fatalf("withdrawn: %d %s", got.status, got.body)
	}
	if s := seen(d.lookUp(t, voucher, named)); *s.Covered || s.Why.Code != consent.CodeNotInForce || s.Consents[0].State != ledger.ConsentWithdrawn {
		t.Errorf("withdrawn: %+v", s)
	}
	d.publishing(t)
	// Three looks of one month leave one event.
	done, err := d.node.History(t.Context(), d.citizen.Code)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range done.Shards[0].Lists {
		if l.Scope == ledger.ScopeLedger && l.Count != 1 || l.Scope == ledger.ScopeConsent && l.Count != 2 {
			t.Errorf("%s has %d events", l.Scope, l.Count)
		}
	}

	var others string // voucher of another body
	for n := 1; others == ""; n++ {
		s := parseSubmission(t, d.submission(t, n))
		receipt, err := ledger.ParseReceipt(s.Receipt)
		if err != nil {
			t.Fatal(err)
		}
		if receipt.Consumer != d.collector.ID {
			others = s.Voucher
		}
	}
	for what, refused := range map[string]struct {
		got  reply
		code string
	}{
		"no voucher":        {d.lookUp(t, "", nil), ledger.CodeMissing},
		"another's voucher": {d.lookUp(t, others, nil), "claim_mismatch"},
		"another role": {d.lookUp(t, voucher, func(r *ledger.Receipt) {
			r.Role, r.EService, r.PurposeID, r.Pair = ledger.RoleConsumer, uuid.NewString(), uuid.NewString(), ledger.Hex{1}
		}), "wrong_role"},
	} {
		if p := parseProblem(t, refused.got.body); p.Code != refused.code {
			t.Errorf("%s: expected %s, found %d %s", what, refused.code, refused.got.status, refused.got.body)
		}
	}
}
