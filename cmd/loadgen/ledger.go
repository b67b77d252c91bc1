// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/api"
	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/policies"
)

// devDir holds the world's keys in a data directory, as ledgerd dev has it.
const devDir = "dev"

// target is the ledger under load.
type target struct {
	url, metricsURL string
	dir             string // its data directory: config.json, log.vkey, dev/
	name            string
}

// ready is the line by which the child says where it serves.
type ready struct {
	URL        string `json:"url"`
	MetricsURL string `json:"metrics_url"`
}

// open returns the ledger to drive and what ends it.
func open(cmd *cobra.Command, s settings) (*target, func() error, error) {
	if s.url != "" {
		config, err := node.ReadSettings(s.world)
		if err != nil {
			return nil, nil, err
		}
		return &target{s.url, s.metricsURL, s.world, config.Name}, func() error { return nil }, nil
	}
	dir, err := os.MkdirTemp("", "traccia-loadgen-")
	if err != nil {
		return nil, nil, err
	}
	t, end, err := start(cmd, dir, s.store)
	if err != nil {
		os.RemoveAll(dir)
		return nil, nil, fmt.Errorf("couldn't start a ledger: %w", err)
	}
	return t, func() error { return errors.Join(end(), os.RemoveAll(dir)) }, nil
}

// start makes a ledger in dir and has a child process serve it: this very
// program, with the command of ledgerCommand.
func start(cmd *cobra.Command, dir, store string) (*target, func() error, error) {
	const name = "loadgen.traccia.example"
	if err := create(cmd.Context(), dir, name, store); err != nil {
		return nil, nil, err
	}
	var r ready
	end, err := spawn(cmd, &r, ledgerUse, dir)
	if err != nil {
		return nil, nil, err
	}
	return &target{r.URL, r.MetricsURL, dir, name}, end, nil
}

// spawn runs this very program with a hidden command, and reads the line by which it
// says where it serves.
func spawn(cmd *cobra.Command, ready any, args ...string) (end func() error, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	child := exec.Command(program, args...)
	child.Args[0] = os.Args[0]
	child.Stderr = cmd.ErrOrStderr()
	// The child serves until this pipe closes, so it ends with its parent,
	// whatever ends that.
	stop, err := child.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := child.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := child.Start(); err != nil {
		return nil, err
	}
	end = func() error {
		stop.Close()
		return child.Wait()
	}
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(ready); err != nil {
		return nil, errors.Join(err, end())
	}
	return end, nil
}

// create makes the ledger, its rows in a database where store names one, and registers the world's bodies, keys and hub.
func create(ctx context.Context, dir, name, store string) error {
	keysDir := filepath.Join(dir, devDir)
	if err := os.Mkdir(keysDir, 0o700); err != nil {
		return err
	}
	w, err := dev.NewWorld(dev.Config{Dir: keysDir, Ledger: name})
	if err != nil {
		return err
	}
	settings := node.Settings{
		// Often, so that the end of a run is soon in the public log.
		Name: name, PublishInterval: "1s", Store: store,
		PDND: node.PDNDSettings{
			Issuers:     []string{dev.Issuer},
			VoucherKeys: []string{filepath.Join(devDir, dev.PDNDKeysFile)},
			ClientKeys:  []string{filepath.Join(devDir, dev.ClientKeysFile)},
		},
	}
	if err := node.Create(ctx, dir, settings, node.Options{}); err != nil {
		return err
	}
	n, err := node.Open(ctx, dir, node.Options{Policies: policies.Open})
	if err != nil {
		return err
	}
	return errors.Join(register(ctx, n, w), n.Close())
}

func register(ctx context.Context, n *node.Node, w *dev.World) error {
	var bodies []registry.Body
	for _, b := range w.Bodies() {
		bodies = append(bodies, registry.Body{ID: b.ID, Name: b.Name, Tenant: b.Tenant, Attributes: b.Attributes})
	}
	if _, err := n.AddBodies(ctx, bodies); err != nil {
		return err
	}
	for _, b := range bodies {
		if key, ok := w.Key(b.ID); ok {
			if _, err := n.AddKey(ctx, b.ID, key, ""); err != nil {
				return err
			}
		}
	}
	if _, err := n.ActivatePolicies(ctx, policies.Default()); err != nil {
		return err
	}
	hub, providers := w.Hub()
	_, err := n.SetScope(ctx, registry.Scope{ID: hub, Providers: providers})
	return err
}

const ledgerUse = "ledger"

// ledgerCommand is what the child runs: the same server as ledgerd serve, until
// standard input ends.
func ledgerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    ledgerUse + " DIR",
		Short:  "Serve the ledger under load, for loadgen itself",
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			metrics := prometheus.NewRegistry()
			metrics.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
			n, err := node.Open(cmd.Context(), args[0], node.Options{Log: log, Metrics: node.NewMetrics(metrics), Policies: policies.Open})
			if err != nil {
				return err
			}
			return errors.Join(serve(cmd, n, log, metrics), n.Close())
		},
	}
}

func serve(cmd *cobra.Command, n *node.Node, log *slog.Logger, metrics *prometheus.Registry) error {
	var r ready
	failed := make(chan error, 2)
	for _, s := range []struct {
		url     *string
		path    string
		handler http.Handler
	}{
		{&r.URL, "", api.New(n, log, metrics).Handler()},
		{&r.MetricsURL, "/metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{})},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		*s.url = "http://" + l.Addr().String() + s.path
		server := &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second}
		go func() { failed <- server.Serve(l) }()
	}
	if err := json.NewEncoder(cmd.OutOrStdout()).Encode(r); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	case <-parentEnds():
		return nil
	}
}

// parentEnds closes when standard input does.
func parentEnds() <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	return ended
}
