// SPDX-License-Identifier: EUPL-1.2

// Package memory is what a provider's gateway remembers by itself, in a database
// of its own that the ledger never reaches: what the ledger acknowledged to it,
// and which single-use tokens it has taken.
//
// A directory has a key file and Pebble's files. A row begins with a letter;
// numbers are big-endian, instants unix_ms, K1 and K2 keys that only the key file
// gives (formats' NS, LP and HMAC):
//
//	p jti[16]                      instant ‖ sealed submission      on its way to the ledger
//	s handle[32]                   u32 number ‖ u64 index           the last of a subject in a year's log
//	g handle[32] u32 from          u32 to ‖ instant                 numbers not told yet
//	e u32 epoch u64 index          leaf[32] ‖ u32 number ‖ jti[16] ‖ instant ‖ sealed subject
//	h u32 epoch u64 index          leaf[32] ‖ jti[16] ‖ instant     the record of an aggregate
//	i jti[16]                      instant                          an aggregate asked for, and not answered yet, or ever
//	c u32 epoch u64 size           root[32] ‖ instant               acknowledged, not seen witnessed yet
//	t token[32]                    instant                          a token used, until then
//	x instant token[32]            nothing                          the same by their end
//	v handle[32]                   pi[80]                           the proof of a subject's key in a year's log
//	k u32 epoch                    JSON                             the last check of a year's log
//	b session[16]                  sealed session                   of break-glass, with who opened it
//	q session[16] u32 number       instant ‖ jti[16] ‖ u8 withheld ‖ sealed submission   a receipt of it, not recorded yet
//	n name                         bundle, or kinds of a body       what the ledger decided by last
//	l u32 epoch                    verifier key                     of a log, as the one before announced it
//	d                              nothing                          rows p, s, g, e, h, i, c, t and k are in a database
//
// Several gateways of one provider, its instances, have one key file and share the
// rows that d names in a database of the provider's own (shared.go); a session of
// break-glass with its receipts is of one instance, and on its disk.
//
//	handle = HMAC(K1, NS/memory-subject ‖ 00 ‖ LP(subject) ‖ LP(origin))
//	token  = HMAC(K1, NS/memory-token ‖ 00 ‖ LP(kind) ‖ LP(jti))
//	sealed = aead_nonce[24] ‖ XChaCha20-Poly1305(K2, aead_nonce, plaintext, AAD = the row's key ‖ what stands before)
//
// So without the key file the database names nobody. Whoever has both reads whose
// data were given to whom: the directory is as secret as the data.
//
// What must always hold: a submission is on disk before the ledger hears of it,
// and what the ledger answered before anything is released. So after a crash every
// event that may be in the log is either known here, or its submission is sent
// again until it is.
package memory

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	db "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/traccia-ledger/traccia/ledger/postgres"
)

// Options are what Open may be told. The zero value is good.
type Options struct {
	Logger   *slog.Logger      // slog.Default() when nil
	Now      func() time.Time  // time.Now when nil
	Database *postgres.Address // that instances share; nil for one gateway alone
	Look     bool              // it is only read: no instance begins
}

func (o *Options) complete() {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Memory is an open directory. It is safe for concurrent use.
type Memory struct {
	keys  *keys
	db    *db.DB
	close func() error
	now   func() time.Time
	log   logger

	shared *shared     // nil for one gateway alone
	handed atomic.Bool // what an earlier run left: see Left

	mu     sync.Mutex         // held while a row is read and its successor applied, never while waiting for the disk
	ticket uint64             // of the last call; guarded by mu
	open   map[*Pending]bool  // calls whose outcome isn't known; guarded by mu
	gaps   map[[32]byte][]gap // every row g, by handle; guarded by mu

	spooling sync.Mutex          // held while a session gets a receipt or is changed; before mu
	sessions map[string]*session // every row b, by id; guarded by mu

	tokens sync.Mutex // held likewise for rows t and x
}

// Create makes an empty memory for the body that runs the gateway, which is the
// scope of what it records, in a ledger. The directory must be absent or empty.
func Create(dir, scope, ledgerName string) error {
	return createWith(dir, scope, ledgerName, nil, func(*db.DB) error { return nil })
}

// createWith makes a memory with a secret, a new one where it is nil. more is done
// before it can be opened.
func createWith(dir, scope, ledgerName string, secret []byte, more func(*db.DB) error) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("couldn't create the memory: %w", err)
	}
	names, err := os.ReadDir(dir)
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("%s is not empty: %w", dir, os.ErrExist)
	}
	if err != nil {
		return fmt.Errorf("couldn't create the memory: %w", err)
	}
	store, err := openDB(dir, true, slog.New(slog.DiscardHandler))
	if err == nil {
		err = errors.Join(more(store), store.Close())
	}
	// Last: without it nothing is opened.
	if err == nil {
		err = createKeys(filepath.Join(dir, keyFile), scope, ledgerName, secret)
	}
	if err != nil {
		return fmt.Errorf("couldn't create the memory: %w", err)
	}
	return nil
}

// Open opens the memory of that body and ledger that Create made in dir, or
// CreateInstance. The error wraps fs.ErrNotExist where there is none.
func Open(dir, scope, ledgerName string, o Options) (*Memory, error) {
	m, err := openDir(dir, scope, ledgerName, o)
	if err != nil {
		return nil, fmt.Errorf("couldn't open the memory: %w", err)
	}
	return m, nil
}

func openDir(dir, scope, ledgerName string, o Options) (*Memory, error) {
	o.complete()
	k, err := readKeys(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	if k.scope != scope || k.ledger != ledgerName {
		return nil, fmt.Errorf("%s is that of %s in %s, expected %s in %s", dir, k.scope, k.ledger, scope, ledgerName)
	}
	store, err := openDB(dir, false, o.Logger)
	if err != nil {
		return nil, err
	}
	m := &Memory{keys: k, db: store, now: o.Now, log: logger{o.Logger}, open: map[*Pending]bool{}, gaps: map[[32]byte][]gap{}, sessions: map[string]*session{}}
	m.close = sync.OnceValue(func() (err error) {
		if m.shared != nil {
			err = m.shared.close()
		}
		return errors.Join(err, store.Close())
	})
	elsewhere, err := m.get(sharedKey)
	switch {
	case err != nil:
	case elsewhere == nil && o.Database != nil:
		err = fmt.Errorf("%s is of one gateway alone: gateway share moves it into the database", dir)
	case elsewhere != nil && o.Database == nil:
		err = fmt.Errorf("%s is of one of several instances: the configuration names no database", dir)
	case o.Database != nil:
		m.shared, err = openShared(context.Background(), k, o)
	}
	if err == nil {
		err = m.load()
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Close closes the memory; nothing may be under way.
func (m *Memory) Close() error { return m.close() }

// load finds what was left open: those submissions are older than any gap.
func (m *Memory) load() error {
	err := scan(m.db, 'p', func(key, value []byte) error {
		if len(key) != 1+16 || len(value) < 8 {
			return errDamaged
		}
		m.ticket++
		m.open[&Pending{jti: [16]byte(key[1:]), ticket: m.ticket, key: bytes.Clone(key)}] = true
		return nil
	})
	if err == nil {
		err = m.loadSessions()
	}
	if err != nil {
		return err
	}
	return scan(m.db, 'g', func(key, value []byte) error {
		if len(key) != 1+32+4 || len(value) != 4+8 {
			return errDamaged
		}
		handle := [32]byte(key[1:33])
		m.gaps[handle] = append(m.gaps[handle], gap{binary.BigEndian.Uint32(key[33:]), binary.BigEndian.Uint32(value), m.ticket})
		return nil
	})
}

var errDamaged = errors.New("a row isn't as it was written")

// scan calls back for each row of a letter, in order; key and value are valid until
// the callback returns.
func scan(r db.Reader, letter byte, row func(key, value []byte) error) error {
	it, err := r.NewIter(&db.IterOptions{LowerBound: []byte{letter}, UpperBound: []byte{letter + 1}})
	if err != nil {
		return err
	}
	for it.First(); it.Valid() && err == nil; it.Next() {
		var value []byte
		if value, err = it.ValueAndErr(); err == nil {
			err = row(it.Key(), value)
		}
	}
	return errors.Join(err, it.Error(), it.Close())
}

// get returns a copy of a row; nil if there is none.
func (m *Memory) get(key []byte) ([]byte, error) {
	value, closer, err := m.db.Get(key)
	if errors.Is(err, db.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	value = append([]byte{}, value...)
	return value, closer.Close()
}

// memTable holds some thousand calls; large submissions pass it.
const memTable = 16 << 20

func openDB(dir string, create bool, log *slog.Logger) (*db.DB, error) {
	o := &db.Options{
		FormatMajorVersion: db.FormatNewest,
		ErrorIfExists:      create, ErrorIfNotExists: !create,
		MemTableSize: memTable,
		Logger:       logger{log},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10) // most calls ask for rows that aren't there yet
	}
	return db.Open(filepath.Join(dir, "db"), o)
}

// wait waits until a batch is on disk. Where it can't be written the process ends:
// Pebble takes nothing more, and the callers after this one would wait for ever.
func (m *Memory) wait(b *db.Batch) error {
	err := b.SyncWait()
	if err != nil {
		m.log.Fatalf("couldn't write the memory: %v", err)
	}
	return err
}

// logger takes Pebble's lines, which name files and nothing else.
type logger struct{ log *slog.Logger }

func (l logger) Infof(format string, args ...any) { l.log.Debug(fmt.Sprintf(format, args...)) }

func (l logger) Errorf(format string, args ...any) { l.log.Error(fmt.Sprintf(format, args...)) }

// Fatalf may not return: Pebble couldn't write, on a disk that is full for example,
// and takes nothing more. The process ends, whoever would recover. What wasn't on
// disk by then isn't released, and the next start finds out what the ledger
// recorded.
func (l logger) Fatalf(format string, args ...any) {
	l.log.Error(fmt.Sprintf(format, args...))
	go panic("the gateway's memory can't be written")
	select {}
}
