// SPDX-License-Identifier: EUPL-1.2

// Package postgres is the store on databases that speak PostgreSQL's protocol:
// PostgreSQL itself and CockroachDB. It keeps the contract of ledger/store.
//
// Each table of the contract is a table of two columns, key and value. A commit
// is one SERIALIZABLE transaction of a few statements, each of many rows; a
// snapshot is one read-only transaction. Which of the two engines answers is
// asked at the start, because they take a transaction back in different ways:
// see transact.go. The SQL is what CockroachDB v20.2 and PostgreSQL 15 both
// speak, but for settings of a session and of tables that only PostgreSQL has.
//
// Beside the ledger's tables there are two of the store's own:
//
//	store_format  the version of this layout (schema.go)
//	store_use     which process may commit, and how often it has (use.go)
//	store_address where that process takes requests (lease.go)
//
// One process at a time has the store open; others may follow it, and see what
// it commits. It holds store_use for eight seconds
// and says so again every two; a process that ended without a word is replaced
// when they are over, or at once on the same machine. Every commit asks for that
// row in its own transaction, so that who was replaced commits nothing more,
// whatever its clock thinks.
//
// Trusted: the database's durability, which it is asked for (fsync on,
// synchronous_commit not off). What must hold: a commit returns nil only when
// the database said that it is done, or was found done; when its answer got
// lost, whether it is done is looked up before anything else is written; no
// password reaches an error or a log.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/traccia-ledger/traccia/ledger/store"
)

// Options are what Create and Open may be told. The zero value is good.
type Options struct {
	Logger *slog.Logger // slog.Default() when nil
	// Holder names this opening of the store; the zero value: any name.
	Holder Holder
	// URL is where other processes reach the one that has the store; "": nowhere.
	URL string

	readOnly bool      // see OpenReadOnly
	spread   int       // of a database that Create makes; 0: as its engine wants it
	patience *patience // usual when nil
}

// patience is how long the store waits for the database.
type patience struct {
	use     time.Duration // how long the store stays ours without a word
	renew   time.Duration // how often it is said again
	attempt time.Duration // for one transaction, and more for a large one
	commit  time.Duration // for a commit with all its attempts
	read    time.Duration // for one statement of a snapshot
	begin   time.Duration // for a connection to read with
	idle    time.Duration // how long the server keeps a commit's transaction with which nobody goes on
}

// A lost node of CockroachDB makes writers wait for nine seconds.
var usual = patience{
	use: 8 * time.Second, renew: 2 * time.Second,
	attempt: 15 * time.Second, commit: time.Minute,
	read: 30 * time.Second, begin: time.Minute,
	idle: 5 * time.Second, // less than use: who was stopped in a commit delays nobody longer
}

var errClosed = errors.New("postgres: the store is closed")

// Store is an open database. It is a store.Store.
type Store struct {
	address  Address
	log      *slog.Logger
	server   server
	layout   layout
	patience patience
	readOnly bool
	follows  bool   // another process has the store: see Follow
	url      string // where this process takes requests

	readers *pgxpool.Pool
	writers *pgxpool.Pool // for commits and the row of use, which never wait for a reader

	holder  Holder // names this opening of the store in store_use
	turn    chan struct{}
	commits int64                 // done by this opening; guarded by turn
	stopped atomic.Pointer[error] // why nothing is committed any more; nil: it is. Set by who has the turn

	uncertain atomic.Uint64 // commits whose answer got lost

	away atomic.Int64 // when the first attempt began that the database didn't answer, in Unix ns; 0: it answers

	stop    context.CancelFunc // ends the renewing
	renewed sync.WaitGroup

	mu     sync.RWMutex
	closed bool // guarded by mu
}

var _ store.Store = (*Store)(nil)

// Create makes a store in a database that holds no ledger. Its error wraps
// fs.ErrExist where it does.
func Create(ctx context.Context, a Address, o Options) (*Store, error) {
	s, err := connect(ctx, a, o)
	if err != nil {
		return nil, fmt.Errorf("couldn't create a store in %s: %w", a, err)
	}
	if err := s.create(ctx, o.spread); err != nil {
		return nil, errors.Join(fmt.Errorf("couldn't create a store in %s: %w", a, err), s.Close())
	}
	return s, nil
}

// Open opens the store that Create made. Errors wrap store.ErrNewer,
// store.ErrLocked or fs.ErrNotExist where one of them is why.
func Open(ctx context.Context, a Address, o Options) (*Store, error) {
	s, err := connect(ctx, a, o)
	if err != nil {
		return nil, fmt.Errorf("couldn't open the store in %s: %w", a, err)
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("couldn't open the store in %s: %w", a, err), s.Close())
	}
	return s, nil
}

// OpenReadOnly opens a store only to be read: Commit fails. It takes the store
// like Open, so nobody writes meanwhile.
func OpenReadOnly(ctx context.Context, a Address, o Options) (*Store, error) {
	o.readOnly = true
	return Open(ctx, a, o)
}

// connect recognises the engine and makes the pools.
func connect(ctx context.Context, a Address, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Store{
		address: a, log: o.Logger, patience: usual, readOnly: o.readOnly, holder: o.Holder, url: o.URL,
		turn: make(chan struct{}, 1), stop: func() {},
	}
	if o.patience != nil {
		s.patience = *o.patience
	}
	if s.holder == (Holder{}) {
		s.holder = NewHolder()
	}
	var err error
	if s.server, err = recognise(ctx, a); err != nil {
		return nil, err
	}
	if s.readers, err = s.server.pool(ctx, a, a.readers, 0); err != nil {
		return nil, err
	}
	// One for the commit, one to see what became of it when it is cut off.
	if s.writers, err = s.server.pool(ctx, a, 2, s.patience.idle); err != nil {
		s.readers.Close()
		return nil, err
	}
	return s, nil
}

// Close leaves the store to others. Snapshots must be closed before.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.renewed.Wait()
	s.turn <- struct{}{} // a commit under way ends first
	defer func() { <-s.turn }()
	ctx, cancel := context.WithTimeout(context.Background(), s.patience.attempt)
	defer cancel()
	err := s.leave(ctx)
	s.writers.Close()
	s.readers.Close()
	return err
}

func (s *Store) isClosed() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.closed
}
