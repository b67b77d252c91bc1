// SPDX-License-Identifier: EUPL-1.2

// Package place opens the store of a ledger where it is: in a directory
// (ledger/pebble) or in a database (ledger/postgres). It also copies a store
// from the one kind to the other, row by row: what a store holds doesn't depend
// on where it is.
package place

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/postgres"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// Place is where a store is.
type Place struct {
	dir      string // "" for a database
	database postgres.Address
	claim    Claim
}

// Claim is as whom a process of several opens a store in a database.
type Claim struct {
	Holder postgres.Holder
	URL    string // where the others reach it
}

// As returns the place for Open by a process of several.
func (p Place) As(c Claim) Place {
	p.claim = c
	return p
}

// Follow opens the store of a database only to be read, beside the process that
// has it.
func (p Place) Follow(ctx context.Context, log *slog.Logger) (*postgres.Store, error) {
	if p.dir != "" {
		return nil, fmt.Errorf("%s is a directory: several processes need a database (ledgerd migrate --to postgres://…)", p.dir)
	}
	return postgres.Follow(ctx, p.database, postgres.Options{Logger: log})
}

// Parse reads a place: the URL of a database, or a directory, which is within
// base unless it is absolute. Errors quote nothing of a URL.
func Parse(text, base string) (Place, error) {
	if !postgres.IsAddress(text) {
		if text == "" {
			return Place{}, errors.New("expected a directory, postgres://… or cockroach://…, found nothing")
		}
		if !filepath.IsAbs(text) {
			text = filepath.Join(base, text)
		}
		return Place{dir: filepath.Clean(text)}, nil
	}
	a, err := postgres.ParseAddress(text)
	if err != nil {
		return Place{}, fmt.Errorf("the database's URL: %w", err)
	}
	return Place{database: a}, nil
}

// String shows where it is, without secrets.
func (p Place) String() string {
	if p.dir != "" {
		return p.dir
	}
	return p.database.String()
}

// Dir returns the directory that it is, "" for a database.
func (p Place) Dir() string { return p.dir }

// Create makes an empty store. Its error wraps fs.ErrExist where there is one.
func (p Place) Create(ctx context.Context, log *slog.Logger) (store.Store, error) {
	if p.dir != "" {
		return opened(pebble.Create(p.dir, pebble.Options{Logger: log}))
	}
	return opened(postgres.Create(ctx, p.database, postgres.Options{Logger: log}))
}

// Open opens the store that Create made.
func (p Place) Open(ctx context.Context, log *slog.Logger) (store.Store, error) {
	if p.dir != "" {
		return opened(pebble.Open(p.dir, pebble.Options{Logger: log}))
	}
	return opened(postgres.Open(ctx, p.database, postgres.Options{Logger: log, Holder: p.claim.Holder, URL: p.claim.URL}))
}

// OpenReadOnly opens a store only to be read; nobody writes it meanwhile.
func (p Place) OpenReadOnly(ctx context.Context, log *slog.Logger) (store.Store, error) {
	if p.dir != "" {
		return opened(pebble.OpenReadOnly(p.dir, pebble.Options{Logger: log}))
	}
	return opened(postgres.OpenReadOnly(ctx, p.database, postgres.Options{Logger: log}))
}

// opened keeps a nil pointer from becoming a store.
func opened[S store.Store](s S, err error) (store.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Backup copies an open store to a new directory, as it is at this moment, while
// it goes on being used. The copy is a store of ledger/pebble.
func Backup(ctx context.Context, s store.Store, dir string, log *slog.Logger) error {
	if s, ok := s.(interface {
		Checkpoint(ctx context.Context, dir string) error
	}); ok {
		return s.Checkpoint(ctx, dir)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("couldn't copy the store: %s: %w", dir, errors.Join(err, fs.ErrExist))
	}
	snap, err := s.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("couldn't copy the store: %w", err)
	}
	defer snap.Close()
	to, err := pebble.Create(dir, pebble.Options{Logger: log})
	if err != nil {
		return fmt.Errorf("couldn't copy the store: %w", err)
	}
	if _, err := Copy(ctx, snap, to, nil); err != nil {
		return errors.Join(err, to.Close())
	}
	return to.Close()
}
