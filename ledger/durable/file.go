// SPDX-License-Identifier: EUPL-1.2

package durable

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Replace puts a file of this mode in place of another, if there is one.
// Readers, and a crash, see either whole; it is on disk when this returns.
func Replace(path string, data []byte, mode fs.FileMode) error {
	if err := Place(path, data, mode); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// Place is Replace for one of many files in a folder: its name is durable once
// the caller has called SyncDir.
func Place(path string, data []byte, mode fs.FileMode) error {
	temp := filepath.Join(filepath.Dir(path), ".new-"+rand.Text())
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return nil
}

// Create writes a file that isn't there yet, and has it on disk when it
// returns. It fails with fs.ErrExist where there is one.
func Create(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in a folder durable. Windows has no way to and no
// need.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
