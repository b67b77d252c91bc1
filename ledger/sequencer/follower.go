// SPDX-License-Identifier: EUPL-1.2

package sequencer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/index"
)

// ErrIndex: the index isn't the one that the last head in the log states.
// Either the log, the key file or this program is wrong; nothing may be served.
var ErrIndex = errors.New("the index differs from what the log's last head states")

// follower keeps the index of the shard (formats §5) up to the durable log, in
// RAM and in the key file. It works beside the sequencer, which waits for it
// only before a head.
type follower struct {
	cfg   *Config
	work  chan chunk
	asks  chan *ask
	want  chan struct{} // holds one: somebody waits for a head
	done  chan struct{}
	hurry atomic.Bool // the sequencer waits for an answer

	epoch  uint32
	origin string
	log    *slog.Logger

	// Set by follow, read by the sequencer before the goroutine starts.
	lastHead  uint64 // unix_ms of the last head in the log, 0 if none
	lastAt    uint64 // index of that head
	uncovered bool   // leaves other than heads stand after it

	// Owned by the goroutine.
	tree    *index.Tree // nil: the final head was read, and nobody asks now
	size    uint64
	final   bool // the final head was read: nothing counts after it
	err     error
	stale   int   // keys since the tree was last hashed
	head    *Head // the last head read, nil before the first
	atHead  bool  // the tree is as that head states it
	waiting []*ask

	file *keyFile // nil: in RAM only
	rows []byte   // keys that the file doesn't have yet, as they will stand there
	last []byte   // the last event, which brought the last of them
	upTo uint64   // the log's size after it
}

// chunk is a run of leaves; or a question, when reply is set; or the news that
// no head will come.
type chunk struct {
	first  uint64
	leaves [][]byte
	reply  chan state
	refuse error
}

type state struct {
	size, keys uint64
	root       ledger.Hash
	err        error
}

// page is how many leaves are read at a time.
const page = 4096

// hashEvery is how many keys may wait to be hashed: for more, a head would
// make the sequencer wait; for fewer, nodes that they share are hashed again.
const hashEvery = 512

func newFollower(cfg *Config) *follower {
	return &follower{
		cfg: cfg, work: make(chan chunk, 64), asks: make(chan *ask), want: make(chan struct{}, 1), done: make(chan struct{}),
		epoch: cfg.Epoch, origin: ledger.Origin(cfg.Name, cfg.Epoch), log: cfg.Log, tree: index.New(),
	}
}

// follow brings the index up to the log and starts the goroutine. The index of
// a shard that has its final head is read when somebody asks.
func follow(ctx context.Context, cfg *Config) (*follower, error) {
	f := newFollower(cfg)
	if cfg.Warm != nil {
		f = cfg.Warm.continued(cfg)
	}
	size := cfg.Shard.Root().Size
	at, head, err := lastHead(ctx, cfg.Shard, size)
	switch {
	case err != nil:
		return nil, err
	case head != nil && head.Final && at+1 == size:
		raw, err := ledger.FormatLeaf(*head)
		if err != nil {
			return nil, err
		}
		f.tree, f.size, f.final = nil, size, true
		f.head, f.atHead, f.lastHead, f.lastAt = &Head{at, raw}, true, head.UnixMS, at
	default:
		if err := f.read(ctx, size, at, head); err != nil {
			return nil, err
		}
		f.uncovered = head == nil || at+1 < size
	}
	go f.run()
	return f, nil
}

// read brings the index up to size, from the key file as far as the last head,
// at this index, vouches for it and from the log for the rest, and compares it
// with that head.
func (f *follower) read(ctx context.Context, size, at uint64, head *ledger.Head) (err error) {
	if f.cfg.IndexFile != "" {
		limit := uint64(0)
		if head != nil {
			limit = at
		}
		if f.size > 0 {
			err = f.fill(ctx, f.cfg.Shard, f.cfg.IndexFile, size)
		} else {
			err = f.load(ctx, f.cfg.Shard, f.cfg.IndexFile, limit, size)
		}
		if err != nil {
			return err
		}
	}
	if head != nil {
		f.lastHead, f.lastAt = head.UnixMS, at
	}
	fromFile := f.tree.Len()
	compare := func(i uint64, h *ledger.Head) error {
		if i != at {
			return nil
		}
		wrong := f.compare(i, h)
		if wrong != nil && fromFile > 0 {
			return fmt.Errorf("%w (%d of the keys came from %s: try ledgerd reindex)", wrong, fromFile, f.cfg.IndexFile)
		}
		return wrong
	}
	if err := f.replay(ctx, f.cfg.Shard, size, compare); err != nil {
		f.file.abandon()
		f.file = nil
		return err
	}
	return nil
}

// replay reads the log on to size, and calls atHead for each head when the
// tree holds the leaves before it.
func (f *follower) replay(ctx context.Context, shard *engine.Shard, size uint64, atHead func(uint64, *ledger.Head) error) error {
	for f.size < size {
		leaves, err := shard.Leaves(ctx, f.size, min(page, size-f.size))
		if err != nil {
			return fmt.Errorf("couldn't read the log from %d: %w", f.size, err)
		}
		if len(leaves) == 0 {
			return fmt.Errorf("couldn't read the log from %d: it ends before its size %d", f.size, size)
		}
		for _, leaf := range leaves {
			if err := f.insert(leaf, atHead); err != nil {
				return err
			}
		}
	}
	return nil
}

// compare says how a head differs from the leaves before it, if it does.
func (f *follower) compare(at uint64, h *ledger.Head) error {
	if keys, root := f.tree.Len(), f.tree.Root(); h.Keys != keys || h.Root != root {
		return fmt.Errorf("%w: the head at %d states %d keys and root %x, the leaves before it give %d and %x",
			ErrIndex, at, h.Keys, h.Root, keys, root)
	}
	return nil
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
	idle := time.NewTimer(keepIdle)
	for {
		select {
		case <-idle.C:
			if f.final {
				f.rest()
			}
		case c, open := <-f.work:
			if !open {
				f.end()
				return
			}
			f.take(c)
		case a := <-f.asks:
			f.waiting = append(f.waiting, a)
			idle.Reset(keepIdle)
		}
		f.answer()
	}
}

func (f *follower) take(c chunk) {
	switch {
	case c.refuse != nil:
		f.refuse(c.refuse)
	case c.reply != nil:
		s := state{size: f.size, err: f.err}
		if f.err == nil {
			s.keys, s.root = f.tree.Len(), f.tree.Root()
			f.stale = 0
		}
		c.reply <- s
		f.keep()
	case f.err != nil:
	case c.first != f.size:
		f.err = fmt.Errorf("the index follows at %d but was given %d", f.size, c.first)
	default:
		for _, leaf := range c.leaves {
			f.insert(leaf, nil)
		}
		if f.stale >= hashEvery {
			f.tree.Root() // while the sequencer does something else
			f.stale = 0
		}
	}
}

// insert reads the next leaf of the log (formats §5). atHead, if given, may
// refuse a head; there is no other error.
func (f *follower) insert(raw []byte, atHead func(uint64, *ledger.Head) error) error {
	at := f.size
	f.size++
	leaf, err := ledger.ParseLeaf(raw)
	if err != nil || f.final {
		f.log.Error("a leaf of the log that adds nothing", "index", at, "after_final_head", f.final, "error", err)
		return nil
	}
	switch leaf := leaf.(type) {
	case ledger.Event:
		if leaf.Epoch != f.epoch {
			break
		}
		f.key(at, leaf.SubjectTag)
		f.key(at, leaf.AgencyTag)
		f.event(raw, f.size)
	case ledger.Head:
		if leaf.Epoch != f.epoch {
			break
		}
		if atHead != nil {
			if err := atHead(at, &leaf); err != nil {
				return err
			}
		}
		f.head, f.atHead, f.final = &Head{at, raw}, true, leaf.Final
	}
	return nil
}

// event ends the rows of an event, the last of the log's first size leaves.
func (f *follower) event(raw []byte, size uint64) {
	f.last, f.upTo = raw, size
	if len(f.rows) > (maxBlock-2)*keyRow {
		f.keep()
	}
}

func (f *follower) key(at uint64, tag ledger.Hash) {
	first, ok := f.tree.Insert(tag, at)
	if !ok {
		f.log.Error("a tag stands in the log twice: the first counts", "index", at, "first", first)
		return
	}
	f.atHead = false
	f.stale++
	f.row(at, tag)
}

// row is to stand in the key file.
func (f *follower) row(at uint64, tag ledger.Hash) {
	if f.file != nil {
		f.rows = append(f.rows, tag[:]...)
		f.rows = binary.BigEndian.AppendUint64(f.rows, at)
	}
}

func (f *follower) add(first uint64, leaves [][]byte) {
	f.work <- chunk{first: first, leaves: leaves}
}

// catchUp returns the number of keys and the root over exactly size leaves.
func (f *follower) catchUp(size uint64) (keys uint64, root ledger.Hash, err error) {
	reply := make(chan state, 1)
	f.hurry.Store(true)
	f.work <- chunk{reply: reply}
	s := <-reply
	f.hurry.Store(false)
	if s.err == nil && s.size != size {
		s.err = fmt.Errorf("the index follows at %d, the log ends at %d", s.size, size)
	}
	return s.keys, s.root, s.err
}

func (f *follower) close() {
	close(f.work)
	<-f.done
}

// end leaves nobody waiting, and the key file whole.
func (f *follower) end() {
	f.answer()
	f.refuse(ErrClosed)
	f.keepAll()
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
