// SPDX-License-Identifier: EUPL-1.2

package pebble_test

import (
	"errors"
	"io/fs"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// How an operation fails.
const (
	notDone  = iota // it fails and did nothing
	halfDone        // a write stops half way; of other operations nothing is done
	done            // it fails and is done all the same
	fullDisk        // it and every one after fail and did nothing
	modes
)

// faultFS fails one of the operations that change files, counted from arm on.
type faultFS struct {
	vfs.FS

	mu     sync.Mutex
	armed  bool
	below  string // only operations on paths that start so
	mode   int
	left   int  // operations to go
	failed bool // the one has failed
}

func (f *faultFS) arm(mode, after int) { f.armBelow("", mode, after) }

func (f *faultFS) armBelow(path string, mode, after int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed, f.below, f.mode, f.left, f.failed = true, path, mode, after, false
}

// disarm returns whether an operation failed.
func (f *faultFS) disarm() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = false
	return f.failed
}

// next returns whether this operation fails, and how.
func (f *faultFS) next(path string) (fails bool, mode int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.armed || !strings.HasPrefix(path, f.below) {
		return false, 0
	}
	if f.failed {
		return f.mode == fullDisk, f.mode
	}
	f.left--
	f.failed = f.left < 0
	return f.failed, f.mode
}

func (f *faultFS) do(path string, op func() error) error {
	fails, mode := f.next(path)
	if !fails {
		return op()
	}
	if mode == done {
		return errors.Join(&fs.PathError{Op: "test", Path: path, Err: syscall.EIO}, op())
	}
	return &fs.PathError{Op: "test", Path: path, Err: syscall.ENOSPC}
}

func (f *faultFS) open(path string, op func() (vfs.File, error)) (file vfs.File, err error) {
	if err = f.do(path, func() error { file, err = op(); return err }); err != nil {
		if file != nil {
			file.Close()
		}
		return nil, err
	}
	return &faultFile{File: file, fs: f, path: path}, nil
}

func (f *faultFS) Unwrap() vfs.FS { return f.FS }

func (f *faultFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(name, func() (vfs.File, error) { return f.FS.Create(name, c) })
}

func (f *faultFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return f.open(name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, c, o...) })
}

func (f *faultFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(newname, func() (vfs.File, error) { return f.FS.ReuseForWrite(oldname, newname, c) })
}

func (f *faultFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &faultFile{File: file, fs: f, path: name}, nil
}

func (f *faultFS) Rename(oldname, newname string) error {
	return f.do(newname, func() error { return f.FS.Rename(oldname, newname) })
}

func (f *faultFS) Remove(name string) error {
	return f.do(name, func() error { return f.FS.Remove(name) })
}

func (f *faultFS) MkdirAll(name string, perm fs.FileMode) error {
	return f.do(name, func() error { return f.FS.MkdirAll(name, perm) })
}

type faultFile struct {
	vfs.File
	fs   *faultFS
	path string
}

func (f *faultFile) Write(p []byte) (n int, err error) {
	fails, mode := f.fs.next(f.path)
	switch {
	case !fails:
		return f.File.Write(p)
	case mode == halfDone:
		n, _ = f.File.Write(p[:len(p)/2])
	case mode == done:
		n, _ = f.File.Write(p)
	}
	return n, &fs.PathError{Op: "write", Path: f.path, Err: syscall.ENOSPC}
}

func (f *faultFile) Sync() error { return f.fs.do(f.path, f.File.Sync) }

func (f *faultFile) SyncData() error { return f.fs.do(f.path, f.File.SyncData) }

func (f *faultFile) SyncTo(length int64) (full bool, err error) {
	err = f.fs.do(f.path, func() error { full, err = f.File.SyncTo(length); return err })
	return full, err
}
