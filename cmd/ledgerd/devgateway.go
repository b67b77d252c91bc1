// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/cmd/internal/dev/waas"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/service"
	"github.com/traccia-ledger/traccia/cmd/internal/serving"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
)

// The e-services behind the sample gateway.
const (
	pensionsURL = "https://api.inps.example/pdnd/rest/waas-consultazione-pensioni/v1"
	benefitsURL = "https://api.inps.example/pdnd/rest/waas-consultazione-prestazione/v1"
	flowsURL    = "https://waas.comune.example/waas/v1"
)

// gatewayConfig is the sample gateway's file; deploy/gateway.example.yaml explains
// such a file.
var gatewayConfig = template.Must(template.New("").Parse(`# A sample, written anew by each start of ledgerd dev.
listen: 127.0.0.1:0
metrics: 127.0.0.1:0
memory: memory
traces: traces.log
ledger: {url: "{{.Ledger}}", name: {{.Name}}, policy: ../policy.txt}
identity: {body: {{.Hub}}, key: hub.key}
check: {at: "02:30", keys: hub.jwks, providers: [{{range $i, $p := .Providers}}{{if $i}}, {{end}}{{$p}}{{end}}], in_flight: 5s}
pdnd:
  issuers: [{{.Issuer}}]
  keys: ../dev/{{.PDNDKeys}}
  client_keys: ../dev/{{.ClientKeys}}
  consumers:{{range .Bodies}}
    - {body: {{.ID}}, tenant: {{.Tenant}}}{{end}}
e_services:
  - id: {{.Pensions.ID}}
    name: WaaS, consultazione pensioni
    provider: inps
    producer_id: {{.Pensions.Provider.Tenant}}
    descriptors: [{{.Pensions.Descriptor}}]
    audience: ["{{.Pensions.Audience}}"]
    url: "{{.Pensions.Audience}}"
    upstream: "{{.HubServer}}/pensioni"
    profile: AUDIT_REST_02
    operations:
      - method: POST
        path: /puntuale
        purpose: https://w3id.org/dpv/sector/publicservices#SocialWelfareProvision
        legal_basis: https://w3id.org/dpv/legal/eu/gdpr#A6-1-e
        legal_reference: D.Lgs. 147/2017, art. 24
        data_categories: [pension, "https://w3id.org/dpv/pd#OfficialID"]
        request: [{json: /beneficiario/codice_fiscale}]
        response: [{json: /beneficiario/codice_fiscale}]
  - id: {{.Benefits.ID}}
    name: WaaS, consultazione prestazione (indennità di accompagnamento)
    provider: inps
    producer_id: {{.Benefits.Provider.Tenant}}
    descriptors: [{{.Benefits.Descriptor}}]
    audience: ["{{.Benefits.Audience}}"]
    url: "{{.Benefits.Audience}}"
    upstream: "{{.HubServer}}/prestazione"
    profile: VOUCHER_ONLY # of special categories of data, so that the policies deny a call without evidence
    operations:
      - method: POST
        path: /puntuale
        purpose: https://w3id.org/dpv/sector/publicservices#SocialWelfareProvision
        legal_basis: 2-sexies
        legal_reference: L. 18/1980, art. 1
        data_categories: [A4.05]
        request: [{json: /beneficiario/codice_fiscale}]
        response: [{json: /beneficiario/codice_fiscale}]
  - id: {{.Flows.ID}}
    name: WaaS Comuni, flussi
    provider: {{.Flows.Provider.ID}}
    producer_id: {{.Flows.Provider.Tenant}}
    descriptors: [{{.Flows.Descriptor}}]
    audience: ["{{.Flows.Audience}}"]
    url: "{{.Flows.Audience}}"
    upstream: "{{.MunicipalityServer}}"
    profile: AUDIT_REST_02
    operations:
      - method: GET
        path: /flussi
        purpose: https://w3id.org/dpv/sector/publicservices#SocialWelfareManagement
        legal_basis: 2-sexies # a flow says of disability too
        legal_reference: D.M. 206/2014
        data_categories: [A1.16]
        response:
          - json: /elenco_flussi/*/flusso
            base64: {xpath: /Flusso/Beneficiario/@CodiceFiscale}
        may_be_empty: true
      - method: GET
        path: /status
        no_persons: true
`))

// devGateway is the sample gateway of the hub, with the two servers behind it and
// the consumers before it.
type devGateway struct {
	hub     *devHub
	log     *slog.Logger
	servers serving.Servers

	pensions, benefits, flows   dev.EService
	hubServer, municipalityAddr string // URLs

	url   string // of the gateway
	ended chan error
}

// newDevGateway starts the servers behind the gateway, and writes its file.
func newDevGateway(h *devHub, ledgerURL string, log *slog.Logger) (*devGateway, error) {
	g := &devGateway{hub: h, log: log}
	var err error
	hub, providers := h.world.Hub()
	for _, s := range []struct {
		into               *dev.EService
		name, provider, to string
	}{{&g.pensions, "pensioni", hub, pensionsURL}, {&g.benefits, "prestazione", hub, benefitsURL}, {&g.flows, "flussi", dev.Municipality, flowsURL}} {
		if *s.into, err = h.world.EService(s.name, s.provider, s.to); err != nil {
			return nil, err
		}
	}
	inps, err := waas.Hub()
	if err != nil {
		return nil, err
	}
	municipality, err := waas.Municipality(h.world.Citizens(3), time.Now())
	if err != nil {
		return nil, err
	}
	if g.hubServer, err = g.serve(inps); err != nil {
		return nil, err
	}
	if g.municipalityAddr, err = g.serve(municipality); err != nil {
		g.servers.Stop(0)
		return nil, err
	}
	var file bytes.Buffer
	err = gatewayConfig.Execute(&file, map[string]any{
		"Ledger": ledgerURL, "Name": devName, "Hub": hub, "Providers": providers, "Issuer": dev.Issuer, "PDNDKeys": dev.PDNDKeysFile, "ClientKeys": dev.ClientKeysFile,
		"Bodies": h.world.Bodies(), "Pensions": g.pensions, "Benefits": g.benefits, "Flows": g.flows, "HubServer": g.hubServer, "MunicipalityServer": g.municipalityAddr,
	})
	if err == nil {
		err = durable.Replace(h.configFile(), file.Bytes(), 0o600)
	}
	if err != nil {
		g.servers.Stop(0)
		return nil, fmt.Errorf("couldn't write the sample gateway's file: %w", err)
	}
	return g, nil
}

func (g *devGateway) serve(h http.Handler) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("couldn't listen for a sample server: %w", err)
	}
	g.servers.Start(serving.New(h, g.log), l)
	return "http://" + l.Addr().String(), nil
}

// start serves the gateway until ctx ends.
func (g *devGateway) start(ctx context.Context) error {
	ready := make(chan service.Ready, 1)
	g.ended = make(chan error, 1)
	go func() {
		err := service.Serve(ctx, g.hub.configFile(), g.log, nil, func(r service.Ready) error {
			ready <- r
			return nil
		})
		if err != nil {
			g.log.Error("the sample gateway ended", "error", err)
		}
		g.ended <- err
	}()
	select {
	case r := <-ready:
		g.url = "http://" + r.Listen
	case err := <-g.ended:
		g.ended <- nil
		return fmt.Errorf("couldn't start the sample gateway: %w", err)
	}
	if err := g.sign(time.Now()); err != nil {
		return err
	}
	go g.keepSigned(ctx)
	return nil
}

// close waits for the gateway, whose context has ended, and stops the servers
// behind it.
func (g *devGateway) close() {
	if g.ended != nil {
		<-g.ended
	}
	g.servers.Stop(time.Second)
}

// devCall is what a sample consumer calls.
type devCall struct {
	name              string
	service           dev.EService
	consumer, profile string
	operator          string
	method, path      string
	body              string // "" for none
	status            int    // that it is answered with
}

// calls are of some consumers, about the citizen of the sample receipt.
func (g *devGateway) calls() ([]devCall, error) {
	subjects, err := readSubjects(subjectFile(filepath.Dir(g.hub.dir)))
	if err != nil {
		return nil, err
	}
	question := fmt.Sprintf(`{
  "ente": {"codice_ente": "c_a944", "denominazione_ente": "Comune di Bologna", "codice_comune_ente": "A944", "codice_comune": "A944",
           "codice_ufficio": "0042", "codice_fiscale_operatore_ente": "op-0042"},
  "beneficiario": {"codice_fiscale": %q, "cognome": "Prova", "nome": "Anna", "codice_comune_residenza": "A944", "cap_residenza": "40100"}
}
`, subjects[0])
	return []devCall{
		{"pensioni", g.pensions, "c_a944", ledger.ProfileAudit02, "op-0042", http.MethodPost, "/puntuale", question, http.StatusOK},
		{"accompagnamento", g.benefits, "c_a944", ledger.ProfileAudit02, "op-0042", http.MethodPost, "/puntuale", question, http.StatusOK},
		{"negata", g.benefits, "c_a944", ledger.ProfileVoucher, "", http.MethodPost, "/puntuale", question, http.StatusForbidden},
		{"flussi", g.flows, "inps", ledger.ProfileAudit02, "service:alimentazione-siuss", http.MethodGet, "/flussi?since=0", "", http.StatusOK},
	}, nil
}

// address is where the gateway takes a call.
func (g *devGateway) address(c *devCall) string {
	_, path, _ := strings.Cut(strings.TrimPrefix(c.service.Audience, "https://"), "/")
	return g.url + "/" + path + c.path
}

// headersFile and bodyFile are what curl sends of a call.
func (g *devGateway) headersFile(name string) string { return g.hub.path("calls", name+".headers") }
func (g *devGateway) bodyFile(name string) string    { return g.hub.path("calls", name+".json") }

// resign is how often the calls get new vouchers, which live ten minutes.
const resign = 3 * time.Minute

func (g *devGateway) keepSigned(ctx context.Context) {
	tick := time.NewTicker(resign)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := g.sign(now); err != nil {
				g.log.Error("couldn't sign the sample calls anew", "error", err)
			}
		}
	}
}

// sign writes what each call sends.
func (g *devGateway) sign(now time.Time) error {
	calls, err := g.calls()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(g.hub.path("calls"), 0o700); err != nil {
		return fmt.Errorf("couldn't write the sample calls: %w", err)
	}
	for i := range calls {
		c := &calls[i]
		h, err := g.headers(c, now)
		if err == nil {
			err = durable.Replace(g.headersFile(c.name), h, 0o600)
		}
		if err == nil && c.body != "" {
			err = durable.Replace(g.bodyFile(c.name), []byte(c.body), 0o600)
		}
		if err != nil {
			return fmt.Errorf("couldn't write the sample calls: %w", err)
		}
	}
	return nil
}

// headers are those of a call, a line each.
func (g *devGateway) headers(c *devCall, now time.Time) ([]byte, error) {
	voucher, evidence, err := g.hub.world.Tokens(c.service, c.consumer, c.profile, c.operator, now)
	if err != nil {
		return nil, err
	}
	lines := "Authorization: Bearer " + voucher + "\n"
	if evidence != "" {
		lines += "Agid-JWT-TrackingEvidence: " + evidence + "\n"
	}
	if c.body != "" {
		lines += "Content-Type: application/json\n"
	}
	return []byte(lines), nil
}

// consume has each sample consumer call once, with tokens of its own.
func (g *devGateway) consume(ctx context.Context) error {
	calls, err := g.calls()
	if err != nil {
		return err
	}
	for i := range calls {
		if err := g.call(ctx, &calls[i]); err != nil {
			return fmt.Errorf("couldn't make the sample call %s: %w", calls[i].name, err)
		}
	}
	return nil
}

func (g *devGateway) call(ctx context.Context, c *devCall) error {
	lines, err := g.headers(c, time.Now())
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, c.method, g.address(c), strings.NewReader(c.body))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(lines)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != c.status:
		return fmt.Errorf("expected status %d, found %s: %s", c.status, resp.Status, said)
	case resp.Header.Get(gateway.ReceiptHeader) == "":
		return errors.New("it was answered without a receipt")
	}
	return nil
}
