// SPDX-License-Identifier: EUPL-1.2

package accesses

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/verifier"
)

// How much a Keeper holds, and for how long.
const (
	Kept      = 10 * time.Minute // since a history was made
	maxKept   = 1_000            // histories
	maxBytes  = 256 << 20        // of all of them, about
	maxMaking = 64               // at once
	patience  = 45 * time.Second // for a published state that witnesses saw
)

// ErrBusy: too many histories are being made.
var ErrBusy = errors.New("too many histories are being made")

// Ledger is where histories come from; *node.Node is one.
type Ledger interface {
	// History waits for a published state, leaves no event, and is to be shown to its citizen alone.
	History(ctx context.Context, subject ledger.Subject) (*history.Bundle, error)
	// ReaderPolicy is the ledger's own; witnessed is false where nobody cosigns it.
	ReaderPolicy() (policy *checkpoint.Policy, witnessed bool, err error)
	PoliciesOf(digest ledger.Hash) ledger.Bundle
	// Secret follows from the subject, and is known to the ledger and them alone; false for a year that isn't there.
	Secret(subject ledger.Subject, epoch uint32) ([32]byte, bool)
	Gone() []uint32
	Now() time.Time
}

// History is a citizen's, and what it proves.
type History struct {
	Bundle    *history.Bundle
	Report    *verifier.HistoryReport
	Made      time.Time
	Witnessed bool     // somebody cosigns the ledger
	Gone      []uint32 // years that no history shows any more
}

// Making is a history that is being made, or is made.
type Making struct {
	done    chan struct{}
	begun   time.Time
	history *History
	err     error
	bytes   int
	expires *time.Timer
}

// Done is closed once Result may be asked.
func (m *Making) Done() <-chan struct{} { return m.done }

// Result is the history, after Done.
func (m *Making) Result() (*History, error) { return m.history, m.err }

// Keeper makes histories, and holds them in memory while their citizens read them. Whoever asks must have proved to be the
// subject. It is safe for concurrent use.
type Keeper struct {
	ledger     Ledger
	signatures *signatures

	mu     sync.Mutex
	made   map[ledger.Subject]*Making // guarded by mu
	oldest []ledger.Subject           // of made, in the order of their making; guarded by mu
	making int                        // guarded by mu
	bytes  int                        // of made; guarded by mu
}

// NewKeeper returns a keeper of a ledger's histories.
func NewKeeper(l Ledger) *Keeper {
	return &Keeper{ledger: l, signatures: newSignatures(), made: map[ledger.Subject]*Making{}}
}

// Get returns a citizen's history, at most Kept old, or begins to make it.
func (k *Keeper) Get(subject ledger.Subject) (*Making, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if m := k.made[subject]; m != nil {
		return m, nil
	}
	if k.making >= maxMaking {
		return nil, ErrBusy
	}
	m := &Making{done: make(chan struct{}), begun: k.ledger.Now()}
	k.made[subject] = m
	k.oldest = append(k.oldest, subject)
	k.making++
	// The citizen who asked may turn away, and come back for it.
	go k.make(subject, m)
	return m, nil
}

// Forget drops a citizen's history, so that the next one is new.
func (k *Keeper) Forget(subject ledger.Subject) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if m := k.made[subject]; m != nil {
		k.drop(subject, m)
	}
}

// drop is called with mu held.
func (k *Keeper) drop(subject ledger.Subject, m *Making) {
	if k.made[subject] != m {
		return
	}
	delete(k.made, subject)
	k.oldest = slices.DeleteFunc(k.oldest, func(s ledger.Subject) bool { return s == subject })
	k.bytes -= m.bytes
	if m.expires != nil {
		m.expires.Stop()
	}
}

func (k *Keeper) make(subject ledger.Subject, m *Making) {
	ctx, end := context.WithTimeout(context.Background(), patience)
	defer end()
	m.history, m.err = k.judge(ctx, subject)
	k.mu.Lock()
	defer k.mu.Unlock()
	defer close(m.done)
	k.making--
	if m.err != nil {
		k.drop(subject, m)
		return
	}
	if k.made[subject] != m {
		return // forgotten meanwhile
	}
	m.bytes = size(m.history.Bundle)
	k.bytes += m.bytes
	m.expires = time.AfterFunc(Kept, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.drop(subject, m)
	})
	for len(k.oldest) > 1 && (len(k.oldest) > maxKept || k.bytes > maxBytes) {
		first := k.oldest[0]
		k.drop(first, k.made[first])
	}
}

// judge makes a history and checks it as its citizen would, by the ledger's own policy.
func (k *Keeper) judge(ctx context.Context, subject ledger.Subject) (*History, error) {
	gone := k.ledger.Gone()
	b, err := k.ledger.History(ctx, subject)
	if err != nil {
		return nil, err
	}
	policy, witnessed, err := k.ledger.ReaderPolicy()
	if err != nil {
		return nil, err
	}
	h := &History{Bundle: b, Made: k.ledger.Now(), Witnessed: witnessed, Gone: gone}
	h.Report = verifier.HistoryOf(b, policy, h.Made, verifier.Rules{
		Consents: func(name string, partial bool) verifier.Consents { return consent.NewList(name, partial) },
		Policies: k.ledger.PoliciesOf,
		Verify:   k.signatures.verify,
	})
	if h.Report.Malformed != nil {
		return nil, fmt.Errorf("the ledger made something else than a history: %w", h.Report.Malformed)
	}
	return h, nil
}

// size is about what a history takes in memory: what it says is kept as bundle and as report.
func size(b *history.Bundle) (n int) {
	for i := range b.Shards {
		s := &b.Shards[i]
		n += 32*len(s.Proof) + len(s.Index) + len(s.Checkpoint) + 120*len(s.Lists)
		for _, l := range s.Leaves {
			n += 64 + len(l.Leaf)
		}
		for _, e := range s.Events {
			n += 2048 + 2*len(e.Body)
		}
	}
	return n
}
