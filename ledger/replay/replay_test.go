// SPDX-License-Identifier: EUPL-1.2

package replay_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/replay"
)

const origin = "registro.example/2026"

// The reports of the vectors file.
type wantReport struct {
	Leaves     uint64          `json:"leaves"`
	Events     uint64          `json:"events"`
	LogRoot    string          `json:"log_root"`
	Keys       uint64          `json:"keys"`
	IndexRoot  string          `json:"index_root"`
	Scopes     []string        `json:"scopes"`
	Heads      []wantHead      `json:"heads"`
	Duplicates []wantDuplicate `json:"duplicates"`
	Problems   []wantProblem   `json:"problems"`
}

type wantHead struct {
	Leaf       uint64   `json:"leaf"`
	Final      bool     `json:"final"`
	OK         bool     `json:"ok"`
	Wrong      []string `json:"wrong"`
	WantKeys   uint64   `json:"want_keys"`
	WantRoot   string   `json:"want_root"`
	WantScopes string   `json:"want_scopes"`
}

type wantDuplicate struct {
	Key   string `json:"key"`
	First uint64 `json:"first"`
	Again uint64 `json:"again"`
	Tag   string `json:"tag"`
}

type wantProblem struct {
	Leaf uint64 `json:"leaf"`
	What string `json:"what"`
}

// inVectors writes a Report as the vectors file does.
func inVectors(r replay.Report) wantReport {
	w := wantReport{
		Leaves: r.Leaves, Events: r.Events, LogRoot: hex.EncodeToString(r.LogRoot[:]),
		Keys: r.Keys, IndexRoot: hex.EncodeToString(r.IndexRoot[:]), Scopes: r.Scopes,
		Heads: []wantHead{}, Duplicates: []wantDuplicate{}, Problems: []wantProblem{},
	}
	for _, h := range r.Heads {
		wrong := append([]string{}, h.Wrong()...)
		w.Heads = append(w.Heads, wantHead{
			h.Leaf, h.Final, len(wrong) == 0, wrong, h.WantKeys,
			hex.EncodeToString(h.WantRoot[:]), hex.EncodeToString(h.WantScopes[:]),
		})
	}
	for _, d := range r.Duplicates {
		w.Duplicates = append(w.Duplicates, wantDuplicate{hex.EncodeToString(d.Key[:]), d.First, d.Again, d.Tag})
	}
	for _, p := range r.Problems {
		w.Problems = append(w.Problems, wantProblem{p.Leaf, p.What})
	}
	return w
}

func TestVectors(t *testing.T) {
	data, err := os.ReadFile("../testdata/vectors-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Logs []struct {
			Leaves []string
			Report wantReport
		}
		Scopes []struct {
			Hash   string
			Scopes []string
		}
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.Logs) == 0 || len(vectors.Scopes) == 0 {
		t.Fatal("no vectors")
	}
	for i, v := range vectors.Logs {
		r := newReader(t)
		for _, text := range v.Leaves {
			leaf, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			r.Add(leaf)
		}
		got := inVectors(r.Report())
		// ParseLeaf has one opaque error; the second implementation says why.
		for j, p := range v.Report.Problems {
			if strings.HasPrefix(p.What, "leaf: ") {
				v.Report.Problems[j].What = "leaf: malformed leaf"
			}
		}
		if diff := cmp.Diff(v.Report, got); diff != "" {
			t.Errorf("log %d (-want +got):\n%s", i, diff)
		}
		report := r.Report()
		if got, want := report.OK(), i == 0; got != want {
			t.Errorf("log %d: OK = %v", i, got)
		}
	}
	for _, v := range vectors.Scopes {
		r := newReader(t)
		r.Add(preamble(t))
		for _, id := range v.Scopes {
			r.Add(record(t, fmt.Sprintf(`{"kind":"scope","id":%q,"providers":[]}`, id)))
		}
		seen := r.Add(format(t, ledger.Head{Epoch: 2026}))
		if got := hex.EncodeToString(seen.Head.WantScopes[:]); got != v.Hash {
			t.Errorf("scopes %q: %s, want %s", v.Scopes, got, v.Hash)
		}
	}
}

func newReader(t *testing.T) *replay.Reader {
	t.Helper()
	r, err := replay.New(origin)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func format(t testing.TB, l ledger.Leaf) []byte {
	t.Helper()
	b, err := ledger.FormatLeaf(l)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func preamble(t testing.TB) []byte {
	return format(t, ledger.Preamble{Epoch: 2026, Name: "registro.example"})
}

func record(t testing.TB, text string) []byte {
	return format(t, ledger.Record{Epoch: 2026, JSON: []byte(text)})
}

func event(t testing.TB, i byte) []byte {
	return format(t, ledger.Event{Epoch: 2026, SubjectTag: ledger.Hash{i, 1}, AgencyTag: ledger.Hash{i, 2}})
}

func TestNewRefusesOrigins(t *testing.T) {
	for _, o := range []string{"", "registro.example", "registro.example/", "registro.example/02026", "a b/2026", "/2026"} {
		if _, err := replay.New(o); err == nil {
			t.Errorf("New(%q) did not refuse", o)
		}
	}
}

func TestEmpty(t *testing.T) {
	r := newReader(t)
	got := r.Report()
	if want := "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"; hex.EncodeToString(got.LogRoot[:]) != want {
		t.Errorf("root %x", got.LogRoot)
	}
	if got.Leaves != 0 || got.Keys != 0 || got.IndexRoot != (ledger.Hash{}) || !got.OK() {
		t.Errorf("report %+v", got)
	}
}

// TestRules has one log for each rule. Every log starts with a preamble and a right head unless it says otherwise.
func TestRules(t *testing.T) {
	none := ledger.ScopesHash(nil)
	head := func(ms uint64) []byte { return format(t, ledger.Head{Epoch: 2026, Scopes: none, UnixMS: ms}) }
	final := format(t, ledger.Head{Epoch: 2026, Final: true, Scopes: none, UnixMS: 9})
	scope := func(members string) []byte { return record(t, `{"kind":"scope"`+members+`}`) }
	for _, test := range []struct {
		name   string
		leaves [][]byte
		bare   bool
		codes  []string
		counts bool // whether the last leaf does
		scopes int
		wrong  []string // of the last head
	}{
		{name: "nothing wrong", counts: true},
		{name: "no preamble", bare: true, leaves: [][]byte{head(1)}, codes: []string{replay.CodeNoPreamble}, counts: true},
		{name: "two preambles", leaves: [][]byte{preamble(t)}, codes: []string{replay.CodePreamble}},
		{name: "a preamble late", bare: true, leaves: [][]byte{head(1), preamble(t)},
			codes: []string{replay.CodeNoPreamble, replay.CodePreamble}},
		{name: "another ledger", bare: true,
			leaves: [][]byte{format(t, ledger.Preamble{Epoch: 2026, Name: "altro.example"})}, codes: []string{replay.CodeOtherLedger}},
		{name: "a preamble of another epoch", bare: true,
			leaves: [][]byte{format(t, ledger.Preamble{Epoch: 2025, Name: "registro.example"})}, codes: []string{replay.CodeOtherEpoch}},
		{name: "an event of another epoch", leaves: [][]byte{format(t, ledger.Event{Epoch: 2027})}, codes: []string{replay.CodeOtherEpoch}},
		{name: "a head of another epoch", leaves: [][]byte{format(t, ledger.Head{Epoch: 2025, Final: true})}, codes: []string{replay.CodeOtherEpoch}},
		{name: "a scope of another epoch", leaves: [][]byte{
			format(t, ledger.Record{Epoch: 2027, JSON: []byte(`{"kind":"scope","id":"inps"}`)})}, codes: []string{replay.CodeOtherEpoch}},
		{name: "an early event", bare: true, leaves: [][]byte{preamble(t), event(t, 1)}, codes: []string{replay.CodeEarlyEvent}, counts: true},
		{name: "after the final head", leaves: [][]byte{final, event(t, 1)}, codes: []string{replay.CodeAfterFinal}},
		{name: "a record after the final head", leaves: [][]byte{final, scope(`,"id":"inps"`)}, codes: []string{replay.CodeAfterFinal}},
		{name: "malformed after the final head", leaves: [][]byte{final, {}}, codes: []string{replay.CodeAfterFinal}},
		{name: "malformed", leaves: [][]byte{{1}}, codes: []string{replay.CodeMalformed}},
		{name: "the clock stands", leaves: [][]byte{head(1)}, counts: true, wrong: []string{"unix_ms"}},
		{name: "the clock steps back and goes on", leaves: [][]byte{head(5), head(2), head(4)}, counts: true, wrong: []string{"unix_ms"}},
		{name: "the clock steps back and catches up", leaves: [][]byte{head(5), head(2), head(6)}, counts: true},
		{name: "all wrong", leaves: [][]byte{format(t, ledger.Head{Epoch: 2026, Keys: 1, Root: ledger.Hash{1}, UnixMS: 1})},
			counts: true, wrong: []string{"keys", "root", "scopes", "unix_ms"}},
		{name: "a scope", leaves: [][]byte{scope(`,"id":"inps","providers":["inps","c_h501"],"note":{"x":1}`)}, counts: true, scopes: 1},
		{name: "a scope twice", leaves: [][]byte{scope(`,"id":"inps"`), scope(`,"id":"inps","providers":["a"]`)}, counts: true, scopes: 1},
		{name: "a scope's name in another case", leaves: [][]byte{scope(`,"ID":"inps"`)}, codes: []string{replay.CodeScopeID}},
		{name: "a scope with two names", leaves: [][]byte{scope(`,"Id":"c_h501","id":"inps"`)}, counts: true, scopes: 1},
		{name: "a scope without id", leaves: [][]byte{scope(``)}, codes: []string{replay.CodeScopeID}},
		{name: "a scope with a number", leaves: [][]byte{scope(`,"id":1`)}, codes: []string{replay.CodeScopeID}},
		{name: "a scope with null", leaves: [][]byte{scope(`,"id":null`)}, codes: []string{replay.CodeScopeID}},
		{name: "a reserved scope", leaves: [][]byte{scope(`,"id":"+ledger"`)}, codes: []string{replay.CodeScopeID}},
		{name: "a scope in capitals", leaves: [][]byte{scope(`,"id":"INPS"`)}, codes: []string{replay.CodeScopeID}},
		{name: "another kind", leaves: [][]byte{record(t, `{"kind":"Scope","id":"inps"}`)}, counts: true},
		{name: "a provider twice", leaves: [][]byte{scope(`,"id":"inps","providers":["a","a"]`)},
			codes: []string{replay.CodeScopeProvider}, counts: true, scopes: 1},
		{name: "a reserved provider", leaves: [][]byte{scope(`,"id":"inps","providers":["+consent"]`)},
			codes: []string{replay.CodeScopeProvider}, counts: true, scopes: 1},
		{name: "providers of null", leaves: [][]byte{scope(`,"id":"inps","providers":[null]`)},
			codes: []string{replay.CodeScopeProvider}, counts: true, scopes: 1},
		{name: "null providers", leaves: [][]byte{scope(`,"id":"inps","providers":null`)},
			codes: []string{replay.CodeScopeProvider}, counts: true, scopes: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newReader(t)
			leaves := test.leaves
			if !test.bare {
				leaves = append([][]byte{preamble(t), head(1)}, leaves...)
			}
			var seen replay.Seen
			for i, leaf := range leaves {
				if seen = r.Add(leaf); seen.Index != uint64(i) {
					t.Errorf("leaf %d: index %d", i, seen.Index)
				}
			}
			got := r.Report()
			var codes []string
			for _, p := range got.Problems {
				codes = append(codes, p.Code)
			}
			if diff := cmp.Diff(test.codes, codes); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if seen.Counts != test.counts {
				t.Errorf("Counts = %v", seen.Counts)
			}
			if len(got.Scopes) != test.scopes {
				t.Errorf("scopes %q", got.Scopes)
			}
			if n := len(got.Heads); n > 0 {
				if diff := cmp.Diff(test.wrong, got.Heads[n-1].Wrong()); diff != "" {
					t.Errorf("last head (-want +got):\n%s", diff)
				}
			}
			if got.Leaves != uint64(len(leaves)) {
				t.Errorf("%d leaves of %d", got.Leaves, len(leaves))
			}
		})
	}
}

// TestScopeCount: 300 scopes are good, each further one is an alarm and listed.
func TestScopeCount(t *testing.T) {
	r := newReader(t)
	r.Add(preamble(t))
	for i := range 302 {
		r.Add(record(t, fmt.Sprintf(`{"kind":"scope","id":"s%d","providers":[]}`, i)))
	}
	got := r.Report()
	if len(got.Scopes) != 302 {
		t.Errorf("%d scopes", len(got.Scopes))
	}
	want := []replay.Problem{
		{Leaf: 301, Code: replay.CodeScopeCount, What: "scope number 301, of at most 300, listed all the same"},
		{Leaf: 302, Code: replay.CodeScopeCount, What: "scope number 302, of at most 300, listed all the same"},
	}
	if diff := cmp.Diff(want, got.Problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// FuzzAdd: no leaf stops the reading, each keeps its index, and the log's root covers it.
func FuzzAdd(f *testing.F) {
	f.Add(preamble(f), event(f, 1))
	f.Add(event(f, 1), record(f, `{"kind":"scope","id":"inps","providers":["inps"]}`))
	f.Add([]byte{}, format(f, ledger.Head{Epoch: 2026, Final: true}))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		r := newReader(t)
		r.Add(a)
		r.Add(b)
		got := r.Report()
		if want := ledger.HashChildren(ledger.HashLeaf(a), ledger.HashLeaf(b)); got.LogRoot != want || got.Leaves != 2 {
			t.Errorf("root %x, want %x", got.LogRoot, want)
		}
	})
}

// BenchmarkAdd feeds events, with a head after each thousand.
func BenchmarkAdd(b *testing.B) {
	r, err := replay.New(origin)
	if err != nil {
		b.Fatal(err)
	}
	r.Add(preamble(b))
	head := format(b, ledger.Head{Epoch: 2026})
	leaf := event(b, 0)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		tag := ledger.HashLeaf(leaf)
		copy(leaf[6:], tag[:])
		tag[0] ^= 0xff
		copy(leaf[38:], tag[:])
		r.Add(leaf)
		if n++; n%1000 == 0 {
			r.Add(head)
		}
	}
}
