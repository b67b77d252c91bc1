// SPDX-License-Identifier: EUPL-1.2

// Package api is the ledger's HTTP interface (docs/contract.md, openapi.yaml):
// submissions in, proofs out, and the public log by c2sp.org/tlog-tiles.
//
// A submission is authenticated by the receipt's own signature, which may be that
// of the request where it comes over PDND; what isn't public is for bodies, by INTEGRITY_REST_02; the log is public. Errors are problem+json (RFC 9457)
// that name the field, what was expected and what came, and never a person.
// Sizes, counts and times are bounded, so that a slow client holds up nobody.
package api

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// Limits of a request.
const (
	// MaxSubmission is the longest submission, single or a line of a batch:
	// 10,000 subjects and a private part fit.
	MaxSubmission = 4 << 20
	// maxPatience is how long a client may take to send a submission, or to
	// take an answer.
	maxPatience = 30 * time.Second
)

//go:embed openapi.yaml
var openAPI []byte

// Server answers for one node.
type Server struct {
	node     *node.Node
	public   PublicLog // node
	log      *slog.Logger
	patience time.Duration
	refusals refusals
	tokens   *tokenUses
	lists    *semaphore.Weighted // requests about lists in work
	proving  *semaphore.Weighted // requests for VRF proofs in work
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec

	Batches *Batches
}

// New returns a server; its metrics go to the registerer.
func New(n *node.Node, log *slog.Logger, r prometheus.Registerer) *Server {
	s := &Server{
		node: n, public: n, log: log, patience: maxPatience,
		refusals: newRefusals(n.Now), tokens: newTokenUses(n.Now()), lists: semaphore.NewWeighted(atOnce), proving: semaphore.NewWeighted(1),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "traccia_submissions_total", Help: "Submissions by outcome: recorded, replayed, or the code of the problem.",
		}, []string{"outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "traccia_submission_seconds", Help: "From a submission's last byte to its acknowledgement, by way in.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"endpoint"}),
	}
	s.Batches = NewBatches(log, s.SubmitLine)
	s.Batches.refused = s.batchRefused
	r.MustRegister(s.requests, s.seconds)
	return s
}

// Handler routes the public interface.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/access-receipts", method(http.MethodPost, s.serveSubmit))
	mux.HandleFunc("/v1/access-receipts/batch", method(http.MethodPost, s.serveBatch))
	mux.HandleFunc("/v1/access-receipts/{iss}/{jti}", method(http.MethodGet, s.serveReceipt))
	mux.HandleFunc("/v1/agencies/{agency}/list", method(http.MethodPost, s.servePart))
	mux.HandleFunc("/v1/agencies/{agency}/list/citizens", method(http.MethodPost, s.serveUnseen))
	mux.HandleFunc("/v1/agencies/{agency}/list/look-up", method(http.MethodPost, s.serveLookUp))
	mux.HandleFunc("/v1/agencies/{agency}/consents/look-up", method(http.MethodPost, s.serveConsentLookUp))
	mux.HandleFunc("/v1/consents", method(http.MethodPost, s.serveConsent))
	mux.HandleFunc("/v1/scopes/{scope}/proofs", method(http.MethodPost, s.serveSubjectProofs))
	mux.HandleFunc("/v1/provider-checks", method(http.MethodPost, s.serveProviderCheck))
	mux.HandleFunc("/v1/break-glass", method(http.MethodPost, s.serveBreakGlass))
	mux.HandleFunc("/v1/cohorts", method(http.MethodPost, s.serveCohort))
	s.routeLog(mux)
	mux.HandleFunc("/status", method(http.MethodGet, s.serveStatus))
	mux.HandleFunc("/openapi.yaml", method(http.MethodGet, serveOpenAPI))
	mux.HandleFunc("/", serveNotFound)
	return s.harden(mux)
}

// harden sets what every answer carries, how long a client may take, and lets
// each path through in one spelling only: the mux would redirect to it, or take
// what is percent-encoded for it.
func (s *Server) harden(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		control := http.NewResponseController(w)
		control.SetReadDeadline(time.Now().Add(s.patience))
		// Reading may take one patience, taking the answer another.
		control.SetWriteDeadline(time.Now().Add(2 * s.patience))
		if r.URL.RawPath != "" || path.Clean(r.URL.Path) != r.URL.Path {
			serveNotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func serveNotFound(w http.ResponseWriter, _ *http.Request) {
	WriteProblem(w, http.StatusNotFound, ledger.Problem{Code: "not_found", Where: "path", Expected: "a path of /openapi.yaml", Found: "one that isn't there"})
}

// method lets one method through; HEAD goes with GET.
func method(want string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != want && !(want == http.MethodGet && r.Method == http.MethodHead) {
			w.Header().Set("Allow", want)
			WriteProblem(w, http.StatusMethodNotAllowed, ledger.Problem{Code: "method_not_allowed", Where: "method", Expected: want, Found: shownMethod(r.Method)})
			return
		}
		next(w, r)
	}
}

// shownMethod repeats one of HTTP's methods; another could be anything.
func shownMethod(name string) string {
	if slices.Contains([]string{"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}, name) {
		return name
	}
	return "another method"
}

func (s *Server) serveSubmit(w http.ResponseWriter, r *http.Request) {
	limiter := s.refusals.of(r)
	if s.holdOff(w, limiter) {
		return
	}
	status, answer, problem := s.readSubmission(w, r)
	if !problem.recorded() {
		s.refusals.count(limiter, status)
	}
	s.refusals.announce(w.Header(), limiter)
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.patience))
	if problem != nil {
		sendProblem(w, *problem)
		return
	}
	s.writeAnswer(w, status, answer)
}

// holdOff answers a client that has had too much refused.
func (s *Server) holdOff(w http.ResponseWriter, limiter *rate.Limiter) bool {
	seconds, yes := s.refusals.exhausted(limiter)
	if yes {
		s.requests.WithLabelValues(tooMany.Code).Inc()
		s.refusals.announce(w.Header(), limiter)
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		WriteProblem(w, http.StatusTooManyRequests, tooMany)
	}
	return yes
}

// readSubmission takes a request's body and records it.
func (s *Server) readSubmission(w http.ResponseWriter, r *http.Request) (int, *ledger.Answer, *problem) {
	refuse := func(status int, p ledger.Problem) (int, *ledger.Answer, *problem) {
		s.requests.WithLabelValues(p.Code).Inc()
		out := newProblem(status, p)
		return status, nil, &out
	}
	if p := checkContentType(r, "application/json"); p != nil {
		return refuse(http.StatusUnsupportedMediaType, *p)
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxSubmission))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return refuse(http.StatusRequestEntityTooLarge, TooLarge)
	case err != nil:
		return refuse(http.StatusRequestTimeout, s.incomplete("a whole submission"))
	}
	if raw, err = s.overPDND(r, raw); err != nil {
		status, p := s.judge(err)
		if status = headerStatus(status, p); status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		return refuse(status, p)
	}
	// While it waits for its place nothing more has to come or go.
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Time{})
	control.SetWriteDeadline(time.Time{})
	return s.submit(r.Context(), raw, "single")
}

// checkContentType takes the first of these types as it should be, and the
// others and none as well.
func checkContentType(r *http.Request, types ...string) *ledger.Problem {
	values := r.Header.Values("Content-Type")
	if len(values) == 0 {
		return nil
	}
	p := &ledger.Problem{Code: "wrong_content_type", Where: "header:Content-Type", Expected: types[0], Found: "another type"}
	kind, parameters, err := mime.ParseMediaType(values[0])
	switch charset := strings.ToLower(parameters["charset"]); {
	case len(values) > 1:
		p.Found = "more than one"
	case err == nil && slices.Contains(types, kind) && (charset == "" || charset == "utf-8"):
		return nil
	case err == nil && slices.Contains(types, kind):
		p.Expected, p.Found = types[0]+" in UTF-8", "another charset"
	}
	return p
}

func (s *Server) writeAnswer(w http.ResponseWriter, status int, answer *ledger.Answer) {
	body, err := ledger.FormatAnswer(answer)
	if err != nil {
		s.log.Error("couldn't format an answer", "error", err)
		WriteProblem(w, http.StatusInternalServerError, internal)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(body)
}

// submit records one submission and gives the status it is answered with.
func (s *Server) submit(ctx context.Context, raw []byte, endpoint string) (int, *ledger.Answer, *problem) {
	begun := time.Now()
	answer, replayed, err := s.node.Submit(ctx, raw)
	if err != nil {
		status, p := s.judge(err)
		s.requests.WithLabelValues(p.Code).Inc()
		out := newProblem(status, p)
		out.denial = denialOf(err)
		return status, nil, &out
	}
	s.seconds.WithLabelValues(endpoint).Observe(time.Since(begun).Seconds())
	if replayed {
		s.requests.WithLabelValues("replayed").Inc()
		return http.StatusOK, answer, nil
	}
	s.requests.WithLabelValues("recorded").Inc()
	return http.StatusCreated, answer, nil
}

// TooLarge is the problem of a submission that is longer than MaxSubmission.
var TooLarge = ledger.Problem{
	Code: "too_large", Expected: fmt.Sprintf("a submission of at most %d bytes", MaxSubmission), Found: "more",
}

func (s *Server) incomplete(what string) ledger.Problem { return incomplete(what, s.patience) }

func incomplete(what string, patience time.Duration) ledger.Problem {
	return ledger.Problem{Code: "incomplete", Expected: what + " within " + patience.String(), Found: "a part of it"}
}

func serveOpenAPI(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	serveBytes(w, r, openAPI, "max-age=300")
}

// status of the ledger for its operators' probes and for clients.
type status struct {
	problem
	Origin        string      `json:"origin"`
	Size          uint64      `json:"published_size"`
	HeadAt        string      `json:"last_head_at"`
	QueuedPercent int         `json:"queue_percent"`
	Logs          []logStatus `json:"logs"`
}

// logStatus is one year's log.
type logStatus struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"published_size"`
	Final  bool   `json:"final"`
}

// serveStatus answers problem+json, with 200 when all is well (Italian API
// guidelines), 503 when nothing can be recorded.
func (s *Server) serveStatus(w http.ResponseWriter, _ *http.Request) {
	st := status{problem: problem{Type: "about:blank", Title: "OK", Status: http.StatusOK}}
	switch err := s.node.Trouble(); {
	case s.node.Err() != nil:
		st.Title, st.Status, st.Detail = "Not recording", http.StatusServiceUnavailable, "the ledger stopped after a failed write and must be restarted"
	case err != nil:
		st.Title, st.Status, st.Detail = "Not recording", http.StatusServiceUnavailable, err.Error()
	}
	for _, log := range s.node.Logs() {
		st.Origin, st.Size = log.Origin, log.Published
		st.Logs = append(st.Logs, logStatus{log.Origin, log.Published, log.Final})
	}
	st.HeadAt = s.node.LastHead().UTC().Format(time.RFC3339)
	st.QueuedPercent = s.node.QueuedPercent()
	if st.Status != http.StatusOK {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter(CodeStopped)))
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, "application/problem+json", st.Status, st)
}
