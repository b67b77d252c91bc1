// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// RebuiltConsents is what RebuildConsents found.
type RebuiltConsents struct {
	Lists  int // citizens with a list that has an event which opens, once for each year
	Events int // of theirs
	Wrong  int // rows that were missing, or led elsewhere
}

// RebuildConsents makes the rows that lead to the citizens' lists in +consent again from the events themselves. It works on
// a ledger that nobody serves. Rows that only lead to events which don't open, of citizens none of whose events in that
// year's list opens, are left as they are.
func RebuildConsents(ctx context.Context, dir string, opt Options, begin func(origin string, leaves uint64) func(uint64)) (r *RebuiltConsents, err error) {
	opt = opt.withDefaults()
	settings, err := ReadSettings(dir)
	if err != nil {
		return nil, err
	}
	where, err := PlaceOf(dir, settings, opt)
	if err != nil {
		return nil, err
	}
	db, err := where.Open(ctx, opt.Log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	k, err := keys.Open(filepath.Join(dir, keysDir), opt.Passphrase)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	epochs, shards, err := Shards(ctx, db)
	if err != nil {
		return nil, err
	}
	snap, err := db.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	r = new(RebuiltConsents)
	b := &consentRebuilding{opt: opt, snap: snap, db: db, found: r}
	for i, epoch := range epochs {
		if b.handle, err = k.Handle(epoch); errors.Is(err, keys.ErrDestroyed) {
			continue
		} else if err != nil {
			return nil, err
		}
		key, err := k.VRF(epoch)
		if err != nil {
			return nil, err
		}
		b.epoch = epoch
		b.k = func(s ledger.Subject) (k [32]byte) {
			beta := key.Output(ledger.SubjectAlpha(s, ledger.ScopeConsent, epoch))
			copy(k[:], beta[:32])
			return k
		}
		b.opener = Opener{Rows: snap, Epoch: epoch, Handle: b.handle, Months: months{k}, Erased: k.Erased}
		b.leaves, b.size = shards[i].Leaves, shards[i].Root().Size
		if err := b.year(ctx, begin(ledger.Origin(settings.Name, epoch), b.size)); err != nil {
			return nil, fmt.Errorf("couldn't rebuild the lists of %d: %w", epoch, err)
		}
	}
	return r, nil
}

type consentRebuilding struct {
	opt    Options
	snap   store.Snapshot
	db     store.Store
	found  *RebuiltConsents
	epoch  uint32
	handle [32]byte
	k      func(ledger.Subject) [32]byte
	opener Opener
	leaves func(ctx context.Context, from, count uint64) ([][]byte, error)
	size   uint64
	write  []store.Row
}

// year goes twice through a log: for the events that open, and for those of the same lists that don't.
func (b *consentRebuilding) year(ctx context.Context, progress func(uint64)) error {
	lists := map[ledger.Subject]map[uint32]bool{}
	err := b.each(ctx, func(index uint64, raw []byte, _ ledger.Event) error {
		progress(index)
		e, err := b.opener.Open(ctx, index, raw)
		if errors.Is(err, ErrErased) {
			return nil
		} else if err != nil {
			return err
		}
		body, err := ledger.ParseBody(e.Body)
		if err != nil || body.Scope != ledger.ScopeConsent {
			return err
		}
		subject := body.Subject.Code
		if lists[subject] == nil {
			lists[subject] = map[uint32]bool{}
		}
		lists[subject][e.I] = true
		b.found.Events++
		if err := b.row(ctx, rows.ConsentKey(&b.handle, b.epoch, subject, e.I), store.TableConsent, index); err != nil {
			return err
		}
		return b.end(ctx, index, body)
	})
	if err != nil {
		return err
	}
	b.found.Lists += len(lists)
	type place struct {
		subject ledger.Subject
		i       uint32
	}
	missing := map[ledger.Hash]place{}
	for subject, known := range lists {
		k := b.k(subject)
		for i := range slices.Max(slices.Collect(maps.Keys(known))) {
			if !known[i] {
				missing[ledger.SubjectTag(&k, i)] = place{subject, i}
			}
		}
	}
	if len(missing) > 0 {
		err := b.each(ctx, func(index uint64, _ []byte, leaf ledger.Event) error {
			at, ok := missing[leaf.SubjectTag]
			if !ok {
				return nil
			}
			return b.row(ctx, rows.ConsentKey(&b.handle, b.epoch, at.subject, at.i), store.TableConsent, index)
		})
		if err != nil {
			return err
		}
	}
	progress(b.size)
	return b.flush(ctx)
}

// end keeps when a consent ends; what ended already is found by who looks there.
func (b *consentRebuilding) end(ctx context.Context, index uint64, body *ledger.Body) error {
	if body.Consent == nil || b.opt.Consents == nil {
		return nil
	}
	// The login token, which only matters when an event is recorded, isn't at hand.
	_, ends, err := b.opt.Consents.Kind(body.Consent, nil)
	if err != nil || ends.IsZero() {
		return nil
	}
	return b.row(ctx, rows.ConsentEndKey(&b.handle, ends, b.epoch, index), store.TableConsentEnd, index)
}

func (b *consentRebuilding) each(ctx context.Context, f func(index uint64, raw []byte, leaf ledger.Event) error) error {
	const page = 1024
	for from := uint64(0); from < b.size; {
		leaves, err := b.leaves(ctx, from, min(page, b.size-from))
		if err != nil {
			return err
		}
		if len(leaves) == 0 {
			return fmt.Errorf("couldn't read leaf %d", from)
		}
		for i, raw := range leaves {
			leaf, err := ledger.ParseLeaf(raw)
			if err != nil {
				return fmt.Errorf("couldn't read leaf %d: %w", from+uint64(i), err)
			}
			if e, ok := leaf.(ledger.Event); ok {
				if err := f(from+uint64(i), raw, e); err != nil {
					return err
				}
			}
		}
		from += uint64(len(leaves))
	}
	return nil
}

// row writes a row that leads to an event, unless it is there.
func (b *consentRebuilding) row(ctx context.Context, key []byte, table store.Table, index uint64) error {
	value := rows.FormatConsent(&b.handle, key, b.epoch, index)
	before, err := b.snap.Get(ctx, table, key)
	if err != nil || slices.Equal(before, value) {
		return err
	}
	if table == store.TableConsent {
		b.found.Wrong++
	}
	b.write = append(b.write, store.Row{Table: table, Key: key, Value: value})
	if len(b.write) < rewrapBatch {
		return nil
	}
	return b.flush(ctx)
}

func (b *consentRebuilding) flush(ctx context.Context) error {
	write := b.write
	b.write = nil
	if len(write) == 0 {
		return nil
	}
	return b.db.Commit(ctx, nil, write)
}
