// SPDX-License-Identifier: EUPL-1.2

package sequencer

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/index"
)

// ErrIndex: the index rebuilt from the log isn't the one that the last head
// states. Either the log or this program is wrong; nothing may be served.
var ErrIndex = errors.New("the index rebuilt from the log differs from the last head")

// follower keeps the index of the shard (formats §5) up to the durable log.
// It works beside the sequencer, which waits for it only before a head.
type follower struct {
	work chan chunk
	done chan struct{}

	// Set by follow, read by the sequencer before the goroutine starts.
	lastHead  uint64 // unix_ms of the last head in the log, 0 if none
	uncovered bool   // leaves other than heads stand after it

	// Owned by the goroutine.
	tree *index.Tree
	size uint64
	err  error
}

// chunk is a run of leaves, or a question when reply is set.
type chunk struct {
	first  uint64
	leaves [][]byte
	reply  chan state
}

type state struct {
	size, keys uint64
	root       ledger.Hash
	err        error
}

// page is how many leaves are read at a time.
const page = 4096

// follow rebuilds the index from the log, compares it with the last head, and
// starts the goroutine.
func follow(ctx context.Context, shard *engine.Shard, name string) (*follower, error) {
	f := &follower{work: make(chan chunk, 64), done: make(chan struct{}), tree: index.New()}
	size := shard.Root().Size
	at, head, err := lastHead(ctx, shard, size)
	if err != nil {
		return nil, err
	}
	for f.size < size {
		n := min(page, size-f.size)
		if head != nil && f.size <= at {
			n = min(n, at+1-f.size)
		}
		leaves, err := shard.Leaves(ctx, f.size, n)
		if err != nil {
			return nil, fmt.Errorf("couldn't read the log from %d: %w", f.size, err)
		}
		if len(leaves) == 0 {
			return nil, fmt.Errorf("couldn't read the log from %d: it ends before its size %d", f.size, size)
		}
		if f.insert(leaves); f.err != nil {
			return nil, f.err
		}
		if head != nil && f.size == at+1 {
			if f.tree.Root() != head.Root || uint64(f.tree.Len()) != head.Keys {
				return nil, fmt.Errorf("%w: the head at %d states %d keys and root %x, the log gives %d and %x",
					ErrIndex, at, head.Keys, head.Root, f.tree.Len(), f.tree.Root())
			}
			f.lastHead = head.UnixMS
		}
	}
	f.uncovered = head == nil || at+1 < size
	go f.run()
	return f, nil
}

// lastHead looks for the last head from the log's end.
func lastHead(ctx context.Context, shard *engine.Shard, size uint64) (uint64, *ledger.Head, error) {
	for end := size; end > 0; {
		from := end - min(page, end)
		leaves, err := shard.Leaves(ctx, from, end-from)
		if err != nil {
			return 0, nil, fmt.Errorf("couldn't read the log from %d: %w", from, err)
		}
		for i := len(leaves) - 1; i >= 0; i-- {
			if leaf, err := ledger.ParseLeaf(leaves[i]); err == nil {
				if h, ok := leaf.(ledger.Head); ok {
					return from + uint64(i), &h, nil
				}
			}
		}
		end = from
	}
	return 0, nil, nil
}

func (f *follower) run() {
	defer close(f.done)
	for c := range f.work {
		if c.reply == nil {
			if f.err == nil && c.first != f.size {
				f.err = fmt.Errorf("the index follows at %d but was given %d", f.size, c.first)
			}
			if f.err == nil {
				f.insert(c.leaves)
				f.tree.Root() // hash while the sequencer does something else
			}
			continue
		}
		s := state{size: f.size, err: f.err}
		if f.err == nil {
			s.keys, s.root = uint64(f.tree.Len()), f.tree.Root()
		}
		c.reply <- s
	}
}

func (f *follower) insert(leaves [][]byte) {
	for _, b := range leaves {
		leaf, err := ledger.ParseLeaf(b)
		if err != nil {
			f.err = fmt.Errorf("the leaf at %d: %w", f.size, err)
			return
		}
		if e, ok := leaf.(ledger.Event); ok {
			f.tree.Insert(e.SubjectTag, f.size)
			f.tree.Insert(e.AgencyTag, f.size)
		}
		f.size++
	}
}

func (f *follower) add(first uint64, leaves [][]byte) {
	f.work <- chunk{first: first, leaves: leaves}
}

// catchUp returns the number of keys and the root over exactly size leaves.
func (f *follower) catchUp(size uint64) (keys uint64, root ledger.Hash, err error) {
	reply := make(chan state, 1)
	f.work <- chunk{reply: reply}
	s := <-reply
	if s.err == nil && s.size != size {
		s.err = fmt.Errorf("the index follows at %d, the log ends at %d", s.size, size)
	}
	return s.keys, s.root, s.err
}

func (f *follower) close() {
	close(f.work)
	<-f.done
}

// each calls f for 0 … n−1, on all cores where there is enough to share.
func each(n int, f func(int) error) error {
	const share = 64
	if n < 2*share {
		for i := range n {
			if err := f(i); err != nil {
				return err
			}
		}
		return nil
	}
	var g errgroup.Group
	g.SetLimit(cores)
	for from := 0; from < n; from += share {
		g.Go(func() error {
			for i := from; i < min(from+share, n); i++ {
				if err := f(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}
