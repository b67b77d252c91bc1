// SPDX-License-Identifier: EUPL-1.2

package registry

import (
	"bytes"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

func sampleCheck() CheckStatement {
	return CheckStatement{
		Aud: name + "/2026", Scope: "inps", IssuedAt: 1795339800, Head: 10, Until: 1795339500000, Size: 20, Root: ledger.Hex{1}, Result: CheckProven,
	}
}

func checkRecord(t testing.TB, by signer, s CheckStatement) []byte {
	t.Helper()
	payload, err := FormatCheckStatement(s)
	if err != nil {
		t.Fatal(err)
	}
	return checkRecordOf(t, by, CheckStatementType, payload, s.Scope)
}

func checkRecordOf(t testing.TB, by signer, typ string, payload []byte, scope string) []byte {
	t.Helper()
	statement, err := jws.Sign(typ, payload, by.key.Kid, by.private)
	if err != nil {
		t.Fatal(err)
	}
	return format(t, ProviderCheck{Scope: scope, Statement: statement})
}

// twoBodies is a registry with INPS and its key, and a municipality with its own; second is nobody's yet.
func twoBodies(t testing.TB) (r *Registry, first, second, foreign signer) {
	t.Helper()
	r = New(name)
	first, second, foreign = newSigner(t, "k1"), newSigner(t, "k2"), newSigner(t, "k9")
	apply(t, r, 1, format(t, Body{ID: "inps", Name: "INPS"}))
	apply(t, r, 2, format(t, Body{ID: "c_a944", Name: "Comune di Bologna"}))
	apply(t, r, 3, first.record(t, "inps", nil))
	apply(t, r, 4, foreign.record(t, "c_a944", nil))
	return r, first, second, foreign
}

// TestProviderCheck: a check counts by the signature of a key in force of its scope's body, and only if it is newer.
func TestProviderCheck(t *testing.T) {
	r, first, second, foreign := twoBodies(t)
	sample := sampleCheck()
	change := func(f func(s *CheckStatement)) CheckStatement {
		s := sample
		f(&s)
		return s
	}
	refused(t, r, checkRecord(t, first, sample), "unknown_scope")
	apply(t, r, 5, format(t, Scope{ID: "inps", Providers: []string{"inps"}}))
	refused(t, r, checkRecord(t, second, sample), "bad_signature")
	refused(t, r, checkRecord(t, foreign, sample), "bad_signature")
	refused(t, r, checkRecord(t, signer{jws.Key{Kid: "k1"}, second.private}, sample), "bad_signature")
	refused(t, r, checkRecord(t, first, change(func(s *CheckStatement) { s.Aud = "altro.example/2026" })), "other_ledger")
	if _, ok := r.Attested("inps", sample.Aud); ok {
		t.Error("attested by refused records")
	}
	apply(t, r, 30, checkRecord(t, first, sample))
	if a, ok := r.Attested("inps", sample.Aud); !ok || a.CheckStatement != sample || a.Index != 30 || a.Kid != "k1" {
		t.Errorf("%+v, %v", a, ok)
	}
	newer := change(func(s *CheckStatement) {
		s.Head, s.Until, s.IssuedAt, s.Result = 15, s.Until+1, s.IssuedAt+1, CheckNotProven
	})
	for what, s := range map[string]CheckStatement{
		"the same": sample, "the same head": change(func(s *CheckStatement) { s.Until++; s.IssuedAt++ }),
		"the same instant": change(func(s *CheckStatement) { s.Head++; s.IssuedAt++ }), "an older signature": change(func(s *CheckStatement) { s.Head++; s.Until++ }),
	} {
		t.Log(what)
		refused(t, r, checkRecord(t, first, s), "not_newer")
	}
	apply(t, r, 31, second.record(t, "inps", nil))
	apply(t, r, 32, format(t, KeyRevoked{Body: "inps", Kid: "k1"}))
	refused(t, r, checkRecord(t, first, newer), "bad_signature")
	apply(t, r, 33, checkRecord(t, second, newer))
	if a, _ := r.Attested("inps", sample.Aud); a.Result != CheckNotProven || a.Index != 33 {
		t.Errorf("%+v", a)
	}
	// The next year's log begins anew.
	apply(t, r, 34, checkRecord(t, second, change(func(s *CheckStatement) { s.Aud = name + "/2027" })))
	if a, _ := r.Attested("inps", sample.Aud); a.Index != 33 {
		t.Errorf("%+v", a)
	}
	if a, ok := r.Attested("inps", name+"/2027"); !ok || a.Index != 34 {
		t.Errorf("%+v", a)
	}
	for _, at := range r.InForce() {
		if at == 30 || at == 33 || at == 34 {
			t.Errorf("a check is repeated in the next shard: %d", at)
		}
	}
}

// TestProviderCheckForm: each member is as docs/provider-check.md says.
func TestProviderCheckForm(t *testing.T) {
	by := newSigner(t, "k1")
	payload, err := FormatCheckStatement(sampleCheck())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseRecord(checkRecordOf(t, by, CheckStatementType, payload, "inps")); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		`"registro.example/2026"`: `"registro.example"`, `"inps"`: `"+consent"`, `"iat":1795339800`: `"iat":-1`, `"head":10`: `"head":0`,
		`"size":20`: `"size":10`, `"result":"proven"`: `"result":"fine"`, `"root":"01`: `"root":"0A`, `{"aud"`: `{"more":1,"aud"`,
		`,"until":1795339500000`: ``, `"until":1795339500000`: `"until":1.5`,
	} {
		if !strings.Contains(string(payload), from) {
			t.Fatalf("%s isn't in %s", from, payload)
		}
		changed := bytes.Replace(payload, []byte(from), []byte(to), 1)
		if _, err := ParseRecord(checkRecordOf(t, by, CheckStatementType, changed, "inps")); err == nil {
			t.Errorf("taken: %s", changed)
		}
	}
	if _, err := ParseRecord(checkRecordOf(t, by, KeyProofType, payload, "inps")); err == nil {
		t.Error("another type of token is taken")
	}
	if _, err := ParseRecord(checkRecordOf(t, by, CheckStatementType, payload, "inail")); err == nil {
		t.Error("a statement of another scope is taken")
	}
	for _, record := range []string{`{"kind":"provider-check","scope":"inps"}`, `{"kind":"provider-check","scope":"inps","statement":"e30.e30.e30"}`} {
		if _, err := ParseRecord([]byte(record)); err == nil {
			t.Errorf("taken: %s", record)
		}
	}
	bad := sampleCheck()
	bad.Size = 0
	if _, err := FormatCheckStatement(bad); err == nil {
		t.Error("formatted what can't be read")
	}
}
