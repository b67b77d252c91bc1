// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"

	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/pebble"
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
func OpenAtRest(dir, passphrase string, log *slog.Logger) (*AtRest, error) {
	settings, err := ReadSettings(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s has no %s", ErrNoLedger, dir, configFile)
	} else if err != nil {
		return nil, err
	}
	// The store first: its lock guards the keys too.
	db, err := pebble.OpenReadOnly(filepath.Join(dir, storeDir), pebble.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	k, err := keys.Open(filepath.Join(dir, keysDir), passphrase)
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

// The parts of a data directory.
const (
	storeDir = "store"
	keysDir  = "keys"
	vkeyFile = "log.vkey"
)
