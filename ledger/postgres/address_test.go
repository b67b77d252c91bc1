// SPDX-License-Identifier: EUPL-1.2

package postgres

import (
	"bytes"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
)

// clean takes what a machine's user may have set for libpq out of the test.
func clean(t *testing.T) {
	t.Helper()
	for _, name := range []string{"PGPASSFILE", "PGSSLMODE", "PGPASSWORD", "PGHOST", "PGUSER", "PGDATABASE", "PGSERVICE"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir())
}

func TestAddresses(t *testing.T) {
	clean(t)
	for _, test := range []struct {
		text, shown, tls string // tls: "" none, "verified", "unverified"
		readers          int32
	}{
		{"postgres://traccia@db.example/ledger", "postgres://db.example/ledger", "verified", 24},
		{"cockroach://traccia@a.example:26257,b.example:26257/ledger?application_name=x", "cockroach://a.example:26257,b.example:26257/ledger", "verified", 24},
		{"postgres://traccia@127.0.0.1:5433/ledger?pool_max_conns=7", "postgres://127.0.0.1:5433/ledger", "", 7},
		{"postgresql://traccia@[::1]:5433/ledger", "postgresql://[::1]:5433/ledger", "", 24},
		{"postgres://localhost/ledger", "postgres://localhost/ledger", "", 24},
		{"postgres://traccia@localhost,db.example/ledger", "postgres://localhost,db.example/ledger", "verified", 24},
		{"postgres:///ledger?host=/run/postgresql", "postgres:///run/postgresql/ledger", "", 24},
		// Said so, it is done so.
		{"postgres://traccia@db.example/ledger?sslmode=disable", "postgres://db.example/ledger", "", 24},
		{"postgres://traccia@db.example/ledger?sslmode=require", "postgres://db.example/ledger", "unverified", 24},
	} {
		a, err := ParseAddress(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if a.String() != test.shown || a.readers != test.readers {
			t.Errorf("%s: shown as %s, %d readers", test.text, a, a.readers)
		}
		c, err := a.config()
		if err != nil {
			t.Fatal(err)
		}
		tls := ""
		if c.ConnConfig.TLSConfig != nil {
			tls = "verified"
			if c.ConnConfig.TLSConfig.InsecureSkipVerify {
				tls = "unverified"
			}
		}
		if tls != test.tls {
			t.Errorf("%s: TLS %q, want %q", test.text, tls, test.tls)
		}
		for _, f := range c.ConnConfig.Fallbacks {
			if (f.TLSConfig == nil) != (test.tls == "") {
				t.Errorf("%s: falls back to another kind of connection", test.text)
			}
		}
	}
}

// TestBadAddresses refuses each, and quotes nothing of it.
func TestBadAddresses(t *testing.T) {
	clean(t)
	const secret = "hunter2"
	for _, text := range []string{
		"", "mysql://db/ledger", "postgres:/db/ledger", "/var/lib/ledger",
		"postgres://traccia:hunter2@db.example/ledger", "postgres://traccia:hunter2@hunter2@db.example/ledger",
		"postgres://:hunter2@db.example/ledger", "cockroach://a:hunter2/b@c/d",
		"postgres://traccia@db.example/ledger?password=hunter2", "postgres://traccia@db.example/ledger?sslpassword=hunter2",
		"postgres://traccia@db.example/ledger?hunter2=1", "postgres://traccia@db.example/ledger?options=hunter2",
		"postgres://traccia@db.example/ledger?sslmode=hunter2", "postgres://traccia@db.example:hunter2/ledger",
		"postgres://traccia@db.example/ledger?sslmode=disable&sslmode=disable",
		"postgres://traccia@db.example/ledger?pool_max_conns=0", "postgres://traccia@db.example/ledger?pool_max_conns=hunter2",
		"postgres://traccia@db.example", "postgres://traccia@db.example/", "postgres://traccia@db.example/?sslmode=disable",
		"postgres://traccia@db.example/ledger?sslmode=%zzhunter2", "postgres://traccia@db.example/ledger?passfile=/nowhere/at/all",
	} {
		_, err := ParseAddress(text)
		if err == nil {
			t.Errorf("%s was taken", text)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error shows what may be a password: %v", text, err)
		}
	}
}

// TestPasswords gives the password in a file alone, and looks for it in errors
// and in the log.
func TestPasswords(t *testing.T) {
	server := pgtest.Postgres(t)
	clean(t)
	server.Exec(t, `CREATE ROLE suspect LOGIN SUPERUSER PASSWORD 'hunter2'`)
	t.Cleanup(func() { server.Exec(t, `DROP OWNED BY suspect; DROP ROLE suspect`) })
	u, err := url.Parse(server.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(pgtest.Suspect)
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	o := Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	file := filepath.Join(t.TempDir(), "pgpass")
	write := func(password string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(file, []byte(host+":"+port+":*:"+pgtest.Suspect+":"+password+"\n"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("hunter2", 0o644)
	t.Setenv("PGPASSFILE", file)
	if _, err := ParseAddress(u.String()); err == nil || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("a file that others can read: %v", err)
	}
	write("hunter3", 0o600)
	if _, err := Create(t.Context(), address(t, u.String()), o); err == nil || strings.Contains(err.Error(), "hunter") {
		t.Errorf("a wrong password: %v", err)
	} else {
		t.Logf("a wrong password: %v", err)
	}
	write("hunter2", 0o600)
	s, err := Create(t.Context(), address(t, u.String()), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), "hunter") {
		t.Errorf("the log shows a password: %s", &log)
	}
}

// TestNobodyThere says what is wrong in one line.
func TestNobodyThere(t *testing.T) {
	clean(t)
	_, err := Open(t.Context(), address(t, "postgres://traccia@127.0.0.1:1/ledger"), Options{Logger: quiet})
	if err == nil || strings.ContainsAny(err.Error(), "\n\t") || !strings.Contains(err.Error(), "postgres://127.0.0.1:1/ledger") {
		t.Errorf("%q", err)
	}
	t.Log(err)
}
