// SPDX-License-Identifier: EUPL-1.2

package sequencer

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/index"
)

// Head is a head of the shard, as it stands in the log.
type Head struct {
	Index uint64 // of the leaf in the log
	Leaf  []byte // ledger.ParseLeaf gives a ledger.Head
}

// MaxProve is how many keys Prove takes.
const MaxProve = 4096

// maxAsks is how many callers of AtHead may wait.
const maxAsks = 1024

// ask is a question about the index at a head.
type ask struct {
	need  uint64 // the head covers so many leaves, or no key stands between
	f     func(at Head, keys *index.Tree)
	taken atomic.Bool // by the follower, to call f, or by the caller, to give up: whoever is first
	done  chan error  // buffered by one
}

// AtHead calls f with the index exactly as a head states it, and with that
// head, which is durable and under Latest when AtHead returns. The head covers
// every event recorded before the call. Where there is none yet, one is
// written at once, for all who wait and at most one a second.
//
// f runs on the index's own goroutine, which meanwhile falls behind the log: it
// should take some milliseconds at most, and look tags up in parts if it needs
// more. It mustn't keep keys. Once AtHead has returned, f isn't running and
// won't be called.
//
// The error is ErrBusy when too many wait, ErrClosed, ctx's, or says why no head
// can be written; then f wasn't called.
func (s *Sequencer) AtHead(ctx context.Context, f func(at Head, keys *index.Tree)) error {
	if s.asking.Add(1) > maxAsks {
		s.asking.Add(-1)
		return ErrBusy
	}
	defer s.asking.Add(-1)
	a := &ask{need: s.Latest().Root.Size, f: f, done: make(chan error, 1)}
	select {
	case s.follower.asks <- a:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.follower.done:
		return ErrClosed
	}
	select {
	case err := <-a.done:
		return err
	case <-ctx.Done():
		if a.taken.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		return <-a.done
	}
}

// Prove proves what the index at a head holds for each of the keys, one proof
// for each; see AtHead, and index.Tree.ProveMany for one proof of them all.
func (s *Sequencer) Prove(ctx context.Context, keys []ledger.Hash) (at Head, proofs [][]byte, err error) {
	if len(keys) > MaxProve {
		return Head{}, nil, errors.New("too many keys to prove at once")
	}
	err = s.AtHead(ctx, func(head Head, tree *index.Tree) {
		at, proofs = head, make([][]byte, len(keys))
		for i, key := range keys {
			proofs[i] = tree.Prove(key)
		}
	})
	return at, proofs, err
}

// answer serves those who wait, if the tree is at a head that covers what they
// need, and asks for a head for the rest. It stops in between when the
// sequencer waits or much of the log does: then they get the next head.
func (f *follower) answer() {
	for len(f.waiting) > 0 {
		a := f.waiting[0]
		switch {
		case a.taken.Load():
			// gave up
		case f.err != nil:
			a.refuse(f.err)
		case !f.atHead || f.size < a.need:
			f.prune()
			select {
			case f.want <- struct{}{}:
			default:
			}
			return
		case f.hurry.Load() || len(f.work) > cap(f.work)/2:
			return
		case f.tree == nil && !f.wake(a):
		case a.taken.CompareAndSwap(false, true):
			f.stale = 0
			f.tree.Root()
			a.f(*f.head, f.tree)
			a.done <- nil
		}
		f.waiting[0] = nil
		f.waiting = f.waiting[1:]
	}
	f.waiting = nil
	select {
	case <-f.want: // nobody wants it any more
	default:
	}
}

// prune forgets those who gave up.
func (f *follower) prune() {
	kept := f.waiting[:0]
	for _, a := range f.waiting {
		if !a.taken.Load() {
			kept = append(kept, a)
		}
	}
	clear(f.waiting[len(kept):])
	f.waiting = kept
}

// refuse tells those who wait for a head that none will come.
func (f *follower) refuse(err error) {
	kept := f.waiting[:0]
	for _, a := range f.waiting {
		if f.atHead && f.size >= a.need {
			kept = append(kept, a)
			continue
		}
		a.refuse(err)
	}
	clear(f.waiting[len(kept):])
	f.waiting = kept
}

func (a *ask) refuse(err error) {
	if a.taken.CompareAndSwap(false, true) {
		a.done <- err
	}
}
