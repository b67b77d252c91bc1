// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/export"
	"github.com/traccia-ledger/traccia/ledger/statistics"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

// shardTiles are a test log's.
type shardTiles struct{ *verifiertest.Shard }

func (s shardTiles) Tile(ctx context.Context, level uint, index uint64, width int) ([]byte, error) {
	return s.Fetch(ctx, checkpoint.Tile{Level: int(level), Index: index, Width: width}.Path())
}

func (s shardTiles) Entries(ctx context.Context, index uint64, width int) ([]byte, error) {
	return s.Fetch(ctx, checkpoint.Tile{Level: checkpoint.EntryLevel, Index: index, Width: width}.Path())
}

// TestExportOfYears: an export of several years is checked with the first one's key, and its months' totals with it.
func TestExportOfYears(t *testing.T) {
	check := func(lie func(t *statistics.Totals), keys func(first, second *verifiertest.Shard) []note.Verifier) *verifier.ExportReport {
		t.Helper()
		first, second := twoYears(lie)
		out := filepath.Join(t.TempDir(), "export")
		src := export.Source{
			Name: "registro.example", VKey: []byte(first.VKey + "\n" + second.VKey + "\n"),
			Blob: func(context.Context, ledger.Hash) ([]byte, error) { return nil, nil },
		}
		for i, l := range []*verifiertest.Shard{first, second} {
			src.Logs = append(src.Logs, export.SourceLog{Epoch: 2026 + uint32(i), Signed: l.Checkpoint(), Checkpoint: l.Now(), Tiles: shardTiles{l}})
		}
		if _, err := export.Write(t.Context(), out, src); err != nil {
			t.Fatal(err)
		}
		r, err := verifier.Export(t.Context(), os.DirFS(out), keys(first, second), verifier.Rules{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	right := func(*statistics.Totals) {}
	first := func(first, _ *verifiertest.Shard) []note.Verifier { return []note.Verifier{first.Verifier()} }
	if r := check(right, first); r.Found != 0 || len(r.Logs) != 2 {
		t.Errorf("by the first year's key: %+v", r)
	}
	stranger := func(first, second *verifiertest.Shard) []note.Verifier {
		return []note.Verifier{first.Verifier(), verifiertest.NewLog(second.Origin).Verifier()}
	}
	second := func(_, second *verifiertest.Shard) []note.Verifier { return []note.Verifier{second.Verifier()} }
	for name, keys := range map[string]func(first, second *verifiertest.Shard) []note.Verifier{"another key of the second year": stranger, "the second year's key alone": second} {
		if r := check(right, keys); r.Found != 1 || r.Problems[0].Code != verifier.CodeBadSignature {
			t.Errorf("%s: %+v", name, r.Problems)
		}
	}
	r := check(func(t *statistics.Totals) { t.Bodies[0].Events++ }, first)
	if !slices.ContainsFunc(r.Problems, func(p ledger.Problem) bool { return p.Code == statistics.CodeSum }) || r.Found != 1 {
		t.Errorf("a wrong sum: %+v", r.Problems)
	}
}
