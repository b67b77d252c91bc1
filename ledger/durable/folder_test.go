// SPDX-License-Identifier: EUPL-1.2

package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/traccia-ledger/traccia/ledger/durable"
)

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "above", "folder")
	f, err := durable.NewFolder(path, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Write("a/b/c", 0o600, []byte("c")); err != nil {
		t.Fatal(err)
	}
	tree := fstest.MapFS{"d/e": {Data: []byte("e")}, "empty": {Mode: fs.ModeDir | 0o755}}
	if err := f.CopyFS(tree, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := f.Write("a/b/c", 0o600, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file over another: %v", err)
	}
	for _, name := range []string{"../out", "/out", "a/../../out"} {
		if err := f.Write(name, 0o600, nil); err == nil {
			t.Errorf("wrote %s", name)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there before Finish: %v", err)
	}
	if err := f.Finish(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{
		"": fs.ModeDir | 0o700, "a/b": fs.ModeDir | 0o700, "a/b/c": 0o600, "d/e": 0o640, "empty": fs.ModeDir | 0o700,
	} {
		info, err := os.Stat(filepath.Join(path, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%q: %v, %v; expected %v", name, info, err, want)
		}
	}
	if names, err := os.ReadDir(filepath.Dir(path)); err != nil || len(names) != 1 {
		t.Errorf("%v left beside it, %v", names, err)
	}
	if _, err := durable.NewFolder(path, 0o700); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a folder over another: %v", err)
	}
}

func TestAbandon(t *testing.T) {
	dir := t.TempDir()
	f, err := durable.NewFolder(filepath.Join(dir, "folder"), 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Write("a", 0o644, []byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := f.Abandon(); err != nil {
		t.Fatal(err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("%v left, %v", names, err)
	}
}

// One that came meanwhile isn't replaced, not even an empty one.
func TestFinishReplacesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder")
	f, err := durable.NewFolder(path, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := f.Finish(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("replaced a folder: %v", err)
	}
}
