// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/policies"
	"github.com/traccia-ledger/traccia/policies/policytest"
)

// decides are the options of a node that reads bundles.
var decides = node.Options{Policies: policies.Open}

// TestDenied: a denial is recorded, and told again whenever the same submission comes.
func TestDenied(t *testing.T) {
	r := newLedger(t, decides)
	document := policytest.Bundle(t, "1", `context.purpose == "checks"`)
	if _, err := r.ActivatePolicies(t.Context(), document); err != nil {
		t.Fatal(err)
	}
	want := []ledger.Ground{{Policy: "one-by-one", Reference: "GDPR Art. 5", It: "Uno alla volta.", En: "One by one."}}
	refused := map[string][]byte{
		"for another purpose": r.world.Make(t, 1, nodetest.Access{Subjects: 1, Purpose: "Altro"}),
		"of two people":       r.world.Make(t, 2, nodetest.Access{Subjects: 2}),
		"of many people":      r.world.Make(t, 3, nodetest.Access{Subjects: 150}),
	}
	check := func(when string, again bool) {
		t.Helper()
		for name, raw := range refused {
			_, replayed, err := r.Submit(t.Context(), raw)
			var d *node.Denied
			if !errors.As(err, &d) || replayed != again {
				t.Errorf("%s, %s: replayed %v, %v", name, when, replayed, err)
				continue
			}
			if name == "for another purpose" && (len(d.Grounds) != 0 || d.Error() != "no policy allows it") {
				t.Errorf("%s: %v", name, d.Grounds)
			}
			if name != "for another purpose" && !slices.Equal(d.Grounds, want) {
				t.Errorf("%s: %v", name, d.Grounds)
			}
			receipt, err := ledger.ParseReceipt(mustParse(t, raw).Receipt)
			if err != nil {
				t.Fatal(err)
			}
			if d.Answer.ReceiptID != receipt.ReceiptID() {
				t.Errorf("%s: receipt %s", name, d.Answer.ReceiptID)
			}
			if _, err := nodetest.CheckAnswer(raw, d.Answer, r.VKey()); err != nil {
				t.Errorf("%s: the denial's answer: %v", name, err)
			}
			a, err := r.Fetch(t.Context(), receipt.Iss, receipt.JTI)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			body, err := ledger.ParseBody(a.Entries[0].Body)
			if err != nil || body.Kind != ledger.KindDenied {
				t.Errorf("%s: recorded as %v, %v", name, body, err)
			}
			if _, err := nodetest.CheckAnswer(raw, a, r.VKey()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	check("at first", false)
	check("at once", true)
	allowed, _, err := r.Submit(t.Context(), r.world.Make(t, 10, nodetest.Access{Subjects: 1}))
	if err != nil {
		t.Fatal(err)
	}
	body, err := ledger.ParseBody(allowed.Entries[0].Body)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := ledger.ParseDecision(body.Decision); err != nil || body.Kind != ledger.KindAccess || !slices.Equal(d.Policies, []string{"checks"}) {
		t.Errorf("allowed: %s %v, %v", body.Kind, d, err)
	}
	// What was denied stays denied, whatever is active now.
	if _, err := r.ActivatePolicies(t.Context(), policytest.Bundle(t, "2", "true")); err != nil {
		t.Fatal(err)
	}
	check("under another bundle", true)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.start(decides)
	check("after a restart", true)
	if _, err := r.ActivatePolicies(t.Context(), []byte("{}")); err == nil {
		t.Error("something else than a bundle was activated")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	// A program without policies records nothing in this ledger.
	r.start(node.Options{})
	if _, _, err := r.Submit(t.Context(), r.world.Make(t, 11, nodetest.Access{Subjects: 1})); err == nil {
		t.Error("recorded without a decision")
	}
	r.stop()
}

// TestDecidedByTheActiveBundle changes the bundle under load: the one that
// decided on an event is that of the last record before it.
func TestDecidedByTheActiveBundle(t *testing.T) {
	r := newLedger(t, decides)
	documents := [][]byte{policytest.Bundle(t, "even", "true"), policytest.Bundle(t, "odd", `context.purpose != "checks"`)}
	if _, err := r.ActivatePolicies(t.Context(), documents[0]); err != nil {
		t.Fatal(err)
	}
	const count = 400
	var g sync.WaitGroup
	var next, allowed, denied atomic.Int64
	for range 4 {
		g.Go(func() {
			for {
				n := int(next.Add(1))
				if n > count {
					return
				}
				_, _, err := r.Submit(context.Background(), r.world.Make(t, n, nodetest.Access{Subjects: 1}))
				var d *node.Denied
				switch {
				case err == nil:
					allowed.Add(1)
				case errors.As(err, &d):
					denied.Add(1)
				case !errors.Is(err, sequencer.ErrMoved):
					t.Error(err)
				}
			}
		})
	}
	for i := 1; next.Load() < count; i++ {
		if _, err := r.ActivatePolicies(t.Context(), documents[i%2]); err != nil {
			t.Fatal(err)
		}
	}
	g.Wait()
	if allowed.Load() == 0 || denied.Load() == 0 {
		t.Errorf("%d allowed, %d denied: the race never went both ways", allowed.Load(), denied.Load())
	}
	for n := 1; n <= count; n++ {
		receipt, err := ledger.ParseReceipt(mustParse(t, r.world.Make(t, n, nodetest.Access{Subjects: 1})).Receipt)
		if err != nil {
			t.Fatal(err)
		}
		a, err := r.Fetch(t.Context(), receipt.Iss, receipt.JTI)
		if errors.Is(err, node.ErrNoReceipt) {
			continue // sent back too often
		} else if err != nil {
			t.Fatal(err)
		}
		body, err := ledger.ParseBody(a.Entries[0].Body)
		if err != nil {
			t.Fatal(err)
		}
		d, err := ledger.ParseDecision(body.Decision)
		if err != nil {
			t.Fatal(err)
		}
		active, ok := r.Registry().Policy(a.FirstIndex)
		if !ok || active.SHA256 != d.Bundle {
			t.Errorf("the event at %d was decided on by another bundle", a.FirstIndex)
		}
	}
	if p, ok := r.Registry().Policy(math.MaxUint64); !ok || p.Version == "" {
		t.Error("no bundle is active")
	}
	r.stop()
}
