// SPDX-License-Identifier: EUPL-1.2

package registry

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

func sampleCohort() *ledger.Cohort {
	return &ledger.Cohort{
		Aud: "registro.example", Iss: "hub", JTI: "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11", IssuedAt: 1795339800, Provider: "inps", Consumer: "r_emiro",
		EService: "843ac013-941a-4afe-8243-e668142e73e6", PurposeID: "9d1f2a34-7a0b-4c77-8f2e-1f6b1f0c2d3e", Purpose: "cohort-analytics", LegalBasis: "A6-1-e",
		DataCategories: []string{"isee"}, Actor: ledger.ActorService, Operation: ledger.Operation{Method: "POST", Path: "/coorti"},
		OccurredAt: "2026-11-22T09:30:00Z", Pair: ledger.Hex{1}, Size: 1200, Minimum: 50, Selection: ledger.Hex{2},
	}
}

// cohortWorld is a registry with a hub that speaks for inps.
func cohortWorld(t *testing.T) (*Registry, ed25519.PrivateKey, string) {
	t.Helper()
	r := New("registro.example")
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	public, err := jws.NewKey("", key.Public())
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := jws.FormatKey(public)
	if err != nil {
		t.Fatal(err)
	}
	for i, record := range []any{
		Body{ID: "hub", Name: "Hub"}, Body{ID: "inps", Name: "INPS"}, Body{ID: "r_emiro", Name: "Regione"}, Body{ID: "altro", Name: "Altro"},
		Key{Body: "hub", Kid: public.Kid, JWK: jwk, Basis: BasisOperator}, Key{Body: "inps", Kid: public.Kid, JWK: jwk, Basis: BasisOperator},
		Scope{ID: "hub", Providers: []string{"inps"}},
	} {
		applyRecord(t, r, uint64(i+1), record)
	}
	return r, key, public.Kid
}

func applyRecord(t *testing.T, r *Registry, index uint64, record any) {
	t.Helper()
	data, err := FormatRecord(record)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(index, data); err != nil {
		t.Fatal(err)
	}
}

func TestCohort(t *testing.T) {
	r, key, kid := cohortWorld(t)
	record := func(change func(*ledger.Cohort), decision string) []byte {
		t.Helper()
		c := sampleCohort()
		if change != nil {
			change(c)
		}
		statement, err := ledger.SignCohort(c, kid, key)
		if err != nil {
			t.Fatal(err)
		}
		data, err := FormatRecord(Cohort{Statement: statement, Decision: json.RawMessage(decision)})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	const undecided = `{"effect":"recorded"}`
	for _, test := range []struct {
		name     string
		change   func(*ledger.Cohort)
		decision string
		code     string
	}{
		{"another ledger's", func(c *ledger.Cohort) { c.Aud = "altro.example" }, undecided, "wrong_audience"},
		{"an unknown consumer", func(c *ledger.Cohort) { c.Consumer = "nobody" }, undecided, "unknown_body"},
		{"an unknown provider", func(c *ledger.Cohort) { c.Provider = "nobody" }, undecided, "unknown_body"},
		{"of who speaks for another", func(c *ledger.Cohort) { c.Provider = "altro" }, undecided, "no_scope"},
		{"of the consumer itself", func(c *ledger.Cohort) { c.Iss = "r_emiro" }, undecided, "no_scope"},
		{"of who has no scope", func(c *ledger.Cohort) { c.Iss = "inps" }, undecided, "no_scope"},
		{"denied", nil, `{"effect":"deny","bundle":"` + hex64("ab") + `","policies":[],"facts":` + facts + `}`, ledger.CodeDecision},
		{"decided by policies that aren't active", nil, `{"effect":"allow","bundle":"` + hex64("ab") + `","policies":["x"],"facts":` + facts + `}`, ledger.CodeDecision},
	} {
		var p *ledger.Problem
		if err := r.Apply(100, record(test.change, test.decision)); !errors.As(err, &p) || p.Code != test.code {
			t.Errorf("%s: %v, want %s", test.name, err, test.code)
		}
	}
	version := r.Version()
	good := record(nil, undecided)
	if err := r.Check(good); err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(101, good); err != nil {
		t.Fatal(err)
	}
	if r.Version() != version {
		t.Error("a cohort sends checks back that don't rest on it")
	}
	if _, index, ok := r.Recorded("hub/" + sampleCohort().JTI); !ok || index != 101 {
		t.Errorf("recorded at %d, %v", index, ok)
	}
	var p *ledger.Problem
	if err := r.Apply(102, record(func(c *ledger.Cohort) { c.Size = 1300 }, undecided)); !errors.As(err, &p) || p.Code != ledger.CodeRepeated {
		t.Errorf("under one identity another: %v", err)
	}

	// A flipped bit is another's signature, or no statement.
	for i := range good {
		flipped := append([]byte(nil), good...)
		flipped[i] ^= 1
		other, _, _ := cohortWorld(t)
		parsed, _ := ParseRecord(flipped)
		if _, is := parsed.(Cohort); is && other.Apply(101, flipped) == nil {
			t.Fatalf("byte %d flipped, and accepted", i)
		}
	}

	// Under policies the decision is by those that are active.
	applyRecord(t, r, 103, Policy{Version: "1", SHA256: ledger.Hex{0xab}})
	another := func(c *ledger.Cohort) { c.JTI = "6a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11" }
	allow := func(facts string) string {
		return `{"effect":"allow","bundle":"ab` + hex64("00")[2:] + `","policies":["x"],"facts":` + facts + `}`
	}
	if err := r.Apply(104, record(another, undecided)); !errors.As(err, &p) || p.Code != ledger.CodeDecision {
		t.Errorf("undecided under policies: %v", err)
	}
	for _, old := range []string{`"consumer":"r_emiro"`, `"provider":"inps"`, `"subjects":1200`, `"actor":"service"`, `"consent":false`} {
		changed := map[string]string{
			`"consumer":"r_emiro"`: `"consumer":"altro"`, `"provider":"inps"`: `"provider":"altro"`, `"subjects":1200`: `"subjects":1300`,
			`"actor":"service"`: `"actor":"model"`, `"consent":false`: `"consent":true`,
		}[old]
		if err := r.Apply(104, record(another, allow(replace(facts, old, changed)))); !errors.As(err, &p) || p.Code != ledger.CodeDecision {
			t.Errorf("%s: %v", changed, err)
		}
	}
	if err := r.Apply(104, record(another, allow(facts))); err != nil {
		t.Error(err)
	}
	applyRecord(t, r, 105, KeyRevoked{Body: "hub", Kid: kid})
	if err := r.Apply(106, record(func(c *ledger.Cohort) { c.JTI = "7a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11" }, allow(facts))); !errors.As(err, &p) || p.Code != "bad_signature" {
		t.Errorf("a revoked key: %v", err)
	}
	for _, index := range r.InForce() {
		if index == 101 || index == 104 {
			t.Error("a cohort is repeated in the next year's log")
		}
	}
}

const facts = `{"consumer":"r_emiro","kinds":[],"provider":"inps","provider_kinds":[],"categories":["isee"],"purpose":"cohort-analytics",` +
	`"legal_basis":"A6-1-e","actor":"service","profile":"VOUCHER_ONLY","loa":0,"subjects":1200,"late":false,"consent":false,"entitlement":false}`

func hex64(pair string) string { return strings.Repeat(pair, 32) }

func replace(s, old, changed string) string { return strings.Replace(s, old, changed, 1) }
