// SPDX-License-Identifier: EUPL-1.2

// Package statistics is the public records of how many events each body had in a month (docs/formats.md §8): which leaves a
// month has, told by the heads alone; which bodies have a line of their own and which are joined, so that no line tells of
// fewer than ten events; and how whoever reads the log checks a record against its leaves.
//
// Nothing in a record is trusted: Reader compares it with what the leaves before it give. That a line is a body's true
// number only that body can tell, from its own running numbers; that the lines are neither more nor fewer than the events,
// everybody can.
//
// What must always hold: what Parse accepts, Format writes to the same bytes; Make's lines add up to the month's events.
package statistics

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// Kind is the kind of a Record.
const Kind = "statistics"

// Few is the least number of events that a line tells of; what is less is joined.
const Few = 10

// Record is one record of a month's totals. Lines that don't fit into one leaf go on in the next leaves' records, which
// say the same of the month.
//
//	{"kind":"statistics","origin":"registro.example/2026","month":"2026-11","from":0,"to":71234,"events":69990,"part":1,"parts":1,
//	 "bodies":[{"id":"c_a944","events":69973}],"others":{"bodies":3,"events":17}}
type Record struct {
	Kind   string  `json:"kind"`
	Origin string  `json:"origin"` // of the log whose leaves are counted: this one, or the year's before
	Month  string  `json:"month"`
	From   uint64  `json:"from"`   // the month's leaves: the first
	To     uint64  `json:"to"`     // and the one after the last, a head
	Events uint64  `json:"events"` // among them
	Part   int     `json:"part"`   // 1 … Parts
	Parts  int     `json:"parts"`
	Bodies []Line  `json:"bodies"`           // ascending by id, over all parts
	Others *Joined `json:"others,omitempty"` // in the last part; nil: no body is without a line
}

// Line is what one body has.
type Line struct {
	ID     string `json:"id"`
	Events uint64 `json:"events"`
}

// Joined is what the bodies without a line of their own have together.
type Joined struct {
	Bodies uint64 `json:"bodies"`
	Events uint64 `json:"events"`
}

func isMonth(text string) bool {
	_, err := time.Parse("2006-01", text)
	return err == nil && len(text) == len("2006-01")
}

// maxCount bounds the numbers, which are JSON's.
const maxCount = 1<<53 - 1

// Is says whether a record is one of this package's. A map and not a struct keeps the name exact.
func Is(record []byte) bool {
	var members map[string]json.RawMessage
	var kind string
	return json.Unmarshal(record, &members) == nil && json.Unmarshal(members["kind"], &kind) == nil && kind == Kind
}

// Parse reads one record; whether it is true is for a Reader to say. The error is a *ledger.Problem.
func Parse(record []byte) (*Record, error) {
	var r Record
	if err := ijson.Unmarshal(record, &r); err != nil {
		if e, ok := err.(*ijson.Error); ok {
			return nil, refuse("syntax", e.Pointer, e.Expected, e.Found)
		}
		return nil, refuse("syntax", "", "a record of kind "+Kind, err.Error())
	}
	if p := r.check(); p != nil {
		return nil, p
	}
	if same, err := r.format(); err != nil || string(same) != string(record) {
		return nil, refuse("syntax", "", "a record as it is written here, without white space", "another spelling")
	}
	return &r, nil
}

func (r *Record) check() *ledger.Problem {
	_, epoch, err := ledger.ParseOrigin(r.Origin)
	switch {
	case r.Kind != Kind:
		return refuse("syntax", "/kind", Kind, "another")
	case err != nil:
		return refuse(ledger.CodeBadName, "/origin", "a log's origin", "something else")
	case !isMonth(r.Month) || r.Month[:4] != fmt.Sprintf("%04d", epoch):
		return refuse(ledger.CodeBadValue, "/month", fmt.Sprintf("a month of %d", epoch), "another")
	case r.From > r.To || r.To > maxCount:
		return refuse(ledger.CodeBadValue, "/to", "a leaf after from", "another")
	case r.Events > r.To-r.From:
		return refuse(ledger.CodeBadValue, "/events", "not more than the leaves", "more")
	case r.Parts < 1 || r.Parts > maxParts || r.Part < 1 || r.Part > r.Parts:
		return refuse(ledger.CodeBadCount, "/part", fmt.Sprintf("1 to parts, at most %d", maxParts), "another")
	case r.Others != nil && (r.Part != r.Parts || r.Others.Bodies < 1 || r.Others.Events < r.Others.Bodies || r.Others.Events > r.Events):
		return refuse(ledger.CodeBadValue, "/others", "in the last part, one event for each body or more", "something else")
	}
	for i, l := range r.Bodies {
		where := fmt.Sprintf("/bodies/%d", i)
		switch {
		case ledger.CheckID(l.ID) != nil:
			return refuse(ledger.CodeBadID, where+"/id", "1 to 64 bytes of [a-z0-9_-]", fmt.Sprintf("%d bytes", len(l.ID)))
		case i > 0 && l.ID <= r.Bodies[i-1].ID:
			return refuse(ledger.CodeBadValue, where+"/id", "ascending ids", "one that isn't")
		case l.Events > r.Events:
			return refuse(ledger.CodeBadValue, where+"/events", "not more than the month's", "more")
		}
	}
	return nil
}

// Limits of a month's records: some 60,000 bodies with the longest ids.
const (
	maxRecord = 60_000 // bytes, below ledger.MaxLeaf
	maxParts  = 100
)

func (r *Record) format() ([]byte, error) {
	if r.Bodies == nil {
		r.Bodies = []Line{}
	}
	return json.Marshal(r)
}

// Totals are what a month's records say together.
type Totals struct {
	Span
	Bodies []Line // ascending by id
	Others *Joined
}

// Make gives the totals of a month whose events are those of counts by body; bodies without events don't count. Bodies
// under Few are joined, and with them the next smallest, until the joined line is of two bodies and Few events at least, or
// of all.
func Make(s Span, counts map[string]uint64) *Totals {
	var all []Line
	for id, n := range counts {
		if n > 0 {
			all = append(all, Line{id, n})
		}
	}
	slices.SortFunc(all, func(a, b Line) int { return cmp.Or(cmp.Compare(a.Events, b.Events), cmp.Compare(a.ID, b.ID)) })
	t := &Totals{Span: s}
	var joined Joined
	for _, l := range all {
		if l.Events >= Few && (joined.Bodies == 0 || joined.Bodies >= 2 && joined.Events >= Few) {
			t.Bodies = append(t.Bodies, l)
			continue
		}
		joined.Bodies++
		joined.Events += l.Events
	}
	if joined.Bodies > 0 {
		t.Others = &joined
	}
	slices.SortFunc(t.Bodies, func(a, b Line) int { return cmp.Compare(a.ID, b.ID) })
	return t
}

// Format returns a month's records, to be written one after the other.
func (t *Totals) Format() ([][]byte, error) {
	var parts [][]Line
	rest, size := []Line{}, 0
	for _, l := range t.Bodies {
		length := len(l.ID) + 48
		if size += length; size > maxRecord-1000 {
			parts, rest, size = append(parts, rest), []Line{}, length
		}
		rest = append(rest, l)
	}
	parts = append(parts, rest)
	var records [][]byte
	for i, lines := range parts {
		r := Record{
			Kind: Kind, Origin: t.Origin, Month: t.Month, From: t.From, To: t.To, Events: t.Events,
			Part: i + 1, Parts: len(parts), Bodies: lines,
		}
		if i == len(parts)-1 {
			r.Others = t.Others
		}
		if p := r.check(); p != nil {
			return nil, fmt.Errorf("couldn't format the totals of %s: %w", t.Month, p)
		}
		text, err := r.format()
		if err != nil {
			return nil, err
		}
		records = append(records, text)
	}
	return records, nil
}

func refuse(code, where, expected, found string) *ledger.Problem {
	return &ledger.Problem{Code: code, Where: where, Expected: expected, Found: found}
}
