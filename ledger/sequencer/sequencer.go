// SPDX-License-Identifier: EUPL-1.2

// Package sequencer gives checked submissions their place in the log: one
// goroutine numbers, tags, seals and appends, a batch at a time, and signs a
// checkpoint for each batch (docs/design.md, "The pipeline inside ledgerd", steps 2
// to 4).
//
// What must always hold, whatever crashes:
//
//   - running numbers have no gap and no repeat: they are written in the same
//     durable transaction as the leaves they number;
//   - a submission is recorded once, however often it is sent;
//   - nothing is acknowledged that isn't durable and under a signed checkpoint;
//   - a check that relied on the registry is done again if the registry moved.
//
// The order is: number, append (one fsync), sign, acknowledge. A process that
// dies before the append leaves nothing; one that dies after it leaves
// everything, and the client's retry finds it. After an uncertain write the
// sequencer stops for good: only a restart knows what the disk holds.
package sequencer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// Decisions of Submit and Record.
var (
	// ErrBusy: the queue is full. Nothing was recorded; the caller tries again
	// in a moment.
	ErrBusy = errors.New("the queue of submissions is full")
	// ErrClosed: the sequencer is shutting down. Nothing was recorded.
	ErrClosed = errors.New("the ledger is shutting down")
	// ErrStopped: an earlier write had an uncertain outcome, or the engine
	// failed; the process must be restarted.
	ErrStopped = errors.New("the ledger stopped after a failed write and must be restarted")
	// ErrMoved: bodies, keys or scopes, or a list of consents, changed since the
	// submission was checked. It must be checked again.
	ErrMoved = errors.New("what the submission was checked by has changed since")
	// ErrConflict: another payload was recorded under the same (iss, jti).
	ErrConflict = errors.New("another payload is recorded under this iss and jti")
	// ErrClock: the system clock went back by more than MaxClockStep.
	ErrClock = errors.New("the system clock went back: refusing to record until it has caught up")
	// ErrYearOver: the clock stands in another year than the shard, or the
	// shard has its final head. Nothing was recorded; it belongs in another.
	ErrYearOver = errors.New("the year of this shard is over")
)

// MaxClockStep is how far the system clock may fall behind what was last
// recorded. Within it the recorded instants just don't advance.
const MaxClockStep = 30 * time.Second

// Months gives the month keys under which subjects' keys are wrapped; it is
// implemented by the keys directory and stands where a KMS would.
type Months interface {
	// Wrap returns the stored form of k under the newest key of the month,
	// which it creates durably first where there is none.
	Wrap(month string, handle ledger.Hash, k *[32]byte) ([]byte, error)
	// Unwrap opens a stored form.
	Unwrap(month string, handle ledger.Hash, stored []byte) ([32]byte, error)
}

// Config says what a Sequencer works on. All fields are required unless they
// say otherwise.
type Config struct {
	Name     string // ledger name
	Epoch    uint32
	Shard    *engine.Shard
	Rows     store.Store
	Registry *registry.Registry // holds the shard's records already; the sequencer applies new ones
	Signer   note.Signer
	// Vouch, when set, says before each signature why the log must not be signed. An
	// error stops the sequencer.
	Vouch  func(context.Context) error
	Handle [32]byte // the epoch's handle key
	Months Months
	Log    *slog.Logger
	// Authority is the public key of the authority for which each new sealing key
	// is wrapped as well; nil: there is none.
	Authority *[32]byte
	// After is the unix_ms of the final head of the shard before, 0 for the
	// ledger's first: this shard's clock begins after it.
	After uint64

	// IndexFile is where the keys of the index are kept (formats §5); ""
	// keeps them in RAM alone, and each start reads the whole log.
	IndexFile string
	// Warm is the index as this process kept it while another one sequenced; nil:
	// it is read from IndexFile and the log. The sequencer goes on with it.
	Warm *Warm

	Now       func() time.Time // nil: time.Now
	MaxBatch  int              // leaves in one commit; 0: 4096. One submission may exceed it
	MaxQueue  int              // leaves waiting; 0: 65,536
	HeadAfter time.Duration    // from an uncovered event to its head; 0: 25 s
	HeadEvery time.Duration    // from head to head when idle; 0: 4 min

	// Step, when set, is called by tests at each named step of a commit:
	// "numbered", "durable", "signed".
	Step func(name string)
	// Observe, when set, is told of each commit: its leaves, how long its
	// first submission waited in the queue, and how long the append took.
	Observe func(leaves int, wait, commit time.Duration)
}

// Sequencer owns the end of one shard.
type Sequencer struct {
	Config
	queue  chan *job
	closed chan struct{} // closed by Close: no new jobs
	done   chan struct{} // closed when the loop ended
	gate   sync.RWMutex  // read-held while enqueueing, write-held to close
	queued atomic.Int64  // leaves waiting
	latest atomic.Pointer[Latest]
	headMS atomic.Uint64 // lastHead, for other goroutines
	failed atomic.Pointer[error]
	asking atomic.Int32 // callers of AtHead
	// finished: the final head is in the log. Set by the loop's goroutine.
	finished atomic.Bool

	// Below: owned by the loop's goroutine.
	follower  *follower
	dayKeys   *seal.DayKeys // nil without an authority
	counters  *lru.Cache[string, uint64]
	subjectKs *lru.Cache[ledger.Hash, [32]byte]
	lastMS    uint64 // last recorded instant, ms
	lastHead  uint64 // unix_ms of the last head
	lastAt    uint64 // index of the last head
	uncovered time.Time
	lastBatch int

	clockWrong bool // at the last commit
	ending     bool // within Finish: the year is over, and the next head is final

	asked   bool      // somebody waits for a head (AtHead)
	ownHead time.Time // when the last head was tried that no caller of Head asked for
}

// Latest is the newest durable and signed state of the shard.
type Latest struct {
	Root       engine.Root
	Checkpoint []byte // signed note
}

// job is one thing to append: a submission, records, or a head; or something
// to do while nothing is appended.
type job struct {
	pending *Pending
	records [][]byte
	with    []store.Row // written with the records
	head    bool
	finish  bool // with records: the shard's last
	forget  *forgetting
	final   chan result // buffered by one
	since   time.Time
}

func (j *job) leaves() int {
	switch {
	case j.pending != nil:
		return len(j.pending.Subjects)
	case j.head, j.forget != nil:
		return 1
	case j.finish:
		return len(j.records) + 1
	}
	return len(j.records)
}

func newHead() *job {
	return &job{head: true, final: make(chan result, 1), since: time.Now()}
}

type result struct {
	committed *Committed
	err       error
}

// Committed tells where a submission stands in the log.
type Committed struct {
	Replayed bool // it was recorded before; Events is nil
	First    uint64
	Count    int
	Latest   Latest // a checkpoint that covers it
	Events   []Event
}

// Event is one event as it was recorded, with both running numbers: each is
// told to its own party only (formats §3).
type Event struct {
	Leaf  []byte
	Nonce [32]byte
	Body  []byte // nil beside the first of more than ledger.MaxSingleProofs
	I     uint32
	J     uint64
}

// Open starts the sequencer of a shard whose preamble is in the log. It reads
// the log from where the key file of the index ends, and writes the shard's
// first head when there is none.
func Open(ctx context.Context, cfg Config) (*Sequencer, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxBatch == 0 {
		cfg.MaxBatch = 4096
	}
	if cfg.MaxQueue == 0 {
		cfg.MaxQueue = 1 << 16
	}
	if cfg.HeadAfter == 0 {
		cfg.HeadAfter = 25 * time.Second
	}
	if cfg.HeadEvery == 0 {
		cfg.HeadEvery = 4 * time.Minute
	}
	s := &Sequencer{
		Config: cfg,
		queue:  make(chan *job, cfg.MaxQueue),
		closed: make(chan struct{}), done: make(chan struct{}),
	}
	var err error
	if cfg.Authority != nil {
		if s.dayKeys, err = seal.NewDayKeys(*cfg.Authority); err != nil {
			return nil, err
		}
	}
	if s.counters, err = lru.New[string, uint64](1 << 18); err != nil {
		return nil, err
	}
	if s.subjectKs, err = lru.New[ledger.Hash, [32]byte](1 << 17); err != nil {
		return nil, err
	}
	if s.follower, err = follow(ctx, &cfg); err != nil {
		return nil, err
	}
	s.lastHead, s.lastAt = s.follower.lastHead, s.follower.lastAt
	s.lastMS = max(s.lastHead, cfg.After)
	s.finished.Store(s.follower.final)
	if err := s.resumeClock(ctx); err != nil {
		s.follower.close()
		return nil, err
	}
	s.headMS.Store(s.lastHead)
	root := cfg.Shard.Root()
	signed, err := s.sign(root)
	if err != nil {
		s.follower.close()
		return nil, err
	}
	s.latest.Store(&Latest{root, signed})
	if s.follower.uncovered {
		s.uncovered = s.Now()
	}
	if s.lastHead == 0 && ledger.EpochOf(s.Now()) <= s.Epoch {
		// The first head comes before the first event (formats §2). A year that
		// was over before it began has a final one alone.
		first := newHead()
		s.commit([]*job{first})
		if r := <-first.final; r.err != nil {
			s.follower.close()
			return nil, fmt.Errorf("couldn't write the first head: %w", r.err)
		}
	}
	go s.run()
	return s, nil
}

func (s *Sequencer) sign(root engine.Root) ([]byte, error) {
	if s.Vouch != nil {
		if err := s.Vouch(context.Background()); err != nil {
			return nil, err
		}
	}
	signed, err := checkpoint.Sign(s.Signer, checkpoint.Checkpoint{
		Origin: ledger.Origin(s.Name, s.Epoch), Size: root.Size, Root: root.Hash,
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't sign the checkpoint of size %d: %w", root.Size, err)
	}
	return signed, nil
}

// Latest returns the newest state that is durable and signed.
func (s *Sequencer) Latest() Latest { return *s.latest.Load() }

// LastHead returns the instant that the last head states.
func (s *Sequencer) LastHead() time.Time { return time.UnixMilli(int64(s.headMS.Load())) }

// Queued returns how many leaves wait.
func (s *Sequencer) Queued() int { return int(s.queued.Load()) }

// Err returns why the sequencer stopped, or nil while it works.
func (s *Sequencer) Err() error {
	if p := s.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// Submit records a checked submission and returns when it is durable and
// under a signed checkpoint. A caller that gives up early (ctx) doesn't undo
// the recording: the same submission sent again finds it.
func (s *Sequencer) Submit(ctx context.Context, p *Pending) (*Committed, error) {
	return s.enqueue(ctx, &job{pending: p})
}

// Record appends public records, each a JSON object with a kind, in one
// commit, and returns the log index of the first. Records of the registry's
// kinds must pass its Check.
func (s *Sequencer) Record(ctx context.Context, records ...[]byte) (uint64, error) {
	return s.RecordWith(ctx, nil, records...)
}

// RecordWith is Record, and writes the rows in the same commit: what the records
// name by digest.
func (s *Sequencer) RecordWith(ctx context.Context, with []store.Row, records ...[]byte) (uint64, error) {
	if len(records) == 0 {
		return 0, errors.New("no record to append")
	}
	c, err := s.enqueue(ctx, &job{records: records, with: with})
	if err != nil {
		return 0, err
	}
	return c.First, nil
}

// Head appends a head over every leaf so far, and returns its log index.
func (s *Sequencer) Head(ctx context.Context) (uint64, error) {
	c, err := s.enqueue(ctx, &job{head: true})
	if err != nil {
		return 0, err
	}
	return c.First, nil
}

func (s *Sequencer) enqueue(ctx context.Context, j *job) (*Committed, error) {
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStopped, err)
	}
	n := int64(j.leaves())
	j.final, j.since = make(chan result, 1), time.Now()
	s.gate.RLock()
	select {
	case <-s.closed:
		s.gate.RUnlock()
		return nil, ErrClosed
	default:
	}
	// A submission larger than the whole queue is taken when nothing waits.
	if waiting := s.queued.Add(n); waiting > int64(s.MaxQueue) && waiting > n {
		s.queued.Add(-n)
		s.gate.RUnlock()
		return nil, ErrBusy
	}
	s.queue <- j // never blocks: the queue holds MaxQueue jobs, each of a leaf or more
	s.gate.RUnlock()
	select {
	case r := <-j.final:
		return r.committed, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close stops taking submissions, records what waits, writes a last head over
// it, and ends.
func (s *Sequencer) Close() error {
	s.gate.Lock()
	select {
	case <-s.closed:
	default:
		close(s.closed)
		close(s.queue)
	}
	s.gate.Unlock()
	<-s.done
	return s.Err()
}

// run is the one goroutine that writes.
func (s *Sequencer) run() {
	defer close(s.done)
	defer s.follower.close()
	for {
		wait := s.untilHead()
		var first, own *job
		open := true
		if wait == 0 && time.Since(s.ownHead) >= time.Second {
			// Before what waits, too: the last head may be of another month.
			own = newHead()
		} else {
			due := time.NewTimer(wait)
			select {
			case first, open = <-s.queue:
			case <-s.follower.want:
				s.asked = true
				due.Stop()
				continue
			case <-due.C:
				own = newHead()
			}
			due.Stop()
		}
		if own != nil {
			first = own
			s.queued.Add(1)
		}
		if !open {
			if s.Err() == nil && !s.uncovered.IsZero() {
				s.commit([]*job{newHead()})
			}
			return
		}
		batch := s.gather(first)
		for _, j := range batch {
			s.queued.Add(-int64(j.leaves()))
		}
		// A head states the index over all leaves before it, so it stands in
		// a commit of its own.
		start := 0
		for i, j := range batch {
			switch {
			case j.head:
				s.commit(batch[start:i])
				s.commit(batch[i : i+1])
				start = i + 1
			case j.forget != nil:
				s.commit(batch[start:i])
				s.forget(j)
				start = i + 1
			case j.finish:
				s.commit(batch[start:i])
				s.end(j)
				start = i + 1
			}
		}
		s.commit(batch[start:])
		if own != nil {
			s.asked, s.ownHead = false, time.Now()
			if r := <-own.final; r.err != nil {
				s.follower.work <- chunk{refuse: r.err}
			}
		}
	}
}

// gather takes what waits, up to MaxBatch leaves. Group commit: while one
// batch was being synced the next filled, so a busy queue needs no tick; only
// when the last batches were large is it worth some milliseconds to let this
// one fill too. An idle ledger never waits.
func (s *Sequencer) gather(first *job) []*job {
	const large, linger = 32, 4 * time.Millisecond
	batch, leaves := []*job{first}, first.leaves()
	var patience <-chan time.Time
	for leaves < s.MaxBatch {
		select {
		case j, open := <-s.queue:
			if !open {
				return batch // the loop sees the closed queue next
			}
			batch, leaves = append(batch, j), leaves+j.leaves()
			continue
		default:
		}
		if s.lastBatch < large || leaves >= 1024 {
			break
		}
		if patience == nil {
			patience = time.After(linger)
		}
		select {
		case j, open := <-s.queue:
			if !open {
				return batch
			}
			batch, leaves = append(batch, j), leaves+j.leaves()
			continue
		case <-patience:
		}
		break
	}
	s.lastBatch = leaves
	return batch
}

func (s *Sequencer) step(name string) {
	if s.Step != nil {
		s.Step(name)
	}
}

// stop records why nothing more can be written.
func (s *Sequencer) stop(err error) {
	s.failed.CompareAndSwap(nil, &err)
	s.Log.Error("sequencer stopped", "error", err, "hint", "restart the ledger: what was acknowledged is durable, the rest will be sent again")
}

// cores is how many goroutines share the work on one batch.
var cores = runtime.GOMAXPROCS(0)
