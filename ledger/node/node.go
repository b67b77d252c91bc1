// SPDX-License-Identifier: EUPL-1.2

// Package node is one running ledger over one data directory: keys, store,
// registry, intake and sequencer put together, with what is published of them.
//
//	DIR/config.json   Settings
//	DIR/store/        leaves, tiles, sealed bodies (ledger/pebble), unless the settings name
//	                  a database (ledger/postgres); what a backup copies
//	DIR/keys/         signing, VRF, handle and month keys, erasure journal,
//	                  last published checkpoint (ledger/keys); never in a backup of the store
//	DIR/index/        key files of the indexes: derived from the log, in no backup
//	DIR/log.vkey      the logs' verifier keys, one a line and a year, for whoever checks
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

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
	"github.com/traccia-ledger/traccia/ledger/place"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
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
	Place      string           // where the store is, as place.Parse reads it; "": where the settings say
	Claim      place.Claim      // of one process of several; the zero value: there are no others
	Log        *slog.Logger     // nil: discard
	Now        func() time.Time // nil: time.Now
	MaxQueue   int              // leaves waiting before 503; 0: the sequencer's default
	Metrics    *Metrics         // nil: none
	// Policies reads a bundle that the log commits to; nil: a ledger with active
	// policies records no access.
	Policies func(document []byte) (ledger.Bundle, error)
	// Consents are the rules of consents; nil: none is recorded, and no access that
	// names one.
	Consents ConsentRules
	// Serving has Open return before what isn't public yet is: for who serves what
	// witnesses read before they cosign, and ends with AwaitPublished.
	Serving bool
	// Store, when set, wraps the store that was opened; tests use it to fail.
	Store func(store.Store) store.Store
	// Warm gives the index of the log that is recorded in, as Follower kept it; nil:
	// it is read.
	Warm func(epoch uint32) *sequencer.Warm
	// Step is the sequencer's, for tests that kill the process at a named
	// step of a commit.
	Step func(name string)
}

// Node is safe for concurrent use.
type Node struct {
	Dir      string
	Settings Settings

	opt     Options
	keys    *keys.Dir
	db      store.Store
	rows    store.Store
	engine  *engine.Engine
	months  months
	tokens  *pdnd.Checker
	clients pdnd.Keys
	policy  *checkpoint.Policy // nil: nobody is asked to cosign

	authority *[32]byte // for which sealing keys are wrapped too; nil: nobody

	erasing sync.Mutex // held by one erasure, or record about erasures, at a time
	telling sync.Mutex // held while a month's totals are made and recorded

	consentLists *lru.Cache[ledger.Subject, *consentList] // as they stood when they were last asked for
	erasures     atomic.Uint64                            // how often something that was sealed was destroyed

	bundles sync.Map // ledger.Hash to ledger.Bundle, as they are asked for

	years    atomic.Pointer[[]*year] // ascending; the last is recorded in
	changing sync.Mutex              // held by who changes years
	over     chan struct{}           // holds one: somebody found the last one's year over
	opened   bool                    // Open is done

	keyFiles int // of how many years the files of verifier keys tell; turn's own

	stop    chan struct{}
	stopped sync.WaitGroup
	resumed sync.WaitGroup // until what wasn't public at the start is, or couldn't be published
	using   sync.RWMutex   // read-held by whoever reads the store for a caller
	closed  bool           // guarded by using
}

// Published is what the public log shows.
type Published struct {
	Root       engine.Root
	Checkpoint []byte
}

// Open starts the ledger in dir.
func Open(ctx context.Context, dir string, opt Options) (*Node, error) {
	settings, err := ReadSettings(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s has no %s (make one with ledgerd init)", ErrNoLedger, dir, configFile)
	} else if err != nil {
		return nil, err
	}
	// A Create was interrupted right at its end.
	if err := os.Remove(filepath.Join(dir, beginningFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	opt = opt.withDefaults()
	n := &Node{Dir: dir, Settings: settings, opt: opt, stop: make(chan struct{}), over: make(chan struct{}, 1)}
	if n.consentLists, err = lru.New[ledger.Subject, *consentList](1 << 14); err != nil {
		return nil, err
	}
	where, err := PlaceOf(dir, settings, opt)
	if err != nil {
		return nil, err
	}
	if n.db, err = where.As(opt.Claim).Open(ctx, opt.Log); err != nil {
		return nil, err
	}
	n.rows = n.db
	if opt.Store != nil {
		n.rows = opt.Store(n.db)
	}
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(err, n.release())
	}
	if !opt.Serving {
		n.AwaitPublished(ctx)
	}
	return n, nil
}

// Check says why Open would fail over what lies beside the rows: configuration, keys,
// witness policy, PDND's keys. nil: it wouldn't. Nothing is changed, and another process
// may serve the ledger.
func Check(dir string, opt Options) error {
	settings, err := ReadSettings(dir)
	if err != nil {
		return err
	}
	if err := keys.Check(filepath.Join(dir, keysDir), opt.Passphrase); err != nil {
		return err
	}
	n := &Node{Dir: dir, Settings: settings, opt: opt}
	if err := n.openWitnesses(); err != nil {
		return err
	}
	return n.openTokens()
}

func (n *Node) open(ctx context.Context) error {
	var err error
	if n.keys, err = keys.Open(filepath.Join(n.Dir, "keys"), n.opt.Passphrase); err != nil {
		return err
	}
	if n.engine, err = engine.New(n.rows); err != nil {
		return err
	}
	n.months = months{n.keys}
	if err := n.openWitnesses(); err != nil {
		return err
	}
	if err := n.openYears(ctx); err != nil {
		return err
	}
	if err := n.resumeRequests(); err != nil {
		return err
	}
	if err := n.applyErasures(ctx); err != nil {
		return err
	}
	if err := n.finishErasures(ctx); err != nil {
		return err
	}
	if err := n.wrapForAuthority(ctx); err != nil {
		return err
	}
	if err := n.openTokens(); err != nil {
		return err
	}
	if err := n.begin(ctx); err != nil {
		return errors.Join(err, n.endYears())
	}
	n.opt.Metrics.watch(n)
	n.stopped.Add(5)
	n.resumed.Add(2)
	go n.publishLoop()
	go n.publishFinalLoop()
	go n.countLoop()
	go n.yearLoop()
	go n.consentLoop()
	return nil
}

// begin starts every year, and turns to the current one if there is another by now.
// What isn't public is published by the loops that follow: witnesses may take seconds
// to answer, and a monitor among them reads what it is to cosign from this node.
func (n *Node) begin(ctx context.Context) error {
	for _, y := range n.all() {
		if err := y.begin(ctx); err != nil {
			return err
		}
	}
	if err := n.finishRetention(ctx); err != nil {
		return err
	}
	if err := n.turn(ctx); err != nil {
		return err
	}
	n.opened = true
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
	n.year().seq.Close() // endYears says how that went
	close(n.stop)
	n.stopped.Wait()
	n.using.Lock() // the last acknowledged submissions have got their proofs
	n.closed = true
	n.using.Unlock()
	err := n.endYears()
	if err == nil {
		err = errors.Join(n.publishAll(), n.dropRequests(context.Background()))
	}
	return errors.Join(err, n.release())
}

// endYears ends the sequencers.
func (n *Node) endYears() (err error) {
	for _, y := range n.all() {
		if y.seq != nil {
			err = errors.Join(err, y.seq.Close())
		}
	}
	return err
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
func (n *Node) Err() error {
	if err := n.year().seq.Err(); err != nil {
		return err
	}
	if s, ok := n.db.(interface{ Stopped() error }); ok {
		return s.Stopped()
	}
	return nil
}

// Latest returns the newest durable, signed state: for submitters, not for
// the public.
func (n *Node) Latest() sequencer.Latest { return n.year().seq.Latest() }

// Queued returns how many leaves wait for the sequencer.
func (n *Node) Queued() int { return n.year().seq.Queued() }

// Backup copies the store to dir while the ledger runs. The copy holds no key.
func (n *Node) Backup(ctx context.Context, dir string) error {
	return place.Backup(ctx, n.db, dir, n.opt.Log)
}

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

// untilStop gives a context that ends when the node closes.
func (n *Node) untilStop() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-n.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Now is the node's clock.
func (n *Node) Now() time.Time { return n.opt.now() }

// LastHead returns the instant that the newest head states.
func (n *Node) LastHead() time.Time { return n.year().seq.LastHead() }

// QueuedPercent says how full the sequencer's queue is.
func (n *Node) QueuedPercent() int { return min(100, 100*n.Queued()/n.year().seq.MaxQueue) }
