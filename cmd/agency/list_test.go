// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/verifier"
)

// listed is the command "listed [--proofs-only] WANT LIST [ANSWER or INDEXES]...": fails unless the verifier says WANT of
// a list, proven or the code of its first problem, knowing no entries but those of the files, which are all of the body's
// that aren't signed by a hub.
func listed(ts *testscript.TestScript, neg bool, args []string) {
	// Nobody cosigns this ledger's log, and a policy names a witness at least.
	policy := &checkpoint.Policy{
		Logs:      []checkpoint.Log{{VKey: ts.Value("service").(*service).node.VKey()}},
		Witnesses: []checkpoint.Witness{{Name: "w", VKey: "w.example+50632091+BC1xFkK3JrBEAWJ8qfusMvXIUw+xkDzE2wIlhxeSGkiB"}}, K: 1,
	}
	cfg := verifier.AgencyConfig{Policy: policy, Now: time.Now()}
	if args[0] == "--proofs-only" {
		cfg.ProofsOnly, args = true, args[1:]
	}
	want, list := args[0], []byte(ts.ReadFile(args[1]))
	var seen []uint64
	for _, name := range args[2:] {
		seen = append(seen, indexes(ts, name)...)
	}
	slices.Sort(seen)
	cfg.Seen = func(string) []uint64 { return seen }
	r, err := verifier.Agency(bytes.NewReader(list), cfg)
	ts.Check(err)
	got := "proven"
	problems := slices.DeleteFunc(r.Problems, func(p ledger.Problem) bool { return p.Code == verifier.CodeTooFewWitnesses })
	switch {
	case r.Malformed != nil:
		got = "malformed"
	case len(problems) > 0:
		got = problems[0].Code
	case r.Compared+r.Later != uint64(len(seen)) || r.Events < r.Compared:
		ts.Fatalf("compared %d and %d of %d entries", r.Compared, r.Later, len(seen))
	}
	if got != want {
		ts.Fatalf("%s is %s, want %s: %v", args[1], got, want, cmp.Or(strings.Join(r.Missing, "\n"), "nothing missing"))
	}
}

// indexes are those of a ledger's answer, or one a line.
func indexes(ts *testscript.TestScript, name string) (list []uint64) {
	text := ts.ReadFile(name)
	if a, err := ledger.ParseAnswer([]byte(text)); err == nil {
		for _, e := range a.Entries {
			list = append(list, e.Index)
		}
		return list
	}
	for line := range strings.FieldsSeq(text) {
		n, err := strconv.ParseUint(line, 10, 64)
		ts.Check(err)
		list = append(list, n)
	}
	return list
}

// lookUps is the command "lookups ANSWER INDEXES": fails unless as many entries were noted as look-ups recorded.
func lookUps(ts *testscript.TestScript, neg bool, args []string) {
	var a listAnswer
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &a))
	if got := len(indexes(ts, args[1])); got != a.LookUps || got == 0 || uint64(got) >= a.Events {
		ts.Fatalf("%d entries noted of %d look-ups, %d events", got, a.LookUps, a.Events)
	}
}

// cut is the command "cut FILE N": takes N bytes off a file's end.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	data := ts.ReadFile(args[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(data[:len(data)-n]), 0o600))
}

// flip is the command "flip FILE": changes a byte in the middle.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	data := []byte(ts.ReadFile(args[0]))
	data[len(data)/2] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
}
