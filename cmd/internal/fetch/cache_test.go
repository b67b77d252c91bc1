// SPDX-License-Identifier: EUPL-1.2

package fetch

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

// counted is a log that counts what is fetched of it.
type counted struct {
	*verifiertest.Shard
	fetched []string
}

func (c *counted) Fetch(ctx context.Context, path string) ([]byte, error) {
	c.fetched = append(c.fetched, path)
	return c.Shard.Fetch(ctx, path)
}

// TestCache: full tiles are fetched once, what grows each time, and what a crash left of a tile isn't taken for one.
func TestCache(t *testing.T) {
	log := &counted{Shard: verifiertest.UsualShard("registro.example/2026", 0)}
	log.Event(600)
	dir := filepath.Join(t.TempDir(), "2026")
	cache, err := NewCache(dir, log)
	if err != nil {
		t.Fatal(err)
	}
	full, part := (checkpoint.Tile{Level: checkpoint.EntryLevel, Index: 1, Width: 256}).Path(), (checkpoint.Tile{Level: checkpoint.EntryLevel, Index: 2, Width: 90}).Path()
	hashes := (checkpoint.Tile{Level: 0, Index: 0, Width: 256}).Path()
	fetch := func(want int, paths ...string) {
		t.Helper()
		log.fetched = nil
		for _, path := range paths {
			got, err := cache.Fetch(t.Context(), path)
			should, wrong := log.Shard.Fetch(t.Context(), path)
			if err != nil || wrong != nil || !bytes.Equal(got, should) {
				t.Errorf("%s: %v, %v", path, err, wrong)
			}
		}
		if len(log.fetched) != want {
			t.Errorf("fetched %v, want %d", log.fetched, want)
		}
	}
	fetch(4, full, hashes, part, "checkpoint")
	fetch(2, full, hashes, part, "checkpoint")
	for _, path := range []string{full, hashes} {
		file := filepath.Join(dir, filepath.FromSlash(path))
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data[:len(data)-1], 0o644); err != nil {
			t.Fatal(err)
		}
		fetch(1, path)
		fetch(0, path)
	}
	if _, err := cache.Fetch(t.Context(), (checkpoint.Tile{Level: checkpoint.EntryLevel, Index: 9, Width: 256}).Path()); err == nil {
		t.Error("a tile that the log doesn't have")
	}
}
