// SPDX-License-Identifier: EUPL-1.2

package checkpoint_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"iter"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

// parts reads up to a size and checks that the leaves are the log's, in order.
func parts(t *testing.T, r *checkpoint.Reader, l *testLog, now checkpoint.Checkpoint) error {
	t.Helper()
	next := r.Size()
	err := r.ReadParts(t.Context(), now, func(first uint64, leaves [][]byte) error {
		if first != next || len(leaves) == 0 || len(leaves) > checkpoint.PartSize {
			t.Fatalf("a part of %d leaves from %d, want the next from %d", len(leaves), first, next)
		}
		for i, leaf := range leaves {
			if !bytes.Equal(leaf, l.leaves[first+uint64(i)]) {
				t.Fatalf("leaf %d is %q", first+uint64(i), leaf)
			}
		}
		next += uint64(len(leaves))
		return nil
	})
	if r.Size() != next || r.Size() > 0 && r.Root() != l.at(r.Size()).Root {
		t.Errorf("handed out %d leaves, at %d with another root", next, r.Size())
	}
	return err
}

func TestReadParts(t *testing.T) {
	l := fullLog(t)
	for _, from := range []uint64{0, 1, 257, 65537} {
		r := checkpoint.NewReader(checkpoint.FS{FS: l.dir})
		for _, size := range sizes {
			if size < from {
				continue
			}
			if err := parts(t, r, l, l.at(size)); err != nil || r.Size() != size {
				t.Fatalf("from %d to %d: %v", from, size, err)
			}
		}
		if err := parts(t, r, l, l.at(1000)); !errors.Is(err, checkpoint.ErrRollback) {
			t.Errorf("going back: %v", err)
		}
		other := l.at(70000)
		other.Root[0] ^= 1
		if err := parts(t, r, l, other); !errors.Is(err, checkpoint.ErrFork) {
			t.Errorf("another root of the same size: %v", err)
		}
	}
}

// broken fails for paths that hold a word.
type broken struct {
	checkpoint.FS
	word string
}

var errBroken = errors.New("the line is down")

func (b broken) Fetch(ctx context.Context, path string) ([]byte, error) {
	if strings.Contains(path, b.word) {
		return nil, errBroken
	}
	return b.FS.Fetch(ctx, path)
}

// TestReadPartsGoesOn: what came before an error counts as read, and nothing that isn't the log's is handed out.
func TestReadPartsGoesOn(t *testing.T) {
	l := fullLog(t)
	line := &broken{checkpoint.FS{FS: l.dir}, "entries/100"}
	r := checkpoint.NewReader(line)
	if err := parts(t, r, l, l.at(70000)); !errors.Is(err, errBroken) || r.Size() != 96*256 {
		t.Fatalf("%v at %d, want it down at bundle 96", err, r.Size())
	}
	line.word = "nothing"
	if err := parts(t, r, l, l.at(70000)); err != nil || r.Size() != 70000 {
		t.Fatalf("%v at %d", err, r.Size())
	}

	for _, path := range []string{"tile/entries/017", "tile/1/000", "tile/0/273.p/112"} {
		good := l.dir[path].Data
		bad := bytes.Clone(good)
		bad[len(bad)-1] ^= 1
		changed := *l.dir[path]
		changed.Data = bad
		l.dir[path] = &changed
		r := checkpoint.NewReader(checkpoint.FS{FS: l.dir})
		if err := parts(t, r, l, l.at(70000)); !errors.Is(err, checkpoint.ErrTiles) {
			t.Errorf("%s changed: %v", path, err)
		}
		l.dir[path].Data = good
	}
}

func TestKept(t *testing.T) {
	l := fullLog(t)
	from := func(begin, end int, bad error) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for _, leaf := range l.leaves[begin:end] {
				if !yield(leaf, nil) {
					return
				}
			}
			if bad != nil {
				yield(nil, bad)
			}
		}
	}
	ignore := func(uint64, []byte) error { return nil }
	r := checkpoint.NewReader(checkpoint.FS{FS: l.dir})
	for _, c := range []struct {
		leaves iter.Seq2[[]byte, error]
		want   error
	}{
		{from(0, 999, nil), checkpoint.ErrTiles},
		{from(0, 1001, nil), checkpoint.ErrTiles},
		{from(1, 1001, nil), checkpoint.ErrTiles},
		{from(0, 1000, fs.ErrClosed), fs.ErrClosed},
	} {
		if err := r.Kept(l.at(1000), c.leaves, ignore); !errors.Is(err, c.want) || r.Size() != 0 {
			t.Errorf("%v at %d, want %v", err, r.Size(), c.want)
		}
	}
	if err := r.Kept(l.at(1000), from(0, 1000, nil), ignore); err != nil || r.Size() != 1000 {
		t.Fatalf("%v at %d", err, r.Size())
	}
	if err := parts(t, r, l, l.at(70000)); err != nil {
		t.Error(err)
	}
}
