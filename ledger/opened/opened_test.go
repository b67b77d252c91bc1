// SPDX-License-Identifier: EUPL-1.2

package opened_test

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/opened"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/replay"
)

const (
	name  = "registro.example"
	epoch = 2026
)

// Log indexes of the shard.
const (
	keyAt     = 4  // the hub's first key, revoked at revokedAt
	scopeAt   = 6  // the hub speaks for prov
	openedAt  = 8  // the hub's session of break-glass, closed with two receipts at closedAt
	headAt    = 10 // the heads around the event
	eventAt   = 12
	nextAt    = 20
	secondAt  = 15 // the hub's second key
	revokedAt = 16
	closedAt  = 18
)

const session = "0f9e7c1a-5b1d-4a86-9f0e-2f4c3c1a7b55"

var recorded = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

// event is what a test changes before it is made.
type event struct {
	index   uint64
	receipt ledger.Receipt
	body    ledger.Body
	signer  string // seed of the key that signs
	kid     string // of which key the receipt claims to be
	leaf    func(*ledger.Event)
}

func signer(seed string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(seed + strings.Repeat(".", 32-len(seed))))
}

func key(t *testing.T, seed string) jws.Key {
	t.Helper()
	k, err := jws.NewKey("", signer(seed).Public())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newShard(t *testing.T) *opened.Shard {
	t.Helper()
	reg := registry.New(name)
	apply := func(index uint64, record any) {
		t.Helper()
		data, err := registry.FormatRecord(record)
		if err == nil {
			err = reg.Apply(index, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	register := func(index uint64, body, seed string) {
		t.Helper()
		k := key(t, seed)
		jwk, err := jws.FormatKey(k)
		if err != nil {
			t.Fatal(err)
		}
		apply(index, registry.Key{Body: body, Kid: k.Kid, JWK: jwk, Basis: registry.BasisOperator})
	}
	for i, id := range []string{"hub", "prov", "cons"} {
		apply(uint64(1+i), registry.Body{ID: id, Name: "Ente " + id})
	}
	register(keyAt, "hub", "hub 1")
	register(keyAt+1, "cons", "cons 1")
	apply(scopeAt, registry.Scope{ID: "hub", Providers: []string{"prov"}})
	register(scopeAt+1, "prov", "prov 1")
	state := func(index uint64, seed string, statement any) {
		t.Helper()
		payload, typ, err := registry.FormatSession(statement)
		if err != nil {
			t.Fatal(err)
		}
		compact, err := jws.Sign(typ, payload, key(t, seed).Kid, signer(seed))
		if err != nil {
			t.Fatal(err)
		}
		apply(index, registry.BreakGlass{Scope: "hub", Statement: compact})
	}
	state(openedAt, "hub 1", registry.SessionOpened{Aud: name, Scope: "hub", Session: session, Opened: 1000, Until: 2000, Warrant: ledger.Hex{1}})
	register(secondAt, "hub", "hub 2")
	apply(revokedAt, registry.KeyRevoked{Body: "hub", Kid: key(t, "hub 1").Kid})
	state(closedAt, "hub 2", registry.SessionClosed{Aud: name, Scope: "hub", Session: session, Closed: 1500, Count: 2, Recorded: 1, Last: ledger.Hex{2}})
	return &opened.Shard{Name: name, Epoch: epoch, Registry: reg, Heads: []replay.Head{
		{Leaf: headAt, UnixMS: uint64(recorded.Add(-time.Second).UnixMilli())},
		{Leaf: nextAt, UnixMS: uint64(recorded.Add(time.Second).UnixMilli())},
	}}
}

// newEvent is one that counts.
func newEvent() *event {
	return &event{
		index: eventAt, signer: "hub 1",
		receipt: ledger.Receipt{
			Aud: name, Iss: "hub", JTI: "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11", IssuedAt: recorded.Unix(),
			Role: ledger.RoleProvider, Provider: "prov", Consumer: "cons",
			EService: "843ac013-941a-4afe-8243-e668142e73e6", PurposeID: "9d1f2a34-7a0b-4c77-8f2e-1f6b1f0c2d3e",
			Purpose: "Verifica", LegalBasis: "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e",
			DataCategories: []string{"https://w3id.org/dpv/pd#Income"}, Actor: ledger.ActorOperator,
			Operation: ledger.Operation{Method: "GET", Path: "/isee"}, OccurredAt: "2026-11-22T09:29:59Z",
			Pair: ledger.Hex{1}, PrivateDigest: ledger.Hex{2},
		},
		body: ledger.Body{
			Origin: ledger.Origin(name, epoch), Kind: ledger.KindAccess,
			Subject: ledger.BodySubject{Code: "80078750587", Salt: [32]byte{3}},
			Scope:   "hub", Agency: "cons", RecordedAt: recorded.UnixMilli(),
			Assurance: ledger.Assurance{Profile: ledger.ProfileVoucher, Voucher: ledger.VoucherCheck{Alg: "RS256", Kid: "k", Issuer: "i"}, Flags: []string{}},
			Decision:  []byte(`{"effect":"recorded"}`),
		},
	}
}

// check makes the event and judges it.
func (e *event) check(t *testing.T, c *opened.Checker) (*opened.Event, []ledger.Problem) {
	t.Helper()
	tree, err := ledger.NewSubjectTree([]ledger.SaltedSubject{{Subject: "80078750587", Salt: [32]byte{3}}})
	if err != nil {
		t.Fatal(err)
	}
	if e.receipt.Subjects.Count == 0 {
		e.receipt.Subjects = ledger.SubjectCommitment{Count: 1, Root: ledger.Hex(tree.Root())}
	}
	kid := e.kid
	if kid == "" {
		kid = key(t, e.signer).Kid
	}
	e.body.Receipt, err = ledger.SignReceipt(&e.receipt, kid, signer(e.signer))
	if err != nil {
		t.Fatal(err)
	}
	body, err := ledger.FormatBody(&e.body)
	if err != nil {
		t.Fatal(err)
	}
	nonce := [32]byte{4}
	leaf := ledger.Event{Epoch: epoch, Commitment: ledger.BodyCommitment(&nonce, body)}
	if e.leaf != nil {
		e.leaf(&leaf)
	}
	return c.Check(e.index, leaf, &nonce, body)
}

func TestCounts(t *testing.T) {
	shard := newShard(t)
	tests := map[string]func(*event){
		"a provider's":                      func(*event) {},
		"a consumer's":                      func(e *event) { e.consumer() },
		"deferred":                          func(e *event) { e.deferred(t, order()) },
		"at the instant of the head before": func(e *event) { e.body.RecordedAt = recorded.Add(-time.Second).UnixMilli() },
		"at the instant of the head after":  func(e *event) { e.body.RecordedAt = recorded.Add(time.Second).UnixMilli() },
		"after the last head": func(e *event) {
			e.index, e.signer, e.body.RecordedAt = nextAt+1, "hub 2", recorded.Add(time.Hour).UnixMilli()
		},
		"signed before its key was revoked":   func(e *event) { e.index = revokedAt - 1 },
		"signed with the key that came later": func(e *event) { e.index, e.signer = secondAt+1, "hub 2" },
		"a correction":                        func(e *event) { e.states(ledger.KindCorrection) },
		"a consumer's correction":             func(e *event) { e.consumer(); e.states(ledger.KindCorrection) },
		"a correction of what is deferred": func(e *event) {
			e.states(ledger.KindCorrection)
			e.body.Scope = ledger.ScopeDeferred
		},
		"of a session":                  func(e *event) { e.inSession(openedAt+4, 1) },
		"of a session that is open yet": func(e *event) { e.inSession(closedAt-1, 3) },
		"of a session that is closed":   func(e *event) { e.inSession(closedAt+1, 2) },
		"a dispute":                     func(e *event) { e.consumer(); e.states(ledger.KindDispute) },
		"deferred to the last instant": func(e *event) {
			o := order()
			o.Until = "2029-01-01T00:00:00Z"
			e.deferred(t, o)
		},
		"a consent": func(e *event) {
			e.consumer()
			e.body.Kind, e.body.Scope, e.body.Consent = ledger.KindConsentGiven, ledger.ScopeConsent, []byte(`{}`)
		},
		"a look-up": func(e *event) {
			e.consumer()
			e.body.Kind, e.body.Scope = ledger.KindLookUp, ledger.ScopeLedger
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			e := newEvent()
			change(e)
			got, problems := e.check(t, opened.NewChecker(shard))
			if got == nil || len(problems) > 0 {
				t.Fatalf("doesn't count: %v", problems)
			}
			if got.Receipt.JTI != e.receipt.JTI || got.Body.Agency != "cons" {
				t.Errorf("another event: %s, %s", got.Receipt.JTI, got.Body.Agency)
			}
		})
	}
}

// states makes the event a statement on another receipt of its issuer, or of the hub.
func (e *event) states(kind string) {
	k, _ := ledger.KindOf(kind)
	e.body.Kind = kind
	r := &e.receipt
	r.EService, r.PurposeID, r.Pair = "", "", ledger.Hex{}
	r.Statement = &ledger.Statement{Kind: k.Statement, Receipt: r.Iss + "/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a10"}
	if k.Role == ledger.RoleConsumer {
		r.Statement.Receipt = "hub/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a10"
	}
	e.body.Assurance = ledger.Assurance{Profile: ledger.ProfileRequest, Flags: []string{}}
}

func order() ledger.Deferral {
	return ledger.Deferral{
		Aud: name, Iss: "prov", JTI: "0b5f3c52-6f0d-4a39-9d0c-0a4c4a3f3f10", Reference: "art. 329 c.p.p., decreto 17/2026", Until: "2027-06-30T00:00:00Z",
	}
}

// deferred puts the event off under an order that prov signs.
func (e *event) deferred(t *testing.T, o ledger.Deferral) {
	t.Helper()
	compact, err := ledger.SignDeferral(&o, key(t, "prov 1").Kid, signer("prov 1"))
	if err != nil {
		t.Fatal(err)
	}
	e.body.Scope, e.body.Deferral, e.receipt.Deferral = ledger.ScopeDeferred, compact, ledger.Hex(ledger.DeferralDigest(compact))
}

// inSession makes the event one of the hub's session.
func (e *event) inSession(index uint64, number int) {
	if e.index = index; index > revokedAt {
		e.signer = "hub 2"
	}
	e.receipt.LegalBasis, e.receipt.BreakGlass = "A6-1-d", &ledger.BreakGlass{Session: session, Number: number}
	if number > 1 {
		e.receipt.BreakGlass.Previous = ledger.Hex{3}
	}
}

// consumer makes the event one that the consumer alone reports.
func (e *event) consumer() {
	e.receipt.Iss, e.receipt.Role, e.signer = "cons", ledger.RoleConsumer, "cons 1"
	e.body.Scope = ledger.ScopeReported
}

func TestDoesNotCount(t *testing.T) {
	shard := newShard(t)
	tests := []struct {
		name, code string
		change     func(*event)
	}{
		{"another epoch in the leaf", "other_epoch", func(e *event) { e.leaf = func(l *ledger.Event) { l.Epoch++ } }},
		{"another commitment", "commitment_mismatch", func(e *event) { e.leaf = func(l *ledger.Event) { l.Commitment[0] ^= 1 } }},
		{"another origin", "wrong_origin", func(e *event) { e.body.Origin = "altro.example/2026" }},
		{"another ledger's receipt", "wrong_audience", func(e *event) { e.receipt.Aud = "altro.example" }},
		{"an unknown key", "key_unknown", func(e *event) { e.signer = "nobody" }},
		{"a key that comes later", "key_unknown", func(e *event) { e.signer = "hub 2" }},
		{"a key revoked before", "key_revoked", func(e *event) { e.index = revokedAt + 1 }},
		{"another body's key", "key_unknown", func(e *event) { e.signer = "cons 1" }},
		{"a signature by another key", "bad_signature", func(e *event) {
			k, err := jws.NewKey("", signer("hub 1").Public())
			if err == nil {
				e.signer, e.kid = "cons 1", k.Kid
			}
		}},
		{"another subject", "subject_mismatch", func(e *event) { e.body.Subject.Code = "80185250588" }},
		{"another salt", "subject_mismatch", func(e *event) { e.body.Subject.Salt[0]++ }},
		{"another position", "subject_mismatch", func(e *event) { e.body.Subject.Position = 1 }},
		{"another root", "subject_mismatch", func(e *event) { e.receipt.Subjects = ledger.SubjectCommitment{Count: 1, Root: ledger.Hex{9}} }},
		{"another agency", "wrong_agency", func(e *event) { e.body.Agency = "prov" }},
		{"reported by the consumer into the hub's scope", "wrong_scope", func(e *event) { e.consumer(); e.body.Scope = "hub" }},
		{"before the scope was recorded", "no_scope", func(e *event) { e.index = scopeAt }},
		{"for a provider it doesn't speak for", "no_scope", func(e *event) { e.receipt.Provider = "cons" }},
		{"deferred by the consumer", "wrong_scope", func(e *event) { e.consumer(); e.body.Scope = ledger.ScopeDeferred }},
		{"reported, though the hub signed", "wrong_scope", func(e *event) { e.body.Scope = ledger.ScopeReported }},
		{"a consent in the hub's scope", "wrong_scope", func(e *event) {
			e.consumer()
			e.body.Kind, e.body.Scope, e.body.Consent = ledger.KindConsentGiven, "hub", []byte(`{}`)
		}},
		{"a consent signed by another than the agency", "wrong_issuer", func(e *event) {
			e.body.Kind, e.body.Scope, e.body.Consent = ledger.KindConsentGiven, ledger.ScopeConsent, []byte(`{}`)
		}},
		{"a look-up signed by another", "wrong_issuer", func(e *event) { e.body.Kind, e.body.Scope = ledger.KindLookUp, ledger.ScopeLedger }},
		{"before its session was opened", "no_session", func(e *event) { e.inSession(openedAt, 1) }},
		{"of another session", "no_session", func(e *event) {
			e.inSession(openedAt+4, 1)
			e.receipt.BreakGlass.Session = "0f9e7c1a-5b1d-4a86-9f0e-2f4c3c1a7b56"
		}},
		{"of a session that ended before", "no_session", func(e *event) { e.inSession(closedAt+1, 3) }},
		{"before the head before", "before_head", func(e *event) { e.body.RecordedAt = recorded.Add(-time.Second).UnixMilli() - 1 }},
		{"after the head after", "after_head", func(e *event) { e.body.RecordedAt = recorded.Add(time.Second).UnixMilli() + 1 }},
		{"in another year", "other_year", func(e *event) { e.body.RecordedAt = recorded.AddDate(1, 0, 0).UnixMilli() }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := newEvent()
			test.change(e)
			_, problems := e.check(t, opened.NewChecker(shard))
			for _, p := range problems {
				if p.Code == test.code {
					return
				}
			}
			t.Errorf("expected %s, found %v", test.code, problems)
		})
	}
}

// A list's events share a receipt, whose key can be revoked between two of them.
func TestSameReceipt(t *testing.T) {
	c := opened.NewChecker(newShard(t))
	e := newEvent()
	if _, problems := e.check(t, c); len(problems) > 0 {
		t.Fatal(problems)
	}
	e.index = revokedAt + 1
	if _, problems := e.check(t, c); len(problems) != 1 || problems[0].Code != "key_revoked" {
		t.Errorf("the same receipt after its key was revoked: %v", problems)
	}
	e = newEvent()
	e.receipt.Purpose = "Altro"
	if _, problems := e.check(t, c); len(problems) > 0 {
		t.Errorf("another receipt: %v", problems)
	}
}

func TestOnce(t *testing.T) {
	c := opened.NewChecker(newShard(t))
	first, _ := newEvent().check(t, c)
	again, _ := newEvent().check(t, c)
	if first.Once() != again.Once() {
		t.Error("one receipt and subject, two names")
	}
	e := newEvent()
	e.receipt.JTI = "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a12"
	if other, _ := e.check(t, c); other.Once() == first.Once() {
		t.Error("two receipts, one name")
	}
}
