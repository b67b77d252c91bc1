// SPDX-License-Identifier: EUPL-1.2

// Package node is one running ledger over one data directory: keys, store,
// registry, intake and sequencer put together, with what is published of them.
//
//	DIR/config.json   Settings
//	DIR/store/        leaves, tiles, sealed bodies (ledger/pebble); what a backup copies
//	DIR/keys/         signing, VRF, handle and month keys, erasure journal,
//	                  last published checkpoint (ledger/keys); never in a backup of the store
//	DIR/index/        key files of the indexes: derived from the log, in no backup
//	DIR/log.vkey      the log's verifier key, for whoever checks
//
// A node that finds its store behind what it last published, or another
// history than that, refuses to start: a ledger that went back in time would
// fork the log.
package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
	"github.com/traccia-ledger/traccia/ledger/witness"
)

// Decisions of Open.
var (
	// ErrNoLedger: the directory holds no ledger.
	ErrNoLedger = errors.New("no ledger here")
	// ErrBehind: the store lacks what this ledger has published.
	ErrBehind = errors.New("the store is behind what was published")
	// ErrFork: the store's history isn't the published one.
	ErrFork = errors.New("the store's history is not the published one")
)

// Options of a node. The zero value is right for a service.
type Options struct {
	Passphrase string           // of the keys directory, "" where it has none
	Log        *slog.Logger     // nil: discard
	Now        func() time.Time // nil: time.Now
	MaxQueue   int              // leaves waiting before 503; 0: the sequencer's default
	Metrics    *Metrics         // nil: none
	// Store, when set, wraps the store that was opened; tests use it to fail.
	Store func(store.Store) store.Store
	// Step is the sequencer's, for tests that kill the process at a named
	// step of a commit.
	Step func(name string)
}

// Node is safe for concurrent use.
type Node struct {
	Dir      string
	Settings Settings

	opt       Options
	keys      *keys.Dir
	db        *pebble.Store
	rows      store.Store
	months    months
	tokens    *pdnd.Checker
	clients   pdnd.Keys
	witnesses []*witness.Client
	policy    *checkpoint.Policy // nil: nobody is asked to cosign

	erasing sync.Mutex // held by one erasure, or record about erasures, at a time

	years atomic.Pointer[[]*year] // ascending; the last is recorded in

	stop    chan struct{}
	stopped sync.WaitGroup
	using   sync.RWMutex // read-held by whoever reads the store for a caller
	closed  bool         // guarded by using
}

// Published is what the public log shows.
type Published struct {
	Root       engine.Root
	Checkpoint []byte
}

// Create makes a new ledger in dir, which must not hold one: keys, store, and
// a first shard with its preamble.
func Create(ctx context.Context, dir string, settings Settings, opt Options) error {
	opt = opt.withDefaults()
	if err := ledger.CheckName(settings.Name); err != nil {
		return fmt.Errorf("couldn't create the ledger: name: %w", err)
	}
	if err := ledger.CheckID(settings.operator()); err != nil {
		return fmt.Errorf("couldn't create the ledger: operator: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("couldn't create the ledger: %w", err)
	}
	epoch := ledger.EpochOf(opt.now())
	k, err := keys.Create(filepath.Join(dir, "keys"), opt.Passphrase)
	if err != nil {
		return err
	}
	if err := k.NewEpoch(settings.Name, epoch); err != nil {
		return err
	}
	db, err := pebble.Create(filepath.Join(dir, "store"), pebble.Options{Logger: opt.Log})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := createShard(ctx, db, k, settings, epoch); err != nil {
		return err
	}
	_, vkey, err := k.Signer(epoch)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "log.vkey"), []byte(vkey+"\n"), 0o644); err != nil {
		return fmt.Errorf("couldn't write the verifier key: %w", err)
	}
	// Last, so that a directory with a configuration holds a whole ledger.
	return WriteSettings(dir, settings)
}

// createShard makes the ledger's first log: its preamble; the operator as the
// first body, whose key signs the look-ups that the operator makes; and how long
// events are kept, without which nothing could ever be destroyed.
func createShard(ctx context.Context, db store.Store, k *keys.Dir, settings Settings, epoch uint32) error {
	e, err := engine.New(db)
	if err != nil {
		return err
	}
	shard, err := e.CreateShard(ctx, epoch)
	if err != nil {
		return err
	}
	v, err := k.VRF(epoch)
	if err != nil {
		return err
	}
	preamble, err := ledger.FormatLeaf(ledger.Preamble{Epoch: epoch, VRFKey: v.Public(), Name: settings.Name})
	if err != nil {
		return err
	}
	signer, err := k.Operator(epoch)
	if err != nil {
		return err
	}
	key, err := jws.NewKey("", signer.Public())
	if err != nil {
		return err
	}
	jwk, err := jws.FormatKey(key)
	if err != nil {
		return err
	}
	id := settings.operator()
	leaves, table := [][]byte{preamble}, []store.Row(nil)
	add := func(r []byte) error {
		leaf, err := ledger.FormatLeaf(ledger.Record{Epoch: epoch, JSON: r})
		table = append(table, store.Row{Table: store.TableRecord, Key: rows.LeafKey(epoch, uint64(len(leaves))), Value: r})
		leaves = append(leaves, leaf)
		return err
	}
	for _, record := range []any{
		registry.Body{ID: id, Name: "Operator of " + settings.Name},
		registry.Key{Body: id, Kid: key.Kid, JWK: jwk, Basis: registry.BasisOperator},
	} {
		r, err := registry.FormatRecord(record)
		if err == nil {
			err = add(r)
		}
		if err != nil {
			return err
		}
	}
	term, err := retentionRecord(DefaultTerm)
	if err == nil {
		err = add(term)
	}
	if err != nil {
		return err
	}
	_, err = shard.Append(ctx, leaves, table)
	return err
}

// Open starts the ledger in dir.
func Open(ctx context.Context, dir string, opt Options) (*Node, error) {
	settings, err := ReadSettings(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s has no %s (make one with ledgerd init)", ErrNoLedger, dir, configFile)
	} else if err != nil {
		return nil, err
	}
	opt = opt.withDefaults()
	n := &Node{Dir: dir, Settings: settings, opt: opt, stop: make(chan struct{})}
	if n.db, err = pebble.Open(filepath.Join(dir, "store"), pebble.Options{Logger: opt.Log}); err != nil {
		return nil, err
	}
	n.rows = n.db
	if opt.Store != nil {
		n.rows = opt.Store(n.db)
	}
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(err, n.release())
	}
	return n, nil
}

func (n *Node) open(ctx context.Context) error {
	var err error
	if n.keys, err = keys.Open(filepath.Join(n.Dir, "keys"), n.opt.Passphrase); err != nil {
		return err
	}
	e, err := engine.New(n.rows)
	if err != nil {
		return err
	}
	epochs, err := e.Epochs(ctx)
	if err != nil {
		return err
	}
	if len(epochs) == 0 {
		return fmt.Errorf("%w: the store of %s has no log", ErrNoLedger, n.Dir)
	}
	n.months = months{n.keys}
	if err := n.openWitnesses(); err != nil {
		return err
	}
	y, err := n.openYear(ctx, e, epochs[len(epochs)-1])
	if err != nil {
		return err
	}
	n.years.Store(&[]*year{y})
	if err := n.applyErasures(ctx); err != nil {
		return err
	}
	if err := n.finishErasures(ctx); err != nil {
		return err
	}
	if err := n.finishRetention(ctx); err != nil {
		return err
	}
	if err := n.openTokens(); err != nil {
		return err
	}
	if err := y.begin(ctx); err != nil {
		return err
	}
	n.opt.Metrics.watch(n)
	n.stopped.Add(2)
	go n.publishLoop()
	go n.countLoop()
	return nil
}

// openTokens opens PDND's keys.
func (n *Node) openTokens() error {
	vouchers, err := n.Settings.keys(n.Dir, n.Settings.PDND.VoucherKeys)
	if err != nil {
		return err
	}
	if n.clients, err = n.Settings.keys(n.Dir, n.Settings.PDND.ClientKeys); err != nil {
		return err
	}
	n.tokens, err = pdnd.NewChecker(pdnd.Config{Issuers: n.Settings.PDND.Issuers, PDND: vouchers, Clients: n.clients})
	return err
}

// Close records what waits, writes a last head, publishes it, and closes the
// store. Submissions are refused from its beginning; those under way get their
// answers.
func (n *Node) Close() error {
	y := n.year()
	err := y.seq.Close()
	close(n.stop)
	n.stopped.Wait()
	n.using.Lock() // the last acknowledged submissions have got their proofs
	n.closed = true
	n.using.Unlock()
	if err == nil {
		err = y.publish()
	}
	return errors.Join(err, n.release())
}

// use keeps the store open until done is called; ErrClosed after Close.
func (n *Node) use() (done func(), err error) {
	n.using.RLock()
	if n.closed {
		n.using.RUnlock()
		return nil, sequencer.ErrClosed
	}
	return n.using.RUnlock, nil
}

// release closes what open opened.
func (n *Node) release() error {
	err := n.db.Close()
	if n.keys != nil {
		err = errors.Join(err, n.keys.Close())
	}
	return err
}

// Err returns why the node can no longer record, or nil.
func (n *Node) Err() error { return n.year().seq.Err() }

// Latest returns the newest durable, signed state: for submitters, not for
// the public.
func (n *Node) Latest() sequencer.Latest { return n.year().seq.Latest() }

// Queued returns how many leaves wait for the sequencer.
func (n *Node) Queued() int { return n.year().seq.Queued() }

// Backup copies the store to dir while the ledger runs. The copy holds no key.
func (n *Node) Backup(ctx context.Context, dir string) error { return n.db.Checkpoint(ctx, dir) }

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o Options) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

// Now is the node's clock.
func (n *Node) Now() time.Time { return n.opt.now() }

// LastHead returns the instant that the newest head states.
func (n *Node) LastHead() time.Time { return n.year().seq.LastHead() }

// QueuedPercent says how full the sequencer's queue is.
func (n *Node) QueuedPercent() int { return min(100, 100*n.Queued()/n.year().seq.MaxQueue) }
