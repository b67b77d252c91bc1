// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/statistics"
)

// consult sends accesses by a consumer at the clock's instant.
func (r *running) consult(c *clock, next *int, consumer string, times int) {
	r.t.Helper()
	r.world = nodetest.NewWorld(r.t, c.Now())
	for range times {
		raw := r.world.Make(r.t, *next, nodetest.Access{Consumer: consumer})
		a, _, err := r.Submit(context.Background(), raw)
		if err != nil {
			r.t.Fatal(err)
		}
		if a.Count != 1 {
			r.t.Fatalf("submission %d makes %d events", *next, a.Count)
		}
		if *next++; *next%7 == 6 {
			*next++ // that one has several subjects
		}
	}
}

// reopen restarts the node at an instant, and waits until it has told the months before.
func (r *running) reopen(c *clock, to time.Time, months ...string) {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	c.set(to)
	r.start(node.Options{Now: c.Now})
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		told := r.published()
		missing := slices.DeleteFunc(slices.Clone(months), func(m string) bool { return told[m] != nil })
		if len(missing) == 0 {
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("no totals of %v", missing)
		}
	}
}

// published are the totals that the newest log tells, by month.
func (r *running) published() map[string]*statistics.Totals {
	r.t.Helper()
	told := map[string]*statistics.Totals{}
	reader, err := statistics.NewReader(ledger.Origin(nodetest.Name, r.Epoch()), nil, func(_ uint64, t *statistics.Totals) { told[t.Month] = t })
	if err != nil {
		r.t.Fatal(err)
	}
	p, err := r.Published(r.Epoch())
	if errors.Is(err, node.ErrNotPublished) {
		return told // of a year that it has just turned to
	}
	if err != nil {
		r.t.Fatal(err)
	}
	for from := uint64(0); from < p.Root.Size; from += checkpoint.TileWidth {
		width := int(min(checkpoint.TileWidth, p.Root.Size-from))
		bundle, err := r.Entries(context.Background(), r.Epoch(), from/checkpoint.TileWidth, width)
		if err != nil {
			r.t.Fatal(err)
		}
		leaves, err := checkpoint.ParseEntries(bundle, width)
		if err != nil {
			r.t.Fatal(err)
		}
		for i, raw := range leaves {
			if record, ok := parse(r.t, raw).(ledger.Record); ok && statistics.Is(record.JSON) {
				reader.Record(from+uint64(i), record.JSON)
			}
		}
	}
	return told
}

// TestTotals: a node tells each month's totals soon after it, over restarts and years, and everybody can check them.
func TestTotals(t *testing.T) {
	const year = 2031
	day := func(month time.Month, n int) time.Time { return time.Date(year, month, n, 12, 0, 0, 0, time.UTC) }
	c := newClock(day(time.September, 20))
	r := newLedgerAt(t, c, node.Options{})
	big, mid, small, least := nodetest.Consumers[0], nodetest.Consumers[1], nodetest.Consumers[2], nodetest.Consumers[3]
	next := 0
	r.consult(c, &next, big, 14)
	r.consult(c, &next, mid, 11)
	r.consult(c, &next, small, 2)

	// A month later, and another in which nobody asked.
	r.reopen(c, day(time.October, 1), "2031-09")
	r.consult(c, &next, big, 30)
	r.consult(c, &next, small, 6)
	r.consult(c, &next, least, 5)
	r.reopen(c, day(time.December, 24), "2031-10", "2031-11")
	r.consult(c, &next, small, 3)
	september, october, november := r.published()["2031-09"], r.published()["2031-10"], r.published()["2031-11"]

	// December is told by the next year.
	r.reopen(c, day(time.December, 31).AddDate(0, 0, 3), "2031-12")
	december := r.published()["2031-12"]
	r.consult(c, &next, big, 1)
	years := r.years()
	for _, want := range []struct {
		got    *statistics.Totals
		events uint64
		bodies []statistics.Line
		others *statistics.Joined
	}{
		{september, 27, []statistics.Line{{ID: big, Events: 14}}, &statistics.Joined{Bodies: 2, Events: 13}},
		{october, 41, []statistics.Line{{ID: big, Events: 30}}, &statistics.Joined{Bodies: 2, Events: 11}},
		{november, 0, nil, nil},
		{december, 3, nil, &statistics.Joined{Bodies: 1, Events: 3}},
	} {
		if diff := cmp.Diff(&statistics.Totals{Span: want.got.Span, Bodies: want.bodies, Others: want.others}, want.got); diff != "" || want.got.Events != want.events || want.got.Origin != ledger.Origin(nodetest.Name, year) {
			t.Errorf("%s: %+v (-want +got)\n%s", want.got.Month, want.got.Span, diff)
		}
	}
	// Whoever reads the two logs finds them right, and none missing.
	var untold []statistics.Span
	for i, y := range years {
		reader, err := statistics.NewReader(ledger.Origin(nodetest.Name, year+uint32(i)), untold, nil)
		if err != nil {
			t.Fatal(err)
		}
		for index, raw := range y.Leaves {
			switch leaf := parse(t, raw).(type) {
			case ledger.Preamble:
				reader.Preamble(leaf.PreviousSize)
			case ledger.Event:
				reader.Event()
			case ledger.Head:
				reader.Head(uint64(index), leaf.UnixMS, leaf.Final)
			case ledger.Record:
				if statistics.Is(leaf.JSON) {
					if p := reader.Record(uint64(index), leaf.JSON); p != nil {
						t.Errorf("%s: %v", leaf.JSON, p)
					}
				}
			}
		}
		if p := reader.Missing(); p != nil {
			t.Errorf("missing: %v", p)
		}
		untold = reader.Untold()
	}
	if len(untold) != 0 {
		t.Errorf("left untold: %v", untold)
	}
}

// TestTotalsAfterYearsAway: a node that was killed in a month and comes back two years later tells that month, and the last
// of its year, in the next year's log, where whoever reads that year's log looks for them.
func TestTotalsAfterYearsAway(t *testing.T) {
	const year = 2032
	c := newClock(time.Date(year, 10, 5, 0, 0, 0, 0, time.UTC))
	r := newLedgerAt(t, c, node.Options{})
	next := 0
	r.consult(c, &next, nodetest.Consumers[0], 12)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	c.set(time.Date(year+2, 3, 1, 0, 0, 0, 0, time.UTC))
	r.start(node.Options{Now: c.Now})
	years := r.years()
	var told []string
	for i, y := range years {
		for _, raw := range y.Leaves {
			record, ok := parse(t, raw).(ledger.Record)
			if !ok || !statistics.Is(record.JSON) {
				continue
			}
			s, err := statistics.Parse(record.JSON)
			if err != nil {
				t.Fatal(err)
			}
			told = append(told, fmt.Sprintf("%d: %s %d", year+i, s.Month, s.Events))
		}
	}
	if want := []string{"2033: 2032-10 12", "2033: 2032-11 0", "2033: 2032-12 0"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}
