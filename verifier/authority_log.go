// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

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
	shard   *opened.Shard
	numbers Sorter[AuditItem] // by citizen and scope, and by receipt and citizen
	next    map[string]uint64 // of agencies
	unknown uint64            // events whose numbers aren't known
	gaps    uint64            // numbers of agencies that no event here has
	private sealedPrivate

	mu      sync.Mutex
	outputs map[string][32]byte // of the VRF; guarded by mu
}

// sealedEvent is an event on its way: its leaf and line, and what opening it alone says.
type sealedEvent struct {
	*ListedEvent
	event  ledger.Event
	leaf   []byte
	line   []byte           // nil where there is none, which is said elsewhere
	sealed *export.Sealed   // the line; nil where it isn't the event's
	tags   *export.Tags     // what the tags are made from; nil where that isn't there
	wrong  []ledger.Problem // with its tags
}

// sealedPart is how many events are opened at a time, on all cores.
const sealedPart = 2048

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
	l.shard = &opened.Shard{Name: l.export.report.Manifest.Ledger, Epoch: l.entry.Epoch, Registry: l.registry, Heads: l.replay.Heads, Bundle: l.Rules.Policies}
	l.next, l.outputs = map[string]uint64{}, map[string][32]byte{}
	var part []*sealedEvent
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
		one := &ListedEvent{AgencyEvent: AgencyEvent{Number: index, Index: index}, Epoch: l.entry.Epoch, Commitment: event.Commitment}
		part = append(part, &sealedEvent{ListedEvent: one, event: event, leaf: leaf, line: bytes.Clone(line)})
		if len(part) < sealedPart {
			return nil
		}
		err = l.judgePart(part)
		part = part[:0]
		return err
	})
	if err == nil {
		err = l.judgePart(part)
	}
	if err != nil {
		return err
	}
	if err := l.export.endOf(lines); err != nil {
		return err
	}
	return l.sorted()
}

// judgePart opens events side by side, and then goes through them in the log's order.
func (l *authorityLog) judgePart(part []*sealedEvent) error {
	if len(part) == 0 {
		return nil
	}
	var wg sync.WaitGroup
	for some := range slices.Chunk(part, (len(part)-1)/runtime.GOMAXPROCS(0)+1) {
		wg.Go(func() {
			checker := opened.NewChecker(l.shard)
			for _, e := range some {
				l.unseal(checker, e)
			}
		})
	}
	wg.Wait()
	for _, e := range part {
		if err := l.event(e); err != nil {
			return err
		}
	}
	return nil
}

// unseal opens an event with the authority's key, and checks what stands for itself. It may run beside others.
func (l *authorityLog) unseal(checker *opened.Checker, e *sealedEvent) {
	sealed, err := export.ParseSealed(e.line)
	switch {
	case e.line == nil:
		e.fault(CodeEventMismatch, "line", "a line for the event", "none")
		return
	case err != nil || sealed.Index != e.Index:
		e.fault(CodeEventMismatch, "line", "the line of the event", "another")
		return
	}
	if e.sealed = sealed; sealed.Erased {
		return
	}
	nonce, body, tags, err := l.Open.Event(sealed, e.leaf)
	if err != nil {
		e.fault(sealedCode(err), "sealed", "an event that the authority's key opens", err.Error())
	}
	if body == nil {
		return
	}
	var wrong []ledger.Problem
	e.Opened, wrong = checker.Check(e.Index, e.event, &nonce, body)
	e.Faults = append(e.Faults, wrong...)
	if e.tags = tags; tags != nil && e.Opened != nil {
		l.checkTags(e)
	}
}

// checkTags recomputes both tags from the VRF's proofs.
func (l *authorityLog) checkTags(e *sealedEvent) {
	b := e.Opened.Body
	ks := l.output(l.vrfKey, e.tags.Subject, ledger.SubjectAlpha(b.Subject.Code, b.Scope, l.entry.Epoch))
	if ks == nil || ledger.SubjectTag(ks, e.tags.I) != e.event.SubjectTag {
		e.wrong = append(e.wrong, *problem(CodeWrongTag, "leaf#subject_tag", "the tag of its citizen, scope and number", "another"))
	}
	ka := l.output(l.vrfKey, e.tags.Agency, ledger.AgencyAlpha(b.Agency, l.entry.Epoch))
	if ka == nil || ledger.AgencyTag(ka, e.tags.J) != e.event.AgencyTag {
		e.wrong = append(e.wrong, *problem(CodeWrongTag, "leaf#agency_tag", "the tag of its agency and number", "another"))
	}
}

// event judges an event that was opened, and hands it on.
func (l *authorityLog) event(e *sealedEvent) error {
	l.report.Events++
	if s := e.sealed; s != nil {
		switch {
		case s.Private != nil:
			l.private = sealedPrivate{first: e.Index, sealed: s.Private}
		case s.Live:
			l.authorityCheck.report.Live++
		}
		if s.Erased {
			l.unknown++
			l.isErased(e.Index, e.event)
			return l.hand(e.ListedEvent)
		}
	}
	if e.tags == nil {
		l.unknown++
	}
	if e.Opened != nil {
		if err := l.judge(e); err != nil {
			return err
		}
	}
	switch {
	case len(e.Faults) > 0:
		l.report.Unexplained++
		e.State = StateUnexplained
	default:
		l.report.Open++
		e.State = StateOpen
	}
	for _, f := range e.Faults {
		l.tell(e.Index, f)
	}
	return l.hand(e.ListedEvent)
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

// judge checks an opened event's private part and its numbers.
func (l *authorityLog) judge(e *sealedEvent) error {
	one, tags, b := e.ListedEvent, e.tags, e.Opened.Body
	one.read(l.registry)
	l.privateOf(one)
	one.Faults = append(one.Faults, e.wrong...)
	if tags == nil || len(one.Faults) > 0 {
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
	l.mu.Lock()
	k, ok := l.outputs[id]
	l.mu.Unlock()
	if ok {
		return &k
	}
	beta, err := vrf.Verify(key, pi[:], alpha)
	if err != nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.outputs) == maxOutputs {
		clear(l.outputs)
	}
	k = [32]byte(beta[:32])
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
