// SPDX-License-Identifier: EUPL-1.2

package postgres

import (
	"context"
	"errors"

	"github.com/cockroachdb/cockroach-go/v2/crdb"
	crdbpgx "github.com/cockroachdb/cockroach-go/v2/crdb/crdbpgxv5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

var serializable = pgx.TxOptions{IsoLevel: pgx.Serializable}

// transact runs f in one SERIALIZABLE transaction and commits it, once on
// PostgreSQL and as often as it takes on CockroachDB. f may run several times.
//
// On CockroachDB cockroach-go's protocol is used: RELEASE SAVEPOINT is the
// commit. On PostgreSQL it would be wrong. There RELEASE commits nothing, a
// serialization failure may come with COMMIT itself, whose error that protocol
// drops, and a rollback to a savepoint keeps the snapshot that failed: so COMMIT's
// error counts, and the whole transaction is begun again, by the caller.
//
// An uncertainError means that it may be committed or not; any other error that
// it isn't and never will be.
func (s *Store) transact(ctx context.Context, pool *pgxpool.Pool, f func(pgx.Tx) error) error {
	if s.server.cockroach {
		return transactOnCockroach(ctx, pool, f)
	}
	return transactOnPostgres(ctx, pool, f)
}

func transactOnCockroach(ctx context.Context, pool *pgxpool.Pool, f func(pgx.Tx) error) error {
	err := crdbpgx.ExecuteTx(ctx, pool, serializable, f)
	var ambiguous *crdb.AmbiguousCommitError
	if errors.As(err, &ambiguous) || code(err) == codeUnknownOutcome {
		return &uncertainError{said(err)}
	}
	return said(err)
}

func transactOnPostgres(ctx context.Context, pool *pgxpool.Pool, f func(pgx.Tx) error) error {
	tx, err := pool.BeginTx(ctx, serializable)
	if err != nil {
		return said(err)
	}
	if err := f(tx); err != nil {
		// Without a COMMIT the server drops it, also when this doesn't arrive.
		return errors.Join(said(err), rollback(tx))
	}
	return committed(tx.Commit(ctx))
}

// committed is what PostgreSQL's answer to COMMIT means.
func committed(err error) error {
	var answer *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return said(err)
	case errors.As(err, &answer) && answer.SeverityUnlocalized == "ERROR" && answer.Code != codeUnknownOutcome:
		return said(err) // it answered, and lives on: the transaction doesn't
	}
	return &uncertainError{said(err)}
}

// rollback gives the connection back. A connection that fails at it is closed
// by pgx, which ends the transaction as well.
func rollback(tx pgx.Tx) error {
	ctx, cancel := context.WithTimeout(context.Background(), rollbackPatience)
	defer cancel()
	if err := tx.Rollback(ctx); err != nil && !errors.Is(err, pgx.ErrTxClosed) && !tx.Conn().IsClosed() {
		return said(err)
	}
	return nil
}
