// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/serving"
)

// statusError is an answer that isn't what was asked for. The catalogs have error.<key>.title and error.<key>.text.
type statusError struct {
	status int
	key    string
	next   string // the page to which a citizen comes after they log in again
	wait   time.Duration
	cause  error
}

func (e *statusError) Error() string { return e.key }

func (e *statusError) Unwrap() error { return e.cause }

func tooMany(wait time.Duration) error {
	return &statusError{status: http.StatusTooManyRequests, key: "too_many", wait: wait}
}

// errorView is what error.html shows.
type errorView struct {
	Key       string
	Enter     bool   // the citizen can log in again
	Next      string // and then goes on there
	Words     string // that the form had: a citizen who wrote them can copy them
	Seconds   int
	Reference string // by which the operator finds the line of the log
}

// fail answers with an error page. What went wrong goes to the log, and only a reference of it to the citizen.
func (s *server) fail(w *serving.Recorder, r *http.Request, err error) {
	var e *statusError
	switch {
	case w.Status != 0: // it is too late
		s.Log.Error("pages", "error", err)
		return
	case errors.As(err, &e):
	case errors.Is(err, errNoPage):
		e = &statusError{status: http.StatusNotFound, key: "not_found"}
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return // nobody waits for it
	case s.Node.Err() != nil:
		e = &statusError{status: http.StatusServiceUnavailable, key: "stopped", wait: time.Minute, cause: err}
	default:
		e = &statusError{status: http.StatusInternalServerError, key: "internal", cause: err}
	}
	v := errorView{Key: e.key, Enter: e.key == "ended", Next: e.next, Words: r.PostForm.Get("parole"), Seconds: int(e.wait / time.Second)}
	if e.cause != nil {
		v.Reference = rand.Text()[:8]
		s.Log.Error("pages", "reference", v.Reference, "error", e.cause)
	}
	if v.Seconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(v.Seconds))
	}
	s.harden(w.Header(), false)
	if err := s.renderStatus(w, r, e.status, "error", v); err != nil {
		s.Log.Error("pages", "error", err)
		http.Error(w, http.StatusText(e.status), e.status)
	}
}
