// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/cmd/internal/fetch"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/vrf"
	"github.com/traccia-ledger/traccia/verifier"
)

// hubRecords submits some of the world's accesses, and keeps what INPS's hub keeps of its own.
func hubRecords(t testing.TB, f *fixture, count int) (lines [][]byte, subjects []ledger.Subject) {
	t.Helper()
	v, err := note.NewVerifier(f.node.VKey())
	if err != nil {
		t.Fatal(err)
	}
	hub, _ := f.world.Hub()
	for n := 0; n < count || len(lines) < 10 && n < 100*count; n++ { // whose they are is left to chance
		s, err := f.world.Submission(n)
		if err != nil {
			t.Fatal(err)
		}
		answer := f.submit(t, f.submission(t, n)).body
		report := verifier.Receipt(answer, []note.Verifier{v}, s)
		if !report.Proven() {
			t.Fatal(report.Problems())
		}
		if !strings.HasPrefix(report.Answer.ReceiptID, hub+"/") {
			continue
		}
		entries, err := own.Entries(report.Answer, s, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for i := range entries {
			lines = append(lines, bytes.TrimSuffix(own.AppendEntry(nil, &entries[i]), []byte("\n")))
			if !slices.Contains(subjects, entries[i].Subject) {
				subjects = append(subjects, entries[i].Subject)
			}
		}
	}
	if len(lines) < 10 {
		t.Fatalf("%d events of the hub", len(lines))
	}
	return lines, subjects
}

// proofs asks for subjects' keys as the hub does.
func (f *fixture) proofs(t testing.TB, scope string, subjects []ledger.Subject) reply {
	t.Helper()
	p := f.signedPost(t, scope, "", object{"epoch": f.node.Epoch(), "subjects": subjects})
	p.path = "/v1/scopes/" + scope + "/proofs"
	return p.send(t, f)
}

// compare has the hub check its records against the published log.
func (f *fixture) compare(t testing.TB, lines [][]byte) *verifier.ProviderReport {
	t.Helper()
	hub, providers := f.world.Hub()
	v, err := note.NewVerifier(f.node.VKey())
	if err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse(fmt.Sprintf("%s/log/%d", f.http.URL, f.node.Epoch()))
	if err != nil {
		t.Fatal(err)
	}
	published, err := f.node.Published(f.node.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	key, _ := f.world.Key(hub)
	report, err := verifier.Provider(t.Context(), verifier.ProviderConfig{
		Scope: hub, Logs: []note.Verifier{v}, Signed: published.Checkpoint, Fetch: fetch.NewLog(base), Now: time.Now(), Parts: 2,
		Records: func() iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				for _, line := range lines {
					if !yield(line, nil) {
						return
					}
				}
			}
		},
		Proofs: func(_ context.Context, _ string, subjects []ledger.Subject) (list [][]byte, err error) {
			answer, err := own.ParseProofsAnswer(f.proofs(t, hub, subjects).body)
			for i := range answer.Proofs {
				list = append(list, answer.Proofs[i])
			}
			return list, err
		},
		Keys: []jws.Key{key}, Providers: providers,
	})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// check signs a statement and has it recorded.
func (f *fixture) check(t testing.TB, by string, s registry.CheckStatement) reply {
	t.Helper()
	payload, err := registry.FormatCheckStatement(s)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := f.world.Key(by)
	statement, err := jws.Sign(registry.CheckStatementType, payload, key.Kid, f.world.Signer(by))
	if err != nil {
		t.Fatal(err)
	}
	return f.do(t, http.MethodPost, "/v1/provider-checks", bytes.NewReader(marshal(t, object{"statement": statement})), "Content-Type", "application/json")
}

// TestProviderCheck: INPS's hub compares its records with the log, and what it signs is recorded once.
func TestProviderCheck(t *testing.T) {
	f := newFixture(t, fastWorld, node.Options{})
	lines, subjects := hubRecords(t, f, 30)
	if err := f.node.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := f.compare(t, lines)
	if !r.Proven() || r.Entries != uint64(len(lines)) || r.Subjects != uint64(len(subjects)) || r.Pending != 0 || r.Keys != 1 {
		t.Fatalf("%+v", r)
	}
	// Of one citizen, an access that the hub has no record of.
	seen := map[string]bool{}
	for i, line := range lines {
		subject, _ := own.SubjectOf(line)
		if !seen[string(subject)] {
			seen[string(subject)] = true
			continue
		}
		r := f.compare(t, slices.Concat(lines[:i:i], lines[i+1:]))
		if r.Proven() || r.Problems[0].Code != verifier.CodeNumberGap && r.Problems[0].Code != verifier.CodePlanted {
			t.Errorf("without line %d: %+v", i, r.Problems)
		}
		break
	}

	hub, _ := f.world.Hub()
	statement := r.Statement(hub, time.Now())
	change := func(by func(s *registry.CheckStatement)) registry.CheckStatement {
		s := statement
		by(&s)
		return s
	}
	for name, c := range map[string]struct {
		s           registry.CheckStatement
		by          string
		code, where string
	}{
		"of another log":        {change(func(s *registry.CheckStatement) { s.Aud = "altro.example/2026" }), hub, "bad_value", "statement#aud"},
		"of a scope not listed": {change(func(s *registry.CheckStatement) { s.Scope = "c_h501" }), "c_h501", "unknown_scope", "/scope"},
		"signed by another":     {statement, "c_h501", "bad_signature", "/statement"},
		"of yesterday":          {change(func(s *registry.CheckStatement) { s.IssuedAt -= 86400 }), hub, "bad_time", "statement#iat"},
		"of tomorrow":           {change(func(s *registry.CheckStatement) { s.IssuedAt += 86400 }), hub, "bad_time", "statement#iat"},
		"of leaves to come":     {change(func(s *registry.CheckStatement) { s.Size += 1000 }), hub, "other_log", "statement#size"},
		"of another history":    {change(func(s *registry.CheckStatement) { s.Root[0] ^= 1 }), hub, "other_log", "statement#root"},
		"up to what is no head": {change(func(s *registry.CheckStatement) { s.Head-- }), hub, "other_log", "statement#head"},
		"up to another instant": {change(func(s *registry.CheckStatement) { s.Until++ }), hub, "other_log", "statement#head"},
	} {
		status := http.StatusUnprocessableEntity
		if malformed[c.code] {
			status = http.StatusBadRequest
		}
		t.Run(name, func(t *testing.T) { f.check(t, c.by, c.s).problem(t, status, c.code, c.where) })
	}
	first := f.check(t, hub, statement)
	if first.status != http.StatusCreated {
		t.Fatalf("%d: %s", first.status, first.body)
	}
	if again := f.check(t, hub, statement); again.status != http.StatusOK || !bytes.Equal(again.body, first.body) {
		t.Errorf("%d: %s, want %s", again.status, again.body, first.body)
	}
	if a, ok := f.node.Registry().Attested(hub, statement.Aud); !ok || a.CheckStatement != statement {
		t.Errorf("%+v", a)
	}
	f.check(t, hub, change(func(s *registry.CheckStatement) { s.IssuedAt++ })).problem(t, http.StatusUnprocessableEntity, "too_soon", "statement#iat")
	f.do(t, http.MethodPost, "/v1/provider-checks", strings.NewReader(`{"statement":"x"}`), "Content-Type", "application/json").
		problem(t, http.StatusUnprocessableEntity, "bad_statement", "/statement")
	f.do(t, http.MethodPost, "/v1/provider-checks", strings.NewReader(`{"statement":"x","more":1}`), "Content-Type", "application/json").
		problem(t, http.StatusBadRequest, "syntax", "body")
}

// TestSubjectProofs: the party of a scope gets the keys of its subjects there, and nobody else does.
func TestSubjectProofs(t *testing.T) {
	f := newFixture(t, fastWorld, node.Options{})
	_, subjects := hubRecords(t, f, 20)
	hub, _ := f.world.Hub()
	got := f.proofs(t, hub, subjects)
	if got.status != http.StatusOK {
		t.Fatalf("%d: %s", got.status, got.body)
	}
	a, err := own.ParseProofsAnswer(got.body)
	if err != nil || len(a.Proofs) != len(subjects) || a.Scope != hub || a.Origin != ledger.Origin(ledgerName, f.node.Epoch()) {
		t.Fatalf("%+v, %v", a, err)
	}
	preamble := f.preamble(t)
	for i, s := range subjects {
		if _, err := vrf.Verify(preamble.VRFKey, a.Proofs[i], ledger.SubjectAlpha(s, hub, f.node.Epoch())); err != nil {
			t.Errorf("proof %d: %v", i, err)
		}
	}
	if strings.Contains(strings.Join(f.requested(), " "), string(subjects[0])) {
		t.Error("a URL names a subject")
	}
	if bytes.Contains(f.log.since(0), []byte(subjects[0])) {
		t.Error("the log names a subject")
	}
	many := make([]ledger.Subject, own.MaxSubjects+1)
	for i := range many {
		many[i] = subjects[0]
	}
	const header = "header:Agid-JWT-Signature"
	for name, c := range map[string]struct {
		scope       string
		epoch       uint32
		subjects    []ledger.Subject
		by          string
		status      int
		code, where string
	}{
		"by another body":        {hub, f.node.Epoch(), subjects, "c_h501", 403, "not_signer", header},
		"of a body that is none": {"c_h501", f.node.Epoch(), subjects, "c_h501", 404, "no_scope", "path"},
		"of another year":        {hub, f.node.Epoch() - 1, subjects, hub, 404, "no_log", "/epoch"},
		"of nobody":              {hub, f.node.Epoch(), []ledger.Subject{}, hub, 400, "bad_count", "/subjects"},
		"of too many":            {hub, f.node.Epoch(), many, hub, 400, "bad_count", "/subjects"},
		"of a wrong code":        {hub, f.node.Epoch(), []ledger.Subject{subjects[0], "RSSMRA80A01H501X"}, hub, 422, "bad_subject", "/subjects/1"},
	} {
		t.Run(name, func(t *testing.T) {
			p := f.signedPost(t, c.scope, "", object{"epoch": c.epoch, "subjects": c.subjects})
			if c.by != c.scope {
				p.token.key = "body-" + c.by
			}
			p.path = "/v1/scopes/" + c.scope + "/proofs"
			if got := p.send(t, f).problem(t, c.status, c.code, c.where); strings.Contains(got.Found+got.Expected, "RSSMRA") {
				t.Errorf("names a subject: %+v", got)
			}
		})
	}
}

func (f *fixture) preamble(t testing.TB) ledger.Preamble {
	t.Helper()
	if err := f.node.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	bundle, err := f.node.Entries(t.Context(), f.node.Epoch(), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ledger.ParseLeaf(bundle[2:])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.(ledger.Preamble)
}

func (f *fixture) requested() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.urls)
}
