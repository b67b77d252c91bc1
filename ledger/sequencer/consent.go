// SPDX-License-Identifier: EUPL-1.2

package sequencer

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// sameConsents says whether nothing was added, before this place of the log, to the lists in ledger.ScopeConsent that a
// submission's checks relied on. That is why a withdrawal that was acknowledged before an access is sequenced always wins:
// the numbers of the list, which nobody else gives, are its version.
func (b *batch) sameConsents(ctx context.Context, p *Pending) (bool, error) {
	for _, seen := range p.Consents {
		count, err := b.count(ctx, rows.SubjectCounterKey(&b.s.Handle, b.s.Epoch, seen.Subject, ledger.ScopeConsent), 4)
		if err != nil {
			return false, err
		}
		if count != uint64(seen.Count) {
			return false, nil
		}
	}
	return true, nil
}

// addConsent keeps where an event of a list in ledger.ScopeConsent stands, and when what it began ends. It comes before the
// event gets its number.
func (b *batch) addConsent(ctx context.Context, p *Pending, n int) error {
	if p.Scope != ledger.ScopeConsent {
		return nil
	}
	handle, epoch, subject, index := &b.s.Handle, b.s.Epoch, p.Subjects[n].Subject, b.size+uint64(n)
	i, err := b.count(ctx, rows.SubjectCounterKey(handle, epoch, subject, p.Scope), 4)
	if err != nil {
		return err
	}
	key := rows.ConsentKey(handle, epoch, subject, uint32(i))
	b.rows = append(b.rows, store.Row{Table: store.TableConsent, Key: key, Value: rows.FormatConsent(handle, key, epoch, index)})
	if !p.Ends.IsZero() {
		key := rows.ConsentEndKey(handle, p.Ends, epoch, index)
		b.rows = append(b.rows, store.Row{Table: store.TableConsentEnd, Key: key, Value: rows.FormatConsent(handle, key, epoch, index)})
	}
	return nil
}

// longKey is key for a subject's consents, wrapped under the key of the month in which p.KeepUntil lies, if that is later
// than the month its wrap is under: so it lasts as long as that month does.
func (b *batch) longKey(ctx context.Context, p *Pending, n int) (ledger.Hash, [32]byte, error) {
	handle, k, err := b.key(ctx, seal.Consent, string(p.Subjects[n].Subject))
	if err != nil {
		return handle, k, err
	}
	at := -1 // of the wrap among this batch's rows
	for i, row := range b.rows {
		if row.Table == store.TableWrap && bytes.Equal(row.Key, handle[:]) {
			at = i
		}
	}
	var stored []byte
	if at >= 0 {
		stored = b.rows[at].Value
	} else if stored, err = b.snap.Get(ctx, store.TableWrap, handle[:]); err != nil {
		return handle, k, fmt.Errorf("couldn't read a wrapped key: %w", err)
	}
	wrap, err := rows.ParseWrap(stored)
	if err != nil {
		return handle, k, fmt.Errorf("couldn't read a wrapped key: %w", err)
	}
	month := seal.Month(p.KeepUntil)
	if month <= max(wrap.Month, seal.Month(time.UnixMilli(int64(b.ms)))) {
		return handle, k, nil
	}
	wrapped, err := b.s.Months.Wrap(month, handle, &k)
	if err != nil {
		return handle, k, fmt.Errorf("couldn't wrap a key of %s: %w", month, err)
	}
	row := store.Row{Table: store.TableWrap, Key: handle[:], Value: rows.FormatWrap(rows.Wrap{Month: month, Stored: wrapped, Authority: wrap.Authority})}
	if at >= 0 {
		b.rows[at] = row
	} else {
		b.rows = append(b.rows, row)
	}
	return handle, k, nil
}
