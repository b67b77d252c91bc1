// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// clock runs from an instant of the test's choosing.
type clock struct {
	began time.Time
	ahead atomic.Int64
}

func newClock(from time.Time) *clock {
	c := &clock{began: time.Now()}
	c.ahead.Store(int64(from.Sub(c.began)))
	return c
}

func (c *clock) Now() time.Time        { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) add(d time.Duration)   { c.ahead.Add(int64(d)) }
func (c *clock) set(to time.Time)      { c.ahead.Store(int64(time.Until(to))) }
func january(year int) time.Time       { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }
func (c *clock) options() node.Options { return node.Options{Now: c.Now} }

// newLedgerAt makes a ledger whose clock stands at an instant.
func newLedgerAt(t testing.TB, c *clock, opt node.Options) *running {
	t.Helper()
	opt.Now = c.Now
	r := &running{t: t, world: nodetest.NewWorld(t, c.Now()), dir: filepath.Join(t.TempDir(), "ledger"), acks: map[int]*ledger.Answer{}}
	r.world.Create(t, r.dir, node.Options{Now: c.Now})
	r.start(opt)
	r.world.Register(t, r.Node)
	return r
}

// vkey is the verifier key of an origin, from the file for whoever checks.
func (r *running) vkey(origin string) string {
	r.t.Helper()
	file, err := os.ReadFile(filepath.Join(r.dir, "log.vkey"))
	if err != nil {
		r.t.Fatal(err)
	}
	for line := range strings.Lines(string(file)) {
		if strings.HasPrefix(line, origin+"+") {
			return strings.TrimSpace(line)
		}
	}
	r.t.Fatalf("log.vkey has no key of %s", origin)
	return ""
}

// years closes the node and audits every year.
func (r *running) years() []*nodetest.Audited {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	return r.auditYears()
}

func (r *running) auditYears() []*nodetest.Audited {
	r.t.Helper()
	years, err := nodetest.AuditYears(context.Background(), r.dir, "")
	if err != nil {
		r.t.Fatal(err)
	}
	var before *nodetest.Audited
	for i, y := range years {
		heads := y.Report.Heads
		last := i == len(years)-1
		if len(heads) == 0 || heads[len(heads)-1].Final == last {
			r.t.Errorf("year %d of %d: heads %+v", i, len(years), heads)
			continue
		}
		if before != nil {
			r.repeats(before, y)
		}
		before = y
	}
	return years
}

// repeats checks how one year begins where another ended.
func (r *running) repeats(before, y *nodetest.Audited) {
	r.t.Helper()
	size := uint64(len(before.Leaves))
	leaf, err := ledger.ParseLeaf(y.Leaves[0])
	p, ok := leaf.(ledger.Preamble)
	if err != nil || !ok || p.PreviousSize != size || p.PreviousRoot != before.RootAt(size) {
		r.t.Errorf("the preamble after %d leaves: %+v, %v", size, leaf, err)
	}
	old := registry.New(nodetest.Name)
	for i, raw := range before.Leaves {
		if record, ok := parse(r.t, raw).(ledger.Record); ok {
			if err := old.Apply(uint64(i), record.JSON); err != nil {
				r.t.Error(err)
			}
		}
	}
	if _, ok := old.LogKey(ledger.Origin(nodetest.Name, p.Epoch)); !ok {
		r.t.Errorf("the log of %d wasn't announced", p.Epoch)
	}
	for i, index := range old.InForce() {
		want := parse(r.t, before.Leaves[index]).(ledger.Record)
		got, ok := parse(r.t, y.Leaves[i+1]).(ledger.Record)
		if !ok || string(got.JSON) != string(want.JSON) {
			r.t.Errorf("leaf %d isn't the record %d of the year before", i+1, index)
		}
	}
	if first := y.Report.Heads[0].Leaf; first < uint64(len(old.InForce()))+1 {
		r.t.Errorf("the first head stands at %d, before the repeated records", first)
	}
	if a, b := before.Report.Heads, y.Report.Heads; a[len(a)-1].UnixMS >= b[0].UnixMS {
		r.t.Errorf("the clock goes back from %d to %d", a[len(a)-1].UnixMS, b[0].UnixMS)
	}
	for id := range y.Receipts {
		if _, twice := before.Receipts[id]; twice {
			r.t.Errorf("receipt %s stands in two years", id)
		}
	}
}

func parse(t testing.TB, raw []byte) ledger.Leaf {
	t.Helper()
	leaf, err := ledger.ParseLeaf(raw)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// sendAgain is send, for an answer from the log of any year.
func (r *running) sendAgain(n int) (*ledger.Answer, error) {
	raw := r.world.Submission(r.t, n)
	a, _, err := r.Submit(context.Background(), raw)
	if err != nil {
		return nil, err
	}
	if _, err := nodetest.CheckAnswer(raw, a, r.vkeyOf(a)); err != nil {
		r.t.Errorf("submission %d: the answer doesn't verify: %v", n, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if before := r.acks[n]; before == nil {
		r.acks[n] = a
	} else if err := nodetest.SameEntries(before, a); err != nil || before.Origin != a.Origin {
		r.t.Errorf("submission %d of %s, answered again from %s: %v", n, before.Origin, a.Origin, err)
	}
	return a, nil
}

// vkeyOf waits for the file: an answer may be faster.
func (r *running) vkeyOf(a *ledger.Answer) string {
	for range 100 {
		file, err := os.ReadFile(filepath.Join(r.dir, "log.vkey"))
		if err == nil && strings.Contains(string(file), a.Origin+"+") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return r.vkey(a.Origin)
}

// TestNewYearUnderLoad turns the year while many submit, some the same, and
// each receipt lands once.
func TestNewYearUnderLoad(t *testing.T) {
	const year = 2030
	c := newClock(january(year + 1).Add(-1500 * time.Millisecond))
	r := newLedgerAt(t, c, node.Options{})
	stop := c.began.Add(3 * time.Second)
	var next, failed atomic.Int64
	var g sync.WaitGroup
	for range 12 {
		g.Go(func() {
			for time.Now().Before(stop) {
				n := int(next.Add(1))
				for _, m := range []int{n, n - 5} { // twice, by two
					if m < 0 {
						continue
					}
					if _, err := r.sendAgain(m); err != nil {
						failed.Add(1)
						t.Errorf("submission %d: %v", m, err)
					}
				}
			}
		})
	}
	g.Wait()
	if r.Epoch() != year+1 {
		t.Fatalf("recording in %d", r.Epoch())
	}
	for n := range int(next.Load()) {
		if n%50 == 0 {
			if _, err := r.sendAgain(n); err != nil {
				t.Errorf("submission %d again: %v", n, err)
			}
		}
	}
	years := r.years()
	if len(years) != 2 || years[0].Report.Events == 0 || years[1].Report.Events == 0 {
		t.Fatalf("%d years, %+v", len(years), years)
	}
	found := 0
	for n, a := range r.acks {
		for i, y := range years {
			if first, ok := y.Receipts[a.ReceiptID]; ok {
				found++
				if a.Origin != ledger.Origin(nodetest.Name, uint32(year+i)) || first != a.FirstIndex {
					t.Errorf("submission %d was acknowledged at %s %d, it stands in year %d at %d", n, a.Origin, a.FirstIndex, i, first)
				}
			}
		}
	}
	if all := len(years[0].Receipts) + len(years[1].Receipts); found != len(r.acks) || all != found {
		t.Errorf("%d acknowledged, %d found, %d in the logs", len(r.acks), found, all)
	}
	t.Logf("%d receipts in the old year, %d in the new", len(years[0].Receipts), len(years[1].Receipts))
}

// TestAwayOverNewYear: a ledger that was off turns when it is opened, one year
// at a time.
func TestAwayOverNewYear(t *testing.T) {
	for _, away := range []int{1, 3} {
		t.Run(fmt.Sprint(away), func(t *testing.T) {
			const year = 2030
			c := newClock(january(year).AddDate(0, 6, 0))
			r := newLedgerAt(t, c, node.Options{})
			r.load(0, 20)
			before := r.stop()
			c.set(january(year+away).AddDate(0, 2, 3))
			r.start(c.options())
			if r.Epoch() != uint32(year+away) {
				t.Fatalf("recording in %d", r.Epoch())
			}
			if away == 1 { // they are looked up in the year before
				for n := range 20 {
					if a, err := r.sendAgain(n); err != nil || a.Origin != ledger.Origin(nodetest.Name, year) {
						t.Errorf("submission %d of the year before: %v", n, err)
					}
				}
			}
			r.world = nodetest.NewWorld(t, c.Now())
			for n := 20; n < 40; n++ {
				if a, err := r.sendAgain(n); err != nil || a.Origin != ledger.Origin(nodetest.Name, uint32(year+away)) {
					t.Errorf("submission %d: %v", n, err)
				}
			}
			for n := range 40 { // wherever they stand
				if a, err := r.Fetch(t.Context(), strings.Split(r.acks[n].ReceiptID, "/")[0], strings.Split(r.acks[n].ReceiptID, "/")[1]); err != nil {
					t.Errorf("fetching %d: %v", n, err)
				} else if err := nodetest.SameEntries(r.acks[n], a); err != nil {
					t.Errorf("fetching %d: %v", n, err)
				}
			}
			years := r.years()
			if len(years) != away+1 || len(years[0].Receipts) != len(before.Receipts) || len(years[away].Receipts) != 20 {
				t.Errorf("%d years", len(years))
			}
		})
	}
}

// TestNewYearAnnounced: from December on the log names the next one's key; and
// a key that a body registered, or revoked, is so in the next year.
func TestNewYearAnnounced(t *testing.T) {
	const year = 2030
	c := newClock(january(year).AddDate(0, 10, 29))
	r := newLedgerAt(t, c, node.Options{})
	origin := ledger.Origin(nodetest.Name, year+1)
	if _, ok := r.Registry().LogKey(origin); ok {
		t.Error("announced in November")
	}
	c.set(january(year).AddDate(0, 11, 2))
	for range 300 {
		if _, ok := r.Registry().LogKey(origin); ok {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	said, ok := r.Registry().LogKey(origin)
	if !ok {
		t.Fatal("not announced in December")
	}
	ctx := t.Context()
	if _, err := r.AddKey(ctx, nodetest.Hub, nodetest.Key(nodetest.Hub, 1), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := r.RevokeKey(ctx, nodetest.Hub, nodetest.Key(nodetest.Hub, 0).Kid, "rotation"); err != nil {
		t.Fatal(err)
	}
	c.set(january(year + 1))
	for range 500 {
		if r.Epoch() == year+1 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if r.VKey() != said.VKey {
		t.Errorf("the log has the key %s, announced was %s", r.VKey(), said.VKey)
	}
	r.world = nodetest.NewWorld(t, c.Now())
	revoked, err := r.world.Make(t, 1000, nodetest.Access{Provider: nodetest.Hub}), error(nil)
	var p *ledger.Problem
	if _, _, err = r.Submit(ctx, revoked); !errors.As(err, &p) || p.Code != "key_revoked" {
		t.Errorf("a key revoked in the year before: %v", err)
	}
	if _, _, err = r.Submit(ctx, r.world.Make(t, 1001, nodetest.Access{Provider: nodetest.Hub, Generation: 1})); err != nil {
		t.Errorf("a key registered in the year before: %v", err)
	}
	if err := r.LookUpFor(ctx, nodetest.Person(1)); err != nil {
		t.Errorf("the operator's new key: %v", err)
	}
	operator := r.Registry().Keys("gestore")
	if len(operator) != 2 || operator[1].Basis != registry.BasisSigned {
		t.Errorf("the operator's keys: %+v", operator)
	}
	r.years()
}
