// SPDX-License-Identifier: EUPL-1.2

package pebble_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// openEnv makes this test binary a second process: it opens the directory and
// says how that went.
const openEnv = "TRACCIA_TEST_OPEN_STORE"

func TestMain(m *testing.M) {
	pebble.SmallTables()
	dir := os.Getenv(openEnv)
	if dir == "" {
		os.Exit(m.Run())
	}
	s, err := pebble.Open(dir, pebble.Options{Logger: quiet})
	switch {
	case errors.Is(err, store.ErrLocked):
		fmt.Println("locked:", err)
	case err != nil:
		fmt.Println("failed:", err)
	default:
		fmt.Println("opened")
		s.Close()
	}
	os.Exit(0)
}

// TestCopyOnDisk copies a store on a real disk, to the same file system and to
// another one where there is one.
func TestCopyOnDisk(t *testing.T) {
	s, err := pebble.Create(t.TempDir()+"/store", pebble.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	const commits = 40
	for i := range commits {
		if err := addPair(t, s, i); err != nil {
			t.Fatal(err)
		}
	}
	dirs := []string{t.TempDir()}
	if dir, err := os.MkdirTemp("/dev/shm", "traccia-test-"); err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		dirs = append(dirs, dir)
	}
	for _, dir := range dirs {
		dir += "/above/copy"
		if err := s.Checkpoint(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the copy has mode %v, %v", info.Mode(), err)
		}
		c, err := pebble.Open(dir, pebble.Options{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := countPairs(t, c); err != nil || n != commits {
			t.Errorf("the copy has %d commits, %v", n, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestSecondProcess(t *testing.T) {
	dir := t.TempDir() + "/store"
	s, err := pebble.Create(dir, pebble.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	second := func() string {
		t.Helper()
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		command := exec.Command(program)
		command.Env = append(os.Environ(), openEnv+"="+dir)
		out, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if got := second(); !strings.HasPrefix(got, "locked:") || !strings.Contains(got, dir) || !strings.Contains(got, "stop the process") {
		t.Errorf("while the store is open a second process says %q", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := second(); got != "opened\n" {
		t.Errorf("once it is closed a second process says %q", got)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, %v", info.Mode(), err)
	}
}
