// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// What browsers need beside the pages: Bootstrap Italia's style sheet and icons, fonts, and our own files. None comes from
// elsewhere; assets/README.md says where these are from.
//
//go:embed assets
var assetFiles embed.FS

// assetPath begins the paths of assets. The digest of all of them follows, so that they never change under one name and a
// style sheet can name fonts beside it.
const assetPath = "/assets/"

// assetTypes are the files that are served, by ending.
var assetTypes = map[string]string{
	".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".woff2": "font/woff2", ".js": "text/javascript; charset=utf-8",
}

type asset struct {
	kind        string
	plain, gzip []byte // gzip is nil where it saves nothing
}

type assets struct {
	prefix string // "/assets/<digest>/"
	files  map[string]asset
}

func readAssets() (*assets, error) {
	a := &assets{files: map[string]asset{}}
	digest := sha256.New()
	err := fs.WalkDir(assetFiles, "assets", func(name string, d fs.DirEntry, err error) error {
		kind := assetTypes[path.Ext(name)]
		if err != nil || d.IsDir() || kind == "" {
			return err
		}
		data, err := assetFiles.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		fmt.Fprintf(digest, "%s %x\n", name, sum)
		file := asset{kind: kind, plain: data}
		if kind != "font/woff2" { // compressed in itself
			var b bytes.Buffer
			z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
			z.Write(data)
			z.Close()
			file.gzip = b.Bytes()
		}
		a.files[strings.TrimPrefix(name, "assets/")] = file
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't read the assets: %w", err)
	}
	a.prefix = assetPath + hex.EncodeToString(digest.Sum(nil)[:8]) + "/"
	return a, nil
}

// url is where a browser finds a file; an error if there is none.
func (a *assets) url(name string) (string, error) {
	if _, ok := a.files[name]; !ok {
		return "", fmt.Errorf("no asset %q", name)
	}
	return a.prefix + name, nil
}

func (a *assets) serve(w http.ResponseWriter, r *http.Request) error {
	name, ok := strings.CutPrefix(r.URL.Path, a.prefix)
	file, known := a.files[name]
	if !ok || !known {
		return errNoPage
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", http.MethodGet)
		return &statusError{status: http.StatusMethodNotAllowed, key: "method"}
	}
	h := w.Header()
	h.Set("Content-Type", file.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	data := file.plain
	if file.gzip != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		data = file.gzip
	}
	h.Set("Content-Length", fmt.Sprint(len(data)))
	if r.Method == http.MethodGet {
		w.Write(data)
	}
	return nil
}
