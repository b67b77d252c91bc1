// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/monitor"
	"github.com/traccia-ledger/traccia/cmd/internal/serving"
	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/ledger/witness"
)

// monitorServeFlags say where a monitor listens, and with which key it cosigns.
type monitorServeFlags struct {
	listen, cosignKey, metrics string
	tlsCert, tlsKey            string
}

func (f *monitorServeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.listen, "listen", "", "address where the ledger asks for cosignatures; port 0 takes a free one")
	cmd.Flags().StringVar(&f.cosignKey, "cosign-key", "", "file with the monitor's key, from monitor key")
	cmd.Flags().StringVar(&f.metrics, "metrics-listen", "", "loopback address of /metrics")
	cmd.Flags().StringVar(&f.tlsCert, "tls-cert", "", "PEM file of the certificate chain for --listen")
	cmd.Flags().StringVar(&f.tlsKey, "tls-key", "", "PEM file of its private key")
	cmd.MarkFlagFilename("cosign-key", "key")
}

func (f *monitorServeFlags) check() error {
	if (f.listen == "") != (f.cosignKey == "") {
		return cli.Usagef("--listen and --cosign-key go together")
	}
	if (f.tlsCert == "") != (f.tlsKey == "") {
		return cli.Usagef("--tls-cert and --tls-key go together")
	}
	for _, l := range []struct{ flag, address, cert string }{{"--listen", f.listen, f.tlsCert}, {"--metrics-listen", f.metrics, ""}} {
		if l.address == "" || l.cert != "" {
			continue
		}
		host, _, err := net.SplitHostPort(l.address)
		if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return cli.WrongFlag(l.flag, "an address on loopback, for plain HTTP", strconv.Quote(l.address))
		}
	}
	return nil
}

// start listens. The caller stops what it returns.
func (f *monitorServeFlags) start(m *monitor.Monitor, stderr io.Writer) (*serving.Servers, error) {
	secured, err := serving.TLS(f.tlsCert, f.tlsKey)
	if err != nil {
		return nil, err
	}
	servers := new(serving.Servers)
	serve := func(what, address string, secured *tls.Config, h http.Handler) error {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("couldn't listen for %s: %w", what, err)
		}
		s := serving.New(h, slog.New(slog.DiscardHandler))
		s.ReadTimeout, s.WriteTimeout, s.TLSConfig = 10*time.Second, 30*time.Second, secured
		servers.Start(s, l)
		fmt.Fprintf(stderr, "listening for %s on %s\n", what, l.Addr())
		return nil
	}
	if f.listen != "" {
		if err := serve("checkpoints to cosign", f.listen, secured, m.Witness()); err != nil {
			return nil, err
		}
	}
	if f.metrics != "" {
		registry := prometheus.NewRegistry()
		registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
		m.Register(registry)
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
		if err := serve("metrics", f.metrics, nil, mux); err != nil {
			servers.Stop(servePatience)
			return nil, err
		}
	}
	return servers, nil
}

// servePatience is how long answers under way may take once the monitor ends.
const servePatience = 10 * time.Second

// monitorKey is the answer of monitor key.
type monitorKey struct {
	cli.Done
	Name    string `json:"name"`
	VKey    string `json:"vkey"` // for policies
	KeyFile string `json:"key_file"`
}

func (k *monitorKey) Text(w io.Writer) {
	fmt.Fprintf(w, "%s holds the key with which %s cosigns: keep it secret.\n", k.KeyFile, k.Name)
	fmt.Fprintf(w, "Its verifier key, for witness policies:\n%s\n", k.VKey)
}

func monitorKeyCommand() *cobra.Command {
	var k monitorKey
	cmd := &cobra.Command{
		Use:     "key --name NAME --out FILE",
		Short:   "Make the key with which a monitor cosigns",
		Long:    `key makes an Ed25519 key for cosignatures (c2sp.org/tlog-cosignature) in a file that it doesn't replace.`,
		Example: `  verifier monitor key --name monitor.example --out monitor.key`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			secret, public, err := witness.NewKey(k.Name)
			if err != nil {
				return cli.Usagef("--name: %w", err)
			}
			if err := durable.Create(k.KeyFile, []byte(secret+"\n"), 0o600); err != nil {
				return fmt.Errorf("couldn't keep the key: %w", err)
			}
			k.VKey = public
			return cli.Print(cmd, &k)
		},
	}
	cmd.Flags().StringVar(&k.Name, "name", "", "the monitor's name, such as its host's")
	cmd.Flags().StringVar(&k.KeyFile, "out", "", "file to make")
	cmd.MarkFlagRequired("name")
	cmd.MarkFlagRequired("out")
	return cmd
}
