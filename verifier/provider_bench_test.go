// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"runtime"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/vrf"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

// ownLog is a log of a million events, and the records of a hub that has two
// events of each of its citizens among them.
type ownLog struct {
	*tiled
	signed []byte
	vkey   note.Verifier
	now    time.Time
	lines  [][]byte
	proofs map[ledger.Subject][]byte
}

func newOwnLog(b *testing.B, subjects int) *ownLog {
	b.Helper()
	s := verifiertest.NewShard(origin)
	key := vrf.NewKey([32]byte{1})
	s.Leaf(ledger.Preamble{Epoch: 2026, VRFKey: key.Public(), Name: "registro.example"})
	s.Record(registry.Body{ID: "inps", Name: "INPS"})
	s.Record(verifiertest.InpsKey(1))
	s.Record(registry.Scope{ID: "inps", Providers: []string{"inps"}})
	o := &ownLog{proofs: map[ledger.Subject][]byte{}}
	people := make([]ledger.Subject, subjects)
	keys := make([][32]byte, subjects)
	for i := range people {
		for check := byte('0'); check <= '9'; check++ {
			if p, err := ledger.ParseSubject(fmt.Sprintf("%010d%c", i, check)); err == nil {
				people[i] = p
			}
		}
		pi, beta := key.Prove(ledger.SubjectAlpha(people[i], "inps", 2026))
		keys[i], o.proofs[people[i]] = [32]byte(beta[:32]), pi[:]
	}
	const heads = 15_000
	for n := range million {
		e := s.Tagged(uint64(n))
		mine := n < 2*subjects
		if mine {
			e.SubjectTag = ledger.SubjectTag(&keys[n%subjects], uint32(n/subjects))
		}
		raw, err := ledger.FormatLeaf(e)
		if err != nil {
			b.Fatal(err)
		}
		if mine {
			entry := own.Entry{
				Subject: people[n%subjects], Origin: origin, Number: uint32(n / subjects), Index: uint64(len(s.Leaves)), Leaf: ledger.HashLeaf(raw),
				Receipt: fmt.Sprintf("inps/00000000-0000-4000-8000-%012d", n), At: s.Instant(float64(n/heads) * 30).UnixMilli(),
			}
			o.lines = append(o.lines, bytes.TrimSuffix(own.AppendEntry(nil, &entry), []byte("\n")))
		}
		s.Add(raw)
		if n%heads == heads-1 {
			raw, err := ledger.FormatLeaf(ledger.Head{Epoch: 2026, UnixMS: uint64(s.Instant(float64(n/heads)*30 + 30).UnixMilli())})
			if err != nil {
				b.Fatal(err)
			}
			s.Add(raw)
		}
	}
	o.signed, o.vkey, o.now = s.Checkpoint(), s.Verifier(), s.Instant(float64(million/heads)*30+60)
	o.tiled = newTiled(s.Leaves)
	return o
}

// BenchmarkProvider compares records with a million events. The one without
// records costs what reading the log does; the difference is the records'.
func BenchmarkProvider(b *testing.B) {
	for _, subjects := range []int{0, 50_000} {
		b.Run(fmt.Sprintf("%d-subjects", subjects), func(b *testing.B) {
			o := newOwnLog(b, subjects)
			key, err := jws.ParseKey(verifiertest.InpsKey(1).JWK)
			if err != nil {
				b.Fatal(err)
			}
			begun := processor(b)
			var memory uint64
			b.ResetTimer()
			for b.Loop() {
				var before, during runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				r, err := verifier.Provider(b.Context(), verifier.ProviderConfig{
					Scope: "inps", Logs: []note.Verifier{o.vkey}, Signed: o.signed, Fetch: checkpoint.Fetcher(o.tiled), Now: o.now,
					Records: func() iter.Seq2[[]byte, error] {
						return func(yield func([]byte, error) bool) {
							for _, line := range o.lines {
								if !yield(line, nil) {
									return
								}
							}
						}
					},
					Proofs: func(_ context.Context, _ string, subjects []ledger.Subject) (list [][]byte, err error) {
						for _, s := range subjects {
							list = append(list, o.proofs[s])
						}
						return list, nil
					},
					Keys: []jws.Key{key}, Providers: []string{"inps"},
					Progress: func(int) {
						if during.HeapAlloc == 0 {
							runtime.GC()
							runtime.ReadMemStats(&during)
						}
					},
				})
				if err != nil || !r.Proven() || r.Subjects != uint64(subjects) {
					b.Fatalf("%+v, %v", r, err)
				}
				memory = during.HeapAlloc - min(during.HeapAlloc, before.HeapAlloc)
			}
			spent := float64((processor(b) - begun).Nanoseconds()) / float64(b.N)
			b.ReportMetric(spent/million, "cpu-ns/leaf")
			b.ReportMetric(spent/1e9, "cpu-s")
			if subjects > 0 {
				b.ReportMetric(float64(memory)/float64(len(o.lines)), "B/line")
			}
		})
	}
}
