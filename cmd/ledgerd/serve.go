// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/net/netutil"

	"github.com/traccia-ledger/traccia/cmd/internal/api"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/serving"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// serveFlags say where a ledger listens.
type serveFlags struct {
	listen, metrics  string
	tlsCert, tlsKey  string
	readyFile        string
	maxConnections   int
	maxQueuedLeaves  int
	shutdownPatience time.Duration
	advertise        string // where other nodes reach this one; "": there are none
	nodesCA          string
	linger           time.Duration
	pages            pagesMaker
	canLogin         func() error // why citizens' login couldn't be opened; nil: it could
}

func (f *serveFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8080", "address of the API; port 0 takes a free one")
	cmd.Flags().StringVar(&f.metrics, "metrics-listen", "127.0.0.1:0", "loopback address of /metrics and /ready")
	cmd.Flags().StringVar(&f.tlsCert, "tls-cert", "", "PEM file of the server's certificate chain")
	cmd.Flags().StringVar(&f.tlsKey, "tls-key", "", "PEM file of its private key")
	cmd.Flags().StringVar(&f.readyFile, "ready-file", "", "file to write once the ledger serves, as JSON")
	cmd.Flags().IntVar(&f.maxConnections, "max-connections", 2048, "connections served at once")
	cmd.Flags().IntVar(&f.maxQueuedLeaves, "max-queue", 1<<16, "leaves waiting before submissions get 503")
	cmd.Flags().DurationVar(&f.shutdownPatience, "shutdown-patience", 20*time.Second, "how long requests under way may take once a stop was asked")
}

func serveCommand() *cobra.Command {
	var ledger ledgerFlags
	var flags serveFlags
	var loginFile, verifierDir string
	cmd := &cobra.Command{
		Use:   "serve --data DIR",
		Short: "Run a ledger",
		Long: `Serves the ledger in DIR until SIGINT or SIGTERM. It then refuses new
submissions, records and acknowledges what it took, writes a last head, and
ends. Plain HTTP is served on loopback addresses only.

With --advertise it is one of several nodes on one database: each takes every
request, one of them sequences, and another goes on when that one ends, at once
after a stop or a death on the same machine, and within ten seconds of a death
elsewhere. All need the same keys: one directory that all see. See
docs/operations.md.

The public pages, at /it/registro and /en/registro, tell anyone what the public log
says: monthly totals, bodies and their keys, witnesses, policies, checks
(docs/register.md). With --login it serves the citizens' pages too, which they
enter with SPID or CIE: docs/citizen.md.`,
		Example: `  ledgerd serve --data /var/lib/traccia --listen 0.0.0.0:443 \
    --tls-cert /etc/traccia/tls.crt --tls-key /etc/traccia/tls.key \
    --login /etc/traccia/login.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opt, err := ledger.options(cmd)
			if err != nil {
				return err
			}
			verifier, err := browserVerifier(verifierDir)
			if err != nil {
				return err
			}
			if flags.pages, flags.canLogin, err = loginPages(loginFile, verifier); err != nil {
				return err
			}
			if flags.advertise != "" {
				return runNode(cmd.Context(), ledger.data, opt, flags)
			}
			return run(cmd.Context(), ledger.data, opt, flags, func(*ready) error { return nil })
		},
	}
	ledger.add(cmd)
	flags.add(cmd)
	cmd.Flags().StringVar(&flags.advertise, "advertise", "", "be one of several nodes, which the others reach at this URL; port 0 takes that of --listen")
	cmd.Flags().DurationVar(&flags.linger, "linger", 2*time.Second, "how long one of several nodes goes on taking requests when it stops: longer than a balancer takes to see that /ready is 503")
	cmd.Flags().StringVar(&flags.nodesCA, "nodes-ca", "", "PEM file with the certificate authorities of the nodes' certificates (default: the system's)")
	cmd.Flags().StringVar(&loginFile, "login", "", "file that says how citizens log in to their pages; only the public ones are served without it")
	cmd.Flags().StringVar(&verifierDir, "browser-verifier", "", "directory of the verifier that citizens' browsers run: ledgerd verifier build, and publish")
	cmd.MarkFlagFilename("login")
	cmd.MarkFlagFilename("nodes-ca")
	cmd.MarkFlagDirname("browser-verifier")
	return cmd
}

// ready is what the ready file holds.
type ready struct {
	URL        string `json:"url"`
	MetricsURL string `json:"metrics_url"`
	LogKeyFile string `json:"log_key_file"`
	PolicyFile string `json:"policy_file,omitempty"`
	GatewayURL string `json:"gateway_url,omitempty"` // of dev's sample gateway
	Data       string `json:"data"`

	node *node.Node
}

// run opens the ledger and serves it until ctx ends. started is called once
// everything listens, before the ready file is written; its error ends the
// service.
func run(ctx context.Context, dir string, opt node.Options, flags serveFlags, started func(*ready) error) error {
	if err := checkPlain(flags); err != nil {
		return err
	}
	registry := newRegistry()
	opt.Metrics = node.NewMetrics(registry)
	opt.MaxQueue, opt.Serving = flags.maxQueuedLeaves, true
	n, err := node.Open(ctx, dir, opt)
	if err != nil {
		return err
	}
	err = serveNode(ctx, n, opt.Log, registry, flags, started)
	// Whatever ended the service, what was acknowledged is durable; Close
	// records what still waits.
	closed := n.Close()
	if err != nil && errors.Is(closed, err) {
		return closed // which says it too
	}
	return errors.Join(err, closed)
}

func serveNode(ctx context.Context, n *node.Node, log *slog.Logger, registry *prometheus.Registry, flags serveFlags, started func(*ready) error) error {
	l, err := listen(flags)
	if err != nil {
		return err
	}
	service, err := newServed(ctx, n, l.url, log, registry, flags)
	if err != nil {
		return errors.Join(err, l.close())
	}
	defer service.close()
	public := l.server(service.handler, log)
	public.RegisterOnShutdown(service.api.Batches.End)
	var servers serving.Servers
	servers.Start(public, l.public)
	servers.Start(serving.New(serving.Metrics(registry, unready(n)), log), l.metrics)

	r := l.ready(n.Dir)
	r.node = n
	log.Info("serving", "url", r.URL, "metrics", r.MetricsURL, "origin", fmt.Sprintf("%s/%d", n.Settings.Name, n.Epoch()), "size", n.Latest().Root.Size)
	err = started(r)
	n.AwaitPublished(ctx) // what is ready has a public log
	if err == nil {
		err = serving.WriteReady(flags.readyFile, r)
	}
	if err == nil {
		select {
		case <-ctx.Done():
			log.Info("stopping: requests under way are finished first")
		case err = <-servers.Failed():
		case <-stopped(n):
			err = n.Err()
		}
	}
	servers.Stop(flags.shutdownPatience)
	return err
}

// listeners are where a process listens.
type listeners struct {
	url             string // of the API
	public, metrics net.Listener
	secure          *tls.Config // nil: plain HTTP
}

func listen(flags serveFlags) (l *listeners, err error) {
	l = &listeners{}
	if l.secure, err = serving.TLS(flags.tlsCert, flags.tlsKey); err != nil {
		return nil, err
	}
	if l.public, err = net.Listen("tcp", flags.listen); err != nil {
		return nil, fmt.Errorf("couldn't listen: %w", err)
	}
	l.public = netutil.LimitListener(l.public, flags.maxConnections)
	if l.metrics, err = net.Listen("tcp", flags.metrics); err != nil {
		return nil, errors.Join(fmt.Errorf("couldn't listen for metrics: %w", err), l.public.Close())
	}
	scheme := "http"
	if l.secure != nil {
		scheme = "https"
	}
	l.url = scheme + "://" + l.public.Addr().String()
	return l, nil
}

func (l *listeners) close() error { return errors.Join(l.public.Close(), l.metrics.Close()) }

// server returns the public one. A submission may be long and a batch has no end:
// the handlers set their own deadlines, a line or a body at a time.
func (l *listeners) server(handler http.Handler, log *slog.Logger) *http.Server {
	public := serving.New(handler, log)
	public.TLSConfig = l.secure
	return public
}

func (l *listeners) ready(dir string) *ready {
	return &ready{
		URL: l.url, MetricsURL: "http://" + l.metrics.Addr().String() + "/metrics",
		LogKeyFile: filepath.Join(dir, "log.vkey"), Data: dir,
	}
}

// served is an open ledger as clients see it: its API and pages, and the operator's
// socket, which is open until close.
type served struct {
	api     *api.Server
	handler http.Handler
	close   func()
}

func newServed(ctx context.Context, n *node.Node, url string, log *slog.Logger, registry prometheus.Registerer, flags serveFlags) (*served, error) {
	s := &served{api: api.New(n, log, registry)}
	pages, err := flags.pages(n, url, log, registry)
	if err != nil {
		return nil, err
	}
	s.handler = pages.Beside(s.api.Handler())
	sweeping, end := context.WithCancel(ctx)
	go pages.Sweep(sweeping)
	socket, err := listenAdmin(n.Dir)
	if err != nil {
		end()
		return nil, err
	}
	var servers serving.Servers
	servers.Start(serving.New(adminHandler(n), log), socket)
	s.close = func() {
		end()
		servers.Stop(adminPatience)
	}
	return s, nil
}

// adminPatience is how long the operator's commands under way may take at the end:
// what they began is gone on from at the next start.
const adminPatience = 5 * time.Second

// stopped closes when the node can no longer record. The process then ends,
// and whoever supervises it starts it anew.
func stopped(n *node.Node) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		for n.Err() == nil {
			time.Sleep(200 * time.Millisecond)
		}
		close(done)
	}()
	return done
}

func unready(n *node.Node) func() string {
	return func() string {
		if err := n.Trouble(); err != nil {
			return "not recording: " + err.Error()
		}
		return ""
	}
}

func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// checkPlain refuses to serve in the clear anywhere but on loopback.
func checkPlain(flags serveFlags) error {
	if (flags.tlsCert == "") != (flags.tlsKey == "") {
		return cli.Usagef("--tls-cert and --tls-key go together")
	}
	for _, l := range []struct{ flag, address, cert string }{{"--listen", flags.listen, flags.tlsCert}, {"--metrics-listen", flags.metrics, ""}} {
		host, _, err := net.SplitHostPort(l.address)
		if err != nil {
			return cli.WrongFlag(l.flag, "host:port", strconv.Quote(l.address))
		}
		if l.cert != "" {
			continue
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return cli.WrongFlag(l.flag, "an address on loopback, for plain HTTP, or --tls-cert and --tls-key", strconv.Quote(l.address))
		}
	}
	return nil
}
