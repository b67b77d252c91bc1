// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/authority"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/export"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/verifier"
)

// watched is a ledger that wraps its keys for an authority.
type watched struct {
	*erasable
	key *ecdh.PrivateKey
	out int
}

func newWatched(t *testing.T, now time.Time) *watched {
	t.Helper()
	w := &watched{erasable: newErasable(t, now)}
	w.access() // before there was an authority
	var err error
	if w.key, err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	w.set(w.key)
	return w
}

// set has the ledger wrap its keys for another authority from its next start on; nil: for none.
func (w *watched) set(key *ecdh.PrivateKey) {
	w.Helper()
	w.close()
	var public *[32]byte
	if key != nil {
		bytes := [32]byte(key.PublicKey().Bytes())
		public = &bytes
	}
	if err := node.SetAuthority(w.dir, public); err != nil {
		w.Fatal(err)
	}
	w.start()
}

func (w *watched) close() {
	w.Helper()
	if err := w.node.Close(); err != nil {
		w.Fatal(err)
	}
}

func (w *watched) start() {
	w.Helper()
	var err error
	if w.node, err = node.Open(w.Context(), w.dir, w.opt); err != nil {
		w.Fatal(err)
	}
}

// handOver exports the ledger for the authority.
func (w *watched) handOver() (folder string) {
	w.Helper()
	w.close()
	defer w.start()
	w.out++
	folder = filepath.Join(w.TempDir(), fmt.Sprint(w.out))
	if err := nodetest.HandOver(w.Context(), w.dir, folder, w.opt); err != nil {
		w.Fatal(err)
	}
	return folder
}

// opened is what the authority finds in a folder, with the keys that it has.
func (w *watched) opened(folder string, policy *checkpoint.Policy, keys ...*ecdh.PrivateKey) (*verifier.AuthorityReport, []*verifier.ListedEvent) {
	w.Helper()
	opener, err := authority.NewOpener(keys...)
	if err != nil {
		w.Fatal(err)
	}
	var events []*verifier.ListedEvent
	r, err := verifier.Authority(w.Context(), os.DirFS(folder), verifier.AuthorityConfig{
		Policy: policy, Open: opener, NewSorter: func() (verifier.Sorter[verifier.AuditItem], error) { return new(itemSorter), nil },
		Each: func(e *verifier.ListedEvent) error { events = append(events, e); return nil },
	})
	if err != nil {
		w.Fatal(err)
	}
	return r, events
}

// authorityCodes are those of all that is wrong.
func authorityCodes(r *verifier.AuthorityReport) (list []string) {
	for _, p := range r.Problems {
		list = append(list, p.Code)
	}
	for _, l := range r.Logs {
		for _, p := range l.Problems {
			list = append(list, p.Code)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// right is a folder in which nothing is wrong.
func (w *watched) right(folder string, keys ...*ecdh.PrivateKey) (*verifier.AuthorityReport, []*verifier.ListedEvent) {
	w.Helper()
	r, events := w.opened(folder, w.policy, keys...)
	if found := authorityCodes(r); len(found) > 0 {
		w.Fatalf("found %v: %v, %v", found, r.Problems, r.Logs[0].Problems)
	}
	for _, l := range r.Logs {
		if !l.Complete || len(l.Log.Witnesses) != 1 {
			w.Errorf("%s: complete %v, seen by %v", l.Origin, l.Complete, l.Log.Witnesses)
		}
	}
	return r, events
}

// TestAuthority: the authority opens what was recorded before and after its key was set, its private parts once no token in
// them is live, and nothing that was erased; another key opens nothing.
func TestAuthority(t *testing.T) {
	now := time.Date(2026, time.March, 10, 12, 0, 0, 0, time.UTC)
	w := newWatched(t, now)
	w.access()
	folder := w.handOver()
	r, events := w.right(folder, w.key)
	if l := r.Logs[0]; l.Events != 4 || l.Open != 4 || r.Live != 2 || r.Days == 0 {
		t.Errorf("%+v, %d private parts kept back", l, r.Live)
	}
	if events[0].Private != nil || events[0].Opened.Body.Subject.Code != w.subject {
		t.Errorf("the first: %+v", events[0])
	}

	// Later, on another day, and after a restart: a month on, the tokens are over.
	w.at(now.AddDate(0, 1, 10))
	w.access()
	w.close()
	w.start()
	w.access()
	_, events = w.right(w.handOver(), w.key)
	if e := events[len(events)-1]; e.Private != nil {
		t.Error("a private part whose token is live")
	}
	if e := events[0]; e.Private == nil || e.Seed == nil {
		t.Error("a private part whose tokens are over isn't there")
	}

	// Another key opens none of it; the key before, with the one of today, all.
	other, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := w.opened(folder, w.policy, other); !slices.Equal(authorityCodes(r), []string{verifier.CodeSealedDay}) || r.Logs[0].Open != 0 || r.Logs[0].Complete {
		t.Errorf("with another key: %v", authorityCodes(r))
	}
	w.set(other)
	w.access()
	w.right(w.handOver(), other)
	w.right(folder, other, w.key)
	if r, _ := w.opened(w.handOver(), w.policy, w.key); !slices.Contains(authorityCodes(r), verifier.CodeSealedDay) {
		t.Error("the key before opens what is wrapped for another")
	}
	w.set(nil)
	l, err := node.ReadSettings(w.dir)
	if err != nil || l.AuthorityKey != "" {
		t.Errorf("still set: %+v, %v", l, err)
	}
}

// TestAuthorityErased: what a citizen asked to have erased, and what was kept for its term, doesn't open for the authority
// either and is no finding; without its ground it is.
func TestAuthorityErased(t *testing.T) {
	now := time.Date(2026, time.March, 10, 12, 0, 0, 0, time.UTC)
	w := newWatched(t, now)
	w.access() // each about persons 1 and 2
	if _, err := w.node.Erase(w.Context(), []ledger.Subject{w.subject}, "2026-03", true); err != nil {
		t.Fatal(err)
	}
	w.access()
	r, events := w.right(w.handOver(), w.key)
	if l := r.Logs[0]; l.Erased != 2 || r.ByAsking != 2 || l.Open != 5 || events[0].Opened != nil || events[1].Opened == nil {
		t.Errorf("%+v, %d at a citizen's request", l, r.ByAsking)
	}

	// The same ledger, that says of another's events that they are erased.
	folder := w.handOver()
	relined(t, folder, func(s *export.Sealed) {
		if s.Index == events[1].Index {
			*s = export.Sealed{Index: s.Index, Erased: true}
		}
	})
	r, _ = w.opened(folder, w.policy, w.key)
	if found := authorityCodes(r); !slices.Contains(found, verifier.CodeNotOpened) || r.Logs[0].Withheld != 1 || r.Logs[0].Erased != 2 {
		t.Errorf("without a ground: %v, %+v", found, r.Logs[0])
	}

}

// TestAuthorityTerm: what was kept for its term doesn't open for the authority either, and is no finding.
func TestAuthorityTerm(t *testing.T) {
	now := time.Date(2026, time.February, 20, 12, 0, 0, 0, time.UTC)
	w := &watched{erasable: newErasable(t, now)}
	if _, err := w.node.SetTerm(w.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := w.node.Settle(w.Context()); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.key, err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	w.at(now.AddDate(0, 0, 18))
	w.set(w.key)
	w.access()
	w.at(now.AddDate(0, 1, 15))
	w.access()
	w.at(now.AddDate(0, 4, 0))
	w.access()
	kept, err := w.node.Retention(w.Context(), true)
	if err != nil || len(kept.Destroyed) != 1 {
		t.Fatalf("%+v, %v", kept, err)
	}
	w.access()
	if r, _ := w.right(w.handOver(), w.key); r.ByTerm != 2 || r.ByAsking != 0 || r.Logs[0].Open != 6 || r.Logs[0].Erased != 2 {
		t.Errorf("after its term: %d by term, %d by request, %+v", r.ByTerm, r.ByAsking, r.Logs[0])
	}
}

// relined rewrites the lines of the sealed events of an export, and what depends on them, as an operator can.
func relined(t testing.TB, folder string, f func(s *export.Sealed)) {
	t.Helper()
	path := filepath.Join(folder, filepath.FromSlash(export.SealedPath(2026)))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	var sealed, erased uint64
	for line := range strings.Lines(string(text)) {
		s, err := export.ParseSealed([]byte(strings.TrimSuffix(line, "\n")))
		if err != nil {
			t.Fatal(err)
		}
		if f(s); s.Erased {
			erased++
		} else {
			sealed++
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(append(out, again...), '\n')
	}
	write := func(path string, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(path, out)
	manifest, err := os.ReadFile(filepath.Join(folder, export.ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	m, err := export.ParseManifest(manifest)
	if err != nil {
		t.Fatal(err)
	}
	m.Logs[0].Sealed, m.Logs[0].Erased = sealed, erased
	if manifest, err = export.FormatManifest(m); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(folder, export.ManifestFile), manifest)
	text, err = os.ReadFile(filepath.Join(folder, export.SumsFile))
	if err != nil {
		t.Fatal(err)
	}
	sums, err := export.ParseSums(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sums {
		data, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(sums[i].Path)))
		if err != nil {
			t.Fatal(err)
		}
		sums[i].Digest = sha256.Sum256(data)
	}
	write(filepath.Join(folder, export.SumsFile), export.FormatSums(sums))
}

// TestTamperedForAuthority: whatever the operator changes in what it hands over, the authority finds.
func TestTamperedForAuthority(t *testing.T) {
	w := newWatched(t, time.Date(2026, time.March, 10, 12, 0, 0, 0, time.UTC))
	w.access()
	first := map[string]*export.Sealed{}
	whole := w.handOver()
	relined(t, whole, func(s *export.Sealed) {
		if len(first) == 0 {
			one := *s
			first["one"] = &one
		}
	})
	another := first["one"]
	for name, c := range map[string]struct {
		change func(s *export.Sealed)
		want   string
	}{
		"nothing changed":       {func(*export.Sealed) {}, ""},
		"a sealed body":         {func(s *export.Sealed) { s.Event.Sealed[60] ^= 1 }, verifier.CodeSealedBody},
		"another's sealed body": {func(s *export.Sealed) { s.Event.Sealed = another.Event.Sealed }, verifier.CodeSealedBody},
		"a wrap":                {func(s *export.Sealed) { s.Event.Wrap[40] ^= 1 }, verifier.CodeSealedWrap},
		"another's wrap": {func(s *export.Sealed) {
			s.Event.Wrap, s.Event.Handle, s.Event.Day = another.Event.Wrap, another.Event.Handle, another.Event.Day
		}, verifier.CodeSealedBody},
		"another handle":          {func(s *export.Sealed) { s.Event.Handle[0] ^= 1 }, verifier.CodeSealedWrap},
		"another day key":         {func(s *export.Sealed) { s.Event.Day[0] ^= 1 }, verifier.CodeSealedDay},
		"the tags":                {func(s *export.Sealed) { s.Tags[30] ^= 1 }, verifier.CodeSealedTags},
		"another's tags":          {func(s *export.Sealed) { s.Tags = another.Tags }, verifier.CodeSealedTags},
		"a line of another event": {func(s *export.Sealed) { s.Index = another.Index }, verifier.CodeEventMismatch},
		"left out as erased":      {func(s *export.Sealed) { *s = export.Sealed{Index: s.Index, Erased: true} }, verifier.CodeNotOpened},
	} {
		folder := filepath.Join(t.TempDir(), "tampered")
		if err := os.CopyFS(folder, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		n := 0
		relined(t, folder, func(s *export.Sealed) {
			if n++; n == 4 { // about person 2, later than the first
				c.change(s)
			}
		})
		r, events := w.opened(folder, w.policy, w.key)
		found := authorityCodes(r)
		if c.want == "" && len(found) > 0 || c.want != "" && !slices.Contains(found, c.want) {
			t.Errorf("%s: found %v, want %q", name, found, c.want)
		}
		if c.want != "" && (r.Logs[0].Complete || r.Logs[0].Open != 3) {
			t.Errorf("%s: complete %v with %d opened", name, r.Logs[0].Complete, r.Logs[0].Open)
		}
		if len(events) != 4 {
			t.Errorf("%s: %d events", name, len(events))
		}
	}
	policy := *w.policy
	policy.Witnesses = []checkpoint.Witness{{Name: "beta", VKey: newCosigner("beta.example").vkey, URL: ""}}
	if r, _ := w.opened(whole, &policy, w.key); !slices.Contains(authorityCodes(r), verifier.CodeTooFewWitnesses) {
		t.Errorf("without its witness: %v", authorityCodes(r))
	}
	policy = *w.policy
	policy.Monitors = nil
	if r, _ := w.opened(whole, &policy, w.key); !slices.Equal(authorityCodes(r), []string{verifier.CodeNoMonitor}) {
		t.Errorf("by a policy without monitors: %v", authorityCodes(r))
	}
}
