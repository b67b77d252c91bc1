// SPDX-License-Identifier: EUPL-1.2

package sequencer

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// batch collects one commit. Its maps hold what the commit will change, so
// that later submissions of the batch see it before it is durable.
type batch struct {
	s      *Sequencer
	snap   store.Reader
	ms     uint64 // recorded_at of every event in it
	size   uint64 // log size as it grows
	leaves [][]byte
	rows   []store.Row

	identities map[string]*job          // receipt key -> the job that makes it
	counters   map[string]uint64        // counter key -> next number
	widths     map[string]int           // counter key -> bytes of its value
	lookUps    map[string]uint64        // look-up key -> its event
	keyOf      map[ledger.Hash][32]byte // wrap handle -> K
	version    uint64
	events     int
	head       uint64 // unix_ms of the head it writes, 0 if none

	made    map[*job]*Committed
	refused map[*job]error // records that didn't pass
	repeats []*job         // duplicates of a job in this very batch
}

// commit turns jobs into leaves, makes them durable and answers them.
func (s *Sequencer) commit(jobs []*job) {
	if len(jobs) == 0 {
		return
	}
	if err := s.Err(); err != nil {
		for _, j := range jobs {
			answer(j, nil, fmt.Errorf("%w: %w", ErrStopped, err))
		}
		return
	}
	ctx := context.Background() // a commit isn't abandoned halfway
	b, err := s.build(ctx, jobs)
	if err != nil {
		s.stop(err)
		for _, j := range jobs {
			answer(j, nil, fmt.Errorf("%w: %w", ErrStopped, err))
		}
		return
	}
	if len(b.leaves) > 0 {
		s.step("numbered")
		started := time.Now()
		root, err := s.Shard.Append(ctx, b.leaves, b.rows)
		if err == nil {
			s.step("durable")
			err = s.publish(b, root)
		}
		if s.Observe != nil {
			s.Observe(len(b.leaves), started.Sub(jobs[0].since), time.Since(started))
		}
		if err != nil {
			// Conflict included: someone else wrote to this shard, and what
			// this process holds in memory is no longer the truth.
			s.stop(fmt.Errorf("couldn't append %d leaves: %w", len(b.leaves), err))
			for j := range b.made {
				answer(j, nil, fmt.Errorf("%w: %w", ErrStopped, err))
			}
			for _, j := range b.repeats {
				answer(j, nil, ErrStopped)
			}
			for j := range b.refused {
				answer(j, nil, ErrStopped)
			}
			return
		}
		s.step("signed")
	}
	latest := s.Latest()
	for j, err := range b.refused {
		answer(j, nil, err)
	}
	for j, c := range b.made {
		c.Latest = latest
		answer(j, c, nil)
	}
	for _, j := range b.repeats {
		key := rows.ReceiptKey(s.Epoch, j.pending.Receipt.Iss, j.pending.Receipt.JTI)
		original := b.identities[string(key)]
		if original.pending.Receipt.PayloadDigest != j.pending.Receipt.PayloadDigest {
			answer(j, nil, ErrConflict)
			continue
		}
		c := b.made[original]
		answer(j, &Committed{Replayed: true, First: c.First, Count: c.Count, Latest: latest}, nil)
	}
}

func answer(j *job, c *Committed, err error) {
	select {
	case j.final <- result{c, err}:
	default: // answered before
	}
}

// build numbers and seals the jobs. Those that can't be recorded are answered
// at once; an error means that the store can't be read.
func (s *Sequencer) build(ctx context.Context, jobs []*job) (*batch, error) {
	snap, err := s.Rows.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the store: %w", err)
	}
	defer snap.Close()
	b := &batch{
		s: s, size: s.Shard.Root().Size, version: s.Registry.Version(),
		identities: map[string]*job{}, counters: map[string]uint64{}, widths: map[string]int{},
		lookUps: map[string]uint64{}, keyOf: map[ledger.Hash][32]byte{}, made: map[*job]*Committed{}, refused: map[*job]error{},
	}
	now := s.Now()
	clock := s.checkClock(now)
	s.clockWrong = clock != nil
	b.ms = max(uint64(now.UnixMilli()), s.lastMS)
	if s.dayKeys != nil {
		// Heads come every few minutes, whatever else does.
		s.dayKeys.Forget(seal.Day(time.UnixMilli(int64(b.ms))))
	}
	if b.snap, err = s.prefetch(ctx, snap, jobs, b.ms); err != nil {
		return nil, err
	}
	for _, j := range jobs {
		var err error
		switch {
		case clock != nil:
			answer(j, nil, clock)
		case j.head:
			err = b.addHead(ctx, j)
		case j.pending != nil:
			err = b.addSubmission(ctx, j)
		default:
			err = b.addRecords(j)
		}
		if err != nil {
			return nil, err
		}
	}
	for key, next := range b.counters {
		b.rows = append(b.rows, store.Row{Table: store.TableCounter, Key: []byte(key), Value: rows.FormatCounter(next, b.widths[key])})
	}
	if len(b.leaves) > 0 {
		b.rows = append(b.rows, store.Row{Table: store.TableCounter, Key: lastInstantKey(s.Epoch), Value: rows.FormatCounter(b.ms, 8)})
	}
	return b, nil
}

func (b *batch) addRecords(j *job) error {
	first := b.size
	for _, r := range j.records {
		leaf, err := ledger.FormatLeaf(ledger.Record{Epoch: b.s.Epoch, JSON: r})
		if err == nil {
			err = b.s.Registry.Check(r)
		}
		if err == nil {
			err = b.s.Registry.Apply(b.size, r)
		}
		if err != nil {
			// Those before it in the same call stand; once they are durable
			// the caller is told which one didn't pass.
			b.refused[j] = err
			break
		}
		b.rows = append(b.rows, store.Row{Table: store.TableRecord, Key: rows.LeafKey(b.s.Epoch, b.size), Value: r})
		b.add(leaf)
	}
	b.version = b.s.Registry.Version()
	if b.refused[j] == nil {
		b.rows = append(b.rows, j.with...)
		b.made[j] = &Committed{First: first, Count: int(b.size - first)}
	}
	return nil
}

func (b *batch) addHead(ctx context.Context, j *job) error {
	keys, root, err := b.s.follower.catchUp(b.size)
	if err != nil {
		return err
	}
	ms := max(b.ms, b.s.lastHead+1)
	leaf, err := ledger.FormatLeaf(ledger.Head{
		Epoch: b.s.Epoch, Final: b.s.ending, Keys: keys, Root: root,
		Scopes: ledger.ScopesHash(b.s.Registry.Scopes()), UnixMS: ms,
	})
	if err != nil {
		return fmt.Errorf("couldn't make a head: %w", err)
	}
	if err := b.monthBegun(ctx, ms); err != nil {
		return err
	}
	b.ms, b.head = ms, ms
	b.rows = append(b.rows, store.Row{
		Table: store.TableHead, Key: rows.LeafKey(b.s.Epoch, b.size), Value: rows.FormatCounter(b.s.lastAt, 8),
	})
	b.made[j] = &Committed{First: b.size, Count: 1}
	b.add(leaf)
	return nil
}

func (b *batch) add(leaf []byte) {
	b.leaves = append(b.leaves, leaf)
	b.size++
}

func (b *batch) addSubmission(ctx context.Context, j *job) error {
	p := j.pending
	if p.Version != b.version {
		answer(j, nil, ErrMoved)
		return nil
	}
	identity := rows.ReceiptKey(b.s.Epoch, p.Receipt.Iss, p.Receipt.JTI)
	if b.identities[string(identity)] != nil {
		b.repeats = append(b.repeats, j)
		return nil
	}
	row, err := b.snap.Get(ctx, store.TableReceipt, identity)
	if err != nil {
		return fmt.Errorf("couldn't look up a submission: %w", err)
	}
	if row != nil {
		known, err := rows.ParseReceipt(row)
		if err != nil {
			return fmt.Errorf("couldn't read a receipt row: %w", err)
		}
		if known.PayloadDigest != p.Receipt.PayloadDigest {
			answer(j, nil, ErrConflict)
			return nil
		}
		b.made[j] = &Committed{Replayed: true, First: known.First, Count: int(known.Count)}
		return nil
	}
	if p.Kind == ledger.KindLookUp {
		if before, err := b.lookedUp(ctx, p); err != nil || before != nil {
			b.made[j] = before
			return err
		}
	}
	if same, err := b.sameConsents(ctx, p); err != nil {
		return err
	} else if !same {
		answer(j, nil, ErrMoved)
		return nil
	}
	b.identities[string(identity)] = j
	c := &Committed{First: b.size, Count: len(p.Subjects), Events: make([]Event, len(p.Subjects))}
	b.made[j] = c
	b.rows = append(b.rows, store.Row{Table: store.TableReceipt, Key: identity, Value: rows.FormatReceipt(rows.Receipt{
		PayloadDigest: p.Receipt.PayloadDigest, First: b.size, Count: uint32(len(p.Subjects)),
	})})
	if err := b.addPrivate(ctx, p); err != nil {
		return err
	}
	if err := b.putOff(ctx, p.DeferredUntil); err != nil {
		return err
	}
	return b.addEvents(ctx, p, c.Events)
}

// addPrivate seals the private part, once per receipt, under its agency's key
// of the month.
func (b *batch) addPrivate(ctx context.Context, p *Pending) error {
	handle, k, err := b.key(ctx, seal.Private, p.Agency)
	if err != nil {
		return err
	}
	digest := ledger.PrivateDigest(&p.Private.Salt, p.Private.Content)
	sealed := seal.SealPrivate(&k, digest, &p.Private.Salt, p.Private.Content)
	b.rows = append(b.rows, store.Row{
		Table: store.TablePrivate, Key: rows.LeafKey(b.s.Epoch, b.size),
		Value: rows.FormatPrivate(&b.s.Handle, b.s.Epoch, b.size, rows.Private{Handle: handle, Digest: digest, Sealed: sealed}),
	})
	return nil
}

// addEvents makes one event for each subject, consecutive in the log. Numbers
// are given in order; what only costs time is shared among the cores.
func (b *batch) addEvents(ctx context.Context, p *Pending, events []Event) error {
	kind, _ := ledger.KindOf(p.Kind)
	class := seal.Class(kind.Class)
	handles, ks := make([]ledger.Hash, len(events)), make([][32]byte, len(events))
	for n := range events {
		if err := b.addConsent(ctx, p, n); err != nil {
			return err
		}
		i, err := b.next(ctx, rows.SubjectCounterKey(&b.s.Handle, b.s.Epoch, p.Subjects[n].Subject, p.Scope), 4)
		if err != nil {
			return err
		}
		if events[n].J, err = b.next(ctx, rows.AgencyCounterKey(b.s.Epoch, p.Agency), 8); err != nil {
			return err
		}
		events[n].I = uint32(i)
		if class == seal.Consent && !p.KeepUntil.IsZero() {
			handles[n], ks[n], err = b.longKey(ctx, p, n)
		} else {
			handles[n], ks[n], err = b.key(ctx, class, string(p.Subjects[n].Subject))
		}
		if err != nil {
			return err
		}
	}
	first := b.size
	sealed := make([][]byte, len(events))
	err := each(len(events), func(n int) error {
		var err error
		sealed[n], err = b.makeEvent(p, n, first+uint64(n), handles[n], &ks[n], &events[n])
		return err
	})
	if err != nil {
		return err
	}
	for n := range events {
		b.rows = append(b.rows, store.Row{Table: store.TableBody, Key: rows.LeafKey(b.s.Epoch, b.size), Value: sealed[n]})
		b.add(events[n].Leaf)
	}
	b.events += len(events)
	return nil
}

func (b *batch) makeEvent(p *Pending, n int, index uint64, handle ledger.Hash, k *[32]byte, e *Event) ([]byte, error) {
	subject := &p.Subjects[n]
	body, err := ledger.FormatBody(&ledger.Body{
		Origin: ledger.Origin(b.s.Name, b.s.Epoch), Kind: p.Kind,
		Subject: ledger.BodySubject{Code: subject.Subject, Salt: subject.Salt, Position: n, Proof: subject.Proof},
		Scope:   p.Scope, Agency: p.Agency, RecordedAt: int64(b.ms), Receipt: p.Receipt.Compact,
		Deferral: p.Deferral, Assurance: p.Assurance, Decision: p.Decision,
		Consent: p.Consent,
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't make the body of event %d: %w", index, err)
	}
	if n == 0 || len(p.Subjects) <= ledger.MaxSingleProofs {
		e.Body = body // no answer has the others
	}
	rand.Read(e.Nonce[:])
	e.Leaf, err = ledger.FormatLeaf(ledger.Event{
		Epoch:      b.s.Epoch,
		SubjectTag: ledger.SubjectTag(&subject.K, e.I),
		AgencyTag:  ledger.AgencyTag(&p.AgencyK, e.J),
		Commitment: ledger.BodyCommitment(&e.Nonce, body),
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't make the leaf of event %d: %w", index, err)
	}
	return rows.FormatEvent(&b.s.Handle, b.s.Epoch, index, rows.Event{
		Handle: handle, I: e.I, J: e.J,
		Sealed: seal.SealEvent(k, ledger.HashLeaf(e.Leaf), &e.Nonce, body),
	}), nil
}

// lookedUp returns the event that stands for a look-up already: a requester leaves one for each citizen and month, and for
// each mandate of a delegate. One of
// several citizens stands only if none of them has one; whoever makes it leaves the others out.
func (b *batch) lookedUp(ctx context.Context, p *Pending) (*Committed, error) {
	month := seal.Month(time.UnixMilli(int64(b.ms)))
	keys := make([][]byte, len(p.Subjects))
	for i := range p.Subjects {
		keys[i] = rows.LookUpKey(&b.s.Handle, b.s.Epoch, rows.LookUpBy(&p.Receipt.Receipt), p.Subjects[i].Subject, month)
		at, ok := b.lookUps[string(keys[i])]
		if !ok {
			row, err := b.snap.Get(ctx, store.TableLookUp, keys[i])
			if err != nil {
				return nil, fmt.Errorf("couldn't read a look-up: %w", err)
			}
			if row == nil {
				continue
			}
			if at, err = rows.ParseCounter(row, 8); err != nil {
				return nil, fmt.Errorf("couldn't read a look-up: %w", err)
			}
		}
		return &Committed{Replayed: true, First: at, Count: 1}, nil
	}
	for i, key := range keys {
		at := b.size + uint64(i)
		b.lookUps[string(key)] = at
		b.rows = append(b.rows, store.Row{Table: store.TableLookUp, Key: key, Value: rows.FormatCounter(at, 8)})
	}
	return nil, nil
}

// key returns the sealing key of a subject or agency in the month of this
// commit, making and wrapping it when it is the month's first.
func (b *batch) key(ctx context.Context, class seal.Class, who string) (ledger.Hash, [32]byte, error) {
	month := seal.Month(time.UnixMilli(int64(b.ms)).UTC())
	handle := seal.Handle(&b.s.Handle, class, month, who)
	if k, ok := b.keyOf[handle]; ok {
		return handle, k, nil
	}
	if k, ok := b.s.subjectKs.Get(handle); ok {
		return handle, k, nil
	}
	stored, err := b.snap.Get(ctx, store.TableWrap, handle[:])
	if err != nil {
		return handle, [32]byte{}, fmt.Errorf("couldn't read a wrapped key: %w", err)
	}
	var k [32]byte
	if stored != nil {
		wrap, err := rows.ParseWrap(stored)
		if err == nil {
			k, err = b.s.Months.Unwrap(wrap.Month, handle, wrap.Stored)
		}
		if err != nil {
			return handle, k, fmt.Errorf("couldn't unwrap a key of %s: %w", month, err)
		}
	} else {
		rand.Read(k[:])
		wrapped, err := b.s.Months.Wrap(month, handle, &k)
		if err != nil {
			return handle, k, fmt.Errorf("couldn't wrap a key of %s: %w", month, err)
		}
		authority, err := b.forAuthority(handle, &k)
		if err != nil {
			return handle, k, err
		}
		b.rows = append(b.rows, store.Row{
			Table: store.TableWrap, Key: handle[:], Value: rows.FormatWrap(rows.Wrap{Month: month, Stored: wrapped, Authority: authority}),
		})
	}
	b.keyOf[handle] = k
	return handle, k, nil
}

// forAuthority wraps a new key for the authority too, if there is one.
func (b *batch) forAuthority(handle ledger.Hash, k *[32]byte) ([]byte, error) {
	if b.s.dayKeys == nil {
		return nil, nil
	}
	sealed, fresh, err := b.s.dayKeys.Wrap(ledger.Origin(b.s.Name, b.s.Epoch), seal.Day(time.UnixMilli(int64(b.ms))), handle, k)
	if err != nil {
		return nil, fmt.Errorf("couldn't wrap a key for the authority: %w", err)
	}
	if fresh != nil {
		key, row := rows.FormatDayKey(&b.s.Handle, b.s.Epoch, rows.DayKey{Day: fresh.Day, Public: *b.s.Authority, Stored: fresh.Stored})
		b.rows = append(b.rows, store.Row{Table: store.TableDayKey, Key: key, Value: row})
	}
	return sealed, nil
}

// publish takes over what the commit made durable, and signs it.
func (s *Sequencer) publish(b *batch, root engine.Root) error {
	if root.Size != b.size {
		return fmt.Errorf("the engine says size %d after an append that ends at %d", root.Size, b.size)
	}
	for key, next := range b.counters {
		s.counters.Add(key, next)
	}
	for handle, k := range b.keyOf {
		s.subjectKs.Add(handle, k)
	}
	s.lastMS = b.ms
	if b.events > 0 && s.uncovered.IsZero() {
		s.uncovered = s.Now()
	}
	if b.head > 0 {
		s.lastHead, s.lastAt, s.uncovered = b.head, b.size-1, time.Time{}
		s.headMS.Store(b.head)
	}
	signed, err := s.sign(root)
	if err != nil {
		return err
	}
	s.latest.Store(&Latest{root, signed})
	// After Latest is in place: who is answered at a head finds it there.
	s.follower.add(b.size-uint64(len(b.leaves)), b.leaves)
	return nil
}
