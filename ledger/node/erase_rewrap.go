// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// applyErasures destroys again what the journal beside the keys says was
// erased: a restored store may still hold it. It destroys those very wraps
// and no others (formats §6).
func (n *Node) applyErasures(ctx context.Context) error {
	snap, err := n.rows.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer snap.Close()
	var gone []store.Row
	for _, e := range n.keys.Erasures() {
		row, err := snap.Get(ctx, store.TableWrap, e.Handle[:])
		if err != nil {
			return fmt.Errorf("couldn't read a wrapped key: %w", err)
		}
		if row == nil {
			continue
		}
		wrap, err := rows.ParseWrap(row)
		if err != nil {
			return fmt.Errorf("couldn't read a wrapped key: %w", err)
		}
		if isErased(e, wrap.Stored) {
			gone = append(gone, store.Row{Table: store.TableWrap, Key: e.Handle[:]})
		}
	}
	if len(gone) == 0 {
		return nil
	}
	n.opt.Log.Warn("erasing again what the journal says was erased", "wraps", len(gone))
	return n.rows.Commit(ctx, nil, gone)
}

// finishErasures does steps 4 to 7 for every month that isn't marked as done: one that was just renewed, one that a crash
// interrupted, or one of a database from before its erasure.
func (n *Node) finishErasures(ctx context.Context) (err error) {
	snap, err := n.rows.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer snap.Close()
	r := &rewrapping{n: n, months: map[string]*renewedMonth{}, erased: map[keys.Erasure]bool{}}
	defer func() { err = errors.Join(err, r.close()) }()
	for _, month := range n.keys.Months() {
		version, _ := n.keys.Version(month)
		if version < 2 {
			continue
		}
		mark, err := readMark(ctx, snap, month)
		if err != nil {
			return err
		}
		switch {
		case mark > version:
			return fmt.Errorf("the store knows version %d of the key of %s, the newest in %s is %d: these keys are older than the store, which needs the latest",
				mark, month, filepath.Join(n.Dir, keysDir), version)
		case mark < version:
			err = r.add(month, version)
		case n.keys.HasOlder(month):
			err = n.keys.DestroyOlder(month)
		}
		if err != nil {
			return err
		}
	}
	if len(r.months) == 0 {
		return nil
	}
	for _, e := range n.keys.Erasures() {
		r.erased[e] = true
	}
	if err := snap.Scan(ctx, store.TableWrap, nil, nil, 0, func(key, value []byte) error { return r.row(ctx, key, value) }); err != nil {
		return fmt.Errorf("couldn't rewrap keys: %w", err)
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	n.step("erasure: rewrapped")
	return r.finish(ctx)
}

// rewrapping goes once through all wraps.
type rewrapping struct {
	n      *Node
	months map[string]*renewedMonth
	erased map[keys.Erasure]bool

	expect, write []store.Row
	rewrapped     int
	lost          int  // wraps that nothing opens any more
	unsure        bool // see restored
}

type renewedMonth struct {
	version   uint32
	key       [32]byte
	survivors *keys.Survivors // being written; nil once kept
	kept      *keys.Kept      // of the erasure before; nil without one
}

// rewrapBatch is how many rows one commit changes.
const rewrapBatch = 1000

func (r *rewrapping) add(month string, version uint32) error {
	m := &renewedMonth{version: version}
	r.months[month] = m
	var err error
	if m.key, err = r.n.keys.MonthKey(month, version); err != nil {
		return err
	}
	if m.kept, err = r.n.keys.Survivors(month); err != nil {
		return err
	}
	m.survivors, err = r.n.keys.NewSurvivors(month, version)
	return err
}

// row looks at one wrap.
func (r *rewrapping) row(ctx context.Context, key, value []byte) error {
	wrap, err := rows.ParseWrap(value)
	if err != nil || len(key) != len(ledger.Hash{}) {
		return nil // opens nothing, and is for fsck to find
	}
	m := r.months[wrap.Month]
	if m == nil {
		return nil
	}
	handle := ledger.Hash(key)
	version, stored, err := keys.ParseWrap(wrap.Stored)
	if err != nil {
		return nil
	}
	survivor, gone, err := r.survivor(m, wrap.Month, handle, version, stored)
	if err != nil {
		return err
	}
	if survivor == nil && !gone {
		r.lost++
		return nil
	}
	if survivor != nil {
		if err := m.survivors.Add(handle, survivor); err != nil {
			return err
		}
		if version == m.version {
			return nil
		}
	}
	row := store.Row{Table: store.TableWrap, Key: slices.Clone(key), Value: slices.Clone(value)}
	r.expect = append(r.expect, row)
	if row.Value = nil; survivor != nil {
		row.Value = rows.FormatWrap(rows.Wrap{Month: wrap.Month, Stored: keys.FormatWrap(m.version, survivor), Authority: wrap.Authority})
	}
	r.write = append(r.write, row)
	if len(r.write) < rewrapBatch {
		return nil
	}
	select {
	case <-r.n.stop:
		return sequencer.ErrClosed
	default:
	}
	return r.flush(ctx)
}

// survivor returns the wrap under the month's newest key that stands for this one; or that it was erased; or neither,
// where nothing opens it and nothing says why: it is left for whoever brings the key back.
func (r *rewrapping) survivor(m *renewedMonth, month string, handle ledger.Hash, version uint32, stored []byte) (survivor []byte, gone bool, err error) {
	if r.erased[keys.Erasure{Handle: handle, Wrap: sha256.Sum256(stored)}] {
		return nil, true, nil
	}
	if version == m.version {
		return stored, false, nil
	}
	under, err := r.n.keys.MonthKey(month, version)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, nil
	case errors.Is(err, keys.ErrDestroyed):
		// The database is from before an erasure.
		if m.kept == nil || version == m.kept.Version {
			return nil, false, nil
		}
		if stored, err = m.kept.Find(handle); err != nil || stored == nil {
			return nil, true, err
		}
		if err := r.restored(); err != nil {
			return nil, false, err
		}
		return r.survivor(m, month, handle, m.kept.Version, stored)
	case err != nil:
		return nil, false, err
	}
	k, err := seal.Unwrap(&under, handle, stored)
	if err != nil {
		return nil, false, nil
	}
	return seal.Wrap(&m.key, handle, &k), false, nil
}

// restored says, before the first wrap of a database from before an erasure is replaced, that not all wraps for the
// authority are those of the keys beside them: who was erased may have another key since.
func (r *rewrapping) restored() error {
	if r.unsure {
		return nil
	}
	r.unsure = true
	return r.n.rows.Commit(context.Background(), nil, []store.Row{{Table: store.TableDayKey, Key: rows.AuthorityKey()}})
}

func (r *rewrapping) flush(ctx context.Context) error {
	if len(r.write) == 0 {
		return nil
	}
	err := r.n.rows.Commit(ctx, r.expect, r.write)
	if errors.Is(err, store.ErrConflict) {
		err = r.flushEach(ctx)
	}
	if err != nil {
		return fmt.Errorf("couldn't rewrap keys: %w", err)
	}
	const told = 100 * rewrapBatch
	if before := r.rewrapped; (before+len(r.write))/told > before/told {
		r.n.opt.Log.Info("rewrapping keys after an erasure", "rewrapped", before+len(r.write))
	}
	r.rewrapped += len(r.write)
	r.expect, r.write = r.expect[:0], r.write[:0]
	return nil
}

// flushEach leaves out the rows that the sequencer changed meanwhile: it put a consent's key under the newest key of a
// month.
func (r *rewrapping) flushEach(ctx context.Context) error {
	for i := range r.write {
		err := r.n.rows.Commit(ctx, r.expect[i:i+1], r.write[i:i+1])
		if err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return nil
}

// finish does steps 5 to 7.
func (r *rewrapping) finish(ctx context.Context) error {
	var marks []store.Row
	for month, m := range r.months {
		survivors := m.survivors
		m.survivors = nil
		if err := survivors.Keep(); err != nil {
			return err
		}
		marks = append(marks, store.Row{Table: store.TableCounter, Key: rows.RenewedKey(month), Value: rows.FormatCounter(uint64(m.version), 8)})
	}
	slices.SortFunc(marks, func(a, b store.Row) int { return cmp.Compare(string(a.Key), string(b.Key)) })
	r.n.step("erasure: kept")
	if err := r.n.rows.Commit(ctx, nil, marks); err != nil {
		return fmt.Errorf("couldn't mark months as rewrapped: %w", err)
	}
	r.n.step("erasure: marked")
	for month := range r.months {
		if err := r.n.keys.DestroyOlder(month); err != nil {
			return err
		}
	}
	r.n.step("erasure: destroyed")
	r.n.opt.Log.Info("months' keys renewed after an erasure", "months", len(r.months), "rewrapped", r.rewrapped)
	if r.lost > 0 {
		r.n.opt.Log.Warn("wrapped keys that no month key opens", "wraps", r.lost, "hint", "ledgerd fsck tells which events")
	}
	return nil
}

func (r *rewrapping) close() (err error) {
	for _, m := range r.months {
		if m.survivors != nil {
			err = errors.Join(err, m.survivors.Abandon())
		}
		if m.kept != nil {
			err = errors.Join(err, m.kept.Close())
		}
	}
	return err
}

// readMark returns the version of a month's key that all its wraps are under, 0 if that was never said.
func readMark(ctx context.Context, from store.Reader, month string) (uint32, error) {
	row, err := from.Get(ctx, store.TableCounter, rows.RenewedKey(month))
	if err != nil {
		return 0, fmt.Errorf("couldn't read a month's mark: %w", err)
	}
	mark, err := rows.ParseCounter(row, 8)
	if err != nil {
		return 0, fmt.Errorf("couldn't read a month's mark: %w", err)
	}
	return uint32(mark), nil
}
