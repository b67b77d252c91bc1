// SPDX-License-Identifier: EUPL-1.2

package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/traccia-ledger/traccia/ledger/store"
)

// Snapshot returns a view of all that is committed. It has a connection of its
// own until it is closed, and waits for one when all are taken.
func (s *Store) Snapshot(ctx context.Context) (store.Snapshot, error) {
	if s.isClosed() {
		return nil, errClosed
	}
	r := &snapshot{store: s}
	if err := r.begin(ctx); err != nil {
		return nil, fmt.Errorf("couldn't read the store: %w", err)
	}
	return r, nil
}

// snapshot is one transaction that only reads. A connection takes one statement
// at a time, so those who share a snapshot wait for each other.
type snapshot struct {
	store *Store

	mu    sync.Mutex
	tx    pgx.Tx // nil once closed
	read  bool   // something was handed out: it is begun again only over the same state
	state state  // that it shows
}

// state names what is committed: each commit changes it (use.go).
type state struct {
	holder  Holder
	commits int64
}

// errMoved says that a snapshot's connection broke, and that the store it would
// be read from again isn't the same any more.
var errMoved = errors.New("postgres: the connection broke, and the store went on meanwhile")

// begin begins the transaction, and reads so that the state it shows is fixed.
// A database that comes back, or a connection that becomes free, is waited for.
func (r *snapshot) begin(ctx context.Context) error {
	s := r.store
	over := time.Now().Add(s.patience.begin)
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := r.tryBegin(ctx, time.Until(over))
		if err == nil || inVain(err) || ctx.Err() != nil || time.Now().Add(wait).After(over) {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

func (r *snapshot) tryBegin(ctx context.Context, within time.Duration) error {
	s := r.store
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	if s.server.cockroach {
		options.IsoLevel = pgx.Serializable
	}
	tx, err := s.readers.BeginTx(ctx, options)
	if isBroken(err) {
		s.readers.Reset() // the others are as old as this one
	}
	if err != nil {
		if stat := s.readers.Stat(); errors.Is(err, context.DeadlineExceeded) && stat.AcquiredConns() >= stat.MaxConns() {
			return fmt.Errorf("all %d connections that read are taken (pool_max_conns): %w", stat.MaxConns(), err)
		}
		return said(err)
	}
	var holder []byte
	var now state
	if err := tx.QueryRow(ctx, `SELECT holder, commits FROM store_use WHERE one = 1`).Scan(&holder, &now.commits); err != nil {
		return errors.Join(said(err), rollback(tx))
	}
	copy(now.holder[:], holder)
	if r.read && now != r.state {
		return errors.Join(errMoved, rollback(tx))
	}
	r.tx, r.state = tx, now
	return nil
}

// Close ends the transaction.
func (r *snapshot) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tx == nil {
		return nil
	}
	err := rollback(r.tx)
	r.tx = nil
	return err
}

// query runs f over the rows of a statement, once it has them all. CockroachDB
// may ask to begin again, and connections break: nobody notices as long as
// nothing was committed since what was read before.
func (r *snapshot) query(ctx context.Context, f func(key, value []byte), sql string, args ...any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for over := time.Now().Add(r.store.patience.begin); ; {
		if r.tx == nil {
			return errors.New("postgres: the snapshot is closed")
		}
		all, err := r.tryQuery(ctx, sql, args...)
		if err == nil {
			r.read = true
			for _, row := range all {
				f(row.Key, row.Value)
			}
			return nil
		}
		if inVain(err) || ctx.Err() != nil || time.Now().After(over) {
			return err
		}
		broken := rollback(r.tx)
		r.tx = nil
		if err := r.begin(ctx); err != nil {
			return errors.Join(broken, err)
		}
	}
}

func (r *snapshot) tryQuery(ctx context.Context, sql string, args ...any) (all []store.Row, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.store.patience.read)
	defer cancel()
	rows, err := r.tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the store: %w", said(err))
	}
	defer rows.Close()
	for rows.Next() {
		var key, value []byte
		if err := rows.Scan(&key, &value); err != nil {
			return nil, fmt.Errorf("couldn't read the store: %w", said(err))
		}
		if value == nil {
			value = []byte{}
		}
		all = append(all, store.Row{Key: key, Value: value})
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("couldn't read the store: %w", said(err))
	}
	return all, nil
}

func (r *snapshot) Get(ctx context.Context, t store.Table, key []byte) (value []byte, err error) {
	err = r.query(ctx, func(_, v []byte) { value = v }, selectOne(t), r.store.layout.stored(t, key))
	return value, err
}

func (r *snapshot) GetMany(ctx context.Context, t store.Table, keys [][]byte) ([][]byte, error) {
	values := make([][]byte, len(keys))
	places := make(map[string][]int, len(keys))
	wanted := make([][]byte, 0, len(keys))
	for i, key := range keys {
		key = r.store.layout.stored(t, key)
		if places[string(key)] == nil {
			wanted = append(wanted, key)
		}
		places[string(key)] = append(places[string(key)], i)
	}
	for chunk := range slices.Chunk(wanted, statementRows) {
		err := r.query(ctx, func(key, value []byte) {
			for n, i := range places[string(key)] {
				if n > 0 {
					value = bytes.Clone(value)
				}
				values[i] = value
			}
		}, selectMany(t), chunk)
		if err != nil {
			return nil, err
		}
	}
	return values, nil
}

// Scan reads page by page, so that f may read too, and so that nothing waits
// for f.
func (r *snapshot) Scan(ctx context.Context, t store.Table, from, to []byte, limit int, f func(key, value []byte) error) error {
	const first, pageBytes, longest = 32, 4 << 20, 4096
	for size, seen := first, 0; limit == 0 || seen < limit; {
		if limit > 0 {
			size = min(size, limit-seen)
		}
		p, err := r.page(ctx, t, from, to, size)
		if err != nil {
			return err
		}
		bytes := 1
		for i := range p.rows {
			if limit > 0 && seen == limit {
				return nil
			}
			if err := f(p.rows[i].Key, p.rows[i].Value); err != nil {
				return err
			}
			bytes += len(p.rows[i].Value)
			seen++
		}
		if p.next == nil {
			return nil
		}
		from = p.next
		size = max(1, min(4*size, longest, pageBytes*len(p.rows)/bytes))
	}
	return nil
}

// page is some rows of a scan, in order.
type page struct {
	rows []store.Row
	next []byte // where the next page begins; nil when there is none
}

func (r *snapshot) page(ctx context.Context, t store.Table, from, to []byte, size int) (p page, err error) {
	parts := r.store.layout.parts(t)
	if parts > 0 {
		return r.spreadPage(ctx, t, from, to, size, parts)
	}
	args := []any{size, nonNil(from)}
	if to != nil {
		args = append(args, to)
	}
	err = r.query(ctx, func(key, value []byte) {
		p.rows = append(p.rows, store.Row{Key: key, Value: value})
	}, selectPage(t, 2, 3, to != nil), args...)
	if len(p.rows) == size {
		p.next = next(p.rows[size-1].Key)
	}
	return p, err
}

// spreadPage reads from every part at once. What lies beyond the last row of a
// part that may have more isn't known to be complete: it is left to the next
// page.
func (r *snapshot) spreadPage(ctx context.Context, t store.Table, from, to []byte, size, parts int) (p page, err error) {
	args := []any{size}
	var statements []string
	for part := range parts {
		least, end := append([]byte{byte(part)}, from...), append([]byte{byte(part)}, to...)
		if to == nil {
			end = []byte{byte(part) + 1}
		}
		statements = append(statements, "("+selectPage(t, len(args)+1, len(args)+2, true)+")")
		args = append(args, least, end)
	}
	got, last := make([]int, parts), make([][]byte, parts)
	err = r.query(ctx, func(key, value []byte) {
		part := key[0]
		key = r.store.layout.given(t, key)
		p.rows = append(p.rows, store.Row{Key: key, Value: value})
		got[part]++
		if bytes.Compare(key, last[part]) > 0 {
			last[part] = key
		}
	}, strings.Join(statements, " UNION ALL "), args...)
	if err != nil {
		return page{}, err
	}
	slices.SortFunc(p.rows, func(a, b store.Row) int { return bytes.Compare(a.Key, b.Key) })
	for part := range parts {
		if got[part] == size && (p.next == nil || bytes.Compare(last[part], p.next) < 0) {
			p.next = next(last[part])
		}
	}
	if p.next != nil {
		end, _ := slices.BinarySearchFunc(p.rows, p.next, func(row store.Row, key []byte) int { return bytes.Compare(row.Key, key) })
		p.rows = p.rows[:end]
	}
	return p, nil
}

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func selectOne(t store.Table) string {
	return fmt.Sprintf(`SELECT key, value FROM "%s" WHERE key = $1`, t)
}

// selectPage takes the least key and the end of its range from the parameters of
// these numbers, and the limit from the first one.
func selectPage(t store.Table, least, end int, bounded bool) string {
	upper := ""
	if bounded {
		upper = fmt.Sprintf(" AND key < $%d", end)
	}
	return fmt.Sprintf(`SELECT key, value FROM "%s" WHERE key >= $%d%s ORDER BY key LIMIT $1`, t, least, upper)
}
