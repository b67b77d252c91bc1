// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/statistics"
)

// StatisticsConfig is what Statistics needs.
type StatisticsConfig struct {
	Origin string                                // of the log to begin with
	Logs   []note.Verifier                       // keys of the ledger's logs, of Origin's at least
	Year   func(epoch uint32) checkpoint.Fetcher // a year's log
	Month  string                                // "2026-11": this one alone; "": all
	Read   func(leaves int)                      // progress; nil: none
	// Policies returns the bundle with this digest, by which decisions on aggregates are replayed; nil where it isn't at hand.
	Policies func(digest ledger.Hash) ledger.Bundle
}

// StatisticsReport says what the public totals of a ledger's months come to.
type StatisticsReport struct {
	Logs     []StatisticsLog
	Months   []StatisticsMonth // in the order in which they were told
	Cohorts  []StatisticsCohort
	Problems []ledger.Problem
}

// StatisticsLog is a log that was read.
type StatisticsLog struct {
	checkpoint.Checkpoint
	Events uint64 // that count
	Final  bool
}

// StatisticsMonth is the totals of one month.
type StatisticsMonth struct {
	statistics.Totals
	Told    string // where: the origin of the log and the leaf
	Checked bool   // its leaves were read; false for the last month of a log before the first one read
}

// Statistics reads the logs of a ledger from their tiles, from one on, and compares the totals of each month (docs/formats.md
// §8) with the events that the heads give it. The next year's key is the one announced, unless the caller brings it.
//
// It doesn't recompute the index or what else a head says: monitors do. The error means that a log couldn't be read.
func Statistics(ctx context.Context, c StatisticsConfig) (*StatisticsReport, error) {
	if c.Read == nil {
		c.Read = func(int) {}
	}
	name, epoch, err := ledger.ParseOrigin(c.Origin)
	if err != nil {
		return nil, fmt.Errorf("couldn't read origin: %w", err)
	}
	s := &statisticsCheck{c: c, report: &StatisticsReport{}, name: name}
	for ; ; epoch++ {
		more, err := s.log(ctx, epoch)
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
	}
	s.conclude()
	return s.report, nil
}

// statisticsCheck is one run of Statistics.
type statisticsCheck struct {
	c      StatisticsConfig
	report *StatisticsReport
	name   string
	reader *statistics.Reader // of the last log
	next   string             // the key announced for the next log
	found  bool               // the month that was asked for
}

func (s *statisticsCheck) keys(origin string) (keys []note.Verifier, err error) {
	for _, l := range s.c.Logs {
		if l.Name() == origin {
			keys = append(keys, l)
		}
	}
	if len(keys) > 0 || s.next == "" {
		return keys, nil
	}
	v, err := checkpoint.ParseKey(s.next)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the announced key: %w", err)
	}
	return []note.Verifier{v}, nil
}

// log reads one year's; more says that there may be another.
func (s *statisticsCheck) log(ctx context.Context, epoch uint32) (more bool, err error) {
	origin := ledger.Origin(s.name, epoch)
	keys, err := s.keys(origin)
	if err != nil || len(keys) == 0 {
		return false, err
	}
	fetch := s.c.Year(epoch)
	signed, err := fetch.Fetch(ctx, CheckpointPath)
	if errors.Is(err, fs.ErrNotExist) && s.reader != nil {
		return false, nil // not open yet
	}
	if err != nil {
		return false, fmt.Errorf("couldn't fetch the checkpoint of %s: %w", origin, err)
	}
	cp, err := checkpoint.Open(signed, keys...)
	if err != nil {
		s.add(problem(CodeBadSignature, origin, "a checkpoint signed by the log's key", "one that isn't"))
		return false, nil
	}
	l := &statisticsLog{statisticsCheck: s, origin: origin, epoch: epoch, registry: registry.New(s.name)}
	var untold []statistics.Span
	if s.reader != nil {
		untold = append([]statistics.Span{}, s.reader.Untold()...)
		l.previous = &s.report.Logs[len(s.report.Logs)-1]
	}
	if l.reader, err = statistics.NewReader(origin, untold, l.whole); err != nil {
		return false, err
	}
	s.next = ""
	reader := checkpoint.NewReader(fetch)
	if err := reader.Read(ctx, cp, l.leaf); err != nil {
		return false, fmt.Errorf("couldn't read %s: %w", origin, err)
	}
	s.reader = l.reader
	s.report.Logs = append(s.report.Logs, StatisticsLog{cp, l.events, l.final})
	if s.c.Month == "" {
		for _, p := range l.reader.Missing() {
			s.add(p)
		}
	}
	return l.final && !s.over(epoch), nil
}

// over says whether no later log can tell the month that was asked for.
func (s *statisticsCheck) over(epoch uint32) bool {
	if s.c.Month == "" {
		return false
	}
	year, err := strconv.ParseUint(s.c.Month[:min(4, len(s.c.Month))], 10, 32)
	return err != nil || s.found || uint64(epoch) > year
}

func (s *statisticsCheck) add(p *ledger.Problem) {
	s.report.Problems = append(s.report.Problems, *p)
}

func (s *statisticsCheck) conclude() {
	if s.c.Month != "" && !s.found && len(s.report.Problems) == 0 {
		s.add(problem(statistics.CodeMissing, s.c.Origin, "the totals of "+s.c.Month, "none"))
	}
}

// statisticsLog reads the leaves of one log, which are known to be its own only once all are read.
type statisticsLog struct {
	*statisticsCheck
	origin   string
	epoch    uint32
	reader   *statistics.Reader
	previous *StatisticsLog // nil where it wasn't read
	events   uint64
	final    bool
	told     *statistics.Totals // the last month told
	registry *registry.Registry
}

func (l *statisticsLog) leaf(index uint64, raw []byte) error {
	l.c.Read(1)
	leaf, err := ledger.ParseLeaf(raw)
	if err != nil || ledger.EpochOfLeaf(leaf) != l.epoch || l.final {
		return nil // it adds nothing; monitors tell of it
	}
	switch leaf := leaf.(type) {
	case ledger.Preamble:
		l.preamble(index, leaf)
	case ledger.Event:
		l.events++
		l.reader.Event()
	case ledger.Head:
		l.final = leaf.Final
		l.reader.Head(index, leaf.UnixMS, leaf.Final)
	case ledger.Record:
		l.record(index, leaf.JSON)
	}
	return nil
}

func (l *statisticsLog) preamble(index uint64, p ledger.Preamble) {
	if index != 0 {
		return
	}
	l.reader.Preamble(p.PreviousSize)
	if b := l.previous; b != nil && (p.PreviousSize != b.Size || p.PreviousRoot != b.Root) {
		l.add(problem(CodePreviousLog, l.origin+" leaf 0", "a preamble that follows on "+b.Origin, "one that follows on another log"))
	}
}

func (l *statisticsLog) record(index uint64, record []byte) {
	if !statistics.Is(record) {
		refused := l.registry.Apply(index, record) // of which monitors tell, but for what is reported here
		switch r, _ := registry.ParseRecord(record); r := r.(type) {
		case registry.LogKey:
			if r.Origin == ledger.Origin(l.name, l.epoch+1) && l.next == "" && refused == nil {
				l.next = r.VKey
			}
		case registry.Cohort:
			l.cohort(index, r, refused)
		}
		return
	}
	l.told = nil
	for _, p := range l.reader.Record(index, record) {
		p.Where = l.origin + " " + p.Where
		if l.c.Month == "" || l.told == nil || l.told.Month == l.c.Month {
			l.add(p)
		}
	}
}

// whole takes a month's totals, before what is wrong with them is known.
func (l *statisticsLog) whole(leaf uint64, t *statistics.Totals) {
	l.told = t
	if l.c.Month != "" && l.c.Month != t.Month {
		return
	}
	l.found = true
	l.report.Months = append(l.report.Months, StatisticsMonth{
		Totals: *t, Told: fmt.Sprintf("%s leaf %d", l.origin, leaf), Checked: t.Origin == l.origin || l.previous != nil,
	})
}
