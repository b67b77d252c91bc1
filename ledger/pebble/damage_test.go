// SPDX-License-Identifier: EUPL-1.2

package pebble_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// filledDisk is what a power cut leaves of a store of that many commits, in
// tables and in the write-ahead log.
func filledDisk(t *testing.T, commits int) *vfs.MemFS {
	t.Helper()
	disk := vfs.NewCrashableMem()
	s := mustCreate(t, disk)
	for i := range commits {
		if err := addPair(t, s, i); err != nil {
			t.Fatal(err)
		}
	}
	cut := copyOf(disk)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return cut
}

// closedDisk holds a closed store of that many commits.
func closedDisk(t *testing.T, commits int) *vfs.MemFS {
	t.Helper()
	disk := filledDisk(t, commits)
	s, err := pebble.Open("/d/store", options(disk, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return disk
}

func copyOf(disk *vfs.MemFS) *vfs.MemFS { return disk.CrashClone(vfs.CrashCloneCfg{}) }

func read(t *testing.T, fsys vfs.FS, name string) []byte {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, fsys vfs.FS, name string, data []byte) {
	t.Helper()
	f, err := fsys.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(bytes.Clone(data)) // a file in memory may spoil what it wrote
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// files returns the names in the store's directory that end so.
func files(t *testing.T, fsys vfs.FS, end string) []string {
	t.Helper()
	all, err := fsys.List("/d/store")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return slices.DeleteFunc(all, func(name string) bool { return !strings.HasSuffix(name, end) })
}

// openAndCount opens a store that may be damaged and reads all of it.
func openAndCount(t *testing.T, fsys vfs.FS, log *lines) (n int, err error) {
	t.Helper()
	within(t, "opening a damaged store", func() {
		var s *pebble.Store
		if s, err = pebble.Open("/d/store", options(fsys, log)); err != nil {
			return
		}
		n, err = countPairs(t, s)
		s.Close() // it may have met the damage too
	})
	return n, err
}

// TestBitFlips flips bits in every file. What is read is what was written, or
// the damage is reported with the file's name; nothing logged is a row.
func TestBitFlips(t *testing.T) {
	const commits, flips = 30, 40
	r := rand.New(rand.NewPCG(1, 2))
	for _, kind := range []string{".sst", ".log", "MANIFEST", "SUMS", "OPTIONS"} {
		t.Run(kind, func(t *testing.T) {
			disk := closedDisk(t, commits)
			if kind == ".log" {
				disk = filledDisk(t, commits)
			}
			names := slices.DeleteFunc(files(t, disk, ""), func(n string) bool {
				return !strings.HasPrefix(n, kind) && !strings.HasSuffix(n, kind)
			})
			if len(names) == 0 {
				t.Fatal("there is no such file")
			}
			if kind == "MANIFEST" {
				names = names[len(names)-1:] // the others are old ones
			}
			damaged, named := 0, 0
			for range flips {
				name := names[r.IntN(len(names))]
				broken := copyOf(disk)
				data := read(t, broken, "/d/store/"+name)
				if len(data) == 0 {
					continue
				}
				bit := r.IntN(len(data) * 8)
				data[bit/8] ^= 1 << (bit % 8)
				write(t, broken, "/d/store/"+name, data)
				var log lines
				n, err := openAndCount(t, broken, &log)
				switch {
				case err == nil && n == commits:
				case err == nil && kind == ".log" && n < commits:
					// Taken for the torn end of the log: whole commits are gone.
				case errors.Is(err, store.ErrDamaged):
					damaged++
					if strings.Contains(err.Error(), name) || kind == ".log" && strings.Contains(err.Error(), "/*.log") {
						named++
					}
					if !strings.Contains(err.Error(), "backup") {
						t.Errorf("no hint: %v", err)
					}
				default:
					t.Errorf("bit %d of %s: %d commits, %v", bit, name, n, err)
				}
				if text := log.String() + fmt.Sprint(err); strings.Contains(text, secret) {
					t.Errorf("a row was logged or is in the error: %.200q", text)
				}
			}
			t.Logf("%d damaged, %d named", damaged, named)
			if kind != ".log" && kind != "OPTIONS" && (damaged < flips*9/10 || named != damaged) {
				t.Errorf("%d flips were found and %d named the file", damaged, named)
			}
		})
	}
}

// TestFlipsAtRest flips bits of a store that was closed: none passes unseen.
func TestFlipsAtRest(t *testing.T) {
	const commits = 6 // too few for a table before the store is closed
	disk := closedDisk(t, commits)
	r := rand.New(rand.NewPCG(3, 4))
	for _, name := range files(t, disk, "") {
		data := read(t, disk, "/d/store/"+name)
		for range min(8, len(data)) {
			broken := copyOf(disk)
			bit := r.IntN(len(data) * 8)
			changed := bytes.Clone(data)
			changed[bit/8] ^= 1 << (bit % 8)
			write(t, broken, "/d/store/"+name, changed)
			if n, err := openAndCount(t, broken, nil); err == nil && n != commits || err != nil && !errors.Is(err, store.ErrDamaged) {
				t.Errorf("bit %d of %s: %d commits, %v", bit, name, n, err)
			}
		}
	}
}

// TestDamageStopsWriters damages a table that must be merged: the store says so
// to whoever writes, once to the log, and doesn't spin.
func TestDamageStopsWriters(t *testing.T) {
	disk := closedDisk(t, 40)
	tables := files(t, disk, ".sst")
	name := "/d/store/" + tables[0]
	data := read(t, disk, name)
	data[len(data)/2] ^= 1
	write(t, disk, name, data)
	var log lines
	s, err := pebble.Open("/d/store", options(disk, &log)) // may meet it too
	within(t, "writing over a damaged table", func() {
		for i := 40; i < 700 && err == nil; i++ {
			err = addPair(t, s, i)
		}
	})
	if !errors.Is(err, store.ErrStopped) || !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), tables[0]) {
		t.Errorf("the writer was told %v", err)
	}
	if s != nil {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(log.String(), "level=ERROR"); n < 1 || n > 4 {
		t.Errorf("%d errors were logged", n)
	}
}

// TestTornLog cuts the log anywhere: whole commits from the first on are there.
func TestTornLog(t *testing.T) {
	const commits = 9 // all in one log
	disk := filledDisk(t, commits)
	logs := files(t, disk, ".log")
	last := "/d/store/" + logs[len(logs)-1]
	data := read(t, disk, last)
	seen := map[int]bool{}
	for cut := 0; cut < len(data); cut += 1 + len(data)/60 {
		torn := copyOf(disk)
		write(t, torn, last, data[:cut])
		n, err := openAndCount(t, torn, nil)
		if err != nil {
			t.Errorf("cut at %d of %d: %v", cut, len(data), err)
		}
		seen[n] = true
	}
	if len(seen) < 4 {
		t.Errorf("the cuts left only %d different stores", len(seen))
	}
}

func TestMissingFiles(t *testing.T) {
	disk := closedDisk(t, 40)
	for _, name := range files(t, disk, ".sst") {
		broken := copyOf(disk)
		if err := broken.Remove("/d/store/" + name); err != nil {
			t.Fatal(err)
		}
		if _, err := openAndCount(t, broken, nil); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), strings.TrimSuffix(name, ".sst")) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	manifests := 0
	for _, name := range slices.Backward(files(t, disk, "")) {
		if strings.HasPrefix(name, "MANIFEST") {
			manifests++
		}
		// Of the manifests the last.
		if strings.HasPrefix(name, "MANIFEST") && manifests == 1 || strings.HasPrefix(name, "marker.manifest") || name == "SUMS" {
			broken := copyOf(disk)
			if err := broken.Remove("/d/store/" + name); err != nil {
				t.Fatal(err)
			}
			if _, err := openAndCount(t, broken, nil); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("without %s: %v", name, err)
			}
		}
	}
}

func TestFormatFile(t *testing.T) {
	disk := filledDisk(t, 1)
	const name = "/d/store/FORMAT"
	want := "traccia pebble store, format 1\n744c2928\n"
	if got := string(read(t, disk, name)); got != want {
		t.Errorf("FORMAT is %q, want %q", got, want)
	}
	open := func(data string) error {
		broken := copyOf(disk)
		write(t, broken, name, []byte(data))
		s, err := pebble.Open("/d/store", options(broken, nil))
		if err == nil {
			s.Close()
		}
		return err
	}
	newer := "traccia pebble store, format 2\n" // with a right sum
	err := open(newer + pebble.FormatSum(newer) + "\n")
	if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "format 2") || !strings.Contains(err.Error(), "format 1") {
		t.Errorf("a newer format: %v", err)
	}
	for i := range want {
		changed := []byte(want)
		changed[i] ^= 1
		if err := open(string(changed)); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if err := open(want[:i]); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	if err := open(want + "\n"); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("with more: %v", err)
	}
	broken := copyOf(disk)
	if err := broken.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := pebble.Open("/d/store", options(broken, nil)); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("without FORMAT: %v", err)
	}
}

func FuzzFormat(f *testing.F) {
	f.Add([]byte("traccia pebble store, format 1\n744c2928\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if version, ok := pebble.ParseFormat(data); ok && !bytes.Equal(pebble.FormatBytes(version), data) {
			t.Errorf("%q re-encodes as %q", data, pebble.FormatBytes(version))
		}
	})
}

func FuzzSums(f *testing.F) {
	f.Add([]byte("MANIFEST-000001 1234 9ae0daaf\nMANIFEST-000007 0 00000000\n9e4bd2a8\n"))
	f.Add(pebble.FormatSums(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		if sums, ok := pebble.ParseSums(data); ok && !bytes.Equal(pebble.FormatSums(sums), data) {
			t.Errorf("%q re-encodes as %q", data, pebble.FormatSums(sums))
		}
	})
}

func TestCreateAndOpenDiffer(t *testing.T) {
	dir := t.TempDir()
	if _, err := pebble.Open(path.Join(dir, "none"), pebble.Options{Logger: quiet}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening nothing: %v", err)
	}
	if _, err := pebble.Open(dir, pebble.Options{Logger: quiet}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening an empty directory: %v", err)
	}
	s, err := pebble.Create(dir, pebble.Options{Logger: quiet}) // nothing was made by opening
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pebble.Create(dir, pebble.Options{Logger: quiet}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating over a store: %v", err)
	}
	if _, err := pebble.Open(dir, pebble.Options{Logger: quiet}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("opening twice: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = pebble.Open(dir, pebble.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCheckpoint copies a store while it is written to.
func TestCheckpoint(t *testing.T) {
	disk := vfs.NewCrashableMem()
	s := mustCreate(t, disk)
	const commits, copies = 60, 6
	written := make(chan int, commits)
	go func() {
		defer close(written)
		for i := range commits {
			if err := addPair(t, s, i); err != nil {
				t.Error(err)
				return
			}
			written <- i + 1
		}
	}()
	least := 0
	for i := range copies {
		for range commits / copies {
			least = <-written
		}
		dir := fmt.Sprintf("/d/copy%d", i)
		if err := s.Checkpoint(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		// A power cut now leaves the copy whole.
		cut := copyOf(disk)
		c, err := pebble.Open(dir, options(cut, nil))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := countPairs(t, c); err != nil || n < least || n > commits {
			t.Errorf("a copy made after %d commits has %d, %v", least, n, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	for range written {
	}
	if err := s.Checkpoint(t.Context(), "/d/copy0"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("copying over a copy: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Checkpoint(ended, "/d/never"); !errors.Is(err, context.Canceled) {
		t.Errorf("copying with an ended context: %v", err)
	}
	if n, err := countPairs(t, s); err != nil || n != commits {
		t.Errorf("after the copies: %d, %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Checkpoint(t.Context(), "/d/never"); err == nil {
		t.Error("a closed store was copied")
	}
}

// TestFailedCheckpoint fails the writing of a copy: the store goes on, and what
// there is of the copy isn't a store.
func TestFailedCheckpoint(t *testing.T) {
	for after := 0; ; after += 1 + after/8 {
		faults := &faultFS{FS: vfs.NewMem()}
		s := mustCreate(t, faults)
		for i := range 15 {
			if err := addPair(t, s, i); err != nil {
				t.Fatal(err)
			}
		}
		faults.armBelow("/d/copy", fullDisk, after)
		err := s.Checkpoint(t.Context(), "/d/copy")
		failed := faults.disarm()
		if !failed {
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
			return
		}
		if err == nil {
			t.Errorf("operation %d failed and the copy was made", after)
		}
		if c, err := pebble.Open("/d/copy", options(faults, nil)); err == nil {
			// All was done but the last answer.
			if n, err := countPairs(t, c); err != nil || n != 15 {
				t.Errorf("operation %d: half a copy was opened: %d, %v", after, n, err)
			}
			c.Close()
		}
		if err := addPair(t, s, 15); err != nil {
			t.Errorf("operation %d: the store doesn't go on: %v", after, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestQuiet loads a store with debug logs on and looks for rows in them.
func TestQuiet(t *testing.T) {
	var log lines
	o := options(vfs.NewMem(), &log)
	s, err := pebble.Create("/d/store", o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := addPair(t, s, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = pebble.Open("/d/store", o); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), secret) {
		t.Error("a row was logged")
	}
	for line := range strings.Lines(log.String()) {
		if !strings.Contains(line, "level="+slog.LevelDebug.String()) {
			t.Errorf("not quiet: %s", line)
		}
	}
}
