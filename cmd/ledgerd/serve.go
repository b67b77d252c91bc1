// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/net/netutil"

	"github.com/traccia-ledger/traccia/cmd/internal/api"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/serving"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// serveFlags say where a ledger listens.
type serveFlags struct {
	listen, metrics  string
	tlsCert, tlsKey  string
	readyFile        string
	maxConnections   int
	maxQueuedLeaves  int
	shutdownPatience time.Duration
	standby          bool
	pages            pagesMaker
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

With --standby it waits while another process has the ledger, and serves it as
soon as that one has ended: at once after a stop, or a death on the same machine,
and some seconds after a process on another machine stopped answering its
database. Both need the same keys: one directory that both see.

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
			if flags.pages, err = loginPages(loginFile, verifier); err != nil {
				return err
			}
			return run(cmd.Context(), ledger.data, opt, flags, func(*ready) error { return nil })
		},
	}
	ledger.add(cmd)
	flags.add(cmd)
	cmd.Flags().BoolVar(&flags.standby, "standby", false, "wait while another process serves the ledger, and serve it when that is gone")
	cmd.Flags().StringVar(&loginFile, "login", "", "file that says how citizens log in to their pages; only the public ones are served without it")
	cmd.Flags().StringVar(&verifierDir, "browser-verifier", "", "directory of the verifier that citizens' browsers run: ledgerd verifier build, and publish")
	cmd.MarkFlagFilename("login")
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
	if (flags.tlsCert == "") != (flags.tlsKey == "") {
		return cli.Usagef("--tls-cert and --tls-key go together")
	}
	if err := checkPlain(flags); err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	opt.Metrics = node.NewMetrics(registry)
	opt.MaxQueue = flags.maxQueuedLeaves
	n, err := open(ctx, dir, opt, flags.standby)
	if n == nil {
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

// open opens the ledger; as a standby it waits for it. The node is nil without an
// error when ctx ended while it waited.
func open(ctx context.Context, dir string, opt node.Options, standby bool) (*node.Node, error) {
	for waiting := false; ; waiting = true {
		n, err := node.Open(ctx, dir, opt)
		switch {
		case err == nil:
			return n, nil
		case ctx.Err() != nil && waiting:
			return nil, nil
		case !standby || !errors.Is(err, store.ErrLocked):
			return nil, err
		case !waiting:
			opt.Log.Info("standing by", "because", err)
		}
		select {
		case <-time.After(standbyPause):
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// standbyPause is how long a standby waits before it tries again.
const standbyPause = 500 * time.Millisecond

func serveNode(ctx context.Context, n *node.Node, log *slog.Logger, registry *prometheus.Registry, flags serveFlags, started func(*ready) error) error {
	secure, err := serving.TLS(flags.tlsCert, flags.tlsKey)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", flags.listen)
	if err != nil {
		return fmt.Errorf("couldn't listen: %w", err)
	}
	listener = netutil.LimitListener(listener, flags.maxConnections)
	metrics, err := net.Listen("tcp", flags.metrics)
	if err != nil {
		listener.Close()
		return fmt.Errorf("couldn't listen for metrics: %w", err)
	}
	socket, err := listenAdmin(n.Dir)
	if err != nil {
		listener.Close()
		metrics.Close()
		return err
	}
	scheme := "http"
	if secure != nil {
		scheme = "https"
	}
	url := scheme + "://" + listener.Addr().String()
	service := api.New(n, log, registry)
	pages, err := flags.pages(n, url, log, registry)
	if err != nil {
		return errors.Join(err, listener.Close(), metrics.Close(), socket.Close())
	}
	sweeping, end := context.WithCancel(ctx)
	defer end()
	go pages.Sweep(sweeping)
	// A submission may be long and a batch has no end: the handlers set their
	// own deadlines, a line or a body at a time.
	public := serving.New(pages.Beside(service.Handler()), log)
	public.TLSConfig = secure
	public.RegisterOnShutdown(service.EndBatches)
	var servers serving.Servers
	servers.Start(public, listener)
	servers.Start(serving.New(serving.Metrics(registry, unready(n)), log), metrics)
	servers.Start(serving.New(adminHandler(n), log), socket)

	r := ready{
		URL:        url,
		MetricsURL: "http://" + metrics.Addr().String() + "/metrics",
		LogKeyFile: filepath.Join(n.Dir, "log.vkey"), Data: n.Dir, node: n,
	}
	log.Info("serving", "url", r.URL, "metrics", r.MetricsURL, "origin", fmt.Sprintf("%s/%d", n.Settings.Name, n.Epoch()), "size", n.Latest().Root.Size)
	err = started(&r)
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

// checkPlain refuses to serve in the clear anywhere but on loopback.
func checkPlain(flags serveFlags) error {
	for _, l := range []struct{ flag, address, cert string }{{"--listen", flags.listen, flags.tlsCert}, {"--metrics-listen", flags.metrics, ""}} {
		host, _, err := net.SplitHostPort(l.address)
		if err != nil {
			return cli.Usagef("%s: expected host:port, found %q", l.flag, l.address)
		}
		if l.cert != "" {
			continue
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return cli.Usagef("%s: plain HTTP is served on loopback only, found %q; use --tls-cert and --tls-key", l.flag, l.address)
		}
	}
	return nil
}
