// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/own"
)

// TestCohorts: aggregates are kept as they were asked for and answered, beside the events and in their order.
func TestCohorts(t *testing.T) { homes(t, testCohorts) }

func testCohorts(t *testing.T, at func() home) {
	now := time.UnixMilli(1795339800123)
	h := at().at(func() time.Time { return now })
	reopen := func(m *Memory) *Memory {
		t.Helper()
		if m != nil {
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		}
		return h.open(t)
	}
	m := reopen(nil)
	if err := call(m, 1, event(1, rossi, 0, 10)); err != nil {
		t.Fatal(err)
	}
	answered := func(n int, index uint64) own.Cohort {
		return own.Cohort{ID: scope + "/" + jti(n), Origin: origin, Index: index, Leaf: ledger.Hash{byte(index), 2}}
	}
	for n := 2; n <= 4; n++ {
		if err := m.AskCohort(jti(n)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the same answer again changes nothing
		if err := m.AcknowledgeCohort(point(12), answered(2, 11)); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.DropCohort(jti(3)); err != nil {
		t.Fatal(err)
	}
	other := answered(2, 11)
	other.Leaf[0] ^= 1
	for title, test := range map[string]struct {
		do   func() error
		code string
	}{
		"the place of an event":     {func() error { return m.AcknowledgeCohort(point(13), answered(4, 10)) }, CodeIndexAgain},
		"the place of another":      {func() error { return m.AcknowledgeCohort(point(13), answered(4, 11)) }, CodeIndexAgain},
		"another leaf":              {func() error { return m.AcknowledgeCohort(point(13), other) }, CodeIndexAgain},
		"an event in a cohort's":    {func() error { return call(m, 5, event(5, office, 0, 11)) }, CodeIndexAgain},
		"another root of that size": {func() error { c := point(12); c.Root[0] ^= 1; return m.AcknowledgeCohort(c, answered(4, 12)) }, CodeOtherRoot},
	} {
		var p *ledger.Problem
		if err := test.do(); !errors.As(err, &p) || p.Code != test.code {
			t.Errorf("%s: %v, want %s", title, err, test.code)
		}
	}
	m = reopen(m)
	defer func() { m.Close() }()
	list, err := m.Unwitnessed()
	if err != nil || len(list) != 2 || list[1].Checkpoint != point(12) {
		t.Errorf("waiting for witnesses: %+v, %v", list, err)
	}
	var got []own.Cohort
	events := 0
	for line, err := range m.Lines() {
		if err != nil {
			t.Fatal(err)
		}
		if !own.IsCohort(line) {
			events++
			continue
		}
		c, err := own.ParseCohort(line)
		if err != nil || events != 1 {
			t.Fatalf("%s after %d events: %v", line, events, err)
		}
		got = append(got, *c)
	}
	kept := answered(2, 11)
	kept.At = now.UnixMilli()
	if diff := cmp.Diff([]own.Cohort{kept, {ID: scope + "/" + jti(4), At: now.UnixMilli()}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n, err := m.Count(); n != 3 || err != nil {
		t.Errorf("%d lines, %v", n, err)
	}
	for line, err := range m.Lines() {
		if own.IsCohort(line) || err != nil {
			break // whoever has enough
		}
	}
}

// TestCohortYear: a year with nothing but an aggregate in it is to be checked, too.
func TestCohortYear(t *testing.T) {
	m := open(t, create(t))
	if err := m.AskCohort(jti(1)); err != nil {
		t.Fatal(err)
	}
	has := func(want bool) {
		t.Helper()
		if got, err := m.Has(2026); got != want || err != nil {
			t.Errorf("%v, %v", got, err)
		}
	}
	has(false)
	if err := m.AcknowledgeCohort(point(12), own.Cohort{ID: scope + "/" + jti(1), Origin: origin, Index: 11}); err != nil {
		t.Fatal(err)
	}
	has(true)
	if err := m.AskCohort("1"); err == nil {
		t.Error("a jti that is none")
	}
}
