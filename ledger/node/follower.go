// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// Times of a Follower.
const (
	followEvery = time.Second
	// staleAfter is for how long it may not have seen what is published.
	staleAfter = 10 * time.Second
	// askedPatience is how long who asks for a checkpoint waits for a newer one to be
	// seen to agree.
	askedPatience = 2 * time.Second
)

// Follower shows the public logs of a ledger that a process records, this one or
// another, from the store and the published checkpoints in the data directory, which
// all see. It needs no secret key. What it shows never goes back, and is shown only
// once the log's signature and the root that the store's tiles give agree with it.
//
// Who asks for a checkpoint gets the one that is published at that moment, so that of
// several processes none shows less than another did before.
type Follower struct {
	dir      string
	settings Settings
	rows     store.Store
	engine   *engine.Engine

	looking chan struct{} // holds one while somebody looks for what was published

	mu      sync.RWMutex
	shown   map[uint32]*followed // by epoch; never changed in place; guarded by mu
	agreed  time.Time            // when all that is published was last seen to agree; guarded by mu
	trouble error                // why it doesn't; guarded by mu
	differs error                // an index isn't what a head states; guarded by mu

	index warmIndex
}

type followed struct {
	Published
	shard *engine.Shard
}

// Follow returns what shows the logs of the ledger in dir, over a store that it
// doesn't close. Run keeps it up to date.
func Follow(ctx context.Context, dir string, s Settings, rows store.Store) (*Follower, error) {
	e, err := engine.New(rows)
	if err != nil {
		return nil, err
	}
	f := &Follower{dir: dir, settings: s, rows: rows, engine: e, looking: make(chan struct{}, 1)}
	return f, f.Refresh(ctx)
}

// Run looks for what was published until ctx ends.
func (f *Follower) Run(ctx context.Context, log *slog.Logger) {
	f.keepUp(ctx, log, "couldn't follow the published log: others answer for it", f.Refresh)
}

// keepUp takes a step at once, and again and again until ctx ends. Of steps that
// fail one after another the first is logged, if it wasn't interrupted.
func (f *Follower) keepUp(ctx context.Context, log *slog.Logger, message string, step func(context.Context) error) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	failed := false
	for {
		err := step(ctx)
		if err != nil && !failed && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
			log.Error(message, "error", err)
		}
		failed = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Refresh looks now for what was published.
func (f *Follower) Refresh(ctx context.Context) error {
	select {
	case f.looking <- struct{}{}:
		defer func() { <-f.looking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	begun := time.Now()
	next, err := f.look(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trouble = err
	if err == nil {
		f.shown, f.agreed = next, begun
	}
	return err
}

// look returns what is to be shown now.
func (f *Follower) look(ctx context.Context) (map[uint32]*followed, error) {
	all, err := LastPublished(f.dir, f.settings)
	if err != nil {
		return nil, err
	}
	f.mu.RLock()
	next := maps.Clone(f.shown)
	f.mu.RUnlock()
	if next == nil {
		next = map[uint32]*followed{}
	}
	for _, last := range all {
		before := next[last.Epoch]
		if before != nil && (last.Size < before.Root.Size || bytes.Equal(last.Signed, before.Checkpoint)) {
			continue // what was shown isn't taken back
		}
		shard, err := f.engine.OpenShard(ctx, last.Epoch)
		if err != nil {
			return nil, err
		}
		if size := shard.Root().Size; size < last.Size {
			return nil, fmt.Errorf("%w: the log %s ends at %d, %d leaves were published", ErrBehind, last.Origin, size, last.Size)
		}
		states := []engine.Root{{Size: last.Size, Hash: last.Root}}
		if before != nil {
			states = append(states, before.Root)
		}
		for _, want := range states {
			at, err := shard.RootAt(ctx, want.Size)
			if err != nil {
				return nil, fmt.Errorf("couldn't recompute a published root: %w", err)
			}
			if at != want.Hash {
				return nil, fmt.Errorf("%w: at size %d the store has root %x, published was %x", ErrFork, want.Size, at, want.Hash)
			}
		}
		next[last.Epoch] = &followed{Published{states[0], last.Signed}, shard}
	}
	return next, nil
}

// Trouble says why it can't answer for what is public now, nil if it can.
func (f *Follower) Trouble() error {
	lag := f.Lag()
	f.mu.RLock()
	defer f.mu.RUnlock()
	switch {
	case f.differs != nil:
		return f.differs
	case errors.Is(f.trouble, ErrFork), errors.Is(f.trouble, ErrBehind):
		return f.trouble
	case lag > staleAfter:
		return errors.Join(fmt.Errorf("what is published was last seen %.0f seconds ago", lag.Seconds()), f.trouble)
	}
	return nil
}

// Lag is how old what it shows may be.
func (f *Follower) Lag() time.Duration {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return time.Since(f.agreed)
}

func (f *Follower) of(epoch uint32) *followed {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.shown[epoch]
}

// Published returns what is published now. An error other than ErrNotPublished says
// that something is which couldn't be seen to agree.
func (f *Follower) Published(epoch uint32) (Published, error) {
	signed, err := keys.ReadPublished(filepath.Join(f.dir, keysDir), epoch)
	if err != nil {
		return Published{}, err
	}
	if l := f.of(epoch); l == nil && signed != nil || l != nil && !bytes.Equal(l.Checkpoint, signed) {
		ctx, cancel := context.WithTimeout(context.Background(), askedPatience)
		defer cancel()
		if err := f.Refresh(ctx); err != nil {
			return Published{}, err
		}
	}
	if l := f.of(epoch); l != nil {
		return l.Published, nil
	}
	return Published{}, ErrNotPublished
}

// Tile is Node.Tile, of what is published alone.
func (f *Follower) Tile(ctx context.Context, epoch uint32, level uint, index uint64, width int) ([]byte, error) {
	l := f.of(epoch)
	if l == nil || level > 7 || !covers(l.Root.Size, level, index, width) {
		return nil, ErrNotPublished
	}
	return l.shard.Tile(ctx, level, index, width)
}

// Entries is Node.Entries, of what is published alone.
func (f *Follower) Entries(ctx context.Context, epoch uint32, index uint64, width int) ([]byte, error) {
	l := f.of(epoch)
	if l == nil || !covers(l.Root.Size, 0, index, width) {
		return nil, ErrNotPublished
	}
	return l.shard.Entries(ctx, index, width)
}

// Blob is Node.Blob.
func (f *Follower) Blob(ctx context.Context, digest ledger.Hash) ([]byte, error) {
	return blob(ctx, f.rows, digest)
}
