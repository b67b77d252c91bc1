// SPDX-License-Identifier: EUPL-1.2

package intake_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/intake"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/vrf"
)

const (
	name  = "registro.example"
	epoch = 2026

	hub, agency, other = "inps", "c_a944", "c_h501" // hub speaks for itself alone

	hubTenant    = "53b40136-65f2-424b-acfb-7fae17e35c60"
	agencyTenant = "2d6de81f-1111-4111-8111-111111111111"
	client       = "be54418b-1111-4111-8111-111111111111"
	eservice     = "978e5066-7159-42a1-b057-ec7e47525f8b"
	purpose      = "4a153b51-1111-4111-8111-111111111111"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// signers of bodies are on P-256, PDND's on RSA.
var signers = sync.OnceValue(func() map[string]crypto.Signer {
	made := make(map[string]crypto.Signer)
	for _, who := range []string{hub, agency, other, "next"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		made[who] = key
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	made["pdnd"] = key
	return made
})

// world is an Intake with what it looks at.
type world struct {
	*intake.Intake
	registry *registry.Registry
	size     uint64
	recorded map[string]uint64 // index by <iss>/<jti>
	first    *intake.First     // what statements are about
	failure  error             // of looking either up
	keys     *keySource
	now      time.Time
	vrf      *vrf.PrivateKey
}

// keySource has PDND's one key, unless it can't be asked.
type keySource struct{ failure error }

func (s *keySource) Key(_ context.Context, kid string, _ time.Time) (jose.JSONWebKey, error) {
	if s.failure != nil {
		return jose.JSONWebKey{}, s.failure
	}
	if kid != "pdnd" {
		return jose.JSONWebKey{}, pdnd.ErrUnknownKey
	}
	return jose.JSONWebKey{Key: signers()["pdnd"].Public(), KeyID: kid}, nil
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{registry: registry.New(name), recorded: make(map[string]uint64), keys: new(keySource), now: noon, vrf: vrf.NewKey([32]byte{1})}
	w.record(t, registry.Body{ID: hub, Name: "INPS", Tenant: hubTenant})
	w.record(t, registry.Body{ID: agency, Name: "Comune di Bologna", Tenant: agencyTenant})
	w.record(t, registry.Body{ID: other, Name: "Roma Capitale"})
	for _, body := range []string{hub, agency, other} {
		w.addKey(t, body, body)
	}
	w.record(t, registry.Scope{ID: hub, Providers: []string{hub}})
	tokens, err := pdnd.NewChecker(pdnd.Config{Issuers: []string{"interop.pagopa.it"}, PDND: w.keys, Clients: w.keys})
	if err != nil {
		t.Fatal(err)
	}
	w.Intake, err = intake.New(intake.Config{
		Name: name, Epoch: epoch, Registry: w.registry, VRF: w.vrf, Tokens: tokens,
		Recorded: func(_ context.Context, iss, jti string) (uint64, bool, error) {
			index, ok := w.recorded[iss+"/"+jti]
			return index, ok, w.failure
		},
		First: func(context.Context, string, string) (*intake.First, error) { return w.first, w.failure },
		Now:   func() time.Time { return w.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// record appends a record to the log that the registry follows.
func (w *world) record(t testing.TB, record any) {
	t.Helper()
	data, err := registry.FormatRecord(record)
	if err == nil {
		err = w.registry.Apply(w.size, data)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.size++
}

func (w *world) addKey(t testing.TB, body, signer string) jws.Key {
	t.Helper()
	key, err := jws.NewKey("", signers()[signer].Public())
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := jws.FormatKey(key)
	if err != nil {
		t.Fatal(err)
	}
	w.record(t, registry.Key{Body: body, Kid: key.Kid, JWK: jwk, Basis: registry.BasisOperator})
	return key
}

// access is a submission to be.
type access struct {
	receipt  ledger.Receipt
	private  ledger.Private
	subjects []ledger.SaltedSubject
	signer   string
	until    time.Time // of an order by other; zero: none
}

// newAccess is one of the hub's, seen by the agency.
func newAccess(people int) *access {
	a := &access{
		signer: hub,
		receipt: ledger.Receipt{
			Aud: name, Iss: hub, JTI: "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11", IssuedAt: noon.Unix(),
			Role: ledger.RoleProvider, Provider: hub, Consumer: agency, EService: eservice, PurposeID: purpose,
			Purpose: "x", LegalBasis: "x", DataCategories: []string{"x"}, Actor: ledger.ActorOperator,
			Operation: ledger.Operation{Method: "GET", Path: "/x"}, OccurredAt: noon.Format(time.RFC3339),
		},
		private: ledger.Private{Case: "2026/1", Operator: &ledger.Operator{ID: "m.rossi"}},
	}
	for i := range people {
		s := ledger.SaltedSubject{Subject: person(i)}
		rand.Read(s.Salt[:])
		a.subjects = append(a.subjects, s)
	}
	return a
}

// person is the i-th code with a right check character.
func person(i int) ledger.Subject {
	for c := 'A'; c <= 'Z'; c++ {
		if s, err := ledger.ParseSubject(fmt.Sprintf("RSSMRA80A01H%03d%c", i, c)); err == nil {
			return s
		}
	}
	panic("no check character fits")
}

func (a *access) voucher(t testing.TB) string {
	t.Helper()
	at := a.receipt.Occurred().Unix() - 60
	claims, err := json.Marshal(map[string]any{
		"jti": purpose, "iss": "interop.pagopa.it", "aud": "https://api.inps.example", "client_id": client, "sub": client,
		"iat": at, "nbf": at, "exp": at + 600, "purposeId": purpose, "producerId": hubTenant, "consumerId": agencyTenant, "eserviceId": eservice,
	})
	if err != nil {
		t.Fatal(err)
	}
	key := jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: signers()["pdnd"], KeyID: "pdnd"}}
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func (a *access) bytes(t testing.TB) []byte {
	t.Helper()
	sub := &ledger.Submission{Subjects: a.subjects}
	if a.receipt.Statement == nil {
		sub.Voucher = a.voucher(t)
	}
	sub.Private.Salt = sha256.Sum256([]byte(a.receipt.JTI))
	a.private.Voucher = sub.Voucher
	var err error
	if sub.Private.Content, err = ledger.FormatPrivate(&a.private); err != nil {
		t.Fatal(err)
	}
	tree, err := ledger.NewSubjectTree(a.subjects)
	if err != nil {
		t.Fatal(err)
	}
	r := a.receipt
	if r.Statement == nil {
		r.Pair = ledger.Hex(ledger.Pair(purpose, "", a.private.RequestDigest))
	}
	if !a.until.IsZero() {
		order := ledger.Deferral{Aud: name, Iss: other, JTI: purpose, Reference: "x", Until: a.until.Format(time.RFC3339)}
		kid, err := jws.Thumbprint(signers()[other].Public())
		if err == nil {
			sub.Deferral, err = ledger.SignDeferral(&order, kid, signers()[other])
		}
		if err != nil {
			t.Fatal(err)
		}
		r.Deferral = ledger.Hex(ledger.DeferralDigest(sub.Deferral))
	}
	r.PrivateDigest = ledger.Hex(ledger.PrivateDigest(&sub.Private.Salt, sub.Private.Content))
	r.Subjects = ledger.SubjectCommitment{Count: tree.Len(), Root: ledger.Hex(tree.Root())}
	signer := signers()[a.signer]
	kid, err := jws.Thumbprint(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	if sub.Receipt, err = ledger.SignReceipt(&r, kid, signer); err != nil {
		t.Fatal(err)
	}
	raw, err := ledger.FormatSubmission(sub)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
