// SPDX-License-Identifier: EUPL-1.2

package nodetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// SmallDisk is a file system in memory that gets full soon.
type SmallDisk struct{ Dir string }

// NewSmallDisk mounts one, which takes root; the test is skipped, and says so,
// where that can't be had.
func NewSmallDisk(t testing.TB) SmallDisk {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("NOT CHECKED: a full disk under a whole ledger (ledger/pebble fails each write of a store): couldn't mount a small one: %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("couldn't unmount: %v %s", err, out)
		}
	})
	return SmallDisk{dir}
}

func (d SmallDisk) ballast() string { return filepath.Join(d.Dir, "ballast") }

// Fill leaves so many bytes free.
func (d SmallDisk) Fill(t testing.TB, free uint64) {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.Dir, &s); err != nil {
		t.Fatal(err)
	}
	if left := s.Bavail * uint64(s.Bsize); left > free {
		if err := os.WriteFile(d.ballast(), make([]byte, left-free), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Grow makes room for good.
func (d SmallDisk) Grow(t testing.TB) {
	t.Helper()
	if err := os.Remove(d.ballast()); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "remount,size=200m", d.Dir).CombinedOutput(); err != nil {
		t.Fatalf("couldn't make the disk larger: %v %s", err, out)
	}
}
