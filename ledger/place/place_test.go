// SPDX-License-Identifier: EUPL-1.2

package place_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/place"
	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
	"github.com/traccia-ledger/traccia/ledger/store"
)

var quiet = slog.New(slog.DiscardHandler)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestParse(t *testing.T) {
	for _, test := range []struct{ text, base, shown, dir string }{
		{"store", "/data", "/data/store", "/data/store"},
		{"/elsewhere/", "/data", "/elsewhere", "/elsewhere"},
		{"postgres://u@127.0.0.1/ledger", "/data", "postgres://127.0.0.1/ledger", ""},
		{"cockroach://u@127.0.0.1/ledger", "/data", "cockroach://127.0.0.1/ledger", ""},
	} {
		p, err := place.Parse(test.text, test.base)
		if err != nil || p.String() != test.shown || p.Dir() != test.dir {
			t.Errorf("%s: %q in %q, %v", test.text, p, p.Dir(), err)
		}
	}
	for _, text := range []string{"", "postgres://u:hunter2@127.0.0.1/ledger"} {
		if _, err := place.Parse(text, "/data"); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// fill writes rows of every table, small and big, and returns how many.
func fill(t *testing.T, s store.Store) (rows uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	for _, table := range store.Tables() {
		var all []store.Row
		for i := range uint64(3 + r.IntN(60)) {
			value := make([]byte, r.IntN(3000))
			for j := range value {
				value[j] = byte(r.Uint32())
			}
			all = append(all, store.Row{Table: table, Key: binary.BigEndian.AppendUint64([]byte{7}, i*i), Value: value})
		}
		if table == store.TableBlob {
			all = append(all, store.Row{Table: table, Key: []byte("big"), Value: make([]byte, store.MaxValue)})
		}
		if table == store.TableLeaf {
			for i := range uint64(5000) {
				all = append(all, store.Row{Table: table, Key: binary.BigEndian.AppendUint64([]byte{9}, i), Value: []byte{1}})
			}
		}
		if err := s.Commit(t.Context(), nil, all); err != nil {
			t.Fatal(err)
		}
		rows += uint64(len(all))
	}
	return rows
}

func create(t *testing.T, text string) (place.Place, store.Store) {
	t.Helper()
	p, err := place.Parse(text, "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Create(t.Context(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return p, s
}

func snapshot(t *testing.T, s store.Store) store.Snapshot {
	t.Helper()
	snap, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { snap.Close() })
	return snap
}

// TestThereAndBack copies a directory into a database and that into another
// directory.
func TestThereAndBack(t *testing.T) {
	pgtest.Engines(t, func(t *testing.T, server *pgtest.Server) {
		_, first := create(t, filepath.Join(t.TempDir(), "store"))
		rows := fill(t, first)
		_, database := create(t, server.Database(t))
		read := 0
		sum, err := place.Copy(t.Context(), snapshot(t, first), database, func(n int) { read += n })
		if err != nil {
			t.Fatal(err)
		}
		if sum.Rows != rows || uint64(read) != 2*rows {
			t.Errorf("%d rows copied, %d read, want %d and twice that", sum.Rows, read, rows)
		}
		_, last := create(t, filepath.Join(t.TempDir(), "store"))
		back, err := place.Copy(t.Context(), snapshot(t, database), last, nil)
		if err != nil || back != sum {
			t.Errorf("back again: %v, %v, want %v", back, err, sum)
		}
		// A copy of a directory that is made while the store is used.
		dir := filepath.Join(t.TempDir(), "backup")
		if err := place.Backup(t.Context(), database, dir, quiet); err != nil {
			t.Fatal(err)
		}
		if err := place.Backup(t.Context(), database, dir, quiet); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a backup over another: %v", err)
		}
		p, err := place.Parse(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		backup, err := p.OpenReadOnly(t.Context(), quiet)
		if err != nil {
			t.Fatal(err)
		}
		defer backup.Close()
		if got, err := place.SumOf(t.Context(), snapshot(t, backup), nil); err != nil || got != sum {
			t.Errorf("the backup: %v, %v, want %v", got, err, sum)
		}
	})
}

// stopping is a store that takes so many commits.
type stopping struct {
	store.Store
	left int
}

var errStop = errors.New("stop")

func (s *stopping) Commit(ctx context.Context, expect, write []store.Row) error {
	if s.left--; s.left < 0 {
		return errStop
	}
	return s.Store.Commit(ctx, expect, write)
}

// TestCopyGoesOn cuts a copy short after each commit; the next one goes on, and
// until the last nobody takes it for a ledger.
func TestCopyGoesOn(t *testing.T) {
	_, from := create(t, filepath.Join(t.TempDir(), "store"))
	fill(t, from)
	_, s := create(t, filepath.Join(t.TempDir(), "store"))
	for round := 0; ; round++ {
		_, err := place.Copy(t.Context(), snapshot(t, from), &stopping{s, 1}, nil)
		if err == nil {
			if round < 10 {
				t.Errorf("done after %d commits", round)
			}
			break
		}
		if !errors.Is(err, errStop) {
			t.Fatal(err)
		}
		logs := 0
		if err := snapshot(t, s).Scan(t.Context(), store.TableTree, nil, nil, 0, func(_, _ []byte) error { logs++; return nil }); err != nil || logs > 0 {
			t.Errorf("after %d commits there are %d logs, %v", round+1, logs, err)
		}
	}
	// What changed since, here or there, is brought up to date.
	for _, change := range []struct {
		s    store.Store
		rows []store.Row
	}{
		{s, []store.Row{{Table: store.TableLeaf, Key: binary.BigEndian.AppendUint64([]byte{9}, 1), Value: []byte{2}}}},
		{s, []store.Row{{Table: store.TableHead, Key: []byte("x"), Value: []byte{2}}, {Table: store.TableRoot, Key: []byte("x"), Value: []byte{}}}},
		{from, []store.Row{{Table: store.TableLeaf, Key: binary.BigEndian.AppendUint64([]byte{9}, 1)}, {Table: store.TableLeaf, Key: []byte("y"), Value: []byte{}}}},
	} {
		if err := change.s.Commit(t.Context(), nil, change.rows); err != nil {
			t.Fatal(err)
		}
		snap := snapshot(t, from)
		want, err := place.SumOf(t.Context(), snap, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := place.Copy(t.Context(), snap, s, nil); err != nil || got != want {
			t.Errorf("a copy made again: %v, %v, want %v", got, err, want)
		}
	}
}
