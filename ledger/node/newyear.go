// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// The new year (formats §2 and §7, docs/operations.md) goes through these steps, each durable before the next:
//
//	1 keys       the next year's keys are made, from 1 December on
//	2 announced  this year's log names the next one's key
//	3 ended      once the year is over, its log gets its final head
//	4 created    the next log exists, without a leaf
//	5 begun      it has its preamble and every record in force; the sequencer gives it its first head
//
// Between 3 and 5 nobody can record: who comes then waits for the next year. A process that dies after any of them goes
// on from there when the ledger is opened. One that was away for years makes each year's log on the way, with no event
// in it: so each is named by the one before, and a history has no gap.

// announceFrom is when the next year's key is announced; later if the ledger doesn't run then.
const announceFrom = time.December

// yearPatience is how long a caller waits for the new year.
const yearPatience = 20 * time.Second

// yearLoop turns to the next year when this one is over.
func (n *Node) yearLoop() {
	defer n.stopped.Done()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-n.stop:
			return
		case <-tick.C:
		case <-n.over:
		}
		err := n.turn(context.Background())
		if err != nil && !errors.Is(err, sequencer.ErrClosed) && !errors.Is(err, sequencer.ErrYearOver) {
			n.opt.Log.Error("couldn't turn to the next year", "error", err, "hint", "see the new year in docs/operations.md")
		}
	}
}

// turn does what the calendar asks for. It is called by one goroutine at a time.
func (n *Node) turn(ctx context.Context) error {
	y := n.year()
	if now := n.opt.now().UTC(); !y.announced && ledger.EpochOf(now) == y.epoch && now.Month() >= announceFrom {
		if err := n.announce(ctx, y); err != nil {
			return fmt.Errorf("couldn't announce the log of %d: %w", y.epoch+1, err)
		}
	}
	for y.seq.Finished() || ledger.EpochOf(n.opt.now()) > y.epoch {
		next, err := n.follow(ctx, y)
		if err != nil {
			return fmt.Errorf("couldn't open the log of %d: %w", y.epoch+1, err)
		}
		y = next
	}
	return n.writeKeyFiles()
}

// announce does steps 1 and 2.
func (n *Node) announce(ctx context.Context, y *year) error {
	records, err := n.announcement(y)
	if err != nil {
		return err
	}
	if len(records) > 0 {
		if _, err := y.seq.Record(ctx, records...); err != nil {
			return err
		}
		n.opt.Log.Info("announced the next year's log", "origin", ledger.Origin(n.Settings.Name, y.epoch+1))
	}
	y.announced = true
	n.step("new year: announced")
	return nil
}

// announcement makes the keys of the year after y unless they are there, and returns those of the records about them
// that y's log lacks: the log's key, and the operator's, which the one in force vouches for.
func (n *Node) announcement(y *year) ([][]byte, error) {
	next := y.epoch + 1
	if err := n.keys.NewEpoch(n.Settings.Name, next); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	n.step("new year: keys")
	_, vkey, err := n.keys.Signer(next)
	if err != nil {
		return nil, err
	}
	var records [][]byte
	origin := ledger.Origin(n.Settings.Name, next)
	if said, ok := y.registry.LogKey(origin); !ok {
		r, err := registry.FormatRecord(registry.LogKey{Origin: origin, VKey: vkey})
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	} else if said.VKey != vkey {
		n.opt.Log.Error("the key that was announced for the next log isn't among the keys: readers won't follow to the next year on their own",
			"announced", said.VKey, "have", vkey, "hint", "bring back the latest keys before the year ends")
	}
	operator := n.Settings.operator()
	key, jwk, err := operatorKey(n.keys, next)
	if err != nil {
		return nil, err
	}
	if _, known := y.registry.KeyIndex(operator, key.Kid); known {
		return records, nil
	}
	rec := registry.Key{Body: operator, Kid: key.Kid, JWK: jwk, Basis: registry.BasisOperator}
	if proof, err := n.vouch(y, key); err != nil {
		return nil, err
	} else if proof != "" {
		rec.Basis, rec.Proof = registry.BasisSigned, proof
	}
	r, err := registry.FormatRecord(rec)
	return append(records, r), err
}

// vouch signs the operator's next key with this year's; "" if that was revoked.
func (n *Node) vouch(y *year, key jws.Key) (proof string, err error) {
	operator := n.Settings.operator()
	mine, _, err := operatorKey(n.keys, y.epoch)
	if err != nil {
		return "", err
	}
	if _, err := y.registry.Key(operator, mine.Kid, math.MaxUint64); err != nil {
		return "", nil
	}
	signer, err := n.keys.Operator(y.epoch)
	if err != nil {
		return "", err
	}
	print, err := jws.Thumbprint(key.Public)
	if err != nil {
		return "", err
	}
	statement, err := json.Marshal(registry.KeyStatement{Aud: n.Settings.Name, Body: operator, Kid: key.Kid, Thumbprint: print})
	if err != nil {
		return "", err
	}
	return jws.Sign(registry.KeyProofType, statement, mine.Kid, signer)
}

// follow does steps 3 to 5, and has the year after y recorded in.
func (n *Node) follow(ctx context.Context, y *year) (*year, error) {
	if !y.seq.Finished() {
		if err := n.end(ctx, y); err != nil {
			return nil, err
		}
		n.opt.Log.Info("the year is over, its log has its final head", "origin", y.origin, "size", y.shard.Root().Size)
	}
	n.step("new year: ended")
	next, err := n.beginNext(ctx, y)
	if err != nil {
		return nil, err
	}
	if err := next.begin(ctx); err != nil {
		if next.seq != nil {
			err = errors.Join(err, next.seq.Close())
		}
		return nil, err
	}
	n.changeYears(func(years []*year) []*year { return append(years, next) })
	close(y.ended)
	n.step("new year: open")
	n.opt.Log.Info("recording in the log of the new year", "origin", next.origin, "records", next.shard.Root().Size-1)
	return next, nil
}

// end gives a year's log its final head, after what only this log can tell: the next one's key, and the totals of months
// that were over before it, of which the next log tells those of this one alone.
func (n *Node) end(ctx context.Context, y *year) error {
	n.telling.Lock()
	defer n.telling.Unlock()
	records, err := n.announcement(y)
	if err != nil {
		return err
	}
	totals, err := n.untold(ctx, y)
	if err != nil {
		return err
	}
	return y.seq.Finish(ctx, append(records, totals...)...)
}

// beginNext opens the log after y's; where it is empty yet, it gets its preamble and the records in force, byte for byte.
func (n *Node) beginNext(ctx context.Context, y *year) (*year, error) {
	epoch := y.epoch + 1
	if _, err := n.engine.CreateShard(ctx, epoch); err != nil && !errors.Is(err, engine.ErrShardExists) {
		return nil, err
	}
	n.step("new year: created")
	next, err := n.openYear(ctx, epoch)
	if err != nil {
		return nil, err
	}
	if next.shard.Root().Size == 0 {
		records, err := y.inForce(ctx)
		if err != nil {
			return nil, err
		}
		last := y.shard.Root()
		p := ledger.Preamble{Epoch: epoch, Name: n.Settings.Name, PreviousSize: last.Size, PreviousRoot: last.Hash}
		if err := beginLog(ctx, next.shard, n.keys, p, records); err != nil {
			return nil, err
		}
	}
	n.step("new year: begun")
	if n.opened {
		return next, nil // nobody can have seen it
	}
	return next, next.check(ctx)
}

// inForce reads the records that the next log repeats.
func (y *year) inForce(ctx context.Context) (records [][]byte, err error) {
	snap, err := y.n.rows.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	for _, index := range y.registry.InForce() {
		r, err := snap.Get(ctx, store.TableRecord, rows.LeafKey(y.epoch, index))
		if err == nil && r == nil {
			err = fmt.Errorf("%w: no row", store.ErrDamaged)
		}
		if err != nil {
			return nil, fmt.Errorf("couldn't read record %d: %w", index, err)
		}
		records = append(records, r)
	}
	return records, nil
}

// current calls f with the year that is recorded in, and again with the next where f says that the year was over before
// it could record.
func (n *Node) current(ctx context.Context, f func(y *year) error) error {
	for {
		y := n.year()
		err := f(y)
		if !errors.Is(err, sequencer.ErrYearOver) {
			return err
		}
		select {
		case n.over <- struct{}{}:
		default:
		}
		patience := time.NewTimer(yearPatience)
		select {
		case <-y.ended:
		case <-n.stop:
			err = sequencer.ErrClosed
		case <-ctx.Done():
			err = ctx.Err()
		case <-patience.C:
		}
		patience.Stop()
		if n.year() == y {
			return err
		}
	}
}
