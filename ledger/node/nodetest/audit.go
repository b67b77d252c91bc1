// SPDX-License-Identifier: EUPL-1.2

package nodetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/fsck"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/replay"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/store"
	"github.com/traccia-ledger/traccia/ledger/vrf"
)

// Log is what an audit reads.
type Log struct {
	Origin string
	Epoch  uint32
	Shard  *engine.Shard
	Rows   store.Store
	Handle [32]byte
	Output func(alpha []byte) [32]byte // see Outputs
	Unwrap func(month string, handle ledger.Hash, stored []byte) ([32]byte, error)
}

// Audited is what an audit saw.
type Audited struct {
	Report   replay.Report
	Leaves   [][]byte
	Receipts map[string]uint64 // <iss>/<jti> to the index of its first event
	LastMS   uint64            // recorded_at of the last event
}

// auditor collects what is wrong.
type auditor struct {
	Log
	snap   store.Snapshot
	seen   *Audited
	wrong  []error
	counts map[string]uint64 // counter key to the next number, from the events alone
}

// Audit reads all of a log and what the store keeps with it, and returns what
// is wrong: a leaf or head against the rules of the formats, an event that
// doesn't open, a running number repeated or skipped, a receipt recorded
// twice or without its rows, a counter that says something else than the
// events.
func Audit(ctx context.Context, l Log) (*Audited, error) {
	snap, err := l.Rows.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	a := &auditor{Log: l, snap: snap, seen: &Audited{Receipts: map[string]uint64{}}, counts: map[string]uint64{}}
	if err := a.readLeaves(ctx); err != nil {
		return nil, err
	}
	if err := a.readEvents(ctx); err != nil {
		return a.seen, err
	}
	a.countRows(ctx)
	return a.seen, errors.Join(a.wrong...)
}

func (a *auditor) fail(format string, args ...any) {
	if len(a.wrong) < 10 {
		a.wrong = append(a.wrong, fmt.Errorf(format, args...))
	}
}

func (a *auditor) readLeaves(ctx context.Context) error {
	reader, err := replay.New(a.Origin)
	if err != nil {
		return err
	}
	root := a.Shard.Root()
	for at := uint64(0); at < root.Size; {
		leaves, err := a.Shard.Leaves(ctx, at, min(1000, root.Size-at))
		if err != nil || len(leaves) == 0 {
			return fmt.Errorf("couldn't read leaves from %d of %d on: %v", at, root.Size, err)
		}
		for _, leaf := range leaves {
			reader.Add(leaf)
		}
		a.seen.Leaves = append(a.seen.Leaves, leaves...)
		at += uint64(len(leaves))
	}
	a.seen.Report = reader.Report()
	if r := &a.seen.Report; !r.OK() {
		a.fail("the log is wrong: %v %v %v", r.Problems, r.Duplicates, r.Heads)
	} else if r.LogRoot != root.Hash {
		a.fail("the leaves give another root than the log's")
	}
	return nil
}

// readEvents opens every event in order.
func (a *auditor) readEvents(ctx context.Context) error {
	var left int // of the receipt under way
	var current *ledger.SignedReceipt
	var records, lastHead uint64
	for i, raw := range a.seen.Leaves {
		index := uint64(i)
		leaf, err := ledger.ParseLeaf(raw)
		if err != nil {
			return err
		}
		switch leaf := leaf.(type) {
		case ledger.Head:
			lastHead = leaf.UnixMS
			if a.seen.LastMS > leaf.UnixMS {
				a.fail("the head at %d is older than an event before it", i)
			}
		case ledger.Record:
			records++
			row, err := a.snap.Get(ctx, store.TableRecord, rows.LeafKey(a.Epoch, index))
			if err != nil || !bytes.Equal(row, leaf.JSON) {
				a.fail("the record at %d has another row: %v", i, err)
			}
		case ledger.Event:
			body, err := a.openEvent(ctx, index, raw, leaf)
			if err != nil {
				return fmt.Errorf("event %d: %w", i, err)
			}
			if uint64(body.RecordedAt) < max(lastHead, a.seen.LastMS) {
				a.fail("event %d is older than what stands before it", i)
			}
			a.seen.LastMS = uint64(body.RecordedAt)
			if left == 0 {
				if current, err = ledger.ParseReceipt(body.Receipt); err != nil {
					return fmt.Errorf("event %d: %w", i, err)
				}
				left = current.Subjects.Count
				a.startReceipt(ctx, current, index)
			}
			if body.Receipt != current.Compact || body.Subject.Position != current.Subjects.Count-left {
				a.fail("event %d isn't entry %d of its receipt", i, current.Subjects.Count-left)
			}
			left--
		}
	}
	if left != 0 {
		a.fail("the last receipt lacks %d events", left)
	}
	a.equal(ctx, store.TableRecord, records)
	return nil
}

// openEvent opens one event as its keeper can, and holds tags and numbers
// against what the events before it leave.
func (a *auditor) openEvent(ctx context.Context, index uint64, raw []byte, leaf ledger.Event) (*ledger.Body, error) {
	row, err := a.snap.Get(ctx, store.TableBody, rows.LeafKey(a.Epoch, index))
	if err != nil {
		return nil, err
	}
	kept, err := rows.ParseEvent(&a.Handle, a.Epoch, index, row)
	if err != nil {
		return nil, err
	}
	k, err := a.key(ctx, kept.Handle)
	if err != nil {
		return nil, err
	}
	_, content, err := seal.OpenEvent(&k, raw, kept.Sealed)
	if err != nil {
		return nil, err
	}
	body, err := ledger.ParseBody(content)
	if err != nil {
		return nil, err
	}
	if body.Origin != a.Origin {
		return nil, fmt.Errorf("a body of %s", body.Origin)
	}
	i := a.next(string(rows.SubjectCounterKey(&a.Handle, a.Epoch, body.Subject.Code, body.Scope)))
	j := a.next(string(rows.AgencyCounterKey(a.Epoch, body.Agency)))
	if uint64(kept.I) != i || kept.J != j {
		a.fail("event %d has the numbers %d and %d, expected %d and %d", index, kept.I, kept.J, i, j)
	}
	ks := a.Output(ledger.SubjectAlpha(body.Subject.Code, body.Scope, a.Epoch))
	ka := a.Output(ledger.AgencyAlpha(body.Agency, a.Epoch))
	if leaf.SubjectTag != ledger.SubjectTag(&ks, uint32(i)) || leaf.AgencyTag != ledger.AgencyTag(&ka, j) {
		a.fail("event %d has other tags than those of its numbers", index)
	}
	return body, nil
}

// Outputs returns the function that gives k_s and k_a, and remembers them.
func Outputs(key *vrf.PrivateKey) func(alpha []byte) [32]byte {
	var mu sync.Mutex
	known := map[string][32]byte{}
	return func(alpha []byte) [32]byte {
		mu.Lock()
		defer mu.Unlock()
		k, ok := known[string(alpha)]
		if !ok {
			beta := key.Output(alpha)
			copy(k[:], beta[:])
			known[string(alpha)] = k
		}
		return k
	}
}

func (a *auditor) next(counter string) uint64 {
	n := a.counts[counter]
	a.counts[counter] = n + 1
	return n
}

func (a *auditor) key(ctx context.Context, handle ledger.Hash) (k [32]byte, err error) {
	row, err := a.snap.Get(ctx, store.TableWrap, handle[:])
	if err != nil {
		return k, err
	}
	wrap, err := rows.ParseWrap(row)
	if err != nil {
		return k, err
	}
	return a.Unwrap(wrap.Month, handle, wrap.Stored)
}

// startReceipt checks the rows of a receipt at its first event.
func (a *auditor) startReceipt(ctx context.Context, r *ledger.SignedReceipt, index uint64) {
	id := r.Iss + "/" + r.JTI
	if first, twice := a.seen.Receipts[id]; twice {
		a.fail("receipt %s is recorded at %d and at %d", id, first, index)
	}
	a.seen.Receipts[id] = index
	row, err := a.snap.Get(ctx, store.TableReceipt, rows.ReceiptKey(a.Epoch, r.Iss, r.JTI))
	if err != nil {
		a.fail("receipt %s: %v", id, err)
		return
	}
	want := rows.Receipt{PayloadDigest: r.PayloadDigest, First: index, Count: uint32(r.Subjects.Count)}
	if got, err := rows.ParseReceipt(row); err != nil || got != want {
		a.fail("receipt %s at %d has the row %+v, %v", id, index, got, err)
	}
	row, err = a.snap.Get(ctx, store.TablePrivate, rows.LeafKey(a.Epoch, index))
	if err != nil {
		a.fail("private part of %s: %v", id, err)
		return
	}
	private, err := rows.ParsePrivate(&a.Handle, a.Epoch, index, row)
	if err != nil {
		a.fail("private part of %s: %v", id, err)
		return
	}
	k, err := a.key(ctx, private.Handle)
	if err == nil {
		_, _, err = seal.OpenPrivate(&k, private.Digest, private.Sealed)
	}
	if err != nil || ledger.Hex(private.Digest) != r.PrivateDigest {
		a.fail("private part of %s: %v", id, err)
	}
}

// countRows finds rows that belong to nothing, and compares the counters.
func (a *auditor) countRows(ctx context.Context) {
	receipts := uint64(len(a.seen.Receipts))
	a.equal(ctx, store.TableReceipt, receipts)
	a.equal(ctx, store.TablePrivate, receipts)
	a.equal(ctx, store.TableBody, a.seen.Report.Events)
	found := 0
	from, to := a.ofEpoch()
	err := a.snap.Scan(ctx, store.TableCounter, from, to, 0, func(key, value []byte) error {
		width, ok := map[byte]int{'s': 4, 'a': 8}[key[4]]
		if !ok {
			return nil // the last recorded instant
		}
		found++
		if n, err := rows.ParseCounter(value, width); err != nil || n != a.counts[string(key)] {
			a.fail("a counter says %d, the events give %d: %v", n, a.counts[string(key)], err)
		}
		return nil
	})
	if err != nil || found != len(a.counts) {
		a.fail("%d counters, the events give %d: %v", found, len(a.counts), err)
	}
}

func (a *auditor) equal(ctx context.Context, table store.Table, want uint64) {
	var got uint64
	from, to := a.ofEpoch()
	err := a.snap.Scan(ctx, table, from, to, 0, func(_, _ []byte) error { got++; return nil })
	if err != nil || got != want {
		a.fail("%d rows of %s, expected %d: %v", got, table, want, err)
	}
}

// ofEpoch is the range of the rows of one log.
func (a *auditor) ofEpoch() (from, to []byte) {
	from = binary.BigEndian.AppendUint32(nil, a.Epoch)
	return from, store.After(from)
}

// AuditDir audits a data directory that no process has open, of one year.
func AuditDir(ctx context.Context, dir, passphrase string) (*Audited, error) {
	years, err := AuditYears(ctx, dir, passphrase)
	if err == nil && len(years) != 1 {
		err = fmt.Errorf("%d epochs", len(years))
	}
	if len(years) == 0 {
		return nil, err
	}
	return years[0], err
}

// AuditYears audits a data directory that no process has open, by epoch.
func AuditYears(ctx context.Context, dir, passphrase string) (years []*Audited, err error) {
	rest, err := node.OpenAtRest(ctx, dir, node.Options{Passphrase: passphrase})
	if err != nil {
		return nil, err
	}
	defer rest.Close()
	db, secrets := rest.Store, rest.Keys
	e, err := engine.New(db)
	if err != nil {
		return nil, err
	}
	epochs, err := e.Epochs(ctx)
	if err != nil {
		return nil, err
	}
	for _, epoch := range epochs {
		l, err := openLog(ctx, e, db, secrets, epoch)
		if err != nil {
			return nil, err
		}
		seen, err := Audit(ctx, l)
		years = append(years, seen)
		if err != nil {
			return years, fmt.Errorf("%d: %w", epoch, err)
		}
	}
	return years, fsckDir(ctx, db, secrets, years)
}

func openLog(ctx context.Context, e *engine.Engine, db store.Store, secrets *keys.Dir, epoch uint32) (l Log, err error) {
	l = Log{Origin: ledger.Origin(Name, epoch), Epoch: epoch, Rows: db}
	if l.Shard, err = e.OpenShard(ctx, l.Epoch); err != nil {
		return l, err
	}
	key, err := secrets.VRF(l.Epoch)
	if err != nil {
		return l, err
	}
	l.Output = Outputs(key)
	if l.Handle, err = secrets.Handle(l.Epoch); err != nil {
		return l, err
	}
	l.Unwrap = func(month string, handle ledger.Hash, stored []byte) ([32]byte, error) {
		version, wrap, err := keys.ParseWrap(stored)
		if err != nil {
			return [32]byte{}, err
		}
		under, err := secrets.MonthKey(month, version)
		if err != nil {
			return [32]byte{}, err
		}
		return seal.Unwrap(&under, handle, wrap)
	}
	return l, nil
}

// fsckDir asks the operator's own check for its opinion.
func fsckDir(ctx context.Context, db store.Store, secrets *keys.Dir, years []*Audited) error {
	snap, err := db.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer snap.Close()
	now := time.Now() // of a test's clock it is not long after the last head
	for _, seen := range years {
		if heads := seen.Report.Heads; len(heads) > 0 {
			now = later(now, time.UnixMilli(int64(heads[len(heads)-1].UnixMS)).Add(time.Hour))
		}
	}
	report, err := fsck.Check(ctx, fsck.Config{Name: Name, Rows: snap, Keys: secrets, Now: now})
	if err != nil {
		return err
	}
	var events uint64
	for _, seen := range years {
		events += seen.Report.Events
	}
	if report.Found > 0 || report.Size != uint64(len(years[len(years)-1].Leaves)) || report.BodiesChecked != events {
		return fmt.Errorf("fsck: %d problems in %d leaves, %d bodies checked: %v", report.Found, report.Size, report.BodiesChecked, report.Problems)
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// RootAt returns the log's root when it had so many leaves.
func (a *Audited) RootAt(size uint64) ledger.Hash {
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	r := factory.NewEmptyRange(0)
	for _, leaf := range a.Leaves[:size] {
		hash := ledger.HashLeaf(leaf)
		if err := r.Append(hash[:], nil); err != nil {
			panic(err)
		}
	}
	root, err := r.GetRootHash(nil)
	if err != nil {
		panic(err)
	}
	return ledger.Hash(root)
}
