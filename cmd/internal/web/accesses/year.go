// SPDX-License-Identifier: EUPL-1.2

package accesses

import (
	"slices"
	"time"
)

// Month counts the accesses of a month of a Year.
type Month struct {
	Month   time.Month
	Granted int
	Denied  int
	Bar     Bar // of Granted
	Over    Bar // of Denied, upon it
}

// All of a month.
func (m Month) All() int { return m.Granted + m.Denied }

// Bar is a rectangle of the picture.
type Bar struct{ X, Y, Width, Height int }

// Middle is where it is halved.
func (b Bar) Middle() int { return b.X + b.Width/2 }

// Year is a picture of one.
type Year struct {
	Year   int
	Months [12]Month
}

// The picture, 372 by 170 of the units of its own coordinates. Twelve bars stand on base; a number has room above the highest.
const (
	base     = 140
	top      = 22
	step     = 31
	barWidth = 21
)

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
	most := 1
	for _, m := range y.Months {
		most = max(most, m.All())
	}
	height := func(n int) int {
		if n == 0 {
			return 0
		}
		return max(2, n*(base-top)/most)
	}
	for i := range y.Months {
		m := &y.Months[i]
		m.Month = time.Month(i + 1)
		m.Bar = Bar{X: i*step + (step-barWidth)/2, Width: barWidth, Height: height(m.Granted)}
		m.Bar.Y = base - m.Bar.Height
		m.Over = Bar{X: m.Bar.X, Width: barWidth, Height: height(m.Denied)}
		m.Over.Y = m.Bar.Y - m.Over.Height
	}
	return y
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
