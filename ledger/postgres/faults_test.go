// SPDX-License-Identifier: EUPL-1.2

package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// hasty waits for less than a service does.
func hasty() *patience {
	p := usual
	p.renew = time.Hour // nothing but commits, unless a test wants it
	p.idle = 500 * time.Millisecond
	return &p
}

// The store of these tests holds, after n commits, the rows 0 to n-1 and a
// counter that says n.

func add(ctx context.Context, s *Store, n int) error {
	return s.Commit(ctx,
		[]store.Row{counterRow(n)},
		[]store.Row{counterRow(n + 1), {Table: store.TableBody, Key: fmt.Appendf(nil, "%08d", n), Value: []byte{byte(n)}}})
}

func counterRow(n int) store.Row {
	row := store.Row{Table: store.TableRoot, Key: []byte("n")}
	if n > 0 {
		row.Value = fmt.Append(nil, n)
	}
	return row
}

// holds checks that the store is what n commits leave.
func holds(t *testing.T, s *Store, n int) {
	t.Helper()
	snap, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	value, err := snap.Get(t.Context(), store.TableRoot, []byte("n"))
	if err != nil || !bytes.Equal(value, counterRow(n).Value) {
		t.Errorf("the counter says %q, %v, want %d", value, err, n)
	}
	rows := 0
	if err := snap.Scan(t.Context(), store.TableBody, nil, nil, 0, func(key, value []byte) error {
		if string(key) != fmt.Sprintf("%08d", rows) || !bytes.Equal(value, []byte{byte(rows)}) {
			return fmt.Errorf("row %d is %q", rows, key)
		}
		rows++
		return nil
	}); err != nil || rows != n {
		t.Errorf("%d rows, %v, want %d", rows, err, n)
	}
}

func mustCreate(t *testing.T, text string, p *patience) *Store {
	t.Helper()
	s, err := Create(t.Context(), address(t, text), Options{Logger: quiet, patience: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestLostAnswers cuts the connection at COMMIT in each way there is. The
// commit finds out what became of it, and happens once.
func TestLostAnswers(t *testing.T) {
	server := pgtest.Postgres(t)
	proxy := pgtest.NewProxy(t, server)
	s := mustCreate(t, pgtest.Through(t, server.Database(t), proxy.Addr), hasty())
	n := 0
	for _, test := range []struct {
		name  string
		fault pgtest.Fault
		times int // in a row: also that of the question, and of the next attempt
	}{
		{"before", pgtest.Before, 1}, {"after", pgtest.After, 1}, {"late", pgtest.Late, 1}, {"mute", pgtest.Mute, 1},
		{"before, thrice", pgtest.Before, 3}, {"after, thrice", pgtest.After, 3}, {"late, twice", pgtest.Late, 2}, {"mute, twice", pgtest.Mute, 2},
	} {
		before := s.Uncertain()
		proxy.Arm(test.fault, test.times)
		if err := add(t.Context(), s, n); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if s.Uncertain() == before {
			t.Errorf("%s: the outcome wasn't looked up", test.name)
		}
		n++
		if left := proxy.Armed(); left != 0 {
			t.Errorf("%s: %d faults were left", test.name, left)
		}
		holds(t, s, n)
	}
}

// TestOutcomeUnknown cuts the database off at COMMIT for longer than the store
// waits: the store stops, and once it is opened again it is what it is.
func TestOutcomeUnknown(t *testing.T) {
	server := pgtest.Postgres(t)
	for _, fault := range []pgtest.Fault{pgtest.Before, pgtest.After} {
		proxy := pgtest.NewProxy(t, server)
		p := hasty()
		p.commit = 300 * time.Millisecond
		direct := server.Database(t)
		s := mustCreate(t, pgtest.Through(t, direct, proxy.Addr), p)
		if err := add(t.Context(), s, 0); err != nil {
			t.Fatal(err)
		}
		proxy.Arm(fault, 1)
		failed := make(chan error)
		go func() { failed <- add(t.Context(), s, 1) }()
		for proxy.Armed() > 0 {
			time.Sleep(time.Millisecond)
		}
		proxy.Cut()
		err := <-failed
		if err == nil { // the question was faster than the cut
			t.Log("the outcome was found")
			continue
		}
		if !errors.Is(err, store.ErrStopped) {
			t.Errorf("fault %d: %v", fault, err)
		}
		proxy.Mend()
		if err := add(t.Context(), s, 1); !errors.Is(err, store.ErrStopped) {
			t.Errorf("fault %d: a stopped store answered %v", fault, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("fault %d: Close: %v", fault, err)
		}
		again, err := Open(t.Context(), address(t, direct), Options{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		n := 1
		if fault == pgtest.After {
			n = 2
		}
		holds(t, again, n)
		if err := add(t.Context(), again, n); err != nil {
			t.Errorf("fault %d: a commit after it: %v", fault, err)
		}
		again.Close()
	}
}

// TestSerializationFailures makes two of three commits fail, in their
// statements, and at COMMIT itself where cockroach-go's protocol wouldn't look.
func TestSerializationFailures(t *testing.T) {
	server := pgtest.Postgres(t)
	for _, test := range []struct{ name, trigger string }{
		{"statement", `CREATE TRIGGER fails BEFORE INSERT ON body FOR EACH ROW EXECUTE FUNCTION fails()`},
		{"COMMIT", `CREATE CONSTRAINT TRIGGER fails AFTER INSERT ON body DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fails()`},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := server.Database(t)
			s := mustCreate(t, text, nil)
			u, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			schema := u.Query().Get("search_path")
			for _, sql := range []string{
				`CREATE SEQUENCE ` + schema + `.tries`,
				`CREATE FUNCTION ` + schema + `.fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
					IF nextval('` + schema + `.tries') % 3 > 0 THEN RAISE serialization_failure; END IF; RETURN NEW; END $$`,
				strings.NewReplacer("ON body", "ON "+schema+".body", "fails()", schema+".fails()").Replace(test.trigger),
			} {
				server.Exec(t, sql)
			}
			for n := range 40 {
				if err := add(t.Context(), s, n); err != nil {
					t.Fatal(err)
				}
			}
			holds(t, s, 40)
			server.Exec(t, `SELECT 1 / CAST(last_value >= 118 AS INT) FROM `+schema+`.tries`) // they did fail
		})
	}
}

// TestContention lets others fight for the rows that every commit writes.
func TestContention(t *testing.T) {
	server := pgtest.Postgres(t)
	text := server.Database(t)
	s := mustCreate(t, text, nil)
	var stop atomic.Bool
	var others atomic.Int64
	var g sync.WaitGroup
	for range 3 {
		g.Go(func() {
			conn, err := pgx.Connect(context.Background(), text)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close(context.Background())
			for !stop.Load() {
				err := pgx.BeginTxFunc(context.Background(), conn, serializable, func(tx pgx.Tx) error {
					if _, err := tx.Exec(context.Background(), `SELECT count(*) FROM body`); err != nil {
						return err
					}
					_, err := tx.Exec(context.Background(), `UPDATE store_use SET until = until + INTERVAL '1 microsecond'`)
					return err
				})
				if err == nil {
					others.Add(1)
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	for n := range 60 {
		if err := add(t.Context(), s, n); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	g.Wait()
	holds(t, s, 60)
	t.Logf("others committed %d times meanwhile", others.Load())
}

// TestServerDies kills the server under load, again and again: commits wait for
// it, and each happens once.
func TestServerDies(t *testing.T) {
	server := pgtest.Own(t)
	s := mustCreate(t, server.Database(t), hasty())
	var done atomic.Int64
	ended := make(chan error)
	var stop atomic.Bool
	go func() {
		for n := 0; !stop.Load(); n++ {
			if err := add(context.Background(), s, n); err != nil {
				ended <- err
				return
			}
			done.Add(1)
		}
		ended <- nil
	}()
	grows := func() {
		t.Helper()
		from := done.Load()
		for end := time.Now().Add(time.Minute); done.Load() < from+20; time.Sleep(time.Millisecond) {
			select {
			case err := <-ended:
				t.Fatal(err)
			default:
			}
			if time.Now().After(end) {
				t.Fatal("commits don't go on")
			}
		}
	}
	grows()
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	for range rounds {
		server.Kill()
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		grows()
	}
	stop.Store(true)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	holds(t, s, int(done.Load()))
}

// TestNoConnectionLeft takes all connections that read. Commits go on, readers
// are told in the end, and go on when one is free.
func TestNoConnectionLeft(t *testing.T) {
	server := pgtest.Postgres(t)
	p := hasty()
	p.begin = 200 * time.Millisecond
	text := server.Database(t) + "&pool_max_conns=3"
	s := mustCreate(t, text, p)
	var held []store.Snapshot
	for range 3 {
		snap, err := s.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, snap)
	}
	if _, err := s.Snapshot(t.Context()); err == nil || !strings.Contains(err.Error(), "all 3 connections") || !strings.Contains(err.Error(), "pool_max_conns") {
		t.Errorf("a fourth snapshot: %v", err)
	}
	if err := add(t.Context(), s, 0); err != nil {
		t.Errorf("a commit: %v", err)
	}
	s.patience.begin = time.Minute
	waiting := make(chan error)
	go func() {
		snap, err := s.Snapshot(context.Background())
		if err == nil {
			err = snap.Close()
		}
		waiting <- err
	}()
	if err := held[0].Close(); err != nil {
		t.Error(err)
	}
	if err := <-waiting; err != nil {
		t.Errorf("a snapshot that waited: %v", err)
	}
	for _, snap := range held[1:] {
		snap.Close()
	}
	holds(t, s, 1)
}

// TestBrokenReaders cuts the connections of readers. They don't notice as long as
// nothing is committed meanwhile, or they have read nothing yet; else they are
// told.
func TestBrokenReaders(t *testing.T) {
	server := pgtest.Postgres(t)
	proxy := pgtest.NewProxy(t, server)
	s := mustCreate(t, pgtest.Through(t, server.Database(t), proxy.Addr), hasty())
	if err := add(t.Context(), s, 0); err != nil {
		t.Fatal(err)
	}
	fresh, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	used, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := used.Get(t.Context(), store.TableRoot, []byte("n")); err != nil {
		t.Fatal(err)
	}
	proxy.Cut()
	proxy.Mend()
	if value, err := fresh.Get(t.Context(), store.TableRoot, []byte("n")); err != nil || string(value) != "1" {
		t.Errorf("a snapshot of which nothing was read: %q, %v", value, err)
	}
	if value, err := used.Get(t.Context(), store.TableRoot, []byte("n")); err != nil || string(value) != "1" {
		t.Errorf("a snapshot of the same state: %q, %v", value, err)
	}
	holds(t, s, 1)
	if err := add(t.Context(), s, 1); err != nil {
		t.Error(err)
	}
	proxy.Cut()
	proxy.Mend()
	if value, err := used.Get(t.Context(), store.TableRoot, []byte("n")); !errors.Is(err, errMoved) {
		t.Errorf("a snapshot of a state that is gone: %q, %v", value, err)
	}
	fresh.Close()
	used.Close()
	holds(t, s, 2)
}
