// SPDX-License-Identifier: EUPL-1.2

package verifiertest

import (
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/statistics"
)

// Spans are the months of the shard that are over.
func (s *Shard) Spans() []statistics.Span {
	m := statistics.NewMonths(s.Origin, s.epoch)
	for i, raw := range s.Leaves {
		leaf, _ := ledger.ParseLeaf(raw)
		switch leaf := leaf.(type) {
		case ledger.Event:
			m.Event()
		case ledger.Head:
			m.Head(uint64(i), leaf.UnixMS, leaf.Final)
		}
	}
	return m.Spans()
}

// Totals adds the records of a month of the shard of, itself or the one before, in which bodies had as many events; changed
// as told.
func (s *Shard) Totals(of *Shard, month string, counts map[string]uint64, change ...func(t *statistics.Totals)) {
	for _, span := range of.Spans() {
		if span.Month != month {
			continue
		}
		t := statistics.Make(span, counts)
		for _, f := range change {
			f(t)
		}
		records, err := t.Format()
		if err != nil {
			panic(err)
		}
		for _, r := range records {
			s.JSON(string(r))
		}
		return
	}
	panic("a month that isn't over: " + month)
}
