// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/traccia-ledger/traccia/ledger/postgres"
)

// shared is what the gateways of one provider, its instances, remember together: the
// rows p, s, g, e, h, i, c, t and k in a PostgreSQL or CockroachDB of the provider's.
//
// Each instance has a row that it renews every two seconds; one that isn't renewed
// for eight is over, and another instance takes its calls. What must hold, whatever
// anybody's clock says:
//
//   - a call is in memory_call before the ledger hears of it, as its instance's;
//   - who acknowledges a call takes it out there, as its own. So of an instance that
//     stood still and one that took its calls over, one alone decides what comes of
//     a call: the other gets ErrTaken, and releases nothing;
//   - no call is added for an instance that is over;
//   - tickets of one sequence order calls and gaps: a number that an answer left out
//     was given to a call that had its ticket before. An instance's row says below
//     which ticket it has no call any more, and never says too much.
//
// Whatever is done here may be done twice: an answer of the database that got lost
// is asked for again.
type shared struct {
	keys   *keys
	db     *postgres.Database
	now    func() time.Time
	log    logger
	spread int

	ctx  context.Context // of the instance's own work
	stop func()
	work sync.WaitGroup

	mu      sync.Mutex
	id      [16]byte          // of this instance; zero of one that only looks; guarded by mu
	open    map[*Pending]bool // calls of this instance; guarded by mu
	orphans []*Pending        // calls that it took over, to be settled; guarded by mu
	known   uint64            // a ticket that was given out: later calls have greater ones; guarded by mu
	mark    uint64            // one that was given out before the present calls were counted; guarded by mu
	gone    [][]byte          // jti of calls that may have a row, and of which the ledger never heard; guarded by mu
	eldest  bool              // of the instances that are there; guarded by mu
}

// ErrTaken: another instance has taken a call over, since this one gave no sign of
// life. It finds out what became of it.
var ErrTaken = errors.New("another instance of the gateway has taken the call over")

// ErrUnavailable: the database doesn't answer. Nothing may be released.
var ErrUnavailable = errors.New("the gateways' database doesn't answer")

const (
	renewPause    = 2 * time.Second
	instanceLife  = 8 * time.Second  // without a word
	sharedPause   = 10 * time.Second // for the database, all in all
	lateAfter     = time.Minute      // longer than a call waits for the ledger
	layoutVersion = 1
	layoutNeeds   = 1
	// cockroachSpread is into how many ranges rows are spread whose keys ascend, where
	// one range takes all writes of its keys.
	cockroachSpread = 16
)

//go:embed migrations/0001_begin.sql
var begin string

// sign tells this memory's database from another's, and its key from a wrong one.
func (k *keys) sign() []byte {
	sign := k.handle("memory-database", k.scope, k.ledger)
	return sign[:]
}

// openShared opens what instances share, which createShared made.
func openShared(ctx context.Context, k *keys, o Options) (*shared, error) {
	db, err := postgres.OpenDatabase(ctx, *o.Database, sharedPause, o.Logger)
	if err != nil {
		return nil, err
	}
	s := &shared{keys: k, db: db, now: o.Now, log: logger{o.Logger}, open: map[*Pending]bool{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	err = s.readFormat(ctx)
	if err == nil && !o.Look {
		if err = s.join(ctx); err == nil {
			err = s.renew(ctx)
		}
	}
	if err != nil {
		s.stop()
		db.Close()
		return nil, err
	}
	if !o.Look {
		s.work.Go(s.keep)
	}
	return s, nil
}

// createShared makes the tables in a database that holds no ledger and no other
// memory, or, if it isn't the first instance's, finds them there. A spread of 0 is
// what the engine wants.
func createShared(ctx context.Context, k *keys, o Options, spread int, first bool) error {
	db, err := postgres.OpenDatabase(ctx, *o.Database, sharedPause, o.Logger)
	if err != nil {
		return err
	}
	defer db.Close()
	ledgers, err := db.HasLedger(ctx)
	if err != nil {
		return err
	}
	if ledgers {
		return fmt.Errorf("%s is a ledger's database: a provider's memory is out of the ledger's reach, in a database of the provider's own", o.Database)
	}
	s := &shared{keys: k, db: db}
	if !first {
		return s.readFormat(ctx)
	}
	if spread == 0 && db.IsCockroach() {
		spread = cockroachSpread
	}
	if err := db.Define(ctx, strings.Split(strings.TrimSpace(begin), ";\n")...); err != nil {
		return err
	}
	err = db.Persist(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		const insert = `INSERT INTO memory_format (one, version, needs, spread, sign) VALUES (1, $1, $2, $3, $4) ON CONFLICT (one) DO NOTHING`
		_, err := pool.Exec(ctx, insert, layoutVersion, layoutNeeds, spread, k.sign())
		return err
	})
	if err != nil {
		return err
	}
	return s.readFormat(ctx)
}

// readFormat reads the layout, and refuses a database that isn't this memory's.
func (s *shared) readFormat(ctx context.Context) error {
	var version, needs int
	var sign []byte
	err := s.db.Persist(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		return pool.QueryRow(ctx, `SELECT version, needs, spread, sign FROM memory_format WHERE one = 1`).Scan(&version, &needs, &s.spread, &sign)
	})
	switch {
	case postgres.IsUndefined(err), errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("there is no memory in the database: %w", fs.ErrNotExist)
	case err != nil:
		return err
	case needs > layoutVersion:
		return fmt.Errorf("the database's layout %d needs a version that knows %d, this one knows %d: install the newer version", version, needs, layoutVersion)
	case !hmac.Equal(sign, s.keys.sign()):
		return fmt.Errorf("the database holds the memory of another key, body or ledger than %s: every instance has the same file", keyFile)
	case s.spread < 0 || s.spread > 128:
		return errDamaged
	}
	return nil
}

// unavailable says of the database's errors that they are.
func unavailable(what string, err error) error {
	if err == nil || errors.Is(err, ErrTaken) {
		return err
	}
	return fmt.Errorf("couldn't %s: %w: %w", what, ErrUnavailable, err)
}

// persist runs f until it succeeds, or the database's time is over.
func (s *shared) persist(f func(context.Context, *pgxpool.Pool) error) error {
	return s.db.Persist(context.Background(), f)
}

// join makes this process an instance, under a name that nobody had.
func (s *shared) join(ctx context.Context) error {
	var id [16]byte
	rand.Read(id[:])
	var ticket int64
	err := s.db.Persist(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		const insert = `INSERT INTO memory_instance (id, who, joined, oldest, late, until)
			VALUES ($1, $2, nextval('memory_ticket'), 0, 0, now() + CAST($3 AS FLOAT8) * INTERVAL '1 second')
			ON CONFLICT (id) DO UPDATE SET until = excluded.until RETURNING joined`
		return pool.QueryRow(ctx, insert, id[:], postgres.WhoAmI(), instanceLife.Seconds()).Scan(&ticket)
	})
	if err != nil {
		return fmt.Errorf("couldn't join the instances of the gateway: %w", err)
	}
	s.mu.Lock()
	s.id, s.known, s.mark = id, max(s.known, uint64(ticket)), uint64(ticket)
	s.mu.Unlock()
	return nil
}

// keep renews the instance's row until it is closed.
func (s *shared) keep() {
	tick := time.NewTicker(renewPause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
		if err := s.renew(s.ctx); err != nil && s.ctx.Err() == nil {
			s.log.log.Warn("the gateways' database doesn't answer", "error", err)
		}
	}
}

// neighbour is another instance.
type neighbour struct {
	id   []byte
	who  string
	over bool // it gave no sign of life
}

// renew says that the instance is there and which calls it has, and takes over those
// of instances that are over.
func (s *shared) renew(ctx context.Context) error {
	for {
		id, oldest, _, late := s.own()
		s.mu.Lock()
		gone := s.gone
		s.mu.Unlock()
		var there bool
		var ticket, joined int64
		var others []neighbour
		var eldest bool
		err := s.db.Persist(ctx, func(ctx context.Context, pool *pgxpool.Pool) (err error) {
			there, others, eldest = false, nil, true
			b := &pgx.Batch{}
			b.Queue(`UPDATE memory_instance SET oldest = $2, late = $3, until = now() + CAST($4 AS FLOAT8) * INTERVAL '1 second' WHERE id = $1 RETURNING joined`,
				id[:], int64(oldest), late, instanceLife.Seconds())
			b.Queue(`SELECT nextval('memory_ticket')`)
			b.Queue(`SELECT id, who, joined, until < now() FROM memory_instance WHERE id <> $1`, id[:])
			b.Queue(`DELETE FROM memory_call WHERE instance = $1 AND jti = ANY($2)`, id[:], gone)
			r := pool.SendBatch(ctx, b)
			defer func() { err = errors.Join(err, r.Close()) }()
			if err := r.QueryRow().Scan(&joined); err == nil {
				there = true
			} else if !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
			if err := r.QueryRow().Scan(&ticket); err != nil {
				return err
			}
			rows, err := r.Query()
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var n neighbour
				var since int64
				if err := rows.Scan(&n.id, &n.who, &since, &n.over); err != nil {
					return err
				}
				n.over = n.over || postgres.IsDead(n.who)
				eldest = eldest && (n.over || since > joined)
				others = append(others, n)
			}
			return rows.Err()
		})
		if err != nil {
			return err
		}
		if !there {
			// Its calls are another's by now. Those to come are of a new instance.
			s.log.log.Warn("another instance has taken this one's calls over: nothing is released on those under way")
			if err := s.join(ctx); err != nil {
				return err
			}
			continue
		}
		s.mu.Lock()
		s.known, s.mark, s.eldest, s.gone = max(s.known, uint64(ticket)), max(s.mark, uint64(ticket)), eldest, s.gone[len(gone):]
		s.mu.Unlock()
		for _, n := range others {
			if !n.over {
				continue
			}
			if err := s.takeOver(ctx, id, n); err != nil {
				return err
			}
		}
		return nil
	}
}

// own is what the instance's row says of its calls: the ticket below which there is
// none any more, how many there are, and how many that nobody waits for.
func (s *shared) own() (id [16]byte, oldest uint64, calls, late int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest = s.mark
	for p := range s.open {
		oldest = min(oldest, p.ticket)
		if p.jti == ([16]byte{}) {
			continue // takeOver's
		}
		calls++
		if s.now().Sub(p.began) > lateAfter {
			late++
		}
	}
	return s.id, oldest, calls, late
}

// takeOver makes the calls of an instance that is over this one's.
func (s *shared) takeOver(ctx context.Context, id [16]byte, from neighbour) error {
	// Until it is known which calls they are, none is too old to be among them.
	block := new(Pending)
	s.mu.Lock()
	s.open[block] = true
	s.mu.Unlock()
	defer s.settled(block)
	dead := postgres.IsDead(from.who)
	err := s.db.Persist(ctx, func(ctx context.Context, _ *pgxpool.Pool) error {
		return s.db.Transact(ctx, func() *postgres.Change {
			c := &postgres.Change{Read: &pgx.Batch{}}
			over := false
			c.Read.Queue(`SELECT id FROM memory_instance WHERE id = $1 AND (until < now() OR CAST($2 AS BOOL)) FOR UPDATE`, from.id, dead)
			c.Took = func(r pgx.BatchResults) error {
				rows, err := r.Query()
				if err != nil {
					return err
				}
				over = rows.Next()
				rows.Close()
				return rows.Err()
			}
			c.Write = func() *pgx.Batch {
				b := &pgx.Batch{}
				if over {
					b.Queue(`UPDATE memory_instance SET oldest = 0 WHERE id = $1`, id[:])
					// A statement that both noted is one call.
					b.Queue(`UPDATE memory_call AS y SET ticket = LEAST(y.ticket, x.ticket) FROM memory_call AS x WHERE y.instance = $1 AND x.instance = $2 AND x.jti = y.jti`, id[:], from.id)
					b.Queue(`DELETE FROM memory_call WHERE instance = $2 AND jti IN (SELECT jti FROM memory_call WHERE instance = $1)`, id[:], from.id)
					b.Queue(`UPDATE memory_call SET instance = $1 WHERE instance = $2`, id[:], from.id)
					b.Queue(`DELETE FROM memory_instance WHERE id = $1`, from.id)
				}
				return b
			}
			return c
		})
	})
	if err != nil {
		return err
	}
	return s.adopt(ctx, id)
}

// adopt finds the instance's calls that it doesn't know.
func (s *shared) adopt(ctx context.Context, id [16]byte) error {
	var found []*Pending
	err := s.db.Persist(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		found = nil
		rows, err := pool.Query(ctx, `SELECT jti, ticket, spooled FROM memory_call WHERE instance = $1`, id[:])
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var jti []byte
			var ticket int64
			p := &Pending{owner: id}
			if err := rows.Scan(&jti, &ticket, &p.released); err != nil {
				return err
			}
			if len(jti) != len(p.jti) {
				return postgres.Final(errDamaged)
			}
			p.jti, p.ticket, p.key = [16]byte(jti), uint64(ticket), append([]byte{'p'}, jti...)
			found = append(found, p)
		}
		return rows.Err()
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := map[[16]byte]*Pending{}
	for p := range s.open {
		if p.owner == id {
			mine[p.jti] = p
		}
	}
	for _, p := range found {
		if own := mine[p.jti]; own != nil {
			own.ticket = min(own.ticket, p.ticket)
			continue
		}
		s.open[p] = true
		s.orphans = append(s.orphans, p)
	}
	if n := len(s.orphans); n > 0 {
		s.log.log.Info("calls of an instance that is over are found out about", "calls", n)
	}
	return nil
}

func (s *shared) settled(p *Pending) {
	s.mu.Lock()
	delete(s.open, p)
	s.mu.Unlock()
}

// close leaves the instance's calls to others.
func (s *shared) close() error {
	s.stop()
	s.work.Wait()
	defer s.db.Close()
	id, oldest, _, late := s.own()
	if id == ([16]byte{}) {
		return nil
	}
	err := s.persist(func(ctx context.Context, pool *pgxpool.Pool) error {
		b := &pgx.Batch{}
		b.Queue(`UPDATE memory_instance SET oldest = $2, late = $3, until = now() - INTERVAL '1 second' WHERE id = $1`, id[:], int64(oldest), late)
		b.Queue(`DELETE FROM memory_instance WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM memory_call WHERE instance = $1)`, id[:])
		return pool.SendBatch(ctx, b).Close()
	})
	return unavailable("leave the instances of the gateway", err)
}
