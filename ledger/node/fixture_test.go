// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
)

// running is a ledger under test with what it acknowledged so far.
type running struct {
	*node.Node
	t     testing.TB
	world *nodetest.World
	dir   string

	mu   sync.Mutex
	acks map[int]*ledger.Answer // by number of the submission
}

// newLedger makes a ledger with the world's bodies and starts it.
func newLedger(t testing.TB, opt node.Options) *running {
	t.Helper()
	return newLedgerIn(t, "", opt)
}

// newLedgerIn is newLedger with its store in a database.
func newLedgerIn(t testing.TB, store string, opt node.Options) *running {
	t.Helper()
	r := &running{t: t, world: nodetest.NewWorld(t, time.Now()), dir: filepath.Join(t.TempDir(), "ledger"), acks: map[int]*ledger.Answer{}}
	r.world.Store = store
	r.world.Create(t, r.dir, node.Options{Passphrase: opt.Passphrase})
	r.start(opt)
	r.world.Register(t, r.Node)
	return r
}

func (r *running) start(opt node.Options) {
	r.t.Helper()
	n, err := node.Open(context.Background(), r.dir, opt)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Node = n
}

// stop closes the node and reads everything it keeps.
func (r *running) stop() *nodetest.Audited {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	return r.audit()
}

func (r *running) audit() *nodetest.Audited {
	r.t.Helper()
	seen, err := nodetest.AuditDir(context.Background(), r.dir, "")
	if err != nil {
		r.t.Fatal(err)
	}
	return seen
}

// send submits the n-th submission and checks the answer, also against what
// was answered before.
func (r *running) send(n int) (replayed bool, err error) {
	raw := r.world.Submission(r.t, n)
	a, replayed, err := r.Submit(context.Background(), raw)
	if err != nil {
		return false, err
	}
	if _, err := nodetest.CheckAnswer(raw, a, r.VKey()); err != nil {
		r.t.Errorf("submission %d: the answer doesn't verify: %v", n, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if before := r.acks[n]; before == nil {
		r.acks[n] = a
	} else if err := nodetest.SameEntries(before, a); err != nil {
		r.t.Errorf("submission %d, answered again: %v", n, err)
	}
	return replayed, nil
}

// load sends submissions from … to−1, some at once, and fails the test on any
// error. It returns how many were replays.
func (r *running) load(from, to int) (replays int) {
	r.t.Helper()
	var g sync.WaitGroup
	next := make(chan int)
	for range 8 {
		g.Go(func() {
			for n := range next {
				replayed, err := r.send(n)
				if err != nil {
					r.t.Errorf("submission %d: %v", n, err)
				}
				if replayed {
					r.mu.Lock()
					replays++
					r.mu.Unlock()
				}
			}
		})
	}
	for n := from; n < to; n++ {
		next <- n
	}
	close(next)
	g.Wait()
	return replays
}

// holds checks that every acknowledged submission is in the audited log at its
// place.
func (r *running) holds(seen *nodetest.Audited) {
	r.t.Helper()
	for n, a := range r.acks {
		if first, ok := seen.Receipts[a.ReceiptID]; !ok || first != a.FirstIndex {
			r.t.Errorf("submission %d was acknowledged at %d, the log has it at %d (%v)", n, a.FirstIndex, first, ok)
		}
	}
}

// copyDir copies a data directory as it is.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	// CopyFS lets others read, which keys refuse.
	err := filepath.WalkDir(filepath.Join(to, "keys"), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := os.FileMode(0o600)
		if d.IsDir() {
			mode = 0o700
		}
		return os.Chmod(path, mode)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}
