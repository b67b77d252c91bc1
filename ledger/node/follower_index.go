// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// warmIndex is the index of a Follower.
type warmIndex struct {
	mu    sync.Mutex      // held while it is brought up to the log
	epoch uint32          // guarded by mu
	warm  *sequencer.Warm // of epoch, nil: nothing was read; guarded by mu
	ready atomic.Uint64   // the size of the log that warm was brought up to

	stopping sync.Mutex
	stop     context.CancelFunc // of what holds mu; guarded by stopping
	lent     bool               // this process sequences; guarded by stopping
}

// RunIndex keeps the index of the newest log up to what is shown until ctx ends,
// and compares it with each head on the way. Once it differs, Trouble says so for
// good.
func (f *Follower) RunIndex(ctx context.Context, log *slog.Logger) {
	f.keepUp(ctx, log, "couldn't follow the log with the index: this node would read it before it sequences", func(ctx context.Context) error {
		return f.readIndex(ctx, log)
	})
}

// readIndex brings the index up to what is shown now, unless this process
// sequences.
func (f *Follower) readIndex(ctx context.Context, log *slog.Logger) error {
	w := &f.index
	w.mu.Lock()
	defer w.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.stopping.Lock()
	lent := w.lent
	w.stop = cancel
	w.stopping.Unlock()
	f.mu.RLock()
	shown, differs := f.shown, f.differs
	f.mu.RUnlock()
	if lent || differs != nil || len(shown) == 0 {
		return nil
	}
	epoch := newest(shown)
	if w.warm == nil || w.epoch != epoch {
		w.epoch, w.warm = epoch, sequencer.NewWarm(f.settings.Name, epoch, log)
		w.ready.Store(0)
	}
	l := shown[epoch]
	if w.warm.Size() >= l.Root.Size {
		return nil
	}
	err := w.warm.Follow(ctx, l.shard, indexFile(f.dir, epoch), l.Root.Size)
	if err == nil {
		w.ready.Store(l.Root.Size)
	}
	if errors.Is(err, sequencer.ErrIndex) {
		w.warm = nil
		f.mu.Lock()
		defer f.mu.Unlock()
		f.differs = fmt.Errorf("the log of %d: %w", epoch, err)
	}
	return err
}

func newest(shown map[uint32]*followed) uint32 { return slices.Max(slices.Collect(maps.Keys(shown))) }

// Lend is Options.Warm of this process when it sequences: the index of the epoch as
// far as it was read, nil if nothing was. It isn't followed from then on until
// Resume.
func (f *Follower) Lend(epoch uint32) *sequencer.Warm {
	w := &f.index
	w.stopping.Lock()
	w.lent = true
	if w.stop != nil {
		w.stop()
	}
	w.stopping.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.epoch != epoch {
		return nil
	}
	warm := w.warm
	w.warm = nil
	return warm
}

// IndexLag is how many leaves of what is shown of the newest log the index lacks;
// all of them before it was read for the first time.
func (f *Follower) IndexLag() uint64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if len(f.shown) == 0 {
		return 0
	}
	size, ready := f.shown[newest(f.shown)].Root.Size, f.index.ready.Load()
	return size - min(size, ready)
}

// Resume begins to follow with the index again, from the start: another process
// sequences now.
func (f *Follower) Resume() {
	f.index.stopping.Lock()
	defer f.index.stopping.Unlock()
	f.index.lent = false
}
