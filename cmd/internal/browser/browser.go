// SPDX-License-Identifier: EUPL-1.2

// Package browser is the verifier as citizens' browsers run it (docs/verify.md): it builds the site that does, reads one that
// was built, and serves it. The site is made of files alone, so that anyone can publish it anywhere.
//
// A site's file SHA256SUMS names each of its files but the compressed copies, as sha256sum does, and the digest of
// SHA256SUMS is what a ledger records of it (registry.Build). What must always hold: a Site that Open returns has exactly the
// files that its SHA256SUMS names, and its compressed copies unpack to them; the same source and toolchain build the same.
package browser

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/andybalholm/brotli"

	"github.com/traccia-ledger/traccia/ledger"
)

// Names of files in a site.
const (
	sumsFile   = "SHA256SUMS"
	buildFile  = "build.json"
	wasmFile   = "verifier.wasm"
	workerFile = "worker.js"
)

// kinds are the files of a site, and what browsers are told that they are.
var kinds = map[string]string{
	wasmFile: "application/wasm", workerFile: "text/javascript; charset=utf-8", "verify.js": "text/javascript; charset=utf-8",
	"verify.css": "text/css; charset=utf-8", "page.css": "text/css; charset=utf-8", buildFile: "application/json",
	"index.html": "text/html; charset=utf-8", "en.html": "text/html; charset=utf-8",
}

// maxSiteFile bounds a file of a site, in bytes.
const maxSiteFile = 64 << 20

// Made says how a site was built.
//
//	{"schema":"traccia/verifier-build/1","module":"github.com/traccia-ledger/traccia","toolchain":"go1.26.8"}
type Made struct {
	Schema    string `json:"schema"`
	Module    string `json:"module"`
	Toolchain string `json:"toolchain"`
}

// Site is a site that was built, in memory.
type Site struct {
	Made   Made
	Sums   []byte      // SHA256SUMS
	Digest ledger.Hash // of Sums
	WASM   ledger.Hash // digest of the program
	files  map[string]file
}

type file struct{ plain, gzip, brotli []byte }

// Open reads a site, and checks each file.
func Open(dir string) (*Site, error) {
	sums, err := os.ReadFile(filepath.Join(dir, sumsFile))
	if err != nil {
		return nil, fmt.Errorf("couldn't read the browser's verifier: %w", err)
	}
	s := &Site{Sums: sums, Digest: sha256.Sum256(sums), files: map[string]file{sumsFile: {plain: sums}}}
	for line := range strings.Lines(string(sums)) {
		digest, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if _, twice := s.files[name]; !ok || kinds[name] == "" || twice {
			return nil, fmt.Errorf("couldn't read %s: expected a digest and the name of a file of ours, once", filepath.Join(dir, sumsFile))
		}
		if s.files[name], err = readFile(filepath.Join(dir, name), digest); err != nil {
			return nil, err
		}
	}
	for name := range kinds {
		if s.files[name].plain == nil {
			return nil, fmt.Errorf("%s doesn't name %s", filepath.Join(dir, sumsFile), name)
		}
	}
	s.WASM = sha256.Sum256(s.files[wasmFile].plain)
	if err := json.Unmarshal(s.files[buildFile].plain, &s.Made); err != nil {
		return nil, fmt.Errorf("couldn't read %s: %w", filepath.Join(dir, buildFile), err)
	}
	return s, nil
}

// readFile reads a file of this digest, and those of its compressed copies that are there.
func readFile(name, digest string) (f file, err error) {
	if f.plain, err = os.ReadFile(name); err != nil {
		return f, fmt.Errorf("couldn't read the browser's verifier: %w", err)
	}
	if sum := sha256.Sum256(f.plain); hex.EncodeToString(sum[:]) != digest {
		return f, fmt.Errorf("%s: expected digest %s, found %x: it was changed after it was built", name, digest, sum)
	}
	for _, c := range []struct {
		suffix string
		into   *[]byte
		open   func(io.Reader) (io.Reader, error)
	}{
		{".gz", &f.gzip, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{".br", &f.brotli, func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil }},
	} {
		packed, err := os.ReadFile(name + c.suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return f, fmt.Errorf("couldn't read the browser's verifier: %w", err)
		}
		r, err := c.open(bytes.NewReader(packed))
		var plain []byte
		if err == nil {
			plain, err = io.ReadAll(io.LimitReader(r, maxSiteFile))
		}
		if err != nil || !bytes.Equal(plain, f.plain) {
			return f, fmt.Errorf("%s isn't %s, compressed: build it again", name+c.suffix, filepath.Base(name))
		}
		*c.into = packed
	}
	return f, nil
}

// Integrity is the program's digest as browsers want it.
func (s *Site) Integrity() string {
	return "sha256-" + base64.StdEncoding.EncodeToString(s.WASM[:])
}

// Serve answers a request for a file of the site; false if there is none of this name.
func (s *Site) Serve(w http.ResponseWriter, r *http.Request, name string) bool {
	f, ok := s.files[name]
	if !ok || strings.HasSuffix(name, ".html") {
		return false
	}
	h := w.Header()
	kind := kinds[name]
	if name == sumsFile {
		kind = "text/plain; charset=utf-8"
	}
	h.Set("Content-Type", kind)
	// A worker's own policy holds for it, and not the page's.
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", `"`+hex.EncodeToString(s.Digest[:8])+"-"+path.Ext(name)+`"`)
	h.Set("Vary", "Accept-Encoding")
	data := f.plain
	accepted := r.Header.Get("Accept-Encoding")
	switch {
	case f.brotli != nil && accepts(accepted, "br"):
		h.Set("Content-Encoding", "br")
		data = f.brotli
	case f.gzip != nil && accepts(accepted, "gzip"):
		h.Set("Content-Encoding", "gzip")
		data = f.gzip
	}
	if r.Header.Get("If-None-Match") == h.Get("ETag") {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	h.Set("Content-Length", fmt.Sprint(len(data)))
	if r.Method != http.MethodHead {
		w.Write(data)
	}
	return true
}

// accepts says whether a browser takes a coding: it names it, and not with weight zero.
func accepts(header, coding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if weight = strings.TrimSpace(weight); name == coding && weight != "q=0" && weight != "q=0.0" {
			return true
		}
	}
	return false
}
