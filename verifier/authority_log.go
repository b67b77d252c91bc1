// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"errors"
	"fmt"
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/export"
	"github.com/traccia-ledger/traccia/ledger/opened"
	"github.com/traccia-ledger/traccia/ledger/replay"
	"github.com/traccia-ledger/traccia/ledger/vrf"
)

// authorityLog opens the events of one log.
type authorityLog struct {
	*authorityCheck
	*exportedLog
	report  *AgencyReport
	checker *opened.Checker
	numbers Sorter[AuditItem] // by citizen and scope, and by receipt and citizen
	next    map[string]uint64 // of agencies
	unknown uint64            // events whose numbers aren't known
	gaps    uint64            // numbers of agencies that no event here has
	outputs map[string][32]byte
	private sealedPrivate
}

// sealedPrivate is the private part that came last.
type sealedPrivate struct {
	first   uint64          // index of the event that it stands at
	sealed  *export.Wrapped // nil once it is opened
	receipt string
	part    *ledger.Private
	salt    *[32]byte
}

// maxOutputs is how many outputs of the VRF are remembered; then all are forgotten.
const maxOutputs = 1 << 17

// tell takes a problem of an event.
func (l *authorityLog) tell(index uint64, p ledger.Problem) {
	p.Where = fmt.Sprintf("events/%d/%s", index, p.Where)
	l.add(p)
}

func (l *authorityLog) add(p ledger.Problem) {
	l.report.Found++
	if len(l.report.Problems) < MaxListed {
		l.report.Problems = append(l.report.Problems, p)
	}
}

// open reads the leaves once more, and each event's line beside them.
func (l *authorityLog) open() (err error) {
	lines, err := l.export.lines(export.SealedPath(l.entry.Epoch))
	if err != nil {
		return err
	}
	defer lines.close()
	if l.numbers, err = l.NewSorter(); err != nil {
		return fmt.Errorf("couldn't begin to sort: %w", err)
	}
	defer l.numbers.Close()
	l.checker = opened.NewChecker(&opened.Shard{Name: l.export.report.Manifest.Ledger, Epoch: l.entry.Epoch, Registry: l.registry, Heads: l.replay.Heads, Bundle: l.Rules.Policies})
	l.next, l.outputs = map[string]uint64{}, map[string][32]byte{}
	err = checkpoint.NewReader(checkpoint.FS{FS: l.sub}).Read(l.export.ctx, l.cp, func(index uint64, leaf []byte) error {
		l.export.progress(1)
		parsed, err := ledger.ParseLeaf(leaf)
		event, ok := parsed.(ledger.Event)
		if !ok || err != nil {
			return nil
		}
		line, err := lines.next()
		if err != nil {
			return err
		}
		return l.event(index, leaf, event, line)
	})
	if err != nil {
		return err
	}
	if err := l.export.endOf(lines); err != nil {
		return err
	}
	return l.sorted()
}

// event opens one event, and hands it on. line is nil where there is none, which is said elsewhere.
func (l *authorityLog) event(index uint64, leaf []byte, event ledger.Event, line []byte) error {
	l.report.Events++
	one := &ListedEvent{AgencyEvent: AgencyEvent{Number: index, Index: index}, Epoch: l.entry.Epoch, Commitment: event.Commitment}
	sealed, err := export.ParseSealed(line)
	var tags *export.Tags
	switch {
	case line == nil:
		one.fault(CodeEventMismatch, "line", "a line for the event", "none")
	case err != nil || sealed.Index != index:
		one.fault(CodeEventMismatch, "line", "the line of the event", "another")
	case sealed.Private != nil:
		l.private = sealedPrivate{first: index, sealed: sealed.Private}
	case sealed.Live:
		l.authorityCheck.report.Live++
	}
	if len(one.Faults) == 0 {
		if sealed.Erased {
			l.unknown++
			l.isErased(index, event)
			return l.hand(one)
		}
		tags = l.unseal(one, sealed, leaf, event)
	}
	if tags == nil {
		l.unknown++
	}
	if one.Opened != nil {
		if err := l.judge(one, event, tags); err != nil {
			return err
		}
	}
	switch {
	case len(one.Faults) > 0:
		l.report.Unexplained++
		one.State = StateUnexplained
	default:
		l.report.Open++
		one.State = StateOpen
	}
	for _, f := range one.Faults {
		l.tell(index, f)
	}
	return l.hand(one)
}

func (l *authorityLog) hand(one *ListedEvent) error {
	if l.Each == nil {
		return nil
	}
	return l.Each(one)
}

// isErased looks for the ground on which an event's content is gone: its term, or else a request that comes later.
func (l *authorityLog) isErased(index uint64, event ledger.Event) {
	l.report.Erased++
	at := place{l.entry.Epoch, index}
	heads := l.replay.Heads
	n, _ := slices.BinarySearchFunc(heads, index, func(h replay.Head, at uint64) int {
		if h.Leaf < at {
			return -1
		}
		return 1
	})
	if n < len(heads) && termOver(at, heads[n].UnixMS, l.terms(), l.latest) {
		l.authorityCheck.report.ByTerm++
		return
	}
	e := erasedEvent{at: at}
	if n > 0 && n < len(heads) {
		e.first, e.last = instantOf(heads[n-1].UnixMS).Format("2006-01"), instantOf(heads[n].UnixMS).Format("2006-01")
	}
	l.erased[[16]byte(event.SubjectTag[:])] = e
}

// terms are those of all years: a later and longer one counts too.
func (l *authorityLog) terms() []term { return l.authorityCheck.terms }

// unseal opens an event with the authority's key, and returns what its tags are made from; nil where that isn't there.
func (l *authorityLog) unseal(one *ListedEvent, sealed *export.Sealed, leaf []byte, event ledger.Event) *export.Tags {
	nonce, body, tags, err := l.Open.Event(sealed, leaf)
	if err != nil {
		one.fault(sealedCode(err), "sealed", "an event that the authority's key opens", err.Error())
	}
	if body == nil {
		return nil
	}
	ev, wrong := l.checker.Check(one.Index, event, &nonce, body)
	one.Faults = append(one.Faults, wrong...)
	one.Opened = ev
	return tags
}

func sealedCode(err error) string {
	switch {
	case errors.Is(err, export.ErrSealedDay):
		return CodeSealedDay
	case errors.Is(err, export.ErrSealedWrap):
		return CodeSealedWrap
	case errors.Is(err, export.ErrSealedTags):
		return CodeSealedTags
	}
	return CodeSealedBody
}

// judge checks an opened event's tags, its numbers and its private part.
func (l *authorityLog) judge(one *ListedEvent, event ledger.Event, tags *export.Tags) error {
	one.read(l.registry)
	b := one.Opened.Body
	l.privateOf(one)
	if tags == nil {
		return nil
	}
	ks := l.output(l.vrfKey, tags.Subject, ledger.SubjectAlpha(b.Subject.Code, b.Scope, l.entry.Epoch))
	if ks == nil || ledger.SubjectTag(ks, tags.I) != event.SubjectTag {
		one.fault(CodeWrongTag, "leaf#subject_tag", "the tag of its citizen, scope and number", "another")
	}
	ka := l.output(l.vrfKey, tags.Agency, ledger.AgencyAlpha(b.Agency, l.entry.Epoch))
	if ka == nil || ledger.AgencyTag(ka, tags.J) != event.AgencyTag {
		one.fault(CodeWrongTag, "leaf#agency_tag", "the tag of its agency and number", "another")
	}
	if len(one.Faults) > 0 {
		return nil
	}
	switch next := l.next[b.Agency]; {
	case tags.J < next:
		one.fault(CodeNotAscending, "leaf#agency_tag", fmt.Sprintf("a number from %d on", next), fmt.Sprint(tags.J))
	default:
		l.gaps += tags.J - next
		l.next[b.Agency] = tags.J + 1
	}
	if q := one.asks(); q != nil {
		l.asked(q, b.Subject.Code, tags.Lists)
	}
	once := one.Opened.Once()
	for _, i := range []*AuditItem{
		{Key: "n" + b.Scope + "\x00" + string(b.Subject.Code), Time: int64(tags.I), Index: one.Index},
		{Key: "r" + string(once[:]), Time: int64(one.Index), Index: one.Index},
	} {
		if err := l.numbers.Add(i); err != nil {
			return err
		}
	}
	return nil
}

// output is the first half of the VRF's output that a proof shows; nil for a wrong proof.
func (l *authorityLog) output(key [32]byte, pi [80]byte, alpha []byte) *[32]byte {
	id := string(pi[:]) + string(alpha)
	if k, ok := l.outputs[id]; ok {
		return &k
	}
	beta, err := vrf.Verify(key, pi[:], alpha)
	if err != nil {
		return nil
	}
	if len(l.outputs) == maxOutputs {
		clear(l.outputs)
	}
	k := [32]byte(beta[:32])
	l.outputs[id] = k
	return &k
}

// asked grounds the erased events that are this citizen's, and that the citizen asked to have erased before now.
func (l *authorityLog) asked(q *request, who ledger.Subject, lists []export.TagList) {
	of := l.shards[q.Epoch]
	if of == nil {
		return
	}
	for _, list := range lists {
		k := l.output(of.vrfKey, list.Pi, ledger.SubjectAlpha(who, list.Scope, q.Epoch))
		if k == nil {
			continue
		}
		for i := range uint32(min(uint64(list.Count), of.replay.Events)) {
			tag := ledger.SubjectTag(k, i)
			e, ok := l.erased[[16]byte(tag[:])]
			if !ok || e.at.epoch != q.Epoch || !e.at.before(place{q.epoch, q.at}) {
				continue
			}
			if q.Month == "" && e.at.index == q.Index || q.Month != "" && e.first != "" && e.first <= q.Month && q.Month <= e.last {
				delete(l.erased, [16]byte(tag[:]))
				l.authorityCheck.report.ByAsking++
			}
		}
	}
}

// privateOf gives an event the private part of its receipt, which stands at the receipt's first event.
func (l *authorityLog) privateOf(one *ListedEvent) {
	p, b, r := &l.private, one.Opened.Body, one.Opened.Receipt
	if p.sealed != nil && p.first+uint64(b.Subject.Position) == one.Index {
		sealed := p.sealed
		*p = sealedPrivate{receipt: r.Compact}
		if salt, content, err := l.Open.Private(sealed, ledger.Hash(r.PrivateDigest)); err != nil {
			one.fault(sealedCode(err), "private", "a private part that the authority's key opens", err.Error())
		} else if p.part, err = ledger.ParsePrivate(content); err != nil {
			one.fault(CodePrivate, "private", "the private part that the receipt commits to", "another")
		} else {
			p.salt = &salt
		}
	}
	if p.receipt == r.Compact {
		one.Private, one.Seed = p.part, p.salt
	}
}

// sorted goes through the numbers of each citizen's lists, and through the receipts.
func (l *authorityLog) sorted() error {
	var key string
	var next, last, missing uint64
	for i, err := range l.numbers.Sorted() {
		if err != nil {
			return err
		}
		again := i.Key == key
		if key = i.Key; !again {
			next, last = 0, 0
		}
		switch {
		case key[0] == 'r' && again:
			l.tell(i.Index, *problem(CodeTwice, "receipt#jti", "a receipt once about each citizen", fmt.Sprintf("one that entry %d has", last)))
		case key[0] == 'n' && again && i.Index < last:
			l.tell(i.Index, *problem(CodeNotAscending, "leaf#subject_tag", "an index that ascends with the number", "another"))
		case key[0] == 'n' && uint64(i.Time) > next:
			if missing += uint64(i.Time) - next; l.unknown == 0 {
				l.tell(i.Index, *problem(CodeNumberAbsent, "leaf#subject_tag", fmt.Sprintf("number %d of its list before it", next), "none: what follows is hidden from its citizen"))
			}
		}
		next, last = uint64(i.Time)+1, i.Index
	}
	// Of events that aren't opened the numbers aren't known: as many may be missing.
	if l.unknown > 0 && missing > l.unknown {
		l.add(*problem(CodeNumberAbsent, "log", fmt.Sprintf("at most %d numbers of citizens' lists missing, of the events that aren't opened", l.unknown), fmt.Sprint(missing)))
	}
	if l.gaps > l.unknown {
		l.add(*problem(CodeNumberAbsent, "log", fmt.Sprintf("at most %d numbers of bodies' lists missing, of the events that aren't opened", l.unknown), fmt.Sprint(l.gaps)))
	}
	return nil
}

// conclude says up to when a log is whole.
func (l *authorityLog) conclude() {
	r := l.report
	if heads := l.replay.Heads; r.Found == 0 && len(heads) > 0 {
		r.Complete, r.CompleteUntil = true, instantOf(heads[len(heads)-1].UnixMS)
	}
}
