// SPDX-License-Identifier: EUPL-1.2

package sequencer

import (
	"context"
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// prefetched is a snapshot with the rows that a batch will ask for, read in one
// call for each table: a store at the end of a wire is asked some times for a
// batch, and not some times for each event. What wasn't foreseen is read when it
// is asked for.
type prefetched struct {
	store.Reader
	rows map[store.Table]map[string][]byte
}

func (p *prefetched) Get(ctx context.Context, t store.Table, key []byte) ([]byte, error) {
	if value, ok := p.rows[t][string(key)]; ok {
		return value, nil
	}
	return p.Reader.Get(ctx, t, key)
}

// prefetch reads what the jobs' submissions need and isn't in memory: whether
// they are known, and the counters and wrapped keys of their subjects and agency.
func (s *Sequencer) prefetch(ctx context.Context, snap store.Reader, jobs []*job, ms uint64) (*prefetched, error) {
	p := &prefetched{Reader: snap, rows: map[store.Table]map[string][]byte{}}
	wanted := map[store.Table][][]byte{}
	seen := map[string]bool{}
	want := func(t store.Table, key []byte) {
		if id := string(append([]byte{byte(t)}, key...)); !seen[id] {
			seen[id] = true
			wanted[t] = append(wanted[t], key)
		}
	}
	count := func(key []byte) {
		if !s.counters.Contains(string(key)) {
			want(store.TableCounter, key)
		}
	}
	month := seal.Month(time.UnixMilli(int64(ms)).UTC())
	wrap := func(class seal.Class, who string) {
		if handle := seal.Handle(&s.Handle, class, month, who); !s.subjectKs.Contains(handle) {
			want(store.TableWrap, handle[:])
		}
	}
	for _, j := range jobs {
		pending := j.pending
		if pending == nil {
			continue
		}
		want(store.TableReceipt, rows.ReceiptKey(s.Epoch, pending.Receipt.Iss, pending.Receipt.JTI))
		count(rows.AgencyCounterKey(s.Epoch, pending.Agency))
		wrap(seal.Private, pending.Agency)
		kind, _ := ledger.KindOf(pending.Kind)
		for i := range pending.Subjects {
			subject := pending.Subjects[i].Subject
			count(rows.SubjectCounterKey(&s.Handle, s.Epoch, subject, pending.Scope))
			wrap(seal.Class(kind.Class), string(subject))
			if pending.Kind == ledger.KindLookUp {
				want(store.TableLookUp, rows.LookUpKey(&s.Handle, s.Epoch, pending.Agency, subject, month))
			}
		}
		for _, consents := range pending.Consents {
			count(rows.SubjectCounterKey(&s.Handle, s.Epoch, consents.Subject, ledger.ScopeConsent))
		}
	}
	for t, keys := range wanted {
		values, err := snap.GetMany(ctx, t, keys)
		if err != nil {
			return nil, fmt.Errorf("couldn't read the store: %w", err)
		}
		p.rows[t] = make(map[string][]byte, len(keys))
		for i, key := range keys {
			p.rows[t][string(key)] = values[i]
		}
	}
	return p, nil
}
