// SPDX-License-Identifier: EUPL-1.2

// Package pgtest gives the tests of a package a PostgreSQL of their own, on
// loopback, in a temporary directory, with fsync on as in earnest. PostgreSQL
// refuses root: the superuser's tests run it as the user postgres.
//
// Where there are no binaries of PostgreSQL the tests that want one are skipped,
// and say so. With TRACCIA_TEST_COCKROACH_URL, the URL of a CockroachDB in which
// databases may be made, or COCKROACH_BINARY, a binary to run one from, the same
// tests run there too; with the binary also those of a cluster of three nodes, of
// which one dies.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a database server.
type Server struct {
	Cockroach bool

	url     *url.URL // with a database in which others can be made
	command func() *exec.Cmd
	process *exec.Cmd // nil: not ours, or stopped
	dir     string
	log     *os.File
}

var (
	postgres  = sync.OnceValues(func() (*Server, error) { return startPostgres() })
	cockroach = sync.OnceValues(startCockroach)

	started   []*Server // guarded by startedMu
	startedMu sync.Mutex

	databases atomic.Int64
)

// Main runs the tests of a package and ends the servers they started: TestMain
// of a package that uses this one calls it.
func Main(m *testing.M) int {
	defer func() {
		startedMu.Lock()
		defer startedMu.Unlock()
		for _, s := range started {
			s.end()
		}
	}()
	return m.Run()
}

// Engines runs a test on every engine that can be had.
func Engines(t *testing.T, run func(t *testing.T, s *Server)) {
	t.Run("PostgreSQL", func(t *testing.T) { run(t, Postgres(t)) })
	t.Run("CockroachDB", func(t *testing.T) { run(t, Cockroach(t)) })
}

// Postgres returns the one that this process's tests share.
func Postgres(t testing.TB) *Server {
	t.Helper()
	s, err := postgres()
	return wanted(t, s, err)
}

// Cockroach returns the one that this process's tests share.
func Cockroach(t testing.TB) *Server {
	t.Helper()
	s, err := cockroach()
	return wanted(t, s, err)
}

// Own returns a PostgreSQL for one test alone, to be stopped and started.
func Own(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := startPostgres(settings...)
	return wanted(t, s, err)
}

// absent says why an engine can't be had.
type absent string

func (a absent) Error() string { return "NOT CHECKED on " + string(a) }

func wanted(t testing.TB, s *Server, err error) *Server {
	t.Helper()
	var missing absent
	if errors.As(err, &missing) {
		t.Skip(missing)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// binaries returns the directory of PostgreSQL's.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", absent("PostgreSQL: it isn't installed here (apt-get install postgresql)")
	}
	return filepath.Dir(found[len(found)-1]), nil
}

func startPostgres(settings ...string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	attributes, owner, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "traccia-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir}
	startedMu.Lock()
	started = append(started, s)
	startedMu.Unlock()
	if owner >= 0 {
		if err := os.Chown(dir, owner, -1); err != nil {
			return nil, err
		}
	}
	if s.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	initdb.Dir, initdb.SysProcAttr = dir, attributes
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	if err := askForPassword(filepath.Join(data, "pg_hba.conf")); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s.url = &url.URL{Scheme: "postgres", User: url.User("postgres"), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Path: "/postgres"}
	s.command = func() *exec.Cmd {
		args := []string{"-D", data, "-p", strconv.Itoa(port), "-k", dir, "-c", "listen_addresses=127.0.0.1", "-c", "max_wal_size=4GB"}
		for _, setting := range settings {
			args = append(args, "-c", setting)
		}
		command := exec.Command(filepath.Join(bin, "postgres"), args...)
		command.Dir, command.SysProcAttr, command.Stderr = dir, attributes, s.log
		return command
	}
	return s, s.Start()
}

// Suspect is a role that needs a password; a test makes it.
const Suspect = "suspect"

// askForPassword lets everyone in but Suspect.
func askForPassword(file string) error {
	lines, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, append([]byte("host all "+Suspect+" 127.0.0.1/32 scram-sha-256\n"), lines...), 0o600)
}

// unprivileged returns how a process is started that isn't root, and the user it
// has then; -1 for the one it has anyway.
func unprivileged() (*syscall.SysProcAttr, int, error) {
	attributes := dyingWithUs()
	if os.Getuid() != 0 {
		return attributes, -1, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, 0, absent("PostgreSQL: it refuses root, and there is no user postgres")
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	attributes.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attributes, uid, errors.Join(err1, err2)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Start starts the server, and again after Kill.
func (s *Server) Start() error {
	s.process = s.command()
	if err := s.process.Start(); err != nil {
		return err
	}
	return s.awaitAnswer()
}

// awaitAnswer waits until the server takes a connection.
func (s *Server) awaitAnswer() (err error) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = s.ping(); err == nil {
			return nil
		}
	}
	said, _ := os.ReadFile(s.log.Name())
	return fmt.Errorf("the database didn't start: %w: %s", err, said)
}

func (s *Server) ping() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url.String())
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// Kill ends the server like a crash: it writes nothing more, and answers nobody.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	// PostgreSQL's immediate shutdown. Killed outright it would leave its
	// children behind, who still answer.
	signal := syscall.SIGQUIT
	if s.Cockroach {
		signal = syscall.SIGKILL
	}
	s.process.Process.Signal(signal)
	s.process.Wait()
	s.process = nil
}

func (s *Server) end() {
	s.Kill()
	if s.log != nil {
		s.log.Close()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}

// Host is where the server listens.
func (s *Server) Host() string { return s.url.Host }

// Exec runs a statement as the database's owner.
func (s *Server) Exec(t testing.TB, sql string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), s.url.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		t.Fatal(err)
	}
}

// Database makes an empty database, or a schema which is as good as one, and
// returns its URL.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("t%d_%d", os.Getpid(), databases.Add(1))
	u := *s.url
	query := u.Query()
	if s.Cockroach {
		s.Exec(t, "CREATE DATABASE "+name)
		u.Path = "/" + name
	} else {
		s.Exec(t, "CREATE SCHEMA "+name)
		query.Set("search_path", name)
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// Through returns the URL with another host in it, of a proxy.
func Through(t testing.TB, address, host string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = host
	return strings.Replace(u.String(), "sslmode=verify-full", "sslmode=disable", 1)
}
