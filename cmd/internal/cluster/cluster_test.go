// SPDX-License-Identifier: EUPL-1.2

package cluster

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/traccia-ledger/traccia/cmd/internal/api"
	"github.com/traccia-ledger/traccia/ledger/place"
	"github.com/traccia-ledger/traccia/ledger/postgres"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// database is a lease that members share.
type database struct {
	secure bool // its members speak TLS and HTTP/2

	mu    sync.Mutex
	lease postgres.Lease // guarded by mu
}

func (d *database) read(context.Context) (postgres.Lease, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lease, nil
}

// expire makes the store anybody's.
func (d *database) expire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lease.Free = true
}

// testNode is a member with a service of its own.
type testNode struct {
	*Member
	server *httptest.Server
	leave  func() error
	failed atomic.Pointer[error] // why its service can't go on
	unable atomic.Pointer[error] // why it can't sequence
	stale  atomic.Bool           // it doesn't see the public log
	served atomic.Int64          // requests that its service had
	handle func(w http.ResponseWriter, r *http.Request)
}

func (d *database) join(t *testing.T, handle func(w http.ResponseWriter, r *http.Request)) *testNode {
	t.Helper()
	n := &testNode{handle: handle}
	n.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.Member.ServeHTTP(w, r) }))
	n.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	var roots *x509.CertPool
	if d.secure {
		n.server.EnableHTTP2 = true
		n.server.StartTLS()
		roots = x509.NewCertPool()
		roots.AddCert(n.server.Certificate())
	} else {
		n.server.Start()
	}
	t.Cleanup(n.server.Close)
	var mine postgres.Holder
	service := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.served.Add(1)
		n.handle(w, r)
	})
	n.Member = New(Config{
		URL: n.server.URL, Lease: d.read, Roots: roots, Logger: slog.New(slog.DiscardHandler), Log: http.HandlerFunc(servePublic),
		LogTrouble: func() error {
			if n.stale.Load() {
				return errors.New("stale")
			}
			return nil
		},
		Able:    func() error { return loaded(&n.unable) },
		Metrics: prometheus.NewRegistry(),
		Lead: func(_ context.Context, c place.Claim) (*Service, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			if !d.lease.Free {
				return nil, store.ErrLocked
			}
			if err := loaded(&n.unable); err != nil {
				return nil, err
			}
			d.lease, mine = postgres.Lease{Holder: c.Holder, URL: c.URL}, c.Holder
			return &Service{
				Handler: service,
				Submit: func(_ context.Context, r *http.Request, raw []byte) api.Outcome {
					n.served.Add(1)
					return api.Outcome{Status: http.StatusCreated, Body: fmt.Appendf(nil, `{"by":%q,"raw":%s}`, n.URL, raw)}
				},
				Err:     func() error { return loaded(&n.failed) },
				Unready: func() string { return "" },
				Close: func() error {
					d.mu.Lock()
					defer d.mu.Unlock()
					if d.lease.Holder == mine {
						d.lease.Free = true
					}
					return nil
				},
			}, nil
		},
	})
	ctx, end := context.WithCancel(context.Background())
	go n.Watch(ctx)
	ran := make(chan error, 1)
	stop, cancel := context.WithCancel(ctx)
	go func() { ran <- n.Run(stop) }()
	n.leave = sync.OnceValue(func() error {
		n.Leave()
		cancel()
		return <-ran
	})
	t.Cleanup(func() {
		if err := n.leave(); err != nil {
			t.Error(err)
		}
		end()
	})
	settled, cancelSettled := context.WithTimeout(ctx, time.Minute)
	defer cancelSettled()
	n.Settled(settled)
	return n
}

func loaded(p *atomic.Pointer[error]) error {
	if err := p.Load(); err != nil {
		return *err
	}
	return nil
}

// servePublic is what a node knows of the public log by itself.
func servePublic(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/log/2026/checkpoint" {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
	}
	io.WriteString(w, "its own")
}

// TestPublicLog asks two nodes for what is published, and the one that doesn't
// sequence for more, which the other one may have.
func TestPublicLog(t *testing.T) {
	d := &database{lease: postgres.Lease{Free: true}}
	first := d.join(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the sequencer's") })
	second := d.join(t, echo)
	for path, want := range map[string]string{"/log/2026/checkpoint": "its own", "/log/2026/tile/0/000": "the sequencer's"} {
		for name, n := range map[string]*testNode{"first": first, "second": second} {
			response, body := ask(t, n, "GET", path, "")
			if body != want || strings.Contains(response.Header.Get("Content-Type"), "problem") {
				t.Errorf("%s of the %s: %q, %v", path, name, body, response.Header)
			}
		}
	}
	second.stale.Store(true)
	if _, body := ask(t, second, "GET", "/log/2026/checkpoint", ""); body != "the sequencer's" {
		t.Errorf("of a node that doesn't see the log: %q", body)
	}
	if why := second.Unready(); why != "stale" {
		t.Errorf("it is unready because %q", why)
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Set-Cookie", "session=1")
	fmt.Fprintf(w, "%s %s host %s cookie %s from %s internal %q%q: %s", r.Method, r.RequestURI, r.Host, r.Header.Get("Cookie"), strings.Split(r.RemoteAddr, ":")[0],
		r.Header.Get(holderHeader), r.Header.Get(clientHeader), body)
}

func ask(t *testing.T, n *testNode, method, path, content string, header ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, n.server.URL+path, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "registro.example"
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := n.server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// TestForward asks each of two nodes for what one of them answers.
func TestForward(t *testing.T) {
	for name, secure := range map[string]bool{"HTTP": false, "TLS": true} {
		t.Run(name, func(t *testing.T) { testForward(t, secure) })
	}
}

func testForward(t *testing.T, secure bool) {
	d := &database{lease: postgres.Lease{Free: true}, secure: secure}
	first := d.join(t, echo)
	second := d.join(t, echo)
	for name, n := range map[string]*testNode{"first": first, "second": second} {
		response, body := ask(t, n, "POST", "/it/consensi?a=b", "some words", "Cookie", "session=2", clientHeader, "203.0.113.7:1")
		if want := `POST /it/consensi?a=b host registro.example cookie session=2 from 127.0.0.1 internal "": some words`; body != strings.Replace(want, `""`, `""""`, 1) || response.Header.Get("Set-Cookie") != "session=1" {
			t.Errorf("through the %s: %q, %v", name, body, response.Header)
		}
		if why := n.Unready(); why != "" {
			t.Errorf("the %s isn't ready: %s", name, why)
		}
	}
	if first.served.Load() != 2 || second.served.Load() != 0 {
		t.Errorf("the first answered %d requests, the second %d", first.served.Load(), second.served.Load())
	}
	// Nobody but a node that knows the lease is taken for one, and nothing is
	// forwarded twice.
	for name, n := range map[string]*testNode{"first": first, "second": second} {
		response, body := ask(t, n, "GET", "/status", "", holderHeader, strings.Repeat("0", 32), clientHeader, "203.0.113.7:1")
		if response.StatusCode != http.StatusMisdirectedRequest || !strings.Contains(body, codeNotHolder) {
			t.Errorf("the %s took what was forwarded to another: %d %s", name, response.StatusCode, body)
		}
	}
	first.handle = func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"origin":"a"}`) }
	for n, role := range map[*testNode]string{first: "sequencer", second: "follower"} {
		want := `{"node":{"role":"` + role + `","sequencer":"` + first.URL + `"},"origin":"a"}`
		if response, body := ask(t, n, "GET", "/status", ""); response.StatusCode != http.StatusOK || body != want {
			t.Errorf("status of the %s: %d %s", role, response.StatusCode, body)
		}
	}
	response, body := ask(t, second, "POST", "/v1/access-receipts", strings.Repeat("x", api.MaxSubmission+2))
	if response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: %d %s", response.StatusCode, body)
	}
}

// TestGoesOn has the node that sequences break, refuse and leave in the middle of
// requests: the other one's answer comes instead.
func TestGoesOn(t *testing.T) {
	for name, interrupt := range map[string]func(d *database, first *testNode, w http.ResponseWriter){
		"leaves": func(_ *database, first *testNode, w http.ResponseWriter) {
			go first.leave()
			<-first.view().over
			api.WriteProblem(w, http.StatusServiceUnavailable, first.nobody())
		},
		"breaks": func(_ *database, first *testNode, w http.ResponseWriter) {
			err := errors.New("a disk")
			first.failed.Store(&err)
			<-first.view().over
			panic(http.ErrAbortHandler)
		},
		"was replaced": func(d *database, first *testNode, w http.ResponseWriter) {
			d.expire()
			<-first.view().over
			time.Sleep(10 * time.Millisecond)
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, `{"code":"stopped"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &database{lease: postgres.Lease{Free: true}}
			first := d.join(t, nil)
			var once sync.Once
			first.handle = func(w http.ResponseWriter, r *http.Request) {
				hit := false
				once.Do(func() {
					hit = true
					interrupt(d, first, w)
				})
				if !hit {
					echo(w, r)
				}
			}
			second := d.join(t, echo)
			response, body := ask(t, second, "POST", "/v1/access-receipts", "a submission")
			if response.StatusCode != http.StatusOK || !strings.HasSuffix(body, ": a submission") || response.Header.Get("Retry-After") != "" {
				t.Errorf("status %d, %q", response.StatusCode, body)
			}
		})
	}
}

// TestUnreachable has a node whose requests don't reach the one that sequences: it
// says so, and to clients too, until they do.
func TestUnreachable(t *testing.T) {
	d := &database{lease: postgres.Lease{Free: true}}
	first := d.join(t, echo)
	second := d.join(t, echo)
	advertise := func(url string) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.lease.URL = url
	}
	for name, c := range map[string]struct{ url, why string }{
		"nobody listens":       {"http://127.0.0.1:1", "connection refused"},
		"another node answers": {second.URL, errElsewhere.Error()},
		"no address":           {"nowhere", "expected https://"},
	} {
		advertise(c.url)
		var err error
		for err == nil || !strings.Contains(err.Error(), c.why) {
			time.Sleep(time.Millisecond)
			_, err = second.unreachable()
		}
		if p := second.nobody(); p.Code != api.CodeUnreachable {
			t.Errorf("%s: clients are told %q", name, p.Code)
		}
		second.mu.Lock()
		second.unreached.since = time.Now().Add(-blind)
		second.mu.Unlock()
		if why := second.Unready(); !strings.Contains(why, c.why) || !strings.Contains(why, c.url) {
			t.Errorf("%s: it is unready because %q", name, why)
		}
		advertise(first.URL)
		for second.Unready() != "" {
			time.Sleep(time.Millisecond)
		}
		if response, body := ask(t, second, "POST", "/v1/access-receipts", "a submission"); response.StatusCode != http.StatusOK {
			t.Errorf("%s, and then it does: %d, %s", name, response.StatusCode, body)
		}
	}
}

// TestUnable has a node that can't sequence: it says so, stays, and sequences once it
// can.
func TestUnable(t *testing.T) {
	d := &database{lease: postgres.Lease{Free: true}}
	first := d.join(t, echo)
	second := d.join(t, echo)
	why := errors.New("a policy")
	second.unable.Store(&why)
	for _, mended := range []bool{false, true, false} {
		want := "couldn't sequence: a policy"
		if mended {
			second.unable.Store(nil)
			want = ""
		} else {
			second.unable.Store(&why)
		}
		second.rehearse()
		if got := second.Unready(); got != want {
			t.Errorf("while the first sequences it is unready because %q, want %q", got, want)
		}
	}
	second.noteAble(nil)
	if err := first.leave(); err != nil {
		t.Fatal(err)
	}
	for second.Unready() != "couldn't sequence: a policy" {
		time.Sleep(time.Millisecond)
	}
	second.unable.Store(nil)
	if response, body := ask(t, second, "POST", "/v1/access-receipts", "a submission"); response.StatusCode != http.StatusOK {
		t.Errorf("once it can: %d, %s", response.StatusCode, body)
	}
	if why := second.Unready(); why != "" {
		t.Errorf("once it can it is unready because %q", why)
	}
}

// TestFormCutOff doesn't send a form twice that may have been taken.
func TestFormCutOff(t *testing.T) {
	d := &database{lease: postgres.Lease{Free: true}}
	d.join(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	second := d.join(t, echo)
	response, body := ask(t, second, "POST", "/it/consensi", "a form")
	if response.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, `"uncertain"`) {
		t.Errorf("status %d, %s", response.StatusCode, body)
	}
}

// TestBatchGoesOn streams lines through a node while the one that sequences changes.
func TestBatchGoesOn(t *testing.T) {
	d := &database{lease: postgres.Lease{Free: true}}
	submit := func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"raw":%s}`, raw)
	}
	first := d.join(t, submit)
	second := d.join(t, submit)
	in, lines := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), "POST", second.server.URL+batchPath, in)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for i := range 200 {
			fmt.Fprintln(lines, i)
			if i == 100 {
				for first.served.Load() < 10 {
					time.Sleep(time.Millisecond)
				}
				first.leave()
			}
		}
		lines.Close()
	}()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Split(strings.TrimSpace(string(body)), "\n")
	if len(answers) != 200 {
		t.Fatalf("%d answers to 200 lines", len(answers))
	}
	for i, a := range answers {
		if !strings.HasPrefix(a, fmt.Sprintf(`{"line":%d,"status":201,`, i+1)) || !strings.HasSuffix(a, fmt.Sprintf(`"raw":%d}}`, i)) {
			t.Errorf("line %d: %s", i+1, a)
		}
	}
	if first.served.Load() == 0 || second.served.Load() == 0 {
		t.Errorf("the first recorded %d lines, the second %d", first.served.Load(), second.served.Load())
	}
}

func TestCheckURL(t *testing.T) {
	for text, good := range map[string]bool{
		"https://a.example": true, "https://a.example:8443": true, "http://127.0.0.1:80": true, "http://localhost": true, "http://[::1]:8080": true,
		"http://a.example": false, "https://a.example/": false, "https://u@a.example": false, "a.example": false, "": false, "ftp://127.0.0.1": false, "https://a.example?b": false,
	} {
		if err := CheckURL(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}
