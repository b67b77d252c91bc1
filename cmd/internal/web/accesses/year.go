// SPDX-License-Identifier: EUPL-1.2

package accesses

import (
	"slices"
	"strconv"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/chart"
)

// Month counts the accesses of a month of a Year.
type Month struct {
	Month   time.Month
	Granted int
	Denied  int
}

// Year counts those of one.
type Year struct {
	Year   int
	Months [12]Month
}

// Years lists the years in which something happened, the latest first.
func Years(list []*Access, place *time.Location) (years []int) {
	for _, a := range list {
		if y := a.When.In(place).Year(); !a.When.IsZero() && !slices.Contains(years, y) {
			years = append(years, y)
		}
	}
	slices.Sort(years)
	slices.Reverse(years)
	return years
}

// YearOf counts a year's accesses by month.
func YearOf(list []*Access, year int, place *time.Location) *Year {
	y := &Year{Year: year}
	for _, a := range list {
		when := a.When.In(place)
		if when.Year() != year || a.When.IsZero() {
			continue
		}
		if m := &y.Months[when.Month()-1]; a.Denied() {
			m.Denied++
		} else {
			m.Granted++
		}
	}
	for i := range y.Months {
		y.Months[i].Month = time.Month(i + 1)
	}
	return y
}

// Chart is its picture, without words: what was granted, and upon it what was denied.
func (y *Year) Chart() chart.Year {
	var granted, denied [12]uint64
	for i, m := range y.Months {
		granted[i], denied[i] = uint64(m.Granted), uint64(m.Denied)
	}
	return chart.NewYear(granted, denied, func(n uint64) string { return strconv.FormatUint(n, 10) })
}

// Granted and Denied are the year's.
func (y *Year) Granted() (n int) {
	for _, m := range y.Months {
		n += m.Granted
	}
	return n
}

// Denied counts what was refused.
func (y *Year) Denied() (n int) {
	for _, m := range y.Months {
		n += m.Denied
	}
	return n
}
