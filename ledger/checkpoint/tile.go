// SPDX-License-Identifier: EUPL-1.2

package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// TileWidth is the number of hashes in a full tile, and of leaves in a full entry bundle.
const TileWidth = 256

// EntryLevel is the Level of an entry bundle.
const EntryLevel = -1

// Tile names a tile or an entry bundle of a log (c2sp.org/tlog-tiles). Its path, under the log's prefix:
//
//	tile/0/x001/x234/067         the full tile 1234067 of level 0: hashes of leaves
//	tile/1/273.p/17              a partial tile, 17 hashes wide
//	tile/entries/x001/000.p/255  a partial entry bundle
type Tile struct {
	Level int    // 0 to 63, or EntryLevel
	Index uint64 // from the left; below 2^56
	Width int    // 1 to TileWidth
}

var errPath = errors.New("malformed tile path")

// Path returns the path of t.
func (t Tile) Path() string {
	n := fmt.Sprintf("%03d", t.Index%1000)
	for i := t.Index / 1000; i > 0; i /= 1000 {
		n = fmt.Sprintf("x%03d/%s", i%1000, n)
	}
	level := "entries"
	if t.Level != EntryLevel {
		level = strconv.Itoa(t.Level)
	}
	path := "tile/" + level + "/" + n
	if t.Width != TileWidth {
		path += ".p/" + strconv.Itoa(t.Width)
	}
	return path
}

// ParsePath is the inverse of Path. What it accepts has no other spelling.
func ParsePath(path string) (Tile, error) {
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok {
		return Tile{}, errPath
	}
	level, rest, _ := strings.Cut(rest, "/")
	t := Tile{Level: EntryLevel, Width: TileWidth}
	if level != "entries" {
		l, err := strconv.ParseUint(level, 10, 6) // 0 to 63
		if err != nil {
			return Tile{}, errPath
		}
		t.Level = int(l)
	}
	digits, width, partial := strings.Cut(rest, ".p/")
	if partial {
		w, err := strconv.ParseUint(width, 10, 8)
		if err != nil || w == 0 {
			return Tile{}, errPath
		}
		t.Width = int(w)
	}
	digits = strings.NewReplacer("x", "", "/", "").Replace(digits)
	n, err := strconv.ParseUint(digits, 10, 56)
	if err != nil {
		return Tile{}, errPath
	}
	t.Index = n
	if t.Path() != path {
		return Tile{}, errPath
	}
	return t, nil
}

// tileAt returns the tile of index n at a level of a log of size leaves, as wide as it is there; ok is false where the log
// has none.
func tileAt(level int, n, size uint64) (t Tile, ok bool) {
	size >>= 8 * max(level, 0)
	start := n * TileWidth
	if start >= size {
		return Tile{}, false
	}
	return Tile{Level: level, Index: n, Width: int(min(size-start, TileWidth))}, true
}

var errEntries = errors.New("malformed entry bundle")

// ParseEntries parses an entry bundle of width leaves, each as u16 length ‖ bytes. They are parts of b, not copies.
//
//	0003 0a0b0c  0001 ff
func ParseEntries(b []byte, width int) ([][]byte, error) {
	leaves := make([][]byte, 0, width)
	for range width {
		if len(b) < 2 {
			return nil, errEntries
		}
		n := 2 + int(binary.BigEndian.Uint16(b))
		if len(b) < n {
			return nil, errEntries
		}
		leaves = append(leaves, b[2:n:n])
		b = b[n:]
	}
	if len(b) != 0 {
		return nil, errEntries
	}
	return leaves, nil
}
