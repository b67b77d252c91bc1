// SPDX-License-Identifier: EUPL-1.2

// Package serving is the HTTP servers of one process: how they start, what they
// write once they serve, and how they end.
package serving

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/traccia-ledger/traccia/ledger/durable"
)

// New returns a server that waits for nobody's headers, and whose own lines, which
// name clients' addresses, are at level debug. Handlers set the deadlines of what
// they read and write.
func New(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// TLS is the configuration of a server with a certificate in files; nil, for plain
// HTTP, where they are "".
func TLS(certFile, keyFile string) (*tls.Config, error) {
	if certFile == "" {
		return nil, nil
	}
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("couldn't use the certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{certificate}}, nil
}

// Servers are those of one process. One goroutine starts and stops them.
type Servers struct {
	list   []*http.Server
	failed chan error
}

// Start has a server take connections, by TLS where it is configured.
func (s *Servers) Start(server *http.Server, l net.Listener) {
	if s.failed == nil {
		s.failed = make(chan error, 1)
	}
	s.list = append(s.list, server)
	go func() {
		var err error
		if server.TLSConfig != nil {
			err = server.ServeTLS(l, "", "")
		} else {
			err = server.Serve(l)
		}
		if errors.Is(err, http.ErrServerClosed) {
			return
		}
		select {
		case s.failed <- fmt.Errorf("couldn't go on serving: %w", err):
		default: // one failure ends them all
		}
	}()
}

// Failed gives the error of the first server that can't go on.
func (s *Servers) Failed() <-chan error { return s.failed }

// Stop takes no more connections, in the order in which they were started, and
// ends when the requests under way did, or breaks them off when patience ends.
func (s *Servers) Stop(patience time.Duration) {
	end, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, server := range s.list {
		if server.Shutdown(end) != nil {
			server.Close()
		}
	}
}

// Metrics serves /metrics, and /ready, which answers 503 and unready's words when
// these aren't "".
func Metrics(registry prometheus.Gatherer, unready func() string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if why := unready(); why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	return mux
}

// WriteReady writes the ready file whole or not at all; none where path is "".
func WriteReady(path string, content any) error {
	if path == "" {
		return nil
	}
	data, err := json.Marshal(content)
	if err != nil {
		return err
	}
	if err := durable.Replace(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("couldn't write the ready file: %w", err)
	}
	return nil
}
