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
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/traccia-ledger/traccia/ledger"
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

// Batches serves NDJSON, a submission a line, and streams an answer for each line
// while the rest still comes in. What it answered is durable, whatever becomes of
// the connection.
type Batches struct {
	log      *slog.Logger
	submit   Submit
	refused  func(r *http.Request, status int, p ledger.Problem) // told of what submit doesn't know of
	patience time.Duration
	lines    *semaphore.Weighted // bytes of lines in work, of all batches

	ending context.Context // done once End was called
	End    func()          // ends batches under way after the lines they have read; a batch has no end of its own
}

// Submit records one submission, of a line of the request, and gives the answer or
// the problem as it goes out. It is called for several lines at a time.
type Submit func(ctx context.Context, r *http.Request, raw []byte) Outcome

// Outcome is what a submission is answered with.
type Outcome struct {
	Status int
	Body   []byte // JSON: the answer where Status is 2xx, a problem (RFC 9457) else
}

// NewBatches returns a handler of batches over what records one submission.
func NewBatches(log *slog.Logger, submit Submit) *Batches {
	b := &Batches{
		log: log, submit: submit, patience: maxPatience, lines: semaphore.NewWeighted(allLines),
		refused: func(*http.Request, int, ledger.Problem) {},
	}
	b.ending, b.End = context.WithCancel(context.Background())
	return b
}

// batchLine answers one line of a batch, in the order of the lines. Blank lines
// count, but get no answer:
//
//	{"line":1,"status":201,"answer":{"receipt_id":…}}
//	{"line":2,"status":422,"problem":{"code":"expired",…}}
type batchLine struct {
	number int
	Outcome
}

// ServeHTTP takes a POST.
func (b *Batches) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	// NDJSON has no registered type, and clients call it differently.
	if p := checkContentType(r, "application/x-ndjson", "application/ndjson", "application/jsonl", "application/json"); p != nil {
		b.refused(r, http.StatusUnsupportedMediaType, *p)
		WriteProblem(w, http.StatusUnsupportedMediaType, *p)
		return
	}
	if err := control.EnableFullDuplex(); err != nil {
		b.log.Error("couldn't stream a batch", "error", err)
		WriteProblem(w, http.StatusInternalServerError, internal)
		return
	}
	// Whoever takes answers has time from each one's beginning.
	control.SetWriteDeadline(time.Time{})
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
		b.read(ctx, r, pending, control)
	}()
	out := bufio.NewWriterSize(w, 64<<10)
	for line := range pending {
		answer, ok := <-line
		if ctx.Err() != nil || !ok {
			continue // the client is gone; what was read is still recorded
		}
		control.SetWriteDeadline(time.Now().Add(b.patience))
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

// write puts an answer into its line as it is: it was formatted before.
func (l *batchLine) write(w *bufio.Writer) error {
	kind := "answer"
	if l.Status/100 != 2 {
		kind = "problem"
	}
	fmt.Fprintf(w, `{"line":%d,"status":%d,"%s":`, l.number, l.Status, kind)
	w.Write(l.Body)
	_, err := w.WriteString("}\n")
	return err
}

// read starts the work on each line as it arrives, until the client has no
// more or is gone.
func (b *Batches) read(ctx context.Context, r *http.Request, pending chan<- chan batchLine, control *http.ResponseController) {
	in := bufio.NewReaderSize(r.Body, 64<<10)
	// Who waits for the next line is woken.
	woken := context.AfterFunc(b.ending, func() { control.SetReadDeadline(time.Now()) })
	defer woken()
	memory := semaphore.NewWeighted(windowBytes)
	for number := 1; ctx.Err() == nil; number++ {
		control.SetReadDeadline(time.Now().Add(b.patience))
		if b.ending.Err() != nil {
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
		refused := func(status int, p ledger.Problem) {
			b.refused(r, status, p)
			answer <- batchLine{number, Refuse(status, p)}
		}
		if b.ending.Err() != nil {
			refused(http.StatusServiceUnavailable, shuttingDown)
			return
		}
		if !whole {
			if errors.Is(err, errLineTooLong) {
				refused(http.StatusRequestEntityTooLarge, TooLarge)
			} else {
				refused(http.StatusRequestTimeout, incomplete("a whole line", b.patience))
			}
			return
		}
		cost := costOf(raw)
		if memory.Acquire(ctx, cost) != nil {
			close(answer)
			return
		}
		if b.lines.Acquire(ctx, cost) != nil {
			memory.Release(cost)
			close(answer)
			return
		}
		go func() {
			defer memory.Release(cost)
			defer b.lines.Release(cost)
			answer <- batchLine{number, b.submit(context.WithoutCancel(ctx), r, raw)}
		}()
		if last {
			return
		}
	}
}

// serveBatch is Batches for clients that may still have something refused.
func (s *Server) serveBatch(w http.ResponseWriter, r *http.Request) {
	limiter := s.refusals.of(r)
	if s.holdOff(w, limiter) {
		return
	}
	s.refusals.announce(w.Header(), limiter)
	s.Batches.ServeHTTP(w, r)
}

// batchRefused counts what was refused of a batch before it was looked into.
func (s *Server) batchRefused(r *http.Request, status int, p ledger.Problem) {
	s.requests.WithLabelValues(p.Code).Inc()
	if status == http.StatusUnsupportedMediaType {
		s.refusals.count(s.refusals.of(r), status)
	}
}

// SubmitLine records a submission that is a line of this request.
func (s *Server) SubmitLine(ctx context.Context, r *http.Request, raw []byte) Outcome {
	limiter := s.refusals.of(r)
	if _, yes := s.refusals.exhausted(limiter); yes {
		s.requests.WithLabelValues(tooMany.Code).Inc()
		return Refuse(http.StatusTooManyRequests, tooMany)
	}
	status, answer, p := s.submit(ctx, raw, "batch")
	if !p.recorded() {
		s.refusals.count(limiter, status)
	}
	if p != nil {
		return formatProblem(*p)
	}
	body, err := ledger.FormatAnswer(answer)
	if err != nil {
		s.log.Error("couldn't format an answer", "error", err)
		return Refuse(http.StatusInternalServerError, internal)
	}
	return Outcome{status, body}
}

// Refuse is the outcome with a problem.
func Refuse(status int, p ledger.Problem) Outcome { return formatProblem(newProblem(status, p)) }

func formatProblem(p problem) Outcome {
	body, err := json.Marshal(p)
	if err != nil {
		return Outcome{http.StatusInternalServerError, []byte(`{"type":"about:blank","title":"Internal Server Error","status":500}`)}
	}
	return Outcome{p.Status, body}
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
