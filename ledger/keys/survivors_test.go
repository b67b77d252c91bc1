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
)

// keep writes survivors with these handles' first bytes.
func keep(t testing.TB, d *Dir, version uint32, handles ...byte) {
	t.Helper()
	s, err := d.NewSurvivors("2026-11", version)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range handles {
		if err := s.Add(ledger.Hash{h}, bytes.Repeat([]byte{h}, wrapSize)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Keep(); err != nil {
		t.Fatal(err)
	}
}

// find asks for every handle in turn, and says which were there.
func find(t testing.TB, d *Dir) (version uint32, there []byte) {
	t.Helper()
	k, err := d.Survivors("2026-11")
	if err != nil {
		t.Fatal(err)
	}
	if k == nil {
		return 0, nil
	}
	defer k.Close()
	for h := range byte(255) {
		switch stored, err := k.Find(ledger.Hash{h}); {
		case err != nil:
			t.Fatal(err)
		case stored == nil:
		case !bytes.Equal(stored, bytes.Repeat([]byte{h}, wrapSize)):
			t.Errorf("handle %d has another's wrap", h)
		default:
			there = append(there, h)
		}
	}
	return k.Version, there
}

func TestSurvivors(t *testing.T) {
	path := newDir(t, "")
	d := open(t, path, "")
	if version, there := find(t, d); version != 0 || there != nil {
		t.Errorf("survivors of a month without an erasure: %d, %v", version, there)
	}
	if _, _, err := d.Month("2026-11"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		version uint32
		handles []byte
	}{{2, []byte{1, 7, 200}}, {3, []byte{7, 9}}, {4, nil}} {
		keep(t, d, want.version, want.handles...)
		version, there := find(t, d)
		if version != want.version || !bytes.Equal(there, want.handles) {
			t.Errorf("version %d with %v, want %d with %v", version, there, want.version, want.handles)
		}
	}
	s, err := d.NewSurvivors("2026-11", 5)
	if err != nil {
		t.Fatal(err)
	}
	wrap := make([]byte, wrapSize)
	if err := s.Add(ledger.Hash{5}, wrap); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"the same handle": s.Add(ledger.Hash{5}, wrap), "a lower one": s.Add(ledger.Hash{4}, wrap), "a short wrap": s.Add(ledger.Hash{6}, wrap[1:]),
	} {
		if !errors.Is(err, ErrMalformedWrap) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Abandon(); err != nil {
		t.Fatal(err)
	}
	if version, _ := find(t, d); version != 4 {
		t.Errorf("version %d after an abandoned one, want 4", version)
	}

	// Every damage is found before a wrap is given out.
	keep(t, d, 6, 3, 4)
	file := filepath.Join(path, "survivors", "2026-11")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		write(t, file, string(bad))
		if _, err := d.Survivors("2026-11"); !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	for _, size := range []int{0, 1, 31, 32, len(good) - 1} {
		write(t, file, string(good[:size]))
		if _, err := d.Survivors("2026-11"); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut to %d bytes: %v", size, err)
		}
	}
	write(t, file, string(good))
	if err := d.DestroyMonth("2026-11"); err != nil {
		t.Fatal(err)
	}
	if version, _ := find(t, d); version != 0 {
		t.Error("a destroyed month has survivors")
	}
}

func TestHolds(t *testing.T) {
	path := newDir(t, "")
	d := open(t, path, "")
	if _, _, err := d.Month("2026-11"); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []Hold{{"2026-13", "x"}, {"", "x"}, {"2026-11", ""}, {"2026-11", " x"}, {"2026-11", "a\nb"}, {"2026-11", string(make([]byte, 201))}} {
		if err := d.SetHold(bad); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("SetHold(%q) = %v, want fs.ErrInvalid", bad, err)
		}
	}
	for _, h := range []Hold{{"2026-12", "proc. 2"}, {"2026-11", "proc. 1"}, {"2026-12", "proc. 3"}} {
		if err := d.SetHold(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, path, "")
	if diff := cmp.Diff([]Hold{{"2026-11", "proc. 1"}, {"2026-12", "proc. 3"}}, d.Holds()); diff != "" {
		t.Error(diff)
	}
	if err := d.DestroyMonth("2026-11"); !errors.Is(err, ErrHeld) {
		t.Errorf("DestroyMonth = %v, want ErrHeld", err)
	}
	if err := renew(d, "2026-11"); !errors.Is(err, ErrHeld) {
		t.Errorf("RenewMonth = %v, want ErrHeld", err)
	}
	if err := d.EndHold("2026-11"); err != nil {
		t.Fatal(err)
	}
	if err := d.EndHold("2026-11"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("EndHold = %v, want fs.ErrNotExist", err)
	}
	if err := renew(d, "2026-11"); err != nil {
		t.Error(err)
	}
	if !d.HasOlder("2026-11") || d.HasOlder("2026-12") {
		t.Error("which months have older keys is wrong")
	}
	if err := d.DestroyMonth("2026-11"); err != nil {
		t.Error(err)
	}
}

func FuzzParseHolds(f *testing.F) {
	f.Add(formatHolds([]Hold{{"2026-11", "proc. 1/2026 R.G."}, {"2026-12", "x"}}))
	f.Add([]byte(holdsHeader))
	f.Fuzz(func(t *testing.T, data []byte) {
		if holds, err := parseHolds(data); err == nil && !bytes.Equal(formatHolds(holds), data) {
			t.Error("holds re-encode otherwise")
		}
	})
}
