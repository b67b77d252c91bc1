// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/provider"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
)

// TestOwnRecordsOverNewYear: answers of a year that began meanwhile are checked
// with the key that the file has by then.
func TestOwnRecordsOverNewYear(t *testing.T) {
	midnight := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	var ahead atomic.Int64
	ahead.Store(int64(time.Until(midnight.Add(-time.Hour))))
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	dir, records := filepath.Join(t.TempDir(), "ledger"), filepath.Join(t.TempDir(), "own.ndjson")
	w := nodetest.NewWorld(t, now())
	w.Create(t, dir, node.Options{Now: now})
	n, err := node.Open(t.Context(), dir, node.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	w.Register(t, n)
	own, err := (&ownFlags{records: records, logKey: filepath.Join(dir, "log.vkey")}).open()
	if err != nil {
		t.Fatal(err)
	}
	defer own.close()
	for i, origin := range []string{"/2030", "/2031"} {
		if i == 1 {
			ahead.Add(int64(time.Hour))
			w = nodetest.NewWorld(t, now())
		}
		raw := w.Make(t, i, nodetest.Access{Provider: nodetest.Hub})
		a, _, err := n.Submit(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(a.Origin, origin) {
			t.Fatalf("recorded in %s", a.Origin)
		}
		for len(own.logs) == i { // until the ledger has written its file
			time.Sleep(10 * time.Millisecond)
			if err := own.readLogs(); err != nil {
				t.Fatal(err)
			}
		}
		own.logs = own.logs[:1]
		answered, err := ledger.FormatAnswer(a)
		if err != nil {
			t.Fatal(err)
		}
		if err := own.keep([]*received{{raw, &answer{Answer: a, raw: answered}}}); err != nil {
			t.Errorf("an answer of %s: %v", a.Origin, err)
		}
	}
	lines := 0
	for _, err := range provider.Lines(records) {
		if err != nil {
			t.Fatal(err)
		}
		lines++
	}
	if lines != 2 {
		t.Errorf("%d records, want 2", lines)
	}
}
