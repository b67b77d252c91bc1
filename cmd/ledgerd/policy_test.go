// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/policies"
	"github.com/traccia-ledger/traccia/policies/policytest"
)

// TestPolicyActivate: policies are activated while a ledger is served, shown, served by digest, and decide; fsck replays.
func TestPolicyActivate(t *testing.T) {
	w, dir := newData(t)
	document := policytest.Bundle(t, "1.2.3", `context.purpose == "checks"`)
	file := filepath.Join(t.TempDir(), "bundle.json")
	if err := os.WriteFile(file, document, 0o644); err != nil {
		t.Fatal(err)
	}
	if p := ledgerd(t, "policy", "show", "--data", dir, "--json"); p.code != 0 || p.answer()["active"] != false {
		t.Errorf("before: exit %d, %v", p.code, p.answer())
	}
	p := serve(t, "serve", "--data", dir)
	submit := func(n, people, want int) {
		t.Helper()
		raw := w.Make(t, n, nodetest.Access{Subjects: people})
		response, err := http.Post(p.ready.URL+"/v1/access-receipts", "application/json", bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if body, _ := io.ReadAll(response.Body); response.StatusCode != want {
			t.Errorf("%d people: %s %s", people, response.Status, body)
		}
	}
	submit(1, 2, http.StatusCreated)
	digest := policies.Digest(document)
	activated := ledgerd(t, "policy", "activate", file, "--data", dir, "--json")
	if a := activated.answer(); activated.code != 0 || a["version"] != "1.2.3" || a["sha256"] != hex.EncodeToString(digest[:]) || a["policies"] != 2.0 || a["record_index"] == 0.0 {
		t.Fatalf("activate: exit %d, %v", activated.code, a)
	}
	submit(2, 2, http.StatusForbidden)
	submit(3, 1, http.StatusCreated)
	submit(2, 2, http.StatusForbidden)
	response, err := http.Get(fmt.Sprintf("%s/log/%d/blob/%x", p.ready.URL, time.Now().UTC().Year(), digest))
	if err != nil {
		t.Fatal(err)
	}
	served, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || !bytes.Equal(served, document) {
		t.Errorf("the log serves %d bytes, %v", len(served), err)
	}
	out := filepath.Join(t.TempDir(), "active.json")
	shown := ledgerd(t, "policy", "show", "--data", dir, "--out", out, "--json")
	if a := shown.answer(); shown.code != 0 || a["active"] != true || len(a["policies"].([]any)) != 2 {
		t.Errorf("show: exit %d, %v", shown.code, a)
	}
	if written, err := os.ReadFile(out); err != nil || !bytes.Equal(written, document) {
		t.Errorf("show wrote %d bytes, %v", len(written), err)
	}
	if p := ledgerd(t, "policy", "activate", out+".not", "--data", dir); p.code != 3 {
		t.Errorf("no bundle: exit %d", p.code)
	}
	p.stop()
	checked := ledgerd(t, "fsck", "--data", dir, "--json")
	if a := checked.answer(); checked.code != 0 || a["decisions_replayed"] != 3.0 || a["decisions_not_replayed"] != 0.0 {
		t.Errorf("fsck: exit %d, %v", checked.code, a)
	}
}

// sourceCopy is a copy of the default bundle's directory with its vocabulary, in which some text is replaced.
func sourceCopy(t *testing.T, edits ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, part := range []string{"default", "vocabulary"} {
		if err := os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join("..", "..", "policies", part))); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "default", "*.cedar"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.NewReplacer(edits...).Replace(string(text))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "default")
}

func TestPolicyTest(t *testing.T) {
	if p := ledgerd(t, "policy", "test", sourceCopy(t), "--json"); p.code != 0 || p.answer()["result"] != "proven" || p.answer()["scenarios"].(float64) < 1 {
		t.Errorf("the default bundle: exit %d, %s", p.code, p.stdout.String())
	}
	wrong := ledgerd(t, "policy", "test", sourceCopy(t, "permit (", "forbid ("), "--json")
	if a := wrong.answer(); wrong.code != 1 || a["result"] != "not_proven" || len(a["failed"].([]any)) == 0 {
		t.Errorf("a bundle that forbids all: exit %d", wrong.code)
	}
	if p := ledgerd(t, "policy", "test", sourceCopy(t, "permit (", "allow ("), "--json"); p.code != 1 || !strings.Contains(p.stdout.String(), "policies in Cedar") {
		t.Errorf("no Cedar: exit %d, %s", p.code, p.stdout.String())
	}
	if p := ledgerd(t, "policy", "test", t.TempDir()); p.code != 3 {
		t.Errorf("no bundle: exit %d", p.code)
	}
}

func TestPolicyDiff(t *testing.T) {
	standard, less, more := sourceCopy(t), sourceCopy(t, "<= 100", "<= 50"), sourceCopy(t, "context.subjects <= 100", "context.subjects <= 120")
	except := filepath.Join(t.TempDir(), "except.cedar")
	rule := `permit (principal, action, resource) when { context.subjects > 100 && context.subjects <= 120 };`
	if err := os.WriteFile(except, []byte(rule), 0o644); err != nil {
		t.Fatal(err)
	}
	narrow := except + ".narrow"
	if err := os.WriteFile(narrow, []byte(strings.Replace(rule, "120", "110", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for _, test := range []struct {
		name                      string
		args                      []string
		code                      int
		allowed, excepted, denied bool
	}{
		{"itself", []string{standard, standard}, 0, false, false, false},
		{"less", []string{standard, less}, 0, false, false, true},
		{"more", []string{standard, more}, 1, true, false, false},
		{"more, as is meant", []string{standard, more, "--allow-new"}, 0, true, false, false},
		{"more, where that may be", []string{standard, more, "--except", except}, 0, false, true, false},
		{"more than may be", []string{standard, more, "--except", narrow}, 1, true, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := ledgerd(t, append([]string{"policy", "diff", "--json"}, test.args...)...)
			a := p.answer()
			has := func(name string) bool { return len(a[name].([]any)) > 0 }
			if p.code != test.code || has("becomes_allowed") != test.allowed || has("becomes_allowed_excepted") != test.excepted || has("becomes_denied") != test.denied {
				t.Errorf("exit %d, %.600s", p.code, p.stdout.String())
			}
		})
	}
	t.Logf("6 comparisons in %v", time.Since(began))
	if p := ledgerd(t, "policy", "diff", standard, less); p.code != 0 || !strings.Contains(p.stdout.String(), "becomes denied") || !strings.Contains(p.stdout.String(), "domain:") {
		t.Errorf("exit %d, %s", p.code, p.stdout.String())
	}
	if p := ledgerd(t, "policy", "diff", standard); p.code != 2 {
		t.Errorf("one bundle: exit %d", p.code)
	}
}
