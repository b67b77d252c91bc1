// SPDX-License-Identifier: EUPL-1.2

package fsck

import (
	"fmt"
	"reflect"

	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/statistics"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// The rows that say how agencies' counters stood as a month began are compared with the heads, with how many events the log
// has before them, and with the number of every event whose agency is known. From them follows each record of totals.

// monthTotals is what the readings learn of months.
type monthTotals struct {
	reader *statistics.Reader
	told   []toldTotals
	begun  map[int]monthRow
}

type toldTotals struct {
	leaf   uint64
	totals *statistics.Totals
}

type monthRow struct {
	rows.MonthBegun
	next map[string]uint64 // by agency
}

func (s *shard) newTotals() (err error) {
	s.totals.begun = map[int]monthRow{}
	untold := []statistics.Span{}
	if s.before != nil {
		untold = s.before.totals.reader.Untold()
	}
	s.totals.reader, err = statistics.NewReader(s.origin, untold, func(leaf uint64, t *statistics.Totals) {
		s.totals.told = append(s.totals.told, toldTotals{leaf, t})
	})
	return err
}

// monthBegun reads one row.
func (s *shard) monthBegun(key, value []byte) {
	_, month, err := rows.ParseMonthBegunKey(key)
	var row monthRow
	if err == nil {
		row.MonthBegun, err = rows.ParseMonthBegun(value)
	}
	if err != nil {
		s.report.problem(CodeMalformed, counterAt(key), "how agencies' counters stood as a month began", "another row")
		return
	}
	row.next = map[string]uint64{}
	for _, a := range row.Next {
		row.next[a.Agency] = a.Next
	}
	s.totals.begun[month] = row
}

// countMonth compares the number of an event with the rows before and after it.
func (s *shard) countMonth(e *event) {
	for month, row := range s.totals.begun {
		if before := e.index < row.Head; before != (e.j < row.next[e.agency]) {
			s.report.problem(CodeNumber, monthAt(month), "agencies' numbers as they stood at head "+fmt.Sprint(row.Head), fmt.Sprintf("another for that of event %d", e.index))
		}
	}
}

func monthAt(month int) string { return fmt.Sprintf("counter/month/%d", month) }

// endTotals compares the rows with the heads, and the records with the rows.
func (s *shard) endTotals() {
	if s.log.broken {
		return
	}
	there := map[int]bool{}
	for _, b := range s.totals.reader.Begins() {
		there[b.Month] = true
		row, ok := s.totals.begun[b.Month]
		switch {
		case !ok:
			s.report.problem(CodeMissing, monthAt(b.Month), fmt.Sprintf("a row of the head %d", b.Head), "none")
		case row.Head != b.Head || row.Events() != b.Events:
			s.report.problem(CodeMismatch, monthAt(b.Month), fmt.Sprintf("head %d after %d events", b.Head, b.Events), fmt.Sprintf("head %d after %d", row.Head, row.Events()))
		}
	}
	for month := range s.totals.begun {
		if !there[month] {
			s.report.problem(CodeUnexpected, monthAt(month), "rows of months that began", "another")
		}
	}
	for _, t := range s.totals.told {
		of := s
		if t.totals.Origin != s.origin {
			of = s.before
		}
		if of == nil || len(of.totals.begun) == 0 || t.totals.Origin != of.origin {
			continue // the reader said so, or the rows are gone with the year's keys
		}
		if want := of.total(t.totals.Span); want != nil && !reflect.DeepEqual(want, t.totals) {
			s.report.problem(CodeMismatch, at(store.TableLeaf, t.leaf), "totals as the agencies' counters give them", "others")
		}
	}
}

// total makes a month's totals from the rows; nil where they don't have it.
func (s *shard) total(span statistics.Span) *statistics.Totals {
	var before, after *monthRow
	for month := 1; month <= statistics.AfterYear; month++ {
		row, ok := s.totals.begun[month]
		if !ok {
			continue
		}
		if row.Head == span.To {
			after = &row
			break
		}
		before = &row
	}
	if after == nil || before == nil || span.From == span.To {
		return statistics.Make(span, nil)
	}
	counts, ok := after.Since(before.MonthBegun)
	if !ok {
		return nil
	}
	return statistics.Make(span, counts)
}
