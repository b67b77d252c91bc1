// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/cmd/internal/authoritykey"
	"github.com/traccia-ledger/traccia/ledger/export"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
)

// TestAuditAll: the authority makes its key, the operator sets it and hands over, and the authority audits all bodies with
// that alone; what was changed on the way is found, and whoever has another key opens nothing.
func TestAuditAll(t *testing.T) {
	dir := t.TempDir()
	l, err := newHubLedger(dir)
	if err != nil {
		t.Fatal(err)
	}
	data, folder := filepath.Join(dir, "ledger"), filepath.Join(dir, "sealed")
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := l.submit(12, true); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("passphrase"), []byte("una passphrase\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--out", at("garante"), "--passphrase-file", at("passphrase")}, {"--out", at("other")}} {
		if code, _, stderr := runVerifier(append([]string{"authority", "key"}, args...)...); code != 0 {
			t.Fatal(stderr)
		}
	}
	if code, _, _ := runVerifier("authority", "key", "--out", at("garante")); code != 2 {
		t.Errorf("a key file is overwritten: exit %d", code)
	}
	if info, err := os.Stat(at("garante.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the private key: %v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(at("garante.jwk"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := authoritykey.ParsePublic(text)
	if err != nil {
		t.Fatal(err)
	}
	defer l.unwatch()
	l.http.Close()
	if err := l.node.Close(); err != nil {
		t.Fatal(err)
	}
	if err := node.SetAuthority(data, &public); err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(t.Context(), data, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := nodetest.HandOver(t.Context(), data, folder, node.Options{}); err != nil {
		t.Fatal(err)
	}
	audit := func(args ...string) (int, string, string) {
		return runVerifier(append([]string{"audit", "--policy", at("policy.txt")}, args...)...)
	}
	all := []string{"--all", folder, "--authority-key", at("garante.key"), "--authority-passphrase-file", at("passphrase")}
	code, stdout, stderr := audit(append(all, "--json", "--html", at("all.html"), "--csv", at("all.csv"))...)
	var a struct {
		Problems  []struct{ Code string }
		Accesses  uint64
		Bodies    []struct{ Accesses uint64 }
		Lists     []struct{ Events, Open uint64 }
		Authority struct {
			Days uint64 `json:"day_keys"`
			Live uint64 `json:"private_kept_back"`
		}
	}
	if err := json.Unmarshal([]byte(stdout), &a); err != nil {
		t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	var sum uint64
	for _, b := range a.Bodies {
		sum += b.Accesses
	}
	if len(a.Lists) != 1 || a.Lists[0].Open != a.Lists[0].Events || a.Lists[0].Open < 12 || sum != a.Accesses || a.Accesses < 12 || a.Authority.Days != 1 || a.Authority.Live == 0 {
		t.Errorf("%+v, of bodies %d", a, sum)
	}
	if code != 0 || len(a.Problems) > 0 {
		t.Errorf("exit %d with %+v", code, a.Problems)
	}
	again, _, _ := audit(append(all, "--html", at("again.html"))...)
	first, err := os.ReadFile(at("all.html"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(at("again.html"))
	if err != nil {
		t.Fatal(err)
	}
	if again != code || string(first) != string(second) || !strings.Contains(string(first), "tutti gli enti") || anyCode.Match(first) || strings.Contains(string(first), "src=") {
		t.Errorf("the page isn't the same again (exit %d), names %q, or has something to fetch", again, anyCode.Find(first))
	}

	look(t, dir, "all.html")

	code, stdout, _ = audit("--all", folder, "--authority-key", at("other.key"), "--json")
	if code != 1 || !strings.Contains(stdout, `"code":"day_not_opened"`) || !strings.Contains(stdout, `"accesses":0,`) {
		t.Errorf("with another key: exit %d, %s", code, stdout)
	}
	path := filepath.Join(folder, filepath.FromSlash(export.DaysFile))
	days, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	days[len(days)-20] ^= 1
	if err := os.WriteFile(path, days, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ = audit(append(all, "--json")...); code != 1 || !strings.Contains(stdout, `"code":"file_changed"`) {
		t.Errorf("with a changed file: exit %d", code)
	}

	for name, args := range map[string][]string{
		"no key":           {"--all", folder},
		"a body too":       {"--all", folder, "--authority-key", at("other.key"), "--body", "c_a944", "--list", at("x")},
		"no passphrase":    {"--all", folder, "--authority-key", at("garante.key")},
		"neither":          {"--lang", "it"},
		"a public key":     {"--all", folder, "--authority-key", at("garante.jwk")},
		"somebody's log":   {"--all", folder, "--authority-key", at("alfa.key")},
		"a body's purpose": {"--all", folder, "--authority-key", at("other.key"), "--purposes", at("x")},
	} {
		if code, _, stderr := audit(args...); code != 2 {
			t.Errorf("%s: exit %d, %s", name, code, stderr)
		}
	}
	if code, _, _ := audit("--all", at("nowhere"), "--authority-key", at("other.key")); code != 3 {
		t.Errorf("no folder: exit %d", code)
	}
}
