// SPDX-License-Identifier: EUPL-1.2

package checkpoint_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

func TestPath(t *testing.T) {
	for path, want := range map[string]checkpoint.Tile{
		"tile/0/000":                                {Level: 0, Index: 0, Width: 256},
		"tile/0/x001/x234/067":                      {Level: 0, Index: 1234067, Width: 256},
		"tile/0/x001/x234/067.p/1":                  {Level: 0, Index: 1234067, Width: 1},
		"tile/1/273.p/17":                           {Level: 1, Index: 273, Width: 17},
		"tile/63/999.p/255":                         {Level: 63, Index: 999, Width: 255},
		"tile/entries/x001/000":                     {Level: checkpoint.EntryLevel, Index: 1000, Width: 256},
		"tile/entries/x001/000.p/255":               {Level: checkpoint.EntryLevel, Index: 1000, Width: 255},
		"tile/2/x072/x057/x594/x037/x927/935.p/255": {Level: 2, Index: 1<<56 - 1, Width: 255},
	} {
		if got := want.Path(); got != path {
			t.Errorf("Path = %s, want %s", got, path)
		}
		if got, err := checkpoint.ParsePath(path); err != nil || got != want {
			t.Errorf("ParsePath(%s) = %v, %v, want %v", path, got, err, want)
		}
	}
	for _, path := range []string{
		"", "tile", "tile/", "tile/0", "tile/0/", "/tile/0/000", "tile/0/000/", "tile//000", "tile/0//000", "tile/0/0", "tile/0/00",
		"tile/0/0000", "tile/0/x000", "tile/0/x000/001", "tile/0/001/000", "tile/0/x1/000", "tile/0/X001/000", "tile/0/x001/x000",
		"tile/0/x001/../000", "tile/0/-01", "tile/0/+01", "tile/00/000", "tile/64/000", "tile/-1/000", "tile/+1/000", "tile/data/000",
		"tile/Entries/000", "tile/0/000.p", "tile/0/000.p/", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p/+1",
		"tile/0/000.p/1/", "tile/0/000.p/1.p/1", "tile/0/000.P/1", "tile/0/000p/1", "tile/0/000?x", "tile/0/000 ", " tile/0/000",
		"tile/2/x072/x057/x594/x037/x927/936", "tile/0/٠٠٠", "checkpoint", "tile/0/x.p/1", "tile/x/000",
	} {
		if got, err := checkpoint.ParsePath(path); err == nil {
			t.Errorf("ParsePath(%q) = %v", path, got)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	f.Add("tile/0/x001/x234/067.p/1")
	f.Add("tile/entries/000")
	f.Fuzz(func(t *testing.T, path string) {
		if tile, err := checkpoint.ParsePath(path); err == nil && tile.Path() != path {
			t.Errorf("%q is %q", path, tile.Path())
		}
	})
}

func TestEntries(t *testing.T) {
	leaves := [][]byte{{10, 11, 12}, {}, bytes.Repeat([]byte{1}, 65535), {255}}
	b, err := verifiertest.FormatEntries(leaves)
	if err != nil {
		t.Fatal(err)
	}
	if want := []byte{0, 3, 10, 11, 12, 0, 0, 0xff, 0xff, 1}; !bytes.HasPrefix(b, want) {
		t.Errorf("%x", b[:12])
	}
	got, err := checkpoint.ParseEntries(b, 4)
	if diff := cmp.Diff(leaves, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, width := range []int{0, 1, 3, 5, 256} {
		if _, err := checkpoint.ParseEntries(b, width); err == nil {
			t.Errorf("width %d", width)
		}
	}
	for _, n := range []int{0, 1, 2, 4, 6, 8, 1000, len(b) - 1} {
		if _, err := checkpoint.ParseEntries(b[:n], 4); err == nil {
			t.Errorf("cut to %d", n)
		}
	}
	if _, err := checkpoint.ParseEntries(append(b, 0), 4); err == nil {
		t.Error("a byte more")
	}
	for name, bad := range map[string][][]byte{"none": nil, "257": make([][]byte, 257), "65536 bytes": {make([]byte, 65536)}} {
		if _, err := verifiertest.FormatEntries(bad); err == nil {
			t.Error(name)
		}
	}
}

func FuzzParseEntries(f *testing.F) {
	f.Add([]byte{0, 3, 10, 11, 12, 0, 0}, 2)
	f.Fuzz(func(t *testing.T, b []byte, width int) {
		if width < 1 || width > checkpoint.TileWidth {
			return
		}
		leaves, err := checkpoint.ParseEntries(b, width)
		if err != nil {
			return
		}
		if back, err := verifiertest.FormatEntries(leaves); err != nil || !bytes.Equal(back, b) {
			t.Errorf("%x is %x, %v", b, back, err)
		}
	})
}
