// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/intake"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/vrf"
	"github.com/traccia-ledger/traccia/ledger/witness"
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
	gone     bool // its VRF and handle keys were destroyed: the log alone is left
	handle   [32]byte
	vrf      *vrf.PrivateKey
	registry *registry.Registry
	seq      *sequencer.Sequencer
	intake   *intake.Intake // nil once gone

	announced bool          // the next year's key is in the log; turn's own
	firstBody uint64        // no event before it opens; of a past year, guarded by erasing
	ended     chan struct{} // closed when the next year is recorded in

	witnesses []*witness.Client // those of the node's policy

	keyProofs keyProofs
	catalogue catalogue

	uncertain uint64 // the node's at the last check with the witnesses; the sequencer's goroutine's own

	publishing sync.Mutex  // held while a checkpoint is cosigned and made public; guards cosigned
	cosigned   []bool      // which of witnesses cosigned what is published
	missed     []time.Time // since when each of witnesses cosigned nothing that it was asked to; guarded by publishing
	published  atomic.Pointer[Published]
	lacking    atomic.Int32  // how many of witnesses didn't
	quorate    atomic.Uint64 // size of the last published checkpoint with enough cosignatures
	offered    atomic.Uint64 // the size up to which tiles are public: what witnesses were asked about last
}

// year returns the one that is recorded in. Whoever needs it twice in one piece
// of work keeps it: the next call may return another.
func (n *Node) year() *year {
	years := n.all()
	return years[len(years)-1]
}

// all returns the years, ascending.
func (n *Node) all() []*year { return *n.years.Load() }

// changeYears replaces the list by what f makes of a copy.
func (n *Node) changeYears(f func(years []*year) []*year) {
	n.changing.Lock()
	defer n.changing.Unlock()
	years := f(slices.Clone(n.all()))
	n.years.Store(&years)
}

// yearOf returns the year of an epoch, nil where the ledger has none.
func (n *Node) yearOf(epoch uint32) *year {
	for _, y := range n.all() {
		if y.epoch == epoch {
			return y
		}
	}
	return nil
}

// shown returns the year of an epoch, whose events can be found.
func (n *Node) shown(epoch uint32) (*year, error) {
	y := n.yearOf(epoch)
	switch {
	case y == nil:
		return nil, ErrNoLog
	case y.gone:
		return nil, fmt.Errorf("%w any more that can be shown: its keys were destroyed when its retention ended", ErrNoLog)
	}
	return y, nil
}

// before returns the year before, nil for the ledger's first.
func (y *year) before() *year { return y.n.yearOf(y.epoch - 1) }

// Epoch is the year that is recorded in.
func (n *Node) Epoch() uint32 { return n.year().epoch }

// VKey is the verifier key of the log of Epoch.
func (n *Node) VKey() string { return n.year().vkey }

// Registry holds the bodies, keys and scopes of Epoch.
func (n *Node) Registry() *registry.Registry { return n.year().registry }

// openYears opens the logs of the store, and refuses a store that lacks one
// that was published. A log that a crash left empty is begun by turn.
func (n *Node) openYears(ctx context.Context) error {
	epochs, err := n.engine.Epochs(ctx)
	if err != nil {
		return err
	}
	for _, epoch := range n.keys.Epochs() {
		signed, err := n.keys.Published(epoch)
		if err != nil {
			return err
		}
		if signed != nil && !slices.Contains(epochs, epoch) {
			return fmt.Errorf("%w: it has no log of %d; restore a newer backup, or declare the log lost (docs/operations.md)", ErrBehind, epoch)
		}
	}
	var years []*year
	for _, epoch := range epochs {
		y, err := n.openYear(ctx, epoch)
		if err != nil {
			return err
		}
		if y.shard.Root().Size == 0 {
			continue
		}
		if err := y.check(ctx); err != nil {
			return err
		}
		years = append(years, y)
	}
	if len(years) == 0 {
		return fmt.Errorf("%w: the store of %s has no log", ErrNoLedger, n.Dir)
	}
	n.years.Store(&years)
	return nil
}

// openYear opens what a year's log and its keys hold. Nothing is written.
func (n *Node) openYear(ctx context.Context, epoch uint32) (*year, error) {
	y := &year{n: n, epoch: epoch, origin: ledger.Origin(n.Settings.Name, epoch), ended: make(chan struct{})}
	var err error
	if y.shard, err = n.engine.OpenShard(ctx, epoch); err != nil {
		return nil, err
	}
	if y.signer, y.vkey, err = n.keys.Signer(epoch); err != nil {
		return nil, err
	}
	if y.verifier, err = note.NewVerifier(y.vkey); err != nil {
		return nil, fmt.Errorf("couldn't read the log's verifier key: %w", err)
	}
	y.handle, err = n.keys.Handle(epoch)
	if err == nil {
		y.vrf, err = n.keys.VRF(epoch)
	}
	if y.gone = errors.Is(err, keys.ErrDestroyed); err != nil && !y.gone {
		return nil, err
	}
	if y.witnesses, err = n.newWitnesses(); err != nil {
		return nil, err
	}
	y.cosigned, y.missed = make([]bool, len(y.witnesses)), make([]time.Time, len(y.witnesses))
	return y, nil
}

// check compares a log with what was published of it.
func (y *year) check(ctx context.Context) error {
	if err := y.checkPublished(ctx); err != nil {
		return err
	}
	y.uncertain = y.n.uncertain()
	if over, err := y.hasFinal(ctx); err != nil || over {
		return err // nobody has seen more
	}
	return y.checkWitnesses(ctx)
}

// hasFinal says whether the log ends with a final head.
func (y *year) hasFinal(ctx context.Context) (bool, error) {
	head, err := y.lastHead(ctx)
	return head.Final, err
}

// lastHead returns the head that the log ends with, the zero one where it ends
// with another leaf.
func (y *year) lastHead(ctx context.Context) (ledger.Head, error) {
	at := y.shard.Root().Size - 1
	leaves, err := y.shard.Leaves(ctx, at, 1)
	if err != nil || len(leaves) != 1 {
		return ledger.Head{}, fmt.Errorf("couldn't read leaf %d: %w", at, err)
	}
	leaf, err := ledger.ParseLeaf(leaves[0])
	if err != nil {
		return ledger.Head{}, fmt.Errorf("couldn't read leaf %d: %w", at, err)
	}
	head, _ := leaf.(ledger.Head)
	return head, nil
}

// begin starts the year's sequencer and, while its keys are there, intake.
func (y *year) begin(ctx context.Context) error {
	n := y.n
	y.registry = registry.New(n.Settings.Name)
	var err error
	if !y.gone {
		if y.registry, err = y.readRegistry(ctx); err != nil {
			return err
		}
	}
	var after uint64
	if before := y.before(); before != nil {
		head, err := before.lastHead(ctx)
		if err != nil {
			return err
		}
		after = head.UnixMS
	}
	var warm *sequencer.Warm
	if n.opt.Warm != nil {
		warm = n.opt.Warm(y.epoch)
	}
	y.seq, err = sequencer.Open(ctx, sequencer.Config{
		Name: n.Settings.Name, Epoch: y.epoch, Shard: y.shard, Rows: n.rows, Registry: y.registry,
		Signer: y.signer, Vouch: y.vouch, Handle: y.handle, Months: n.months, Log: n.opt.Log, After: after, Authority: n.authority,
		IndexFile: indexFile(n.Dir, y.epoch), Warm: warm,
		Now: n.opt.Now, MaxQueue: n.opt.MaxQueue, Step: n.opt.Step, Observe: n.opt.Metrics.commit,
	})
	if err != nil {
		return err
	}
	if !y.gone {
		if y.intake, err = y.newIntake(); err != nil {
			return err
		}
	}
	return y.resumePublished()
}

func (y *year) newIntake() (*intake.Intake, error) {
	return intake.New(intake.Config{
		Name: y.n.Settings.Name, Epoch: y.epoch, Registry: y.registry, VRF: y.vrf, Tokens: y.n.tokens,
		Recorded: func(ctx context.Context, iss, jti string) (uint64, bool, error) {
			r, err := y.lookUp(ctx, iss, jti)
			if r == nil || err != nil {
				return 0, false, err
			}
			return r.First, true, nil
		},
		Before: func(ctx context.Context, iss, jti string) (bool, error) {
			before := y.before()
			if before == nil {
				return false, nil
			}
			r, err := before.lookUp(ctx, iss, jti)
			return r != nil, err
		},
		First:    y.n.first,
		Bundle:   y.n.bundle,
		Consents: y.grant,
		Now:      y.n.opt.Now,
	})
}

// lastPublished reads and opens what was published last, signed is nil if nothing
// was.
func (y *year) lastPublished() (signed []byte, cp checkpoint.Checkpoint, err error) {
	if signed, err = y.n.keys.Published(y.epoch); err != nil || signed == nil {
		return nil, cp, err
	}
	if cp, err = checkpoint.Open(signed, y.verifier); err != nil {
		return nil, cp, fmt.Errorf("couldn't read the last published checkpoint: %w", err)
	}
	return signed, cp, nil
}

// checkPublished refuses a store that went back or aside.
func (y *year) checkPublished(ctx context.Context) error {
	signed, cp, err := y.lastPublished()
	if err != nil || signed == nil {
		return err
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
	reg := registry.New(y.n.Settings.Name)
	err := y.n.eachRecord(ctx, y.epoch, func(index uint64, record []byte) {
		if err := reg.Apply(index, record); err != nil {
			y.n.opt.Log.Warn("a record of the log isn't a registration", "index", index, "error", err)
		}
	})
	if err != nil {
		return nil, err
	}
	return reg, nil
}
