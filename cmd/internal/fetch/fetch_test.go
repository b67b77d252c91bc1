// SPDX-License-Identifier: EUPL-1.2

package fetch

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
)

func TestParseURL(t *testing.T) {
	for text, want := range map[string]string{
		"https://registro.example":           "https://registro.example",
		"https://registro.example/":          "https://registro.example",
		"https://registro.example/a/log/1//": "https://registro.example/a/log/1",
		"http://127.0.0.1:8080":              "http://127.0.0.1:8080",
		"http://[::1]:8080/":                 "http://[::1]:8080",
		"http://localhost/log/2026":          "http://localhost/log/2026",
	} {
		if u, err := ParseURL(text); err != nil || u.String() != want {
			t.Errorf("%s: %v, %v", text, u, err)
		}
	}
	var usage *cli.Usage
	for _, text := range []string{
		"", "registro.example", "/log", "ftp://registro.example", "file:///etc/passwd", "https://", "https://u:p@registro.example",
		"https://registro.example/?", "https://registro.example?a=b", "https://registro.example#a", "http://registro.example",
		"http://127.0.0.1.example", "http://localhost.example", "http://0.0.0.0:80", "http://10.0.0.1", "http://[fe80::1]", "https://[", "http://%31",
	} {
		if u, err := ParseURL(text); !errors.As(err, &usage) {
			t.Errorf("%s: %v, %v", text, u, err)
		}
	}
}

func TestOnlyLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:80": true, "127.9.9.9:1": true, "[::1]:80": true, "10.0.0.1:80": false, "[fe80::1]:80": false, "0.0.0.0:80": false, "registro.example:80": false, "": false,
	} {
		if err := onlyLoopback("tcp", address, nil); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// newTestLog fetches from a handler, which gets the number of each request.
func newTestLog(t *testing.T, serve func(n int, w http.ResponseWriter)) *Log {
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n++
		serve(n, w)
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return NewLog(u)
}

// TestFetchAgain: what may pass is tried again, and nothing else.
func TestFetchAgain(t *testing.T) {
	for code, want := range map[int]int{http.StatusNotFound: 1, http.StatusGone: 1, http.StatusTooManyRequests: attempts, http.StatusBadGateway: attempts} {
		t.Run(http.StatusText(code), func(t *testing.T) {
			t.Parallel()
			requests := 0
			l := newTestLog(t, func(n int, w http.ResponseWriter) { requests = n; w.WriteHeader(code) })
			_, err := l.Fetch(t.Context(), "checkpoint")
			if err == nil || errors.Is(err, fs.ErrNotExist) != (code == http.StatusNotFound) || requests != want {
				t.Errorf("%v after %d requests", err, requests)
			}
		})
	}
}

func TestFetch(t *testing.T) {
	for path, length := range map[string]int{"checkpoint": maxCheckpoint, "tile/0/000": maxTile, "tile/entries/000": maxEntries} {
		for over := range 2 {
			data, err := newTestLog(t, func(_ int, w http.ResponseWriter) { w.Write(make([]byte, length+over)) }).Fetch(t.Context(), path)
			if (err == nil) != (over == 0) || over == 0 && len(data) != length {
				t.Errorf("%s of %d bytes: %v", path, length+over, err)
			}
		}
	}
	// However long a server asks to wait, an interruption ends it.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err := newTestLog(t, func(_ int, w http.ResponseWriter) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	}).Fetch(ctx, "checkpoint")
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 5*time.Second {
		t.Errorf("%v after %s", err, time.Since(begun))
	}
}
