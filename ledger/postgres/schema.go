// SPDX-License-Identifier: EUPL-1.2

package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/traccia-ledger/traccia/ledger/store"
)

// The layout of a database has a version: that of the last file in migrations
// that was applied. Files are only added, and what they do lets the version
// before go on working: they run while it does. One that doesn't would raise
// needs, the least version that can work on the layout, in a release after the
// one that learnt it.
//
// The ledger's tables need no file: the list in ledger/store only grows, and a
// table that is missing is made when the store is opened.
//
//go:embed migrations
var migrations embed.FS

const (
	layoutVersion = 2
	layoutNeeds   = 1

	// cockroachSpread is into how many ranges keys that ascend are spread on
	// CockroachDB, where one range takes all writes of its keys.
	cockroachSpread = 16
)

// create makes the tables in an empty database.
func (s *Store) create(ctx context.Context, spread int) error {
	if spread == 0 && s.server.cockroach {
		spread = cockroachSpread
	}
	if s.readOnly {
		return errors.New("a store that is only read isn't created")
	}
	for version := 1; version <= layoutVersion; version++ {
		if err := s.migrate(ctx, version); err != nil {
			return err
		}
	}
	const insert = `INSERT INTO store_format (one, version, needs, spread) VALUES (1, $1, $2, $3) ON CONFLICT (one) DO NOTHING`
	if _, err := s.writers.Exec(ctx, insert, layoutVersion, layoutNeeds, spread); err != nil {
		return said(err)
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	snap, err := s.Snapshot(ctx)
	if err != nil {
		return err
	}
	for _, t := range store.Tables() {
		err = errors.Join(err, snap.Scan(ctx, t, nil, nil, 1, func(_, _ []byte) error {
			return fmt.Errorf("the table %s has rows, of a ledger or of what was cut short: %w", t, fs.ErrExist)
		}))
		if err != nil {
			break
		}
	}
	return errors.Join(err, snap.Close())
}

// open reads the layout, makes the store ours, and brings the layout up to date.
func (s *Store) open(ctx context.Context) error {
	if err := s.knowLayout(ctx); err != nil {
		return err
	}
	l := s.layout
	if err := s.take(ctx); err != nil {
		return err
	}
	s.log.Info("the store is in a database", "store", s.address.String(), "engine", s.server.name())
	for version := l.version + 1; version <= layoutVersion; version++ {
		if err := s.migrate(ctx, version); err != nil {
			return err
		}
		const update = `UPDATE store_format SET version = $1, needs = $2 WHERE one = 1`
		if _, err := s.writers.Exec(ctx, update, version, max(l.needs, layoutNeeds)); err != nil {
			return said(err)
		}
	}
	if err := s.makeTables(ctx); err != nil {
		return err
	}
	return s.advertise(ctx)
}

// knowLayout reads the layout, and refuses one that this version can't work on.
func (s *Store) knowLayout(ctx context.Context) error {
	l, err := s.readLayout(ctx)
	if err != nil {
		return err
	}
	if l.needs > layoutVersion {
		return fmt.Errorf("%w: its layout %d needs a version that knows %d, this one knows %d: install the newer version",
			store.ErrNewer, l.version, l.needs, layoutVersion)
	}
	s.layout = l
	return nil
}

func (s *Store) readLayout(ctx context.Context) (l layout, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience.attempt)
	defer cancel()
	err = s.writers.QueryRow(ctx, `SELECT version, needs, spread FROM store_format WHERE one = 1`).Scan(&l.version, &l.needs, &l.spread)
	switch {
	case code(err) == codeUndefinedTable, errors.Is(err, pgx.ErrNoRows):
		return l, fmt.Errorf("there is no store: %w", fs.ErrNotExist)
	case err != nil:
		return l, said(err)
	case l.version < 1 || l.spread < 0 || l.spread > 128:
		return l, fmt.Errorf("%w: its row in store_format", store.ErrDamaged)
	}
	return l, nil
}

// migrate runs the file of a version.
func (s *Store) migrate(ctx context.Context, version int) error {
	names, err := fs.Glob(migrations, fmt.Sprintf("migrations/%04d_*.sql", version))
	if err != nil || len(names) != 1 {
		return fmt.Errorf("no migration to layout %d: %w", version, err)
	}
	text, err := fs.ReadFile(migrations, names[0])
	if err != nil {
		return err
	}
	return s.define(ctx, string(text))
}

// makeTables makes the ledger's tables that are missing.
func (s *Store) makeTables(ctx context.Context) error {
	rows, err := s.writers.Query(ctx, `SELECT CAST(table_name AS TEXT) FROM information_schema.tables WHERE table_schema = current_schema()`)
	if err != nil {
		return said(err)
	}
	there, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return said(err)
	}
	var statements []string
	for _, t := range store.Tables() {
		if slices.Contains(there, t.String()) {
			continue
		}
		statement := fmt.Sprintf(`CREATE TABLE IF NOT EXISTS "%s" (key BYTEA NOT NULL PRIMARY KEY, value BYTEA NOT NULL)`, t)
		if !s.server.cockroach {
			// Sealed bodies stay in their row: a second table and a try to
			// compress what can't be would cost more than the row's length.
			statement += ` WITH (toast_tuple_target = 8160)`
		}
		statements = append(statements, statement)
	}
	if len(statements) == 0 {
		return nil
	}
	return s.define(ctx, strings.Join(statements, "; "))
}

// define runs statements that may run again, until they are done.
func (s *Store) define(ctx context.Context, statements string, args ...any) error {
	return s.persist(ctx, 0, func(ctx context.Context) error {
		_, err := s.writers.Exec(ctx, statements, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...)
		return said(err)
	})
}
