// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/ledger"
)

// gatewaySettings are the flags of loadgen gateway.
type gatewaySettings struct {
	calls, rounds, reuse int
	rate                 float64
	database             string
}

func gatewayCommand() *cobra.Command {
	var s gatewaySettings
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Measure what the gateway adds to a call",
		Long: `gateway sends calls at fixed instants to a provider's server, in turns through a plain
reverse proxy (httputil.ReverseProxy) and through a gateway before a ledger, each of them
a process of its own on this machine, and compares how long the answers took.

Each call carries a voucher, a TrackingEvidence whose digest the voucher names and a
signature of its content (INTEGRITY_REST_02, good once), all RS256, made before the
clock starts. The gateway checks the three, finds the person in request and answer, and
releases the answer with the ledger's proof in hand and its memory synced to disk. Every
answer must come with a receipt, and after the run the log must hold exactly the events
that the receipts name.

Latency counts from the instant at which a call was due.`,
		Example: `  loadgen gateway --rate 200 --calls 8000 --json
  loadgen gateway --rate 500 --calls 15000 --voucher-reuse 10`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.calls < s.rounds || s.rounds < 1 || s.reuse < 1 || s.rate <= 0 {
				return cli.Usagef("--calls, --rounds, --voucher-reuse and --rate: expected more than 0, and a call a round at least")
			}
			r, err := s.measure(cmd)
			if err != nil {
				return err
			}
			return cli.Print(cmd, r)
		},
	}
	f := cmd.Flags()
	f.IntVar(&s.calls, "calls", 8000, "calls through the gateway, and as many through the proxy")
	f.IntVar(&s.rounds, "rounds", 4, "turns of proxy and gateway")
	f.IntVar(&s.reuse, "voucher-reuse", 1, "calls that rest on one voucher and its evidence")
	f.Float64Var(&s.rate, "rate", 200, "calls per second")
	f.StringVar(&s.database, "database", "", "URL of an empty database for the gateway's memory, as instances share it; none: Pebble")
	return cmd
}

// gatewayReport is what a run comes to; times in milliseconds.
type gatewayReport struct {
	cli.Verdict
	Calls    int       `json:"calls"`
	Rate     float64   `json:"rate"`
	Answered float64   `json:"answered_per_s"` // by the gateway, from the first call due to the last answer
	Proxy    latencies `json:"proxy"`
	Gateway  latencies `json:"gateway"`
	Added    latencies `json:"added"`
	Turns    []turn    `json:"turns"`
	CPU      float64   `json:"gateway_cpu_us_per_call"`
	Ledger   float64   `json:"ledger_cpu_us_per_call"`
}

type latencies struct {
	P50 float64 `json:"p50_ms"`
	P90 float64 `json:"p90_ms"`
	P99 float64 `json:"p99_ms"`
}

// turn is one round.
type turn struct {
	Proxy   latencies `json:"proxy"`
	Gateway latencies `json:"gateway"`
}

func (r *gatewayReport) Text(w io.Writer) {
	fmt.Fprintf(w, "%d calls at %g a second, each released with a receipt that the log has\n", r.Calls, r.Rate)
	for _, l := range []struct {
		name string
		latencies
	}{{"plain proxy", r.Proxy}, {"gateway", r.Gateway}, {"added", r.Added}} {
		fmt.Fprintf(w, "%-12s %8.2f ms p50  %8.2f ms p90  %8.2f ms p99\n", l.name, l.P50, l.P90, l.P99)
	}
	fmt.Fprintf(w, "answered     %8.0f a second\n", r.Answered)
	fmt.Fprintf(w, "CPU          %8.0f µs of the gateway a call, %.0f µs of the ledger\n", r.CPU, r.Ledger)
}

func latenciesOf(list []time.Duration) latencies {
	sorted := slices.Sorted(slices.Values(list))
	return latencies{percentile(sorted, 50), percentile(sorted, 90), percentile(sorted, 99)}
}

// path is every process that a call meets.
type path struct {
	*target
	world          *dev.World
	service        dev.EService
	proxy, gateway edgeReady
	end            []func() error
}

func (p *path) close() (err error) {
	for _, end := range slices.Backward(p.end) {
		err = errors.Join(err, end())
	}
	return err
}

// preparedCall is a call whose tokens are made.
type preparedCall struct {
	header http.Header
	body   string
}

func (s *gatewaySettings) measure(cmd *cobra.Command) (r *gatewayReport, err error) {
	ctx := cmd.Context()
	p, err := newPath(cmd, s.database)
	if p != nil {
		defer func() { err = errors.Join(err, p.close()) }()
	}
	if err != nil {
		return nil, err
	}
	warm, list, err := s.prepare(cmd, p)
	if err != nil {
		return nil, err
	}
	log, err := openLog(ctx, p.target)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}}
	for _, to := range []string{p.proxy.URL, p.gateway.URL} {
		got, _, err := drive(ctx, client, to+callPath, warm, s.rate)
		if err != nil {
			return nil, err
		}
		if to == p.gateway.URL {
			if err := log.wait(ctx, last(spansOf(got))); err != nil {
				return nil, err
			}
		}
	}
	r = &gatewayReport{Calls: len(list), Rate: s.rate}
	before, err := p.cpu(ctx)
	if err != nil {
		return nil, err
	}
	var through, beside []time.Duration
	var spans []span
	var took time.Duration
	for i := range s.rounds {
		part := list[i*len(list)/s.rounds : (i+1)*len(list)/s.rounds]
		plain, _, err := drive(ctx, client, p.proxy.URL+callPath, part, s.rate)
		if err != nil {
			return nil, err
		}
		released, lasted, err := drive(ctx, client, p.gateway.URL+callPath, part, s.rate)
		if err != nil {
			return nil, err
		}
		r.Problems = append(r.Problems, judgeCalls(released)...)
		spans, took = append(spans, spansOf(released)...), took+lasted
		a, b := timesOf(plain), timesOf(released)
		beside, through = append(beside, a...), append(through, b...)
		r.Turns = append(r.Turns, turn{latenciesOf(a), latenciesOf(b)})
	}
	after, err := p.cpu(ctx)
	if err != nil {
		return nil, err
	}
	each := func(i int) float64 { return tidy((after[i]-before[i])*1e6/float64(len(list)), 1) }
	r.CPU, r.Ledger, r.Answered = each(0), each(1), rate(len(list), took)
	r.Proxy, r.Gateway = latenciesOf(beside), latenciesOf(through)
	r.Added = latencies{tidy(r.Gateway.P50-r.Proxy.P50, 2), tidy(r.Gateway.P90-r.Proxy.P90, 2), tidy(r.Gateway.P99-r.Proxy.P99, 2)}
	if len(r.Problems) == 0 {
		if r.Problems, err = log.account(cmd, spans); err != nil {
			return nil, err
		}
	}
	r.Result, r.Problems = cli.Proven, r.Problems[:min(len(r.Problems), 20)]
	return r, nil
}

// cpu is what gateway and ledger used so far, in seconds.
func (p *path) cpu(ctx context.Context) (list [2]float64, err error) {
	for i, at := range []string{p.gateway.MetricsURL, p.metricsURL} {
		m, err := readMetrics(ctx, at)
		if err != nil {
			return list, err
		}
		list[i] = m.cpu
	}
	return list, nil
}

// prepare makes the calls of a run, and a hundred to begin with. Tokens that are good
// once are of the gateway's calls; the proxy looks at none.
func (s *gatewaySettings) prepare(cmd *cobra.Command, p *path) (warm, list []preparedCall, err error) {
	const first = 100
	all := make([]preparedCall, first+s.calls)
	people := p.world.Citizens(2500)
	progress := cli.NewProgress(cmd, "signing", int64(len(all)))
	defer progress.Close()
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for from := 0; from < len(all); from += s.reuse {
		g.Go(func() error {
			now := time.Now()
			voucher, evidence, err := p.world.Tokens(p.service, consumer, ledger.ProfileAudit02, "op-0042", now)
			if err != nil {
				return err
			}
			for i := from; i < min(from+s.reuse, len(all)); i++ {
				c := &all[i]
				c.body = fmt.Sprintf(question, people[i%len(people)])
				digest, signature, err := p.world.Sign(p.service, consumer, "application/json", []byte(c.body), now)
				if err != nil {
					return err
				}
				c.header = http.Header{
					"Authorization": {"Bearer " + voucher}, "Agid-Jwt-Trackingevidence": {evidence},
					"Digest": {digest}, "Agid-Jwt-Signature": {signature}, "Content-Type": {"application/json"},
				}
				progress.Add(1)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, fmt.Errorf("couldn't sign calls: %w", err)
	}
	return all[:first], all[first:], nil
}

// question is asked of INPS's hub about a person.
const question = `{"ente":{"codice_ente":"c_a944","denominazione_ente":"Comune di Bologna","codice_comune_ente":"A944","codice_fiscale_operatore_ente":"op-0042"},` +
	`"beneficiario":{"codice_fiscale":%q,"cognome":"Prova","nome":"Anna","codice_comune_residenza":"A944","cap_residenza":"40100"}}`

// callAnswer is what came back for a call.
type callAnswer struct {
	status  int
	receipt string // header
	body    []byte // where the status isn't 200
	latency time.Duration
}

// drive sends calls at their instants, and says how long it took until the last
// answer.
func drive(ctx context.Context, client *http.Client, to string, list []preparedCall, rate float64) ([]callAnswer, time.Duration, error) {
	answers := make([]callAnswer, len(list))
	begun := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for i := range list {
		at := begun.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		time.Sleep(time.Until(at))
		g.Go(func() error { return send(ctx, client, to, &list[i], &answers[i], at) })
	}
	err := g.Wait()
	return answers, time.Since(begun), err
}

func send(ctx context.Context, client *http.Client, to string, c *preparedCall, a *callAnswer, at time.Time) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(c.body))
	if err != nil {
		return err
	}
	r.Header = c.header.Clone()
	resp, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("couldn't make a call: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("couldn't read an answer: %w", err)
	}
	a.status, a.receipt, a.latency = resp.StatusCode, resp.Header.Get("Traccia-Receipt"), time.Since(at)
	if a.status != http.StatusOK {
		a.body = body
	}
	return nil
}

func timesOf(list []callAnswer) []time.Duration {
	times := make([]time.Duration, len(list))
	for i, a := range list {
		times[i] = a.latency
	}
	return times
}

// judgeCalls wants each answer released with a receipt.
func judgeCalls(list []callAnswer) (problems []ledger.Problem) {
	for i, a := range list {
		if a.status != http.StatusOK || a.receipt == "" {
			problems = append(problems, ledger.Problem{
				Code: "not_released", Where: fmt.Sprintf("call %d", i+1), Expected: "an answer with a receipt", Found: fmt.Sprintf("status %d %.200s", a.status, a.body),
			})
		}
	}
	return problems
}

// spansOf is where the log has the events of calls, by Traccia-Receipt.
func spansOf(list []callAnswer) (spans []span) {
	for _, a := range list {
		_, index, _ := strings.Cut(a.receipt, "; index=")
		if n, err := strconv.ParseUint(index, 10, 64); err == nil {
			spans = append(spans, span{n, n + 1})
		}
	}
	return spans
}

const (
	consumer = "c_a944"
	callPath = "/pdnd/rest/waas-consultazione-pensioni/v1/puntuale"
	audience = "https://api.inps.example/pdnd/rest/waas-consultazione-pensioni/v1"
)

// newPath starts them all.
func newPath(cmd *cobra.Command, database string) (p *path, err error) {
	dir, err := os.MkdirTemp("", "traccia-loadgen-")
	if err != nil {
		return nil, err
	}
	p = &path{end: []func() error{func() error { return os.RemoveAll(dir) }}}
	t, end, err := start(cmd, dir, "")
	if err != nil {
		return p, fmt.Errorf("couldn't start a ledger: %w", err)
	}
	p.target, p.end = t, append(p.end, end)
	if p.world, err = dev.NewWorld(dev.Config{Dir: filepath.Join(dir, devDir), Ledger: t.name}); err != nil {
		return p, err
	}
	if p.service, err = p.world.EService("pensioni", "inps", audience); err != nil {
		return p, err
	}
	var provider edgeReady
	spawned := func(what string, ready *edgeReady, args ...string) error {
		end, err := spawn(cmd, ready, args...)
		if err != nil {
			return fmt.Errorf("couldn't start %s: %w", what, err)
		}
		p.end = append(p.end, end)
		return nil
	}
	if err := spawned("a provider's server", &provider, providerUse); err != nil {
		return p, err
	}
	if err := spawned("a proxy", &p.proxy, proxyUse, provider.URL); err != nil {
		return p, err
	}
	file, err := p.configure(cmd.Context(), provider.URL, database)
	if err != nil {
		return p, err
	}
	return p, spawned("a gateway", &p.gateway, edgeUse, file)
}
