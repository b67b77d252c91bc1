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

// Copy makes another store hold what a snapshot shows and nothing else, and
// returns the sum of both, which it has found to be one. What is there already,
// from a copy that was cut short, isn't written again; what has changed since is
// replaced, or goes: the caller has checked that it is no other ledger's. The
// table of logs is emptied first and filled last, so that half a copy is never
// taken for a ledger. done, when not nil, is told how many rows were read.
func Copy(ctx context.Context, from store.Reader, to store.Store, done func(rows int)) (Sum, error) {
	if err := takeOut(ctx, store.TableTree, to, nil); err != nil {
		return Sum{}, fmt.Errorf("couldn't begin the copy: %w", err)
	}
	tables := slices.DeleteFunc(store.Tables(), func(t store.Table) bool { return t == store.TableTree })
	for _, t := range append(tables, store.TableTree) {
		c := copying{ctx: ctx, table: t, to: to, done: done}
		if err := from.Scan(ctx, t, nil, nil, 0, c.add); err != nil {
			return Sum{}, fmt.Errorf("couldn't copy the table %s: %w", t, err)
		}
		err := c.flush()
		if err == nil {
			err = takeOut(ctx, t, to, from)
		}
		if err != nil {
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
		return Sum{}, fmt.Errorf("the copy has %d rows with digest %x, expected %d with %x", got.Rows, got.Digest, want.Rows, want.Digest)
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
		if there[i] == nil || !bytes.Equal(there[i], c.values[i]) {
			expect = append(expect, store.Row{Table: c.table, Key: key, Value: there[i]})
			write = append(write, store.Row{Table: c.table, Key: key, Value: c.values[i]})
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

// takeOut takes the rows out of a table that keep doesn't have; all, where that is
// nil.
func takeOut(ctx context.Context, t store.Table, s store.Store, keep store.Reader) (err error) {
	snap, err := s.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	var keys [][]byte
	check := func() error {
		values := make([][]byte, len(keys))
		if keep != nil {
			if values, err = keep.GetMany(ctx, t, keys); err != nil {
				return err
			}
		}
		var gone []store.Row
		for i, key := range keys {
			if values[i] == nil {
				gone = append(gone, store.Row{Table: t, Key: key})
			}
		}
		keys = nil
		if len(gone) == 0 {
			return nil
		}
		return s.Commit(ctx, nil, gone)
	}
	err = snap.Scan(ctx, t, nil, nil, 0, func(key, _ []byte) error {
		if keys = append(keys, bytes.Clone(key)); len(keys) < copyRows {
			return nil
		}
		return check()
	})
	if err != nil {
		return err
	}
	return check()
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
