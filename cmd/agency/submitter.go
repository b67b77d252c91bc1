// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
)

// How much goes into one request, and how often progress is made durable.
const (
	batchLines = 512
	batchBytes = 4 << 20
)

// grace is how long a request may take to end after a signal, so that what it
// sent is also known to be recorded.
const grace = 5 * time.Second

// submitter sends the lines of a file from the first unanswered one on.
type submitter struct {
	c           *client
	file        *os.File
	lines       *lineReader
	state       *state
	statePath   string
	refused     *os.File // nil until something is
	refusedPath string
	receipts    string // "": answers aren't kept
	own         *ownRecords
	most        int // lines in a request
	progress    *cli.Progress
}

func (f *submitFlags) open(c *client, path string) (s *submitter, err error) {
	s = &submitter{
		c: c, statePath: f.state, receipts: f.receipts, most: batchLines,
		refusedPath: strings.TrimSuffix(path, ".ndjson") + ".refused.ndjson",
	}
	if s.file, err = os.Open(path); err != nil {
		return nil, fmt.Errorf("couldn't read the submissions: %w", err)
	}
	if s.receipts != "" {
		if err := os.MkdirAll(s.receipts, 0o700); err != nil {
			return nil, fmt.Errorf("couldn't make the directory of receipts: %w", err)
		}
	}
	if s.own, err = f.own.open(); err == nil {
		err = s.resume()
	}
	if err != nil {
		s.close()
		return nil, err
	}
	s.lines = newLineReader(s.file, s.state)
	return s, nil
}

// resume reads the state and brings the file of refused lines to where it was.
func (s *submitter) resume() error {
	info, err := os.Stat(s.refusedPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("couldn't look for refused lines: %w", err)
	}
	there := err == nil
	if _, err := os.Stat(s.statePath); errors.Is(err, fs.ErrNotExist) && there {
		return cli.Usagef("%s is of an earlier run whose state file isn't %s: move one of them away", s.refusedPath, s.statePath)
	}
	if s.state, err = openState(s.statePath); err != nil {
		return err
	}
	if err := s.state.seek(s.file); err != nil {
		return err
	}
	if !there {
		s.state.RefusedBytes = 0 // moved away by whoever dealt with it
		return nil
	}
	// What goes beyond is of lines that a crash kept from being counted.
	s.state.RefusedBytes = min(s.state.RefusedBytes, info.Size())
	return s.openRefused()
}

func (s *submitter) openRefused() (err error) {
	if s.refused, err = os.OpenFile(s.refusedPath, os.O_WRONLY|os.O_CREATE, 0o600); err == nil {
		err = s.refused.Truncate(s.state.RefusedBytes)
	}
	if err != nil {
		return fmt.Errorf("couldn't open the file of refused lines: %w", err)
	}
	return nil
}

func (s *submitter) close() {
	s.file.Close()
	s.own.close()
	if s.refused != nil {
		s.refused.Close()
	}
}

// run goes to the end of the file. What was answered is kept, whatever the
// error.
func (s *submitter) run(ctx context.Context) error {
	for {
		chunk, err := s.next()
		if err != nil {
			return fmt.Errorf("couldn't read the submissions: %w", err)
		}
		if len(chunk) == 0 {
			return nil
		}
		err = s.send(ctx, chunk)
		if keepErr := s.keep(chunk); keepErr != nil {
			return keepErr
		}
		if err != nil {
			return err
		}
	}
}

// next gives the lines that are sent together; none at the end of the file.
func (s *submitter) next() (chunk []*outgoing, err error) {
	for size := 0; len(chunk) < batchLines && size < batchBytes; {
		line, err := s.lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		chunk = append(chunk, line)
		size += len(line.raw)
	}
	return chunk, nil
}

// send returns when each line has an outcome, or with an error that ends the
// run.
func (s *submitter) send(ctx context.Context, chunk []*outgoing) error {
	pace := s.c.pacer()
	// What was begun when a signal comes may end.
	request, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	for {
		open := unanswered(chunk)
		if len(open) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return interrupted(ctx)
		}
		open = open[:min(len(open), s.most)]
		answered, err := s.c.exchange(request, open)
		if answered > 0 {
			pace.progress()
		}
		var later *unavailable
		var refused *refusal
		switch {
		case err == nil:
		case errors.As(err, &later):
			if err := pace.wait(ctx, later); err != nil {
				return err
			}
		case errors.As(err, &refused) && refused.status == http.StatusRequestEntityTooLarge:
			s.tooLarge(open, refused)
		default:
			return err
		}
	}
}

// tooLarge sends less at once from now on, for a proxy that takes no more, and
// counts a line that is too large alone as refused.
func (s *submitter) tooLarge(open []*outgoing, r *refusal) {
	if len(open) > 1 {
		s.most = len(open) / 2
		return
	}
	p := r.problem
	if p.Code == "" {
		p = ledger.Problem{Code: ledger.CodeTooLong, Expected: "a submission that the ledger's address takes", Found: fmt.Sprintf("%d bytes", len(open[0].raw))}
	}
	open[0].outcome = &outcome{status: r.status, problem: &p}
}

func unanswered(chunk []*outgoing) (open []*outgoing) {
	for _, l := range chunk {
		if l.outcome == nil {
			open = append(open, l)
		}
	}
	return open
}

// keep makes the outcomes durable, in the file's order up to the first line
// without one: answers, own records, refusals, then the state that counts them. If the
// process dies in between, the next run sends these lines again.
func (s *submitter) keep(chunk []*outgoing) error {
	var refused bytes.Buffer
	var answers []*answer
	var all []*received
	next := *s.state
	var kept int64
	for _, l := range chunk {
		if l.outcome == nil {
			break
		}
		switch {
		case l.outcome.problem != nil:
			next.Refused++
			if err := formatRefused(&refused, l); err != nil {
				return err
			}
		case l.outcome.answer.replayed:
			next.Replayed++
		default:
			next.Accepted++
		}
		if a := l.outcome.answer; a != nil {
			answers, all = append(answers, a), append(all, &received{l.raw, a})
		}
		next.Lines, next.Offset, next.LastStart, next.Last = l.number, l.end, l.start, fmt.Sprintf("%x", l.digest())
		if l.raw == nil {
			next.LastStart = l.end // too long to be remembered by its content
		}
		kept++
	}
	if kept == 0 {
		return nil
	}
	if err := s.keepAnswers(answers); err != nil {
		return err
	}
	if err := s.own.keep(all); err != nil {
		return err
	}
	if err := s.keepRefused(refused.Bytes()); err != nil {
		return err
	}
	next.RefusedBytes += int64(refused.Len())
	if err := next.save(s.statePath); err != nil {
		return err
	}
	*s.state = next
	s.progress.Add(kept)
	return nil
}

func formatRefused(b *bytes.Buffer, l *outgoing) error {
	line := struct {
		Line       int64           `json:"line"`
		Status     int             `json:"status"`
		Problem    *ledger.Problem `json:"problem"`
		Submission json.RawMessage `json:"submission,omitempty"` // absent where it isn't JSON
	}{l.number, l.outcome.status, l.outcome.problem, nil}
	if json.Valid(l.raw) {
		line.Submission = l.raw
	}
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(line); err != nil {
		return fmt.Errorf("couldn't format refused line %d: %w", l.number, hide(err))
	}
	return nil
}

func (s *submitter) keepRefused(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if s.refused == nil {
		if err := s.openRefused(); err != nil {
			return err
		}
	}
	_, err := s.refused.WriteAt(data, s.state.RefusedBytes)
	if err = errors.Join(err, s.refused.Sync()); err == nil {
		err = durable.SyncDir(filepath.Dir(s.refusedPath))
	}
	if err != nil {
		return fmt.Errorf("couldn't keep refused lines: %w", err)
	}
	return nil
}

// keepAnswers writes answers to their files. They are synced side by side:
// waiting for a disk takes longer than all else here.
func (s *submitter) keepAnswers(answers []*answer) error {
	if s.receipts == "" {
		return nil
	}
	var g errgroup.Group
	g.SetLimit(16)
	owners := make(map[string]string, len(answers))
	for _, a := range answers {
		_, jti, _ := strings.Cut(a.ReceiptID, "/")
		if owner := owners[jti]; owner != "" && owner != a.ReceiptID {
			return errors.Join(errSharedJTI(jti, owner, a.ReceiptID), g.Wait())
		}
		owners[jti] = a.ReceiptID
		g.Go(func() error { return keepAnswer(filepath.Join(s.receipts, jti+".json"), jti, a) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := durable.SyncDir(s.receipts); err != nil {
		return fmt.Errorf("couldn't keep receipts: %w", err)
	}
	return nil
}

// keepAnswer writes one answer. A file of another receipt stays as it is.
func keepAnswer(path, jti string, a *answer) error {
	if data, err := cli.ReadFile(path, maxAnswer); err == nil {
		if other, err := ledger.ParseAnswer(data); err == nil && other.ReceiptID != a.ReceiptID {
			return errSharedJTI(jti, other.ReceiptID, a.ReceiptID)
		}
	}
	if err := durable.Place(path, a.raw, 0o600); err != nil {
		return fmt.Errorf("couldn't keep the receipt of %s: %w", a.ReceiptID, err)
	}
	return nil
}

func errSharedJTI(jti, first, second string) error {
	return fmt.Errorf("%s and %s would have the same file %s.json: give another --receipts, or none", first, second, jti)
}
