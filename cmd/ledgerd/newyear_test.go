// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/verifier"
)

// TestCommandsOverNewYear runs the commands over a ledger that was off since
// the year before last.
func TestCommandsOverNewYear(t *testing.T) {
	last := ledger.EpochOf(time.Now())
	first := last - 2
	ahead := time.Until(time.Date(int(first), time.November, 22, 12, 0, 0, 0, time.UTC))
	now := func() time.Time { return time.Now().Add(ahead) }
	dir := filepath.Join(t.TempDir(), "ledger")
	w := nodetest.NewWorld(t, now())
	w.Create(t, dir, node.Options{Now: now})
	n, err := node.Open(t.Context(), dir, node.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	w.Register(t, n)
	for i := range 20 {
		if _, _, err := n.Submit(context.Background(), w.Make(t, i, nodetest.Access{Subjects: 1, First: i % 2})); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}

	p := serve(t, "serve", "--data", dir)
	response, err := http.Get(p.ready.URL + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var status struct {
		Origin string
		Logs   []struct {
			Origin string
			Size   uint64 `json:"published_size"`
			Final  bool
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&status); err != nil {
		t.Fatal(err)
	}
	for i, l := range status.Logs {
		origin := ledger.Origin(nodetest.Name, first+uint32(i))
		if l.Origin != origin || l.Size == 0 || l.Final != (i < 2) {
			t.Errorf("the status of %s: %+v", origin, l)
		}
	}
	if len(status.Logs) != 3 || status.Origin != ledger.Origin(nodetest.Name, last) {
		t.Errorf("%+v", status)
	}
	subject, file := filepath.Join(t.TempDir(), "subject"), filepath.Join(t.TempDir(), "history")
	if err := os.WriteFile(subject, []byte(nodetest.Person(1)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The look-up of now and ten accesses of then.
	if a := done(t, "history", "--data", dir, "--subject-file", subject, "--out", file); a["years"] != 3.0 || a["events"] != 11.0 || a["years_gone"] != nil {
		t.Errorf("a history: %v", a)
	}
	excerpt := filepath.Join(t.TempDir(), "excerpt")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := history.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	chosen := fmt.Sprintf("%d/%d", first, bundle.Shards[0].Events[0].Index)
	if a := done(t, "history", "--data", dir, "--subject-file", subject, "--out", excerpt, "--excerpt", chosen); a["years"] != 1.0 || a["events"] != 1.0 {
		t.Errorf("an excerpt of %s: %v", chosen, a)
	}
	p.stop() // what it still records isn't behind the backup
	backup, export := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "export")
	if a := done(t, "backup", "--data", dir, "--out", backup); len(a["logs"].([]any)) != 3 {
		t.Errorf("a backup: %v", a)
	}
	if a := done(t, "fsck", "--data", dir); a["bodies_checked"] != 21.0 {
		t.Errorf("fsck: %v", a)
	}
	if a := done(t, "reindex", "--data", dir); len(a["logs"].([]any)) != 3 {
		t.Errorf("reindex: %v", a)
	}
	done(t, "export", "--data", dir, "--out", export, "--bodies")
	vkeys, err := os.ReadFile(filepath.Join(dir, "log.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := checkpoint.ParseKeys(vkeys)
	if err != nil || len(keys) != 3 {
		t.Fatalf("log.vkey: %v\n%s", err, vkeys)
	}
	if r, err := verifier.Export(t.Context(), os.DirFS(export), keys, verifier.Rules{}, nil); err != nil || len(r.Problems) > 0 || len(r.Manifest.Logs) != 3 {
		t.Errorf("the export: %v, %+v", err, r)
	}
	if err := os.RemoveAll(filepath.Join(dir, "store")); err != nil {
		t.Fatal(err)
	}
	done(t, "restore", "--from", backup, "--data", dir)
	if a := done(t, "fsck", "--data", dir); a["bodies_checked"] != 21.0 {
		t.Errorf("fsck after a restore: %v", a)
	}
	a := done(t, "retention", "--data", dir)
	if kept := a["kept"].([]any); len(kept) != 2 || kept[0].(map[string]any)["month"] != fmt.Sprintf("%d-11", first) {
		t.Errorf("retention: %v", a)
	}
}
