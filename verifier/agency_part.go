// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/index"
	"github.com/traccia-ledger/traccia/ledger/vrf"
)

// part checks one part by itself, and that it goes on where the list was. It returns whether what follows can be judged.
func (c *agencyCheck) part(p *history.AgencyPart) bool {
	r := c.report
	where := func(what string) string { return fmt.Sprintf("part/%d/%s", r.Parts, what) }
	stop := func(p *ledger.Problem) bool {
		c.broken = true
		c.add(*p)
		return false
	}
	if r.Parts == 0 {
		r.Agency, r.Origin = p.Agency, p.Origin
		if c.Seen != nil {
			c.calls = c.Seen(p.Origin)
		}
	}
	switch {
	case p.Agency != r.Agency || p.Origin != r.Origin:
		return stop(problem(CodeOtherList, where("origin"), r.Agency+" in "+r.Origin, p.Agency+" in "+p.Origin))
	case p.From != r.Events:
		return stop(problem(CodeNumberGap, where("from"), fmt.Sprint(r.Events), fmt.Sprint(p.From)))
	}
	// A part's log is checked as a year of a history is.
	one := &historyCheck{
		report: new(HistoryReport), bundle: &history.Bundle{Shards: []history.Shard{p.Shard}}, policy: c.Policy, now: c.Now, rules: Rules{Policies: c.Policies},
	}
	shard := one.authentic(&p.Shard)
	var head *ledger.Head
	if shard != nil {
		head = one.head(shard)
	}
	for _, found := range one.report.Problems {
		found.Where = where(found.Where)
		c.add(found)
	}
	if head == nil {
		c.broken = true
		return false
	}
	r.Stale, r.Log = one.report.Stale, one.report.Shards[0]
	if r.Parts > 0 && (shard.preamble != c.preamble || shard.cosigned.Size == c.size && shard.cosigned.Root != c.root) {
		return stop(problem(CodeFork, where("checkpoint"), "the log of the part before", "another"))
	}
	c.preamble, c.size, c.root = shard.preamble, shard.cosigned.Size, shard.cosigned.Root
	c.head, c.headMS = p.Head, head.UnixMS

	beta, err := vrf.Verify(shard.preamble.VRFKey, p.Pi, ledger.AgencyAlpha(p.Agency, shard.epoch))
	if err != nil {
		return stop(problem(CodeBadVRFProof, where("pi"), "a proof of the key of "+p.Agency+" in this year", "another"))
	}
	k := [32]byte(beta[:32])
	tags := make([]ledger.Hash, len(p.Events)+1)
	for n := range tags {
		tags[n] = ledger.AgencyTag(&k, p.From+uint64(n))
	}
	results, err := index.CheckMany(head.Root, tags, p.Index)
	if err != nil {
		return stop(problem(CodeBadIndexProof, where("index"), "what the index under the head's root holds for these numbers", "another proof"))
	}
	for n := range p.Events {
		if !c.number(shard, p.From+uint64(n), &p.Events[n], results[n], tags[n]) {
			c.broken = true
			return false
		}
	}
	c.ended = results[len(p.Events)].Kind == index.Absent
	r.Parts++
	return true
}

// number follows one number to its leaf; false where the list can't be followed further.
func (c *agencyCheck) number(s *historyShard, number uint64, e *history.Event, at index.Result, tag ledger.Hash) bool {
	var faults []ledger.Problem
	fault := func(code, where, expected, found string) {
		faults = append(faults, ledger.Problem{Code: code, Where: where, Expected: expected, Found: found})
	}
	if at.Kind != index.Match {
		fault(CodeNumberAbsent, "", "an event with this number", "none in the index")
	} else if at.Index != e.Index {
		fault(CodeLeafMissing, "leaf", fmt.Sprintf("the entry at %d, to which the index leads", at.Index), fmt.Sprintf("that at %d", e.Index))
	}
	if len(faults) > 0 {
		c.tell(number, faults)
		return false
	}
	if e.Index >= s.Head {
		fault(CodeNotCovered, "leaf", "a leaf before the head", fmt.Sprint(e.Index))
	}
	if c.any && e.Index <= c.last {
		fault(CodeNotAscending, "leaf", fmt.Sprintf("an index above %d", c.last), fmt.Sprint(e.Index))
	}
	one := &agencyEvent{AgencyEvent: AgencyEvent{Number: number, Index: e.Index}}
	faults = append(faults, c.judge(s, e, tag, one)...)
	own := c.match(e.Index)
	c.any, c.last = true, max(c.last, e.Index)
	c.report.Events++
	c.settle(s, one, len(faults) > 0)
	c.tell(number, faults)
	if c.AllSeen && !own {
		c.report.Foreign++
		if len(c.report.ForeignEvents) < MaxListed {
			c.report.ForeignEvents = append(c.report.ForeignEvents, one.AgencyEvent)
		}
		found := one.Kind
		if found == "" {
			found = "an event that isn't opened"
		} else {
			found += " signed by " + one.Issuer
		}
		c.tell(number, []ledger.Problem{*problem(CodeNotItsOwn, "leaf", "an entry that you were answered with", found)})
	}
	return true
}

func (c *agencyCheck) tell(number uint64, faults []ledger.Problem) {
	for _, f := range faults {
		f.Where = fmt.Sprintf("events/%d/%s", number, f.Where)
		c.add(f)
	}
}

// agencyEvent is an event under check.
type agencyEvent struct {
	AgencyEvent
	opened bool
}

// judge checks one event as far as it stands for itself.
func (c *agencyCheck) judge(s *historyShard, e *history.Event, tag ledger.Hash, one *agencyEvent) (faults []ledger.Problem) {
	fault := func(code, where, expected, found string) {
		faults = append(faults, ledger.Problem{Code: code, Where: where, Expected: expected, Found: found})
	}
	raw, ok := s.leaves[e.Index]
	if !ok {
		fault(CodeLeafMissing, "leaf", "the leaf in the file", "none")
		return faults
	}
	leaf, ok := raw.(ledger.Event)
	if !ok {
		fault(CodeWrongTag, "leaf", "an event", "another leaf")
		return faults
	}
	if leaf.AgencyTag != tag {
		fault(CodeWrongTag, "leaf", "the body's tag as agency tag", "another")
	}
	if p := s.around(e.Index); p != nil {
		faults = append(faults, *p)
	}
	if e.Nonce == nil {
		return faults
	}
	ev, wrong := s.checker.Check(e.Index, leaf, e.Nonce, e.Body)
	faults = append(faults, wrong...)
	one.opened = true
	if ev == nil {
		return faults
	}
	b, r := ev.Body, ev.Receipt
	if d := ev.Decision; d != nil && d.Effect != ledger.EffectRecorded && ev.Bundle == nil {
		c.unreplayed++
	}
	one.Kind, one.RecordedAt, one.OccurredAt = b.Kind, instantText(time.UnixMilli(b.RecordedAt)), r.OccurredAt
	one.Issuer, one.Provider, one.Purpose = r.Iss, r.Provider, r.Purpose
	if b.Agency != c.report.Agency {
		fault(CodeOtherAgency, "body#agency", c.report.Agency, b.Agency)
	}
	if r.Names([]ledger.Subject{b.Subject.Code}) {
		fault(ledger.CodeNamesSubject, "body#receipt", "a receipt that names nobody", "one that names its citizen")
	}
	if o := ev.Order; o != nil && o.Names([]ledger.Subject{b.Subject.Code}) {
		fault(ledger.CodeNamesSubject, "body#deferral", "an order that names nobody", "one that names its citizen")
	}
	kind, _ := ledger.KindOf(b.Kind)
	if want := kind.RoleIn(b.Scope); want != "" && r.Role != want {
		fault(CodeWrongRole, "receipt#role", want, r.Role)
	}
	if len(faults) == 0 {
		c.once = append(c.once, onceEntry{ev.Once(), one.Number})
		if asked, ok := history.ParseErasure(r.Operation); ok && b.Kind == ledger.KindRequest {
			c.requests = append(c.requests, request{asked, e.Index, s.epoch})
		}
	}
	return faults
}

// settle counts an event by its state; whether one that isn't opened may be so, the end of the list can tell.
func (c *agencyCheck) settle(s *historyShard, one *agencyEvent, faulty bool) {
	r := c.report
	switch {
	case faulty:
		one.State = StateUnexplained
		r.Unexplained++
	case one.opened:
		one.State = StateOpen
		r.Open++
	case c.expired(s, one.Index):
		one.State = StateErased
		r.Erased++
	default:
		one.State = StateWithheld
		r.Withheld++
		if !c.ProofsOnly {
			c.unopened = append(c.unopened, c.unopenedAt(s, one))
		}
	}
}

// expired says whether an event's term of retention was over.
func (c *agencyCheck) expired(s *historyShard, at uint64) bool {
	if len(s.cosigned.Witnesses) < c.Policy.K {
		return false
	}
	e := &historyEvent{shard: s, at: place{s.epoch, at}}
	return e.expired(s.terms, s.cosigned.Latest)
}

// unopenedEvent is an event that isn't opened, and the months in which it may have been recorded.
type unopenedEvent struct {
	number, index uint64
	first, last   string // months
}

func (c *agencyCheck) unopenedAt(s *historyShard, one *agencyEvent) unopenedEvent {
	u := unopenedEvent{number: one.Number, index: one.Index}
	before, after := history.Around(s.indexes, one.Index)
	first, ok := s.leaves[before].(ledger.Head)
	second, also := s.leaves[after].(ledger.Head)
	if ok && also {
		u.first, u.last = instantOf(first.UnixMS).Format("2006-01"), instantOf(second.UnixMS).Format("2006-01")
	}
	return u
}

// request is a citizen's request for erasure which the body itself recorded.
type request struct {
	history.Erasure
	at    uint64
	epoch uint32
}

func (q *request) names(u unopenedEvent) bool {
	switch {
	case u.index >= q.at:
		return false
	case q.Month != "":
		return u.first != "" && u.first <= q.Month && q.Month <= u.last
	}
	return q.Epoch == q.epoch && q.Index == u.index
}

// erasures looks for the requests that entitled the ledger not to open events.
func (c *agencyCheck) erasures() {
	for _, u := range c.unopened {
		found := false
		for i := range c.requests {
			found = found || c.requests[i].names(u)
		}
		if found {
			c.report.Withheld--
			c.report.Erased++
			c.note("Some events are erased at a citizen's request, which you recorded yourself: whose they were isn't shown.")
			continue
		}
		c.tell(u.number, []ledger.Problem{*problem(CodeNotOpened, "body", "a body, or a ground for its erasure", "neither")})
	}
}
