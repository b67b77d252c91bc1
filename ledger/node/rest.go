// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// AtRest is a ledger that nobody serves, opened to be read. It holds the store's lock, so that nobody starts to serve it,
// and changes nothing in the store; it checks nothing of what Open checks.
type AtRest struct {
	Dir      string
	Settings Settings
	Store    store.Store
	Keys     *keys.Dir
}

// OpenAtRest opens the ledger in dir. The error wraps store.ErrLocked while a process serves it.
func OpenAtRest(ctx context.Context, dir string, opt Options) (*AtRest, error) {
	opt = opt.withDefaults()
	settings, err := ReadSettings(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s has no %s", ErrNoLedger, dir, configFile)
	} else if err != nil {
		return nil, err
	}
	// The store first: its lock guards the keys too.
	where, err := PlaceOf(dir, settings, opt)
	if err != nil {
		return nil, err
	}
	db, err := where.OpenReadOnly(ctx, opt.Log)
	if err != nil {
		return nil, err
	}
	k, err := keys.Open(filepath.Join(dir, keysDir), opt.Passphrase)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &AtRest{Dir: dir, Settings: settings, Store: db, Keys: k}, nil
}

// Months unwraps sealing keys; see Opener.
func (a *AtRest) Months() sequencer.Months { return months{a.Keys} }

// Close releases the ledger.
func (a *AtRest) Close() error { return errors.Join(a.Keys.Close(), a.Store.Close()) }

// Shards opens every log of a store, by epoch.
func Shards(ctx context.Context, s store.Store) ([]uint32, []*engine.Shard, error) {
	e, err := engine.New(s)
	if err != nil {
		return nil, nil, err
	}
	epochs, err := e.Epochs(ctx)
	if err != nil {
		return nil, nil, err
	}
	var shards []*engine.Shard
	for _, epoch := range epochs {
		shard, err := e.OpenShard(ctx, epoch)
		if err != nil {
			return nil, nil, err
		}
		shards = append(shards, shard)
	}
	return epochs, shards, nil
}

// LastCheckpoint is the last checkpoint that a log published.
type LastCheckpoint struct {
	checkpoint.Checkpoint
	Epoch  uint32
	Signed []byte // its note
}

// LastPublished opens, with the keys of DIR/log.vkey, what the logs of a ledger published last, by epoch. It works while
// the ledger is served, and needs no passphrase.
func LastPublished(dir string, s Settings) ([]LastCheckpoint, error) {
	vkeys, err := os.ReadFile(filepath.Join(dir, vkeyFile))
	if err != nil {
		return nil, fmt.Errorf("couldn't read the log's verifier key: %w", err)
	}
	logs, err := checkpoint.ParseKeys(vkeys)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the log's verifier key: %w", err)
	}
	var all []LastCheckpoint
	for _, v := range logs {
		name, epoch, err := ledger.ParseOrigin(v.Name())
		if err != nil || name != s.Name {
			return nil, fmt.Errorf("%s holds the key of %s, a log of another ledger than %s", vkeyFile, v.Name(), s.Name)
		}
		signed, err := keys.ReadPublished(filepath.Join(dir, keysDir), epoch)
		if err != nil {
			return nil, err
		}
		if signed == nil {
			continue
		}
		cp, err := checkpoint.Open(signed, v)
		if err != nil {
			return nil, fmt.Errorf("couldn't read the last published checkpoint: %w", err)
		}
		all = append(all, LastCheckpoint{cp, epoch, signed})
	}
	slices.SortFunc(all, func(a, b LastCheckpoint) int { return cmp.Compare(a.Epoch, b.Epoch) })
	return all, nil
}

// Events opens the events of a ledger at rest.
type Events struct {
	snap    store.Snapshot
	openers map[uint32]*Opener // nil where the epoch's handle key was destroyed
}

// Events returns what opens events; the caller closes it.
func (a *AtRest) Events(ctx context.Context) (*Events, error) {
	snap, err := a.Store.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	e := &Events{snap: snap, openers: map[uint32]*Opener{}}
	for _, epoch := range a.Keys.Epochs() {
		handle, err := a.Keys.Handle(epoch)
		if errors.Is(err, keys.ErrDestroyed) {
			continue
		} else if err != nil {
			return nil, errors.Join(err, snap.Close())
		}
		e.openers[epoch] = &Opener{Rows: snap, Epoch: epoch, Handle: handle, Months: a.Months(), Erased: a.Keys.Erased}
	}
	return e, nil
}

// Open returns the event of this leaf, its body verified against the leaf's commitment. ErrErased where the key that
// sealed it is gone.
func (e *Events) Open(ctx context.Context, epoch uint32, index uint64, leaf []byte) (sequencer.Event, error) {
	opener := e.openers[epoch]
	if opener == nil {
		return sequencer.Event{}, ErrErased
	}
	return opener.Open(ctx, index, leaf)
}

// Close releases what Events held of the store.
func (e *Events) Close() error { return e.snap.Close() }

// The parts of a data directory.
const (
	storeDir = "store"
	keysDir  = "keys"
	vkeyFile = "log.vkey"
)
