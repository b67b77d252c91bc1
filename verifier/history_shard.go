// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/index"
	"github.com/traccia-ledger/traccia/ledger/opened"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/replay"
	"github.com/traccia-ledger/traccia/ledger/vrf"
)

// historyCheck is one run of History.
type historyCheck struct {
	report *HistoryReport
	bundle *history.Bundle
	policy *checkpoint.Policy
	now    time.Time
	rules  Rules
	shards []*historyShard // those whose leaves are proven
	events []*historyEvent // by year and index
}

// historyShard is a year whose leaves are proven to be in its log.
type historyShard struct {
	*history.Shard
	name     string
	epoch    uint32
	cosigned checkpoint.Cosigned
	leaves   map[uint64]ledger.Leaf
	preamble ledger.Preamble
	heads    []replay.Head // by index
	indexes  []uint64      // of heads
	others   []uint64      // of leaves that aren't events
	registry *registry.Registry
	checker  *opened.Checker
	terms    []term // of retention
	final    bool   // the head shown is final and the log's last leaf
	headMS   uint64 // of the head shown
}

// term is how long events stay open, as a retention record says.
type term struct {
	at     place
	months int
}

// place orders events and records over the years.
type place struct {
	epoch uint32
	index uint64
}

func (p place) before(q place) bool {
	return p.epoch < q.epoch || p.epoch == q.epoch && p.index < q.index
}

func (c *historyCheck) add(p *ledger.Problem) {
	if p != nil {
		c.report.Problems = append(c.report.Problems, *p)
	}
}

func (c *historyCheck) note(t Text, args ...any) {
	if len(args) > 0 {
		t = Text{fmt.Sprintf(t.It, args...), fmt.Sprintf(t.En, args...)}
	}
	c.report.notes = append(c.report.notes, t)
}

// shard checks one year up to its index proof, and collects its events.
func (c *historyCheck) shard(i int) {
	s := c.authentic(&c.bundle.Shards[i])
	if s == nil {
		return
	}
	c.shards = append(c.shards, s)
	if c.bundle.Excerpt {
		for n := range s.Events {
			c.events = append(c.events, &historyEvent{shard: s, entry: &s.Events[n], at: place{s.epoch, s.Events[n].Index}})
		}
		return
	}
	if head := c.head(s); head != nil {
		c.pass(StepTime)
		c.lists(s, head)
	}
}

// authentic checks that the leaves of one year are in its log, and reads them; nil where they aren't.
func (c *historyCheck) authentic(raw *history.Shard) *historyShard {
	name, epoch, err := ledger.ParseOrigin(raw.Origin)
	if err != nil {
		c.add(problem(ledger.CodeBadName, raw.Origin, "a log's origin", "something else"))
		return nil
	}
	s := &historyShard{
		Shard: raw, name: name, epoch: epoch, leaves: map[uint64]ledger.Leaf{}, registry: registry.New(name),
	}
	if !c.checkpoint(s) {
		return nil
	}
	if history.CheckLeaves(s.cosigned.Size, s.cosigned.Root, s.Leaves, s.Proof) != nil {
		c.add(problem(CodeBadProof, s.at("proof"), "leaves of the log at the checkpoint", "a proof that doesn't lead to its root"))
		return nil
	}
	if !c.read(s) {
		return nil
	}
	c.pass(StepLeaves)
	c.progress(StepLeaves, 1, 1)
	s.checker = opened.NewChecker(&opened.Shard{Name: s.name, Epoch: s.epoch, Registry: s.registry, Heads: s.heads, Bundle: c.rules.Policies, Verify: c.rules.Verify})
	return s
}

// at names a part of a year.
func (s *historyShard) at(part string) string { return fmt.Sprintf("%d/%s", s.epoch, part) }

// checkpoint opens the checkpoint by the policy.
func (c *historyCheck) checkpoint(s *historyShard) bool {
	from := c.roll(s)
	var err error
	s.cosigned, err = c.policy.Open(s.Checkpoint)
	if err != nil && !errors.Is(err, checkpoint.ErrQuorum) {
		c.add(problem(CodeBadCheckpoint, s.at("checkpoint"), "a checkpoint signed by a log of the policy", "one that isn't"))
		return false
	}
	if s.cosigned.Origin != s.Origin {
		c.add(problem(CodeWrongOrigin, s.at("checkpoint"), s.Origin, s.cosigned.Origin))
		return false
	}
	if first, _, _ := ledger.ParseOrigin(c.bundle.Shards[0].Origin); s.name != first {
		c.add(problem(CodeOtherLedger, s.at("origin"), first, s.name))
		return false
	}
	if err != nil {
		c.add(problem(CodeTooFewWitnesses, s.at("checkpoint"), fmt.Sprintf("cosignatures of %d of the policy's witnesses", c.policy.K), fmt.Sprint(len(s.cosigned.Witnesses))))
	}
	c.add(noMonitor(s.at("checkpoint"), c.policy, s.cosigned))
	r := HistoryShard{Origin: s.Origin, KeyFrom: from, Size: s.cosigned.Size, Cosigned: s.cosigned.Latest, Witnesses: []string{}}
	for _, w := range s.cosigned.Witnesses {
		r.Witnesses = append(r.Witnesses, w.Witness)
	}
	for _, m := range s.cosigned.Monitors {
		r.Monitors = append(r.Monitors, m.Witness)
	}
	c.report.Shards = append(c.report.Shards, r)
	c.pass(StepLog)
	c.pass(StepWitnesses)
	c.progress(StepWitnesses, 1, 1)
	return true
}

// noMonitor is the problem of a state that no monitor of the policy cosigned, a policy without monitors among them; nil
// where one did. How honestly an index was built only a monitor's word says.
func noMonitor(where string, policy *checkpoint.Policy, c checkpoint.Cosigned) *ledger.Problem {
	switch {
	case len(c.Monitors) > 0:
		return nil
	case len(policy.Monitors) == 0:
		return problem(CodeNoMonitor, where, "the cosignature of a monitor, in the policy's group monitors", "a policy that names no monitor")
	}
	return problem(CodeNoMonitor, where, "the cosignature of a monitor of the policy", "none")
}

// roll has the policy trust the key that the year before announced for this one, where it names none itself, and returns
// the origin of that year; "" where it didn't.
func (c *historyCheck) roll(s *historyShard) (from string) {
	if len(c.shards) == 0 || slices.ContainsFunc(c.policy.Logs, func(l checkpoint.Log) bool { return strings.HasPrefix(l.VKey, s.Origin+"+") }) {
		return ""
	}
	before := c.shards[len(c.shards)-1]
	next, announced := before.registry.LogKey(s.Origin)
	if !announced || before.epoch+1 != s.epoch {
		return ""
	}
	policy := *c.policy
	policy.Logs = append(slices.Clone(policy.Logs), checkpoint.Log{VKey: next.VKey})
	c.policy = &policy
	return before.Origin
}

// read parses the leaves, and folds heads and records.
func (c *historyCheck) read(s *historyShard) bool {
	var clock uint64
	for _, l := range s.Leaves {
		where := s.at(fmt.Sprintf("leaves/%d", l.Index))
		leaf, err := ledger.ParseLeaf(l.Leaf)
		if err != nil {
			c.add(problem(CodeMalformedLeaf, where, "a leaf", "something else"))
			continue
		}
		if ledger.EpochOfLeaf(leaf) != s.epoch {
			c.add(problem(CodeWrongEpoch, where, fmt.Sprint(s.epoch), fmt.Sprint(ledger.EpochOfLeaf(leaf))))
			continue
		}
		s.leaves[l.Index] = leaf
		if _, event := leaf.(ledger.Event); !event {
			s.others = append(s.others, l.Index)
		}
		switch leaf := leaf.(type) {
		case ledger.Preamble:
			if l.Index != 0 || leaf.Name != s.name {
				c.add(problem(CodeNoPreamble, where, "the preamble of "+s.Origin+", at 0 alone", "another"))
				return false
			}
			s.preamble = leaf
		case ledger.Head:
			if leaf.Final && l.Index+1 != s.cosigned.Size {
				c.add(problem(CodeAfterFinal, where, "nothing after the final head", "leaves"))
			}
			if len(s.heads) > 0 && leaf.UnixMS <= clock {
				c.add(problem(CodeHeadClock, where, "later than the head before", "not later"))
			}
			clock = max(clock, leaf.UnixMS)
			s.heads = append(s.heads, replay.Head{Leaf: l.Index, Final: leaf.Final, UnixMS: leaf.UnixMS})
			s.indexes = append(s.indexes, l.Index)
		case ledger.Record:
			s.record(l.Index, leaf.JSON)
		}
	}
	if _, ok := s.leaves[0].(ledger.Preamble); !ok {
		c.add(problem(CodeNoPreamble, s.at("leaves/0"), "the preamble of "+s.Origin, "another leaf or none"))
		return false
	}
	return true
}

func (s *historyShard) record(at uint64, record []byte) {
	if months, ok := history.ParseRetention(record); ok {
		s.terms = append(s.terms, term{place{s.epoch, at}, months})
		return
	}
	// A record that the rules refuse changes nothing, for the ledger as for us.
	_ = s.registry.Apply(at, record)
}

// head checks the head under whose root the index proof is, and how old it is.
func (c *historyCheck) head(s *historyShard) *ledger.Head {
	where := s.at(fmt.Sprintf("leaves/%d", s.Head))
	head, ok := s.leaves[s.Head].(ledger.Head)
	if !ok {
		c.add(problem(CodeNoHead, where, "a head", "another leaf or none"))
		return nil
	}
	s.headMS = head.UnixMS
	s.final = head.Final && s.Head+1 == s.cosigned.Size
	at := instantOf(head.UnixMS)
	r := &c.report.Shards[len(c.report.Shards)-1]
	r.Head, r.Final = at, s.final
	if latest := s.cosigned.Latest; !latest.IsZero() {
		if at.Sub(latest) > aheadAtMost {
			c.add(problem(CodeHeadAhead, where, "not more than 60 s after the latest cosignature, "+instantText(latest), instantText(at)))
		}
		if latest.Sub(at) > staleAfter && !s.final {
			c.report.Stale = true
		}
	}
	if !s.final && c.now.Sub(at) > oldAfter {
		c.report.Stale = true
	}
	return &head
}

// instantOf is an instant that a leaf states, or the last one that RFC 3339 can write.
func instantOf(ms uint64) time.Time {
	last := uint64(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).UnixMilli())
	return time.UnixMilli(int64(min(ms, last))).UTC()
}

func instantText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// lists checks the list of scopes, each one's key, and what the index holds for their tags.
func (c *historyCheck) lists(s *historyShard, head *ledger.Head) {
	var scopes []string
	reserved, total := 0, uint64(0)
	for _, l := range s.Lists {
		scopes = append(scopes, l.Scope)
		if l.Scope[0] == '+' {
			reserved++
		}
		total += uint64(l.Count)
	}
	if reserved != 4 || ledger.ScopesHash(scopes) != head.Scopes {
		c.add(problem(CodeWrongScopes, s.at("lists"), "the scopes that the head states", "others"))
		return
	}
	if total != uint64(len(s.Events)) {
		c.add(problem(ledger.CodeCountMismatch, s.at("events"), fmt.Sprintf("%d events, as the lists count", total), fmt.Sprint(len(s.Events))))
		return
	}
	var tags []ledger.Hash
	given := make([]bool, len(s.Lists))
	proven := c.outputs(s)
	for i, l := range s.Lists {
		k, p := c.key(s, l, proven[i])
		if p != nil {
			c.add(p)
			return
		}
		if given[i] = k != nil; !given[i] {
			continue
		}
		for n := range l.Count + 1 {
			tags = append(tags, ledger.SubjectTag(k, n))
		}
	}
	c.pass(StepLists)
	results, err := index.CheckMany(head.Root, tags, s.Index)
	if err != nil {
		c.add(problem(CodeBadIndexProof, s.at("index"), "what the index under the head's root holds for these tags", "another proof"))
		return
	}
	c.pass(StepComplete)
	c.progress(StepComplete, 1, 1)
	used := map[uint64]bool{}
	for i, l := range s.Lists {
		scope := HistoryScope{Epoch: s.epoch, Scope: l.Scope, Events: l.Count, Withheld: !given[i]}
		c.report.Scopes = append(c.report.Scopes, scope)
		if given[i] {
			c.list(s, l, tags[:l.Count+1], results[:l.Count+1], used)
			tags, results = tags[l.Count+1:], results[l.Count+1:]
		}
	}
	for _, e := range s.Events {
		if !used[e.Index] {
			c.add(problem(CodeStrayEvent, s.at(fmt.Sprintf("events/%d", e.Index)), "events of the citizen's lists alone", "another"))
		}
	}
}

// outputs verifies the VRF proofs of a year's lists; nil where there is none, or a bad one.
func (c *historyCheck) outputs(s *historyShard) []*[64]byte {
	proven := make([]*[64]byte, len(s.Lists))
	part := max(1, len(s.Lists)/runtime.GOMAXPROCS(0))
	var parts sync.WaitGroup
	var told sync.Mutex
	done := 0
	for from := 0; from < len(s.Lists); from += part {
		parts.Go(func() {
			for i, l := range s.Lists[from:min(from+part, len(s.Lists))] {
				if beta, err := vrf.Verify(s.preamble.VRFKey, l.Pi, ledger.SubjectAlpha(c.bundle.Subject, l.Scope, s.epoch)); err == nil {
					proven[from+i] = &beta
				}
				told.Lock()
				done++
				c.progress(StepLists, done, len(s.Lists))
				told.Unlock()
			}
		})
	}
	parts.Wait()
	return proven
}

// key returns k_s of one list, whose proof has this output; nil where it needn't be given yet.
func (c *historyCheck) key(s *historyShard, l history.List, beta *[64]byte) (*[32]byte, *ledger.Problem) {
	where := s.at("lists/" + l.Scope)
	if l.Pi == nil {
		if l.Scope != ledger.ScopeDeferred {
			return nil, problem(CodeNoVRFProof, where, "the VRF proof of the citizen's key", "none")
		}
		if s.cosigned.Latest.After(ledger.DeferralLimit(s.epoch)) {
			return nil, problem(CodeDeferredOverdue, where, "the VRF proof of the citizen's key, "+fmt.Sprint(ledger.DeferralMonths)+" months after the year", "none")
		}
		c.note(noteDeferred, s.epoch, l.Scope)
		return nil, nil
	}
	if beta == nil {
		return nil, problem(CodeBadVRFProof, where, "a proof of the key of this citizen, scope and year", "another")
	}
	k := [32]byte(beta[:32])
	return &k, nil
}

// attested says what a scope's party said last of its own records, in the year's log or in the next year's. The registry
// has verified that a key in force signed it.
func (c *historyCheck) attested() {
	for i, s := range c.shards {
		for n := range c.report.Scopes {
			scope := &c.report.Scopes[n]
			if scope.Epoch != s.epoch {
				continue
			}
			last, ok := s.registry.Attested(scope.Scope, s.Origin)
			if i+1 < len(c.shards) {
				if later, found := c.shards[i+1].registry.Attested(scope.Scope, s.Origin); found && (!ok || later.Head > last.Head) {
					last, ok = later, true
				}
			}
			if !ok {
				continue
			}
			if until := instantOf(last.Until); last.Result == registry.CheckProven {
				scope.Attested = until
			} else {
				scope.Alarm = until
				c.note(noteAlarm, scope.Scope, s.epoch, instantText(until))
			}
		}
	}
}

// list follows the matches of one list to their leaves.
func (c *historyCheck) list(s *historyShard, l history.List, tags []ledger.Hash, results []index.Result, used map[uint64]bool) {
	var last uint64
	for n, r := range results {
		where := s.at(fmt.Sprintf("lists/%s/%d", l.Scope, n))
		if end := n == len(results)-1; end || r.Kind != index.Match {
			switch {
			case !end:
				c.add(problem(CodeNumberAbsent, where, "an event with this number", "none in the index"))
			case r.Kind != index.Absent:
				c.add(problem(CodeMoreEvents, where, "no event with this number", "one at "+fmt.Sprint(r.Index)))
			}
			continue
		}
		number := uint32(n)
		e := &historyEvent{shard: s, scope: l.Scope, number: &number, at: place{s.epoch, r.Index}, tag: &tags[n]}
		if i, ok := slices.BinarySearchFunc(s.Events, r.Index, func(e history.Event, at uint64) int {
			if e.Index < at {
				return -1
			}
			return min(int(e.Index-at), 1)
		}); ok && !used[r.Index] {
			e.entry, used[r.Index] = &s.Events[i], true
		}
		if r.Index >= s.Head {
			e.fault(CodeNotCovered, "leaf", "a leaf before the head", fmt.Sprint(r.Index))
		}
		if n > 0 && r.Index <= last {
			e.fault(CodeNotAscending, "leaf", fmt.Sprintf("an index above %d", last), fmt.Sprint(r.Index))
		}
		last = r.Index
		c.events = append(c.events, e)
	}
}
