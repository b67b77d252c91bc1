// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/replay"
)

// What docs/formats.md §5 says of heads and clocks.
const (
	clockSlack = 60 * time.Second // of a head against another clock
	headAfter  = 60 * time.Second // an event
	headEvery  = 5 * time.Minute  // in an open shard
	// publication is how long a ledger may take to show what it has: the default
	// interval, cosignatures, and a slow line.
	publication = 15 * time.Second
)

// clock judges heads by the instants that they state and by when they were seen.
//
// That a head follows an event within 60 s can't be told from heads alone: when
// the event came, only those entitled to it know. Whoever looks while the log
// grows can tell: an event that a look showed without a head after it waited at
// least from then on.
type clock struct {
	heads uint64
	last  replay.Head // the newest
	high  uint64      // the highest unix_ms
	final bool

	waits     bool      // there is an event after the last head
	waiting   uint64    // the first such
	waitsFrom time.Time // the look that first showed it; zero before one did
	late, gap bool      // told of this event, of this last head
	at        time.Time // the last look
}

func (c *clock) resume(looked time.Time) {
	c.at = looked
	if c.waits {
		c.waitsFrom = looked
	}
}

func (c *clock) event(index uint64) {
	if !c.waits {
		c.waits, c.waiting, c.waitsFrom, c.late = true, index, time.Time{}, false
	}
}

// head judges a new head; at is when the log had it, zero if nobody was looking.
func (c *clock) head(h *replay.Head, at time.Time) (problems []*ledger.Problem) {
	when := time.UnixMilli(int64(min(h.UnixMS, 1<<52))).UTC()
	if c.heads > 0 && h.UnixMS > c.high && h.UnixMS-c.high > uint64(headEvery.Milliseconds()) {
		before := time.UnixMilli(int64(min(c.high, 1<<52))).UTC()
		problems = append(problems, problem(CodeHeadGap, leafAt(h.Leaf), "a head at most 5 minutes after that of "+instant(c.high), instant(h.UnixMS)+", "+when.Sub(before).Round(time.Second).String()+" later"))
	}
	if !at.IsZero() && when.Sub(at) > clockSlack {
		problems = append(problems, problem(CodeClockAhead, leafAt(h.Leaf), "a head at most 60 s later than the monitor's clock, "+text(at), instant(h.UnixMS)))
	}
	if !at.IsZero() && !c.at.IsZero() && c.at.Sub(when) > clockSlack {
		problems = append(problems, problem(CodeClockBehind, leafAt(h.Leaf), "a head of "+text(c.at.Add(-clockSlack))+" or later, since there was none at "+text(c.at), instant(h.UnixMS)))
	}
	if c.waits && !c.late && !c.waitsFrom.IsZero() && when.Sub(c.waitsFrom) > headAfter {
		problems = append(problems, problem(CodeHeadLate, leafAt(c.waiting), "a head within 60 s of the event, which was there at "+text(c.waitsFrom), instant(h.UnixMS)))
	}
	c.waits, c.gap = false, false
	c.heads, c.last, c.final = c.heads+1, *h, h.Final
	c.high = max(c.high, h.UnixMS)
	return problems
}

// look judges what isn't there at an instant when all that the log had was read.
func (c *clock) look(at time.Time) (problems []*ledger.Problem) {
	if at.IsZero() || at.Before(c.at) {
		return nil
	}
	c.at = at
	if c.waits && c.waitsFrom.IsZero() {
		c.waitsFrom = at
	}
	if waited := at.Sub(c.waitsFrom); c.waits && !c.late && waited > headAfter+publication {
		c.late = true
		problems = append(problems, problem(CodeHeadLate, leafAt(c.waiting), "a head within 60 s of the event", "none at "+text(at)+", "+waited.Round(time.Second).String()+" after it was seen"))
	}
	if c.heads == 0 || c.final || c.gap {
		return problems
	}
	if last := time.UnixMilli(int64(min(c.last.UnixMS, 1<<52))); at.Sub(last) > headEvery+publication {
		c.gap = true
		problems = append(problems, problem(CodeHeadGap, leafAt(c.last.Leaf), "another head within 5 minutes of "+instant(c.last.UnixMS), "none at "+text(at)))
	}
	return problems
}

func (c *clock) ahead(at time.Time) bool {
	return c.heads > 0 && time.UnixMilli(int64(min(c.high, 1<<52))).Sub(at) > clockSlack
}

func (c *clock) latest() string { return instant(c.high) }

// instant writes a unix_ms; one that no calendar holds, as its number.
func instant(ms uint64) string {
	if ms > 1<<52 {
		return fmt.Sprintf("%d ms since 1970", ms)
	}
	return text(time.UnixMilli(int64(ms)))
}

func text(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
