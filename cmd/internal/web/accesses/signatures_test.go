// SPDX-License-Identifier: EUPL-1.2

package accesses

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// TestSignatures: what was verified is remembered for that token and that key, and for nothing else.
func TestSignatures(t *testing.T) {
	newKey := func(kid string) (*ecdsa.PrivateKey, jws.Key) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, err := jws.NewKey(kid, private.Public())
		if err != nil {
			t.Fatal(err)
		}
		return private, key
	}
	private, key := newKey("k1")
	_, other := newKey("k1") // another key of the same name
	sign := func(jti string) *ledger.SignedReceipt {
		r := &ledger.Receipt{
			Aud: "registro.example", Iss: "inps", JTI: jti, IssuedAt: time.Now().Unix(), Role: ledger.RoleProvider, Provider: "inps", Consumer: "c_a944",
			EService: jti, PurposeID: jti, Purpose: "p", LegalBasis: "b", DataCategories: []string{"c"}, Actor: ledger.ActorService,
			Operation: ledger.Operation{Method: "GET", Path: "/"}, OccurredAt: "2026-11-22T10:00:00Z", Pair: ledger.Hex{1}, PrivateDigest: ledger.Hex{2},
			Subjects: ledger.SubjectCommitment{Count: 1, Root: ledger.Hex{3}},
		}
		compact, err := ledger.SignReceipt(r, key.Kid, private)
		if err != nil {
			t.Fatal(err)
		}
		return parse(t, compact)
	}
	s := newSignatures()
	first, second := sign("6f1c2d3e-52f0-4d0e-9d5e-3f1b7f0f7a11"), sign("6f1c2d3e-52f0-4d0e-9d5e-3f1b7f0f7a12")
	if err := s.verify(first, other); err == nil || s.good.Len() != 0 {
		t.Fatalf("under another key: %v, %d remembered", err, s.good.Len())
	}
	for range 2 {
		if err := s.verify(first, key); err != nil || s.good.Len() != 1 {
			t.Fatalf("%v, %d remembered", err, s.good.Len())
		}
		if err := s.verify(first, other); err == nil {
			t.Error("under another key once it is remembered under its own")
		}
	}
	// The signature of one on the other, and one with its last byte changed.
	at := len(first.Compact) - 86
	mixed := parse(t, second.Compact[:len(second.Compact)-86]+first.Compact[at:])
	changed := parse(t, first.Compact[:at]+"A"+first.Compact[at+1:])
	for name, r := range map[string]*ledger.SignedReceipt{"another's signature": mixed, "another signature": changed} {
		for range 2 {
			if r.Compact != first.Compact && s.verify(r, key) == nil {
				t.Errorf("%s is good", name)
			}
		}
	}
	if s.good.Len() != 1 {
		t.Errorf("%d remembered", s.good.Len())
	}
}

func parse(t *testing.T, compact string) *ledger.SignedReceipt {
	t.Helper()
	r, err := ledger.ParseReceipt(compact)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
