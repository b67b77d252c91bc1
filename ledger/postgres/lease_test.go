// SPDX-License-Identifier: EUPL-1.2

package postgres

import (
	"errors"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// TestLease follows a store while others open it, leave it, and lose it.
func TestLease(t *testing.T) {
	pgtest.Engines(t, func(t *testing.T, server *pgtest.Server) {
		text := server.Database(t)
		s := mustCreate(t, text, nil)
		// As the version before left it.
		for _, sql := range []string{`DROP TABLE store_address`, `UPDATE store_format SET version = 1`} {
			if _, err := s.readers.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		f, err := Follow(t.Context(), address(t, text), Options{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		lease := func() Lease {
			t.Helper()
			l, err := f.Lease(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		if l := lease(); !l.Free || l.URL != "" {
			t.Errorf("a store that was left: %+v", l)
		}
		p := hasty()
		p.use = time.Hour
		open := func(url string) *Store {
			t.Helper()
			s, err := Open(t.Context(), address(t, text), Options{Logger: quiet, Holder: NewHolder(), URL: url, patience: p})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		first := open("https://one.example")
		if l := lease(); l.Free || l.URL != "https://one.example" || l.Holder != first.holder {
			t.Errorf("a store with a holder: %+v, expected %x", l, first.holder)
		}
		if err := add(t.Context(), first, 0); err != nil {
			t.Fatal(err)
		}
		holds(t, f, 1)
		if err := add(t.Context(), f, 1); !errors.Is(err, errReadOnly) {
			t.Errorf("a commit of who only follows: %v", err)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		if l := lease(); !l.Free {
			t.Errorf("a store that its holder left: %+v", l)
		}
		// A process of the version before says nothing: what stands there isn't its.
		silent := open("")
		if l := lease(); l.Free || l.URL != "" || l.Holder != silent.holder {
			t.Errorf("a holder without an address: %+v", l)
		}
		if err := silent.Close(); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if _, err := Open(t.Context(), address(t, text), Options{Logger: quiet}); errors.Is(err, store.ErrLocked) {
			t.Errorf("after all left: %v", err)
		}
	})
}
