// SPDX-License-Identifier: EUPL-1.2

package pebble

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// stagingName is a directory in the store's, where a copy is made first: on the
// same file system, so that tables are linked and not copied.
const stagingName = "COPY"

// Checkpoint makes a copy of the store in dir, which must not exist, while the
// store goes on. The copy shows all that was committed before the call, and
// nothing that this store could still lose. Commits wait while tables are
// linked and the log is copied, some tens of milliseconds; what must be copied
// to another file system is copied after that.
func (s *Store) Checkpoint(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := s.fs.Stat(dir); err == nil {
		return fmt.Errorf("couldn't copy the store: %s: %w", dir, fs.ErrExist)
	}
	s.copying.Lock()
	defer s.copying.Unlock()
	staging := s.fs.PathJoin(s.dir, stagingName)
	err := s.stage(staging)
	if err == nil {
		err = moveOut(s.fs, staging, s.fs.PathJoin(dir))
	}
	if err != nil && !errors.Is(err, errClosed) {
		err = errors.Join(err, s.fs.RemoveAll(staging))
	}
	if err != nil {
		return fmt.Errorf("couldn't copy the store: %w", wrap(s.dir, err))
	}
	return nil
}

// stage makes Pebble's checkpoint while no commit is under way. Pebble copies
// its log, which may be a recycled file: a reader who meets the writer there
// sees old bytes followed by new ones, and such a copy can't be opened.
func (s *Store) stage(staging string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	return s.stop.run(func() (err error) {
		// Pebble panics when it can't sync the directory of the copy.
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("pebble: %w", errOf(r))
			}
		}()
		return s.db.Checkpoint(staging)
	})
}

// errOf returns what was panicked with, if it is an error; any other value is a
// mistake in the program, which stays one.
func errOf(r any) error {
	if err, ok := r.(error); ok {
		return err
	}
	panic(r)
}

// moveOut makes a store in dir of the checkpoint in staging.
func moveOut(fsys vfs.FS, staging, dir string) error {
	names, err := fsys.List(staging)
	if err != nil {
		return err
	}
	if err := makeDir(fsys, dir); err != nil {
		return err
	}
	for _, name := range names {
		from, to := fsys.PathJoin(staging, name), fsys.PathJoin(dir, name)
		if err := fsys.Rename(from, to); err == nil {
			continue
		}
		// On another file system, most often.
		if err := vfs.Copy(fsys, from, to); err != nil {
			return err
		}
	}
	if err := fsys.RemoveAll(staging); err != nil {
		return err
	}
	return sealCopy(fsys, dir)
}
