// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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

// builtVerifier makes what a build leaves, with another program in it, and returns its SHA256SUMS.
func builtVerifier(t *testing.T, dir, program string) (sums string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"verifier.wasm": program, "build.json": `{"schema":"traccia/verifier-build/1","module":"github.com/traccia-ledger/traccia","toolchain":"go1.26.8"}`,
		"worker.js": "1", "verify.js": "2", "verify.css": "3", "page.css": "4", "index.html": "5", "en.html": "6",
	} {
		write(name, text)
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(text)), name)
	}
	write("SHA256SUMS", sums)
	return sums
}

// TestVerifierPublish: a digest is recorded while the ledger is off and while it serves, once; the log then serves what it is
// of, browsers get the program, and the public page names the record.
func TestVerifierPublish(t *testing.T) {
	_, data := newData(t)
	old, dir := filepath.Join(t.TempDir(), "old"), filepath.Join(t.TempDir(), "new")
	builtVerifier(t, old, "program 1")
	sums := builtVerifier(t, dir, "program 2")
	digest := fmt.Sprintf("%x", sha256.Sum256([]byte(sums)))

	if p := ledgerd(t, "verifier", "publish", old, "--version", "v0.9.0", "--data", data, "--json"); p.code != 0 || p.answer()["record_index"].(float64) == 0 {
		t.Fatalf("while it is off: exit %d, %s", p.code, p.stderr.String())
	}
	p := serve(t, "serve", "--data", data, "--browser-verifier", dir)
	get := func(path string) (int, string) { return p.get(t, path) }
	if status, _ := get("/verificatore/verifier.wasm"); status != http.StatusNotFound {
		t.Errorf("before it is recorded: %d", status)
	}
	first := ledgerd(t, "verifier", "publish", dir, "--version", "v1.0.0", "--data", data, "--json").answer()
	if first["sha256"] != digest || first["wasm_sha256"] != fmt.Sprintf("%x", sha256.Sum256([]byte("program 2"))) || first["toolchain"] != "go1.26.8" || first["schema"] != "traccia/ledgerd-verifier-publish/1" {
		t.Errorf("%v", first)
	}
	if again := ledgerd(t, "verifier", "publish", dir, "--version", "v1.0.0", "--data", data, "--json").answer(); again["record_index"] != first["record_index"] {
		t.Errorf("published again: %v, first %v", again["record_index"], first["record_index"])
	}
	if status, body := get("/verificatore/verifier.wasm"); status != http.StatusOK || body != "program 2" {
		t.Errorf("once it is recorded: %d %q", status, body)
	}
	// The log shows it at its next publication.
	var page struct {
		Logs   []struct{ Epoch uint32 }
		Builds []struct{ Version, Toolchain, SHA256, Place string }
	}
	for end := time.Now().Add(time.Minute); len(page.Builds) < 2; time.Sleep(50 * time.Millisecond) {
		if _, body := get("/en/registro?formato=json"); json.Unmarshal([]byte(body), &page) != nil || time.Now().After(end) {
			t.Fatalf("the public page says %.2000s", body)
		}
	}
	epoch := page.Logs[len(page.Logs)-1].Epoch
	if b := page.Builds[0]; b.Version != "v1.0.0" || b.Toolchain != "go1.26.8" || b.SHA256 != digest || b.Place != fmt.Sprintf("%d/%.0f", epoch, first["record_index"]) {
		t.Errorf("the public page says %+v", b)
	}
	if status, body := get(fmt.Sprintf("/log/%d/blob/%s", epoch, digest)); status != http.StatusOK || body != sums {
		t.Errorf("SHA256SUMS from the log: %d %q", status, body)
	}
	// What was changed after it was built isn't recorded.
	if err := os.WriteFile(filepath.Join(dir, "worker.js"), []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	if p := ledgerd(t, "verifier", "publish", dir, "--version", "v1.0.1", "--data", data); p.code != 3 || !strings.Contains(p.stderr.String(), "changed after it was built") {
		t.Errorf("changed: exit %d, %s", p.code, p.stderr.String())
	}
	p.stop()
}
