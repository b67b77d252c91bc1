// SPDX-License-Identifier: EUPL-1.2

package keys

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"

	"github.com/traccia-ledger/traccia/ledger"
)

// Survivors are the wraps that an erasure made of a month's surviving wraps, under the month's new key. They are kept
// beside the keys, one file a month, until the month's next erasure: a database restored from before the erasure has them
// under a key that was destroyed, and gets these instead. What was erased isn't among them. They are as secret as the
// database's own rows: without the month's key they open nothing.
//
//	"traccia-survivors/1 2026-11 2\n"     month, version of its key
//	handle 32 ‖ wrap 72                   ascending by handle, any number of them
//	SHA-256 of all before 32
type Survivors struct {
	dir     *Dir
	name    string
	temp    string
	file    *os.File
	out     *bufio.Writer
	sum     hash.Hash
	last    ledger.Hash
	written int
}

const (
	survivorsDir  = "survivors"
	survivorBytes = 32 + wrapSize
)

func survivorsFile(month string) string { return survivorsDir + "/" + month }

func survivorsHeader(month string, version uint32) []byte {
	return fmt.Appendf(nil, "traccia-survivors/1 %s %d\n", month, version)
}

// NewSurvivors begins a file of survivors under this version of a month's key. The caller ends it with Keep or Abandon.
func (d *Dir) NewSurvivors(month string, version uint32) (*Survivors, error) {
	if !isMonth(month) {
		return nil, errMonth
	}
	s := &Survivors{dir: d, name: survivorsFile(month), sum: sha256.New()}
	if err := d.root.Mkdir(survivorsDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("couldn't keep survivors: %w", err)
	}
	if err := d.syncFolder(survivorsDir); err != nil {
		return nil, err
	}
	s.temp = survivorsDir + "/" + temporary + rand.Text()
	var err error
	if s.file, err = d.root.OpenFile(s.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, fmt.Errorf("couldn't keep survivors: %w", err)
	}
	s.out = bufio.NewWriterSize(io.MultiWriter(s.file, s.sum), 1<<16)
	if _, err := s.out.Write(survivorsHeader(month, version)); err != nil {
		return nil, errors.Join(fmt.Errorf("couldn't keep survivors: %w", err), s.Abandon())
	}
	return s, nil
}

// Add adds a wrap, what seal.Wrap returned. Handles come in ascending order.
func (s *Survivors) Add(handle ledger.Hash, stored []byte) error {
	if len(stored) != wrapSize || s.written > 0 && bytes.Compare(handle[:], s.last[:]) <= 0 {
		return fmt.Errorf("couldn't keep survivors: %w", ErrMalformedWrap)
	}
	s.last, s.written = handle, s.written+1
	_, err := s.out.Write(handle[:])
	if err == nil {
		_, err = s.out.Write(stored)
	}
	if err != nil {
		return fmt.Errorf("couldn't keep survivors: %w", err)
	}
	return nil
}

// Keep puts the file in place of the month's last one, and returns once it is on disk.
func (s *Survivors) Keep() error {
	err := s.out.Flush()
	if err == nil {
		_, err = s.file.Write(s.sum.Sum(nil))
	}
	err = errors.Join(err, s.file.Sync(), s.file.Close())
	if err == nil {
		err = s.dir.root.Rename(s.temp, s.name)
	}
	if err != nil {
		return fmt.Errorf("couldn't keep survivors: %w", errors.Join(err, s.dir.root.Remove(s.temp)))
	}
	return s.dir.syncFolder(s.name)
}

// Abandon gives the file up.
func (s *Survivors) Abandon() error {
	return errors.Join(s.file.Close(), s.dir.root.Remove(s.temp))
}

// Kept reads the survivors of a month in order. It belongs to one goroutine.
type Kept struct {
	file    *os.File
	in      *bufio.Reader
	Version uint32 // of the month's key that they are under
	left    int64

	handle ledger.Hash
	stored []byte
}

// Survivors opens a month's survivors, after checking the whole file; nil when the month has none. The error wraps
// ErrDamaged for a file that isn't as it was written.
func (d *Dir) Survivors(month string) (*Kept, error) {
	name := survivorsFile(month)
	f, err := d.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, d.wrong(name, err)
	}
	k := &Kept{file: f}
	if err := errors.Join(d.checkPrivate(f, name, 0), k.begin(month)); err != nil {
		return nil, errors.Join(d.wrong(name, err), f.Close())
	}
	return k, nil
}

func (k *Kept) begin(month string) error {
	info, err := k.file.Stat()
	if err != nil {
		return err
	}
	sum, in := sha256.New(), bufio.NewReaderSize(k.file, 1<<16)
	if _, err := io.CopyN(sum, in, info.Size()-sha256.Size); err != nil {
		return ErrDamaged
	}
	trailer, err := io.ReadAll(in)
	if err != nil || !bytes.Equal(trailer, sum.Sum(nil)) {
		return ErrDamaged
	}
	if _, err := k.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	in.Reset(k.file)
	header, err := in.ReadBytes('\n')
	if err != nil {
		return ErrDamaged
	}
	var named string
	if _, err := fmt.Sscanf(string(header), "traccia-survivors/1 %7s %d\n", &named, &k.Version); err != nil ||
		named != month || k.Version == 0 || !bytes.Equal(header, survivorsHeader(month, k.Version)) {
		return ErrDamaged
	}
	body := info.Size() - sha256.Size - int64(len(header))
	if body%survivorBytes != 0 {
		return ErrDamaged
	}
	k.in, k.left = in, body/survivorBytes
	return k.next()
}

// next reads one wrap ahead.
func (k *Kept) next() error {
	if k.left == 0 {
		k.stored = nil
		return nil
	}
	k.left--
	row := make([]byte, survivorBytes)
	if _, err := io.ReadFull(k.in, row); err != nil {
		return fmt.Errorf("couldn't read survivors: %w", err)
	}
	k.handle, k.stored = ledger.Hash(row[:32]), row[32:]
	return nil
}

// Find returns the wrap of a handle, nil if it isn't among the survivors. Handles are asked for in ascending order.
func (k *Kept) Find(handle ledger.Hash) ([]byte, error) {
	for k.stored != nil && bytes.Compare(k.handle[:], handle[:]) < 0 {
		if err := k.next(); err != nil {
			return nil, err
		}
	}
	if k.stored == nil || k.handle != handle {
		return nil, nil
	}
	return k.stored, nil
}

// Close releases the file.
func (k *Kept) Close() error { return k.file.Close() }

// removeSurvivors takes a month's survivors away, if there are any.
func (d *Dir) removeSurvivors(month string) error {
	if err := d.root.Remove(survivorsFile(month)); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("couldn't remove survivors: %w", err)
	}
	return d.syncFolder(survivorsFile(month))
}

// loadSurvivors removes what a crash left, and refuses what has no place.
func (d *Dir) loadSurvivors() error {
	if _, err := d.root.Stat(survivorsDir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	files, err := d.list(survivorsDir)
	if err != nil {
		return err
	}
	for _, name := range files {
		if !isMonth(name) {
			return d.misplaced(survivorsDir + "/" + name)
		}
	}
	return nil
}
