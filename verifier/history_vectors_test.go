// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/verifier"
)

var updateHistory = flag.Bool("update-history", false, "make testdata/history again, with new keys")

// historyVector is one file of testdata/history, and what a reader at an instant must say of it under policy.txt.
type historyVector struct {
	File     string   `json:"file"`
	Now      string   `json:"now"`
	Complete bool     `json:"complete"`
	Until    string   `json:"complete_until,omitempty"`
	Stale    bool     `json:"stale,omitempty"`
	Codes    []string `json:"codes,omitempty"` // of problems, each once, ascending
	States   []string `json:"states"`          // of events
	Steps    []string `json:"steps"`           // what became of each, in their order
}

const historyVectors = "testdata/history"

// makeHistoryVectors writes a ledger's year with one of each kind of event, and lies about it.
func makeHistoryVectors(t *testing.T) {
	t.Helper()
	m := newMade(t, 2026, nil)
	m.record(`{"kind":"retention","months":24}`)
	m.event(event{pair: ledger.Hex{7}})
	m.event(event{scope: ledger.ScopeReported, iss: consumer, pair: ledger.Hex{7}})
	m.event(event{scope: ledger.ScopeConsent, kind: ledger.KindConsentGiven, iss: consumer})
	consented := m.event(event{receipt: consentOf(consentID)})
	m.event(event{subject: citizens(2)[1].Subject})
	gone := m.event(event{erased: true})
	m.head(nil)
	m.event(event{scope: ledger.ScopeConsent, kind: ledger.KindRequest, iss: consumer, receipt: erasing(history.Erasure{Epoch: 2026, Index: gone})})
	m.event(event{scope: ledger.ScopeLedger, kind: ledger.KindLookUp, iss: requester})
	m.settle()
	var vectors []historyVector
	add := func(name string, now time.Time, change func(b *history.Bundle)) {
		b := m.bundle()
		if change != nil {
			change(b)
		}
		file, err := history.Format(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(historyVectors, name), file, 0o644); err != nil {
			t.Fatal(err)
		}
		vectors = append(vectors, vectorOf(verifier.History(file, m.policy, now, rules), name, now))
	}
	if err := os.MkdirAll(historyVectors, 0o755); err != nil {
		t.Fatal(err)
	}
	add("whole.history", m.now, nil)
	add("whole.history", m.now.Add(49*time.Hour), nil)
	add("excerpt.history", m.now.AddDate(3, 0, 0), func(b *history.Bundle) {
		x, err := b.Choose(map[uint32][]uint64{2026: {consented}})
		if err != nil {
			t.Fatal(err)
		}
		*b = *x
	})
	add("withheld.history", m.now, func(b *history.Bundle) { b.Shards[0].Events[0].Nonce, b.Shards[0].Events[0].Body = nil, nil })
	add("scope-left-out.history", m.now, func(b *history.Bundle) { b.Shards[0].Lists = b.Shards[0].Lists[:4] })
	add("no-monitor.history", m.now, func(b *history.Bundle) { b.Shards[0].Checkpoint = m.cosigned(m.witness) })
	add("no-witness.history", m.now, func(b *history.Bundle) { b.Shards[0].Checkpoint = m.cosigned(m.monitor) })
	add("other-log.history", m.now, func(b *history.Bundle) { b.Shards[0].Origin = "altro.example/2026" })
	add("leaf-changed.history", m.now, func(b *history.Bundle) { b.Shards[0].Leaves[1].Leaf = append(b.Shards[0].Leaves[1].Leaf, 0) })
	add("other-key.history", m.now, func(b *history.Bundle) { b.Shards[0].Lists[0].Pi = b.Shards[0].Lists[2].Pi })
	add("index-changed.history", m.now, func(b *history.Bundle) { b.Shards[0].Index[len(b.Shards[0].Index)-1] ^= 1 })
	add("other-body.history", m.now, func(b *history.Bundle) { b.Shards[0].Events[0].Body = append(b.Shards[0].Events[0].Body, ' ') })
	keepVectors(t, historyVectors, m.policy, vectors)
}

func vectorOf(r *verifier.HistoryReport, file string, now time.Time) historyVector {
	v := historyVector{File: file, Now: now.UTC().Format(time.RFC3339), Complete: r.Complete, Stale: r.Stale, Codes: codes(r), States: []string{}, Steps: []string{}}
	for _, s := range r.Steps() {
		v.Steps = append(v.Steps, s.State)
	}
	if !r.CompleteUntil.IsZero() {
		v.Until = r.CompleteUntil.Format(time.RFC3339)
	}
	for _, e := range r.Events {
		v.States = append(v.States, e.State)
	}
	return v
}

// TestHistoryVectors: files that were made once are judged as they were then.
func TestHistoryVectors(t *testing.T) {
	if *updateHistory {
		makeHistoryVectors(t)
	}
	policy, vectors := keptVectors[historyVector](t, historyVectors)
	for _, want := range vectors {
		file := keptVector(t, historyVectors, want.File)
		now, err := time.Parse(time.RFC3339, want.Now)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, vectorOf(verifier.History(file, policy, now, rules), want.File, now)); d != "" {
			t.Errorf("%s at %s: %s", want.File, want.Now, d)
		}
		b, err := history.Parse(file)
		if err != nil {
			t.Fatal(err)
		}
		document, err := history.FormatDocument(b)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := history.ParseDocument(document); err != nil || !cmp.Equal(b, again) {
			t.Errorf("%s: its document formats to another", want.File)
		}
	}
	if len(vectors) < 6 || !slices.ContainsFunc(vectors, func(v historyVector) bool { return v.Complete }) {
		t.Errorf("%d vectors", len(vectors))
	}
}
