// SPDX-License-Identifier: EUPL-1.2

package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/traccia-ledger/traccia/ledger/store"
)

// The one row of store_use says who may commit:
//
//	holder   16 random bytes, of one opening of the store
//	who      "host/pid/process/namespace", for people and for isDead
//	commits  how many this holder has done
//	until    when the store is anybody's, by the database's clock
//
// Each commit writes it in its own transaction, so that of two processes that
// both believe to hold the store one fails; and it tells the outcome of a commit
// whose answer got lost: it is counted or it isn't. Who asks for the row waits
// until the transaction in question has ended.
const (
	selectUse = `SELECT holder, who, commits, until > now() FROM store_use WHERE one = 1 FOR UPDATE`
	takeUse   = `UPDATE store_use SET holder = $1, who = $2, commits = 0, until = now() + CAST($3 AS FLOAT8) * INTERVAL '1 second' WHERE one = 1`
	renewUse  = `UPDATE store_use SET until = now() + CAST($2 AS FLOAT8) * INTERVAL '1 second' WHERE one = 1 AND holder = $1`
	countUse  = `UPDATE store_use SET commits = $2, until = now() + CAST($3 AS FLOAT8) * INTERVAL '1 second' WHERE one = 1 AND holder = $1 AND commits = $4`
	leaveUse  = `UPDATE store_use SET until = now() WHERE one = 1 AND holder = $1`
)

var (
	// errReplaced: another process took the store over. Nothing was written.
	errReplaced = fmt.Errorf("%w: another process took the store over", store.ErrStopped)
	// errForgot: the row of use is ours and counts fewer commits than were
	// acknowledged. Nothing was written.
	errForgot = fmt.Errorf("%w: the database has lost commits that it had acknowledged (was a replica promoted that lagged behind?)", store.ErrStopped)
)

type use struct {
	holder  []byte
	who     string
	commits int64
	live    bool
}

func readUse(ctx context.Context, tx pgx.Tx) (u use, err error) {
	err = tx.QueryRow(ctx, selectUse).Scan(&u.holder, &u.who, &u.commits, &u.live)
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("%w: store_use has no row", store.ErrDamaged)
	}
	return u, err
}

// take makes the store ours, or says who has it.
func (s *Store) take(ctx context.Context) error {
	err := s.persist(ctx, 0, func(ctx context.Context) error {
		return s.transact(ctx, s.writers, func(tx pgx.Tx) error {
			u, err := readUse(ctx, tx)
			if err != nil {
				return err
			}
			switch {
			case bytes.Equal(u.holder, s.holder[:]):
				return nil // done by an attempt whose answer got lost
			case u.live && !isDead(u.who):
				return fmt.Errorf("%w: by %s; stop it, or wait %.0f seconds if it is gone", store.ErrLocked, forPeople(u.who), s.patience.use.Seconds())
			}
			_, err = tx.Exec(ctx, takeUse, s.holder[:], whoAmI(), s.patience.use.Seconds())
			return err
		})
	})
	if err != nil {
		return err
	}
	ctx, s.stop = context.WithCancel(context.Background())
	s.renewed.Go(func() { s.keep(ctx) })
	return nil
}

// keep says again and again that the store is ours, until ctx ends.
func (s *Store) keep(ctx context.Context) {
	tick := time.NewTicker(s.patience.renew)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		select {
		case s.turn <- struct{}{}:
		case <-ctx.Done():
			return
		}
		err := s.renew(ctx)
		<-s.turn
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errReplaced):
			s.log.Error("the store was taken over by another process: this one writes nothing more", "store", s.address.String())
			return
		case err != nil:
			s.log.Warn("the database doesn't answer", "store", s.address.String(), "err", err)
		}
	}
}

// renew needs the turn.
func (s *Store) renew(ctx context.Context) error {
	if s.Stopped() != nil {
		return nil
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.patience.attempt)
	defer cancel()
	tag, err := s.writers.Exec(ctx, renewUse, s.holder[:], s.patience.use.Seconds())
	s.heard(begun, err)
	if err == nil && tag.RowsAffected() == 0 {
		s.stopped.Store(&errReplaced)
		return errReplaced
	}
	return said(err)
}

// heard notes whether the database answered an attempt to write that began then.
func (s *Store) heard(begun time.Time, err error) {
	if isSilent(err) {
		s.away.CompareAndSwap(0, begun.UnixNano())
		return
	}
	s.away.Store(0)
}

// Away returns since when the database answers nobody who writes; the zero time
// while it does. An idle store asks every two seconds.
func (s *Store) Away() time.Time {
	ns := s.away.Load()
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

// Stopped returns why nothing is committed any more, nil while it is. An idle store that another process took over knows
// within two seconds.
func (s *Store) Stopped() error {
	if why := s.stopped.Load(); why != nil {
		return *why
	}
	return nil
}

// whyRefused tells why the row of use didn't let the n-th commit through.
func (s *Store) whyRefused(ctx context.Context, n int64) error {
	reason := errReplaced
	err := s.persist(ctx, 0, func(ctx context.Context) error {
		return s.transact(ctx, s.writers, func(tx pgx.Tx) error {
			u, err := readUse(ctx, tx)
			if err == nil && bytes.Equal(u.holder, s.holder[:]) && u.commits != n-1 {
				reason = errForgot
			}
			return err
		})
	})
	return errors.Join(reason, err)
}

// leave makes the store anybody's, if it is ours.
func (s *Store) leave(ctx context.Context) error {
	if s.layout.version == 0 || s.follows {
		return nil // never opened, or another's
	}
	if _, err := s.writers.Exec(ctx, leaveUse, s.holder[:]); err != nil {
		return fmt.Errorf("couldn't leave the store to others, they wait %.0f seconds: %w", s.patience.use.Seconds(), said(err))
	}
	return nil
}

// process tells this process from an earlier one of the same number.
var process = sync.OnceValue(func() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
})

// WhoAmI names this process to others of this machine that share a database: for
// IsDead.
func WhoAmI() string { return whoAmI() }

// IsDead says whether a name is of a process of this machine that is no more. False of
// those in other containers: their numbers mean other processes.
func IsDead(who string) bool { return isDead(who) }

func whoAmI() string {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return strings.ReplaceAll(host, "/", "_") + "/" + strconv.Itoa(os.Getpid()) + "/" + process() + "/" + namespace()
}

// namespace is where this process's number is its own: the machine since it was
// started, and the namespace of numbers on it. "" where that can't be told.
var namespace = sync.OnceValue(func() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	numbers, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + "." + numbers
})

func forPeople(who string) string {
	parts := strings.Split(who, "/")
	if len(parts) < 3 {
		return "another process"
	}
	return fmt.Sprintf("process %s on %s", parts[1], parts[0])
}

// isDead says whether a holder was a process of this machine that is no more.
// When it is wrong the other is replaced while it lives, which harms no row.
func isDead(who string) bool {
	theirs, ours := strings.Split(who, "/"), strings.Split(whoAmI(), "/")
	if len(theirs) != 4 || theirs[0] == "" || theirs[0] != ours[0] || theirs[2] == ours[2] || theirs[3] == "" || theirs[3] != ours[3] {
		return false
	}
	if theirs[1] == ours[1] {
		return true // its number is ours now
	}
	pid, err := strconv.Atoi(theirs[1])
	return err == nil && pid > 0 && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
