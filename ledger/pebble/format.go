// SPDX-License-Identifier: EUPL-1.2

package pebble

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"regexp"
	"strconv"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/traccia-ledger/traccia/ledger/store"
)

const (
	formatName    = "FORMAT"
	formatVersion = 1
)

var (
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
	formatLines = regexp.MustCompile(`^(traccia pebble store, format ([1-9][0-9]{0,8})\n)([0-9a-f]{8})\n$`)
)

func formatBytes(version int) []byte {
	line := fmt.Sprintf("traccia pebble store, format %d\n", version)
	return fmt.Appendf([]byte(line), "%08x\n", crc32.Checksum([]byte(line), castagnoli))
}

// parseFormat returns the version in the bytes of a FORMAT file.
func parseFormat(data []byte) (version int, ok bool) {
	m := formatLines.FindSubmatch(data)
	if m == nil || string(m[3]) != fmt.Sprintf("%08x", crc32.Checksum(m[1], castagnoli)) {
		return 0, false
	}
	version, err := strconv.Atoi(string(m[2]))
	return version, err == nil
}

// writeFormat makes dir a store.
func writeFormat(fsys vfs.FS, dir string) error {
	return replaceFile(fsys, dir, formatName, formatBytes(formatVersion))
}

// replaceFile writes a file through another name, so that a crash leaves the
// old one or the new one, whole.
func replaceFile(fsys vfs.FS, dir, name string, data []byte) error {
	temporary := fsys.PathJoin(dir, name+".new")
	f, err := fsys.Create(temporary, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(temporary, fsys.PathJoin(dir, name)); err != nil {
		return err
	}
	return syncDir(fsys, dir)
}

func syncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readFile returns the first bytes of a file, at most limit.
func readFile(fsys vfs.FS, path string, limit int64) ([]byte, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit))
	return data, errors.Join(err, f.Close())
}

// readFormat refuses a directory that this version can't open.
func readFormat(fsys vfs.FS, dir string) error {
	path := fsys.PathJoin(dir, formatName)
	data, err := readFile(fsys, path, 256)
	if errors.Is(err, fs.ErrNotExist) {
		if names, listErr := fsys.List(dir); listErr == nil && len(names) > 0 {
			return fmt.Errorf("%w: %s is missing: not a store, or one whose creation or copy was cut short; restore it from a backup or create another",
				store.ErrDamaged, path)
		}
		return fmt.Errorf("there is no store in %s: %w", dir, err)
	}
	if err != nil {
		return err
	}
	version, ok := parseFormat(data)
	switch {
	case !ok:
		return fmt.Errorf("%w: %s: restore the store from a backup", store.ErrDamaged, path)
	case version > formatVersion:
		return fmt.Errorf("%w: %s says format %d, this version reads format %d: install the newer version",
			store.ErrNewer, path, version, formatVersion)
	}
	return nil
}
