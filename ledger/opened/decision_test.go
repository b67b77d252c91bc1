// SPDX-License-Identifier: EUPL-1.2

package opened_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/opened"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/policies"
	"github.com/traccia-ledger/traccia/policies/policytest"
)

// Log indexes of a shard with policies: events at policyAt+1 are under the first bundle.
const (
	policyAt     = 8
	nextPolicyAt = 14
)

// decided is a shard with bundles, the second of which permits nothing to who isn't a comune.
func decided(t *testing.T) (*opened.Shard, [2]ledger.Bundle) {
	t.Helper()
	shard := newShard(t)
	var bundles [2]ledger.Bundle
	byDigest := map[ledger.Hash]ledger.Bundle{}
	for i, condition := range []string{`context.purpose == "checks"`, `principal.kinds.contains("comune")`} {
		document := policytest.Bundle(t, string(rune('1'+i)), condition)
		bundle, err := policies.Open(document)
		if err != nil {
			t.Fatal(err)
		}
		bundles[i] = bundle
		digest := policies.Digest(document)
		byDigest[digest] = bundle
		record, err := registry.FormatRecord(registry.Policy{Version: bundle.Version(), SHA256: ledger.Hex(digest)})
		if err == nil {
			err = shard.Registry.Apply([]uint64{policyAt, nextPolicyAt}[i], record)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	shard.Bundle = func(digest ledger.Hash) ledger.Bundle { return byDigest[digest] }
	return shard, bundles
}

// decide takes the decision on the event as the ledger does, and lets a test change it.
func (e *event) decide(t *testing.T, b ledger.Bundle, change func(d *ledger.Decision), attributes ...string) {
	t.Helper()
	e.receipt.Subjects.Count = 1
	d, err := b.Decide(&ledger.Access{Receipt: &e.receipt, Assurance: &e.body.Assurance, ConsumerAttributes: attributes})
	e.receipt.Subjects.Count = 0
	if err != nil {
		t.Fatal(err)
	}
	if d.Effect == ledger.EffectDeny {
		e.body.Kind = ledger.KindDenied
	}
	if change != nil {
		facts := *d.Facts
		d.Facts = &facts
		change(&d)
	}
	if e.body.Decision, err = ledger.FormatDecision(d); err != nil {
		t.Fatal(err)
	}
}

// TestDecisions: what isn't decided by the active bundle, on its facts, and as it follows, doesn't count. Without the bundle
// at hand the last can't be told.
func TestDecisions(t *testing.T) {
	shard, bundles := decided(t)
	blind := *shard
	blind.Bundle = nil
	const follows, caught, replayed = 0, 1, 2 // replayed: caught by the replay alone
	for _, test := range []struct {
		name string
		make func(e *event)
		want int
	}{
		{"allowed", func(e *event) { e.receipt.Purpose = "Verifica dei requisiti"; e.decide(t, bundles[0], nil) }, follows},
		{"denied", func(e *event) { e.decide(t, bundles[0], nil) }, follows},
		{"denied by the next", func(e *event) {
			e.index = nextPolicyAt + 1
			e.decide(t, bundles[1], nil)
		}, follows},
		{"before there were policies", func(e *event) { e.index = policyAt }, follows},
		{"only recorded", func(e *event) {}, caught},
		{"decided before there were policies", func(e *event) { e.index = policyAt; e.decide(t, bundles[0], nil) }, caught},
		{"by the next bundle", func(e *event) { e.decide(t, bundles[1], nil) }, caught},
		{"by the one before", func(e *event) { e.index = nextPolicyAt + 1; e.decide(t, bundles[0], nil) }, caught},
		{"by a bundle that isn't", func(e *event) { e.decide(t, bundles[0], func(d *ledger.Decision) { d.Bundle[3] ^= 1 }) }, caught},
		{"denied, recorded as granted", func(e *event) { e.decide(t, bundles[0], nil); e.body.Kind = ledger.KindAccess }, caught},
		{"denied, changed to allowed", func(e *event) {
			e.decide(t, bundles[0], func(d *ledger.Decision) { d.Effect, d.Policies = ledger.EffectAllow, []string{"checks"} })
			e.body.Kind = ledger.KindAccess
		}, replayed},
		{"forbidden by a policy that doesn't", func(e *event) {
			e.decide(t, bundles[0], func(d *ledger.Decision) { d.Policies = []string{"one-by-one"} })
		}, replayed},
		{"on another purpose", func(e *event) {
			e.decide(t, bundles[0], func(d *ledger.Decision) {
				d.Facts.Purpose, d.Effect, d.Policies = "checks", ledger.EffectAllow, []string{"checks"}
			})
			e.body.Kind = ledger.KindAccess
		}, replayed},
		{"on kinds that the body's record doesn't state", func(e *event) {
			e.index = nextPolicyAt + 1
			e.decide(t, bundles[1], nil, "Comuni")
		}, replayed},
		{"on another actor", func(e *event) {
			e.decide(t, bundles[0], func(d *ledger.Decision) { d.Facts.Actor = ledger.ActorModel })
		}, caught},
		{"on fewer people", func(e *event) { e.decide(t, bundles[0], func(d *ledger.Decision) { d.Facts.Subjects = 2 }) }, caught},
		{"on another level", func(e *event) { e.decide(t, bundles[0], func(d *ledger.Decision) { d.Facts.LoA = 3 }) }, caught},
		{"on another profile", func(e *event) {
			e.decide(t, bundles[0], func(d *ledger.Decision) { d.Facts.Profile = ledger.ProfileAudit01 })
		}, caught},
		{"on another body", func(e *event) { e.decide(t, bundles[0], func(d *ledger.Decision) { d.Facts.Consumer = "hub" }) }, caught},
		{"on a consent that the receipt doesn't name", func(e *event) {
			e.decide(t, bundles[0], func(d *ledger.Decision) { d.Facts.Consent = true })
		}, caught},
		{"a look-up that was decided on", func(e *event) {
			e.consumer()
			e.decide(t, bundles[0], nil)
			e.body.Kind, e.body.Scope = ledger.KindLookUp, ledger.ScopeLedger
		}, caught},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, s := range map[string]*opened.Shard{"with the bundles": shard, "without": &blind} {
				e := newEvent()
				if test.make(e); e.index < headAt {
					e.body.RecordedAt = recorded.Add(-time.Second).UnixMilli()
				}
				got, problems := e.check(t, opened.NewChecker(s))
				found := slices.ContainsFunc(problems, func(p ledger.Problem) bool {
					return p.Code == ledger.CodeDecision && strings.HasPrefix(p.Where, "body#decision")
				})
				want := test.want == caught || test.want == replayed && s == shard
				if found != want || found != (len(problems) > 0) {
					t.Errorf("%s: found %v", name, problems)
				}
				if s == &blind && got.Bundle != nil {
					t.Errorf("%s: replayed", name)
				}
			}
		})
	}
}
