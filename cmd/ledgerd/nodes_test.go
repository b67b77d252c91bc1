// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
)

// nodes are several ledgerd on one ledger in a database, and clients of them.
type nodes struct {
	t    *testing.T
	db   *pgtest.Server
	w    *nodetest.World
	dir  string
	list []*process

	unready sync.Map                // of processes: those that a balancer leaves out
	still   atomic.Pointer[process] // stands still: every other client goes past it; nil: none does

	next atomic.Int64 // number of the next submission
	mu   sync.Mutex
	acks map[int]*ledger.Answer // by number; guarded by mu
	last time.Time              // when the last submission was acknowledged; guarded by mu
	gap  time.Duration          // the longest without one; guarded by mu
}

func newNodes(t *testing.T, count int) *nodes {
	t.Helper()
	db := pgtest.Postgres(t)
	w, dir := newDataIn(t, db.Database(t))
	n := &nodes{t: t, db: db, w: w, dir: dir, acks: map[int]*ledger.Answer{}}
	for range count {
		n.list = append(n.list, n.start())
	}
	return n
}

// start starts a node, and asks it again and again whether it is ready.
func (n *nodes) start() *process {
	n.t.Helper()
	p := serve(n.t, "serve", "--data", n.dir, "--advertise", "http://127.0.0.1:0", "--linger", "200ms")
	go func() {
		for url := strings.TrimSuffix(p.ready.MetricsURL, "metrics") + "ready"; ; time.Sleep(20 * time.Millisecond) {
			response, err := http.Get(url)
			if err == nil {
				response.Body.Close()
			}
			switch {
			case err == nil && response.StatusCode == http.StatusOK:
				n.unready.Delete(p)
			case err == nil:
				n.unready.Store(p, true)
			}
			select {
			case <-p.ended:
				return
			default:
			}
		}
	}()
	return p
}

// leads says whether a node sequences.
func leads(p *process) bool {
	response, err := http.Get(p.ready.MetricsURL)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return err == nil && bytes.Contains(body, []byte("\ntraccia_sequencing 1"))
}

// sequencer returns the place of the one that sequences.
func (n *nodes) sequencer() int {
	n.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for i, p := range n.list {
			if leads(p) {
				return i
			}
		}
	}
	n.t.Fatal("no node sequences")
	return 0
}

// send submits a submission, as a balancer does: to a node that is ready and
// listens, until the request is answered or breaks.
func (n *nodes) send(number, through int) (status int, a *ledger.Answer, err error) {
	careful := through%2 == 0
	for {
		n.mu.Lock()
		p := n.list[through%len(n.list)]
		n.mu.Unlock()
		if still := n.still.Load(); careful && still == p || (still == nil || !careful) && !n.ready(p) {
			through++
			time.Sleep(time.Millisecond)
			continue
		}
		url := p.ready.URL
		status, a, err = post(url, n.w.Submission(n.t, number))
		var refused *net.OpError
		if !errors.As(err, &refused) || refused.Op != "dial" {
			return status, a, err
		}
		through++
		time.Sleep(time.Millisecond)
	}
}

// ready says whether clients may go to a node.
func (n *nodes) ready(p *process) bool {
	_, unready := n.unready.Load(p)
	return !unready
}

// clients is how many submit at a time.
const clients = 4

// load submits through all nodes until stop is called, which returns what broke:
// requests that weren't acknowledged.
func (n *nodes) load() (stop func() []string) {
	end := make(chan struct{})
	var broke []string
	var g sync.WaitGroup
	for c := range clients {
		g.Go(func() {
			for pace := time.Tick(10 * time.Millisecond); ; <-pace {
				select {
				case <-end:
					return
				default:
				}
				number := int(n.next.Add(1)) - 1
				status, a, err := n.send(number, c)
				n.mu.Lock()
				if err != nil || status/100 != 2 {
					broke = append(broke, fmt.Sprint(number, " ", status, " ", err))
				} else {
					n.acks[number] = a
					n.gap = max(n.gap, time.Since(n.last))
					n.last = time.Now()
				}
				n.mu.Unlock()
			}
		})
	}
	g.Go(func() { n.watchLog(end) })
	return func() []string {
		close(end)
		g.Wait()
		return broke
	}
}

// watchLog asks one node after the other for the checkpoint until end is closed: the
// log never shrinks. A node that stands still isn't asked.
func (n *nodes) watchLog(end <-chan struct{}) {
	path := fmt.Sprintf("/log/%d/checkpoint", n.w.Now.UTC().Year())
	last, from := 0, ""
	for i := 0; ; i++ {
		select {
		case <-end:
			return
		case <-time.After(time.Millisecond):
		}
		n.mu.Lock()
		p := n.list[i%len(n.list)]
		n.mu.Unlock()
		if n.still.Load() == p {
			continue
		}
		response, err := http.Get(p.ready.URL + path)
		if err != nil {
			continue // it is down
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			continue
		}
		size, err := strconv.Atoi(strings.Split(string(body), "\n")[1])
		if err != nil || size < last {
			n.t.Errorf("%s shows %d leaves (%v), and %s showed %d before", p.ready.URL, size, err, from, last)
			return
		}
		last, from = size, p.ready.URL
	}
}

func (n *nodes) acknowledged() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.acks)
}

// await waits for so many more acknowledgements.
func (n *nodes) await(more int) {
	n.t.Helper()
	want := n.acknowledged() + more
	for end := time.Now().Add(time.Minute); n.acknowledged() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			for i, p := range n.list {
				n.t.Logf("node %d:\n%s", i, p.stderr.String())
			}
			n.t.Fatal("no acknowledgements")
		}
	}
}

// get asks each node for a path, and returns what they answer.
func (n *nodes) get(path string) (all []string) {
	n.t.Helper()
	for _, p := range n.list {
		response, err := http.Get(p.ready.URL + path)
		if err != nil {
			n.t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			n.t.Errorf("%s: %d, %s, %v", path, response.StatusCode, body, err)
		}
		all = append(all, string(body))
	}
	return all
}

// check sends everything again, ends the nodes and verifies the ledger.
func (n *nodes) check() {
	t := n.t
	t.Helper()
	all := int(n.next.Load())
	var g sync.WaitGroup
	for c := range 8 {
		g.Go(func() {
			for i := c; i < all; i += 8 {
				status, a, err := n.send(i, c)
				if err != nil || status/100 != 2 {
					t.Errorf("submission %d: %d, %v", i, status, err)
				} else if before := n.acks[i]; before != nil {
					if err := nodetest.SameEntries(before, a); err != nil || status != http.StatusOK {
						t.Errorf("submission %d was acknowledged, and is answered with %d: %v", i, status, err)
					}
				}
			}
		})
	}
	g.Wait()
	waitUntil(t, "all nodes show one public log", func() bool {
		all := n.get(fmt.Sprintf("/log/%d/checkpoint", n.w.Now.UTC().Year()))
		return all[0] == all[1]
	})
	if all := strings.Join(n.get("/status"), ""); strings.Count(all, `"role":"sequencer"`) != 1 || strings.Count(all, `"role":"follower"`) != 1 {
		t.Errorf("the status of the nodes is %s", all)
	}
	for _, p := range n.list {
		p.signal(syscall.SIGTERM)
	}
	for _, p := range n.list {
		if code := p.finish(); code != 0 {
			t.Errorf("stopped with %d:\n%s", code, p.stderr.String())
		}
	}
	// fsck also finds running numbers that are skipped or repeated.
	if a := done(t, "fsck", "--data", n.dir); a["result"] != "proven" || a["events"].(float64) < float64(all) {
		t.Errorf("fsck, %d submissions: %v", all, a)
	}
}

// roundsEnv says how often each thing happens to the nodes; once without it.
const roundsEnv = "TRACCIA_TEST_ROUNDS"

// TestNodes has two nodes under load. The one that sequences is restarted, stands
// still until the other has its place, is killed: nothing that was acknowledged is
// lost or told otherwise, and no request fails but those in the hands of the one
// that was killed.
func TestNodes(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv(roundsEnv))
	if err != nil {
		rounds = 1
	}
	n := newNodes(t, 2)
	events := []struct {
		name   string
		happen func(i int) // to the node in this place, which sequences
		breaks int         // requests that may break
	}{
		{"restarted", n.restart, 0},
		{"stands still", n.standStill, 0},
		{"killed", n.kill, 3 * clients}, // and connections to it that were kept
	}
	if testing.Short() {
		events = events[2:]
	}
	for _, event := range events {
		var longest time.Duration
		before := n.acknowledged()
		stop := n.load()
		for range rounds {
			n.await(10)
			i := n.sequencer()
			n.mu.Lock()
			n.last, n.gap = time.Now(), 0
			n.mu.Unlock()
			event.happen(i)
			n.await(10)
			n.mu.Lock()
			longest = max(longest, n.gap)
			n.mu.Unlock()
		}
		broke := stop()
		if len(broke) > event.breaks*rounds {
			t.Errorf("%s %d times: %d requests broke: %v", event.name, rounds, len(broke), broke)
		}
		t.Logf("%s %d times: %d acknowledged, %d broke, at most %v between two acknowledgements",
			event.name, rounds, n.acknowledged()-before, len(broke), longest.Round(time.Millisecond))
	}
	n.check()
}

// TestNodesCannotTakeOver has a file that all nodes need broken while one sequences: no
// other node starts, those that run stay when it leaves, say why they can't sequence,
// and do once the file is mended.
func TestNodesCannotTakeOver(t *testing.T) {
	n := newNodes(t, 2)
	i := n.sequencer()
	other := n.list[1-i]
	file := filepath.Join(n.dir, "config.json")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	broken := bytes.Replace(good, []byte("{"), []byte(`{"witness_policy": "config.json",`), 1)
	if err := os.WriteFile(file, broken, 0o600); err != nil {
		t.Fatal(err)
	}
	if p := ledgerd(t, "serve", "--data", n.dir, "--advertise", "http://127.0.0.1:0", "--listen", "127.0.0.1:0"); p.code == 0 || !strings.Contains(p.stderr.String(), "couldn't read the witness policy") {
		t.Errorf("another node ended with %d:\n%s", p.code, p.stderr.String())
	}
	n.list[i].stop()
	waitUntil(t, "the other node says why it can't sequence", func() bool {
		response, err := http.Get(strings.TrimSuffix(other.ready.MetricsURL, "metrics") + "ready")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return err == nil && response.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(body), "couldn't read the witness policy")
	})
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the other node sequences", func() bool { return leads(other) })
	if status, _, err := post(other.ready.URL, n.w.Submission(t, 0)); status != http.StatusCreated || err != nil {
		t.Errorf("a submission: %d, %v", status, err)
	}
	if log := other.stderr.String(); !strings.Contains(log, "this node couldn't sequence") {
		t.Errorf("it doesn't say so:\n%s", log)
	}
}

// TestNodeUnreachable has the node that sequences advertise a port where nobody listens.
func TestNodeUnreachable(t *testing.T) {
	_, dir := newDataIn(t, pgtest.Postgres(t).Database(t))
	serve(t, "serve", "--data", dir, "--advertise", "http://127.0.0.1:1")
	other := serve(t, "serve", "--data", dir, "--advertise", "http://127.0.0.1:0")
	if log := other.awaitLog("can't be reached"); !strings.Contains(log, "connection refused") {
		t.Errorf("it doesn't say why it can't reach the one that sequences:\n%s", log)
	}
}

// again starts the node in this place anew.
func (n *nodes) again(i int) {
	fresh := n.start()
	n.mu.Lock()
	n.list[i] = fresh
	n.mu.Unlock()
}

func (n *nodes) restart(i int) {
	n.list[i].stop()
	n.again(i)
}

func (n *nodes) kill(i int) {
	n.list[i].signal(syscall.SIGKILL)
	n.list[i].finish()
	n.await(10)
	n.again(i)
}

// standStill stops the process until another has its place, and lets it go on: both
// then believe to hold the lease.
func (n *nodes) standStill(i int) {
	other := n.list[1-i]
	waitUntil(n.t, "the other node is ready", func() bool { return n.ready(other) })
	// Else all clients might wait for the one that stands still.
	n.still.Store(n.list[i])
	defer n.still.Store(nil)
	n.await(2 * clients)
	n.list[i].signal(syscall.SIGSTOP)
	// Else the other waits for eight seconds: the process is there.
	address, err := url.Parse(n.w.Store)
	if err != nil {
		n.t.Fatal(err)
	}
	n.db.Exec(n.t, "UPDATE "+address.Query().Get("search_path")+".store_use SET until = now()")
	waitUntil(n.t, "the other node sequences", func() bool { return leads(other) })
	n.await(5)
	n.list[i].signal(syscall.SIGCONT)
	n.await(10)
	stopped := n.list[i]
	waitUntil(n.t, "the node that stood still notices", func() bool { return strings.Contains(stopped.stderr.String(), "not sequencing any more") })
}

func waitUntil(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came to this: %s", what)
		}
	}
}
