// SPDX-License-Identifier: EUPL-1.2

package pebble_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/store"
)

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[name.Name()] = string(data)
	}
	return files
}

// A store that a crash left, with commits in its log, is read as it is and not changed.
func TestOpenReadOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s, err := pebble.Create(dir, pebble.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	row := store.Row{Table: store.TableBody, Key: []byte("key"), Value: []byte("value")}
	if err := s.Commit(t.Context(), nil, []store.Row{row}); err != nil {
		t.Fatal(err)
	}
	if _, err := pebble.OpenReadOnly(dir, pebble.Options{Logger: quiet}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("opened beside a writer: %v", err)
	}
	crashed := filepath.Join(t.TempDir(), "crashed")
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{crashed, dir} {
		before := contents(t, dir)
		s, err := pebble.OpenReadOnly(dir, pebble.Options{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		snap, err := s.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got, err := snap.Get(t.Context(), row.Table, row.Key)
		if err != nil || !bytes.Equal(got, row.Value) {
			t.Errorf("read %q, %v", got, err)
		}
		if err := s.Commit(t.Context(), nil, []store.Row{row}); err == nil {
			t.Error("committed to a store opened to be read")
		}
		if err := errors.Join(snap.Close(), s.Close()); err != nil {
			t.Error(err)
		}
		after := contents(t, dir)
		if len(after) != len(before) {
			t.Errorf("%d files became %d", len(before), len(after))
		}
		for name, data := range after {
			if data != before[name] {
				t.Errorf("%s changed", name)
			}
		}
	}
}
