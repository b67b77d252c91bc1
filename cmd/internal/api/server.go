// SPDX-License-Identifier: EUPL-1.2

// Package api is the ledger's HTTP interface (docs/contract.md, openapi.yaml):
// submissions in, proofs out, and the public log by c2sp.org/tlog-tiles.
//
// A submission is authenticated by the receipt's own signature, a fetch by
// INTEGRITY_REST_02; the log is public. Errors are problem+json (RFC 9457)
// that name the field, what was expected and what came, and never a person.
// Sizes, counts and times are bounded, so that a slow client holds up nobody.
package api

import (
	_ "embed"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// Limits of a request.
const (
	// MaxSubmission is the longest submission, single or a line of a batch:
	// 10,000 subjects and a private part fit.
	MaxSubmission = 4 << 20
	// patience is how long a client may take to send a submission, or to take
	// an answer.
	patience = 30 * time.Second
)

//go:embed openapi.yaml
var openAPI []byte

// Server answers for one node.
type Server struct {
	node     *node.Node
	log      *slog.Logger
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// New returns a server; its metrics go to the registerer.
func New(n *node.Node, log *slog.Logger, r prometheus.Registerer) *Server {
	s := &Server{
		node: n, log: log,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "traccia_submissions_total", Help: "Submissions by outcome: recorded, replayed, or the code of the problem.",
		}, []string{"outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "traccia_submission_seconds", Help: "From a submission's last byte to its acknowledgement, by way in.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"endpoint"}),
	}
	r.MustRegister(s.requests, s.seconds)
	return s
}

// Handler routes the public interface.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/access-receipts", method(http.MethodPost, s.serveSubmit))
	mux.HandleFunc("/v1/access-receipts/batch", method(http.MethodPost, s.serveBatch))
	mux.HandleFunc("/v1/access-receipts/{iss}/{jti}", method(http.MethodGet, s.serveReceipt))
	mux.HandleFunc("/log/{epoch}/checkpoint", method(http.MethodGet, s.serveCheckpoint))
	mux.HandleFunc("/log/{epoch}/tile/{path...}", method(http.MethodGet, s.serveTile))
	mux.HandleFunc("/log/{epoch}/blob/{digest}", method(http.MethodGet, s.serveBlob))
	mux.HandleFunc("/status", method(http.MethodGet, s.serveStatus))
	mux.HandleFunc("/openapi.yaml", method(http.MethodGet, serveOpenAPI))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, http.StatusNotFound, ledger.Problem{Code: "not_found", Where: "path", Expected: "a path of /openapi.yaml", Found: "another"})
	})
	return harden(mux)
}

// harden sets what every answer carries.
func harden(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

// method lets one method through; HEAD goes with GET.
func method(want string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != want && !(want == http.MethodGet && r.Method == http.MethodHead) {
			w.Header().Set("Allow", want)
			writeProblem(w, http.StatusMethodNotAllowed, ledger.Problem{Code: "method_not_allowed", Where: "method", Expected: want, Found: "another method"})
			return
		}
		next(w, r)
	}
}

func (s *Server) serveSubmit(w http.ResponseWriter, r *http.Request) {
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(patience))
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxSubmission))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		s.refuse(w, http.StatusRequestEntityTooLarge, tooLargeProblem())
		return
	case err != nil:
		s.refuse(w, http.StatusRequestTimeout, ledger.Problem{Code: "incomplete", Where: "", Expected: "a whole submission within " + patience.String(), Found: "a part of it"})
		return
	}
	status, answer, problem := s.submit(r, raw, "single")
	if problem != nil {
		s.refuse(w, status, *problem)
		return
	}
	body, err := ledger.FormatAnswer(answer)
	if err != nil {
		s.log.Error("couldn't format an answer", "error", err)
		writeProblem(w, http.StatusInternalServerError, internal)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(body)
}

// submit records one submission and gives the status it is answered with.
func (s *Server) submit(r *http.Request, raw []byte, endpoint string) (int, *ledger.Answer, *ledger.Problem) {
	begun := time.Now()
	answer, replayed, err := s.node.Submit(r.Context(), raw)
	if err != nil {
		status, problem := s.judge(err)
		s.requests.WithLabelValues(problem.Code).Inc()
		return status, nil, &problem
	}
	s.seconds.WithLabelValues(endpoint).Observe(time.Since(begun).Seconds())
	if replayed {
		s.requests.WithLabelValues("replayed").Inc()
		return http.StatusOK, answer, nil
	}
	s.requests.WithLabelValues("recorded").Inc()
	return http.StatusCreated, answer, nil
}

func (s *Server) refuse(w http.ResponseWriter, status int, p ledger.Problem) {
	writeProblem(w, status, p)
}

func tooLargeProblem() ledger.Problem {
	return ledger.Problem{Code: "too_large", Where: "", Expected: "a submission of at most 4 MiB", Found: "more"}
}

func serveOpenAPI(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	serveBytes(w, r, openAPI, "max-age=300")
}

// status of the ledger for its operators' probes and for clients.
type status struct {
	problem
	Origin        string `json:"origin"`
	Size          uint64 `json:"published_size"`
	HeadAt        string `json:"last_head_at"`
	QueuedPercent int    `json:"queue_percent"`
}

// serveStatus answers problem+json, with 200 when all is well (Italian API
// guidelines), 503 when nothing can be recorded.
func (s *Server) serveStatus(w http.ResponseWriter, _ *http.Request) {
	st := status{problem: problem{Type: "about:blank", Title: "OK", Status: http.StatusOK}}
	if err := s.node.Err(); err != nil {
		st.Title, st.Status, st.Detail = "Not recording", http.StatusServiceUnavailable, "the ledger stopped after a failed write and must be restarted"
	}
	published, err := s.node.Published(s.node.Epoch)
	if err == nil {
		st.Size = published.Root.Size
	}
	st.Origin = ledger.Origin(s.node.Settings.Name, s.node.Epoch)
	st.HeadAt = s.node.LastHead().UTC().Format(time.RFC3339)
	st.QueuedPercent = s.node.QueuedPercent()
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, "application/problem+json", st.Status, st)
}
