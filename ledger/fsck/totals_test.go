// SPDX-License-Identifier: EUPL-1.2

package fsck_test

import (
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger/fsck"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/statistics"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// TestTotals: the rows from which months' totals are made, and the records, against the events.
func TestTotals(t *testing.T) {
	const year = 2037
	began := time.Now()
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	dir := filepath.Join(t.TempDir(), "ledger")
	next := 0
	run := func(at time.Time) {
		t.Helper()
		ahead.Store(int64(at.Sub(began)))
		w := nodetest.NewWorld(t, now())
		if next == 0 {
			w.Create(t, dir, node.Options{Now: now})
		}
		n, err := node.Open(t.Context(), dir, node.Options{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		if next == 0 {
			w.Register(t, n)
		}
		for range 30 {
			if _, _, err := n.Submit(t.Context(), w.Submission(t, next)); err != nil {
				t.Fatal(err)
			}
			next++
		}
		time.Sleep(200 * time.Millisecond) // for the records of the month before
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, month := range []time.Month{time.October, time.November, time.December} {
		run(time.Date(year, month, 5, 0, 0, 0, 0, time.UTC))
	}
	run(time.Date(year+1, time.January, 5, 0, 0, 0, 0, time.UTC))
	p := open(t, dir)
	p.now = now()
	p.healthy()
	if told := p.told(); !slices.Equal(told, []string{"2037-10", "2037-11", "2037-12"}) {
		t.Fatalf("told %v", told)
	}

	november := rows.MonthBegunKey(year, 11)
	var row rows.MonthBegun
	for _, r := range p.rows(store.TableCounter) {
		if string(r.Key) == string(november) {
			var err error
			if row, err = rows.ParseMonthBegun(r.Value); err != nil {
				t.Fatal(err)
			}
		}
	}
	value := rows.FormatMonthBegun(row)
	changed := func(f func(m *rows.MonthBegun)) []byte {
		m := rows.MonthBegun{Head: row.Head, Next: slices.Clone(row.Next)}
		f(&m)
		return rows.FormatMonthBegun(m)
	}
	for _, c := range []struct {
		name string
		row  store.Row
		want string
	}{
		{"taken away", store.Row{Key: november}, fsck.CodeMissing},
		{"another head", store.Row{Key: november, Value: changed(func(m *rows.MonthBegun) { m.Head++ })}, fsck.CodeMismatch},
		{"an event more", store.Row{Key: november, Value: changed(func(m *rows.MonthBegun) { m.Next[0].Next++ })}, fsck.CodeMismatch},
		{"an event moved to another", store.Row{Key: november, Value: changed(func(m *rows.MonthBegun) { m.Next[0].Next--; m.Next[1].Next++ })}, fsck.CodeNumber},
		{"malformed", store.Row{Key: november, Value: value[:len(value)-1]}, fsck.CodeMalformed},
		{"a month that didn't begin", store.Row{Key: rows.MonthBegunKey(year, 9), Value: value}, fsck.CodeUnexpected},
		{"no month", store.Row{Key: rows.MonthBegunKey(year, 14), Value: value}, fsck.CodeMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.row.Table = store.TableCounter
			p.commit(c.row)
			report := p.check()
			found := false
			for _, problem := range report.Problems {
				found = found || problem.Code == c.want && strings.HasPrefix(problem.Where, "counter/")
			}
			if !found {
				t.Errorf("no %s in %v", c.want, report.Problems)
			}
			p.commit(store.Row{Table: store.TableCounter, Key: november, Value: value})
			if string(c.row.Key) != string(november) {
				p.commit(store.Row{Table: store.TableCounter, Key: c.row.Key})
			}
		})
	}
	p.healthy()
}

// told are the months whose totals the records tell.
func (p *patient) told() (months []string) {
	p.t.Helper()
	for _, r := range p.rows(store.TableRecord) {
		if !statistics.Is(r.Value) {
			continue
		}
		record, err := statistics.Parse(r.Value)
		if err != nil {
			p.t.Fatal(err)
		}
		months = append(months, record.Month)
	}
	return months
}
