// SPDX-License-Identifier: EUPL-1.2

package fsck_test

import (
	"context"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// handleOf returns the handle that seals an event.
func (p *patient) handleOf(row store.Row) rows.Event {
	p.t.Helper()
	epoch, index, err := rows.ParseLeafKey(row.Key)
	if err != nil {
		p.t.Fatal(err)
	}
	key, err := p.keys.Handle(epoch)
	if err != nil {
		p.t.Fatal(err)
	}
	e, err := rows.ParseEvent(&key, epoch, index, row.Value)
	if err != nil {
		p.t.Fatal(err)
	}
	return e
}

func (p *patient) wrap(handle ledger.Hash) store.Row {
	p.t.Helper()
	snap, err := p.db.Snapshot(context.Background())
	if err != nil {
		p.t.Fatal(err)
	}
	defer snap.Close()
	value, err := snap.Get(context.Background(), store.TableWrap, handle[:])
	if err != nil || value == nil {
		p.t.Fatalf("no wrap: %v", err)
	}
	return store.Row{Table: store.TableWrap, Key: handle[:], Value: value}
}

func TestErased(t *testing.T) {
	p := newPatient(t)
	bodies := p.rows(store.TableBody)
	one := p.handleOf(bodies[0])
	wrap := p.wrap(one.Handle)
	var events uint64
	for _, row := range bodies {
		if p.handleOf(row).Handle == one.Handle {
			events++
		}
	}

	p.commit(store.Row{Table: store.TableWrap, Key: wrap.Key})
	report := p.check()
	if report.Found != events || !named(report, "body") {
		t.Errorf("a wrap gone without an erasure: %d problems, expected %d: %v", report.Found, events, report.Problems)
	}

	parsed, err := rows.ParseWrap(wrap.Value)
	if err != nil {
		t.Fatal(err)
	}
	_, stored, err := keys.ParseWrap(parsed.Stored)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.keys.AppendErasure(one.Handle, hashOf(string(stored))); err != nil {
		t.Fatal(err)
	}
	report = p.healthy()
	if report.BodiesErased != events || report.BodiesChecked != uint64(len(bodies))-events {
		t.Errorf("erased %d of %d, checked %d; expected %d erased", report.BodiesErased, len(bodies), report.BodiesChecked, events)
	}

	// What is left of an erased event still counts: its numbers fill gaps.
	for _, offset := range []int{35, 43} {
		damaged := bodies[0]
		damaged.Value = append([]byte{}, damaged.Value...)
		damaged.Value[offset] ^= 1
		p.commit(damaged)
		if report := p.check(); report.Found == 0 {
			t.Errorf("a number of an erased event changed in byte %d, and wasn't found", offset)
		}
		p.commit(bodies[0])
	}
	p.healthy()
}

func TestMonthDestroyed(t *testing.T) {
	p := newPatient(t)
	months := p.keys.Months()
	if len(months) == 0 {
		t.Fatal("no month key")
	}
	// An erasure that renews the month's key and forgets to rewrap loses bodies.
	if _, _, err := p.keys.RenewMonth(months[0]); err != nil {
		t.Fatal(err)
	}
	p.healthy()
	if err := p.keys.DestroyOlder(months[0]); err != nil {
		t.Fatal(err)
	}
	if report := p.check(); report.Found == 0 || !named(report, "body") || !named(report, "private") {
		t.Errorf("wraps left under a destroyed key: %v", report.Problems)
	}
	// Retention destroys it whole: nothing is lost that should be there.
	if err := p.keys.DestroyMonth(months[0]); err != nil {
		t.Fatal(err)
	}
	report := p.healthy()
	// Two consents are kept for as long as they are valid, and the retention after it.
	if report.BodiesErased != report.Events-2 || report.BodiesChecked != 2 || report.PrivateParts != 0 {
		t.Errorf("%d events, %d erased, %d checked, %d private parts", report.Events, report.BodiesErased, report.BodiesChecked, report.PrivateParts)
	}
}

func TestEpochDestroyed(t *testing.T) {
	p := newPatient(t)
	if err := p.keys.DestroyEpoch(ledger.EpochOf(time.Now())); err != nil {
		t.Fatal(err)
	}
	if report := p.healthy(); report.BodiesErased != report.Events {
		t.Errorf("%d events, %d erased", report.Events, report.BodiesErased)
	}
}
