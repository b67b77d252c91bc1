// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/agencylist"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/verifier"
)

// listed is the command "listed [--proofs-only] WANT LIST [ANSWER or INDEXES]...": fails unless the verifier says WANT of
// a list, proven or the code of its first problem, knowing no entries but those of the files, which are all of the body's
// that aren't signed by a hub.
func listed(ts *testscript.TestScript, neg bool, args []string) {
	// Nobody cosigns this ledger's log, no monitor either, and a policy names a witness at least.
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
	problems := slices.DeleteFunc(r.Problems, func(p ledger.Problem) bool {
		return p.Code == verifier.CodeTooFewWitnesses || p.Code == verifier.CodeNoMonitor
	})
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

// TestListResumes: entries of a look-up that the ledger recorded just before a crash are noted by the next run, and a
// look-up that never came to be recorded is given up.
func TestListResumes(t *testing.T) {
	s, err := startService(filepath.Join(t.TempDir(), "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	var consulted *ledger.SignedReceipt
	for n := 0; consulted == nil; n++ {
		sub, err := world().Submission(n)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := ledger.ParseReceipt(sub.Receipt); err == nil && r.Role == ledger.RoleProvider {
			consulted = r
		}
		raw, err := ledger.FormatSubmission(sub)
		if err == nil {
			_, _, err = s.node.Submit(t.Context(), raw)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	body := consulted.Consumer
	k, err := agencykey.New(body, jws.ES256)
	if err == nil {
		_, err = s.node.AddKey(t.Context(), body, k.Key, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	base := &url.URL{Scheme: "http", Host: s.addr}
	dir := t.TempDir()
	f := &listFlags{ledgerOf: testLedger, out: filepath.Join(dir, "own.list"), seen: filepath.Join(dir, "seen"), epoch: s.node.Epoch(), count: 10, purpose: agencylist.Purpose}
	file, err := agencylist.Open(f.out, body, ledger.Origin(testLedger, f.epoch))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	client := &signedClient{&client{base: base, http: http.DefaultClient, patience: time.Second, notice: io.Discard}, k, f.ledgerOf}
	pendingFile := f.out + ".look-up"

	// The ledger records the look-up, and its answer is lost.
	l := f.fetch(client, file)
	post, recorded, lost := l.Post, 0, errors.New("the connection broke")
	l.Post = func(ctx context.Context, path string, content []byte) ([]byte, error) {
		data, err := post(ctx, path, content)
		if path != "list/look-up" || err != nil {
			return data, err
		}
		answer, err := ledger.ParseAnswer(data)
		if err != nil {
			t.Fatal(err)
		}
		recorded = answer.Count
		return nil, lost
	}
	if err := l.Run(t.Context()); !errors.Is(err, lost) || recorded == 0 {
		t.Fatalf("%d look-ups, of which none is noted: %v", recorded, err)
	}
	pending, err := os.ReadFile(pendingFile)
	if err != nil {
		t.Fatal(err)
	}
	again := f.fetch(client, file)
	if err := again.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	noted, err := os.ReadFile(f.seen)
	if err != nil || again.LookUps < recorded || bytes.Count(noted, []byte("\n")) != again.LookUps {
		t.Errorf("%d look-ups, %d in all, noted %q: %v", recorded, again.LookUps, noted, err)
	}
	if _, err := os.Stat(pendingFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the look-up is kept: %v", err)
	}

	// One that the ledger refuses by now.
	if err := os.WriteFile(pendingFile, bytes.Replace(pending, []byte(`"receipt":"`), []byte(`"receipt":"x`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.fetch(client, file).Run(t.Context()); err != nil {
		t.Error(err)
	}
	if later, err := os.ReadFile(f.seen); err != nil || !bytes.Equal(later, noted) {
		t.Errorf("noted %q of a look-up that isn't recorded: %v", later, err)
	}
	if _, err := os.Stat(pendingFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a look-up that was refused is kept: %v", err)
	}
}
