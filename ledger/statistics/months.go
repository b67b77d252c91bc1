// SPDX-License-Identifier: EUPL-1.2

package statistics

import (
	"fmt"
	"time"
)

// Span is a month's leaves of one log: from ≤ index < To. Which they are the heads say: a month begins with the first head
// whose unix_ms lies in it or later, the log's first month with leaf 0, and ends where the next begins or, the last one,
// with the final head.
type Span struct {
	Origin string
	Month  string // "2026-11", UTC
	From   uint64
	To     uint64 // a head
	Events uint64
}

func (s *Span) key() string { return s.Origin + " " + s.Month }

// AfterYear is the month of a final head, which ends the last month whenever it was written.
const AfterYear = 13

// MonthOf is the month (1 to 12) that a head of an epoch's log lies in, or AfterYear for the final one. An instant outside
// the year counts as its nearest month.
func MonthOf(epoch uint32, unixMS uint64, final bool) int {
	t := time.UnixMilli(int64(min(unixMS, 1<<52))).UTC()
	switch year := uint32(max(t.Year(), 0)); {
	case final:
		return AfterYear
	case year < epoch:
		return 1
	case year > epoch:
		return 12
	}
	return int(t.Month())
}

// Months follows a log's events and heads, in order.
type Months struct {
	origin string
	epoch  uint32
	begins []begin
	events uint64
}

// begin is the head with which a month begins.
type begin struct {
	month  int
	head   uint64
	events uint64 // before it
}

// NewMonths returns a Months at the start of a log.
func NewMonths(origin string, epoch uint32) *Months { return &Months{origin: origin, epoch: epoch} }

// Event counts one.
func (m *Months) Event() { m.events++ }

// Head takes the head at this log index, and says whether a month begins with it.
func (m *Months) Head(index, unixMS uint64, final bool) bool {
	month := MonthOf(m.epoch, unixMS, final)
	if n := len(m.begins); n > 0 && month <= m.begins[n-1].month {
		return false
	}
	m.begins = append(m.begins, begin{month, index, m.events})
	return true
}

// Spans returns the months that are over, in order, those without any head among them.
func (m *Months) Spans() []Span {
	if len(m.begins) == 0 {
		return nil
	}
	var spans []Span
	from, before := uint64(0), uint64(0)
	for i, b := range m.begins[1:] {
		for month := m.begins[i].month; month < b.month; month++ {
			spans = append(spans, Span{m.origin, fmt.Sprintf("%04d-%02d", m.epoch, month), from, b.head, b.events - before})
			from, before = b.head, b.events
		}
	}
	return spans
}
