// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/verifier"
)

// BenchmarkHistory verifies a year's bundle of 20 events, spread over a log of half a million events (a million keys), a
// head each 12,500 of them: 25 s at 500 a second.
func BenchmarkHistory(b *testing.B) {
	for _, scopes := range []int{100, 300} {
		b.Run(fmt.Sprintf("scopes=%d", scopes), func(b *testing.B) {
			m := newMade(b, 2026, nil)
			for i := range scopes - 1 {
				m.scope(fmt.Sprintf("scope%03d", i))
			}
			const events, headEvery, mineEvery = 500_000, 12_500, 25_000
			for i := range events {
				switch {
				case i%mineEvery == 6_000:
					m.event(event{})
					continue
				case i%headEvery == 0:
					m.head(nil)
				}
				e := ledger.Event{Epoch: m.epoch}
				rand.Read(e.SubjectTag[:])
				rand.Read(e.AgencyTag[:])
				at := m.leaf(e)
				m.keys.Insert(e.SubjectTag, at)
				m.keys.Insert(e.AgencyTag, at)
			}
			m.settle()
			bundle := m.bundle()
			s := &bundle.Shards[0]
			m.show(s, needed(m, s))
			file, err := history.Format(bundle)
			if err != nil {
				b.Fatal(err)
			}
			if r := verifier.History(file, m.policy, m.now, rules); !r.Complete || len(r.Events) != 20 {
				b.Fatal(r.Problems)
			}
			bodies := 0
			for i := range s.Events {
				bodies += len(s.Events[i].Body)
			}
			for b.Loop() {
				verifier.History(file, m.policy, m.now, rules)
			}
			for i := range s.Events {
				s.Events[i].Body = []byte("{}")
			}
			bare, err := history.Format(bundle)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(len(file)), "file-B")
			b.ReportMetric(float64(len(bare)), "besides-bodies-B")
			b.ReportMetric(float64(bodies), "bodies-B")
			b.ReportMetric(float64(m.keys.Len()), "keys")
		})
	}
}

// needed is what a ledger shows: the heads around the events, and the records of their signatures.
func needed(m *made, s *history.Shard) (indexes []uint64) {
	keep := map[uint64]bool{0: true, s.Head: true}
	for _, e := range s.Events {
		before, after := history.Around(m.heads, e.Index)
		keep[e.Index], keep[before], keep[after] = true, true, true
	}
	catalogue := history.NewCatalogue()
	for _, l := range s.Leaves {
		leaf, _ := ledger.ParseLeaf(l.Leaf)
		if r, ok := leaf.(ledger.Record); ok {
			catalogue.Add(l.Index, r.JSON)
		}
	}
	for _, index := range append(catalogue.Signer(provider, provider+"-1"), catalogue.Bodies(consumer)...) {
		keep[index] = true
	}
	for index := range keep {
		indexes = append(indexes, index)
	}
	slices.Sort(indexes)
	return indexes
}
