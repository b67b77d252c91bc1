// SPDX-License-Identifier: EUPL-1.2

package registry

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

const name = "registro.example"

type signer struct {
	key     jws.Key
	private crypto.Signer
}

func newSigner(t testing.TB, kid string) signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{jws.Key{Kid: kid, Alg: "ES256", Public: private.Public()}, private}
}

func (s signer) record(t testing.TB, body string, by *signer) []byte {
	t.Helper()
	jwk, err := jws.FormatKey(s.key)
	if err != nil {
		t.Fatal(err)
	}
	k := Key{Body: body, Kid: s.key.Kid, JWK: jwk, Basis: BasisOperator}
	if by != nil {
		print, err := jws.Thumbprint(s.key.Public)
		if err != nil {
			t.Fatal(err)
		}
		statement, err := json.Marshal(KeyStatement{name, body, s.key.Kid, print})
		if err != nil {
			t.Fatal(err)
		}
		k.Basis = BasisSigned
		if k.Proof, err = jws.Sign(KeyProofType, statement, by.key.Kid, by.private); err != nil {
			t.Fatal(err)
		}
	}
	return format(t, k)
}

func format(t testing.TB, record any) []byte {
	t.Helper()
	b, err := FormatRecord(record)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func apply(t testing.TB, r *Registry, index uint64, record []byte) {
	t.Helper()
	if err := r.Check(record); err != nil {
		t.Fatalf("check of the record at %d: %v", index, err)
	}
	if err := r.Apply(index, record); err != nil {
		t.Fatalf("record at %d: %v", index, err)
	}
}

func refused(t *testing.T, r *Registry, record []byte, code string) {
	t.Helper()
	before := r.Version()
	var p *ledger.Problem
	if err := r.Check(record); !errors.As(err, &p) || p.Code != code {
		t.Errorf("check: got %v, want code %s", err, code)
	}
	if r.Version() != before {
		t.Error("a refused record changed the registry")
	}
}

// TestLogOrderDecides: a key counts after its record and until its revocation,
// whatever anybody's clock says.
func TestLogOrderDecides(t *testing.T) {
	r := New(name)
	first, second, foreign := newSigner(t, "k1"), newSigner(t, "k2"), newSigner(t, "k9")
	apply(t, r, 1, format(t, Body{ID: "c_a944", Name: "Comune di Bologna"}))
	apply(t, r, 2, format(t, Body{ID: "inps", Name: "INPS"}))
	apply(t, r, 3, first.record(t, "c_a944", nil))
	refused(t, r, first.record(t, "c_a944", nil), "key_repeated")
	refused(t, r, newSigner(t, "x").record(t, "c_zzzz", nil), "unknown_body")
	refused(t, r, second.record(t, "c_a944", &foreign), "bad_proof")
	apply(t, r, 4, second.record(t, "c_a944", &first))
	apply(t, r, 9, format(t, KeyRevoked{Body: "c_a944", Kid: "k1", Reason: "rotation"}))
	refused(t, r, format(t, KeyRevoked{Body: "c_a944", Kid: "k1"}), "unknown_key")
	refused(t, r, newSigner(t, "k3").record(t, "c_a944", &first), "bad_proof")
	refused(t, r, first.record(t, "c_a944", nil), "key_repeated")

	for _, c := range []struct {
		body, kid string
		at        uint64
		want      error
	}{
		{"c_a944", "k1", 3, ErrUnknownKey}, {"c_a944", "k1", 4, nil}, {"c_a944", "k1", 9, nil}, {"c_a944", "k1", 10, ErrRevokedKey},
		{"c_a944", "k2", 10, nil}, {"c_a944", "k9", 10, ErrUnknownKey}, {"inps", "k2", 10, ErrUnknownKey},
	} {
		if _, err := r.Key(c.body, c.kid, c.at); !errors.Is(err, c.want) {
			t.Errorf("key %s of %s at %d: got %v, want %v", c.kid, c.body, c.at, err, c.want)
		}
	}
	keys := r.Keys("c_a944")
	if len(keys) != 2 || keys[0].Basis != BasisOperator || !keys[0].Revoked || keys[1].Basis != BasisSigned || keys[1].Revoked {
		t.Errorf("keys: %+v", keys)
	}
}

// TestProofIsForThisKey: a statement about another key, body or ledger vouches
// for nothing.
func TestProofIsForThisKey(t *testing.T) {
	r := New(name)
	first, second := newSigner(t, "k1"), newSigner(t, "k2")
	apply(t, r, 1, format(t, Body{ID: "c_a944", Name: "Comune di Bologna"}))
	apply(t, r, 2, first.record(t, "c_a944", nil))
	print, _ := jws.Thumbprint(second.key.Public)
	jwk, _ := jws.FormatKey(second.key)
	for _, s := range []KeyStatement{
		{"altro.example", "c_a944", "k2", print}, {name, "inps", "k2", print}, {name, "c_a944", "k3", print}, {name, "c_a944", "k2", "AAAA"},
	} {
		payload, _ := json.Marshal(s)
		proof, err := jws.Sign(KeyProofType, payload, "k1", first.private)
		if err != nil {
			t.Fatal(err)
		}
		refused(t, r, format(t, Key{Body: "c_a944", Kid: "k2", JWK: jwk, Basis: BasisSigned, Proof: proof}), "bad_proof")
	}
	payload, _ := json.Marshal(KeyStatement{name, "c_a944", "k2", print})
	wrongType, err := jws.Sign("JWT", payload, "k1", first.private)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, r, format(t, Key{Body: "c_a944", Kid: "k2", JWK: jwk, Basis: BasisSigned, Proof: wrongType}), "bad_proof")
	refused(t, r, format(t, Key{Body: "c_a944", Kid: "k2", JWK: jwk, Basis: BasisSigned}), "bad_basis")
	refused(t, r, format(t, Key{Body: "c_a944", Kid: "k2", JWK: jwk, Basis: "pdnd"}), "bad_basis")
}

func TestScope(t *testing.T) {
	r := New(name)
	for i, id := range []string{"inps", "c_a944", "c_h501"} {
		apply(t, r, uint64(i+1), format(t, Body{ID: id, Name: id}))
	}
	apply(t, r, 5, format(t, Scope{ID: "inps", Providers: []string{"inps", "c_a944"}}))
	apply(t, r, 8, format(t, Scope{ID: "inps", Providers: []string{"inps"}}))
	for _, c := range []struct {
		iss, provider, consumer string
		at                      uint64
		want                    string
	}{
		{"inps", "inps", "c_h501", 5, ""}, {"inps", "inps", "c_h501", 6, "inps"},
		{"inps", "c_a944", "c_h501", 8, "inps"}, {"inps", "c_a944", "c_h501", 9, ""},
		{"c_h501", "inps", "c_h501", 9, "+reported"}, {"c_h501", "inps", "c_a944", 9, ""},
		{"inps", "c_h501", "inps", 9, "+reported"},
	} {
		got, err := r.Scope(c.iss, c.provider, c.consumer, c.at)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("scope of %s for %s, consumer %s, at %d: got %q, %v, want %q", c.iss, c.provider, c.consumer, c.at, got, err, c.want)
		}
	}
	refused(t, r, format(t, Scope{ID: "c_zzzz"}), "unknown_body")
	refused(t, r, format(t, Scope{ID: "inps", Providers: []string{"inps", "inps"}}), "repeated")
	refused(t, r, format(t, Scope{ID: "+ledger"}), "bad_id")
	refused(t, r, []byte(`{"kind":"scope","id":"inps","providers":[],"note":"x","note":"y"}`), "syntax")
	apply(t, r, 9, []byte(`{"kind":"scope","Kind":"body","note":{"id":"x"},"id":"inps","providers":["c_a944"]}`))
	if got, err := r.Scope("inps", "c_a944", "c_h501", 10); got != "inps" {
		t.Errorf("of a scope with other members: %q, %v", got, err)
	}
	apply(t, r, 9, []byte(`{"kind":"scope","id":"inps"}`))
	if got, err := r.Scope("inps", "c_a944", "c_h501", 10); err == nil {
		t.Errorf("a scope without providers speaks as %q", got)
	}
	// A reader follows what the log says all the same.
	if err := r.Apply(10, format(t, Scope{ID: "c_zzzz"})); err != nil {
		t.Errorf("a scope of an unregistered body in the log: %v", err)
	}
}

func TestTenantOfOneBody(t *testing.T) {
	r := New(name)
	const tenant = "53b40136-65f2-424b-acfb-7fae17e35c60"
	apply(t, r, 1, format(t, Body{ID: "inps", Name: "INPS", Tenant: tenant}))
	refused(t, r, format(t, Body{ID: "inail", Name: "INAIL", Tenant: tenant}), "tenant_taken")
	apply(t, r, 2, format(t, Body{ID: "inps", Name: "INPS"}))
	apply(t, r, 3, format(t, Body{ID: "inail", Name: "INAIL", Tenant: tenant}))
}

func TestScopesAreBounded(t *testing.T) {
	r := New(name)
	for i := range MaxScopes + 1 {
		id := fmt.Sprintf("b%d", i)
		apply(t, r, uint64(2*i+1), format(t, Body{ID: id, Name: id}))
		scope := format(t, Scope{ID: id, Providers: []string{id}})
		if i == MaxScopes {
			refused(t, r, scope, "too_many")
			continue
		}
		apply(t, r, uint64(2*i+2), scope)
	}
}

// TestOtherRecordsPass: records that are no business of the registry change
// nothing and are no error.
func TestOtherRecordsPass(t *testing.T) {
	r := New(name)
	apply(t, r, 1, []byte(`{"kind":"weather","version":1}`))
	if r.Version() != 0 {
		t.Error("a foreign record changed the registry")
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"kind":"body","id":"inps","name":"INPS","tenant":"53b40136-65f2-424b-acfb-7fae17e35c60"}`))
	f.Add([]byte(`{"kind":"scope","id":"inps","providers":["inps"]}`))
	f.Add(format(f, LogKey{Origin: name + "/2027", VKey: newVKey(f, name+"/2027")}))
	f.Add(checkRecord(f, newSigner(f, "k"), sampleCheck()))
	f.Add(sessionRecord(f, newSigner(f, "k"), sampleOpened()))
	f.Add(sessionRecord(f, newSigner(f, "k"), sampleClosed()))
	f.Add([]byte(`{"kind":"key-revoked","body":"inps","kid":"k","reason":"r"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRecord(data)
		if err != nil || r == nil {
			return
		}
		again, err := FormatRecord(r)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := ParseRecord(again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		twice, err := FormatRecord(parsed)
		if err != nil || !bytes.Equal(again, twice) {
			t.Errorf("%s re-encodes as %s", again, twice)
		}
	})
}
