// SPDX-License-Identifier: EUPL-1.2

package keys

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
)

func TestRequests(t *testing.T) {
	for _, passphrase := range []string{"", "una passphrase"} {
		path := newDir(t, passphrase)
		d := open(t, path, passphrase)
		if d.HasRequests() {
			t.Error("a new directory has requests")
		}
		first := Request{Wraps: []Erasure{{ledger.Hash{1}, ledger.Hash{2}}, {ledger.Hash{3}, ledger.Hash{4}}}, Submissions: [][]byte{[]byte(`{"subject":"RSSMRA80A01H501U"}`), []byte("b")}}
		second := Request{Wraps: []Erasure{{ledger.Hash{5}, ledger.Hash{6}}}, Submissions: [][]byte{[]byte("c")}}
		for _, r := range []Request{first, second} {
			if err := d.KeepRequest(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		d = open(t, path, passphrase)
		kept, err := d.Requests()
		if err != nil || len(kept) != 2 || !d.HasRequests() {
			t.Fatalf("%d requests, %v", len(kept), err)
		}
		for _, r := range kept {
			want := first
			if len(r.Wraps) == 1 {
				want = second
			}
			want.Name = r.Name
			if d := cmp.Diff(want, r); d != "" {
				t.Error(d)
			}
			data, err := os.ReadFile(filepath.Join(path, requestsDir, r.Name))
			if err != nil || bytes.Contains(data, []byte("RSSMRA")) {
				t.Errorf("the file names the person, or isn't there: %v", err)
			}
			if err := d.DropRequest(r.Name); err != nil {
				t.Fatal(err)
			}
		}
		if kept, err := d.Requests(); err != nil || len(kept) > 0 || d.HasRequests() {
			t.Errorf("%d requests after all were dropped, %v", len(kept), err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if files, err := os.ReadDir(filepath.Join(path, requestsDir)); err != nil || len(files) > 0 {
			t.Errorf("%d files are left, %v", len(files), err)
		}
	}
}

// A file of which any byte is another is refused.
func TestRequestDamaged(t *testing.T) {
	path := newDir(t, "")
	d := open(t, path, "")
	if err := d.KeepRequest(Request{Wraps: []Erasure{{ledger.Hash{1}, ledger.Hash{2}}}, Submissions: [][]byte{[]byte("a")}}); err != nil {
		t.Fatal(err)
	}
	kept, err := d.Requests()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(path, requestsDir, kept[0].Name)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 1
		if err := os.WriteFile(file, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if d, err := Open(path, ""); err == nil || !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d changed: %v", at, err)
			if err == nil {
				d.Close()
			}
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte("traccia-request/1\nplain: AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA\nsealed: AAAA\nsum: \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := new(Dir).openRequest(data); err != nil && !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
	})
}
