// SPDX-License-Identifier: EUPL-1.2

package pgtest

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// standInEnv makes this test binary stand in for cockroach: its nodes pass on what
// they get to the PostgreSQL at this address. standInMark is a file that is there
// once the cluster was initialised.
const (
	standInEnv  = "TRACCIA_TEST_COCKROACH_STAND_IN"
	standInMark = "TRACCIA_TEST_COCKROACH_MARK"
)

func TestMain(m *testing.M) {
	if behind := os.Getenv(standInEnv); behind != "" {
		if err := standIn(behind, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(Main(m))
}

func standIn(behind string, args []string) error {
	flag := func(name string) (value string) {
		for _, arg := range args {
			if v, ok := strings.CutPrefix(arg, name+"="); ok {
				value = v
			}
		}
		return value
	}
	switch args[0] {
	case "init":
		c, err := net.Dial("tcp", flag("--host"))
		if err != nil {
			return err
		}
		c.Close()
		return os.WriteFile(os.Getenv(standInMark), nil, 0o600)
	case "start":
		if len(strings.Split(flag("--join"), ",")) != 3 || flag("--store") == "" {
			return fmt.Errorf("started with %q", args)
		}
		time.Sleep(300 * time.Millisecond) // it isn't there at once
		l, err := net.Listen("tcp", flag("--listen-addr"))
		if err != nil {
			return err
		}
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			if _, err := os.Stat(os.Getenv(standInMark)); err != nil {
				c.Close() // no cluster yet
				continue
			}
			go func() {
				defer c.Close()
				server, err := net.Dial("tcp", behind)
				if err != nil {
					return
				}
				defer server.Close()
				go io.Copy(server, c)
				io.Copy(c, server)
			}()
		}
	}
	return fmt.Errorf("unknown command %q", args)
}

// TestStartNodes starts, kills and ends the processes of a cluster. They are no
// CockroachDB, so this is about how they are dealt with, and not about it.
func TestStartNodes(t *testing.T) {
	server := Own(t)
	for _, sql := range []string{`CREATE ROLE root SUPERUSER LOGIN`, `CREATE DATABASE defaultdb`} {
		server.Exec(t, sql)
	}
	u := *server.url
	u.Path = "/defaultdb"
	conn, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `CREATE SCHEMA crdb_internal`); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `CREATE VIEW crdb_internal.ranges_no_leases AS SELECT ARRAY[1,2,3] AS replicas`); err != nil {
		t.Fatal(err)
	}
	conn.Close(t.Context())

	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(standInEnv, server.Host())
	t.Setenv(standInMark, t.TempDir()+"/mark")
	n, err := startNodes(program)
	if n != nil {
		defer n.end()
	}
	if err != nil {
		t.Fatal(err)
	}
	n.KillNode(0)
	if err := n.ping(); err != nil {
		t.Errorf("with one node dead: %v", err)
	}
	n.KillNode(1)
	if err := n.ping(); err != nil {
		t.Errorf("with two dead: %v", err)
	}
	if err := n.StartNode(0); err != nil {
		t.Fatal(err)
	}
	n.KillNode(2)
	if err := n.awaitAnswer(); err != nil {
		t.Errorf("with one started again, and the others dead: %v", err)
	}
	last := n.processes[0]
	n.end()
	if last.ProcessState == nil {
		t.Error("the last node wasn't ended")
	}
	if _, err := os.Stat(n.dir); err == nil {
		t.Errorf("%s is still there", n.dir)
	}
	if _, err := startNodes("/nonexistent/cockroach"); err == nil {
		t.Error("no binary, and no error")
	}
}
