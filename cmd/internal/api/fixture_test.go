// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/alertstest"
	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/store"
)

const ledgerName = "registro.example"

// The ledger as an e-service of PDND.
const (
	eserviceID  = "3d0a8a4e-61d0-4f0c-8a58-0f1f1a0d9c11"
	producerID  = "8f1b7c55-2f5f-4b53-9b0a-5f8e6f4b7d22"
	eserviceURL = "https://registro.example"
)

// keyDir holds one set of keys for all tests: making RSA keys takes longer than
// most of them.
var keyDir = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "traccia-api-*")
	if err != nil {
		panic(err)
	}
	return dir
})

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.fixture != nil {
		shared.fixture.close()
	}
	os.RemoveAll(keyDir())
	os.Exit(code)
}

// fixture is a ledger over a directory of its own, served over HTTP, with the
// bodies of the dev world registered and every log line kept.
type fixture struct {
	dir     string
	world   *dev.World
	secrets map[string]crypto.Signer // of the dev world: "pdnd", "client-0", "body-inps"
	node    *node.Node
	store   store.Store // the node's
	server  *Server
	http    *httptest.Server
	metrics *alertstest.Registry
	log     lines
	close   func()
	from    string       // the client's address as the server sees it; "" for the true one
	active  atomic.Int64 // requests under way
	used    atomic.Int64 // numbers that unused gave out
	mu      sync.Mutex
	urls    []string // requested; guarded by mu
}

// fastWorld has three subjects a receipt, and tokens without flaws.
var fastWorld = dev.Config{Seed: 1, Profile: ledger.ProfileAudit02, Subjects: 3}

// shared is the fixture of all tests that leave nothing behind which others
// would notice.
var shared struct {
	once    sync.Once
	fixture *fixture
	err     error
}

func sharedFixture(t testing.TB) *fixture {
	t.Helper()
	shared.once.Do(func() {
		dir, err := os.MkdirTemp("", "traccia-api-*")
		if err != nil {
			shared.err = err
			return
		}
		shared.fixture, shared.err = openFixture(dir, fastWorld, node.Options{})
		if shared.err == nil {
			ends := shared.fixture.close
			shared.fixture.close = func() { ends(); os.RemoveAll(dir) }
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.fixture
}

func newFixture(t testing.TB, c dev.Config, opt node.Options) *fixture {
	t.Helper()
	f, err := openFixture(t.TempDir(), c, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.close() })
	return f
}

func openFixture(dir string, c dev.Config, opt node.Options) (*fixture, error) {
	f := &fixture{dir: filepath.Join(dir, "ledger"), metrics: alertstest.NewRegistry()}
	c.Dir, c.Ledger = keyDir(), ledgerName
	var err error
	if f.world, err = dev.NewWorld(c); err != nil {
		return nil, err
	}
	if f.secrets, err = readSecrets(filepath.Join(keyDir(), "dev-keys.pem")); err != nil {
		return nil, err
	}
	ctx, log := context.Background(), slog.New(slog.NewTextHandler(&f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	opt.Log, opt.Metrics = log, node.NewMetrics(f.metrics)
	wrap := opt.Store
	opt.Store = func(s store.Store) store.Store {
		if wrap != nil {
			s = wrap(s)
		}
		f.store = s
		return s
	}
	err = node.Create(ctx, f.dir, node.Settings{
		Name: ledgerName, PublishInterval: "1m", // only what Settle publishes is public
		PDND: node.PDNDSettings{
			Issuers:     []string{dev.Issuer},
			VoucherKeys: []string{filepath.Join(keyDir(), dev.PDNDKeysFile)},
			ClientKeys:  []string{filepath.Join(keyDir(), dev.ClientKeysFile)},
			EService:    &node.EServiceSettings{ID: eserviceID, Producer: producerID, Audience: []string{eserviceURL, eserviceURL + "/v1"}},
		},
	}, opt)
	if err != nil {
		return nil, err
	}
	if f.node, err = node.Open(ctx, f.dir, opt); err != nil {
		return nil, err
	}
	if err := f.register(ctx); err != nil {
		return nil, err
	}
	f.server = New(f.node, log, f.metrics)
	handler := f.server.Handler()
	f.http = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.active.Add(1)
		f.mu.Lock()
		f.urls = append(f.urls, r.URL.String())
		f.mu.Unlock()
		defer f.active.Add(-1)
		if f.from != "" {
			r.RemoteAddr = f.from
		}
		handler.ServeHTTP(w, r)
	}))
	f.http.Config.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	f.http.Start()
	f.close = func() {
		f.http.Close()
		f.node.Close()
	}
	return f, nil
}

func (f *fixture) register(ctx context.Context) error {
	var bodies []registry.Body
	for _, b := range f.world.Bodies() {
		bodies = append(bodies, registry.Body{ID: b.ID, Name: b.Name, Tenant: b.Tenant})
	}
	if _, err := f.node.AddBodies(ctx, bodies); err != nil {
		return err
	}
	for _, b := range bodies {
		if key, ok := f.world.Key(b.ID); ok {
			if _, err := f.node.AddKey(ctx, b.ID, key, ""); err != nil {
				return err
			}
		}
	}
	hub, providers := f.world.Hub()
	_, err := f.node.SetScope(ctx, registry.Scope{ID: hub, Providers: providers})
	return err
}

func readSecrets(file string) (map[string]crypto.Signer, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	secrets := make(map[string]crypto.Signer)
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		secrets[block.Headers["Name"]] = key.(crypto.Signer)
	}
	return secrets, nil
}

// submission returns the bytes of the world's n-th.
func (f *fixture) submission(t testing.TB, n int) []byte {
	t.Helper()
	sub, err := f.world.Submission(n)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := ledger.FormatSubmission(sub)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// unused returns the first of n numbers of submissions that no test asked for
// before.
func (f *fixture) unused(n int) int { return 1000 + int(f.used.Add(int64(n))) - n }

// reply is an answer with its body read.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (f *fixture) do(t testing.TB, method, path string, body io.Reader, headers ...string) reply {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, f.http.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	client := *f.http.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := reply{response.StatusCode, response.Header, read}
	checkDescribed(t, method, path, got)
	return got
}

func (f *fixture) get(t testing.TB, path string, headers ...string) reply {
	t.Helper()
	return f.do(t, http.MethodGet, path, nil, headers...)
}

func (f *fixture) submit(t testing.TB, raw []byte) reply {
	t.Helper()
	return f.do(t, http.MethodPost, "/v1/access-receipts", bytes.NewReader(raw), "Content-Type", "application/json")
}

// answer parses a good answer to a submission.
func (r reply) answer(t testing.TB, status int) *ledger.Answer {
	t.Helper()
	if r.status != status {
		t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	if got := r.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
	if got := r.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q", got)
	}
	a, err := ledger.ParseAnswer(r.body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// problem parses a refusal and checks what all of them have in common.
func (r reply) problem(t testing.TB, status int, code, where string) problem {
	t.Helper()
	p := parseProblem(t, r.body)
	if r.status != status || p.Status != status || p.Code != code || p.Where != where {
		t.Errorf("got %d %s at %q (in the body %d), want %d %s at %q", r.status, p.Code, p.Where, p.Status, status, code, where)
	}
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q", got)
	}
	if got := r.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q", got)
	}
	if got := r.header.Get("X-Content-Type-Options"); got != "nosniff" {
		t.Errorf("X-Content-Type-Options %q", got)
	}
	retry := status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests
	if got := r.header.Get("Retry-After"); (got != "") != retry {
		t.Errorf("Retry-After %q with %d", got, status)
	}
	return p
}

// parseProblem also checks that nothing is missing of what an administration
// needs to mend it.
func parseProblem(t testing.TB, body []byte) problem {
	t.Helper()
	var p problem
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if p.Type != "about:blank" || p.Title != http.StatusText(p.Status) || p.Expected == "" || p.Found == "" {
		t.Errorf("incomplete problem %s", body)
	}
	return p
}

// lines keeps what is logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// since returns what was logged after the first n bytes.
func (l *lines) since(n int) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.text.Bytes()[n:])
}

func (l *lines) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Len()
}

// eventually waits for what another goroutine brings about.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still waiting for %s", what)
		}
	}
}
