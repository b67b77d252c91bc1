// SPDX-License-Identifier: EUPL-1.2

// Package durable makes files and folders that are there whole or not at all: written under a temporary name beside the
// final one, synced, and then renamed.
//
// What must always hold: a folder that has its final name is on disk with everything in it, whatever crashes; and no
// folder is ever replaced.
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Folder is a folder that is being filled. It belongs to one goroutine.
type Folder struct {
	final string
	temp  string
	mode  fs.FileMode     // of directories
	dirs  map[string]bool // below temp, to be synced
}

// NewFolder begins the folder path, which must not exist. Its parents are made. It has this mode, and so have the folders
// in it.
func NewFolder(path string, mode fs.FileMode) (*Folder, error) {
	path = filepath.Clean(path)
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrExist)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	parent := filepath.Dir(path)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp(parent, "."+filepath.Base(path)+".partial-")
	if err != nil {
		return nil, err
	}
	f := &Folder{final: path, temp: temp, mode: mode, dirs: map[string]bool{".": true}}
	if err := os.Chmod(temp, mode); err != nil {
		return nil, errors.Join(err, f.Abandon())
	}
	return f, nil
}

// Path is where a file of the folder is until Finish.
func (f *Folder) Path(name string) string { return filepath.Join(f.temp, name) }

// Create begins a new file; the caller closes it, which syncs it.
func (f *Folder) Create(name string, mode fs.FileMode) (*File, error) {
	if !filepath.IsLocal(name) {
		return nil, fmt.Errorf("%s isn't a name within the folder", name)
	}
	if err := f.mkdir(filepath.Dir(name)); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(f.Path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	return &File{file}, nil
}

// mkdir makes a folder in the folder.
func (f *Folder) mkdir(name string) error {
	if f.dirs[name] {
		return nil
	}
	if err := f.mkdir(filepath.Dir(name)); err != nil {
		return err
	}
	f.dirs[name] = true
	return os.Mkdir(f.Path(name), f.mode)
}

// Write makes a whole file.
func (f *Folder) Write(name string, mode fs.FileMode, data []byte) error {
	file, err := f.Create(name, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Close())
}

// CopyFS copies a whole tree into the folder. Its files get this mode.
func (f *Folder) CopyFS(tree fs.FS, mode fs.FileMode) error {
	return fs.WalkDir(tree, ".", func(path string, entry fs.DirEntry, err error) error {
		name := filepath.FromSlash(path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return f.mkdir(name)
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%s is no plain file", path)
		}
		in, err := tree.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := f.Create(name, mode)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	})
}

// Finish syncs the folder and gives it its name.
func (f *Folder) Finish() error {
	for dir := range f.dirs {
		if err := SyncDir(f.Path(dir)); err != nil {
			return errors.Join(err, f.Abandon())
		}
	}
	// Rename would replace an empty folder made meanwhile.
	if _, err := os.Lstat(f.final); err == nil {
		return errors.Join(fmt.Errorf("%s: %w", f.final, fs.ErrExist), f.Abandon())
	}
	if err := os.Rename(f.temp, f.final); err != nil {
		return errors.Join(err, f.Abandon())
	}
	return SyncDir(filepath.Dir(f.final))
}

// Abandon removes what was written.
func (f *Folder) Abandon() error { return os.RemoveAll(f.temp) }

// File is a file whose Close returns once it is on disk.
type File struct{ *os.File }

// Close syncs and closes the file.
func (f *File) Close() error { return errors.Join(f.Sync(), f.File.Close()) }
