// SPDX-License-Identifier: EUPL-1.2

package fsck

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/opened"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/store"
)

type (
	subjectKey [16]byte // of a subject's counter, without epoch and type
	receiptKey [16]byte // of a receipt's row, without epoch
)

// eventFindings is what the second reading works with.
type eventFindings struct {
	tags     *tags
	handle   [32]byte
	receipts []receipt // by first index
	numbers  numbers
	lookUps  eventRows[lookUpKey]
	consents eventRows[consentKey]
	seen     map[[16]byte]struct{} // (iss, jti) and subject
	current  int                   // the receipt that the next event belongs to, or one after it
	covered  uint32                // of its events
	told     bool                  // a problem of the current receipt was reported
	wrong    uint64                // the first index of a group without a right row, plus 1, that was reported
	lastMS   int64                 // the latest recorded_at
}

// receipt is a row of the table of receipts.
type receipt struct {
	key     receiptKey
	row     rows.Receipt
	private bool // its private part was found
	digest  ledger.Hash
	handle  ledger.Hash
	checked state
}

// readEvents reads the events of a shard, on all cores, and folds them in order.
func (s *shard) readEvents(ctx context.Context) error {
	s.readEmergencies()
	f := &s.events
	f.seen = map[[16]byte]struct{}{}
	handle, err := s.Keys.Handle(s.epoch)
	if errors.Is(err, keys.ErrDestroyed) {
		// Retention is over: nobody opens or links these events any more.
		s.report.BodiesErased += s.log.replay.Events
		s.Progress(int(s.root.Size))
		return nil
	} else if err != nil {
		return fmt.Errorf("couldn't use the handle key of %d: %w", s.epoch, err)
	}
	f.handle = handle
	vrf, err := s.Keys.VRF(s.epoch)
	if err != nil && !errors.Is(err, keys.ErrDestroyed) {
		return fmt.Errorf("couldn't use the VRF key of %d: %w", s.epoch, err)
	}
	f.tags = newTags(vrf, s.epoch)
	if err := s.readReceipts(ctx); err != nil {
		return fmt.Errorf("couldn't read the receipts' rows: %w", err)
	}
	if err := s.readCounters(ctx); err != nil {
		return fmt.Errorf("couldn't read the counters: %w", err)
	}
	if err := s.readConsents(ctx); err != nil {
		return fmt.Errorf("couldn't read the rows of consents: %w", err)
	}
	if err := s.readLookUps(ctx); err != nil {
		return fmt.Errorf("couldn't read the look-ups' rows: %w", err)
	}
	for p, err := range s.pages(ctx) {
		if err != nil {
			return fmt.Errorf("couldn't read the events: %w", err)
		}
		s.fold(p)
		for i := range p.events {
			e := &p.events[i]
			s.events.lookUps.take(s.report, store.TableLookUp, e.lookUp, e, "the row of this look-up")
			s.events.consents.take(s.report, store.TableConsent, e.consent, e, "the row of this event (ledgerd consents rebuild makes it again)")
			s.inEmergency(e)
		}
		s.Progress(p.leaves)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.endReceipts(s.root.Size)
	s.endNumbers()
	s.endTotals()
	s.events.lookUps.end(s.report, store.TableLookUp, "a look-up at this index")
	s.events.consents.end(s.report, store.TableConsent, "an event in +consent at this index")
	return s.beyond(ctx)
}

// pages yields the shard's pages in order, checking some at once.
func (s *shard) pages(ctx context.Context) func(func(*page, error) bool) {
	type answer struct {
		page *page
		err  error
	}
	judge := &opened.Shard{Name: s.Name, Epoch: s.epoch, Registry: s.log.registry, Heads: s.log.replay.Heads, Bundle: func(digest ledger.Hash) ledger.Bundle { return s.bundles[digest] }}
	return func(yield func(*page, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		n := runtime.GOMAXPROCS(0)
		workers := make(chan *worker, n)
		for range n {
			workers <- &worker{shard: s, checker: opened.NewChecker(judge), handle: s.events.handle}
		}
		queue := make(chan chan answer, n)
		go func() {
			defer close(queue)
			for from := uint64(0); from < s.root.Size; from += pageSize {
				c := make(chan answer, 1)
				select {
				case queue <- c:
				case <-ctx.Done():
					return
				}
				w := <-workers
				go func() {
					p, err := w.page(ctx, from, min(from+pageSize, s.root.Size))
					workers <- w
					c <- answer{p, err}
				}()
			}
		}()
		for c := range queue {
			if a := <-c; !yield(a.page, a.err) {
				return
			}
		}
	}
}

// readReceipts sorts the receipts' rows by where they stand in the log.
func (s *shard) readReceipts(ctx context.Context) error {
	f := &s.events
	prefix := binary.BigEndian.AppendUint32(nil, s.epoch)
	err := s.Rows.Scan(ctx, store.TableReceipt, prefix, store.After(prefix), 0, func(key, value []byte) error {
		row, err := rows.ParseReceipt(value)
		if err != nil || len(key) != 20 {
			s.report.problem(CodeMalformed, store.TableReceipt.String(), "keys of 20 and rows of 44 bytes", fmt.Sprintf("%d and %d", len(key), len(value)))
			return nil
		}
		f.receipts = append(f.receipts, receipt{key: receiptKey(key[4:]), row: row})
		return nil
	})
	slices.SortStableFunc(f.receipts, func(a, b receipt) int {
		switch {
		case a.row.First < b.row.First:
			return -1
		case a.row.First > b.row.First:
			return 1
		}
		return 0
	})
	s.report.Receipts += uint64(len(f.receipts))
	return err
}

func (s *shard) fold(p *page) {
	s.report.add(p.problems)
	s.report.Replayed += p.replayed
	s.report.Unreplayed += p.unreplayed
	parts := p.private
	for i := range p.events {
		e := &p.events[i]
		for len(parts) > 0 && parts[0].index < e.index {
			s.strayPrivate(parts[0])
			parts = parts[1:]
		}
		var part *private
		if len(parts) > 0 && parts[0].index == e.index {
			part, parts = &parts[0], parts[1:]
		}
		s.foldEvent(e, part)
	}
	for _, part := range parts {
		s.strayPrivate(part)
	}
}

func (s *shard) strayPrivate(p private) {
	s.report.problem(CodeUnexpected, at(store.TablePrivate, p.index), "private parts at a receipt's first event only", "a row")
}

func (s *shard) foldEvent(e *event, part *private) {
	f := &s.events
	s.endReceipts(e.index)
	var r *receipt
	if f.current < len(f.receipts) && f.receipts[f.current].row.First <= e.index {
		r = &f.receipts[f.current]
		f.covered++
	}
	if part != nil {
		s.use(part.handle)
		if r == nil || r.row.First != e.index {
			s.strayPrivate(*part)
		} else {
			r.private, r.digest, r.handle, r.checked = true, part.digest, part.handle, part.state
		}
	}
	if e.row {
		s.use(e.handle)
	}
	known := e.counter != subjectKey{}
	switch {
	case e.state == usable:
		s.report.BodiesChecked++
	case e.state == erased:
		s.report.BodiesErased++
	}
	if r == nil {
		s.uncovered(e, known)
	} else if known {
		s.compareReceipt(e, r)
	}
	if known {
		if _, twice := f.seen[e.once]; twice {
			s.report.problem(CodeRepeated, at(store.TableBody, e.index), "a subject once in each receipt, and a receipt once", "a repetition")
		}
		f.seen[e.once] = struct{}{}
		f.lastMS = max(f.lastMS, e.at)
		if e.until > 0 {
			month := seal.Month(time.UnixMilli(e.at))
			f.numbers.ordered[month] = max(f.numbers.ordered[month], e.until)
		}
	}
	s.count(e, known)
}

func (s *shard) use(handle ledger.Hash) { s.handles[handlePrefix(handle[:])] = true }

// uncovered reports, once for each receipt, an event that no receipt's row names.
func (s *shard) uncovered(e *event, known bool) {
	first := e.index
	if known && uint64(e.position) <= e.index {
		first -= uint64(e.position)
	}
	if s.events.wrong == first+1 {
		return
	}
	s.events.wrong = first + 1
	s.report.problem(CodeMissing, at(store.TableReceipt, first), "a row that names the receipt of this event", "none")
}

// compareReceipt compares an opened event with the row of its receipt and, at the first, with the private part.
func (s *shard) compareReceipt(e *event, r *receipt) {
	f := &s.events
	if f.told {
		return
	}
	where := at(store.TableReceipt, r.row.First)
	switch {
	case uint64(e.position) > e.index || e.index-uint64(e.position) != r.row.First:
		s.report.problem(CodeMismatch, where, fmt.Sprintf("the first event of the receipt at leaf %d, position %d", e.index, e.position), fmt.Sprint(r.row.First))
	case r.key != e.identity:
		s.report.problem(CodeMismatch, where, fmt.Sprintf("the identity of the receipt at leaf %d", e.index), "another")
	case int(r.row.Count) != e.count:
		s.report.problem(CodeMismatch, where, fmt.Sprintf("%d events, as the receipt says", e.count), fmt.Sprint(r.row.Count))
	case r.row.PayloadDigest != e.payload:
		s.report.problem(CodeMismatch, where, fmt.Sprintf("the digest %x of the receipt's payload", e.payload), fmt.Sprintf("%x", r.row.PayloadDigest))
	default:
		if !r.private {
			return
		}
		month := seal.Month(time.UnixMilli(e.at))
		if r.digest != e.digest {
			s.report.problem(CodeMismatch, at(store.TablePrivate, r.row.First), fmt.Sprintf("the private part with digest %x", e.digest), fmt.Sprintf("that with %x", r.digest))
			f.told = true
		} else if r.handle != seal.Handle(&f.handle, seal.Private, month, e.agency) {
			s.report.problem(CodeMismatch, at(store.TablePrivate, r.row.First), "the key of this agency and month", "another")
			f.told = true
		}
		return
	}
	f.told = true
}

// endReceipts ends the receipts whose events lie before index.
func (s *shard) endReceipts(index uint64) {
	f := &s.events
	for f.current < len(f.receipts) {
		r := &f.receipts[f.current]
		end := r.row.First + uint64(r.row.Count)
		if end > index {
			return
		}
		where := at(store.TableReceipt, r.row.First)
		switch {
		case r.row.Count == 0 || f.covered != r.row.Count:
			s.report.problem(CodeMismatch, where, fmt.Sprintf("%d events that no other receipt has", r.row.Count), fmt.Sprint(f.covered))
		case !r.private && !s.retired(r.row.First):
			s.report.problem(CodeMissing, at(store.TablePrivate, r.row.First), "the private part of this receipt", "no row")
		case r.checked == usable:
			s.report.PrivateParts++
		}
		f.current++
		f.covered, f.told = 0, false
	}
}

// beyond looks for rows at leaves that the log doesn't have.
func (s *shard) beyond(ctx context.Context) error {
	for ; s.events.current < len(s.events.receipts); s.events.current++ {
		r := s.events.receipts[s.events.current].row
		s.report.problem(CodeUnexpected, at(store.TableReceipt, r.First), fmt.Sprintf("events before %d", s.root.Size), fmt.Sprintf("%d from %d on", r.Count, r.First))
	}
	for _, table := range []store.Table{store.TableBody, store.TablePrivate} {
		end := store.After(rows.LeafKey(s.epoch, 0)[:4])
		err := s.Rows.Scan(ctx, table, rows.LeafKey(s.epoch, s.root.Size), end, 0, func(key, _ []byte) error {
			s.report.problem(CodeUnexpected, table.String(), fmt.Sprintf("no row beyond leaf %d", s.root.Size), "one")
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
