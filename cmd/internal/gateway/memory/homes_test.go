// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger/postgres"
	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
)

// home is where a memory is.
type home struct {
	dir string
	o   Options
}

func (h home) open(t *testing.T) *Memory {
	t.Helper()
	h.o.Logger = quiet
	m, err := Open(h.dir, scope, name, h.o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func (h home) at(now func() time.Time) home {
	h.o.Now = now
	return h
}

// homes runs a test on a memory of one gateway alone, and on one that instances share
// in each database, with rows spread as CockroachDB has them.
func homes(t *testing.T, run func(t *testing.T, at func() home)) {
	t.Run("alone", func(t *testing.T) {
		run(t, func() home { return home{dir: create(t)} })
	})
	pgtest.Engines(t, func(t *testing.T, s *pgtest.Server) {
		run(t, func() home { return instance(t, s.Database(t), "", 3) })
	})
}

// instance makes the memory of an instance; the first one has no key yet.
func instance(t *testing.T, address, key string, spread int) home {
	t.Helper()
	a, err := postgres.ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	h := home{filepath.Join(t.TempDir(), "memory"), Options{Database: &a, Logger: quiet}}
	if err := createInstance(t.Context(), h.dir, scope, name, key, h.o, spread); err != nil {
		t.Fatal(err)
	}
	return h
}
