// SPDX-License-Identifier: EUPL-1.2

package postgres

import (
	"log/slog"
	"os"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
	"github.com/traccia-ledger/traccia/ledger/store"
	"github.com/traccia-ledger/traccia/ledger/store/storetest"
)

var quiet = slog.New(slog.DiscardHandler)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func address(t testing.TB, text string) Address {
	t.Helper()
	a, err := ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// factory makes stores on a server, their keys spread or not.
func factory(s *pgtest.Server, spread int) func(t *testing.T) storetest.Factory {
	return func(t *testing.T) storetest.Factory {
		a := address(t, s.Database(t))
		return storetest.Factory{
			Open: func(t *testing.T) store.Store {
				s, err := Create(t.Context(), a, Options{Logger: quiet, spread: spread})
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			Reopen: func(t *testing.T, s store.Store) store.Store {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s, err := Open(t.Context(), a, Options{Logger: quiet})
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
		}
	}
}

func TestContract(t *testing.T) {
	pgtest.Engines(t, func(t *testing.T, s *pgtest.Server) { storetest.Run(t, factory(s, 0)) })
}

// TestContractSpread has the keys as CockroachDB has them, for which PostgreSQL
// does as well.
func TestContractSpread(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode: the suite once more")
	}
	storetest.Run(t, factory(pgtest.Postgres(t), cockroachSpread))
}
