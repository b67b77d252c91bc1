// SPDX-License-Identifier: EUPL-1.2

package browser_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/traccia-ledger/traccia/cmd/internal/browser"
)

const source = "../../.." // of this module

// built is a site that the tests share; it is built once.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "verifier-site")
	if err != nil {
		return "", err
	}
	scratch = dir
	out := filepath.Join(dir, "site")
	return out, browser.Build{Source: source, Out: out, Fast: true}.Run(context.Background())
})

// scratch is a directory of built's, to be taken away.
var scratch string

func TestMain(m *testing.M) {
	code := m.Run()
	if scratch != "" {
		os.RemoveAll(scratch)
	}
	os.Exit(code)
}

// site builds it, unless tests are to be short.
func site(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED: building the browser's verifier takes a while")
	}
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// copied is the site in a directory of the test's own.
func copied(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "site")
	if err := os.CopyFS(dir, os.DirFS(site(t))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestServe(t *testing.T) {
	s, err := browser.Open(site(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, accept, coding, kind string }{
		{"verifier.wasm", "gzip, deflate, br, zstd", "br", "application/wasm"},
		{"verifier.wasm", "gzip;q=1.0, br;q=0", "gzip", "application/wasm"},
		{"verifier.wasm", "", "", "application/wasm"},
		{"worker.js", "br", "", "text/javascript; charset=utf-8"},
		{"verify.css", "", "", "text/css; charset=utf-8"},
		{"SHA256SUMS", "", "", "text/plain; charset=utf-8"},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept-Encoding", c.accept)
		if !s.Serve(w, r, c.name) {
			t.Fatalf("no %s", c.name)
		}
		if h := w.Result().Header; h.Get("Content-Encoding") != c.coding || h.Get("Content-Type") != c.kind || h.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s for %q: %v", c.name, c.accept, h)
		}
		if csp := w.Result().Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("%s: policy %q", c.name, csp)
		}
		again := httptest.NewRecorder()
		r.Header.Set("If-None-Match", w.Result().Header.Get("ETag"))
		if s.Serve(again, r, c.name); again.Code != http.StatusNotModified {
			t.Errorf("%s again: %d", c.name, again.Code)
		}
	}
	for _, name := range []string{"", "../go.mod", "index.html", "verifier.wasm.br", "other"} {
		if s.Serve(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), name) {
			t.Errorf("%q is served", name)
		}
	}
}

// TestOpenRefuses: a site that isn't what its SHA256SUMS says isn't one.
func TestOpenRefuses(t *testing.T) {
	for name, change := range map[string]func(dir string) error{
		"a program changed": func(dir string) error { return appendTo(filepath.Join(dir, "verifier.wasm"), "x") },
		"a script changed":  func(dir string) error { return appendTo(filepath.Join(dir, "verify.js"), "\n") },
		"another copy": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "verifier.wasm.br"), []byte("x"), 0o644)
		},
		"a file left out": func(dir string) error { return os.Remove(filepath.Join(dir, "worker.js")) },
		"a file not named": func(dir string) error {
			text, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
			_, rest, _ := strings.Cut(string(text), "\n")
			return errors.Join(err, os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(rest), 0o644))
		},
		"a file of others": func(dir string) error {
			return appendTo(filepath.Join(dir, "SHA256SUMS"), strings.Repeat("0", 64)+"  ../x\n")
		},
	} {
		dir := copied(t)
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := browser.Open(dir); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}

func appendTo(name, text string) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// TestWords: both languages have the same keys, and the panel says each.
func TestWords(t *testing.T) {
	read := func(lang string) (words map[string]string) {
		data, err := os.ReadFile("site/words." + lang + ".json")
		if err == nil {
			err = json.Unmarshal(data, &words)
		}
		if err != nil {
			t.Fatal(err)
		}
		return words
	}
	it, en := read("it"), read("en")
	panel, err := os.ReadFile("site/panel.html")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("site/page.html")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("panel.go")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := os.ReadFile("../web/verify.go")
	if err != nil {
		t.Fatal(err)
	}
	used := string(panel) + string(page) + string(text) + string(pages)
	for key := range it {
		if en[key] == "" {
			t.Errorf("no English for %s", key)
		}
		if !strings.HasPrefix(key, "step.") && !strings.Contains(used, `"`+key+`"`) {
			t.Errorf("nothing says %s", key)
		}
	}
	if len(it) != len(en) {
		t.Errorf("%d Italian texts, %d English", len(it), len(en))
	}
}

// rebuildVariable asks for what takes minutes: TestRebuild, and with it the size of what browsers load.
const rebuildVariable = "TRACCIA_REBUILD"

// maxLoaded is the goal for the program as browsers load it: bytes.
const maxLoaded = 1_300_000

// TestRebuild builds the site from a copy of the source elsewhere, with nothing compiled before, and compares.
func TestRebuild(t *testing.T) {
	first := site(t)
	if os.Getenv(rebuildVariable) == "" {
		t.Skipf("SKIPPED: that the build is reproducible is checked where %s=1", rebuildVariable)
	}
	other := filepath.Join(t.TempDir(), "another", "place")
	for _, name := range []string{"go.mod", "go.sum"} {
		copyFile(t, filepath.Join(source, name), filepath.Join(other, name))
	}
	for _, dir := range []string{"cmd/verifier/browser", "consent", "ledger", "verifier"} {
		if err := os.CopyFS(filepath.Join(other, dir), os.DirFS(filepath.Join(source, dir))); err != nil {
			t.Fatal(err)
		}
	}
	modules, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOMODCACHE", strings.TrimSpace(string(modules)))
	t.Setenv("GOCACHE", filepath.Join(t.TempDir(), "cache"))
	out := filepath.Join(t.TempDir(), "site")
	if err := (browser.Build{Source: other, Out: out}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, err := browser.Open(first)
	if err != nil {
		t.Fatal(err)
	}
	b, err := browser.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	if a.Digest != b.Digest {
		t.Errorf("built twice, it differs:\n%s\n%s", a.Sums, b.Sums)
	}
	info, err := os.Stat(filepath.Join(out, "verifier.wasm.br"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > maxLoaded {
		t.Errorf("browsers load %d bytes, expected at most %d", info.Size(), maxLoaded)
	}
	t.Logf("browsers load %d bytes", info.Size())
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
