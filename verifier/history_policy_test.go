// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/policies"
	"github.com/traccia-ledger/traccia/policies/policytest"
	"github.com/traccia-ledger/traccia/verifier"
)

// decidedBy takes the decision on an event by a bundle, and lets a test change it.
func decidedBy(t *testing.T, b ledger.Bundle, change func(d *ledger.Decision)) func(*ledger.Body) {
	return func(body *ledger.Body) {
		t.Helper()
		r, err := ledger.ParseReceipt(body.Receipt)
		if err != nil {
			t.Fatal(err)
		}
		body.Assurance = ledger.Assurance{
			Profile: ledger.ProfileVoucher, Voucher: ledger.VoucherCheck{Alg: "RS256", Kid: "k", Issuer: "i"}, Flags: []string{},
		}
		d, err := b.Decide(&ledger.Access{Receipt: &r.Receipt, Assurance: &body.Assurance})
		if err != nil {
			t.Fatal(err)
		}
		if d.Effect == ledger.EffectDeny {
			body.Kind = ledger.KindDenied
		}
		if change != nil {
			change(&d)
		}
		if body.Decision, err = ledger.FormatDecision(d); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHistoryReplays: decisions are replayed by the policies at hand, and what doesn't follow is unexplained.
func TestHistoryReplays(t *testing.T) {
	document := policytest.Bundle(t, "1", `context.purpose == "checks"`)
	bundle, err := policies.Open(document)
	if err != nil {
		t.Fatal(err)
	}
	digest := policies.Digest(document)
	replays := rules
	replays.Policies = func(wanted ledger.Hash) ledger.Bundle {
		if wanted == digest {
			return bundle
		}
		return nil
	}
	const forged = "forged"
	for name, change := range map[string]func(d *ledger.Decision){
		"as it was": nil,
		forged:      func(d *ledger.Decision) { d.Effect, d.Policies = ledger.EffectAllow, []string{"checks"} },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMade(t, 2026, nil)
			m.event(event{}) // only recorded: no policies were active
			m.record(registry.Policy{Version: "1", SHA256: ledger.Hex(digest)})
			m.event(event{receipt: func(r *ledger.Receipt) { r.Purpose = "Verifica dei requisiti" }, body: decidedBy(t, bundle, nil)})
			decide := decidedBy(t, bundle, change)
			m.event(event{body: func(b *ledger.Body) {
				if decide(b); change != nil {
					b.Kind = ledger.KindAccess
				}
			}})
			m.settle()
			file := m.bundle()
			blind := m.check(file)
			if !blind.Complete || !slices.ContainsFunc(blind.Notes("en"), func(n string) bool { return strings.HasPrefix(n, "2 decisions weren't replayed") }) {
				t.Errorf("without the policies: complete %v, %v, %v", blind.Complete, blind.Problems, blind.Notes("en"))
			}
			r := m.checkBy(file, replays)
			if r.Complete != (name != forged) || slices.Contains(codes(r), ledger.CodeDecision) != (name == forged) {
				t.Errorf("complete %v, %v", r.Complete, r.Problems)
			}
			for i, want := range []verifier.HistoryEvent{
				{Effect: ledger.EffectRecorded, State: verifier.StateOpen},
				{Effect: ledger.EffectAllow, State: verifier.StateOpen, Replayed: true},
				{Effect: map[bool]string{true: ledger.EffectAllow, false: ledger.EffectDeny}[name == forged], Replayed: name != forged,
					State: map[bool]string{true: verifier.StateUnexplained, false: verifier.StateOpen}[name == forged]},
			} {
				got := r.Events[i]
				if got.Effect != want.Effect || got.State != want.State || got.Replayed != want.Replayed {
					t.Errorf("event %d: %s, %s, replayed %v", i, got.Effect, got.State, got.Replayed)
				}
			}
			if g := r.Events[1].Grounds; len(g) != 1 || g[0].Policy != "checks" || g[0].It != "Controlla." {
				t.Errorf("grounds %v", g)
			}
			if !slices.ContainsFunc(r.Notes("en"), func(n string) bool { return strings.HasPrefix(n, "On 1 of the accesses nobody decided") }) {
				t.Errorf("notes %v", r.Notes("en"))
			}
		})
	}
}
