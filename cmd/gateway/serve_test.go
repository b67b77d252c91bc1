// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/api"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/service"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/policies"
)

// processEnv makes this test binary the command.
const processEnv = "TRACCIA_TEST_GATEWAY"

func TestMain(m *testing.M) {
	if os.Getenv(processEnv) != "" {
		cli.Main(newRoot())
	}
	code := pgtest.Main(m)
	os.RemoveAll(binaries)
	os.Exit(code)
}

// binaries is where tests build other commands; "" until one does.
var binaries string

// path is a ledger, a provider's server and what a gateway between them needs.
type path struct {
	t        *testing.T
	dir      string
	world    *dev.World
	sample   *ledger.Submission
	receipt  *ledger.SignedReceipt
	claims   voucherClaims
	node     *node.Node
	url      string        // of the ledger
	watchers []note.Signer // a witness and a monitor
	between  atomic.Pointer[func(w http.ResponseWriter, r *http.Request, next http.Handler)]
	provider atomic.Int32 // calls that reached it

	process *exec.Cmd
	stderr  *bytes.Buffer
	ready   service.Ready
}

type voucherClaims struct {
	Audience string `json:"aud"`
	Producer string `json:"producerId"`
	Consumer string `json:"consumerId"`
}

const ledgerName = "registro.example"

func newPath(t *testing.T) *path {
	t.Helper()
	p := &path{t: t, dir: t.TempDir()}
	p.sampleCall()
	url := p.serveLedger()
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.provider.Add(1)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"isee": 12345.67}`)
	}))
	t.Cleanup(provider.Close)
	key, _ := p.world.Key("inps")
	file, err := agencykey.Format(&agencykey.Key{Key: key, Body: "inps", Signer: p.world.Signer("inps")}, "")
	if err != nil {
		t.Fatal(err)
	}
	p.write("inps.key", file, 0o600)
	p.configure(url, provider.URL, "nome")
	p.command("init", filepath.Join(p.dir, "gateway.yaml"))
	return p
}

func (p *path) write(name string, data []byte, mode os.FileMode) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), data, mode); err != nil {
		p.t.Fatal(err)
	}
}

// sampleCall finds a call to INPS among those of the stand-in for PDND.
func (p *path) sampleCall() {
	for seed := uint64(1); p.receipt == nil || p.receipt.Provider != "inps"; seed++ {
		var err error
		p.world, err = dev.NewWorld(dev.Config{Dir: p.dir, Ledger: ledgerName, Seed: seed, Profile: ledger.ProfileAudit02, Subjects: 1})
		if err == nil {
			p.sample, err = p.world.Submission(0)
		}
		if err == nil {
			p.receipt, err = ledger.ParseReceipt(p.sample.Receipt)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(p.sample.Voucher, ".")[1])
	if err == nil {
		err = json.Unmarshal(payload, &p.claims)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *path) serveLedger() string {
	t, ctx, dir := p.t, context.Background(), filepath.Join(p.dir, "ledger")
	err := node.Create(ctx, dir, node.Settings{
		Name: ledgerName, PublishInterval: "50ms",
		PDND: node.PDNDSettings{
			Issuers: []string{dev.Issuer}, VoucherKeys: []string{filepath.Join(p.dir, dev.PDNDKeysFile)}, ClientKeys: []string{filepath.Join(p.dir, dev.ClientKeysFile)},
		},
	}, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p.node, err = node.Open(ctx, dir, node.Options{Policies: policies.Open}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.node.Close() })
	for _, b := range p.world.Bodies() {
		if b.ID == "inps" || b.ID == p.receipt.Consumer {
			if _, err := p.node.AddBody(ctx, registry.Body{ID: b.ID, Name: b.Name, Tenant: b.Tenant, Attributes: b.Attributes}); err != nil {
				t.Fatal(err)
			}
		}
	}
	key, _ := p.world.Key("inps")
	if _, err := p.node.AddKey(ctx, "inps", key, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := p.node.SetScope(ctx, registry.Scope{ID: "inps", Providers: []string{"inps"}}); err != nil {
		t.Fatal(err)
	}
	trust := &checkpoint.Policy{Logs: []checkpoint.Log{{VKey: p.node.VKey()}}, K: 1}
	for name, group := range map[string]*[]checkpoint.Witness{"alfa": &trust.Witnesses, "mona": &trust.Monitors} {
		secret, public, err := note.GenerateKey(rand.Reader, name+".example")
		if err == nil {
			public, err = f_note.VKeyToCosignatureV1(public)
		}
		var signer note.Signer
		if err == nil {
			signer, err = f_note.NewSignerForCosignatureV1(secret)
		}
		if err != nil {
			t.Fatal(err)
		}
		p.watchers = append(p.watchers, signer)
		*group = []checkpoint.Witness{{Name: name, VKey: public}}
	}
	policy, err := checkpoint.FormatPolicy(trust)
	if err != nil {
		t.Fatal(err)
	}
	p.write("policy.txt", policy, 0o644)
	handler := api.New(p.node, slog.New(slog.DiscardHandler), prometheus.NewRegistry()).Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := p.between.Load(); h != nil && r.Method == http.MethodPost {
			(*h)(w, r, handler)
			return
		}
		if strings.HasSuffix(r.URL.Path, "/checkpoint") {
			p.cosigned(w, r, handler)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.url = server.URL
	return server.URL
}

// cosigned serves a checkpoint as the policy's witness and monitor saw it.
func (p *path) cosigned(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rec := httptest.NewRecorder()
	next.ServeHTTP(rec, r)
	log, err := checkpoint.ParseKey(p.node.VKey())
	if err != nil {
		p.t.Error(err)
		return
	}
	signed := rec.Body.Bytes()
	for _, s := range p.watchers {
		if signed, err = checkpoint.Cosign(signed, log, s); err != nil {
			p.t.Error(err)
		}
	}
	w.Write(signed)
}

func (p *path) configure(ledgerURL, upstream, name string) {
	categories, _ := json.Marshal(p.receipt.DataCategories)
	p.write("gateway.yaml", fmt.Appendf(nil, `
listen: 127.0.0.1:0
metrics: 127.0.0.1:0
memory: memory
traces: traces.log
ledger: {url: %q, name: %s, policy: policy.txt}
identity: {body: inps, key: inps.key}
pdnd:
  issuers: [%s]
  keys: %s
  client_keys: %s
  consumers: [{body: %s, tenant: %s}]
e_services:
  - id: %s
    name: %q
    provider: inps
    producer_id: %s
    audience: [%q]
    url: %q
    upstream: %q
    profile: AUDIT_REST_02
    operations:
      - method: POST
        path: /consultazione
        purpose: %q
        legal_basis: %q
        legal_reference: %q
        data_categories: %s
        request: [{json: /cf}]
`, ledgerURL, ledgerName, dev.Issuer, dev.PDNDKeysFile, dev.ClientKeysFile, p.receipt.Consumer, p.claims.Consumer,
		p.receipt.EService, name, p.claims.Producer, p.claims.Audience, p.claims.Audience, upstream,
		p.receipt.Purpose, p.receipt.LegalBasis, p.receipt.LegalReference, categories), 0o644)
}

// command runs the command to its end and returns what it printed.
func (p *path) command(args ...string) string {
	p.t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), processEnv+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("gateway %v: %v\n%s", args, err, &stderr)
	}
	return string(out)
}

func (p *path) start() {
	p.t.Helper()
	p.launch()
	p.serves()
}

// serves waits until the gateway takes calls.
func (p *path) serves() {
	p.t.Helper()
	p.eventually("the gateway takes calls", func() bool {
		data, err := os.ReadFile(filepath.Join(p.dir, "ready.json"))
		return err == nil && json.Unmarshal(data, &p.ready) == nil
	})
}

// launch starts the gateway.
func (p *path) launch() {
	p.t.Helper()
	file := filepath.Join(p.dir, "ready.json")
	os.Remove(file)
	p.process = exec.Command(os.Args[0], "serve", filepath.Join(p.dir, "gateway.yaml"), "--ready-file", file)
	p.process.Env = append(os.Environ(), processEnv+"=1")
	p.stderr = new(bytes.Buffer)
	p.process.Stderr = p.stderr
	if err := p.process.Start(); err != nil {
		p.t.Fatal(err)
	}
	process := p.process.Process
	p.t.Cleanup(func() { process.Kill() })
}

func (p *path) eventually(what string, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("not within 20 seconds: %s", what)
		}
	}
}

func (p *path) call(evidence string) (*http.Response, string, error) {
	p.t.Helper()
	_, rest, _ := strings.Cut(strings.TrimPrefix(p.claims.Audience, "https://"), "/")
	r, err := http.NewRequest(http.MethodPost, "http://"+p.ready.Listen+"/"+rest+"/consultazione", strings.NewReader(fmt.Sprintf(`{"cf":%q}`, p.sample.Subjects[0].Subject)))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.sample.Voucher)
	r.Header.Set("Agid-JWT-TrackingEvidence", evidence)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func (p *path) records() []own.Entry {
	p.t.Helper()
	var list []own.Entry
	for line := range strings.Lines(p.command("records", filepath.Join(p.dir, "gateway.yaml"))) {
		e, err := own.ParseEntry([]byte(strings.TrimSuffix(line, "\n")))
		if err != nil {
			p.t.Fatalf("%v: %s", err, line)
		}
		list = append(list, *e)
	}
	return list
}

// TestServe takes a real call through real processes: refused without its evidence, released with it; the configuration is
// read again; the records are handed out while it serves and when it doesn't.
func TestServe(t *testing.T) {
	p := newPath(t)
	p.start()
	if resp, body, err := p.call(""); err != nil || resp.StatusCode/100 != 4 || p.provider.Load() != 0 {
		t.Errorf("without evidence: %v %s %v", resp, body, err)
	}
	resp, body, err := p.call(p.sample.Evidence)
	if err != nil || resp.StatusCode != 200 || body != `{"isee": 12345.67}` || resp.Header.Get("Traccia-Receipt") == "" {
		t.Fatalf("%v %s %v\n%s", resp, body, err, p.stderr)
	}
	list := p.records()
	if len(list) != 1 || list[0].Subject != p.sample.Subjects[0].Subject || !strings.HasPrefix(resp.Header.Get("Traccia-Receipt"), list[0].Receipt+";") {
		t.Errorf("%+v", list)
	}
	metrics, err := http.Get("http://" + p.ready.Metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(metrics.Body)
	metrics.Body.Close()
	if !bytes.Contains(text, []byte(`traccia_gateway_calls_total{outcome="released"} 1`)) || !bytes.Contains(text, []byte("traccia_gateway_missing_numbers 0")) {
		t.Errorf("%s", text)
	}

	good, err := os.ReadFile(filepath.Join(p.dir, "gateway.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	reload := func(text string, outcome int) {
		t.Helper()
		p.write("gateway.yaml", []byte(text), 0o644)
		p.process.Process.Signal(syscall.SIGHUP)
		p.eventually(fmt.Sprintf("a call is answered with %d", outcome), func() bool {
			resp, _, err := p.call(p.sample.Evidence)
			return err == nil && resp.StatusCode == outcome
		})
	}
	if err := os.Rename(filepath.Join(p.dir, "traces.log"), filepath.Join(p.dir, "traces.log.1")); err != nil {
		t.Fatal(err)
	}
	reload(strings.Replace(string(good), "path: /consultazione", "path: /altro", 1), 404)
	reload(string(good)+"\nunknown: 1\n", 404) // refused: the last good one stays
	reload(string(good), 200)

	count := len(p.records())
	// A command that is under way keeps nobody from ending the calls first.
	command, err := net.Dial("unix", filepath.Join(p.dir, "memory", "gateway.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer command.Close()
	said := bufio.NewReader(command)
	io.WriteString(command, "POST /sessions HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
	if line, err := said.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q %v", line, err)
	}
	p.process.Process.Signal(syscall.SIGTERM)
	p.eventually("no call is taken any more", func() bool {
		conn, err := net.Dial("tcp", p.ready.Listen)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	io.WriteString(command, "{}")
	if rest, err := io.ReadAll(said); err != nil || !bytes.Contains(rest, []byte(" 500 ")) {
		t.Errorf("the command that was under way: %q %v", rest, err)
	}
	if err := p.process.Wait(); err != nil {
		t.Errorf("%v\n%s", err, p.stderr)
	}
	if got := len(p.records()); got != count {
		t.Errorf("%d records when it doesn't serve, want %d", got, count)
	}
	var traces []byte
	for _, name := range []string{"traces.log.1", "traces.log"} {
		data, err := os.ReadFile(filepath.Join(p.dir, name))
		if err != nil || len(data) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
		traces = append(traces, data...)
	}
	if n := bytes.Count(traces, []byte("inps/")); n != count || !bytes.HasSuffix(traces, []byte("\n")) {
		t.Errorf("%d traces with a receipt, want %d\n%s", n, count, traces)
	}
	for _, secret := range []string{string(p.sample.Subjects[0].Subject), p.sample.Voucher, p.sample.Evidence} {
		if strings.Contains(p.stderr.String(), secret) || bytes.Contains(text, []byte(secret)) || bytes.Contains(traces, []byte(secret)) {
			t.Error("log, metrics or traces name a person or hold a token")
		}
	}
}

// TestKilled kills the gateway when the ledger has recorded an access and before the gateway knows: nothing is released, and
// the next gateway finds out.
func TestKilled(t *testing.T) {
	p := newPath(t)
	p.start()
	var kill atomic.Bool
	kill.Store(true)
	process, killed := p.process, make(chan struct{})
	between := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !kill.Load() {
			next.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		if rec.Code != http.StatusCreated {
			t.Errorf("the ledger answered %d %s", rec.Code, rec.Body)
		}
		process.Process.Kill()
		process.Wait()
		kill.Store(false)
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			conn.(*net.TCPConn).Close()
		}
		close(killed)
	}
	p.between.Store(&between)
	if resp, body, err := p.call(p.sample.Evidence); err == nil {
		t.Fatalf("answered %v %s by a gateway that was killed", resp, body)
	}
	<-killed
	if list := p.records(); len(list) != 0 {
		t.Fatalf("%+v", list)
	}
	p.start()
	p.eventually("the event is known", func() bool { return len(p.records()) == 2 }) // and the statement that nothing was released
	if resp, body, err := p.call(p.sample.Evidence); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v %s %v\n%s", resp, body, err, p.stderr)
	}
	list := p.records()
	if len(list) != 3 || list[0].Number != 0 || list[2].Number != 2 {
		t.Errorf("%+v", list)
	}
}
