// SPDX-License-Identifier: EUPL-1.2

// Package storetest holds the tests that every store passes. They know
// nothing of a store but its contract, so a SQL store runs the same ones.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger/store"
)

// A Factory makes the stores of one test.
type Factory struct {
	// Open makes an empty store.
	Open func(t *testing.T) store.Store
	// Reopen closes s and opens what it kept.
	Reopen func(t *testing.T, s store.Store) store.Store
}

// Run runs the suite. It calls f once for each test.
func Run(t *testing.T, f func(t *testing.T) Factory) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Factory)
	}{
		{"Reads", testReads},
		{"EmptyAndAbsent", testEmptyAndAbsent},
		{"TablesApart", testTablesApart},
		{"Scan", testScan},
		{"ScanStops", testScanStops},
		{"SnapshotStays", testSnapshotStays},
		{"Expect", testExpect},
		{"ConflictWritesNothing", testConflictWritesNothing},
		{"LastRowWins", testLastRowWins},
		{"Delete", testDelete},
		{"BadRows", testBadRows},
		{"CallersBytes", testCallersBytes},
		{"EndedContext", testEndedContext},
		{"OneWinner", testOneWinner},
		{"WholeOrNothing", testWholeOrNothing},
		{"Reopen", testReopen},
		{"BigCommits", testBigCommits},
		{"Closed", testClosed},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, f(t)) })
	}
}

func testReads(t *testing.T, f Factory) {
	s := f.open(t)
	commit(t, s, row("a", "1"), row("b", "2"), row("c", "3"))
	r := snapshot(t, s)
	for key, want := range map[string]string{"a": "1", "b": "2", "c": "3"} {
		if got := get(t, r, key); string(got) != want {
			t.Errorf("Get(%s) = %q, want %q", key, got, want)
		}
	}
	if got := get(t, r, "d"); got != nil {
		t.Errorf("Get of an absent key = %q, want nil", got)
	}
	got, err := r.GetMany(t.Context(), store.TableBody, [][]byte{[]byte("c"), []byte("x"), []byte("a"), []byte("c")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]byte{[]byte("3"), nil, []byte("1"), []byte("3")}, got); diff != "" {
		t.Errorf("GetMany (-want +got):\n%s", diff)
	}
	if got, err := r.GetMany(t.Context(), store.TableBody, nil); err != nil || len(got) != 0 {
		t.Errorf("GetMany of nothing = %q, %v", got, err)
	}
	value := get(t, r, "a")
	value[0] = 'X'
	if got := get(t, r, "a"); string(got) != "1" {
		t.Errorf("the store gave out its own bytes: %q", got)
	}
}

func testEmptyAndAbsent(t *testing.T, f Factory) {
	s := f.open(t)
	commit(t, s, store.Row{Table: store.TableBody, Key: []byte("empty"), Value: []byte{}})
	r := snapshot(t, s)
	if got := get(t, r, "empty"); got == nil || len(got) != 0 {
		t.Errorf("an empty value came back as %#v", got)
	}
	many, err := r.GetMany(t.Context(), store.TableBody, [][]byte{[]byte("empty"), []byte("none")})
	if err != nil || many[0] == nil || len(many[0]) != 0 || many[1] != nil {
		t.Errorf("GetMany of empty and absent = %#v, %v", many, err)
	}
	seen := 0
	if err := r.Scan(t.Context(), store.TableBody, nil, nil, 0, func(_, value []byte) error {
		seen++
		if len(value) != 0 {
			return fmt.Errorf("a value of %d bytes", len(value))
		}
		return nil
	}); err != nil || seen != 1 {
		t.Errorf("Scan saw %d rows, %v", seen, err)
	}
	// Neither stands for the other in a condition.
	empty := store.Row{Table: store.TableBody, Key: []byte("empty"), Value: []byte{}}
	absent := store.Row{Table: store.TableBody, Key: []byte("empty")}
	noneEmpty := store.Row{Table: store.TableBody, Key: []byte("none"), Value: []byte{}}
	for _, test := range []struct {
		name   string
		expect store.Row
		want   error
	}{{"empty for empty", empty, nil}, {"absent for empty", absent, store.ErrConflict}, {"empty for absent", noneEmpty, store.ErrConflict}} {
		err := s.Commit(t.Context(), []store.Row{test.expect}, []store.Row{row("z", "")})
		if !errors.Is(err, test.want) || (err != nil) != (test.want != nil) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

func testTablesApart(t *testing.T, f Factory) {
	s := f.open(t)
	var rows []store.Row
	for _, table := range store.Tables() {
		rows = append(rows, store.Row{Table: table, Key: []byte("key"), Value: []byte(table.String())})
	}
	commit(t, s, rows...)
	r := snapshot(t, s)
	for _, table := range store.Tables() {
		value, err := r.Get(t.Context(), table, []byte("key"))
		if err != nil || string(value) != table.String() {
			t.Errorf("%s holds %q, %v", table, value, err)
		}
		if got := scan(t, r, table, nil, nil, 0); len(got) != 1 {
			t.Errorf("a scan of %s saw %d rows", table, len(got))
		}
	}
}

func testScan(t *testing.T, f Factory) {
	s := f.open(t)
	keys := []string{"\x00", "\x00\x00", "a", "a\x00", "a\xff", "aa", "b", "\x7f", "\x80", "\xff", "\xff\xff"}
	var rows []store.Row
	for _, k := range keys {
		rows = append(rows, row(k, "v"+k))
	}
	commit(t, s, rows...)
	slices.Sort(keys)
	r := snapshot(t, s)
	bounds := append([]string{"", "\x01", "zz"}, keys...)
	for _, from := range bounds {
		for _, to := range bounds {
			for _, limit := range []int{0, 1, 3, 100} {
				var end []byte
				if to != "" {
					end = []byte(to)
				}
				var want []string
				for _, k := range keys {
					if k >= from && (to == "" || k < to) && (limit == 0 || len(want) < limit) {
						want = append(want, k)
					}
				}
				got := scan(t, r, store.TableBody, []byte(from), end, limit)
				if !slices.Equal(got, want) {
					t.Errorf("Scan(%q, %q, %d) = %q, want %q", from, to, limit, got, want)
				}
			}
		}
	}
}

func testScanStops(t *testing.T, f Factory) {
	s := f.open(t)
	commit(t, s, row("a", "1"), row("b", "2"), row("c", "3"))
	r := snapshot(t, s)
	stop := errors.New("enough")
	seen := 0
	err := r.Scan(t.Context(), store.TableBody, nil, nil, 0, func(key, value []byte) error {
		seen++
		if string(key) == "b" {
			return stop
		}
		return nil
	})
	if err != stop || seen != 2 {
		t.Errorf("Scan saw %d rows and returned %v", seen, err)
	}
	// The snapshot can be read on, and from within a scan.
	if err := r.Scan(t.Context(), store.TableBody, nil, nil, 1, func(key, value []byte) error {
		_, err := r.Get(t.Context(), store.TableBody, []byte("c"))
		return err
	}); err != nil {
		t.Errorf("reading within a scan: %v", err)
	}
}

func testSnapshotStays(t *testing.T, f Factory) {
	s := f.open(t)
	commit(t, s, row("a", "1"), row("b", "1"))
	before := snapshot(t, s)
	commit(t, s, row("a", "2"), deleted("b"), row("c", "2"))
	after := snapshot(t, s)
	for i, test := range []struct {
		r    store.Snapshot
		want []string
	}{{before, []string{"1", "1", "-"}}, {after, []string{"2", "-", "2"}}} {
		for j, key := range []string{"a", "b", "c"} {
			if got := show(get(t, test.r, key)); got != test.want[j] {
				t.Errorf("snapshot %d shows %s as %s, want %s", i, key, got, test.want[j])
			}
		}
	}
	if got := scan(t, before, store.TableBody, nil, nil, 0); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("the older snapshot scans %q", got)
	}
}

func testExpect(t *testing.T, f Factory) {
	s := f.open(t)
	commit(t, s, row("a", "1"))
	for _, test := range []struct {
		name   string
		expect []store.Row
		ok     bool
	}{
		{"nothing", nil, true},
		{"the value", []store.Row{row("a", "1")}, true},
		{"another value", []store.Row{row("a", "2")}, false},
		{"a longer value", []store.Row{row("a", "11")}, false},
		{"absent though there", []store.Row{deleted("a")}, false},
		{"absent", []store.Row{deleted("b")}, true},
		{"there though absent", []store.Row{row("b", "1")}, false},
		{"one of two", []store.Row{row("a", "1"), row("b", "1")}, false},
		{"both", []store.Row{row("a", "1"), deleted("b")}, true},
		{"another table", []store.Row{{Table: store.TableWrap, Key: []byte("a"), Value: []byte("1")}}, false},
	} {
		err := s.Commit(t.Context(), test.expect, []store.Row{row("w", test.name)})
		if test.ok && err != nil || !test.ok && !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v", test.name, err)
		}
		if got := string(get(t, snapshot(t, s), "w")) == test.name; got != test.ok {
			t.Errorf("%s: written is %v, want %v", test.name, got, test.ok)
		}
	}
	if err := s.Commit(t.Context(), []store.Row{row("a", "2")}, nil); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a condition without a write: %v", err)
	}
	if err := s.Commit(t.Context(), nil, nil); err != nil {
		t.Errorf("an empty commit: %v", err)
	}
}

func testConflictWritesNothing(t *testing.T, f Factory) {
	s := f.open(t)
	commit(t, s, row("a", "1"), row("gone", "1"))
	err := s.Commit(t.Context(), []store.Row{row("a", "0")}, []store.Row{row("a", "2"), row("b", "2"), deleted("gone")})
	if !errors.Is(err, store.ErrConflict) {
		t.Fatalf("Commit = %v, want ErrConflict", err)
	}
	check := func(when string) {
		t.Helper()
		r := snapshot(t, s)
		defer r.Close()
		for key, want := range map[string]string{"a": "1", "b": "-", "gone": "1"} {
			if got := show(get(t, r, key)); got != want {
				t.Errorf("%s: %s is %s, want %s", when, key, got, want)
			}
		}
	}
	check("after the conflict")
	s = f.Reopen(t, s)
	check("after reopening")
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func testLastRowWins(t *testing.T, f Factory) {
	s := f.open(t)
	commit(t, s, row("a", "1"), row("a", "2"), deleted("b"), row("b", "3"), row("c", "4"), deleted("c"))
	r := snapshot(t, s)
	for key, want := range map[string]string{"a": "2", "b": "3", "c": "-"} {
		if got := show(get(t, r, key)); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
}

func testDelete(t *testing.T, f Factory) {
	s := f.open(t)
	commit(t, s, row("a", "1"), row("b", "2"))
	commit(t, s, deleted("a"), deleted("never"))
	r := snapshot(t, s)
	if got := get(t, r, "a"); got != nil {
		t.Errorf("a deleted row reads %q", got)
	}
	if got := scan(t, r, store.TableBody, nil, nil, 0); !slices.Equal(got, []string{"b"}) {
		t.Errorf("after the deletion a scan sees %q", got)
	}
	commit(t, s, row("a", "3"))
	if got := show(get(t, snapshot(t, s), "a")); got != "3" {
		t.Errorf("a row written again reads %s", got)
	}
}

func testBadRows(t *testing.T, f Factory) {
	s := f.open(t)
	for _, bad := range []store.Row{
		{Key: []byte("a"), Value: []byte("1")},
		{Table: 200, Key: []byte("a"), Value: []byte("1")},
		{Table: store.TableBody, Value: []byte("1")},
		{Table: store.TableBody, Key: bytes.Repeat([]byte("k"), store.MaxKey+1)},
		{Table: store.TableBody, Key: []byte("a"), Value: make([]byte, store.MaxValue+1)},
	} {
		if err := s.Commit(t.Context(), nil, []store.Row{row("a", "1"), bad}); err == nil {
			t.Errorf("a bad row was written: table %d, key of %d bytes, value of %d", bad.Table, len(bad.Key), len(bad.Value))
		}
		if err := s.Commit(t.Context(), []store.Row{bad}, []store.Row{row("a", "1")}); err == nil || errors.Is(err, store.ErrConflict) {
			t.Errorf("a bad row was compared: %v", err)
		}
	}
	if got := get(t, snapshot(t, s), "a"); got != nil {
		t.Errorf("a refused commit wrote %q", got)
	}
	commit(t, s, row("a", "2")) // a refusal is no reason to stop
}

func testCallersBytes(t *testing.T, f Factory) {
	s := f.open(t)
	key, value := []byte("key"), []byte("value")
	commit(t, s, store.Row{Table: store.TableBody, Key: key, Value: value})
	copy(key, "ABC")
	copy(value, "XXXXX")
	if got := string(get(t, snapshot(t, s), "key")); got != "value" {
		t.Errorf("the store kept the caller's bytes: %q", got)
	}
}

func testEndedContext(t *testing.T, f Factory) {
	s := f.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Commit(ctx, nil, []store.Row{row("a", "1")}); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit with an ended context: %v", err)
	}
	if got := get(t, snapshot(t, s), "a"); got != nil {
		t.Errorf("it wrote %q", got)
	}
	commit(t, s, row("a", "1"))
}
