// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/verifier"
)

// hub is a provider beside a made ledger: it was told of some of the events.
type hub struct {
	*made
	next    map[ledger.Subject]uint32
	records [][]byte
	config  verifier.ProviderConfig
}

func newHub(t testing.TB) *hub {
	h := &hub{made: newMade(t, 2026, nil), next: map[ledger.Subject]uint32{}}
	key, err := jws.NewKey(provider+"-1", signerOf(provider).Public())
	if err != nil {
		t.Fatal(err)
	}
	h.config = verifier.ProviderConfig{Scope: provider, Policy: h.policy, Keys: []jws.Key{key}, Providers: []string{provider}, Proofs: h.proofs}
	return h
}

func (h *hub) proofs(_ context.Context, origin string, subjects []ledger.Subject) (list [][]byte, err error) {
	if origin != h.log.Origin {
		return nil, errors.New("another log")
	}
	for _, s := range subjects {
		pi, _ := h.k(s, provider)
		list = append(list, pi[:])
	}
	return list, nil
}

// access is an event that the hub is told of.
func (h *hub) access(subject ledger.Subject, e event, change func(e *own.Entry)) uint64 {
	number := h.next[subject]
	h.next[subject]++
	e.subject = subject
	if e.number == nil {
		e.number = &number
	}
	at := h.event(e)
	entry := own.Entry{
		Subject: subject, Origin: h.log.Origin, Number: number, Index: at, Leaf: ledger.HashLeaf(h.log.Leaves[at]),
		Receipt: fmt.Sprintf("inps/00000000-0000-4000-8000-%012d", at), At: int64(h.ms),
	}
	if change != nil {
		change(&entry)
	}
	h.records = append(h.records, bytes.TrimSuffix(own.AppendEntry(nil, &entry), []byte("\n")))
	return at
}

func (h *hub) run(change func(c *verifier.ProviderConfig)) (*verifier.ProviderReport, error) {
	h.t.Helper()
	c := h.config
	c.Signed, c.Fetch, c.Now, c.Parts = h.cosigned(h.witness, h.monitor), h.log, time.UnixMilli(int64(h.ms)), 1
	c.Records = func() iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for _, line := range h.records {
				if !yield(line, nil) {
					return
				}
			}
		}
	}
	if change != nil {
		change(&c)
	}
	return verifier.Provider(h.t.Context(), c)
}

func (h *hub) check(change func(c *verifier.ProviderConfig)) *verifier.ProviderReport {
	h.t.Helper()
	r, err := h.run(change)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func problemsOf(r *verifier.ProviderReport) (list []string) {
	for _, p := range r.Problems {
		list = append(list, p.Code+" "+p.Where)
	}
	slices.Sort(list)
	return list
}

// TestProviderParts: however the records are ordered, repeated and cut into parts, the report is the same.
func TestProviderParts(t *testing.T) {
	h := newHub(t)
	people := citizens(7)
	for n := range 40 {
		h.access(people[n*n%7].Subject, event{}, nil)
		if n%10 == 9 {
			h.head(nil)
		}
	}
	h.settle()
	want := h.check(nil)
	if !want.Proven() || want.Entries != 40 || want.Subjects != 4 || want.Pending != 0 || want.Keys != 1 || want.Head != h.heads[len(h.heads)-1] {
		t.Fatalf("%+v", want)
	}
	if len(want.Notes) != 0 {
		t.Errorf("notes: %v", want.Notes)
	}
	slices.Reverse(h.records)
	h.records = append(h.records, h.records[3], h.records[3])
	for _, parts := range []int{1, 2, 5, 40} {
		got := h.check(func(c *verifier.ProviderConfig) { c.Parts = parts })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("in %d parts (-want +got):\n%s", parts, diff)
		}
	}
	// Each line that is left out of a subject that has others is noticed.
	h.records = h.records[:40]
	for i, line := range h.records {
		all := h.records
		h.records = slices.Concat(all[:i:i], all[i+1:])
		if r := h.check(func(c *verifier.ProviderConfig) { c.Parts = 3 }); r.Proven() {
			t.Errorf("proven without %s", line)
		}
		h.records = all
	}
}

// TestProviderFinds: what differs is told by its code, and where.
func TestProviderFinds(t *testing.T) {
	people := citizens(3)
	a, b := people[0].Subject, people[1].Subject
	three := uint32(3)
	for name, c := range map[string]struct {
		make   func(h *hub)
		config func(c *verifier.ProviderConfig)
		want   []string
	}{
		"nothing at all":    {func(h *hub) {}, nil, nil},
		"without a policy":  {func(h *hub) { h.access(a, event{}, nil) }, func(c *verifier.ProviderConfig) { c.Policy, c.Logs = nil, nil }, []string{"bad_checkpoint checkpoint"}},
		"a leaf it was not": {func(h *hub) { h.access(a, event{}, func(e *own.Entry) { e.Leaf[0] ^= 1 }) }, nil, []string{"leaf_missing records line 1"}},
		"another index":     {func(h *hub) { h.access(a, event{}, func(e *own.Entry) { e.Index-- }) }, nil, []string{"leaf_missing records line 1", "planted leaf 11"}},
		"an index to come":  {func(h *hub) { h.access(a, event{}, func(e *own.Entry) { e.Index += 1000 }) }, nil, []string{"not_listed records line 1"}},
		"a long time ago": {func(h *hub) {
			h.access(a, event{}, func(e *own.Entry) { e.At -= 121_000 })
			h.wait(-time.Second)
		}, nil, []string{"no_head records line 1"}},
		"a number too many":  {func(h *hub) { h.access(a, event{number: &three}, func(e *own.Entry) { e.Number = 3 }) }, nil, []string{"number_gap records line 1"}},
		"a tag of another":   {func(h *hub) { h.access(a, event{tags: func(e *ledger.Event) { e.SubjectTag[31] ^= 1 }}, nil) }, nil, []string{"wrong_tag records line 1"}},
		"an event untold":    {func(h *hub) { h.access(a, event{}, nil); h.event(event{subject: a, number: ptr(uint32(1))}) }, nil, []string{"planted leaf 12"}},
		"of nobody it knows": {func(h *hub) { h.access(a, event{}, nil); h.event(event{subject: b}) }, nil, nil},
		"a young event": {func(h *hub) {
			h.access(a, event{}, nil)
			h.head(nil)
			h.wait(50 * time.Second).event(event{subject: a, number: ptr(uint32(1))})
		}, func(c *verifier.ProviderConfig) { c.InFlight = 30 * time.Second }, nil},
		"no head yet":        {func(h *hub) {}, func(c *verifier.ProviderConfig) { c.InFlight = time.Hour }, []string{"no_head checkpoint"}},
		"no proof":           {func(h *hub) { h.access(a, event{}, nil) }, func(c *verifier.ProviderConfig) { c.Proofs = noProofs(nil) }, []string{"no_vrf_proof records line 1"}},
		"an empty proof":     {func(h *hub) { h.access(a, event{}, nil) }, func(c *verifier.ProviderConfig) { c.Proofs = noProofs([]byte{}) }, []string{"bad_vrf_proof records line 1"}},
		"other providers":    {func(h *hub) {}, func(c *verifier.ProviderConfig) { c.Providers = []string{provider, "inail"} }, []string{"wrong_providers scope inps"}},
		"any providers":      {func(h *hub) {}, func(c *verifier.ProviderConfig) { c.Providers = nil }, nil},
		"a scope not listed": {func(h *hub) {}, func(c *verifier.ProviderConfig) { c.Scope = consumer }, []string{"unknown_key leaf 4", "wrong_scopes scope c_a944"}},
		"a stranger's scope": {func(h *hub) { h.scope(consumer, provider) }, nil, []string{"stranger_scope leaf 11"}},
		"a scope that may":   {func(h *hub) { h.scope(consumer, provider) }, func(c *verifier.ProviderConfig) { c.Others = []string{consumer} }, nil},
		"a key of another's": {func(h *hub) { h.key(provider, "new", signerOf("somebody")) }, nil, []string{"unknown_key leaf 11"}},
		"a key that is gone": {func(h *hub) {
			h.key(provider, "new", signerOf("somebody"))
			h.record(registry.KeyRevoked{Body: provider, Kid: "new"})
		}, nil, []string{"unknown_key leaf 11"}},
		"its own second key":   {func(h *hub) { h.key(provider, "new", signerOf("second")) }, func(c *verifier.ProviderConfig) { c.Keys = append(c.Keys, ownKey("second")) }, nil},
		"a monitor that isn't": {func(h *hub) {}, func(c *verifier.ProviderConfig) { c.Signed = bytes.TrimSuffix(c.Signed, lastLine(c.Signed)) }, []string{"no_monitor checkpoint"}},
		"a policy's no monitor": {func(h *hub) {}, func(c *verifier.ProviderConfig) {
			policy := *c.Policy
			policy.Monitors = nil
			c.Policy = &policy
		}, []string{"no_monitor checkpoint"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			c.make(h)
			h.settle()
			r := h.check(c.config)
			if diff := cmp.Diff(c.want, problemsOf(r)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if r.Proven() != (c.want == nil) {
				t.Errorf("proven: %v", r.Proven())
			}
			for _, p := range r.Problems {
				for _, s := range people {
					if strings.Contains(p.Error()+p.Expected+p.Found, string(s.Subject)) {
						t.Errorf("names a subject: %+v", p)
					}
				}
			}
			if s := r.Statement(provider, time.Unix(5, 0)); r.Head > 0 {
				_, err := registry.FormatCheckStatement(s)
				if err != nil || (s.Result == registry.CheckProven) != r.Proven() || s.Head != r.Head || s.IssuedAt != 5 {
					t.Errorf("%+v, %v", s, err)
				}
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

func noProofs(pi []byte) func(context.Context, string, []ledger.Subject) ([][]byte, error) {
	return func(_ context.Context, _ string, subjects []ledger.Subject) ([][]byte, error) {
		return slices.Repeat([][]byte{pi}, len(subjects)), nil
	}
}

func ownKey(of string) jws.Key {
	key, err := jws.NewKey("", ed25519.PublicKey(signerOf(of).Public().(ed25519.PublicKey)))
	if err != nil {
		panic(err)
	}
	return key
}

func lastLine(signed []byte) []byte {
	return signed[bytes.LastIndexByte(signed[:len(signed)-1], '\n')+1:]
}

// TestProviderCouldNot: what can't be read is no finding.
func TestProviderCouldNot(t *testing.T) {
	h := newHub(t)
	at := h.access(citizens(1)[0].Subject, event{}, nil)
	h.settle()
	v := h.log.Verifier()
	r := h.check(func(c *verifier.ProviderConfig) { c.Policy, c.Logs = nil, []note.Verifier{v} })
	if !r.Proven() || len(r.Notes) != 1 {
		t.Errorf("by the log's key alone: %+v", r)
	}
	for name, change := range map[string]func(c *verifier.ProviderConfig){
		"the log":               func(c *verifier.ProviderConfig) { c.Fetch = &lossy{Fetcher: h.log, word: "entries"} },
		"a log that is damaged": func(c *verifier.ProviderConfig) { c.Fetch = &lossy{Fetcher: h.log, word: "entries", flip: true} },
		"the keys": func(c *verifier.ProviderConfig) {
			c.Proofs = func(context.Context, string, []ledger.Subject) ([][]byte, error) { return nil, fs.ErrPermission }
		},
		"too few keys": func(c *verifier.ProviderConfig) {
			c.Proofs = func(context.Context, string, []ledger.Subject) ([][]byte, error) { return nil, nil }
		},
		"the records":       func(c *verifier.ProviderConfig) { c.Records = linesOf(nil, fs.ErrPermission) },
		"a line of nothing": func(c *verifier.ProviderConfig) { c.Records = linesOf([]byte("{}"), nil) },
		"half a line":       func(c *verifier.ProviderConfig) { c.Records = linesOf(h.records[0][:100], nil) },
		"another's line": func(c *verifier.ProviderConfig) {
			c.Records = linesOf(bytes.Replace(h.records[0], []byte(`"inps/`), []byte(`"inail/`), 1), nil)
		},
		"another preamble": func(c *verifier.ProviderConfig) {
			other := newMade(t, 2026, nil)
			other.record(`{"kind":"other"}`)
			c.Fetch = &turning{first: other.log, then: h.log, after: 1}
		},
	} {
		if r, err := h.run(change); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
	// Lines about other logs aren't compared.
	h.records = append(h.records, bytes.Replace(h.records[0], []byte("/2026"), []byte("/2025"), 1))
	if r := h.check(nil); !r.Proven() || r.Others != 1 || r.Entries != 1 {
		t.Errorf("leaf %d: %+v", at, r)
	}
}

func linesOf(line []byte, err error) func() iter.Seq2[[]byte, error] {
	return func() iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) { yield(line, err) }
	}
}

// turning is one log for the first fetches, and another then.
type turning struct {
	first, then checkpoint.Fetcher
	after       int
}

func (l *turning) Fetch(ctx context.Context, path string) ([]byte, error) {
	if l.after--; l.after >= 0 {
		return l.first.Fetch(ctx, path)
	}
	return l.then.Fetch(ctx, path)
}
