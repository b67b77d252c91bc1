// SPDX-License-Identifier: EUPL-1.2

package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Address says where a database is: a URL of libpq's form, without a password.
//
//	postgres://traccia@db.example:5432/traccia?sslrootcert=/etc/traccia/ca.crt
//	cockroach://traccia@a.example:26257,b.example:26257/traccia
//	postgres:///traccia?host=/run/postgresql
//
// Both schemes mean the same, the engine is asked what it is. A host that isn't
// this machine is spoken to with TLS, its certificate verified (sslmode
// verify-full), unless the URL says otherwise.
type Address struct {
	url     string // as pgx reads it
	shown   string // without user and parameters
	readers int32
}

// defaultReaders is how many connections read at most: PostgreSQL allows 100 in
// all unless told otherwise.
const defaultReaders = 24

var (
	schemes = []string{"postgres", "postgresql", "cockroach", "cockroachdb"}
	// parameters that an address may have; the others of libpq hold secrets or
	// would change what a session means.
	parameters = []string{"host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslsni", "passfile",
		"connect_timeout", "application_name", "target_session_attrs", "search_path", readersParameter}
)

const readersParameter = "pool_max_conns"

// IsAddress says whether text is meant as one, and not as a directory.
func IsAddress(text string) bool {
	scheme, _, ok := strings.Cut(text, "://")
	return ok && slices.Contains(schemes, scheme)
}

// ParseAddress reads an address. Its errors quote nothing of it, since people
// write passwords where they don't belong.
func ParseAddress(text string) (Address, error) {
	a := Address{readers: defaultReaders}
	if !IsAddress(text) {
		return a, errors.New("expected postgres://… or cockroach://…")
	}
	scheme, rest, _ := strings.Cut(text, "://")
	rest, query, _ := strings.Cut(rest, "?")
	authority, database, _ := strings.Cut(rest, "/")
	at := strings.LastIndexByte(authority, '@')
	user, hosts := authority[:max(at, 0)], authority[at+1:]
	if strings.ContainsRune(user, ':') {
		return a, errors.New("it holds a password: put it in a file that PGPASSFILE or ?passfile= names (host:port:database:user:password), mode 0600")
	}
	if database == "" {
		return a, errors.New("it names no database: expected postgres://user@host:port/database")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return a, errors.New("its parameters, after the ?, can't be read")
	}
	for name, all := range values {
		if !slices.Contains(parameters, name) || len(all) != 1 {
			if strings.Contains(name, "password") {
				return a, errors.New("it holds a password: put it in a file that PGPASSFILE or ?passfile= names")
			}
			return a, fmt.Errorf("a parameter is unknown, or given twice: expected %s", strings.Join(parameters, " "))
		}
	}
	if text := values.Get(readersParameter); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 1 || n > 10_000 {
			return a, fmt.Errorf("parameter %s: expected 1 to 10000", readersParameter)
		}
		a.readers = int32(n)
	}
	values.Del(readersParameter)
	if host := values.Get("host"); host != "" {
		hosts = host
	}
	if values.Get("sslmode") == "" && os.Getenv("PGSSLMODE") == "" {
		values.Set("sslmode", usualTLS(hosts))
	}
	if err := checkPassfile(values.Get("passfile")); err != nil {
		return a, err
	}
	a.url = "postgres://" + authority + "/" + database + "?" + values.Encode()
	a.shown = scheme + "://" + hosts + "/" + database
	if _, err := a.config(); err != nil {
		return a, err
	}
	return a, nil
}

// String shows where the database is, and nothing else of the address.
func (a Address) String() string { return a.shown }

// usualTLS is the sslmode for these hosts: on this machine none is needed.
func usualTLS(hosts string) string {
	for host := range strings.SplitSeq(hosts, ",") {
		if host == "" || filepath.IsAbs(host) {
			continue
		}
		name := host
		if h, _, err := net.SplitHostPort(host); err == nil {
			name = h
		}
		if ip := net.ParseIP(strings.Trim(name, "[]")); name != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return "verify-full"
		}
	}
	return "disable"
}

// checkPassfile refuses a file of passwords that others can read.
func checkPassfile(path string) error {
	if path == "" {
		path = os.Getenv("PGPASSFILE")
	}
	if path == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil // nobody's file
		}
		path = filepath.Join(home, ".pgpass")
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("couldn't read the file of passwords: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s is open to others than its owner: chmod 0600 it", path)
	}
	return nil
}

// config reads the address as pgx does, with what this store wants of every
// connection.
func (a Address) config() (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(a.url)
	if err != nil {
		return nil, errors.New("it can't be read: expected postgres://user@host:port/database?sslmode=…, files of certificates that exist")
	}
	if !strings.Contains(a.url, "connect_timeout=") {
		c.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	if c.ConnConfig.RuntimeParams["application_name"] == "" {
		c.ConnConfig.RuntimeParams["application_name"] = "traccia"
	}
	// A peer that is gone is noticed while a transaction waits, not hours later.
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}}
	c.ConnConfig.DialFunc = dialer.DialContext
	return c, nil
}
