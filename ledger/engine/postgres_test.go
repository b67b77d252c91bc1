// SPDX-License-Identifier: EUPL-1.2

package engine_test

import (
	"os"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/engine/enginetest"
	"github.com/traccia-ledger/traccia/ledger/postgres"
	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
	"github.com/traccia-ledger/traccia/ledger/store"
	"github.com/traccia-ledger/traccia/ledger/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func postgresFactory(s *pgtest.Server) func(*testing.T) storetest.Factory {
	return func(t *testing.T) storetest.Factory {
		a, err := postgres.ParseAddress(s.Database(t))
		if err != nil {
			t.Fatal(err)
		}
		return storetest.Factory{
			Open: func(t *testing.T) store.Store {
				s, err := postgres.Create(t.Context(), a, postgres.Options{Logger: quiet})
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			Reopen: func(t *testing.T, s store.Store) store.Store {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s, err := postgres.Open(t.Context(), a, postgres.Options{Logger: quiet})
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
		}
	}
}

// TestOnSQL runs the suites on databases.
func TestOnSQL(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode: the suites run on Pebble")
	}
	pgtest.Engines(t, func(t *testing.T, s *pgtest.Server) { enginetest.Run(t, postgresFactory(s)) })
}
