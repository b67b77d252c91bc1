// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// state is what a restart must not change.
type state struct {
	VKey   string
	Bodies []registry.Body
	Keys   map[string][]registry.KeyInForce
	Scopes []string
	Hub    []string
}

func (r *running) state() state {
	s := state{VKey: r.VKey(), Bodies: r.Registry().Bodies(), Keys: map[string][]registry.KeyInForce{}, Scopes: r.Registry().Scopes()}
	for _, b := range s.Bodies {
		s.Keys[b.ID] = r.Registry().Keys(b.ID)
	}
	s.Hub, _ = r.Registry().Providers(nodetest.Hub)
	return s
}

func TestRestarts(t *testing.T) {
	r := newLedger(t, node.Options{})
	if _, err := r.AddKey(t.Context(), nodetest.Hub, nodetest.Key(nodetest.Hub, 1), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := r.RevokeKey(t.Context(), nodetest.Hub, nodetest.Key(nodetest.Hub, 1).Kid, "prova"); err != nil {
		t.Fatal(err)
	}
	want := r.state()
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		r.load(0, 20*round+20)
		latest := r.Latest()
		seen := r.stop()
		r.holds(seen)
		heads := seen.Report.Heads
		if last := heads[len(heads)-1]; last.Leaf+1 != uint64(len(seen.Leaves)) {
			t.Errorf("round %d: the last head is leaf %d of %d", round, last.Leaf, len(seen.Leaves))
		}
		r.start(node.Options{})
		if diff := cmp.Diff(want, r.state()); diff != "" {
			t.Errorf("round %d: another state after a restart (-before +after):\n%s", round, diff)
		}
		p, err := r.Published(r.Epoch())
		if err != nil || p.Root.Size != uint64(len(seen.Leaves)) || p.Root.Size < latest.Root.Size {
			t.Errorf("round %d: %d leaves are public at the start, expected all %d: %v", round, p.Root.Size, len(seen.Leaves), err)
		}
	}
	r.holds(r.stop())
}

// TestCloseUnderLoad closes a node while it works: what was acknowledged is
// there, whatever else was refused.
func TestCloseUnderLoad(t *testing.T) {
	r := newLedger(t, node.Options{MaxQueue: 20})
	for round := range 4 {
		var g sync.WaitGroup
		var mu sync.Mutex
		some := make(chan struct{})
		acknowledged := 0
		for worker := range 8 {
			g.Go(func() {
				for n := worker; ; n += 8 {
					_, err := r.send(1000*round + n)
					switch {
					case errors.Is(err, sequencer.ErrClosed):
						return
					case errors.Is(err, sequencer.ErrBusy):
					case err != nil:
						t.Error(err)
						return
					default:
						mu.Lock()
						if acknowledged++; acknowledged == 30 {
							close(some)
						}
						mu.Unlock()
					}
				}
			})
		}
		<-some
		seen := r.closeAndWait(&g)
		r.holds(seen)
		r.start(node.Options{MaxQueue: 20})
	}
	r.holds(r.stop())
}

// closeAndWait closes the node, lets the submitters end, and audits.
func (r *running) closeAndWait(g *sync.WaitGroup) *nodetest.Audited {
	r.t.Helper()
	closed := make(chan error, 1)
	go func() { closed <- r.Close() }()
	err := <-closed
	g.Wait()
	if err != nil {
		r.t.Fatal(err)
	}
	return r.audit()
}

// TestNoLedger: a directory without a ledger, or with half of one, is refused
// with a word on what to do, and nothing is made in it.
func TestNoLedger(t *testing.T) {
	full := newLedger(t, node.Options{})
	full.stop()
	for _, c := range []struct {
		name  string
		spoil func(dir string) error
		want  error
		hint  string
	}{
		{"empty", func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)) }, node.ErrNoLedger, "ledgerd init"},
		{"absent", os.RemoveAll, node.ErrNoLedger, "ledgerd init"},
		{"no store", func(dir string) error { return os.RemoveAll(filepath.Join(dir, "store")) }, fs.ErrNotExist, "store"},
		{"no keys", func(dir string) error { return os.RemoveAll(filepath.Join(dir, "keys")) }, fs.ErrNotExist, "keys"},
		{"an unknown setting", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"name":"registro.example","pdnd":{"issuers":[],"voucher_keys":[],"client_keys":[]},"colour":"red"}`), 0o644)
		}, nil, "unknown name"},
		{"a name that isn't one", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"name":"a b","pdnd":{"issuers":[],"voucher_keys":[],"client_keys":[]}}`), 0o644)
		}, nil, "name"},
		{"no PDND keys", func(dir string) error { return os.Remove(filepath.Join(dir, "pdnd.jwks")) }, fs.ErrNotExist, "pdnd.jwks"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := copyDir(t, full.dir)
			if err := c.spoil(dir); err != nil {
				t.Fatal(err)
			}
			before := listing(t, dir)
			n, err := node.Open(t.Context(), dir, node.Options{})
			if err == nil {
				n.Close()
				t.Fatal("it was opened")
			}
			if c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.hint) {
				t.Errorf("refused with %v, expected %v and a word of %q", err, c.want, c.hint)
			}
			if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
				t.Errorf("the failure changed the directory:\n%s", diff)
			}
		})
	}
	// A second ledger isn't made over the first.
	if err := node.Create(t.Context(), full.dir, nodetest.Settings(), node.Options{}); err == nil {
		t.Error("a ledger was made over another")
	}
	full.start(node.Options{})
	full.load(0, 3)
	full.holds(full.stop())
}

// listing is what stands in the directory and in its keys, by name; the store
// keeps house in its own.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*", "keys/*", "keys/*/*"} {
		matches, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range matches {
			name, err := filepath.Rel(dir, m)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
	}
	return names
}

func TestKeysRefused(t *testing.T) {
	const passphrase = "una frase segreta"
	t.Run("passphrase", func(t *testing.T) {
		r := newLedger(t, node.Options{Passphrase: passphrase})
		r.load(0, 5)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		for _, wrong := range []string{"", "un'altra"} {
			if _, err := node.Open(t.Context(), r.dir, node.Options{Passphrase: wrong}); !errors.Is(err, keys.ErrPassphrase) || strings.Contains(err.Error(), passphrase) {
				t.Errorf("with the passphrase %q: %v", wrong, err)
			}
		}
		r.start(node.Options{Passphrase: passphrase})
		if got := r.load(0, 8); got != 5 {
			t.Errorf("%d replays, expected 5", got)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := nodetest.AuditDir(t.Context(), r.dir, passphrase); err != nil {
			t.Error(err)
		}
	})
	r := newLedger(t, node.Options{})
	r.load(0, 5)
	r.stop()
	if _, err := node.Open(t.Context(), r.dir, node.Options{Passphrase: passphrase}); !errors.Is(err, keys.ErrPassphrase) {
		t.Errorf("a passphrase for keys without one: %v", err)
	}
	for _, open := range []string{"keys", "keys/months", "keys/protection"} {
		t.Run("open "+open, func(t *testing.T) {
			dir := copyDir(t, r.dir)
			if err := os.Chmod(filepath.Join(dir, open), 0o755); err != nil {
				t.Fatal(err)
			}
			_, err := node.Open(t.Context(), dir, node.Options{})
			if !errors.Is(err, keys.ErrPermissions) || !strings.Contains(err.Error(), "chmod") {
				t.Errorf("opened with %v", err)
			}
		})
	}
	// Each file of keys with one bit flipped is named.
	for _, name := range listing(t, r.dir) {
		path := filepath.Join(r.dir, name)
		if info, err := os.Stat(path); err != nil || info.IsDir() || !strings.HasPrefix(name, "keys/") {
			continue
		}
		t.Run("flipped "+name, func(t *testing.T) {
			dir := copyDir(t, r.dir)
			file := filepath.Join(dir, name)
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range []int{0, len(data) / 3, len(data) / 2, len(data) - 2} {
				changed := append([]byte(nil), data...)
				changed[at] ^= 0x04
				if err := os.WriteFile(file, changed, 0o600); err != nil {
					t.Fatal(err)
				}
				n, err := node.Open(context.Background(), dir, node.Options{})
				if err == nil {
					n.Close()
					t.Errorf("with byte %d changed it was opened", at)
					continue
				}
				if strings.Contains(err.Error(), string(nodetest.Person(1))) || !strings.Contains(err.Error(), filepath.Base(name)) && !strings.Contains(err.Error(), "published checkpoint") {
					t.Errorf("with byte %d changed: %v", at, err)
				}
			}
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			n, err := node.Open(context.Background(), dir, node.Options{})
			if err != nil {
				t.Fatalf("mended: %v", err)
			}
			defer n.Close()
			raw := r.world.Submission(t, 1)
			a, replayed, err := n.Submit(t.Context(), raw)
			if err != nil || !replayed {
				t.Fatalf("mended: replayed %v, %v", replayed, err)
			}
			if err := nodetest.SameEntries(r.acks[1], a); err != nil {
				t.Error(err)
			}
		})
	}
}
