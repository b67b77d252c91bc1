// SPDX-License-Identifier: EUPL-1.2

package accesses

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/words"
)

// Names of a filter's fields, in the addresses of pages and in forms.
const (
	fieldBody     = "ente"
	fieldFrom     = "dal"
	fieldTo       = "al"
	fieldPurpose  = "motivo"
	fieldCategory = "dati"
	fieldNew      = "novita"
)

// Mistakes in the days of a filter.
const (
	NoDay       = "no_day"  // one is none, and was left out
	DaysCrossed = "crossed" // the first is after the last: nothing can be between them
)

// Filter chooses accesses. What is zero chooses all.
type Filter struct {
	Body     string // id
	From, To string // days, YYYY-MM-DD, both included
	Purpose  string // words.Term.ID
	Category string // likewise
	New      bool
}

// ParseFilter reads a filter as a form sends it. What it can't be is left out: the page shows what it was filtered by, and
// which mistake there is in its days; "": none.
func ParseFilter(v url.Values) (f Filter, mistake string) {
	f = Filter{Body: v.Get(fieldBody), Purpose: v.Get(fieldPurpose), Category: v.Get(fieldCategory), New: v.Get(fieldNew) == "1"}
	for field, day := range map[string]*string{fieldFrom: &f.From, fieldTo: &f.To} {
		if _, err := time.Parse(time.DateOnly, v.Get(field)); err == nil {
			*day = v.Get(field)
		} else if v.Get(field) != "" {
			mistake = NoDay
		}
	}
	if mistake == "" && f.To != "" && f.From > f.To {
		mistake = DaysCrossed
	}
	return f, mistake
}

// Query is the filter as ParseFilter reads it.
func (f Filter) Query() string {
	v := url.Values{}
	for field, text := range map[string]string{fieldBody: f.Body, fieldFrom: f.From, fieldTo: f.To, fieldPurpose: f.Purpose, fieldCategory: f.Category} {
		if text != "" {
			v.Set(field, text)
		}
	}
	if f.New {
		v.Set(fieldNew, "1")
	}
	return v.Encode()
}

// OfBody is the filter with another body.
func (f Filter) OfBody(id string) Filter {
	f.Body = id
	return f
}

// Set says whether it chooses anything.
func (f Filter) Set() bool { return f != Filter{} }

// Choose returns the accesses that it chooses. Days are those of a place.
func (f Filter) Choose(list []*Access, place *time.Location) (chosen []*Access) {
	for _, a := range list {
		day := a.When.In(place).Format(time.DateOnly)
		is := func(id string) func(words.Term) bool { return func(t words.Term) bool { return t.ID == id } }
		switch {
		case f.Body != "" && a.Body != f.Body, f.From != "" && day < f.From, f.To != "" && day > f.To,
			f.Purpose != "" && a.Purpose.ID != f.Purpose, f.Category != "" && !slices.ContainsFunc(a.Data, is(f.Category)), f.New && !a.New:
		default:
			chosen = append(chosen, a)
		}
	}
	return chosen
}

// Option is a value that a field of the filter may have.
type Option struct{ Value, Label string }

// Options are the values that choose something, by label.
type Options struct{ Bodies, Purposes, Categories []Option }

// OptionsOf returns those of a list.
func OptionsOf(list []*Access) Options {
	bodies, purposes, categories := map[string]string{}, map[string]string{}, map[string]string{}
	for _, a := range list {
		bodies[a.Body] = a.BodyName
		if a.Purpose.ID != "" {
			purposes[a.Purpose.ID] = a.Purpose.Label
		}
		for _, c := range a.Data {
			categories[c.ID] = c.Label
		}
	}
	return Options{sorted(bodies), sorted(purposes), sorted(categories)}
}

func sorted(labels map[string]string) (list []Option) {
	for value, label := range labels {
		list = append(list, Option{value, label})
	}
	slices.SortFunc(list, func(a, b Option) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Label), strings.ToLower(b.Label)), strings.Compare(a.Value, b.Value))
	})
	return list
}
