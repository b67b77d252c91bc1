// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// part asks for a part of a body's list and reads it.
func (r *running) part(t testing.TB, agency string, at node.AgencyRange, opened bool) (*history.AgencyPart, error) {
	t.Helper()
	what := node.Closed
	if opened {
		what = node.WithPrivate
	}
	file, err := r.AgencyPart(t.Context(), agency, at, what)
	if err != nil {
		return nil, err
	}
	in := history.NewAgencyReader(bytes.NewReader(file))
	p, err := in.Next()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Next(); err != io.EOF {
		t.Fatalf("more than a part: %v", err)
	}
	return p, nil
}

// citizens are those of a part's opened events.
func citizens(t testing.TB, p *history.AgencyPart) (accesses, lookUps []ledger.Subject) {
	t.Helper()
	for _, e := range p.Events {
		body, err := ledger.ParseBody(e.Body)
		if err != nil {
			t.Fatal(err)
		}
		if body.Agency != p.Agency {
			t.Errorf("an event of %s in the list of %s", body.Agency, p.Agency)
		}
		if body.Kind == ledger.KindLookUp {
			lookUps = append(lookUps, body.Subject.Code)
		} else {
			accesses = append(accesses, body.Subject.Code)
		}
	}
	return accesses, lookUps
}

func distinct(people []ledger.Subject) []ledger.Subject {
	return slices.Compact(slices.Sorted(slices.Values(people)))
}

// TestAgencyList: nothing is opened to a body before its look-up at each citizen is recorded, once a month.
func TestAgencyList(t *testing.T) {
	r := newLedger(t, node.Options{})
	defer func() { r.Close() }()
	r.load(0, 60)
	const body = "c_b002"
	all := node.AgencyRange{Epoch: r.Epoch(), Count: 100}

	closed, err := r.part(t, body, all, false)
	if err != nil {
		t.Fatal(err)
	}
	own := len(closed.Events)
	if own < 10 {
		t.Fatalf("%d events", own)
	}
	for _, e := range closed.Events {
		if e.Body != nil {
			t.Fatal("an event is opened that nobody asked to open")
		}
	}
	if _, err := r.part(t, body, all, true); !errors.Is(err, node.ErrNotLookedUp) {
		t.Fatalf("opened without a look-up: %v", err)
	}

	// The first half.
	half := node.AgencyRange{Epoch: r.Epoch(), Count: own / 2}
	unseen, err := r.UnseenCitizens(t.Context(), body, half, nodetest.LookUpID(1))
	if err != nil || unseen.Count == 0 {
		t.Fatalf("%d citizens, %v", unseen.Count, err)
	}
	if other, err := r.UnseenCitizens(t.Context(), body, half, nodetest.LookUpID(2)); err != nil || other.Count != unseen.Count || other.Root == unseen.Root {
		t.Errorf("two receipts commit under the same salts: %v", err)
	}
	first, err := r.LookUpList(t.Context(), half, r.world.LookUp(t, body, 1, unseen))
	if err != nil || first.Count != unseen.Count {
		t.Fatalf("the look-up: %+v, %v", first, err)
	}
	opened, err := r.part(t, body, half, true)
	if err != nil {
		t.Fatal(err)
	}
	people, lookUps := citizens(t, opened)
	if len(people) != half.Count || len(lookUps) > 0 || len(distinct(people)) != unseen.Count {
		t.Errorf("%d events and %d look-ups of %d citizens, want %d of %d", len(people), len(lookUps), len(distinct(people)), half.Count, unseen.Count)
	}
	if again, err := r.UnseenCitizens(t.Context(), body, half, nodetest.LookUpID(3)); err != nil || again.Count != 0 {
		t.Errorf("%d citizens to look up once more, %v", again.Count, err)
	}

	// The rest, the look-ups themselves included: reading those leaves none.
	if _, err := r.part(t, body, all, true); !errors.Is(err, node.ErrNotLookedUp) {
		t.Fatalf("all opened after a look-up at half: %v", err)
	}
	rest, err := r.UnseenCitizens(t.Context(), body, all, nodetest.LookUpID(4))
	if err != nil {
		t.Fatal(err)
	}
	look := r.world.LookUp(t, body, 4, rest)
	second, err := r.LookUpList(t.Context(), all, look)
	if err != nil {
		t.Fatal(err)
	}
	if opened, err = r.part(t, body, all, true); err != nil {
		t.Fatal(err)
	}
	people, lookUps = citizens(t, opened)
	if got, want := len(people), own; got != want {
		t.Errorf("%d events, want %d", got, want)
	}
	if got := distinct(lookUps); len(lookUps) != len(got) || !slices.Equal(got, distinct(people)) {
		t.Errorf("%d look-ups at %d citizens, want one at each of %d", len(lookUps), len(got), len(distinct(people)))
	}

	// Sent again, also after a restart, it is the same; another under its jti is a conflict.
	for range 2 {
		again, err := r.LookUpList(t.Context(), all, look)
		if err != nil || again.FirstIndex != second.FirstIndex || again.Count != second.Count {
			t.Errorf("sent again: %+v, %v", again, err)
		}
		r.Close()
		r.start(node.Options{})
	}
	unseen.Count++
	if _, err := r.LookUpList(t.Context(), all, r.world.LookUp(t, body, 4, unseen)); !errors.Is(err, sequencer.ErrConflict) {
		t.Errorf("another look-up under the same jti: %v", err)
	}
	if seen, err := r.part(t, body, all, true); err != nil || len(seen.Events) != len(opened.Events) {
		t.Errorf("the list changed by being read: %v", err)
	}

	// Of another body there is nothing in it.
	if other, err := r.part(t, nodetest.Hub, all, true); err != nil || len(other.Events) != 0 {
		t.Errorf("the hub's list, which consulted nobody: %v", err)
	}
	if _, err := r.part(t, body, node.AgencyRange{Epoch: r.Epoch() - 1, Count: 1}, false); !errors.Is(err, node.ErrNoLog) {
		t.Errorf("a year without a log: %v", err)
	}
	tail, err := r.part(t, body, node.AgencyRange{Epoch: r.Epoch(), From: uint64(len(opened.Events)), Count: 5}, true)
	if err != nil || len(tail.Events) != 0 {
		t.Errorf("behind the end: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	healthy(t, r.dir)
	r.start(node.Options{})
}

// lookAt has a body look at its whole list, and says at how many citizens.
func (r *running) lookAt(t testing.TB, body string, n int) int {
	t.Helper()
	all := node.AgencyRange{Epoch: r.Epoch(), Count: 100}
	r.world.Now = r.Now().UTC().Truncate(time.Second)
	unseen, err := r.UnseenCitizens(t.Context(), body, all, nodetest.LookUpID(n))
	if err == nil && unseen.Count > 0 {
		_, err = r.LookUpList(t.Context(), all, r.world.LookUp(t, body, n, unseen))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.part(t, body, all, true); err != nil {
		t.Fatal(err)
	}
	return unseen.Count
}

// lookUpsOf are the look-ups in a citizen's history.
func (r *running) lookUpsOf(t testing.TB, who ledger.Subject) (months []string) {
	t.Helper()
	b, err := r.History(t.Context(), who)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range b.Shards[0].Events {
		if body, err := ledger.ParseBody(e.Body); err == nil && body.Kind == ledger.KindLookUp {
			months = append(months, time.UnixMilli(body.RecordedAt).UTC().Format("2006-01"))
		}
	}
	return months
}

// TestAgencyListMonths: each citizen in a body's list sees its look, once a month; but not one that would tell them of an
// access before they may know.
func TestAgencyListMonths(t *testing.T) {
	c := newClock(time.Date(2026, 5, 30, 12, 0, 0, 0, time.UTC))
	r := newLedgerAt(t, c, c.options())
	defer func() { r.Close() }()
	const body = "c_b002"
	until := c.Now().AddDate(0, 1, 0)
	for n, a := range []nodetest.Access{{Subjects: 2, First: 1, Consumer: body}, {Subjects: 1, First: 2, Consumer: body}, {Subjects: 1, First: 7, Consumer: body, Until: until}} {
		a.Provider = "prov_a"
		if _, _, err := r.make(n, a); err != nil {
			t.Fatal(err)
		}
	}
	for n, want := range []int{2, 0} {
		if got := r.lookAt(t, body, n); got != want {
			t.Errorf("look %d: at %d citizens, want %d", n, got, want)
		}
	}
	c.set(time.Date(2026, 6, 2, 12, 0, 0, 0, time.UTC))
	if got := r.lookAt(t, body, 2); got != 2 {
		t.Errorf("next month: at %d citizens, want 2", got)
	}
	if got := r.lookUpsOf(t, nodetest.Person(7)); len(got) != 0 {
		t.Errorf("a citizen learns of a deferred access by a look-up: %v", got)
	}
	c.set(until.Add(time.Minute))
	if got := r.lookAt(t, body, 3); got != 1 {
		t.Errorf("after the order: at %d citizens, want 1", got)
	}
	for person, want := range map[int][]string{1: {"2026-05", "2026-06"}, 2: {"2026-05", "2026-06"}, 7: {"2026-06"}} {
		if got := r.lookUpsOf(t, nodetest.Person(person)); !slices.Equal(got, want) {
			t.Errorf("person %d: looked up in %v, want %v", person, got, want)
		}
	}
}

func TestAgencyLookUpRefused(t *testing.T) {
	r := newLedger(t, node.Options{})
	defer r.Close()
	r.load(0, 30)
	const body = "c_b002"
	all := node.AgencyRange{Epoch: r.Epoch(), Count: 100}
	unseen, err := r.UnseenCitizens(t.Context(), body, all, nodetest.LookUpID(1))
	if err != nil {
		t.Fatal(err)
	}
	now := r.world.Now
	size := r.Latest().Root.Size
	for name, test := range map[string]struct {
		make func() node.LookUp
		want func(error) bool
	}{
		"of other citizens": {func() node.LookUp {
			other := unseen
			other.Root[0] ^= 1
			return r.world.LookUp(t, body, 1, other)
		}, func(err error) bool { return errors.Is(err, node.ErrLookUpMoved) }},
		"of another body's list": {func() node.LookUp { return r.world.LookUp(t, "c_c003", 1, unseen) }, func(err error) bool { return errors.Is(err, node.ErrLookUpMoved) }},
		"under another jti":      {func() node.LookUp { return r.world.LookUp(t, body, 2, unseen) }, func(err error) bool { return errors.Is(err, node.ErrLookUpMoved) }},
		"with another private part": {func() node.LookUp {
			l := r.world.LookUp(t, body, 1, unseen)
			l.Salt[0] ^= 1
			return l
		}, isProblem(ledger.CodeBadValue)},
		"of yesterday": {func() node.LookUp {
			r.world.Now = now.Add(-24 * time.Hour)
			defer func() { r.world.Now = now }()
			return r.world.LookUp(t, body, 1, unseen)
		}, isProblem("not_now")},
	} {
		if _, err := r.LookUpList(t.Context(), all, test.make()); !test.want(err) {
			t.Errorf("a look-up %s: %v", name, err)
		}
	}
	if got := r.Latest().Root.Size; got > size+2 { // heads
		t.Errorf("refused look-ups left %d leaves", got-size)
	}
	key := nodetest.Key(body, 0)
	if _, err := r.RevokeKey(t.Context(), body, key.Kid, "lost"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.LookUpList(t.Context(), all, r.world.LookUp(t, body, 1, unseen)); !isProblem("bad_signature")(err) {
		t.Errorf("a look-up signed with a revoked key: %v", err)
	}
}

func isProblem(code string) func(error) bool {
	return func(err error) bool {
		var p *ledger.Problem
		return errors.As(err, &p) && p.Code == code
	}
}

// BenchmarkAgencyPart makes a part of a thousand opened events over two hundred thousand keys, and reports the processor
// time of one and its bytes.
func BenchmarkAgencyPart(b *testing.B) {
	r := newLedger(b, node.Options{})
	const body, events = "c_b002", 1000
	for n := range events / 10 {
		a := nodetest.Access{Subjects: 10, First: 10 * n, Provider: "prov_a", Consumer: body}
		if _, _, err := r.Submit(b.Context(), r.world.Make(b, n, a)); err != nil {
			b.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
	appendRandom(b, filepath.Join(r.dir, "store"), r.Epoch(), 100_000)
	r.start(node.Options{})
	defer r.Close()
	at := node.AgencyRange{Epoch: r.Epoch(), Count: events}
	unseen, err := r.UnseenCitizens(b.Context(), body, at, nodetest.LookUpID(1))
	if err == nil {
		_, err = r.LookUpList(b.Context(), at, r.world.LookUp(b, body, 1, unseen))
	}
	if err != nil {
		b.Fatal(err)
	}
	began, times, bytes := processorTime(), 0, 0
	for b.Loop() {
		part, err := r.AgencyPart(b.Context(), body, at, node.Opened)
		if err != nil {
			b.Fatal(err)
		}
		bytes = len(part)
		times++
	}
	b.ReportMetric(float64((processorTime()-began).Microseconds())/float64(times)/1000, "cpu-ms/op")
	b.ReportMetric(float64(bytes)/events, "bytes/event")
}
