// SPDX-License-Identifier: EUPL-1.2

package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	for _, text := range []string{"one", "another, longer", ""} {
		if err := Replace(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("got %q, %v, want %q", got, err, text)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%d files are left, want 1", len(left))
	}
	if err := Replace(filepath.Join(dir, "absent", "state"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that isn't there: %v", err)
	}
}

func TestCreateNeverOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := Create(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Create(path, []byte("second"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want ErrExist", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "first" {
		t.Errorf("the file holds %q", got)
	}
}

func TestFolder(t *testing.T) {
	final := filepath.Join(t.TempDir(), "a", "b")
	f, err := NewFolder(final, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	file, err := f.Create("log/2026/checkpoint", 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(final); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder has its name before it is finished: %v", err)
	}
	if _, err := f.Create("../outside", 0o644); err == nil {
		t.Error("a name outside the folder was taken")
	}
	if err := f.Finish(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(final, "log", "2026", "checkpoint")); err != nil || string(got) != "x" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := NewFolder(final, 0o700); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second folder of that name: %v", err)
	}
	other, err := NewFolder(final+"2", 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Abandon(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(final)); len(left) != 1 {
		t.Errorf("%d entries are left, want 1", len(left))
	}
}
