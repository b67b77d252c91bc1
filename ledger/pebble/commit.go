// SPDX-License-Identifier: EUPL-1.2

package pebble

import (
	"bytes"
	"context"
	"fmt"

	db "github.com/cockroachdb/pebble/v2"

	"github.com/traccia-ledger/traccia/ledger/store"
)

// Commit writes rows as store.Store says. Commits go one at a time: the
// condition is checked against what the last one left.
func (s *Store) Commit(ctx context.Context, expect, write []store.Row) error {
	size := 0
	for _, rows := range [][]store.Row{expect, write} {
		for i := range rows {
			if err := rows[i].Check(); err != nil {
				return err
			}
		}
	}
	for i := range write {
		size += len(write[i].Key) + len(write[i].Value) + 16
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.usable(); err != nil {
		return err
	}
	// Only a commit replaces the view, so it stays while mu is held.
	for i := range expect {
		value, err := s.view.get(s.dir, expect[i].Table, expect[i].Key)
		if err != nil {
			return fmt.Errorf("couldn't check a row: %w", err)
		}
		if (value == nil) != (expect[i].Value == nil) || !bytes.Equal(value, expect[i].Value) {
			return store.ErrConflict
		}
	}
	if len(write) == 0 {
		return nil
	}

	batch := s.db.NewBatchWithSize(size)
	if err := fill(batch, write); err != nil {
		return fmt.Errorf("couldn't gather the rows: %w", err)
	}
	var snap *db.Snapshot
	err := s.stop.run(func() error {
		if err := s.db.Apply(batch, db.Sync); err != nil {
			return err
		}
		snap = s.db.NewSnapshot() // of what is synced, since the next commit waits
		return batch.Close()
	})
	if err != nil {
		return fmt.Errorf("couldn't commit: %w", wrap(s.dir, err))
	}
	s.show(snap)
	return nil
}

func fill(batch *db.Batch, rows []store.Row) error {
	for i := range rows {
		row := &rows[i]
		if row.Value == nil {
			op := batch.DeleteDeferred(1 + len(row.Key))
			op.Key[0] = byte(row.Table)
			copy(op.Key[1:], row.Key)
			if err := op.Finish(); err != nil {
				return err
			}
			continue
		}
		op := batch.SetDeferred(1+len(row.Key), len(row.Value))
		op.Key[0] = byte(row.Table)
		copy(op.Key[1:], row.Key)
		copy(op.Value, row.Value)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	return nil
}
