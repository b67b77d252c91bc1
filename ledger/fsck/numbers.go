// SPDX-License-Identifier: EUPL-1.2

package fsck

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// Running numbers have no gap and no repeat, and ascend in the log. Of an erased event only the two numbers are known, not
// whose they are. But it stands before every event with a higher number of the same subject or agency: so a gap that shows
// must be made of numbers of erased events before it, each of which fills one gap.

// numbers checks the counters of a shard.
type numbers struct {
	subjects map[subjectKey]counter
	agencies map[string]counter
	i, j     pool   // of subjects' numbers and of agencies'
	instant  uint64 // the recorded_at of the last commit, as stored; 0 without a row

	// By month, until when notices are put off, ms: as stored, and by the orders of
	// the events that open.
	deferred, ordered map[string]uint64
}

// counter is a row and how far the events have come.
type counter struct {
	row  uint64 // the next number, as stored
	next uint64 // the next number, by the events so far
}

// pool holds the numbers of events that don't say whose they are.
type pool struct {
	erased map[uint64]int // number to how many erased events have it
	lost   int            // events whose numbers can't be read, which were reported
}

// take fills the gap from … to−1, and returns the first number that nothing fills.
func (p *pool) take(from, to uint64) (missing uint64, ok bool) {
	for n := from; n < to; n++ {
		switch {
		case p.erased[n] > 0:
			if p.erased[n]--; p.erased[n] == 0 {
				delete(p.erased, n)
			}
		case p.lost > 0:
			p.lost--
		default:
			return n, false
		}
	}
	return 0, true
}

// lastInstant is the key of the row that keeps the last commit's recorded_at, after the epoch.
const lastInstant = 't'

func (s *shard) readCounters(ctx context.Context) error {
	n := &s.events.numbers
	n.subjects, n.agencies = map[subjectKey]counter{}, map[string]counter{}
	n.i.erased, n.j.erased = map[uint64]int{}, map[uint64]int{}
	n.deferred, n.ordered = map[string]uint64{}, map[string]uint64{}
	prefix := binary.BigEndian.AppendUint32(nil, s.epoch)
	return s.Rows.Scan(ctx, store.TableCounter, prefix, store.After(prefix), 0, func(key, value []byte) error {
		kind, rest := byte(0), key[4:]
		if len(rest) > 0 {
			kind, rest = rest[0], rest[1:]
		}
		if kind == 'm' {
			s.monthBegun(key, value)
			return nil
		}
		width := 8
		if kind == 's' {
			width = 4
		}
		next, err := rows.ParseCounter(value, width)
		switch {
		case err != nil:
			s.report.problem(CodeMalformed, counterAt(key), fmt.Sprintf("%d bytes", width), fmt.Sprintf("%d", len(value)))
		case kind == 's' && len(rest) == len(subjectKey{}):
			n.subjects[subjectKey(rest)] = counter{row: next}
		case kind == 'a' && len(rest) > 0:
			n.agencies[string(rest)] = counter{row: next}
		case kind == lastInstant && len(rest) == 0:
			n.instant = next
		case string(key) == string(rows.DeferredKey(string(rest))):
			n.deferred[string(rest)] = next
		case string(key) == string(rows.ErasedKey(string(rest))):
			// How many people were erased: no row vouches for it.
		case string(key) == string(rows.RenewedKey(string(rest))):
			s.checkRenewed(string(rest), next)
		default:
			s.report.problem(CodeUnexpected, counterAt(key), "a counter of a subject or of an agency", "another row")
		}
		return nil
	})
}

// checkRenewed compares the row that says which version of a month's key all its wraps are under. It is behind while an
// erasure, or the destruction of the month, isn't finished.
func (s *shard) checkRenewed(month string, version uint64) {
	newest, destroyed := s.Keys.Version(month)
	behind := version < uint64(newest) && (destroyed || s.Keys.HasOlder(month))
	if version != uint64(newest) && !behind && !(destroyed && version == rows.GoneVersion) {
		s.report.problem(CodeMismatch, fmt.Sprintf("counter/renewed/%q", month), fmt.Sprintf("version %d of the month's key", newest), fmt.Sprint(version))
	}
}

// counterAt names a counter: an agency by its id, a subject's by what its key starts with.
func counterAt(key []byte) string {
	if len(key) > 5 && key[4] == 'a' {
		return fmt.Sprintf("counter/agency/%q", key[5:])
	}
	return fmt.Sprintf("counter/%x…", key[:min(len(key), 13)])
}

// count follows the numbers of one event.
func (s *shard) count(e *event, known bool) {
	n := &s.events.numbers
	switch {
	case !known && e.state == erased:
		n.i.erased[uint64(e.i)]++
		n.j.erased[e.j]++
		return
	case !known:
		n.i.lost++
		n.j.lost++
		return
	}
	c := n.subjects[e.counter]
	s.step(&c, &n.i, e.index, uint64(e.i), "the subject's")
	n.subjects[e.counter] = c
	c = n.agencies[e.agency]
	s.step(&c, &n.j, e.index, e.j, "the agency's")
	n.agencies[e.agency] = c
	s.countMonth(e)
}

func (s *shard) step(c *counter, p *pool, index, number uint64, whose string) {
	where := at(store.TableBody, index)
	if number < c.next {
		s.report.problem(CodeNumber, where, fmt.Sprintf("%s number %d", whose, c.next), fmt.Sprint(number))
		return
	}
	if missing, ok := p.take(c.next, number); !ok {
		s.report.problem(CodeNumber, where, fmt.Sprintf("%s number %d", whose, missing), fmt.Sprint(number))
	}
	c.next = number + 1
}

// endNumbers compares the counters with how far the events came.
func (s *shard) endNumbers() {
	n := &s.events.numbers
	for key, c := range n.subjects {
		s.endCounter(c, &n.i, fmt.Sprintf("counter/%08x73%x…", s.epoch, key[:8]))
	}
	for agency, c := range n.agencies {
		s.endCounter(c, &n.j, fmt.Sprintf("counter/agency/%q", agency))
	}
	for number := range n.i.erased {
		s.report.problem(CodeNumber, store.TableBody.String(), "erased events that fill the gaps of subjects' numbers", fmt.Sprintf("one with number %d too many", number))
	}
	for number := range n.j.erased {
		s.report.problem(CodeNumber, store.TableBody.String(), "erased events that fill the gaps of agencies' numbers", fmt.Sprintf("one with number %d too many", number))
	}
	for month, until := range n.ordered {
		if limit := uint64(ledger.DeferralLimit(s.epoch).UnixMilli()); n.deferred[month] < until || n.deferred[month] > limit {
			s.report.problem(CodeMismatch, fmt.Sprintf("counter/deferred/%q", month), fmt.Sprintf("%d ms, as the orders say, to %d", until, limit), fmt.Sprint(n.deferred[month]))
		}
	}
	first, last := uint64(s.events.lastMS), uint64(s.Now.UnixMilli())
	if heads := s.log.replay.Heads; len(heads) > 0 {
		first = max(first, heads[len(heads)-1].UnixMS)
	}
	if n.instant < first || n.instant > last {
		s.report.problem(CodeMismatch, "counter/last instant", fmt.Sprintf("%d to %d ms", first, last), fmt.Sprint(n.instant))
	}
}

func (s *shard) endCounter(c counter, p *pool, where string) {
	if c.next > c.row {
		s.report.problem(CodeNumber, where, fmt.Sprintf("next number %d, as the events say", c.next), fmt.Sprint(c.row))
	} else if missing, ok := p.take(c.next, c.row); !ok {
		s.report.problem(CodeNumber, where, fmt.Sprintf("next number %d, as the events say", missing), fmt.Sprint(c.row))
	}
}
