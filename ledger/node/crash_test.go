// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// childEnv makes this test binary a process that runs a ledger until it is
// killed. Its value is a childOrders as JSON.
const childEnv = "TRACCIA_TEST_LEDGER_PROCESS"

// childOrders say what the process does.
type childOrders struct {
	Dir   string
	File  string // submissions, one a line, sent in this order by all workers
	Round int    // names the bodies that it registers beside them

	Step string // it kills itself at this step, "" for never; see steps
	Nth  int    // the how manieth time it gets there, from 1
	From string // counted from the first time it got to this step on; "": from its start

	Clock time.Time     // what its clock shows until the ledger is open, and goes on from; zero: the real one
	Pace  time.Duration // between two submissions
}

// steps of a commit in their order. The second and third are around the
// store's Commit itself, the others the sequencer's own.
var steps = []string{"numbered", "before commit", "after commit", "durable", "signed"}

func TestMain(m *testing.M) {
	if orders := os.Getenv(childEnv); orders != "" {
		if err := runChild(orders); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(pgtest.Main(m))
}

// mortal counts steps and dies at the one it was told.
type mortal struct {
	mu     sync.Mutex
	orders childOrders
	seen   int
}

func (m *mortal) at(step string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if step == m.orders.From {
		m.orders.From = ""
	}
	if step != m.orders.Step || m.orders.From != "" {
		return
	}
	if m.seen++; m.seen == m.orders.Nth {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// mortalStore has the steps around Commit.
type mortalStore struct {
	store.Store
	m *mortal
}

func (s mortalStore) Commit(ctx context.Context, expect, write []store.Row) error {
	s.m.at("before commit")
	err := s.Store.Commit(ctx, expect, write)
	s.m.at("after commit")
	return err
}

// runChild runs a ledger, sends it the submissions, and writes each
// acknowledgement to standard output: its number, a space, the answer.
func runChild(text string) error {
	m := &mortal{}
	if err := json.Unmarshal([]byte(text), &m.orders); err != nil {
		return err
	}
	lines, err := os.ReadFile(m.orders.File)
	if err != nil {
		return err
	}
	ctx := context.Background()
	var opened atomic.Pointer[time.Time]
	opt := node.Options{Step: m.at, Store: func(s store.Store) store.Store { return mortalStore{s, m} }}
	if !m.orders.Clock.IsZero() {
		opt.Now = func() time.Time {
			if begun := opened.Load(); begun != nil {
				return m.orders.Clock.Add(time.Since(*begun))
			}
			return m.orders.Clock
		}
	}
	n, err := node.Open(ctx, m.orders.Dir, opt)
	if err != nil {
		return err
	}
	begun := time.Now()
	opened.Store(&begun)
	var mu sync.Mutex // standard output
	var g sync.WaitGroup
	work := make(chan int)
	raws := bytes.Split(bytes.TrimSpace(lines), []byte("\n"))
	var failed error
	for range 12 {
		g.Go(func() {
			for i := range work {
				a, _, err := n.Submit(ctx, raws[i])
				var answer []byte
				if err == nil {
					answer, err = ledger.FormatAnswer(a)
				}
				mu.Lock()
				if err != nil {
					failed = errors.Join(failed, err)
				} else {
					fmt.Printf("%d %s\n", i, answer)
				}
				mu.Unlock()
			}
		})
	}
	for i := range raws {
		time.Sleep(m.orders.Pace)
		work <- i
		if i%40 == 20 { // records between the events
			if _, err := n.AddBody(ctx, registry.Body{ID: fmt.Sprintf("new_%d_%d", m.orders.Round, i), Name: "Ente"}); err != nil {
				return err
			}
		}
		if i%40 == 30 {
			if err := n.Settle(ctx); err != nil {
				return err
			}
		}
	}
	close(work)
	g.Wait()
	return errors.Join(failed, n.Close())
}

// run starts a child and reads its acknowledgements until it ends. after,
// when not nil, gets the process once it has acknowledged something.
func (o childOrders) run(t *testing.T, after func(*os.Process)) (acks map[int]*ledger.Answer, killed bool) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	orders, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program)
	command.Env = append(os.Environ(), childEnv+"="+string(orders))
	var stderr strings.Builder
	command.Stderr = &stderr
	pipe, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	acks = readAcks(t, pipe, func() {
		if after != nil {
			after(command.Process)
		}
	})
	err = command.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status, ok := exit.Sys().(syscall.WaitStatus)
		killed = ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	if err != nil && !killed {
		t.Fatalf("the process failed on its own: %v\n%s", err, &stderr)
	}
	return acks, killed
}

// readAcks reads whole lines: what was cut off was not acknowledged.
func readAcks(t *testing.T, from io.Reader, first func()) map[int]*ledger.Answer {
	acks := map[int]*ledger.Answer{}
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return acks
		}
		if len(acks) == 0 {
			first()
		}
		var i int
		number, answer, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		if _, err := fmt.Sscan(string(number), &i); err != nil {
			t.Fatalf("an acknowledgement of %q", number)
		}
		if acks[i], err = ledger.ParseAnswer(answer); err != nil {
			t.Fatalf("acknowledgement of %d: %v", i, err)
		}
	}
}

// crashes is a ledger that is killed again and again.
type crashes struct {
	*running
	round int
	next  int // number of the next submission
}

// newCrashes makes a ledger and closes it; its store is a database's URL, or ""
// for a directory.
func newCrashes(t *testing.T, store string) *crashes {
	c := &crashes{running: newLedgerIn(t, store, node.Options{})}
	c.stop()
	return c
}

// do kills a child once, and checks everything there is: as it was left, and
// then that what is sent again is the same.
func (c *crashes) do(t *testing.T, o childOrders, after func(*os.Process)) (killed bool) {
	t.Helper()
	each := 80
	if testing.Short() {
		each = 30
	}
	c.round++
	from := c.next
	c.next += each
	var lines []byte
	raws := make([][]byte, each)
	for i := range raws {
		raws[i] = c.world.Submission(t, from+i)
		lines = append(append(lines, raws[i]...), '\n')
	}
	o.Dir, o.Round, o.File = c.dir, c.round, filepath.Join(filepath.Dir(c.dir), "submissions")
	if err := os.WriteFile(o.File, lines, 0o600); err != nil {
		t.Fatal(err)
	}
	acks, killed := o.run(t, after)
	what := fmt.Sprintf("round %d, %q %d, %d acknowledged", c.round, o.Step, o.Nth, len(acks))
	for i, a := range acks {
		if _, err := nodetest.CheckAnswer(raws[i], a, c.VKey()); err != nil {
			t.Errorf("%s: answer %d: %v", what, i, err)
		}
		c.acks[from+i] = a
	}
	seen := c.audit()
	c.holds(seen)
	c.consistent(t, seen, acks)
	c.start(node.Options{})
	c.load(from, c.next)
	c.load(max(0, from-each/2), from) // and some of the round before
	if err := c.Close(); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if t.Failed() {
		t.Fatal(what)
	}
	return killed
}

// end reads the whole ledger once more.
func (c *crashes) end(t *testing.T) {
	t.Helper()
	seen := c.audit()
	c.holds(seen)
	if len(seen.Receipts) != len(c.acks) {
		t.Errorf("%d receipts in the log, %d submissions were sent", len(seen.Receipts), len(c.acks))
	}
	t.Logf("%d submissions in the log after %d rounds", len(c.acks), c.round)
}

// consistent compares the log with every checkpoint that left the process.
func (c *crashes) consistent(t *testing.T, seen *nodetest.Audited, acks map[int]*ledger.Answer) {
	t.Helper()
	verifier, err := note.NewVerifier(c.VKey())
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := keys.Open(filepath.Join(c.dir, "keys"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer secrets.Close()
	published, err := secrets.Published(c.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{string(published): true}
	for _, a := range acks {
		shown[a.Checkpoint] = true
	}
	for signed := range shown {
		cp, err := checkpoint.Open([]byte(signed), verifier)
		if err != nil {
			t.Fatal(err)
		}
		if cp.Size > uint64(len(seen.Leaves)) {
			t.Errorf("a checkpoint of %d leaves was given away, the log has %d", cp.Size, len(seen.Leaves))
		} else if seen.RootAt(cp.Size) != cp.Root {
			t.Errorf("the log isn't what it was at size %d", cp.Size)
		}
	}
}

// TestKilledAtEachStep kills the process at each named step of a commit.
func TestKilledAtEachStep(t *testing.T) { killedAtEachStep(t, "", []int{1, 4}) }

func killedAtEachStep(t *testing.T, store string, nths []int) {
	c := newCrashes(t, store)
	if testing.Short() {
		nths = nths[:1]
	}
	for _, step := range steps {
		for _, nth := range nths {
			if !c.do(t, childOrders{Step: step, Nth: nth}, nil) {
				t.Errorf("the process outlived %q %d", step, nth)
			}
		}
	}
	if c.do(t, childOrders{}, nil) {
		t.Error("the process that nobody killed was killed")
	}
	c.end(t)
}

// TestKilledAnywhere kills the process under load at any moment, again and
// again, also while it starts.
func TestKilledAnywhere(t *testing.T) { killedAnywhere(t, "", 15*time.Second) }

func killedAnywhere(t *testing.T, store string, budget time.Duration) {
	rounds, enough := 30, time.Now().Add(budget)
	if testing.Short() {
		rounds = 2
	}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	c := newCrashes(t, store)
	killed := 0
	for range rounds {
		if time.Now().After(enough) {
			t.Logf("stopped for time's sake after %d rounds", c.round)
			break
		}
		delay := time.Duration(r.IntN(100)) * time.Millisecond
		if c.do(t, childOrders{}, func(p *os.Process) {
			go func() {
				time.Sleep(delay)
				p.Kill()
			}()
		}) {
			killed++
		}
	}
	if killed == 0 {
		t.Error("nothing was killed")
	}
	c.end(t)
}

// TestKilledAtTheFirstHead kills a ledger that starts for the first time.
func TestKilledAtTheFirstHead(t *testing.T) {
	for _, step := range steps {
		world := nodetest.NewWorld(t, time.Now())
		dir := filepath.Join(t.TempDir(), "ledger")
		world.Create(t, dir, node.Options{})
		file := filepath.Join(t.TempDir(), "submissions")
		if err := os.WriteFile(file, []byte("{}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, killed := (childOrders{Dir: dir, File: file, Step: step, Nth: 1}).run(t, nil); !killed {
			t.Errorf("the process outlived %q", step)
		}
		n, err := node.Open(t.Context(), dir, node.Options{})
		if err != nil {
			t.Fatalf("after %q: %v", step, err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		seen, err := nodetest.AuditDir(t.Context(), dir, "")
		if err != nil {
			t.Fatalf("after %q: %v", step, err)
		}
		if heads := len(seen.Report.Heads); heads != 1 || len(seen.Leaves) != 5 {
			t.Errorf("after %q: %d heads in %d leaves, expected the first head alone", step, heads, len(seen.Leaves))
		}
	}
}
