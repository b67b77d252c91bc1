// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/fetch"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/cmd/internal/provider"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/verifier"
)

const (
	maxLedgerAnswer = 32 << 20 // 10,000 subjects take some 3 MB
	firstPause      = 50 * time.Millisecond
	longestPause    = 2 * time.Second
)

// Errors of a submission that isn't proven to be recorded.
var (
	// errUnknown: nobody knows whether it is recorded; it is sent again until that
	// is known.
	errUnknown = errors.New("the ledger didn't answer")
	// errDishonest: the ledger's answer doesn't prove what it says.
	errDishonest = errors.New("the ledger's answer isn't proven")
)

// refused is a submission that the ledger took for wrong: nothing is recorded.
type refused struct{ problem ledger.Problem }

func (r *refused) Error() string { return "the ledger refused the submission: " + r.problem.Error() }

// recorded is a submission that stands in the log, proven and remembered, or one
// that is spooled.
type recorded struct {
	receipt  *ledger.SignedReceipt
	subjects []ledger.SaltedSubject

	// In the log.
	answer   *ledger.Answer
	body     *ledger.Body // the first
	denied   bool
	policies json.RawMessage // as the ledger explained a denial
	owed     *sending        // the statement that nothing is released of it; nil where that isn't known yet

	// In a session of break-glass.
	spooled *memory.Pending
	place   *ledger.BreakGlass
}

// sending is a submission that the memory has, on its way.
type sending struct {
	*memory.Pending
	raw        []byte
	submission *ledger.Submission
	// withheld: whatever the ledger answers, nothing is released on it. Of an access a statement is owed then, which the
	// memory has before it takes the answer: a process that is killed between the two makes it when it is back.
	withheld bool
}

// recorder has submissions recorded, each once, whatever breaks.
type recorder struct {
	url    *url.URL
	client *http.Client
	years  *years
	memory *memory.Memory
	log    *slog.Logger
	// state makes the statement that nothing is released of an access.
	state func(about *ledger.Receipt, list []ledger.SaltedSubject) (jti string, s *ledger.Submission, err error)

	down atomic.Bool // the last try had no answer

	mu   sync.Mutex
	left map[*memory.Pending]bool // that no call waits for; guarded by mu
}

// unknown notes that the ledger didn't answer.
func (r *recorder) unknown() error {
	r.down.Store(true)
	return errUnknown
}

// answered notes that it did.
func (r *recorder) answered() { r.down.Store(false) }

func newRecorder(to *url.URL, y *years, m *memory.Memory, log *slog.Logger, state func(*ledger.Receipt, []ledger.SaltedSubject) (string, *ledger.Submission, error)) *recorder {
	r := &recorder{url: to.JoinPath("v1", "access-receipts"), years: y, memory: m, log: log, state: state, left: map[*memory.Pending]bool{}}
	r.client = fetch.NewClient(to)
	r.client.Transport.(*http.Transport).MaxIdleConnsPerHost = 256
	return r
}

// begin has the memory note a submission that is to be sent.
func (r *recorder) begin(jti string, s *ledger.Submission, withheld bool) (*sending, error) {
	raw, err := ledger.FormatSubmission(s)
	if err != nil {
		return nil, err
	}
	p, err := r.memory.Begin(jti, raw)
	if err != nil {
		return nil, err
	}
	return &sending{p, raw, s, withheld}, nil
}

// record sends a submission until it is answered or ctx ends. Whatever it returns,
// the memory knows it: the error is errUnknown, errDishonest, *refused, or one of
// the memory.
func (r *recorder) record(ctx context.Context, s *sending) (*recorded, error) {
	pause := firstPause
	for {
		done, after, err := r.try(ctx, s)
		if !errors.Is(err, errUnknown) {
			if err != nil && !errors.As(err, new(*refused)) {
				r.leave(s.Pending)
			}
			return done, err
		}
		// Calls that failed together come back apart.
		timer := time.NewTimer(max(after, pause/2+rand.N(pause/2)))
		pause = min(2*pause, longestPause)
		select {
		case <-ctx.Done():
			timer.Stop()
			r.leave(s.Pending)
			return nil, err
		case <-timer.C:
		}
	}
}

func (r *recorder) leave(p *memory.Pending) {
	r.mu.Lock()
	r.left[p] = true
	r.mu.Unlock()
}

func (r *recorder) forget(p *memory.Pending) {
	r.mu.Lock()
	delete(r.left, p)
	r.mu.Unlock()
}

// settle sends what was left once more, and returns what turned out to be
// recorded: accesses of which nothing was released.
func (r *recorder) settle(ctx context.Context) (list []*recorded, err error) {
	r.mu.Lock()
	for _, p := range r.memory.Left() {
		r.left[p] = true
	}
	left := make([]*memory.Pending, 0, len(r.left))
	for p := range r.left {
		left = append(left, p)
	}
	r.mu.Unlock()
	for _, p := range left {
		raw, err := r.memory.Submission(p)
		if err != nil {
			return list, err
		}
		if raw == nil {
			// Another instance found out; or it is a statement that was noted, and again after a crash, and the other note of
			// it is settled.
			if err := r.memory.Drop(p); err != nil {
				return list, err
			}
			r.forget(p)
			continue
		}
		s, err := ledger.ParseSubmission(raw)
		if err != nil {
			return list, err
		}
		done, _, err := r.try(ctx, &sending{p, raw, s, !p.IsReleased()})
		if errors.Is(err, errUnknown) {
			return list, err // the others fare no better
		}
		if err != nil && !errors.As(err, new(*refused)) {
			r.log.Error("an unsettled submission stays so", "error", err)
			continue
		}
		r.forget(p)
		if done != nil && done.owed != nil {
			list = append(list, done)
		}
	}
	return list, nil
}

// try sends a submission once. after is how long the ledger asks to wait.
func (r *recorder) try(ctx context.Context, s *sending) (done *recorded, after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url.String(), bytes.NewReader(s.raw))
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, 0, r.unknown()
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxLedgerAnswer))
	if err != nil {
		return nil, 0, r.unknown()
	}
	var problem struct {
		Code, Where, Expected, Found string
		Policies, Answer             json.RawMessage
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated:
		r.answered()
		done, err = r.acknowledge(ctx, s, data)
		return done, 0, err
	case http.StatusForbidden:
		if json.Unmarshal(data, &problem) == nil && len(problem.Answer) > 0 {
			r.answered()
			if done, err = r.acknowledge(ctx, s, problem.Answer); err == nil {
				done.policies = problem.Policies
			}
			return done, 0, err
		}
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		// Another server in between may answer so too; only the ledger names a code.
		if json.Unmarshal(data, &problem) == nil && problem.Code != "" {
			r.answered()
			if err := r.memory.Drop(s.Pending); err != nil {
				return nil, 0, err
			}
			return nil, 0, &refused{ledger.Problem{Code: problem.Code, Where: problem.Where, Expected: problem.Expected, Found: problem.Found}}
		}
	}
	seconds, _ := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 8)
	return nil, time.Duration(seconds) * time.Second, r.unknown()
}

// acknowledge proves an answer and remembers it, before anything comes of it.
func (r *recorder) acknowledge(ctx context.Context, s *sending, raw []byte) (*recorded, error) {
	report, err := provider.Prove(raw, r.years.known(), s.submission)
	var p *ledger.Problem
	if errors.As(err, &p) && p.Code == verifier.CodeUnknownLog {
		if report, err = r.ofNewYear(ctx, raw, s.submission); errors.Is(err, errUnknown) {
			return nil, err
		}
	}
	if err != nil {
		return nil, r.dishonest(err)
	}
	entries, err := own.Entries(report.Answer, s.submission, time.Now())
	if err != nil {
		return nil, r.dishonest(err)
	}
	receipt, err := ledger.ParseReceipt(s.submission.Receipt)
	if err != nil {
		return nil, err
	}
	done := &recorded{receipt: receipt, subjects: s.submission.Subjects, answer: report.Answer, body: report.Body, denied: report.Body.Kind == ledger.KindDenied}
	if s.withheld && done.body.Kind == ledger.KindAccess {
		if done.owed, err = r.owe(done); err != nil {
			return nil, err
		}
	}
	at := checkpoint.Checkpoint{Origin: report.Answer.Origin, Size: report.TreeSize, Root: report.Root}
	if err := r.memory.Acknowledge(s.Pending, at, entries); err != nil {
		if done.owed != nil {
			err = errors.Join(err, r.memory.Drop(done.owed.Pending))
		}
		if errors.As(err, new(*ledger.Problem)) {
			return nil, r.dishonest(err)
		}
		return nil, err
	}
	return done, nil
}

// owe notes the statement that nothing is released of an access.
func (r *recorder) owe(done *recorded) (*sending, error) {
	jti, s, err := r.state(&done.receipt.Receipt, done.subjects)
	if err != nil {
		return nil, fmt.Errorf("couldn't make a statement: %w", err)
	}
	return r.begin(jti, s, false)
}

// ofNewYear proves an answer of a log whose key isn't known yet, once it is.
func (r *recorder) ofNewYear(ctx context.Context, raw []byte, s *ledger.Submission) (*verifier.ReceiptReport, error) {
	a, err := ledger.ParseAnswer(raw)
	if err != nil {
		return nil, err
	}
	logs, err := r.years.verifiers(ctx, a.Origin)
	if err != nil {
		return nil, err
	}
	return provider.Prove(raw, logs, s)
}

func (r *recorder) dishonest(why error) error {
	r.log.Error("the ledger's answer isn't proven, or contradicts an earlier one; nothing is released on it", "error", why)
	return fmt.Errorf("%w: %w", errDishonest, why)
}

// watch compares acknowledged checkpoints with what the policy's witnesses have
// seen of the log, and forgets those that it contains. A fork is an error that
// wraps checkpoint.ErrFork; its checkpoint is kept.
func (r *recorder) watch(ctx context.Context) error {
	list, err := r.memory.Unwitnessed()
	if err != nil {
		return err
	}
	for len(list) > 0 {
		origin := list[0].Origin
		n := slices.IndexFunc(list, func(a memory.Acknowledged) bool { return a.Origin != origin })
		if n < 0 {
			n = len(list)
		}
		if err := r.watchLog(ctx, list[:n]); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

func (r *recorder) watchLog(ctx context.Context, list []memory.Acknowledged) error {
	_, epoch, err := ledger.ParseOrigin(list[0].Origin)
	if err != nil {
		return err
	}
	log := &once{from: r.years.year(epoch), got: map[string][]byte{}}
	signed, err := log.Fetch(ctx, "checkpoint")
	if err != nil {
		return fmt.Errorf("couldn't fetch the log's checkpoint: %w", err)
	}
	seen, err := r.years.trusted().Open(signed)
	if err != nil {
		return fmt.Errorf("couldn't take the log's checkpoint: %w", err)
	}
	for _, a := range list {
		if a.Size > seen.Size || a.Origin != seen.Origin {
			continue // it waits for a later one
		}
		if err := checkpoint.Consistent(ctx, log, a.Checkpoint, seen.Checkpoint); err != nil {
			return fmt.Errorf("couldn't find the acknowledged size %d in what witnesses have seen: %w", a.Size, err)
		}
		if err := r.memory.Witnessed(a.Checkpoint); err != nil {
			return err
		}
	}
	return nil
}

// once fetches each path once. It is for the many checkpoints of one look.
type once struct {
	from checkpoint.Fetcher
	mu   sync.Mutex
	got  map[string][]byte // guarded by mu
}

func (o *once) Fetch(ctx context.Context, path string) ([]byte, error) {
	o.mu.Lock()
	data, ok := o.got[path]
	o.mu.Unlock()
	if ok {
		return data, nil
	}
	data, err := o.from.Fetch(ctx, path)
	if err == nil {
		o.mu.Lock()
		o.got[path] = data
		o.mu.Unlock()
	}
	return data, err
}
