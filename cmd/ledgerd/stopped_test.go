// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
)

// acknowledged is what submitters were told, by number of the submission.
type acknowledged struct {
	mu      sync.Mutex
	answers map[int]*ledger.Answer
}

func (a *acknowledged) add(t *testing.T, n int, answer *ledger.Answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if before := a.answers[n]; before != nil {
		if err := nodetest.SameEntries(before, answer); err != nil {
			t.Errorf("submission %d, answered again: %v", n, err)
		}
	}
	a.answers[n] = answer
}

func (a *acknowledged) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.answers)
}

// flood posts submissions from 6 clients, and in one batch, until the ledger
// no longer takes any.
func (a *acknowledged) flood(t *testing.T, w *nodetest.World, url string, from int) *sync.WaitGroup {
	t.Helper()
	var g sync.WaitGroup
	for client := range 6 {
		g.Go(func() {
			for n := from + client; ; n += 8 {
				status, answer, err := post(url, w.Submission(t, n))
				switch {
				case err != nil || status == http.StatusServiceUnavailable:
					return // refused, or cut off: nobody was told anything
				case answer == nil:
					t.Errorf("submission %d was answered %d", n, status)
					return
				}
				a.add(t, n, answer)
			}
		})
	}
	g.Go(func() {
		body, feed := io.Pipe()
		go func() {
			for n := from + 6; ; n += 8 {
				if _, err := feed.Write(append(w.Submission(t, n), '\n')); err != nil {
					return
				}
			}
		}()
		defer body.Close()
		response, err := http.Post(url+"/v1/access-receipts/batch", "application/x-ndjson", body)
		if err != nil {
			return
		}
		defer response.Body.Close()
		for lines := json.NewDecoder(response.Body); ; {
			var line struct {
				Line   int
				Status int
				Answer *ledger.Answer
			}
			if err := lines.Decode(&line); err != nil {
				return
			}
			if line.Answer != nil {
				a.add(t, from+6+8*(line.Line-1), line.Answer)
			}
		}
	})
	return &g
}

// holds checks the ledger against what submitters were told.
func (a *acknowledged) holds(t *testing.T, dir string) {
	t.Helper()
	seen, err := nodetest.AuditDir(t.Context(), dir, "")
	if err != nil {
		t.Fatal(err)
	}
	for n, answer := range a.answers {
		if first, ok := seen.Receipts[answer.ReceiptID]; !ok || first != answer.FirstIndex {
			t.Errorf("submission %d was acknowledged at %d, the log has it at %d (%v)", n, answer.FirstIndex, first, ok)
		}
	}
}

// TestStoppedUnderLoad asks a ledger to end, and then kills one, while clients
// go on. Nothing acknowledged is lost, and the retries get the same entries.
func TestStoppedUnderLoad(t *testing.T) {
	w, dir := newData(t)
	acks := &acknowledged{answers: map[int]*ledger.Answer{}}
	from := 0
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGINT, syscall.SIGTERM} {
		p := serve(t, "serve", "--data", dir)
		before := acks.count()
		clients := acks.flood(t, w, p.ready.URL, from)
		for end := time.Now().Add(2 * time.Minute); acks.count() < before+60 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		begun := time.Now()
		p.signal(signal)
		code := p.finish()
		clients.Wait() // and their batch ended, though it has no end
		if signal != syscall.SIGKILL && code != 0 {
			t.Errorf("%s: exit %d:\n%s", signal, code, p.stderr.String())
		}
		took := time.Since(begun)
		if took > 10*time.Second {
			t.Errorf("%s: it took %s to end", signal, took)
		}
		acks.holds(t, dir)
		from += 100_000
		t.Logf("%s after %d acknowledgements: ended in %s", signal, acks.count()-before, took.Round(time.Millisecond))
	}
	p := serve(t, "serve", "--data", dir)
	for n, answer := range acks.answers {
		if n%5 != 0 {
			continue
		}
		status, again, err := post(p.ready.URL, w.Submission(t, n))
		if err != nil || status != http.StatusOK {
			t.Fatalf("the retry of submission %d: %d, %v", n, status, err)
		}
		if err := nodetest.SameEntries(answer, again); err != nil {
			t.Errorf("the retry of submission %d: %v", n, err)
		}
	}
	p.stop()
	acks.holds(t, dir)
}

// TestFullDisk: a ledger that can write no more ends by itself and says why.
// With room again it goes on, and nothing acknowledged is missing.
func TestFullDisk(t *testing.T) {
	disk := nodetest.NewSmallDisk(t)
	w := nodetest.NewWorld(t, time.Now())
	dir := filepath.Join(disk.Dir, "data")
	w.Create(t, dir, node.Options{})
	n, err := node.Open(t.Context(), dir, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.Register(t, n)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	acks := &acknowledged{answers: map[int]*ledger.Answer{}}
	p := serve(t, "serve", "--data", dir)
	disk.Fill(t, 512<<10)
	clients := acks.flood(t, w, p.ready.URL, 0)
	code := p.finish()
	clients.Wait()
	if said := p.stderr.String(); code != 3 || !strings.Contains(said, "no space left on device") || !strings.Contains(said, "restart the ledger") {
		t.Errorf("with a full disk: exit %d\n%s", code, said)
	}
	if acks.count() == 0 {
		t.Error("nothing was acknowledged")
	}
	disk.Grow(t)
	acks.holds(t, dir)
	p = serve(t, "serve", "--data", dir)
	for n, answer := range acks.answers {
		status, again, err := post(p.ready.URL, w.Submission(t, n))
		if err != nil || status != http.StatusOK {
			t.Fatalf("the retry of submission %d: %d, %v", n, status, err)
		}
		if err := nodetest.SameEntries(answer, again); err != nil {
			t.Errorf("the retry of submission %d: %v", n, err)
		}
	}
	p.stop()
	acks.holds(t, dir)
}
