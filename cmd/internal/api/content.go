// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/traccia-ledger/traccia/ledger"
)

// maxContent is the longest content of a request that holds no submission, in
// bytes: a private part and a receipt fit, or a thousand subjects' codes.
const maxContent = 128 << 10

// serveContent reads the JSON content of a request, authenticates the body that
// signs it unless that is "", and has the rest done when the queue has a place.
func (s *Server) serveContent(w http.ResponseWriter, r *http.Request, body string, queue *semaphore.Weighted, serve func(ctx context.Context, content []byte) error) {
	limiter := s.refusals.of(r)
	if s.holdOff(w, limiter) {
		return
	}
	refuse := func(status int, p ledger.Problem) {
		s.refusals.count(limiter, status)
		s.refusals.announce(w.Header(), limiter)
		WriteProblem(w, status, p)
	}
	if p := checkContentType(r, "application/json"); p != nil {
		refuse(http.StatusUnsupportedMediaType, *p)
		return
	}
	content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxContent))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		refuse(http.StatusRequestEntityTooLarge, ledger.Problem{Code: "too_large", Expected: fmt.Sprintf("at most %d bytes", maxContent), Found: "more"})
		return
	case err != nil:
		refuse(http.StatusRequestTimeout, s.incomplete("a whole request"))
		return
	}
	if body != "" {
		err = s.signedBy(r, body, content)
	}
	if err != nil {
		status, p := s.judge(err)
		if status == http.StatusUnprocessableEntity {
			status = http.StatusBadRequest // of a header
		}
		refuse(status, p)
		return
	}
	// It may wait for its turn, and for the log to be published.
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Time{})
	control.SetWriteDeadline(time.Time{})
	if err := queue.Acquire(r.Context(), 1); err != nil {
		return // the client is gone
	}
	defer queue.Release(1)
	s.refusals.announce(w.Header(), limiter)
	if err := serve(r.Context(), content); err != nil {
		status, p := s.judge(err)
		control.SetWriteDeadline(time.Now().Add(s.patience))
		refuse(status, p)
	}
}

// answerContent sends what is for whoever asked alone.
func (s *Server) answerContent(w http.ResponseWriter, status int, contentType string, body []byte) {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.patience))
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(body)
}

// answerRecorded answers what was recorded just now, or before.
func (s *Server) answerRecorded(w http.ResponseWriter, replayed bool, body []byte) {
	status := http.StatusCreated
	if replayed {
		status = http.StatusOK
	}
	s.answerContent(w, status, "application/json", body)
}
