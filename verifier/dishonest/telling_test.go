// SPDX-License-Identifier: EUPL-1.2

package dishonest

import (
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/verifier"
)

// telling are the lies in what is shown: keys, openings, heads, logs, records.
var telling = []lie{
	{
		name: "shows a wrong k",
		show: func(s *stage, part *history.Shard) {
			list(part, provider).Pi, _ = s.k(ledger.SubjectAlpha(neighbour, provider, epoch))
		},
		citizen: told{verifier.CodeBadVRFProof: "A list was made with a wrong key: it isn't proven to be yours. [2026/lists/inps:"},
	},
	{
		name:     "shows the provider a wrong k",
		tell:     func(s *stage, lie bool) { s.receive(access{}); s.ofAnother = lie },
		provider: told{verifier.CodeBadVRFProof: "expected a proof of the key of this subject, scope and year"},
	},
	{
		name:     "has a key that proves any k",
		key:      func(p *ledger.Preamble) { p.VRFKey = [32]byte{1} },
		citizen:  noMonitor.and(verifier.CodeBadVRFProof, "it isn't proven to be yours"),
		monitor:  told{verifier.CodeVRFKey: "broken, leaf 0: expected a VRF key that RFC 8032 decodes and that isn't of small order"},
		provider: unseen.and(verifier.CodeBadVRFProof, "expected a proof of the key of this subject, scope and year"),
		agency:   unseen.and(verifier.CodeBadVRFProof, "expected a proof of the key of c_a944 in this year"),
	},
	{
		name: "opens to another citizen's event",
		tell: func(s *stage, lie bool) {
			other := s.bodyOf(s.receive(access{subject: neighbour}))
			s.receive(when(lie, access{body: func(b *ledger.Body) { *b = *other }}))
		},
		citizen:  told{verifier.CodeOtherSubject: "An event is explained with that of another person."},
		provider: told{verifier.CodeOtherReceipt: "/receipt_id: expected inps/", verifier.CodeOtherSubmission: "expected the submission of receipt inps/"},
		agency:   told{verifier.CodeTwice: "expected a receipt once for a citizen, found one that number 0 has"},
	},
	{
		name: "writes the citizen into another's receipt",
		tell: func(s *stage, lie bool) {
			s.receive(when(lie, access{subject: neighbour, body: func(b *ledger.Body) { b.Subject.Code = citizen }, tags: func(e *ledger.Event) {
				e.SubjectTag = s.tag(citizen, provider, 0)
			}}))
		},
		citizen:  told{"subject_mismatch": "A receipt isn't about you."},
		provider: told{verifier.CodeWrongSubject: "found one that doesn't prove to be"},
		agency:   told{"subject_mismatch": "expected the subject at this position under the receipt's root"},
	},
	{
		name: "explains two events with one receipt",
		tell: func(s *stage, lie bool) {
			first := s.bodyOf(s.receive(access{}))
			s.receive(when(lie, access{body: func(b *ledger.Body) { b.Receipt, b.Subject = first.Receipt, first.Subject }}))
		},
		citizen: told{verifier.CodeTwice: "One receipt explains two events."},
		provider: told{
			verifier.CodeOtherReceipt: "/receipt_id: expected inps/", verifier.CodeOtherSubmission: "expected the submission of receipt inps/",
			verifier.CodePlanted: "found number 1 of the subject of records line 1",
		},
		agency: told{verifier.CodeTwice: "expected a receipt once for a citizen, found one that number 0 has"},
	},
	{
		name:    "hides behind erased",
		tell:    func(s *stage, lie bool) { s.receive(access{erased: lie}) },
		citizen: told{verifier.CodeNotOpened: "An event isn't shown, and nothing entitles the ledger to that."},
		agency:  told{verifier.CodeNotOpened: "events/0/body: expected a body, or a ground for its erasure"},
	},
	{
		name: "forges a request for erasure",
		tell: func(s *stage, lie bool) {
			at := s.receive(access{erased: true})
			a := access{scope: ledger.ScopeConsent, kind: ledger.KindRequest, iss: consumer, receipt: erasing(history.Erasure{Epoch: epoch, Index: at})}
			if lie {
				a.signer, a.made, a.tags = signerOf(operator), true, randomAgency
			}
			s.receive(a)
		},
		citizen: told{"bad_signature": "A signature isn't good.", verifier.CodeNotOpened: "nothing entitles the ledger to that"},
		agency:  told{verifier.CodeNotOpened: "events/0/body: expected a body, or a ground for its erasure"},
	},
	{
		name: "asks for the erasure itself",
		tell: func(s *stage, lie bool) {
			at := s.receive(access{erased: true})
			iss := consumer
			if lie {
				iss = operator
			}
			s.receive(access{scope: ledger.ScopeConsent, kind: ledger.KindRequest, iss: iss, made: lie, receipt: erasing(history.Erasure{Epoch: epoch, Index: at})})
		},
		note:   "Events erased on a request that Ente gestore signed, saying that you made it (event 2026/10): 1. If you didn't ask, something is being hidden from you.",
		agency: told{verifier.CodeNotOpened: "events/0/body: expected a body, or a ground for its erasure"},
	},
	{
		name: "makes a body take an access back",
		tell: func(s *stage, lie bool) {
			a := access{kind: ledger.KindCorrection, receipt: stating(ledger.StatementError, s.bodyOf(s.receive(access{})))}
			if lie {
				a.signer, a.made, a.tags = signerOf(operator), true, randomAgency
			}
			s.receive(a)
		},
		citizen:  told{"bad_signature": "A signature isn't good."},
		provider: told{verifier.CodePlanted: "found number 1 of the subject of records line 1"},
	},
	{
		name: "has a stranger take an access back",
		tell: func(s *stage, lie bool) {
			first := s.bodyOf(s.receive(access{}))
			a := access{scope: ledger.ScopeReported, kind: ledger.KindDispute, iss: consumer, receipt: stating(ledger.StatementNotAsked, first)}
			if lie {
				a.iss = operator
			}
			s.receive(a)
		},
		citizen: told{ledger.CodeNotParty: "A body states something of an access that isn't its own."},
	},
	{
		name: "freezes heads",
		tell: func(s *stage, lie bool) {
			s.receive(access{})
			s.head(nil)
			s.publish()
			s.receive(access{})
			s.frozen = lie
			s.minutes(16)
		},
		citizen:  told{verifier.CodeStale: "STALE: the file shows an old state of the ledger."},
		monitor:  told{verifier.CodeHeadLate: "expected a head within 60 s of the event, found none at", verifier.CodeHeadGap: "found none at"},
		provider: told{verifier.CodeNoHead: "expected leaf 11 under a head within 2 minutes, found under none after 16m"},
		agency:   told{verifier.CodeStale: "expected a head at most 10 minutes older"},
	},
	{
		name: "back-dates heads by less than ten minutes",
		tell: func(s *stage, lie bool) {
			s.minutes(8)
			s.wait(3 * time.Minute).look(uint64(len(s.log.Leaves)))
			if lie {
				s.skew = -3 * time.Minute
			}
			s.receive(access{})
		},
		monitor: told{verifier.CodeClockBehind: "since there was none at"},
	},
	{
		name: "back-dates heads by more",
		tell: func(s *stage, lie bool) {
			s.frozen = lie
			s.minutes(12)
			s.frozen = false
			if lie {
				s.skew = -12 * time.Minute
			}
			s.receive(access{})
		},
		citizen: told{verifier.CodeStale: "STALE"},
		monitor: told{verifier.CodeClockBehind: "since there was none at", verifier.CodeHeadGap: "5 minutes"},
		agency:  told{verifier.CodeStale: "expected a head at most 10 minutes older"},
	},
	{
		name: "turns its clock back",
		tell: func(s *stage, lie bool) {
			s.minutes(4)
			if lie {
				s.skew = -10 * time.Second
			}
			s.receive(access{})
			s.head(nil)
			s.publish()
			s.skew = 0
		},
		citizen:  noMonitor.and(verifier.CodeHeadClock, "The ledger's clock went back.").and("before_head", "An event is dated before the ledger recorded it."),
		monitor:  told{verifier.CodeClockBack: "broken, leaf 11: expected a head later than"},
		provider: unseen,
		agency:   unseen.and(verifier.CodeHeadClock, "expected later than the head before").and("before_head", "expected not before the head at 9"),
	},
	{
		name: "dates heads ahead",
		tell: func(s *stage, lie bool) {
			if lie {
				s.skew = 2 * time.Minute
			}
			s.receive(access{})
		},
		citizen:  noMonitor.and(verifier.CodeHeadAhead, "The ledger states a time that lies ahead of its witnesses' clocks."),
		provider: unseen.and(verifier.CodeNoHead, "expected a head within 2 minutes of"),
		monitor:  told{verifier.CodeClockAhead: "expected a head at most 60 s later than the monitor's clock"},
		agency:   unseen.and(verifier.CodeHeadAhead, "expected not more than 60 s after the latest cosignature"),
	},
	{
		name: "dates an access to another time",
		tell: func(s *stage, lie bool) {
			s.receive(when(lie, access{body: func(b *ledger.Body) { b.RecordedAt -= 3600_000 }}))
		},
		citizen: told{"before_head": "An event is dated before the ledger recorded it."},
		agency:  told{"before_head": "expected not before the head at 8"},
	},
	{
		name: "equivocates",
		tell: func(s *stage, lie bool) {
			f := s.fork(len(s.log.Leaves))
			s.receive(access{})
			s.head(nil)
			s.publish()
			if lie {
				f.now = s.now
				f.receive(access{subject: neighbour, made: true})
				f.skew = -2 * time.Second
				f.head(nil)
				f.publish()
				s.shown = f
			}
		},
		hide:     1,
		citizen:  noMonitor.and(verifier.CodeTooFewWitnesses, "another person may be shown another one"),
		monitor:  told{verifier.CodeFork: "broken, checkpoint: expected a log that goes together with size 11"},
		provider: unseen,
		witness:  told{"refused": "the checkpoint doesn't extend what was cosigned before"},
		agency:   unseen,
	},
	{
		name:    "serves an old head",
		tell:    func(s *stage, _ bool) { s.minutes(4); s.receive(access{}); s.minutes(12) },
		show:    func(s *stage, part *history.Shard) { *part = s.shard(s.heads[1]) },
		citizen: told{verifier.CodeStale: "expected a head at most 10 minutes older than the latest cosignature"},
	},
	{
		name: "serves a checkpoint of an hour ago",
		tell: func(s *stage, lie bool) {
			s.head(nil)
			s.publish()
			if lie {
				s.file = bundle(s.t, s.shard(s.lastHead()))
			}
			s.receive(access{})
			s.minutes(60)
		},
		hide: 1,
	},
	{
		name: "serves a checkpoint of two days ago",
		tell: func(s *stage, lie bool) {
			s.receive(access{})
			s.head(nil)
			s.publish()
			if lie {
				s.file = bundle(s.t, s.shard(s.lastHead()))
				s.reads = s.now.Add(49 * time.Hour)
			}
		},
		citizen: told{verifier.CodeStale: "and at most 48 hours old"},
	},
	{
		name: "shows all an old checkpoint",
		tell: func(s *stage, lie bool) {
			s.receive(access{})
			s.head(nil)
			s.publish()
			if lie {
				s.look(uint64(len(s.log.Leaves)) - 2)
			}
		},
		monitor: told{verifier.CodeRollback: "expected size 11 or more, found size 9"},
	},
	{
		name: "leaves a scope out of the file",
		show: func(s *stage, part *history.Shard) {
			part.Lists = slices.DeleteFunc(part.Lists, func(l history.List) bool { return l.Scope == provider })
			part.Events = nil
			s.show(part)
			s.prove(part)
		},
		citizen: told{verifier.CodeWrongScopes: "The lists in the file aren't all that the ledger says there are."},
	},
	{
		name: "leaves a scope out of the head",
		tell: func(s *stage, lie bool) {
			s.receive(access{})
			if lie {
				s.scopes = nil
			}
		},
		hide:     1,
		citizen:  noMonitor,
		provider: unseen,
		monitor:  told{verifier.CodeWrongHead: "broken, leaf 10: expected scopes hash"},
		agency:   unseen,
	},
	{
		name: "leaves an event out of the head",
		tell: func(s *stage, lie bool) {
			at := s.receive(access{})
			if lie {
				s.omits = at
			}
		},
		hide:     1,
		citizen:  noMonitor,
		monitor:  told{verifier.CodeWrongHead: "broken, leaf 10: expected 2 keys, found 0 keys"},
		provider: unseen,
		agency:   unseen.and(verifier.CodeNotListed, "seen/9:"),
	},
	{
		name: "adds a key for a body",
		tell: func(s *stage, lie bool) {
			s.receive(access{})
			if lie {
				s.key(provider, "inps-2", signerOf("a key of the operator"))
				s.receive(access{signer: signerOf("a key of the operator"), kid: "inps-2", made: true})
			}
		},
		hide:     -1,
		monitor:  told{verifier.CodeUnannouncedKey: `alarm, leaf 10: expected one that its owner announced, found key "inps-2" of inps`},
		provider: told{verifier.CodeUnknownKey: "leaf 10: expected keys of inps that are its own, found another", verifier.CodePlanted: "leaf 11: expected events of the records' subjects that the records have, found number 1"},
		agency:   told{verifier.CodeNotItsOwn: "events/1/leaf: expected an entry that you were answered with, found access signed by inps"},
	},
	{
		name: "adds a key, for a citizen never served",
		tell: func(s *stage, lie bool) {
			s.receive(access{subject: neighbour})
			if lie {
				s.key(provider, "inps-2", signerOf("a key of the operator"))
				s.receive(access{signer: signerOf("a key of the operator"), kid: "inps-2", made: true, tags: randomAgency})
			}
		},
		hide:     -1,
		monitor:  told{verifier.CodeUnannouncedKey: `alarm, leaf 10: expected one that its owner announced, found key "inps-2" of inps`},
		provider: told{verifier.CodeUnknownKey: "leaf 10: expected keys of inps that are its own, found another"},
	},
	{
		name: "lists a scope of its own for a body's data",
		tell: func(s *stage, lie bool) {
			s.receive(access{})
			if lie {
				s.record(registry.Scope{ID: operator, Providers: []string{operator, provider}})
				s.scopes = append(s.scopes, operator)
				s.receive(access{scope: operator, iss: operator, made: true, tags: randomAgency})
			}
		},
		hide:     -1,
		provider: told{verifier.CodeStrangerScope: "leaf 10: expected no scope that speaks for inps beside inps, found gestore"},
		monitor:  told{verifier.CodeUnannouncedScope: "alarm, leaf 10: expected one that its owner announced, found scope gestore"},
	},
	{
		name: "shows two citizens two logs",
		of:   4,
		tell: func(s *stage, lie bool) {
			if !lie {
				s.receive(access{})
				return
			}
			// One of four witnesses is corrupt, one honest one is kept from the first log.
			w := s.parties
			w[3].corrupt = true
			f := s.fork(len(s.log.Leaves))
			s.receive(access{})
			s.head(nil)
			s.publish(w[0], w[1], w[3], s.monitor.party)
			f.now = s.now
			f.receive(access{subject: neighbour, made: true})
			f.head(nil)
			f.publish(w[2], w[3])
			s.shown, s.frozen = f, true
		},
		hide:    1,
		citizen: noMonitor.and(verifier.CodeTooFewWitnesses, "expected cosignatures of 3 of the policy's witnesses, found 2"),
	},
	{
		name:    "shows two citizens two logs, with every witness",
		tell:    func(s *stage, lie bool) { s.splitWith(lie, s.parties...) },
		hide:    1,
		citizen: noMonitor,
	},
	{
		name: "shows two citizens two logs, with all who cosign",
		tell: func(s *stage, lie bool) { s.splitWith(lie, append(s.parties, s.monitor.party)...) },
		hide: 1,
	},
}

// splitWith hides an access in a second log, which these cosign too.
func (s *stage) splitWith(lie bool, corrupt ...*party) {
	f := s.fork(len(s.log.Leaves))
	s.receive(access{})
	s.head(nil)
	s.publish()
	if lie {
		for _, p := range corrupt {
			p.corrupt = true
		}
		f.now = s.now
		f.head(nil)
		f.publish(corrupt...)
		s.shown, s.frozen = f, true
	}
}
