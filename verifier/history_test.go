// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/witness"
	"github.com/traccia-ledger/traccia/verifier"
)

// realHistory is what a real node gave about one citizen, and who it must convince.
type realHistory struct {
	subject ledger.Subject
	policy  *checkpoint.Policy
	bundle  *history.Bundle
	file    []byte
}

// withWitness makes a ledger of nodetest's world in dir that one witness and one monitor cosign.
func withWitness(t testing.TB, w *nodetest.World, dir string, opt node.Options) *checkpoint.Policy {
	t.Helper()
	w.Create(t, dir, opt)
	vkey, err := os.ReadFile(filepath.Join(dir, "log.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	logs, err := checkpoint.ParseKeys(vkey)
	if err != nil {
		t.Fatal(err)
	}
	cosigner := func(name string) checkpoint.Witness {
		skey, vkey, err := witness.NewKey(name + ".example")
		if err != nil {
			t.Fatal(err)
		}
		signer, err := f_note.NewSignerForCosignatureV1(skey)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(witness.New(t.TempDir(), note.Signer(signer), logs...))
		t.Cleanup(server.Close)
		return checkpoint.Witness{Name: name, VKey: vkey, URL: server.URL}
	}
	policy := &checkpoint.Policy{
		Logs:      []checkpoint.Log{{VKey: strings.TrimSpace(string(vkey))}},
		Witnesses: []checkpoint.Witness{cosigner("alfa")}, K: 1, Monitors: []checkpoint.Witness{cosigner("mona")},
	}
	text, err := checkpoint.FormatPolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "policy.txt"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	settings := nodetest.Settings()
	settings.WitnessPolicy = "policy.txt"
	if err := os.Remove(filepath.Join(dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	if err := node.WriteSettings(dir, settings); err != nil {
		t.Fatal(err)
	}
	return policy
}

var theHistory sync.Mutex
var oneHistory *realHistory

// aHistory runs a ledger once for all tests.
func aHistory(t *testing.T) *realHistory {
	t.Helper()
	theHistory.Lock()
	defer theHistory.Unlock()
	if oneHistory != nil {
		return oneHistory
	}
	dir := filepath.Join(t.TempDir(), "ledger")
	w := nodetest.NewWorld(t, time.Now())
	policy := withWitness(t, w, dir, node.Options{})
	n, err := node.Open(t.Context(), dir, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	w.Register(t, n)
	h := &realHistory{subject: nodetest.Person(1), policy: policy}
	accesses := []nodetest.Access{
		{Subjects: 1, First: 1, Provider: "prov_a"}, {Subjects: 3, First: 0, Provider: "prov_b"}, {Subjects: 2, First: 7},
		{Subjects: 1, First: 1, Provider: nodetest.Alone}, {Subjects: 1, First: 1, Provider: "prov_a"},
	}
	for i, a := range accesses {
		if _, _, err := n.Submit(t.Context(), w.Make(t, i, a)); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			if err := n.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 {
		if err := n.LookUpFor(t.Context(), h.subject); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if h.bundle, err = n.History(ctx, h.subject); err != nil {
		t.Fatal(err)
	}
	if h.file, err = history.Format(h.bundle); err != nil {
		t.Fatal(err)
	}
	oneHistory = h
	return h
}

func codes(r *verifier.HistoryReport) (list []string) {
	if r.Malformed != nil {
		return []string{"malformed"}
	}
	for _, p := range r.Problems {
		list = append(list, p.Code)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// TestRealHistory: what a node gives out convinces.
func TestRealHistory(t *testing.T) {
	h := aHistory(t)
	r := verifier.History(h.file, h.policy, time.Now(), rules)
	if !r.Proven() || !r.Complete || r.Stale || r.CompleteUntil.IsZero() {
		t.Fatalf("not complete: %v %v", r.Problems, r.Malformed)
	}
	var scopes []string
	for i, e := range r.Events {
		if e.State != verifier.StateOpen || e.Number == nil || e.Agency == "" || e.Purpose == "" || e.Key != "operator" {
			t.Errorf("event %d: %+v", i, e)
		}
		scopes = append(scopes, e.Scope)
	}
	if want := []string{"hub", "hub", "+reported", "hub", "+ledger"}; !slices.Equal(scopes, want) {
		t.Errorf("events in %v, want %v: two look-ups of a month leave one event", scopes, want)
	}
	if len(r.Scopes) != 5 || len(r.Missing("en")) != 0 {
		t.Errorf("%d scopes, missing %v", len(r.Scopes), r.Missing("en"))
	}
	// Not after two days.
	if r = verifier.History(h.file, h.policy, time.Now().Add(49*time.Hour), rules); !r.Stale || r.Proven() || r.CompleteUntil.IsZero() {
		t.Errorf("after two days: stale %v, proven %v", r.Stale, r.Proven())
	}
}

// TestRealExcerpt: chosen events stand alone, without k_s.
func TestRealExcerpt(t *testing.T) {
	h := aHistory(t)
	_, epoch, err := ledger.ParseOrigin(h.bundle.Shards[0].Origin)
	if err != nil {
		t.Fatal(err)
	}
	chosen := []uint64{h.bundle.Shards[0].Events[0].Index, h.bundle.Shards[0].Events[2].Index}
	x, err := h.bundle.Choose(map[uint32][]uint64{epoch: chosen})
	if err != nil {
		t.Fatal(err)
	}
	file, err := history.Format(x)
	if err != nil {
		t.Fatal(err)
	}
	r := verifier.History(file, h.policy, time.Now(), rules)
	if !r.Proven() || r.Complete || !r.Excerpt || len(r.Events) != 2 || r.Events[0].State != verifier.StateOpen || r.Events[1].Number != nil {
		t.Errorf("%+v %v", r, r.Problems)
	}
	if len(x.Shards[0].Leaves) >= len(h.bundle.Shards[0].Leaves) {
		t.Error("an excerpt shows all leaves")
	}
	if _, err := h.bundle.Choose(map[uint32][]uint64{epoch: {0}}); err == nil {
		t.Error("an excerpt of the preamble")
	}
	if _, err := h.bundle.Choose(map[uint32][]uint64{epoch + 1: {1}}); err == nil {
		t.Error("an excerpt of another year")
	}
}

// TestWordsInBothLanguages: each code and note is said in Italian and English, and a note takes the same arguments in both.
func TestWordsInBothLanguages(t *testing.T) {
	p := newMade(t, 2025, nil)
	p.final = true
	m := newMade(t, 2026, p.settle())
	m.event(event{erased: true})
	m.event(event{scope: ledger.ScopeReported, iss: consumer})
	r := m.settle().check(m.bundle())
	if len(r.Problems) == 0 || len(r.Notes("it")) < 5 {
		t.Fatalf("problems %v, notes %v", r.Problems, r.Notes("it"))
	}
	for _, pair := range [][2][]string{{r.Missing("it"), r.Missing("en")}, {r.Notes("it"), r.Notes("en")}} {
		for i, it := range pair[0] {
			en := pair[1][i]
			if it == "" || it == en || strings.Contains(it+en, "%!") {
				t.Errorf("said as %q and %q", it, en)
			}
		}
	}
	if got := verifier.Plain(ledger.Problem{Code: "something"}).In("it"); !strings.Contains(got, "something") {
		t.Errorf("an unknown code is said as %q", got)
	}
}
