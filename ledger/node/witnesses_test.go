// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/store"
	"github.com/traccia-ledger/traccia/ledger/witness"

	f_note "github.com/transparency-dev/formats/note"
)

// watched is a ledger with witnesses over HTTP.
type watched struct {
	dir    string
	policy *checkpoint.Policy
	down   atomic.Pointer[[]string] // names of witnesses that answer nothing
	serves map[string]*witness.Witness
}

func newWatched(t *testing.T, names ...string) *watched {
	t.Helper()
	w := &watched{dir: t.TempDir(), serves: map[string]*witness.Witness{}}
	w.takeDown()
	settings := node.Settings{
		Name: "registro.example", PublishInterval: "1m", WitnessPolicy: "policy.txt",
		PDND: node.PDNDSettings{Issuers: []string{"interop.pagopa.it"}},
	}
	if err := node.Create(t.Context(), w.dir, settings, node.Options{}); err != nil {
		t.Fatal(err)
	}
	vkey, err := os.ReadFile(filepath.Join(w.dir, "log.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	logs, err := checkpoint.ParseKeys(vkey)
	if err != nil {
		t.Fatal(err)
	}
	w.policy = &checkpoint.Policy{Logs: []checkpoint.Log{{VKey: string(vkey[:len(vkey)-1])}}}
	for _, name := range names {
		skey, wkey, err := witness.NewKey(name + ".example")
		if err != nil {
			t.Fatal(err)
		}
		signer, err := f_note.NewSignerForCosignatureV1(skey)
		if err != nil {
			t.Fatal(err)
		}
		serve := witness.New(t.TempDir(), note.Signer(signer), logs...)
		w.serves[name] = serve
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if slices.Contains(*w.down.Load(), name) {
				http.Error(rw, "down", http.StatusServiceUnavailable)
				return
			}
			serve.ServeHTTP(rw, r)
		}))
		t.Cleanup(server.Close)
		w.policy.Witnesses = append(w.policy.Witnesses, checkpoint.Witness{Name: name, VKey: wkey, URL: server.URL})
	}
	w.policy.F = checkpoint.Faults(len(names))
	w.policy.K = checkpoint.LeastQuorum(len(names), w.policy.F)
	text, err := checkpoint.FormatPolicy(w.policy)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "policy.txt"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	return w
}

// takeDown lets these witnesses answer nothing, and all others.
func (w *watched) takeDown(names ...string) { w.down.Store(&names) }

func (w *watched) open(t *testing.T, dir string) *node.Node {
	t.Helper()
	n, err := node.Open(t.Context(), dir, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func grow(t *testing.T, n *node.Node, id string) {
	t.Helper()
	if _, err := n.AddBody(t.Context(), registry.Body{ID: id, Name: id}); err != nil {
		t.Fatal(err)
	}
	if err := n.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestPublishedWithCosignatures: what is published carries a quorum, also
// while one witness is dead.
func TestPublishedWithCosignatures(t *testing.T) {
	w := newWatched(t, "alfa", "beta", "gamma")
	metrics := prometheus.NewRegistry()
	n, err := node.Open(t.Context(), w.dir, node.Options{Metrics: node.NewMetrics(metrics)})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for i, down := range []string{"", "beta", ""} {
		w.takeDown(down)
		grow(t, n, "b"+string(rune('0'+i)))
		p, err := n.Published(n.Epoch())
		if err != nil {
			t.Fatal(err)
		}
		c, err := w.policy.Open(p.Checkpoint)
		if err != nil {
			t.Fatalf("with %q down: %v", down, err)
		}
		want := 3
		if down != "" {
			want = 2
		}
		if len(c.Witnesses) != want || c.Size != p.Root.Size {
			t.Errorf("with %q down: %d witnesses at size %d, want %d at %d", down, len(c.Witnesses), c.Size, want, p.Root.Size)
		}
	}
	w.takeDown("alfa", "beta", "gamma")
	grow(t, n, "c0")
	w.takeDown("beta", "gamma")
	grow(t, n, "c1")
	w.takeDown("alfa", "beta", "gamma")
	grow(t, n, "c2")
	p, _ := n.Published(n.Epoch())
	if _, err := w.policy.Open(p.Checkpoint); !errors.Is(err, checkpoint.ErrQuorum) {
		t.Errorf("with all down: got %v, want ErrQuorum", err)
	}
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sizes, lags := map[string]float64{}, map[string]float64{}
	for _, f := range families {
		if f.GetName() == "traccia_witness_lag_seconds" {
			for _, m := range f.Metric {
				lags[m.Label[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
		if name := f.GetName(); name == "traccia_cosigned_size" || name == "traccia_published_size" {
			sizes[name] = f.Metric[0].GetGauge().GetValue()
		}
	}
	if cosigned := sizes["traccia_cosigned_size"]; cosigned == 0 || cosigned >= sizes["traccia_published_size"] || sizes["traccia_published_size"] != float64(p.Root.Size) {
		t.Errorf("metrics say %v, published are %d", sizes, p.Root.Size)
	}
	if len(lags) != 3 || lags["alfa.example"] != 0 || lags["beta.example"] <= 0 || lags["gamma.example"] <= 0 {
		t.Errorf("lags are %v", lags)
	}
	if s := n.State(); s.Size != p.Root.Size || s.Published != p.Root.Size || float64(s.Cosigned) != sizes["traccia_cosigned_size"] || s.Trouble != "" {
		t.Errorf("the state is %+v", s)
	}
}

// TestTilesBeforeTheCheckpoint: while witnesses are asked, the leaves up to the
// size that they are asked about can be read, and the public checkpoint is still
// the one before. That is how a monitor verifies them first.
func TestTilesBeforeTheCheckpoint(t *testing.T) {
	w := newWatched(t, "mona")
	n := w.open(t, w.dir)
	defer n.Close()
	grow(t, n, "b0")
	asked := 0
	w.serves["mona"].Verify = func(ctx context.Context, cp checkpoint.Checkpoint, _ []byte) error {
		asked++
		if p, _ := n.Published(n.Epoch()); p.Root.Size >= cp.Size {
			t.Errorf("published at %d before size %d was cosigned", p.Root.Size, cp.Size)
		}
		if _, err := n.Entries(ctx, n.Epoch(), 0, int(cp.Size)); err != nil {
			t.Errorf("leaves up to %d: %v", cp.Size, err)
		}
		if _, err := n.Tile(ctx, n.Epoch(), 0, 0, int(cp.Size)); err != nil {
			t.Errorf("tile up to %d: %v", cp.Size, err)
		}
		if _, err := n.Entries(ctx, n.Epoch(), 0, int(cp.Size)+1); !errors.Is(err, node.ErrNotPublished) {
			t.Errorf("leaves beyond %d: %v, want ErrNotPublished", cp.Size, err)
		}
		return nil
	}
	grow(t, n, "b1")
	if asked == 0 {
		t.Error("nobody was asked")
	}
}

// TestOpensBeforeWitnessesAnswer: a witness that takes its time, as a monitor does that
// reads what it is to cosign from this very node, doesn't keep the node from serving.
// Meanwhile it shows what was published before.
func TestOpensBeforeWitnessesAnswer(t *testing.T) {
	w := newWatched(t, "mona")
	n := w.open(t, w.dir)
	grow(t, n, "b0")
	before, err := n.Published(n.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.AddBody(t.Context(), registry.Body{ID: "b1", Name: "b1"}); err != nil {
		t.Fatal(err)
	}
	w.takeDown("mona")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	w.takeDown()
	// What it publishes at its end a process that dies doesn't.
	err = os.WriteFile(filepath.Join(w.dir, "keys", "published", fmt.Sprintf("%d.checkpoint", n.Epoch())), before.Checkpoint, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	open := make(chan struct{})
	var gaveUp atomic.Bool
	w.serves["mona"].Verify = func(ctx context.Context, cp checkpoint.Checkpoint, _ []byte) error {
		if cp.Size <= before.Root.Size {
			return nil
		}
		select {
		case <-open:
			return nil
		case <-ctx.Done():
			gaveUp.Store(true)
			return ctx.Err()
		}
	}
	if n, err = node.Open(t.Context(), w.dir, node.Options{Serving: true}); err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if gaveUp.Load() {
		t.Error("it opened only when it gave the witness up")
	}
	if p, err := n.Published(n.Epoch()); err != nil || p.Root.Size < before.Root.Size {
		t.Errorf("at first it shows %d leaves, %v", p.Root.Size, err)
	}
	close(open)
	for p := before; p.Root != n.Latest().Root; time.Sleep(time.Millisecond) {
		p, _ = n.Published(n.Epoch())
	}
}

// TestAskedAgain: a witness that had no time is asked again, even when nothing
// is new.
func TestAskedAgain(t *testing.T) {
	w := newWatched(t, "alfa", "beta", "gamma")
	file := filepath.Join(w.dir, "config.json")
	config, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, bytes.Replace(config, []byte(`"1m"`), []byte(`"10ms"`), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	var later atomic.Bool
	later.Store(true)
	w.serves["beta"].Verify = func(context.Context, checkpoint.Checkpoint, []byte) error {
		if later.Load() {
			return errors.New("still reading")
		}
		return nil
	}
	n := w.open(t, w.dir)
	defer n.Close()
	grow(t, n, "b0")
	count := func() (int, uint64) {
		p, err := n.Published(n.Epoch())
		if err != nil {
			t.Fatal(err)
		}
		c, err := w.policy.Open(p.Checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		return len(c.Witnesses), c.Size
	}
	got, size := count()
	if got != 2 {
		t.Fatalf("%d witnesses cosigned, want 2", got)
	}
	later.Store(false)
	for end := time.Now().Add(2 * time.Minute); got < 3 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		got, _ = count()
	}
	if _, now := count(); got != 3 || now != size {
		t.Errorf("%d witnesses at size %d, want all three at %d", got, now, size)
	}
}

// uncertainStore is one whose commits' outcomes had to be looked up so often.
type uncertainStore struct {
	store.Store
	uncertain *atomic.Uint64
}

func (s uncertainStore) Uncertain() uint64 { return s.uncertain.Load() }

// TestUncertainBehindTheWitnesses: once the outcome of a commit had to be looked up, the
// witnesses are asked before anything more is signed. What they have seen and this log
// lacks stops it.
func TestUncertainBehindTheWitnesses(t *testing.T) {
	w := newWatched(t, "alfa")
	n := w.open(t, w.dir)
	backup := filepath.Join(t.TempDir(), "store")
	if err := n.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		grow(t, n, fmt.Sprint("b", i))
	}
	file := filepath.Join(w.dir, "keys", "published", fmt.Sprintf("%d.checkpoint", n.Epoch()))
	if err := errors.Join(n.Close(), os.RemoveAll(filepath.Join(w.dir, "store")), os.Rename(backup, filepath.Join(w.dir, "store")), os.Remove(file)); err != nil {
		t.Fatal(err)
	}
	w.takeDown("alfa")
	var uncertain atomic.Uint64
	n, err := node.Open(t.Context(), w.dir, node.Options{Store: func(s store.Store) store.Store { return uncertainStore{s, &uncertain} }})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	w.takeDown()
	if _, err := n.AddBody(t.Context(), registry.Body{ID: "c0", Name: "c0"}); err != nil {
		t.Errorf("no outcome was looked up: %v", err)
	}
	uncertain.Add(1)
	if _, err := n.AddBody(t.Context(), registry.Body{ID: "c1", Name: "c1"}); !errors.Is(err, node.ErrBehind) || !errors.Is(n.Err(), node.ErrBehind) {
		t.Errorf("an outcome was looked up: %v, and then %v; want ErrBehind", err, n.Err())
	}
}

// TestRestoredBehindTheWitnesses: a store that went back in time doesn't start,
// even when nobody remembers what was published but the witnesses.
func TestRestoredBehindTheWitnesses(t *testing.T) {
	w := newWatched(t, "alfa", "beta", "gamma")
	n := w.open(t, w.dir)
	grow(t, n, "b0")
	backup := filepath.Join(t.TempDir(), "store")
	if err := n.Backup(context.Background(), backup); err != nil {
		t.Fatal(err)
	}
	grow(t, n, "b1")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(w.dir, "store")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(backup, filepath.Join(w.dir, "store")); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Open(t.Context(), w.dir, node.Options{}); !errors.Is(err, node.ErrBehind) {
		t.Errorf("behind the published checkpoint: got %v, want ErrBehind", err)
	}
	published, err := filepath.Glob(filepath.Join(w.dir, "keys", "published", "*"))
	if err != nil || len(published) == 0 {
		t.Fatalf("no published checkpoint is kept: %v", err)
	}
	for _, f := range published {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	_, err = node.Open(t.Context(), w.dir, node.Options{})
	if !errors.Is(err, node.ErrBehind) {
		t.Errorf("behind the witnesses alone: got %v, want ErrBehind", err)
	}
	w.takeDown("alfa", "gamma")
	if _, err = node.Open(t.Context(), w.dir, node.Options{}); !errors.Is(err, node.ErrBehind) {
		t.Errorf("one witness is left to say so: got %v, want ErrBehind", err)
	}
}
