// SPDX-License-Identifier: EUPL-1.2

package checkpoint_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

// testLog is a log as a directory of tiles, beside merkle's own tree for tests.
type testLog struct {
	tree   *testonly.Tree
	leaves [][]byte
	dir    fstest.MapFS
}

func (l *testLog) at(size uint64) checkpoint.Checkpoint {
	return checkpoint.Checkpoint{Origin: origin, Size: size, Root: ledger.Hash(l.tree.HashAt(size))}
}

// grow adds leaves up to size and publishes them, the partial tiles of that size among them.
func (l *testLog) grow(t testing.TB, size uint64, leaf func(uint64) []byte) {
	t.Helper()
	for i := uint64(len(l.leaves)); i < size; i++ {
		l.leaves = append(l.leaves, leaf(i))
		l.tree.AppendData(l.leaves[i])
	}
	for level, n := 0, size; n > 0; level, n = level+1, n/256 {
		for start := uint64(0); start < n; start += 256 {
			end := min(n, start+256)
			tile := checkpoint.Tile{Level: level, Index: start / 256, Width: int(end - start)}
			if _, ok := l.dir[tile.Path()]; ok {
				continue
			}
			var hashes []byte
			for i := start; i < end; i++ {
				hashes = append(hashes, l.subtree(level, i)...)
			}
			l.dir[tile.Path()] = &fstest.MapFile{Data: hashes}
			if level > 0 {
				continue
			}
			entries, err := verifiertest.FormatEntries(l.leaves[start:end])
			if err != nil {
				t.Fatal(err)
			}
			tile.Level = checkpoint.EntryLevel
			l.dir[tile.Path()] = &fstest.MapFile{Data: entries}
		}
	}
}

// subtree returns hash i of a level of tiles: the root over 256^level leaves.
func (l *testLog) subtree(level int, i uint64) []byte {
	if level == 0 {
		return l.tree.LeafHash(i)
	}
	tree := testonly.New(rfc6962.DefaultHasher)
	for n := range uint64(256) {
		tree.Append(l.subtree(level-1, i*256+n))
	}
	return tree.Hash()
}

func newLog() *testLog {
	return &testLog{tree: testonly.New(rfc6962.DefaultHasher), dir: fstest.MapFS{}}
}

func leafOf(i uint64) []byte { return fmt.Appendf(nil, "leaf %d", i) }

// otherFrom makes the leaves of another history from fork on.
func otherFrom(fork uint64) func(uint64) []byte {
	return func(i uint64) []byte {
		if i >= fork {
			return fmt.Appendf(nil, "other %d", i)
		}
		return leafOf(i)
	}
}

var sizes = []uint64{0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 1000, 65535, 65536, 65537, 65792, 70000}

// fullLog has all of sizes published.
func fullLog(t testing.TB) *testLog {
	l := newLog()
	for _, size := range sizes {
		l.grow(t, size, leafOf)
	}
	return l
}

func TestReader(t *testing.T) {
	ctx := t.Context()
	l := fullLog(t)
	read := func(r *checkpoint.Reader, to checkpoint.Checkpoint) {
		t.Helper()
		next := r.Size()
		if err := r.Read(ctx, to, func(i uint64, leaf []byte) error {
			if i != next || !bytes.Equal(leaf, l.leaves[i]) {
				t.Fatalf("leaf %d is %q, want leaf %d", i, leaf, next)
			}
			next++
			return nil
		}); err != nil {
			t.Fatalf("Read to %d: %v", to.Size, err)
		}
		if next != to.Size || r.Size() != to.Size {
			t.Fatalf("read %d leaves, at %d, want %d", next, r.Size(), to.Size)
		}
	}
	for _, tiles := range []bool{false, true} {
		whole := checkpoint.NewReader(checkpoint.FS{FS: l.dir})
		whole.Tiles = tiles
		for _, size := range sizes {
			read(whole, l.at(size))
		}
	}
	for i, old := range sizes {
		if old > 1000 && old != 65537 {
			continue
		}
		for _, now := range sizes[i:] {
			if now > 1000 && old != 0 && old != 257 && old != 65537 {
				continue
			}
			r, err := checkpoint.OpenReader(ctx, checkpoint.FS{FS: l.dir}, l.at(old), l.at(now))
			if err != nil {
				t.Fatalf("OpenReader %d, %d: %v", old, now, err)
			}
			r.Tiles = true
			read(r, l.at(now))
		}
	}
}

func TestReaderPartialGone(t *testing.T) {
	l := newLog()
	l.grow(t, 300, leafOf)
	delete(l.dir, "tile/0/001.p/44")
	delete(l.dir, "tile/entries/001.p/44")
	l.grow(t, 512, leafOf)
	r := checkpoint.NewReader(checkpoint.FS{FS: l.dir})
	n := 0
	if err := r.Read(t.Context(), l.at(300), func(uint64, []byte) error { n++; return nil }); err != nil || n != 300 {
		t.Errorf("%d leaves, %v", n, err)
	}
	if err := checkpoint.Consistent(t.Context(), checkpoint.FS{FS: l.dir}, l.at(299), l.at(300)); err != nil {
		t.Error(err)
	}
	later := checkpoint.Checkpoint{Origin: origin, Size: 600}
	if err := checkpoint.Consistent(t.Context(), checkpoint.FS{FS: l.dir}, l.at(400), later); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a size that isn't published: %v", err)
	}
}

func (l *testLog) copy() *testLog {
	return &testLog{tree: l.tree, leaves: l.leaves, dir: maps.Clone(l.dir)}
}

// TestReaderDamaged changes one bit of each file, in turn; what is read is then refused and the Reader stays.
func TestReaderDamaged(t *testing.T) {
	ctx := t.Context()
	const size = 513
	clean := newLog()
	clean.grow(t, size, leafOf)
	for path := range clean.dir {
		for _, end := range []bool{false, true} {
			l := clean.copy()
			data := bytes.Clone(l.dir[path].Data)
			if end {
				data[len(data)-1] ^= 1
			} else {
				data[0] ^= 0x80
			}
			l.dir[path] = &fstest.MapFile{Data: data}
			r := checkpoint.NewReader(checkpoint.FS{FS: l.dir})
			r.Tiles = true
			err := r.Read(ctx, l.at(size), func(uint64, []byte) error { return nil })
			if !errors.Is(err, checkpoint.ErrTiles) || r.Size() != 0 {
				t.Errorf("%s: %v, at %d", path, err, r.Size())
			}
			r = checkpoint.NewReader(checkpoint.FS{FS: l.dir})
			err = r.Read(ctx, l.at(size), func(uint64, []byte) error { return nil })
			if strings.Contains(path, "entries") != errors.Is(err, checkpoint.ErrTiles) {
				t.Errorf("%s without tiles: %v", path, err)
			}
		}
		for _, cut := range []bool{false, true} {
			l := clean.copy()
			data := append(bytes.Clone(l.dir[path].Data), 0)
			if cut {
				data = data[:len(data)-2]
			}
			l.dir[path] = &fstest.MapFile{Data: data}
			r := checkpoint.NewReader(checkpoint.FS{FS: l.dir})
			r.Tiles = true
			if err := r.Read(ctx, l.at(size), func(uint64, []byte) error { return nil }); !errors.Is(err, checkpoint.ErrTiles) {
				t.Errorf("%s, another length: %v", path, err)
			}
		}
		l := clean.copy()
		delete(l.dir, path)
		r := checkpoint.NewReader(checkpoint.FS{FS: l.dir})
		r.Tiles = true
		if err := r.Read(ctx, l.at(size), func(uint64, []byte) error { return nil }); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s gone: %v", path, err)
		}
	}

	r := checkpoint.NewReader(checkpoint.FS{FS: clean.dir})
	for b := range 256 {
		c := clean.at(size)
		c.Root[b/8] ^= 1 << (b % 8)
		if err := r.Read(ctx, c, func(uint64, []byte) error { return nil }); err != checkpoint.ErrTiles {
			t.Fatalf("bit %d of the root: %v", b, err)
		}
	}
	if err := r.Read(ctx, clean.at(size), func(uint64, []byte) error { return nil }); err != nil {
		t.Errorf("after refusals: %v", err)
	}
	if err := r.Read(ctx, clean.at(5), nil); err != checkpoint.ErrRollback {
		t.Errorf("back to 5: %v", err)
	}
	same := clean.at(size)
	same.Root[0] ^= 1
	if err := r.Read(ctx, same, nil); err != checkpoint.ErrFork {
		t.Errorf("the same size, another root: %v", err)
	}
}

func TestReaderStops(t *testing.T) {
	l := newLog()
	l.grow(t, 5000, leafOf)
	r := checkpoint.NewReader(checkpoint.FS{FS: l.dir})
	stop := errors.New("stop")
	if err := r.Read(t.Context(), l.at(5000), func(i uint64, _ []byte) error {
		if i == 700 {
			return stop
		}
		return nil
	}); err != stop || r.Size() != 0 {
		t.Errorf("%v, at %d", err, r.Size())
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := r.Read(ctx, l.at(5000), func(i uint64, _ []byte) error {
		if i == 700 {
			cancel()
		}
		return nil
	}); !errors.Is(err, context.Canceled) || r.Size() != 0 {
		t.Errorf("%v, at %d", err, r.Size())
	}
}

func TestConsistent(t *testing.T) {
	ctx := t.Context()
	l := fullLog(t)
	fetch := checkpoint.FS{FS: l.dir}
	for i, old := range sizes {
		for _, now := range sizes[i:] {
			if err := checkpoint.Consistent(ctx, fetch, l.at(old), l.at(now)); err != nil {
				t.Errorf("%d, %d: %v", old, now, err)
			}
			other := l.at(old)
			other.Root[31] ^= 1
			if err := checkpoint.Consistent(ctx, fetch, other, l.at(now)); err != checkpoint.ErrFork {
				t.Errorf("%d with another root, %d: %v", old, now, err)
			}
			other = l.at(now)
			other.Root[0] ^= 1
			want := checkpoint.ErrTiles
			if old == now {
				want = checkpoint.ErrFork
			}
			if err := checkpoint.Consistent(ctx, fetch, l.at(old), other); err != want {
				t.Errorf("%d, %d with another root: %v, want %v", old, now, err, want)
			}
			if old == now {
				continue
			}
			if err := checkpoint.Consistent(ctx, fetch, l.at(now), l.at(old)); err != checkpoint.ErrRollback {
				t.Errorf("%d back to %d: %v", now, old, err)
			}
			// The old root at a size next to its own.
			wrong := l.at(old)
			if wrong.Size++; wrong.Size <= now {
				if err := checkpoint.Consistent(ctx, fetch, wrong, l.at(now)); err != checkpoint.ErrFork {
					t.Errorf("the root of %d at %d, %d: %v", old, wrong.Size, now, err)
				}
			}
		}
	}
	another := l.at(5)
	another.Origin = "registro.example/2027"
	if err := checkpoint.Consistent(ctx, fetch, another, l.at(256)); err == nil {
		t.Error("checkpoints of two logs")
	}
}

// TestFork has a log show one history to some and another, right in itself, to others.
func TestFork(t *testing.T) {
	ctx := t.Context()
	one, two := newLog(), newLog()
	one.grow(t, 700, leafOf)
	two.grow(t, 900, otherFrom(650))
	fetch := checkpoint.FS{FS: two.dir}
	for _, old := range []uint64{651, 660, 700} {
		if err := checkpoint.Consistent(ctx, fetch, one.at(old), two.at(900)); err != checkpoint.ErrFork {
			t.Errorf("%d: %v", old, err)
		}
		if _, err := checkpoint.OpenReader(ctx, fetch, one.at(old), two.at(900)); err != checkpoint.ErrFork {
			t.Errorf("OpenReader at %d: %v", old, err)
		}
	}
	for _, old := range []uint64{1, 649, 650} {
		if err := checkpoint.Consistent(ctx, fetch, one.at(old), two.at(900)); err != nil {
			t.Errorf("%d, before the fork: %v", old, err)
		}
	}
}

// TestConsistentDamaged: damage by whoever serves the tiles is never shown as a fork.
func TestConsistentDamaged(t *testing.T) {
	clean := newLog()
	clean.grow(t, 513, leafOf)
	for path := range clean.dir {
		for bit := range 8 {
			l := clean.copy()
			data := bytes.Clone(l.dir[path].Data)
			for i := bit % 4; i < len(data); i += 32 {
				data[i] ^= 1 << bit
			}
			l.dir[path] = &fstest.MapFile{Data: data}
			for _, old := range []uint64{0, 1, 200, 256, 300, 512} {
				err := checkpoint.Consistent(t.Context(), checkpoint.FS{FS: l.dir}, l.at(old), l.at(513))
				if err != nil && !errors.Is(err, checkpoint.ErrTiles) {
					t.Errorf("%s, from %d: %v", path, old, err)
				}
			}
		}
	}
}

// BenchmarkRead reads a log of 102-byte leaves from memory.
func BenchmarkRead(b *testing.B) {
	l := newLog()
	l.grow(b, 1<<16, func(i uint64) []byte { return fmt.Appendf(nil, "%102d", i) })
	now := l.at(1 << 16)
	for _, tiles := range []bool{false, true} {
		b.Run(fmt.Sprintf("tiles=%v", tiles), func(b *testing.B) {
			for b.Loop() {
				r := checkpoint.NewReader(checkpoint.FS{FS: l.dir})
				r.Tiles = tiles
				if err := r.Read(b.Context(), now, func(uint64, []byte) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(1<<16), "ns/leaf")
		})
	}
}
