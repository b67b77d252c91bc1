// SPDX-License-Identifier: EUPL-1.2

package rows

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
)

var handleKey = [32]byte{1, 2, 3}

func TestEventRow(t *testing.T) {
	want := Event{Handle: ledger.Hash{9, 8}, I: 7, J: 1 << 40, Sealed: []byte("sealed")}
	row := FormatEvent(&handleKey, 2026, 5, want)
	got, err := ParseEvent(&handleKey, 2026, 5, row)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if bytes.Contains(row, want.Handle[:]) {
		t.Error("the handle stands unmasked in the row")
	}
	if again := FormatEvent(&handleKey, 2026, 6, want); bytes.Equal(again[:44], row[:44]) {
		t.Error("two rows of one subject can be tied together")
	}
}

func TestPrivateRow(t *testing.T) {
	want := Private{Handle: ledger.Hash{9, 8}, Digest: ledger.Hash{4}, Sealed: []byte{}}
	got, err := ParsePrivate(&handleKey, 2026, 5, FormatPrivate(&handleKey, 2026, 5, want))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestCounter(t *testing.T) {
	for _, width := range []int{4, 8} {
		for _, n := range []uint64{0, 1, 1<<32 - 1} {
			if got, err := ParseCounter(FormatCounter(n, width), width); err != nil || got != n {
				t.Errorf("width %d: got %d, %v, want %d", width, got, err, n)
			}
		}
		if _, err := ParseCounter([]byte{1}, width); err != ErrMalformed {
			t.Errorf("width %d: one byte was accepted: %v", width, err)
		}
	}
}

func TestKeysDiffer(t *testing.T) {
	keys := map[string]string{}
	for name, key := range map[string][]byte{
		"subject a":     SubjectCounterKey(&handleKey, 2026, "RSSMRA80A01H501U", "inps"),
		"subject b":     SubjectCounterKey(&handleKey, 2026, "RSSMRA80A01H501U", "inail"),
		"subject epoch": SubjectCounterKey(&handleKey, 2027, "RSSMRA80A01H501U", "inps"),
		"agency":        AgencyCounterKey(2026, "inps"),
		"receipt":       ReceiptKey(2026, "ab", "c"),
		"receipt moved": ReceiptKey(2026, "a", "bc"),
	} {
		if other, taken := keys[string(key)]; taken {
			t.Errorf("%s and %s share a key", name, other)
		}
		keys[string(key)] = name
		if bytes.Contains(key, []byte("RSSMRA80A01H501U")) {
			t.Errorf("%s: the subject stands in the key", name)
		}
	}
}

// TestLookUpSalts: what a body is told before it signs depends on nothing that it could guess a citizen with.
func TestLookUpSalts(t *testing.T) {
	seen := map[[32]byte]bool{}
	for _, key := range [][32]byte{{1}, {2}} {
		for _, who := range []ledger.Subject{"RSSMRA80A01H501U", "80078750587"} {
			for _, text := range [][2]string{{"inps", "1"}, {"inps", "2"}, {"c_a944", "1"}} {
				seen[LookUpSalt(&key, text[0], text[1], who)] = true
			}
		}
	}
	if len(seen) != 12 {
		t.Errorf("%d salts, want 12", len(seen))
	}
}

// TestMonthBegun: what agencies had between two months' beginnings, and rows that can't be.
func TestMonthBegun(t *testing.T) {
	first := MonthBegun{Head: 7, Next: []AgencyNext{{"c_a944", 3}, {"inps", 5}}}
	second := MonthBegun{Head: 90, Next: []AgencyNext{{"c_a944", 3}, {"c_f205", 2}, {"inps", 9}}}
	events, ok := second.Since(first)
	if !ok || len(events) != 3 || events["c_a944"] != 0 || events["c_f205"] != 2 || events["inps"] != 4 {
		t.Errorf("%v, %v", events, ok)
	}
	if _, ok := first.Since(second); ok {
		t.Error("counters that went back")
	}
	for name, bad := range map[string][]byte{
		"cut": FormatMonthBegun(first)[:20], "empty": nil, "an agency twice": FormatMonthBegun(MonthBegun{Next: []AgencyNext{{"inps", 1}, {"inps", 2}}}),
		"descending": FormatMonthBegun(MonthBegun{Next: []AgencyNext{{"inps", 1}, {"inail", 2}}}), "no event": FormatMonthBegun(MonthBegun{Next: []AgencyNext{{"inps", 0}}}),
		"no id": FormatMonthBegun(MonthBegun{Next: []AgencyNext{{"+ledger", 1}}}),
	} {
		if m, err := ParseMonthBegun(bad); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(FormatEvent(&handleKey, 2026, 5, Event{Sealed: []byte("x")}))
	f.Add(FormatReceipt(Receipt{First: 1, Count: 2}))
	f.Add(FormatMonthBegun(MonthBegun{Head: 7, Next: []AgencyNext{{"c_a944", 3}, {"inps", 1 << 40}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := ParseEvent(&handleKey, 2026, 5, b); err == nil && !bytes.Equal(FormatEvent(&handleKey, 2026, 5, e), b) {
			t.Error("an event row re-encodes otherwise")
		}
		if p, err := ParsePrivate(&handleKey, 2026, 5, b); err == nil && !bytes.Equal(FormatPrivate(&handleKey, 2026, 5, p), b) {
			t.Error("a private row re-encodes otherwise")
		}
		if r, err := ParseReceipt(b); err == nil && !bytes.Equal(FormatReceipt(r), b) {
			t.Error("a receipt row re-encodes otherwise")
		}
		if w, err := ParseWrap(b); err == nil && !bytes.Equal(FormatWrap(w), b) {
			t.Error("a wrap row re-encodes otherwise")
		}
		if m, err := ParseMonthBegun(b); err == nil && !bytes.Equal(FormatMonthBegun(m), b) {
			t.Error("a month's row re-encodes otherwise")
		}
		if epoch, index, err := ParseLeafKey(b); err == nil && !bytes.Equal(LeafKey(epoch, index), b) {
			t.Error("a leaf key re-encodes otherwise")
		}
	})
}
