// SPDX-License-Identifier: EUPL-1.2

package keys

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/traccia-ledger/traccia/ledger"
)

// Erasure says that a wrap was erased. After a restore of the database from a backup, the wrap with this handle is
// destroyed again if its hash is this one; a later wrap of the same person has another hash, and stays.
//
// The journal is a text file that only grows. A line is 147 bytes; its sum is the first 8 bytes of SHA-256 over the sum
// of the line before (8 zero bytes for the first), the handle and the hash, so that no line goes missing between others:
//
//	traccia-erasures/1
//	0100…64 hex digits 0200…64 hex digits 12fd9191450506f3
type Erasure struct {
	Handle ledger.Hash
	Wrap   ledger.Hash // SHA-256 of what seal.Wrap returned, without the row's version
}

const (
	journalHeader = "traccia-erasures/1\n"
	journalLine   = 64 + 1 + 64 + 1 + 16 + 1
)

type journal struct {
	mu       sync.Mutex
	file     *os.File
	erasures []Erasure
	handles  map[ledger.Hash]bool // of all erasures
	sum      [8]byte              // of the last line
	failed   error                // of the append that left the file in doubt
}

// AppendErasure adds to the journal, and returns once it is on disk. After an error nothing can be added until the
// directory is opened again.
func (d *Dir) AppendErasure(handle, wrap ledger.Hash) error {
	j := &d.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed != nil {
		return fmt.Errorf("%s is in doubt since an earlier error, restart to go on: %w", d.name(journalFile), j.failed)
	}
	e := Erasure{handle, wrap}
	line, sum := formatErasure(j.sum, e)
	_, err := j.file.Write(line)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.failed = err
		return fmt.Errorf("couldn't append to %s: %w", d.name(journalFile), err)
	}
	j.erasures, j.sum = append(j.erasures, e), sum
	j.handles[handle] = true
	return nil
}

// Erased says whether the journal names a wrap with this handle.
func (d *Dir) Erased(handle ledger.Hash) bool {
	d.journal.mu.Lock()
	defer d.journal.mu.Unlock()
	return d.journal.handles[handle]
}

// Erasures returns the whole journal, oldest first.
func (d *Dir) Erasures() []Erasure {
	d.journal.mu.Lock()
	defer d.journal.mu.Unlock()
	return slices.Clone(d.journal.erasures)
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed == nil {
		j.failed = os.ErrClosed
	}
	return j.file.Close()
}

// loadJournal reads the journal, cuts off a line that a crash left incomplete, and opens it for appending.
func (d *Dir) loadJournal() error {
	data, err := d.readFile(journalFile)
	if err != nil {
		return err
	}
	j := &d.journal
	var whole int
	if j.erasures, j.sum, whole, err = parseErasures(data); err != nil {
		return d.wrong(journalFile, err)
	}
	j.handles = make(map[ledger.Hash]bool, len(j.erasures))
	for _, e := range j.erasures {
		j.handles[e.Handle] = true
	}
	if j.file, err = d.root.OpenFile(journalFile, os.O_WRONLY|os.O_APPEND, 0); err != nil {
		return d.wrong(journalFile, err)
	}
	if whole < len(data) && !d.rest {
		if err := errors.Join(j.file.Truncate(int64(whole)), j.file.Sync()); err != nil {
			return fmt.Errorf("couldn't cut off the incomplete last line of %s: %w", d.name(journalFile), errors.Join(err, j.file.Close()))
		}
	}
	return nil
}

func formatErasure(previous [8]byte, e Erasure) (line []byte, sum [8]byte) {
	digest := sha256.Sum256(slices.Concat(previous[:], e.Handle[:], e.Wrap[:]))
	copy(sum[:], digest[:])
	return fmt.Appendf(nil, "%x %x %x\n", e.Handle, e.Wrap, sum), sum
}

// parseErasures reads a journal, and says how many of its bytes are whole lines. What follows them is shorter than a
// line: the append that wrote it never returned. The error is ErrDamaged.
func parseErasures(data []byte) (erasures []Erasure, sum [8]byte, whole int, err error) {
	rest, ok := bytes.CutPrefix(data, []byte(journalHeader))
	if !ok {
		return nil, sum, 0, ErrDamaged
	}
	for len(rest) >= journalLine {
		var e Erasure
		if _, err := hex.Decode(e.Handle[:], rest[:64]); err != nil {
			return nil, sum, 0, ErrDamaged
		}
		if _, err := hex.Decode(e.Wrap[:], rest[65:129]); err != nil {
			return nil, sum, 0, ErrDamaged
		}
		line, next := formatErasure(sum, e)
		if !bytes.Equal(line, rest[:journalLine]) {
			return nil, sum, 0, ErrDamaged
		}
		erasures, sum, rest = append(erasures, e), next, rest[journalLine:]
	}
	if bytes.IndexByte(rest, '\n') >= 0 {
		return nil, sum, 0, ErrDamaged
	}
	return erasures, sum, len(data) - len(rest), nil
}
