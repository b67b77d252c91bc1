// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/postgres"
)

// begin notes a call, with the row's value.
func (s *shared) begin(p *Pending, value []byte) error {
	for {
		s.mu.Lock()
		// Its ticket is greater than each that was given out before.
		p.owner, p.ticket, p.began = s.id, s.known+1, s.now()
		s.open[p] = true
		s.mu.Unlock()
		var ticket int64
		err := s.persist(func(ctx context.Context, pool *pgxpool.Pool) error {
			const insert = `INSERT INTO memory_call (instance, jti, ticket, spooled, value) VALUES ($1, $2, nextval('memory_ticket'), $3, $4)
				ON CONFLICT (instance, jti) DO UPDATE SET value = excluded.value RETURNING ticket`
			return pool.QueryRow(ctx, insert, p.owner[:], p.jti[:], p.released || p.session != nil, value).Scan(&ticket)
		})
		if err == nil {
			s.mu.Lock()
			p.ticket, s.known = uint64(ticket), max(s.known, uint64(ticket))
			s.mu.Unlock()
			return nil
		}
		s.settled(p)
		if !postgres.IsMissing(err) {
			s.mu.Lock()
			s.gone = append(s.gone, p.jti[:])
			s.mu.Unlock()
			return unavailable("note a submission", err)
		}
		if err := s.renew(s.ctx); err != nil {
			return unavailable("note a submission", err)
		}
	}
}

// submission returns the value of a call's row; nil once it is settled, by whomever.
func (s *shared) submission(p *Pending) (value []byte, err error) {
	err = s.persist(func(ctx context.Context, pool *pgxpool.Pool) error {
		err := pool.QueryRow(ctx, `SELECT value FROM memory_call WHERE instance = $1 AND jti = $2`, p.owner[:], p.jti[:]).Scan(&value)
		if errors.Is(err, pgx.ErrNoRows) {
			value, err = nil, nil
		}
		return err
	})
	if err == nil && value == nil {
		s.settled(p)
	}
	return value, unavailable("read a submission", err)
}

func (s *shared) drop(p *Pending) error {
	err := s.exec(`DELETE FROM memory_call WHERE instance = $1 AND jti = $2`, p.owner[:], p.jti[:])
	if err == nil {
		s.settled(p)
	}
	return unavailable("forget a submission", err)
}

// ask notes the question for an aggregate, and dropAsked forgets it.
func (s *shared) ask(id [16]byte, instant []byte) error {
	err := s.exec(`INSERT INTO memory_asked (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING`, id[:], instant)
	return unavailable("note an aggregate", err)
}

func (s *shared) dropAsked(id [16]byte) error {
	return unavailable("forget an aggregate", s.exec(`DELETE FROM memory_asked WHERE key = $1`, id[:]))
}

// unsettled are the calls of this instance, but for spooled receipts.
func (s *shared) unsettled() []*Pending {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*Pending
	for p := range s.open {
		if p.jti != ([16]byte{}) && !p.released && p.session == nil {
			list = append(list, p)
		}
	}
	return list
}

// left are the calls that were taken over, once each.
func (s *shared) left() []*Pending {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.orphans
	s.orphans = nil
	return list
}

// exec runs one statement, perhaps twice.
func (s *shared) exec(sql string, args ...any) error {
	return s.persist(func(ctx context.Context, pool *pgxpool.Pool) error {
		_, err := pool.Exec(ctx, sql, args...)
		return err
	})
}

// answered is what the ledger answered to a call, or to the question for an
// aggregate, as rows.
type answered struct {
	call       *Pending // nil for an aggregate
	asked      [16]byte // of an aggregate
	checkpoint row
	rows       []row
}

// row is a row e or h; of a checkpoint key, head and value alone.
type row struct {
	key   []byte // with its letter
	head  []byte // of the value: the same row has the same
	value []byte

	// Of an event.
	subject [32]byte
	number  uint32
	index   uint64
}

func (r *row) cohort() bool { return r.key[0] == 'h' }

// acknowledge notes an answer. It contradicts none before it, and the call is still
// this instance's.
func (s *shared) acknowledge(a *answered) error {
	err := s.db.Persist(context.Background(), func(ctx context.Context, pool *pgxpool.Pool) error {
		for {
			err := s.db.Transact(ctx, func() *postgres.Change { return s.change(a) })
			switch {
			case postgres.IsTaken(err) && ctx.Err() == nil:
				continue // an index that another answer was noted for just then
			case !postgres.IsUncertain(err) || a.call == nil:
				return err
			}
			done, lookErr := s.isNoted(ctx, a.call)
			if done {
				return nil
			}
			return errors.Join(err, lookErr)
		}
	})
	var problem *ledger.Problem
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.Is(err, ErrTaken):
		s.settled(a.call)
		return ErrTaken
	case err == nil && a.call != nil:
		s.settled(a.call)
	}
	return unavailable("remember an acknowledgement", err)
}

// isNoted says whether an answer was noted, when the database's word on that got
// lost. Who asks for a row waits until the transaction that has it has ended.
func (s *shared) isNoted(ctx context.Context, p *Pending) (done bool, err error) {
	err = s.db.Persist(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		var one int
		err := pool.QueryRow(ctx, `SELECT 1 FROM memory_call WHERE instance = $1 AND jti = $2 FOR UPDATE`, p.owner[:], p.jti[:]).Scan(&one)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		err = pool.QueryRow(ctx, `SELECT 1 FROM memory_instance WHERE id = $1`, p.owner[:]).Scan(&one)
		if errors.Is(err, pgx.ErrNoRows) {
			return postgres.Final(ErrTaken)
		}
		done = err == nil
		return err
	})
	return done, err
}

// change is an answer as a transaction. Rows are locked in the order of their keys:
// two answers that want the same wait for each other.
func (s *shared) change(a *answered) *postgres.Change {
	c := &postgres.Change{Read: &pgx.Batch{}}
	subjects := map[[32]byte]*numbers{}
	var keys [][]byte
	for i := range a.rows {
		keys = append(keys, s.stored(a.rows[i].key))
		if !a.rows[i].cohort() {
			subjects[a.rows[i].subject] = &numbers{}
		}
	}
	var handles [][]byte
	for _, h := range slices.SortedFunc(maps.Keys(subjects), func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) }) {
		handles = append(handles, h[:])
	}
	if a.call != nil {
		c.Read.Queue(`DELETE FROM memory_call WHERE instance = $1 AND jti = $2`, a.call.owner[:], a.call.jti[:])
	} else {
		c.Read.Queue(`DELETE FROM memory_asked WHERE key = $1`, a.asked[:])
	}
	c.Read.Queue(`INSERT INTO memory_subject (key, value) SELECT k, CAST('' AS BYTEA) FROM unnest(CAST($1 AS BYTEA[])) AS r (k) ON CONFLICT (key) DO NOTHING`, handles)
	c.Read.Queue(`SELECT key, value FROM memory_subject WHERE key = ANY($1) ORDER BY key FOR UPDATE`, handles)
	c.Read.Queue(`SELECT subject, first, last, ticket FROM memory_gap WHERE subject = ANY($1) ORDER BY subject, first`, handles)
	c.Read.Queue(`SELECT key, cohort, value FROM memory_entry WHERE key = ANY($1)`, keys)
	c.Read.Queue(`INSERT INTO memory_checkpoint (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING`, s.stored(a.checkpoint.key), a.checkpoint.value)
	c.Read.Queue(`SELECT value FROM memory_checkpoint WHERE key = $1`, s.stored(a.checkpoint.key))
	var fresh []*row
	before := map[[32]byte][]gap{}
	c.Took = func(r pgx.BatchResults) error {
		tag, err := r.Exec()
		if err != nil {
			return err
		}
		if a.call != nil && tag.RowsAffected() != 1 {
			return postgres.Final(ErrTaken)
		}
		if _, err := r.Exec(); err != nil {
			return err
		}
		if err := takeNumbers(r, subjects); err != nil {
			return err
		}
		there, err := takeEntries(r)
		if err != nil {
			return err
		}
		if _, err := r.Exec(); err != nil {
			return err
		}
		var checkpoint []byte
		if err := r.QueryRow().Scan(&checkpoint); err != nil {
			return err
		}
		for h, n := range subjects {
			before[h] = n.gaps
		}
		var problem *ledger.Problem
		fresh, problem, err = a.judge(checkpoint, func(row *row) (entry, bool) { e, ok := there[string(s.stored(row.key))]; return e, ok }, subjects, 0)
		if problem != nil {
			err = problem
		}
		if err != nil {
			return postgres.Final(err)
		}
		return nil
	}
	c.Write = func() *pgx.Batch { return s.writes(fresh, subjects, before) }
	return c
}

// entry is a row of memory_entry.
type entry struct {
	cohort bool
	value  []byte
}

func takeNumbers(r pgx.BatchResults, subjects map[[32]byte]*numbers) error {
	err := eachRow(r, func(rows pgx.Rows) error {
		var key, value []byte
		if err := rows.Scan(&key, &value); err != nil {
			return err
		}
		if len(key) != 32 || subjects[[32]byte(key)] == nil {
			return postgres.Final(errDamaged)
		}
		if len(value) == 0 {
			return nil // made to be locked
		}
		return subjects[[32]byte(key)].setLast(value)
	})
	if err != nil {
		return err
	}
	return eachRow(r, func(rows pgx.Rows) error {
		var key []byte
		var first, last, ticket int64
		if err := rows.Scan(&key, &first, &last, &ticket); err != nil {
			return err
		}
		n := subjects[[32]byte(key)]
		n.gaps = append(n.gaps, gap{uint32(first), uint32(last), uint64(ticket)})
		return nil
	})
}

func takeEntries(r pgx.BatchResults) (there map[string]entry, err error) {
	there = map[string]entry{}
	err = eachRow(r, func(rows pgx.Rows) error {
		var key []byte
		var e entry
		if err := rows.Scan(&key, &e.cohort, &e.value); err != nil {
			return err
		}
		there[string(key)] = e
		return nil
	})
	return there, err
}

// eachRow reads the answer to a statement of a batch.
func eachRow(r pgx.BatchResults, each func(pgx.Rows) error) error {
	rows, err := r.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// judge compares an answer with what was noted before, and returns the rows that are
// new. What the answer says is counted in subjects; a gap that it leaves gets the
// ticket.
func (a *answered) judge(checkpoint []byte, there func(*row) (entry, bool), subjects map[[32]byte]*numbers, ticket uint64) (fresh []*row, problem *ledger.Problem, err error) {
	if len(checkpoint) != 32+8 {
		return nil, nil, errDamaged
	}
	if !bytes.Equal(checkpoint[:32], a.checkpoint.head) {
		return nil, otherRoot(&a.checkpoint, checkpoint), nil
	}
	for i := range a.rows {
		r := &a.rows[i]
		old, ok := there(r)
		switch {
		case ok && old.cohort == r.cohort() && bytes.HasPrefix(old.value, r.head):
			continue // the same answer again
		case ok:
			problem = indexAgain(r.index)
		case !r.cohort():
			problem = subjects[r.subject].take(r.number, r.index, ticket)
		}
		if problem != nil {
			if a.call != nil {
				problem.Where = fmt.Sprintf("/entries/%d", i)
			}
			return nil, problem, nil
		}
		fresh = append(fresh, r)
	}
	return fresh, nil, nil
}

// writes are the statements for rows that are new. A gap that is new gets a ticket:
// calls that could have one of its numbers got theirs before.
func (s *shared) writes(fresh []*row, subjects map[[32]byte]*numbers, before map[[32]byte][]gap) *pgx.Batch {
	b := &pgx.Batch{}
	var keys, values, handles, last [][]byte
	cohort := false
	for _, r := range fresh {
		keys, values = append(keys, s.stored(r.key)), append(values, r.value)
		if cohort = r.cohort(); cohort {
			continue
		}
		n := subjects[r.subject]
		handles, last = append(handles, r.subject[:]), append(last, n.formatLast())
		for _, g := range without(before[r.subject], n.gaps) {
			b.Queue(`DELETE FROM memory_gap WHERE subject = $1 AND first = $2`, r.subject[:], int64(g.from))
		}
		for _, g := range without(n.gaps, before[r.subject]) {
			b.Queue(`INSERT INTO memory_gap (subject, first, last, ticket) VALUES ($1, $2, $3, CASE WHEN CAST($4 AS INT8) = 0 THEN nextval('memory_ticket') ELSE CAST($4 AS INT8) END)`,
				r.subject[:], int64(g.from), int64(g.to), int64(g.ticket))
		}
	}
	if len(handles) > 0 {
		b.Queue(`INSERT INTO memory_subject (key, value) SELECT k, v FROM `+pairs+` ON CONFLICT (key) DO UPDATE SET value = excluded.value`, handles, last)
	}
	if len(keys) > 0 {
		b.Queue(`INSERT INTO memory_entry (key, cohort, value) SELECT k, CAST($3 AS BOOL), v FROM `+pairs, keys, values, cohort)
	}
	return b
}
