// SPDX-License-Identifier: EUPL-1.2

package checkpoint_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

func TestLeaves(t *testing.T) {
	for _, size := range []uint64{1, 255, 256, 257, 513, 70_000} {
		l := newLog()
		l.grow(t, size, leafOf)
		f := checkpoint.FS{FS: l.dir}
		for _, c := range [][2]uint64{{0, 0}, {0, 1}, {0, size}, {size - 1, size}, {size, size}, {size / 2, size/2 + 1}, {size / 3, size}, {size / 256 * 256, size}} {
			from, to := c[0], min(c[1], size)
			leaves, err := checkpoint.Leaves(t.Context(), f, l.at(size), from, to)
			if err != nil || !slices.EqualFunc(leaves, l.leaves[from:to], bytes.Equal) {
				t.Errorf("leaves %d to %d of %d: %d, %v", from, to, size, len(leaves), err)
			}
			wrong := l.at(size)
			wrong.Root[31] ^= 1
			if _, err := checkpoint.Leaves(t.Context(), f, wrong, from, to); !errors.Is(err, checkpoint.ErrTiles) {
				t.Errorf("leaves %d to %d of another log: %v", from, to, err)
			}
		}
		for _, c := range [][2]uint64{{2, 1}, {0, size + 1}} {
			if _, err := checkpoint.Leaves(t.Context(), f, l.at(size), c[0], c[1]); err == nil {
				t.Errorf("leaves %d to %d of %d were read", c[0], c[1], size)
			}
		}
	}
}

// TestLeavesDamaged: no byte of what is fetched can be another.
func TestLeavesDamaged(t *testing.T) {
	const size, from, to = 700, 300, 310
	l := newLog()
	l.grow(t, size, leafOf)
	read := 0
	for path, file := range l.dir {
		for i := 0; i < len(file.Data); i += 97 {
			file.Data[i] ^= 1
			leaves, err := checkpoint.Leaves(t.Context(), checkpoint.FS{FS: l.dir}, l.at(size), from, to)
			if err == nil && !slices.EqualFunc(leaves, l.leaves[from:to], bytes.Equal) {
				t.Fatalf("%s, byte %d: other leaves were taken", path, i)
			}
			if err != nil {
				read++
			}
			file.Data[i] ^= 1
		}
	}
	if read == 0 {
		t.Error("nothing that was damaged was read")
	}
	other := l.at(size)
	other.Root = ledger.Hash{}
	if _, err := checkpoint.Leaves(t.Context(), checkpoint.FS{FS: l.dir}, other, from, to); !errors.Is(err, checkpoint.ErrTiles) {
		t.Errorf("another root: %v", err)
	}
}
