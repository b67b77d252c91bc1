// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/cmd/internal/dev/waas"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	gatewaymemory "github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/service"
	"github.com/traccia-ledger/traccia/cmd/internal/serving"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

// Commands of the processes that a call meets, for loadgen itself.
const (
	providerUse = "provider"
	proxyUse    = "proxy"
	edgeUse     = "edge"
)

// edgeReady is the line by which such a process says where it serves.
type edgeReady struct {
	URL        string `json:"url"`
	MetricsURL string `json:"metrics_url,omitempty"`
}

func edgeCommands() []*cobra.Command {
	return []*cobra.Command{
		{
			Use: providerUse, Short: "Serve as INPS's hub, for loadgen itself", Args: cobra.NoArgs, Hidden: true,
			RunE: func(cmd *cobra.Command, _ []string) error {
				h, err := waas.Hub()
				if err != nil {
					return err
				}
				return serveAlone(cmd, http.StripPrefix("/interno", h))
			},
		},
		{
			Use: proxyUse + " URL", Short: "Serve a plain reverse proxy, for loadgen itself", Args: cobra.ExactArgs(1), Hidden: true,
			RunE: func(cmd *cobra.Command, args []string) error {
				to, err := url.Parse(args[0])
				if err != nil {
					return err
				}
				transport := http.DefaultTransport.(*http.Transport).Clone()
				transport.MaxIdleConnsPerHost, transport.MaxIdleConns, transport.DisableCompression = 256, 1024, true // as the gateway's
				return serveAlone(cmd, &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
					r.Out.URL.Path = "/interno/pensioni/puntuale"
					r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host
				}})
			},
		},
		{
			Use: edgeUse + " CONFIG", Short: "Serve a gateway, for loadgen itself", Args: cobra.ExactArgs(1), Hidden: true,
			RunE: func(cmd *cobra.Command, args []string) error {
				ctx, end := context.WithCancel(cmd.Context())
				defer end()
				go func() {
					<-parentEnds()
					end()
				}()
				log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelError}))
				return service.Serve(ctx, args[0], log, nil, func(r service.Ready) error {
					return json.NewEncoder(cmd.OutOrStdout()).Encode(edgeReady{"http://" + r.Listen, "http://" + r.Metrics + "/metrics"})
				})
			},
		},
	}
}

func serveAlone(cmd *cobra.Command, h http.Handler) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var servers serving.Servers
	servers.Start(serving.New(h, slog.New(slog.DiscardHandler)), l)
	defer servers.Stop(0)
	if err := json.NewEncoder(cmd.OutOrStdout()).Encode(edgeReady{URL: "http://" + l.Addr().String()}); err != nil {
		return err
	}
	select {
	case err := <-servers.Failed():
		return err
	case <-parentEnds():
		return nil
	}
}

// configure writes the gateway's file and what it names. Its memory is in a database,
// where one is named.
func (p *path) configure(ctx context.Context, provider, database string) (file string, err error) {
	const body = "inps"
	dir := filepath.Join(p.dir, "gateway")
	o, err := service.MemoryOptions(&config.Config{Database: database}, slog.New(slog.DiscardHandler))
	switch memory := filepath.Join(dir, "memory"); {
	case err != nil:
	case o.Database != nil:
		err = gatewaymemory.CreateInstance(ctx, memory, body, p.name, "", o)
	default:
		err = gatewaymemory.Create(memory, body, p.name)
	}
	if err != nil {
		return "", err
	}
	public, _ := p.world.Key(body)
	key, err := agencykey.Format(&agencykey.Key{Key: public, Body: body, Signer: p.world.Signer(body)}, "")
	if err != nil {
		return "", err
	}
	policy, err := p.policy()
	if err != nil {
		return "", err
	}
	var tenant string
	for _, b := range p.world.Bodies() {
		if b.ID == consumer {
			tenant = b.Tenant
		}
	}
	text := fmt.Sprintf(`listen: 127.0.0.1:0
metrics: 127.0.0.1:0
memory: memory
ledger: {url: %q, name: %s, policy: policy.txt}
identity: {body: %s, key: inps.key}
pdnd:
  issuers: [%s]
  keys: ../%s/%s
  client_keys: ../%s/%s
  consumers: [{body: %s, tenant: %s}]
e_services:
  - id: %s
    name: pensioni
    provider: inps
    producer_id: %s
    descriptors: [%s]
    audience: [%q]
    url: %q
    upstream: "%s/interno/pensioni"
    profile: AUDIT_REST_02
    integrity: true
    operations:
      - method: POST
        path: /puntuale
        purpose: https://w3id.org/dpv/sector/publicservices#SocialWelfareProvision
        legal_basis: https://w3id.org/dpv/legal/eu/gdpr#A6-1-e
        legal_reference: D.Lgs. 147/2017, art. 24
        data_categories: [pension, "https://w3id.org/dpv/pd#OfficialID"]
        request: [{json: /beneficiario/codice_fiscale}]
        response: [{json: /beneficiario/codice_fiscale}]
`, p.url, p.name, body, dev.Issuer, devDir, dev.PDNDKeysFile, devDir, dev.ClientKeysFile, consumer, tenant,
		p.service.ID, p.service.Provider.Tenant, p.service.Descriptor, audience, audience, provider)
	if database != "" {
		text += fmt.Sprintf("database: %q\n", database)
	}
	for name, data := range map[string][]byte{"gateway.yaml": []byte(text), "inps.key": key, "policy.txt": policy} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return "", fmt.Errorf("couldn't write the gateway's files: %w", err)
		}
	}
	return filepath.Join(dir, "gateway.yaml"), nil
}

// policy trusts the ledger under load and a witness that never comes: what waits for
// it costs the gateway more, if anything.
func (p *path) policy() ([]byte, error) {
	keys, err := os.ReadFile(filepath.Join(p.dir, "log.vkey"))
	if err != nil {
		return nil, err
	}
	var logs []checkpoint.Log
	for line := range strings.Lines(string(keys)) {
		logs = append(logs, checkpoint.Log{VKey: strings.TrimSpace(line)})
	}
	_, public, err := note.GenerateKey(rand.Reader, "witness.example")
	if err == nil {
		public, err = f_note.VKeyToCosignatureV1(public)
	}
	if err != nil {
		return nil, err
	}
	return checkpoint.FormatPolicy(&checkpoint.Policy{Logs: logs, K: 1, Witnesses: []checkpoint.Witness{{Name: "w", VKey: public}}})
}
