// SPDX-License-Identifier: EUPL-1.2

package consent_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/consent/consenttest"
	"github.com/traccia-ledger/traccia/consent/passkeytest"
	"github.com/traccia-ledger/traccia/ledger"
)

// samples are records of every kind, with the evidence of every type.
func samples(t testing.TB) (records []*consent.Record, evidence []consent.Evidence) {
	c := &consenttest.Citizen{Code: citizen, At: begin, Previous: &ledger.Hash{8}}
	p := passkeytest.New(t, "ES256", consenttest.RP, consenttest.Origin)
	add := func(kind string, e func(*consent.Record) consent.Evidence, change ...func(*consent.Record)) {
		r := c.Record(t, name, kind)
		for _, f := range change {
			f(r)
		}
		records, evidence = append(records, r), append(evidence, e(r))
	}
	sign := func(r *consent.Record) consent.Evidence { return consenttest.Sign(t, p, r) }
	register := func(r *consent.Record) consent.Evidence { return consenttest.Register(t, p, r) }
	desk := func(*consent.Record) consent.Evidence { return consenttest.Desk }
	login := func(*consent.Record) consent.Evidence { return consenttest.LoginEvidence }
	clock := func(*consent.Record) consent.Evidence { return consent.Evidence{Type: consent.EvidenceClock} }
	id := "6f1c2d3e-52f0-4d0e-9d5e-3f1b7f0f7a11"
	add(ledger.KindConsentGiven, sign, func(r *consent.Record) { r.Mandate = id })
	add(ledger.KindConsentGiven, desk, func(r *consent.Record) { r.Previous = nil })
	add(ledger.KindConsentRefused, login)
	add(ledger.KindConsentWithdrawn, sign, ends(id))
	add(ledger.KindConsentExpired, clock, ends(id))
	add(ledger.KindPasskeyEnrolled, register)
	add(ledger.KindPasskeyRevoked, login, ends(id))
	add(ledger.KindEntitlementGiven, desk)
	add(ledger.KindEntitlementEnded, sign, ends(id))
	add(ledger.KindMandateGiven, desk)
	add(ledger.KindMandateEnded, desk, ends(id))
	return records, evidence
}

func TestStatements(t *testing.T) {
	records, evidence := samples(t)
	for i, r := range records {
		raw := consenttest.Statement(t, r, evidence[i])
		s, err := consent.ParseStatement(raw)
		if err != nil {
			t.Fatalf("%s: %v", r.Kind, err)
		}
		if diff := cmp.Diff(r, s.Record); diff != "" {
			t.Errorf("%s: %s", r.Kind, diff)
		}
		if diff := cmp.Diff(evidence[i], s.Evidence); diff != "" {
			t.Errorf("%s: %s", r.Kind, diff)
		}
		if !consent.IsKind(r.Kind) {
			t.Errorf("%s is no kind about consent", r.Kind)
		}
	}
}

// TestSchema holds the schema, with a validator of others, against what we write and against what we refuse.
func TestSchema(t *testing.T) {
	f, err := os.Open("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	compiler.AssertFormat()
	schema, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	validate := func(data []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	records, evidence := samples(t)
	for i, r := range records {
		raw := consenttest.Statement(t, r, evidence[i])
		if err := validate(raw); err != nil {
			t.Errorf("%s: %v", r.Kind, err)
		}
		// Each member left out, and one too many, at any depth.
		for _, bad := range spoiled(t, raw) {
			_, own := consent.ParseStatement(bad)
			if own == nil {
				t.Errorf("%s: the parser accepts %s", r.Kind, bad)
			}
			if validate(bad) == nil {
				t.Errorf("%s: the schema accepts %s", r.Kind, bad)
			}
		}
	}
}

// spoiled are copies of a document with one required member less, or an unknown one more.
func spoiled(t *testing.T, raw []byte) (list [][]byte) {
	optional := map[string]bool{"traccia:previous": true, "traccia:mandate": true}
	var walk func(v any, back func(any) any)
	out := func(v any) {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, data)
	}
	walk = func(v any, back func(any) any) {
		object, ok := v.(map[string]any)
		if !ok {
			return
		}
		with := func(name string, value any) map[string]any {
			c := map[string]any{}
			for n, v := range object {
				c[n] = v
			}
			if delete(c, name); value != nil {
				c[name] = value
			}
			return c
		}
		out(back(with("more", "x")))
		for name, inner := range object {
			if !optional[name] {
				out(back(with(name, nil)))
			}
			walk(inner, func(v any) any { return back(with(name, v)) })
		}
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	walk(v, func(v any) any { return v })
	return list
}

func TestRecordRefused(t *testing.T) {
	tests := []struct {
		name, kind, code string
		change           func(*consent.Record)
	}{
		{"another kind", ledger.KindAccess, ledger.CodeBadValue, func(*consent.Record) {}},
		{"no uuid", ledger.KindConsentGiven, ledger.CodeBadUUID, func(r *consent.Record) { r.ID = strings.ToUpper(r.ID) + "A" }},
		{"no language", ledger.KindConsentGiven, ledger.CodeBadValue, func(r *consent.Record) { r.Language = "ita" }},
		{"no ledger", ledger.KindConsentGiven, ledger.CodeBadName, func(r *consent.Record) { r.Ledger = "" }},
		{"no year", ledger.KindConsentGiven, ledger.CodeBadValue, func(r *consent.Record) { r.Epoch = 0 }},
		{"half a second", ledger.KindConsentGiven, ledger.CodeBadTime, func(r *consent.Record) { r.Created = r.Created.Add(time.Second / 2) }},
		{"terms of a withdrawal", ledger.KindConsentWithdrawn, ledger.CodeBadValue, func(r *consent.Record) { r.Terms = &consent.Terms{} }},
		{"a withdrawal of nothing", ledger.KindConsentWithdrawn, ledger.CodeBadValue, func(r *consent.Record) { r.Ends = "" }},
		{"no terms", ledger.KindConsentGiven, ledger.CodeBadValue, func(r *consent.Record) { r.Terms = nil }},
		{"no validity", ledger.KindConsentGiven, ledger.CodeBadValue, func(r *consent.Record) { r.Validity = nil }},
		{"from after until", ledger.KindConsentGiven, ledger.CodeBadTime, func(r *consent.Record) { r.Validity.Until = r.Validity.From }},
		{"six years", ledger.KindConsentGiven, ledger.CodeBadTime, func(r *consent.Record) { r.Validity.Until = r.Validity.From.AddDate(6, 0, 0) }},
		{"a legal basis that is no consent", ledger.KindConsentGiven, ledger.CodeBadValue, func(r *consent.Record) { r.Terms.LegalBasis = []string{"eu-gdpr:A6-1-e"} }},
		{"an entitlement that is a consent", ledger.KindEntitlementGiven, ledger.CodeBadValue, func(r *consent.Record) { r.Terms.LegalBasis = []string{consent.BasisConsent} }},
		{"no recipient", ledger.KindConsentGiven, ledger.CodeBadCount, func(r *consent.Record) { r.Terms.Recipients = nil }},
		{"a recipient twice", ledger.KindConsentGiven, ledger.CodeRepeated, func(r *consent.Record) { r.Terms.Recipients = []string{"c_a944", "c_a944"} }},
		{"a recipient that is no id", ledger.KindConsentGiven, ledger.CodeBadID, func(r *consent.Record) { r.Terms.Recipients = []string{"Comune di Bologna"} }},
		{"a kind without a name", ledger.KindConsentGiven, ledger.CodeBadText, func(r *consent.Record) { r.Terms.Recipients = []string{ledger.ConsentKind} }},
		{"a purpose with a line break", ledger.KindConsentGiven, ledger.CodeBadText, func(r *consent.Record) { r.Terms.Purposes = []string{"a\nb"} }},
		{"no category", ledger.KindConsentGiven, ledger.CodeBadCount, func(r *consent.Record) { r.Terms.Categories = nil }},
		{"a notice without a version", ledger.KindConsentGiven, ledger.CodeBadText, func(r *consent.Record) { r.Terms.Notice.Version = "" }},
		{"no way to withdraw", ledger.KindConsentGiven, ledger.CodeBadText, func(r *consent.Record) { r.Terms.Withdrawal = "" }},
		{"a mandate under a mandate", ledger.KindMandateGiven, ledger.CodeBadValue, func(r *consent.Record) { r.Mandate = r.ID }},
		{"another relation", ledger.KindMandateGiven, ledger.CodeBadValue, func(r *consent.Record) { r.Relation.Kind = "friend" }},
		{"no deed", ledger.KindMandateGiven, ledger.CodeBadText, func(r *consent.Record) { r.Relation.Deed = "" }},
		{"no domain", ledger.KindPasskeyEnrolled, ledger.CodeBadValue, func(r *consent.Record) { r.Passkey.RP = "Registro.example" }},
		{"http", ledger.KindPasskeyEnrolled, ledger.CodeBadValue, func(r *consent.Record) { r.Passkey.Origin = "http://registro.example" }},
		{"a page elsewhere", ledger.KindPasskeyEnrolled, ledger.CodeBadValue, func(r *consent.Record) { r.Passkey.Origin = "https://evilregistro.example" }},
		{"a path", ledger.KindPasskeyEnrolled, ledger.CodeBadValue, func(r *consent.Record) { r.Passkey.Origin += "/pagina" }},
		{"no port", ledger.KindPasskeyEnrolled, ledger.CodeBadValue, func(r *consent.Record) { r.Passkey.Origin += ":" }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := &consenttest.Citizen{Code: citizen, At: begin}
			kind := test.kind
			if !consent.IsKind(kind) {
				kind = ledger.KindConsentGiven
			}
			r := c.Record(t, name, kind)
			if kind == ledger.KindConsentWithdrawn {
				r.Ends = r.ID
			}
			r.Kind = test.kind
			test.change(r)
			_, err := consent.FormatRecord(r)
			p, _ := err.(*ledger.Problem)
			if code(p) != test.code {
				t.Errorf("expected %s, found %v", test.code, err)
			}
		})
	}
}

func TestEvidenceRefused(t *testing.T) {
	c := &consenttest.Citizen{Code: citizen, At: begin}
	p := passkeytest.New(t, "ES256", consenttest.RP, consenttest.Origin)
	given, enrolled := c.Record(t, name, ledger.KindConsentGiven), c.Record(t, name, ledger.KindPasskeyEnrolled)
	signed, registered := consenttest.Sign(t, p, given), consenttest.Register(t, p, enrolled)
	tests := []struct {
		name string
		r    *consent.Record
		e    func() consent.Evidence
	}{
		{"a login alone", given, func() consent.Evidence { return consenttest.LoginEvidence }},
		{"the clock", given, func() consent.Evidence { return consent.Evidence{Type: consent.EvidenceClock} }},
		{"an unknown type", given, func() consent.Evidence { return consent.Evidence{Type: "paper"} }},
		{"no signature", given, func() consent.Evidence { e := signed; e.Signature = nil; return e }},
		{"a document with a passkey", given, func() consent.Evidence { e := signed; e.Document = "x"; return e }},
		{"a login with a passkey", given, func() consent.Evidence { e := signed; e.Login = ledger.Hex{1}; return e }},
		{"a desk without a document", given, func() consent.Evidence { e := consenttest.Desk; e.Document = ""; return e }},
		{"a desk with a signature", given, func() consent.Evidence { e := consenttest.Desk; e.Signature = []byte{1}; return e }},
		{"a document with a line break", given, func() consent.Evidence { e := consenttest.Desk; e.Document = "a\nb"; return e }},
		{"a registration on nothing", enrolled, func() consent.Evidence { e := registered; e.Login = ledger.Hex{}; return e }},
		{"a registration with both", enrolled, func() consent.Evidence { e := registered; e.Document = "x"; return e }},
		{"too long", given, func() consent.Evidence { e := signed; e.ClientData = bytes.Repeat([]byte{'a'}, 5000); return e }},
	}
	for _, test := range tests {
		if _, err := consent.FormatStatement(consenttest.Bytes(t, test.r), test.e()); err == nil {
			t.Errorf("%s: accepted", test.name)
		}
	}
	private := &ledger.Private{Login: consenttest.Login}
	if e := consenttest.LoginEvidence; !e.CheckLogin(private) || e.CheckLogin(&ledger.Private{}) || e.CheckLogin(&ledger.Private{Login: "a.b.c"}) {
		t.Error("the login token isn't compared")
	}
	if e := consenttest.Desk; e.CheckLogin(private) || !e.CheckLogin(&ledger.Private{}) {
		t.Error("a login token that nothing names is accepted")
	}
}

// TestChallenge pins what passkeys sign.
func TestChallenge(t *testing.T) {
	got := consent.Challenge("registro.example", 2026, []byte(`{"a":1}`))
	if want := "59995a6ad9a519030b2e430f3ab601fbb373ea6c0f347fa53286816ad08885d7"; hex.EncodeToString(got[:]) != want {
		t.Errorf("found %x", got)
	}
}

func FuzzStatement(f *testing.F) {
	records, evidence := samples(f)
	for i, r := range records {
		f.Add([]byte(consenttest.Statement(f, r, evidence[i])))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := consent.ParseStatement(data)
		if err != nil {
			if _, ok := err.(*ledger.Problem); !ok {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		record, err := consent.FormatRecord(s.Record)
		if err != nil || !bytes.Equal(record, s.Bytes) {
			t.Fatalf("the record is written as %s: %v", record, err)
		}
		again, err := consent.FormatStatement(record, s.Evidence)
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("written as %s: %v", again, err)
		}
	})
}

// FuzzPasskey: no answer of a browser makes the check panic.
func FuzzPasskey(f *testing.F) {
	p := passkeytest.New(f, "ES256", consenttest.RP, consenttest.Origin)
	data, client := p.Register(ledger.Hash{1})
	f.Add(data, client)
	at := &consent.Passkey{RP: consenttest.RP, Origin: consenttest.Origin}
	f.Fuzz(func(t *testing.T, data, client []byte) {
		e := &consent.Evidence{AuthenticatorData: data, ClientData: client}
		c, err := consent.CheckRegistration(at, ledger.Hash{1}, e)
		if err == nil && (len(c.ID) == 0 || c.Key == nil) {
			t.Fatal("a credential without id or key")
		}
	})
}
