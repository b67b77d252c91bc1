// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
)

var errDisk = errors.New("the disk says no")

// TestFailedCommits fails one commit under load, before or after it is done.
// The ledger stops, and says so to everyone; after a restart the retry of each
// submission has exactly one entry.
func TestFailedCommits(t *testing.T) {
	for _, persisted := range []bool{false, true} {
		t.Run(fmt.Sprintf("persisted %v", persisted), func(t *testing.T) {
			failing := &nodetest.FailingStore{}
			r := newLedger(t, node.Options{Store: func(s store.Store) store.Store { failing.Store = s; return failing }})
			r.load(0, 30)
			acknowledged := len(r.acks)
			if persisted {
				failing.Arm(nil, errDisk)
			} else {
				failing.Arm(errDisk, nil)
			}
			var g sync.WaitGroup
			var mu sync.Mutex
			refused := 0
			for n := 30; n < 60; n++ {
				g.Go(func() {
					_, err := r.send(n)
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						return
					}
					refused++
					if !errors.Is(err, sequencer.ErrStopped) {
						t.Errorf("submission %d: %v", n, err)
					}
				})
			}
			g.Wait()
			if refused == 0 || r.Err() == nil {
				t.Fatalf("%d refused, %v", refused, r.Err())
			}
			if _, err := r.send(100); !errors.Is(err, sequencer.ErrStopped) {
				t.Errorf("a later submission: %v", err)
			}
			if err := r.Settle(t.Context()); !errors.Is(err, sequencer.ErrStopped) {
				t.Errorf("a later head: %v", err)
			}
			// What was acknowledged can still be fetched.
			receipt, err := ledger.ParseReceipt(mustParse(t, r.world.Submission(t, 3)).Receipt)
			if err != nil {
				t.Fatal(err)
			}
			if a, err := r.Fetch(t.Context(), receipt.Iss, receipt.JTI); err != nil {
				t.Errorf("fetching from a stopped ledger: %v", err)
			} else if err := nodetest.SameEntries(r.acks[3], a); err != nil {
				t.Error(err)
			}
			if err := r.Close(); !errors.Is(err, errDisk) || !errors.Is(err, engine.ErrUncertain) {
				t.Errorf("Close of a stopped ledger: %v", err)
			}
			seen := r.audit()
			r.holds(seen)
			if got := len(seen.Receipts); !persisted && got != len(r.acks) || persisted && got <= acknowledged {
				t.Errorf("%d receipts in the log, %d acknowledged", got, len(r.acks))
			}
			r.start(node.Options{})
			if replays := r.load(0, 60); replays != len(seen.Receipts) {
				t.Errorf("%d of 60 retries were replays, expected %d", replays, len(seen.Receipts))
			}
			seen = r.stop()
			r.holds(seen)
			if len(seen.Receipts) != 60 {
				t.Errorf("%d receipts, expected 60", len(seen.Receipts))
			}
		})
	}
}

// TestFullDisk fills a small file system until the ledger can't write, and
// makes it larger.
func TestFullDisk(t *testing.T) {
	disk := nodetest.NewSmallDisk(t)
	dir := disk.Dir
	r := &running{t: t, world: nodetest.NewWorld(t, time.Now()), dir: filepath.Join(dir, "ledger"), acks: map[int]*ledger.Answer{}}
	r.world.Create(t, r.dir, node.Options{})
	r.start(node.Options{})
	r.world.Register(t, r.Node)
	r.load(0, 20)
	disk.Fill(t, 512<<10)
	next, failure := 20, error(nil)
	for ; failure == nil && next < 4000; next++ {
		_, failure = r.send(next)
	}
	if failure == nil {
		t.Skip("NOT CHECKED: the disk never got full")
	}
	if !errors.Is(failure, sequencer.ErrStopped) && !errors.Is(failure, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", failure)
	}
	if _, err := r.send(next); err == nil {
		t.Error("the ledger went on with a full disk")
	}
	t.Logf("full after %d submissions: %v", next, failure)
	if err := r.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Close with a full disk: %v", err)
	}
	// Still full: it opens or says why, and harms nothing.
	if n, err := node.Open(t.Context(), r.dir, node.Options{}); err == nil {
		n.Close()
	} else if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("opened with a full disk: %v", err)
	}
	disk.Grow(t)
	r.start(node.Options{})
	r.load(0, next+10)
	seen := r.stop()
	r.holds(seen)
	if len(seen.Receipts) != next+10 {
		t.Errorf("%d receipts, expected %d", len(seen.Receipts), next+10)
	}
}

// TestSecondProcess opens a directory that a process holds, from this process
// and from another.
func TestSecondProcess(t *testing.T) {
	r := newLedger(t, node.Options{})
	r.load(0, 5)
	if _, err := node.Open(t.Context(), r.dir, node.Options{}); !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "stop the process") {
		t.Errorf("opened twice: %v", err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	second := exec.Command(program)
	second.Env = append(os.Environ(), childEnv+`={"Dir":"`+r.dir+`","File":"`+filepath.Join(r.dir, "config.json")+`"}`)
	if out, err := second.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("in use by another process")) || !bytes.Contains(out, []byte("stop the process")) {
		t.Errorf("a second process: %v: %s", err, out)
	}
	r.load(0, 10)
	r.holds(r.stop())
}

// TestTornLog adds to the end of the store's write-ahead log what a power cut
// may leave of a write that nobody was told of.
func TestTornLog(t *testing.T) {
	r := newLedger(t, node.Options{})
	r.load(0, 30)
	if err := r.Settle(t.Context()); err != nil { // all of it is published
		t.Fatal(err)
	}
	// As a crash leaves it: nothing is closed.
	crashed := copyDir(t, r.dir)
	r.stop()
	logs, err := filepath.Glob(filepath.Join(crashed, "store", "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no write-ahead log: %v", err)
	}
	last := logs[len(logs)-1]
	data, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	const mayBeZero = 64 // at a record's own end; the rest is preallocated
	data = data[:min(len(data), len(bytes.TrimRight(data, "\x00"))+mayBeZero)]
	noise := make([]byte, 5000)
	rand.NewChaCha8([32]byte{9}).Read(noise)
	whole := len(r.acks)
	for name, torn := range map[string][]byte{
		"whole": data, "zeros": append(bytes.Clone(data), make([]byte, 4000)...),
		"half a record": append(bytes.Clone(data), data[len(data)/2:len(data)*3/4]...),
		"noise":         append(bytes.Clone(data), noise...),
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyDir(t, crashed)
			if err := os.WriteFile(filepath.Join(dir, "store", filepath.Base(last)), torn, 0o600); err != nil {
				t.Fatal(err)
			}
			again := &running{t: t, world: r.world, dir: dir, acks: r.acks}
			again.start(node.Options{})
			if got := again.load(0, 30); got != whole {
				t.Errorf("%d of %d acknowledged submissions are there", got, whole)
			}
			again.holds(again.stop())
		})
	}
	// Cut off what was synced: the ledger notices that it published more.
	noticed := 0
	for cut := 1; cut < 10; cut++ {
		dir := copyDir(t, crashed)
		if err := os.WriteFile(filepath.Join(dir, "store", filepath.Base(last)), data[:len(data)*cut/10], 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := node.Open(t.Context(), dir, node.Options{})
		switch {
		case err == nil:
			if p, err := n.Published(n.Epoch()); err != nil || p.Root.Size == 0 {
				t.Errorf("cut at %d/10: %v", cut, err)
			}
			n.Close()
		case errors.Is(err, node.ErrBehind):
			noticed++
		default:
			t.Errorf("cut at %d/10: %v", cut, err)
		}
	}
	if noticed < 9 {
		t.Errorf("only %d of 9 shortened stores were noticed", noticed)
	}
}

// TestFlippedTables flips bits in the store's tables: the ledger refuses to
// open or to answer, or everything it says is as it was.
func TestFlippedTables(t *testing.T) {
	r := newLedger(t, node.Options{})
	for part := range 4 { // several tables
		r.load(part*40, part*40+40)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		r.start(node.Options{})
	}
	r.stop()
	tables, err := filepath.Glob(filepath.Join(r.dir, "store", "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	rnd := rand.New(rand.NewPCG(3, 3))
	flips, refused := 20, 0
	if testing.Short() {
		flips = 3
	}
	for range flips {
		table := tables[rnd.IntN(len(tables))]
		data, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		bit := rnd.IntN(8 * len(data))
		changed := bytes.Clone(data)
		changed[bit/8] ^= 1 << (bit % 8)
		dir := copyDir(t, r.dir)
		if err := os.WriteFile(filepath.Join(dir, "store", filepath.Base(table)), changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := r.useDamaged(dir); err != nil {
			refused++
			if !errors.Is(err, store.ErrDamaged) {
				t.Errorf("bit %d of %s: %v", bit, filepath.Base(table), err)
			}
		}
	}
	t.Logf("%d of %d flips were refused", refused, flips)
	if refused == 0 {
		t.Error("no flip was noticed")
	}
}

// useDamaged opens a damaged copy and asks for everything that was
// acknowledged. An answer, if it comes, must be the same.
func (r *running) useDamaged(dir string) error {
	n, err := node.Open(context.Background(), dir, node.Options{})
	if err != nil {
		return err
	}
	for i, a := range r.acks {
		raw := r.world.Submission(r.t, i)
		again, replayed, err2 := n.Submit(context.Background(), raw)
		if err2 != nil {
			err = err2
			continue
		}
		if err := nodetest.SameEntries(a, again); err != nil || !replayed {
			r.t.Errorf("a damaged ledger answers otherwise: %v, replayed %v", err, replayed)
		}
	}
	if err2 := n.Close(); err == nil {
		err = err2
	}
	return err
}

func TestNewerStore(t *testing.T) {
	r := newLedger(t, node.Options{})
	r.load(0, 3)
	r.stop()
	format := filepath.Join(r.dir, "store", "FORMAT")
	before, err := os.ReadFile(format)
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(before), "\n")
	newer := line[:strings.LastIndex(line, " ")] + " 1000\n"
	sum := crc32.Checksum([]byte(newer), crc32.MakeTable(crc32.Castagnoli))
	if err := os.WriteFile(format, fmt.Appendf(nil, "%s%08x\n", newer, sum), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Open(t.Context(), r.dir, node.Options{}); !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "1000") {
		t.Errorf("a store of format 1000: %v", err)
	}
	if err := os.WriteFile(format, before, 0o600); err != nil {
		t.Fatal(err)
	}
	r.start(node.Options{})
	r.load(0, 3)
	r.holds(r.stop())
}

// TestRestoredStore puts an older copy, and one of another history, in the
// place of the store.
func TestRestoredStore(t *testing.T) {
	r := newLedger(t, node.Options{})
	r.load(0, 20)
	older := filepath.Join(t.TempDir(), "backup")
	if err := r.Backup(t.Context(), older); err != nil {
		t.Fatal(err)
	}
	fork := copyDir(t, r.dir) // with its keys: what a careless operator runs twice
	r.load(20, 40)
	r.holds(r.stop())
	newer := copyDir(t, filepath.Join(r.dir)) // to come back to

	replace := func(with string) error {
		return errors.Join(os.RemoveAll(filepath.Join(r.dir, "store")), os.CopyFS(filepath.Join(r.dir, "store"), os.DirFS(with)))
	}
	if err := replace(older); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Open(t.Context(), r.dir, node.Options{}); !errors.Is(err, node.ErrBehind) || !strings.Contains(err.Error(), "backup") {
		t.Errorf("an older store: %v", err)
	}
	// The other history is longer than what was published here.
	other := &running{t: t, world: r.world, dir: fork, acks: map[int]*ledger.Answer{}}
	other.start(node.Options{})
	other.load(100, 160)
	other.stop()
	if err := replace(filepath.Join(fork, "store")); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Open(t.Context(), r.dir, node.Options{}); !errors.Is(err, node.ErrFork) {
		t.Errorf("another history: %v", err)
	}
	// Nothing was written by the refusals: the right store still opens.
	if err := replace(filepath.Join(newer, "store")); err != nil {
		t.Fatal(err)
	}
	r.start(node.Options{})
	r.load(0, 40)
	r.holds(r.stop())
}

// TestDamagedIndex damages the file of the index's keys, which is derived: the
// ledger does without it, or says what to do.
func TestDamagedIndex(t *testing.T) {
	r := newLedger(t, node.Options{})
	r.load(0, 40)
	r.stop()
	files, err := filepath.Glob(filepath.Join(r.dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(4, 4))
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if name := filepath.Base(file); info.IsDir() || !strings.Contains(name, "index") {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			dir := copyDir(t, r.dir)
			changed := bytes.Clone(data)
			changed[rnd.IntN(len(changed))] ^= 1 << rnd.IntN(8)
			if rnd.IntN(3) == 0 {
				changed = changed[:rnd.IntN(len(changed))]
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), changed, 0o600); err != nil {
				t.Fatal(err)
			}
			again := &running{t: t, world: r.world, dir: dir, acks: r.acks}
			again.start(node.Options{})
			again.load(30, 50)
			again.holds(again.stop())
		}
	}
}
