// SPDX-License-Identifier: EUPL-1.2

package engine_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// benchShard makes a shard on disk.
func benchShard(b *testing.B) *engine.Shard {
	b.Helper()
	st, err := pebble.Create(b.TempDir()+"/store", pebble.Options{Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.Close() })
	e, err := engine.New(st)
	if err != nil {
		b.Fatal(err)
	}
	s, err := e.CreateShard(b.Context(), 2026)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkAppend counts leaves: of 102 bytes, each with a sealed body of
// 2.5 kB by index, two counters and an answer by random keys.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s := benchShard(b)
			random := rand.NewChaCha8([32]byte{1})
			noise := make([]byte, 1<<20)
			random.Read(noise)
			bytes := func(n int) []byte {
				at := int(random.Uint64() % uint64(len(noise)-n))
				return noise[at:][:n]
			}
			key := func() []byte {
				k := make([]byte, 32)
				random.Read(k)
				return k
			}
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; {
				n := min(size, b.N-done)
				leaves := make([][]byte, 0, n)
				rows := make([]store.Row, 0, 4*n)
				for i := range n {
					leaf := make([]byte, 102)
					random.Read(leaf)
					leaves = append(leaves, leaf)
					index := binary.BigEndian.AppendUint64([]byte{0, 0, 7, 0xea}, uint64(done+i))
					rows = append(rows,
						store.Row{Table: store.TableBody, Key: index, Value: bytes(2500)},
						store.Row{Table: store.TableCounter, Key: key(), Value: bytes(8)},
						store.Row{Table: store.TableCounter, Key: key(), Value: bytes(8)},
						store.Row{Table: store.TableReceipt, Key: key(), Value: bytes(44)})
				}
				if _, err := s.Append(b.Context(), leaves, rows); err != nil {
					b.Fatal(err)
				}
				done += n
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
		})
	}
}

// BenchmarkInclusion proves leaves of a log of 200,000, at its size: the last
// ones, as submitters ask for, and any.
func BenchmarkInclusion(b *testing.B) {
	s := benchShard(b)
	for at := uint64(0); at < 200_000; {
		var leaves [][]byte
		for range 5000 {
			leaves = append(leaves, binary.BigEndian.AppendUint64(make([]byte, 94), at))
			at++
		}
		if _, err := s.Append(b.Context(), leaves, nil); err != nil {
			b.Fatal(err)
		}
	}
	size := s.Root().Size
	for name, from := range map[string]uint64{"last1000": size - 1000, "any": 0} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			r := rand.New(rand.NewPCG(1, 2))
			var proof []ledger.Hash
			var err error
			for b.Loop() {
				if proof, err = s.Inclusion(b.Context(), from+r.Uint64N(size-from), size); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(proof)), "hashes")
		})
	}
}
