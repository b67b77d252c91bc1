// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/traccia-ledger/traccia/cmd/internal/api"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/cluster"
	"github.com/traccia-ledger/traccia/cmd/internal/serving"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/place"
)

// runNode serves the ledger as one of several nodes until ctx ends. Then it hands
// the lease over, if it has it, and goes on taking requests until another node
// sequences and clients have gone there.
func runNode(ctx context.Context, dir string, opt node.Options, flags serveFlags) error {
	if err := checkPlain(flags); err != nil {
		return err
	}
	if err := cluster.CheckURL(flags.advertise); err != nil {
		return cli.Usagef("--advertise: %w", err)
	}
	roots, err := readRoots(flags.nodesCA)
	if err != nil {
		return err
	}
	settings, err := node.ReadSettings(dir)
	if err != nil {
		return err
	}
	able := func() error {
		if err := node.Check(dir, opt); err != nil {
			return err
		}
		return flags.canLogin()
	}
	if err := able(); err != nil {
		return err
	}
	where, err := node.PlaceOf(dir, settings, opt)
	if err != nil {
		return err
	}
	shared, err := where.Follow(ctx, opt.Log)
	if err != nil {
		return err
	}
	follower, err := node.Follow(ctx, dir, settings, shared)
	if err != nil {
		return errors.Join(err, shared.Close())
	}
	l, err := listen(flags)
	if err != nil {
		return errors.Join(err, shared.Close())
	}
	registry := newRegistry()
	opt.MaxQueue, opt.Serving = flags.maxQueuedLeaves, true
	leading := &leader{dir: dir, url: l.url, opt: opt, flags: flags, follower: follower}
	registry.MustRegister(leading, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "traccia_follower_lag_seconds", Help: "How long ago this node last saw all that is published agree with the store.",
	}, func() float64 { return follower.Lag().Seconds() }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "traccia_follower_index_lag_leaves", Help: "How many published leaves this node would have to read into its index before it sequences.",
	}, func() float64 { return float64(leading.indexLag()) }))
	m := cluster.New(cluster.Config{
		URL: advertised(flags.advertise, l.public), Lease: shared.Lease, Lead: leading.lead, Able: able, Roots: roots,
		Log: api.LogHandler(follower, opt.Log), LogTrouble: follower.Trouble, Logger: opt.Log, Metrics: registry,
	})
	public := l.server(m, opt.Log)
	var servers serving.Servers
	servers.Start(public, l.public)
	servers.Start(serving.New(serving.Metrics(registry, m.Unready), opt.Log), l.metrics)

	looking, end := context.WithCancel(context.Background())
	defer end()
	go m.Watch(looking)
	go m.Rehearse(looking)
	go follower.Run(looking, opt.Log)
	go follower.RunIndex(looking, opt.Log)
	ran := make(chan error, 1)
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { ran <- m.Run(stop) }()
	go func() {
		if m.Settled(stop); stop.Err() != nil {
			return
		}
		opt.Log.Info("serving as one of several nodes", "url", l.url, "advertised", m.URL)
		if err := serving.WriteReady(flags.readyFile, l.ready(dir)); err != nil {
			opt.Log.Error("couldn't write the ready file", "error", err)
		}
	}()
	select {
	case <-ctx.Done():
		opt.Log.Info("stopping: another node goes on")
		m.Leave()
		err = <-ran
	case err = <-servers.Failed():
		cancel()
		err = errors.Join(err, <-ran)
	case err = <-ran:
	}
	m.Part(flags.shutdownPatience, flags.linger)
	// Who connected before gets an answer: from its Shutdown on net/http drops
	// requests that it has just read.
	err = errors.Join(err, l.public.Close())
	time.Sleep(lastRequests)
	m.End()
	servers.Stop(flags.shutdownPatience)
	end()
	return errors.Join(err, shared.Close())
}

// lastRequests is how long a client that connected at the last moment may take to
// begin its request.
const lastRequests = 200 * time.Millisecond

// advertised puts the port that this process listens on in the place of 0.
func advertised(text string, l net.Listener) string {
	u, err := url.Parse(text)
	if err != nil || u.Port() != "0" {
		return text
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return text
	}
	u.Host = net.JoinHostPort(u.Hostname(), port)
	return u.String()
}

func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the nodes' certificate authorities: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("couldn't read the nodes' certificate authorities: %s has no certificate in PEM", file)
	}
	return roots, nil
}

// leader opens the ledger each time that this node is to sequence. It is the
// collector of the open ledger's metrics.
type leader struct {
	dir, url string
	opt      node.Options
	flags    serveFlags
	follower *node.Follower
	metrics  atomic.Pointer[prometheus.Registry] // nil while it doesn't
}

func (l *leader) lead(ctx context.Context, claim place.Claim) (*cluster.Service, error) {
	registry := prometheus.NewRegistry()
	opt := l.opt
	opt.Claim, opt.Metrics, opt.Warm = claim, node.NewMetrics(registry), l.follower.Lend
	n, err := node.Open(ctx, l.dir, opt)
	if err != nil {
		l.follower.Resume()
		return nil, err
	}
	s, err := newServed(context.WithoutCancel(ctx), n, l.url, opt.Log, registry, l.flags)
	if err != nil {
		defer l.follower.Resume()
		return nil, errors.Join(err, n.Close())
	}
	l.metrics.Store(registry)
	return &cluster.Service{
		Handler: s.handler, Submit: s.api.SubmitLine, Err: n.Err, Unready: unready(n),
		Close: func() error {
			l.metrics.Store(nil)
			s.api.Batches.End()
			s.close()
			defer l.follower.Resume()
			return n.Close()
		},
	}, nil
}

// indexLag is 0 while this node sequences: the ledger has the index then.
func (l *leader) indexLag() uint64 {
	if l.metrics.Load() != nil {
		return 0
	}
	return l.follower.IndexLag()
}

// Describe says nothing: which metrics there are depends on whether a ledger is open.
func (l *leader) Describe(chan<- *prometheus.Desc) {}

// Collect collects the metrics of the ledger that is open.
func (l *leader) Collect(all chan<- prometheus.Metric) {
	if registry := l.metrics.Load(); registry != nil {
		registry.Collect(all)
	}
}
