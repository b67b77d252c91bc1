// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/consent/consenttest"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
)

// mandate records one of a citizen that names a delegate.
func (c *citizen) mandate(delegate ledger.Subject, change ...func(*consent.Record)) *consent.Record {
	c.r.t.Helper()
	r := c.record(ledger.KindMandateGiven, change...)
	content, err := ledger.FormatPrivate(&ledger.Private{Delegate: delegate})
	if err != nil {
		c.r.t.Fatal(err)
	}
	var salt [32]byte
	rand.Read(salt[:])
	s := c.collector.Submission(c.r.t, c.Citizen, consenttest.Statement(c.r.t, r, consenttest.Desk), func(r *ledger.Receipt) {
		r.PrivateDigest = ledger.Hex(ledger.PrivateDigest(&salt, content))
	})
	s.Private = ledger.SaltedPrivate{Salt: salt, Content: content}
	raw, err := ledger.FormatConsentSubmission(s)
	if err != nil {
		c.r.t.Fatal(err)
	}
	a, _, err := c.r.RecordConsent(context.Background(), raw)
	if err != nil {
		c.r.t.Fatal(err)
	}
	leaf, err := ledger.ParseLeaf(a.Entries[0].Leaf)
	if err != nil {
		c.r.t.Fatal(err)
	}
	c.Next(leaf.(ledger.Event).Commitment)
	return r
}

// TestMandates: whoever a mandate in force names acts for its citizen, and nobody else, and what they see leaves an event.
func TestMandates(t *testing.T) {
	ctx := context.Background()
	r := newLedger(t, consents)
	c := r.citizen(1)
	delegate, other := nodetest.Person(2), nodetest.Person(3)
	holds := func(citizen, delegate ledger.Subject, want string) {
		t.Helper()
		m, err := r.Mandate(ctx, citizen, delegate)
		switch {
		case err != nil:
			t.Error(err)
		case (m == nil) != (want == ""), m != nil && (m.ID != want || m.Relation != consent.RelationGuardian):
			t.Errorf("the mandate is %+v, want %q", m, want)
		}
	}
	holds(c.Code, delegate, "")
	short := c.mandate(delegate)
	longer := c.mandate(delegate, func(r *consent.Record) { r.Validity.Until = r.Validity.Until.AddDate(1, 0, 0) })
	c.mandate(other, func(r *consent.Record) {
		r.Validity.From, r.Validity.Until = c.At.Add(time.Hour), c.At.Add(2*time.Hour)
	})
	c.must(c.record(ledger.KindMandateGiven), consenttest.Desk) // one that names nobody
	holds(c.Code, delegate, longer.ID)
	holds(c.Code, other, "") // not yet
	holds(c.Code, c.Code, "")
	holds(delegate, c.Code, "")
	holds(nodetest.Person(4), delegate, "")
	c.must(c.record(ledger.KindMandateEnded, ends(longer.ID)), consenttest.Desk)
	holds(c.Code, delegate, short.ID)

	// The citizen's own look-up of the month, and the delegate's.
	for range 2 {
		if err := r.LookUpFor(ctx, c.Code); err != nil {
			t.Fatal(err)
		}
		if err := r.LookUpUnder(ctx, c.Code, short.ID); err != nil {
			t.Fatal(err)
		}
	}
	b, err := r.History(ctx, c.Code)
	if err != nil {
		t.Fatal(err)
	}
	var mandates []string
	for _, e := range b.Shards[0].Events {
		body, err := ledger.ParseBody(e.Body)
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := ledger.ParseReceipt(body.Receipt)
		if err != nil {
			t.Fatal(err)
		}
		if body.Kind == ledger.KindLookUp {
			mandates = append(mandates, receipt.Mandate)
		}
	}
	if len(mandates) != 2 || mandates[0] != "" || mandates[1] != short.ID {
		t.Errorf("look-ups under %q", mandates)
	}
	c.must(c.record(ledger.KindMandateEnded, ends(short.ID)), consenttest.Desk)
	holds(c.Code, delegate, "")
	r.stop()
}
