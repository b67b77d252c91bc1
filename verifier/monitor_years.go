// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/statistics"
)

// Ended is what a shard that a Monitor verified to its final head leaves to the next one (docs/formats.md §7).
type Ended struct {
	checkpoint.Checkpoint                   // of the whole log
	UnixMS                uint64            // of its final head
	Next                  string            // origin of the next shard
	NextKey               string            // the verifier key announced for it; "" for none
	InForce               [][]byte          // records that the next shard repeats, in that order
	Untold                []statistics.Span // months whose totals the next shard has to tell
}

// Ended says what the shard leaves to the next one; false until its final head is verified, as the log's last leaf.
func (m *Monitor) Ended() (*Ended, bool) {
	if !m.clock.final || m.clock.last.Leaf+1 != m.Size() {
		return nil, false
	}
	e := &Ended{Checkpoint: m.verified(), UnixMS: m.clock.last.UnixMS, Next: m.next, Untold: m.totals.Untold()}
	if a, ok := m.registry.LogKey(m.next); ok {
		e.NextKey = a.VKey
	}
	for _, index := range m.registry.InForce() {
		e.InForce = append(e.InForce, m.records[index])
	}
	return e, true
}

// preamble judges how a shard begins.
func (m *Monitor) preamble(p ledger.Preamble) {
	m.totals.Preamble(p.PreviousSize)
	end := func(size uint64, root ledger.Hash) string {
		if size == 0 {
			return "no shard before"
		}
		return fmt.Sprintf("a shard before of size %d with root %x", size, root)
	}
	switch {
	case m.after == nil && p.PreviousSize > 0:
		m.tell(LevelNotice, problem(CodeUnseenYear, leafAt(0), "the shard before, which this monitor didn't see", end(p.PreviousSize, p.PreviousRoot)))
	case m.after != nil && (p.PreviousSize != m.after.Size || p.PreviousRoot != m.after.Root):
		m.tell(LevelBroken, problem(CodePreviousLog, leafAt(0), end(m.after.Size, m.after.Root), end(p.PreviousSize, p.PreviousRoot)))
	}
}

// isRepeated says whether a record before the first head is one of the shard before, whose news aren't told again.
func (m *Monitor) isRepeated(record []byte) bool {
	return m.heads == 0 && m.inForce[sha256.Sum256(record)]
}

// begun judges, at a shard's first head, whether it repeats what was in force, and goes on in time.
func (m *Monitor) begun(h ledger.Head, leaf uint64) {
	if m.after == nil {
		return
	}
	if h.UnixMS <= m.after.UnixMS {
		m.tell(LevelBroken, problem(CodeClockBack, leafAt(leaf), "a head later than the final one of "+m.after.Origin+", "+instant(m.after.UnixMS), instant(h.UnixMS)))
	}
	inOrder := true
	for i, r := range m.after.InForce {
		inOrder = inOrder && bytes.Equal(m.records[uint64(i)+1], r)
	}
	if inOrder {
		return
	}
	there := map[ledger.Hash]bool{}
	for _, r := range m.records {
		there[sha256.Sum256(r)] = true
	}
	dropped := false
	for _, r := range m.after.InForce {
		if digest := sha256.Sum256(r); !there[digest] {
			dropped = true
			m.tell(LevelAlarm, problem(CodeNotRepeated, leafAt(leaf), fmt.Sprintf("before the first head the record of kind %s, digest %s, in force in %s", kindOf(r), hex.EncodeToString(digest[:]), m.after.Origin), "none such"))
		}
	}
	if !dropped {
		m.tell(LevelAlarm, problem(CodeNotRepeated, leafAt(leaf), fmt.Sprintf("the %d records in force in %s right after the preamble, in their order", len(m.after.InForce), m.after.Origin), "another order, or others among them"))
	}
}

// announcedNext judges, at the final head, whether verifiers can roll forward.
func (m *Monitor) announcedNext(leaf uint64) {
	if _, ok := m.registry.LogKey(m.next); !ok {
		m.tell(LevelAlarm, problem(CodeNoLogKey, leafAt(leaf), "the key of "+m.next+" announced before the final head", "no record of it"))
	}
}

// closed judges by the clock whether a year that is over has its final head.
func (m *Monitor) closed(at time.Time) {
	over := time.Date(int(m.epoch)+1, time.January, 1, 0, 0, 0, 0, time.UTC)
	if m.clock.final || m.yearTold || at.Sub(over) <= headEvery+publication {
		return
	}
	m.yearTold = true
	m.tell(LevelAlarm, problem(CodeNotFinal, CheckpointPath, "the final head of "+m.origin+", whose year is over", "none at "+text(at)))
}
