// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/consent/consenttest"
	"github.com/traccia-ledger/traccia/consent/webauthn"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// TestConsentExpires: the ledger adds the event by itself, whenever it runs next.
func TestConsentExpires(t *testing.T) {
	clock := newClock(time.Now())
	opt := consents
	opt.Now = clock.Now
	r := newLedgerAt(t, clock, consents)
	c := r.citizen(5)
	given := c.record(ledger.KindConsentGiven, func(r *consent.Record) { r.Validity.Until = r.Created.Add(time.Hour) })
	c.must(given, consenttest.Desk)
	kept := c.record(ledger.KindConsentGiven)
	c.must(kept, consenttest.Desk)
	early := c.record(ledger.KindConsentGiven, func(r *consent.Record) { r.Validity.Until = r.Created.Add(time.Hour) })
	c.must(early, consenttest.Desk)
	c.must(c.record(ledger.KindConsentWithdrawn, ends(early.ID)), consenttest.Desk)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	clock.add(2 * time.Hour)
	r.start(opt)
	deadline := time.Now().Add(2 * time.Minute)
	for {
		list, err := r.Consents(t.Context(), c.Code)
		if err != nil {
			t.Fatal(err)
		}
		if !list[0].Ended.IsZero() {
			if list[0].State != ledger.ConsentExpired || list[1].State != ledger.ConsentInForce || list[2].State != ledger.ConsentWithdrawn || len(list) != 3 {
				t.Errorf("found %+v", list)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the event didn't come")
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.stop()
}

// TestConsentsOverYears: a consent of one year covers accesses of the next, where it is withdrawn.
func TestConsentsOverYears(t *testing.T) {
	clock := newClock(january(2027).Add(-time.Hour))
	r := newLedgerAt(t, clock, consents)
	c := r.citizen(6)
	given := c.record(ledger.KindConsentGiven)
	c.must(given, consenttest.Desk)
	clock.set(january(2027).Add(time.Hour))
	r.world = nodetest.NewWorld(t, clock.Now())
	if _, _, err := r.Submit(t.Context(), c.access(1, given.ID)); err != nil {
		t.Fatal(err)
	}
	if r.Epoch() != 2027 {
		t.Fatalf("recorded in %d", r.Epoch())
	}
	c.must(c.record(ledger.KindConsentWithdrawn, ends(given.ID)), consenttest.Desk)
	if _, _, err := r.Submit(t.Context(), c.access(2, given.ID)); problemCode(err) != consent.CodeNotInForce {
		t.Errorf("withdrawn in the next year: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestConsentsRebuilt takes away and spoils the rows that lead to the lists.
func TestConsentsRebuilt(t *testing.T) {
	r := newLedger(t, consents)
	c := r.citizen(7)
	given := c.record(ledger.KindConsentGiven)
	c.must(given, consenttest.Desk)
	c.must(c.record(ledger.KindConsentRefused), consenttest.Desk)
	r.stop()
	events := 2
	begin := func(string, uint64) func(uint64) { return func(uint64) {} }
	spoil := func(value []byte) {
		t.Helper()
		db, err := pebble.Open(filepath.Join(r.dir, "store"), pebble.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		snap, err := db.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer snap.Close()
		var write []store.Row
		err = snap.Scan(t.Context(), store.TableConsent, nil, nil, 0, func(key, _ []byte) error {
			write = append(write, store.Row{Table: store.TableConsent, Key: append([]byte(nil), key...), Value: value})
			return nil
		})
		if err == nil {
			err = db.Commit(t.Context(), nil, write)
		}
		if err != nil || len(write) != events {
			t.Fatalf("%d rows: %v", len(write), err)
		}
	}
	for _, value := range [][]byte{nil, make([]byte, 12)} {
		found, err := node.RebuildConsents(t.Context(), r.dir, consents, begin)
		if err != nil || *found != (node.RebuiltConsents{Lists: 1, Events: events}) {
			t.Fatalf("nothing is wrong: %+v, %v", found, err)
		}
		spoil(value)
		r.start(consents)
		if _, err := r.Consents(t.Context(), c.Code); err == nil {
			t.Error("a list is read from rows that are wrong")
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		found, err = node.RebuildConsents(t.Context(), r.dir, consents, begin)
		if err != nil || found.Wrong != events {
			t.Fatalf("rebuilt: %+v, %v", found, err)
		}
		r.start(consents)
		r.world = nodetest.NewWorld(t, time.Now())
		c.must(c.record(ledger.KindConsentRefused), consenttest.Desk)
		r.stop()
		events++
	}
}

// TestConsentsKept: a consent opens until its validity has ended and the retention after it, accesses beside it don't.
func TestConsentsKept(t *testing.T) {
	y := newYear(t)
	if err := y.Close(); err != nil {
		t.Fatal(err)
	}
	opt := y.options()
	opt.Consents = webauthn.Rules{}
	y.start(opt)
	if _, err := y.SetTerm(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	y.settle()
	y.accesses(time.February)
	c := y.citizen(9)
	given := c.record(ledger.KindConsentGiven, func(r *consent.Record) { r.Validity.Until = time.Date(2026, 6, 15, 0, 0, 0, 0, time.UTC) })
	short := c.record(ledger.KindConsentRefused, func(r *consent.Record) { r.Validity.Until = r.Created.Add(time.Hour) })
	c.must(short, consenttest.Desk)
	given.Previous, given.Subject = c.Previous, c.Root(t)
	c.must(given, consenttest.Desk)
	other := y.citizen(10)
	soon := other.record(ledger.KindConsentGiven, func(r *consent.Record) { r.Validity.Until = r.Created.Add(time.Hour) })
	other.must(soon, consenttest.Desk)
	// Of another one the erasure of a month leaves a request in the list.
	asked := y.citizen(11)
	asked.must(asked.record(ledger.KindConsentGiven, func(r *consent.Record) { r.Validity.Until = time.Date(2026, 12, 15, 0, 0, 0, 0, time.UTC) }), consenttest.Desk)
	y.settle()
	inForce := func(c *citizen) string {
		t.Helper()
		list, err := y.Consents(t.Context(), c.Code)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			return ""
		}
		return list[len(list)-1].State
	}
	y.accesses(time.March)
	y.access(900, 11)
	y.settle()
	y.accesses(time.May)
	y.settle()
	if d := y.retention(true).Destroyed; len(d) != 1 || d[0] != "2026-02" {
		t.Fatalf("destroyed: %v", d)
	}
	if y.opening(time.February)[0] {
		t.Error("February's accesses open")
	}
	if got := inForce(c); got != ledger.ConsentInForce {
		t.Errorf("a consent valid until June, in May: %q", got)
	}
	if got := inForce(other); got != "" {
		t.Errorf("a consent that ended in February, in May: %q", got)
	}
	if erased, err := y.Erase(t.Context(), []ledger.Subject{asked.Code}, "2026-03", true); err != nil || erased.Requests != 1 {
		t.Fatalf("%+v, %v", erased, err)
	}
	// A withdrawal opens as long as what it ends.
	c.must(c.record(ledger.KindConsentWithdrawn, ends(given.ID)), consenttest.Desk)
	y.settle()
	y.accesses(time.July)
	y.at(time.July, 20)
	y.settle()
	y.retention(true)
	if got := inForce(c); got != ledger.ConsentWithdrawn {
		t.Errorf("withdrawn in May, valid until June, in July: %q", got)
	}
	y.accesses(time.September)
	y.at(time.September, 20)
	y.settle()
	y.retention(true)
	if got := inForce(c); got != "" {
		t.Errorf("in September: %q", got)
	}
	if got := inForce(asked); got != ledger.ConsentInForce {
		t.Errorf("a consent valid until December, with a request of May behind it, in September: %q", got)
	}
	// The list goes on.
	c.must(c.record(ledger.KindConsentGiven), consenttest.Desk)
	if err := y.Close(); err != nil {
		t.Fatal(err)
	}
	healthy(t, y.dir)
}

// TestConsentErased: erasing a person takes a consent whose key is under a later month's, too.
func TestConsentErased(t *testing.T) {
	r := newLedger(t, consents)
	c, other := r.citizen(11), r.citizen(12)
	given, beside := c.record(ledger.KindConsentGiven), other.record(ledger.KindConsentGiven)
	c.must(given, consenttest.Desk)
	other.must(beside, consenttest.Desk)
	if _, _, err := r.Submit(t.Context(), c.access(1, given.ID)); err != nil {
		t.Fatal(err)
	}
	erased, err := r.Erase(t.Context(), []ledger.Subject{c.Code}, "", true)
	if err != nil || erased.Wraps != 2 {
		t.Fatalf("%+v, %v", erased, err)
	}
	if _, _, err := r.Submit(t.Context(), c.access(2, given.ID)); problemCode(err) != ledger.CodeConsentErased {
		t.Errorf("on an erased consent: %v", err)
	}
	if _, _, err := r.Submit(t.Context(), other.access(3, beside.ID)); err != nil {
		t.Errorf("on another's: %v", err)
	}
	_, last, err := r.ConsentPlace(t.Context(), c.Code)
	if err != nil || last == nil || *last == *c.Previous {
		t.Fatalf("the request isn't in the list: %v", err)
	}
	c.Next(*last)
	c.must(c.record(ledger.KindConsentGiven), consenttest.Desk)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.start(consents)
	if list, err := r.Consents(t.Context(), other.Code); err != nil || list[0].State != ledger.ConsentInForce {
		t.Errorf("%+v, %v", list, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	healthy(t, r.dir)
}
