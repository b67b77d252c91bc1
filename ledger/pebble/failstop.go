// SPDX-License-Identifier: EUPL-1.2

package pebble

import (
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/traccia-ledger/traccia/ledger/store"
)

// Pebble answers a failed write of its log or manifest by ending the process,
// by a panic with locks held, or by trying again for ever, as the moment has
// it. A ledger needs one answer: nothing more is written, the commit under way
// says that its outcome is unknown, and the directory is what a power cut would
// have left. So the first write that fails in the store's directory stops the
// stopper, and the goroutine that met it never returns to Pebble; nor does any
// that tries to write later. Readers of snapshots made before go on.

// A stopper remembers the failure that stopped a store.
type stopper struct {
	once  sync.Once
	done  chan struct{}
	cause error // set before done is closed
}

func newStopper() *stopper { return &stopper{done: make(chan struct{})} }

func (s *stopper) fail(cause error) {
	s.once.Do(func() {
		s.cause = cause
		close(s.done)
	})
}

func (s *stopper) stopped() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// err wraps store.ErrStopped and the failure. Only for a stopped store.
func (s *stopper) err() error {
	return fmt.Errorf("%w: mend the cause and open the store again: %w", store.ErrStopped, s.cause)
}

// run calls f, which may stand still for ever if the store stops meanwhile,
// and returns its error, or that of the stop.
func (s *stopper) run(f func() error) error {
	result := make(chan error, 1)
	go func() { result <- f() }()
	select {
	case err := <-result:
		return err
	case <-s.done:
	}
	select {
	case err := <-result: // both happened: f had finished
		return err
	default:
		return s.err()
	}
}

// before is called before each operation that changes the directory.
func (s *stopper) before() {
	if s.stopped() {
		select {}
	}
}

// after is called with the result of each.
func (s *stopper) after(err error) error {
	if err != nil {
		s.fail(err)
		select {}
	}
	return err
}

// failstopFS stops at the first failed write below dir. Elsewhere (a copy
// being made) failures are returned as they are.
type failstopFS struct {
	vfs.FS
	dir  string // clean
	stop *stopper
	sums *sums
}

func (f *failstopFS) guards(path string) bool {
	return path == f.dir || f.PathDir(path) == f.dir && f.PathBase(path) != stagingName
}

func (f *failstopFS) write(path string, op func() error) error {
	if !f.guards(path) {
		return op()
	}
	f.stop.before()
	return f.stop.after(op())
}

func (f *failstopFS) open(path string, op func() (vfs.File, error)) (file vfs.File, err error) {
	err = f.write(path, func() error {
		file, err = op()
		return err
	})
	if err == nil && f.guards(path) {
		if name := f.PathBase(path); strings.HasPrefix(name, manifestPrefix) {
			file = &manifestFile{File: file, sums: f.sums, now: sum{name: name}}
		}
		file = &failstopFile{File: file, stop: f.stop}
	}
	return file, err
}

func (f *failstopFS) Unwrap() vfs.FS { return f.FS }

// Lock does nothing: the store holds the directory's lock, and releases it even
// where Pebble stands still.
func (f *failstopFS) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

func (f *failstopFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(name, func() (vfs.File, error) { return f.FS.Create(name, c) })
}

func (f *failstopFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.open(name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, c, opts...) })
}

func (f *failstopFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(newname, func() (vfs.File, error) { return f.FS.ReuseForWrite(oldname, newname, c) })
}

func (f *failstopFS) OpenDir(name string) (vfs.File, error) {
	return f.open(name, func() (vfs.File, error) { return f.FS.OpenDir(name) })
}

func (f *failstopFS) Rename(oldname, newname string) error {
	return f.write(newname, func() error { return f.FS.Rename(oldname, newname) })
}

func (f *failstopFS) MkdirAll(dir string, perm fs.FileMode) error {
	return f.write(dir, func() error { return f.FS.MkdirAll(dir, perm) })
}

// Link and the removals fail harmlessly: Pebble copies instead, or leaves a
// file that the next Open removes.

func (f *failstopFS) Link(oldname, newname string) error {
	f.stop.before()
	return f.FS.Link(oldname, newname)
}

func (f *failstopFS) Remove(name string) error {
	f.stop.before()
	return f.FS.Remove(name)
}

func (f *failstopFS) RemoveAll(name string) error {
	f.stop.before()
	return f.FS.RemoveAll(name)
}

type failstopFile struct {
	vfs.File
	stop *stopper
}

func (f *failstopFile) Write(p []byte) (n int, err error) {
	f.stop.before()
	n, err = f.File.Write(p)
	return n, f.stop.after(err)
}

func (f *failstopFile) WriteAt(p []byte, off int64) (n int, err error) {
	f.stop.before()
	n, err = f.File.WriteAt(p, off)
	return n, f.stop.after(err)
}

func (f *failstopFile) Sync() error {
	f.stop.before()
	return f.stop.after(f.File.Sync())
}

func (f *failstopFile) SyncData() error {
	f.stop.before()
	return f.stop.after(f.File.SyncData())
}

func (f *failstopFile) SyncTo(length int64) (full bool, err error) {
	f.stop.before()
	full, err = f.File.SyncTo(length)
	return full, f.stop.after(err)
}
