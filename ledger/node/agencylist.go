// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/index"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// Decisions about an agency's list.
var (
	// ErrNoLog: the ledger has no log of that year.
	ErrNoLog = errors.New("no log of this year")
	// ErrNotLookedUp: events about citizens aren't opened to a body before its look-up at them is recorded.
	ErrNotLookedUp = errors.New("the look-up isn't recorded")
	// ErrLookUpMoved: a look-up isn't about the citizens who are to be looked up now.
	ErrLookUpMoved = errors.New("the citizens to be looked up are others")
)

// maxLookUpAge is how long a look-up's receipt may wait for being sent.
const maxLookUpAge = time.Hour

// AgencyRange is a piece of a body's list: its events of a year with the numbers From … From+Count−1, as far as there are
// so many.
type AgencyRange struct {
	Epoch uint32
	From  uint64
	Count int // 1 to history.MaxPartEvents
}

// Opening says how much of its events a body is shown.
type Opening int

const (
	Closed      Opening = iota // which entries they are
	Opened                     // what they say
	WithPrivate                // and the private parts of their receipts
)

// AgencyPart returns a part of the list of a body, whom the caller has authenticated, as a file has it; with fewer events
// than asked for where they don't fit. Opened, it tells the body about citizens: the error is ErrNotLookedUp unless the
// body's look-ups of this month at all of them are recorded. It waits for the publication of what it proves.
func (n *Node) AgencyPart(ctx context.Context, agency string, r AgencyRange, what Opening) ([]byte, error) {
	done, err := n.use()
	if err != nil {
		return nil, err
	}
	defer done()
	for {
		list, err := n.agencyList(ctx, agency, r)
		if err != nil {
			return nil, err
		}
		list.closed = what == Closed
		if what != Closed {
			people, err := list.unseen(ctx)
			if err != nil {
				return nil, err
			}
			if len(people) > 0 {
				return nil, ErrNotLookedUp
			}
		}
		if err := list.prove(ctx); err != nil {
			return nil, fmt.Errorf("couldn't make a part of a list: %w", err)
		}
		p := &history.AgencyPart{Agency: agency, From: r.From, Pi: list.pi[:], Shard: list.shard}
		if what == WithPrivate {
			if p.Private, err = list.private(ctx); err != nil {
				return nil, fmt.Errorf("couldn't open private parts: %w", err)
			}
		}
		part, err := history.FormatAgencyPart(p)
		var wrong *ledger.Problem
		if errors.As(err, &wrong) && wrong.Code == ledger.CodeTooLong && r.Count > 1 {
			r.Count /= 2
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("couldn't format a part of a list: %w", errors.New(err.Error())) // nobody's request is wrong
		}
		return part, nil
	}
}

// agencyList makes a part of a body's list.
type agencyList struct {
	*historian
	agency string
	pi     [80]byte
}

// agencyList finds a body's events in the index at a head that covers every event recorded before the call.
func (n *Node) agencyList(ctx context.Context, agency string, r AgencyRange) (*agencyList, error) {
	y, err := n.shown(r.Epoch)
	if err != nil {
		return nil, err
	}
	m := &agencyList{historian: newHistorian(y), agency: agency}
	pi, beta := y.vrf.Prove(ledger.AgencyAlpha(agency, r.Epoch))
	m.pi = pi
	k := [32]byte(beta[:32])
	tags := make([]ledger.Hash, r.Count+1)
	for i := range tags {
		tags[i] = ledger.AgencyTag(&k, r.From+uint64(i))
	}
	err = y.seq.AtHead(ctx, func(at sequencer.Head, keys *index.Tree) {
		m.at, m.events = at, nil
		for _, tag := range tags[:r.Count] {
			index, ok := keys.Get(tag)
			if !ok {
				break
			}
			m.events = append(m.events, index)
		}
		m.shard.Index = keys.ProveMany(tags[:len(m.events)+1])
	})
	if err != nil {
		return nil, err
	}
	leaf, err := ledger.ParseLeaf(m.at.Leaf)
	if err != nil {
		return nil, err
	}
	head, _ := leaf.(ledger.Head)
	if _, err := index.CheckMany(head.Root, tags[:len(m.events)+1], m.shard.Index); err != nil {
		return nil, fmt.Errorf("refusing to give out an index proof that doesn't verify: %w", err)
	}
	return m, nil
}

// unseen returns the citizens of the events, in the order of these, at whom the body has no look-up recorded in this
// month.
func (m *agencyList) unseen(ctx context.Context) ([]ledger.Subject, error) {
	n := m.y.n
	snap, err := n.rows.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	opener := Opener{Rows: snap, Epoch: m.y.epoch, Handle: m.y.handle, Months: n.months, Erased: n.keys.Erased}
	var people []ledger.Subject
	known := map[ledger.Subject]bool{}
	for _, index := range m.events {
		leaf, err := m.leaf(ctx, index)
		if err != nil {
			return nil, err
		}
		opened, err := opener.Open(ctx, index, leaf)
		if errors.Is(err, ErrErased) {
			continue
		} else if err != nil {
			return nil, err
		}
		body, err := ledger.ParseBody(opened.Body)
		if err != nil {
			return nil, fmt.Errorf("couldn't read the body of event %d: %w", index, err)
		}
		if who := body.Subject.Code; !known[who] && !untold(body, n.Now()) {
			known[who] = true
			people = append(people, who)
		}
	}
	seen, err := n.year().lookedUp(ctx, snap, m.agency, people)
	if err != nil {
		return nil, err
	}
	unseen := people[:0]
	for i, who := range people {
		if !seen[i] {
			unseen = append(unseen, who)
		}
	}
	return unseen, nil
}

// untold says of an event that opening it to its agency leaves no look-up: reading +ledger leaves none, and one at a
// citizen who mustn't know yet of an access would tell them.
func untold(b *ledger.Body, now time.Time) bool {
	if b.Scope != ledger.ScopeDeferred {
		return b.Scope == ledger.ScopeLedger
	}
	// A statement is deferred with the access that it is about, which stands in the same list.
	order, err := ledger.ParseDeferral(b.Deferral)
	return err != nil || now.Before(order.Ends())
}

// UnseenCitizens says to whom the receipt of a body's look-up at a piece of its list has to commit, by its jti: nobody
// (Count 0) where all are looked up already. It tells their number, and nothing else about them.
func (n *Node) UnseenCitizens(ctx context.Context, agency string, r AgencyRange, jti string) (c ledger.SubjectCommitment, err error) {
	done, err := n.use()
	if err != nil {
		return c, err
	}
	defer done()
	list, err := n.agencyList(ctx, agency, r)
	if err != nil {
		return c, err
	}
	_, tree, err := list.salted(ctx, n.year(), jti)
	if err != nil || tree == nil {
		return c, err
	}
	return ledger.SubjectCommitment{Count: tree.Len(), Root: ledger.Hex(tree.Root())}, nil
}

// salted gives the citizens that a look-up commits to; no tree where there is none.
func (m *agencyList) salted(ctx context.Context, y *year, jti string) ([]ledger.SaltedSubject, *ledger.SubjectTree, error) {
	people, err := m.unseen(ctx)
	if err != nil || len(people) == 0 {
		return nil, nil, err
	}
	list := make([]ledger.SaltedSubject, len(people))
	for i, who := range people {
		list[i] = ledger.SaltedSubject{Subject: who, Salt: rows.LookUpSalt(&y.handle, m.agency, jti, who)}
	}
	tree, err := ledger.NewSubjectTree(list)
	return list, tree, err
}

// LookUpList records a body's look-up at a piece of its list: l without Subjects, its receipt committing to what
// UnseenCitizens said. Sent again, it answers with the same entries. The error is ErrLookUpMoved where the citizens have
// changed in between, for example by another look-up of the same body: ask again, sign again.
func (n *Node) LookUpList(ctx context.Context, r AgencyRange, l LookUp) (answer *ledger.Answer, err error) {
	done, err := n.use()
	if err != nil {
		return nil, err
	}
	defer done()
	err = n.current(ctx, func(y *year) (err error) {
		answer, err = y.lookUpList(ctx, r, l)
		return err
	})
	return answer, err
}

func (y *year) lookUpList(ctx context.Context, r AgencyRange, l LookUp) (*ledger.Answer, error) {
	n, receipt := y.n, l.Receipt
	for _, at := range []*year{y, y.before()} {
		if at == nil {
			continue
		}
		switch row, err := at.lookUp(ctx, receipt.Iss, receipt.JTI); {
		case err != nil:
			return nil, err
		case row != nil && row.PayloadDigest == receipt.PayloadDigest:
			return at.again(ctx, row)
		case row != nil:
			return nil, sequencer.ErrConflict
		}
	}
	if p := n.checkAge(receipt); p != nil {
		return nil, p
	}
	list, err := n.agencyList(ctx, receipt.Iss, r)
	if err != nil {
		return nil, err
	}
	people, tree, err := list.salted(ctx, y, receipt.JTI)
	if err != nil {
		return nil, err
	}
	if tree == nil || receipt.Subjects.Root != ledger.Hex(tree.Root()) || receipt.Subjects.Count != tree.Len() {
		return nil, ErrLookUpMoved
	}
	names := make([]ledger.Subject, len(people))
	for i, s := range people {
		names[i] = s.Subject
	}
	if receipt.Names(names) {
		return nil, &ledger.Problem{Code: ledger.CodeNamesSubject, Where: "receipt", Expected: "a receipt that names no citizen", Found: "one that does"}
	}
	l.Subjects = people
	c, err := y.recordOwn(ctx, ledger.KindLookUp, l)
	if err != nil {
		return nil, err
	}
	if c.Replayed {
		return nil, ErrLookUpMoved // another look-up of this body came first
	}
	return y.answer(ctx, receipt, ledger.ScopeLedger, c)
}

// checkAge refuses a look-up that isn't of now.
func (n *Node) checkAge(r *ledger.SignedReceipt) *ledger.Problem {
	now := n.Now()
	for _, claim := range []struct {
		name string
		at   time.Time
	}{{"iat", time.Unix(r.IssuedAt, 0)}, {"occurred_at", r.Occurred()}} {
		if claim.at.Before(now.Add(-maxLookUpAge)) || claim.at.After(now.Add(maxLookUpAge)) {
			return &ledger.Problem{
				Code: "not_now", Where: "receipt#" + claim.name,
				Expected: "within " + maxLookUpAge.String() + " of " + now.UTC().Format(time.RFC3339), Found: claim.at.UTC().Format(time.RFC3339),
			}
		}
	}
	return nil
}
