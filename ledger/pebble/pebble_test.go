// SPDX-License-Identifier: EUPL-1.2

package pebble_test

import (
	"log/slog"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/store"
	"github.com/traccia-ledger/traccia/ledger/store/storetest"
)

var quiet = slog.New(slog.DiscardHandler)

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Factory {
		dir := t.TempDir() + "/store"
		return storetest.Factory{
			Open: func(t *testing.T) store.Store {
				s, err := pebble.Create(dir, pebble.Options{Logger: quiet})
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			Reopen: func(t *testing.T, s store.Store) store.Store {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s, err := pebble.Open(dir, pebble.Options{Logger: quiet})
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
		}
	})
}
