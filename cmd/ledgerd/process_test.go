// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
)

// processEnv makes this test binary be ledgerd.
const processEnv = "TRACCIA_TEST_LEDGERD"

func TestMain(m *testing.M) {
	if os.Getenv(processEnv) != "" {
		main()
		return
	}
	os.Exit(pgtest.Main(m))
}

// process is a ledgerd of its own.
type process struct {
	t       *testing.T
	command *exec.Cmd
	stderr  lockedBuffer
	stdout  lockedBuffer
	ready   ready
	ended   chan struct{}
	code    int // once ended
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, command: exec.Command(program, args...), ended: make(chan struct{})}
	p.command.Env = append(os.Environ(), processEnv+"=1")
	p.command.Stdout, p.command.Stderr = &p.stdout, &p.stderr
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.command.Wait()
		p.code = p.command.ProcessState.ExitCode()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.command.Process.Kill()
		<-p.ended
	})
	return p
}

// finish waits for the end and gives the exit code, −1 of a killed process.
func (p *process) finish() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		p.t.Fatalf("ledgerd never ended:\n%s", p.stderr.String())
	}
	return p.code
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.command.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// awaitLog waits until standard error has the word, or the process ended.
func (p *process) awaitLog(word string) string {
	for !strings.Contains(p.stderr.String(), word) {
		select {
		case <-p.ended:
			return p.stderr.String()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return p.stderr.String()
}

// stop asks it to end, which must go well.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.finish(); code != 0 {
		p.t.Errorf("stopped with %d:\n%s", code, p.stderr.String())
	}
}

// serve starts a ledgerd that serves, and waits until it is ready.
func serve(t *testing.T, args ...string) *process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ready.json")
	p := start(t, append(args, "--listen", "127.0.0.1:0", "--ready-file", file)...)
	p.awaitReady(file)
	return p
}

// awaitReady reads the ready file once it is there.
func (p *process) awaitReady(file string) {
	t := p.t
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		data, err := os.ReadFile(file)
		if err == nil {
			if err := json.Unmarshal(data, &p.ready); err != nil {
				t.Fatalf("the ready file holds %q: %v", data, err)
			}
			return
		}
		select {
		case <-p.ended:
			t.Fatalf("ledgerd ended with %d before it was ready:\n%s", p.code, p.stderr.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("ledgerd isn't ready:\n%s", p.stderr.String())
		}
	}
}

// ledgerd runs a command to its end.
func ledgerd(t *testing.T, args ...string) *process {
	t.Helper()
	p := start(t, args...)
	p.finish()
	return p
}

// answer reads the one JSON object that a command printed.
func (p *process) answer() map[string]any {
	p.t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(p.stdout.String()), &object); err != nil {
		p.t.Fatalf("standard output isn't one JSON object: %v\n%s\n%s", err, p.stdout.String(), p.stderr.String())
	}
	return object
}

// newData makes a ledger with the world's bodies.
func newData(t *testing.T) (*nodetest.World, string) {
	t.Helper()
	return newDataIn(t, "")
}

// newDataIn makes one in a database, or in its directory if that is "".
func newDataIn(t *testing.T, database string) (*nodetest.World, string) {
	t.Helper()
	w := nodetest.NewWorld(t, time.Now())
	w.Store = database
	dir := filepath.Join(t.TempDir(), "data")
	w.Create(t, dir, node.Options{})
	n, err := node.Open(t.Context(), dir, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.Register(t, n)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	return w, dir
}

// get asks the process for a path.
func (p *process) get(t *testing.T, path string) (int, string) {
	t.Helper()
	response, err := http.Get(p.ready.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// post sends one submission. The error is the connection's.
func post(url string, raw []byte) (status int, answer *ledger.Answer, err error) {
	response, err := http.Post(url+"/v1/access-receipts", "application/json", bytes.NewReader(raw))
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, err
	}
	if response.StatusCode/100 == 2 {
		answer, err = ledger.ParseAnswer(body)
	}
	return response.StatusCode, answer, err
}
