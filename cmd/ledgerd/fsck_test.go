// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
)

// runCommand runs ledgerd in this process, and gives its exit code and what it printed.
func runCommand(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = cli.Run(t.Context(), newRoot(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// done runs a command that must succeed, with --json, and reads its answer.
func done(t *testing.T, args ...string) map[string]any {
	t.Helper()
	code, out, errs := runCommand(t, append(args, "--json")...)
	if code != cli.ExitDone {
		t.Fatalf("ledgerd %s ended with %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	var answer map[string]any
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		t.Fatalf("ledgerd %s printed no JSON object: %v\n%s", strings.Join(args, " "), err, out)
	}
	return answer
}

// digests of all files of a folder, but for those of the process that holds it.
func digests(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		all[path] = fmt.Sprintf("%x", sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// fillLedger makes a ledger with some events, and returns its root.
func fillLedger(t *testing.T, data string) (root string) {
	t.Helper()
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	w := nodetest.NewWorld(t, time.Now())
	w.Create(t, data, node.Options{})
	n, err := node.Open(t.Context(), data, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.Register(t, n)
	for i := range 30 {
		if _, _, err := n.Submit(t.Context(), w.Submission(t, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", n.Latest().Root.Hash)
}

// A ledger is verified, copied, exported, lost and restored, at rest and served.
func TestOperation(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	data := at("data")
	root := fillLedger(t, data)

	before := digests(t, data)
	checked := done(t, "fsck", "--data", data)
	for name, was := range digests(t, data) {
		if before[name] != was {
			t.Errorf("fsck changed %s", name)
		}
	}
	if checked["schema"] != "traccia/ledgerd-fsck/1" || checked["result"] != "proven" {
		t.Errorf("fsck: %v", checked)
	}
	if checked["root"] != root || checked["events"] == 0.0 || checked["bodies_checked"] != checked["events"] || checked["bodies_erased"] != 0.0 || checked["heads"] == 0.0 {
		t.Errorf("fsck: %v", checked)
	}

	stop := serveIt(t, data)
	if code, _, errs := runCommand(t, "fsck", "--data", data); code != cli.ExitCouldNotCheck || !strings.Contains(errs, "nobody serves") {
		t.Errorf("fsck of a served ledger: %d, %s", code, errs)
	}
	if code, _, errs := runCommand(t, "export", "--data", data, "--out", at("refused"), "--bodies"); code != cli.ExitCouldNotCheck || !strings.Contains(errs, "nobody serves") {
		t.Errorf("export of a served ledger's events: %d, %s", code, errs)
	}
	done(t, "export", "--data", data, "--out", at("public"))
	done(t, "backup", "--data", data, "--out", at("served"))
	if code, _, _ := runCommand(t, "backup", "--data", data, "--out", at("served")); code != cli.ExitCouldNotCheck {
		t.Errorf("a backup over another: %d", code)
	}
	stop()
	done(t, "backup", "--data", data, "--out", at("rest"))
	done(t, "export", "--data", data, "--out", at("bodies"), "--bodies")
	for name, mode := range map[string]fs.FileMode{"bodies": 0o700, "bodies/events/" + epochFile(t, at("bodies/events")): 0o600} {
		if info, err := os.Stat(at(name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, expected mode %o", name, info, err, mode)
		}
	}
	for _, left := range []string{"refused"} {
		if _, err := os.Stat(at(left)); err == nil {
			t.Errorf("%s was made by a refused command", left)
		}
	}

	if err := os.Rename(filepath.Join(data, "store"), at("lost")); err != nil {
		t.Fatal(err)
	}
	done(t, "restore", "--from", at("rest"), "--data", data)
	again := done(t, "fsck", "--data", data)
	if again["events"] != checked["events"] || again["bodies_checked"] != checked["events"] {
		t.Errorf("restored %v, expected %v", again, checked)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range names {
		if strings.HasPrefix(entry.Name(), ".") {
			t.Errorf("%s was left behind", entry.Name())
		}
	}
}

func epochFile(t *testing.T, dir string) string {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 {
		t.Fatalf("%v, %v", names, err)
	}
	return names[0].Name()
}

// serveIt serves a ledger in this process until stop is called.
func serveIt(t *testing.T, data string) (stop func()) {
	t.Helper()
	// The operator's socket has to have a short path.
	t.Chdir(filepath.Dir(data))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	readyFile := filepath.Join(filepath.Dir(data), "ready.json")
	var out, errs bytes.Buffer
	go func() {
		ended <- cli.Run(ctx, newRoot(), []string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--ready-file", readyFile}, &out, &errs)
	}()
	for range 200 {
		if _, err := os.Stat(readyFile); err == nil {
			return func() {
				cancel()
				if code := <-ended; code != cli.ExitDone {
					t.Errorf("serve ended with %d\n%s", code, errs.String())
				}
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	cancel()
	t.Fatalf("not ready; ended with %d\n%s", <-ended, errs.String())
	return nil
}
