// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
)

// year is a ledger whose clock a test sets, with two accesses in each of some months, and a head after each month's.
type year struct {
	*running
	clock   atomic.Int64 // ms
	answers map[time.Month][]*ledger.Answer
	sent    int
}

func (y *year) now() time.Time { return time.UnixMilli(y.clock.Load()) }

func (y *year) at(month time.Month, day int) {
	y.clock.Store(time.Date(2026, month, day, 12, 0, 0, 0, time.UTC).UnixMilli())
	y.world = nodetest.NewWorld(y.t, y.now())
}

func (y *year) options() node.Options { return node.Options{Now: y.now} }

func (y *year) settle() {
	y.t.Helper()
	if err := y.Settle(context.Background()); err != nil {
		y.t.Fatal(err)
	}
}

// accesses records two in a month, of which a head covers the first alone.
func (y *year) accesses(month time.Month) {
	y.t.Helper()
	y.at(month, 10)
	for range 2 {
		y.answers[month] = append(y.answers[month], y.access(y.sent, y.sent%3))
		y.sent++
		if y.sent%2 == 1 {
			y.settle()
		}
	}
}

func newYear(t *testing.T) *year {
	y := &year{answers: map[time.Month][]*ledger.Answer{}}
	y.running = &running{t: t, dir: t.TempDir() + "/ledger", acks: map[int]*ledger.Answer{}}
	y.at(time.January, 10)
	y.world.Create(t, y.dir, y.options())
	y.start(y.options())
	y.world.Register(t, y.Node)
	return y
}

func (y *year) retention(apply bool) *node.Retention {
	y.t.Helper()
	r, err := y.Retention(context.Background(), apply)
	if err != nil {
		y.t.Fatal(err)
	}
	return r
}

// due lists the months that are.
func due(r *node.Retention) []string {
	months := []string{}
	for _, m := range r.Months {
		if m.Due {
			months = append(months, m.Month)
		}
	}
	return months
}

// opening says which months' first accesses open.
func (y *year) opening(months ...time.Month) (open []bool) {
	for _, m := range months {
		first := y.opens(y.answers[m][0])
		if second := y.opens(y.answers[m][1]); second != first {
			y.t.Errorf("%s: one access opens, the other doesn't", m)
		}
		open = append(open, first)
	}
	return open
}

func TestRetention(t *testing.T) {
	y := newYear(t)
	if r := y.retention(false); r.Term != node.DefaultTerm || r.Record == 0 {
		t.Fatalf("a new ledger's term: %+v", r)
	}
	y.accesses(time.January)
	record, err := y.SetTerm(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	y.settle()
	for m := time.February; m <= time.April; m++ {
		y.accesses(m)
	}
	y.settle()
	r := y.retention(false)
	if r.Term != 1 || r.Record != record || len(r.Months) != 4 {
		t.Fatalf("%+v", r)
	}
	// February's last access is under the head of March 10; January keeps the term that it began with.
	for i, want := range []string{"2028-02-10", "2026-04-10", "2026-05-10", "0001-01-01"} {
		if got := r.Months[i].Until.Format(time.DateOnly); got != want {
			t.Errorf("%s is kept until %s, expected %s", r.Months[i].Month, got, want)
		}
	}
	if got := due(r); len(got) != 0 {
		t.Errorf("due in April: %v", got)
	}

	y.at(time.May, 20)
	if err := y.SetHold(keys.Hold{Month: "2026-02", Reason: "proc. 1/2026"}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"2026-03"}, due(y.retention(false))); d != "" {
		t.Errorf("due in May, with February held: %s", d)
	}
	if _, err := y.Erase(t.Context(), []ledger.Subject{nodetest.Person(2)}, "2026-02", true); !errors.Is(err, keys.ErrHeld) {
		t.Errorf("erased in a month under a hold: %v", err)
	}
	if d := cmp.Diff([]string{"2026-03"}, y.retention(true).Destroyed); d != "" {
		t.Errorf("destroyed: %s", d)
	}
	months := []time.Month{time.January, time.February, time.March, time.April}
	if d := cmp.Diff([]bool{true, true, false, true}, y.opening(months...)); d != "" {
		t.Errorf("open: %s", d)
	}
	if err := y.EndHold("2026-02"); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"2026-02"}, y.retention(true).Destroyed); d != "" {
		t.Errorf("destroyed once the hold ended: %s", d)
	}
	if err := y.Close(); err != nil {
		t.Fatal(err)
	}
	if checked, erased := healthy(t, y.dir); checked != 4 || erased != 4 {
		t.Errorf("fsck: %d bodies, %d erased", checked, erased)
	}
	y.start(y.options())
	defer y.Close()
	if d := cmp.Diff([]bool{true, false, false, true}, y.opening(months...)); d != "" {
		t.Errorf("after a restart: %s", d)
	}

	// A longer term is for what is there already, too.
	if _, err := y.SetTerm(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	y.settle()
	y.at(time.July, 1)
	if got := due(y.retention(true)); len(got) != 0 {
		t.Errorf("due under a longer term: %v", got)
	}
	y.at(time.August, 22) // April is under the head of May 20
	if d := cmp.Diff([]string{"2026-04"}, y.retention(true).Destroyed); d != "" {
		t.Errorf("under a longer term: %s", d)
	}
	for _, months := range []int{0, -1, 1201} {
		if _, err := y.SetTerm(t.Context(), months); err == nil {
			t.Errorf("a term of %d months was published", months)
		}
	}
}

func TestRetentionInterrupted(t *testing.T) {
	for _, step := range []string{"retention: destroyed", "retention: bodies removed"} {
		t.Run(step, func(t *testing.T) {
			y := newYear(t)
			if _, err := y.SetTerm(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			y.settle()
			y.accesses(time.February)
			y.accesses(time.March)
			y.at(time.April, 20)
			if err := y.Close(); err != nil {
				t.Fatal(err)
			}
			opt, killed := y.options(), ""
			opt.Step = func(name string) {
				if name == step && killed == "" {
					killed = copyDir(t, y.dir)
				}
			}
			y.start(opt)
			y.retention(true)
			if err := y.Close(); err != nil {
				t.Fatal(err)
			}
			if killed == "" {
				t.Fatal("the step never came")
			}
			y.dir = killed
			y.start(y.options())
			if d := cmp.Diff([]bool{false, true}, y.opening(time.February, time.March)); d != "" {
				t.Error(d)
			}
			if err := y.Close(); err != nil {
				t.Fatal(err)
			}
			if checked, erased := healthy(t, y.dir); checked != 2 || erased != 2 {
				t.Errorf("fsck: %d bodies, %d erased", checked, erased)
			}
		})
	}
}
