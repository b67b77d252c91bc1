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
	"strconv"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// Erasing a person (formats §6, docs/erasure.md) goes through these steps, each durable before the next:
//
//	1 renewed     each month concerned gets a new key
//	2 journalled  each wrap that goes is named beside the keys
//	3 deleted     their rows are gone, and counted
//	4 rewrapped   the month's other wraps are under the new key
//	5 kept        and a copy of those is beside the keys, for databases restored from before
//	6 marked      the database says that the month is done
//	7             the month's old keys are destroyed
//
// Nothing is recorded during 1 to 3, so that no event is sealed under a key that goes and no wrap is made under a month
// key that goes. 4 to 7 run beside the recording: both month keys open until 7. Who dies after 1 loses nothing and has
// erased nobody; after 2 the person is erased at the next start, and 4 to 7 are done by it. A database from before an
// erasure lacks its mark: it goes through 4 to 7 when it is opened, with the copy of 5 in place of what no longer opens.

// sealsOfSubjects are the classes of key that a person has. Private parts are their agency's.
var sealsOfSubjects = []seal.Class{seal.Access, seal.Consent, seal.LookUp}

// MaxErased is how many people one call erases: all share the rewrapping.
const MaxErased = 10_000

// Erased says what an erasure destroys or would destroy.
type Erased struct {
	Wraps  int      // wrapped keys
	Months []string // that they belong to, ascending
	Held   []string // of those, months under a legal hold, where nothing can be erased
}

// Erase destroys the keys that seal these people's events, in one month or in every one ("") that isn't erased yet;
// without apply it only counts them. No proof changes. Later events of the same people get new keys. It fails with
// keys.ErrHeld, before anything is destroyed, if a month concerned is under a legal hold.
//
// Once it began it goes on when ctx ends. After an error it can be called again; what it began is finished then, or when
// the ledger is opened next.
func (n *Node) Erase(ctx context.Context, subjects []ledger.Subject, month string, apply bool) (*Erased, error) {
	done, err := n.use()
	if err != nil {
		return nil, err
	}
	defer done()
	if len(subjects) > MaxErased {
		return nil, fmt.Errorf("%d people to erase, at most %d at once", len(subjects), MaxErased)
	}
	n.erasing.Lock()
	defer n.erasing.Unlock()
	handles, err := n.handlesOf(subjects, month)
	if err != nil {
		return nil, err
	}
	found, err := n.findWraps(ctx, handles)
	if err != nil {
		return nil, err
	}
	report := n.reportOf(found)
	if !apply || len(found) == 0 {
		return report, nil
	}
	ctx = context.WithoutCancel(ctx)
	forget := make([]ledger.Hash, len(handles))
	for i, h := range handles {
		forget[i] = h.handle
	}
	err = n.seq.Forget(forget, func() error {
		// Somebody may have been recorded since.
		if found, err = n.findWraps(ctx, handles); err != nil {
			return err
		}
		report = n.reportOf(found)
		if len(report.Held) > 0 {
			return fmt.Errorf("couldn't erase: %s is %w", report.Held[0], keys.ErrHeld)
		}
		return n.destroyWraps(ctx, found, report.Months)
	})
	if err != nil {
		return nil, err
	}
	if err := n.finishErasures(ctx); err != nil {
		return nil, fmt.Errorf("the keys are journalled as erased, but the months' old keys aren't destroyed yet (erase again, or restart): %w", err)
	}
	n.opt.Log.Info("erased", "wraps", report.Wraps, "months", len(report.Months))
	return report, nil
}

// wrapHandle is a handle that a person may have.
type wrapHandle struct {
	handle  ledger.Hash
	month   string
	subject int // which of the people
}

// wrapFound is a wrap that is there.
type wrapFound struct {
	wrapHandle
	digest ledger.Hash // of the wrap, as the journal names it
}

// handlesOf lists every handle that the people may have in months that have a key.
func (n *Node) handlesOf(subjects []ledger.Subject, only string) ([]wrapHandle, error) {
	var all []wrapHandle
	for _, month := range n.keys.Months() {
		if only != "" && month != only {
			continue
		}
		key, err := n.keys.Handle(epochOfMonth(month))
		if errors.Is(err, keys.ErrDestroyed) || errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		for i, subject := range subjects {
			for _, class := range sealsOfSubjects {
				all = append(all, wrapHandle{seal.Handle(&key, class, month, string(subject)), month, i})
			}
		}
	}
	return all, nil
}

func (n *Node) findWraps(ctx context.Context, handles []wrapHandle) ([]wrapFound, error) {
	snap, err := n.rows.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	list := make([][]byte, len(handles))
	for i := range handles {
		list[i] = handles[i].handle[:]
	}
	values, err := snap.GetMany(ctx, store.TableWrap, list)
	if err != nil {
		return nil, fmt.Errorf("couldn't read wrapped keys: %w", err)
	}
	var found []wrapFound
	for i, value := range values {
		if value == nil {
			continue
		}
		wrap, err := rows.ParseWrap(value)
		if err != nil {
			return nil, fmt.Errorf("couldn't read a wrapped key: %w", err)
		}
		_, stored, err := keys.ParseWrap(wrap.Stored)
		if err != nil {
			return nil, fmt.Errorf("couldn't read a wrapped key: %w", err)
		}
		found = append(found, wrapFound{handles[i], sha256.Sum256(stored)})
	}
	return found, nil
}

func (n *Node) reportOf(found []wrapFound) *Erased {
	r := &Erased{Wraps: len(found), Months: []string{}, Held: []string{}}
	for _, f := range found {
		r.Months = append(r.Months, f.month)
	}
	slices.Sort(r.Months)
	r.Months = slices.Compact(r.Months)
	for _, h := range n.keys.Holds() {
		if slices.Contains(r.Months, h.Month) {
			r.Held = append(r.Held, h.Month)
		}
	}
	return r
}

// destroyWraps does steps 1 to 3. It runs in the sequencer's goroutine.
func (n *Node) destroyWraps(ctx context.Context, found []wrapFound, months []string) error {
	for _, month := range months {
		if _, _, err := n.keys.RenewMonth(month); err != nil {
			return err
		}
	}
	n.step("erasure: renewed")
	people := map[int]bool{}
	var write []store.Row
	for _, f := range found {
		if err := n.keys.AppendErasure(f.handle, f.digest); err != nil {
			return err
		}
		people[f.subject] = true
		write = append(write, store.Row{Table: store.TableWrap, Key: f.handle[:]})
	}
	if len(found) == 0 {
		return nil
	}
	n.step("erasure: journalled")
	count, err := n.countErased(ctx, len(people))
	if err != nil {
		return err
	}
	if err := n.rows.Commit(ctx, nil, append(write, count)); err != nil {
		return fmt.Errorf("couldn't delete wrapped keys: %w", err)
	}
	n.step("erasure: deleted")
	return nil
}

func (n *Node) step(name string) {
	if n.opt.Step != nil {
		n.opt.Step(name)
	}
}

// epochOfMonth is the year of a month like 2026-11.
func epochOfMonth(month string) uint32 {
	year, _ := strconv.ParseUint(month[:min(4, len(month))], 10, 32)
	return uint32(year)
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
	lost          int // wraps that nothing opens any more
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
		row.Value = rows.FormatWrap(rows.Wrap{Month: wrap.Month, Stored: keys.FormatWrap(m.version, survivor)})
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

func (r *rewrapping) flush(ctx context.Context) error {
	if len(r.write) == 0 {
		return nil
	}
	if err := r.n.rows.Commit(ctx, r.expect, r.write); err != nil {
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
