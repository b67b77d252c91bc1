// SPDX-License-Identifier: EUPL-1.2

package own

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
)

const (
	entryLine = `{"subject":"RSSMRA80A01H501U","origin":"registro.example/2026","number":3,"index":4711,` +
		`"leaf":"5f0c000000000000000000000000000000000000000000000000000000000000",` +
		`"receipt":"inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11","at":1795339800123}`
	proofHead = `{"subject":"80078750587","origin":"registro.example/2026","pi":"`
)

func proofLine() string { return proofHead + "x1" + strings.Repeat("A", 105) + `"}` }

func TestEntry(t *testing.T) {
	want := &Entry{
		Subject: "RSSMRA80A01H501U", Origin: "registro.example/2026", Number: 3, Index: 4711, Leaf: ledger.Hash{0x5f, 0x0c},
		Receipt: "inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11", At: 1795339800123,
	}
	got, err := ParseEntry([]byte(entryLine))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if line := AppendEntry(nil, want); string(line) != entryLine+"\n" || got.Scope() != "inps" {
		t.Errorf("%s, scope %s", line, got.Scope())
	}
	if s, err := SubjectOf([]byte(entryLine)); err != nil || string(s) != "RSSMRA80A01H501U" {
		t.Errorf("%s, %v", s, err)
	}
	for from, to := range map[string]string{
		"RSSMRA80A01H501U": "RSSMRA80A01H501X", `{"subject"`: `{ "subject"`, `"registro.example/2026"`: `"registro.example"`, "registro.example": `r\u0065gistro.example`,
		`"number":3`: `"number":03`, `"number":3,`: `"number":4294967296,`, `"index":4711`: `"index":9007199254740992`, "5f0c": "5F0C", `"5f0c`: `"5f`,
		"inps/": "+consent/", "5a0e7b3c": "5A0E7B3C", `"at":1795339800123}`: `"at":-1}`, `123}`: `123} `, `,"at"`: `,"more":1,"at"`,
	} {
		changed := strings.Replace(entryLine, from, to, 1)
		if _, err := ParseEntry([]byte(changed)); changed == entryLine || !errors.Is(err, ErrLine) {
			t.Errorf("taken: %s", changed)
		}
	}
}

func TestProof(t *testing.T) {
	p, err := ParseProof([]byte(proofLine()))
	if err != nil || p.Subject != "80078750587" || p.Pi != [80]byte{0xc7, 0x50} {
		t.Fatalf("%+v, %v", p, err)
	}
	if line := AppendProof(nil, p); string(line) != proofLine()+"\n" {
		t.Errorf("%s", line)
	}
	for from, to := range map[string]string{"80078750587": "80078750588", "x1A": "x1", `"x1A`: `"x1A=`, `A"}`: `B"}`, `"}`: `"}}`, "x1AA": "x1\nA"} {
		changed := strings.Replace(proofLine(), from, to, 1)
		if _, err := ParseProof([]byte(changed)); changed == proofLine() || !errors.Is(err, ErrLine) {
			t.Errorf("taken: %s", changed)
		}
	}
	if _, err := SubjectOf([]byte(`{"other":"`)); !errors.Is(err, ErrLine) {
		t.Error("a line of something else has a subject")
	}
}

// TestCohort: an aggregate's line is written in one way, with its place in the log or without.
func TestCohort(t *testing.T) {
	const asked = `{"cohort":"inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11","at":1795339800123}`
	const answered = `{"cohort":"inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11","origin":"registro.example/2026","index":4711,` +
		`"leaf":"5f0c000000000000000000000000000000000000000000000000000000000000","at":1795339800123}`
	for line, want := range map[string]*Cohort{
		asked: {ID: "inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11", At: 1795339800123},
		answered: {
			ID: "inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11", Origin: "registro.example/2026", Index: 4711, Leaf: ledger.Hash{0x5f, 0x0c}, At: 1795339800123,
		},
	} {
		got, err := ParseCohort([]byte(line))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Fatalf("%v\n%s", err, diff)
		}
		if again := AppendCohort(nil, want); string(again) != line+"\n" || got.Scope() != "inps" || !IsCohort(again) {
			t.Errorf("%s, scope %s", again, got.Scope())
		}
		for from, to := range map[string]string{
			`{"cohort"`: `{ "cohort"`, `"registro.example/2026"`: `""`, "registro.example": `r\u0065gistro.example`, `"index":4711`: `"index":04711`, "5f0c": "5F0C",
			`"5f0c`: `"5f`, "inps/": "+consent/", "5a0e7b3c": "5A0E7B3C", `"at":1795339800123}`: `"at":-1}`, `123}`: `123} `, `,"at"`: `,"more":1,"at"`,
		} {
			changed := strings.Replace(line, from, to, 1)
			if _, err := ParseCohort([]byte(changed)); changed != line && !errors.Is(err, ErrLine) {
				t.Errorf("taken: %s", changed)
			}
		}
	}
	if _, err := ParseCohort([]byte(entryLine)); !errors.Is(err, ErrLine) || IsCohort([]byte(entryLine)) {
		t.Error("an event is taken for an aggregate")
	}
}

func FuzzParseCohort(f *testing.F) {
	f.Add([]byte(`{"cohort":"inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11","at":1795339800123}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		c, err := ParseCohort(line)
		if err != nil {
			return
		}
		if again := AppendCohort(nil, c); !bytes.Equal(again[:len(again)-1], line) {
			t.Errorf("%s re-encodes as %s", line, again)
		}
	})
}

func FuzzParseEntry(f *testing.F) {
	f.Add([]byte(entryLine))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := ParseEntry(line)
		if err != nil {
			return
		}
		if again := AppendEntry(nil, e); !bytes.Equal(again[:len(again)-1], line) {
			t.Errorf("%s re-encodes as %s", line, again)
		}
		if s, err := SubjectOf(line); err != nil || string(s) != string(e.Subject) {
			t.Errorf("%s: subject %s, %v", line, s, err)
		}
	})
}

func FuzzParseProof(f *testing.F) {
	f.Add([]byte(proofLine()))
	f.Fuzz(func(t *testing.T, line []byte) {
		p, err := ParseProof(line)
		if err != nil {
			return
		}
		if again := AppendProof(nil, p); !bytes.Equal(again[:len(again)-1], line) {
			t.Errorf("%s re-encodes as %s", line, again)
		}
	})
}

func BenchmarkParseEntry(b *testing.B) {
	line := []byte(entryLine)
	for b.Loop() {
		if _, err := ParseEntry(line); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzParseProofsRequest(f *testing.F) {
	f.Add([]byte(`{"epoch":2026,"subjects":["RSSMRA80A01H501U","80078750587"]}`))
	f.Add([]byte(`{"epoch":2026,"subjects":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseProofsRequest(data)
		if err != nil {
			return
		}
		again, err := FormatProofsRequest(r)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := ParseProofsRequest(again); err != nil || !cmp.Equal(r, second) {
			t.Errorf("%s re-encodes as %s, %v", data, again, err)
		}
	})
}

func FuzzParseProofsAnswer(f *testing.F) {
	f.Add([]byte(`{"origin":"registro.example/2026","scope":"inps","proofs":["x1` + strings.Repeat("A", 105) + `"]}`))
	f.Add([]byte(`{"origin":"registro.example/2026","scope":"inps","proofs":["x1"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ParseProofsAnswer(data)
		if err != nil {
			return
		}
		again, err := FormatProofsAnswer(a)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := ParseProofsAnswer(again); err != nil || !cmp.Equal(a, second) {
			t.Errorf("%s re-encodes as %s, %v", data, again, err)
		}
	})
}
