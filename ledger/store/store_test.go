// SPDX-License-Identifier: EUPL-1.2

package store_test

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/store"
)

// The numbers are stored: this is the list that may only grow.
func TestTablesAreFixed(t *testing.T) {
	want := "1 tree 2 root 3 leaf 4 tile 5 leaf_hash 6 identity 7 queue " +
		"16 body 17 private 18 receipt 19 counter 20 wrap 21 record 22 blob 23 head 24 look_up 27 consent 28 consent_end 29 session 30 left_by_citizen 31 day_key"
	var got []string
	for _, table := range store.Tables() {
		got = append(got, strconv.Itoa(int(table)), table.String())
	}
	if s := strings.Join(got, " "); s != want {
		t.Errorf("tables are\n%s\nwant\n%s", s, want)
	}
	if store.Table(0).Known() || store.Table(8).Known() {
		t.Error("unknown tables are known")
	}
	if got := store.Table(8).String(); got != "table(8)" {
		t.Errorf("String of an unknown table = %q", got)
	}
}

func TestRowCheck(t *testing.T) {
	for _, test := range []struct {
		name string
		row  store.Row
		ok   bool
	}{
		{"good", store.Row{Table: store.TableLeaf, Key: []byte{1}, Value: []byte{}}, true},
		{"delete", store.Row{Table: store.TableLeaf, Key: make([]byte, store.MaxKey)}, true},
		{"longest value", store.Row{Table: store.TableBody, Key: []byte{1}, Value: make([]byte, store.MaxValue)}, true},
		{"no table", store.Row{Key: []byte{1}}, false},
		{"unknown table", store.Row{Table: 99, Key: []byte{1}}, false},
		{"no key", store.Row{Table: store.TableLeaf}, false},
		{"long key", store.Row{Table: store.TableLeaf, Key: make([]byte, store.MaxKey+1)}, false},
		{"long value", store.Row{Table: store.TableBody, Key: []byte{1}, Value: make([]byte, store.MaxValue+1)}, false},
	} {
		if err := test.row.Check(); (err == nil) != test.ok {
			t.Errorf("%s: Check() = %v", test.name, err)
		}
	}
}

func TestAfter(t *testing.T) {
	for _, test := range []struct{ prefix, want []byte }{
		{[]byte{1, 2}, []byte{1, 3}},
		{[]byte{1, 0xff}, []byte{2}},
		{[]byte{0xff, 0xff}, nil},
		{nil, nil},
	} {
		if got := store.After(test.prefix); !bytes.Equal(got, test.want) {
			t.Errorf("After(%x) = %x, want %x", test.prefix, got, test.want)
		}
	}
	prefix := []byte{7, 7}
	store.After(prefix)
	if !bytes.Equal(prefix, []byte{7, 7}) {
		t.Error("After changed its argument")
	}
}
