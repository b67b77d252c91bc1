// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/policies"
)

// cohorts are the public records of groups in the log.
func (f *fixture) cohorts() (list []*ledger.Cohort) {
	f.t.Helper()
	for _, raw := range f.leaves() {
		leaf, err := ledger.ParseLeaf(raw)
		if err != nil {
			f.t.Fatal(err)
		}
		record, ok := leaf.(ledger.Record)
		if !ok {
			continue
		}
		parsed, err := registry.ParseRecord(record.JSON)
		if err != nil {
			f.t.Fatal(err)
		}
		if r, ok := parsed.(registry.Cohort); ok {
			c, _, err := ledger.ParseCohort(r.Statement)
			if err != nil {
				f.t.Fatal(err)
			}
			list = append(list, c)
		}
	}
	return list
}

func (f *fixture) tells(kind, body string, status int) {
	f.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set(CohortHeader, "inps/forged; index=1")
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

// TestAggregate: an aggregate is released with the record of its size, which names nobody and makes no event.
func TestAggregate(t *testing.T) {
	f := newFixture(t)
	const body = `{"coorte":{"persone":1234,"isee_medio":12345.67}}`
	f.tells("application/json", body, http.StatusOK)
	g := f.post("/coorte?anno=2026", `{"comune":"A944"}`)
	if g.status != http.StatusOK || string(g.body) != body || g.header.Get("Cache-Control") != "no-store" || g.header.Get(ReceiptHeader) != "" {
		t.Fatalf("%d %v %s", g.status, g.header, g.body)
	}
	list := f.cohorts()
	if len(list) != 1 || f.events() != 0 {
		t.Fatalf("%d records, %d events", len(list), f.events())
	}
	c := list[0]
	if c.Size != 1200 || c.Minimum != 50 || c.Consumer != f.receipt.Consumer || c.Provider != "inps" || c.Operation.Path != "/coorte" {
		t.Errorf("%+v", c)
	}
	if !strings.HasPrefix(g.header.Get(CohortHeader), c.ID()+"; index=") {
		t.Errorf("%s: %q, want %s", CohortHeader, g.header.Get(CohortHeader), c.ID())
	}
	// The same selection is known again, another isn't the same.
	f.post("/coorte?anno=2026", `{"comune":"A944"}`)
	f.post("/coorte?anno=2025", `{"comune":"A944"}`)
	f.post("/coorte?anno=2026", `{"comune":"F205"}`)
	list = f.cohorts()
	if len(list) != 4 || list[1].Selection != c.Selection || list[2].Selection == c.Selection || list[3].Selection == c.Selection {
		t.Errorf("selections of %d records", len(list))
	}
}

// TestAggregateRefused: nothing is released and nothing recorded of what is no aggregate, or of too few people.
func TestAggregateRefused(t *testing.T) {
	f := newFixture(t)
	const kind = "application/json; charset=utf-8"
	for _, test := range []struct {
		name, kind, body string
		told, status     int
		code             string
	}{
		{"49 people", kind, `{"coorte":{"persone":49}}`, 200, 403, "cohort_too_small"},
		{"none", kind, `{"coorte":{"persone":0}}`, 200, 403, "cohort_too_small"},
		{"less than none", kind, `{"coorte":{"persone":-5}}`, 200, 502, "no_size"},
		{"no size", kind, `{"coorte":{}}`, 200, 502, "no_size"},
		{"a text", kind, `{"coorte":{"persone":"1234"}}`, 200, 502, "no_size"},
		{"half a person", kind, `{"coorte":{"persone":1234.5}}`, 200, 502, "no_size"},
		{"more than there are", kind, `{"coorte":{"persone":12345678901}}`, 200, 502, "no_size"},
		{"two sizes", kind, `{"coorte":{"persone":1234},"coorte":{"persone":4}}`, 200, 502, "no_size"},
		{"two sizes within", kind, `{"coorte":{"persone":1234,"persone":4}}`, 200, 502, "no_size"},
		{"a list", kind, `[1234]`, 200, 502, "no_size"},
		{"half an object", kind, `{"coorte":{"persone":1234}`, 200, 502, "no_size"},
		{"two objects", kind, `{"coorte":{"persone":1234}}{}`, 200, 502, "no_size"},
		{"XML", "text/xml", `<coorte/>`, 200, 502, "no_size"},
		{"nothing", kind, ``, 204, 502, "no_size"},
		{"a person", kind, `{"coorte":{"persone":1234,"chi":"x RSSMRA80A01H501U"}}`, 200, 502, "names_person"},
		{"a person as a name", kind, `{"coorte":{"persone":1234,"rssmra80a01h501u":1}}`, 200, 502, "names_person"},
		{"a person, escaped", kind, `{"coorte":{"persone":1234,"chi":"\u0052SSMRA80A01H501U"}}`, 200, 502, "names_person"},
		{"a person in an error", kind, `{"errore":"RSSMRA80A01H501U"}`, 404, 502, "names_person"},
		{"a person in an error, escaped", kind, `{"errore":"\u0052SSMRA80A01H501U"}`, 404, 502, "names_person"},
		{"a person in a header", "application/json; cf=RSSMRA80A01H501U", `{"coorte":{"persone":1234}}`, 200, 502, "names_person"},
		{"a broken provider", kind, `{"coorte":{"persone":1234}}`, 500, 502, "provider_failed"},
		{"too long", kind, `{"coorte":{"persone":1234},"x":"` + strings.Repeat("a", maxAggregate) + `"}`, 200, 502, "provider_failed"},
	} {
		f.tells(test.kind, test.body, test.told)
		g := f.post("/coorte", `{}`)
		if g.status != test.status || g.problem.Code != test.code || strings.Contains(strings.ToUpper(string(g.body)), "RSSMRA") || g.header.Get(CohortHeader) != "" {
			t.Errorf("%s: %d %s", test.name, g.status, g.body)
		}
		if strings.Contains(string(g.body), "49") {
			t.Errorf("%s: the size is told: %s", test.name, g.body)
		}
	}
	f.tells(kind, `{"errore":"nessuna coorte"}`, 404)
	if g := f.post("/coorte", `{}`); g.status != 404 || string(g.body) != `{"errore":"nessuna coorte"}` {
		t.Errorf("an error about nobody: %d %s", g.status, g.body)
	}
	if n := len(f.cohorts()); n != 0 {
		t.Errorf("%d records", n)
	}
}

// TestAggregateRecorded: without a proof of its record no aggregate is released, and the policies have their say.
func TestAggregateRecorded(t *testing.T) {
	f := newFixture(t)
	f.gateway.patience = 500 * time.Millisecond
	f.tells("application/json", `{"coorte":{"persone":1234}}`, http.StatusOK)
	answered := func(change func(*ledger.CohortAnswer)) func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			if a, err := ledger.ParseCohortAnswer(rec.Body.Bytes()); err == nil {
				change(a)
				data, _ := ledger.FormatCohortAnswer(a)
				w.Write(data)
				return
			}
			w.WriteHeader(rec.Code)
			w.Write(rec.Body.Bytes())
		}
	}
	var first *ledger.CohortAnswer
	for _, test := range []struct {
		name   string
		way    func(w http.ResponseWriter, r *http.Request, next http.Handler)
		status int
		code   string
	}{
		{"a ledger that is down", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { cut(w) }, 503, "ledger_unavailable"},
		{"no answer", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { io.WriteString(w, "{}") }, 502, "not_proven"},
		{"a refusal", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.WriteHeader(422)
			io.WriteString(w, `{"code":"no_scope"}`)
		}, 502, "not_recorded"},
		{"another index", answered(func(a *ledger.CohortAnswer) { first = a; b := *a; first = &b; a.Index++ }), 502, "not_proven"},
		{"another log", answered(func(a *ledger.CohortAnswer) { a.Origin = "altro.example/2026" }), 502, "not_proven"},
		{"another leaf", answered(func(a *ledger.CohortAnswer) { a.Leaf[len(a.Leaf)-1] ^= 1 }), 502, "not_proven"},
		{"another proof", answered(func(a *ledger.CohortAnswer) { a.Proof = strings.Replace(a.Proof, "index ", "index 1", 1) }), 502, "not_proven"},
		{"another's id", answered(func(a *ledger.CohortAnswer) { a.CohortID = first.CohortID }), 502, "not_proven"},
		{"another's record, proven", answered(func(a *ledger.CohortAnswer) { *a = *first }), 502, "not_proven"},
	} {
		f.onTheWay(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.URL.Path == "/v1/cohorts" {
				test.way(w, r, next)
				return
			}
			next.ServeHTTP(w, r)
		})
		if g := f.post("/coorte", `{}`); g.status != test.status || g.problem.Code != test.code || strings.Contains(string(g.body), "1234") {
			t.Errorf("%s: %d %s", test.name, g.status, g.body)
		}
	}

	// An answer that was lost: the same record is found again.
	var once sync.Once
	f.onTheWay(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		lost := false
		if r.URL.Path == "/v1/cohorts" {
			once.Do(func() { lost = true })
		}
		if lost {
			next.ServeHTTP(httptest.NewRecorder(), r)
			cut(w)
			return
		}
		next.ServeHTTP(w, r)
	})
	f.gateway.patience = time.Minute
	before := len(f.cohorts())
	if g := f.post("/coorte", `{}`); g.status != http.StatusOK {
		t.Errorf("an answer that was lost: %d %s", g.status, g.body)
	}
	if n := len(f.cohorts()) - before; n != 1 {
		t.Errorf("%d records of one aggregate", n)
	}

	// A policy of its own decides.
	term := func(id string) []policies.Term {
		return []policies.Term{{ID: id, IRI: "https://example.org/" + id, It: "x", En: "x", SentenceIt: "x", SentenceEn: "x"}}
	}
	document, err := (&policies.Bundle{
		Schema: policies.BundleSchema, Version: "cohorts", DescriptionIt: "Prova", DescriptionEn: "Test",
		Vocabulary: policies.Vocabulary{Categories: term("x"), Purposes: term("cohort-analytics"), LegalBases: term("x"), BodyKinds: term("x")},
		Files: []policies.File{{Name: "all.cedar", Text: `
@id("cohorts") @reference("Reg. (UE) 2016/679, art. 89") @reason_it("Gruppi.") @reason_en("Groups.")
permit (principal, action, resource) when { context.purpose == "cohort-analytics" && context.subjects >= 1000 };
@id("not-at-work") @reference("Reg. (UE) 2016/679, art. 89") @reason_it("No.") @reason_en("No.")
forbid (principal, action, resource) when { context.subjects >= 5000 };
`}},
	}).Format()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.node.ActivatePolicies(t.Context(), document); err != nil {
		t.Fatal(err)
	}
	before = len(f.cohorts())
	for size, want := range map[int]string{1000: "", 999: "no policy allows", 4999: "", 5000: "not-at-work"} {
		f.tells("application/json", fmt.Sprintf(`{"coorte":{"persone":%d}}`, size), http.StatusOK)
		g := f.post("/coorte", `{}`)
		if ok := g.status == http.StatusOK && want == "" || g.status == http.StatusForbidden && g.problem.Code == "denied" && strings.Contains(g.problem.Found, want); !ok {
			t.Errorf("%d people: %d %s", size, g.status, g.body)
		}
	}
	if n := len(f.cohorts()) - before; n != 2 || f.events() != 0 {
		t.Errorf("%d records, %d events", n, f.events())
	}
}

func FuzzSizeOf(f *testing.F) {
	f.Add(`{"a":{"b":[1,{"n":1234}]}}`, "/a/b/1/n")
	f.Add(`{"a~b":12}`, "/a~0b")
	f.Fuzz(func(t *testing.T, body, pointer string) {
		size, p := sizeOf("application/json", []byte(body), pointer)
		if p != nil {
			return
		}
		if size < 0 || size > ledger.MaxCohort || !json.Valid([]byte(body)) || !strings.Contains(body, fmt.Sprint(size)) || ledger.NamesPerson(body) {
			t.Errorf("%s at %s is %d", body, pointer, size)
		}
	})
}

// sendCohort has one aggregate recorded by whoever has the gateway's key, and the tokens of a call; change may be nil.
func (f *fixture) sendCohort(now time.Time, change func(*ledger.Cohort, *ledger.CohortSubmission)) error {
	f.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("Authorization", "x")
	who, err := judge{f}.Check(f.t.Context(), r, nil, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	c := &ledger.Cohort{
		Aud: ledgerName, Iss: "inps", JTI: otherJTI, IssuedAt: now.Unix(), Provider: "inps", Consumer: f.receipt.Consumer, EService: f.receipt.EService,
		PurposeID: f.receipt.PurposeID, Purpose: "cohort-analytics", LegalBasis: "A6-1-e", DataCategories: []string{"isee"}, Actor: ledger.ActorService,
		Operation: ledger.Operation{Method: "POST", Path: "/coorte"}, OccurredAt: now.Format(time.RFC3339), Pair: who.Pair,
		Size: 1200, Minimum: 50, Selection: ledger.Hex{1},
	}
	s := &ledger.CohortSubmission{Voucher: who.Private.Voucher, Evidence: who.Private.Evidence}
	if change != nil {
		change(c, s)
	}
	if s.Statement, err = ledger.SignCohort(c, f.parts.Key.Kid, f.parts.Key.Signer); err != nil {
		f.t.Fatal(err)
	}
	raw, err := ledger.FormatCohortSubmission(s)
	if err != nil {
		f.t.Fatal(err)
	}
	_, _, err = f.node.RecordCohort(f.t.Context(), raw)
	return err
}

const otherJTI = "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11"

// TestRecordCohort: what the ledger asks of an aggregate beside its record's own rules.
func TestRecordCohort(t *testing.T) {
	f := newFixture(t)
	now := time.Now().UTC()
	send := func(change func(*ledger.Cohort, *ledger.CohortSubmission)) error {
		t.Helper()
		return f.sendCohort(now, change)
	}
	for name, test := range map[string]struct {
		change      func(*ledger.Cohort, *ledger.CohortSubmission)
		code, where string
	}{
		"tomorrow's": {func(c *ledger.Cohort, _ *ledger.CohortSubmission) {
			c.OccurredAt = now.AddDate(0, 0, 1).Format(time.RFC3339)
		}, "in_future", "cohort#occurred_at"},
		"signed tomorrow": {func(c *ledger.Cohort, _ *ledger.CohortSubmission) { c.IssuedAt += 86400 }, "in_future", "cohort#occurred_at"},
		"yesterday's": {func(c *ledger.Cohort, _ *ledger.CohortSubmission) {
			c.OccurredAt = now.AddDate(0, 0, -1).Format(time.RFC3339)
		}, "not_yet_valid", "voucher#iat"},
		"another request":      {func(_ *ledger.Cohort, s *ledger.CohortSubmission) { s.RequestDigest = strings.Repeat("ab", 32) }, "pair_mismatch", "cohort#pair"},
		"without its evidence": {func(_ *ledger.Cohort, s *ledger.CohortSubmission) { s.Evidence = "" }, "pair_mismatch", "cohort#pair"},
		"another consumer":     {func(c *ledger.Cohort, _ *ledger.CohortSubmission) { c.Consumer = "inps" }, "claim_mismatch", "voucher#consumerId"},
		"another e-service":    {func(c *ledger.Cohort, _ *ledger.CohortSubmission) { c.EService = otherJTI }, "claim_mismatch", "voucher#eserviceId"},
		"another purpose":      {func(c *ledger.Cohort, _ *ledger.CohortSubmission) { c.PurposeID = otherJTI }, "claim_mismatch", "voucher#purposeId"},
		"no voucher":           {func(_ *ledger.Cohort, s *ledger.CohortSubmission) { s.Voucher = "a.b.c" }, "syntax", "voucher"},
		"another ledger's":     {func(c *ledger.Cohort, _ *ledger.CohortSubmission) { c.Aud = "altro.example" }, "wrong_audience", "cohort#aud"},
	} {
		var p *ledger.Problem
		if err := send(test.change); !errors.As(err, &p) || p.Code != test.code || p.Where != test.where {
			t.Errorf("%s: %v, want %s at %s", name, err, test.code, test.where)
		}
	}
	if n := len(f.cohorts()); n != 0 {
		t.Errorf("%d records", n)
	}
	for range 2 {
		if err := send(nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := send(func(c *ledger.Cohort, _ *ledger.CohortSubmission) { c.Size = 1300 }); !errors.Is(err, sequencer.ErrConflict) {
		t.Errorf("another of the same identity: %v", err)
	}
	if n := len(f.cohorts()); n != 1 {
		t.Errorf("%d records", n)
	}
}
