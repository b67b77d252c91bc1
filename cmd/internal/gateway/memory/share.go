// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"

	db "github.com/cockroachdb/pebble/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/traccia-ledger/traccia/ledger"
)

// sharedKey is row d.
var sharedKey = []byte{'d'}

// CreateInstance makes the memory of an instance, which shares what it remembers in
// o.Database. The first one makes the tables there and a key file, which the others
// are given a copy of: keyPath, "" for the first.
func CreateInstance(ctx context.Context, dir, scope, ledgerName, keyPath string, o Options) error {
	return createInstance(ctx, dir, scope, ledgerName, keyPath, o, 0)
}

func createInstance(ctx context.Context, dir, scope, ledgerName, keyPath string, o Options, spread int) error {
	o.complete()
	err := errors.Join(ledger.CheckID(scope), ledger.CheckName(ledgerName))
	if err != nil {
		return fmt.Errorf("couldn't create the memory: %w", err)
	}
	k, err := newKeys(scope, ledgerName, newSecret())
	if keyPath != "" {
		k, err = readKeys(keyPath)
	}
	switch {
	case err != nil:
		return fmt.Errorf("couldn't create the memory: %w", err)
	case k.scope != scope || k.ledger != ledgerName:
		return fmt.Errorf("couldn't create the memory: %s is the key of %s in %s, expected %s in %s", keyPath, k.scope, k.ledger, scope, ledgerName)
	}
	return createWith(dir, scope, ledgerName, k.secret, func(store *db.DB) error {
		if err := createShared(ctx, k, o, spread, keyPath == ""); err != nil {
			return err
		}
		return store.Set(sharedKey, nil, db.Sync)
	})
}

// Share moves what one gateway alone remembers into o.Database, which is empty, or
// in which this was begun before: other instances can share it from then on. Nobody
// has the memory open meanwhile. each is told how many rows were moved.
func Share(ctx context.Context, dir, scope, ledgerName string, o Options, each func(rows int)) error {
	o.complete()
	alone := o
	alone.Database = nil
	m, err := Open(dir, scope, ledgerName, alone)
	if err != nil {
		return err
	}
	err = m.share(ctx, o, each)
	if err = errors.Join(err, m.Close()); err != nil {
		return fmt.Errorf("couldn't move %s into the database: %w", filepath.Base(dir), err)
	}
	return nil
}

// moved are the letters of rows that instances share, with the statement that writes
// some of them.
var moved = []struct {
	letter byte
	insert string
}{
	{'s', `INSERT INTO memory_subject (key, value) SELECT k, v FROM ` + pairs + ` ON CONFLICT (key) DO UPDATE SET value = excluded.value`},
	{'e', `INSERT INTO memory_entry (key, cohort, value) SELECT k, false, v FROM ` + pairs + ` ON CONFLICT (key) DO NOTHING`},
	{'h', `INSERT INTO memory_entry (key, cohort, value) SELECT k, true, v FROM ` + pairs + ` ON CONFLICT (key) DO NOTHING`},
	{'i', `INSERT INTO memory_asked (key, value) SELECT k, v FROM ` + pairs + ` ON CONFLICT (key) DO NOTHING`},
	{'c', `INSERT INTO memory_checkpoint (key, value) SELECT k, v FROM ` + pairs + ` ON CONFLICT (key) DO NOTHING`},
	{'k', `INSERT INTO memory_check (key, value) SELECT k, v FROM ` + pairs + ` ON CONFLICT (key) DO UPDATE SET value = excluded.value`},
}

// pairs are keys and values, the first two parameters.
const pairs = `ROWS FROM (unnest(CAST($1 AS BYTEA[])), unnest(CAST($2 AS BYTEA[]))) AS r (k, v)`

func (m *Memory) share(ctx context.Context, o Options, each func(rows int)) error {
	if len(m.Unsettled()) > 0 {
		return errors.New("there are submissions whose outcome isn't known: gateway serve, until the ledger has answered")
	}
	if err := createShared(ctx, m.keys, o, 0, true); err != nil {
		return err
	}
	o.Look = true
	s, err := openShared(ctx, m.keys, o)
	if err != nil {
		return err
	}
	defer s.db.Close()
	for _, to := range moved {
		if err := m.moveRows(s, to.letter, to.insert, each); err != nil {
			return err
		}
	}
	if err := m.moveGaps(s); err != nil {
		return err
	}
	err = scan(m.db, 't', func(key, value []byte) error {
		if len(value) != 8 {
			return errDamaged
		}
		_, err := s.seen([32]byte(key[1:]), instantOf(value))
		return err
	})
	if err != nil {
		return err
	}
	// From here on this is an instance.
	b := m.db.NewBatch()
	defer b.Close()
	err = b.Set(sharedKey, nil, nil)
	for _, letter := range []byte("sgehictxk") {
		err = errors.Join(err, b.DeleteRange([]byte{letter}, []byte{letter + 1}, nil))
	}
	if err != nil {
		return err
	}
	return b.Commit(db.Sync)
}

func (m *Memory) moveRows(s *shared, letter byte, insert string, each func(rows int)) error {
	const atOnce = 4096
	var keys, values [][]byte
	flush := func() error {
		err := s.exec(insert, keys, values)
		each(len(keys))
		keys, values = nil, nil
		return err
	}
	err := scan(m.db, letter, func(key, value []byte) error {
		keys, values = append(keys, bytes.Clone(s.stored(key))), append(values, append([]byte{}, value...))
		if len(keys) < atOnce {
			return nil
		}
		return flush()
	})
	if err == nil && len(keys) > 0 {
		err = flush()
	}
	return err
}

// moveGaps moves the numbers that weren't told. No call is under way that could have
// one.
func (m *Memory) moveGaps(s *shared) error {
	return s.persist(func(ctx context.Context, pool *pgxpool.Pool) error {
		b := &pgx.Batch{}
		err := scan(m.db, 'g', func(key, value []byte) error {
			if len(key) != 1+32+4 || len(value) != 4+8 {
				return errDamaged
			}
			b.Queue(`INSERT INTO memory_gap (subject, first, last, ticket) VALUES ($1, $2, $3, 0) ON CONFLICT (subject, first) DO NOTHING`,
				bytes.Clone(key[1:33]), int64(binary.BigEndian.Uint32(key[33:])), int64(binary.BigEndian.Uint32(value)))
			return nil
		})
		if err != nil || b.Len() == 0 {
			return err
		}
		return pool.SendBatch(ctx, b).Close()
	})
}
