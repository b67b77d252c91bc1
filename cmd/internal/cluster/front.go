// SPDX-License-Identifier: EUPL-1.2

package cluster

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/api"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/postgres"
)

// What one node tells another about a request that it forwards.
const (
	// holderHeader is the lease that the request is for: 32 hex digits.
	holderHeader = "Traccia-Holder"
	// clientHeader is the address of the client, by which refusals are counted.
	clientHeader = "Traccia-Client"
)

const (
	submitPath = "/v1/access-receipts"
	batchPath  = "/v1/access-receipts/batch"
	statusPath = "/status"
	knockPath  = "/node" // of a node that asks whether it is heard
	logPath    = "/log/"
)

// codeNotHolder is the problem of a request that is for the holder of another lease.
const codeNotHolder = "not_holder"

// ServeHTTP answers itself or has another node answer.
func (m *Member) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get(holderHeader) != "" {
		m.serveForwarded(w, r)
		return
	}
	r.Header.Del(clientHeader)
	if m.isLeaving() {
		w.Header().Set("Connection", "close")
	}
	switch {
	case r.URL.Path == batchPath && r.Method == http.MethodPost:
		m.batches.ServeHTTP(w, r)
	case r.URL.Path == statusPath && isSafe(r.Method):
		m.serveStatus(w, r)
	case strings.HasPrefix(r.URL.Path, logPath) && isSafe(r.Method) && m.serveLog(w, r):
	default:
		m.serve(w, r)
	}
}

// serveLog answers for the public log from the shared store. It is not done where
// nothing of that name is published: witnesses see more while they are asked to cosign
// it. The node that sequences knows better, but for checkpoints: all nodes read them
// in one place, so that nobody who asks first one and then another sees the log shrink.
func (m *Member) serveLog(w http.ResponseWriter, r *http.Request) (done bool) {
	if m.view().service != nil && !strings.HasSuffix(r.URL.Path, "/checkpoint") || m.LogTrouble() != nil {
		return false
	}
	before := maps.Clone(w.Header())
	a := &heldAnswer{ResponseWriter: w, holds: func(status int) bool { return status >= 400 }}
	m.Log.ServeHTTP(a, r)
	if a.held {
		clear(w.Header())
		maps.Copy(w.Header(), before)
	}
	return !a.held
}

// serveForwarded answers a request that another node forwards.
func (m *Member) serveForwarded(w http.ResponseWriter, r *http.Request) {
	v := m.view()
	if v.isFor(r) && r.URL.Path == knockPath {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	for over := time.After(patience); v.isFor(r) && v.service == nil; v = m.view() {
		select { // it opens the ledger
		case <-v.over:
			continue
		case <-over:
		case <-m.stopping:
		case <-r.Context().Done():
		}
		break
	}
	client, err := netip.ParseAddrPort(r.Header.Get(clientHeader))
	if !v.isFor(r) || v.service == nil || err != nil {
		api.WriteProblem(w, http.StatusMisdirectedRequest, ledger.Problem{Code: codeNotHolder, Where: "header:" + holderHeader, Expected: "the lease that this node holds, and a client", Found: "another"})
		return
	}
	r.RemoteAddr = client.String()
	r.Header.Del(holderHeader)
	r.Header.Del(clientHeader)
	m.inHand.Add(1)
	defer m.inHand.Add(-1)
	v.service.Handler.ServeHTTP(w, r)
}

// isFor says whether a forwarded request is meant for what this node claims.
func (v *view) isFor(r *http.Request) bool {
	to, err := hex.DecodeString(r.Header.Get(holderHeader))
	return err == nil && v.claim != postgres.Holder{} && subtle.ConstantTimeCompare(to, v.claim[:]) == 1
}

// serve has a client's request answered by whoever sequences, and by the next one
// where that one dies or leaves meanwhile.
func (m *Member) serve(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(patience))
	content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, api.MaxSubmission+1))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		// What is too large for a submission is so for everything.
		api.WriteProblem(w, http.StatusRequestEntityTooLarge, api.TooLarge)
		return
	case err != nil:
		api.WriteProblem(w, http.StatusRequestTimeout, ledger.Problem{Code: "incomplete", Expected: "a whole request within " + patience.String(), Found: "a part of it"})
		return
	}
	control.SetReadDeadline(time.Time{})
	m.waiting.Add(1)
	defer m.waiting.Add(-1)
	for attempts := m.attempts(r.Context()); ; {
		v := m.view()
		done := false
		switch {
		case v.service != nil:
			done = m.here(v, w, r, content)
		case v.reachable():
			done = m.there(v, w, r, content)
		}
		if done {
			return
		}
		if !attempts.again(v) {
			m.forwarded.WithLabelValues("given_up").Inc()
			control.SetWriteDeadline(time.Now().Add(patience))
			api.WriteProblem(w, http.StatusServiceUnavailable, m.nobody())
			return
		}
	}
}

// submit has a line of a batch recorded likewise.
func (m *Member) submit(ctx context.Context, r *http.Request, raw []byte) api.Outcome {
	m.waiting.Add(1)
	defer m.waiting.Add(-1)
	for attempts := m.attempts(ctx); ; {
		v := m.view()
		switch {
		case v.service != nil:
			m.inHand.Add(1)
			out := v.service.Submit(ctx, r, raw)
			m.inHand.Add(-1)
			if out.Status != http.StatusServiceUnavailable || !elsewhere(out.Body) {
				return out
			}
		case v.reachable():
			if out, done := m.sendLine(ctx, v, r, raw); done {
				return out
			}
		}
		if !attempts.again(v) {
			m.forwarded.WithLabelValues("given_up").Inc()
			return api.Refuse(http.StatusServiceUnavailable, m.nobody())
		}
	}
}

// nobody is the answer to a request that no node took.
func (m *Member) nobody() ledger.Problem {
	if m.isLeaving() {
		return api.TryLater(api.CodeShuttingDown, "a node that is shutting down")
	}
	if _, err := m.unreachable(); err != nil {
		return api.TryLater(api.CodeUnreachable, "a node that can't reach the one that sequences")
	}
	return api.TryLater(api.CodeNoSequencer, "no node that sequences")
}

// attempts are those at one request.
type attempts struct {
	m    *Member
	ctx  context.Context
	over time.Time
}

func (m *Member) attempts(ctx context.Context) attempts {
	return attempts{m, ctx, time.Now().Add(patience)}
}

// again waits until another attempt may go better than the one with this view;
// false when there is none.
func (a attempts) again(v *view) bool {
	m := a.m
	if time.Now().After(a.over) {
		return false
	}
	m.forwarded.WithLabelValues("again").Inc()
	wait := time.NewTimer(pause)
	defer wait.Stop()
	select {
	case <-v.over:
		return true
	case <-wait.C:
		return true
	case <-a.ctx.Done():
	case <-m.stopping:
	}
	return false
}

// here has the service of this node answer. It is not done when the service ended.
func (m *Member) here(v *view, w http.ResponseWriter, r *http.Request, content []byte) (done bool) {
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(content))
	r.ContentLength = int64(len(content))
	before := maps.Clone(w.Header())
	a := &heldAnswer{ResponseWriter: w, holds: func(status int) bool { return status == http.StatusServiceUnavailable }}
	m.inHand.Add(1)
	defer m.inHand.Add(-1)
	v.service.Handler.ServeHTTP(a, r)
	if !a.held {
		return true
	}
	if elsewhere(a.body.Bytes()) || isSafe(r.Method) && v != m.view() {
		clear(w.Header())
		maps.Copy(w.Header(), before)
		return false
	}
	w.WriteHeader(a.status)
	w.Write(a.body.Bytes())
	return true
}

// heldAnswer keeps answers of some statuses back, and lets others through.
type heldAnswer struct {
	http.ResponseWriter
	holds  func(status int) bool
	status int // 0: none yet
	held   bool
	body   bytes.Buffer
}

func (a *heldAnswer) WriteHeader(status int) {
	a.status, a.held = status, a.holds(status)
	if !a.held {
		a.ResponseWriter.WriteHeader(status)
	}
}

func (a *heldAnswer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if a.held {
		return a.body.Write(b)
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (a *heldAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// elsewhere says whether a problem means that the request wasn't taken, or may be
// sent again, because the node isn't the sequencer any more.
func elsewhere(body []byte) bool {
	var p struct{ Code string }
	if json.Unmarshal(body, &p) != nil {
		return false
	}
	return p.Code == codeNotHolder || p.Code == api.CodeShuttingDown || p.Code == api.CodeStopped
}

func isSafe(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// mayRepeat says whether a request can be sent again though it may have been
// answered: it reads, or what it writes is recorded once by its jti.
func mayRepeat(r *http.Request) bool {
	return isSafe(r.Method) || strings.HasPrefix(r.URL.Path, "/v1/")
}
