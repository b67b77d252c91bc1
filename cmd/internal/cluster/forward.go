// SPDX-License-Identifier: EUPL-1.2

package cluster

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/api"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/postgres"
)

// keptAnswer is how much of an answer is read before the client gets any of it:
// until then the request can go to another node.
const keptAnswer = 4 << 20

var dialer = net.Dialer{Timeout: 3 * time.Second, KeepAlive: 5 * time.Second}

// CheckURL says whether nodes may be reached at a URL: https, or http on a loopback
// address, without anything behind the host.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || text != u.Scheme+"://"+u.Host {
		return fmt.Errorf("expected https://host[:port], found %q", text)
	}
	ip := net.ParseIP(u.Hostname())
	switch {
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()):
		return nil
	}
	return fmt.Errorf("expected https://host[:port], plain http on loopback only, found %q", text)
}

// there has the node that sequences answer a client's request. It is not done when
// the request is to be tried again.
func (m *Member) there(v *view, w http.ResponseWriter, r *http.Request, content []byte) (done bool) {
	sent := false
	ctx, cancel := v.while(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent = true },
	}))
	defer cancel()
	response, err := m.send(ctx, v, r, r.Method, r.URL.RequestURI(), r.Header, content)
	var start []byte
	if err == nil {
		defer response.Body.Close()
		start, err = io.ReadAll(io.LimitReader(response.Body, keptAnswer))
	}
	switch {
	case r.Context().Err() != nil:
		return true // the client is gone
	case err != nil && sent && !mayRepeat(r):
		m.forwarded.WithLabelValues("uncertain").Inc()
		m.Logger.Warn("a request was cut off, and isn't sent again", "error", err)
		api.WriteProblem(w, http.StatusServiceUnavailable, ledger.Problem{Code: "uncertain", Expected: "an answer of the node that sequences", Found: "none: see whether it was done before you try again"})
		return true
	case err != nil:
		return false
	case notTaken(response.StatusCode, start):
		return false
	case response.StatusCode == http.StatusServiceUnavailable && isSafe(r.Method) && v != m.view():
		return false
	}
	m.forwarded.WithLabelValues("answered").Inc()
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(2 * patience))
	for _, name := range perConnection(response.Header) {
		response.Header.Del(name)
	}
	maps.Copy(w.Header(), response.Header)
	w.WriteHeader(response.StatusCode)
	w.Write(start)
	if len(start) < keptAnswer {
		return true
	}
	if _, err := io.Copy(w, response.Body); err != nil {
		panic(http.ErrAbortHandler) // the client sees that it is cut off
	}
	return true
}

// sendLine has it record a line of a batch.
func (m *Member) sendLine(ctx context.Context, v *view, r *http.Request, raw []byte) (out api.Outcome, done bool) {
	ctx, cancel := v.while(ctx)
	defer cancel()
	header := http.Header{"Content-Type": {"application/json"}}
	response, err := m.send(ctx, v, r, http.MethodPost, submitPath, header, raw)
	if err != nil {
		return out, false
	}
	defer response.Body.Close()
	out.Status = response.StatusCode
	if out.Body, err = io.ReadAll(response.Body); err != nil || notTaken(out.Status, out.Body) {
		return out, false
	}
	m.forwarded.WithLabelValues("answered").Inc()
	return out, true
}

// notTaken says whether an answer means that another node is to be asked.
func notTaken(status int, body []byte) bool {
	return (status == http.StatusMisdirectedRequest || status == http.StatusServiceUnavailable) && elsewhere(body)
}

// while gives a context that ends when somebody else sequences.
func (v *view) while(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-v.over:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// send asks the node that sequences, on behalf of the client of r.
func (m *Member) send(ctx context.Context, v *view, r *http.Request, method, uri string, header http.Header, content []byte) (*http.Response, error) {
	if err := CheckURL(v.lease.URL); err != nil {
		m.heard(v, err)
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, v.lease.URL+uri, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	request.Header = header.Clone()
	for _, name := range perConnection(request.Header) {
		request.Header.Del(name)
	}
	request.Header.Set(holderHeader, hex.EncodeToString(v.lease.Holder[:]))
	request.Header.Set(clientHeader, r.RemoteAddr)
	request.Host = r.Host
	if request.Header.Get("User-Agent") == "" {
		request.Header.Set("User-Agent", "") // else net/http names itself
	}
	response, err := m.client.Do(request)
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err // the other half is the request
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled): // it was given up
	case err == nil && response.StatusCode == http.StatusMisdirectedRequest:
		m.heard(v, errElsewhere)
	default:
		m.heard(v, err)
	}
	return response, err
}

// errElsewhere: what answers at the URL of the node that sequences isn't that node. So
// it is for a moment when that one leaves.
var errElsewhere = errors.New("another node answers there")

// unreached is that the node that sequences can't be reached.
type unreached struct {
	holder postgres.Holder
	since  time.Time
	err    error // nil: it can
	logged bool
}

// heard takes note of how it went to ask the node that sequences.
func (m *Member) heard(v *view, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v.lease.Holder != m.current.lease.Holder {
		return // it doesn't any more
	}
	u := &m.unreached
	if u.holder != v.lease.Holder || u.err == nil || err == nil {
		*u = unreached{holder: v.lease.Holder, since: time.Now()}
	}
	u.err = err
	if err != nil && !u.logged && (err != errElsewhere || time.Since(u.since) > patienceElsewhere) {
		u.logged = true
		m.Logger.Warn("the node that sequences can't be reached: requests wait for it", "url", v.lease.URL, "error", err)
	}
}

// unreachable says why this node can't reach the one that sequences, and since when;
// nil: it can, or none does.
func (m *Member) unreachable() (since time.Time, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if u := m.unreached; m.current.reachable() && u.holder == m.current.lease.Holder {
		return u.since, u.err
	}
	return time.Time{}, nil
}

// knock asks the node that sequences again and again whether it hears this one, until
// ctx ends: nobody may be asking for anything.
func (m *Member) knock(ctx context.Context) {
	for {
		v := m.view()
		if v.reachable() {
			m.tryReach(ctx, v)
		}
		select {
		case <-v.over:
		case <-time.After(knockEvery):
		case <-ctx.Done():
			return
		}
	}
}

func (m *Member) tryReach(ctx context.Context, v *view) {
	ctx, cancel := v.while(ctx)
	defer cancel()
	ctx, cancelLate := context.WithTimeout(ctx, knockPatience)
	defer cancelLate()
	response, err := m.send(ctx, v, &http.Request{RemoteAddr: "127.0.0.1:0"}, http.MethodHead, knockPath, http.Header{}, nil)
	if err == nil {
		response.Body.Close()
	}
}

// perConnection are the headers that are for one connection only (RFC 9110 §7.6.1).
func perConnection(h http.Header) []string {
	names := []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}
	for _, list := range h["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			names = append(names, strings.TrimSpace(name))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
