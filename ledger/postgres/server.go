// SPDX-License-Identifier: EUPL-1.2

package postgres

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// server is what answers at an address.
type server struct {
	cockroach bool
	version   string            // as it says it
	settings  map[string]string // of every session; PostgreSQL's alone
}

// recognise asks what the database is, and whether it keeps what it is given.
func recognise(ctx context.Context, a Address) (server, error) {
	var s server
	c, err := a.config()
	if err != nil {
		return s, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, c.ConnConfig)
	if err != nil {
		return s, said(err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, "SELECT version()").Scan(&s.version); err != nil {
		return s, said(err)
	}
	switch {
	case strings.HasPrefix(s.version, "CockroachDB "):
		s.cockroach = true
		return s, nil
	case !strings.HasPrefix(s.version, "PostgreSQL "):
		return s, fmt.Errorf("it says that it is %.40q: expected PostgreSQL or CockroachDB", s.version)
	}
	var fsync, synchronous string
	if err := conn.QueryRow(ctx, "SELECT current_setting('fsync'), current_setting('synchronous_commit')").Scan(&fsync, &synchronous); err != nil {
		return s, said(err)
	}
	if fsync != "on" {
		return s, fmt.Errorf("the database has fsync = %s: a power cut would take away what was acknowledged; set it to on", fsync)
	}
	s.settings = map[string]string{
		// Rows are found by their key and by nothing else, also right after a
		// table has grown: plans that were good for an empty one are not kept.
		"enable_seqscan":  "off",
		"plan_cache_mode": "force_custom_plan",
	}
	if synchronous == "off" {
		s.settings["synchronous_commit"] = "on"
	}
	return s, nil
}

// pool makes a pool of connections to the database. With idle, PostgreSQL gives
// up a transaction with which nobody goes on for so long: those of writers hold
// the row of use.
func (s server) pool(ctx context.Context, a Address, size int32, idle time.Duration) (*pgxpool.Pool, error) {
	c, err := a.config()
	if err != nil {
		return nil, err
	}
	c.MaxConns = size
	c.MinConns = 1
	maps.Copy(c.ConnConfig.RuntimeParams, s.settings)
	if idle > 0 && !s.cockroach {
		c.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = strconv.FormatInt(idle.Milliseconds(), 10)
	}
	pool, err := pgxpool.NewWithConfig(ctx, c)
	return pool, said(err)
}

func (s server) name() string {
	if s.cockroach {
		return "CockroachDB"
	}
	return "PostgreSQL"
}
