// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"

	"github.com/traccia-ledger/traccia/ledger"
)

// maxLine is how much of a line is looked at: a submission and its line end.
const maxLine = maxSubmission + 2

// outgoing is a line of the file of submissions on its way.
type outgoing struct {
	number     int64 // in the file, from 1
	start, end int64 // bytes in the file, with the line end
	raw        []byte
	outcome    *outcome // nil until the ledger answered for good
}

// outcome is a final answer to a line.
//
//	{"line":1,"status":201,"answer":{"receipt_id":…}}
//	{"line":2,"status":422,"problem":{"code":"expired","where":"voucher#exp",…}}
type outcome struct {
	status  int
	answer  *answer         // of status 200 and 201, and of an access that is denied
	problem *ledger.Problem // of any other
}

// lineReader cuts a file into lines that aren't blank.
type lineReader struct {
	in     *bufio.Reader
	number int64
	offset int64
}

func newLineReader(r io.Reader, s *state) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(r, 1<<16), number: s.Lines, offset: s.Offset}
}

// next gives a line, or io.EOF. One that is too long for a ledger comes already
// refused, and without its bytes.
func (r *lineReader) next() (*outgoing, error) {
	for {
		line := &outgoing{number: r.number + 1, start: r.offset}
		long := false
		for {
			part, err := r.in.ReadSlice('\n')
			r.offset += int64(len(part))
			if long = long || len(line.raw)+len(part) > maxLine; !long {
				line.raw = append(line.raw, part...)
			}
			if err == nil || errors.Is(err, io.EOF) && r.offset > line.start {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return nil, err
			}
		}
		r.number++
		line.end = r.offset
		if long {
			line.raw = nil
			line.outcome = &outcome{status: http.StatusRequestEntityTooLarge, problem: &ledger.Problem{
				Code: ledger.CodeTooLong, Expected: "a submission of at most 4 MiB", Found: "more"}}
			return line, nil
		}
		line.raw = bytes.TrimSuffix(line.raw, []byte("\n"))
		if len(bytes.TrimSpace(line.raw)) > 0 {
			return line, nil
		}
	}
}

// digest is what the state remembers a line by.
func (l *outgoing) digest() ledger.Hex { return sha256.Sum256(l.raw) }

// countLines says how many lines that aren't blank are left, for the progress
// bar, and puts the file back.
func countLines(f io.ReadSeeker, s *state) (n int64, err error) {
	r := newLineReader(f, s)
	for {
		if _, err := r.next(); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			_, back := f.Seek(s.Offset, io.SeekStart)
			return n, errors.Join(err, back)
		}
		n++
	}
}
