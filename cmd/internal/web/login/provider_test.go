// SPDX-License-Identifier: EUPL-1.2

package login_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/traccia-ledger/traccia/ledger"
)

// Invented codes.
const (
	anna  = ledger.Subject("RSSMRA80A01H501U")
	bruno = ledger.Subject("RSSMRA80A01H50MM")
)

const (
	levelOne   = "https://www.spid.gov.it/SpidL1"
	levelTwo   = "https://www.spid.gov.it/SpidL2"
	levelThree = "https://www.spid.gov.it/SpidL3"
	codeClaim  = "https://attributes.eid.gov.it/fiscal_number"
)

var installed = struct {
	sync.Once
	dir string
	why string // it isn't there
}{}

func TestMain(m *testing.M) {
	code := m.Run()
	if installed.dir != "" {
		os.RemoveAll(installed.dir)
	}
	os.Exit(code)
}

// install puts the certified provider into a folder of its own, once.
func install(t *testing.T) string {
	t.Helper()
	installed.Do(func() {
		for _, tool := range []string{"node", "npm"} {
			if _, err := exec.LookPath(tool); err != nil {
				installed.why = "no " + tool + " here"
				return
			}
		}
		dir, err := os.MkdirTemp("", "traccia-provider")
		if err != nil {
			t.Fatal(err)
		}
		installed.dir = dir
		if err := os.CopyFS(dir, os.DirFS("testdata/provider")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			installed.why = "couldn't install oidc-provider: " + string(out)
		}
	})
	if installed.why != "" {
		t.Skipf("NOT CHECKED: the login against a certified provider: %s", installed.why)
	}
	return installed.dir
}

// provider is a provider of identity. What it answers passes through this test, which can change it.
type provider struct {
	t      *testing.T
	front  *httptest.Server
	key    jose.JSONWebKey
	client map[string]any
	codes  map[string]any
	behind *url.URL
	cmd    *exec.Cmd
	stderr *bytes.Buffer

	mu     sync.Mutex
	tamper func(*http.Response) // guarded by mu
}

// newProvider starts one that knows a client and these people's codes. It starts in run.
func newProvider(t *testing.T) *provider {
	t.Helper()
	if testing.Short() && t.Name() != "TestLogin" {
		t.Skip("NOT CHECKED with -short: all that can go wrong at a login")
	}
	install(t)
	p := &provider{t: t, codes: map[string]any{"anna": "TINIT-" + string(anna), "bruno": "TINIT-" + string(bruno)}}
	p.key = newKey(t, "first")
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(p.behind); r.Out.Host = r.In.Host },
		ModifyResponse: func(r *http.Response) error {
			p.mu.Lock()
			tamper := p.tamper
			p.mu.Unlock()
			if tamper != nil {
				tamper(r)
			}
			return nil
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	// Another address than the pages': to a browser another site.
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	p.front = &httptest.Server{Listener: listener, Config: &http.Server{Handler: proxy}}
	p.front.Start()
	t.Cleanup(func() { p.front.Close(); p.stop() })
	return p
}

func newKey(t *testing.T, id string) jose.JSONWebKey {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: private, KeyID: id, Use: "sig", Algorithm: "RS256"}
}

// run starts the process, again if it ran before.
func (p *provider) run() {
	p.t.Helper()
	p.stop()
	config, err := json.Marshal(map[string]any{
		"issuer": p.front.URL, "keys": jose.JSONWebKeySet{Keys: []jose.JSONWebKey{p.key}}, "client": p.client, "codes": p.codes,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	file := filepath.Join(p.t.TempDir(), "config.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.stderr = new(bytes.Buffer)
	p.cmd = exec.Command("node", "provider.mjs", file)
	p.cmd.Dir, p.cmd.Stderr = installed.dir, p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.stop()
		p.t.Fatalf("the provider didn't start: %v\n%s", err, p.stderr)
	}
	p.behind = &url.URL{Scheme: "http", Host: "127.0.0.1:" + strings.TrimSpace(port)}
}

func (p *provider) stop() {
	if p.cmd != nil {
		p.cmd.Process.Kill()
		p.cmd.Wait()
		p.cmd = nil
	}
}

// tampering changes answers until the test ends, or another is set.
func (p *provider) tampering(f func(*http.Response)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tamper = f
}

// rewrite changes the body of an answer.
func rewrite(r *http.Response, f func([]byte) []byte) {
	body, _ := io.ReadAll(r.Body)
	r.Body.Close()
	body = f(body)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Del("Content-Length")
}

// resign makes a JWS again with other claims, signed by the provider's key or another.
func (p *provider) resign(compact string, key jose.JSONWebKey, change func(claims map[string]any)) string {
	p.t.Helper()
	signed, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		p.t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &claims); err != nil {
		p.t.Fatal(err)
	}
	change(claims)
	payload, err := json.Marshal(claims)
	if err != nil {
		p.t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	again, err := signer.Sign(payload)
	if err != nil {
		p.t.Fatal(err)
	}
	compact, err = again.CompactSerialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return compact
}
