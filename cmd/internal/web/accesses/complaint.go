// SPDX-License-Identifier: EUPL-1.2

package accesses

import (
	"slices"

	"github.com/traccia-ledger/traccia/cmd/internal/words"
	"github.com/traccia-ledger/traccia/verifier"
)

// Find returns the accesses that events are of, newest first; false if one of the events is of no access of the list.
func (l *List) Find(chosen map[uint32][]uint64) (found []*Access, ok bool) {
	of := map[verifier.Place]*Access{}
	for _, a := range l.Accesses {
		for _, p := range a.Events {
			of[p] = a
		}
	}
	for epoch, indexes := range chosen {
		for _, index := range indexes {
			a := of[verifier.Place{Epoch: epoch, Index: index}]
			if a == nil {
				return nil, false
			}
			if !slices.Contains(found, a) {
				found = append(found, a)
			}
		}
	}
	slices.SortFunc(found, func(a, b *Access) int { return slices.Index(l.Accesses, a) - slices.Index(l.Accesses, b) })
	return found, len(found) > 0
}

// Evidence names the events that show what an access was to somebody else: its own, what bodies state of it, and the consent
// that it names.
func (l *List) Evidence(a *Access) (ids []string) {
	places := slices.Concat(a.Events, a.Statements)
	for _, c := range l.Report.Consents {
		if c.ID == a.Consent && a.Consent != "" {
			places = append(places, verifier.Place{Epoch: c.Epoch, Index: c.Index})
		}
	}
	for _, p := range places {
		ids = append(ids, words.Place(p))
	}
	return ids
}
