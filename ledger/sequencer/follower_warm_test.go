// SPDX-License-Identifier: EUPL-1.2

package sequencer_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// beside opens the shard as another process does.
func (f *fixture) beside() *engine.Shard {
	f.t.Helper()
	e, err := engine.New(f.db)
	f.must(err)
	shard, err := e.OpenShard(f.t.Context(), f.epoch)
	f.must(err)
	return shard
}

// TestWarm: an index that was kept beside the sequencer is the one that the next
// sequencer goes on with, and the key file has what it would have.
func TestWarm(t *testing.T) {
	for name, prepare := range map[string]func(f *indexed){
		"nothing read":        func(*indexed) {},
		"from the beginning":  func(f *indexed) { f.must(os.WriteFile(f.path, nil, 0o600)) },
		"with the key file":   func(f *indexed) { f.restart() },
		"a key file of ruins": func(f *indexed) { f.must(os.WriteFile(f.path, []byte("traccia-keys/1 x\n"), 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newIndexed(t)
			number := 0
			more := func() {
				for range 3 {
					f.submit(number)
					number++
				}
				_, err := f.seq.Head(t.Context())
				f.must(err)
			}
			more()
			warm := sequencer.NewWarm(nodetest.Name, f.epoch, quiet)
			f.must(f.seq.Close())
			whole := f.read()
			prepare(f)
			if name != "nothing read" {
				shard := f.beside()
				f.must(warm.Follow(t.Context(), shard, f.path, shard.Root().Size))
				if warm.Size() != shard.Root().Size {
					t.Fatalf("it read %d leaves of %d", warm.Size(), shard.Root().Size)
				}
			}
			f.write(whole)
			f.mustOpen() // the other process goes on
			more()
			if name != "nothing read" {
				shard := f.beside()
				f.must(warm.Follow(t.Context(), shard, f.path, shard.Root().Size))
			}
			more()
			f.must(f.seq.Close())
			var want []keyRow
			want = append(want, parseKeyFile(t, f.read()).keys()...)
			for _, file := range [][]byte{f.read(), whole, nil} {
				f.write(file)
				f.configure = func(cfg *sequencer.Config) { f.configureIt(cfg); cfg.Warm = warm }
				f.mustOpen()
				f.configure = f.configureIt
				_, err := f.atHead(t.Context(), nil)
				f.must(err)
				f.must(f.seq.Close())
				if got := parseKeyFile(t, f.read()).keys(); !slices.Equal(got, want) {
					t.Errorf("the key file has %d keys, not these %d", len(got), len(want))
				}
				shard := f.beside() // for the next one
				warm = sequencer.NewWarm(nodetest.Name, f.epoch, quiet)
				f.must(warm.Follow(t.Context(), shard, f.path, shard.Root().Size))
			}
			f.mustOpen()
			f.audit()
		})
	}
}

// TestWarmDiffers: a head that states another index than the leaves before it give
// is found beside the sequencer too; whoever stops in between goes on later.
func TestWarmDiffers(t *testing.T) {
	f := newIndexed(t)
	f.submit(0)
	f.submit(1)
	f.must(f.seq.Close())
	warm := sequencer.NewWarm(nodetest.Name, f.epoch, quiet)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	shard := f.beside()
	if err := warm.Follow(ended, shard, f.path, shard.Root().Size); !errors.Is(err, context.Canceled) {
		t.Errorf("once its context has ended: %v", err)
	}
	f.must(warm.Follow(t.Context(), shard, f.path, shard.Root().Size))
	f.append(ledger.Head{Epoch: f.epoch, UnixMS: 1 << 50, Keys: 4, Root: ledger.Hash{1}})
	shard = f.beside()
	if err := warm.Follow(t.Context(), shard, f.path, shard.Root().Size); !errors.Is(err, sequencer.ErrIndex) {
		t.Errorf("a head of another index: %v", err)
	}
}
