// SPDX-License-Identifier: EUPL-1.2

package registry

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

var update = flag.Bool("update", false, "make the vectors again")

const vectorsFile = "testdata/vectors-records.json"

// vectors are the records of one shard in log order, from index 1 on, and what
// a reader makes of each.
type vectors struct {
	Note    string         `json:"note"`
	Ledger  string         `json:"ledger"`
	Secrets []vectorSecret `json:"secrets"`
	Records []vectorRecord `json:"records"`
	Keys    []vectorKey    `json:"keys_at"`
	Scopes  []vectorScope  `json:"scopes_at"`
}

type vectorSecret struct {
	Kid        string `json:"kid"`
	Alg        string `json:"alg"`
	Seed       string `json:"seed"` // Ed25519 seed, or the P-256 scalar, hex
	Thumbprint string `json:"thumbprint"`
}

// vectorRecord has an expected code where the record changes nothing.
type vectorRecord struct {
	Why   string `json:"why"`
	Text  string `json:"text"`
	Code  string `json:"code,omitempty"`
	Where string `json:"where,omitempty"`
}

type vectorKey struct {
	Body   string `json:"body"`
	Kid    string `json:"kid"`
	At     uint64 `json:"at"`
	Expect string `json:"expect"` // good, unknown or revoked
}

type vectorScope struct {
	Iss      string `json:"iss"`
	Provider string `json:"provider"`
	Consumer string `json:"consumer"`
	At       uint64 `json:"at"`
	Expect   string `json:"expect"` // the scope, "" where the receipt is refused
}

// TestVectors goes through the records as a reader of the log would.
func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	data, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	r := New(v.Ledger)
	for i, rec := range v.Records {
		err := r.Apply(uint64(i+1), []byte(rec.Text))
		var p *ledger.Problem
		switch {
		case rec.Code == "" && err != nil:
			t.Errorf("%d, %s: %v", i+1, rec.Why, err)
		case rec.Code != "" && (!errors.As(err, &p) || p.Code != rec.Code || p.Where != rec.Where):
			t.Errorf("%d, %s: got %v, want %s at %s", i+1, rec.Why, err, rec.Code, rec.Where)
		}
	}
	for _, k := range v.Keys {
		_, err := r.Key(k.Body, k.Kid, k.At)
		got := "good"
		if errors.Is(err, ErrUnknownKey) {
			got = "unknown"
		} else if errors.Is(err, ErrRevokedKey) {
			got = "revoked"
		}
		if got != k.Expect {
			t.Errorf("key %s of %s at %d: got %s, want %s", k.Kid, k.Body, k.At, got, k.Expect)
		}
	}
	for _, s := range v.Scopes {
		if got, _ := r.Scope(s.Iss, s.Provider, s.Consumer, s.At); got != s.Expect {
			t.Errorf("scope of %s for %s, consumer %s, at %d: got %q, want %q", s.Iss, s.Provider, s.Consumer, s.At, got, s.Expect)
		}
	}
}

// fixedSigner has a key made from a text, for these vectors only.
func fixedSigner(t *testing.T, kid string, ec bool) (signer, vectorSecret) {
	t.Helper()
	seed := sha256.Sum256([]byte("vector/" + kid))
	s := signer{key: jws.Key{Kid: kid, Alg: "EdDSA"}}
	if ec {
		private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
		if err != nil {
			t.Fatal(err)
		}
		s.key.Alg, s.private = "ES256", private
	} else {
		s.private = ed25519.NewKeyFromSeed(seed[:])
	}
	s.key.Public = s.private.Public()
	print, err := jws.Thumbprint(s.key.Public)
	if err != nil {
		t.Fatal(err)
	}
	return s, vectorSecret{kid, s.key.Alg, hex.EncodeToString(seed[:]), print}
}

func writeVectors(t *testing.T) {
	first, one := fixedSigner(t, "k1", false)
	second, two := fixedSigner(t, "k2", true)
	third, three := fixedSigner(t, "k3", false)
	v := vectors{
		Note:   "Records of one shard from log index 1 on; those with a code change nothing. Throw-away keys. CC0 1.0.",
		Ledger: name, Secrets: []vectorSecret{one, two, three},
	}
	add := func(why string, text []byte, code, where string) {
		v.Records = append(v.Records, vectorRecord{why, string(text), code, where})
	}
	add("a body", format(t, Body{ID: "inps", Name: "INPS", Tenant: "53b40136-65f2-424b-acfb-7fae17e35c60"}), "", "")
	add("another body", format(t, Body{ID: "c_a944", Name: "Comune di Bologna"}), "", "")
	add("the tenant of another body", format(t, Body{ID: "inail", Name: "INAIL", Tenant: "53b40136-65f2-424b-acfb-7fae17e35c60"}), "tenant_taken", "/tenant")
	add("an id in upper case", []byte(`{"kind":"body","id":"INPS","name":"INPS"}`), "bad_id", "/id")
	add("a member that no body has", []byte(`{"kind":"body","id":"inail","name":"INAIL","note":"x"}`), "", "")
	add("a first key, on the operator's word", first.record(t, "c_a944", nil), "", "")
	add("the same kid again", first.record(t, "c_a944", nil), "key_repeated", "/kid")
	add("a key of a body that isn't registered", third.record(t, "c_h501", nil), "unknown_body", "/body")
	add("a second key, signed by the first", second.record(t, "c_a944", &first), "", "")
	add("a third, signed by a key that isn't the body's", third.record(t, "c_a944", &third), "bad_proof", "/proof")
	add("basis signed without a proof", bytes.Replace(third.record(t, "c_a944", nil), []byte(BasisOperator), []byte(BasisSigned), 1), "bad_basis", "/basis")
	add("the first key revoked", format(t, KeyRevoked{Body: "c_a944", Kid: "k1", Reason: "rotation"}), "", "")
	add("revoked again", format(t, KeyRevoked{Body: "c_a944", Kid: "k1"}), "unknown_key", "/kid")
	add("a third, signed by the revoked key", third.record(t, "c_a944", &first), "bad_proof", "/proof")
	add("a scope", format(t, Scope{ID: "inps", Providers: []string{"inps", "c_a944"}}), "", "")
	add("a provider twice", []byte(`{"kind":"scope","id":"inps","providers":["inps","inps"]}`), "repeated", "/providers/1")
	add("a reserved word", []byte(`{"kind":"scope","id":"+ledger","providers":[]}`), "bad_id", "/id")
	add("the scope's providers replaced", format(t, Scope{ID: "inps", Providers: []string{"inps"}}), "", "")
	add("a record of another kind", []byte(`{"kind":"statistics","month":"2026-11"}`), "", "")
	add("no member but the kind", []byte(`{"kind":"policy","id":"not-a-scope"}`), "syntax", "/version")
	add("a scope without providers", []byte(`{"kind":"scope","id":"inps"}`), "", "")
	v.Keys = []vectorKey{
		{"c_a944", "k1", 6, "unknown"}, {"c_a944", "k1", 7, "good"}, {"c_a944", "k1", 12, "good"}, {"c_a944", "k1", 13, "revoked"},
		{"c_a944", "k2", 9, "unknown"}, {"c_a944", "k2", 10, "good"}, {"c_a944", "k3", 99, "unknown"}, {"inps", "k1", 99, "unknown"},
	}
	v.Scopes = []vectorScope{
		{"inps", "c_a944", "c_h501", 15, ""}, {"inps", "c_a944", "c_h501", 16, "inps"}, {"inps", "c_a944", "c_h501", 18, "inps"},
		{"inps", "c_a944", "c_h501", 19, ""}, {"c_a944", "inps", "c_a944", 19, "+reported"}, {"c_a944", "inps", "c_h501", 19, ""},
		{"inps", "inps", "c_h501", 21, "inps"}, {"inps", "inps", "c_h501", 22, ""},
	}
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vectorsFile, append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
