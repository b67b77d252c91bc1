// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// TestFollowerIndex: the index that was read beside the process that records is
// lent to the next one, which goes on with it; where a head states another index,
// nothing is shown any more.
func TestFollowerIndex(t *testing.T) {
	w, dir, where := inDatabase(t)
	quiet := slog.New(slog.DiscardHandler)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	n, err := node.Open(t.Context(), dir, node.Options{})
	must(err)
	w.Register(t, n)
	_, _, err = n.Submit(t.Context(), w.Submission(t, 0))
	must(err)
	must(n.Close())
	f := follow(t, dir, where)
	looking, end := context.WithCancel(t.Context())
	defer end()
	go f.RunIndex(looking, quiet)
	public, err := f.Published(n.Epoch())
	must(err)
	wait := func(what string, done func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("it never came to this: %s", what)
			}
		}
	}
	wait("the index is read", func() bool { return f.IndexLag() == 0 })
	lent := 0
	n, err = node.Open(t.Context(), dir, node.Options{Warm: func(epoch uint32) *sequencer.Warm {
		warm := f.Lend(epoch)
		if warm != nil && warm.Size() == public.Root.Size {
			lent++
		}
		return warm
	}})
	must(err)
	if lent != 1 {
		t.Errorf("the index was lent %d times", lent)
	}
	_, _, err = n.Submit(t.Context(), w.Submission(t, 1))
	must(err)
	must(n.Close()) // with a head over what was recorded
	f.Resume()
	must(f.Refresh(t.Context()))
	must(f.Trouble())

	db, err := where.Open(t.Context(), quiet)
	must(err)
	e, err := engine.New(db)
	must(err)
	shard, err := e.OpenShard(t.Context(), n.Epoch())
	must(err)
	leaf, err := ledger.FormatLeaf(ledger.Head{Epoch: n.Epoch(), UnixMS: uint64(time.Now().UnixMilli()), Keys: 1, Root: ledger.Hash{1}})
	must(err)
	_, err = shard.Append(t.Context(), [][]byte{leaf}, nil)
	must(err)
	k, err := keys.Open(filepath.Join(dir, "keys"), "")
	must(err)
	defer k.Close()
	signer, _, err := k.Signer(n.Epoch())
	must(err)
	signed, err := checkpoint.Sign(signer, checkpoint.Checkpoint{Origin: signer.Name(), Size: shard.Root().Size, Root: shard.Root().Hash})
	must(err)
	must(db.Close())
	must(os.WriteFile(filepath.Join(dir, "keys", "published", time.Now().UTC().Format("2006")+".checkpoint"), signed, 0o600))
	wait("the wrong head is found", func() bool {
		must(f.Refresh(t.Context()))
		return errors.Is(f.Trouble(), sequencer.ErrIndex)
	})
}
