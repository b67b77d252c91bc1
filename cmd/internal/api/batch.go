// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/traccia-ledger/traccia/ledger"
)

// How much of a batch may wait for its commit at once: the more, the larger
// the commits; the less, the less memory a client holds.
const (
	window      = 2048     // lines
	windowBytes = 64 << 20 // bytes of lines
	lineCost    = 8 << 10  // bytes counted for a line's answer, beside its own
)

// batchLine answers one line of a batch, in the order of the lines:
//
//	{"line":1,"status":201,"answer":{"receipt_id":…}}
//	{"line":2,"status":422,"problem":{"code":"expired",…}}
type batchLine struct {
	Line    int             `json:"line"`
	Status  int             `json:"status"`
	Answer  json.RawMessage `json:"answer,omitempty"`
	Problem *problem        `json:"problem,omitempty"`
}

// serveBatch takes NDJSON, a submission a line, and streams an answer for each
// line while the rest still comes in. What it answered is durable, whatever
// becomes of the connection.
func (s *Server) serveBatch(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	if err := control.EnableFullDuplex(); err != nil {
		s.log.Error("couldn't stream a batch", "error", err)
		writeProblem(w, http.StatusInternalServerError, internal)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	// A channel of channels keeps the lines in order while they are worked on
	// side by side.
	pending := make(chan chan batchLine, window)
	go func() {
		defer close(pending)
		s.readBatch(r, control, pending)
	}()
	out := json.NewEncoder(w)
	failed := false
	for line := range pending {
		answer, ok := <-line
		if failed || !ok {
			continue // the client is gone; what was read is still recorded
		}
		control.SetWriteDeadline(time.Now().Add(patience))
		if err := out.Encode(answer); err != nil {
			failed = true
			continue
		}
		if len(pending) == 0 {
			failed = control.Flush() != nil
		}
	}
}

// readBatch starts the work on each line as it arrives.
func (s *Server) readBatch(r *http.Request, control *http.ResponseController, pending chan<- chan batchLine) {
	in := bufio.NewReaderSize(r.Body, 64<<10)
	memory := semaphore.NewWeighted(windowBytes)
	for number := 1; ; {
		control.SetReadDeadline(time.Now().Add(patience))
		raw, err := readLine(in)
		if errors.Is(err, io.EOF) && len(raw) == 0 {
			return
		}
		if err == nil || errors.Is(err, io.EOF) {
			if len(bytes.TrimSpace(raw)) == 0 {
				if err != nil {
					return
				}
				continue
			}
		}
		answer := make(chan batchLine, 1)
		pending <- answer
		if errors.Is(err, errLineTooLong) {
			p := newProblem(http.StatusRequestEntityTooLarge, tooLargeProblem())
			answer <- batchLine{Line: number, Status: p.Status, Problem: &p}
			return
		}
		if err != nil && !errors.Is(err, io.EOF) {
			p := newProblem(http.StatusRequestTimeout, ledger.Problem{Code: "incomplete", Expected: "a whole line within " + patience.String(), Found: "a part of it"})
			answer <- batchLine{Line: number, Status: p.Status, Problem: &p}
			return
		}
		cost := int64(len(raw) + lineCost)
		if memory.Acquire(r.Context(), cost) != nil {
			close(answer)
			return
		}
		go func(number int) {
			defer memory.Release(cost)
			answer <- s.answerLine(r, number, raw)
		}(number)
		if err != nil {
			return
		}
		number++
	}
}

func (s *Server) answerLine(r *http.Request, number int, raw []byte) batchLine {
	status, answer, p := s.submit(r, raw, "batch")
	if p != nil {
		out := newProblem(status, *p)
		return batchLine{Line: number, Status: status, Problem: &out}
	}
	body, err := ledger.FormatAnswer(answer)
	if err != nil {
		s.log.Error("couldn't format an answer", "error", err)
		out := newProblem(http.StatusInternalServerError, internal)
		return batchLine{Line: number, Status: out.Status, Problem: &out}
	}
	return batchLine{Line: number, Status: status, Answer: body}
}

var errLineTooLong = errors.New("line too long")

// readLine returns the next line without its end, in memory of its own.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > MaxSubmission+1 {
			return nil, errLineTooLong
		}
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSuffix(line, []byte("\n")), err
		}
	}
}
