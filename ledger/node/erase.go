// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// Erasing a person (formats §6, docs/erasure.md) goes through these steps, each durable before the next:
//
//	0 requested   what the people asked is beside the keys, to be recorded in the end
//	1 renewed     each month concerned gets a new key
//	2 journalled  each wrap that goes is named beside the keys
//	3 deleted     their rows are gone, and counted
//	4 rewrapped   the month's other wraps are under the new key
//	5 kept        and a copy of those is beside the keys, for databases restored from before
//	6 marked      the database says that the month is done
//	7             the month's old keys are destroyed
//	8 recorded    what the people asked is an event in +consent; once that is public, 0 is forgotten
//
// Nothing is recorded during 0 to 3, so that no event is sealed under a key that goes and no wrap is made under a month
// key that goes. 4 to 7 run beside the recording: both month keys open until 7. Who dies after 1 loses nothing and has
// erased nobody; after 2 the person is erased at the next start, and 4 to 8 are done by it. A database from before an
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

	Requests int // events in +consent that say what was asked, recorded once the keys are destroyed
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
	return n.erase(ctx, subjects, month, nil, apply)
}

// erase does all steps; request is what a body signed, nil where the operator does.
func (n *Node) erase(ctx context.Context, people []ledger.Subject, month string, request []byte, apply bool) (*Erased, error) {
	if len(people) > MaxErased {
		return nil, fmt.Errorf("%d people to erase, at most %d at once", len(people), MaxErased)
	}
	n.erasing.Lock()
	defer n.erasing.Unlock()
	handles, err := n.handlesOf(people, month)
	if err != nil {
		return nil, err
	}
	found, err := n.findWraps(ctx, handles)
	if err != nil {
		return nil, err
	}
	under, err := n.consents(ctx, people, found)
	if err != nil {
		return nil, err
	}
	found = erasable(found, under)
	report := n.reportOf(found)
	requests, err := n.requested(people, found, under, request)
	if err != nil {
		return nil, err
	}
	if len(found) > 0 {
		report.Requests = len(requests)
	}
	if !apply {
		return report, nil
	}
	ctx = context.WithoutCancel(ctx)
	if len(found) == 0 {
		// Of a call before that failed.
		return report, errors.Join(n.finishErasures(ctx), n.recordRequests(ctx, n.current))
	}
	forget := make([]ledger.Hash, len(handles))
	for i, h := range handles {
		forget[i] = h.handle
	}
	err = n.forget(ctx, forget, func() error {
		// Somebody may have been recorded since.
		if found, err = n.findWraps(ctx, handles); err != nil {
			return err
		}
		found = erasable(found, under)
		report = n.reportOf(found)
		if len(report.Held) > 0 {
			return fmt.Errorf("couldn't erase: %s is %w", report.Held[0], keys.ErrHeld)
		}
		if requests, err = n.requested(people, found, under, request); err != nil {
			return err
		}
		report.Requests = len(requests)
		return n.destroyWraps(ctx, found, concerned(found), requests)
	})
	if err != nil {
		return nil, err
	}
	if err := n.finishErasures(ctx); err != nil {
		return nil, fmt.Errorf("the keys are journalled as erased, but the months' old keys aren't destroyed yet (erase again, or restart): %w", err)
	}
	if err := n.recordRequests(ctx, n.current); err != nil {
		return nil, fmt.Errorf("the keys are destroyed, but the requests aren't recorded yet (they will be, by themselves): %w", err)
	}
	n.step("erasure: recorded")
	n.opt.Log.Info("erased", "wraps", report.Wraps, "months", len(report.Months))
	return report, nil
}

// forget is Forget of the sequencer that records: past years make no keys.
func (n *Node) forget(ctx context.Context, handles []ledger.Hash, do func() error) error {
	defer n.erasures.Add(1) // lists of consents that were read before are out of date
	return n.current(ctx, func(y *year) error { return y.seq.Forget(handles, do) })
}

// wrapHandle is a handle that a person may have.
type wrapHandle struct {
	handle  ledger.Hash
	month   string
	class   seal.Class
	subject int // which of the people
}

// wrapFound is a wrap that is there.
type wrapFound struct {
	wrapHandle
	under  string      // month of the key that it is under: a consent's may be later than its events'
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
				all = append(all, wrapHandle{seal.Handle(&key, class, month, string(subject)), month, class, i})
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
		found = append(found, wrapFound{handles[i], wrap.Month, sha256.Sum256(stored)})
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
	months := concerned(found)
	for _, h := range n.keys.Holds() {
		if slices.Contains(months, h.Month) {
			r.Held = append(r.Held, h.Month)
		}
	}
	return r
}

// concerned are the months whose keys have to be renewed, so that neither a wrap that goes nor an older one of the same key
// opens anything: those of the events, and those that the wraps are under.
func concerned(found []wrapFound) (months []string) {
	for _, f := range found {
		months = append(months, f.month, f.under)
	}
	slices.Sort(months)
	return slices.Compact(months)
}

// destroyWraps does steps 0 to 3. It runs in the sequencer's goroutine.
func (n *Node) destroyWraps(ctx context.Context, found []wrapFound, months []string, requests [][]byte) error {
	if len(found) == 0 {
		return nil
	}
	kept := keys.Request{Submissions: requests}
	for _, f := range found {
		kept.Wraps = append(kept.Wraps, keys.Erasure{Handle: f.handle, Wrap: f.digest})
	}
	if err := n.keys.KeepRequest(kept); err != nil {
		return err
	}
	n.step("erasure: requested")
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
