// SPDX-License-Identifier: EUPL-1.2

package pebble

import (
	"context"
	"errors"
	"sync"

	db "github.com/cockroachdb/pebble/v2"

	"github.com/traccia-ledger/traccia/ledger/store"
)

// A view is what the last durable commit left. Pebble shows a batch to readers
// before it is synced; snapshots share the view instead, so they never show
// what a power cut could take away.
type view struct {
	snap *db.Snapshot
	refs int // guarded by Store.viewMu; the store itself holds one
}

// show replaces the view by snap.
func (s *Store) show(snap *db.Snapshot) {
	s.viewMu.Lock()
	old := s.view
	s.view = &view{snap: snap, refs: 1}
	s.viewMu.Unlock()
	old.release(s)
}

func (v *view) release(s *Store) {
	s.viewMu.Lock()
	v.refs--
	last := v.refs == 0
	s.viewMu.Unlock()
	if last {
		// Pebble forgets a number, but waits for its manifest to do so, and
		// may wait for ever once stopped.
		s.closing.Go(func() { _ = v.snap.Close() })
	}
}

func (v *view) get(dir string, t store.Table, key []byte) ([]byte, error) {
	var buf [1 + store.MaxKey]byte
	value, closer, err := v.snap.Get(prefixed(buf[:0], t, key))
	if errors.Is(err, db.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap(dir, err)
	}
	value = append(make([]byte, 0, len(value)), value...)
	return value, wrap(dir, closer.Close())
}

func prefixed(buf []byte, t store.Table, key []byte) []byte {
	return append(append(buf, byte(t)), key...)
}

// Snapshot returns what the commits that returned before left.
func (s *Store) Snapshot(ctx context.Context) (store.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.viewMu.Lock()
	defer s.viewMu.Unlock()
	if s.view == nil {
		return nil, errClosed
	}
	s.view.refs++
	return &snapshot{store: s, view: s.view}, nil
}

type snapshot struct {
	store *Store
	view  *view
	once  sync.Once
}

func (r *snapshot) Close() error {
	r.once.Do(func() { r.view.release(r.store) })
	return nil
}

func (r *snapshot) Get(ctx context.Context, t store.Table, key []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return r.view.get(r.store.dir, t, key)
}

func (r *snapshot) GetMany(ctx context.Context, t store.Table, keys [][]byte) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, key := range keys {
		value, err := r.Get(ctx, t, key)
		if err != nil {
			return nil, err
		}
		values[i] = value
	}
	return values, nil
}

func (r *snapshot) Scan(ctx context.Context, t store.Table, from, to []byte, limit int, f func(key, value []byte) error) (err error) {
	bounds := &db.IterOptions{LowerBound: prefixed(nil, t, from), UpperBound: []byte{byte(t) + 1}}
	if to != nil {
		bounds.UpperBound = prefixed(nil, t, to)
	}
	iter, err := r.view.snap.NewIterWithContext(ctx, bounds)
	if err != nil {
		return wrap(r.store.dir, err)
	}
	defer func() {
		if closeErr := iter.Close(); err == nil {
			err = wrap(r.store.dir, closeErr)
		}
	}()
	n := 0
	for ok := iter.First(); ok && (limit == 0 || n < limit); ok = iter.Next() {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		value, err := iter.ValueAndErr()
		if err != nil {
			return wrap(r.store.dir, err)
		}
		if err := f(iter.Key()[1:], value); err != nil {
			return err
		}
		n++
	}
	return nil
}
