// SPDX-License-Identifier: EUPL-1.2

// Package chart lays out the pictures of the pages: twelve bars for the months of a year. The template parts.html draws them as
// SVG, with words for who doesn't see them; a table with the same numbers stands beside each.
package chart

import (
	"strings"
	"time"
)

// Column is a month of a Year.
type Column struct {
	Month time.Month
	Lower Bar // stands on the base line; its height is 0 for nothing
	Upper Bar // upon it
	Text  string
}

// Bar is a rectangle of the picture.
type Bar struct{ X, Y, Width, Height int }

// Middle is where it is halved.
func (b Bar) Middle() int { return b.X + b.Width/2 }

// Year is the picture of one.
type Year struct {
	Months      [12]Column
	ID          string // begins the ids of its elements in the page
	Title, Text string // what it shows, and its sums, in words
}

// Say is the picture with words.
func (y Year) Say(id, title string, text ...string) Year {
	y.ID, y.Title, y.Text = id, title, strings.Join(text, " ")
	return y
}

// The picture, 372 by 170 of the units of its own coordinates. Twelve bars stand on base; a number has room above the highest.
const (
	base     = 140
	top      = 22
	step     = 31
	barWidth = 21
)

// NewYear draws twelve months with these numbers, of which one bar stands upon the other. text writes the sum above both; it
// has room for some five characters.
func NewYear(lower, upper [12]uint64, text func(sum uint64) string) (y Year) {
	most := uint64(1)
	for i := range lower {
		most = max(most, lower[i]+upper[i])
	}
	height := func(n uint64) int {
		if n == 0 {
			return 0
		}
		return max(2, int(float64(n)/float64(most)*(base-top)))
	}
	for i := range y.Months {
		c := &y.Months[i]
		c.Month = time.Month(i + 1)
		c.Lower = Bar{X: i*step + (step-barWidth)/2, Width: barWidth, Height: height(lower[i])}
		c.Lower.Y = base - c.Lower.Height
		c.Upper = Bar{X: c.Lower.X, Width: barWidth, Height: height(upper[i])}
		c.Upper.Y = c.Lower.Y - c.Upper.Height
		if sum := lower[i] + upper[i]; sum > 0 {
			c.Text = text(sum)
		}
	}
	return y
}
