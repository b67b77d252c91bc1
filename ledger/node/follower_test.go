// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/place"
	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
)

// inDatabase makes a ledger whose rows are in PostgreSQL.
func inDatabase(t *testing.T) (w *nodetest.World, dir string, where place.Place) {
	t.Helper()
	w = nodetest.NewWorld(t, time.Now())
	w.Store = pgtest.Postgres(t).Database(t)
	dir = filepath.Join(t.TempDir(), "data")
	w.Create(t, dir, node.Options{})
	where, err := place.Parse(w.Store, dir)
	if err != nil {
		t.Fatal(err)
	}
	return w, dir, where
}

// follow shows the ledger in dir beside whoever records.
func follow(t *testing.T, dir string, where place.Place) *node.Follower {
	t.Helper()
	settings, err := node.ReadSettings(dir)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := where.Follow(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shared.Close() })
	f, err := node.Follow(t.Context(), dir, settings, shared)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFollower shows the public log beside the process that records, as that one
// publishes it; not an older one, and none that the store doesn't have.
func TestFollower(t *testing.T) {
	w, dir, where := inDatabase(t)
	n, err := node.Open(t.Context(), dir, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	w.Register(t, n)
	f := follow(t, dir, where)
	file := filepath.Join(dir, "keys", "published", fmt.Sprintf("%d.checkpoint", n.Epoch()))
	older, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, _, err := n.Submit(t.Context(), w.Submission(t, i)); err != nil {
			t.Fatal(err)
		}
		if err := n.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		want, err := n.Published(n.Epoch())
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.Published(n.Epoch())
		if err != nil || got.Root != want.Root || !bytes.Equal(got.Checkpoint, want.Checkpoint) {
			t.Fatalf("it shows size %d, %d is published; %v", got.Root.Size, want.Root.Size, err)
		}
		width := int(got.Root.Size % 256)
		for name, read := range map[string]func(width int) ([]byte, []byte, error, error){
			"tile": func(width int) ([]byte, []byte, error, error) {
				a, aErr := f.Tile(t.Context(), n.Epoch(), 0, got.Root.Size/256, width)
				b, bErr := n.Tile(t.Context(), n.Epoch(), 0, got.Root.Size/256, width)
				return a, b, aErr, bErr
			},
			"entries": func(width int) ([]byte, []byte, error, error) {
				a, aErr := f.Entries(t.Context(), n.Epoch(), got.Root.Size/256, width)
				b, bErr := n.Entries(t.Context(), n.Epoch(), got.Root.Size/256, width)
				return a, b, aErr, bErr
			},
		} {
			if a, b, aErr, bErr := read(width); aErr != nil || bErr != nil || !bytes.Equal(a, b) {
				t.Errorf("%s: %d bytes, the node that records has %d; %v, %v", name, len(a), len(b), aErr, bErr)
			}
			if _, _, err, _ := read(width + 1); !errors.Is(err, node.ErrNotPublished) {
				t.Errorf("%s beyond what is published: %v", name, err)
			}
		}
	}
	if err := f.Trouble(); err != nil {
		t.Error(err)
	}
	newest, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := f.Published(n.Epoch())
	put := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(older)
	if after, err := f.Published(n.Epoch()); after.Root != before.Root || err != nil {
		t.Errorf("over an older checkpoint it went back from %d to %d, %v", before.Root.Size, after.Root.Size, err)
	}
	k, err := keys.Open(filepath.Join(dir, "keys"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	signer, _, err := k.Signer(n.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	forked, err := checkpoint.Sign(signer, checkpoint.Checkpoint{Origin: signer.Name(), Size: before.Root.Size, Root: ledger.Hash{1}})
	if err != nil {
		t.Fatal(err)
	}
	put(forked)
	if _, err := f.Published(n.Epoch()); !errors.Is(err, node.ErrFork) || !errors.Is(f.Trouble(), node.ErrFork) {
		t.Errorf("a checkpoint of another history: %v, %v", err, f.Trouble())
	}
	put(newest)
	if err := f.Refresh(t.Context()); err != nil || f.Trouble() != nil {
		t.Errorf("the newest checkpoint again: %v, %v", err, f.Trouble())
	}
}
