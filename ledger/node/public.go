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
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// ErrNotPublished: nothing of that name is in the public log yet.
var ErrNotPublished = errors.New("not in the published log")

// publishLoop advances the public log at most once an interval, so that nobody
// can time a single event by watching it grow (formats §1).
func (n *Node) publishLoop() {
	n.eachInterval(func() error { return errors.Join(n.year().publish(), n.settleRequests()) })
}

// finalRetry is how many intervals, and at least a second, pass until the
// witnesses that didn't cosign the last checkpoint of a past year are asked again.
const finalRetry = 12

// publishFinalLoop publishes the last checkpoints of past years, and asks for
// the cosignatures that they lack until they have all.
func (n *Node) publishFinalLoop() {
	turn, asked := 0, time.Now()
	n.eachInterval(func() (err error) {
		turn++
		again := turn%finalRetry == 0 && time.Since(asked) >= time.Second
		if again {
			asked = time.Now()
		}
		years := n.all()
		for _, y := range years[:len(years)-1] {
			if again || !y.isPublished() {
				err = errors.Join(err, y.publish())
			}
		}
		return err
	})
}

// eachInterval calls f at once, and then once an interval, until the node closes.
func (n *Node) eachInterval(f func() error) {
	defer n.stopped.Done()
	interval, err := n.Settings.interval()
	if err != nil || interval <= 0 {
		interval = time.Millisecond
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for first := true; ; first = false {
		if err := f(); err != nil {
			n.opt.Log.Error("couldn't publish", "error", err)
		}
		if first {
			n.resumed.Done()
		}
		select {
		case <-n.stop:
			return
		case <-tick.C:
		}
	}
}

// AwaitPublished waits until what was recorded before the node was opened is public, or couldn't be published at once, or ctx
// ends.
func (n *Node) AwaitPublished(ctx context.Context) {
	resumed := make(chan struct{})
	go func() {
		n.resumed.Wait()
		close(resumed)
	}()
	select {
	case <-resumed:
	case <-ctx.Done():
	}
}

// isPublished says whether the public log has every leaf.
func (y *year) isPublished() bool {
	p := y.published.Load()
	return p != nil && p.Root == y.seq.Latest().Root
}

// countLacking is called with publishing held, or before anybody publishes.
func (y *year) countLacking() {
	lacking := 0
	for _, has := range y.cosigned {
		if !has {
			lacking++
		}
	}
	y.lacking.Store(int32(lacking))
}

// publishAll publishes the logs that have leaves which aren't public.
func (n *Node) publishAll() error {
	for _, y := range n.all() {
		if y.isPublished() {
			continue
		}
		if err := y.publish(); err != nil {
			return err
		}
	}
	return nil
}

// resumePublished takes up what was published last with the cosignatures that it has.
// check found it to be of this log.
func (y *year) resumePublished() error {
	signed, cp, err := y.lastPublished()
	if err != nil || signed == nil {
		return err
	}
	for i, w := range y.witnesses {
		y.cosigned[i] = w.Cosigned(signed)
	}
	y.countLacking()
	y.offered.Store(cp.Size)
	y.show(&Published{engine.Root{Size: cp.Size, Hash: cp.Root}, signed})
	return nil
}

// publish makes the newest checkpoint public. It is written beside the keys
// first: what anyone may have seen must be known at the next start. Tiles are
// shown from the moment witnesses are asked, so that a monitor among them can
// verify the new leaves before it cosigns.
//
// Where nothing is new, the witnesses that didn't cosign yet are asked again.
func (y *year) publish() error {
	y.publishing.Lock()
	defer y.publishing.Unlock()
	begun := time.Now()
	latest := y.seq.Latest()
	before := y.published.Load()
	if before != nil && before.Root == latest.Root {
		latest.Checkpoint = before.Checkpoint
		if !slices.Contains(y.cosigned, false) {
			return nil
		}
	} else {
		clear(y.cosigned)
	}
	y.offered.Store(latest.Root.Size)
	signed := y.cosign(latest)
	y.countLacking()
	if before != nil && bytes.Equal(signed, before.Checkpoint) {
		return nil
	}
	if err := y.notBehindPublished(latest.Root.Size); err != nil {
		return err
	}
	if err := y.n.keys.SetPublished(y.epoch, signed); err != nil {
		return fmt.Errorf("couldn't keep the published checkpoint: %w", err)
	}
	y.show(&Published{latest.Root, signed})
	y.n.opt.Metrics.published(time.Since(begun))
	return nil
}

// notBehindPublished refuses to publish less than was published: a process that
// stood still, and doesn't know yet that another one records, would.
func (y *year) notBehindPublished(size uint64) error {
	signed, cp, err := y.lastPublished()
	if err != nil || signed == nil {
		return err
	}
	if cp.Size > size {
		return fmt.Errorf("%w: the log ends at %d here, %d leaves were published: another process records", ErrBehind, size, cp.Size)
	}
	return nil
}

// show lets everyone see a checkpoint.
func (y *year) show(p *Published) {
	y.published.Store(p)
	if y.enough(p.Checkpoint) {
		y.quorate.Store(p.Root.Size)
	}
}

// Settle writes a head over every leaf and publishes it at once.
func (n *Node) Settle(ctx context.Context) error {
	return n.current(ctx, func(y *year) error {
		if _, err := y.seq.Head(ctx); err != nil {
			return err
		}
		return y.publish()
	})
}

// LogState is how one year's log stands.
type LogState struct {
	Origin    string
	Epoch     uint32
	VKey      string // its verifier key
	Published uint64 // leaves that the public sees
	Final     bool   // it has its final head
}

// Logs lists the logs by year; the last is the one that is recorded in.
func (n *Node) Logs() []LogState {
	var all []LogState
	for _, y := range n.all() {
		l := LogState{Origin: y.origin, Epoch: y.epoch, VKey: y.vkey, Final: y.seq.Finished()}
		if p := y.published.Load(); p != nil {
			l.Published = p.Root.Size
		}
		all = append(all, l)
	}
	return all
}

// Published returns what the public log of an epoch shows.
func (n *Node) Published(epoch uint32) (Published, error) {
	if y := n.yearOf(epoch); y != nil {
		if p := y.published.Load(); p != nil {
			return *p, nil
		}
	}
	return Published{}, ErrNotPublished
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
	y := n.yearOf(epoch)
	if level > 7 || !y.covers(level, index, width) {
		return nil, ErrNotPublished
	}
	return y.shard.Tile(ctx, level, index, width)
}

// Entries returns an entry bundle of the public log: width leaves, each after
// its length in a u16.
func (n *Node) Entries(ctx context.Context, epoch uint32, index uint64, width int) ([]byte, error) {
	done, err := n.use()
	if err != nil {
		return nil, err
	}
	defer done()
	y := n.yearOf(epoch)
	if !y.covers(0, index, width) {
		return nil, ErrNotPublished
	}
	return y.shard.Entries(ctx, index, width)
}

// covers says whether a log of the size that witnesses were asked about last
// has this tile: a full one, or a partial one.
func (y *year) covers(level uint, index uint64, width int) bool {
	return y != nil && covers(y.offered.Load(), level, index, width)
}

func covers(size uint64, level uint, index uint64, width int) bool {
	return 1 <= width && width <= 256 && index < 1<<48 && index*256+uint64(width) <= size>>(8*level)
}

// Blob returns content that a record names by its SHA-256.
func (n *Node) Blob(ctx context.Context, digest ledger.Hash) ([]byte, error) {
	done, err := n.use()
	if err != nil {
		return nil, err
	}
	defer done()
	return n.blob(ctx, digest)
}

func (n *Node) blob(ctx context.Context, digest ledger.Hash) ([]byte, error) {
	return blob(ctx, n.rows, digest)
}

func blob(ctx context.Context, rows store.Store, digest ledger.Hash) ([]byte, error) {
	snap, err := rows.Snapshot(ctx)
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
