// SPDX-License-Identifier: EUPL-1.2

package statistics

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
)

const origin = "registro.example/2026"

func span(events uint64) Span { return Span{origin, "2026-11", 0, events + 10, events} }

func TestMake(t *testing.T) {
	for _, c := range []struct {
		name   string
		counts map[string]uint64
		bodies []Line
		others *Joined
	}{
		{"none", map[string]uint64{"inps": 0}, nil, nil},
		{"all have ten", map[string]uint64{"inps": 10, "c_a944": 11}, []Line{{"c_a944", 11}, {"inps", 10}}, nil},
		{"two under ten, ten together", map[string]uint64{"inps": 100, "a": 1, "b": 9}, []Line{{"inps", 100}}, &Joined{2, 10}},
		{"two under ten, nine together", map[string]uint64{"inps": 100, "c_a944": 50, "a": 1, "b": 8}, []Line{{"inps", 100}}, &Joined{3, 59}},
		{"one under ten", map[string]uint64{"inps": 100, "c_a944": 50, "a": 9}, []Line{{"inps", 100}}, &Joined{2, 59}},
		{"of equals the first by id", map[string]uint64{"inps": 50, "c_a944": 50, "a": 9}, []Line{{"inps", 50}}, &Joined{2, 59}},
		{"one under ten and one above", map[string]uint64{"inps": 100, "a": 9}, nil, &Joined{2, 109}},
		{"one under ten", map[string]uint64{"a": 9}, nil, &Joined{1, 9}},
		{"one above", map[string]uint64{"inps": 10}, []Line{{"inps", 10}}, nil},
		{"fewer than ten in all", map[string]uint64{"a": 3, "b": 4}, nil, &Joined{2, 7}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var all uint64
			for _, n := range c.counts {
				all += n
			}
			got := Make(span(all), c.counts)
			if diff := cmp.Diff(&Totals{span(all), c.bodies, c.others}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestMadeIsRight: whatever bodies have, the totals pass every check and come back as they were.
func TestMadeIsRight(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		counts, all := map[string]uint64{}, uint64(0)
		for i := range random.IntN(8) {
			n := uint64(random.IntN(25))
			counts[fmt.Sprintf("b%d", i)] = n
			all += n
		}
		made := Make(span(all), counts)
		read, problems := through(t, made)
		if diff := cmp.Diff(made, read); diff != "" || problems != nil {
			t.Fatalf("%v: %v\n%s", counts, problems, diff)
		}
		for body, n := range counts {
			if p := made.Own(body, n); p != nil {
				t.Fatalf("%v, %s: %v", counts, body, p)
			}
		}
	}
}

// TestManyBodies: lines that fill several leaves.
func TestManyBodies(t *testing.T) {
	counts, all := map[string]uint64{}, uint64(0)
	for i := range 22_000 {
		n := uint64(i % 3000)
		counts[fmt.Sprintf("%064d", i)], all = n, all+n
	}
	made := Make(span(all), counts)
	records, err := made.Format()
	if err != nil || len(records) < 2 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for _, r := range records {
		if _, err := ledger.FormatLeaf(ledger.Record{Epoch: 2026, JSON: r}); err != nil || len(r) > maxRecord {
			t.Errorf("a record of %d bytes: %v", len(r), err)
		}
	}
	read, problems := through(t, made)
	if diff := cmp.Diff(made, read); diff != "" || problems != nil {
		t.Errorf("%v\n%s", problems, diff)
	}
}

// month is a log whose month the span says, up to the records.
func month(s Span) *Reader {
	var r *Reader
	r, _ = NewReader(s.Origin, nil, nil)
	r.Preamble(0)
	first, _ := time.Parse("2006-01", s.Month)
	r.Head(1, uint64(first.UnixMilli())+1, false)
	for range s.Events {
		r.Event()
	}
	r.Head(s.To, uint64(first.AddDate(0, 1, 0).UnixMilli())+1, false)
	return r
}

// through formats totals and has a Reader of their log read them.
func through(t *testing.T, made *Totals) (read *Totals, problems []*ledger.Problem) {
	t.Helper()
	records, err := made.Format()
	if err != nil {
		t.Fatal(err)
	}
	r := month(made.Span)
	r.whole = func(_ uint64, t *Totals) { read = t }
	for i, text := range records {
		problems = append(problems, r.Record(uint64(i)+made.To+1, text)...)
	}
	return read, problems
}

func record(change func(r *Record)) []byte {
	r := Record{
		Kind: Kind, Origin: origin, Month: "2026-11", From: 0, To: 300, Events: 200, Part: 1, Parts: 1,
		Bodies: []Line{{"c_a944", 80}, {"inps", 100}}, Others: &Joined{3, 20},
	}
	change(&r)
	text, err := r.format()
	if err != nil {
		panic(err)
	}
	return text
}

func TestReader(t *testing.T) {
	right := func(*Record) {}
	for _, c := range []struct {
		name    string
		records []func(r *Record)
		want    []string
	}{
		{"right", []func(*Record){right}, nil},
		{"another sum", []func(*Record){func(r *Record) { r.Bodies[0].Events-- }}, []string{CodeSum}},
		{"another number of events", []func(*Record){func(r *Record) { r.Events--; r.Bodies[0].Events-- }}, []string{CodeEvents}},
		{"another number in the joined line", []func(*Record){func(r *Record) { r.Others.Events++ }}, []string{CodeSum}},
		{"an earlier end", []func(*Record){func(r *Record) { r.To-- }}, []string{CodeSpan}},
		{"a later beginning", []func(*Record){func(r *Record) { r.From = 1 }}, []string{CodeSpan}},
		{"a line under ten", []func(*Record){func(r *Record) { r.Bodies[0].Events, r.Bodies[1].Events = 9, 171 }}, []string{CodeFew}},
		{"a joined line of one", []func(*Record){func(r *Record) { r.Others.Bodies = 1 }}, []string{CodeAlone}},
		{"a joined line of few", []func(*Record){func(r *Record) { r.Others.Events = 9; r.Bodies[0].Events += 11 }}, []string{CodeAlone}},
		{"too much joined", []func(*Record){func(r *Record) { r.Bodies = r.Bodies[1:]; r.Others = &Joined{2, 100 + 10}; r.Bodies[0].Events = 90 }}, []string{CodeJoined}},
		{"another month", []func(*Record){func(r *Record) { r.Month = "2026-10" }}, []string{CodeSpan}},
		{"a month that runs", []func(*Record){func(r *Record) { r.Month = "2026-12" }}, []string{CodeSpan}},
		{"the log before the first", []func(*Record){func(r *Record) { r.Origin, r.Month = "registro.example/2025", "2025-12" }}, []string{CodeSpan}},
		{"another ledger's", []func(*Record){func(r *Record) { r.Origin = "altro.example/2026" }}, []string{CodeSpan}},
		{"twice", []func(*Record){right, right}, []string{CodeRepeated}},
		{"in two parts", []func(*Record){
			func(r *Record) { r.Parts, r.Bodies, r.Others = 2, r.Bodies[:1], nil },
			func(r *Record) { r.Part, r.Parts, r.Bodies = 2, 2, r.Bodies[1:] },
		}, nil},
		{"the parts in another order", []func(*Record){
			func(r *Record) { r.Part, r.Parts, r.Bodies = 2, 2, r.Bodies[1:] },
			func(r *Record) { r.Parts, r.Bodies, r.Others = 2, r.Bodies[:1], nil },
		}, []string{CodeParts}},
		{"a body in both parts", []func(*Record){
			func(r *Record) { r.Parts, r.Bodies, r.Others = 2, r.Bodies[:1], nil },
			func(r *Record) { r.Part, r.Parts, r.Bodies = 2, 2, r.Bodies[:1] },
		}, []string{CodeParts}},
		{"the second part missing", []func(*Record){func(r *Record) { r.Parts, r.Others = 2, nil }, right}, []string{CodeParts}},
		{"the second part of another month", []func(*Record){
			func(r *Record) { r.Parts, r.Bodies, r.Others = 2, r.Bodies[:1], nil },
			func(r *Record) { r.Month, r.Part, r.Parts, r.Bodies = "2026-10", 2, 2, r.Bodies[1:] },
		}, []string{CodeParts}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := month(Span{origin, "2026-11", 0, 300, 200})
			var got []string
			for i, f := range c.records {
				for _, p := range r.Record(uint64(301+i), record(f)) {
					got = append(got, p.Code)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestOwn: what a body can tell from its own number.
func TestOwn(t *testing.T) {
	totals := Make(span(250), map[string]uint64{"inps": 100, "c_a944": 80, "c_f205": 50, "a": 9, "b": 8, "c": 3})
	for _, c := range []struct {
		body   string
		events uint64
		ok     bool
	}{
		{"inps", 100, true}, {"inps", 99, false}, {"inps", 0, false}, {"c_a944", 80, true},
		{"a", 9, true}, {"a", 18, true}, {"a", 19, false}, {"a", 51, false}, {"nobody", 0, true},
	} {
		if p := totals.Own(c.body, c.events); (p == nil) != c.ok {
			t.Errorf("%s with %d: %v", c.body, c.events, p)
		}
	}
	if p := Make(span(10), map[string]uint64{"inps": 10}).Own("c_a944", 1); p == nil {
		t.Error("an event in no line")
	}
	// Ten events without a line, while a body with fewer has one.
	odd := &Totals{Span: span(60), Bodies: []Line{{"inps", 12}}, Others: &Joined{2, 48}}
	if p := odd.Own("c_a944", 13); p == nil {
		t.Error("a line left out")
	}
}

// TestMonths: which leaves a month has.
func TestMonths(t *testing.T) {
	at := func(month time.Month, day int) uint64 {
		return uint64(time.Date(2026, month, day, 0, 0, 0, 0, time.UTC).UnixMilli())
	}
	m := NewMonths(origin, 2026)
	steps := []struct {
		events int
		ms     uint64
		final  bool
	}{
		{0, at(2, 3), false}, {5, at(2, 20), false}, {7, at(3, 1), false}, {0, at(3, 2), false}, {1, at(2, 27), false},
		{2, at(6, 1), false}, {3, at(12, 31), false}, {4, at(13, 1), false}, {8, at(13, 2), true},
	}
	index := uint64(1)
	for _, s := range steps {
		for range s.events {
			m.Event()
			index++
		}
		m.Head(index, s.ms, s.final)
		index++
	}
	want := []Span{
		{origin, "2026-02", 0, 15, 12}, {origin, "2026-03", 15, 21, 3}, {origin, "2026-04", 21, 21, 0}, {origin, "2026-05", 21, 21, 0},
		{origin, "2026-06", 21, 25, 3}, {origin, "2026-07", 25, 25, 0}, {origin, "2026-08", 25, 25, 0}, {origin, "2026-09", 25, 25, 0},
		{origin, "2026-10", 25, 25, 0}, {origin, "2026-11", 25, 25, 0}, {origin, "2026-12", 25, 39, 12},
	}
	if diff := cmp.Diff(want, m.Spans()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var all uint64
	for _, s := range m.Spans() {
		all += s.Events
	}
	if all != m.events {
		t.Errorf("%d events in the months, %d in the log", all, m.events)
	}
	if MonthOf(2026, at(1, 1)-1, false) != 1 || MonthOf(2026, 1<<63, false) != 12 || NewMonths(origin, 2026).Spans() != nil {
		t.Error("instants outside the year")
	}
}

// TestMissing: every month is told, December by the next log.
func TestMissing(t *testing.T) {
	at := func(d time.Duration) uint64 {
		return uint64(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC).Add(d).UnixMilli())
	}
	r := month(Span{origin, "2026-11", 0, 300, 200})
	if r.Head(400, at(48*time.Hour), false); r.Missing() != nil {
		t.Errorf("too early: %v", r.Missing())
	}
	if r.Head(500, at(49*time.Hour), false); len(r.Missing()) != 1 || r.Missing()[0].Code != CodeMissing {
		t.Errorf("too late: %v", r.Missing())
	}
	if p := r.Record(501, record(func(*Record) {})); p != nil || r.Missing() != nil {
		t.Errorf("told: %v, %v", p, r.Missing())
	}
	r.Event()
	r.Head(600, at(31*24*time.Hour), true)
	if diff := cmp.Diff([]Span{{origin, "2026-12", 300, 600, 1}}, r.Untold()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	next, err := NewReader("registro.example/2027", r.Untold(), nil)
	if err != nil {
		t.Fatal(err)
	}
	next.Preamble(601)
	december := record(func(r *Record) {
		r.Month, r.From, r.To, r.Events, r.Bodies, r.Others = "2026-12", 300, 600, 1, nil, &Joined{1, 1}
	})
	next.Head(1, at(34*24*time.Hour), false)
	if next.Missing() != nil {
		t.Errorf("December, at once: %v", next.Missing())
	}
	next.Head(2, at(37*24*time.Hour), false)
	if len(next.Missing()) != 1 {
		t.Errorf("December: %v", next.Missing())
	}
	if p := next.Record(2, december); p != nil || next.Missing() != nil {
		t.Errorf("December: %v, %v", p, next.Missing())
	}
	if p := next.Record(3, record(func(*Record) {})); len(p) != 1 || p[0].Code != CodeSpan {
		t.Errorf("November again: %v", p)
	}
	blind, _ := NewReader("registro.example/2027", nil, nil)
	blind.Preamble(601)
	if p := blind.Record(2, december); p != nil {
		t.Errorf("of leaves that weren't read: %v", p)
	}
	if p := blind.Record(3, december); len(p) != 1 || p[0].Code != CodeRepeated {
		t.Errorf("twice: %v", p)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, change := range map[string]func(r *Record){
		"another kind": func(r *Record) { r.Kind = "totals" }, "no origin": func(r *Record) { r.Origin = "registro.example" },
		"a month of another year": func(r *Record) { r.Month = "2025-11" }, "no month": func(r *Record) { r.Month = "2026-13" },
		"a range backwards": func(r *Record) { r.From = 301 }, "more events than leaves": func(r *Record) { r.Events = 301 },
		"part 0": func(r *Record) { r.Part = 0 }, "part 2 of 1": func(r *Record) { r.Part = 2 }, "many parts": func(r *Record) { r.Parts = maxParts + 1 },
		"joined in the first part": func(r *Record) { r.Parts = 2 }, "joined nobody": func(r *Record) { r.Others.Bodies = 0 },
		"joined without events": func(r *Record) { r.Others.Events = 2 }, "joined too many": func(r *Record) { r.Others.Events = 201 },
		"a reserved word": func(r *Record) { r.Bodies[0].ID = "+ledger" }, "descending": func(r *Record) { r.Bodies[0].ID = "z" },
		"a body twice": func(r *Record) { r.Bodies[0].ID = "inps" }, "a line of too many": func(r *Record) { r.Bodies[0].Events = 201 },
	} {
		var p *ledger.Problem
		if _, err := Parse(record(change)); !errors.As(err, &p) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := string(record(func(*Record) {}))
	for _, bad := range []string{"", " " + good, strings.Replace(good, `,"part"`, ` ,"part"`, 1), strings.Replace(good, `"part":1,`, "", 1), strings.Replace(good, `"kind"`, `"Kind"`, 1)} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	if !Is([]byte(good)) || Is([]byte(`{"Kind":"statistics"}`)) || Is([]byte(`{"kind":"erasure"}`)) {
		t.Error("kinds")
	}
	if _, err := (&Totals{Span: Span{Origin: "x"}}).Format(); err == nil {
		t.Error("totals of no log were formatted")
	}
	if _, err := NewReader("x", nil, nil); err == nil {
		t.Error("a reader of no log")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(record(func(*Record) {}))
	f.Add(record(func(r *Record) { r.Others, r.Bodies = nil, nil }))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse(data)
		if err != nil {
			return
		}
		if back, err := r.format(); err != nil || !bytes.Equal(back, data) {
			t.Errorf("%s re-encodes as %s, %v", data, back, err)
		}
	})
}
