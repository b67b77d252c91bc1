// SPDX-License-Identifier: EUPL-1.2

package fsck

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/opened"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// pageSize is how many leaves one goroutine checks at a time.
const pageSize = 512

// page is what was found in a run of leaves; one goroutine fills it, and the fold reads it.
type page struct {
	leaves   int
	events   []event
	private  []private
	problems []ledger.Problem

	replayed, unreplayed uint64 // decisions
}

func (p *page) problem(code, where, expected, found string) {
	p.problems = append(p.problems, ledger.Problem{Code: code, Where: where, Expected: expected, Found: found})
}

// event is what the fold needs to know of one event.
type event struct {
	index   uint64
	state   state // of its body: lost when there is a problem with it
	row     bool  // its numbers are known
	i       uint32
	j       uint64
	handle  ledger.Hash
	counter subjectKey
	agency  string

	identity  receiptKey
	payload   ledger.Hash
	digest    ledger.Hash // of the private part
	position  int
	count     int
	once      [16]byte
	at        int64        // recorded_at
	until     uint64       // when the order that puts off its notice ends, ms; 0 without one
	lookUp    *lookUpKey   // nil for other events
	consent   *consentKey  // nil but in +consent
	emergency *emergencyID // session of break-glass; nil for other events
	glass     *ledger.BreakGlass
}

// private is the same of one private part.
type private struct {
	index  uint64
	state  state
	handle ledger.Hash
	digest ledger.Hash
}

// worker checks pages. It belongs to one goroutine.
type worker struct {
	*shard
	checker *opened.Checker
	handle  [32]byte
}

func (w *worker) page(ctx context.Context, from, to uint64) (*page, error) {
	p := &page{leaves: int(to - from)}
	bodies, err := w.rowsOf(ctx, store.TableBody, from, to, p)
	if err != nil {
		return nil, err
	}
	parts, err := w.rowsOf(ctx, store.TablePrivate, from, to, p)
	if err != nil {
		return nil, err
	}
	next := 0
	err = engine.StoredLeaves(ctx, w.Rows, w.epoch, from, to, func(index uint64, leaf []byte) error {
		parsed, err := ledger.ParseLeaf(leaf)
		e, ok := parsed.(ledger.Event)
		for ; next < len(bodies) && (bodies[next].index < index || bodies[next].index == index && !(ok && err == nil)); next++ {
			p.problem(CodeUnexpected, at(store.TableBody, bodies[next].index), "bodies of events only", "a row")
		}
		if !ok || err != nil {
			return nil
		}
		var row []byte
		if next < len(bodies) && bodies[next].index == index {
			row = bodies[next].value
			next++
		}
		return w.event(ctx, p, index, e, leaf, row)
	})
	if err != nil {
		return nil, err
	}
	for ; next < len(bodies); next++ {
		p.problem(CodeUnexpected, at(store.TableBody, bodies[next].index), "bodies of events only", "a row")
	}
	for _, row := range parts {
		if err := w.private(ctx, p, row.index, row.value); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// indexed is a row that belongs to a leaf.
type indexed struct {
	index uint64
	value []byte
}

func (w *worker) rowsOf(ctx context.Context, table store.Table, from, to uint64, p *page) ([]indexed, error) {
	var list []indexed
	err := w.Rows.Scan(ctx, table, rows.LeafKey(w.epoch, from), rows.LeafKey(w.epoch, to), 0, func(key, value []byte) error {
		_, index, err := rows.ParseLeafKey(key)
		if err != nil {
			p.problem(CodeMalformed, table.String(), "a key of 12 bytes", fmt.Sprintf("%d bytes", len(key)))
			return nil
		}
		list = append(list, indexed{index, append([]byte(nil), value...)})
		return nil
	})
	return list, err
}

// event checks one event and its body's row.
func (w *worker) event(ctx context.Context, p *page, index uint64, leaf ledger.Event, raw, row []byte) error {
	p.events = append(p.events, event{index: index})
	e := &p.events[len(p.events)-1]
	where := at(store.TableBody, index)
	if row == nil {
		p.problem(CodeMissing, where, "the sealed body of this event", "no row")
		return nil
	}
	stored, err := rows.ParseEvent(&w.handle, w.epoch, index, row)
	if err != nil {
		p.problem(CodeMalformed, where, "a row of 44 bytes or more", fmt.Sprintf("%d bytes", len(row)))
		return nil
	}
	e.row, e.i, e.j, e.handle = true, stored.I, stored.J, stored.Handle
	u, err := w.key(ctx, stored.Handle)
	if err != nil {
		return err
	}
	switch {
	case u.state == erased, u.state == lost && w.retired(index):
		e.state = erased
		return nil
	case u.state == lost:
		p.problem(CodeSealed, where, "a wrapped key that opens it", u.found)
		return nil
	}
	nonce, body, err := seal.OpenEvent(&u.k, raw, stored.Sealed)
	switch {
	case err != nil && w.erased[stored.Handle]:
		e.state = erased // under the key before the erasure
		return nil
	case err != nil:
		p.problem(CodeSealed, where, "a body that opens and that the leaf commits to", "other bytes")
		return nil
	}
	before := len(p.problems)
	judged, problems := w.checker.Check(index, leaf, &nonce, body)
	for _, found := range problems {
		found.Where = where + "#" + found.Where
		p.problems = append(p.problems, found)
	}
	if judged == nil {
		return nil
	}
	if judged.Bundle != nil {
		p.replayed++
	} else if d := judged.Decision; d != nil && d.Effect != ledger.EffectRecorded {
		p.unreplayed++
	}
	w.compare(p, e, u, leaf, judged)
	e.take(w, judged)
	if len(p.problems) == before {
		e.state = usable
	}
	return nil
}

// compare checks what a body says against the row it was kept in and the leaf's tags.
func (w *worker) compare(p *page, e *event, u unwrapped, leaf ledger.Event, judged *opened.Event) {
	b := judged.Body
	where := at(store.TableBody, e.index)
	month := seal.Month(time.UnixMilli(b.RecordedAt))
	kind, _ := ledger.KindOf(b.Kind)
	if want := seal.Handle(&w.handle, seal.Class(kind.Class), month, string(b.Subject.Code)); e.handle != want || u.month != month && !(kind.Class == string(seal.Consent) && u.month > month) {
		p.problem(CodeMismatch, where, "the key of this subject, class and month", "another")
	}
	if w.events.tags.key == nil {
		return
	}
	k := w.events.tags.output(ledger.SubjectAlpha(b.Subject.Code, b.Scope, w.epoch))
	if ledger.SubjectTag(&k, e.i) != leaf.SubjectTag {
		p.problem(CodeTag, where, "numbers that give the leaf's subject tag", fmt.Sprintf("number %d, which gives another", e.i))
	}
	k = w.events.tags.output(ledger.AgencyAlpha(b.Agency, w.epoch))
	if ledger.AgencyTag(&k, e.j) != leaf.AgencyTag {
		p.problem(CodeTag, where, "numbers that give the leaf's agency tag", fmt.Sprintf("number %d, which gives another", e.j))
	}
}

// take keeps what the fold needs.
func (e *event) take(w *worker, judged *opened.Event) {
	b, r := judged.Body, judged.Receipt
	key := rows.SubjectCounterKey(&w.handle, w.epoch, b.Subject.Code, b.Scope)
	e.counter = subjectKey(key[5:])
	e.agency = b.Agency
	e.identity = receiptKey(rows.ReceiptKey(w.epoch, r.Iss, r.JTI)[4:])
	e.payload, e.digest = r.PayloadDigest, ledger.Hash(r.PrivateDigest)
	e.position, e.count = b.Subject.Position, r.Subjects.Count
	e.once, e.at = judged.Once(), b.RecordedAt
	if judged.Order != nil {
		e.until = uint64(judged.Order.Ends().UnixMilli())
	}
	if r.BreakGlass != nil {
		e.emergency, e.glass = &emergencyID{r.Iss, r.BreakGlass.Session}, r.BreakGlass
	}
	if b.Scope == ledger.ScopeConsent {
		k := consentKey(rows.ConsentKey(&w.handle, w.epoch, b.Subject.Code, e.i))
		e.consent = &k
	}
	if b.Kind == ledger.KindLookUp {
		k := lookUpKey(rows.LookUpKey(&w.handle, w.epoch, rows.LookUpBy(&r.Receipt), b.Subject.Code, seal.Month(time.UnixMilli(b.RecordedAt)))[4:])
		e.lookUp = &k
	}
}

// private checks one private part.
func (w *worker) private(ctx context.Context, p *page, index uint64, row []byte) error {
	part := private{index: index}
	defer func() { p.private = append(p.private, part) }()
	where := at(store.TablePrivate, index)
	stored, err := rows.ParsePrivate(&w.handle, w.epoch, index, row)
	if err != nil {
		p.problem(CodeMalformed, where, "a row of 64 bytes or more", fmt.Sprintf("%d bytes", len(row)))
		return nil
	}
	part.handle, part.digest = stored.Handle, stored.Digest
	u, err := w.key(ctx, stored.Handle)
	if err != nil {
		return err
	}
	switch u.state {
	case erased:
		part.state = erased
		return nil
	case lost:
		p.problem(CodeSealed, where, "a wrapped key that opens it", u.found)
		return nil
	}
	_, content, err := seal.OpenPrivate(&u.k, stored.Digest, stored.Sealed)
	switch {
	case err != nil && w.erased[stored.Handle]:
		part.state = erased
		return nil
	case err != nil:
		p.problem(CodeSealed, where, "a private part that opens and has its digest, "+hex.EncodeToString(stored.Digest[:]), "other bytes")
		return nil
	}
	if _, err := ledger.ParsePrivate(content); err != nil {
		p.problem(CodeMalformed, where, "a private part as the formats say", "another")
		return nil
	}
	part.state = usable
	return nil
}
