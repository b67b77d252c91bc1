// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/own"
)

const testOrigin = "registro.example/2026"

// cohortSides are what each side has of calls for aggregates: two, and one access.
type cohortSides struct {
	calls, recorded, public []access
	asked                   []access // and never answered
	list                    bool
	tracing                 []string
}

func (a access) cohort() *ledger.Cohort {
	r := a.receipt()
	return &ledger.Cohort{
		Aud: r.Aud, Iss: r.Iss, JTI: r.JTI, Provider: r.Provider, Consumer: r.Consumer, EService: r.EService, PurposeID: r.PurposeID, Purpose: r.Purpose,
		Operation: r.Operation, OccurredAt: r.OccurredAt, Pair: r.Pair,
	}
}

// cohortTrace is a line of a call for an aggregate.
func (a access) cohortTrace() string {
	line := access.trace(access{jti: a.jti, voucher: a.voucher, evidence: a.evidence, at: a.at, status: a.status, purpose: a.purpose, eservice: a.eservice})
	line = strings.Replace(line, `"tx-`, `"cx-`, 1)
	if !a.shown {
		return line
	}
	return line + `|"inps/` + a.jti + `; index=9"`
}

func (s *cohortSides) run(t *testing.T, traces bool) *ReconcileReport {
	t.Helper()
	r, err := NewReconciler(ReconcileConfig{
		NewSorter: func() (Sorter[ReconcileItem], error) { return new(memorySorter), nil }, Zone: time.UTC, Window: 10 * time.Minute,
		Traces: traces, Ledger: true, Tracing: s.tracing != nil, NoVouchers: s.list,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	one := testAccess(9)
	one.shown = true
	if traces {
		must(r.Trace(0, 1, []byte(one.trace())))
		for n, a := range s.calls {
			must(r.Trace(0, uint64(n+2), []byte(a.cohortTrace())))
		}
	}
	if s.list {
		must(r.Listed(&history.AgencyPart{Agency: "c_a944", Shard: history.Shard{Origin: testOrigin, Events: []history.Event{one.event(t, 50, ledger.KindAccess)}}}))
	} else {
		must(r.Record(1, one.record(50)))
		must(r.Submission(0, 1, one.submission(t)))
	}
	line := uint64(2)
	for _, kept := range []struct {
		list     []access
		answered bool
	}{{s.recorded, true}, {s.asked, false}} {
		for n, a := range kept.list {
			c := &own.Cohort{ID: "inps/" + a.jti, At: a.at.UnixMilli()}
			if kept.answered {
				c.Origin, c.Index = testOrigin, uint64(70+n)
			}
			text := own.AppendCohort(nil, c)
			must(r.Record(line, text[:len(text)-1]))
			line++
		}
	}
	for n, a := range s.public {
		must(r.Cohort(testOrigin, uint64(70+n), a.cohort()))
	}
	other := testAccess(30).cohort()
	other.Iss, other.Consumer = "inail", "c_f205"
	must(r.Cohort(testOrigin, 90, other))
	for n, row := range s.tracing {
		columns, _ := ParseTracingHeader([]byte("date,purpose_id,token_id,status,requests_count"))
		must(r.Filed(0, uint64(n+2), []byte(row), columns))
	}
	report, err := r.Conclude()
	must(err)
	return report
}

// TestReconcileCohorts: a call for an aggregate has its public record, as one about persons its receipt.
func TestReconcileCohorts(t *testing.T) {
	filed := func(voucher, count int) string {
		return fmt.Sprintf("2026-11-22,%s,99382e29-b0cf-412b-a060-%012d,200,%d", testPurpose, voucher, count)
	}
	bare := func(s *cohortSides) {
		for n := range s.calls {
			s.calls[n].shown = false
		}
	}
	for name, c := range map[string]struct {
		change  func(*cohortSides)
		filed   []string // without traces
		want    string
		matched uint64
		cohorts uint64
	}{
		"by id, of the records": {func(s *cohortSides) { s.public = nil }, nil, "", 3, 2},
		"by id":                 {nil, nil, "", 3, 2},
		"by pair":               {bare, nil, "", 3, 2},
		"by id, of a list":      {func(s *cohortSides) { s.list, s.recorded = true, nil }, nil, "", 3, 2},
		"by pair, of a list":    {func(s *cohortSides) { bare(s); s.list, s.recorded = true, nil }, nil, "", 3, 2},
		"public ones alone":     {func(s *cohortSides) { s.recorded = nil }, nil, "", 3, 2},
		"not in the ledger":     {func(s *cohortSides) { s.recorded, s.public = s.recorded[:1], nil }, nil, "missing_in_ledger traces/0/line/3", 2, 1},
		"not at the gateway":    {func(s *cohortSides) { s.calls = s.calls[:1] }, nil, "missing_at_gateway ledger/registro.example/2026/71", 2, 2},
		"asked for, and refused": {func(s *cohortSides) {
			s.asked, s.calls[1].status, s.calls[1].shown, s.recorded, s.public = s.calls[1:], "503", false, s.recorded[:1], s.public[:1]
		}, nil, "", 2, 1},
		"another purpose": {func(s *cohortSides) { s.calls[0].purpose = testEService }, nil, "differs traces/0/line/2#purpose_id", 3, 2},
		"another time":    {func(s *cohortSides) { s.calls[0].at = s.calls[0].at.Add(time.Hour) }, nil, "differs traces/0/line/2#time", 3, 2},
		"an access for an aggregate": {func(s *cohortSides) {
			s.calls[0].jti = testAccess(9).jti
			s.recorded, s.public = s.recorded[1:], s.public[1:]
		}, nil, "differs traces/0/line/2#shown, differs traces/0/line/2#voucher, repeated_call traces/0/line/1", 2, 1},
		"filed":                         {nil, []string{filed(4, 1), filed(0, 1), filed(1, 1)}, "", 3, 2},
		"filed, of one voucher":         {nil, []string{filed(4, 2), filed(0, 1)}, "", 3, 2},
		"filed, one too many":           {nil, []string{filed(4, 1), filed(0, 3)}, "differs tracing/0/line/3", 3, 2},
		"filed, one too few":            {nil, []string{filed(4, 1), filed(0, 1)}, "missing_in_tracing ledger/registro.example/2026/70", 2, 2},
		"filed, one too few of another": {nil, []string{filed(0, 2)}, "missing_in_tracing ledger/registro.example/2026/50", 2, 2},
		"filed, of a list":              {func(s *cohortSides) { s.list, s.recorded = true, nil }, []string{filed(0, 3)}, "", 3, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := &cohortSides{tracing: c.filed}
			for n := range 2 {
				a := testAccess(n)
				a.shown = true
				s.calls, s.recorded, s.public = append(s.calls, a), append(s.recorded, a), append(s.public, a)
			}
			if c.change != nil {
				c.change(s)
			}
			r := s.run(t, c.filed == nil)
			if got := said(r); got != c.want {
				t.Errorf("found %q, want %q", got, c.want)
			}
			if r.Comparisons[0].Matched != c.matched || r.Cohorts != c.cohorts || r.Receipts != 1 {
				t.Errorf("%+v, %d aggregates, %d receipts", r.Comparisons[0], r.Cohorts, r.Receipts)
			}
		})
	}
}

// TestCohortTraces: the header of GovWay's topic response, and lines that show too much or half.
func TestCohortTraces(t *testing.T) {
	const shown = "inps/5a0e7b3c-52f0-4d0e-9d5e-000000000001; index=9"
	i, ok := ParseTraceLine([]byte(`"in-response"|"tx"|"g"|"2026-11-22 10:00:01:123"|"+0100"|"10.0.0.1"|"HTTP/1.1"|"POST"|"u"|"200"|"1"|"application/json"|"9"|"HEADERS"|"traccia-cohort=` + shown + `"`))
	if !ok || i.Kind != kindCohort || i.Receipt != strings.TrimSuffix(shown, "; index=9") {
		t.Errorf("%+v, %v", i, ok)
	}
	a := testAccess(1)
	if i, ok := ParseTraceLine([]byte(a.trace() + `|""`)); !ok || i.Kind != "" || i.Receipt != "" {
		t.Errorf("no aggregate: %+v, %v", i, ok)
	}
	both := a
	both.shown = true
	for _, line := range []string{a.trace() + `|"inps"`, both.trace() + `|"` + shown + `"`, a.trace() + `|""|""`} {
		if _, ok := ParseTraceLine([]byte(line)); ok {
			t.Errorf("taken: %s", line)
		}
	}
}
