// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// ErasureCount is the public record of how many people were erased in a calendar month (UTC), whichever months their
// events were of. It is written once the month is over, and for every month in which the ledger ran, also for one without
// any erasure: neither that it is there nor when it came says anything about a person.
//
//	{"kind":"erasure","month":"2026-11","count":"fewer than 10"}
//	{"kind":"erasure","month":"2026-12","count":"14"}
type ErasureCount struct {
	Kind  string `json:"kind"`
	Month string `json:"month"`
	Count string `json:"count"` // decimal, from 10 on
}

// KindErasure is the kind of an ErasureCount.
const KindErasure = "erasure"

const (
	fewErased = 10
	fewer     = "fewer than 10"
)

func formatErasureCount(month string, people uint64) ([]byte, error) {
	c := ErasureCount{KindErasure, month, fewer}
	if people >= fewErased {
		c.Count = strconv.FormatUint(people, 10)
	}
	return json.Marshal(c)
}

// countErased returns the row that counts these people beside those erased in this month so far. Only the sequencer's
// goroutine changes it, and whoever holds erasing.
func (n *Node) countErased(ctx context.Context, people int) (store.Row, error) {
	key := rows.ErasedKey(seal.Month(n.opt.now()))
	before, err := n.readCounter(ctx, key)
	if err != nil {
		return store.Row{}, err
	}
	return store.Row{Table: store.TableCounter, Key: key, Value: rows.FormatCounter(before+uint64(people), 8)}, nil
}

func (n *Node) readCounter(ctx context.Context, key []byte) (uint64, error) {
	snap, err := n.rows.Snapshot(ctx)
	if err != nil {
		return 0, err
	}
	defer snap.Close()
	row, err := snap.Get(ctx, store.TableCounter, key)
	if err != nil {
		return 0, fmt.Errorf("couldn't read a count of erasures: %w", err)
	}
	return rows.ParseCounter(row, 8)
}

// countLoop writes the records of months that are over, soon after they are.
func (n *Node) countLoop() {
	defer n.stopped.Done()
	ctx, cancel := n.untilStop()
	defer cancel()
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	counted := ""
	for {
		if month := seal.Month(n.opt.now()); month != counted {
			err := errors.Join(n.recordErasures(ctx, month), n.recordTotals(ctx))
			switch {
			case err == nil:
				counted = month
			case ctx.Err() != nil, errors.Is(err, sequencer.ErrClosed), errors.Is(err, sequencer.ErrYearOver):
			default:
				n.opt.Log.Error("couldn't record what the last month came to", "error", err)
			}
		}
		select {
		case <-n.stop:
			return
		case <-tick.C:
		}
	}
}

// recordErasures writes the record of every month before this one that has none yet, since the ledger's first head. That
// of a December stands in the log of the year after.
func (n *Node) recordErasures(ctx context.Context, before string) error {
	n.erasing.Lock()
	defer n.erasing.Unlock()
	month, err := n.all()[0].firstMonth(ctx)
	if err != nil || month >= before {
		return err
	}
	counted, err := n.countedMonths(ctx)
	if err != nil {
		return err
	}
	for ; month < before; month = monthAfter(month) {
		key := rows.ErasedKey(month)
		people, err := n.readCounter(ctx, key)
		if err != nil {
			return err
		}
		if !counted[month] {
			record, err := formatErasureCount(month, people)
			if err != nil {
				return err
			}
			if _, err := n.append(ctx, record); err != nil {
				return err
			}
		}
		if people > 0 {
			if err := n.rows.Commit(ctx, nil, []store.Row{{Table: store.TableCounter, Key: key}}); err != nil {
				return fmt.Errorf("couldn't delete a count of erasures: %w", err)
			}
		}
	}
	return nil
}

// firstMonth is the month of the year's first head.
func (y *year) firstMonth(ctx context.Context) (string, error) {
	snap, err := y.n.rows.Snapshot(ctx)
	if err != nil {
		return "", err
	}
	defer snap.Close()
	first, err := headsOf(snap, y.shard, y.epoch).from(ctx, 0)
	if err != nil {
		return "", err
	}
	return seal.Month(time.UnixMilli(int64(first.UnixMS))), nil
}

// countedMonths reads which months the records name.
func (n *Node) countedMonths(ctx context.Context) (map[string]bool, error) {
	counted := map[string]bool{}
	for _, y := range n.all() {
		err := n.eachRecord(ctx, y.epoch, func(_ uint64, record []byte) {
			var c ErasureCount
			if json.Unmarshal(record, &c) == nil && c.Kind == KindErasure {
				counted[c.Month] = true
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return counted, nil
}
