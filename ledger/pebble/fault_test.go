// SPDX-License-Identifier: EUPL-1.2

package pebble_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// The store of these tests holds, after n commits, n pairs of rows in two
// tables, one small and one big, and a counter that says n.

const (
	bigValue = 12 << 10
	secret   = "SECRET-THAT-NO-LOG-SHOWS"
)

func pairKey(i int) []byte {
	return append([]byte(secret), binary.BigEndian.AppendUint32(nil, uint32(i))...)
}

func bigRow(i int) []byte { return noise[i*8:][:bigValue] }

var noise = func() []byte {
	b := make([]byte, bigValue+8*1000)
	rand.NewChaCha8([32]byte{1}).Read(b)
	for at := 0; at+len(secret) < len(b); at += 1000 {
		copy(b[at:], secret)
	}
	return b
}()

func addPair(t *testing.T, s *pebble.Store, i int) error {
	var expect store.Row
	if i > 0 {
		expect = store.Row{Table: store.TableRoot, Key: []byte("n"), Value: fmt.Append(nil, i)}
	} else {
		expect = store.Row{Table: store.TableRoot, Key: []byte("n")}
	}
	return s.Commit(t.Context(), []store.Row{expect}, []store.Row{
		{Table: store.TableBody, Key: pairKey(i), Value: bigRow(i)},
		{Table: store.TableReceipt, Key: pairKey(i), Value: []byte(secret)},
		{Table: store.TableRoot, Key: []byte("n"), Value: fmt.Append(nil, i+1)},
	})
}

// countPairs checks that the store is what some number of commits leave.
func countPairs(t *testing.T, s *pebble.Store) (int, error) {
	snap, err := s.Snapshot(t.Context())
	if err != nil {
		return 0, err
	}
	defer snap.Close()
	value, err := snap.Get(t.Context(), store.TableRoot, []byte("n"))
	if err != nil {
		return 0, err
	}
	n := 0
	fmt.Sscan(string(value), &n)
	for _, table := range []store.Table{store.TableBody, store.TableReceipt} {
		i := 0
		if err := snap.Scan(t.Context(), table, nil, nil, 0, func(key, value []byte) error {
			if !bytes.Equal(key, pairKey(i)) || table == store.TableBody && !bytes.Equal(value, bigRow(i)) {
				return fmt.Errorf("row %d of %s is wrong", i, table)
			}
			i++
			return nil
		}); err != nil {
			return 0, err
		}
		if i != n {
			return 0, fmt.Errorf("%d rows of %s after %d commits", i, table, n)
		}
	}
	return n, nil
}

// within fails the test when f takes long: a store that stands still.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	finished := make(chan struct{})
	go func() { defer close(finished); f() }()
	select {
	case <-finished:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s never ended", what)
	}
}

func options(fsys vfs.FS, log *lines) pebble.Options {
	o := pebble.Options{FS: fsys, CacheBytes: 1 << 20, Logger: quiet}
	if log != nil {
		o.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return o
}

// lines is a log that is read while others write.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func mustCreate(t *testing.T, fsys vfs.FS) *pebble.Store {
	t.Helper()
	s, err := pebble.Create("/d/store", options(fsys, nil))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mustHold opens the store and checks that it is whole, with least to most
// commits, and goes on from there.
func mustHold(t *testing.T, fsys vfs.FS, what string, least, most int) {
	t.Helper()
	within(t, what, func() {
		s, err := pebble.Open("/d/store", options(fsys, nil))
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		n, err := countPairs(t, s)
		if err != nil || n < least || n > most {
			t.Errorf("%s: %d commits, %v, want %d to %d", what, n, err, least, most)
		}
		if err := addPair(t, s, n); err != nil {
			t.Errorf("%s: a commit after it: %v", what, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: Close: %v", what, err)
		}
	})
}

// TestFailedWrites fails each operation of a run in each way. Whatever fails:
// the commit says so or went through, nothing after it is written, what was
// acknowledged is there after a restart and after a power cut, and the commit
// that failed is there whole or not at all.
func TestFailedWrites(t *testing.T) {
	const commits = 50 // enough to flush some tables
	seen := map[string]int{}
	for mode := range modes {
		for after := 0; ; after++ {
			disk := vfs.NewCrashableMem()
			faults := &faultFS{FS: disk}
			s := mustCreate(t, faults)
			acknowledged, tried := 0, 0
			var failure error
			faults.arm(mode, after)
			within(t, fmt.Sprintf("mode %d, operation %d", mode, after), func() {
				for failure == nil && tried < commits {
					tried++
					if failure = addPair(t, s, tried-1); failure == nil {
						acknowledged++
					}
				}
			})
			failed := faults.disarm()
			name := fmt.Sprintf("mode %d, operation %d", mode, after)
			if failure != nil {
				seen["stopped"]++
				checkStopped(t, name, s, failure, acknowledged, tried)
			}
			cut := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(uint64(mode), uint64(after)))})
			within(t, name, func() {
				if err := s.Close(); err != nil {
					seen["close failed"]++
				}
			})
			mustHold(t, cut, name+", power cut", acknowledged, tried)
			if failure != nil { // the disk mended, the process the same
				mustHold(t, faults, name+", reopened", acknowledged, tried)
			}
			if !failed {
				break // the run has fewer operations
			}
			seen["faults"]++
			if t.Failed() {
				return
			}
			if after > 20 {
				after += 8 // the later ones are alike
			}
		}
	}
	t.Logf("%v", seen)
	if seen["stopped"] < 50 {
		t.Errorf("only %d faults stopped a store", seen["stopped"])
	}
}

func checkStopped(t *testing.T, name string, s *pebble.Store, failure error, acknowledged, tried int) {
	t.Helper()
	if !errors.Is(failure, store.ErrStopped) || !(errors.Is(failure, syscall.ENOSPC) || errors.Is(failure, syscall.EIO)) {
		t.Errorf("%s: the commit failed with %v", name, failure)
	}
	if strings.Contains(failure.Error(), secret) {
		t.Errorf("%s: the error shows a key: %v", name, failure)
	}
	if err := addPair(t, s, acknowledged); !errors.Is(err, store.ErrStopped) {
		t.Errorf("%s: a stopped store answered %v", name, err)
	}
	if err := s.Checkpoint(t.Context(), "/d/copy"); !errors.Is(err, store.ErrStopped) {
		t.Errorf("%s: a stopped store was copied: %v", name, err)
	}
	// Readers see what was acknowledged, and nothing of the commit that failed.
	within(t, name+", reading", func() {
		if n, err := countPairs(t, s); err != nil || n != acknowledged {
			t.Errorf("%s: readers see %d commits, %v, want %d", name, n, err, acknowledged)
		}
	})
}

// TestFailedOpen fails each operation of creating and of opening: both return,
// and what was there is there when the disk is well again.
func TestFailedOpen(t *testing.T) {
	const commits = 30
	filled := vfs.NewCrashableMem()
	s := mustCreate(t, filled)
	for i := range commits {
		if err := addPair(t, s, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for mode := range modes {
		for after := 0; ; after++ {
			name := fmt.Sprintf("mode %d, operation %d", mode, after)
			faults := &faultFS{FS: vfs.NewMem()}
			faults.arm(mode, after)
			var s *pebble.Store
			var err error
			within(t, name, func() { s, err = pebble.Create("/d/store", options(faults, nil)) })
			failed := faults.disarm()
			if err == nil {
				within(t, name, func() { s.Close() })
			} else if s, err := pebble.Open("/d/store", options(faults, nil)); err == nil {
				// All was done but the last answer: it is a store.
				if err := s.Close(); err != nil {
					t.Errorf("%s: Close: %v", name, err)
				}
			} else if s != nil {
				t.Errorf("%s: a store with an error", name)
			}
			if !failed {
				break
			}
		}
		for after := 0; ; after += 1 + after/10 {
			name := fmt.Sprintf("opening: mode %d, operation %d", mode, after)
			faults := &faultFS{FS: filled.CrashClone(vfs.CrashCloneCfg{})}
			faults.arm(mode, after)
			within(t, name, func() {
				if s, err := pebble.Open("/d/store", options(faults, nil)); err == nil {
					s.Close()
				}
			})
			failed := faults.disarm()
			mustHold(t, faults, name, commits, commits)
			if !failed || t.Failed() {
				break
			}
		}
	}
}

// TestPowerCuts cuts the power at random moments of a run with two writers of
// views, and keeps any part of what wasn't synced.
func TestPowerCuts(t *testing.T) {
	const commits, cuts = 80, 40
	disk := vfs.NewCrashableMem()
	s := mustCreate(t, disk)
	type cut struct {
		disk        *vfs.MemFS
		least, most int
	}
	var all []cut
	acknowledged := make(chan int, commits)
	go func() {
		defer close(acknowledged)
		for i := range commits {
			if err := addPair(t, s, i); err != nil {
				t.Error(err)
				return
			}
			acknowledged <- i + 1
		}
	}()
	r := rand.New(rand.NewPCG(1, 1))
	known := 0
	for len(all) < cuts {
		for more := true; more; {
			select {
			case n, ok := <-acknowledged:
				known = max(known, n)
				more = ok
			default:
				more = false
			}
		}
		clone := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
		all = append(all, cut{clone, known, commits})
		time.Sleep(time.Duration(r.IntN(1000)) * time.Microsecond)
	}
	for range acknowledged {
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i, c := range all {
		mustHold(t, c.disk, fmt.Sprintf("cut %d", i), c.least, c.most)
	}
}
