// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/opened"
)

// historyEvent is one event under check.
type historyEvent struct {
	shard   *historyShard
	scope   string
	number  *uint32        // nil in an excerpt
	tag     *ledger.Hash   // that led to it; nil in an excerpt
	entry   *history.Event // nil if the bundle has none
	at      place
	opened  *opened.Event // nil unless it could be read
	faults  []ledger.Problem
	state   string
	ground  string
	mate    *historyEvent
	request *historyEvent   // on which it was erased
	about   *historyEvent   // that it states something of
	stated  []*historyEvent // that state something of it
	unsure  bool            // an event that might tell of its consent was erased
}

func (e *historyEvent) fault(code, where, expected, found string) {
	e.faults = append(e.faults, ledger.Problem{Code: code, Where: where, Expected: expected, Found: found})
}

// judge checks every event by itself, and then what rests on others.
func (c *historyCheck) judge() {
	slices.SortFunc(c.events, func(a, b *historyEvent) int {
		return cmp.Or(cmp.Compare(a.at.epoch, b.at.epoch), cmp.Compare(a.at.index, b.at.index))
	})
	c.openAll()
	explained := c.report.done[StepComplete]
	if c.bundle.Excerpt {
		explained = c.report.done[StepLeaves]
	}
	for range explained {
		c.pass(StepEvents)
	}
	c.once()
	c.consents()
	c.statements()
	for _, e := range c.events {
		switch {
		case len(e.faults) > 0 && e.state == "":
			e.state = StateUnexplained
		case e.state == "" && e.opened != nil:
			e.state = StateOpen
		}
	}
	c.erasures()
	c.pairs()
	for _, e := range c.events {
		where := fmt.Sprintf("%d/events/%d", e.at.epoch, e.at.index)
		for _, f := range e.faults {
			f.Where = where + "/" + f.Where
			c.report.Problems = append(c.report.Problems, f)
		}
		c.report.Events = append(c.report.Events, e.report())
		if e.unsure {
			if c.report.unsure == nil {
				c.report.unsure = map[Place]bool{}
			}
			c.report.unsure[e.place()] = true
		}
	}
}

// openAll checks every event by itself, the years side by side.
func (c *historyCheck) openAll() {
	var years sync.WaitGroup
	var told sync.Mutex
	done := 0
	for _, s := range c.shards {
		years.Go(func() {
			for _, e := range c.events {
				if e.shard != s {
					continue
				}
				c.open(e)
				told.Lock()
				done++
				c.progress(StepEvents, done, len(c.events))
				told.Unlock()
			}
		})
	}
	years.Wait()
}

// open checks one event as far as it stands for itself. Nobody else looks at its year meanwhile.
func (c *historyCheck) open(e *historyEvent) {
	s := e.shard
	raw, ok := s.leaves[e.at.index]
	if !ok {
		e.state = StateWithheld
		e.fault(CodeLeafMissing, "leaf", "the leaf in the file", "none")
		return
	}
	leaf, ok := raw.(ledger.Event)
	if !ok {
		e.fault(CodeWrongTag, "leaf", "an event", "another leaf")
		return
	}
	if e.tag != nil && leaf.SubjectTag != *e.tag {
		e.fault(CodeWrongTag, "leaf", "the citizen's tag as subject tag", "another")
	}
	if p := s.around(e.at.index); p != nil {
		e.faults = append(e.faults, *p)
	}
	if e.entry == nil || e.entry.Nonce == nil {
		return
	}
	var faults []ledger.Problem
	e.opened, faults = s.checker.Check(e.at.index, leaf, e.entry.Nonce, e.entry.Body)
	e.faults = append(e.faults, faults...)
	if e.opened == nil {
		return
	}
	b, r := e.opened.Body, e.opened.Receipt
	if c.bundle.Excerpt {
		e.scope = b.Scope
	}
	if b.Subject.Code != c.bundle.Subject {
		e.fault(CodeOtherSubject, "body#subject/code", "the citizen of this history", "another")
	}
	if b.Scope != e.scope {
		e.fault(CodeOtherScope, "body#scope", e.scope, b.Scope)
	}
	if r.Names([]ledger.Subject{b.Subject.Code}) {
		e.fault(ledger.CodeNamesSubject, "body#receipt", "a receipt that names nobody", "one that names the citizen")
	}
	if o := e.opened.Order; o != nil && o.Names([]ledger.Subject{b.Subject.Code}) {
		e.fault(ledger.CodeNamesSubject, "body#deferral", "an order that names nobody", "one that names the citizen")
	}
	kind, _ := ledger.KindOf(b.Kind)
	if want := kind.RoleIn(b.Scope); want != "" && r.Role != want {
		e.fault(CodeWrongRole, "receipt#role", want, r.Role)
	}
}

// around checks that the heads around an event are there, and neighbours unless they are near: docs/history.md.
func (s *historyShard) around(at uint64) *ledger.Problem {
	before, after := history.Around(s.indexes, at)
	if before == 0 || after == 0 {
		return problem(CodeNoHeads, "heads", "the heads before and after the event", "one of them or none")
	}
	first, _ := s.leaves[before].(ledger.Head)
	second, _ := s.leaves[after].(ledger.Head)
	if second.UnixMS-first.UnixMS <= uint64(history.NearHeads.Milliseconds()) {
		return nil
	}
	from, _ := slices.BinarySearch(s.others, before+1)
	to, _ := slices.BinarySearch(s.others, after)
	shown := uint64(to - from)
	if keys := second.Keys - first.Keys; keys%2 != 0 || keys/2+shown != after-before-1 {
		return problem(CodeHeadsApart, "heads", "neighbours, or heads at most 5 minutes apart", fmt.Sprintf("the heads at %d and %d", before, after))
	}
	return nil
}

// once finds submissions that were recorded twice for the citizen.
func (c *historyCheck) once() {
	seen := map[[16]byte]*historyEvent{}
	for _, e := range c.events {
		if e.opened == nil {
			continue
		}
		id := e.opened.Once()
		if first := seen[id]; first != nil {
			e.fault(CodeTwice, "receipt#jti", "a receipt once", fmt.Sprintf("one that event %d/%d has", first.at.epoch, first.at.index))
			continue
		}
		seen[id] = e
	}
}

// erasures looks for the ground on which events aren't opened.
func (c *historyCheck) erasures() {
	var latest time.Time
	var terms []term
	for _, s := range c.shards {
		terms = append(terms, s.terms...)
		if len(s.cosigned.Witnesses) >= c.policy.K && s.cosigned.Latest.After(latest) {
			latest = s.cosigned.Latest
		}
	}
	erased, requests := map[*historyEvent]int{}, []*historyEvent(nil)
	for _, e := range c.events {
		if e.state != "" || e.opened != nil {
			continue
		}
		request := c.requestFor(e)
		switch {
		case e.expired(terms, latest):
			e.state, e.ground = StateErased, "retention"
		case request != nil:
			e.state, e.ground, e.request = StateErased, "request", request
			if erased[request]++; erased[request] == 1 {
				requests = append(requests, request)
			}
		default:
			e.state = StateWithheld
			e.fault(CodeNotOpened, "body", "a body, or a ground for its erasure", "neither")
		}
	}
	for _, r := range requests {
		signed, _ := r.shard.registry.Body(r.opened.Receipt.Iss)
		c.note(noteErasedOnRequest, cmp.Or(signed.Name, r.opened.Receipt.Iss), r.at.epoch, r.at.index, erased[r])
	}
}

// expired says whether the event's term of retention was over at the latest cosignature.
func (e *historyEvent) expired(terms []term, latest time.Time) bool {
	_, after := history.Around(e.shard.indexes, e.at.index)
	head, ok := e.shard.leaves[after].(ledger.Head)
	if !ok || after == 0 {
		return false
	}
	return termOver(e.at, head.UnixMS, terms, latest)
}

// termOver says whether the term of an event before a head of this instant was over at the latest cosignature: of the last
// record before the event, or a later one if longer.
func termOver(at place, headMS uint64, terms []term, latest time.Time) bool {
	months, said := 0, false
	for _, t := range terms {
		if t.at.before(at) {
			months, said = t.months, true
		} else {
			months = max(months, t.months)
		}
	}
	return said && instantOf(headMS).AddDate(0, months, 0).Before(latest)
}

// requestFor is where the citizen asked for the erasure of this event, or of its month, after it; nil if nowhere.
func (c *historyCheck) requestFor(e *historyEvent) *historyEvent {
	for _, r := range c.events {
		if r.state != StateOpen || r.opened.Body.Kind != ledger.KindRequest || !e.at.before(r.at) {
			continue
		}
		asked, ok := history.ParseErasure(r.opened.Receipt.Operation)
		switch {
		case !ok:
		case asked.Month == "" && asked.Epoch == e.at.epoch && asked.Index == e.at.index:
			return r
		case asked.Month != "" && e.mayBeOf(asked.Month):
			return r
		}
	}
	return nil
}

// between is the time between the heads around an event; nil where the file lacks one of them.
func (e *historyEvent) between() *Span {
	before, after := history.Around(e.shard.indexes, e.at.index)
	first, ok := e.shard.leaves[before].(ledger.Head)
	second, also := e.shard.leaves[after].(ledger.Head)
	if !ok || !also {
		return nil
	}
	return &Span{instantOf(first.UnixMS), instantOf(second.UnixMS)}
}

// mayBeOf says whether the heads around an event let it lie in a month.
func (e *historyEvent) mayBeOf(month string) bool {
	s := e.between()
	return s != nil && s.From.Format("2006-01") <= month && month <= s.To.Format("2006-01")
}

// pairs ties a consumer's receipt to the provider's of the same access, one to one.
func (c *historyCheck) pairs() {
	waiting := map[ledger.Hex][]*historyEvent{}
	take := func(role string, f func(e *historyEvent)) {
		for _, e := range c.events {
			if e.state == StateOpen && e.opened.Receipt.Role == role && e.opened.Receipt.OfCall() && e.opened.Body.Scope != ledger.ScopeConsent {
				f(e)
			}
		}
	}
	take(ledger.RoleProvider, func(e *historyEvent) {
		pair := e.opened.Receipt.Pair
		waiting[pair] = append(waiting[pair], e)
	})
	take(ledger.RoleConsumer, func(e *historyEvent) {
		r := &e.opened.Receipt.Receipt
		for i, p := range waiting[r.Pair] {
			// Another provider's or consumer's receipt is of another access, whatever it says of pair; the consumer's own is no other side.
			if q := &p.opened.Receipt.Receipt; p.at.epoch == e.at.epoch && q.Iss != r.Iss && q.Provider == r.Provider && q.Consumer == r.Consumer {
				e.mate, p.mate = p, e
				waiting[r.Pair] = slices.Delete(waiting[r.Pair], i, i+1)
				return
			}
		}
	})
}

func accesses(kind string) bool {
	k, _ := ledger.KindOf(kind)
	return k.Accesses()
}

func (e *historyEvent) report() HistoryEvent {
	out := HistoryEvent{Epoch: e.at.epoch, Index: e.at.index, Scope: e.scope, Number: e.number, State: e.state, Ground: e.ground}
	if e.mate != nil {
		out.Partner = &e.mate.at.index
	}
	if e.request != nil {
		at := e.request.place()
		out.Request = &at
	}
	if e.opened == nil {
		out.Between = e.between()
		return out
	}
	b, r := e.opened.Body, e.opened.Receipt
	out.Kind, out.Agency, out.Issuer, out.Provider = b.Kind, b.Agency, r.Iss, r.Provider
	agency, _ := e.shard.registry.Body(b.Agency)
	provider, _ := e.shard.registry.Body(r.Provider)
	issuer, _ := e.shard.registry.Body(r.Iss)
	out.Name, out.ProviderName, out.IssuerName = agency.Name, provider.Name, issuer.Name
	out.OccurredAt, out.RecordedAt = r.OccurredAt, instantText(time.UnixMilli(b.RecordedAt))
	out.Purpose, out.LegalBasis, out.LegalReference, out.DataCategories = r.Purpose, r.LegalBasis, r.LegalReference, r.DataCategories
	out.Actor, out.ConsentID, out.Profile, out.Flags, out.Late = r.Actor, r.ConsentID, b.Assurance.Profile, b.Assurance.Flags, b.Assurance.Late
	out.People, out.Mandate = r.Subjects.Count, r.Mandate
	out.Deferred = e.deferred()
	if g := r.BreakGlass; g != nil {
		out.BreakGlass = &SessionPlace{g.Session, g.Number}
	}
	if d := e.opened.Decision; d != nil && accesses(b.Kind) {
		out.Effect, out.Policies = d.Effect, d.Policies
		if d.Effect != ledger.EffectRecorded {
			out.Bundle = hex.EncodeToString(d.Bundle[:])
		}
		if e.opened.Bundle != nil {
			out.Grounds, out.Replayed = e.opened.Bundle.Explain(d), len(e.faults) == 0
		}
	}
	if s := r.Statement; s != nil {
		out.Statement, out.Receipt, out.Text = s.Kind, s.Receipt, s.Text
	}
	if e.about != nil {
		about := e.about.place()
		out.About = &about
	}
	for _, s := range e.stated {
		out.Statements = append(out.Statements, s.place())
	}
	for _, k := range e.shard.registry.Keys(r.Iss) {
		if k.Kid == r.JWS.Header.Kid {
			out.Key, out.Kid, out.KeyAt = k.Basis, k.Kid, &k.Index
		}
	}
	return out
}
