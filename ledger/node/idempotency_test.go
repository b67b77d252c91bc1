// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// TestSentAgain sends every kind of submission again: at once, after a
// restart, after its key was revoked. It is the same entry each time, and
// Fetch gives it too.
func TestSentAgain(t *testing.T) {
	r := newLedger(t, node.Options{})
	many := r.world.Make(t, 1000, nodetest.Access{Subjects: 150, Provider: nodetest.Hub})
	large, replayed, err := r.Submit(t.Context(), many)
	if err != nil || replayed {
		t.Fatalf("150 subjects: replayed %v, %v", replayed, err)
	}
	count := 60
	if testing.Short() {
		count = 15
	}
	if got := r.load(0, count); got != 0 {
		t.Errorf("%d of %d first submissions were replays", got, count)
	}
	check := func(when string) {
		t.Helper()
		if got := r.load(0, count); got != count {
			t.Errorf("%s: %d of %d submissions were replays", when, got, count)
		}
		again, replayed, err := r.Submit(t.Context(), many)
		if err != nil || !replayed {
			t.Fatalf("%s: 150 subjects: replayed %v, %v", when, replayed, err)
		}
		for _, a := range []*ledger.Answer{large, again} {
			if _, err := nodetest.CheckAnswer(many, a, r.VKey()); err != nil {
				t.Errorf("%s: 150 subjects: %v", when, err)
			}
		}
		if err := nodetest.SameEntries(large, again); err != nil {
			t.Errorf("%s: 150 subjects: %v", when, err)
		}
		for n, a := range r.acks {
			receipt, err := ledger.ParseReceipt(mustParse(t, r.world.Submission(t, n)).Receipt)
			if err != nil {
				t.Fatal(err)
			}
			fetched, err := r.Fetch(t.Context(), receipt.Iss, receipt.JTI)
			if err != nil {
				t.Fatalf("%s: fetching submission %d: %v", when, n, err)
			}
			if err := nodetest.SameEntries(a, fetched); err != nil {
				t.Errorf("%s: fetching submission %d: %v", when, n, err)
			}
		}
	}
	check("at once")
	r.holds(r.stop())
	r.start(node.Options{})
	check("after a restart")
	for _, id := range append([]string{nodetest.Hub}, nodetest.Consumers...) {
		if _, err := r.RevokeKey(t.Context(), id, nodetest.Key(id, 0).Kid, "rotation"); err != nil {
			t.Fatal(err)
		}
	}
	check("after its key was revoked")
	var problem *ledger.Problem
	if _, err := r.send(61); !errors.As(err, &problem) || problem.Code != "key_revoked" {
		t.Errorf("a new submission with a revoked key: %v", err)
	}
	if _, err := r.Fetch(t.Context(), nodetest.Hub, "00000000-0000-4000-8000-000000000000"); !errors.Is(err, node.ErrNoReceipt) {
		t.Errorf("fetching what was never sent: %v", err)
	}
	r.holds(r.stop())
}

func mustParse(t testing.TB, raw []byte) *ledger.Submission {
	t.Helper()
	sub, err := ledger.ParseSubmission(raw)
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

// TestAnotherSignature: the payload is what makes a submission the same.
func TestAnotherSignature(t *testing.T) {
	r := newLedger(t, node.Options{})
	if _, err := r.AddKey(t.Context(), nodetest.Hub, nodetest.Key(nodetest.Hub, 1), ""); err != nil {
		t.Fatal(err)
	}
	of := nodetest.Access{Provider: nodetest.Hub, Subjects: 2}
	first := r.world.Make(t, 1, of)
	a, _, err := r.Submit(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	of.Generation = 1
	other := r.world.Make(t, 1, of)
	b, replayed, err := r.Submit(t.Context(), other)
	if err != nil || !replayed {
		t.Fatalf("under another signature: replayed %v, %v", replayed, err)
	}
	if err := nodetest.SameEntries(a, b); err != nil {
		t.Error(err)
	}
	// The answer proves the signature that is recorded.
	for _, raw := range [][]byte{first, other} {
		if _, err := nodetest.CheckAnswer(raw, b, r.VKey()); err != nil {
			t.Errorf("the second answer doesn't verify: %v", err)
		}
	}
	of.Purpose = "Altro"
	if _, _, err := r.Submit(t.Context(), r.world.Make(t, 1, of)); !errors.Is(err, sequencer.ErrConflict) {
		t.Errorf("another payload: %v", err)
	}
	if seen := r.stop(); len(seen.Receipts) != 1 {
		t.Errorf("%d receipts, expected 1", len(seen.Receipts))
	}
}

// TestSentAtOnce sends each submission many times at the same moment, and
// changed ones between: one is recorded, all the same get it.
func TestSentAtOnce(t *testing.T) {
	r := newLedger(t, node.Options{})
	rounds := 30
	if testing.Short() {
		rounds = 8
	}
	for n := range rounds {
		var g sync.WaitGroup
		var mu sync.Mutex
		made := map[string]int{}
		var answers []*ledger.Answer
		variants := []nodetest.Access{{Provider: nodetest.Hub}, {Provider: nodetest.Hub, Purpose: "Altro"}}
		raws := [][]byte{r.world.Make(t, n, variants[0]), r.world.Make(t, n, variants[1])}
		for i := range 12 {
			g.Go(func() {
				a, replayed, err := r.Submit(context.Background(), raws[i%2])
				mu.Lock()
				defer mu.Unlock()
				switch {
				case errors.Is(err, sequencer.ErrConflict):
					made["conflict"]++
				case err != nil:
					t.Error(err)
				case replayed:
					made["replayed"]++
				default:
					made["new"]++
				}
				if err == nil {
					answers = append(answers, a)
				}
			})
		}
		g.Wait()
		if made["new"] != 1 || made["replayed"] != 5 || made["conflict"] != 6 {
			t.Errorf("round %d: %v, expected one new, 5 replayed, 6 in conflict", n, made)
		}
		for _, a := range answers[1:] {
			if err := nodetest.SameEntries(answers[0], a); err != nil {
				t.Errorf("round %d: %v", n, err)
			}
		}
	}
	if seen := r.stop(); len(seen.Receipts) != rounds {
		t.Errorf("%d receipts, expected %d", len(seen.Receipts), rounds)
	}
}
