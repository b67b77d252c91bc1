// SPDX-License-Identifier: EUPL-1.2

package fsck

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// Receipts of a session of break-glass each name the one before, and the record of its end says how many the ledger
// acknowledged. Only who opens all bodies can tell that none is missing.

// emergencyID names a session by its scope and uuid.
type emergencyID struct{ scope, session string }

// emergency is what the readings learn of one, over all shards.
type emergency struct {
	state    registry.Session // as the newest shard that has it says
	receipts map[int]emergencyReceipt
}

type emergencyReceipt struct {
	index             uint64
	epoch             uint32
	payload, previous ledger.Hash
}

// inEmergency notes an event's receipt.
func (s *shard) inEmergency(e *event) {
	if e.emergency == nil {
		return
	}
	known := s.emergencies[*e.emergency]
	if known == nil {
		known = &emergency{receipts: map[int]emergencyReceipt{}}
		s.emergencies[*e.emergency] = known
	}
	r := emergencyReceipt{e.index, s.epoch, e.payload, ledger.Hash(e.glass.Previous)}
	if other, twice := known.receipts[e.glass.Number]; twice && other.payload != r.payload {
		s.report.problem(CodeRepeated, e.emergency.where(), fmt.Sprintf("number %d once, as at leaf %d of %d", e.glass.Number, other.index, other.epoch), fmt.Sprintf("another receipt at leaf %d of %d", r.index, r.epoch))
		return
	}
	known.receipts[e.glass.Number] = r
}

// readEmergencies takes what a shard's records say of sessions.
func (s *shard) readEmergencies() {
	for _, state := range s.log.registry.Sessions() {
		id := emergencyID{state.Scope, state.Session}
		if s.emergencies[id] == nil {
			s.emergencies[id] = &emergency{receipts: map[int]emergencyReceipt{}}
		}
		s.emergencies[id].state = state
	}
}

func (id emergencyID) where() string { return "break-glass/" + id.scope + "/" + id.session }

// endEmergencies judges every session, over all shards.
func (c *check) endEmergencies(context.Context) error {
	for id, s := range c.emergencies {
		for _, number := range slices.Sorted(maps.Keys(s.receipts)) {
			r := s.receipts[number]
			if before, ok := s.receipts[number-1]; ok && before.payload != r.previous {
				c.report.problem(CodeMismatch, id.where(), fmt.Sprintf("a receipt %d that names the one before, at leaf %d", number, before.index), fmt.Sprintf("another at leaf %d", r.index))
			}
		}
		c.endEmergency(id, s)
	}
	return nil
}

func (c *check) endEmergency(id emergencyID, s *emergency) {
	closed := s.state.Closed
	if closed == nil {
		return
	}
	if last, ok := s.receipts[closed.Count]; ok && last.payload != ledger.Hash(closed.Last) {
		c.report.problem(CodeMismatch, id.where(), "a last receipt as the record of the session's end names it", fmt.Sprintf("another at leaf %d", last.index))
	}
	// What was erased can't be counted.
	if n := len(s.receipts); n < closed.Recorded && c.report.BodiesErased == 0 {
		var missing []string
		for number := 1; number <= closed.Count && len(missing) < 10; number++ {
			if _, ok := s.receipts[number]; !ok {
				missing = append(missing, fmt.Sprint(number))
			}
		}
		c.report.problem(CodeMissing, id.where(), fmt.Sprintf("%d recorded receipts of this session", closed.Recorded), fmt.Sprintf("%d, without %s", n, strings.Join(missing, ", ")))
	}
}
