// SPDX-License-Identifier: EUPL-1.2

package browser

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/andybalholm/brotli"
)

const module = "github.com/traccia-ledger/traccia"

// inlined are the packages whose functions are compiled into their callers: what a check spends its time in. Everywhere else
// that would make a fifth of what browsers load.
var inlined = []string{
	"crypto/internal/fips140/sha256", "crypto/internal/fips140/sha512",
	"crypto/internal/fips140deps/byteorder", "filippo.io/edwards25519/field", "math/bits", "internal/byteorder",
}

// Build is what to build a site from.
type Build struct {
	Source string // directory of this module's source
	Out    string // what is there is replaced
	// Fast compresses less. What is built is the same.
	Fast bool
}

// ErrNoSource says that there is no source to build from, or no Go to build with.
var ErrNoSource = errors.New("no source of this program here, or no Go to build it with")

// Run builds the site with the go command in PATH. The same source and toolchain give the same SHA256SUMS.
func (b Build) Run(ctx context.Context) error {
	text, err := os.ReadFile(filepath.Join(b.Source, "go.mod"))
	if err != nil || !strings.HasPrefix(string(text), "module "+module+"\n") {
		return ErrNoSource
	}
	root, version, err := b.toolchain(ctx)
	if err != nil {
		return err
	}
	// It appears whole or not at all.
	parts := b.Out + ".new"
	if err := os.RemoveAll(parts); err != nil {
		return err
	}
	if err := os.MkdirAll(parts, 0o755); err != nil {
		return fmt.Errorf("couldn't build the browser's verifier: %w", err)
	}
	defer os.RemoveAll(parts)
	wasm, err := b.compile(ctx, parts)
	if err != nil {
		return err
	}
	glue, err := os.ReadFile(filepath.Join(root, "lib", "wasm", "wasm_exec.js"))
	if err != nil {
		return fmt.Errorf("couldn't read the toolchain's own part: %w", err)
	}
	files, err := assemble(wasm, glue, version)
	if err != nil {
		return err
	}
	if err := b.write(parts, files); err != nil {
		return fmt.Errorf("couldn't write the browser's verifier: %w", err)
	}
	if err := os.RemoveAll(b.Out); err != nil {
		return fmt.Errorf("couldn't replace the browser's verifier: %w", err)
	}
	if err := os.Rename(parts, b.Out); err != nil {
		return fmt.Errorf("couldn't put the browser's verifier in place: %w", err)
	}
	return nil
}

// toolchain asks which go builds, and sees to it that its directory is of that version: the program and wasm_exec.js have
// to be of one.
func (b Build) toolchain(ctx context.Context) (root, version string, err error) {
	out, err := b.command(ctx, "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrNoSource, err)
	}
	root, version, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
	text, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if first, _, _ := strings.Cut(string(text), "\n"); err != nil || strings.TrimSpace(first) != version {
		return "", "", fmt.Errorf("the toolchain in %s is %q, and builds as %s: expected the same", root, first, version)
	}
	return root, version, nil
}

// command is the go command without what the caller's environment would change of the result.
func (b Build) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "go", args...)
	c.Dir = b.Source
	for _, v := range os.Environ() {
		switch name, _, _ := strings.Cut(v, "="); name {
		case "GOFLAGS", "GOWORK", "GOEXPERIMENT", "GOWASM", "GOOS", "GOARCH", "CGO_ENABLED", "GODEBUG", "GOFIPS140":
		default:
			c.Env = append(c.Env, v)
		}
	}
	c.Env = append(c.Env, "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOFIPS140=off", "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	return c
}

func (b Build) compile(ctx context.Context, dir string) ([]byte, error) {
	out, err := filepath.Abs(filepath.Join(dir, wasmFile))
	if err != nil {
		return nil, err
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags=-s -w -buildid=", "-gcflags=all=-l"}
	for _, p := range inlined {
		args = append(args, "-gcflags="+p+"=")
	}
	if text, err := b.command(ctx, append(args, "-o", out, "./cmd/verifier/browser")...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("couldn't build the browser's verifier: %w\n%s", err, text)
	}
	return os.ReadFile(out)
}

// assemble makes the files of a site.
func assemble(wasm, glue []byte, toolchain string) (map[string][]byte, error) {
	made := Made{Schema: "traccia/verifier-build/1", Module: module, Toolchain: toolchain}
	text, err := json.Marshal(made)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{wasmFile: wasm, buildFile: append(text, '\n')}
	for _, name := range []string{"verify.js", "verify.css", "page.css"} {
		if files[name], err = siteFiles.ReadFile("site/" + name); err != nil {
			return nil, err
		}
	}
	own, err := siteFiles.ReadFile("site/" + workerFile)
	if err != nil {
		return nil, err
	}
	files[workerFile] = slices.Concat(glue, []byte("\n"), own)
	s := &Site{Made: made, WASM: sha256.Sum256(wasm)}
	for _, lang := range Languages {
		if files[pageFiles[lang]], err = s.page(lang); err != nil {
			return nil, err
		}
	}
	var sums bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(files[name]), name)
	}
	files[sumsFile] = sums.Bytes()
	return files, nil
}

// write writes the files, and compressed copies of the program.
func (b Build) write(dir string, files map[string][]byte) error {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	z.Write(files[wasmFile])
	z.Close()
	all := maps.Clone(files)
	all[wasmFile+".gz"] = bytes.Clone(packed.Bytes())
	packed.Reset()
	options := brotli.WriterOptions{Quality: 11, LGWin: 24}
	if b.Fast {
		options.Quality = 5
	}
	br := brotli.NewWriterOptions(&packed, options)
	br.Write(files[wasmFile])
	br.Close()
	all[wasmFile+".br"] = packed.Bytes()
	for name, data := range all {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
