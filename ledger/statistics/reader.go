// SPDX-License-Identifier: EUPL-1.2

package statistics

import (
	"fmt"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// Codes of what a Reader finds.
const (
	CodeMalformed = "statistics_malformed" // not a record of totals as the formats say
	CodeSpan      = "statistics_month"     // not a month that is over, of this log or the one before; or not its leaves
	CodeEvents    = "statistics_events"    // another number of events than the leaves have
	CodeSum       = "statistics_sum"       // the lines don't add up to it
	CodeFew       = "statistics_few"       // a line that tells of fewer than ten events
	CodeAlone     = "statistics_alone"     // a joined line of one body, or of fewer than ten events, beside others
	CodeJoined    = "statistics_joined"    // more is joined than has to be
	CodeParts     = "statistics_parts"     // parts that don't follow on each other
	CodeRepeated  = "statistics_repeated"  // a month told twice
	CodeMissing   = "statistics_missing"   // a month not told two days after its end
)

// Reader reads a log's leaves in order, and compares each month's totals with them. It belongs to one goroutine.
type Reader struct {
	months   *Months
	past     string // origin of the log before
	before   []Span // of the log before, that it left untold
	told     map[string]bool
	open     *Totals           // whose parts aren't all there yet
	part     Record            // the last of them
	over     map[string]uint64 // by month, the unix_ms at which it was over
	toldOver int               // how many of these are told
	last     uint64            // the highest unix_ms of a head
	whole    func(leaf uint64, t *Totals)
}

// missingAfter is how long after a month's end its totals may come.
const missingAfter = 48 * time.Hour

// NewReader returns a Reader of a log; before are the months that the log before left untold, nil where it wasn't read.
// whole, if not nil, is called with the totals of each month, whatever is wrong with them, at the leaf of the last part.
func NewReader(origin string, before []Span, whole func(leaf uint64, t *Totals)) (*Reader, error) {
	name, epoch, err := ledger.ParseOrigin(origin)
	if err != nil {
		return nil, fmt.Errorf("couldn't read origin: %w", err)
	}
	if whole == nil {
		whole = func(uint64, *Totals) {}
	}
	return &Reader{months: NewMonths(origin, epoch), past: ledger.Origin(name, epoch-1), before: before, told: map[string]bool{}, over: map[string]uint64{}, whole: whole}, nil
}

// Preamble takes what leaf 0 says of the log before.
func (r *Reader) Preamble(previousSize uint64) {
	if previousSize == 0 {
		r.before = []Span{}
	}
}

// Event takes an event that counts.
func (r *Reader) Event() { r.months.Event() }

// Head takes a head that counts.
func (r *Reader) Head(index, unixMS uint64, final bool) {
	r.last = max(r.last, unixMS)
	if !r.months.Head(index, unixMS, final) {
		return
	}
	for _, list := range [][]Span{r.before, r.months.Spans()} {
		for _, s := range list {
			if _, known := r.over[s.Key()]; !known {
				r.over[s.Key()] = r.last
			}
		}
	}
}

// Begins returns where months began so far.
func (r *Reader) Begins() []Begin { return r.months.Begins() }

// Untold returns the months that are over and not told, of the log before first.
func (r *Reader) Untold() (spans []Span) {
	for _, list := range [][]Span{r.before, r.months.Spans()} {
		for _, s := range list {
			if !r.told[s.Key()] {
				spans = append(spans, s)
			}
		}
	}
	return spans
}

// Missing returns a problem for each month that should have been told by the last head: two days after the head that ended
// it, or for the last one of the log before, after this log's first. What else that log left untold was missing there.
func (r *Reader) Missing() (problems []*ledger.Problem) {
	if len(r.over) == r.toldOver {
		return nil // as it is most of the time
	}
	for _, s := range r.Untold() {
		if s.Origin == r.past && !strings.HasSuffix(s.Month, "-12") {
			continue
		}
		if over, ok := r.over[s.Key()]; ok && r.last-over > uint64(missingAfter.Milliseconds()) {
			problems = append(problems, refuse(CodeMissing, s.Origin, "the totals of "+s.Month+" within two days of its end", "none"))
		}
	}
	return problems
}

// Record takes a record at this leaf, of this package's kind, and says what is wrong with it.
func (r *Reader) Record(leaf uint64, record []byte) (problems []*ledger.Problem) {
	where := fmt.Sprintf("leaf %d", leaf)
	add := func(code, expected, found string) { problems = append(problems, refuse(code, where, expected, found)) }
	rec, err := Parse(record)
	if err != nil {
		r.open = nil
		add(CodeMalformed, "a record of a month's totals", err.Error())
		return problems
	}
	if r.open != nil && !r.follows(rec) || r.open == nil && rec.Part != 1 {
		add(CodeParts, "the parts of one month one after the other", fmt.Sprintf("part %d of %d of %s", rec.Part, rec.Parts, rec.Month))
		r.open = nil
		if rec.Part != 1 {
			return problems
		}
	}
	if r.open == nil {
		r.open = &Totals{Span: Span{rec.Origin, rec.Month, rec.From, rec.To, rec.Events}}
	}
	r.part = *rec
	r.open.Bodies = append(r.open.Bodies, rec.Bodies...)
	r.open.Others = rec.Others
	if rec.Part < rec.Parts {
		return problems
	}
	t := r.open
	r.open = nil
	r.whole(leaf, t)
	r.span(t, add)
	t.lines(add)
	return problems
}

// follows says whether a record is the next part of the one before.
func (r *Reader) follows(rec *Record) bool {
	p := &r.part
	sameMonth := rec.Origin == p.Origin && rec.Month == p.Month && rec.From == p.From && rec.To == p.To && rec.Events == p.Events
	inOrder := len(p.Bodies) == 0 || len(rec.Bodies) == 0 || p.Bodies[len(p.Bodies)-1].ID < rec.Bodies[0].ID
	return sameMonth && inOrder && rec.Parts == p.Parts && rec.Part == p.Part+1
}

// span compares what a record says of its month with the leaves.
func (r *Reader) span(t *Totals, add func(code, expected, found string)) {
	key := t.Key()
	if r.told[key] {
		add(CodeRepeated, "the totals of "+t.Month+" once", "once more")
		return
	}
	if r.before == nil && t.Origin == r.past {
		r.told[key] = true
		return // of leaves that weren't read
	}
	for _, list := range [][]Span{r.before, r.months.Spans()} {
		for _, s := range list {
			if s.Origin != t.Origin || s.Month != t.Month {
				continue
			}
			r.told[key] = true
			if _, known := r.over[key]; known {
				r.toldOver++
			}
			if s.From != t.From || s.To != t.To {
				add(CodeSpan, fmt.Sprintf("the leaves of %s, %d to %d by the heads", s.Month, s.From, s.To), fmt.Sprintf("%d to %d", t.From, t.To))
			} else if s.Events != t.Events {
				add(CodeEvents, fmt.Sprintf("%d events, which %s has by the heads", s.Events, s.Month), fmt.Sprintf("%d", t.Events))
			}
			return
		}
	}
	add(CodeSpan, "a month that is over, of this log or the one before", t.Month+" of "+t.Origin)
}

// lines checks what can be told from the lines alone.
func (t *Totals) lines(add func(code, expected, found string)) {
	sum, least := uint64(0), uint64(maxCount)
	for _, l := range t.Bodies {
		sum = min(sum+l.Events, maxCount+1)
		least = min(least, l.Events)
		if l.Events < Few {
			add(CodeFew, fmt.Sprintf("%d events or more on a line", Few), "a line of fewer")
		}
	}
	if o := t.Others; o != nil {
		sum = min(sum+o.Events, maxCount+1)
		switch alone := len(t.Bodies) > 0; {
		case alone && o.Bodies < 2:
			add(CodeAlone, "two joined bodies or more", "one")
		case alone && o.Events < Few:
			add(CodeAlone, fmt.Sprintf("%d joined events or more", Few), "fewer")
		case alone && o.Events > (Few-1)*(o.Bodies-1)+least:
			add(CodeJoined, "bodies under ten and at most one more, which has no more than any line", fmt.Sprintf("%d joined bodies with %d events", o.Bodies, o.Events))
		}
	}
	if sum != t.Events {
		add(CodeSum, fmt.Sprintf("lines that add up to %d events", t.Events), fmt.Sprintf("%d", sum))
	}
}

// Own compares what a body counted itself with a month's totals; nil if they agree, as far as the lines tell.
func (t *Totals) Own(body string, events uint64) *ledger.Problem {
	where := t.Origin + " " + t.Month
	least := uint64(maxCount)
	for _, l := range t.Bodies {
		least = min(least, l.Events)
		if l.ID != body {
			continue
		}
		if l.Events != events {
			return refuse(CodeOwn, where, fmt.Sprintf("%d events of %s, as it counted", events, body), fmt.Sprintf("%d", l.Events))
		}
		return nil
	}
	switch o := t.Others; {
	case events == 0:
		return nil
	case o == nil:
		return refuse(CodeOwn, where, fmt.Sprintf("%d events of %s, as it counted", events, body), "no line that has them")
	case events > o.Events-(o.Bodies-1):
		return refuse(CodeOwn, where, fmt.Sprintf("%d events of %s, as it counted", events, body), fmt.Sprintf("%d bodies joined with %d events", o.Bodies, o.Events))
	case events >= Few && events > least:
		return refuse(CodeOwn, where, fmt.Sprintf("a line of %s, which has more events than another with a line", body), "none")
	}
	return nil
}

// CodeOwn is the code of Own: a body's own count isn't in the totals.
const CodeOwn = "statistics_own"
