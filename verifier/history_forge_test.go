// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/verifier"
)

const month = 31 * 24 * time.Hour

// consentOf makes a receipt rest on a consent.
func consentOf(id string) func(r *ledger.Receipt) {
	return func(r *ledger.Receipt) { r.ConsentID = id }
}

func erasing(e history.Erasure) func(r *ledger.Receipt) {
	return func(r *ledger.Receipt) { r.Operation = e.Operation() }
}

// TestForgedHistory breaks each rule of docs/formats.md section 5 that a citizen's verifier checks, and expects to be
// told which.
func TestForgedHistory(t *testing.T) {
	other := citizens(2)[1].Subject
	number := func(n uint32) *uint32 { return &n }
	given := event{scope: ledger.ScopeConsent, kind: ledger.KindConsentGiven, iss: consumer}
	withdrawn := event{scope: ledger.ScopeConsent, kind: ledger.KindConsentWithdrawn, iss: consumer}
	onConsent := event{receipt: consentOf(consentID)}
	giving := func(change func(r *consent.Record)) event { e := given; e.record = change; return e }
	again := giving(func(r *consent.Record) { r.ID = "6f1c2d3e-52f0-4d0e-9d5e-3f1b7f0f7a12" })
	request := func(e history.Erasure) event {
		return event{scope: ledger.ScopeConsent, kind: ledger.KindRequest, iss: consumer, receipt: erasing(e)}
	}
	lookUp := event{scope: ledger.ScopeLedger, kind: ledger.KindLookUp, iss: requester}
	body := func(f func(b *ledger.Body)) event { return event{body: f} }
	receipt := func(f func(r *ledger.Receipt)) event { return event{receipt: f} }

	for name, c := range map[string]struct {
		make   func(m *made)                    // the events; nil for one access
		change func(m *made, s *history.Shard)  // of what is shown
		reader func(m *made)                    // policy and clock
		bundle func(m *made, b *history.Bundle) // of the whole
		want   string                           // code; "" if complete
		states []string                         // if given
	}{
		"an access":   {},
		"no access":   {make: func(m *made) {}},
		"two of each": {make: func(m *made) { m.event(event{}); m.event(event{}); m.event(lookUp); m.event(lookUp) }},
		"others' events between": {make: func(m *made) {
			m.event(event{subject: other})
			m.event(event{})
			m.event(event{subject: other})
			m.head(nil)
			m.event(event{subject: other})
		}},
		"deferred may exist": {make: func(m *made) { m.event(event{scope: ledger.ScopeDeferred}) }},
		"denied by nobody":   {make: func(m *made) { m.event(event{kind: ledger.KindDenied}) }, want: ledger.CodeDecision},

		// The checkpoint and who cosigned it.
		"another log's key":     {reader: func(m *made) { m.policy.Logs[0].VKey = newMade(m.t, 2026, nil).log.VKey }, want: verifier.CodeBadCheckpoint},
		"no cosignature":        {change: func(m *made, s *history.Shard) { s.Checkpoint = m.cosigned() }, want: verifier.CodeTooFewWitnesses},
		"no monitor":            {change: func(m *made, s *history.Shard) { s.Checkpoint = m.cosigned(m.witness) }, want: verifier.CodeNoMonitor},
		"a monitor alone":       {change: func(m *made, s *history.Shard) { s.Checkpoint = m.cosigned(m.monitor) }, want: verifier.CodeTooFewWitnesses},
		"a policy's no monitor": {reader: func(m *made) { m.policy.Monitors = nil }, want: verifier.CodeNoMonitor},
		"another origin":        {bundle: func(m *made, b *history.Bundle) { b.Shards[0].Origin = "altro.example/2026" }, want: verifier.CodeWrongOrigin},
		"another year":          {bundle: func(m *made, b *history.Bundle) { b.Shards[0].Origin = "registro.example/2025" }, want: verifier.CodeWrongOrigin},

		// The leaves.
		"a leaf changed": {change: func(_ *made, s *history.Shard) {
			s.Leaves[1].Leaf = append(slices.Clone(s.Leaves[1].Leaf), 0)
		}, want: verifier.CodeBadProof},
		"no preamble":            {change: func(m *made, s *history.Shard) { m.show(s, without(s, 0)) }, want: verifier.CodeNoPreamble},
		"a malformed leaf shown": {make: func(m *made) { m.event(event{}); m.log.Add([]byte("no leaf")) }, want: verifier.CodeMalformedLeaf},
		"a leaf of another year": {make: func(m *made) {
			m.event(event{})
			m.leaf(ledger.Record{Epoch: 2025, JSON: []byte(`{"kind":"other"}`)})
		}, want: verifier.CodeWrongEpoch},
		"a second preamble": {make: func(m *made) {
			m.event(event{})
			m.leaf(ledger.Preamble{Epoch: 2026, VRFKey: m.vrf.Public(), Name: ledgerName})
		}, want: verifier.CodeNoPreamble},

		// The head.
		"a record for a head": {change: func(_ *made, s *history.Shard) { s.Head = 1 }, want: verifier.CodeNoHead},
		"a head not there":    {change: func(_ *made, s *history.Shard) { s.Head++ }, want: verifier.CodeNoHead},
		"an old head": {change: func(m *made, s *history.Shard) {
			m.at = m.at.Add(11 * time.Minute)
			s.Checkpoint = m.cosigned(m.witness, m.monitor)
		}, want: verifier.CodeStale},
		"a head as old as may be": {change: func(m *made, s *history.Shard) {
			m.at = m.at.Add(9 * time.Minute)
			s.Checkpoint = m.cosigned(m.witness, m.monitor)
		}},
		"read two days later": {reader: func(m *made) { m.now = m.now.Add(48 * time.Hour) }, want: verifier.CodeStale},
		"a head ahead of the witnesses": {change: func(m *made, s *history.Shard) {
			m.at = m.at.Add(-63 * time.Second)
			s.Checkpoint = m.cosigned(m.witness, m.monitor)
		}, want: verifier.CodeHeadAhead},
		"a frozen clock": {make: func(m *made) {
			m.head(nil)
			m.event(event{})
			m.head(func(h *ledger.Head) { h.UnixMS -= 5000 })
		}, want: verifier.CodeHeadClock},
		"a clock beyond all years": {make: func(m *made) { m.event(event{}); m.wrongHead(func(h *ledger.Head) { h.UnixMS = 1<<64 - 1 }) }, want: verifier.CodeHeadAhead},
		"another root":             {make: func(m *made) { m.event(event{}); m.wrongHead(func(h *ledger.Head) { h.Root[0] ^= 1 }) }, want: verifier.CodeBadIndexProof},
		"another scopes":           {make: func(m *made) { m.event(event{}); m.wrongHead(func(h *ledger.Head) { h.Scopes[0] ^= 1 }) }, want: verifier.CodeWrongScopes},

		// The lists.
		"a scope left out":          {change: func(_ *made, s *history.Shard) { s.Lists = s.Lists[:len(s.Lists)-1] }, want: verifier.CodeWrongScopes},
		"a reserved scope left out": {change: func(_ *made, s *history.Shard) { s.Lists = s.Lists[1:] }, want: verifier.CodeWrongScopes},
		"a scope too many": {change: func(_ *made, s *history.Shard) {
			s.Lists = append(s.Lists, history.List{Scope: "zz", Pi: s.Lists[0].Pi})
		}, want: verifier.CodeWrongScopes},
		"a list without its key": {change: func(_ *made, s *history.Shard) { s.Lists[0].Pi = nil }, want: verifier.CodeNoVRFProof},
		"a wrong key": {change: func(m *made, s *history.Shard) {
			pi, _ := m.k(other, s.Lists[0].Scope)
			s.Lists[0].Pi = pi[:]
		}, want: verifier.CodeBadVRFProof},
		"another scope's key":           {change: func(_ *made, s *history.Shard) { s.Lists[0].Pi = s.Lists[2].Pi }, want: verifier.CodeBadVRFProof},
		"another citizen":               {bundle: func(_ *made, b *history.Bundle) { b.Subject = other }, want: verifier.CodeBadVRFProof},
		"an event left out of the file": {change: func(_ *made, s *history.Shard) { s.Events = nil }, want: ledger.CodeCountMismatch},
		"an event cut off, proven as more": {make: func(m *made) { m.event(event{}); m.event(event{}) }, change: func(m *made, s *history.Shard) {
			// The proof for a shorter list shows that its next number is taken.
			list := &s.Lists[len(s.Lists)-1]
			list.Count, s.Events = 1, s.Events[:1]
			s.Index = m.keys.ProveMany(m.tagsOf(s))
		}, want: verifier.CodeMoreEvents},
		"a number skipped": {make: func(m *made) { m.event(event{}); m.event(event{number: number(2)}) }, change: func(m *made, s *history.Shard) {
			list := &s.Lists[len(s.Lists)-1]
			list.Count = 3
			s.Events = append(s.Events, m.opened[uint64(len(m.log.Leaves))-2], history.Event{Index: s.Head + 1})
			s.Index = m.keys.ProveMany(m.tagsOf(s))
		}, want: verifier.CodeNumberAbsent},
		"an index proof of another list": {change: func(_ *made, s *history.Shard) { s.Index[len(s.Index)-1] ^= 1 }, want: verifier.CodeBadIndexProof},

		// What a tag leads to.
		"the tag in another field": {make: func(m *made) {
			m.event(event{tags: func(e *ledger.Event) { e.SubjectTag, e.AgencyTag = e.AgencyTag, e.SubjectTag }})
		}, want: verifier.CodeWrongTag, states: []string{verifier.StateUnexplained}},
		"the leaf not shown": {change: func(m *made, s *history.Shard) { m.show(s, without(s, s.Events[0].Index)) }, want: verifier.CodeLeafMissing, states: []string{verifier.StateWithheld}},
		"a stray event": {make: func(m *made) { m.event(event{}); m.event(event{subject: other}) }, change: func(m *made, s *history.Shard) {
			s.Events[0] = m.opened[s.Head-1]
			m.show(s, append(without(s, s.Head), s.Head-1, s.Head))
		}, want: verifier.CodeStrayEvent},
		"numbers against the log's order": {make: func(m *made) { m.event(event{number: number(1)}); m.event(event{number: number(0)}) }, want: verifier.CodeNotAscending},
		"an event behind the head": {make: func(m *made) {
			_, k := m.k(m.subject, provider)
			m.keys.Insert(ledger.SubjectTag(&k, 0), uint64(len(m.log.Leaves))+1) // the head knows it already
			m.head(nil)
			m.event(event{hidden: true})
		}, want: verifier.CodeNotCovered, change: func(m *made, s *history.Shard) { s.Head = m.heads[len(m.heads)-2]; m.show(s, everything(m)) }},

		// What an opened event must satisfy.
		"another body":           {change: func(m *made, s *history.Shard) { s.Events[0].Body = append(slices.Clone(s.Events[0].Body), ' ') }, want: "commitment_mismatch"},
		"another nonce":          {change: func(m *made, s *history.Shard) { n := *s.Events[0].Nonce; n[0] ^= 1; s.Events[0].Nonce = &n }, want: "commitment_mismatch"},
		"a body of another log":  {make: func(m *made) { m.event(body(func(b *ledger.Body) { b.Origin = "registro.example/2025" })) }, want: "wrong_origin"},
		"another's receipt":      {make: func(m *made) { m.event(body(func(b *ledger.Body) { b.Subject.Code = other })) }, want: verifier.CodeOtherSubject},
		"another salt":           {make: func(m *made) { m.event(body(func(b *ledger.Body) { b.Subject.Salt[0] ^= 1 })) }, want: "subject_mismatch"},
		"another position":       {make: func(m *made) { m.event(body(func(b *ledger.Body) { b.Subject.Position = 1 })) }, want: "subject_mismatch"},
		"a body of another list": {make: func(m *made) { m.event(body(func(b *ledger.Body) { b.Scope = ledger.ScopeReported })) }, want: verifier.CodeOtherScope},
		"another ledger's":       {make: func(m *made) { m.event(receipt(func(r *ledger.Receipt) { r.Aud = "altro.example" })) }, want: "wrong_audience"},
		"a forged signature":     {make: func(m *made) { m.event(event{signer: signerOf("nobody")}) }, want: "bad_signature"},
		"an unknown key":         {make: func(m *made) { m.event(event{kid: "k9"}) }, want: "key_unknown"},
		"a key registered later": {make: func(m *made) {
			m.event(event{kid: "late", signer: signerOf("late")})
			m.key(provider, "late", signerOf("late"))
		}, want: "key_unknown"},
		"a revoked key":                    {make: func(m *made) { m.record(registry.KeyRevoked{Body: provider, Kid: provider + "-1"}); m.event(event{}) }, want: "key_revoked"},
		"a key revoked later":              {make: func(m *made) { m.event(event{}); m.record(registry.KeyRevoked{Body: provider, Kid: provider + "-1"}) }},
		"an issuer that speaks for nobody": {make: func(m *made) { m.event(event{iss: "c_f205"}) }, want: "no_scope"},
		"a scope listed too late": {make: func(m *made) {
			m.event(event{scope: "c_f205", iss: "c_f205"})
			m.scope("c_f205", provider)
		}, want: "no_scope"},
		"a provider dropped before":             {make: func(m *made) { m.scope(provider, "c_f205"); m.event(event{}) }, want: "no_scope"},
		"a provider dropped later":              {make: func(m *made) { m.event(event{}); m.scope(provider, "c_f205") }},
		"another agency":                        {make: func(m *made) { m.event(body(func(b *ledger.Body) { b.Agency = "c_f205" })) }, want: "wrong_agency"},
		"a consumer's receipt for a provider's": {make: func(m *made) { m.event(receipt(func(r *ledger.Receipt) { r.Role = ledger.RoleConsumer })) }, want: verifier.CodeWrongRole},
		"a receipt that names the citizen": {make: func(m *made) {
			m.event(receipt(func(r *ledger.Receipt) { r.Purpose = "ISEE di " + strings.ToLower(string(m.subject)) }))
		}, want: ledger.CodeNamesSubject},
		"dated before the head": {make: func(m *made) { m.event(body(func(b *ledger.Body) { b.RecordedAt -= 3000 })) }, want: "before_head"},
		"dated after the head":  {make: func(m *made) { m.event(body(func(b *ledger.Body) { b.RecordedAt += 3000 })) }, want: "after_head"},
		"of another year": {make: func(m *made) {
			m.event(body(func(b *ledger.Body) { b.RecordedAt -= int64(13 * month / time.Millisecond) }))
		}, want: "other_year"},
		"a receipt twice": {make: func(m *made) {
			m.event(event{jti: "11111111-1111-4111-8111-111111111111"})
			m.event(event{jti: "11111111-1111-4111-8111-111111111111"})
		}, want: verifier.CodeTwice},
		"a look-up without a request": {make: func(m *made) {
			e := lookUp
			e.receipt = func(r *ledger.Receipt) {
				r.Role, r.EService, r.PurposeID, r.Pair = ledger.RoleConsumer, eservice, purposeID, ledger.Hex{1}
			}
			m.event(e)
		}, want: verifier.CodeWrongRole},
		"a look-up of another list": {make: func(m *made) { e := lookUp; e.scope = provider; m.event(e) }, want: "wrong_scope"},
		"a look-up that another signed": {make: func(m *made) {
			e := lookUp
			e.body = func(b *ledger.Body) { b.Agency = consumer }
			m.event(e)
		}, want: "wrong_issuer"},

		// Heads around an event.
		"heads left out": {make: func(m *made) {
			m.event(event{})
			m.wait(3 * time.Minute).head(nil)
			m.wait(3 * time.Minute).head(nil)
		}, change: func(m *made, s *history.Shard) {
			m.show(s, without(s, m.heads[1]))
		}, want: verifier.CodeHeadsApart},
		"heads left out, but near": {make: func(m *made) { m.event(event{}); m.head(nil) }, change: func(m *made, s *history.Shard) {
			m.show(s, without(s, m.heads[1]))
		}},
		"neighbours far apart": {make: func(m *made) {
			m.wait(time.Hour).event(event{})
			m.record(`{"kind":"other"}`)
			m.event(event{subject: other})
		}},
		"a record between not shown": {make: func(m *made) {
			m.wait(time.Hour).event(event{})
			m.record(`{"kind":"other"}`)
		}, change: func(m *made, s *history.Shard) { m.show(s, without(s, s.Head-1)) }, want: verifier.CodeHeadsApart},
		"no head before": {change: func(m *made, s *history.Shard) { m.show(s, without(s, m.heads[0])) }, want: verifier.CodeNoHeads},

		// Consents.
		"a consent given before": {make: func(m *made) { m.event(given); m.event(onConsent) }},
		"a consent never given":  {make: func(m *made) { m.event(onConsent) }, want: verifier.CodeNoConsent},
		"a consent given later":  {make: func(m *made) { m.event(onConsent); m.event(given) }, want: verifier.CodeNoConsent},
		"a consent withdrawn":    {make: func(m *made) { m.event(given); m.event(withdrawn); m.event(onConsent) }, want: verifier.CodeNoConsent},
		"a consent given again": {make: func(m *made) {
			m.event(given)
			m.event(withdrawn)
			m.event(again)
			m.event(event{receipt: consentOf("6f1c2d3e-52f0-4d0e-9d5e-3f1b7f0f7a12")})
		}},
		"a consent played again": {make: func(m *made) { m.event(given); m.event(withdrawn); m.event(given) }, want: ledger.CodeRepeated},
		"a consent at no place of the list": {make: func(m *made) {
			m.event(given)
			m.event(giving(func(r *consent.Record) { r.ID, r.Previous = "6f1c2d3e-52f0-4d0e-9d5e-3f1b7f0f7a12", nil }))
		}, want: consent.CodeOtherPlace},
		"a consent for another year": {make: func(m *made) { m.event(giving(func(r *consent.Record) { r.Epoch-- })) }, want: consent.CodeOtherPlace},
		"a consent for another body": {make: func(m *made) {
			m.event(giving(func(r *consent.Record) { r.Terms.Recipients = []string{"c_f205"} }))
			m.event(onConsent)
		}, want: verifier.CodeNoConsent},
		"a consent for another purpose": {make: func(m *made) {
			m.event(giving(func(r *consent.Record) { r.Terms.Purposes = []string{"Altro"} }))
			m.event(onConsent)
		}, want: verifier.CodeNoConsent},
		"a consent for other data": {make: func(m *made) {
			m.event(giving(func(r *consent.Record) { r.Terms.Categories = []string{"Altro"} }))
			m.event(onConsent)
		}, want: verifier.CodeNoConsent},
		"a consent that is over": {make: func(m *made) {
			m.event(giving(func(r *consent.Record) { r.Validity.Until = r.Validity.From.Add(time.Minute) }))
			m.wait(time.Hour).event(onConsent)
		}, want: verifier.CodeNoConsent},
		"a consent refused": {make: func(m *made) {
			e := given
			e.kind = ledger.KindConsentRefused
			m.event(e)
			m.event(onConsent)
		}, want: verifier.CodeNoConsent},
		"a consent that was erased": {make: func(m *made) {
			e := given
			e.erased = true
			at := m.event(e)
			m.event(onConsent)
			m.event(request(history.Erasure{Epoch: 2026, Index: at}))
		}, states: []string{verifier.StateErased, verifier.StateOpen, verifier.StateOpen}},
		"a withdrawal that was erased": {make: func(m *made) {
			m.event(given)
			e := withdrawn
			e.erased = true
			at := m.event(e)
			m.event(onConsent)
			m.event(request(history.Erasure{Epoch: 2026, Index: at}))
		}},
		"a consent without a record": {make: func(m *made) {
			e := given
			e.body = func(b *ledger.Body) { b.Consent = json.RawMessage(`{}`) }
			m.event(e)
		}, want: ledger.CodeMissing},
		"a consent withdrawn later": {make: func(m *made) { m.event(given); m.event(onConsent); m.event(withdrawn) }},
		"a consent that another signed": {make: func(m *made) {
			e := given
			e.body = func(b *ledger.Body) { b.Agency = "c_f205" }
			m.event(e)
			m.event(onConsent)
		}, want: verifier.CodeNoConsent},

		// Erasures.
		"not opened": {make: func(m *made) { m.event(event{erased: true}) }, want: verifier.CodeNotOpened, states: []string{verifier.StateWithheld}},
		"retention over": {make: func(m *made) {
			m.record(`{"kind":"retention","months":1}`)
			m.event(event{erased: true})
			m.head(nil)
			m.wait(month + time.Hour)
		}, states: []string{verifier.StateErased}},
		"retention not over": {make: func(m *made) {
			m.record(`{"kind":"retention","months":2}`)
			m.event(event{erased: true})
			m.head(nil)
			m.wait(month + time.Hour)
		}, want: verifier.CodeNotOpened},
		"retention made longer": {make: func(m *made) {
			m.record(`{"kind":"retention","months":1}`)
			m.event(event{erased: true})
			m.head(nil)
			m.record(`{"kind":"retention","months":24}`)
			m.wait(month + time.Hour)
		}, want: verifier.CodeNotOpened},
		"retention made shorter": {make: func(m *made) {
			m.record(`{"kind":"retention","months":24}`)
			m.event(event{erased: true})
			m.head(nil)
			m.record(`{"kind":"retention","months":1}`)
			m.wait(month + time.Hour)
		}, want: verifier.CodeNotOpened},
		"retention stated too late": {make: func(m *made) {
			m.event(event{erased: true})
			m.head(nil)
			m.record(`{"kind":"retention","months":1}`)
			m.wait(month + time.Hour)
		}, want: verifier.CodeNotOpened},
		"asked for, by index": {make: func(m *made) {
			at := m.event(event{erased: true})
			m.event(request(history.Erasure{Epoch: 2026, Index: at}))
		}, states: []string{verifier.StateErased, verifier.StateOpen}},
		"asked for, by month": {make: func(m *made) {
			m.event(event{erased: true})
			m.event(request(history.Erasure{Month: "2026-06"}))
		}, states: []string{verifier.StateErased, verifier.StateOpen}},
		"asked for another": {make: func(m *made) {
			at := m.event(event{erased: true})
			m.event(request(history.Erasure{Epoch: 2026, Index: at + 1}))
		}, want: verifier.CodeNotOpened},
		"asked for another month": {make: func(m *made) {
			m.event(event{erased: true})
			m.event(request(history.Erasure{Month: "2026-05"}))
		}, want: verifier.CodeNotOpened},
		"asked for before it": {make: func(m *made) {
			m.event(request(history.Erasure{Month: "2026-06"}))
			m.event(event{erased: true})
		}, want: verifier.CodeNotOpened},
		"asked for by a request that isn't right": {make: func(m *made) {
			at := m.event(event{erased: true})
			e := request(history.Erasure{Epoch: 2026, Index: at})
			e.signer = signerOf("nobody")
			m.event(e)
		}, want: verifier.CodeNotOpened},
		"asked for by an access": {make: func(m *made) {
			at := m.event(event{erased: true})
			m.event(receipt(erasing(history.Erasure{Epoch: 2026, Index: at})))
		}, want: verifier.CodeNotOpened},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMade(t, 2026, nil)
			if c.make == nil {
				m.event(event{})
			} else {
				c.make(m)
			}
			m.settle()
			b := m.bundle()
			if c.change != nil {
				c.change(m, &b.Shards[0])
			}
			if c.bundle != nil {
				c.bundle(m, b)
			}
			if c.reader != nil {
				c.reader(m)
			}
			r := m.check(b)
			if found := codes(r); r.Complete != (c.want == "") || c.want != "" && !slices.Contains(found, c.want) {
				t.Errorf("complete %v, want %q: %v", r.Complete, c.want, r.Problems)
			}
			if c.want != "" && (r.Proven() || len(r.Missing("en")) != len(r.Problems)) {
				t.Errorf("proven, or not said in words: %v", r.Missing("en"))
			}
			checkSteps(t, r)
			var states []string
			for _, e := range r.Events {
				states = append(states, e.State)
			}
			if c.states != nil && !slices.Equal(states, c.states) {
				t.Errorf("states %v, want %v", states, c.states)
			}
			for _, p := range r.Problems {
				if strings.Contains(p.Error(), string(m.subject)) || strings.Contains(p.Error(), string(other)) {
					t.Errorf("a problem names a citizen: %s", p.Code)
				}
			}
		})
	}
}

// checkSteps: each problem belongs to one step, and a step is right only without any.
func checkSteps(t *testing.T, r *verifier.HistoryReport) {
	t.Helper()
	told, failed := 0, false
	for _, s := range r.Steps() {
		told += len(s.Problems)
		failed = failed || s.State == verifier.StepFailed
		if (len(s.Problems) > 0) != (s.State == verifier.StepFailed) {
			t.Errorf("step %s is %s with %d problems", s.Name, s.State, len(s.Problems))
		}
	}
	if told != len(r.Problems) || failed == r.Proven() {
		t.Errorf("steps tell of %d problems, of %d: %v", told, len(r.Problems), r.Steps())
	}
}

// without is the leaves of a part but one.
func without(s *history.Shard, at uint64) (indexes []uint64) {
	for _, l := range s.Leaves {
		if l.Index != at {
			indexes = append(indexes, l.Index)
		}
	}
	return indexes
}

func everything(m *made) (indexes []uint64) {
	for i := range m.log.Leaves {
		indexes = append(indexes, uint64(i))
	}
	return indexes
}

// wrongHead makes settle's head say something else, and shows it.
func (m *made) wrongHead(change func(h *ledger.Head)) {
	m.lie = change
}

// tagsOf is what the lists of a part are looked up with.
func (m *made) tagsOf(s *history.Shard) (tags []ledger.Hash) {
	for _, l := range s.Lists {
		if l.Pi == nil {
			continue
		}
		_, k := m.k(m.subject, l.Scope)
		for n := range l.Count + 1 {
			tags = append(tags, ledger.SubjectTag(&k, n))
		}
	}
	return tags
}
