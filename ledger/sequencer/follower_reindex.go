// SPDX-License-Identifier: EUPL-1.2

package sequencer

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/traccia-ledger/traccia/ledger"
)

// Reindexed is what Reindex found in the log.
type Reindexed struct {
	Size  uint64 // leaves read
	Keys  uint64
	Root  ledger.Hash // of the index over all of them
	Heads int
	Wrong []WrongHead
}

// WrongHead is a head that states another index than the leaves before it
// give.
type WrongHead struct {
	Index  uint64      // of the head in the log
	Stated ledger.Head // the head
	Keys   uint64      // what it should state
	Root   ledger.Hash
}

// Reindex reads a shard's whole log, compares every head with the leaves before
// it and, if all are right, puts a new key file in the place of cfg.IndexFile.
// Of cfg it uses Name, Epoch, Shard, Log and IndexFile. No sequencer may be
// open on the shard. progress is told of each page of leaves that was read.
func Reindex(ctx context.Context, cfg Config, progress func(leaves uint64)) (r *Reindexed, err error) {
	f := newFollower(&cfg)
	temp := cfg.IndexFile + ".new"
	if f.file, err = createKeys(temp, f.origin); err != nil {
		return nil, fmt.Errorf("couldn't make the index's key file: %w", err)
	}
	defer func() {
		if f.file != nil {
			err = errors.Join(err, f.file.close())
		}
		if err == nil && len(r.Wrong) == 0 {
			err = os.Rename(temp, cfg.IndexFile)
		} else {
			err = errors.Join(err, os.Remove(temp))
		}
	}()

	r = &Reindexed{Size: cfg.Shard.Root().Size}
	compare := func(at uint64, h *ledger.Head) error {
		r.Heads++
		if f.compare(at, h) != nil {
			r.Wrong = append(r.Wrong, WrongHead{at, *h, f.tree.Len(), f.tree.Root()})
		}
		return nil
	}
	for f.size < r.Size {
		before := f.size
		if err := f.replay(ctx, cfg.Shard, min(f.size+page, r.Size), compare); err != nil {
			return r, err
		}
		progress(f.size - before)
	}
	f.keep()
	if f.file == nil {
		return r, errors.New("couldn't write the index's key file")
	}
	r.Keys, r.Root = f.tree.Len(), f.tree.Root()
	return r, nil
}
