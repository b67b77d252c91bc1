// SPDX-License-Identifier: EUPL-1.2

package monitor

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/witness"
	"github.com/traccia-ledger/traccia/verifier"
)

// openLog reads a year's log of a node that may not be open yet.
type openLog struct {
	node  *atomic.Pointer[node.Node]
	epoch uint32
}

func (l openLog) Fetch(ctx context.Context, path string) ([]byte, error) {
	n := l.node.Load()
	if n == nil {
		return nil, errors.New("the ledger isn't open")
	}
	return nodeLog{&n, l.epoch}.Fetch(ctx, path)
}

// timed cosigns as a witness does, by the clock of a test.
type timed struct {
	name string
	hash uint32
	key  ed25519.PrivateKey
	now  func() time.Time
}

func newTimed(name string, now func() time.Time) (c *timed, vkey string) {
	seed := sha256.Sum256([]byte(name))
	c = &timed{name: name, key: ed25519.NewKeyFromSeed(seed[:]), now: now}
	public := append([]byte{4}, c.key.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(name+"\n"), public...))
	c.hash = binary.BigEndian.Uint32(sum[:])
	return c, fmt.Sprintf("%s+%08x+%s", name, c.hash, base64.StdEncoding.EncodeToString(public))
}

func (c *timed) Name() string    { return c.name }
func (c *timed) KeyHash() uint32 { return c.hash }
func (c *timed) Sign(msg []byte) ([]byte, error) {
	at := c.now().Unix()
	text := fmt.Sprintf("cosignature/v1\ntime %d\n%s", at, msg)
	return append(binary.BigEndian.AppendUint64(nil, uint64(at)), ed25519.Sign(c.key, []byte(text))...), nil
}

// TestCompleteOverNewYear: a ledger turns the year under the eyes of a witness and a monitor, which go on by themselves; a
// citizen's history of both years is COMPLETE, by a policy that names the old year's key alone.
func TestCompleteOverNewYear(t *testing.T) {
	const year = 2038
	ahead := time.Until(time.Date(year+1, 1, 1, 0, 0, 0, 0, time.UTC).Add(-4 * time.Second))
	now := func() time.Time { return time.Now().Add(ahead) }
	dir := filepath.Join(t.TempDir(), "ledger")
	world := nodetest.NewWorld(t, now())
	world.Create(t, dir, node.Options{Now: now})
	vkey, err := os.ReadFile(filepath.Join(dir, "log.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := checkpoint.ParseKey(strings.TrimSpace(string(vkey)))
	if err != nil {
		t.Fatal(err)
	}

	var running atomic.Pointer[node.Node]
	first, alfa := newTimed("alfa.example", now)
	w := witness.New(t.TempDir(), first)
	second, mona := newTimed("mona.example", now)
	m, err := Open(Config{
		Dir: filepath.Join(t.TempDir(), "monitor"), Origin: key.Name(), Logs: []note.Verifier{key}, Signer: second, Now: now,
		Log: func(epoch uint32) checkpoint.Fetcher { return openLog{&running, epoch} }, Follows: w.Know,
		Found: func(origin string, f verifier.Finding) {
			if f.Level != verifier.LevelNotice {
				t.Errorf("%s: %+v", origin, f)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	servers := []*httptest.Server{httptest.NewServer(w), httptest.NewServer(m.Witness())}
	for _, s := range servers {
		defer s.Close()
	}
	policy := &checkpoint.Policy{
		Logs:      []checkpoint.Log{{VKey: strings.TrimSpace(string(vkey))}},
		Witnesses: []checkpoint.Witness{{Name: "alfa", VKey: alfa, URL: servers[0].URL}}, K: 1,
		Monitors: []checkpoint.Witness{{Name: "mona", VKey: mona, URL: servers[1].URL}},
	}
	text, err := checkpoint.FormatPolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	settings, err := node.ReadSettings(dir)
	if err != nil {
		t.Fatal(err)
	}
	settings.WitnessPolicy = "policy.txt"
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "policy.txt"), text, 0o644), os.Remove(filepath.Join(dir, "config.json")), node.WriteSettings(dir, settings)); err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(t.Context(), dir, node.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	running.Store(n)
	world.Register(t, n)
	next := 0
	submit := func() {
		t.Helper()
		for range 5 {
			if _, _, err := n.Submit(t.Context(), nodetest.NewWorld(t, now()).Make(t, next, nodetest.Access{Subjects: 1, First: 3})); err != nil {
				t.Fatal(err)
			}
			next++
		}
	}
	submit()
	for end := time.Now().Add(2 * time.Minute); n.Epoch() == year && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	submit()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) { // until the new year's log is public
		err := m.Look(t.Context())
		if err == nil && m.Report().Origin == ledger.Origin(nodetest.Name, year+1) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the monitor still follows %s: %v", m.Report().Origin, err)
		}
	}
	bundle, err := n.History(t.Context(), nodetest.Person(3))
	if err != nil {
		t.Fatal(err)
	}
	file, err := history.Format(bundle)
	if err != nil {
		t.Fatal(err)
	}
	r := verifier.History(file, policy, now(), verifier.Rules{})
	if !r.Complete || len(r.Shards) != 2 || r.Shards[1].KeyFrom != key.Name() || len(r.Events) != 10 {
		t.Errorf("complete %v, %d events, logs %+v, problems %v", r.Complete, len(r.Events), r.Shards, r.Problems)
	}
	if got := m.Report(); got.Origin != ledger.Origin(nodetest.Name, year+1) || m.Before() == nil || m.Before().Alarm != "none" {
		t.Errorf("the monitor: %+v, before %+v", got, m.Before())
	}
}
