// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// How much of a batch may wait for its commit at once: the more, the larger
// the commits; the less, the less memory a client holds.
const (
	window      = 2048      // lines
	windowBytes = 64 << 20  // bytes of lines, as costOf counts them
	allLines    = 256 << 20 // the same, of all batches together
	lineCost    = 8 << 10   // bytes counted for a line's answer, beside its own
	eventCost   = 3 << 10   // bytes counted for an event on its way into the log
)

// costOf is what a line takes up until it is answered. Every subject has a salt.
func costOf(raw []byte) int64 {
	return min(int64(len(raw)+lineCost+eventCost*bytes.Count(raw, []byte(`"salt"`))), windowBytes)
}

// batchLine answers one line of a batch, in the order of the lines. Blank lines
// count, but get no answer:
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
	limiter := s.refusals.of(r)
	if s.holdOff(w, limiter) {
		return
	}
	// NDJSON has no registered type, and clients call it differently.
	if p := checkContentType(r, "application/x-ndjson", "application/ndjson", "application/jsonl", "application/json"); p != nil {
		s.requests.WithLabelValues(p.Code).Inc()
		s.refusals.count(limiter, http.StatusUnsupportedMediaType)
		writeProblem(w, http.StatusUnsupportedMediaType, *p)
		return
	}
	if err := control.EnableFullDuplex(); err != nil {
		s.log.Error("couldn't stream a batch", "error", err)
		writeProblem(w, http.StatusInternalServerError, internal)
		return
	}
	// Whoever takes answers has time from each one's beginning.
	control.SetWriteDeadline(time.Time{})
	s.refusals.announce(w.Header(), limiter)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	// A channel of channels keeps the lines in order while they are worked on
	// side by side.
	pending := make(chan chan batchLine, window)
	// net/http cancels the request when a line is late in coming, but those
	// before it are to be recorded and answered all the same.
	ctx, gone := context.WithCancel(context.WithoutCancel(r.Context()))
	defer gone()
	go func() {
		defer close(pending)
		s.readBatch(ctx, r.Body, limiter, pending, control)
	}()
	out := bufio.NewWriterSize(w, 64<<10)
	for line := range pending {
		answer, ok := <-line
		if ctx.Err() != nil || !ok {
			continue // the client is gone; what was read is still recorded
		}
		control.SetWriteDeadline(time.Now().Add(s.patience))
		err := answer.write(out)
		if err == nil && len(pending) == 0 {
			err = errors.Join(out.Flush(), control.Flush())
			// The next line may be long in coming.
			control.SetWriteDeadline(time.Time{})
		}
		if err != nil {
			gone()
		}
	}
	out.Flush()
}

// write puts an answer into its line as it is: it was formatted here.
func (l *batchLine) write(w *bufio.Writer) error {
	if l.Problem != nil {
		return json.NewEncoder(w).Encode(l)
	}
	fmt.Fprintf(w, `{"line":%d,"status":%d,"answer":`, l.Line, l.Status)
	w.Write(l.Answer)
	_, err := w.WriteString("}\n")
	return err
}

// readBatch starts the work on each line as it arrives, until the client has no
// more or is gone.
func (s *Server) readBatch(ctx context.Context, body io.Reader, limiter *rate.Limiter, pending chan<- chan batchLine, control *http.ResponseController) {
	in := bufio.NewReaderSize(body, 64<<10)
	// Who waits for the next line is woken.
	woken := context.AfterFunc(s.ending, func() { control.SetReadDeadline(time.Now()) })
	defer woken()
	memory := semaphore.NewWeighted(windowBytes)
	for number := 1; ctx.Err() == nil; number++ {
		control.SetReadDeadline(time.Now().Add(s.patience))
		if s.ending.Err() != nil {
			control.SetReadDeadline(time.Now())
		}
		raw, err := readLine(in)
		last := errors.Is(err, io.EOF)
		whole := err == nil || last
		if last {
			// Nothing more has to come while lines wait for their place.
			control.SetReadDeadline(time.Time{})
		}
		if whole && len(bytes.TrimSpace(raw)) == 0 {
			if last {
				return
			}
			continue
		}
		answer := make(chan batchLine, 1)
		pending <- answer
		if s.ending.Err() != nil {
			status, p := s.judge(sequencer.ErrClosed)
			s.requests.WithLabelValues(p.Code).Inc()
			answer <- refusedLine(number, status, p)
			return
		}
		if !whole {
			status, p := http.StatusRequestTimeout, s.incomplete("a whole line")
			if errors.Is(err, errLineTooLong) {
				status, p = http.StatusRequestEntityTooLarge, tooLargeProblem
			}
			s.requests.WithLabelValues(p.Code).Inc()
			answer <- refusedLine(number, status, p)
			return
		}
		cost := costOf(raw)
		if memory.Acquire(ctx, cost) != nil {
			close(answer)
			return
		}
		if s.lines.Acquire(ctx, cost) != nil {
			memory.Release(cost)
			close(answer)
			return
		}
		go func() {
			defer memory.Release(cost)
			defer s.lines.Release(cost)
			answer <- s.answerLine(context.WithoutCancel(ctx), limiter, number, raw)
		}()
		if last {
			return
		}
	}
}

func (s *Server) answerLine(ctx context.Context, limiter *rate.Limiter, number int, raw []byte) batchLine {
	if _, yes := s.refusals.exhausted(limiter); yes {
		s.requests.WithLabelValues(tooMany.Code).Inc()
		return refusedLine(number, http.StatusTooManyRequests, tooMany)
	}
	status, answer, p := s.submit(ctx, raw, "batch")
	if !p.recorded() {
		s.refusals.count(limiter, status)
	}
	if p != nil {
		return batchLine{Line: number, Status: status, Problem: p}
	}
	body, err := ledger.FormatAnswer(answer)
	if err != nil {
		s.log.Error("couldn't format an answer", "error", err)
		return refusedLine(number, http.StatusInternalServerError, internal)
	}
	return batchLine{Line: number, Status: status, Answer: body}
}

func refusedLine(number, status int, p ledger.Problem) batchLine {
	out := newProblem(status, p)
	return batchLine{Line: number, Status: status, Problem: &out}
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
