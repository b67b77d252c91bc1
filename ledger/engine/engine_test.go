// SPDX-License-Identifier: EUPL-1.2

package engine_test

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/engine/enginetest"
	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/store"
	"github.com/traccia-ledger/traccia/ledger/store/storetest"
)

var quiet = slog.New(slog.DiscardHandler)

// pebbleFactory keeps its stores in memory.
func pebbleFactory(*testing.T) storetest.Factory {
	o := pebble.Options{FS: vfs.NewMem(), Logger: quiet}
	return storetest.Factory{
		Open: func(t *testing.T) store.Store {
			s, err := pebble.Create("/store", o)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Reopen: func(t *testing.T, s store.Store) store.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s, err := pebble.Open("/store", o)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	}
}

func TestOnPebble(t *testing.T) { enginetest.Run(t, pebbleFactory) }

// TestPowerCuts cuts the power at random moments while leaves are appended. What
// is left opens, has every acknowledged leaf, and goes on.
func TestPowerCuts(t *testing.T) {
	const batches, cuts = 120, 40
	disk := vfs.NewCrashableMem()
	o := pebble.Options{FS: disk, CacheBytes: 1 << 20, Logger: quiet}
	st, err := pebble.Create("/store", o)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(st)
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.CreateShard(t.Context(), 2026)
	if err != nil {
		t.Fatal(err)
	}
	leaf := func(i uint64) []byte { return binary.BigEndian.AppendUint64([]byte("leaf"), i) }
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for b := range batches {
			var leaves [][]byte
			var rows []store.Row
			from := s.Root().Size
			for i := range uint64(1 + b%23) {
				leaves = append(leaves, leaf(from+i))
				rows = append(rows, store.Row{Table: store.TableBody, Key: leaf(from + i), Value: make([]byte, 2500)})
			}
			if _, err := s.Append(t.Context(), leaves, rows); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	r := rand.New(rand.NewPCG(4, 2))
	type cut struct {
		acknowledged engine.Root
		disk         *vfs.MemFS
	}
	var all []cut
	for range cuts {
		acknowledged := s.Root()
		all = append(all, cut{acknowledged, disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})})
		time.Sleep(time.Duration(r.IntN(600)) * time.Microsecond)
	}
	<-finished
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	for i, c := range all {
		o.FS = c.disk
		st, err := pebble.Open("/store", o)
		if err != nil {
			t.Fatalf("cut %d: %v", i, err)
		}
		e, err := engine.New(st)
		if err != nil {
			t.Fatal(err)
		}
		s, err := e.OpenShard(t.Context(), 2026)
		if err != nil {
			t.Fatalf("cut %d: %v", i, err)
		}
		if root, err := s.RootAt(t.Context(), c.acknowledged.Size); err != nil || root != c.acknowledged.Hash {
			t.Errorf("cut %d: the root of size %d is %x, %v", i, c.acknowledged.Size, root, err)
		}
		size := s.Root().Size
		leaves, err := s.Leaves(t.Context(), 0, size)
		if err != nil {
			t.Errorf("cut %d: %v", i, err)
		}
		for j := range leaves {
			if !bytes.Equal(leaves[j], leaf(uint64(j))) {
				t.Fatalf("cut %d: leaf %d is another", i, j)
			}
		}
		snap, err := st.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		bodies := uint64(0)
		if err := snap.Scan(t.Context(), store.TableBody, nil, nil, 0, func(_, _ []byte) error {
			bodies++
			return nil
		}); err != nil || bodies != size {
			t.Errorf("cut %d: %d bodies of %d leaves, %v", i, bodies, size, err)
		}
		snap.Close()
		if _, err := s.Append(t.Context(), [][]byte{leaf(size)}, nil); err != nil {
			t.Errorf("cut %d: appending after it: %v", i, err)
		}
		if err := st.Close(); err != nil {
			t.Errorf("cut %d: %v", i, err)
		}
	}
}
