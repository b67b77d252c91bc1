// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/own"
)

// TestChecked: what the provider's check takes and leaves is there after a restart.
func TestChecked(t *testing.T) { homes(t, testChecked) }

func testChecked(t *testing.T, at func() home) {
	h := at()
	m := h.open(t)
	for n, e := range []own.Entry{event(0, rossi, 0, 10), event(1, office, 0, 11), event(2, rossi, 1, 12)} {
		if err := call(m, n, e); err != nil {
			t.Fatal(err)
		}
	}
	lines := func(most int) (list []string) {
		for line, err := range m.Lines() {
			if err != nil {
				t.Fatal(err)
			}
			if list = append(list, string(line)); len(list) == most {
				break
			}
		}
		return list
	}
	all := lines(10)
	if n, err := m.Count(); err != nil || n != 3 || len(all) != 3 || len(lines(2)) != 2 {
		t.Errorf("%d events, %v: %q", n, err, all)
	}
	for i, e := range records(t, m) {
		if got, err := own.ParseEntry([]byte(all[i])); err != nil || *got != e {
			t.Errorf("line %d: %+v, %v", i, got, err)
		}
	}
	for epoch, want := range map[uint32]bool{2025: false, 2026: true, 2027: false} {
		if got, err := m.Has(epoch); err != nil || got != want {
			t.Errorf("%d: %v, %v", epoch, got, err)
		}
	}

	pi := bytes.Repeat([]byte{7}, 80)
	if err := m.KeepProofs(origin, []ledger.Subject{rossi}, [][]byte{pi}); err != nil {
		t.Fatal(err)
	}
	index := uint64(20)
	done := Check{Origin: origin, At: time.Now().UTC().Truncate(time.Second), Head: 12, Size: 13, Entries: 3, Subjects: 2, Problems: []ledger.Problem{}, Index: &index}
	first := done
	first.Found, first.Index, first.Problems = 1, nil, []ledger.Problem{{Code: "planted", Where: "leaf 3"}}
	for _, c := range []*Check{&first, &done} {
		if err := m.Checked(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = h.open(t)
	if got, err := m.Proofs(origin, []ledger.Subject{office, rossi}); err != nil || got[0] != nil || !bytes.Equal(got[1], pi) {
		t.Errorf("%x, %v", got, err)
	}
	if got, err := m.Proofs("registro.example/2027", []ledger.Subject{rossi}); err != nil || got[0] != nil {
		t.Errorf("another year's: %x, %v", got, err)
	}
	list, err := m.Checks()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Check{done}, list); diff != "" {
		t.Error(diff)
	}
	if !done.Whole() || first.Whole() {
		t.Error("whole is what was compared to its end, found good and recorded")
	}
}
