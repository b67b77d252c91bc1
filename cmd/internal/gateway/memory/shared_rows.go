// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/traccia-ledger/traccia/ledger/postgres"
)

// rows calls back for each row of a letter; key and value are valid until the
// callback returns.
type rows func(letter byte, row func(key, value []byte) error) error

// stored is the key that the database has for a row's: without its letter, and where
// keys ascend with a byte in front that spreads them by 256, so that the writes of a
// moment go to several ranges of CockroachDB.
func (s *shared) stored(key []byte) []byte {
	if letter := key[0]; s.spread < 2 || letter != 'e' && letter != 'h' && letter != 'c' {
		return key[1:]
	}
	at := binary.BigEndian.Uint64(key[5:])
	return append([]byte{byte(at >> 8 % uint64(s.spread))}, key[1:]...)
}

// given undoes stored.
func (s *shared) given(letter byte, stored []byte) []byte {
	if s.spread > 1 && (letter == 'e' || letter == 'h' || letter == 'c') {
		stored = stored[1:]
	}
	return append([]byte{letter}, stored...)
}

// scans are the pages of a letter's rows: after a key, so many at most.
var scans = map[byte]string{
	'e': `SELECT key, value FROM memory_entry WHERE key > $1 AND NOT cohort ORDER BY key LIMIT $2`,
	'h': `SELECT key, value FROM memory_entry WHERE key > $1 AND cohort ORDER BY key LIMIT $2`,
	'i': `SELECT key, value FROM memory_asked WHERE key > $1 ORDER BY key LIMIT $2`,
	'c': `SELECT key, value FROM memory_checkpoint WHERE key > $1 ORDER BY key LIMIT $2`,
	'k': `SELECT key, value FROM memory_check WHERE key > $1 ORDER BY key LIMIT $2`,
}

// atOnce has rows read as they are at one instant.
func (s *shared) atOnce(read func(rows) error) error {
	const pageRows = 4096
	return s.persist(func(ctx context.Context, pool *pgxpool.Pool) (err error) {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		begun := context.WithoutCancel(ctx) // who reads takes their time
		tx, err := conn.BeginTx(begun, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, tx.Rollback(begun)) }()
		if !s.db.IsCockroach() {
			if _, err := tx.Exec(begun, `SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil {
				return err
			}
		}
		handed := false
		err = read(func(letter byte, row func(key, value []byte) error) error {
			for after := []byte{}; ; {
				list, err := tx.Query(begun, scans[letter], after, pageRows)
				if err != nil {
					return err
				}
				page, err := pgx.CollectRows(list, pgx.RowToStructByPos[pair])
				if err != nil {
					return err
				}
				for _, r := range page {
					handed = true
					if err := row(s.given(letter, r.Key), r.Value); err != nil {
						return postgres.Final(err)
					}
				}
				if len(page) < pageRows {
					return nil
				}
				after = page[len(page)-1].Key
			}
		})
		if err != nil && handed {
			return postgres.Final(err) // what was handed out isn't taken back
		}
		return err
	})
}

type pair struct{ Key, Value []byte }

// count says how many rows of a letter there are.
func (s *shared) count() (n int, err error) {
	err = s.persist(func(ctx context.Context, pool *pgxpool.Pool) error {
		return pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM memory_entry) + (SELECT count(*) FROM memory_asked)`).Scan(&n)
	})
	return n, err
}

// has says whether there is an entry of a year's log.
func (s *shared) has(epoch uint32) (has bool, err error) {
	err = s.persist(func(ctx context.Context, pool *pgxpool.Pool) error {
		b := &pgx.Batch{}
		for part := range max(s.spread, 1) {
			var prefix []byte
			if s.spread > 1 {
				prefix = []byte{byte(part)}
			}
			b.Queue(`SELECT key FROM memory_entry WHERE key >= $1 AND key < $2 LIMIT 1`,
				binary.BigEndian.AppendUint32(bytes.Clone(prefix), epoch), binary.BigEndian.AppendUint32(bytes.Clone(prefix), epoch+1))
		}
		r := pool.SendBatch(ctx, b)
		has = false
		for range b.Len() {
			if err := eachRow(r, func(pgx.Rows) error { has = true; return nil }); err != nil {
				return errors.Join(err, r.Close())
			}
		}
		return r.Close()
	})
	return has, err
}

// seen notes a token. A token that this very call has noted, in an answer that got
// lost, is new.
func (s *shared) seen(handle [32]byte, end time.Time) (seen bool, err error) {
	taken := make([]byte, 16)
	rand.Read(taken)
	err = s.persist(func(ctx context.Context, pool *pgxpool.Pool) error {
		const insert = `INSERT INTO memory_token (key, hour, taken) VALUES ($1, $2, $3)
			ON CONFLICT (key) DO UPDATE SET hour = excluded.hour WHERE memory_token.taken = excluded.taken`
		tag, err := pool.Exec(ctx, insert, handle[:], hourOf(end), taken)
		seen = tag.RowsAffected() == 0
		return err
	})
	return seen, unavailable("note a token", err)
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

// sweep forgets the tokens whose hour is over: there is no index by their very end,
// where all writes of a moment would meet.
func (s *shared) sweep() error {
	const atOnce = 1 << 14
	err := s.exec(`DELETE FROM memory_token WHERE key IN (SELECT key FROM memory_token WHERE hour < $1 ORDER BY hour, key LIMIT $2)`, hourOf(s.now()), atOnce)
	return unavailable("forget tokens", err)
}

func (s *shared) witnessed(key []byte) error {
	return unavailable("forget a checkpoint", s.exec(`DELETE FROM memory_checkpoint WHERE key = $1`, s.stored(key)))
}

// checked notes a check.
func (s *shared) checked(key, value []byte) error {
	const insert = `INSERT INTO memory_check (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value`
	return unavailable("note a check", s.exec(insert, s.stored(key), value))
}

// state is what Status says of calls, numbers and checkpoints.
func (s *shared) state() (st Status, err error) {
	err = s.persist(func(ctx context.Context, pool *pgxpool.Pool) error {
		st = Status{}
		// A ticket first, and then the own calls: those that begin later have greater
		// ones. Then the calls that are noted, whosever they are, also those of an
		// instance that died just now; how many of them are late, of which each
		// instance's row says what was so before; and the gaps as they are then or later.
		var ticket int64
		if err := pool.QueryRow(ctx, `SELECT nextval('memory_ticket')`).Scan(&ticket); err != nil {
			return err
		}
		s.mu.Lock()
		s.mark = max(s.mark, uint64(ticket))
		s.known = max(s.known, s.mark)
		s.mu.Unlock()
		id, oldest, calls, _ := s.own()
		var noted int
		b := &pgx.Batch{}
		b.Queue(`SELECT (SELECT count(*) FROM memory_call), CAST(COALESCE(sum(late), 0) AS INT8) FROM memory_instance WHERE id <> $1`, id[:])
		b.Queue(`SELECT CAST(COALESCE(sum(last - first + 1), 0) AS INT8) FROM memory_gap
			WHERE ticket < $1 AND ticket < (SELECT COALESCE(min(oldest), CAST($2 AS INT8)) FROM memory_instance WHERE id <> $3)`, int64(oldest), int64(math.MaxInt64), id[:])
		b.Queue(`SELECT value FROM memory_checkpoint`)
		r := pool.SendBatch(ctx, b)
		err := r.QueryRow().Scan(&noted, &st.Elsewhere)
		if err == nil {
			var missing int64
			err = r.QueryRow().Scan(&missing)
			st.Missing = uint64(missing)
		}
		if err == nil {
			err = eachRow(r, func(rows pgx.Rows) error {
				var value []byte
				if err := rows.Scan(&value); err != nil || len(value) != 32+8 {
					return errors.Join(err, postgres.Final(errDamaged))
				}
				if at := instantOf(value[32:]); st.Waiting.IsZero() || at.Before(st.Waiting) {
					st.Waiting = at
				}
				return nil
			})
		}
		st.Unsettled = max(calls, noted)
		return errors.Join(err, r.Close())
	})
	if err != nil {
		return Status{}, unavailable("read the state of the calls", err)
	}
	return st, nil
}

func instantOf(b []byte) time.Time { return time.UnixMilli(int64(binary.BigEndian.Uint64(b))) }
