// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"sync"
	"time"

	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// catalogue is what a shard's records say, for histories; read as far as somebody needed it.
type catalogue struct {
	mu   sync.Mutex
	list *history.Catalogue // guarded by mu
	next uint64             // the first leaf that list doesn't know, guarded by mu
}

// upToDate returns the catalogue of every record in a snapshot, locked until release is called.
func (c *catalogue) upToDate(ctx context.Context, epoch uint32, snap store.Reader) (list *history.Catalogue, release func(), err error) {
	c.mu.Lock()
	if c.list == nil {
		c.list = history.NewCatalogue()
	}
	from, to := rows.LeafKey(epoch, c.next), rows.LeafKey(epoch+1, 0)
	err = snap.Scan(ctx, store.TableRecord, from, to, 0, func(key, value []byte) error {
		_, index, err := rows.ParseLeafKey(key)
		if err != nil {
			return err
		}
		c.list.Add(index, value)
		c.next = index + 1
		return nil
	})
	if err != nil {
		c.mu.Unlock()
		return nil, nil, err
	}
	return c.list, c.mu.Unlock, nil
}

// covering waits for a published checkpoint that covers a leaf and, for a while, for the cosignatures that the ledger's
// own policy asks for. It doesn't publish: nobody may time an event by watching the log grow (formats §1).
func (y *year) covering(ctx context.Context, index uint64) (*Published, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var covered time.Time
	for {
		if p := y.published.Load(); p != nil && p.Root.Size > index {
			if covered.IsZero() {
				covered = time.Now()
			}
			if y.enough(p.Checkpoint) || time.Since(covered) > cosignPatience {
				return p, nil
			}
		}
		select {
		case <-tick.C:
		case <-y.n.stop:
			return nil, sequencer.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// enough says whether a checkpoint has the cosignatures that the ledger's policy asks for.
func (y *year) enough(signed []byte) bool {
	if y.n.policy == nil {
		return true
	}
	policy := *y.n.policy
	policy.Logs = []checkpoint.Log{{VKey: y.vkey}}
	c, err := policy.Open(signed)
	return err == nil && (len(policy.Monitors) == 0 || len(c.Monitors) > 0)
}
