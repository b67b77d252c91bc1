// SPDX-License-Identifier: EUPL-1.2

package sequencer_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/index"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// lastLeaf is the last leaf of the shard.
func (f *fixture) lastLeaf() ledger.Leaf {
	f.t.Helper()
	leaves, err := f.shard.Leaves(context.Background(), f.shard.Root().Size-1, 1)
	f.must(err)
	leaf, err := ledger.ParseLeaf(leaves[0])
	f.must(err)
	return leaf
}

// TestFinish: the final head is the last of a shard, after what was recorded
// in its year and the records given with it.
func TestFinish(t *testing.T) {
	c := &clock{now: time.Now()}
	file := filepath.Join(t.TempDir(), "keys")
	f := newFixture(t, func(cfg *sequencer.Config) { cfg.Now, cfg.IndexFile = c.Now, file })
	for n := range 5 {
		f.submit(n)
	}
	record := []byte(`{"kind":"another"}`)
	if err := f.seq.Finish(t.Context(), record); err == nil || errors.Is(err, sequencer.ErrYearOver) || f.seq.Finished() {
		t.Fatalf("finished in its year: %v", err)
	}
	size := f.shard.Root().Size
	c.add(time.Until(time.Date(int(f.epoch)+1, 1, 1, 0, 0, 3, 0, time.UTC)))
	f.must(f.seq.Finish(t.Context(), record))
	refused := func() {
		t.Helper()
		if !f.seq.Finished() || f.shard.Root().Size != size+2 {
			t.Fatalf("finished: %v, %d leaves", f.seq.Finished(), f.shard.Root().Size)
		}
		head, ok := f.lastLeaf().(ledger.Head)
		if !ok || !head.Final || head.Keys != 10 || ledger.EpochOf(time.UnixMilli(int64(head.UnixMS))) != f.epoch+1 {
			t.Errorf("the last leaf is %+v", f.lastLeaf())
		}
		_, again := f.seq.Submit(t.Context(), f.pending(0, nodetest.Access{}))
		_, recorded := f.seq.Record(t.Context(), record)
		_, headed := f.seq.Head(t.Context())
		forgot := f.seq.Forget(nil, func() error { t.Error("called"); return nil })
		for what, err := range map[string]error{"submission": again, "record": recorded, "head": headed, "forget": forgot} {
			if !errors.Is(err, sequencer.ErrYearOver) {
				t.Errorf("a %s after the final head: %v", what, err)
			}
		}
		f.must(f.seq.Finish(t.Context(), record))
		err := f.seq.AtHead(t.Context(), func(at sequencer.Head, keys *index.Tree) {
			if at.Index != size+1 || keys.Len() != 10 || keys.Root() != head.Root {
				t.Errorf("the index at the final head: %d keys at %d", keys.Len(), at.Index)
			}
		})
		if err != nil {
			t.Errorf("the index at the final head: %v", err)
		}
	}
	refused()
	f.restart()
	refused()
	f.must(os.Remove(file))
	f.restart()
	refused() // read from the log
	f.restart()
	refused()
	f.audit()
}

// TestFinishWhatNeverBegan: a year that was over before its log began has a
// final head alone; the clock of the next goes on from it.
func TestFinishWhatNeverBegan(t *testing.T) {
	after := time.Now().AddDate(2, 0, 0)
	c := &clock{now: after.Add(-10 * time.Second)}
	f := newFixture(t, func(cfg *sequencer.Config) { cfg.Now, cfg.After = c.Now, uint64(after.UnixMilli()) })
	if _, err := f.seq.Submit(t.Context(), f.pending(0, nodetest.Access{})); !errors.Is(err, sequencer.ErrYearOver) {
		t.Errorf("a submission: %v", err)
	}
	f.must(f.seq.Finish(t.Context()))
	if head, ok := f.lastLeaf().(ledger.Head); !ok || !head.Final || head.UnixMS < uint64(after.UnixMilli()) || f.shard.Root().Size != 2 {
		t.Errorf("the last of %d leaves is %+v", f.shard.Root().Size, f.lastLeaf())
	}
}

// heard collects what a sequencer logs.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(p)
}

func (h *heard) has(words string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Contains(h.text.String(), words)
}

// TestIndexOfFinishedRests: nobody asks for some time, and the keys of a
// finished shard leave the memory; who asks then has them read again.
func TestIndexOfFinishedRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &clock{now: time.Now()}
		file, log := filepath.Join(t.TempDir(), "keys"), &heard{}
		f := newFixture(t, func(cfg *sequencer.Config) {
			cfg.Now, cfg.IndexFile, cfg.Log = c.Now, file, slog.New(slog.NewTextHandler(log, nil))
		})
		for n := range 3 {
			f.submit(n)
		}
		c.add(time.Until(time.Date(int(f.epoch)+1, 1, 1, 0, 0, 0, 0, time.UTC)))
		f.must(f.seq.Finish(t.Context()))
		keys := func() (n uint64) {
			t.Helper()
			f.must(f.seq.AtHead(t.Context(), func(_ sequencer.Head, tree *index.Tree) { n = tree.Len() }))
			return n
		}
		want := keys()
		for _, minutes := range []time.Duration{9, 9, 11} {
			time.Sleep(minutes * time.Minute)
			if minutes > 10 {
				f.must(os.WriteFile(file, []byte("not keys"), 0o600))
			}
			if got := keys(); got != want {
				t.Errorf("%d keys after %d minutes, %d before", got, minutes, want)
			}
			if read := log.has("discarded the index's key file"); read != (minutes > 10) {
				t.Errorf("after %d minutes the key file was read: %v", minutes, read)
			}
		}
		if size, err := os.Stat(file); err != nil || size.Size() < 100 {
			t.Errorf("the key file wasn't made again: %v", err)
		}
	})
}
