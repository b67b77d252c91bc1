// SPDX-License-Identifier: EUPL-1.2

package ledger_test

import (
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

func TestParseOrigin(t *testing.T) {
	for _, x := range []struct {
		origin, name string
		epoch        uint32
		ok           bool
	}{
		{"registro.example/2026", "registro.example", 2026, true},
		{"a/b/0", "a/b", 0, true},
		{"x/4294967295", "x", 1<<32 - 1, true},
		{"x/4294967296", "", 0, false},
		{"x/02026", "", 0, false},
		{"x/+1", "", 0, false},
		{"x/-1", "", 0, false},
		{"x/", "", 0, false},
		{"/2026", "", 0, false},
		{"x", "", 0, false},
		{"x+y/2026", "", 0, false},
		{"x /2026", "", 0, false},
		{"x/2026\n", "", 0, false},
		{strings.Repeat("x", 201) + "/2026", "", 0, false},
	} {
		name, epoch, err := ledger.ParseOrigin(x.origin)
		if name != x.name || epoch != x.epoch || (err == nil) != x.ok {
			t.Errorf("%q: %q, %d, %v", x.origin, name, epoch, err)
		}
		if err == nil && ledger.Origin(name, epoch) != x.origin {
			t.Errorf("%q formats to %q", x.origin, ledger.Origin(name, epoch))
		}
	}
}

func TestEpochOf(t *testing.T) {
	rome := time.FixedZone("CET", 3600)
	if got := ledger.EpochOf(time.Date(2027, 1, 1, 0, 59, 59, 0, rome)); got != 2026 {
		t.Errorf("epoch %d, want 2026", got)
	}
	if got := ledger.EpochOf(time.Date(2027, 1, 1, 1, 0, 0, 0, rome)); got != 2027 {
		t.Errorf("epoch %d, want 2027", got)
	}
}

// Every change of one character that keeps the form is found, except swaps that
// the check itself doesn't see.
func TestParseSubjectOneCharacterChanged(t *testing.T) {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, s := range []string{"RSSMRA80A01H501U", "RSSMRAULALMHRLMD", "80078750587"} {
		for i := range s {
			for _, c := range alphabet {
				changed := s[:i] + string(c) + s[i+1:]
				_, err := ledger.ParseSubject(changed)
				same := changed == s
				// A digit and the letter of the same place count alike: 0 is A.
				if !same && len(s) == 16 && i < 15 {
					d, l := strings.IndexByte(alphabet, s[i]), strings.IndexRune(alphabet, c)
					same = d%10 == l%10 && min(d, l) < 10 && max(d, l) < 20 && (d < 10) != (l < 10)
				}
				if same != (err == nil) {
					t.Errorf("%s: %v", changed, err)
				}
			}
		}
	}
}

func FuzzParseSubject(f *testing.F) {
	v := knownAnswers(f).Names
	for _, s := range append(v.Subjects, v.SubjectsRefused...) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ledger.ParseSubject(s)
		if err == nil && (string(got) != s || len(s) != 16 && len(s) != 11) {
			t.Errorf("%q gives %q", s, got)
		}
		if err != nil && len(s) > 8 && strings.Contains(err.Error(), s) {
			t.Error("the error holds the text")
		}
	})
}

func FuzzParseOrigin(f *testing.F) {
	f.Add("registro.example/2026")
	f.Add("a//07")
	f.Fuzz(func(t *testing.T, s string) {
		name, epoch, err := ledger.ParseOrigin(s)
		if err == nil && ledger.Origin(name, epoch) != s {
			t.Errorf("%q formats to %q", s, ledger.Origin(name, epoch))
		}
	})
}
