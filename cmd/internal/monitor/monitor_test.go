// SPDX-License-Identifier: EUPL-1.2

package monitor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/witness"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

const origin = "registro.example/2026"

// world is a log, a clock, and a directory of a monitor.
type world struct {
	t   *testing.T
	dir string
	log *verifiertest.Shard

	mu    sync.Mutex // guards what follows
	now   time.Time
	shown []byte            // instead of the log's checkpoint
	tiles *verifiertest.Log // instead of the log's
	fail  string            // paths that hold this word fail
	found []verifier.Finding
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: filepath.Join(t.TempDir(), "monitor"), log: verifiertest.UsualShard(origin, 0)}
	w.now = w.log.Instant(1)
	return w
}

var errLine = errors.New("the line is down")

func (w *world) Fetch(ctx context.Context, path string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.fail != "" && strings.Contains(path, w.fail):
		return nil, errLine
	case path == verifier.CheckpointPath && w.shown != nil:
		return w.shown, nil
	case w.tiles != nil:
		return w.tiles.Fetch(ctx, path)
	}
	return w.log.Fetch(ctx, path)
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) config() Config {
	return Config{
		Dir: w.dir, Origin: origin, Logs: []note.Verifier{w.log.Verifier()}, Log: func(uint32) checkpoint.Fetcher { return w },
		Now:   func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now },
		Found: func(_ string, f verifier.Finding) { w.set(func() { w.found = append(w.found, f) }) },
	}
}

func (w *world) open() *Monitor {
	w.t.Helper()
	m, err := Open(w.config())
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) close(m *Monitor) {
	w.t.Helper()
	if err := m.Close(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) look(m *Monitor) {
	w.t.Helper()
	if err := m.Look(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// codes are those of findings that aren't notices.
func (w *world) codes() (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.found {
		if f.Level != verifier.LevelNotice {
			list = append(list, f.Code)
		}
	}
	return list
}

func (w *world) check(m *Monitor, size uint64, codes ...string) {
	w.t.Helper()
	r := m.Report()
	if r.Checkpoint != w.log.At(size) {
		w.t.Errorf("at %+v, want size %d", r.Checkpoint, size)
	}
	if diff := cmp.Diff(codes, w.codes()); diff != "" {
		w.t.Errorf("alarms (-want +got):\n%s", diff)
	}
}

func TestRunsGoOn(t *testing.T) {
	w := newWorld(t)
	for i, n := range []int{0, 300, 5000, 0, 1} {
		w.log.Event(n)
		w.log.Head(float64(i+1) * 30)
		w.now = w.log.Instant(float64(i+1)*30 + 1)
		m := w.open()
		w.look(m)
		w.check(m, w.log.Now().Size)
		w.close(m)
	}
	// What a run that ended badly wrote behind is cut off.
	leaves := filepath.Join(w.dir, "2026", leavesFile)
	kept, err := os.ReadFile(leaves)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(leaves, append(bytes.Clone(kept), 0, 9, 1, 2), 0o600); err != nil {
		t.Fatal(err)
	}
	w.log.Head(200)
	m := w.open()
	w.look(m)
	w.check(m, w.log.Now().Size)
	w.close(m)
	// Notices were told once, with the first run.
	if len(w.found) != 2 {
		t.Errorf("told %v", w.found)
	}
	// One changed byte, or a missing one, and the directory isn't believed.
	kept, _ = os.ReadFile(leaves)
	for name, bad := range map[string][]byte{"changed": append(bytes.Clone(kept[:len(kept)-1]), kept[len(kept)-1]^1), "cut": kept[:len(kept)-1]} {
		if err := os.WriteFile(leaves, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := Open(w.config()); err == nil || !strings.Contains(err.Error(), "read anew") {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

// TestBrokenOff: a long reading that breaks off goes on where it was, also in
// another run, and reaches the checkpoint that it was for before a newer one.
func TestBrokenOff(t *testing.T) {
	w := newWorld(t)
	w.log.Event(9000)
	w.log.Head(30)
	w.now = w.log.Instant(31)
	w.fail = "entries/020"
	m := w.open()
	if err := m.Look(t.Context()); !errors.Is(err, errLine) {
		t.Fatal(err)
	}
	w.check(m, checkpoint.PartSize)
	w.close(m)
	w.log.Event(200)
	w.log.Head(40)
	w.now = w.log.Instant(41)
	w.fail = ""
	m = w.open()
	w.check(m, checkpoint.PartSize)
	w.look(m)
	w.check(m, w.log.Now().Size)
	w.close(m)
}

func TestWhatIsShown(t *testing.T) {
	w := newWorld(t)
	w.log.Event(20)
	w.log.Head(30)
	w.now = w.log.Instant(31)
	m := w.open()
	w.look(m)
	size := w.log.Now().Size
	// Not a checkpoint: told once, however long it lasts, and again if it comes back.
	for _, shown := range []string{"nothing", "nothing", "", "nothing"} {
		w.shown = []byte(shown)
		if shown == "" {
			w.shown = nil
		}
		w.look(m)
	}
	w.check(m, size, verifier.CodeBadSignature, verifier.CodeBadSignature)
	w.shown = w.log.Fork(12).Checkpoint()
	w.look(m)
	w.look(m)
	w.check(m, size, verifier.CodeBadSignature, verifier.CodeBadSignature, verifier.CodeRollback)
	w.close(m)
	// The largest size shown is remembered.
	m = w.open()
	w.look(m)
	if got := w.codes(); len(got) != 4 || got[3] != verifier.CodeRollback {
		t.Errorf("told %v", got)
	}
	w.shown = nil
	w.fail = "checkpoint"
	if err := m.Look(t.Context()); !errors.Is(err, errLine) {
		t.Errorf("a line that is down: %v", err)
	}
	w.close(m)
}

// TestForkStays: the evidence is kept, told again by each run, and the log isn't
// looked at any more.
func TestForkStays(t *testing.T) {
	w := newWorld(t)
	w.log.Event(20)
	m := w.open()
	w.look(m)
	first := w.log.Checkpoint()
	other := w.log.Fork(10)
	other.Add([]byte("another"))
	for range 20 {
		other.Add([]byte("another"))
	}
	w.tiles = other
	w.look(m)
	w.check(m, 25, verifier.CodeFork)
	if r := m.Report(); !r.Broken || r.Alarm != verifier.CodeFork {
		t.Errorf("%+v", r)
	}
	w.close(m)
	s, err := readState(filepath.Join(w.dir, "2026"))
	if err != nil || !bytes.Equal(s.Checkpoint, first) || !bytes.Equal(s.Fork, other.Checkpoint()) {
		t.Errorf("kept %+v, %v", s, err)
	}
	w.tiles = nil
	m = w.open()
	defer w.close(m)
	if r := m.Report(); r.Alarm != verifier.CodeFork || len(r.Alarms) != 1 {
		t.Errorf("a later run: %+v", r)
	}
	w.log.Event(1)
	w.look(m)
	w.check(m, 25, verifier.CodeFork)
}

// TestFindingsAreKept: all that was found, with the instant.
func TestFindingsAreKept(t *testing.T) {
	w := newWorld(t)
	w.log.Leaf(w.log.Tagged(1))
	w.log.Leaf(w.log.Tagged(1))
	w.log.Head(30)
	w.now = w.log.Instant(31)
	m := w.open()
	w.look(m)
	w.close(m)
	m = w.open()
	w.check(m, 8, verifier.CodeTagRepeated, verifier.CodeTagRepeated)
	if r := m.Report(); len(r.Alarms) != 2 || !r.Broken {
		t.Errorf("a later run: %+v", r)
	}
	w.close(m)
	data, err := os.ReadFile(filepath.Join(w.dir, findingsFile))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	var last foundLine
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || len(lines) != 4 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	want := foundLine{"2026-01-01T00:00:31.000Z", origin, verifier.Finding{Level: verifier.LevelBroken, Problem: ledger.Problem{
		Code: "tag_repeated", Where: "leaf 6", Expected: "a tag that stands nowhere else", Found: "the agency tag of leaf 5",
	}}}
	if diff := cmp.Diff(want, last); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOneAtATime(t *testing.T) {
	w := newWorld(t)
	m := w.open()
	if second, err := Open(w.config()); err == nil {
		second.Close()
		t.Error("two monitors over one directory")
	}
	w.close(m)
	w.close(w.open())
	other := w.config()
	m = w.open()
	w.look(m)
	w.close(m)
	other.Logs = []note.Verifier{verifiertest.NewLog(origin).Verifier()}
	if _, err := Open(other); err == nil {
		t.Error("a state of another key was taken")
	}
}

// TestFollow looks until it is stopped, whatever fails in between.
func TestFollow(t *testing.T) {
	w := newWorld(t)
	m := w.open()
	defer w.close(m)
	ctx, cancel := context.WithCancel(t.Context())
	troubles := make(chan error, 1000)
	done := make(chan error, 1)
	go func() { done <- m.Follow(ctx, time.Millisecond, func(err error) { troubles <- err }) }()
	await := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s never came", what)
			}
		}
	}
	await("the first leaves", func() bool { return m.Report().Size == 5 })
	w.set(func() { w.fail = "checkpoint" })
	if err := <-troubles; !errors.Is(err, errLine) {
		t.Errorf("trouble %v", err)
	}
	w.set(func() { w.fail = ""; w.log.Event(300); w.log.Head(2) })
	await("the next leaves", func() bool { return m.Report().Size == 306 })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("stopped: %v", err)
	}
}

// prove gives consistency proofs of the log.
func (w *world) prove(_ context.Context, from, to uint64) ([]ledger.Hash, error) {
	tree := testonly.New(rfc6962.DefaultHasher)
	tree.AppendData(w.log.Leaves...)
	proof, err := tree.ConsistencyProof(from, to)
	list := make([]ledger.Hash, len(proof))
	for i, h := range proof {
		list[i] = ledger.Hash(h)
	}
	return list, err
}

// TestCosigns: a submitted checkpoint is cosigned once its leaves were verified,
// before the log shows it to all; and when it can't be, the answer says whether
// that will pass.
func TestCosigns(t *testing.T) {
	w := newWorld(t)
	secret, vkey, err := witness.NewKey("monitor.example")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "monitor.key")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	c := w.config()
	if c.Signer, err = witness.ReadKey(file); err != nil {
		t.Fatal(err)
	}
	m, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close(m)
	server := httptest.NewServer(m.Witness())
	defer server.Close()
	client, err := witness.NewClient(server.URL, vkey)
	if err != nil {
		t.Fatal(err)
	}
	submit := func() error {
		_, err := client.Add(t.Context(), w.log.Now(), w.log.Checkpoint(), w.prove)
		return err
	}
	w.shown = w.log.Checkpoint() // it stays behind
	w.log.Event(300)
	w.log.Head(30)
	w.now = w.log.Instant(30)
	if err := submit(); err != nil {
		t.Fatal(err)
	}
	w.check(m, w.log.Now().Size)
	w.look(m) // of the smaller one that is shown: no rollback
	w.check(m, w.log.Now().Size)

	w.log.Event(3)
	w.log.Head(60)
	w.fail = "entries"
	if err := submit(); !errors.Is(err, witness.ErrLater) {
		t.Errorf("a line that is down: %v", err)
	}
	w.fail = ""
	w.now = w.log.Instant(60)
	if err := submit(); err != nil {
		t.Errorf("once it is up: %v", err)
	}
	// A head from the future waits until it isn't.
	w.log.Head(200)
	if err := submit(); !errors.Is(err, witness.ErrLater) {
		t.Errorf("a head of the future: %v", err)
	}
	w.now = w.log.Instant(141)
	if err := submit(); err != nil {
		t.Errorf("once its time came: %v", err)
	}
	// While somebody reads, a submission waits, and is put off.
	m.now.busy <- struct{}{}
	w.log.Head(210)
	if err := submit(); !errors.Is(err, witness.ErrLater) {
		t.Errorf("while leaves are read: %v", err)
	}
	<-m.now.busy
	w.now = w.log.Instant(210)
	if err := submit(); err != nil {
		t.Error(err)
	}
	// A wrong head: never again.
	w.log.Head(220, func(h *ledger.Head) { h.Keys++ })
	w.now = w.log.Instant(220)
	size := w.log.Now().Size
	for range 2 {
		if err := submit(); !errors.Is(err, witness.ErrRefused) {
			t.Errorf("a wrong head: %v", err)
		}
	}
	w.check(m, size, verifier.CodeClockAhead, verifier.CodeWrongHead)

	registry := prometheus.NewRegistry()
	m.Register(registry)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, metric := range f.Metric {
			name := f.GetName()
			for _, l := range metric.Label {
				name += " " + l.GetValue()
			}
			got[strings.TrimPrefix(name, "traccia_monitor_")] = metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
		}
	}
	want := map[string]float64{
		"epoch": 2026, "leaves": float64(size), "public_leaves": 5, "heads": 6, "keys": 606, "alarms": 2, "broken": 1,
		"last_head_timestamp_seconds": float64(w.log.Instant(220).Unix()), "last_look_timestamp_seconds": float64(w.log.Instant(220).Unix()),
		"cosignatures_total given": 4, "cosignatures_total refused": 5,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if response, err := http.Get(server.URL + "/nothing"); err != nil || response.StatusCode != http.StatusNotFound {
		t.Errorf("%v, %v", response, err)
	}
}

// TestFullDirectory: what can't be kept isn't believed, nor cosigned.
func TestFullDirectory(t *testing.T) {
	w := newWorld(t)
	m := w.open()
	w.look(m)
	w.log.Event(5)
	m.now.leaves.file.Close()
	if err := m.Look(t.Context()); !errors.Is(err, ErrDirectory) {
		t.Errorf("a file that fails: %v", err)
	}
	if err := m.verify(t.Context(), w.log.Now(), w.log.Checkpoint()); err == nil {
		t.Error("cosigned without a directory")
	}
	if err := m.Follow(t.Context(), time.Hour, func(error) {}); !errors.Is(err, ErrDirectory) {
		t.Errorf("following: %v", err)
	}
	if err := m.Close(); err == nil {
		t.Error("closed without a word")
	}
}

func FuzzState(f *testing.F) {
	whole := state{Checkpoint: []byte("registro.example/2026\n5\n"), Size: 4, Root: ledger.Hash{1}, Public: 5, Looked: time.UnixMilli(1_767_225_600_123), Fork: []byte("x")}
	for _, s := range []state{whole, {Checkpoint: []byte("x")}} {
		data, err := formatState(&s)
		if err != nil {
			f.Fatal(err)
		}
		back, err := parseState(data)
		if err != nil || !back.Looked.Equal(s.Looked) || back.Size != s.Size || back.Root != s.Root || back.Public != s.Public {
			f.Errorf("%+v came back as %+v, %v", s, back, err)
		}
		f.Add(data)
		for _, bad := range []string{strings.Replace(string(data), "/1", "/2", 1), strings.TrimSpace(string(data)), strings.Replace(string(data), `"size"`, `"sise"`, 1), strings.ToUpper(string(data))} {
			if _, err := parseState([]byte(bad)); err == nil {
				f.Errorf("%s was taken", bad)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseState(data)
		if err != nil {
			return
		}
		if back, err := formatState(s); err != nil || !bytes.Equal(back, data) {
			t.Errorf("%q re-encodes as %q", data, back)
		}
	})
}
