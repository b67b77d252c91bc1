// SPDX-License-Identifier: EUPL-1.2

package keys

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/seal"
)

func TestMonths(t *testing.T) {
	path := newDir(t, "")
	d := open(t, path, "")
	november, _, err := d.Month("2026-11")
	if err != nil {
		t.Fatal(err)
	}
	october, version, err := d.Month("2026-10")
	if err != nil || version != 1 || october == november {
		t.Errorf("Month = version %d, %v, want another key of version 1", version, err)
	}
	if diff := cmp.Diff([]string{"2026-10", "2026-11"}, d.Months()); diff != "" {
		t.Errorf("Months: %s", diff)
	}
	for _, month := range []string{"", "2026", "2026-1", "2026-13", "2026-11-22", "../../x", " 2026-11", "2026-11\n"} {
		if _, _, err := d.Month(month); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Month(%q) = %v, want fs.ErrInvalid", month, err)
		}
		for _, err := range []error{d.DestroyMonth(month), renew(d, month), monthKey(d, month, 1)} {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("of month %q: %v, want fs.ErrNotExist", month, err)
			}
		}
	}
	if got, err := d.MonthKey("2026-11", 1); err != nil || got != november {
		t.Errorf("MonthKey = %x, %v, want %x", got, err, november)
	}
	if err := monthKey(d, "2026-11", 2); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("MonthKey of version 2 = %v, want fs.ErrNotExist", err)
	}
}

func renew(d *Dir, month string) error {
	_, _, err := d.RenewMonth(month)
	return err
}

func monthKey(d *Dir, month string, version uint32) error {
	_, err := d.MonthKey(month, version)
	return err
}

func TestDestroyMonth(t *testing.T) {
	path := newDir(t, "")
	d := open(t, path, "")
	if err := renew(d, "2026-11"); err != nil {
		t.Fatal(err)
	}
	// Another name for the same file, as a careless backup would make: its bytes must go as well.
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Link(filepath.Join(path, "months/2026-11.1.key"), link); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(link)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.DestroyMonth("2026-11"); err != nil {
			t.Fatal(err)
		}
	}
	after, err := os.ReadFile(link)
	if err != nil || bytes.Contains(after, before[:20]) || bytes.Contains(after, before[len(before)-20:]) {
		t.Errorf("the file's bytes survived: %q, %v", after, err)
	}
	for _, d := range []*Dir{d, open(t, path, "")} {
		_, _, err := d.Month("2026-11")
		for _, err := range []error{err, renew(d, "2026-11"), monthKey(d, "2026-11", 1), monthKey(d, "2026-11", 2)} {
			if !errors.Is(err, ErrDestroyed) {
				t.Errorf("of a destroyed month: %v, want ErrDestroyed", err)
			}
		}
		if got := d.Months(); len(got) != 0 {
			t.Errorf("Months = %v, want none", got)
		}
	}
	for name := range contents(t, path) {
		if ok, _ := filepath.Match("months/*.key", name); ok {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestRenewMonth(t *testing.T) {
	path := newDir(t, "correct horse")
	d := open(t, path, "correct horse")
	first, _, err := d.Month("2026-11")
	if err != nil {
		t.Fatal(err)
	}
	second, version, err := d.RenewMonth("2026-11")
	if err != nil || version != 2 || second == first {
		t.Fatalf("RenewMonth = version %d, %v, want another key of version 2", version, err)
	}
	for _, d := range []*Dir{d, open(t, path, "correct horse")} {
		if got, version, err := d.Month("2026-11"); err != nil || version != 2 || got != second {
			t.Errorf("Month = version %d, %v, want version 2", version, err)
		}
		if got, err := d.MonthKey("2026-11", 1); err != nil || got != first {
			t.Errorf("MonthKey of version 1 = %v", err)
		}
	}
	for range 2 {
		if err := d.DestroyOlder("2026-11"); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []*Dir{d, open(t, path, "correct horse")} {
		if err := monthKey(d, "2026-11", 1); !errors.Is(err, ErrDestroyed) {
			t.Errorf("MonthKey of version 1 = %v, want ErrDestroyed", err)
		}
		if got, version, err := d.Month("2026-11"); err != nil || version != 2 || got != second {
			t.Errorf("Month = version %d, %v, want version 2", version, err)
		}
	}
	if _, version, err = d.RenewMonth("2026-11"); err != nil || version != 3 {
		t.Errorf("RenewMonth = version %d, %v, want 3", version, err)
	}
}

// A crash between the tombstone and the unlinking: Open finishes the work.
func TestDestroyAfterCrash(t *testing.T) {
	path := newDir(t, "")
	before := contents(t, path)["months/2026-11.1.key"]
	d := open(t, path, "")
	if err := d.DestroyMonth("2026-11"); err != nil {
		t.Fatal(err)
	}
	want := contents(t, path)
	for _, left := range []string{before, "half overwritten", ""} {
		write(t, filepath.Join(path, "months/2026-11.1.key"), left)
		if _, _, err := open(t, path, "").Month("2026-11"); !errors.Is(err, ErrDestroyed) {
			t.Errorf("Month = %v, want ErrDestroyed", err)
		}
		if diff := cmp.Diff(want, contents(t, path)); diff != "" {
			t.Errorf("files: %s", diff)
		}
	}
}

func TestWrapRow(t *testing.T) {
	stored := seal.Wrap(&[32]byte{1}, ledger.Hash{2}, &[32]byte{3})
	row := FormatWrap(7, stored)
	version, got, err := ParseWrap(row)
	if err != nil || version != 7 || !bytes.Equal(got, stored) {
		t.Errorf("ParseWrap = %d, %x, %v, want 7, %x", version, got, err, stored)
	}
	for _, row := range [][]byte{nil, row[:75], append(row, 0), FormatWrap(0, stored)} {
		if _, _, err := ParseWrap(row); err != ErrMalformedWrap {
			t.Errorf("ParseWrap(%x) = %v, want ErrMalformedWrap", row, err)
		}
	}
}

func FuzzParseWrap(f *testing.F) {
	f.Add(FormatWrap(1, make([]byte, wrapSize)))
	f.Fuzz(func(t *testing.T, row []byte) {
		version, stored, err := ParseWrap(row)
		if err == nil && !bytes.Equal(FormatWrap(version, stored), row) {
			t.Errorf("%x re-encodes differently", row)
		}
	})
}
