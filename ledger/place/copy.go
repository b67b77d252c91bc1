// SPDX-License-Identifier: EUPL-1.2

package place

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"slices"

	"github.com/traccia-ledger/traccia/ledger/store"
)

const (
	copyRows  = 2000
	copyBytes = 4 << 20
)

// Sum says what a store holds: how many rows, and a digest of all of them.
type Sum struct {
	Rows   uint64
	Digest [sha256.Size]byte
}

// Copy makes another store hold what a snapshot shows, and returns the sum of
// both, which it has found to be one. What is there already, from a copy that
// was cut short, is left; a row that the snapshot doesn't have, or has with
// another value, is an error that wraps fs.ErrExist. The logs' own rows come
// last, so that half a copy is never taken for a ledger. done, when not nil, is
// told how many rows were read.
func Copy(ctx context.Context, from store.Reader, to store.Store, done func(rows int)) (Sum, error) {
	tables := store.Tables()
	first := func(t store.Table) bool { return t != store.TableTree && t != store.TableRoot }
	slices.SortStableFunc(tables, func(a, b store.Table) int {
		switch {
		case first(a) == first(b):
			return int(a) - int(b)
		case first(a):
			return -1
		}
		return 1
	})
	for _, t := range tables {
		c := copying{ctx: ctx, table: t, to: to, done: done}
		if err := from.Scan(ctx, t, nil, nil, 0, c.add); err != nil {
			return Sum{}, fmt.Errorf("couldn't copy the table %s: %w", t, err)
		}
		if err := c.flush(); err != nil {
			return Sum{}, fmt.Errorf("couldn't copy the table %s: %w", t, err)
		}
	}
	want, err := SumOf(ctx, from, done)
	if err != nil {
		return Sum{}, err
	}
	snap, err := to.Snapshot(ctx)
	if err != nil {
		return Sum{}, err
	}
	defer snap.Close()
	got, err := SumOf(ctx, snap, nil)
	if err != nil {
		return Sum{}, err
	}
	if got != want {
		return Sum{}, fmt.Errorf("the copy has %d rows with digest %x, expected %d with %x: it holds rows of something else: %w",
			got.Rows, got.Digest, want.Rows, want.Digest, fs.ErrExist)
	}
	return got, nil
}

// copying writes the rows of one table.
type copying struct {
	ctx   context.Context
	table store.Table
	to    store.Store
	done  func(int)

	keys, values [][]byte
	size         int
}

func (c *copying) add(key, value []byte) error {
	c.keys = append(c.keys, bytes.Clone(key))
	c.values = append(c.values, append(make([]byte, 0, len(value)), value...))
	c.size += len(key) + len(value)
	if len(c.keys) < copyRows && c.size < copyBytes {
		return nil
	}
	return c.flush()
}

// flush writes what is missing of the rows gathered so far.
func (c *copying) flush() error {
	if len(c.keys) == 0 {
		return nil
	}
	there, err := c.there()
	if err != nil {
		return err
	}
	var expect, write []store.Row
	for i, key := range c.keys {
		switch {
		case there[i] == nil:
			expect = append(expect, store.Row{Table: c.table, Key: key})
			write = append(write, store.Row{Table: c.table, Key: key, Value: c.values[i]})
		case !bytes.Equal(there[i], c.values[i]):
			return fmt.Errorf("another row is there: %w", fs.ErrExist)
		}
	}
	if len(write) > 0 {
		if err := c.to.Commit(c.ctx, expect, write); err != nil {
			return err
		}
	}
	if c.done != nil {
		c.done(len(c.keys))
	}
	c.keys, c.values, c.size = nil, nil, 0
	return nil
}

func (c *copying) there() (values [][]byte, err error) {
	snap, err := c.to.Snapshot(c.ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	return snap.GetMany(c.ctx, c.table, c.keys)
}

// SumOf reads all rows.
func SumOf(ctx context.Context, r store.Reader, done func(rows int)) (Sum, error) {
	s := Sum{}
	h := sha256.New()
	for _, t := range store.Tables() {
		err := r.Scan(ctx, t, nil, nil, 0, func(key, value []byte) error {
			if s.Rows++; done != nil {
				done(1)
			}
			hashRow(h, t, key, value)
			return nil
		})
		if err != nil {
			return Sum{}, fmt.Errorf("couldn't read the table %s: %w", t, err)
		}
	}
	h.Sum(s.Digest[:0])
	return s, nil
}

// hashRow adds table ‖ u32 length ‖ key ‖ u32 length ‖ value.
func hashRow(h hash.Hash, t store.Table, key, value []byte) {
	var length [4]byte
	h.Write([]byte{byte(t)})
	for _, part := range [][]byte{key, value} {
		binary.BigEndian.PutUint32(length[:], uint32(len(part)))
		h.Write(length[:])
		h.Write(part)
	}
}
