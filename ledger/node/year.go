// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/intake"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// year is one log of the ledger, with all that belongs to it alone. Its index,
// numbers, records and keys are of no other.
type year struct {
	n      *Node
	epoch  uint32
	origin string

	shard    *engine.Shard
	signer   note.Signer
	vkey     string
	verifier note.Verifier
	handle   [32]byte
	registry *registry.Registry
	seq      *sequencer.Sequencer
	intake   *intake.Intake

	keyProofs keyProofs
	catalogue catalogue

	publishing sync.Mutex // held while a checkpoint is cosigned and made public; guards cosigned
	cosigned   []bool     // which of the node's witnesses cosigned what is published
	published  atomic.Pointer[Published]
	offered    atomic.Uint64 // the size up to which tiles are public: what witnesses were asked about last
}

// year returns the one that is recorded in. Whoever needs it twice in one piece
// of work keeps it: the next call may return another.
func (n *Node) year() *year {
	years := *n.years.Load()
	return years[len(years)-1]
}

// yearOf returns the year of an epoch, nil where the ledger has none.
func (n *Node) yearOf(epoch uint32) *year {
	for _, y := range *n.years.Load() {
		if y.epoch == epoch {
			return y
		}
	}
	return nil
}

// Epoch is the year that is recorded in.
func (n *Node) Epoch() uint32 { return n.year().epoch }

// VKey is the verifier key of the log of Epoch.
func (n *Node) VKey() string { return n.year().vkey }

// Registry holds the bodies, keys and scopes of Epoch.
func (n *Node) Registry() *registry.Registry { return n.year().registry }

// openYear opens what a year's log and its keys hold. Nothing is written.
func (n *Node) openYear(ctx context.Context, e *engine.Engine, epoch uint32) (*year, error) {
	y := &year{n: n, epoch: epoch, origin: ledger.Origin(n.Settings.Name, epoch), cosigned: make([]bool, len(n.witnesses))}
	var err error
	if y.shard, err = e.OpenShard(ctx, epoch); err != nil {
		return nil, err
	}
	if y.signer, y.vkey, err = n.keys.Signer(epoch); err != nil {
		return nil, err
	}
	if y.verifier, err = note.NewVerifier(y.vkey); err != nil {
		return nil, fmt.Errorf("couldn't read the log's verifier key: %w", err)
	}
	if y.handle, err = n.keys.Handle(epoch); err != nil {
		return nil, err
	}
	if err := y.checkPublished(ctx); err != nil {
		return nil, err
	}
	return y, y.checkWitnesses(ctx)
}

// begin starts the year's sequencer and intake.
func (y *year) begin(ctx context.Context) error {
	var err error
	if y.registry, err = y.readRegistry(ctx); err != nil {
		return err
	}
	n := y.n
	y.seq, err = sequencer.Open(ctx, sequencer.Config{
		Name: n.Settings.Name, Epoch: y.epoch, Shard: y.shard, Rows: n.rows, Registry: y.registry,
		Signer: y.signer, Handle: y.handle, Months: n.months, Log: n.opt.Log,
		IndexFile: indexFile(n.Dir, y.epoch),
		Now:       n.opt.Now, MaxQueue: n.opt.MaxQueue, Step: n.opt.Step, Observe: n.opt.Metrics.commit,
	})
	if err != nil {
		return err
	}
	if y.intake, err = y.newIntake(); err == nil {
		err = y.publish()
	}
	if err != nil {
		y.seq.Close()
	}
	return err
}

func (y *year) newIntake() (*intake.Intake, error) {
	vrfKey, err := y.n.keys.VRF(y.epoch)
	if err != nil {
		return nil, err
	}
	return intake.New(intake.Config{
		Name: y.n.Settings.Name, Epoch: y.epoch, Registry: y.registry, VRF: vrfKey, Tokens: y.n.tokens,
		Recorded: func(ctx context.Context, iss, jti string) (uint64, bool, error) {
			r, err := y.lookUp(ctx, iss, jti)
			if r == nil || err != nil {
				return 0, false, err
			}
			return r.First, true, nil
		},
		First: y.n.first,
		Now:   y.n.opt.Now,
	})
}

// checkPublished refuses a store that went back or aside.
func (y *year) checkPublished(ctx context.Context) error {
	signed, err := y.n.keys.Published(y.epoch)
	if err != nil || signed == nil {
		return err
	}
	cp, err := checkpoint.Open(signed, y.verifier)
	if err != nil {
		return fmt.Errorf("couldn't read the last published checkpoint: %w", err)
	}
	root := y.shard.Root()
	if cp.Size > root.Size {
		return fmt.Errorf("%w: the log ends at %d, %d leaves were published; restore a newer backup, or declare the log lost (docs/operations.md)",
			ErrBehind, root.Size, cp.Size)
	}
	at, err := y.shard.RootAt(ctx, cp.Size)
	if err != nil {
		return fmt.Errorf("couldn't recompute the published root: %w", err)
	}
	if at != cp.Root {
		return fmt.Errorf("%w: at size %d the store has root %x, published was %x", ErrFork, cp.Size, at, cp.Root)
	}
	return nil
}

// readRegistry folds the records of the year.
func (y *year) readRegistry(ctx context.Context) (*registry.Registry, error) {
	snap, err := y.n.rows.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	reg := registry.New(y.n.Settings.Name)
	from, to := rows.LeafKey(y.epoch, 0), rows.LeafKey(y.epoch+1, 0)
	err = snap.Scan(ctx, store.TableRecord, from, to, 1<<30, func(key, value []byte) error {
		_, index, err := rows.ParseLeafKey(key)
		if err != nil {
			return err
		}
		if err := reg.Apply(index, value); err != nil {
			y.n.opt.Log.Warn("a record of the log isn't a registration", "index", index, "error", err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't read the records: %w", err)
	}
	return reg, nil
}
