// SPDX-License-Identifier: EUPL-1.2

// Package provider is the side of a party that keeps a scope's numbers: the file
// of its own records, and the check of them against the log, which ends in a
// signed statement (docs/provider-check.md). What is compared, and what that
// proves, is package verifier's; here are files, requests and waiting.
//
// What must always hold: a line is on disk before the answer that it is of
// counts as received; no subject leaves this machine but in the content of a
// signed request to the ledger.
package provider

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/verifier"
)

// Appender is the file of a party's own records, open to append to. Others may
// append to the same file.
type Appender struct{ file *os.File }

// OpenRecords opens the file, and makes it the first time. What a crash or a
// full disk left of a line is cut off: its answer never counted.
func OpenRecords(path string) (*Appender, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("couldn't open the own records: %w", err)
	}
	if err = cutTorn(file); err == nil {
		err = durable.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("couldn't open the own records: %w", err), file.Close())
	}
	return &Appender{file}, nil
}

func cutTorn(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	from := max(0, info.Size()-own.MaxLine)
	tail := make([]byte, info.Size()-from)
	if _, err := file.ReadAt(tail, from); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if len(tail) == 0 || tail[len(tail)-1] == '\n' {
		return nil
	}
	end := bytes.LastIndexByte(tail, '\n') + 1
	if end == 0 && from > 0 {
		return own.ErrLine
	}
	return file.Truncate(from + int64(end))
}

// Append writes entries, and returns when they are on disk.
func (r *Appender) Append(entries []own.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	var lines []byte
	for i := range entries {
		lines = own.AppendEntry(lines, &entries[i])
	}
	return r.append(lines)
}

func (r *Appender) append(lines []byte) error {
	_, err := r.file.Write(lines)
	if err == nil {
		err = r.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("couldn't keep the own records: %w", err)
	}
	return nil
}

// Close closes the file.
func (r *Appender) Close() error { return r.file.Close() }

// Entries checks the answer to a submission of the party's own as Prove does, and
// returns what is to be kept of it.
func Entries(answer []byte, logs []note.Verifier, s *ledger.Submission, at time.Time) ([]own.Entry, error) {
	report, err := Prove(answer, logs, s)
	if err != nil {
		return nil, err
	}
	return own.Entries(report.Answer, s, at)
}

// Prove checks the answer to a submission of the party's own. The error is a
// *ledger.Problem where the answer isn't proven: whoever sees it keeps the answer as
// evidence.
func Prove(answer []byte, logs []note.Verifier, s *ledger.Submission) (*verifier.ReceiptReport, error) {
	report := verifier.Receipt(answer, logs, s)
	if list := report.Problems(); len(list) > 0 {
		return nil, &list[0]
	}
	if !report.Proven() {
		return nil, errors.New("couldn't check the ledger's answer whole")
	}
	return report, nil
}

// Lines reads a file of own lines, without their ends. One that isn't ended yet
// is still being written, and isn't there.
func Lines(path string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		file, err := os.Open(path)
		if err != nil {
			yield(nil, err)
			return
		}
		defer file.Close()
		in := bufio.NewReaderSize(file, 1<<16)
		for {
			line, err := in.ReadSlice('\n')
			switch {
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				yield(nil, err)
				return
			case len(line) > own.MaxLine:
				yield(nil, own.ErrLine)
				return
			}
			if !yield(line[:len(line)-1], nil) {
				return
			}
		}
	}
}
