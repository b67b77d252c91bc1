// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger/node"
)

func TestRefusalsAreLimited(t *testing.T) {
	f := newFixture(t, fastWorld, node.Options{})
	good := f.submission(t, 0)

	// From loopback, where a proxy may stand for many clients, there is no limit.
	bad := bytes.Repeat([]byte("{}\n"), refusalsAtOnce+100)
	for _, line := range f.open(t, bytes.NewReader(bad)).all() {
		if line.Status != http.StatusBadRequest {
			t.Fatalf("line %d: %d", line.Line, line.Status)
		}
	}
	if got := f.submit(t, good); got.status != http.StatusCreated || got.header.Get("RateLimit-Limit") != "" {
		t.Fatalf("%d %v", got.status, got.header)
	}

	var passed atomic.Int64 // nanoseconds; the limiter's time stands otherwise
	begun := time.Now()
	f.server.refusals.now = func() time.Time { return begun.Add(time.Duration(passed.Load())) }
	f.from = "192.0.2.7:4711"
	got := f.submit(t, good)
	got.answer(t, http.StatusOK)
	if got.header.Get("RateLimit-Limit") != "1000" || got.header.Get("RateLimit-Remaining") != "1000" || got.header.Get("RateLimit-Reset") != "0" {
		t.Errorf("before: %v", got.header)
	}
	got = f.submit(t, []byte("{}"))
	got.problem(t, http.StatusBadRequest, "missing", "/receipt")
	if got.header.Get("RateLimit-Remaining") != "999" || got.header.Get("RateLimit-Reset") != "1" {
		t.Errorf("after one: %v", got.header)
	}
	refused, limited := 0, 0
	for _, line := range f.open(t, bytes.NewReader(bytes.Repeat(bad, 4))).all() {
		switch line.Status {
		case http.StatusBadRequest:
			refused++
		case http.StatusTooManyRequests:
			limited++
		}
	}
	if refused < refusalsAtOnce-1 || limited == 0 || refused+limited != 4*(refusalsAtOnce+100) {
		t.Errorf("%d refused, %d limited", refused, limited)
	}
	for path, method := range map[string]string{"/v1/access-receipts": http.MethodPost, batchPath: http.MethodPost, "/v1/access-receipts/inps/" + newUUID(): http.MethodGet} {
		got = f.do(t, method, path, strings.NewReader("{}"))
		got.problem(t, http.StatusTooManyRequests, "too_many_refused", "")
		if wait, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || wait < 1 || wait > 60 {
			t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
		}
		if got.header.Get("RateLimit-Remaining") != "0" || got.header.Get("RateLimit-Reset") == "0" {
			t.Errorf("exhausted: %v", got.header)
		}
	}
	passed.Add(int64(time.Minute)) // all of them come back
	got = f.submit(t, []byte("{}"))
	got.problem(t, http.StatusBadRequest, "missing", "/receipt")
	if got.header.Get("RateLimit-Remaining") != "999" {
		t.Errorf("after a minute: %v", got.header)
	}
	// The public log isn't limited, nor is another client.
	if got := f.get(t, "/status"); got.status != http.StatusOK {
		t.Errorf("status: %d", got.status)
	}
	f.from = "192.0.2.8:4711"
	f.submit(t, good).answer(t, http.StatusOK)
}

func TestClients(t *testing.T) {
	f := newRefusals(time.Now)
	of := func(address string) any {
		if l := f.of(&http.Request{RemoteAddr: address}); l != nil {
			return l
		}
		return nil
	}
	for _, address := range []string{"127.0.0.1:80", "127.8.8.8:80", "[::1]:80", "[::ffff:127.0.0.1]:80", "@", ""} {
		if of(address) != nil {
			t.Errorf("%s is limited", address)
		}
	}
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1:80", "192.0.2.1:81", true},
		{"192.0.2.1:80", "192.0.2.2:80", false},
		{"[::ffff:192.0.2.1]:80", "192.0.2.1:80", true},
		{"[2001:db8::1]:80", "[2001:db8::ffff:0:0:1]:80", true},
		{"[2001:db8::1]:80", "[2001:db8:0:1::1]:80", false},
		{"[fe80::1%eth0]:80", "[fe80::2%eth1]:80", true},
	} {
		if (of(test.a) == of(test.b)) != test.same || of(test.a) == nil {
			t.Errorf("%s and %s: same client %v, want %v", test.a, test.b, !test.same, test.same)
		}
	}
	for i := range maxClients + 100 {
		of("198.18." + strconv.Itoa(i>>8) + "." + strconv.Itoa(i&255) + ":1")
	}
	if n := f.clients.Len(); n > maxClients {
		t.Errorf("%d clients remembered", n)
	}
}
