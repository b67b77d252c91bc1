// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"html/template"
	"strings"
	"unicode/utf8"

	"github.com/traccia-ledger/traccia/verifier"
)

// A chart is an SVG that stands in a page by itself: no script, no style from elsewhere, nothing to fetch. It has a title and
// a description for those who don't see it, and is drawn the same from the same figures.
type chart struct{ strings.Builder }

// newChart begins a chart; id is unique in its page.
func newChart(id, title, description string, width, height int) *chart {
	c := new(chart)
	c.add(`<svg viewBox="0 0 %d %d" width="%d" role="img" aria-labelledby="%s-t %s-d" xmlns="http://www.w3.org/2000/svg"><title id="%s-t">%s</title><desc id="%s-d">%s</desc>`,
		width, height, width, id, id, id, template.HTMLEscapeString(title), id, template.HTMLEscapeString(description))
	return c
}

func (c *chart) add(format string, args ...any) { fmt.Fprintf(c, format, args...) }

// text writes at a place; anchor is start, middle or end.
func (c *chart) text(x, y float64, anchor, s string) {
	c.add(`<text x="%.1f" y="%.1f" text-anchor="%s" fill="#17324d">%s</text>`, x, y, anchor, template.HTMLEscapeString(s))
}

func (c *chart) end() template.HTML { return template.HTML(c.String() + "</svg>") }

const (
	chartWidth = 720
	barColour  = "#0059b3"
	lineColour = "#c5c7c9"
)

// steps is the greatest value of an axis, a round number that is divided in four.
func axisTop(most uint64) uint64 {
	top := uint64(4)
	for step := uint64(1); ; step *= 10 {
		for _, n := range []uint64{1, 2, 5} {
			if top = 4 * n * step; top >= most {
				return top
			}
		}
	}
}

// barChart shows counts one beside the other, in their order.
func barChart(id, title, description string, counts []verifier.AuditCount) template.HTML {
	const height, left, right, top, bottom = 220.0, 56.0, 8.0, 10.0, 34.0
	c := newChart(id, title, description, chartWidth, int(height))
	var most uint64
	for _, n := range counts {
		most = max(most, n.Count)
	}
	axis := axisTop(most)
	inner, base := chartWidth-left-right, height-bottom
	for n := range 5 {
		y := base - (base-top)*float64(n)/4
		c.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>`, left, y, chartWidth-right, y, lineColour)
		c.text(left-6, y+4, "end", fmt.Sprint(axis/4*uint64(n)))
	}
	wide := inner / float64(max(1, len(counts)))
	// As many labels as there is room for.
	every := max(1, (len(counts)+11)/12)
	for n, one := range counts {
		x, high := left+wide*float64(n), (base-top)*float64(one.Count)/float64(axis)
		c.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, x+wide*0.1, base-high, wide*0.8, high, barColour)
		if n%every == 0 {
			c.text(x+wide/2, base+16, "middle", one.Name)
		}
	}
	return c.end()
}

// rowChart shows counts one below the other, the label beside each.
func rowChart(id, title, description string, counts []verifier.AuditCount) template.HTML {
	const row, label, right = 26.0, 300.0, 70.0
	c := newChart(id, title, description, chartWidth, int(row)*len(counts)+4)
	var most uint64 = 1
	for _, n := range counts {
		most = max(most, n.Count)
	}
	for n, one := range counts {
		y := row*float64(n) + 2
		wide := (chartWidth - label - right) * float64(one.Count) / float64(most)
		c.text(label-8, y+16, "end", shortened(one.Name, 44))
		c.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, label, y+3, max(wide, 1), row-8, barColour)
		c.text(label+wide+6, y+16, "start", fmt.Sprint(one.Count))
	}
	return c.end()
}

func shortened(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// shades go from few to many; text on the last ones is white.
var shades = []string{"#ffffff", "#e6eef7", "#b3cde8", "#80abd9", "#4d8aca", "#0059b3"}

// weekChart shows counts by weekday and hour, and frames working hours.
func weekChart(id, title, description string, days [7]string, hours [7][24]uint64, opens, closes, workdays int) template.HTML {
	const left, top, wide, high = 44.0, 20.0, 28.0, 26.0
	c := newChart(id, title, description, chartWidth, int(top+7*high+6))
	var most uint64
	for _, day := range hours {
		for _, n := range day {
			most = max(most, n)
		}
	}
	for h := 0; h < 24; h += 2 {
		c.text(left+wide*(float64(h)+0.5), top-6, "middle", fmt.Sprintf("%02d", h))
	}
	for d, day := range hours {
		c.text(left-8, top+high*(float64(d)+0.65), "end", days[d])
		for h, n := range day {
			shade := 0
			if n > 0 {
				shade = 1 + int(n*uint64(len(shades)-2)/most)
			}
			x, y := left+wide*float64(h), top+high*float64(d)
			c.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s" stroke="%s"/>`, x, y, wide, high, shades[shade], lineColour)
			if n > 0 && n < 10_000 {
				ink := "#17324d"
				if shade >= len(shades)-2 {
					ink = "#ffffff"
				}
				c.add(`<text x="%.1f" y="%.1f" text-anchor="middle" font-size="10" fill="%s">%d</text>`, x+wide/2, y+high*0.62, ink, n)
			}
		}
	}
	from, to := left+wide*float64(opens)/60, left+wide*float64(closes)/60
	c.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="none" stroke="#17324d" stroke-width="2"/>`, from, top, to-from, high*float64(workdays))
	return c.end()
}
