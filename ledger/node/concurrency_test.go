// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// TestRevokedWhileCommitted checks a submission at the very moment when the
// revocation of its key is applied but not yet durable.
func TestRevokedWhileCommitted(t *testing.T) {
	var hold atomic.Bool
	reached, release := make(chan struct{}), make(chan struct{})
	r := newLedger(t, node.Options{Step: func(step string) {
		if step == "numbered" && hold.CompareAndSwap(true, false) {
			close(reached)
			<-release
		}
	}})
	raw := r.world.Make(t, 1, nodetest.Access{Provider: nodetest.Hub})
	hold.Store(true)
	revoked := make(chan error, 1)
	go func() {
		_, err := r.RevokeKey(context.Background(), nodetest.Hub, nodetest.Key(nodetest.Hub, 0).Kid, "")
		revoked <- err
	}()
	<-reached
	submitted := make(chan error, 1)
	go func() {
		_, _, err := r.Submit(context.Background(), raw)
		submitted <- err
	}()
	var early error
	select {
	case early = <-submitted: // the check refused it
	case <-time.After(300 * time.Millisecond): // it waits behind the revocation
	}
	close(release)
	if err := <-revoked; err != nil {
		t.Fatal(err)
	}
	if early == nil {
		early = <-submitted
	}
	var problem *ledger.Problem
	if !errors.As(early, &problem) || problem.Code != "key_revoked" {
		t.Errorf("a submission beside the revocation of its key: %v", early)
	}
	if seen := r.stop(); len(seen.Receipts) != 0 {
		t.Errorf("%d receipts", len(seen.Receipts))
	}
}

// TestRevocations revokes keys and moves scopes while submissions that rest on
// them stream in. In log order nothing is recorded after what it stands on
// ended, and nothing before it began.
func TestRevocations(t *testing.T) {
	rounds, each := 50, 40
	if testing.Short() {
		rounds = 12
	}
	r := newLedger(t, node.Options{})
	rnd := rand.New(rand.NewPCG(1, 5))
	total, refused := 0, 0
	for round := range rounds {
		// Even rounds end the hub's key, odd ones its word for a provider.
		var raws [][]byte
		for n := range each {
			raws = append(raws, r.world.Make(t, round*each+n, nodetest.Access{Provider: "prov_a", Generation: (round + 1) / 2}))
		}
		var ended atomic.Uint64
		var g sync.WaitGroup
		var mu sync.Mutex
		var places []uint64
		from := make(chan []byte)
		for range 4 {
			g.Go(func() {
				for raw := range from {
					a, _, err := r.Submit(context.Background(), raw)
					var problem *ledger.Problem
					mu.Lock()
					switch {
					case err == nil:
						places = append(places, a.FirstIndex)
					case errors.As(err, &problem) && (problem.Code == "key_revoked" || problem.Code == "no_scope"):
						refused++
					case errors.Is(err, sequencer.ErrMoved):
					default:
						t.Errorf("round %d: %v", round, err)
					}
					mu.Unlock()
				}
			})
		}
		at := rnd.IntN(each)
		for n, raw := range raws {
			if n == at {
				g.Go(func() {
					time.Sleep(time.Duration(rnd.IntN(2000)) * time.Microsecond)
					var index uint64
					var err error
					if round%2 == 0 {
						index, err = r.RevokeKey(context.Background(), nodetest.Hub, nodetest.Key(nodetest.Hub, (round+1)/2).Kid, "")
					} else {
						index, err = r.SetScope(context.Background(), registry.Scope{ID: nodetest.Hub, Providers: []string{"prov_b"}})
					}
					if err != nil {
						t.Error(err)
					}
					ended.Store(index)
				})
			}
			from <- raw
		}
		close(from)
		g.Wait()
		for _, place := range places {
			if place > ended.Load() {
				t.Errorf("round %d: an event at %d rests on what ended at %d", round, place, ended.Load())
			}
		}
		total += len(places)
		var err error
		if round%2 == 0 {
			_, err = r.AddKey(t.Context(), nodetest.Hub, nodetest.Key(nodetest.Hub, (round+2)/2), "")
		} else {
			_, err = r.SetScope(t.Context(), registry.Scope{ID: nodetest.Hub, Providers: nodetest.Providers})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d recorded, %d refused", total, refused)
	if total == 0 || refused == 0 {
		t.Error("the race never went both ways")
	}
	if seen := r.stop(); len(seen.Receipts) != total {
		t.Errorf("%d receipts in the log, %d acknowledged", len(seen.Receipts), total)
	}
}

// TestPublishedGrows reads the public log while it grows: it never goes back,
// and shows whole tiles of what it says.
func TestPublishedGrows(t *testing.T) {
	r := newLedger(t, node.Options{})
	done := make(chan struct{})
	var g sync.WaitGroup
	for range 2 {
		g.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := r.Settle(context.Background()); err != nil {
					t.Error(err)
					return
				}
				time.Sleep(3 * time.Millisecond)
			}
		})
	}
	g.Go(func() {
		last := uint64(0)
		for {
			select {
			case <-done:
				return
			default:
			}
			p, err := r.Published(r.Epoch())
			if err != nil || p.Root.Size < last {
				t.Errorf("published %d after %d, %v", p.Root.Size, last, err)
				return
			}
			last = p.Root.Size
			if width := int(last % 256); width > 0 {
				if _, err := r.Entries(context.Background(), r.Epoch(), last/256, width); err != nil {
					t.Errorf("the entries of size %d: %v", last, err)
					return
				}
			}
			if _, err := r.Entries(context.Background(), r.Epoch(), 1<<20, 1); !errors.Is(err, node.ErrNotPublished) {
				t.Errorf("entries beyond the log: %v", err)
				return
			}
		}
	})
	r.load(0, 150)
	close(done)
	g.Wait()
	r.holds(r.stop())
}
