// SPDX-License-Identifier: EUPL-1.2

package postgres

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// TestOneHolder opens a store that is in use, and one that was left.
func TestOneHolder(t *testing.T) {
	pgtest.Engines(t, func(t *testing.T, server *pgtest.Server) {
		text := server.Database(t)
		p := hasty()
		p.use = time.Hour
		s := mustCreate(t, text, p)
		if err := add(t.Context(), s, 0); err != nil {
			t.Fatal(err)
		}
		for name, open := range map[string]func() (*Store, error){
			"Open":         func() (*Store, error) { return Open(t.Context(), address(t, text), Options{Logger: quiet}) },
			"OpenReadOnly": func() (*Store, error) { return OpenReadOnly(t.Context(), address(t, text), Options{Logger: quiet}) },
		} {
			_, err := open()
			if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) {
				t.Errorf("%s of a store in use: %v", name, err)
			}
		}
		if err := add(t.Context(), s, 1); err != nil {
			t.Errorf("a commit after others tried to open: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		reader, err := OpenReadOnly(t.Context(), address(t, text), Options{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		holds(t, reader, 2)
		if err := add(t.Context(), reader, 2); !errors.Is(err, errReadOnly) {
			t.Errorf("a commit to a store that is only read: %v", err)
		}
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
		again, err := Open(t.Context(), address(t, text), Options{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		holds(t, again, 2)
	})
}

// TestReplaced stops a holder from renewing: another takes the store over, and
// the first, which still believes to hold it, writes nothing more.
func TestReplaced(t *testing.T) {
	pgtest.Engines(t, func(t *testing.T, server *pgtest.Server) {
		text := server.Database(t)
		p := hasty()
		p.use = 200 * time.Millisecond
		first := mustCreate(t, text, p)
		if err := add(t.Context(), first, 0); err != nil {
			t.Fatal(err)
		}
		var second *Store
		var err error
		for end := time.Now().Add(time.Minute); second == nil && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			second, err = Open(t.Context(), address(t, text), Options{Logger: quiet})
		}
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		if err := add(t.Context(), first, 1); !errors.Is(err, store.ErrStopped) || !strings.Contains(err.Error(), "another process") {
			t.Errorf("a commit of who was replaced: %v", err)
		}
		// Nor without a condition, nor any more at all.
		for range 2 {
			if err := first.Commit(t.Context(), nil, []store.Row{{Table: store.TableBody, Key: []byte("x"), Value: []byte("x")}}); !errors.Is(err, store.ErrStopped) {
				t.Errorf("a later commit: %v", err)
			}
		}
		holds(t, second, 1)
		if err := first.Close(); err != nil {
			t.Errorf("Close of who was replaced: %v", err)
		}
		if err := add(t.Context(), second, 1); err != nil {
			t.Errorf("a commit after the other left: %v", err)
		}
		holds(t, second, 2)
	})
}

// TestRenews keeps an idle store for longer than it is given at once, and says
// so when it was lost.
func TestRenews(t *testing.T) {
	server := pgtest.Postgres(t)
	text := server.Database(t)
	p := hasty()
	p.use, p.renew = time.Minute, 10*time.Millisecond
	var log lines
	s, err := Create(t.Context(), address(t, text), Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), patience: p})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	until := func() (text string) {
		if err := s.readers.QueryRow(t.Context(), `SELECT CAST(until AS TEXT) FROM store_use`).Scan(&text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	first := until()
	waitFor(t, "a renewal", func() bool { return until() != first })
	if _, err := s.writers.Exec(t.Context(), `UPDATE store_use SET holder = 'another'`); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the loss to be noticed", func() bool { return strings.Contains(log.String(), "taken over") })
	if err := s.Stopped(); !errors.Is(err, store.ErrStopped) {
		t.Errorf("an idle store that was lost: %v", err)
	}
	if err := add(t.Context(), s, 0); !errors.Is(err, store.ErrStopped) {
		t.Errorf("a commit: %v", err)
	}
}

// TestForgets counts a commit back, as a replica does that was promoted without
// having it.
func TestForgets(t *testing.T) {
	server := pgtest.Postgres(t)
	s := mustCreate(t, server.Database(t), hasty())
	for n := range 3 {
		if err := add(t.Context(), s, n); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.writers.Exec(t.Context(), `UPDATE store_use SET commits = commits - 1`); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := add(t.Context(), s, 3); !errors.Is(err, store.ErrStopped) || !strings.Contains(err.Error(), "lost commits") {
			t.Errorf("a commit to a database that forgot one: %v", err)
		}
	}
	holds(t, s, 3)
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s", what)
		}
	}
}

// TestDeadHolder: a process of this machine that is no more holds nothing.
func TestDeadHolder(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	host, pid, self, here := strings.Split(whoAmI(), "/")[0], strconv.Itoa(os.Getpid()), process(), "/"+namespace()
	parent := strconv.Itoa(os.Getppid())
	for _, test := range []struct {
		who  string
		dead bool
	}{
		{host + "/" + pid + "/" + self + here, false},
		{host + "/" + pid + "/00" + here, true}, // before this process had the number
		{host + "/" + strconv.Itoa(gone.Process.Pid) + "/00" + here, true},
		{host + "/" + parent + "/00" + here, false},
		{"elsewhere/" + strconv.Itoa(gone.Process.Pid) + "/00" + here, false},
		{host + "/" + pid + "/00" + here + "0", false},                        // in another container of the same name
		{host + "/" + pid + "/00", false}, {host + "/" + pid + "/00/", false}, // an earlier version's, and where there is no telling
		{host + "/x/00" + here, false}, {host + "/-1/00" + here, false}, {"", false}, {host, false}, {"/1/00" + here, false},
	} {
		if got := isDead(test.who); got != test.dead {
			t.Errorf("isDead(%q) = %v", test.who, got)
		}
	}
}

// TestLayouts opens what isn't a store, and stores of other versions.
func TestLayouts(t *testing.T) {
	pgtest.Engines(t, func(t *testing.T, server *pgtest.Server) {
		text := server.Database(t)
		a := address(t, text)
		if _, err := Open(t.Context(), a, Options{Logger: quiet}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an empty database: %v", err)
		}
		s := mustCreate(t, text, nil)
		tree := store.Row{Table: store.TableTree, Key: []byte("log"), Value: []byte("a log")}
		exec := func(sql string) {
			t.Helper()
			if _, err := s.readers.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		again := func() (*Store, error) {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return Open(t.Context(), a, Options{Logger: quiet})
		}
		// A table that only newer versions know is made for older stores.
		exec(`DROP TABLE session`)
		s, err := again()
		if err != nil {
			t.Fatal(err)
		}
		row := store.Row{Table: store.TableSession, Key: []byte("a"), Value: []byte("1")}
		if err := s.Commit(t.Context(), nil, []store.Row{row, tree}); err != nil {
			t.Errorf("a table that was missing: %v", err)
		}
		// A later layout that this version can work on, and one that it can't.
		exec(`UPDATE store_format SET version = 7`)
		if s, err = again(); err != nil {
			t.Fatalf("a later layout: %v", err)
		}
		exec(`UPDATE store_format SET needs = 3`)
		if _, err := again(); !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "7") {
			t.Errorf("a layout that needs a newer version: %v", err)
		}
		if _, err := Create(t.Context(), a, Options{Logger: quiet}); !errors.Is(err, store.ErrNewer) {
			t.Errorf("creating over it: %v", err)
		}
	})
}

// TestCreateTwice creates a store where one is, and where an earlier creation
// was cut short.
func TestCreateTwice(t *testing.T) {
	text := pgtest.Postgres(t).Database(t)
	s := mustCreate(t, text, nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustCreate(t, text, nil) // nothing was in it yet
	if err := s.Commit(t.Context(), nil, []store.Row{{Table: store.TableTree, Key: []byte("log"), Value: []byte("a log")}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(t.Context(), address(t, text), Options{Logger: quiet}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating over a ledger: %v", err)
	}
}

// TestForgetful refuses a server that a power cut makes forget, and asks one
// that would answer too early not to.
func TestForgetful(t *testing.T) {
	server := pgtest.Own(t, "fsync=off")
	if _, err := Create(t.Context(), address(t, server.Database(t)), Options{Logger: quiet}); err == nil || !strings.Contains(err.Error(), "fsync") {
		t.Errorf("fsync off: %v", err)
	}
	server = pgtest.Postgres(t)
	text := server.Database(t)
	server.Exec(t, `ALTER ROLE postgres SET synchronous_commit = off`)
	t.Cleanup(func() { server.Exec(t, `ALTER ROLE postgres RESET synchronous_commit`) })
	s := mustCreate(t, text, nil)
	var setting string
	if err := s.writers.QueryRow(t.Context(), `SELECT current_setting('synchronous_commit')`).Scan(&setting); err != nil || setting != "on" {
		t.Errorf("synchronous_commit is %q, %v", setting, err)
	}
}

// lines is a log that is read while others write.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
