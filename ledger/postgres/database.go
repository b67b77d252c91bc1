// SPDX-License-Identifier: EUPL-1.2

package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Database is a database with tables of somebody else than a ledger's store, that
// many processes work on at once. It is safe for concurrent use.
//
// What must hold: whatever is done in it may be done twice. An answer that got lost
// leaves nobody knowing, and then it is tried again.
type Database struct {
	address Address
	server  server
	pool    *pgxpool.Pool
	log     *slog.Logger
	all     time.Duration
}

// databaseIdle is how long a transaction may stand still before the server gives
// it up: it holds rows that others wait for.
const databaseIdle = 5 * time.Second

// OpenDatabase connects to a database. What can't be done at once, since it is
// restarted or other transactions are in the way, is tried again for so long as
// patience says.
func OpenDatabase(ctx context.Context, a Address, patience time.Duration, log *slog.Logger) (*Database, error) {
	d := &Database{address: a, log: log.With("database", a.String()), all: patience}
	var err error
	if d.server, err = recognise(ctx, a); err == nil {
		d.pool, err = d.server.pool(ctx, a, a.readers, databaseIdle)
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't open the database %s: %w", a, err)
	}
	return d, nil
}

// Close ends the connections, once what is under way has ended.
func (d *Database) Close() { d.pool.Close() }

// IsCockroach says which of the two engines it is.
func (d *Database) IsCockroach() bool { return d.server.cockroach }

// Persist runs f, which is given the connections, until it succeeds, fails for good
// or the patience is over.
func (d *Database) Persist(ctx context.Context, f func(context.Context, *pgxpool.Pool) error) error {
	return persist(ctx, d.all, d.all, d.log, func(ctx context.Context) error {
		err := f(ctx, d.pool)
		if isCutOff(err) {
			d.pool.Reset() // the others are as old as this one
		}
		return said(err)
	})
}

// Final makes an error one after which nothing is tried again.
func Final(err error) error { return &finalError{err} }

type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

// Define runs statements that define tables and may run again, one after the other.
func (d *Database) Define(ctx context.Context, statements ...string) error {
	return d.Persist(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		for _, statement := range statements {
			if _, err := pool.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}
		}
		return nil
	})
}

// HasLedger says whether a ledger keeps its store in this database, in whatever
// schema.
func (d *Database) HasLedger(ctx context.Context) (has bool, err error) {
	err = d.Persist(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		const tables = `SELECT count(DISTINCT CAST(tablename AS TEXT)) = 2 FROM pg_catalog.pg_tables WHERE CAST(tablename AS TEXT) IN ('store_format', 'store_use')`
		return pool.QueryRow(ctx, tables).Scan(&has)
	})
	return has, err
}

// Change is a transaction of two batches of statements: one that reads and locks,
// one that writes by what was read.
type Change struct {
	Read  *pgx.Batch
	Took  func(pgx.BatchResults) error // reads the answers to Read. An error undoes all, and is returned
	Write func() *pgx.Batch            // by what was taken
}

// Transact makes a change, once: an error that IsUncertain leaves open whether it is
// made, after any other it isn't and never will be. make is called for each try.
//
// On PostgreSQL it is READ COMMITTED, where each statement sees what is committed
// when it begins: what must hold is held by the rows that Read locks and by primary
// keys. It takes two round trips, since BEGIN goes with the first batch and COMMIT
// with the second, and COMMIT's error counts. On CockroachDB it is SERIALIZABLE by
// cockroach-go's protocol, as transact says.
func (d *Database) Transact(ctx context.Context, make func() *Change) error {
	if d.server.cockroach {
		return transactOnCockroach(ctx, d.pool, func(tx pgx.Tx) error {
			c := make()
			if err := answers(tx.SendBatch(ctx, c.Read), c.Took); err != nil {
				return err
			}
			if b := c.Write(); b.Len() > 0 {
				return tx.SendBatch(ctx, b).Close()
			}
			return nil
		})
	}
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return said(err)
	}
	defer conn.Release() // which closes one whose transaction wasn't ended
	c := make()
	first := &pgx.Batch{QueuedQueries: append([]*pgx.QueuedQuery{{SQL: "BEGIN ISOLATION LEVEL READ COMMITTED"}}, c.Read.QueuedQueries...)}
	err = answers(conn.SendBatch(ctx, first), func(r pgx.BatchResults) error {
		if _, err := r.Exec(); err != nil {
			return err
		}
		return c.Took(r)
	})
	if err != nil {
		return errors.Join(said(err), giveUp(conn))
	}
	last := c.Write()
	statements := last.Len()
	last.Queue("COMMIT")
	err = answers(conn.SendBatch(ctx, last), func(r pgx.BatchResults) error {
		for range statements {
			if _, err := r.Exec(); err != nil {
				return err
			}
		}
		tag, err := r.Exec()
		if err == nil && tag.String() != "COMMIT" {
			err = pgx.ErrTxCommitRollback
		}
		return err
	})
	if err = committed(err); err != nil && !IsUncertain(err) {
		err = errors.Join(err, giveUp(conn))
	}
	return err
}

// answers has the answers to a batch read, all of them.
func answers(r pgx.BatchResults, read func(pgx.BatchResults) error) error {
	err := read(r)
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	return err
}

// giveUp ends a transaction whose COMMIT wasn't sent, or was refused. A connection
// that fails at it is closed, which ends the transaction as well.
func giveUp(conn *pgxpool.Conn) error {
	if conn.Conn().IsClosed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), rollbackPatience)
	defer cancel()
	if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil && !conn.Conn().IsClosed() {
		return said(err)
	}
	return nil
}

// isCutOff says whether a connection was there and is no more.
func isCutOff(err error) bool {
	if errors.As(err, new(*pgconn.ConnectError)) {
		return false
	}
	return strings.HasPrefix(code(err), "57P") || errors.As(err, new(*net.OpError)) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// IsUncertain says of an error of Transact that the change may be made or not.
func IsUncertain(err error) bool { return errors.As(err, new(*uncertainError)) }

// IsMissing says of an error that a row that another one refers to isn't there.
func IsMissing(err error) bool { return code(err) == "23503" }

// IsTaken says of an error that a row with this key is there already.
func IsTaken(err error) bool { return code(err) == "23505" }

// IsUndefined says of an error that a table isn't there.
func IsUndefined(err error) bool { return code(err) == codeUndefinedTable }
