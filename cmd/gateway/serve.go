// SPDX-License-Identifier: EUPL-1.2

package main

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
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/net/netutil"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/checks"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/cmd/internal/serving"
)

const (
	drainPatience  = 45 * time.Second // for calls under way once a stop was asked
	maxConnections = 2048             // at once, each with a request in memory
)

func serveCommand() *cobra.Command {
	var readyFile string
	cmd := &cobra.Command{
		Use:   "serve CONFIG",
		Short: "Stand before the provider's e-services",
		Long: `serve takes calls until SIGINT or SIGTERM, and then ends those under way. SIGHUP reads
CONFIG and the files that it names again; one with a fault is refused and told, and the
old one stays. Certificate, signing key, tokens' keys and e-services change so; what else
changes with a restart alone is told too.

The memory that CONFIG names is made once, by gateway init.

On the metrics address: /metrics, and /ready, which says 200 while calls are taken.`,
		Example: `  gateway init /etc/traccia/gateway.yaml
  gateway serve /etc/traccia/gateway.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			return serve(cmd.Context(), args[0], readyFile, log)
		},
	}
	cmd.Flags().StringVar(&readyFile, "ready-file", "", "file to write once calls are taken, as JSON")
	return cmd
}

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
	o, problems := open(c, false)
	if len(problems) > 0 {
		return nil, nil, &config.Refused{Problems: problems}
	}
	if s.memory == nil {
		if s.memory, err = openMemory(c, s.log); err != nil {
			return nil, nil, err
		}
	}
	checker, err := checks.New(checks.Config{PDND: o.pdnd, Clients: o.clients, Issuers: c.PDND.Issuers, Consumers: o.consumers, Seen: s.memory})
	if err != nil {
		return nil, nil, err
	}
	return &gateway.Parts{Config: c, Judge: checker, Key: o.key, Policy: o.policy, Ledger: o.ledger}, o.certificate, nil
}

func openMemory(c *config.Config, log *slog.Logger) (*memory.Memory, error) {
	m, err := memory.Open(c.Memory, c.Identity.Body, c.Ledger.Name, memory.Options{Logger: log})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Usagef("%w; a new gateway's memory is made by gateway init: one that was lost is restored from its backup", err)
	}
	return m, err
}

// reload goes on with the configuration as it is now, or with the old one.
func (s *service) reload() {
	p, certificate, err := s.load()
	if err == nil {
		err = s.gateway.Reload(p)
	}
	if err != nil {
		s.log.Error("the configuration is refused, the old one stays", "error", err)
		return
	}
	s.certificate.Store(certificate)
	s.log.Info("the configuration was read again")
}

func serve(ctx context.Context, path, readyFile string, log *slog.Logger) (err error) {
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
	return s.listen(ctx, p.Config, registry, readyFile)
}

// ready is what the ready file holds.
type ready struct {
	Listen  string `json:"listen"`
	Metrics string `json:"metrics,omitempty"`
}

func (s *service) listen(ctx context.Context, c *config.Config, registry *prometheus.Registry, readyFile string) error {
	var r ready
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
	if err = s.listenControl(c.Memory, start); err != nil {
		return err
	}
	if c.Metrics != "" {
		if r.Metrics, err = start("tcp", c.Metrics, serving.Metrics(registry, stopping(ctx)), nil); err != nil {
			return err
		}
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	var secure *tls.Config
	if c.TLS != nil {
		secure = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate.Load(), nil }}
	}
	if r.Listen, err = start("tcp", c.Listen, s.gateway, secure); err != nil {
		return err
	}
	if err := serving.WriteReady(readyFile, r); err != nil {
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
		case <-hup:
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
