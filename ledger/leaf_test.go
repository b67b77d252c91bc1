// SPDX-License-Identifier: EUPL-1.2

package ledger_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
)

func TestFormatLeafRefuses(t *testing.T) {
	record := func(json string) ledger.Leaf { return ledger.Record{Epoch: 2026, JSON: []byte(json)} }
	long := func(n int) string { return `{"kind":"` + strings.Repeat("x", n-len(`{"kind":""}`)) + `"}` }
	for _, x := range []struct {
		name string
		leaf ledger.Leaf
		ok   bool
	}{
		{"no ledger name", ledger.Preamble{}, false},
		{"a space in the name", ledger.Preamble{Name: "a b"}, false},
		{"a name of 201 bytes", ledger.Preamble{Name: strings.Repeat("x", 201)}, false},
		{"a name of 200 bytes", ledger.Preamble{Name: strings.Repeat("x", 200)}, true},
		{"no JSON", ledger.Record{}, false},
		{"no kind", record(`{"Kind":"scope"}`), false},
		{"kind null", record(`{"kind":null}`), false},
		{"the longest record", record(long(ledger.MaxLeaf - 8)), true},
		{"a record one byte too long", record(long(ledger.MaxLeaf - 7)), false},
		{"a record that a u16 can't measure", record(long(1 << 16)), false},
	} {
		b, err := ledger.FormatLeaf(x.leaf)
		if (err == nil) != x.ok {
			t.Errorf("%s: error %v", x.name, err)
		}
		if err == nil {
			if _, err := ledger.ParseLeaf(b); err != nil {
				t.Errorf("%s: %v", x.name, err)
			}
		}
	}
}

func TestParseLeafCutAnywhere(t *testing.T) {
	for _, x := range knownAnswers(t).Leaves {
		leaf := unhex(t, x.Leaf)
		for n := range leaf {
			if _, err := ledger.ParseLeaf(leaf[:n]); err != ledger.ErrMalformedLeaf {
				t.Errorf("%s, %d bytes: error %v", x.Name, n, err)
			}
		}
		if _, err := ledger.ParseLeaf(append(leaf, ' ')); err != ledger.ErrMalformedLeaf {
			t.Errorf("%s and a byte: error %v", x.Name, err)
		}
	}
}

func FuzzParseLeaf(f *testing.F) {
	v := knownAnswers(f)
	for _, x := range v.Leaves {
		f.Add(unhex(f, x.Leaf))
	}
	for _, x := range v.LeavesRefused {
		f.Add(unhex(f, x.Leaf))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		leaf, err := ledger.ParseLeaf(b)
		if err != nil {
			if err != ledger.ErrMalformedLeaf {
				t.Errorf("error %v", err)
			}
			return
		}
		if again, err := ledger.FormatLeaf(leaf); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x formats to %x, %v", b, again, err)
		}
	})
}
