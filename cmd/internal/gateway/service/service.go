// SPDX-License-Identifier: EUPL-1.2

// Package service is a gateway as a process runs it: what its configuration names,
// opened and read again; where it listens; and the socket on which it answers
// commands. cmd/gateway serves it, and ledgerd dev as a sample.
package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/net/netutil"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/checks"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/traces"
	"github.com/traccia-ledger/traccia/cmd/internal/serving"
	"github.com/traccia-ledger/traccia/ledger/postgres"
)

const (
	drainPatience  = 45 * time.Second // for calls under way once a stop was asked
	maxConnections = 2048             // at once, each with a request in memory
)

// service is a gateway and where it listens.
type service struct {
	path        string
	log         *slog.Logger
	memory      *memory.Memory
	gateway     *gateway.Gateway
	certificate atomic.Pointer[tls.Certificate]
}

// load reads a configuration with all that it names. The certificate is nil without TLS.
func (s *service) load() (*gateway.Parts, *tls.Certificate, error) {
	c, err := config.Load(s.path)
	if err != nil {
		return nil, nil, err
	}
	o, problems := Open(c, false)
	if len(problems) > 0 {
		return nil, nil, &config.Refused{Problems: problems}
	}
	if s.memory == nil {
		if s.memory, err = OpenMemory(c, false, s.log); err != nil {
			return nil, nil, err
		}
	}
	checker, err := checks.New(checks.Config{PDND: o.PDND, Clients: o.Clients, Issuers: c.PDND.Issuers, Consumers: o.Consumers, Seen: s.memory})
	if err != nil {
		return nil, nil, err
	}
	file, err := traces.Open(c.Traces)
	if err != nil {
		return nil, nil, err
	}
	return &gateway.Parts{Config: c, Judge: checker, Key: o.Key, Policy: o.Policy, Ledger: o.Ledger, Traces: file}, o.Certificate, nil
}

// MemoryOptions are how a configuration wants its memory.
func MemoryOptions(c *config.Config, log *slog.Logger) (memory.Options, error) {
	o := memory.Options{Logger: log}
	if c.Database == "" {
		return o, nil
	}
	a, err := postgres.ParseAddress(c.Database)
	if err != nil {
		return o, fmt.Errorf("the database's URL: %w", err)
	}
	o.Database = &a
	return o, nil
}

// OpenMemory opens the memory that a configuration names; to be looked at alone, if
// look says so.
func OpenMemory(c *config.Config, look bool, log *slog.Logger) (*memory.Memory, error) {
	o, err := MemoryOptions(c, log)
	if err != nil {
		return nil, err
	}
	o.Look = look
	m, err := memory.Open(c.Memory, c.Identity.Body, c.Ledger.Name, o)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Usagef("%w; a new gateway's memory is made by gateway init: one that was lost is restored from its backup", err)
	}
	return m, err
}

// reload goes on with the configuration as it is now, or with the old one.
func (s *service) reload() {
	p, certificate, err := s.load()
	if err == nil {
		if err = s.gateway.Reload(p); err != nil {
			p.Traces.Close()
		}
	}
	if err != nil {
		s.log.Error("the configuration is refused, the old one stays", "error", err)
		return
	}
	s.certificate.Store(certificate)
	s.log.Info("the configuration was read again")
}

// Serve takes calls by the configuration at path until ctx ends, and then ends those
// under way. What comes from again has the configuration read again. started is called
// once calls are taken; its error ends the service.
func Serve(ctx context.Context, path string, log *slog.Logger, again <-chan os.Signal, started func(Ready) error) (err error) {
	s := &service{path: path, log: log}
	p, certificate, err := s.load()
	if s.memory != nil {
		defer func() { err = errors.Join(err, s.memory.Close()) }()
	}
	if err != nil {
		return err
	}
	s.certificate.Store(certificate)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if s.gateway, err = gateway.New(p, s.memory, log, registry); err != nil {
		return err
	}
	defer s.gateway.Close()
	return s.listen(ctx, p.Config, registry, again, started)
}

// Ready says where calls are taken.
type Ready struct {
	Listen  string `json:"listen"`
	Metrics string `json:"metrics,omitempty"`
}

func (s *service) listen(ctx context.Context, c *config.Config, registry *prometheus.Registry, again <-chan os.Signal, started func(Ready) error) error {
	var r Ready
	var servers serving.Servers
	start := func(network, address string, h http.Handler, config *tls.Config) (string, error) {
		l, err := net.Listen(network, address)
		if err != nil {
			return "", fmt.Errorf("couldn't listen: %w", err)
		}
		server := serving.New(h, s.log)
		server.MaxHeaderBytes = 96 << 10 // three tokens of 16 KiB fit
		server.TLSConfig = config
		servers.Start(server, netutil.LimitListener(l, maxConnections))
		return l.Addr().String(), nil
	}
	defer servers.Stop(drainPatience)
	var err error
	var secure *tls.Config
	if c.TLS != nil {
		secure = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate.Load(), nil }}
	}
	// Calls first: a stop ends them first, whatever a command does that hasn't taken its answer yet.
	if r.Listen, err = start("tcp", c.Listen, s.gateway, secure); err != nil {
		return err
	}
	if err = s.listenControl(c.Memory, start); err != nil {
		return err
	}
	if c.Metrics != "" {
		if r.Metrics, err = start("tcp", c.Metrics, serving.Metrics(registry, stopping(ctx)), nil); err != nil {
			return err
		}
	}
	if err := started(r); err != nil {
		return err
	}
	s.log.Info("taking calls", "listen", r.Listen, "metrics", r.Metrics, "e_services", len(c.EServices))
	for {
		select {
		case <-ctx.Done():
			s.log.Info("stopping: calls under way are ended first")
			return nil
		case err := <-servers.Failed():
			return err
		case <-again:
			s.reload()
		}
	}
}

// stopping says why no more calls are taken.
func stopping(ctx context.Context) func() string {
	return func() string {
		if ctx.Err() != nil {
			return "stopping"
		}
		return ""
	}
}
