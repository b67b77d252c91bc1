// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// ErasureState is how far a citizen's own request for erasure is.
type ErasureState string

// The states.
const (
	ErasureRequested ErasureState = "requested"
	ErasureUnderWay  ErasureState = "under_way" // granted; the keys are being destroyed
	ErasureDone      ErasureState = "done"
	ErasureRefused   ErasureState = "refused"
	ErasureWithdrawn ErasureState = "withdrawn" // by the citizen
)

// Limits of a request.
const (
	MaxErasureWords  = 2000 // characters
	maxErasureMonths = 600
	maxErasureReason = 4000 // characters
	answeredKept     = 12   // months
)

// ErasureGrounds are those of GDPR Art. 17(1) that a citizen can state, by their letters.
const ErasureGrounds = "abcd"

// Errors of requests.
var (
	ErrErasureOpen    = errors.New("a request of this person isn't answered yet")
	ErrErasureNotOpen = errors.New("no such request waits for an answer")
)

// ErasureRequest is what a citizen asked on the ledger's pages (GDPR Art. 17). It is kept sealed, in a row that names nobody, until
// a year after its answer.
type ErasureRequest struct {
	ID       string         `json:"id"` // random
	Subject  ledger.Subject `json:"subject,omitempty"`
	Months   []string       `json:"months"` // whose events are to be erased
	Ground   string         `json:"ground"` // one of ErasureGrounds
	Words    string         `json:"words,omitempty"`
	Asked    time.Time      `json:"asked_at"`
	State    ErasureState   `json:"state"`
	Answered time.Time      `json:"answered_at,omitzero"`
	Reason   string         `json:"reason,omitempty"` // of a refusal, as the citizen reads it
}

// Due is until when the citizen has to be answered (GDPR Art. 12(3)).
func (r *ErasureRequest) Due() time.Time { return r.Asked.AddDate(0, 1, 0) }

// Open says whether it waits for an answer.
func (r *ErasureRequest) Open() bool {
	return r.State == ErasureRequested || r.State == ErasureUnderWay
}

var erasureMonth = regexp.MustCompile(`^[0-9]{4}-(0[1-9]|1[0-2])$`)

// RequestErasure keeps a request of a citizen who proved to be the subject. ErrErasureOpen: one waits for an answer.
func (n *Node) RequestErasure(ctx context.Context, subject ledger.Subject, months []string, ground, words string) (*ErasureRequest, error) {
	words = strings.TrimSpace(words)
	switch {
	case len(months) == 0 || len(months) > maxErasureMonths || slices.ContainsFunc(months, func(m string) bool { return !erasureMonth.MatchString(m) }):
		return nil, fmt.Errorf("a request for erasure: expected 1 to %d months like 2026-11", maxErasureMonths)
	case len(ground) != 1 || !strings.Contains(ErasureGrounds, ground):
		return nil, fmt.Errorf("a request for erasure: expected a ground of %s", ErasureGrounds)
	case utf8.RuneCountInString(words) > MaxErasureWords:
		return nil, fmt.Errorf("a request for erasure: expected at most %d characters of words", MaxErasureWords)
	}
	was, left, err := n.ownErasure(ctx, subject)
	if err != nil {
		return nil, err
	}
	if was != nil && was.Open() {
		return nil, ErrErasureOpen
	}
	months = slices.Clone(months)
	slices.Sort(months)
	r := &ErasureRequest{
		ID: strings.ToLower(rand.Text()[:10]), Subject: subject, Months: slices.Compact(months), Ground: ground, Words: words,
		Asked: n.Now().UTC().Truncate(time.Second), State: ErasureRequested,
	}
	if err := n.keepErasure(ctx, r, left); errors.Is(err, store.ErrConflict) {
		return nil, ErrErasureOpen // of another window, at the same time
	} else if err != nil {
		return nil, err
	}
	n.opt.Log.Info("a citizen asks for erasure: ledgerd erase --requests", "request", r.ID, "answer_by", r.Due().Format(time.DateOnly))
	return r, nil
}

// OwnErasure returns a citizen's latest request, nil if there is none any more.
func (n *Node) OwnErasure(ctx context.Context, subject ledger.Subject) (*ErasureRequest, error) {
	r, _, err := n.ownErasure(ctx, subject)
	return r, err
}

func (n *Node) ownErasure(ctx context.Context, subject ledger.Subject) (*ErasureRequest, *Left, error) {
	left, err := n.Left(ctx, rows.LeftErasure, subject)
	if err != nil || left == nil {
		return nil, nil, err
	}
	r, err := parseErasure(left)
	if err == nil && n.faded(r) {
		r = nil
	}
	return r, left, err
}

// faded says whether a request was answered so long ago that it goes.
func (n *Node) faded(r *ErasureRequest) bool {
	return !r.Open() && n.Now().After(r.Answered.AddDate(0, answeredKept, 0))
}

func parseErasure(left *Left) (*ErasureRequest, error) {
	r := new(ErasureRequest)
	if err := json.Unmarshal(left.Content, r); err != nil {
		return nil, errors.New("couldn't read a request for erasure: it is of another version, or malformed")
	}
	return r, nil
}

func (n *Node) keepErasure(ctx context.Context, r *ErasureRequest, was *Left) error {
	content, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return n.Leave(ctx, rows.LeftErasure, r.Subject, was, content)
}

// answerErasure puts an answer to a request.
func (n *Node) answerErasure(ctx context.Context, r *ErasureRequest, was *Left, state ErasureState, reason string) error {
	r.State, r.Reason = state, reason
	if !r.Open() {
		r.Answered, r.Words = n.Now().UTC().Truncate(time.Second), ""
	}
	return n.keepErasure(ctx, r, was)
}

// WithdrawErasure takes a citizen's request back. ErrErasureNotOpen: there is none, or it is being done.
func (n *Node) WithdrawErasure(ctx context.Context, subject ledger.Subject) error {
	r, left, err := n.ownErasure(ctx, subject)
	switch {
	case err != nil:
		return err
	case r == nil || r.State != ErasureRequested:
		return ErrErasureNotOpen
	}
	if err := n.answerErasure(ctx, r, left, ErasureWithdrawn, ""); errors.Is(err, store.ErrConflict) {
		return ErrErasureNotOpen
	} else {
		return err
	}
}

// ErasureRequests returns the requests that wait for an answer, the oldest first.
func (n *Node) ErasureRequests(ctx context.Context) ([]ErasureRequest, error) {
	open := []ErasureRequest{}
	err := n.eachErasure(ctx, func(r *ErasureRequest, _ *Left) {
		if r.Open() {
			open = append(open, *r)
		}
	})
	slices.SortStableFunc(open, func(a, b ErasureRequest) int { return a.Asked.Compare(b.Asked) })
	return open, err
}

// eachErasure takes the requests that faded away, and calls f with the others.
func (n *Node) eachErasure(ctx context.Context, f func(*ErasureRequest, *Left)) error {
	type faded struct {
		r    *ErasureRequest
		left *Left
	}
	var gone []faded
	err := n.EachLeft(ctx, rows.LeftErasure, func(l *Left) error {
		r, err := parseErasure(l)
		if err != nil {
			return err
		}
		if n.faded(r) {
			gone = append(gone, faded{r, l})
		} else {
			f(r, l)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, g := range gone {
		if err := n.Leave(ctx, rows.LeftErasure, g.r.Subject, g.left, nil); err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return nil
}

// SweepErasures takes away requests that were answered a year ago.
func (n *Node) SweepErasures(ctx context.Context) error {
	return n.eachErasure(ctx, func(*ErasureRequest, *Left) {})
}

func (n *Node) openErasure(ctx context.Context, id string) (found *ErasureRequest, left *Left, err error) {
	err = n.eachErasure(ctx, func(r *ErasureRequest, l *Left) {
		if r.ID == id && r.Open() {
			found, left = r, l
		}
	})
	if err == nil && found == nil {
		err = ErrErasureNotOpen
	}
	return found, left, err
}

// GrantErasure erases what a request asks for, as Erase does month by month; without apply it only counts. The request is
// under way from before the first key is destroyed until after the last: who is interrupted calls again. With a month under a
// legal hold nothing is destroyed, and the error is keys.ErrHeld.
func (n *Node) GrantErasure(ctx context.Context, id string, apply bool) (*Erased, error) {
	r, left, err := n.openErasure(ctx, id)
	if err != nil {
		return nil, err
	}
	report, err := n.eraseMonths(ctx, r, false)
	if err != nil || !apply {
		return report, err
	}
	if len(report.Held) > 0 {
		return nil, fmt.Errorf("couldn't erase: %s is %w", report.Held[0], keys.ErrHeld)
	}
	if err := n.answerErasure(ctx, r, left, ErasureUnderWay, ""); err != nil {
		return nil, fmt.Errorf("couldn't begin what was requested: %w", err)
	}
	if report, err = n.eraseMonths(ctx, r, true); err != nil {
		return nil, err
	}
	if r, left, err = n.openErasure(ctx, id); err != nil {
		return nil, err
	}
	return report, n.answerErasure(context.WithoutCancel(ctx), r, left, ErasureDone, "")
}

func (n *Node) eraseMonths(ctx context.Context, r *ErasureRequest, apply bool) (*Erased, error) {
	all := &Erased{Months: []string{}, Held: []string{}}
	for _, month := range r.Months {
		e, err := n.Erase(ctx, []ledger.Subject{r.Subject}, month, apply)
		if err != nil {
			return nil, err
		}
		all.Wraps += e.Wraps
		all.Requests += e.Requests
		all.Months = append(all.Months, e.Months...)
		all.Held = append(all.Held, e.Held...)
	}
	slices.Sort(all.Held)
	all.Held = slices.Compact(all.Held)
	return all, nil
}

// RefuseErasure answers a request with the reason why it isn't granted (GDPR Art. 12(4)), which its citizen reads.
func (n *Node) RefuseErasure(ctx context.Context, id, reason string) error {
	reason = strings.TrimSpace(reason)
	if reason == "" || utf8.RuneCountInString(reason) > maxErasureReason {
		return fmt.Errorf("a refusal: expected a reason of 1 to %d characters", maxErasureReason)
	}
	r, left, err := n.openErasure(ctx, id)
	if err != nil {
		return err
	}
	if r.State != ErasureRequested {
		return ErrErasureNotOpen
	}
	return n.answerErasure(ctx, r, left, ErasureRefused, reason)
}
