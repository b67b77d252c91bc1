// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// TestLookUps: a requester leaves one event for each citizen and month, whatever it looks at and however often.
func TestLookUps(t *testing.T) {
	r := newLedger(t, node.Options{})
	people := []ledger.Subject{nodetest.Person(1), nodetest.Person(2), nodetest.Person(3)}
	for _, person := range []int{0, 1, 0, 0} {
		if err := r.LookUpFor(t.Context(), people[person]); err != nil {
			t.Fatal(err)
		}
	}
	if body, _ := r.Registry().Body(r.OperatorID()); body.Name != "Gestore del registro "+r.Settings.Name {
		t.Errorf("citizens read that %q looked", body.Name)
	}
	before := r.Latest().Root.Size
	for person, want := range []int{1, 1, 0} {
		b, err := r.History(t.Context(), people[person])
		if err != nil {
			t.Fatal(err)
		}
		if got := len(b.Shards[0].Events); got != want {
			t.Errorf("person %d: %d events, want %d", person, got, want)
		}
	}
	// A history by itself leaves no event, at most the head that it needed.
	if after := r.Latest().Root.Size; after > before+1 {
		t.Errorf("histories left %d leaves", after-before)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.start(node.Options{})
	defer r.Close()
	if err := r.LookUpFor(t.Context(), people[0]); err != nil {
		t.Fatal(err)
	}
	b, err := r.History(t.Context(), people[0])
	if err != nil || len(b.Shards[0].Events) != 1 {
		t.Errorf("after a restart: %d events, %v", len(b.Shards[0].Events), err)
	}
}

// TestLookUpRefused: a look-up stands on a requester's receipt, signed with a registered key.
func TestLookUpRefused(t *testing.T) {
	r := newLedger(t, node.Options{})
	defer r.Close()
	receipt, err := ledger.ParseSubmission(r.world.Submission(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := ledger.ParseReceipt(receipt.Receipt)
	if err != nil {
		t.Fatal(err)
	}
	size := r.Latest().Root.Size
	if _, err := r.RecordLookUp(t.Context(), node.LookUp{
		Receipt: signed, Salt: receipt.Private.Salt, Content: receipt.Private.Content, Subjects: receipt.Subjects,
	}); err == nil {
		t.Error("a provider's receipt passes for a look-up")
	}
	if r.Latest().Root.Size != size {
		t.Error("a refused look-up left a leaf")
	}
}

// TestHistoryWaits: a history waits for publication, and for no longer than its caller or the ledger.
func TestHistoryWaits(t *testing.T) {
	w := newWatched(t, "alfa", "beta", "gamma") // publishes once a minute
	n := w.open(t, w.dir)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := n.LookUpFor(t.Context(), nodetest.Person(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := n.History(ctx, nodetest.Person(1)); err == nil {
		t.Error("a history before its publication")
	}
	done := make(chan error, 1)
	go func() {
		_, err := n.History(t.Context(), nodetest.Person(1))
		done <- err
	}()
	time.Sleep(50 * time.Millisecond)
	if err := n.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("after publication: %v", err)
	}
	go func() {
		n.LookUpFor(t.Context(), nodetest.Person(2))
		_, err := n.History(t.Context(), nodetest.Person(2))
		done <- err
	}()
	time.Sleep(200 * time.Millisecond)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	<-done // with an error, or none if Close published first: it doesn't hang
}

// BenchmarkHistory makes a year's bundle of some twenty events over a million keys, and reports the processor time of one.
func BenchmarkHistory(b *testing.B) {
	r := newLedger(b, node.Options{})
	for i := range 99 {
		id := fmt.Sprintf("scope%03d", i)
		if _, err := r.AddBody(b.Context(), registry.Body{ID: id, Name: id}); err != nil {
			b.Fatal(err)
		}
		if _, err := r.SetScope(b.Context(), registry.Scope{ID: id, Providers: []string{id}}); err != nil {
			b.Fatal(err)
		}
	}
	const events, rounds = 500_000, 20
	for i := range rounds {
		if i > 0 {
			r.start(node.Options{})
		}
		access := nodetest.Access{Subjects: 1, First: 1, Provider: "prov_a"}
		if _, _, err := r.Submit(b.Context(), r.world.Make(b, i, access)); err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
		appendRandom(b, filepath.Join(r.dir, "store"), r.Epoch(), events/rounds-1)
	}
	r.start(node.Options{})
	defer r.Close()
	bundle, err := r.History(b.Context(), nodetest.Person(1))
	if err != nil {
		b.Fatal(err)
	}
	if n := len(bundle.Shards[0].Events); n != rounds {
		b.Fatalf("%d events", n)
	}
	began, times := processorTime(), 0
	for b.Loop() {
		bundle, err := r.History(b.Context(), nodetest.Person(1))
		if err == nil {
			_, err = history.Format(bundle)
		}
		if err != nil {
			b.Fatal(err)
		}
		times++
	}
	b.ReportMetric(float64((processorTime()-began).Microseconds())/float64(times)/1000, "cpu-ms/op")
}

func processorTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// appendRandom puts events of nobody into the log of a ledger that nobody serves.
func appendRandom(b *testing.B, dir string, epoch uint32, count int) {
	b.Helper()
	db, err := pebble.Open(dir, pebble.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	e, err := engine.New(db)
	if err != nil {
		b.Fatal(err)
	}
	shard, err := e.OpenShard(b.Context(), epoch)
	if err != nil {
		b.Fatal(err)
	}
	for count > 0 {
		leaves := make([][]byte, min(count, 4096))
		count -= len(leaves)
		for i := range leaves {
			l := ledger.Event{Epoch: epoch}
			rand.Read(l.SubjectTag[:])
			rand.Read(l.AgencyTag[:])
			if leaves[i], err = ledger.FormatLeaf(l); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := shard.Append(b.Context(), leaves, nil); err != nil {
			b.Fatal(err)
		}
	}
}
