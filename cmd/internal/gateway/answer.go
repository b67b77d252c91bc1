// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/checks"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/ledger"
)

// ReceiptHeader names the receipt of a released answer, and the log index of its
// first event, or its place in a session of break-glass:
//
//	Traccia-Receipt: inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11; index=4711
//	Traccia-Receipt: inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11; spooled=0f9e7c1a-5b1d-4a86-9f0e-2f4c3c1a7b55; number=2
const ReceiptHeader = "Traccia-Receipt"

// hopByHop are the headers of one connection (RFC 9110, 7.6.1), beside those that
// Connection names.
var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// forward copies headers from one side to the other.
func forward(to, from http.Header) {
	named := map[string]bool{ReceiptHeader: true, CohortHeader: true}
	for _, name := range hopByHop {
		named[name] = true
	}
	for _, line := range from.Values("Connection") {
		for name := range strings.SplitSeq(line, ",") {
			named[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
		}
	}
	for name, values := range from {
		if !named[name] {
			to[name] = append([]string(nil), values...)
		}
	}
}

// request is the call as the provider gets it.
func (c *call) request(ctx context.Context) (*http.Request, error) {
	to, err := url.Parse(c.route.Service.Upstream)
	if err != nil {
		return nil, err
	}
	rest, err := url.PathUnescape(c.route.Rest)
	if err != nil {
		return nil, err
	}
	to.RawPath = to.EscapedPath() + c.route.Rest
	to.Path += rest
	to.RawQuery = c.r.URL.RawQuery
	req, err := http.NewRequestWithContext(ctx, c.r.Method, to.String(), bytes.NewReader(c.body))
	if err != nil {
		return nil, err
	}
	forward(req.Header, c.r.Header)
	req.Header.Del("Expect")
	req.Header.Set("Accept-Encoding", "identity") // the persons in the answer are to be found
	if req.Header.Get("User-Agent") == "" {
		req.Header["User-Agent"] = nil // Go's own says nothing
	}
	if len(c.body) == 0 {
		req.Body = http.NoBody
	}
	return req, nil
}

// call asks the provider. The error names neither its address nor anything of the
// call.
func (c *call) call(ctx context.Context) (*http.Response, error) {
	req, err := c.request(ctx)
	if err != nil {
		return nil, errors.New("couldn't make the provider's request")
	}
	resp, err := c.upstream.RoundTrip(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, errors.New("couldn't reach the provider")
	}
	return resp, nil
}

func providerProblem(found string) *ledger.Problem {
	return &ledger.Problem{Code: "provider_failed", Where: "provider", Expected: "an answer of the provider's server", Found: found}
}

// noAnswer answers when the provider's answer isn't there whole. Nothing was
// recorded and nothing is released.
func (c *call) noAnswer(err error) string {
	switch {
	case c.r.Context().Err() != nil:
		return outcomeGone
	case errors.Is(err, context.DeadlineExceeded):
		return c.refuse(http.StatusGatewayTimeout, providerProblem(fmt.Sprintf("none within %s", c.route.Service.Timeout)))
	case errors.Is(err, errTooLong):
		return c.refuse(http.StatusBadGateway, providerProblem(fmt.Sprintf("more than max_answer, %d bytes", c.route.Service.MaxAnswer)))
	}
	c.log.Warn("no answer of a provider", "eservice", c.route.Service.ID, "error", err)
	return c.refuse(http.StatusBadGateway, providerProblem("none"))
}

// pass hands on a call to an operation that tells of no person.
func (c *call) pass() string {
	ctx, cancel := context.WithTimeout(c.r.Context(), c.route.Service.Timeout)
	defer cancel()
	resp, err := c.call(ctx)
	if err != nil {
		return c.noAnswer(err)
	}
	defer resp.Body.Close()
	content, err := c.store.hold(resp.Body, c.route.Service.MaxAnswer)
	if err != nil {
		return c.noAnswer(err)
	}
	defer content.close()
	return c.release(resp, content, nil)
}

// sendPatience is how long a consumer may take to send its request, and to take each
// part of an answer.
const sendPatience = 30 * time.Second

// release sends an answer. done is nil where it is about nobody.
func (c *call) release(resp *http.Response, content *held, done *recorded) string {
	if c.r.Context().Err() != nil {
		if done != nil && done.spooled != nil {
			c.withhold(done)
		} else if done != nil {
			c.undelivered(done)
		}
		return outcomeGone
	}
	if done == nil { // no receipt of it was synced, and tokens that are good once with that
		if err := c.memory.Sync(); err != nil {
			return c.fault(err, http.StatusInternalServerError)
		}
	}
	h := c.w.Header()
	forward(h, resp.Header)
	if c.r.Method != http.MethodHead && resp.StatusCode != http.StatusNoContent && resp.StatusCode != http.StatusNotModified {
		h.Set("Content-Length", strconv.FormatInt(content.size, 10))
	}
	if done != nil {
		h.Set("Cache-Control", "no-store") // a copy would be given without a record
		h.Set(ReceiptHeader, done.receiptHeader())
	}
	c.w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(&patient{c.w, http.NewResponseController(c.w)}, content.reader()); err != nil {
		// How much of it arrived nobody knows: it counts as released.
		c.log.Info("an answer broke off", "error", "the connection ended")
		return outcomeBroken
	}
	switch {
	case done == nil:
		return outcomePassed
	case done.spooled != nil:
		return "spooled"
	}
	return "released"
}

// patient gives each write its own time.
type patient struct {
	w  io.Writer
	rc *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	if err := p.rc.SetWriteDeadline(time.Now().Add(sendPatience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.w.Write(b)
}

// problem is what goes out as application/problem+json, as the ledger's own.
type problem struct {
	Type      string          `json:"type"`
	Title     string          `json:"title"`
	Status    int             `json:"status"`
	Code      string          `json:"code,omitempty"`
	Where     string          `json:"where,omitempty"`
	Expected  string          `json:"expected,omitempty"`
	Found     string          `json:"found,omitempty"`
	ReceiptID string          `json:"receipt_id,omitempty"` // of a denial that is recorded
	Policies  json.RawMessage `json:"policies,omitempty"`   // that forbid it
}

// refuse answers with a problem, whose code is the outcome.
func (c *call) refuse(status int, p *ledger.Problem) string {
	c.send(problem{Status: status, Code: p.Code, Where: p.Where, Expected: p.Expected, Found: p.Found})
	return p.Code
}

// later is a refusal that time may mend.
func (c *call) later(p *ledger.Problem) string {
	c.w.Header().Set("Retry-After", "1")
	return c.refuse(http.StatusServiceUnavailable, p)
}

// deny answers a call that the ledger's policies deny, and that is recorded so.
func (c *call) deny(done *recorded) string {
	c.w.Header().Set(ReceiptHeader, done.receiptHeader())
	c.send(problem{
		Status: http.StatusForbidden, Code: "denied", Where: "receipt", Expected: "an access that the active policies allow", Found: "one that they deny",
		ReceiptID: done.answer.ReceiptID, Policies: done.policies,
	})
	return "denied"
}

// reject answers a call that is wrong by itself.
func (c *call) reject(err error) string {
	var p *ledger.Problem
	if !errors.As(err, &p) {
		if c.r.Context().Err() != nil {
			return outcomeGone
		}
		c.log.Error("couldn't judge a call", "error", err)
		p = &ledger.Problem{Code: "unchecked"}
	}
	checks.Refuse(c.w, err)
	return p.Code
}

// fault answers an error that isn't the call's: a problem with this status, any
// other with 500 and no more said.
func (c *call) fault(err error, status int) string {
	var p *ledger.Problem
	if errors.As(err, &p) {
		return c.refuse(status, p)
	}
	if errors.Is(err, memory.ErrUnavailable) || errors.Is(err, memory.ErrTaken) {
		c.log.Error("nothing is released", "error", err)
		return c.later(&ledger.Problem{Code: "memory_unavailable", Where: "memory", Expected: "the same call again, later", Found: "the gateway's memory, which doesn't answer"})
	}
	c.log.Error("couldn't serve a call", "error", err)
	return c.refuse(http.StatusInternalServerError, &ledger.Problem{Code: "internal", Expected: "an answer", Found: "an error of the gateway's own"})
}

func (c *call) send(p problem) {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{"type":"about:blank"}`)
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	c.w.WriteHeader(p.Status)
	c.w.Write(body)
}
