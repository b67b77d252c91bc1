// SPDX-License-Identifier: EUPL-1.2

package monitor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
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

// nodeLog reads a year's log of a node, as the public does.
type nodeLog struct {
	node  **node.Node
	epoch uint32
}

func (l nodeLog) Fetch(ctx context.Context, path string) ([]byte, error) {
	n := *l.node
	data, err := func() ([]byte, error) {
		if path == verifier.CheckpointPath {
			p, err := n.Published(l.epoch)
			return p.Checkpoint, err
		}
		t, err := checkpoint.ParsePath(path)
		if err != nil {
			return nil, err
		}
		if t.Level == checkpoint.EntryLevel {
			return n.Entries(ctx, l.epoch, t.Index, t.Width)
		}
		return n.Tile(ctx, l.epoch, uint(t.Level), t.Index, t.Width)
	}()
	if errors.Is(err, node.ErrNotPublished) {
		return nil, fs.ErrNotExist
	}
	return data, err
}

// TestNodeOverYears: a real ledger over months and years, at whose doings a monitor finds nothing but the jumps of the test's
// clock; and whose totals everybody finds right, by the first year's key alone.
func TestNodeOverYears(t *testing.T) {
	const year = 2035
	began := time.Now()
	var ahead atomic.Int64
	set := func(to time.Time) { ahead.Store(int64(to.Sub(began))) }
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	at := func(years int, month time.Month, day, hour int) time.Time {
		return time.Date(year+years, month, day, hour, 0, 0, 0, time.UTC)
	}
	set(at(0, time.October, 30, 12))
	dir := filepath.Join(t.TempDir(), "ledger")
	world := nodetest.NewWorld(t, now())
	world.Create(t, dir, node.Options{Now: now})
	var n *node.Node
	start := func() {
		t.Helper()
		var err error
		if n, err = node.Open(t.Context(), dir, node.Options{Now: now}); err != nil {
			t.Fatal(err)
		}
	}
	stop := func() {
		t.Helper()
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	start()
	world.Register(t, n)
	if _, err := n.RevokeKey(t.Context(), nodetest.Hub, nodetest.Key(nodetest.Hub, 0).Kid, "rotation"); err != nil {
		t.Fatal(err)
	}
	if _, err := n.AddKey(t.Context(), nodetest.Hub, nodetest.Key(nodetest.Hub, 1), ""); err != nil {
		t.Fatal(err)
	}
	next := 0
	submit := func(times int) {
		t.Helper()
		world = nodetest.NewWorld(t, now())
		for range times {
			if _, _, err := n.Submit(t.Context(), world.Make(t, next, nodetest.Access{Generation: 1, Provider: "prov_a"})); err != nil {
				t.Fatal(err)
			}
			next++
		}
	}
	submit(20)

	first := ledger.Origin(nodetest.Name, year)
	vkey := n.VKey()
	key, err := checkpoint.ParseKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	config := Config{
		Dir: filepath.Join(t.TempDir(), "monitor"), Origin: first, Logs: []note.Verifier{key}, Now: now,
		Log: func(epoch uint32) checkpoint.Fetcher { return nodeLog{&n, epoch} },
		Found: func(origin string, f verifier.Finding) {
			jumps := []string{verifier.CodeHeadGap, verifier.CodeHeadLate, verifier.CodeNotFinal}
			if f.Level != verifier.LevelNotice && !slices.Contains(jumps, f.Code) {
				found = append(found, fmt.Sprintf("%s %s at %s: expected %s, found %s", origin, f.Code, f.Where, f.Expected, f.Found))
			}
		},
	}
	look := func() verifier.MonitorReport {
		t.Helper()
		m, err := Open(config)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		return m.Report()
	}
	stop()
	for _, to := range []time.Time{at(0, time.November, 20, 8), at(0, time.December, 4, 0), at(1, time.January, 1, 0), at(1, time.February, 10, 3), at(3, time.March, 5, 0)} {
		set(to)
		start()
		submit(7)
		for end := time.Now().Add(2 * time.Minute); n.Epoch() != uint32(to.Year()) && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(200 * time.Millisecond) // for the records of months that are over
		submit(1)
		stop()
		start() // which shows all of it
		if r := look(); r.Origin != ledger.Origin(nodetest.Name, uint32(to.Year())) || r.Events < 8 || r.Broken {
			t.Errorf("at %s: %+v", to, r)
		}
		stop()
	}
	start()
	defer stop()
	if len(found) > 0 {
		t.Errorf("found %q", found)
	}
	r, err := verifier.Statistics(t.Context(), verifier.StatisticsConfig{
		Origin: first, Logs: config.Logs, Year: func(epoch uint32) checkpoint.Fetcher { return nodeLog{&n, epoch} },
	})
	if err != nil || len(r.Problems) != 0 || len(r.Logs) != 4 {
		t.Fatalf("%+v, %v", r, err)
	}
	// A citizen whose policy names the first year's key alone, and a witness that nobody asked.
	bundle, err := n.History(t.Context(), nodetest.Person(1))
	if err != nil {
		t.Fatal(err)
	}
	file, err := history.Format(bundle)
	if err != nil {
		t.Fatal(err)
	}
	_, stranger, err := witness.NewKey("witness.example")
	if err != nil {
		t.Fatal(err)
	}
	policy := &checkpoint.Policy{Logs: []checkpoint.Log{{VKey: vkey}}, Witnesses: []checkpoint.Witness{{Name: "alfa", VKey: stranger}}, K: 1}
	report := verifier.History(file, policy, now(), verifier.Rules{})
	for _, p := range report.Problems {
		if p.Code != verifier.CodeTooFewWitnesses && p.Code != verifier.CodeNoMonitor { // nobody cosigns it
			t.Errorf("a history of four years: %s", verifier.Plain(p))
		}
	}
	if logs := report.Shards; len(logs) != 4 || logs[0].KeyFrom != "" || logs[3].KeyFrom != logs[2].Origin || len(report.Problems) != 2*len(logs) {
		t.Errorf("a history of %+v, problems %v", logs, report.Problems)
	}

	var months []string
	for _, m := range r.Months {
		months = append(months, fmt.Sprintf("%s %d", m.Month, m.Events))
	}
	// Each seventh submission is about four people.
	want := []string{"2035-10 26", "2035-11 14", "2035-12 11", "2036-01 11", "2036-02 11"}
	for month := time.March; month <= time.December; month++ {
		want = append(want, fmt.Sprintf("2036-%02d 0", month))
	}
	if !slices.Equal(months, want) {
		t.Errorf("months %q, want %q", months, want)
	}
}
