// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/vrf"
)

// partSeed spreads subjects over the parts of a check.
var partSeed = maphash.MakeSeed()

// ownEntry is a line of the records, in memory.
type ownEntry struct {
	subject [16]byte // 11 digits end in zeros
	leaf    ledger.Hash
	tag     ledger.Hash
	index   uint64
	at      int64
	line    uint64
	number  uint32
	led     bool // told that its tag leads elsewhere
}

func (e *ownEntry) code() ledger.Subject {
	return ledger.Subject(bytes.TrimRight(e.subject[:], "\x00"))
}

func (e *ownEntry) where() string { return fmt.Sprintf("records line %d", e.line) }

// providerPart is the records of some subjects, all of theirs.
type providerPart struct {
	*providerCheck
	first   bool                   // it also looks at what isn't a part's
	mine    func(name []byte) bool // a subject, or a cohort, is in this part
	entries []ownEntry             // ascending by index once the log is read
	next    []ownNext
	tags    map[ledger.Hash]int32 // of entries, and of next from −1 on down; without its last bit, which the index can't tell apart
	at      int                   // entries before it were read
	under   int                   // entries before it are under a head
	planted []plantedAt           // ascending
	cohorts map[string]*ownCohort // by id
}

// plantedAt is what stands in a leaf that may be a call under way.
type plantedAt struct {
	index   uint64
	problem *ledger.Problem
}

// ownNext is the first number of a subject that its party wasn't told.
type ownNext struct {
	tag    ledger.Hash
	number uint32
	line   uint64 // of the number before
}

// part checks one part of the records against the log.
func (c *providerCheck) part(ctx context.Context, n int) error {
	p := &providerPart{providerCheck: c, first: n == 0, tags: map[ledger.Hash]int32{}, cohorts: map[string]*ownCohort{}}
	p.mine = func(name []byte) bool { return maphash.Bytes(partSeed, name)%uint64(p.Parts) == uint64(n) }
	if err := p.load(); err != nil {
		return err
	}
	if err := p.preamble(ctx); err != nil {
		return err
	}
	if err := p.expect(ctx); err != nil {
		return err
	}
	slices.SortFunc(p.entries, func(a, b ownEntry) int { return cmp.Compare(a.index, b.index) })
	for i := range p.entries {
		if e := &p.entries[i]; e.tag != (ledger.Hash{}) {
			p.tags[pathOf(e.tag)] = int32(i)
		}
	}
	log := checkpoint.NewReader(c.Fetch)
	err := log.Read(ctx, c.report.Checkpoint, func(index uint64, leaf []byte) error {
		c.Progress(1)
		return p.leaf(index, leaf)
	})
	if err != nil {
		return fmt.Errorf("couldn't read the log: %w", err)
	}
	p.left()
	return nil
}

// load reads the lines of this part's subjects and cohorts.
func (p *providerPart) load() error {
	line := uint64(0)
	for text, err := range p.Records() {
		if err != nil {
			return fmt.Errorf("couldn't read the records: %w", err)
		}
		line++
		if own.IsCohort(text) {
			if err := p.loadCohort(line, text); err != nil {
				return err
			}
			continue
		}
		subject, err := own.SubjectOf(text)
		if err != nil {
			return fmt.Errorf("records line %d: %w", line, err)
		}
		if !p.mine(subject) {
			continue
		}
		e, err := own.ParseEntry(text)
		switch {
		case err != nil:
			return fmt.Errorf("records line %d: %w", line, err)
		case e.Scope() != p.Scope:
			return fmt.Errorf("records line %d: expected an event of scope %s, found one of %s", line, p.Scope, e.Scope())
		case e.Origin != p.report.Checkpoint.Origin:
			p.report.Others++
			continue
		}
		kept := ownEntry{leaf: e.Leaf, index: e.Index, at: e.At, line: line, number: e.Number}
		copy(kept.subject[:], e.Subject)
		p.entries = append(p.entries, kept)
	}
	slices.SortFunc(p.entries, func(a, b ownEntry) int {
		return cmp.Or(bytes.Compare(a.subject[:], b.subject[:]), cmp.Compare(a.number, b.number), cmp.Compare(a.index, b.index), cmp.Compare(a.line, b.line))
	})
	// A submission that is sent again is answered with the same entry.
	p.entries = slices.CompactFunc(p.entries, func(a, b ownEntry) bool {
		return a.subject == b.subject && a.number == b.number && a.index == b.index && a.leaf == b.leaf
	})
	return nil
}

var errHaveIt = errors.New("have what was looked for")

// preamble reads the VRF key. It isn't authenticated before all leaves are, which compares it again.
func (p *providerPart) preamble(ctx context.Context) error {
	if !p.first {
		return nil
	}
	err := checkpoint.NewReader(p.Fetch).Read(ctx, p.report.Checkpoint, func(_ uint64, leaf []byte) error {
		if l, err := ledger.ParseLeaf(leaf); err == nil {
			if preamble, ok := l.(ledger.Preamble); ok {
				p.key = preamble.VRFKey
			}
		}
		return errHaveIt
	})
	if err == nil || errors.Is(err, errHaveIt) {
		return nil // an empty log has no preamble
	}
	return fmt.Errorf("couldn't read the log: %w", err)
}

// expect makes the tags that the part's subjects have, and the one after each subject's last.
func (p *providerPart) expect(ctx context.Context) error {
	groups := subjectsOf(p.entries)
	p.report.Subjects += uint64(len(groups))
	subjects := make([]ledger.Subject, len(groups))
	for i, g := range groups {
		subjects[i] = g[0].code()
	}
	var proofs [][]byte
	if len(subjects) > 0 {
		var err error
		if proofs, err = p.Proofs(ctx, p.report.Checkpoint.Origin, subjects); err != nil {
			return fmt.Errorf("couldn't get the keys of subjects: %w", err)
		}
		if len(proofs) != len(subjects) {
			return fmt.Errorf("couldn't get the keys of subjects: expected %d proofs, found %d", len(subjects), len(proofs))
		}
	}
	next := make([]ownNext, len(groups))
	problems := make([][]*ledger.Problem, len(groups))
	each(len(groups), func(i int) { next[i], problems[i] = p.subject(groups[i], proofs[i]) })
	for i := range groups {
		for _, found := range problems[i] {
			p.add(found)
		}
		if next[i].line == 0 {
			continue // without its key
		}
		p.next = append(p.next, next[i])
		p.tags[pathOf(next[i].tag)] = -int32(len(p.next))
	}
	return nil
}

// subject makes the tags of one subject's entries and of the number after them.
func (p *providerPart) subject(entries []ownEntry, pi []byte) (next ownNext, problems []*ledger.Problem) {
	where := entries[0].where()
	if pi == nil {
		return next, append(problems, problem(CodeNoVRFProof, where, "the VRF proof of the subject's key", "none"))
	}
	beta, err := vrf.Verify(p.key, pi, ledger.SubjectAlpha(entries[0].code(), p.Scope, p.epoch))
	if err != nil {
		return next, append(problems, problem(CodeBadVRFProof, where, "a proof of the key of this subject, scope and year", "another"))
	}
	k := (*[32]byte)(beta[:32])
	for i := range entries {
		e := &entries[i]
		if e.number != next.number {
			problems = append(problems, problem(CodeNumberGap, e.where(), fmt.Sprintf("number %d", next.number), fmt.Sprintf("number %d", e.number)))
		}
		e.tag = ledger.SubjectTag(k, e.number)
		next.number, next.line = e.number+1, e.line
	}
	next.tag = ledger.SubjectTag(k, next.number)
	return next, problems
}

// subjectsOf cuts entries, sorted by subject, into those of each.
func subjectsOf(entries []ownEntry) (groups [][]ownEntry) {
	for len(entries) > 0 {
		n := 1
		for n < len(entries) && entries[n].subject == entries[0].subject {
			n++
		}
		groups = append(groups, entries[:n:n])
		entries = entries[n:]
	}
	return groups
}

// each calls f for 0 … n−1 on all processors.
func each(n int, f func(i int)) {
	const chunk = 64
	var wg sync.WaitGroup
	work := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for from := range work {
				for i := from; i < min(from+chunk, n); i++ {
					f(i)
				}
			}
		})
	}
	for from := 0; from < n; from += chunk {
		work <- from
	}
	close(work)
	wg.Wait()
}

// pathOf is a tag without its last bit: of two keys that share the others, the index keeps the first.
func pathOf(tag ledger.Hash) ledger.Hash {
	tag[31] &^= 1
	return tag
}

// leaf compares the next leaf with what the records expect.
func (p *providerPart) leaf(index uint64, raw []byte) error {
	leaf, err := ledger.ParseLeaf(raw)
	event, isEvent := leaf.(ledger.Event)
	isEvent = isEvent && err == nil && event.Epoch == p.epoch
	for ; p.at < len(p.entries) && p.entries[p.at].index == index; p.at++ {
		e := &p.entries[p.at]
		switch {
		case !isEvent || ledger.HashLeaf(raw) != e.leaf:
			p.add(problem(CodeLeafMissing, e.where(), fmt.Sprintf("the event that it was answered with, at leaf %d", index), "another leaf"))
		case e.tag != (ledger.Hash{}) && event.SubjectTag != e.tag:
			p.add(problem(CodeWrongTag, e.where(), fmt.Sprintf("the tag of number %d in leaf %d", e.number, index), "another"))
		}
	}
	switch leaf := leaf.(type) {
	case ledger.Preamble:
		if index == 0 && leaf.VRFKey != p.key {
			return checkpoint.ErrTiles // another one than a moment ago
		}
	case ledger.Event:
		if isEvent {
			p.tag(index, leaf.SubjectTag, true)
			p.tag(index, leaf.AgencyTag, false)
		}
	case ledger.Head:
		if leaf.Epoch == p.epoch {
			p.head(index, leaf)
		}
	case ledger.Record:
		if leaf.Epoch == p.epoch {
			p.record(index, raw, leaf.JSON)
		}
	}
	return nil
}

// tag looks for a tag of the part's subjects where the records don't have it.
func (p *providerPart) tag(index uint64, tag ledger.Hash, subject bool) {
	ref, ok := p.tags[pathOf(tag)]
	switch {
	case !ok:
	case ref < 0:
		n := p.next[-ref-1]
		p.plant(index, knownEvents, fmt.Sprintf("number %d of the subject of records line %d", n.number, n.line))
	default:
		e := &p.entries[ref]
		switch {
		case index == e.index && subject && tag == e.tag:
		case index < e.index && !e.led:
			e.led = true
			p.add(problem(CodeNotListed, e.where(), fmt.Sprintf("leaf %d as the first with the tag of number %d", e.index, e.number), leafAt(index)))
		case index > e.index:
			p.plant(index, knownEvents, fmt.Sprintf("number %d of the subject of records line %d again", e.number, e.line))
		}
	}
}

const knownEvents = "events of the records' subjects that the records have"

// plant keeps what may turn out to be a call under way: of those that are too many to be told, the latest are let go.
func (p *providerPart) plant(index uint64, expected, found string) {
	if len(p.planted) <= maxProviderProblems {
		p.planted = append(p.planted, plantedAt{index, problem(CodePlanted, leafAt(index), expected, found)})
	}
}

// head judges how soon it came after the entries before it.
func (p *providerPart) head(index uint64, h ledger.Head) {
	at := instantOf(h.UnixMS)
	for ; p.under < len(p.entries) && p.entries[p.under].index < index; p.under++ {
		e := &p.entries[p.under]
		if late := at.Sub(time.UnixMilli(e.at)); late > headWithin {
			p.add(problem(CodeNoHead, e.where(), "a head within 2 minutes of "+text(time.UnixMilli(e.at)), text(at)))
		}
	}
	if p.first && !at.Add(p.InFlight).After(p.Now) {
		p.report.Head, p.report.Until = index, at
	}
}

// left judges the entries that the log doesn't have, or not under a head, and what is no call under way.
func (p *providerPart) left() {
	p.leftCohorts()
	for _, found := range p.planted {
		if found.index < p.report.Head {
			p.add(found.problem)
		}
	}
	for i := range p.entries {
		e := &p.entries[i]
		if waited := p.Now.Sub(time.UnixMilli(e.at)); i >= p.under && waited > headWithin {
			p.add(problem(CodeNoHead, e.where(), fmt.Sprintf("leaf %d under a head within 2 minutes", e.index), "under none after "+waited.Round(time.Second).String()))
		}
		if e.index < p.report.Head {
			p.report.Entries++
		} else {
			p.report.Pending++
		}
	}
}

// record folds the records of bodies, keys and scopes, and compares those of the scope's cohorts.
func (p *providerPart) record(index uint64, leaf, record []byte) {
	if p.first && p.registry.Apply(index, record) != nil {
		return // for readers it isn't there
	}
	switch r, _ := registry.ParseRecord(record); r := r.(type) {
	case registry.Scope:
		if p.first {
			p.scopes = append(p.scopes, scopeSeen{index, r})
		}
	case registry.Cohort:
		p.cohort(index, leaf, r.Statement)
	}
}
