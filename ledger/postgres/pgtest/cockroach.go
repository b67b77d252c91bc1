// SPDX-License-Identifier: EUPL-1.2

package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// What CockroachDB is started with: see "cockroach start" in its documentation
// of v20.2 and later. It has no password and no TLS, and listens on loopback.
const (
	cockroachURL    = "TRACCIA_TEST_COCKROACH_URL"
	cockroachBinary = "COCKROACH_BINARY"
)

func startCockroach() (*Server, error) {
	if text := os.Getenv(cockroachURL); text != "" {
		u, err := url.Parse(text)
		return &Server{Cockroach: true, url: u}, err
	}
	binary := os.Getenv(cockroachBinary)
	if binary == "" {
		return nil, absent("CockroachDB: neither " + cockroachBinary + " nor " + cockroachURL + " is set")
	}
	s, err := newCockroach()
	if err != nil {
		return nil, err
	}
	startedMu.Lock()
	started = append(started, s)
	startedMu.Unlock()
	addresses, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	s.url = cockroachAt(addresses)
	s.command = s.cockroach(binary, "start-single-node", "--insecure", "--listen-addr="+addresses[0], "--http-addr=127.0.0.1:0", "--store="+filepath.Join(s.dir, "store"))
	return s, s.Start()
}

// newCockroach returns a server with a directory and a log.
func newCockroach() (s *Server, err error) {
	s = &Server{Cockroach: true}
	if s.dir, err = os.MkdirTemp("", "traccia-cockroach-"); err != nil {
		return nil, err
	}
	s.log, err = os.Create(filepath.Join(s.dir, "log"))
	return s, err
}

func (s *Server) cockroach(binary string, args ...string) func() *exec.Cmd {
	return func() *exec.Cmd {
		command := exec.Command(binary, args...)
		command.Dir, command.SysProcAttr, command.Stdout, command.Stderr = s.dir, dyingWithUs(), s.log, s.log
		return command
	}
}

// cockroachAt is the URL of a database at these addresses.
func cockroachAt(addresses []string) *url.URL {
	return &url.URL{Scheme: "postgres", User: url.User("root"), Host: strings.Join(addresses, ","), Path: "/defaultdb", RawQuery: "connect_timeout=5&sslmode=disable"}
}

// freeAddresses returns different ones on loopback.
func freeAddresses(n int) (all []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // when all are found
		all = append(all, l.Addr().String())
	}
	return all, nil
}

// Nodes is a CockroachDB of three nodes, each a process of its own.
type Nodes struct {
	*Server
	commands  []func() *exec.Cmd
	processes []*exec.Cmd // nil: killed
}

// ThreeNodes starts a cluster for one test alone. It takes COCKROACH_BINARY;
// without it the test is skipped, and says so.
func ThreeNodes(t testing.TB) *Nodes {
	t.Helper()
	binary := os.Getenv(cockroachBinary)
	if binary == "" {
		t.Skip(absent("a CockroachDB of three nodes: " + cockroachBinary + " isn't set"))
	}
	n, err := startNodes(binary)
	if n != nil {
		t.Cleanup(n.end)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// startNodes starts three, makes them a cluster, and waits until each row is on
// all: before that the death of one could take the only copy along. The nodes are
// to be ended also where it fails.
func startNodes(binary string) (*Nodes, error) {
	s, err := newCockroach()
	if err != nil {
		return nil, err
	}
	n := &Nodes{Server: s}
	addresses, err := freeAddresses(3)
	if err != nil {
		return n, err
	}
	s.url = cockroachAt(addresses)
	for i, address := range addresses {
		n.commands = append(n.commands, s.cockroach(binary, "start", "--insecure", "--listen-addr="+address, "--http-addr=127.0.0.1:0",
			"--join="+strings.Join(addresses, ","), "--cache=64MiB", "--max-sql-memory=128MiB", fmt.Sprintf("--store=%s", filepath.Join(s.dir, fmt.Sprint("node", i+1)))))
	}
	n.processes = make([]*exec.Cmd, len(addresses))
	for i := range n.commands {
		if err := n.StartNode(i); err != nil {
			return n, err
		}
	}
	if err := n.init(binary, addresses[0]); err != nil {
		return n, err
	}
	if err := s.awaitAnswer(); err != nil {
		return n, err
	}
	return n, n.awaitCopies()
}

// init makes one cluster of the nodes, as soon as the first one listens.
func (n *Nodes) init(binary, address string) error {
	var out []byte
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		out, err = exec.CommandContext(ctx, binary, "init", "--insecure", "--host="+address).CombinedOutput()
		cancel()
		if err == nil || strings.Contains(string(out), "already been initialized") {
			return nil
		}
	}
	said, _ := os.ReadFile(n.log.Name())
	return fmt.Errorf("cockroach init: %w: %s%s", err, out, said)
}

// awaitCopies waits until no range has fewer than three replicas.
func (n *Nodes) awaitCopies() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, n.url.String())
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	// From v26.1 on crdb_internal is for who asks for it; before v25.4 the
	// setting is unknown.
	if _, err := conn.Exec(ctx, "SET allow_unsafe_internals = true"); err != nil && conn.IsClosed() {
		return err
	}
	for few := -1; ; time.Sleep(500 * time.Millisecond) {
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM crdb_internal.ranges_no_leases WHERE coalesce(array_length(replicas, 1), 0) < 3").Scan(&few); err != nil {
			return errors.Join(fmt.Errorf("%d ranges had too few replicas", few), err)
		}
		if few == 0 {
			return nil
		}
	}
}

// StartNode starts one, and again after KillNode.
func (n *Nodes) StartNode(i int) error {
	p := n.commands[i]()
	if err := p.Start(); err != nil {
		return err
	}
	n.processes[i] = p
	return nil
}

// KillNode ends one like a crash of its machine.
func (n *Nodes) KillNode(i int) {
	if p := n.processes[i]; p != nil {
		p.Process.Kill()
		p.Wait()
	}
	n.processes[i] = nil
}

func (n *Nodes) end() {
	for i := range n.processes {
		n.KillNode(i)
	}
	n.Server.end()
}
