// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/index"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/vrf"
)

// judgedPart is a part of a list, checked as far as it stands for itself.
type judgedPart struct {
	err       error           // the file's own
	malformed *ledger.Problem // it is no part

	*history.AgencyPart
	shard  *historyShard // nil where its leaves aren't proven
	head   *ledger.Head  // nil where it shows none
	log    HistoryShard
	stale  bool
	found  []ledger.Problem // about log and head
	stop   *ledger.Problem  // why its events can't be followed
	events []*judgedEvent   // up to the first that can't be followed
	ended  bool             // the number behind its events is absent
}

// judgedEvent is an event of a part. Where it leads elsewhere the list can't be followed further.
type judgedEvent struct {
	ListedEvent
	elsewhere  bool
	covered    *ledger.Problem
	unreplayed bool
	once       *[16]byte // where it is right by itself
	request    *request
}

// judgePart checks the n-th part by itself. It changes nothing of c.
func (c *agencyCheck) judgePart(n int, p *history.AgencyPart) *judgedPart {
	j := &judgedPart{AgencyPart: p}
	where := func(what string) string { return fmt.Sprintf("part/%d/%s", n, what) }
	// A part's log is checked as a year of a history is.
	one := &historyCheck{
		report: new(HistoryReport), bundle: &history.Bundle{Shards: []history.Shard{p.Shard}}, policy: c.Policy, now: c.Now, rules: Rules{Policies: c.Policies},
	}
	if j.shard = one.authentic(&p.Shard); j.shard != nil {
		j.head = one.head(j.shard)
	}
	for _, found := range one.report.Problems {
		found.Where = where(found.Where)
		j.found = append(j.found, found)
	}
	if j.head == nil {
		return j
	}
	j.stale, j.log = one.report.Stale, one.report.Shards[0]
	beta, err := vrf.Verify(j.shard.preamble.VRFKey, p.Pi, ledger.AgencyAlpha(p.Agency, j.shard.epoch))
	if err != nil {
		j.stop = problem(CodeBadVRFProof, where("pi"), "a proof of the key of "+p.Agency+" in this year", "another")
		return j
	}
	k := [32]byte(beta[:32])
	tags := make([]ledger.Hash, len(p.Events)+1)
	for i := range tags {
		tags[i] = ledger.AgencyTag(&k, p.From+uint64(i))
	}
	results, err := index.CheckMany(j.head.Root, tags, p.Index)
	if err != nil {
		j.stop = problem(CodeBadIndexProof, where("index"), "what the index under the head's root holds for these numbers", "another proof")
		return j
	}
	private := &privateParts{parts: p.Private}
	for i := range p.Events {
		e := c.judgeNumber(j, p.From+uint64(i), &p.Events[i], results[i], tags[i])
		j.events = append(j.events, e)
		if e.elsewhere {
			return j
		}
		private.of(e)
	}
	j.ended = results[len(p.Events)].Kind == index.Absent
	return j
}

// judgeNumber follows one number to its leaf.
func (c *agencyCheck) judgeNumber(j *judgedPart, number uint64, e *history.Event, at index.Result, tag ledger.Hash) *judgedEvent {
	one := &judgedEvent{ListedEvent: ListedEvent{AgencyEvent: AgencyEvent{Number: number, Index: e.Index}, Epoch: j.shard.epoch}}
	if at.Kind != index.Match {
		one.fault(CodeNumberAbsent, "", "an event with this number", "none in the index")
	} else if at.Index != e.Index {
		one.fault(CodeLeafMissing, "leaf", fmt.Sprintf("the entry at %d, to which the index leads", at.Index), fmt.Sprintf("that at %d", e.Index))
	}
	if one.elsewhere = len(one.Faults) > 0; one.elsewhere {
		return one
	}
	if e.Index >= j.shard.Head {
		one.covered = problem(CodeNotCovered, "leaf", "a leaf before the head", fmt.Sprint(e.Index))
	}
	c.judge(j, e, tag, one)
	return one
}

// privateParts hands out the private parts of a part.
type privateParts struct {
	parts   []history.Private
	receipt string // whose part the last one is
	last    *ledger.Private
	salt    *[32]byte
}

// of gives an event the private part of its receipt, if the file has it.
func (v *privateParts) of(e *judgedEvent) {
	var given *history.Private
	if len(v.parts) > 0 && v.parts[0].Index == e.Index {
		given, v.parts = &v.parts[0], v.parts[1:]
	}
	if e.Opened == nil {
		return
	}
	if given != nil {
		v.receipt, v.last, v.salt = e.Opened.Receipt.Compact, nil, nil
		private, err := ledger.ParsePrivate(given.Content)
		if err != nil || ledger.Hex(ledger.PrivateDigest(&given.Salt, given.Content)) != e.Opened.Receipt.PrivateDigest {
			e.fault(CodePrivate, "private", "the private part that the receipt commits to", "another")
		} else {
			v.last, v.salt = private, &given.Salt
		}
	}
	if v.receipt == e.Opened.Receipt.Compact {
		e.Private, e.Seed = v.last, v.salt
	}
}

// follow checks that a part goes on where the list was, and takes its events. It returns whether what follows can be
// judged; the error is Each's.
func (c *agencyCheck) follow(j *judgedPart) (bool, error) {
	r := c.report
	where := func(what string) string { return fmt.Sprintf("part/%d/%s", r.Parts, what) }
	stop := func(p *ledger.Problem) (bool, error) {
		c.broken = true
		c.add(*p)
		return false, nil
	}
	if r.Parts == 0 {
		r.Agency, r.Origin = j.Agency, j.Origin
		if c.Seen != nil {
			c.calls = c.Seen(j.Origin)
		}
	}
	switch {
	case j.Agency != r.Agency || j.Origin != r.Origin:
		return stop(problem(CodeOtherList, where("origin"), r.Agency+" in "+r.Origin, j.Agency+" in "+j.Origin))
	case j.From != r.Events:
		return stop(problem(CodeNumberGap, where("from"), fmt.Sprint(r.Events), fmt.Sprint(j.From)))
	}
	for _, found := range j.found {
		c.add(found)
	}
	if j.head == nil {
		c.broken = true
		return false, nil
	}
	s := j.shard
	r.Stale, r.Log = j.stale, j.log
	if r.Parts > 0 && (s.preamble != c.preamble || s.cosigned.Size == c.size && s.cosigned.Root != c.root) {
		return stop(problem(CodeFork, where("checkpoint"), "the log of the part before", "another"))
	}
	c.preamble, c.size, c.root = s.preamble, s.cosigned.Size, s.cosigned.Root
	c.head, c.headMS = j.AgencyPart.Head, j.head.UnixMS
	if j.stop != nil {
		return stop(j.stop)
	}
	for _, e := range j.events {
		if e.elsewhere {
			c.tell(e.Number, e.Faults)
			c.broken = true
			return false, nil
		}
		if err := c.number(s, e); err != nil {
			return false, err
		}
	}
	c.ended = j.ended
	r.Parts++
	return true, nil
}

// number takes the list's next event.
func (c *agencyCheck) number(s *historyShard, e *judgedEvent) error {
	var first []ledger.Problem
	if e.covered != nil {
		first = append(first, *e.covered)
	}
	if c.any && e.Index <= c.last {
		first = append(first, *problem(CodeNotAscending, "leaf", fmt.Sprintf("an index above %d", c.last), fmt.Sprint(e.Index)))
	}
	e.Faults = append(first, e.Faults...)
	if e.unreplayed {
		c.unreplayed++
	}
	if e.once != nil {
		c.once = append(c.once, onceEntry{*e.once, e.Number})
	}
	if e.request != nil {
		c.requests = append(c.requests, *e.request)
	}
	own := c.match(e.Index)
	c.any, c.last = true, max(c.last, e.Index)
	c.report.Events++
	c.settle(s, e)
	c.tell(e.Number, e.Faults)
	if c.AllSeen && !own {
		c.report.Foreign++
		if len(c.report.ForeignEvents) < MaxListed {
			c.report.ForeignEvents = append(c.report.ForeignEvents, e.AgencyEvent)
		}
		found := e.Kind
		if found == "" {
			found = "an event that isn't opened"
		} else {
			found += " signed by " + e.Issuer
		}
		c.tell(e.Number, []ledger.Problem{*problem(CodeNotItsOwn, "leaf", "an entry that you were answered with", found)})
	}
	if c.Each == nil {
		return nil
	}
	return c.Each(&e.ListedEvent)
}

func (c *agencyCheck) tell(number uint64, faults []ledger.Problem) {
	for _, f := range faults {
		f.Where = fmt.Sprintf("events/%d/%s", number, f.Where)
		c.add(f)
	}
}

func (e *ListedEvent) fault(code, where, expected, found string) {
	e.Faults = append(e.Faults, ledger.Problem{Code: code, Where: where, Expected: expected, Found: found})
}

// judge checks one event as far as it stands for itself.
func (c *agencyCheck) judge(j *judgedPart, e *history.Event, tag ledger.Hash, one *judgedEvent) {
	s, before := j.shard, len(one.Faults)
	raw, ok := s.leaves[e.Index]
	if !ok {
		one.fault(CodeLeafMissing, "leaf", "the leaf in the file", "none")
		return
	}
	leaf, ok := raw.(ledger.Event)
	if !ok {
		one.fault(CodeWrongTag, "leaf", "an event", "another leaf")
		return
	}
	one.Commitment = leaf.Commitment
	if leaf.AgencyTag != tag {
		one.fault(CodeWrongTag, "leaf", "the body's tag as agency tag", "another")
	}
	if p := s.around(e.Index); p != nil {
		one.Faults = append(one.Faults, *p)
	}
	if e.Nonce == nil {
		return
	}
	ev, wrong := s.checker.Check(e.Index, leaf, e.Nonce, e.Body)
	one.Faults = append(one.Faults, wrong...)
	if one.Opened = ev; ev == nil {
		return
	}
	if d := ev.Decision; d != nil && d.Effect != ledger.EffectRecorded && ev.Bundle == nil {
		one.unreplayed = true
	}
	one.read(s.registry)
	if b := ev.Body; b.Agency != j.Agency {
		one.fault(CodeOtherAgency, "body#agency", j.Agency, b.Agency)
	}
	if len(one.Faults) == before {
		id := ev.Once()
		one.once = &id
		one.request = one.asks()
	}
}

// read says what an opened event says of itself, and checks what its checker leaves to lists.
func (e *ListedEvent) read(records *registry.Registry) {
	b, r := e.Opened.Body, e.Opened.Receipt
	e.Kind, e.RecordedAt, e.OccurredAt = b.Kind, instantText(time.UnixMilli(b.RecordedAt)), r.OccurredAt
	e.Issuer, e.Provider, e.Purpose = r.Iss, r.Provider, r.Purpose
	e.Attributes = records.Attributes(r.Consumer, e.Index)
	agency, _ := records.Body(r.Consumer)
	holder, _ := records.Body(r.Provider)
	e.Name, e.ProviderName = agency.Name, holder.Name
	if r.Names([]ledger.Subject{b.Subject.Code}) {
		e.fault(ledger.CodeNamesSubject, "body#receipt", "a receipt that names nobody", "one that names its citizen")
	}
	if o := e.Opened.Order; o != nil && o.Names([]ledger.Subject{b.Subject.Code}) {
		e.fault(ledger.CodeNamesSubject, "body#deferral", "an order that names nobody", "one that names its citizen")
	}
	kind, _ := ledger.KindOf(b.Kind)
	if want := kind.RoleIn(b.Scope); want != "" && r.Role != want {
		e.fault(CodeWrongRole, "receipt#role", want, r.Role)
	}
}

// asks is what a citizen's request for erasure asks for; nil for other events.
func (e *ListedEvent) asks() *request {
	asked, ok := history.ParseErasure(e.Opened.Receipt.Operation)
	if !ok || e.Opened.Body.Kind != ledger.KindRequest {
		return nil
	}
	return &request{asked, e.Index, e.Epoch}
}

// settle counts an event by its state; whether one that isn't opened may be so, the end of the list can tell.
func (c *agencyCheck) settle(s *historyShard, one *judgedEvent) {
	r := c.report
	switch {
	case len(one.Faults) > 0:
		one.State = StateUnexplained
		r.Unexplained++
	case one.Opened != nil:
		one.State = StateOpen
		r.Open++
		c.pair(&one.ListedEvent)
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

func (c *agencyCheck) unopenedAt(s *historyShard, one *judgedEvent) unopenedEvent {
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
