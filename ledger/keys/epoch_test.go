// SPDX-License-Identifier: EUPL-1.2

package keys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNewEpoch(t *testing.T) {
	path := newDir(t, "")
	d := open(t, path, "")
	before := readSecrets(t, d)
	if err := d.NewEpoch(testName, 2026); !errors.Is(err, fs.ErrExist) {
		t.Errorf("NewEpoch twice = %v, want fs.ErrExist", err)
	}
	if err := d.NewEpoch("no name", 2027); err == nil {
		t.Error("NewEpoch took a name with a space")
	}
	if diff := cmp.Diff(before, readSecrets(t, open(t, path, ""))); diff != "" {
		t.Errorf("keys changed: %s", diff)
	}
	if err := d.NewEpoch(testName, 2027); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint32{2026, 2027}, open(t, path, "").Epochs()); diff != "" {
		t.Errorf("Epochs: %s", diff)
	}
	for _, err := range epochErrors(d, 2028) {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a key of an epoch without keys: %v, want fs.ErrNotExist", err)
		}
	}
}

func epochErrors(d *Dir, epoch uint32) []error {
	_, _, signer := d.Signer(epoch)
	_, vrf := d.VRF(epoch)
	_, handle := d.Handle(epoch)
	return []error{signer, vrf, handle}
}

// The states that a crash in NewEpoch leaves.
func TestNewEpochAfterCrash(t *testing.T) {
	for _, missing := range [][]string{
		{"log"}, {"log", "handle"}, {"log", "handle", "vrf"},
	} {
		path := newDir(t, "")
		before := contents(t, path)
		for _, purpose := range missing {
			name := "epochs/2026." + purpose + ".key"
			delete(before, name)
			if err := os.Remove(filepath.Join(path, name)); err != nil {
				t.Fatal(err)
			}
		}
		d := open(t, path, "")
		if got := d.Epochs(); len(got) != 0 {
			t.Errorf("without %v: Epochs = %v, want none", missing, got)
		}
		if len(missing) < 3 {
			if err := d.NewEpoch("altro.example", 2026); err == nil {
				t.Errorf("without %v: NewEpoch took another ledger's name", missing)
			}
		}
		if err := d.NewEpoch(testName, 2026); err != nil {
			t.Fatal(err)
		}
		after := contents(t, path)
		readSecrets(t, open(t, path, ""))
		for name, data := range before {
			if after[name] != data {
				t.Errorf("without %v: %s changed", missing, name)
			}
		}
	}
}

// A VRF key that is lost after the epoch began is a loss to report, never a reason for another.
func TestLostKeyIsNotRemade(t *testing.T) {
	path := newDir(t, "")
	if err := os.Remove(filepath.Join(path, "epochs/2026.vrf.key")); err != nil {
		t.Fatal(err)
	}
	d := open(t, path, "")
	if _, err := d.VRF(2026); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "2026.vrf.key") {
		t.Errorf("VRF = %v, want fs.ErrNotExist that names the file", err)
	}
	if err := d.NewEpoch(testName, 2026); !errors.Is(err, fs.ErrExist) {
		t.Errorf("NewEpoch = %v, want fs.ErrExist", err)
	}
}

func TestDestroyEpoch(t *testing.T) {
	path := newDir(t, "")
	d := open(t, path, "")
	if err := d.DestroyEpoch(2027); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("DestroyEpoch of none = %v, want fs.ErrNotExist", err)
	}
	for range 2 {
		if err := d.DestroyEpoch(2026); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []*Dir{d, open(t, path, "")} {
		errs := epochErrors(d, 2026)
		if errs[0] != nil || !errors.Is(errs[1], ErrDestroyed) || !errors.Is(errs[2], ErrDestroyed) {
			t.Errorf("after DestroyEpoch: %v, want the log key alone", errs)
		}
		if err := d.NewEpoch(testName, 2026); !errors.Is(err, fs.ErrExist) {
			t.Errorf("NewEpoch = %v, want fs.ErrExist", err)
		}
	}
	for name := range contents(t, path) {
		if strings.HasSuffix(name, "vrf.key") || strings.HasSuffix(name, "handle.key") {
			t.Errorf("%s is still there", name)
		}
	}
}
