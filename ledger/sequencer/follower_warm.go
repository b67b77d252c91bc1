// SPDX-License-Identifier: EUPL-1.2

package sequencer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/index"
)

// Warm is the index of a shard (formats §5) that another process sequences, kept
// so that this one can go on at once when the other is gone: it holds all keys in
// RAM. It isn't safe for concurrent use.
type Warm struct{ f *follower }

// NewWarm makes one that holds nothing yet, for the shard of this ledger and epoch.
func NewWarm(name string, epoch uint32, log *slog.Logger) *Warm {
	return &Warm{newFollower(&Config{Name: name, Epoch: epoch, Log: log})}
}

// Size is how many leaves of the log it has read.
func (w *Warm) Size() uint64 { return w.f.size }

// Follow reads the log on to size, which the shard has, and compares every head on
// the way with the leaves before it; the error wraps ErrIndex if one differs. The
// first time it takes keys from the key file of the process that sequences, which
// may be writing it, as far as the last head vouches for them. When ctx ends it is
// as far as it has come, and may go on.
func (w *Warm) Follow(ctx context.Context, shard *engine.Shard, keys string, size uint64) error {
	f := w.f
	if f.size == 0 {
		if err := f.peek(ctx, shard, keys, size); err != nil {
			return err
		}
	}
	return f.replay(ctx, shard, size, f.compare)
}

// continued is the follower of a sequencer that goes on where this ends.
func (w *Warm) continued(cfg *Config) *follower {
	f := w.f
	w.f, f.cfg, f.log = nil, cfg, cfg.Log
	return f
}

// peek takes keys from a key file without changing it. A file that is no good is left aside.
func (f *follower) peek(ctx context.Context, shard *engine.Shard, path string, size uint64) error {
	at, head, err := lastHead(ctx, shard, size)
	if err != nil || head == nil {
		return err
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("couldn't read the index's key file: %w", err)
	}
	defer file.Close()
	var covered uint64
	var last ledger.Hash
	r, err := readKeyHeader(bufio.NewReaderSize(file, 1<<18), f.origin)
	for err == nil {
		var b *keyBlock
		if b, err = r.next(); err != nil || b.size > at {
			err = nil
			break
		}
		if err = errors.Join(ctx.Err(), f.takeBlock(b)); err == nil {
			covered, last = b.size, b.last
		}
	}
	if err == nil {
		err = isLeaf(ctx, shard, covered, last)
	}
	if err != nil {
		f.tree = index.New()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f.log.Warn("the index is read from the log: the key file is no good", "file", path, "reason", err)
		return nil
	}
	f.size = covered
	return nil
}

// fill opens the key file and brings it up to the tree, which was kept without it.
func (f *follower) fill(ctx context.Context, shard *engine.Shard, path string, size uint64) error {
	at, err := f.openFile(ctx, shard, path, f.size, size, func(*keyBlock) error { return nil })
	if err != nil {
		return err
	}
	for at < f.size && f.file != nil {
		leaves, err := shard.Leaves(ctx, at, min(page, f.size-at))
		if err != nil || len(leaves) == 0 {
			return fmt.Errorf("couldn't read the log from %d: %w", at, err)
		}
		for _, raw := range leaves {
			leaf, _ := ledger.ParseLeaf(raw) // one that is none adds nothing
			if e, ok := leaf.(ledger.Event); ok && e.Epoch == f.epoch {
				f.row(at, e.SubjectTag)
				f.row(at, e.AgencyTag)
				f.event(raw, at+1)
			}
			at++
		}
	}
	return nil
}
