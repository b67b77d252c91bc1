// SPDX-License-Identifier: EUPL-1.2

// Package pebble is the embedded store: one directory, no server, on
// CockroachDB's Pebble. It keeps the contract of ledger/store.
//
// The directory holds Pebble's files, a SUMS file that guards its manifest (see
// sums.go), and a FORMAT file, written last by Create and read first by Open:
//
//	traccia pebble store, format 1\n
//	744c2928\n                          CRC-32C of the line before, hex
//
// A row's key in Pebble is the table's number, one byte, then the row's key.
//
// Trusted: the file system's fsync, and Pebble's recovery. What must hold: a
// commit is in the write-ahead log and synced before it returns or is shown to
// any reader; and after the first failed write nothing more is written by this
// process (see failstop.go), so that a full disk or a failing one leaves what a
// power cut at that moment would leave. A commit torn off the end of the log
// by a power cut is dropped whole when the store is opened. After a crash a torn
// end can't be told from one damaged since, so whoever needs to know that nothing
// is missing compares with a checkpoint kept elsewhere; after Close any damage is
// found.
package pebble

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"syscall"

	db "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/traccia-ledger/traccia/ledger/store"
)

// Options are what Create and Open may be told. The zero value is good.
type Options struct {
	FS         vfs.FS       // the operating system's when nil
	CacheBytes int64        // memory for blocks read, 64 MiB when 0
	Logger     *slog.Logger // slog.Default() when nil

	readOnly bool // see OpenReadOnly
}

var memTableBytes uint64 = 32 << 20 // smaller in tests

const (
	memTables         = 3 // writers wait when that many are full
	defaultCacheBytes = 64 << 20
	lockName          = "LOCK"
	bloomBits         = 10
	blockBytes        = 8 << 10
)

var errClosed = errors.New("pebble: the store is closed")

// Store is an open directory. It is a store.Store.
type Store struct {
	dir  string
	fs   vfs.FS // below the fail-stop layer, and not stopped by it
	stop *stopper
	db   *db.DB
	lock io.Closer
	log  *slog.Logger

	readOnly bool // nothing is ever written

	copying sync.Mutex // held by the one copy at a time; taken before mu

	mu     sync.Mutex // held by the one commit at a time
	closed bool       // guarded by mu

	viewMu sync.Mutex
	view   *view // what new snapshots show; nil once closed; guarded by viewMu

	closing sync.WaitGroup // of views that nobody uses
}

var _ store.Store = (*Store)(nil)

// Create makes an empty store in dir, which must be absent or empty.
func Create(dir string, o Options) (*Store, error) {
	o = o.withDefaults()
	if names, err := o.FS.List(dir); err == nil && len(names) > 0 {
		return nil, fmt.Errorf("couldn't create a store: %s is not empty: %w", dir, fs.ErrExist)
	}
	if err := makeDir(o.FS, dir); err != nil {
		return nil, fmt.Errorf("couldn't create a store: %w", err)
	}
	s, err := open(dir, o, true)
	if err != nil {
		return nil, fmt.Errorf("couldn't create a store: %w", err)
	}
	if err := writeFormat(o.FS, dir); err != nil {
		return nil, errors.Join(fmt.Errorf("couldn't create a store: %w", err), s.Close())
	}
	return s, nil
}

// Open opens the store that Create made in dir. Errors wrap store.ErrNewer,
// store.ErrLocked, store.ErrDamaged or fs.ErrNotExist where one of them is why.
func Open(dir string, o Options) (*Store, error) {
	o = o.withDefaults()
	if err := readFormat(o.FS, dir); err != nil {
		return nil, fmt.Errorf("couldn't open the store: %w", err)
	}
	s, err := open(dir, o, false)
	if err != nil {
		return nil, fmt.Errorf("couldn't open the store: %w", err)
	}
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

func open(dir string, o Options, create bool) (*Store, error) {
	dir = o.FS.PathJoin(dir) // clean, as Pebble will name its files
	lock, err := o.FS.Lock(o.FS.PathJoin(dir, lockName))
	if err != nil {
		if isHeld(err) {
			return nil, fmt.Errorf("%w: %s: stop the process that has it open", store.ErrLocked, dir)
		}
		return nil, err
	}
	s := &Store{dir: dir, fs: o.FS, stop: newStopper(), lock: lock, log: o.Logger, readOnly: o.readOnly}
	fsys := &failstopFS{FS: o.FS, dir: dir, stop: s.stop, sums: &sums{fs: o.FS, dir: dir}}
	if !create {
		if !o.readOnly {
			err = o.FS.RemoveAll(o.FS.PathJoin(dir, stagingName))
		}
		if err == nil {
			fsys.sums.last, err = checkManifest(o.FS, dir)
		}
		if err != nil {
			return nil, errors.Join(err, lock.Close())
		}
	}
	err = s.stop.run(func() (err error) {
		cache := db.NewCache(o.CacheBytes)
		defer cache.Unref() // the database keeps its own reference
		if s.db, err = db.Open(dir, s.options(o, fsys, cache, create)); err == nil {
			s.view = &view{snap: s.db.NewSnapshot(), refs: 1}
		}
		return err
	})
	if err != nil {
		err = wrap(dir, err)
		var pathErr *fs.PathError
		if !create && !errors.As(err, &pathErr) && !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrStopped) {
			// Files that say what this version never wrote.
			err = fmt.Errorf("%w: %s: restore the store from a backup: %w", store.ErrDamaged, dir, err)
		}
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// makeDir makes a directory that a power cut doesn't take away: each one made
// is synced into the one above it.
func makeDir(fsys vfs.FS, dir string) error {
	if _, err := fsys.Stat(dir); err == nil {
		return nil
	}
	above := fsys.PathDir(fsys.PathJoin(dir))
	if above != dir {
		if err := makeDir(fsys, above); err != nil {
			return err
		}
	}
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fsys, above)
}

// isHeld reports whether a lock couldn't be taken because somebody has it.
func isHeld(err error) bool {
	var path *fs.PathError
	return !errors.As(err, &path) && (errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES)) ||
		err.Error() == "lock held by current process"
}

func (s *Store) options(o Options, fsys vfs.FS, cache *db.Cache, create bool) *db.Options {
	opts := &db.Options{
		Cache:                       cache,
		FS:                          fsys,
		ErrorIfExists:               create,
		ErrorIfNotExists:            !create,
		ReadOnly:                    o.readOnly,
		FormatMajorVersion:          db.FormatTableFormatV6, // to raise it is to raise our format version
		MemTableSize:                memTableBytes,          // in steps from 256 KiB, and flushed from half of it on
		MemTableStopWritesThreshold: memTables,
		MaxManifestFileSize:         4 << 20,
		L0StopWritesThreshold:       24,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                500,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		Logger:                      logger{log: o.Logger, stop: s.stop},
		EventListener:               s.events(),
	}
	opts.TargetFileSizes[0] = 8 << 20
	// Most bytes are sealed or hashes, which no algorithm makes smaller: the
	// fastest one finds that out soonest.
	opts.ApplyCompressionSettings(func() db.DBCompressionSettings { return db.DBCompressionFastest })
	for i := range opts.Levels {
		opts.Levels[i].BlockSize = blockBytes
		// Also on the last level: a receipt that comes for the first time is
		// looked for and isn't there.
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
	}
	opts.Experimental.ReadSamplingMultiplier = -1 // readers start no compaction
	return opts
}

// Close releases the directory. Snapshots must be closed before.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.viewMu.Lock()
	v := s.view
	s.view = nil
	s.viewMu.Unlock()

	if s.stop.stopped() {
		// Pebble stands still for good and writes no more, so another may have
		// the directory.
		return s.lock.Close()
	}
	err := s.stop.run(func() error {
		v.release(s)
		s.closing.Wait()
		// Damage to tables is always found; at the end of the log it may pass
		// for a torn commit. So a store at rest has nothing in its log.
		if s.readOnly {
			return s.db.Close()
		}
		return errors.Join(s.db.Flush(), s.db.Close())
	})
	return errors.Join(wrap(s.dir, err), s.lock.Close())
}

// usable returns why the store takes no more commits, or nil. Callers hold mu.
func (s *Store) usable() error {
	if s.closed {
		return errClosed
	}
	if s.stop.stopped() {
		return s.stop.err()
	}
	return nil
}
