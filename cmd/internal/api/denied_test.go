// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/policies"
	"github.com/traccia-ledger/traccia/verifier"
)

// TestDenied: an access that the policies deny is refused with the answer that proves that this is recorded, alone and in
// a batch, and again when it comes again.
func TestDenied(t *testing.T) {
	f := newFixture(t, fastWorld, node.Options{Policies: policies.Open})
	term := []policies.Term{{ID: "x", IRI: "https://w3id.org/dpv/pd#Income", It: "x", En: "x", SentenceIt: "x", SentenceEn: "x"}}
	document, err := (&policies.Bundle{
		Schema: policies.BundleSchema, Version: "none", DescriptionIt: "Prova", DescriptionEn: "Test",
		Vocabulary: policies.Vocabulary{Categories: term, Purposes: term, LegalBases: term, BodyKinds: term},
		Files: []policies.File{{Name: "all.cedar", Text: `
@id("at-most-none") @reference("GDPR Art. 5") @reason_it("Nessuno.") @reason_en("Nobody.")
forbid (principal, action, resource) when { context.subjects > 0 };
`}},
	}).Format()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.node.ActivatePolicies(t.Context(), document); err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(f.node.VKey())
	if err != nil {
		t.Fatal(err)
	}
	raw := f.submission(t, 0)
	s, err := ledger.ParseSubmission(raw)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, body []byte) {
		t.Helper()
		var p struct {
			Code      string          `json:"code"`
			ReceiptID string          `json:"receipt_id"`
			Bundle    ledger.Hex      `json:"bundle"`
			Policies  []ledger.Ground `json:"policies"`
			Answer    json.RawMessage `json:"answer"`
		}
		if err := json.Unmarshal(body, &p); err != nil {
			t.Fatal(err)
		}
		r := verifier.Receipt(p.Answer, []note.Verifier{v}, s)
		if p.Code != "denied" || len(p.Policies) != 1 || p.Policies[0].Policy != "at-most-none" || ledger.Hash(p.Bundle) != policies.Digest(document) {
			t.Errorf("%s: %s", what, body)
		}
		if !r.Proven() || r.Answer.ReceiptID != p.ReceiptID || r.Body.Kind != ledger.KindDenied || r.Answer.Entries[0].Number == nil {
			t.Errorf("%s: %v, %+v", what, r.Problems(), r.Body)
		}
	}
	for _, what := range []string{"at first", "again"} {
		got := f.submit(t, raw)
		if got.status != http.StatusForbidden {
			t.Fatalf("%s: %d %s", what, got.status, got.body)
		}
		check(what, got.body)
	}
	got := f.do(t, http.MethodPost, "/v1/access-receipts/batch", bytes.NewReader(append(raw, '\n')), "Content-Type", "application/x-ndjson")
	var line struct {
		Status  int             `json:"status"`
		Problem json.RawMessage `json:"problem"`
	}
	if err := json.Unmarshal(got.body, &line); err != nil || line.Status != http.StatusForbidden {
		t.Fatalf("%v: %s", err, got.body)
	}
	check("in a batch", line.Problem)
}
