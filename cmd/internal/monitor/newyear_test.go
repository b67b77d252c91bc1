// SPDX-License-Identifier: EUPL-1.2

package monitor_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/cmd/internal/monitor"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/witness"
	"github.com/traccia-ledger/traccia/verifier"
)

// clock is ahead of the machine's.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// set lets it show an instant now.
func (c *clock) set(at time.Time) { c.ahead.Store(int64(time.Until(at))) }

// cosigner signs as a witness does, by its clock.
type cosigner struct {
	name, vkey string
	hash       uint32
	key        ed25519.PrivateKey
	clock      *clock
}

func newCosigner(name string, c *clock) *cosigner {
	seed := sha256.Sum256([]byte(name))
	s := &cosigner{name: name, key: ed25519.NewKeyFromSeed(seed[:]), clock: c}
	public := append([]byte{4}, s.key.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(name+"\n"), public...))
	s.hash = binary.BigEndian.Uint32(sum[:])
	s.vkey = fmt.Sprintf("%s+%08x+%s", name, s.hash, base64.StdEncoding.EncodeToString(public))
	return s
}

func (s *cosigner) Name() string    { return s.name }
func (s *cosigner) KeyHash() uint32 { return s.hash }
func (s *cosigner) Sign(msg []byte) ([]byte, error) {
	at := s.clock.Now().Unix()
	text := fmt.Sprintf("cosignature/v1\ntime %d\n%s", at, msg)
	return append(binary.BigEndian.AppendUint64(nil, uint64(at)), ed25519.Sign(s.key, []byte(text))...), nil
}

// watched is a running ledger whose year is about to end, with witnesses and a
// monitor over HTTP.
type watched struct {
	*node.Node
	t      *testing.T
	clock  clock
	dir    string
	world  *nodetest.World
	policy *checkpoint.Policy // of a reader who knows the first year alone

	down      atomic.Pointer[string] // the witness that answers nothing
	witnesses map[string]*witness.Witness
	monitor   *monitor.Monitor
	running   atomic.Pointer[node.Node]

	mu    sync.Mutex
	found []string
}

const lastYear = 2030

func newWatched(t *testing.T, left time.Duration) *watched {
	w := &watched{t: t, dir: filepath.Join(t.TempDir(), "ledger"), witnesses: map[string]*witness.Witness{}}
	end := time.Date(lastYear+1, 1, 1, 0, 0, 0, 0, time.UTC)
	w.clock.set(end.Add(-time.Hour))
	w.world = nodetest.NewWorld(t, w.clock.Now())
	w.world.Create(t, w.dir, node.Options{Now: w.clock.Now})
	file, err := os.ReadFile(filepath.Join(w.dir, "log.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	logs, err := checkpoint.ParseKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	w.policy = &checkpoint.Policy{Logs: []checkpoint.Log{{VKey: strings.TrimSpace(string(file))}}, K: 2}
	for _, name := range []string{"alfa", "beta", "gamma"} {
		signer := newCosigner(name+".example", &w.clock)
		w.witnesses[name] = witness.New(t.TempDir(), signer, logs...)
		w.policy.Witnesses = append(w.policy.Witnesses, checkpoint.Witness{Name: name, VKey: signer.vkey, URL: w.serve(name, w.witnesses[name])})
	}
	mona := newCosigner("mona.example", &w.clock)
	w.monitor, err = monitor.Open(monitor.Config{
		Dir: t.TempDir(), Origin: logs[0].Name(), Logs: logs, Signer: mona, Now: w.clock.Now,
		Log: func(epoch uint32) checkpoint.Fetcher { return yearLog{w, epoch} },
		Found: func(origin string, f verifier.Finding) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if f.Level != verifier.LevelNotice {
				w.found = append(w.found, origin+" "+f.Problem.Error())
			}
		},
		Follows: func(log note.Verifier) {
			for _, serve := range w.witnesses {
				serve.Know(log)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.policy.Monitors = []checkpoint.Witness{{Name: "mona", VKey: mona.vkey, URL: w.serve("mona", w.monitor.Witness())}}
	text, err := checkpoint.FormatPolicy(w.policy)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "policy.txt"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	settings := nodetest.Settings()
	settings.WitnessPolicy, settings.PublishInterval = "policy.txt", "100ms"
	if err := os.Remove(filepath.Join(w.dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	if err := node.WriteSettings(w.dir, settings); err != nil {
		t.Fatal(err)
	}
	w.clock.set(end.Add(-left)) // whatever the preparations took
	w.open()
	w.world.Register(t, w.Node)
	follow, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { w.monitor.Follow(follow, 50*time.Millisecond, func(error) {}) })
	t.Cleanup(func() {
		cancel()
		following.Wait()
		w.monitor.Close()
	})
	return w
}

func (w *watched) serve(name string, h http.Handler) string {
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if down := w.down.Load(); down != nil && *down == name {
			http.Error(rw, "down", http.StatusInternalServerError)
			return
		}
		h.ServeHTTP(rw, r)
	}))
	w.t.Cleanup(server.Close)
	return server.URL
}

func (w *watched) open() {
	w.t.Helper()
	n, err := node.Open(context.Background(), w.dir, node.Options{Now: w.clock.Now})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Node = n
	w.running.Store(n)
}

func (w *watched) close() {
	w.t.Helper()
	w.running.Store(nil)
	if err := w.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// yearLog is the public log of a year.
type yearLog struct {
	*watched
	epoch uint32
}

func (l yearLog) Fetch(ctx context.Context, path string) (data []byte, err error) {
	n := l.running.Load()
	if n == nil {
		return nil, errors.New("the ledger isn't open")
	}
	if path == verifier.CheckpointPath {
		var p node.Published
		p, err = n.Published(l.epoch)
		data = p.Checkpoint
	} else if t, wrong := checkpoint.ParsePath(path); wrong != nil {
		return nil, wrong
	} else if t.Level == checkpoint.EntryLevel {
		data, err = n.Entries(ctx, l.epoch, t.Index, t.Width)
	} else {
		data, err = n.Tile(ctx, l.epoch, uint(t.Level), t.Index, t.Width)
	}
	if errors.Is(err, node.ErrNotPublished) {
		err = fs.ErrNotExist
	}
	return data, err
}

// cosignedBy says whether within some time a year's checkpoint has a witness's cosignature.
func (w *watched) cosignedBy(epoch uint32, name string, within time.Duration) bool {
	for end := time.Now().Add(within); time.Now().Before(end); {
		if p, err := w.Published(epoch); err == nil && strings.Contains(string(p.Checkpoint), "\n— "+name+".example ") {
			return true
		}
		time.Sleep(50 * time.Millisecond)
	}
	return false
}

// TestLedgerOverNewYear: under witnesses and a monitor a ledger goes from one
// year to the next, and a reader who knows the old log alone gets a complete
// history over both. A witness that was down at midnight cosigns the old year's
// last checkpoint later, also after a restart.
func TestLedgerOverNewYear(t *testing.T) {
	w := newWatched(t, 5*time.Second)
	gamma := "gamma"
	w.down.Store(&gamma)
	end := time.Now().Add(2 * time.Minute)
	var sent [2]int
	for n := 0; sent[1] < 50 && time.Now().Before(end); n++ {
		if _, _, err := w.Submit(t.Context(), w.world.Make(t, n, nodetest.Access{Subjects: 1, First: n % 3})); err != nil {
			t.Fatalf("submission %d: %v", n, err)
		}
		sent[w.Epoch()-lastYear]++
		time.Sleep(30 * time.Millisecond)
	}
	if sent[0] == 0 || sent[1] == 0 {
		t.Fatalf("%d accesses in the old year, %d in the new", sent[0], sent[1])
	}
	w.complete()
	w.close()
	w.open()
	if !w.cosignedBy(lastYear, "alfa", time.Minute) || !w.cosignedBy(lastYear, "beta", time.Minute) || w.cosignedBy(lastYear, gamma, 2*time.Second) {
		t.Error("cosignatures of the old year after a restart")
	}
	w.down.Store(nil)
	if !w.cosignedBy(lastYear, gamma, time.Minute) {
		t.Error("a witness that was down at midnight never cosigned the old year's last checkpoint")
	}
	w.complete()
	w.close()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.found) > 0 {
		t.Errorf("the monitor found %q", w.found)
	}
	if r := w.monitor.Report(); r.Checkpoint.Origin != ledger.Origin(nodetest.Name, lastYear+1) {
		t.Errorf("the monitor follows %s", r.Checkpoint.Origin)
	}
	file, err := os.ReadFile(filepath.Join(w.dir, "policy.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := checkpoint.ParsePolicy(file); err != nil || len(p.Logs) != 2 {
		t.Errorf("policy.txt: %v\n%s", err, file)
	}
}

// complete asks for histories and verifies them with the keys of the old year.
func (w *watched) complete() {
	w.t.Helper()
	for person := range 3 {
		b, err := w.History(w.t.Context(), nodetest.Person(person))
		if err != nil {
			w.t.Fatal(err)
		}
		file, err := history.Format(b)
		if err != nil {
			w.t.Fatal(err)
		}
		r := verifier.History(file, w.policy, w.clock.Now(), verifier.Rules{})
		if !r.Complete || len(r.Shards) != 2 || !r.Shards[0].Final {
			w.t.Errorf("person %d: complete %v, %+v, %v", person, r.Complete, r.Shards, r.Problems)
		}
		for _, epoch := range []uint32{lastYear, lastYear + 1} {
			if !slices.ContainsFunc(r.Events, func(e verifier.HistoryEvent) bool { return e.Epoch == epoch && e.State == verifier.StateOpen }) {
				w.t.Errorf("person %d: no event of %d", person, epoch)
			}
		}
	}
}
