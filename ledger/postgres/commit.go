// SPDX-License-Identifier: EUPL-1.2

package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/traccia-ledger/traccia/ledger/store"
)

const (
	statementRows  = 4096
	statementBytes = 4 << 20 // CockroachDB takes messages of 16 MiB

	rollbackPatience = 5 * time.Second
)

var errReadOnly = errors.New("postgres: the store was opened only to be read")

// Commit writes rows as store.Store says. Commits of a process go one at a
// time. One that met another process's, or a database that went away, is tried
// again until a minute is over; the end of ctx is heeded before it begins, and
// not after.
//
// Store.ErrStopped means that another process has the store now, or that the
// outcome is unknown and couldn't be looked up.
func (s *Store) Commit(ctx context.Context, expect, write []store.Row) error {
	for _, rows := range [][]store.Row{expect, write} {
		for i := range rows {
			if err := rows[i].Check(); err != nil {
				return err
			}
		}
	}
	if s.readOnly {
		return errReadOnly
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.isClosed() {
		return errClosed
	}
	if err := s.Stopped(); err != nil {
		return err
	}
	if len(expect)+len(write) == 0 {
		return nil
	}
	err := s.commit(context.WithoutCancel(ctx), s.planned(expect, write))
	var lost *lostError
	switch {
	case err == nil:
		s.commits++
		return nil
	case errors.Is(err, store.ErrConflict):
		return store.ErrConflict
	case errors.Is(err, errReplaced):
		err = s.whyRefused(context.WithoutCancel(ctx), s.commits+1)
		s.stopped.Store(&err)
	case errors.As(err, &lost):
		why := error(lost)
		s.stopped.Store(&why)
	}
	return fmt.Errorf("couldn't commit: %w", err)
}

// lostError: whether a commit is done couldn't be looked up.
type lostError struct{ err error }

func (e *lostError) Error() string   { return store.ErrStopped.Error() + ": " + e.err.Error() }
func (e *lostError) Unwrap() []error { return []error{store.ErrStopped, e.err} }

// commit runs the plan until it is done, refused, or the time is over. It needs
// the turn.
func (s *Store) commit(ctx context.Context, p *plan) error {
	n := s.commits + 1
	// A megabyte a second is slow.
	extra := time.Duration(p.bytes) * time.Second >> 20
	return s.persist(ctx, extra, func(ctx context.Context) error {
		err := s.transact(ctx, s.writers, func(tx pgx.Tx) error { return s.run(ctx, tx, p, n) })
		var uncertain *uncertainError
		if !errors.As(err, &uncertain) {
			return err
		}
		s.log.Warn("the answer to a commit got lost: looking up what became of it", "store", s.address.String(), "err", uncertain.err)
		s.uncertain.Add(1)
		done, lookErr := s.isDone(context.WithoutCancel(ctx), n)
		switch {
		case lookErr != nil:
			return &lostError{errors.Join(uncertain.err, lookErr)}
		case done:
			return nil
		}
		return uncertain.err
	})
}

// Uncertain is of how many commits the answer got lost, so that the outcome was looked
// up: in what may be another database by now, a replica that was promoted.
func (s *Store) Uncertain() uint64 { return s.uncertain.Load() }

// isDone says whether the n-th commit is done; if it isn't it never will be.
func (s *Store) isDone(ctx context.Context, n int64) (done bool, err error) {
	err = s.persist(ctx, 0, func(ctx context.Context) error {
		return s.transact(ctx, s.writers, func(tx pgx.Tx) error {
			u, err := readUse(ctx, tx)
			if err != nil {
				return err
			}
			if !bytes.Equal(u.holder, s.holder[:]) {
				return errReplaced // perhaps after it was done
			}
			done = u.commits == n
			return nil
		})
	})
	return done, err
}

// persist runs f until it succeeds, fails for good, or the time for a commit is
// over; it then returns f's last error. Each attempt has extra time beyond the
// usual.
func (s *Store) persist(ctx context.Context, extra time.Duration, f func(context.Context) error) error {
	return persist(ctx, s.patience.commit+extra, s.patience.attempt+extra, s.log.With("store", s.address.String()), func(ctx context.Context) error {
		begun := time.Now()
		err := f(ctx)
		s.heard(begun, err)
		return err
	})
}

// persist is that for so long in all, and so long an attempt.
func persist(ctx context.Context, all, attempt time.Duration, log *slog.Logger, f func(context.Context) error) error {
	over := time.Now().Add(all)
	for wait := time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := func() error {
			ctx, cancel := context.WithTimeout(ctx, attempt)
			defer cancel()
			return f(ctx)
		}()
		if err == nil || inVain(err) || ctx.Err() != nil || time.Now().After(over) {
			return err
		}
		if c := code(err); c != codeSerialization && c != codeDeadlock {
			log.Debug("trying again", "err", err)
			wait = max(wait, 20*time.Millisecond)
		}
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-ctx.Done():
		}
	}
}

// plan is a commit as statements. A table's rows are together, each key once,
// ascending: two transactions that want the same rows ask for them in one order.
type plan struct {
	expect []expectation
	writes []statement
	bytes  int
}

type expectation struct {
	sql    string
	keys   [][]byte
	values map[string][]byte // nil: absent
}

type statement struct {
	sql  string
	args []any
}

func (s *Store) planned(expect, write []store.Row) *plan {
	p := &plan{}
	for _, g := range s.grouped(expect) {
		e := expectation{sql: selectMany(g.table), values: map[string][]byte{}}
		for _, row := range g.rows {
			e.keys = append(e.keys, row.Key)
			e.values[string(row.Key)] = row.Value
		}
		// Of two that differ about one row, one isn't met.
		if g.contradicted {
			e.values = nil
		}
		p.expect = append(p.expect, e)
	}
	for _, g := range s.grouped(write) {
		var gone [][]byte
		var keys, values [][]byte
		size := 0
		flush := func() {
			if len(keys) > 0 {
				p.writes = append(p.writes, statement{upsertMany(g.table), []any{keys, values}})
			}
			keys, values, size = nil, nil, 0
		}
		for _, row := range g.rows {
			p.bytes += len(row.Key) + len(row.Value)
			if row.Value == nil {
				gone = append(gone, row.Key)
				continue
			}
			if len(keys) >= statementRows || size+len(row.Value) > statementBytes {
				flush()
			}
			keys, values = append(keys, row.Key), append(values, row.Value)
			size += len(row.Key) + len(row.Value)
		}
		flush()
		for chunk := range slices.Chunk(gone, statementRows) {
			p.writes = append(p.writes, statement{deleteMany(g.table), []any{chunk}})
		}
	}
	return p
}

// group is the rows of one table, with the keys that the database has.
type group struct {
	table        store.Table
	rows         []store.Row
	contradicted bool // two rows of one key had different values
}

func (s *Store) grouped(all []store.Row) []group {
	var groups []group
	at := map[store.Table]int{}
	for _, row := range all {
		i, ok := at[row.Table]
		if !ok {
			i = len(groups)
			at[row.Table] = i
			groups = append(groups, group{table: row.Table})
		}
		groups[i].rows = append(groups[i].rows, store.Row{Table: row.Table, Key: s.layout.stored(row.Table, row.Key), Value: row.Value})
	}
	for i := range groups {
		g := &groups[i]
		slices.SortStableFunc(g.rows, func(a, b store.Row) int { return bytes.Compare(a.Key, b.Key) })
		kept := g.rows[:0]
		for _, row := range g.rows {
			if n := len(kept); n > 0 && bytes.Equal(kept[n-1].Key, row.Key) {
				g.contradicted = g.contradicted || !same(kept[n-1].Value, row.Value)
				kept[n-1] = row // the last wins
				continue
			}
			kept = append(kept, row)
		}
		g.rows = kept
	}
	slices.SortFunc(groups, func(a, b group) int { return int(a.table) - int(b.table) })
	return groups
}

func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func selectMany(t store.Table) string {
	return fmt.Sprintf(`SELECT key, value FROM "%s" WHERE key = ANY($1)`, t)
}

func upsertMany(t store.Table) string {
	return fmt.Sprintf(`INSERT INTO "%s" (key, value) SELECT k, v FROM ROWS FROM (unnest(CAST($1 AS BYTEA[])), unnest(CAST($2 AS BYTEA[]))) AS r (k, v) `+
		`ON CONFLICT (key) DO UPDATE SET value = excluded.value`, t)
}

func deleteMany(t store.Table) string {
	return fmt.Sprintf(`DELETE FROM "%s" WHERE key = ANY($1)`, t)
}

// run does what the plan says, as the n-th commit, in one round trip.
func (s *Store) run(ctx context.Context, tx pgx.Tx, p *plan, n int64) (err error) {
	batch := &pgx.Batch{}
	batch.Queue(countUse, s.holder[:], n, s.patience.use.Seconds(), n-1)
	for i := range p.expect {
		batch.Queue(p.expect[i].sql, p.expect[i].keys)
	}
	for _, w := range p.writes {
		batch.Queue(w.sql, w.args...)
	}
	results := tx.SendBatch(ctx, batch)
	defer func() {
		if closeErr := results.Close(); err == nil {
			err = closeErr
		}
	}()
	tag, err := results.Exec()
	if err != nil {
		return err
	}
	met := true
	for i := range p.expect {
		ok, err := p.expect[i].met(results)
		if err != nil {
			return err
		}
		met = met && ok
	}
	switch {
	case tag.RowsAffected() != 1:
		return errReplaced
	case !met:
		return store.ErrConflict
	}
	for range p.writes {
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	return nil
}

// met reads the rows that were expected.
func (e *expectation) met(results pgx.BatchResults) (bool, error) {
	rows, err := results.Query()
	if err != nil {
		return false, err
	}
	defer rows.Close()
	met, found := e.values != nil, 0
	for rows.Next() {
		var key, value []byte
		if err := rows.Scan(&key, &value); err != nil {
			return false, err
		}
		want := e.values[string(key)]
		met = met && want != nil && bytes.Equal(want, value)
		found++
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	for _, want := range e.values {
		if want != nil {
			found--
		}
	}
	return met && found == 0, nil
}
