// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/ledger/postgres"
	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
)

// pairOf are two instances of one gateway.
func pairOf(t *testing.T, s *pgtest.Server) (a, b home) {
	t.Helper()
	address := s.Database(t)
	a = instance(t, address, "", 0)
	return a, instance(t, address, filepath.Join(a.dir, keyFile), 0)
}

// elapse makes an instance one that gave no sign of life for too long, and has another see that.
func elapse(t *testing.T, dead, other *Memory) {
	t.Helper()
	id, _, _, _ := dead.shared.own()
	if err := other.shared.exec(`UPDATE memory_instance SET until = now() - INTERVAL '1 second' WHERE id = $1`, id[:]); err != nil {
		t.Fatal(err)
	}
	if err := other.shared.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// heard has instances say what calls they have: twice, since what one says was so when it last said something.
func heard(t *testing.T, instances ...*Memory) {
	t.Helper()
	for range 2 {
		for _, m := range instances {
			if err := m.shared.renew(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestInstances: a token is good once at all of them, numbers told at one are known to the other, and a number that is
// left out isn't missing while a call is under way anywhere that could have it.
func TestInstances(t *testing.T) {
	pgtest.Engines(t, func(t *testing.T, s *pgtest.Server) {
		one, two := pairOf(t, s)
		a, b := one.open(t), two.open(t)
		if !a.IsEldest() || b.IsEldest() {
			t.Errorf("eldest: %v and %v", a.IsEldest(), b.IsEldest())
		}
		until := time.Now().Add(time.Minute)
		if seen, err := a.Seen("dpop", "x", until); seen || err != nil {
			t.Errorf("%v, %v", seen, err)
		}
		if seen, err := b.Seen("dpop", "x", until); !seen || err != nil {
			t.Errorf("new again at another instance: %v, %v", seen, err)
		}
		if err := call(a, 1, event(1, rossi, 0, 10)); err != nil {
			t.Fatal(err)
		}
		var p *ledger.Problem
		if err := call(b, 2, event(2, rossi, 0, 11)); !errors.As(err, &p) || p.Code != CodeNumberAgain {
			t.Errorf("a number again at another instance: %v", err)
		}
		if err := b.Drop(b.Unsettled()[0]); err != nil {
			t.Fatal(err)
		}
		older, err := a.Begin(jti(3), []byte("older"))
		if err != nil {
			t.Fatal(err)
		}
		if err := call(b, 4, event(4, rossi, 2, 13)); err != nil {
			t.Fatal(err)
		}
		younger, err := b.Begin(jti(5), nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, m := range map[string]*Memory{"its own": a, "the other": b} {
			if st, err := m.Status(); err != nil || st.Missing != 0 {
				t.Errorf("%s: %+v, %v while an older call is under way", name, st, err)
			}
		}
		// The older call has another number: the one that was left out is nobody's.
		if err := a.Acknowledge(older, point(15), []own.Entry{event(3, office, 0, 14)}); err != nil {
			t.Fatal(err)
		}
		heard(t, a, b)
		for name, m := range map[string]*Memory{"its own": a, "the other": b} {
			if st, err := m.Status(); err != nil || st.Missing != 1 {
				t.Errorf("%s: %+v, %v, want one number missing", name, st, err)
			}
		}
		if err := b.Acknowledge(younger, point(13), []own.Entry{event(5, rossi, 1, 12)}); err != nil {
			t.Fatal(err)
		}
		if got := missing(t, a); got != 0 {
			t.Errorf("%d missing after it was told late", got)
		}
		if n := len(records(t, a)); n != 4 {
			t.Errorf("%d records", n)
		}
	})
}

// TestTakenOver: of an instance that stands still and one that takes its calls over, the second alone decides what comes of
// them; the first goes on as another instance.
func TestTakenOver(t *testing.T) {
	pgtest.Engines(t, func(t *testing.T, s *pgtest.Server) {
		one, two := pairOf(t, s)
		a, b := one.open(t), two.open(t)
		under, err := a.Begin(jti(1), []byte("under way"))
		if err != nil {
			t.Fatal(err)
		}
		if err := call(b, 2, event(2, rossi, 1, 11)); err != nil {
			t.Fatal(err)
		}
		elapse(t, a, b)
		left := b.Left()
		if len(left) != 1 || len(b.Left()) != 0 || left[0].IsReleased() {
			t.Fatalf("%d calls taken over", len(left))
		}
		if text, err := b.Submission(left[0]); err != nil || string(text) != "under way" {
			t.Errorf("%q, %v", text, err)
		}
		if got := missing(t, b); got != 0 {
			t.Errorf("%d missing while a call that was taken over isn't settled", got)
		}
		entries := []own.Entry{event(1, rossi, 0, 10)}
		if err := a.Acknowledge(under, point(12), entries); !errors.Is(err, ErrTaken) {
			t.Fatalf("acknowledged by who lost the call: %v", err)
		}
		if text, err := a.Submission(under); text != nil || err != nil {
			t.Errorf("%q, %v", text, err)
		}
		if len(records(t, b)) != 1 {
			t.Error("what wasn't acknowledged was noted")
		}
		if err := b.Acknowledge(left[0], point(12), entries); err != nil {
			t.Fatal(err)
		}
		// Who was taken for dead finds out with its next call.
		if err := call(a, 3, event(3, rossi, 2, 12)); err != nil {
			t.Fatal(err)
		}
		if st, err := a.Status(); err != nil || st.Missing != 0 || st.Unsettled != 0 {
			t.Errorf("%+v, %v", st, err)
		}
		// Both leave; a third finds what was open.
		if _, err := a.Begin(jti(4), []byte("left")); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Fatal(err)
		}
		c := two.open(t)
		if left := c.Left(); len(left) != 1 || !c.IsEldest() {
			t.Errorf("%d calls left", len(left))
		}
	})
}

// TestSpoolOfInstances: a session of break-glass is one instance's; a receipt on its way to the ledger is under way for all,
// and nobody says of one that was taken over that it wasn't released.
func TestSpoolOfInstances(t *testing.T) {
	pgtest.Engines(t, func(t *testing.T, s *pgtest.Server) {
		one, two := pairOf(t, s)
		a, b := one.open(t), two.open(t)
		at := time.Now().UTC().Truncate(time.Millisecond)
		if err := a.OpenSession(sessionOf(1, at), false); err != nil {
			t.Fatal(err)
		}
		if _, open := b.Current(); open || len(b.Sessions()) != 0 {
			t.Error("another instance has the session")
		}
		_, p, err := spool(a, 7)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // an answer that got lost
			if err := a.Deliver(p, []byte("sent")); err != nil {
				t.Fatal(err)
			}
		}
		if err := call(b, 2, event(2, rossi, 1, 11)); err != nil {
			t.Fatal(err)
		}
		if got := missing(t, b); got != 0 {
			t.Errorf("%d missing while a receipt is on its way", got)
		}
		elapse(t, a, b)
		left := b.Left()
		if len(left) != 1 || !left[0].IsReleased() {
			t.Fatalf("%d taken over", len(left))
		}
		entries := []own.Entry{event(7, rossi, 0, 10)}
		if err := b.Acknowledge(left[0], point(12), entries); err != nil {
			t.Fatal(err)
		}
		if err := a.Deliver(p, []byte("sent")); err != nil {
			t.Fatal(err)
		}
		if err := a.Acknowledge(p, point(12), entries); err != nil {
			t.Fatal(err)
		}
		if st, err := a.Status(); err != nil || st.Spooled != 0 || st.Lacking != 0 || st.Unsettled != 0 || a.Sessions()[0].Recorded != 1 {
			t.Errorf("%+v, %v", st, err)
		}
	})
}

// TestManyAtOnce: calls about the same persons at both instances, all at once: each is noted, none contradicts another, and
// what is left out in the end is missing.
func TestManyAtOnce(t *testing.T) {
	pgtest.Engines(t, func(t *testing.T, s *pgtest.Server) {
		one, two := pairOf(t, s)
		both := []*Memory{one.open(t), two.open(t)}
		const calls = 48
		next := make(chan int, calls)
		for n := range calls {
			next <- n
		}
		close(next)
		var all sync.WaitGroup
		for worker := range 8 {
			all.Go(func() {
				for n := range next {
					p, err := both[worker%2].Begin(jti(n), nil)
					if err != nil {
						t.Error(err)
						continue
					}
					// Three persons in an answer; calls have one checkpoint by fours.
					entries := []own.Entry{event(n, rossi, uint32(n), uint64(3*n)), event(n, office, uint32(n), uint64(3*n+1)), event(n, "VRDNNA80A41H501X", uint32(n), uint64(3*n+2))}
					if n == calls/2 {
						entries = entries[:2] // the ledger has an event that nobody is told of
					}
					if err := both[worker%2].Acknowledge(p, point(uint64(n/4+1)*100), entries); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		heard(t, both...)
		for _, m := range both {
			if st, err := m.Status(); err != nil || st.Missing != 1 || st.Unsettled != 0 {
				t.Errorf("%+v, %v, want one number missing", st, err)
			}
			if n, err := m.Count(); err != nil || n != 3*calls-1 {
				t.Errorf("%d records, %v", n, err)
			}
		}
	})
}

// TestRefusedDatabase: what isn't this memory's database is refused.
func TestRefusedDatabase(t *testing.T) {
	pgtest.Engines(t, func(t *testing.T, s *pgtest.Server) {
		one, two := pairOf(t, s)
		fresh := func() string { return filepath.Join(t.TempDir(), "memory") }
		for title, c := range map[string]struct {
			h    home
			text string
		}{
			"no key":          {home{fresh(), one.o}, "another key"},
			"no database":     {home{dir: one.dir}, "names no database"},
			"another's key":   {home{instance(t, s.Database(t), "", 0).dir, one.o}, "another key"},
			"a gateway alone": {home{create(t), one.o}, "gateway share"},
			"nothing there":   {home{two.dir, Options{Database: addressOf(t, s.Database(t))}}, "no memory"},
		} {
			c.h.o.Logger = quiet
			var err error
			if title == "no key" {
				err = CreateInstance(t.Context(), c.h.dir, scope, name, "", c.h.o)
			} else {
				_, err = Open(c.h.dir, scope, name, c.h.o)
			}
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: %v", title, err)
			}
		}
		m := two.open(t)
		if err := errors.Join(m.shared.exec(`UPDATE memory_format SET needs = 9`), m.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(one.dir, scope, name, one.o); err == nil || !strings.Contains(err.Error(), "newer") {
			t.Errorf("a newer database: %v", err)
		}
	})
	s := pgtest.Postgres(t)
	database := fmt.Sprintf("ledger_%d", time.Now().UnixNano())
	s.Exec(t, "CREATE DATABASE "+database)
	a := addressOf(t, "postgres://postgres@"+s.Host()+"/"+database)
	store, err := postgres.Create(t.Context(), *a, postgres.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	dir := filepath.Join(t.TempDir(), "memory")
	if err := CreateInstance(t.Context(), dir, scope, name, "", Options{Database: a, Logger: quiet}); err == nil || !strings.Contains(err.Error(), "ledger's database") {
		t.Errorf("with the ledger: %v", err)
	}
	if _, err := Open(dir, scope, name, Options{Logger: quiet}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was refused is there: %v", err)
	}
}

func addressOf(t *testing.T, text string) *postgres.Address {
	t.Helper()
	a, err := postgres.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return &a
}

// TestShare: what one gateway remembered is there for all instances.
func TestShare(t *testing.T) {
	pgtest.Engines(t, func(t *testing.T, s *pgtest.Server) {
		h := home{dir: create(t)}
		m := h.open(t)
		for n, e := range []own.Entry{event(0, rossi, 0, 10), event(1, office, 0, 11), event(2, rossi, 3, 12)} {
			if err := call(m, n, e); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(m.AskCohort(jti(5)), m.AcknowledgeCohort(point(14), own.Cohort{ID: scope + "/" + jti(5), Origin: origin, Index: 13})); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Seen("dpop", "x", time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := m.Checked(&Check{Origin: origin, Found: 7}); err != nil {
			t.Fatal(err)
		}
		text := func(m *Memory) (list []string) {
			for line, err := range m.Lines() {
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, string(line))
			}
			return list
		}
		want := strings.Join(text(m), "\n")
		points, err := m.Unwitnessed()
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		to := home{h.dir, Options{Database: addressOf(t, s.Database(t)), Logger: quiet}}
		rows := 0
		if err := Share(t.Context(), h.dir, scope, name, to.o, func(n int) { rows += n }); err != nil {
			t.Fatal(err)
		}
		m = to.open(t)
		if got := strings.Join(text(m), "\n"); got != want || rows != 11 {
			t.Errorf("%d rows\n%s\nwant\n%s", rows, got, want)
		}
		if seen, err := m.Seen("dpop", "x", time.Now().Add(time.Hour)); !seen || err != nil {
			t.Errorf("a token is new again: %v, %v", seen, err)
		}
		if got := missing(t, m); got != 2 {
			t.Errorf("%d missing, want 2", got)
		}
		if err := call(m, 8, event(8, rossi, 2, 11)); err == nil {
			t.Error("an index again")
		}
		if list, err := m.Unwitnessed(); err != nil || len(list) != len(points) {
			t.Errorf("%d checkpoints, %v, want %d", len(list), err, len(points))
		}
		if list, err := m.Checks(); err != nil || len(list) != 1 || list[0].Found != 7 {
			t.Errorf("%+v, %v", list, err)
		}
	})
}
