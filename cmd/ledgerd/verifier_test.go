// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVerifierCommands: what isn't a source isn't built, and what wasn't built isn't recorded or served.
func TestVerifierCommands(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	if p := ledgerd(t, "verifier", "build", "--source", dir, "--out", out); p.code != 3 || !strings.Contains(p.stderr.String(), "hint: ") {
		t.Errorf("no source: exit %d, %s", p.code, p.stderr.String())
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("there is something all the same")
	}
	if p := ledgerd(t, "verifier", "build", "--out", dir); p.code != 2 {
		t.Errorf("a directory that is there: exit %d", p.code)
	}
	if p := ledgerd(t, "verifier", "publish", dir, "--version", "v1", "--data", dir); p.code != 3 {
		t.Errorf("no site: exit %d, %s", p.code, p.stderr.String())
	}
	if err := os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte("x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if p := ledgerd(t, "serve", "--browser-verifier", dir, "--data", dir); p.code != 3 || !strings.Contains(p.stderr.String(), "SHA256SUMS") {
		t.Errorf("served: exit %d, %s", p.code, p.stderr.String())
	}
}
