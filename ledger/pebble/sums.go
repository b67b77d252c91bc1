// SPDX-License-Identifier: EUPL-1.2

package pebble

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"sync"

	db "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/traccia-ledger/traccia/ledger/store"
)

// Pebble's manifest says which files are the store. A record of it that can't
// be read is for Pebble the torn end of the manifest: it goes on with an older
// list of files and removes the others, so one flipped bit would lose commits
// without a word. The SUMS file says how much of each manifest was synced, and
// the CRC-32C of that. It is written after each sync of a manifest and before
// Pebble learns of it, hence before any file becomes superfluous:
//
//	MANIFEST-000001 1234 9ae0daaf\n     name, bytes, CRC-32C of them in hex
//	MANIFEST-000007 88 1c291ca3\n       at most two: one may be about to follow the other
//	2f8b6a11\n                          CRC-32C of the lines before
//
// What lies beyond those bytes may be torn: nothing stands on it yet.

const (
	sumsName       = "SUMS"
	manifestPrefix = "MANIFEST-"
)

type sum struct {
	name string
	size int64
	crc  uint32
}

var sumLine = regexp.MustCompile(`^(MANIFEST-[0-9]{6,19}) (0|[1-9][0-9]{0,17}) ([0-9a-f]{8})$`)

func formatSums(sums []sum) []byte {
	var lines []byte
	for _, s := range sums {
		lines = fmt.Appendf(lines, "%s %d %08x\n", s.name, s.size, s.crc)
	}
	return fmt.Appendf(lines, "%08x\n", crc32.Checksum(lines, castagnoli))
}

func parseSums(data []byte) (sums []sum, ok bool) {
	for line := range strings.Lines(string(data)) {
		if m := sumLine.FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil {
			size, _ := strconv.ParseInt(m[2], 10, 64) // at most 18 digits
			crc, _ := strconv.ParseUint(m[3], 16, 32) // 8 hex digits
			sums = append(sums, sum{m[1], size, uint32(crc)})
		}
	}
	return sums, len(sums) <= 2 && bytes.Equal(formatSums(sums), data)
}

// sums keeps the SUMS file of an open store.
type sums struct {
	mu   sync.Mutex
	fs   vfs.FS
	dir  string
	last []sum // what the file says; guarded by mu
}

// synced records that a manifest was synced.
func (s *sums) synced(now sum) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.last); n > 0 && s.last[n-1].name == now.name {
		s.last[n-1] = now
	} else {
		s.last = append(s.last[max(0, n-1):n:n], now)
	}
	return replaceFile(s.fs, s.dir, sumsName, formatSums(s.last))
}

// manifestFile sums a manifest as Pebble writes it.
type manifestFile struct {
	vfs.File
	sums *sums
	now  sum
}

func (f *manifestFile) Write(p []byte) (n int, err error) {
	f.now.size += int64(len(p)) // less is an error, which stops the store
	f.now.crc = crc32.Update(f.now.crc, castagnoli, p)
	return f.File.Write(p) // may change p
}

func (f *manifestFile) Sync() error {
	if err := f.File.Sync(); err != nil {
		return err
	}
	return f.sums.synced(f.now)
}

func (f *manifestFile) SyncData() error { return f.Sync() }

// checkManifest compares the manifest of a store with its sum, and returns the
// sums for the store to go on with.
func checkManifest(fsys vfs.FS, dir string) ([]sum, error) {
	path := fsys.PathJoin(dir, sumsName)
	data, err := readFile(fsys, path, 1<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is missing: restore the store from a backup", store.ErrDamaged, path)
	}
	if err != nil {
		return nil, err
	}
	sums, ok := parseSums(data)
	if !ok {
		return nil, fmt.Errorf("%w: %s: restore the store from a backup", store.ErrDamaged, path)
	}
	path, err = currentManifest(fsys, dir)
	if err != nil {
		return nil, err
	}
	for _, want := range sums {
		if want.name != fsys.PathBase(path) {
			continue
		}
		got, err := sumFile(fsys, path, want.size)
		if err != nil {
			return nil, err
		}
		if got == want {
			return sums, nil
		}
	}
	return nil, fmt.Errorf("%w: %s isn't what was written: restore the store from a backup", store.ErrDamaged, path)
}

// sealCopy makes a copy by Pebble a store: it writes the sums, then FORMAT.
func sealCopy(fsys vfs.FS, dir string) error {
	path, err := currentManifest(fsys, dir)
	if err != nil {
		return err
	}
	s, err := sumFile(fsys, path, 1<<62)
	if err != nil {
		return err
	}
	if err := replaceFile(fsys, dir, sumsName, formatSums([]sum{s})); err != nil {
		return err
	}
	return writeFormat(fsys, dir)
}

func currentManifest(fsys vfs.FS, dir string) (string, error) {
	desc, err := db.Peek(dir, fsys)
	if err != nil {
		return "", wrap(dir, err)
	}
	if !desc.Exists {
		return "", fmt.Errorf("%w: %s has no manifest: restore the store from a backup", store.ErrDamaged, dir)
	}
	return desc.ManifestFilename, nil
}

// sumFile sums the first bytes of a file, at most size.
func sumFile(fsys vfs.FS, path string, size int64) (sum, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return sum{}, wrap(path, err)
	}
	defer f.Close()
	crc := crc32.New(castagnoli)
	n, err := io.Copy(crc, io.LimitReader(f, size))
	if err != nil {
		return sum{}, err
	}
	return sum{fsys.PathBase(path), n, crc.Sum32()}, nil
}
