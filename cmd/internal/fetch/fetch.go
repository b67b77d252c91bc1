// SPDX-License-Identifier: EUPL-1.2

// Package fetch reads a log over HTTP (c2sp.org/tlog-tiles), for all of the
// project's commands that look at one as an outsider.
//
// Nothing that it returns is trusted. What must always hold: it follows no
// redirect to another host, speaks plain HTTP with this machine only, and reads
// no more than what is asked for can be long.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

// Limits of a fetch.
const (
	patience      = 30 * time.Second // for one answer, its body included
	attempts      = 4
	firstPause    = 250 * time.Millisecond // before the second attempt; doubled for each further one
	longestPause  = 10 * time.Second       // however long a server asks to wait
	maxCheckpoint = 64 << 10
	maxTile       = 32 * checkpoint.TileWidth
	maxEntries    = (2 + 65535) * checkpoint.TileWidth
)

// Log fetches from a log's read API: a checkpoint.Fetcher that retries what may
// pass.
type Log struct {
	prefix *url.URL
	client *http.Client
}

// NewLog returns the log at this prefix, which ParseURL has checked.
func NewLog(prefix *url.URL) *Log { return &Log{prefix, NewClient(prefix)} }

// NewClient returns a client for what is at this prefix and below, as the
// package's rules say.
func NewClient(prefix *url.URL) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if prefix.Scheme == "http" {
		// A name can lead anywhere; its addresses count.
		transport.Proxy = nil
		transport.DialContext = (&net.Dialer{Timeout: patience, Control: onlyLoopback}).DialContext
	}
	client := &http.Client{Timeout: patience, Transport: transport}
	client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if next.URL.Scheme != prefix.Scheme || next.URL.Host != prefix.Host {
			return errors.New("refusing a redirect to another host")
		}
		if len(via) > 3 {
			return errors.New("refusing a fourth redirect")
		}
		return nil
	}
	return client
}

func onlyLoopback(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().IsLoopback() {
		return errors.New("refusing plain http to another machine")
	}
	return nil
}

// ParseURL reads the URL of a ledger or of a log, without its last slashes.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, cli.Usagef("%q is no URL of a ledger, such as https://registro.example", text)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, cli.Usagef("the URL of a ledger has no user, query or fragment")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, cli.Usagef("plain http is for this machine only: use https for %s", u.Host)
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	return u, nil
}

func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// Fetch returns what is at path under the log's prefix.
func (l *Log) Fetch(ctx context.Context, path string) ([]byte, error) {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		data, err := l.try(ctx, path)
		var passing *passingError
		if !errors.As(err, &passing) || attempt == attempts {
			return data, err
		}
		select {
		case <-time.After(min(max(pause, passing.after), longestPause)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		pause *= 2
	}
}

// passingError is one that another attempt may not meet.
type passingError struct {
	err   error
	after time.Duration // the server asked to wait this long
}

func (e *passingError) Error() string { return e.err.Error() }
func (e *passingError) Unwrap() error { return e.err }

func (l *Log) try(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.prefix.JoinPath(path).String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "traccia")
	response, err := l.client.Do(request)
	if err != nil {
		return nil, &passingError{err: err}
	}
	defer response.Body.Close()
	switch code := response.StatusCode; {
	case code == http.StatusOK:
	case code == http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w", request.URL, fs.ErrNotExist)
	case code == http.StatusTooManyRequests || code >= 500:
		seconds, _ := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 16)
		return nil, &passingError{fmt.Errorf("%s answered %s", request.URL, response.Status), time.Duration(seconds) * time.Second}
	default:
		return nil, fmt.Errorf("%s answered %s", request.URL, response.Status)
	}
	most := limit(path)
	data, err := io.ReadAll(io.LimitReader(response.Body, int64(most)+1))
	if err != nil {
		return nil, &passingError{err: fmt.Errorf("couldn't read %s: %w", request.URL, err)}
	}
	if len(data) > most {
		return nil, fmt.Errorf("%s: expected at most %d bytes, found more", request.URL, most)
	}
	return data, nil
}

// limit is how long what a path names can be.
func limit(path string) int {
	switch {
	case strings.HasPrefix(path, "tile/entries/"):
		return maxEntries
	case strings.HasPrefix(path, "tile/"):
		return maxTile
	case strings.HasPrefix(path, "blob/"):
		return ledger.MaxBundle
	}
	return maxCheckpoint
}
