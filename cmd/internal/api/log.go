// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// What caches may do with an answer. A tile's bytes never change; the
// checkpoint does, every few seconds.
const (
	immutable = "public, max-age=31536000, immutable"
	fresh     = "public, max-age=1, must-revalidate"
)

func (s *Server) serveCheckpoint(w http.ResponseWriter, r *http.Request) {
	epoch, ok := parseEpoch(r.PathValue("epoch"))
	published, err := s.node.Published(epoch)
	if !ok || err != nil {
		s.notPublished(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	serveBytes(w, r, published.Checkpoint, fresh)
}

// serveTile answers for Merkle tiles and entry bundles.
func (s *Server) serveTile(w http.ResponseWriter, r *http.Request) {
	epoch, ok := parseEpoch(r.PathValue("epoch"))
	tile, err := checkpoint.ParsePath("tile/" + r.PathValue("path"))
	if !ok || err != nil {
		s.notPublished(w, nil)
		return
	}
	var data []byte
	if tile.Level == checkpoint.EntryLevel {
		data, err = s.node.Entries(r.Context(), epoch, tile.Index, tile.Width)
	} else {
		data, err = s.node.Tile(r.Context(), epoch, uint(tile.Level), tile.Index, tile.Width)
	}
	if err != nil {
		s.notPublished(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	serveBytes(w, r, data, immutable)
}

func (s *Server) serveBlob(w http.ResponseWriter, r *http.Request) {
	var digest ledger.Hash
	_, ok := parseEpoch(r.PathValue("epoch"))
	text := r.PathValue("digest")
	n, err := hex.Decode(digest[:], []byte(text[:min(len(text), 64)]))
	if !ok || err != nil || n != 32 || len(text) != 64 {
		s.notPublished(w, nil)
		return
	}
	blob, err := s.node.Blob(r.Context(), digest)
	if err != nil {
		s.notPublished(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	serveBytes(w, r, blob, immutable)
}

func (s *Server) notPublished(w http.ResponseWriter, err error) {
	if err != nil && !errors.Is(err, node.ErrNotPublished) {
		status, p := s.judge(err)
		WriteProblem(w, status, p)
		return
	}
	WriteProblem(w, http.StatusNotFound, ledger.Problem{Code: "not_found", Where: "path", Expected: "something of the published log", Found: "nothing of that name"})
}

// serveBytes answers conditional requests and HEAD as well.
func serveBytes(w http.ResponseWriter, r *http.Request, data []byte, cache string) {
	sum := sha256.Sum256(data)
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sum[:12]))
	w.Header().Set("Cache-Control", cache)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

func parseEpoch(text string) (uint32, bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err == nil && strconv.FormatUint(n, 10) == text
}
