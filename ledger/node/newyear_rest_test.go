// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// overNewYear is a ledger with 20 submissions in a year and 20 in the next.
func overNewYear(t *testing.T, year int) (*running, *clock) {
	c := newClock(january(year + 1).Add(-time.Hour))
	r := newLedgerAt(t, c, node.Options{})
	r.load(0, 20)
	c.set(january(year + 1).Add(time.Second))
	r.turned(uint32(year) + 1)
	r.world = nodetest.NewWorld(t, c.Now())
	for n := 20; n < 40; n++ {
		if _, err := r.sendAgain(n); err != nil {
			t.Fatal(err)
		}
	}
	return r, c
}

// TestEraseOverYears: a person is erased in every year, or in one month of a
// past one.
func TestEraseOverYears(t *testing.T) {
	const year = 2030
	r, _ := overNewYear(t, year)
	states := func(person int) (open, erased [2]int) {
		t.Helper()
		b, err := r.History(t.Context(), nodetest.Person(person))
		if err != nil || len(b.Shards) != 2 {
			t.Fatalf("a history: %v", err)
		}
		for i, s := range b.Shards {
			for _, e := range s.Events {
				if e.Body == nil {
					erased[i]++
				} else {
					open[i]++
				}
			}
		}
		return open, erased
	}
	// Persons 0 and 1 are in submissions of both years.
	for person := range 2 {
		if open, _ := states(person); open[0] == 0 || open[1] == 0 {
			t.Fatalf("person %d: %v", person, open)
		}
	}
	e, err := r.Erase(t.Context(), []ledger.Subject{nodetest.Person(0)}, "", true)
	if err != nil || !slices.Equal(e.Months, []string{"2030-12", "2031-01"}) {
		t.Fatalf("erased %+v, %v", e, err)
	}
	if open, erased := states(0); open != [2]int{0, 2} || erased[0] == 0 || erased[1] == 0 { // what was asked, for each month
		t.Errorf("person 0: %v open, %v erased", open, erased)
	}
	if e, err = r.Erase(t.Context(), []ledger.Subject{nodetest.Person(1)}, "2030-12", true); err != nil || !slices.Equal(e.Months, []string{"2030-12"}) {
		t.Fatalf("erased %+v, %v", e, err)
	}
	if open, erased := states(1); open[0] != 0 || open[1] == 0 || erased[0] == 0 || erased[1] != 0 {
		t.Errorf("person 1: %v open, %v erased", open, erased)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestBackupOverNewYear: a backup of both years is restored, one from before
// the new year that the public has seen is refused.
func TestBackupOverNewYear(t *testing.T) {
	const year = 2030
	c := newClock(january(year + 1).Add(-time.Hour))
	r := newLedgerAt(t, c, node.Options{})
	r.load(0, 20)
	backup := func() string {
		t.Helper()
		out := filepath.Join(t.TempDir(), "backup")
		if _, err := node.Backup(t.Context(), r.dir, out, quiet, func(to string) error { return r.Backup(t.Context(), to) }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	old := backup()
	c.set(january(year + 1).Add(time.Second))
	r.turned(year + 1)
	if err := r.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	both := backup()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(r.dir, "store"), filepath.Join(t.TempDir(), "lost")); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Restore(t.Context(), old, r.dir, "", c.options()); !errors.Is(err, node.ErrBehind) {
		t.Errorf("a backup without the log of the new year: %v", err)
	}
	note, err := node.Restore(t.Context(), both, r.dir, "", c.options())
	if err != nil || len(note.Logs) != 2 {
		t.Fatalf("restored %+v, %v", note, err)
	}
	r.start(c.options())
	for n := range 20 {
		if _, err := r.sendAgain(n); err != nil {
			t.Errorf("submission %d: %v", n, err)
		}
	}
	r.years()
	// Nobody saw anything of the new year: the old backup goes on, under the
	// keys that were announced or, where it is older than that, made then.
	if err := os.RemoveAll(filepath.Join(r.dir, "store")); err != nil {
		t.Fatal(err)
	}
	for _, epoch := range []string{"2030", "2031"} {
		if err := os.Remove(filepath.Join(r.dir, "keys", "published", epoch+".checkpoint")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := node.Restore(t.Context(), old, r.dir, "", c.options()); err != nil {
		t.Fatal(err)
	}
	r.acks = map[int]*ledger.Answer{}
	r.start(c.options())
	if r.Epoch() != year+1 {
		t.Errorf("recording in %d", r.Epoch())
	}
	r.years()
}

// TestClockBackAtNewYear: the clock never leads back to an older shard.
func TestClockBackAtNewYear(t *testing.T) {
	const year = 2030
	r, c := overNewYear(t, year)
	c.set(january(year + 1).Add(-20 * time.Second))
	if a, err := r.sendAgain(40); err != nil || a.Origin != ledger.Origin(nodetest.Name, year+1) {
		t.Errorf("a little before midnight again: %v", err)
	}
	c.set(january(year + 1).Add(-20 * time.Minute))
	if _, err := r.AddBody(t.Context(), registry.Body{ID: "late", Name: "Ente"}); !errors.Is(err, sequencer.ErrClock) {
		t.Errorf("long before midnight again: %v", err)
	}
	c.set(january(year + 1).Add(time.Hour))
	r.years()
}

// TestManyWaitForTheNewYear: who comes while the year is turned waits, and is
// told when it can't be.
func TestManyWaitForTheNewYear(t *testing.T) {
	const year = 2030
	c := newClock(january(year + 1).Add(-time.Hour))
	hold := make(chan struct{})
	r := newLedgerAt(t, c, node.Options{Step: func(name string) {
		if name == "new year: ended" {
			<-hold
		}
	}})
	r.load(0, 5)
	c.set(january(year + 1).Add(time.Second))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, _, err := r.Submit(ctx, r.world.Submission(t, 6)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while the year is turned: %v", err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := r.sendAgain(7)
		done <- err
	}()
	time.Sleep(100 * time.Millisecond)
	close(hold)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if r.acks[7] == nil || r.acks[7].Origin != ledger.Origin(nodetest.Name, year+1) {
		t.Error("who waited isn't in the new year")
	}
	r.years()
}
