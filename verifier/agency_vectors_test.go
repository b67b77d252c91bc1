// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/verifier"
)

var updateAgency = flag.Bool("update-agency", false, "make testdata/agency again, with new keys")

// agencyVector is one file of testdata/agency, and what a reader at an instant, who was answered with some entries, must say
// of it under policy.txt.
type agencyVector struct {
	File     string   `json:"file"`
	Now      string   `json:"now"`
	Seen     []uint64 `json:"seen"` // all of them
	Complete bool     `json:"complete"`
	Until    string   `json:"complete_until,omitempty"`
	Events   uint64   `json:"events"`
	Codes    []string `json:"codes,omitempty"` // of problems, each once, ascending
}

const agencyVectors = "testdata/agency"

// makeAgencyVectors writes the list of a body's year, and lies about it.
func makeAgencyVectors(t *testing.T) {
	t.Helper()
	m := newMadeList(t)
	m.record(`{"kind":"retention","months":24}`)
	m.access(event{})
	m.access(event{subject: citizens(2)[1].Subject})
	m.event(event{})
	m.access(event{scope: ledger.ScopeReported, iss: consumer})
	m.settle()
	first := m.piece(0, 2)
	m.access(event{kind: ledger.KindLookUp, scope: ledger.ScopeLedger, iss: consumer})
	m.settle()
	var vectors []agencyVector
	add := func(name string, now time.Time, seen []uint64, parts ...*history.AgencyPart) {
		var file []byte
		for _, p := range parts {
			part, err := history.FormatAgencyPart(p)
			if err != nil {
				t.Fatal(err)
			}
			file = append(file, part...)
		}
		if err := os.WriteFile(filepath.Join(agencyVectors, name), file, 0o644); err != nil {
			t.Fatal(err)
		}
		vectors = append(vectors, judgeVector(t, file, m.policy, agencyVector{File: name, Now: now.UTC().Format(time.RFC3339), Seen: seen}))
	}
	if err := os.MkdirAll(agencyVectors, 0o755); err != nil {
		t.Fatal(err)
	}
	add("whole.list", m.now, m.calls, first, m.piece(2, 9))
	add("whole.list", m.now.Add(49*time.Hour), m.calls, first, m.piece(2, 9))
	add("whole.list", m.now, m.calls[1:], first, m.piece(2, 9))
	add("whole.list", m.now, append(slices.Clone(m.calls), m.calls[3]+1), first, m.piece(2, 9))
	add("gap.list", m.now, m.calls, first, m.piece(3, 9))
	add("begun.list", m.now, m.calls, first)
	withheld := m.piece(0, 9)
	withheld.Events[1].Nonce, withheld.Events[1].Body = nil, nil
	add("withheld.list", m.now, m.calls, withheld)
	other := m.piece(0, 9)
	other.Agency = "c_f205"
	add("other-body.list", m.now, m.calls, other)
	keepVectors(t, agencyVectors, m.policy, vectors)
}

// judgeVector fills in what a verifier says.
func judgeVector(t *testing.T, file []byte, policy *checkpoint.Policy, v agencyVector) agencyVector {
	t.Helper()
	now, err := time.Parse(time.RFC3339, v.Now)
	if err != nil {
		t.Fatal(err)
	}
	r, err := verifier.Agency(bytes.NewReader(file), verifier.AgencyConfig{Policy: policy, Now: now, Seen: func(string) []uint64 { return v.Seen }, AllSeen: true})
	if err != nil || r.Malformed != nil {
		t.Fatalf("%s: %v, %v", v.File, r.Malformed, err)
	}
	v.Complete, v.Events, v.Until, v.Codes = r.Complete, r.Events, "", nil
	if !r.CompleteUntil.IsZero() {
		v.Until = r.CompleteUntil.Format(time.RFC3339)
	}
	if len(r.Problems) > 0 {
		v.Codes = slices.Compact(slices.Sorted(slices.Values(strings.Fields(agencyCodes(r)))))
	}
	return v
}

// TestAgencyVectors: files that were made once are judged as they were then.
func TestAgencyVectors(t *testing.T) {
	if *updateAgency {
		makeAgencyVectors(t)
	}
	policy, vectors := keptVectors[agencyVector](t, agencyVectors)
	for _, want := range vectors {
		file := keptVector(t, agencyVectors, want.File)
		if d := cmp.Diff(want, judgeVector(t, file, policy, want)); d != "" {
			t.Errorf("%s at %s: %s", want.File, want.Now, d)
		}
	}
}
