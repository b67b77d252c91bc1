// SPDX-License-Identifier: EUPL-1.2

package dishonest

import (
	"bytes"
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/verifier"
)

// partSize is how many events a part of the agency's list has: so few that there are several.
const partSize = 2

// list is the agency's list under the last head, as the operator has it.
func (s *stage) list() []byte {
	s.t.Helper()
	pi, k := s.k(ledger.AgencyAlpha(consumer, epoch))
	tree := s.index(s.lastHead())
	var file []byte
	for j := uint64(0); ; {
		p := &history.AgencyPart{Agency: consumer, From: j, Pi: pi, Shard: history.Shard{Origin: s.log.Origin, Head: s.lastHead()}}
		tags := []ledger.Hash{ledger.AgencyTag(k, j)}
		for len(p.Events) < partSize {
			at, ok := tree.Get(tags[len(tags)-1])
			if !ok {
				break
			}
			e := s.opened[at]
			e.Index = at
			p.Events = append(p.Events, e)
			j++
			tags = append(tags, ledger.AgencyTag(k, j))
		}
		p.Index = tree.ProveMany(tags)
		s.show(&p.Shard)
		part, err := history.FormatAgencyPart(p)
		if err != nil {
			s.t.Fatal(err)
		}
		file = append(file, part...)
		if _, more := tree.Get(tags[len(tags)-1]); !more {
			return file
		}
	}
}

// compares has the agency check its list, against the entries that its own calls were answered with.
func (s *stage) compares(policy *checkpoint.Policy) (lines []string) {
	s.t.Helper()
	calls := slices.Compact(slices.Sorted(slices.Values(s.calls)))
	r, err := verifier.Agency(bytes.NewReader(s.list()), verifier.AgencyConfig{
		Policy: policy, Now: s.now, Seen: func(string) []uint64 { return calls }, AllSeen: true,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if r.Malformed != nil {
		s.t.Fatal(r.Malformed)
	}
	for _, p := range r.Problems {
		lines = append(lines, p.Code+": "+p.Where+": expected "+p.Expected+", found "+p.Found)
	}
	return lines
}
