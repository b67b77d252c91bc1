// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
)

const (
	// stall is how long a ledger may leave a request without a further byte.
	stall = 2 * time.Minute
	// firstPause and longestPause bound the time between two attempts, unless
	// the ledger names one.
	firstPause   = 250 * time.Millisecond
	longestPause = 30 * time.Second
	maxAnswer    = 1 << 25 // bytes of an answer: 10,000 subjects take some 3 MB
)

// client speaks to one ledger.
type client struct {
	base     *url.URL
	http     *http.Client
	patience time.Duration // how long to go on without any progress
	notice   io.Writer     // what the user should know meanwhile
}

// clientFlags are the flags of the commands that speak to a ledger.
type clientFlags struct {
	url      string
	patience time.Duration
}

func (f *clientFlags) add(cmd *cobra.Command, patience time.Duration) {
	cmd.Flags().StringVar(&f.url, "url", "", "the ledger's address, https (http only on this machine)")
	cmd.Flags().DurationVar(&f.patience, "patience", patience, "how long to keep trying while the ledger is busy or doesn't answer")
	cmd.MarkFlagRequired("url")
}

func (f *clientFlags) client(cmd *cobra.Command) (*client, error) {
	base, err := parseURL(f.url)
	if err != nil {
		return nil, cli.Usagef("--url: %w", err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	return &client{
		base: base, patience: f.patience, notice: cmd.ErrOrStderr(),
		http: &http.Client{
			Transport: transport,
			// A submission goes where the user said, nowhere else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// parseURL takes the address of a ledger. What is sent there names persons, so
// it is encrypted unless it stays on this machine.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("expected an address such as https://registro.example, found %q", text)
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	if u.Scheme == "http" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("expected https, found http to %s: submissions name citizens", host)
	}
	return u, nil
}

// unavailable is a failure that may pass: nothing is known of what was sent,
// and it can be sent again.
type unavailable struct {
	after time.Duration // as the ledger asks, 0 when it doesn't
	err   error
}

func (e *unavailable) Error() string { return e.err.Error() }
func (e *unavailable) Unwrap() error { return e.err }

// refusal is an answer of 4xx. Its Problem is zero where the answer had none.
type refusal struct {
	status  int
	problem ledger.Problem
	detail  string
	answer  json.RawMessage // of an access that is denied, and recorded so
}

func (e *refusal) Error() string {
	text := fmt.Sprintf("the ledger answered %d %s", e.status, http.StatusText(e.status))
	if e.problem.Code != "" {
		return text + ": " + e.problem.Error()
	}
	if e.detail != "" {
		return text + ": " + e.detail
	}
	return text + ", with no problem that a ledger would name: is the address right?"
}

// post sends a body and gives the response of 200 or 201, which the caller
// closes. Other errors than *unavailable and *refusal are final.
func (c *client) post(ctx context.Context, path, contentType string, body []byte) (*http.Response, error) {
	r, err := c.request(ctx, path, contentType, body)
	if err != nil {
		return nil, err
	}
	return c.send(r)
}

func (c *client) request(ctx context.Context, path, contentType string, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("couldn't make a request: %w", err)
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Accept", "application/json, application/x-ndjson, application/gzip, application/problem+json")
	return r, nil
}

// ask sends a request and reads the answer of 200 or 201 whole. Errors are those of
// post.
func (c *client) ask(r *http.Request) (status int, data []byte, err error) {
	ctx, _, cancel := watched(r.Context())
	defer cancel()
	resp, err := c.send(r.WithContext(ctx))
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if data, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return 0, nil, &unavailable{err: fmt.Errorf("couldn't read the ledger's answer: %w", err)}
	}
	return resp.StatusCode, data, nil
}

func (c *client) send(r *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, judgeTransport(err)
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusCreated {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, readRefusal(resp)
}

// judgeTransport tells what time may mend from what it won't.
func judgeTransport(err error) error {
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var dns *net.DNSError
	err = fmt.Errorf("couldn't reach the ledger: %w", err)
	if errors.As(err, &certificate) || errors.As(err, &record) || errors.As(err, &dns) && dns.IsNotFound {
		return err
	}
	return &unavailable{err: err}
}

// readRefusal turns another status than 200 and 201 into an error.
func readRefusal(resp *http.Response) error {
	e := &refusal{status: resp.StatusCode}
	if to := resp.Header.Get("Location"); resp.StatusCode/100 == 3 {
		return fmt.Errorf("the ledger's address leads on to %s, and submissions aren't sent there by themselves: give it with --url", printable(to))
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && kind == "application/problem+json" {
		if data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)); err == nil {
			e.problem, e.detail = parseProblem(data)
			e.answer = answerIn(data)
		}
	}
	if mayPass(resp.StatusCode) {
		return &unavailable{retryAfter(resp.Header.Get("Retry-After"), time.Now()), e}
	}
	return e
}

// mayPass says whether the same request may have another answer later.
func mayPass(status int) bool {
	return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

// answerIn is the answer that a problem holds, if any.
func answerIn(problem []byte) json.RawMessage {
	var p struct {
		Answer json.RawMessage `json:"answer"`
	}
	if json.Unmarshal(problem, &p) != nil {
		return nil
	}
	return p.Answer
}

// parseProblem reads a problem+json for people to read. It is tolerant: a proxy
// in between may have written it.
func parseProblem(data []byte) (p ledger.Problem, detail string) {
	var members map[string]any
	if json.Unmarshal(data, &members) != nil {
		return p, ""
	}
	text := func(name string) string {
		s, _ := members[name].(string)
		return printable(s)
	}
	if detail = text("detail"); detail == "" {
		detail = text("title")
	}
	return ledger.Problem{Code: text("code"), Where: text("where"), Expected: text("expected"), Found: text("found")}, detail
}

// printable takes from a stranger's text what could rewrite a terminal.
func printable(s string) string {
	if len(s) > 500 {
		s = s[:500]
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}

// retryAfter reads the header, seconds or an HTTP date.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// pacer spaces attempts and ends them when patience is over.
type pacer struct {
	c     *client
	since time.Time // of the last progress
	pause time.Duration
}

func (c *client) pacer() *pacer { return &pacer{c, time.Now(), firstPause} }

// progress gives the ledger all patience again.
func (p *pacer) progress() { p.since, p.pause = time.Now(), firstPause }

// wait returns after a pause, or with an error when none would help.
func (p *pacer) wait(ctx context.Context, cause *unavailable) error {
	// Clients that failed together come back apart.
	pause := max(cause.after, p.pause/2+rand.N(p.pause/2+1))
	p.pause = min(2*p.pause, longestPause)
	if time.Since(p.since)+pause > p.c.patience {
		return fmt.Errorf("gave up after %s without progress: %w", time.Since(p.since).Round(time.Second), cause.err)
	}
	if pause >= time.Second && ctx.Err() == nil {
		fmt.Fprintf(p.c.notice, "%v; trying again in %s\n", cause.err, pause.Round(time.Second))
	}
	select {
	case <-ctx.Done():
		return interrupted(ctx)
	case <-time.After(pause):
		return nil
	}
}

// patiently asks until the ledger answers, or for too long.
func patiently[T any](ctx context.Context, c *client, ask func() (T, error)) (answer T, err error) {
	pace := c.pacer()
	for {
		answer, err = ask()
		var later *unavailable
		switch {
		case ctx.Err() != nil && err != nil:
			return answer, interrupted(ctx)
		case errors.As(err, &later):
			if err := pace.wait(ctx, later); err != nil {
				return answer, &cli.CouldNotCheck{Err: err}
			}
		default:
			return answer, err
		}
	}
}

// interrupted is the error of a command that was asked to stop.
func interrupted(ctx context.Context) error {
	return fmt.Errorf("interrupted, run the same command again to go on: %w", ctx.Err())
}

// watched is ctx, cancelled when touch isn't called for as long as stall.
func watched(ctx context.Context) (inner context.Context, touch func(), cancel func()) {
	inner, stop := context.WithCancelCause(ctx)
	timer := time.AfterFunc(stall, func() { stop(fmt.Errorf("no answer for %s", stall)) })
	return inner, func() { timer.Reset(stall) }, func() { timer.Stop(); stop(nil) }
}
