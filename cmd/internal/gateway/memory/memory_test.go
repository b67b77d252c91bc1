// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/own"
)

const (
	scope  = "inps"
	name   = "registro.example"
	origin = "registro.example/2026"
	rossi  = ledger.Subject("RSSMRA80A01H501U")
	office = ledger.Subject("80078750587")
)

var quiet = slog.New(slog.DiscardHandler)

func create(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "memory")
	if err := Create(dir, scope, name); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t *testing.T, dir string) *Memory { return home{dir: dir}.open(t) }

func jti(n int) string { return fmt.Sprintf("5a0e7b3c-52f0-4d0e-9d5e-%012x", n) }

func point(size uint64) checkpoint.Checkpoint {
	return checkpoint.Checkpoint{Origin: origin, Size: size, Root: ledger.Hash{byte(size), byte(size >> 8), 7}}
}

// event is the n-th call's, about one subject.
func event(n int, s ledger.Subject, number uint32, index uint64) own.Entry {
	return own.Entry{
		Subject: s, Origin: origin, Number: number, Index: index, Leaf: ledger.Hash{byte(index), byte(index >> 8), 1}, Receipt: scope + "/" + jti(n),
		At: 1795339800123,
	}
}

// call is a call that began and was answered.
func call(m *Memory, n int, entries ...own.Entry) error {
	p, err := m.Begin(jti(n), []byte("submission "+strconv.Itoa(n)))
	if err != nil {
		return err
	}
	return m.Acknowledge(p, point(entries[0].Index+uint64(len(entries))), entries)
}

func records(t *testing.T, m *Memory) []own.Entry {
	t.Helper()
	var list []own.Entry
	if err := m.Records(func(e *own.Entry) error { list = append(list, *e); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

func missing(t *testing.T, m *Memory) uint64 {
	t.Helper()
	s, err := m.Status()
	if err != nil {
		t.Fatal(err)
	}
	return s.Missing
}

// TestNumbers: each answer is compared with those before it.
func TestNumbers(t *testing.T) { homes(t, testNumbers) }

func testNumbers(t *testing.T, at func() home) {
	h, year := at(), 2000
	m := h.open(t)
	lack, have := uint64(0), 0
	type told struct {
		subject ledger.Subject
		number  uint32
		index   uint64
	}
	for title, c := range map[string]struct {
		told    []told
		code    string // of the last
		missing uint64
	}{
		"in order":              {told: []told{{rossi, 0, 10}, {office, 0, 11}, {rossi, 1, 12}, {rossi, 2, 13}}},
		"out of order":          {told: []told{{rossi, 2, 13}, {rossi, 0, 10}, {rossi, 1, 12}, {rossi, 3, 14}}},
		"from the middle":       {told: []told{{rossi, 4, 13}, {rossi, 2, 11}}, missing: 3},
		"one left out":          {told: []told{{rossi, 0, 10}, {rossi, 2, 13}}, missing: 1},
		"many left out":         {told: []told{{rossi, 1<<32 - 1, 10}}, missing: 1<<32 - 1},
		"the same again":        {told: []told{{rossi, 0, 10}, {rossi, 1, 11}, {rossi, 0, 10}}},
		"a number again":        {told: []told{{rossi, 0, 10}, {rossi, 1, 11}, {rossi, 1, 12}}, code: CodeNumberAgain},
		"an early number again": {told: []told{{rossi, 0, 10}, {rossi, 1, 11}, {rossi, 0, 12}}, code: CodeNumberAgain},
		"a filled gap again":    {told: []told{{rossi, 0, 10}, {rossi, 2, 15}, {rossi, 1, 11}, {rossi, 1, 12}}, code: CodeNumberAgain},
		"an index again":        {told: []told{{rossi, 0, 10}, {office, 0, 10}}, code: CodeIndexAgain},
		"indexes fall":          {told: []told{{rossi, 0, 10}, {rossi, 1, 9}}, code: CodeIndexOrder},
		"indexes fall, a gap":   {told: []told{{rossi, 1, 10}, {rossi, 0, 11}}, code: CodeIndexOrder, missing: 1},
	} {
		year++ // a log for each
		t.Run(title, func(t *testing.T) {
			lacked, had := missing(t, m), len(records(t, m))
			seen := map[told]int{}
			for i, e := range c.told {
				n, again := seen[e]
				if !again {
					n = i
					seen[e] = i
				}
				told := event(n, e.subject, e.number, e.index)
				told.Origin = ledger.Origin(name, uint32(year))
				err := call(m, n, told)
				var p *ledger.Problem
				if last := i == len(c.told)-1; last && c.code != "" {
					if !errors.As(err, &p) || p.Code != c.code || strings.Contains(p.Error(), string(e.subject)) {
						t.Errorf("%v, want %s", err, c.code)
					}
					delete(seen, e)
				} else if err != nil {
					t.Fatal(err)
				}
			}
			// A refused answer stays unsettled, and may not hide a gap.
			for _, p := range m.Unsettled() {
				if c.code == "" {
					t.Error("a call is unsettled")
				}
				if err := m.Drop(p); err != nil {
					t.Fatal(err)
				}
			}
			if got := missing(t, m) - lacked; got != c.missing {
				t.Errorf("%d numbers missing, want %d", got, c.missing)
			}
			if got := len(records(t, m)) - had; got != len(seen) {
				t.Errorf("%d records, want %d", got, len(seen))
			}
			lack, have = lack+c.missing, have+len(seen)
		})
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = h.open(t)
	if got := missing(t, m); got != lack {
		t.Errorf("after a restart %d numbers are missing, want %d", got, lack)
	}
	if got := len(records(t, m)); got != have {
		t.Errorf("after a restart there are %d records, want %d", got, have)
	}
}

// TestGapWaits: a number may be told late as long as a call is under way that began before the gap was seen.
func TestGapWaits(t *testing.T) { homes(t, testGapWaits) }

func testGapWaits(t *testing.T, at func() home) {
	h := at()
	m := h.open(t)
	older, err := m.Begin(jti(1), []byte("older"))
	if err != nil {
		t.Fatal(err)
	}
	if err := call(m, 2, event(2, rossi, 1, 11)); err != nil {
		t.Fatal(err)
	}
	younger, err := m.Begin(jti(3), []byte("younger"))
	if err != nil {
		t.Fatal(err)
	}
	if got := missing(t, m); got != 0 {
		t.Errorf("%d missing while an older call is under way", got)
	}
	// A crash: nobody knows what became of the two.
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = h.open(t)
	if got := missing(t, m); got != 0 {
		t.Errorf("%d missing while older calls are unsettled", got)
	}
	for _, p := range m.Unsettled() {
		text, err := m.Submission(p)
		if err != nil {
			t.Fatal(err)
		}
		switch string(text) {
		case "older":
			older = p
		case "younger":
			younger = p
		default:
			t.Fatalf("the submission of nobody: %q", text)
		}
	}
	if err := m.Drop(younger); err != nil {
		t.Fatal(err)
	}
	if got := missing(t, m); got != 0 {
		t.Errorf("%d missing while an older call is unsettled", got)
	}
	if err := m.Drop(older); err != nil {
		t.Fatal(err)
	}
	if got := missing(t, m); got != 1 {
		t.Errorf("%d missing, want 1: no call is left that could have it", got)
	}
	if text, err := m.Submission(older); text != nil || err != nil {
		t.Errorf("a settled submission is kept: %q, %v", text, err)
	}
}

// TestCheckpoints: each waits until it is said to be witnessed; two roots of one size are refused.
func TestCheckpoints(t *testing.T) { homes(t, testCheckpoints) }

func testCheckpoints(t *testing.T, at func() home) {
	now := time.UnixMilli(1795339800123)
	m := at().at(func() time.Time { return now }).open(t)
	for i := range 3 {
		if err := call(m, i, event(i, rossi, uint32(i), uint64(10+i))); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Second)
	}
	list, err := m.Unwitnessed()
	want := []Acknowledged{{point(11), time.UnixMilli(1795339800123)}, {point(12), time.UnixMilli(1795339801123)}, {point(13), time.UnixMilli(1795339802123)}}
	if diff := cmp.Diff(want, list); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	p, err := m.Begin(jti(9), nil)
	if err != nil {
		t.Fatal(err)
	}
	other := point(12)
	other.Root[5] ^= 1
	var problem *ledger.Problem
	if err := m.Acknowledge(p, other, []own.Entry{event(9, office, 0, 50)}); !errors.As(err, &problem) || problem.Code != CodeOtherRoot {
		t.Errorf("another root of the same size: %v", err)
	}
	if got := len(records(t, m)); got != 3 {
		t.Errorf("%d records: a refused answer was noted", got)
	}
	for i, c := range list {
		if s, err := m.Status(); err != nil || !s.Waiting.Equal(c.At) {
			t.Errorf("%d: waiting since %s, %v", i, s.Waiting, err)
		}
		if err := m.Witnessed(c.Checkpoint); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := m.Status(); err != nil || !s.Waiting.IsZero() {
		t.Errorf("waiting since %s, %v", s.Waiting, err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRecords: what is handed out is what was acknowledged, in the form that the provider's check takes, and no file of the
// memory names anybody.
func TestRecords(t *testing.T) { homes(t, testRecords) }

func testRecords(t *testing.T, at func() home) {
	h := at()
	m := h.open(t)
	want := []own.Entry{event(1, rossi, 0, 10), event(1, office, 0, 11), event(2, office, 1, 70000)}
	for _, part := range [][]own.Entry{want[2:], want[:2]} {
		n := 1
		if len(part) == 1 {
			n = 2
		}
		p, err := m.Begin(jti(n), []byte(rossi))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Acknowledge(p, point(80000+uint64(n)), part); err != nil {
			t.Fatal(err)
		}
	}
	got := records(t, m)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, e := range got {
		line := own.AppendEntry(nil, &e)
		if back, err := own.ParseEntry(line[:len(line)-1]); err != nil || *back != e {
			t.Errorf("%s: %v", line, err)
		}
	}
	stop := errors.New("stop")
	if err := m.Records(func(*own.Entry) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v, want the callback's error", err)
	}
	if err := m.db.Flush(); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(h.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, s := range []ledger.Subject{rossi, office} {
			if bytes.Contains(data, []byte(s)) || strings.Contains(path, string(s)) {
				t.Errorf("%s names a person", d.Name())
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestSealed: a row that was changed or moved isn't taken.
func TestSealed(t *testing.T) {
	m := open(t, create(t))
	if err := call(m, 1, event(1, rossi, 0, 10)); err != nil {
		t.Fatal(err)
	}
	var key, value []byte
	err := scan(m.db, 'e', func(k, v []byte) error { key, value = bytes.Clone(k), bytes.Clone(v); return nil })
	if err != nil {
		t.Fatal(err)
	}
	none := func(*own.Entry) error { return nil }
	for i := range value {
		changed := bytes.Clone(value)
		changed[i] ^= 1
		if err := m.db.Set(key, changed, nil); err != nil {
			t.Fatal(err)
		}
		if err := m.Records(none); !errors.Is(err, errDamaged) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	if err := m.db.Set(key, value, nil); err != nil {
		t.Fatal(err)
	}
	if err := m.Records(none); err != nil {
		t.Error(err)
	}
	moved := bytes.Clone(key)
	moved[len(moved)-1]++
	if err := m.db.Set(moved, value, nil); err != nil {
		t.Fatal(err)
	}
	if err := m.Records(none); !errors.Is(err, errDamaged) {
		t.Errorf("a row at another's place: %v", err)
	}
}

// TestSeen: a token is new once, for exactly one of many, also after a restart, until it is over.
func TestSeen(t *testing.T) { homes(t, testSeen) }

func testSeen(t *testing.T, at func() home) {
	now := time.Now()
	h := at().at(func() time.Time { return now })
	m := h.open(t)
	see := func(kind, id string, want bool) {
		t.Helper()
		if got, err := m.Seen(kind, id, now.Add(time.Minute)); got != want || err != nil {
			t.Errorf("%s %s: seen %v, %v", kind, id, got, err)
		}
	}
	see("dpop", "a", false)
	see("dpop", "a", true)
	see("integrity", "a", false)
	see("dpo", "pa", false) // no two spellings of one name
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = h.open(t)
	see("dpop", "a", true)
	var isNew [4]atomic.Int32
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			if seen, err := m.Seen("dpop", strconv.Itoa(i%4), now.Add(3*time.Hour)); err != nil {
				t.Error(err)
			} else if !seen {
				isNew[i%4].Add(1)
			}
		})
	}
	defer func() {
		for i := range isNew {
			if n := isNew[i].Load(); n != 1 {
				t.Errorf("token %d was new to %d", i, n)
			}
		}
	}()
	all.Wait()
	now = now.Add(time.Minute - time.Millisecond)
	if err := m.Sweep(); err != nil {
		t.Fatal(err)
	}
	see("dpop", "a", true)
	now = now.Add(time.Hour + time.Second)
	if err := m.Sweep(); err != nil {
		t.Fatal(err)
	}
	see("dpop", "a", false)
	see("dpop", "1", true)
}

// TestOpen: what is opened is what was made, and nothing is made by opening.
func TestOpen(t *testing.T) {
	dir := create(t)
	if err := Create(dir, scope, name); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a memory over another: %v", err)
	}
	for _, c := range []struct{ dir, scope, name string }{
		{dir, "inail", name}, {dir, scope, "altro.example"},
	} {
		if m, err := Open(c.dir, c.scope, c.name, Options{Logger: quiet}); err == nil {
			m.Close()
			t.Errorf("opened as %+v", c)
		}
	}
	if _, err := Open(t.TempDir(), scope, name, Options{Logger: quiet}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened nothing: %v", err)
	}
	path := filepath.Join(dir, keyFile)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if m, err := Open(dir, scope, name, Options{Logger: quiet}); err == nil {
		m.Close()
		t.Error("opened with a key that others can read")
	}
	for _, bad := range []struct{ scope, name string }{{"+consent", name}, {scope, "a name"}} {
		if err := Create(filepath.Join(t.TempDir(), "m"), bad.scope, bad.name); err == nil {
			t.Errorf("made for %+v", bad)
		}
	}
}

func FuzzKeyFile(f *testing.F) {
	f.Add(formatKeys(scope, name, make([]byte, 32)))
	f.Add([]byte(keyFileKind + "\nscope: inps\nledger: x\nkey: \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := parseKeys(data)
		if err != nil {
			return
		}
		if !bytes.HasPrefix(data, []byte(keyFileKind+"\nscope: "+k.scope+"\nledger: "+k.ledger+"\nkey: ")) {
			t.Errorf("%q was read as %s, %s", data, k.scope, k.ledger)
		}
	})
}
