// SPDX-License-Identifier: EUPL-1.2

package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/traccia-ledger/traccia/ledger/store"
)

// Holder names one opening of a store, at random. Who knows it could read the
// database.
type Holder [16]byte

// NewHolder returns a name that nobody has.
func NewHolder() Holder {
	var h Holder
	rand.Read(h[:])
	return h
}

// Lease is who may commit, as store_use and store_address say.
type Lease struct {
	Holder Holder
	Who    string // machine and process, for people
	URL    string // where its process takes requests; "" where it doesn't say
	Free   bool   // the store is anybody's: it was left, time is over, or the process died on this machine
}

const (
	selectLease = `SELECT u.holder, u.who, u.until > now(), COALESCE(a.url, '') FROM store_use u LEFT JOIN store_address a ON a.holder = u.holder WHERE u.one = 1`
	// Of a database that the version before made.
	selectLease1 = `SELECT holder, who, until > now(), '' FROM store_use WHERE one = 1`

	advertise = `INSERT INTO store_address (one, holder, url) VALUES (1, $1, $2) ON CONFLICT (one) DO UPDATE SET holder = excluded.holder, url = excluded.url`
)

// followPatience is how long who follows waits for a connection: others may answer meanwhile.
const followPatience = 10 * time.Second

// Follow opens the store only to be read, beside the process that has it: it
// takes nothing, changes nothing, and shows what is committed by anyone. Errors
// are those of Open, but never store.ErrLocked.
func Follow(ctx context.Context, a Address, o Options) (*Store, error) {
	o.readOnly = true
	s, err := connect(ctx, a, o)
	if err != nil {
		return nil, fmt.Errorf("couldn't follow the store in %s: %w", a, err)
	}
	s.follows = true
	s.patience.begin = min(s.patience.begin, followPatience)
	if err := s.knowLayout(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("couldn't follow the store in %s: %w", a, err), s.Close())
	}
	return s, nil
}

// Lease reads who may commit now.
func (s *Store) Lease(ctx context.Context) (l Lease, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience.attempt)
	defer cancel()
	read := func(sql string) error {
		var holder []byte
		var live bool
		if err := s.writers.QueryRow(ctx, sql).Scan(&holder, &l.Who, &live, &l.URL); err != nil {
			return err
		}
		copy(l.Holder[:], holder)
		l.Free = !live || isDead(l.Who)
		l.Who = forPeople(l.Who)
		return nil
	}
	err = read(selectLease)
	if code(err) == codeUndefinedTable {
		err = read(selectLease1)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return l, fmt.Errorf("%w: store_use has no row", store.ErrDamaged)
	}
	return l, said(err)
}

// advertise says where this process takes requests. A process that loses the
// store meanwhile writes a line about a holder that nobody looks for.
func (s *Store) advertise(ctx context.Context) error {
	if s.url == "" {
		return nil
	}
	return s.define(ctx, advertise, s.holder[:], s.url)
}
