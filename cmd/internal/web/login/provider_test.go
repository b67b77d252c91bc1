// SPDX-License-Identifier: EUPL-1.2

package login_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
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

	"github.com/traccia-ledger/traccia/cmd/internal/web"
	"github.com/traccia-ledger/traccia/cmd/internal/web/login"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
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
	p.front = httptest.NewServer(proxy)
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
	signed, err := jose.ParseSigned(compact, []jose.SignatureAlgorithm{jose.RS256})
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

// site is a ledger's pages with that provider as their way in.
type site struct {
	*httptest.Server
	t        *testing.T
	provider *provider
	settings *login.Settings
	keys     *login.Keys
	node     *node.Node
	log      *lines
	clock    *clock
	handler  http.Handler
}

// lines collects a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// clock can be put forward.
type clock struct {
	mu   sync.Mutex
	plus time.Duration // guarded by mu
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.plus)
}

func (c *clock) set(plus time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plus = plus
}

func newSite(t *testing.T) *site {
	t.Helper()
	p := newProvider(t)
	dir := filepath.Join(t.TempDir(), "ledger")
	nodetest.NewWorld(t, time.Now()).Create(t, dir, node.Options{})
	n, err := node.Open(t.Context(), dir, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	s := &site{t: t, provider: p, node: n, log: new(lines), clock: new(clock)}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }))
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "login.json")
	text, err := json.Marshal(login.Settings{
		Origin: s.URL, Keys: "keys.json", Operator: web.Operator{Name: "Gestore"},
		Providers: []login.Provider{{ID: "spid", Kind: "spid", Name: "SPID", Issuer: p.front.URL}},
	})
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if s.settings, err = login.ReadSettings(file); err != nil {
		t.Fatal(err)
	}
	if _, err := login.NewKeys(s.settings.Keys); err != nil {
		t.Fatal(err)
	}
	s.open()
	p.client = s.settings.Metadata(s.keys)
	p.run()
	return s
}

// open makes the pages, as a ledger does that is started.
func (s *site) open() {
	s.t.Helper()
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	doors, keys, err := login.Open(s.settings, s.clock.now, log)
	if err != nil {
		s.t.Fatal(err)
	}
	s.keys = keys
	pages, err := web.New(web.Config{Node: s.node, Origin: s.URL, Doors: doors, Operator: s.settings.Operator, Log: log})
	if err != nil {
		s.t.Fatal(err)
	}
	s.handler = pages.Beside(http.NotFoundHandler())
}

// recipient is the key that userinfo for us is encrypted for.
func (s *site) recipient() jose.JSONWebKey {
	for _, key := range s.keys.Public().Keys {
		if key.Use == "enc" {
			return key
		}
	}
	s.t.Fatal("no key to encrypt for")
	return jose.JSONWebKey{}
}

func (s *site) encrypt(plain []byte, key jose.JSONWebKey, alg jose.KeyAlgorithm) []byte {
	s.t.Helper()
	encrypter, err := jose.NewEncrypter(jose.A256CBC_HS512, jose.Recipient{Algorithm: alg, Key: key.Key, KeyID: key.KeyID}, (&jose.EncrypterOptions{}).WithContentType("JWT"))
	if err != nil {
		s.t.Fatal(err)
	}
	e, err := encrypter.Encrypt(plain)
	if err != nil {
		s.t.Fatal(err)
	}
	compact, err := e.CompactSerialize()
	if err != nil {
		s.t.Fatal(err)
	}
	return []byte(compact)
}

// reencrypt makes userinfo again with other claims, signed by this key.
func (s *site) reencrypt(userinfo []byte, key jose.JSONWebKey, change func(map[string]any), encrypted bool) []byte {
	s.t.Helper()
	e, err := jose.ParseEncrypted(string(userinfo), []jose.KeyAlgorithm{jose.RSA_OAEP_256}, []jose.ContentEncryption{jose.A256CBC_HS512})
	if err != nil {
		s.t.Errorf("the provider's userinfo isn't encrypted as our metadata ask: %v", err)
		return userinfo
	}
	var own jose.JSONWebKeySet
	file, err := os.ReadFile(s.settings.Keys)
	if err == nil {
		err = json.Unmarshal(file, &own)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	plain, err := e.Decrypt(own.Key(e.Header.KeyID)[0])
	if err != nil {
		s.t.Fatal(err)
	}
	signed := s.provider.resign(string(plain), key, change)
	if !encrypted {
		return []byte(signed)
	}
	return s.encrypt([]byte(signed), s.recipient(), jose.RSA_OAEP_256)
}

// onPath rewrites the good answers of one endpoint.
func onPath(path string, f func([]byte) []byte) func(*http.Response) {
	return func(r *http.Response) {
		if r.Request.URL.Path == path && r.StatusCode == http.StatusOK {
			rewrite(r, f)
		}
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// unsign takes the signature off the ID token, and says that there is none.
func unsign(t *testing.T, body []byte) []byte {
	t.Helper()
	var answer map[string]any
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(answer["id_token"].(string), ".")
	answer["id_token"] = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + "."
	return marshal(t, answer)
}

// who says how somebody logs in at the provider.
type who struct {
	Account     string `json:"account,omitempty"`
	ACR         string `json:"acr,omitempty"`
	Error       string `json:"error,omitempty"`
	Description string `json:"error_description,omitempty"`
}

// browser has its own cookies, and follows redirects only when told.
type browser struct {
	*site
	client http.Client
}

func (s *site) browser() *browser {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	b := &browser{site: s, client: *s.Client()}
	b.client.Jar, b.client.Timeout = jar, 30*time.Second
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b
}

// page is what a browser shows.
type page struct {
	url    *url.URL
	status int
	header http.Header
	body   string
}

func (b *browser) do(method, address string) page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	response, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return page{r.URL, response.StatusCode, response.Header, string(body)}
}

// follow goes where redirects lead, until one leads to an address that until is true of, whose request it doesn't make.
func (b *browser) follow(p page, until func(*url.URL) bool) (page, *url.URL) {
	b.t.Helper()
	for range 12 {
		location := p.header.Get("Location")
		if location == "" {
			return p, nil
		}
		next, err := p.url.Parse(location)
		if err != nil {
			b.t.Fatal(err)
		}
		if until != nil && until(next) {
			return p, next
		}
		p = b.do(http.MethodGet, next.String())
	}
	b.t.Fatal("too many redirects")
	return p, nil
}

// isReturn says whether an address is where the provider sends browsers back.
func isReturn(u *url.URL) bool { return strings.HasPrefix(u.Path, web.DoorPath) }

// begin logs in at the provider, and returns the address that it sends the browser back to.
func (b *browser) begin(w who) *url.URL {
	b.t.Helper()
	cookie, err := json.Marshal(w)
	if err != nil {
		b.t.Fatal(err)
	}
	front, _ := url.Parse(b.provider.front.URL)
	b.client.Jar.SetCookies(front, []*http.Cookie{{Name: "who", Value: url.PathEscape(string(cookie)), Path: "/"}})
	p, back := b.follow(b.do(http.MethodGet, b.URL+"/it/entra/spid?verso=privacy"), isReturn)
	if back == nil {
		b.t.Fatalf("the provider didn't send the browser back: %d %s %s\n%s", p.status, p.url.Path, p.body, b.provider.stderr)
	}
	return back
}

// login is the whole of it; it ends at a page of ours.
func (b *browser) login(w who) page {
	b.t.Helper()
	p, _ := b.follow(b.do(http.MethodGet, b.begin(w).String()), nil)
	return p
}

// shows is the code whose data a browser sees on the pages, "" for a visitor.
func (b *browser) shows() ledger.Subject {
	b.t.Helper()
	body := b.do(http.MethodGet, b.URL+"/it").body
	for _, code := range []ledger.Subject{anna, bruno} {
		if strings.Contains(body, `<strong class="traccia-code">`+string(code)) {
			return code
		}
	}
	return ""
}

// cookies are those that a browser would send us.
func (b *browser) cookies() []*http.Cookie {
	u, _ := url.Parse(b.URL)
	return b.client.Jar.Cookies(u)
}

// setCookies puts another browser's in the place of its own.
func (b *browser) setCookies(cookies []*http.Cookie) {
	u, _ := url.Parse(b.URL)
	for _, c := range cookies {
		c.Path, c.Secure = "/", true
	}
	b.client.Jar.SetCookies(u, cookies)
}
