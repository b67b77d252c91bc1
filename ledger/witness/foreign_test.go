// SPDX-License-Identifier: EUPL-1.2

package witness

import (
	"bufio"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"golang.org/x/mod/sumdb/note"
)

// startForeign runs the program that TRACCIA_TEST_WITNESS names as
//
//	PROGRAM <file with the log's vkey> <loopback address to listen on>
//
// It is to print the witness's vkey as a line on standard output, and to serve at
// that address until it is interrupted. A script makes any witness such a program.
func startForeign(t *testing.T, logKey string) *Client {
	t.Helper()
	program := os.Getenv("TRACCIA_TEST_WITNESS")
	if program == "" {
		t.Skip("NOT CHECKED: set TRACCIA_TEST_WITNESS to a program that runs another maker's witness")
	}
	file := filepath.Join(t.TempDir(), "log.vkey")
	if err := os.WriteFile(file, []byte(logKey+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	cmd := exec.Command(program, file, address)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait() // how it ends is its own affair
	})
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("%s printed no vkey: %v", program, lines.Err())
	}
	vkey := strings.TrimSpace(lines.Text())
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatalf("nobody serves on %s: %v", address, err)
		}
	}
	c, err := NewClient("http://"+address, vkey)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("asking %s", c.Name())
	return c
}

// TestForeignWitness: our client gets cosignatures from a witness of another maker
// as a log grows, and understands its refusals.
func TestForeignWitness(t *testing.T) {
	w := newWorld(t)
	c := startForeign(t, w.logKey)
	again, err := NewClient(strings.TrimSuffix(c.url, "/add-checkpoint"), w.vkey)
	if err != nil {
		t.Fatal(err)
	}
	again.verifier = c.verifier
	w.grow(1)
	cp, signed := w.sign()
	// As a ledger asks before it signs: of a log that it never saw.
	if size, err := c.LastSize(t.Context(), signed); err != nil || size > 1 {
		t.Fatalf("LastSize of a new log: %d, %v", size, err)
	}
	for _, n := range []int{0, 1, 5, 250, 300, 0} {
		w.grow(n)
		cp, signed = w.sign()
		line, err := c.Add(t.Context(), cp, signed, w.prove)
		if err != nil {
			t.Fatalf("size %d: %v", cp.Size, err)
		}
		if n, err := note.Open(append(signed[:len(signed):len(signed)], line...), note.VerifierList(w.log, c.verifier)); err != nil || len(n.Sigs) != 2 {
			t.Fatalf("size %d: log and witness don't both verify: %v", cp.Size, err)
		}
	}
	if size, err := again.LastSize(t.Context(), signed); err != nil || size != cp.Size {
		t.Errorf("LastSize %d, %v, want %d", size, err, cp.Size)
	}
	// A client that knows nothing learns the size.
	again.last = 0
	w.grow(3)
	cp, signed = w.sign()
	if _, err := again.Add(t.Context(), cp, signed, w.prove); err != nil {
		t.Errorf("a client that knows nothing: %v", err)
	}
	// A log that went back, and one with another history.
	w.tree = testonly.New(rfc6962.DefaultHasher)
	w.grow(7)
	early, earlySigned := w.sign()
	if _, err := again.Add(t.Context(), early, earlySigned, w.prove); !errors.Is(err, ErrAhead) {
		t.Errorf("a log that went back: got %v, want ErrAhead", err)
	}
	w.tree = testonly.New(rfc6962.DefaultHasher)
	w.tree.AppendData([]byte("another history"))
	w.grow(int(cp.Size) + 5)
	fork, forkSigned := w.sign()
	if _, err := again.Add(t.Context(), fork, forkSigned, w.prove); !errors.Is(err, ErrRefused) {
		t.Errorf("another history: got %v, want ErrRefused", err)
	}
}
