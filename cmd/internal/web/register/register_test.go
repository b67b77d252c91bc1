// SPDX-License-Identifier: EUPL-1.2

package register_test

import (
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/register"
)

// TestState: what is wrong is said, the gravest first.
func TestState(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	cosigned := now.Add(-time.Minute)
	state := func(age time.Duration, needed int, did int, stopped bool) string {
		r := &register.Register{Logs: []register.Log{{Head: &register.Head{At: now.Add(-age)}}}, Watch: register.Watch{Needed: needed}}
		for i := range 3 {
			w := register.Watcher{}
			if i < did {
				w.At = &cosigned
			}
			r.Watch.Witnesses = append(r.Watch.Witnesses, w)
		}
		return r.State(now, stopped)
	}
	for _, c := range []struct {
		age          time.Duration
		needed, did  int
		stopped      bool
		want, reason string
	}{
		{5 * time.Minute, 2, 2, false, "good", "as it should be"}, {5 * time.Minute, 2, 3, false, "good", "more than needed"},
		{5 * time.Minute, 2, 1, false, "few", "one of two"}, {5 * time.Minute, 0, 0, false, "unseen", "nobody is asked"},
		{7 * time.Minute, 2, 3, false, "late", "an old head"}, {7 * time.Minute, 2, 3, true, "stopped", "stopped, with an old head"},
	} {
		if got := state(c.age, c.needed, c.did, c.stopped); got != c.want {
			t.Errorf("%s: %s", c.reason, got)
		}
	}
	if got := (&register.Register{Logs: []register.Log{{}}}).State(now, false); got != "late" {
		t.Errorf("without a head: %s", got)
	}
}

// TestUntold: a month whose totals should be there, and aren't, is missed two days after its end, and not before.
func TestUntold(t *testing.T) {
	r := &register.Register{Since: time.Date(2026, 9, 20, 0, 0, 0, 0, time.UTC), Months: []*register.Month{{Month: "2026-10"}}}
	for at, want := range map[string]int{"2026-09-30": 0, "2026-10-02": 0, "2026-10-04": 1, "2026-11-30": 1, "2026-12-02": 1, "2026-12-04": 2, "2027-02-10": 4} {
		now, err := time.Parse(time.DateOnly, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Untold(now); len(got) != want || want > 0 && got[0].Month() != time.September {
			t.Errorf("%s: %v, want %d", at, got, want)
		}
	}
	if got := (&register.Register{}).Untold(time.Now()); got != nil {
		t.Errorf("of a ledger that never ran: %v", got)
	}
}
