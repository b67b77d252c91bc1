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

// Key tells months apart.
func (s *Span) Key() string { return s.Origin + " " + s.Month }

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

// Begin is the head with which a month begins.
type Begin struct {
	Month  int // MonthOf
	Head   uint64
	Events uint64 // in the log before it
}

// Spans returns the months that are over, in order, those without any head among them, from the beginnings of a log's
// months: its first head's and those after, ascending.
func Spans(origin string, epoch uint32, begins []Begin) (spans []Span) {
	var from, before uint64
	for i := 1; i < len(begins); i++ {
		b := begins[i]
		for month := begins[i-1].Month; month < b.Month; month++ {
			spans = append(spans, Span{origin, fmt.Sprintf("%04d-%02d", epoch, month), from, b.Head, b.Events - before})
			from, before = b.Head, b.Events
		}
	}
	return spans
}

// Months follows a log's events and heads, in order.
type Months struct {
	origin string
	epoch  uint32
	begins []Begin
	events uint64
}

// NewMonths returns a Months at the start of a log.
func NewMonths(origin string, epoch uint32) *Months { return &Months{origin: origin, epoch: epoch} }

// Event counts one.
func (m *Months) Event() { m.events++ }

// Head takes the head at this log index, and says whether a month begins with it.
func (m *Months) Head(index, unixMS uint64, final bool) bool {
	month := MonthOf(m.epoch, unixMS, final)
	if n := len(m.begins); n > 0 && month <= m.begins[n-1].Month {
		return false
	}
	m.begins = append(m.begins, Begin{month, index, m.events})
	return true
}

// Begins returns where months began so far.
func (m *Months) Begins() []Begin { return m.begins[:len(m.begins):len(m.begins)] }

// Spans returns the months that are over.
func (m *Months) Spans() []Span { return Spans(m.origin, m.epoch, m.begins) }
