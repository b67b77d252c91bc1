// SPDX-License-Identifier: EUPL-1.2

package index_test

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger/index"
)

const million = 1_000_000

// sizes are the numbers of keys that the benchmarks work on. Ten million take half a gigabyte and some minutes: they are
// measured when TRACCIA_BENCH_LARGE is set.
func sizes() []uint64 {
	if os.Getenv("TRACCIA_BENCH_LARGE") == "" {
		return []uint64{million}
	}
	return []uint64{million, 10 * million}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// cpu is the processor time of this process, which other load on the machine doesn't add to.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func fill(n, batch uint64) *index.Tree {
	tree := index.New()
	for i := range n {
		tree.Insert(key(i), i)
		if i%batch == batch-1 {
			tree.Root()
		}
	}
	tree.Root()
	return tree
}

// filled keeps one tree of each size for the benchmarks that only read.
var filled = struct {
	sync.Mutex
	trees map[uint64]*index.Tree
}{trees: map[uint64]*index.Tree{}}

func filledTree(n uint64) *index.Tree {
	filled.Lock()
	defer filled.Unlock()
	if filled.trees[n] == nil {
		filled.trees[n] = fill(n, n)
	}
	return filled.trees[n]
}

// BenchmarkInsert fills a tree in batches of 512 keys with the root after each, as the follower of a busy log does, and
// once with one root at the end, as a restart does. It reports memory a key, and keys by wall clock and by processor time.
func BenchmarkInsert(b *testing.B) {
	for _, n := range sizes() {
		for _, batch := range []uint64{512, n} {
			b.Run(fmt.Sprintf("keys=%d/batch=%d", n, batch), func(b *testing.B) {
				var spent time.Duration
				for b.Loop() {
					b.StopTimer()
					before, started := heap(), cpu()
					b.StartTimer()
					tree := fill(n, batch)
					b.StopTimer()
					spent += cpu() - started
					b.ReportMetric(float64(heap()-before)/float64(n), "B/key")
					runtime.KeepAlive(tree)
					b.StartTimer()
				}
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
				b.ReportMetric(float64(n)*float64(b.N)/spent.Seconds(), "keys/cpu-s")
			})
		}
	}
}

// BenchmarkAbsence makes and checks single proofs that a key isn't there.
func BenchmarkAbsence(b *testing.B) {
	for _, n := range sizes() {
		tree := filledTree(n)
		root := tree.Root()
		b.Run(fmt.Sprintf("keys=%d/prove", n), func(b *testing.B) {
			bytes, i := 0, n
			for b.Loop() {
				bytes += len(tree.Prove(key(i)))
				i++
			}
			b.ReportMetric(float64(bytes)/float64(i-n), "B/proof")
		})
		b.Run(fmt.Sprintf("keys=%d/check", n), func(b *testing.B) {
			k := key(n)
			proof := tree.Prove(k)
			for b.Loop() {
				if _, err := index.Check(root, k, proof); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkYear proves a citizen's year: absence in each scope, and twenty events.
func BenchmarkYear(b *testing.B) {
	const events = 20
	for _, n := range sizes() {
		tree := filledTree(n)
		root := tree.Root()
		for _, scopes := range []uint64{100, 300} {
			year := func(citizen uint64) (keys []index.Hash) {
				for i := range scopes {
					keys = append(keys, key(n+citizen*scopes+i))
				}
				for i := range uint64(events) {
					keys = append(keys, key((citizen*events+i)*7919%n))
				}
				return keys
			}
			name := fmt.Sprintf("keys=%d/scopes=%d", n, scopes)
			b.Run(name+"/prove", func(b *testing.B) {
				bytes, i := 0, uint64(0)
				for b.Loop() {
					bytes += len(tree.ProveMany(year(i)))
					i++
				}
				b.ReportMetric(float64(bytes)/float64(i), "B/proof")
			})
			b.Run(name+"/check", func(b *testing.B) {
				keys := year(1)
				proof := tree.ProveMany(keys)
				for b.Loop() {
					if _, err := index.CheckMany(root, keys, proof); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
