// SPDX-License-Identifier: EUPL-1.2

package index_test

import (
	"runtime"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/index"
)

const million = 1_000_000

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkInsert inserts up to a million keys in batches of 1000 with a root after each, and reports memory a key.
func BenchmarkInsert(b *testing.B) {
	keys := 0
	for b.Loop() {
		b.StopTimer()
		before := heap()
		b.StartTimer()
		tree := index.New()
		for i := range uint64(million) {
			tree.Insert(key(i), i)
			if i%1000 == 999 {
				tree.Root()
			}
		}
		b.StopTimer()
		b.ReportMetric(float64(heap()-before)/million, "B/key")
		runtime.KeepAlive(tree)
		keys += million
		b.StartTimer()
	}
	b.ReportMetric(float64(keys)/b.Elapsed().Seconds(), "keys/s")
}

// BenchmarkRebuild inserts a million keys with one root at the end.
func BenchmarkRebuild(b *testing.B) {
	keys := 0
	for b.Loop() {
		tree := index.New()
		for i := range uint64(million) {
			tree.Insert(key(i), i)
		}
		tree.Root()
		keys += million
	}
	b.ReportMetric(float64(keys)/b.Elapsed().Seconds(), "keys/s")
}

func BenchmarkProofs(b *testing.B) {
	tree := index.New()
	for i := range uint64(million) {
		tree.Insert(key(i), i)
	}
	root := tree.Root()
	b.Run("Prove", func(b *testing.B) {
		bytes, i := 0, uint64(0)
		for b.Loop() {
			bytes += len(tree.Prove(key(i * 7)))
			i++
		}
		b.ReportMetric(float64(bytes)/float64(i), "B/proof")
	})
	b.Run("Check", func(b *testing.B) {
		k := key(5)
		proof := tree.Prove(k)
		for b.Loop() {
			if _, err := index.Check(root, k, proof); err != nil {
				b.Fatal(err)
			}
		}
	})
}
