// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestInitKilled kills an init as soon as each of its parts is there. The next one makes a whole ledger of what is left,
// or finds one, and leaves it alone.
func TestInitKilled(t *testing.T) {
	for _, part := range []string{"beginning", "keys/protection", "keys/epochs", "store/FORMAT", "store/SUMS", "log.vkey", "config.json"} {
		t.Run(filepath.Base(part), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			args := []string{"init", "--data", dir, "--name", "registro.example"}
			p := start(t, args...)
			for ended := false; !ended; {
				if _, err := os.Stat(filepath.Join(dir, part)); err == nil {
					break
				}
				select {
				case <-p.ended:
					ended = true
				case <-time.After(50 * time.Microsecond):
				}
			}
			p.command.Process.Signal(syscall.SIGKILL)
			p.finish()
			_, err := os.Stat(filepath.Join(dir, "config.json"))
			again := ledgerd(t, args...)
			if whole := err == nil; whole != (again.code != 0) {
				t.Fatalf("killed with a whole ledger %v, the next init ended with %d:\n%s", whole, again.code, again.stderr.String())
			}
			key, err := os.ReadFile(filepath.Join(dir, "log.vkey"))
			if err != nil {
				t.Fatal(err)
			}
			serve(t, "serve", "--data", dir).stop()
			if _, err := os.Stat(filepath.Join(dir, "beginning")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a mark of the beginning is left: %v", err)
			}
			if after, err := os.ReadFile(filepath.Join(dir, "log.vkey")); err != nil || string(after) != string(key) {
				t.Errorf("the log's key changed: %v", err)
			}
		})
	}
	// Keys that nobody says are half made are nobody's to clear away.
	dir := filepath.Join(t.TempDir(), "data")
	if p := ledgerd(t, "init", "--data", dir, "--name", "registro.example"); p.code != 0 {
		t.Fatal(p.stderr.String())
	}
	if err := os.Remove(filepath.Join(dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	if p := ledgerd(t, "init", "--data", dir, "--name", "registro.example"); p.code != 3 {
		t.Errorf("init over keys ended with %d:\n%s", p.code, p.stderr.String())
	}
}
