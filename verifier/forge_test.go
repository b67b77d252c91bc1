// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

// forgery is what a lying ledger puts into its log and proves with its key: as
// made it is right, and a test changes one thing.
type forgery struct {
	receipt  ledger.Receipt
	kid      string // in the receipt's header
	signer   crypto.Signer
	compact  string // instead of a signed receipt, if not ""
	subjects []ledger.SaltedSubject
	record   any // that registers the key
	jwk      json.RawMessage

	late      bool // the record stands after the events
	leafEpoch uint32
	keyEpoch  uint32
	sameTags  bool
	body      func(i int, b *ledger.Body) // changes a body
	answer    func(a *ledger.Answer)
}

var forgers = []crypto.Signer{newSigner(), newSigner()}

func newSigner() crypto.Signer {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

func newForgery(t *testing.T, count int) *forgery {
	t.Helper()
	f := &forgery{kid: "k1", signer: forgers[0], subjects: citizens(count), leafEpoch: 2026, keyEpoch: 2026}
	key, err := jws.NewKey("k1", f.signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	if f.jwk, err = jws.FormatKey(key); err != nil {
		t.Fatal(err)
	}
	f.record = registry.Key{Body: provider, Kid: "k1", JWK: f.jwk, Basis: registry.BasisOperator}
	tree, err := ledger.NewSubjectTree(f.subjects)
	if err != nil {
		t.Fatal(err)
	}
	f.receipt = ledger.Receipt{
		Aud: ledgerName, Iss: provider, JTI: uuid.NewString(), IssuedAt: 1795339800, Role: ledger.RoleProvider,
		Provider: provider, Consumer: consumer, EService: eservice, PurposeID: purposeID, Purpose: "Verifica ISEE",
		LegalBasis: "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e", DataCategories: []string{"https://w3id.org/dpv/pd#Income"},
		Actor: ledger.ActorService, Operation: ledger.Operation{Method: "GET", Path: "/isee"}, OccurredAt: "2026-11-22T09:30:00Z",
		Pair: ledger.Hex{1}, PrivateDigest: ledger.Hex{2}, Subjects: ledger.SubjectCommitment{Count: count, Root: ledger.Hex(tree.Root())},
	}
	return f
}

// make builds log and answer, and gives the log.
func (f *forgery) make(t *testing.T) (*verifiertest.Log, *ledger.Answer) {
	t.Helper()
	if f.compact == "" {
		var err error
		if f.compact, err = ledger.SignReceipt(&f.receipt, f.kid, f.signer); err != nil {
			t.Fatal(err)
		}
	}
	must := func(leaf ledger.Leaf) []byte {
		b, err := ledger.FormatLeaf(leaf)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	record, err := registry.FormatRecord(f.record)
	if err != nil {
		t.Fatal(err)
	}
	keyLeaf := must(ledger.Record{Epoch: f.keyEpoch, JSON: record})
	log := verifiertest.NewLog(origin)
	log.Add(must(ledger.Preamble{Epoch: 2026, Name: ledgerName}))
	if !f.late {
		log.Add(keyLeaf)
	}
	a := &ledger.Answer{ReceiptID: f.receipt.ReceiptID(), Origin: origin, FirstIndex: uint64(len(log.Leaves)), Count: len(f.subjects)}
	for i, s := range f.subjects {
		b := ledger.Body{
			Origin: origin, Kind: ledger.KindAccess, Subject: ledger.BodySubject{Code: s.Subject, Salt: s.Salt, Position: i},
			Scope: provider, Agency: consumer, RecordedAt: time.Date(2026, 11, 22, 9, 30, 1, 0, time.UTC).UnixMilli(), Receipt: f.compact,
			Assurance: ledger.Assurance{Profile: ledger.ProfileVoucher, Voucher: ledger.VoucherCheck{Alg: "RS256", Kid: "pdnd", Issuer: issuer}},
			Decision:  json.RawMessage(`{"effect":"recorded"}`),
		}
		if tree, err := ledger.NewSubjectTree(f.subjects); err == nil {
			b.Subject.Proof = tree.Proof(i)
		}
		if f.body != nil {
			f.body(i, &b)
		}
		body, err := ledger.FormatBody(&b)
		if err != nil {
			t.Fatal(err)
		}
		var nonce [32]byte
		rand.Read(nonce[:])
		e := ledger.Event{Epoch: f.leafEpoch, Commitment: ledger.BodyCommitment(&nonce, body)}
		if !f.sameTags {
			rand.Read(e.SubjectTag[:])
		}
		rand.Read(e.AgencyTag[:])
		leaf := must(e)
		a.Entries = append(a.Entries, ledger.AnswerEntry{Index: uint64(len(log.Leaves)), Leaf: leaf, Nonce: nonce[:], Body: body})
		log.Add(leaf)
	}
	a.Key = &ledger.AnswerKey{Index: 1, Leaf: keyLeaf}
	if f.late {
		a.Key.Index = uint64(len(log.Leaves))
		log.Add(keyLeaf)
	}
	log.Add(must(ledger.Head{Epoch: 2026}))
	a.Checkpoint, a.Key.Proof = string(log.Checkpoint()), log.Proof(a.Key.Index)
	for i := range a.Entries {
		a.Entries[i].Proof = log.Proof(a.Entries[i].Index)
	}
	if f.answer != nil {
		f.answer(a)
	}
	return log, a
}

// TestForged: what a ledger can prove to be in its log must still be right.
func TestForged(t *testing.T) {
	on := func(f func(b *ledger.Body)) func(*forgery) {
		return func(x *forgery) { x.body = func(_ int, b *ledger.Body) { f(b) } }
	}
	at := func(text string) func(*forgery) {
		instant, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return on(func(b *ledger.Body) { b.RecordedAt = instant.UnixMilli() })
	}
	// byConsumer is a receipt of the consumer alone.
	byConsumer := func(f *forgery) {
		f.receipt.Iss, f.receipt.Role = consumer, ledger.RoleConsumer
		f.record = registry.Key{Body: consumer, Kid: "k1", JWK: f.jwk, Basis: registry.BasisOperator}
		f.body = func(_ int, b *ledger.Body) { b.Scope = ledger.ScopeReported }
	}
	also := func(list ...func(*forgery)) func(*forgery) {
		return func(f *forgery) {
			for _, change := range list {
				change(f)
			}
		}
	}
	ofKind := func(kind, scope string) func(*forgery) {
		return on(func(b *ledger.Body) {
			b.Kind, b.Scope = kind, scope
			if k, _ := ledger.KindOf(kind); k.Consent {
				b.Consent = json.RawMessage(`{}`)
			}
		})
	}
	signed, inclusion, body, subject := verifier.CheckSignature, verifier.CheckInclusion, verifier.CheckBody, verifier.CheckSubject
	for name, c := range map[string]struct {
		count  int
		change func(f *forgery)
		want   string // the check that fails, "" if all is proven
	}{
		"right":                     {1, func(*forgery) {}, ""},
		"right, two":                {2, func(*forgery) {}, ""},
		"right, five":               {5, func(*forgery) {}, ""},
		"denied":                    {1, ofKind(ledger.KindDenied, provider), ""},
		"deferred":                  {1, ofKind(ledger.KindAccess, ledger.ScopeDeferred), ""},
		"reported by the consumer":  {1, byConsumer, ""},
		"a consent":                 {1, also(byConsumer, ofKind(ledger.KindConsentGiven, ledger.ScopeConsent)), ""},
		"a look-up":                 {1, also(byConsumer, ofKind(ledger.KindLookUp, ledger.ScopeLedger)), ""},
		"first instant of the year": {1, at("2026-01-01T00:00:00Z"), ""},
		"last instant of the year":  {1, at("2026-12-31T23:59:59.999Z"), ""},
		"a key an earlier one signed": {1, func(f *forgery) {
			f.record = registry.Key{Body: provider, Kid: "k1", JWK: f.jwk, Basis: registry.BasisSigned, Proof: "a.b.c"}
		}, ""},

		"an instant before the year": {1, at("2025-12-31T23:59:59.999Z"), body},
		"an instant after the year":  {1, at("2027-01-01T00:00:00Z"), body},
		"a body of another log":      {1, on(func(b *ledger.Body) { b.Origin = "registro.example/2027" }), body},
		"bodies of two instants":     {2, func(f *forgery) { f.body = func(i int, b *ledger.Body) { b.RecordedAt += int64(i) } }, body},
		"bodies of two scopes":       {2, func(f *forgery) { f.body = func(i int, b *ledger.Body) { b.Scope = []string{provider, "inail"}[i] } }, body},
		"bodies of two decisions": {2, func(f *forgery) {
			f.body = func(i int, b *ledger.Body) {
				if i == 1 {
					b.Decision = json.RawMessage(denial)
				}
			}
		}, body},
		"a leaf of another year":   {1, func(f *forgery) { f.leafEpoch = 2025 }, inclusion},
		"one tag twice":            {2, func(f *forgery) { f.sameTags = true }, inclusion},
		"for another ledger":       {1, func(f *forgery) { f.receipt.Aud = "altro.example" }, signed},
		"for the log":              {1, func(f *forgery) { f.receipt.Aud = origin }, signed},
		"another agency":           {1, on(func(b *ledger.Body) { b.Agency = "c_f205" }), signed},
		"the provider as agency":   {1, on(func(b *ledger.Body) { b.Agency = provider }), signed},
		"another's scope":          {1, on(func(b *ledger.Body) { b.Scope = "inail" }), signed},
		"reported by the provider": {1, ofKind(ledger.KindAccess, ledger.ScopeReported), signed},
		"an access among consents": {1, ofKind(ledger.KindAccess, ledger.ScopeConsent), signed},
		"a consent among accesses": {1, also(byConsumer, ofKind(ledger.KindConsentGiven, consumer)), signed},
		"a consent of another":     {1, ofKind(ledger.KindConsentWithdrawn, ledger.ScopeConsent), signed},
		"a look-up of another":     {1, ofKind(ledger.KindLookUp, ledger.ScopeLedger), signed},
		"a look-up among accesses": {1, also(byConsumer, ofKind(ledger.KindLookUp, ledger.ScopeReported)), signed},
		"the consumer as provider": {1, also(byConsumer, func(f *forgery) { f.receipt.Role = ledger.RoleProvider }), signed},
		"the provider as consumer": {1, func(f *forgery) { f.receipt.Role = ledger.RoleConsumer }, signed},
		"the consumer's own scope": {1, also(byConsumer, on(func(b *ledger.Body) { b.Scope = consumer })), signed},
		"another key's signature":  {1, func(f *forgery) { f.signer = forgers[1] }, signed},
		"another kid":              {1, func(f *forgery) { f.kid = "k2" }, signed},
		"the key of another body": {1, func(f *forgery) {
			f.record = registry.Key{Body: consumer, Kid: "k1", JWK: f.jwk, Basis: registry.BasisOperator}
		}, signed},
		"a key registered too late":      {1, func(f *forgery) { f.late = true }, signed},
		"a key that says it was earlier": {1, func(f *forgery) { f.late, f.answer = true, func(a *ledger.Answer) { a.Key.Index = 1 } }, signed},
		"a key of another year":          {1, func(f *forgery) { f.keyEpoch = 2025 }, signed},
		"a revocation for a key":         {1, func(f *forgery) { f.record = registry.KeyRevoked{Body: provider, Kid: "k1"} }, signed},
		"a body for a key":               {1, func(f *forgery) { f.record = registry.Body{ID: provider, Name: "INPS"} }, signed},
		"a record without a key": {1, func(f *forgery) {
			f.record = registry.Key{Body: provider, Kid: "k1", JWK: json.RawMessage("{}"), Basis: registry.BasisOperator}
		}, signed},
		"a key on nobody's word":         {1, func(f *forgery) { f.record = registry.Key{Body: provider, Kid: "k1", JWK: f.jwk, Basis: "signed"} }, signed},
		"no receipt":                     {1, func(f *forgery) { f.compact = "e30.e30.AA" }, signed},
		"more subjects than events":      {1, func(f *forgery) { f.receipt.Subjects.Count = 2 }, subject},
		"fewer subjects than events":     {3, func(f *forgery) { f.receipt.Subjects.Count = 2 }, subject},
		"another root":                   {1, func(f *forgery) { f.receipt.Subjects.Root[0] ^= 1 }, subject},
		"another salt":                   {1, on(func(b *ledger.Body) { b.Subject.Salt[31] ^= 1 }), subject},
		"another citizen":                {3, func(f *forgery) { f.body = func(i int, b *ledger.Body) { b.Subject.Code = f.subjects[0].Subject } }, subject},
		"another place":                  {1, on(func(b *ledger.Body) { b.Subject.Position = 1 }), subject},
		"places swapped":                 {2, func(f *forgery) { f.body = func(i int, b *ledger.Body) { b.Subject.Position = 1 - i } }, subject},
		"a proof too short":              {2, on(func(b *ledger.Body) { b.Subject.Proof = nil }), subject},
		"a proof too long":               {1, on(func(b *ledger.Body) { b.Subject.Proof = []ledger.Hash{{}} }), subject},
		"a receipt that names a citizen": {1, func(f *forgery) { f.receipt.Purpose = "ISEE di " + string(f.subjects[0].Subject) }, subject},
		"a citizen twice": {2, func(f *forgery) {
			f.subjects[1] = f.subjects[0]
			tree, err := ledger.NewSubjectTree(f.subjects[:1])
			if err != nil {
				t.Fatal(err)
			}
			leaf := tree.Root()
			f.receipt.Subjects.Root = ledger.Hex(ledger.HashChildren(leaf, leaf))
			f.body = func(_ int, b *ledger.Body) { b.Subject.Proof = []ledger.Hash{leaf} }
		}, subject},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForgery(t, c.count)
			c.change(f)
			log, a := f.make(t)
			data, err := ledger.FormatAnswer(a)
			if err != nil {
				t.Fatal(err)
			}
			r := verifier.Receipt(data, []note.Verifier{log.Verifier()}, nil)
			var want []string
			if c.want != "" {
				want = []string{c.want}
			}
			if got := failed(r); r.Proven() != (c.want == "") || !slices.Equal(got, want) {
				t.Errorf("proven %v, failed %v, want %v: %v", r.Proven(), got, want, r.Problems())
			}
			for _, p := range r.Problems() {
				for _, s := range f.subjects {
					if strings.Contains(p.Error(), string(s.Subject)) {
						t.Errorf("a problem names a citizen: %s", p.Code)
					}
				}
			}
		})
	}
}

// denial is a decision that is well formed.
const denial = `{"effect":"deny","bundle":"00000000000000000000000000000000000000000000000000000000000000ff","policies":[],` +
	`"facts":{"consumer":"c_a944","kinds":[],"provider":"inps","provider_kinds":[],"categories":["unknown"],"purpose":"unknown",` +
	`"legal_basis":"unknown","actor":"operator","profile":"VOUCHER_ONLY","loa":0,"subjects":2,"late":false,"consent":false,"entitlement":false}}`
