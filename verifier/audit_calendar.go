// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"fmt"
	"slices"
	"time"
)

// AuditHours are a body's working hours: Monday to Friday, and Saturday where it says so, but for public holidays.
type AuditHours struct {
	Opens, Closes int // minutes of the day; Closes not in it
	Saturday      bool
	Closed        []string // further days, as 12-24 (each year) or 2026-12-24: a patron saint's day
}

// holidays are Italy's (L. 260/1949, art. 2, and what changed it), as month and day. 4 October is one again from 2026
// (L. 151/2025).
var holidays = []string{"01-01", "01-06", "04-25", "05-01", "06-02", "08-15", "11-01", "12-08", "12-25", "12-26"}

// Holiday says whether a day is a public holiday in Italy, Easter and Easter Monday included.
func Holiday(day time.Time) bool {
	text := day.Format("01-02")
	if slices.Contains(holidays, text) || text == "10-04" && day.Year() >= 2026 {
		return true
	}
	month, sunday := easter(day.Year())
	at := time.Date(day.Year(), month, sunday, 0, 0, 0, 0, time.UTC)
	return text == at.Format("01-02") || text == at.AddDate(0, 0, 1).Format("01-02")
}

// easter is the Gregorian Easter Sunday of a year, by the anonymous algorithm (Meeus, Astronomical Algorithms, ch. 8).
func easter(year int) (time.Month, int) {
	a, b, c := year%19, year/100, year%100
	d, e := b/4, b%4
	g := (8*b + 13) / 25
	h := (19*a + b - d - g + 15) % 30
	i, k := c/4, c%4
	l := (32 + 2*e + 2*i - h - k) % 7
	m := (a + 11*h + 19*l) / 433
	month := (h + l - 7*m + 90) / 25
	return time.Month(month), (h + l - 7*m + 33*month + 19) % 32
}

// Check says what is wrong with the hours.
func (h *AuditHours) Check() error {
	if h.Opens < 0 || h.Closes > 24*60 || h.Opens >= h.Closes {
		return fmt.Errorf("expected hours as 07:00-20:00, the second later than the first")
	}
	for _, day := range h.Closed {
		_, err := time.Parse("2006-01-02", day)
		if _, yearly := time.Parse("2006-01-02", "2024-"+day); err != nil && yearly != nil {
			return fmt.Errorf("expected days as 12-24 or 2026-12-24")
		}
	}
	return nil
}

// open says whether an instant, in the zone that it has, is within working hours.
func (h *AuditHours) open(at time.Time) bool {
	switch day := at.Weekday(); {
	case day == time.Sunday, day == time.Saturday && !h.Saturday, Holiday(at):
		return false
	case slices.Contains(h.Closed, at.Format("01-02")), slices.Contains(h.Closed, at.Format("2006-01-02")):
		return false
	}
	minute := at.Hour()*60 + at.Minute()
	return h.Opens <= minute && minute < h.Closes
}
