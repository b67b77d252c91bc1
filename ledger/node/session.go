// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// sweepAtOnce is how many sessions one commit takes away.
const sweepAtOnce = 1000

// Session returns the row of a session of the pages (rows.SessionKey), nil if there is none. What it holds is sealed under
// a secret that the ledger doesn't keep.
func (n *Node) Session(ctx context.Context, key []byte) (row []byte, err error) {
	err = n.reading(ctx, func(snap store.Reader) error {
		row, err = snap.Get(ctx, store.TableSession, key)
		return err
	})
	return row, err
}

// ChangeSession puts a session's row in the place of another; nil is none. store.ErrConflict: the row isn't that other one
// any more, and nothing was written.
func (n *Node) ChangeSession(ctx context.Context, key, from, to []byte) error {
	done, err := n.use()
	if err != nil {
		return err
	}
	defer done()
	row := store.Row{Table: store.TableSession, Key: key}
	was := row
	was.Value, row.Value = from, to
	return n.rows.Commit(ctx, []store.Row{was}, []store.Row{row})
}

// SweepSessions takes away the rows of sessions that were surely over at an instant, and says how many.
func (n *Node) SweepSessions(ctx context.Context, now time.Time) (int, error) {
	done, err := n.use()
	if err != nil {
		return 0, err
	}
	defer done()
	return sweepSessions(ctx, n.rows, rows.SessionsUntil(now))
}

// sweepSessions takes away the rows with keys before to; nil: all.
func sweepSessions(ctx context.Context, s store.Store, to []byte) (int, error) {
	for swept := 0; ; {
		var gone []store.Row
		snap, err := s.Snapshot(ctx)
		if err != nil {
			return swept, err
		}
		err = snap.Scan(ctx, store.TableSession, nil, to, sweepAtOnce, func(key, _ []byte) error {
			gone = append(gone, store.Row{Table: store.TableSession, Key: append([]byte(nil), key...)})
			return nil
		})
		snap.Close()
		if err != nil || len(gone) == 0 {
			return swept, err
		}
		if err := s.Commit(ctx, nil, gone); err != nil {
			return swept, err
		}
		swept += len(gone)
	}
}

// endSessions takes every session out of a restored store: among them are some that ended since.
func endSessions(ctx context.Context, dir string, opt pebble.Options) error {
	db, err := pebble.Open(dir, opt)
	if err != nil {
		return err
	}
	_, err = sweepSessions(ctx, db, nil)
	if closed := db.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("couldn't end the sessions of the backup: %w", err)
	}
	return nil
}
