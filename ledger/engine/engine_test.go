// SPDX-License-Identifier: EUPL-1.2

package engine_test

import (
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/traccia-ledger/traccia/ledger/engine/enginetest"
	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/store"
	"github.com/traccia-ledger/traccia/ledger/store/storetest"
)

var quiet = slog.New(slog.DiscardHandler)

// pebbleFactory keeps its stores in memory.
func pebbleFactory(*testing.T) storetest.Factory {
	o := pebble.Options{FS: vfs.NewMem(), Logger: quiet}
	return storetest.Factory{
		Open: func(t *testing.T) store.Store {
			s, err := pebble.Create("/store", o)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Reopen: func(t *testing.T, s store.Store) store.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s, err := pebble.Open("/store", o)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	}
}

func TestOnPebble(t *testing.T) { enginetest.Run(t, pebbleFactory) }
