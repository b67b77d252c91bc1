// SPDX-License-Identifier: EUPL-1.2

package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

// Cache keeps a log's full tiles in a directory, laid out as the log serves
// them: they never change. What it gives is as little trusted as what it
// fetched; a reader that finds the tiles wrong needs another directory.
type Cache struct {
	dir  string
	from checkpoint.Fetcher
}

// NewCache returns a cache in a directory, which it makes.
func NewCache(dir string, from checkpoint.Fetcher) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("couldn't make the directory of tiles: %w", err)
	}
	return &Cache{dir, from}, nil
}

// Fetch returns what is at path, from the directory if it was fetched before.
func (c *Cache) Fetch(ctx context.Context, path string) ([]byte, error) {
	t, err := checkpoint.ParsePath(path)
	if err != nil || t.Width != checkpoint.TileWidth {
		return c.from.Fetch(ctx, path)
	}
	file := filepath.Join(c.dir, filepath.FromSlash(path))
	data, err := os.ReadFile(file)
	if err == nil && whole(t, data) {
		return data, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("couldn't read a tile: %w", err)
	}
	if data, err = c.from.Fetch(ctx, path); err != nil {
		return nil, err
	}
	return data, c.keep(file, data)
}

// whole tells a tile from what a crash left of one.
func whole(t checkpoint.Tile, data []byte) bool {
	if t.Level != checkpoint.EntryLevel {
		return len(data) == maxTile
	}
	_, err := checkpoint.ParseEntries(data, checkpoint.TileWidth)
	return err == nil
}

// keep isn't durable: what a crash takes is fetched again.
func (c *Cache) keep(file string, data []byte) error {
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	temp := file + ".new"
	if err == nil {
		err = os.WriteFile(temp, data, 0o644)
	}
	if err == nil {
		err = os.Rename(temp, file)
	}
	if err != nil {
		return fmt.Errorf("couldn't keep a tile: %w", err)
	}
	return nil
}
