// SPDX-License-Identifier: EUPL-1.2

package register

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"
)

// Query chooses among the bodies.
type Query struct {
	Words  string // that name or id have, each of them, whatever their case and accents
	Month  *Month // whose numbers are shown; nil: none
	Events bool   // those with most events first, else by name
}

// MaxWords is the longest Query.Words, in bytes; what is beyond isn't looked at.
const MaxWords = 200

// Row is a body that was found.
type Row struct {
	*Body
	Events *uint64 `json:"events,omitempty"` // its line in the month; nil: none of its own
}

// Find returns the bodies that a query chooses.
func (r *Register) Find(q Query) (rows []Row) {
	words := strings.Fields(fold(q.Words[:min(len(q.Words), MaxWords)]))
	for _, b := range r.list {
		if slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(b.folded, w) }) {
			continue
		}
		row := Row{Body: b}
		if q.Month != nil {
			if n, ok := q.Month.Line(b.ID); ok {
				row.Events = &n
			}
		}
		rows = append(rows, row)
	}
	if q.Events {
		slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Compare(b.events(), a.events()) })
	}
	return rows
}

func (r Row) events() uint64 {
	if r.Events == nil {
		return 0
	}
	return *r.Events
}

// fold writes a text without accents, in lower case.
func fold(text string) string {
	bare, _, err := transform.String(transform.Chain(norm.NFD, runes.Remove(runes.In(unicode.Mn)), norm.NFC), text)
	if err != nil {
		bare = text
	}
	return strings.ToLower(bare)
}
