// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
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

// PublicLog is what the log's paths show. *node.Node is one while it records,
// *node.Follower is one beside it.
type PublicLog interface {
	Published(epoch uint32) (node.Published, error)
	Tile(ctx context.Context, epoch uint32, level uint, index uint64, width int) ([]byte, error)
	Entries(ctx context.Context, epoch uint32, index uint64, width int) ([]byte, error)
	Blob(ctx context.Context, digest ledger.Hash) ([]byte, error)
}

// LogHandler serves the log's paths alone.
func LogHandler(public PublicLog, log *slog.Logger) http.Handler {
	s := &Server{public: public, log: log, patience: maxPatience}
	mux := http.NewServeMux()
	s.routeLog(mux)
	mux.HandleFunc("/", serveNotFound)
	return s.harden(mux)
}

func (s *Server) routeLog(mux *http.ServeMux) {
	mux.HandleFunc("/log/{epoch}/checkpoint", method(http.MethodGet, s.serveCheckpoint))
	mux.HandleFunc("/log/{epoch}/tile/{path...}", method(http.MethodGet, s.serveTile))
	mux.HandleFunc("/log/{epoch}/tile", serveNotFound) // else the mux redirects
	mux.HandleFunc("/log/{epoch}/blob/{digest}", method(http.MethodGet, s.serveBlob))
}

func (s *Server) serveCheckpoint(w http.ResponseWriter, r *http.Request) {
	epoch, ok := parseEpoch(r.PathValue("epoch"))
	published, err := s.public.Published(epoch)
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
		data, err = s.public.Entries(r.Context(), epoch, tile.Index, tile.Width)
	} else {
		data, err = s.public.Tile(r.Context(), epoch, uint(tile.Level), tile.Index, tile.Width)
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
	blob, err := s.public.Blob(r.Context(), digest)
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
