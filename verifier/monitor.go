// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/replay"
	"github.com/traccia-ledger/traccia/ledger/statistics"
	"github.com/traccia-ledger/traccia/ledger/vrf"
)

// Monitor follows one log from its tiles alone, and recomputes all that is a
// public function of its leaves: index, heads, scopes, records. It holds the
// index in memory, 60 bytes a key.
//
// Trusted are the checkpoints that it is given, which the caller has opened, the
// clock that comes with them, and what Resume is told was verified before. A leaf
// is judged only once it is known to be the log's.
//
// What must always hold: a Monitor that isn't Broken has recomputed every head of
// the log's first Size leaves and found it right; and a finding that breaks the
// log is never forgotten. It belongs to one goroutine.
type Monitor struct {
	origin    string
	epoch     uint32
	next      string               // origin of the shard after this
	after     *Ended               // the shard before; nil if it wasn't seen
	inForce   map[ledger.Hash]bool // digests of after.InForce
	fetch     checkpoint.Fetcher
	announced *Announced
	found     func(Finding)

	reader      *checkpoint.Reader
	replay      *replay.Reader
	registry    *registry.Registry
	totals      *statistics.Reader
	untold      map[string]bool   // months of which it was told that their totals are missing
	records     map[uint64][]byte // those that the registry took, by leaf
	policies    []policy          // activated, not fetched yet
	yearTold    bool              // that the year has no final head
	sessionTold map[uint64]bool   // records of sessions of which an alarm was told
	resuming    bool              // leaves were verified, and findings told, by a run before
	told        struct{ duplicates, problems int }
	events      uint64
	heads       uint64
	clock       clock

	public  uint64 // the largest size that the log showed to all
	shown   string // what was wrong with what it showed last, which is told once
	alarms  findings
	notices findings
	broken  *Finding // the first that breaks the log
}

// MonitorConfig is what a Monitor needs.
type MonitorConfig struct {
	Origin string             // of the log
	Fetch  checkpoint.Fetcher // of its tiles
	// After, if not nil, is what the shard before left: this one must follow on it.
	After *Ended
	// Announced is what owners of keys, scopes and policies published. Without it
	// (nil) a new one is told as a notice; with it, one that isn't there is an alarm.
	Announced *Announced
	// Found, if not nil, is called with each finding of this run, up to a bound.
	Found func(Finding)
}

// Kept is called with leaves that are verified and to be kept, in order.
type Kept func(first uint64, leaves [][]byte) error

// NewMonitor returns a Monitor at the start of a log.
func NewMonitor(c MonitorConfig) (*Monitor, error) {
	name, epoch, err := ledger.ParseOrigin(c.Origin)
	if err != nil {
		return nil, fmt.Errorf("couldn't read origin: %w", err)
	}
	if c.After != nil && c.After.Next != c.Origin {
		return nil, fmt.Errorf("couldn't follow %s after %s", c.Origin, c.After.Origin)
	}
	follow, err := replay.New(c.Origin)
	if err != nil {
		return nil, err
	}
	m := &Monitor{
		origin: c.Origin, epoch: epoch, next: ledger.Origin(name, epoch+1), after: c.After, fetch: c.Fetch, announced: c.Announced, found: c.Found,
		reader: checkpoint.NewReader(c.Fetch), replay: follow, registry: registry.New(name), records: map[uint64][]byte{}, inForce: map[ledger.Hash]bool{}, untold: map[string]bool{}, sessionTold: map[uint64]bool{},
	}
	if c.After != nil {
		for _, r := range c.After.InForce {
			m.inForce[sha256.Sum256(r)] = true
		}
	}
	var untold []statistics.Span
	if c.After != nil {
		untold = c.After.Untold
	}
	if m.totals, err = statistics.NewReader(c.Origin, untold, nil); err != nil {
		return nil, err
	}
	if m.found == nil {
		m.found = func(Finding) {}
	}
	return m, nil
}

// Resume takes the leaves that a Monitor before kept, up to a state that it
// verified; public is the largest size that it had seen shown to all, and looked
// when it looked last. The error is checkpoint.ErrTiles when they aren't that
// state's leaves; after an error the Monitor is to be dropped.
func (m *Monitor) Resume(at checkpoint.Checkpoint, leaves iter.Seq2[[]byte, error], public uint64, looked time.Time) error {
	m.resuming = true
	defer func() { m.resuming = false }()
	err := m.reader.Kept(at, leaves, func(index uint64, leaf []byte) error {
		m.add(index, leaf, time.Time{})
		return nil
	})
	m.public = public
	m.clock.resume(looked)
	m.sessions()
	return err
}

// Forked has the Monitor know of a fork that a run before found.
func (m *Monitor) Forked(old, other checkpoint.Checkpoint) {
	m.resuming = true
	defer func() { m.resuming = false }()
	m.tell(LevelBroken, forkProblem(old, other))
}

// Extend verifies the log up to a checkpoint that its key signed, whether or not
// the log shows it to all yet; at is the instant when it was the log's newest.
//
// The error is checkpoint.ErrFork when it doesn't go together with what was
// verified before, which is told as a finding and breaks the log for good. Any
// other error, a fetch's, kept's or checkpoint.ErrTiles, means that the leaves
// beyond Size couldn't be read: what came before stays verified, and another call
// goes on there.
func (m *Monitor) Extend(ctx context.Context, now checkpoint.Checkpoint, at time.Time, kept Kept) error {
	before := m.verified()
	if now.Origin != m.origin {
		return fmt.Errorf("couldn't compare checkpoints of %q and %q", m.origin, now.Origin)
	}
	if now.Size < before.Size {
		return m.forked(checkpoint.Consistent(ctx, m.fetch, now, before), before, now)
	}
	err := m.reader.ReadParts(ctx, now, func(first uint64, leaves [][]byte) error {
		for i, leaf := range leaves {
			m.add(first+uint64(i), leaf, at)
		}
		return kept(first, leaves)
	})
	if errors.Is(err, checkpoint.ErrTiles) {
		// Whether the tiles are damaged or the log has two histories, the right
		// edges of the two tell.
		if fork := checkpoint.Consistent(ctx, m.fetch, m.verified(), now); errors.Is(fork, checkpoint.ErrFork) {
			err = fork
		}
	}
	if err = m.forked(err, m.verified(), now); err != nil {
		return err
	}
	m.looked(at)
	m.bundles(ctx)
	return nil
}

// Public is Extend for the checkpoint that the log shows to all. One that is
// smaller than another before is told as a finding, with checkpoint.ErrRollback.
func (m *Monitor) Public(ctx context.Context, now checkpoint.Checkpoint, at time.Time, kept Kept) error {
	if now.Size < m.public {
		m.showed(problem(CodeRollback, CheckpointPath, fmt.Sprintf("size %d or more", m.public), fmt.Sprintf("size %d", now.Size)))
		return checkpoint.ErrRollback
	}
	if err := m.Extend(ctx, now, at, kept); err != nil {
		return err
	}
	m.public, m.shown = now.Size, ""
	return nil
}

// BadSignature tells that what the log shows isn't signed by its key.
func (m *Monitor) BadSignature() {
	m.showed(problem(CodeBadSignature, CheckpointPath, "a checkpoint signed by the log's key", "one that isn't"))
}

// showed tells what is wrong with what the log shows, unless it was wrong in the
// same way at the look before.
func (m *Monitor) showed(p *ledger.Problem) {
	if m.shown == p.Error() {
		return
	}
	m.shown = p.Error()
	m.tell(LevelAlarm, p)
}

func (m *Monitor) forked(err error, before, now checkpoint.Checkpoint) error {
	if errors.Is(err, checkpoint.ErrFork) {
		m.tell(LevelBroken, forkProblem(before, now))
	}
	return err
}

func forkProblem(before, now checkpoint.Checkpoint) *ledger.Problem {
	shown := func(c checkpoint.Checkpoint) string { return fmt.Sprintf("size %d with root %x", c.Size, c.Root) }
	return problem(CodeFork, CheckpointPath, "a log that goes together with "+shown(before), shown(now)+", which doesn't")
}

// verified is the state that was read and recomputed.
func (m *Monitor) verified() checkpoint.Checkpoint {
	return checkpoint.Checkpoint{Origin: m.origin, Size: m.reader.Size(), Root: m.reader.Root()}
}

// add judges the next leaf.
func (m *Monitor) add(index uint64, leaf []byte, at time.Time) {
	seen := m.replay.Add(leaf)
	m.tellReplay()
	if !seen.Counts {
		return
	}
	switch leaf := seen.Leaf.(type) {
	case ledger.Event:
		m.events++
		m.totals.Event()
		m.clock.event(index)
	case ledger.Head:
		m.heads++
		m.head(seen.Head, leaf, at)
	case ledger.Record:
		m.record(index, leaf.JSON)
	case ledger.Preamble:
		m.preamble(leaf)
		if vrf.CheckKey(leaf.VRFKey) != nil {
			m.tell(LevelBroken, problem(CodeVRFKey, leafAt(index), "a VRF key that RFC 8032 decodes and that isn't of small order", "another"))
		}
	}
}

// tellReplay tells what replay found in the leaf that it got last.
func (m *Monitor) tellReplay() {
	duplicates, problems := m.replay.Alarms()
	for _, d := range duplicates[m.told.duplicates:] {
		m.tell(LevelBroken, problem(CodeTagRepeated, leafAt(d.Again), "a tag that stands nowhere else", fmt.Sprintf("the %s tag of leaf %d", d.Tag, d.First)))
	}
	for _, p := range problems[m.told.problems:] {
		m.tell(LevelBroken, problem(p.Code, leafAt(p.Leaf), "a leaf as the formats say", p.What))
	}
	m.told.duplicates, m.told.problems = len(duplicates), len(problems)
}

// head judges a head by what the leaves before it give, and by clocks.
func (m *Monitor) head(want *replay.Head, h ledger.Head, at time.Time) {
	for _, field := range want.Wrong() {
		var p *ledger.Problem
		switch field {
		case "keys":
			p = problem(CodeWrongHead, leafAt(want.Leaf), fmt.Sprintf("%d keys", want.WantKeys), fmt.Sprintf("%d keys", h.Keys))
		case "root":
			p = problem(CodeWrongHead, leafAt(want.Leaf), "index root "+hex.EncodeToString(want.WantRoot[:]), "index root "+hex.EncodeToString(h.Root[:]))
		case "scopes":
			p = problem(CodeWrongHead, leafAt(want.Leaf), "scopes hash "+hex.EncodeToString(want.WantScopes[:]), "scopes hash "+hex.EncodeToString(h.Scopes[:]))
		default:
			p = problem(CodeClockBack, leafAt(want.Leaf), "a head later than "+m.clock.latest(), instant(want.UnixMS))
		}
		m.tell(LevelBroken, p)
	}
	if m.heads == 1 {
		m.begun(h, want.Leaf)
	}
	for _, p := range m.clock.head(want, at) {
		m.tell(LevelAlarm, p)
	}
	if h.Final {
		m.announcedNext(want.Leaf)
	}
	m.totals.Head(want.Leaf, h.UnixMS, h.Final)
	for _, p := range m.totals.Missing() {
		if !m.untold[p.Expected] {
			m.untold[p.Expected] = true
			m.tell(LevelAlarm, p)
		}
	}
}

// looked judges by the clock what the log doesn't show.
func (m *Monitor) looked(at time.Time) {
	for _, p := range m.clock.look(at) {
		m.tell(LevelAlarm, p)
	}
	m.closed(at)
	m.sessions()
}

// Ahead reports whether the log has a head that is more than 60 s later than at.
// Such a log isn't to be cosigned until that instant comes.
func (m *Monitor) Ahead(at time.Time) bool { return m.clock.ahead(at) }

// Broken returns the first finding that nothing later mends, or nil. Such a log
// isn't to be cosigned any more.
func (m *Monitor) Broken() *Finding { return m.broken }

// Size returns how many leaves are verified.
func (m *Monitor) Size() uint64 { return m.reader.Size() }

// MonitorReport is what a Monitor knows of a log.
type MonitorReport struct {
	checkpoint.Checkpoint        // what is verified
	Public                uint64 // the largest size that the log showed to all
	Events                uint64 // type-1 leaves that count
	Heads                 uint64 // recomputed
	Keys                  uint64 // of the index
	LastHead              time.Time
	Looked                time.Time // the last look that read to the end
	Final                 bool      // the shard is closed
	Broken                bool      // see Monitor.Broken
	// Alarm is the code of the gravest alarm, or "none".
	Alarm string
	// Alarms are those that still stand and those of this run, Notices those of
	// this run: the first thousand of each. The others are only counted.
	Alarms, Notices         []Finding
	MoreAlarms, MoreNotices uint64
}

// Report says how the log stands.
func (m *Monitor) Report() MonitorReport {
	r := MonitorReport{
		Checkpoint: m.verified(), Public: m.public,
		Events: m.events, Heads: m.heads, Keys: m.replay.Index().Len(),
		Looked: m.clock.at, Final: m.clock.final, Broken: m.broken != nil,
		Alarm:  string(AlarmNone),
		Alarms: m.alarms.list, Notices: m.notices.list, MoreAlarms: m.alarms.more, MoreNotices: m.notices.more,
	}
	if m.clock.heads > 0 {
		r.LastHead = time.UnixMilli(int64(m.clock.last.UnixMS)).UTC()
	}
	switch {
	case m.broken != nil:
		r.Alarm = m.broken.Code
	case len(r.Alarms) > 0:
		r.Alarm = r.Alarms[0].Code
	}
	return r
}
