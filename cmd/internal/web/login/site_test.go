// SPDX-License-Identifier: EUPL-1.2

package login_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
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

// site is a ledger's pages with that provider as their way in.
type site struct {
	*httptest.Server
	t        *testing.T
	provider *provider
	settings *login.Settings
	keys     *login.Keys
	reader   string // file of the key that reads the messages of logins
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
		Messages:  &login.Kept{Folder: "logins", Key: "messages.pub"},
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
	if err := os.WriteFile(s.settings.Keys, ownKeys(t), 0o600); err != nil {
		t.Fatal(err)
	}
	s.reader = filepath.Join(t.TempDir(), "messages.key")
	if err := login.NewMessagesKey(s.reader, s.settings.Messages.Key); err != nil {
		t.Fatal(err)
	}
	s.open()
	p.client = s.settings.Metadata(s.keys)
	p.run()
	return s
}

var madeKeys struct {
	sync.Once
	file []byte
}

// ownKeys is a file of keys, made once for all sites.
func ownKeys(t *testing.T) []byte {
	t.Helper()
	madeKeys.Do(func() {
		file := filepath.Join(t.TempDir(), "keys.json")
		if _, err := login.NewKeys(file); err != nil {
			t.Fatal(err)
		}
		var err error
		if madeKeys.file, err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	})
	return madeKeys.file
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
	e, err := jose.ParseEncryptedCompact(string(userinfo), []jose.KeyAlgorithm{jose.RSA_OAEP_256}, []jose.ContentEncryption{jose.A256CBC_HS512})
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
