// SPDX-License-Identifier: EUPL-1.2

package keys

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// createFile writes a new file whole or not at all, and syncs it and its folder before it returns. It fails if the file
// exists. What a crash leaves is a temporary file, which Open removes.
func (d *Dir) createFile(name string, data []byte) error {
	return d.writeFile(name, data, d.root.Link)
}

// ensureFile is createFile, content with a file that exists.
func (d *Dir) ensureFile(name string, data []byte) error {
	err := d.createFile(name, data)
	if errors.Is(err, fs.ErrExist) {
		return d.syncFolder(name)
	}
	return err
}

// replaceFile writes a file in place of another, if there is one: readers, and a crash, see either.
func (d *Dir) replaceFile(name string, data []byte) error {
	return d.writeFile(name, data, d.root.Rename)
}

func (d *Dir) writeFile(name string, data []byte, place func(from, to string) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("couldn't write %s: %w", d.name(name), err)
		}
	}()
	temp := path.Join(path.Dir(name), temporary+rand.Text())
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = place(temp, name)
	}
	if removeErr := d.root.Remove(temp); !errors.Is(removeErr, fs.ErrNotExist) {
		err = errors.Join(err, removeErr)
	}
	if err != nil {
		return err
	}
	return d.syncFolder(name)
}

// readFile reads a file that is nobody's but the owner's.
func (d *Dir) readFile(name string) ([]byte, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, d.wrong(name, err)
	}
	defer f.Close()
	if err := d.checkPrivate(f, name, 0); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, d.wrong(name, err)
	}
	return data, nil
}

// wipeFile overwrites a file, so that its inode holds no secret whoever else has a name for it, and unlinks it. It is
// content with a file that doesn't exist.
func (d *Dir) wipeFile(name string) error {
	f, err := d.root.OpenFile(name, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return d.syncFolder(name)
	}
	if err != nil {
		return fmt.Errorf("couldn't destroy %s: %w", d.name(name), err)
	}
	info, err := f.Stat()
	if err == nil {
		noise := make([]byte, info.Size())
		rand.Read(noise)
		_, err = f.Write(noise)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = d.root.Remove(name)
	}
	if err != nil {
		return fmt.Errorf("couldn't destroy %s: %w", d.name(name), err)
	}
	return d.syncFolder(name)
}

// list returns the sorted names in a folder that is nobody's but the owner's, without what a crash left there, which it removes.
func (d *Dir) list(folder string) ([]string, error) {
	f, err := d.root.Open(folder)
	if err != nil {
		return nil, d.wrong(folder, err)
	}
	defer f.Close()
	if err := d.checkPrivate(f, folder, fs.ModeDir); err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, d.wrong(folder, err)
	}
	slices.Sort(names)
	kept := names[:0]
	for _, name := range names {
		if !strings.HasPrefix(name, temporary) {
			kept = append(kept, name)
		} else if d.rest {
			continue
		} else if err := d.root.Remove(path.Join(folder, name)); err != nil {
			return nil, fmt.Errorf("couldn't remove what a crash left: %w", err)
		}
	}
	return kept, nil
}

// checkPrivate refuses a file of another type, or one that others than its owner have rights to.
func (d *Dir) checkPrivate(f *os.File, name string, want fs.FileMode) error {
	info, err := f.Stat()
	if err != nil {
		return d.wrong(name, err)
	}
	if info.Mode().Type() != want {
		return d.wrong(name, ErrDamaged)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s has mode %04o: %w: run chmod go-rwx on it, and ask who read it", d.name(name), mode, ErrPermissions)
	}
	return nil
}

func (d *Dir) syncFolder(name string) error {
	f, err := d.root.Open(path.Dir(name))
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("couldn't sync the folder of %s: %w", d.name(name), err)
	}
	return nil
}

func (d *Dir) missing(name string) error {
	return fmt.Errorf("%s: %w", d.name(name), fs.ErrNotExist)
}

func syncPath(dir string) error {
	f, err := os.Open(dir)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("couldn't sync %s: %w", dir, err)
	}
	return nil
}
