// SPDX-License-Identifier: EUPL-1.2

package registry

import (
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
)

func TestBuild(t *testing.T) {
	r := New("registro.example")
	record := func(version string, sum byte) []byte {
		t.Helper()
		text, err := FormatRecord(Build{Name: BrowserVerifier, Version: version, Toolchain: "go1.26.8", SHA256: ledger.Hex{sum}})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for i, text := range [][]byte{record("1.0.0", 1), record("1.1.0", 2)} {
		if err := r.Check(text); err != nil {
			t.Fatal(err)
		}
		if err := r.Apply(uint64(i+1), text); err != nil {
			t.Fatal(err)
		}
	}
	if index, ok := r.Build(ledger.Hash{1}); !ok || index != 1 {
		t.Errorf("the first build: %d, %v", index, ok)
	}
	if index, ok := r.Build(ledger.Hash{2}); !ok || index != 2 {
		t.Errorf("the second build: %d, %v", index, ok)
	}
	if _, ok := r.Build(ledger.Hash{3}); ok {
		t.Error("a build that nobody recorded")
	}
	// The next year's log repeats the last one.
	if got := r.InForce(); len(got) != 1 || got[0] != 2 {
		t.Errorf("in force: %v", got)
	}
	good := string(record("1.0.0", 1))
	for name, change := range map[string][2]string{
		"another thing": {BrowserVerifier, "gateway"}, "no version": {`"1.0.0"`, `""`}, "no toolchain": {`"go1.26.8"`, `""`},
		"no digest": {strings.Repeat("0", 60), strings.Repeat("0", 59)}, "a long version": {"1.0.0", strings.Repeat("1", 81)},
		"zeros": {`"01`, `"00`},
	} {
		if err := r.Apply(3, []byte(strings.Replace(good, change[0], change[1], 1))); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
