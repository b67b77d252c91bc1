// SPDX-License-Identifier: EUPL-1.2

package sequencer_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/index"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// tag gives tags that look random.
func tag(kind byte, n uint64) ledger.Hash {
	return ledger.HashLeaf(binary.BigEndian.AppendUint64([]byte{kind}, n))
}

// cpu is the processor time of this process.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fillLog appends events behind the sequencer's back.
func (f *fixture) fillLog(events uint64) {
	f.t.Helper()
	for n := uint64(0); n < events; {
		var leaves [][]byte
		for ; n < events && len(leaves) < 4096; n++ {
			leaf, err := ledger.FormatLeaf(ledger.Event{Epoch: f.epoch, SubjectTag: tag(1, n), AgencyTag: tag(2, n)})
			f.must(err)
			leaves = append(leaves, leaf)
		}
		_, err := f.shard.Append(context.Background(), leaves, nil)
		f.must(err)
	}
}

// BenchmarkOpen starts on a log of 200,000 events, from the log alone and from
// the key file.
func BenchmarkOpen(b *testing.B) {
	const events = 200_000
	f := newLog(b, nil)
	f.fillLog(events)
	for _, path := range []string{"", filepath.Join(b.TempDir(), "a.keys")} {
		f.configure = func(cfg *sequencer.Config) { cfg.IndexFile = path }
		f.mustOpen() // makes the first head and the key file
		f.must(f.seq.Close())
		b.Run(fmt.Sprintf("file=%v", path != ""), func(b *testing.B) {
			before := cpu(b)
			for b.Loop() {
				f.mustOpen()
				f.must(f.seq.Close())
			}
			b.ReportMetric(float64(b.N)*2*events/(cpu(b)-before).Seconds(), "keys/cpu-s")
		})
	}
}

// BenchmarkSubmitBesideHistories is the time of a submission while eight
// clients send them without a pause, alone and with eight others who prove a
// year of 100 scopes each, at heads made for them.
func BenchmarkSubmitBesideHistories(b *testing.B) {
	for _, askers := range []int{0, 8} {
		b.Run(fmt.Sprintf("askers=%d", askers), func(b *testing.B) {
			f := newLog(b, nil)
			f.fillLog(100_000)
			f.mustOpen()
			ctx, cancel := context.WithCancel(b.Context())
			var wg sync.WaitGroup
			var mu sync.Mutex
			histories := 0
			for asker := range uint64(askers) {
				wg.Go(func() {
					var keys []ledger.Hash
					for i := range uint64(120) {
						keys = append(keys, tag(3, asker<<32+i))
					}
					for ctx.Err() == nil {
						err := f.seq.AtHead(ctx, func(_ sequencer.Head, tree *index.Tree) { tree.ProveMany(keys) })
						if err == nil {
							mu.Lock()
							histories++
							mu.Unlock()
						}
					}
				})
			}
			var took []time.Duration
			pending := make(chan *sequencer.Pending)
			var senders sync.WaitGroup
			for range 8 {
				senders.Go(func() {
					for p := range pending {
						started := time.Now()
						if _, err := f.seq.Submit(ctx, p); err != nil {
							b.Error(err)
						}
						mu.Lock()
						took = append(took, time.Since(started))
						mu.Unlock()
					}
				})
			}
			n := 0
			for b.Loop() {
				n++
				pending <- f.pending(n, nodetest.Access{})
			}
			close(pending)
			senders.Wait()
			cancel()
			wg.Wait()
			f.must(f.seq.Close())
			f.must(f.db.Close())
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
			b.ReportMetric(float64(histories)/b.Elapsed().Seconds(), "histories/s")
		})
	}
}
