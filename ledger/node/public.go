// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// ErrNotPublished: nothing of that name is in the public log yet.
var ErrNotPublished = errors.New("not in the published log")

// publishLoop advances the public log at most once an interval, so that nobody
// can time a single event by watching it grow (formats §1).
func (n *Node) publishLoop() {
	defer n.stopped.Done()
	interval, err := n.Settings.interval()
	if err != nil || interval <= 0 {
		interval = time.Millisecond
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-n.stop:
			return
		case <-tick.C:
			if err := n.publish(); err != nil {
				n.opt.Log.Error("couldn't publish", "error", err)
			}
		}
	}
}

// publish makes the newest checkpoint public. It is written beside the keys
// first: what anyone may have seen must be known at the next start. Tiles are
// shown from the moment witnesses are asked, so that a monitor among them can
// verify the new leaves before it cosigns.
//
// Where nothing is new, the witnesses that didn't cosign yet are asked again.
func (n *Node) publish() error {
	n.publishing.Lock()
	defer n.publishing.Unlock()
	latest := n.seq.Latest()
	before := n.published.Load()
	if before != nil && before.Root == latest.Root {
		latest.Checkpoint = before.Checkpoint
		if !slices.Contains(n.cosigned, false) {
			return nil
		}
	} else {
		clear(n.cosigned)
	}
	n.offered.Store(latest.Root.Size)
	signed := n.cosign(latest)
	if before != nil && bytes.Equal(signed, before.Checkpoint) {
		return nil
	}
	if err := n.keys.SetPublished(n.Epoch, signed); err != nil {
		return fmt.Errorf("couldn't keep the published checkpoint: %w", err)
	}
	n.published.Store(&Published{latest.Root, signed})
	return nil
}

// Settle writes a head over every leaf and publishes it at once.
func (n *Node) Settle(ctx context.Context) error {
	if _, err := n.seq.Head(ctx); err != nil {
		return err
	}
	return n.publish()
}

// Published returns what the public log of an epoch shows.
func (n *Node) Published(epoch uint32) (Published, error) {
	if epoch != n.Epoch {
		return Published{}, ErrNotPublished
	}
	return *n.published.Load(), nil
}

// Tile returns a Merkle tile of the public log (c2sp.org/tlog-tiles): width
// hashes of 32 bytes, 256 for a full tile. ErrNotPublished covers tiles and
// widths beyond the size that is published, or that witnesses are being asked
// to cosign.
func (n *Node) Tile(ctx context.Context, epoch uint32, level uint, index uint64, width int) ([]byte, error) {
	done, err := n.use()
	if err != nil {
		return nil, err
	}
	defer done()
	if level > 7 || !n.covers(epoch, level, index, width) {
		return nil, ErrNotPublished
	}
	return n.shard.Tile(ctx, level, index, width)
}

// Entries returns an entry bundle of the public log: width leaves, each after
// its length in a u16.
func (n *Node) Entries(ctx context.Context, epoch uint32, index uint64, width int) ([]byte, error) {
	done, err := n.use()
	if err != nil {
		return nil, err
	}
	defer done()
	if !n.covers(epoch, 0, index, width) {
		return nil, ErrNotPublished
	}
	return n.shard.Entries(ctx, index, width)
}

// covers says whether a log of the size that witnesses were asked about last
// has this tile: a full one, or a partial one.
func (n *Node) covers(epoch uint32, level uint, index uint64, width int) bool {
	if epoch != n.Epoch || width < 1 || width > 256 {
		return false
	}
	nodes := n.offered.Load() >> (8 * level)
	return index < 1<<48 && index*256+uint64(width) <= nodes
}

// Blob returns content that a record names by its SHA-256.
func (n *Node) Blob(ctx context.Context, digest ledger.Hash) ([]byte, error) {
	done, err := n.use()
	if err != nil {
		return nil, err
	}
	defer done()
	snap, err := n.rows.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	blob, err := snap.Get(ctx, store.TableBlob, digest[:])
	if err == nil && blob == nil {
		err = ErrNotPublished
	}
	return blob, err
}
