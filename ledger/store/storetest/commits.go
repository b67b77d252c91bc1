// SPDX-License-Identifier: EUPL-1.2

package storetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/store"
)

// testOneWinner lets several writers raise one counter by compare-and-swap,
// each with a row of its own: every step has exactly one winner.
func testOneWinner(t *testing.T, f Factory) {
	const writers, steps = 8, 25
	s := f.open(t)
	commit(t, s, row("counter", "0"))
	var conflicts atomic.Int64
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for done := 0; done < steps; {
				r, err := s.Snapshot(t.Context())
				if err != nil {
					t.Errorf("Snapshot: %v", err)
					return
				}
				old, err := r.Get(t.Context(), store.TableBody, []byte("counter"))
				r.Close()
				if err != nil {
					t.Errorf("Get: %v", err)
					return
				}
				var n int
				fmt.Sscan(string(old), &n)
				err = s.Commit(t.Context(),
					[]store.Row{row("counter", string(old))},
					[]store.Row{row("counter", fmt.Sprint(n+1)), row(fmt.Sprintf("step %04d", n), fmt.Sprint(w))})
				switch {
				case err == nil:
					done++
				case errors.Is(err, store.ErrConflict):
					conflicts.Add(1)
				default:
					t.Errorf("Commit: %v", err)
					return
				}
			}
		})
	}
	group.Wait()
	r := snapshot(t, s)
	if got, want := string(get(t, r, "counter")), fmt.Sprint(writers*steps); got != want {
		t.Errorf("the counter is %s, want %s: a write was lost", got, want)
	}
	if got := scan(t, r, store.TableBody, []byte("step "), store.After([]byte("step ")), 0); len(got) != writers*steps {
		t.Errorf("%d steps were written, want %d", len(got), writers*steps)
	}
	t.Logf("%d conflicts", conflicts.Load())
}

// testWholeOrNothing reads while pairs of rows are written: no snapshot shows
// half a commit, nor an older one after a newer.
func testWholeOrNothing(t *testing.T, f Factory) {
	const commits = 60
	s := f.open(t)
	commit(t, s, row("left", "0"), row("right", "0"))
	done := make(chan struct{})
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			last := 0
			for {
				r, err := s.Snapshot(t.Context())
				if err != nil {
					t.Errorf("Snapshot: %v", err)
					return
				}
				values, err := r.GetMany(t.Context(), store.TableBody, [][]byte{[]byte("left"), []byte("right")})
				r.Close()
				if err != nil {
					t.Errorf("GetMany: %v", err)
					return
				}
				var n int
				fmt.Sscan(string(values[0]), &n)
				if !bytes.Equal(values[0], values[1]) {
					t.Errorf("half a commit: %s and %s", values[0], values[1])
				}
				if n < last {
					t.Errorf("a snapshot shows %d after one that showed %d", n, last)
				}
				last = n
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := 1; i <= commits; i++ {
		commit(t, s, row("left", fmt.Sprint(i)), row("right", fmt.Sprint(i)))
	}
	close(done)
	group.Wait()
}

func testReopen(t *testing.T, f Factory) {
	s := f.open(t)
	want := map[string]string{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		var rows []store.Row
		for range 50 {
			key := fmt.Sprintf("%03d", r.IntN(300))
			if r.IntN(4) == 0 {
				rows = append(rows, deleted(key))
				delete(want, key)
				continue
			}
			value := fmt.Sprint(r.Uint64())
			rows = append(rows, row(key, value))
			want[key] = value
		}
		commit(t, s, rows...)
	}
	for range 3 {
		s = f.Reopen(t, s)
		snap := snapshot(t, s)
		got := map[string]string{}
		if err := snap.Scan(t.Context(), store.TableBody, nil, nil, 0, func(key, value []byte) error {
			got[string(key)] = string(value)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Errorf("%d rows after reopening, want %d", len(got), len(want))
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("row %s is %q after reopening, want %q", k, got[k], v)
			}
		}
		snap.Close()
		commit(t, s, row("again", "1"))
		want["again"] = "1"
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// testBigCommits writes what a receipt with thousands of subjects writes, and
// the longest value.
func testBigCommits(t *testing.T, f Factory) {
	s := f.open(t)
	value := make([]byte, 2500)
	rand.NewChaCha8([32]byte{1}).Read(value)
	const commits, each = 3, 5000
	for c := range uint64(commits) {
		rows := make([]store.Row, 0, each)
		for i := range uint64(each) {
			key := binary.BigEndian.AppendUint64(nil, c*each+i)
			v := bytes.Clone(value)
			copy(v, key)
			rows = append(rows, store.Row{Table: store.TableBody, Key: key, Value: v})
		}
		commit(t, s, rows...)
	}
	longest := make([]byte, store.MaxValue)
	rand.NewChaCha8([32]byte{2}).Read(longest)
	longKey := bytes.Repeat([]byte{0xff}, store.MaxKey)
	commit(t, s, store.Row{Table: store.TableBlob, Key: longKey, Value: longest})

	s = f.Reopen(t, s)
	r := snapshot(t, s)
	n := uint64(0)
	if err := r.Scan(t.Context(), store.TableBody, nil, nil, 0, func(key, v []byte) error {
		if binary.BigEndian.Uint64(key) != n || !bytes.Equal(v[:8], key) || !bytes.Equal(v[8:], value[8:]) {
			return fmt.Errorf("row %d is wrong", n)
		}
		n++
		return nil
	}); err != nil {
		t.Error(err)
	}
	if n != commits*each {
		t.Errorf("%d rows, want %d", n, commits*each)
	}
	if got, err := r.Get(t.Context(), store.TableBlob, longKey); err != nil || !bytes.Equal(got, longest) {
		t.Errorf("the longest value came back with %d bytes, %v", len(got), err)
	}
	r.Close()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func testClosed(t *testing.T, f Factory) {
	s := f.open(t)
	commit(t, s, row("a", "1"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), nil, []store.Row{row("a", "2")}); err == nil {
		t.Error("a closed store committed")
	}
	if _, err := s.Snapshot(t.Context()); err == nil {
		t.Error("a closed store gave a snapshot")
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

// Helpers. All rows of the suite but a few are in one table.

func (f Factory) open(t *testing.T) store.Store {
	t.Helper()
	s := f.Open(t)
	t.Cleanup(func() { s.Close() })
	return s
}

func row(key, value string) store.Row {
	return store.Row{Table: store.TableBody, Key: []byte(key), Value: []byte(value)}
}

func deleted(key string) store.Row { return store.Row{Table: store.TableBody, Key: []byte(key)} }

func commit(t *testing.T, s store.Store, rows ...store.Row) {
	t.Helper()
	if err := s.Commit(t.Context(), nil, rows); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func snapshot(t *testing.T, s store.Store) store.Snapshot {
	t.Helper()
	r, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatalf("Snapshot: %v", err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func get(t *testing.T, r store.Reader, key string) []byte {
	t.Helper()
	value, err := r.Get(t.Context(), store.TableBody, []byte(key))
	if err != nil {
		t.Fatalf("Get(%q): %v", key, err)
	}
	return value
}

func show(value []byte) string {
	if value == nil {
		return "-"
	}
	return string(value)
}

func scan(t *testing.T, r store.Reader, table store.Table, from, to []byte, limit int) (keys []string) {
	t.Helper()
	if err := r.Scan(t.Context(), table, from, to, limit, func(key, _ []byte) error {
		keys = append(keys, string(key))
		return nil
	}); err != nil {
		t.Fatalf("Scan: %v", err)
	}
	return keys
}
