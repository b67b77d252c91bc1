// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/index"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// indexDir holds the key files of the indexes, one a log: derived from the log, in no backup.
const indexDir = "index"

func indexFile(dir string, epoch uint32) string {
	return filepath.Join(dir, indexDir, fmt.Sprintf("%d.keys", epoch))
}

// AtHead calls f with the index exactly as a head states it: see sequencer.Sequencer.AtHead.
func (n *Node) AtHead(ctx context.Context, f func(at sequencer.Head, keys *index.Tree)) error {
	return n.year().seq.AtHead(ctx, f)
}

// Prove proves what the index at a head holds for each key: see sequencer.Sequencer.Prove.
func (n *Node) Prove(ctx context.Context, keys []ledger.Hash) (at sequencer.Head, proofs [][]byte, err error) {
	return n.year().seq.Prove(ctx, keys)
}

// Reindexed is what Reindex found in one log.
type Reindexed struct {
	Origin string
	*sequencer.Reindexed
}

// Reindex makes the key files of the indexes again from the logs in dir, and compares every head on the way. It needs no
// key. The error wraps store.ErrLocked while a process serves the ledger; a head that is wrong is no error, but leaves the
// key file as it was. begin is called with the origin and the number of leaves of each log, and gives its progress.
func Reindex(ctx context.Context, dir string, opt Options, begin func(origin string, leaves uint64) func(uint64)) (all []Reindexed, err error) {
	opt = opt.withDefaults()
	settings, err := ReadSettings(dir)
	if err != nil {
		return nil, err
	}
	where, err := PlaceOf(dir, settings, opt)
	if err != nil {
		return nil, err
	}
	db, err := where.OpenReadOnly(ctx, opt.Log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	epochs, shards, err := Shards(ctx, db)
	if err != nil {
		return nil, err
	}
	if len(epochs) == 0 {
		return nil, fmt.Errorf("%w: the store of %s has no log", ErrNoLedger, dir)
	}
	for i, epoch := range epochs {
		origin := ledger.Origin(settings.Name, epoch)
		r, err := sequencer.Reindex(ctx, sequencer.Config{
			Name: settings.Name, Epoch: epoch, Shard: shards[i], Log: opt.Log, IndexFile: indexFile(dir, epoch),
		}, begin(origin, shards[i].Root().Size))
		if err != nil {
			return all, fmt.Errorf("couldn't reindex %s: %w", origin, err)
		}
		all = append(all, Reindexed{origin, r})
	}
	return all, nil
}
