// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/verifier"
)

// erasable is a real ledger whose clock a test sets, of one citizen with accesses.
type erasable struct {
	*testing.T
	clock   atomic.Int64 // ms
	world   *nodetest.World
	node    *node.Node
	policy  *checkpoint.Policy
	subject ledger.Subject
	sent    int
	dir     string
	opt     node.Options
}

func newErasable(t *testing.T, now time.Time) *erasable {
	e := &erasable{T: t, subject: nodetest.Person(1)}
	e.at(now)
	e.dir = filepath.Join(t.TempDir(), "ledger")
	e.opt = node.Options{Now: func() time.Time { return time.UnixMilli(e.clock.Load()) }}
	e.policy = withWitness(t, e.world, e.dir, e.opt)
	var err error
	if e.node, err = node.Open(t.Context(), e.dir, e.opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.node.Close() })
	e.world.Register(t, e.node)
	return e
}

func (e *erasable) at(now time.Time) {
	e.clock.Store(now.UnixMilli())
	e.world = nodetest.NewWorld(e, now)
}

func (e *erasable) access() {
	e.Helper()
	if _, _, err := e.node.Submit(e.Context(), e.world.Make(e, e.sent, nodetest.Access{Subjects: 2, First: 1})); err != nil {
		e.Fatal(err)
	}
	e.sent++
	if err := e.node.Settle(e.Context()); err != nil {
		e.Fatal(err)
	}
}

func (e *erasable) history(subject ledger.Subject) []byte {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.Context(), 20*time.Second)
	defer cancel()
	bundle, err := e.node.History(ctx, subject)
	if err != nil {
		e.Fatal(err)
	}
	file, err := history.Format(bundle)
	if err != nil {
		e.Fatal(err)
	}
	return file
}

// states lists the state and ground of each event.
func states(r *verifier.HistoryReport) (list []string) {
	for _, e := range r.Events {
		list = append(list, e.State+e.Ground)
	}
	return list
}

func (e *erasable) want(file []byte, want ...string) *verifier.HistoryReport {
	e.Helper()
	r := verifier.History(file, e.policy, time.Now(), rules)
	if r.Malformed != nil {
		e.Fatal(r.Malformed)
	}
	got := states(r)
	if len(got) != len(want) {
		e.Fatalf("events %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			e.Errorf("event %d is %s, want %s", i, got[i], want[i])
		}
	}
	return r
}

// An erasure leaves bundles from before it as they were, and everyone else's new ones. The person's own is complete again,
// and says on whose word.
func TestHistoryAfterErasure(t *testing.T) {
	e := newErasable(t, time.Now())
	e.access()
	e.access()
	before := e.history(e.subject)
	if erased, err := e.node.Erase(t.Context(), []ledger.Subject{e.subject}, "", false); err != nil || erased.Wraps != 1 || erased.Requests != 1 {
		t.Fatalf("a dry run: %+v %v", erased, err)
	}
	if r := e.want(e.history(e.subject), verifier.StateOpen, verifier.StateOpen); !r.Complete {
		t.Errorf("after a dry run: %v", r.Problems)
	}
	if erased, err := e.node.Erase(t.Context(), []ledger.Subject{e.subject}, "", true); err != nil || erased.Wraps != 1 || erased.Requests != 1 {
		t.Fatalf("%+v %v", erased, err)
	}
	e.access()
	if r := e.want(before, verifier.StateOpen, verifier.StateOpen); !r.Proven() || !r.Complete {
		t.Errorf("a bundle from before the erasure: %v", r.Problems)
	}
	const asked = verifier.StateErased + "request"
	r := e.want(e.history(e.subject), asked, asked, verifier.StateOpen, verifier.StateOpen)
	if !r.Proven() || !r.Complete {
		t.Errorf("complete %v, %v", r.Complete, r.Problems)
	}
	request := r.Events[2]
	if request.Kind != ledger.KindRequest || request.Scope != ledger.ScopeConsent || request.Issuer != "gestore" || r.Events[0].Request.Index != request.Index {
		t.Errorf("%+v", request)
	}
	const words = "Events erased on a request that Gestore del registro registro.example signed, saying that you made it (event %d/%d): 2. If"
	if notes := strings.Join(r.Notes("en"), "\n"); strings.Count(notes, "erased on a request") != 1 || !strings.Contains(notes, fmt.Sprintf(words, request.Epoch, request.Index)) || !strings.Contains(notes, "If you didn't ask, something is being hidden from you.") {
		t.Errorf("%s", notes)
	}
	if r := e.want(e.history(nodetest.Person(2)), verifier.StateOpen, verifier.StateOpen, verifier.StateOpen); !r.Proven() || !r.Complete {
		t.Errorf("another's bundle: %v", r.Problems)
	}

	// Erasing again destroys what came since, and not the request.
	if erased, err := e.node.Erase(t.Context(), []ledger.Subject{e.subject}, "", true); err != nil || erased.Wraps != 1 || erased.Requests != 1 {
		t.Fatalf("%+v %v", erased, err)
	}
	if r := e.want(e.history(e.subject), asked, asked, verifier.StateOpen, asked, verifier.StateOpen); !r.Complete {
		t.Errorf("erased again: %v", r.Problems)
	}
}

// A body that identified the citizen signs the request, for all whom it is about.
func TestHistoryAfterRequest(t *testing.T) {
	e := newErasable(t, time.Now())
	e.access()
	raw := e.world.Request(t, 0, nodetest.Consumers[0], e.node.Now().UTC().Format("2006-01"), nodetest.Person(1), nodetest.Person(7))
	if erased, err := e.node.EraseRequested(t.Context(), raw, true); err != nil || erased.Wraps != 1 || erased.Requests != 1 {
		t.Fatalf("%+v %v", erased, err)
	}
	e.access()
	r := e.want(e.history(e.subject), verifier.StateErased+"request", verifier.StateOpen, verifier.StateOpen)
	if !r.Complete || r.Events[1].Issuer != nodetest.Consumers[0] || r.Events[1].Agency != nodetest.Consumers[0] {
		t.Errorf("%v, %+v", r.Problems, r.Events[1])
	}
	if r := e.want(e.history(nodetest.Person(7)), verifier.StateOpen); r.Events[0].Kind != ledger.KindRequest {
		t.Errorf("%+v", r.Events)
	}
	var p *ledger.Problem
	if _, err := e.node.EraseRequested(t.Context(), raw, true); !errors.As(err, &p) || p.Code != "request_used" {
		t.Errorf("the same request once more: %v", err)
	}
	e.want(e.history(e.subject), verifier.StateErased+"request", verifier.StateOpen, verifier.StateOpen)
}

// A month that is destroyed when its retention is over is shown as that.
func TestHistoryAfterRetention(t *testing.T) {
	day := func(m time.Month) time.Time { return time.Date(2025, m, 10, 12, 0, 0, 0, time.UTC) }
	e := newErasable(t, day(time.January))
	e.access()
	if _, err := e.node.SetTerm(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := e.node.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, m := range []time.Month{time.February, time.March, time.April, time.June} {
		e.at(day(m))
		e.access()
	}
	before := e.history(e.subject)
	r, err := e.node.Retention(t.Context(), true)
	if err != nil || len(r.Destroyed) != 2 {
		t.Fatalf("%+v %v", r, err)
	}
	e.want(before, verifier.StateOpen, verifier.StateOpen, verifier.StateOpen, verifier.StateOpen, verifier.StateOpen)
	ground := verifier.StateErased + "retention"
	after := e.want(e.history(e.subject), verifier.StateOpen, ground, ground, verifier.StateOpen, verifier.StateOpen)
	// The witness's clock is the true one: all that is missing is freshness.
	if got := codes(after); len(got) != 1 || got[0] != verifier.CodeStale {
		t.Errorf("problems: %v", after.Problems)
	}
}
