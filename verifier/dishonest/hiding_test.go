// SPDX-License-Identifier: EUPL-1.2

package dishonest

import (
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/verifier"
)

// hiding are the lies in numbers and tags.
var hiding = []lie{
	{
		name: "skips a number",
		tell: func(s *stage, lie bool) {
			s.receive(access{})
			s.receive(when(lie, access{number: number(2)}))
		},
		hide:     1,
		provider: told{"number_gap": "records line 2: expected number 1, found number 2"},
	},
	{
		name: "skips a number, tells the right one",
		tell: func(s *stage, lie bool) {
			s.receive(access{})
			s.receive(when(lie, access{number: number(2), told: number(1)}))
		},
		hide: 1,
		provider: told{
			verifier.CodeWrongTag: "expected the tag of number 1 in leaf 10",
			verifier.CodePlanted:  "leaf 10: expected events of the records' subjects that the records have, found number 2",
		},
	},
	{
		name: "skips a number, shows all",
		tell: func(s *stage, lie bool) {
			s.receive(access{})
			s.receive(access{subject: neighbour})
			s.receive(when(lie, access{number: number(2)}))
		},
		show: func(s *stage, part *history.Shard) {
			list(part, provider).Count = 3
			for at, e := range s.opened {
				if at != part.Events[0].Index {
					part.Events = append(part.Events, e)
				}
			}
			slices.SortFunc(part.Events, func(a, b history.Event) int { return int(a.Index) - int(b.Index) })
			s.show(part)
			s.prove(part)
		},
		citizen: told{
			verifier.CodeNumberAbsent: "An event with a number between others is left out. [2026/lists/inps/1:",
			verifier.CodeStrayEvent:   "an event that isn't in your lists",
		},
		provider: told{"number_gap": "expected number 1, found number 2"},
	},
	{
		name: "gives a random tag",
		tell: func(s *stage, lie bool) {
			s.receive(access{})
			s.receive(when(lie, access{tags: random}))
		},
		hide:     1,
		provider: told{verifier.CodeWrongTag: "expected the tag of number 1 in leaf 10"},
	},
	{
		name: "gives a random agency tag",
		tell: func(s *stage, lie bool) {
			s.receive(access{})
			s.receive(when(lie, access{tags: randomAgency}))
		},
		agency: told{verifier.CodeNotListed: "seen/10: expected the entry in your list, found none"},
	},
	{
		name: "acknowledges and doesn't record",
		tell: func(s *stage, lie bool) {
			s.receive(access{lost: lie})
			s.receive(access{subject: neighbour, lost: lie})
		},
		hide:     1,
		provider: told{verifier.CodeLeafMissing: "expected the event that it was answered with, at leaf 9"},
		agency:   told{verifier.CodeNotListed: "seen/9: expected the entry in your list, found none"},
	},
	{
		name: "skips a number, as the provider does",
		tell: func(s *stage, lie bool) {
			s.receive(access{})
			s.receive(when(lie, access{number: number(2)}))
			if lie {
				*s.provider = ownRecords{}
			}
		},
		hide: 1,
	},
	{
		name: "puts an access into +deferred",
		tell: func(s *stage, lie bool) {
			s.receive(when(lie, access{
				tags: func(e *ledger.Event) { e.SubjectTag = s.tag(citizen, ledger.ScopeDeferred, 0) },
				body: func(b *ledger.Body) { b.Scope = ledger.ScopeDeferred },
			}))
		},
		hide:     1,
		note:     "Accesses of 2026 whose notice a judge or a law defers may exist",
		provider: told{verifier.CodeOtherScope: "expected inps, found +deferred"},
		agency:   told{"no_order": "expected an order exactly for accesses in +deferred"},
	},
	{
		name: "reuses a number",
		tell: func(s *stage, lie bool) {
			s.receive(access{})
			s.receive(when(lie, access{number: number(0), told: number(1)}))
		},
		citizen:  noMonitor,
		monitor:  told{verifier.CodeTagRepeated: "broken, leaf 10: expected a tag that stands nowhere else, found the subject tag of leaf 9"},
		provider: unseen.and(verifier.CodeWrongTag, "expected the tag of number 1 in leaf 10").and(verifier.CodePlanted, "number 0 of the subject of records line 1 again"),
		agency:   unseen,
	},
	{
		name: "reuses a number, tells it",
		tell: func(s *stage, lie bool) {
			s.receive(access{})
			s.receive(when(lie, access{number: number(0)}))
		},
		citizen:  noMonitor,
		monitor:  told{verifier.CodeTagRepeated: "the subject tag of leaf 9"},
		provider: unseen.and(verifier.CodeNumberGap, "expected number 1, found number 0").and(verifier.CodeNotListed, "expected leaf 10 as the first with the tag of number 0, found leaf 9"),
		agency:   unseen,
	},
	{
		name: "tells of a predecessor",
		tell: func(s *stage, lie bool) { s.receive(when(lie, access{number: number(1)})) },
		hide: 1, provider: told{"number_gap": "expected number 0, found number 1"},
	},
	{
		name: "plants a predecessor",
		tell: func(s *stage, lie bool) {
			if lie {
				s.receive(access{number: number(0), made: true, erased: true, tags: randomAgency})
			}
			s.receive(when(lie, access{number: number(1)}))
		},
		citizen:  told{verifier.CodeNotOpened: "nothing entitles the ledger to that"},
		provider: told{"number_gap": "expected number 0, found number 1"},
		agency:   told{verifier.CodeNotListed: "seen/10: expected the entry in your list, found none"},
	},
	{
		name: "plants a predecessor afterwards",
		tell: func(s *stage, lie bool) {
			s.receive(when(lie, access{number: number(1)}))
			if lie {
				s.receive(access{number: number(0), made: true, erased: true, tags: randomAgency})
			}
		},
		citizen: told{
			verifier.CodeNotAscending: "numbered in another order than the ledger's",
			verifier.CodeNotOpened:    "nothing entitles the ledger to that",
		},
		provider: told{"number_gap": "expected number 0, found number 1"},
	},
	{
		name: "makes twins of a leaf",
		tell: func(s *stage, lie bool) {
			s.receive(access{})
			if lie {
				s.log.Add(s.log.Leaves[len(s.log.Leaves)-1])
			}
		},
		citizen:  noMonitor,
		monitor:  told{verifier.CodeTagRepeated: "the subject tag of leaf 9"},
		provider: unseen.and(verifier.CodePlanted, "leaf 10: expected events of the records' subjects that the records have, found number 0"),
		agency:   unseen,
	},
	{
		name: "makes twins, answers with the second",
		tell: func(s *stage, lie bool) {
			if lie {
				s.receive(access{number: number(0), made: true, erased: true, tags: randomAgency})
			}
			s.receive(when(lie, access{number: number(0)}))
		},
		citizen:  noMonitor.and(verifier.CodeNotOpened, "nothing entitles the ledger to that"),
		monitor:  told{verifier.CodeTagRepeated: "the subject tag of leaf 9"},
		provider: unseen.and(verifier.CodeNotListed, "expected leaf 10 as the first with the tag of number 0, found leaf 9"),
		agency:   unseen.and(verifier.CodeNotListed, "seen/10:"),
	},
	{
		name: "plants a twin in the other field",
		tell: func(s *stage, lie bool) {
			if lie {
				s.receive(access{subject: neighbour, made: true, tags: func(e *ledger.Event) { e.AgencyTag = s.tag(citizen, provider, 0) }})
			}
			s.receive(access{})
		},
		citizen: noMonitor.and(verifier.CodeWrongTag, "An entry stands in place of one of your events and isn't one.").
			and(verifier.CodeOtherSubject, "explained with that of another person"),
		monitor:  told{verifier.CodeTagRepeated: "broken, leaf 10: expected a tag that stands nowhere else"},
		provider: unseen.and(verifier.CodeNotListed, "expected leaf 10 as the first with the tag of number 0, found leaf 9"),
		agency:   unseen.and(verifier.CodeNotListed, "seen/10:"),
	},
	{
		name: "plants a twin but for the last bit",
		tell: func(s *stage, lie bool) {
			if lie {
				s.receive(access{subject: neighbour, made: true, tags: func(e *ledger.Event) {
					e.AgencyTag = s.tag(citizen, provider, 0)
					e.AgencyTag[31] ^= 1
				}})
			}
			s.receive(access{})
		},
		citizen:  noMonitor,
		monitor:  told{verifier.CodeTagRepeated: "broken, leaf 10: expected a tag that stands nowhere else"},
		provider: unseen.and(verifier.CodeNotListed, "expected leaf 10 as the first with the tag of number 0, found leaf 9"),
		agency:   unseen.and(verifier.CodeNotListed, "seen/10:"),
	},
}
