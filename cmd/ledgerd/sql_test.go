// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
)

// TestDatabase lives through the life of a ledger in a database with the
// commands that an operator has: made, served, killed and served again at once,
// copied, checked, moved into a directory and back.
func TestDatabase(t *testing.T) {
	pgtest.Engines(t, func(t *testing.T, server *pgtest.Server) {
		text := server.Database(t)
		w := nodetest.NewWorld(t, time.Now())
		w.Store = text
		dir := filepath.Join(t.TempDir(), "data")
		w.Create(t, dir, node.Options{})
		n, err := node.Open(t.Context(), dir, node.Options{})
		if err != nil {
			t.Fatal(err)
		}
		w.Register(t, n)
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		sent := 0
		send := func(url string, more int) {
			t.Helper()
			for end := sent + more; sent < end; sent++ {
				if status, _, err := post(url, w.Submission(t, sent)); err != nil || status != http.StatusCreated {
					t.Fatalf("submission %d: %d, %v", sent, status, err)
				}
			}
		}
		p := serve(t, "serve", "--data", dir, "--store", text)
		send(p.ready.URL, 10)
		if second := ledgerd(t, "serve", "--data", dir, "--listen", "127.0.0.1:0"); second.code != 3 || !strings.Contains(second.stderr.String(), "in use by another process") {
			t.Errorf("a second process: %d, %s", second.code, second.stderr.String())
		}
		done(t, "body", "add", "--data", dir, "--id", "new_body", "--name", "Ente nuovo") // through the process that serves
		backup := filepath.Join(t.TempDir(), "backup")
		done(t, "backup", "--data", dir, "--out", backup)
		p.signal(syscall.SIGKILL)
		p.finish()

		p = serve(t, "serve", "--data", dir) // as the configuration says
		if status, _, err := post(p.ready.URL, w.Submission(t, 3)); err != nil || status != http.StatusOK {
			t.Errorf("a submission sent again: %d, %v", status, err)
		}
		send(p.ready.URL, 10)
		p.stop()
		if a := done(t, "fsck", "--data", dir); a["result"] != "proven" {
			t.Errorf("fsck: %v", a)
		}
		before := done(t, "reindex", "--data", dir)["logs"]

		rows := filepath.Join(t.TempDir(), "rows")
		last := server.Database(t)
		for _, to := range []string{rows, last} {
			a := done(t, "migrate", "--data", dir, "--to", to)
			if a["rows"].(float64) < 50 || len(a["sha256"].(string)) != 64 || a["to"] == a["from"] {
				t.Errorf("migrate: %v", a)
			}
			if a := done(t, "fsck", "--data", dir); a["result"] != "proven" {
				t.Errorf("fsck in %s: %v", a, to)
			}
			after, _ := json.Marshal(done(t, "reindex", "--data", dir)["logs"])
			if want, _ := json.Marshal(before); string(after) != string(want) {
				t.Errorf("in %s the logs are %s, were %s", to, after, want)
			}
		}
		if file, err := os.ReadFile(filepath.Join(dir, "config.json")); err != nil || !strings.Contains(string(file), `"store": "postgres://`) {
			t.Errorf("the configuration is %s, %v", file, err)
		}
		p = serve(t, "serve", "--data", dir)
		send(p.ready.URL, 5)
		done(t, "export", "--data", dir, "--out", filepath.Join(t.TempDir(), "export"))
		// Replaced with nothing to do, it doesn't go on as if it could.
		conn, err := pgx.Connect(t.Context(), last)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if _, err := conn.Exec(t.Context(), `UPDATE store_use SET holder = 'another'`); err != nil {
			t.Fatal(err)
		}
		if code := p.finish(); code != 3 || !strings.Contains(p.stderr.String(), "another process took the store over") {
			t.Errorf("replaced, it ended with %d:\n%s", code, p.stderr.String())
		}
	})
}

// TestDatabaseURLs: a password in a URL is refused and not repeated.
func TestDatabaseURLs(t *testing.T) {
	_, dir := newData(t)
	const url = "postgres://traccia:hunter2@127.0.0.1/ledger"
	for _, args := range [][]string{
		{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--store", url},
		{"init", "--data", filepath.Join(t.TempDir(), "x"), "--store", url},
		{"fsck", "--data", dir, "--store", url},
		{"migrate", "--data", dir, "--to", url},
	} {
		refused := ledgerd(t, args...)
		said := refused.stderr.String() + refused.stdout.String()
		if refused.code != 2 || strings.Contains(said, "hunter2") || !strings.Contains(said, "PGPASSFILE") {
			t.Errorf("%s: exit %d: %s", args[0], refused.code, said)
		}
	}
	if nobody := ledgerd(t, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--store", "postgres://traccia@127.0.0.1:1/ledger"); nobody.code != 3 ||
		!strings.Contains(nobody.stderr.String(), "connection refused") {
		t.Errorf("a database that isn't there: exit %d: %s", nobody.code, nobody.stderr.String())
	}
}
