// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
)

// TestStandby has two processes on one ledger in a database. The one that serves
// is killed under load, and later stopped: each time the other goes on, and
// nothing that was acknowledged is lost or told otherwise.
func TestStandby(t *testing.T) {
	server := pgtest.Postgres(t)
	w := nodetest.NewWorld(t, time.Now())
	w.Store = server.Database(t)
	dir := filepath.Join(t.TempDir(), "data")
	w.Create(t, dir, node.Options{})
	n, err := node.Open(t.Context(), dir, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.Register(t, n)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	standby := func() (*process, string) {
		file := filepath.Join(t.TempDir(), "ready.json")
		return start(t, "serve", "--data", dir, "--standby", "--listen", "127.0.0.1:0", "--ready-file", file), file
	}
	serving := serve(t, "serve", "--data", dir)
	const each = 60
	acks := map[int]*ledger.Answer{}
	signals := []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}
	if testing.Short() {
		signals = signals[:1]
	}
	for round, signal := range signals {
		next, file := standby()
		next.awaitLog("standing by")
		var mu sync.Mutex
		var g sync.WaitGroup
		from := round * each
		for k := range 4 {
			g.Go(func() {
				for i := from + k; i < from+each; i += 4 {
					status, a, err := post(serving.ready.URL, w.Submission(t, i))
					if err != nil || status/100 != 2 {
						return // it is gone
					}
					mu.Lock()
					acks[i] = a
					mu.Unlock()
				}
			})
		}
		for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			mu.Lock()
			enough := len(acks) > from/2+10
			mu.Unlock()
			if enough {
				break
			}
			if time.Now().After(end) {
				t.Fatal("no answers")
			}
		}
		serving.signal(signal)
		gone := time.Now()
		g.Wait()
		serving.finish()
		next.awaitReady(file)
		t.Logf("after %v somebody serves again in %v", signal, time.Since(gone).Round(time.Millisecond))
		serving = next
		for i := range from + each {
			status, a, err := post(serving.ready.URL, w.Submission(t, i))
			if err != nil || status/100 != 2 {
				t.Fatalf("submission %d: %d, %v", i, status, err)
			}
			if before := acks[i]; before == nil {
				acks[i] = a
			} else if err := nodetest.SameEntries(before, a); err != nil || status != http.StatusOK {
				t.Errorf("submission %d was acknowledged, and is answered with %d: %v", i, status, err)
			}
		}
	}
	// One that waits ends when it is told to.
	waiting, file := standby()
	waiting.awaitLog("standing by")
	waiting.stop()
	if _, err := os.Stat(file); err == nil {
		t.Error("a process that only waited said that it was ready")
	}
	serving.stop()
	if a := done(t, "fsck", "--data", dir); a["result"] != "proven" || a["events"].(float64) < float64(each*len(signals)) {
		t.Errorf("fsck: %v", a)
	}
}
