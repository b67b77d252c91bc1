// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// createFile writes a new file and has it on disk when it returns. It fails
// with fs.ErrExist where there is one.
func createFile(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// replaceFile puts a file of mode 0600 in place of another, if there is one.
// Readers, and a crash, see either whole; it is on disk when this returns.
func replaceFile(path string, data []byte) error {
	if err := placeFile(path, data); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// placeFile is replaceFile for one of many files, whose folder the caller syncs.
func placeFile(path string, data []byte) error {
	temp := filepath.Join(filepath.Dir(path), ".agency-"+rand.Text())
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
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

// syncFolder makes the names in a folder durable. Windows has no way to and no
// need.
func syncFolder(folder string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// readFile reads a file of at most most bytes.
func readFile(path string, most int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("%s: expected at most %d bytes, found more", path, most)
	}
	return data, err
}
