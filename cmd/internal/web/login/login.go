// SPDX-License-Identifier: EUPL-1.2

// Package login lets citizens in by OpenID Connect, as SPID and CIE do it: authorization code with PKCE and a signed
// request object, private_key_jwt, userinfo that is signed and then encrypted, the fiscal code in it, level 2 or higher.
// It follows https://docs.italia.it/italia/spid/spid-cie-oidc-docs, OpenID Connect Core 1.0 and RFC 9207.
//
// Trusted are the provider's keys as its discovery document gives them over TLS. What must hold: a login counts only in the
// browser that began it, once, within ten minutes; of one provider only; and its identity is that of the signed userinfo
// whose subject is the ID token's.
//
// A login under way is kept nowhere but in the browser's cookie: state, nonce and PKCE's verifier are made from the random
// bytes in it, so that nobody without the cookie can know or choose them.
package login

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/traccia-ledger/traccia/cmd/internal/web"
	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/ledger"
)

// What providers may use; nothing else is taken.
var (
	signatures        = []string{oidc.RS256, oidc.RS512, oidc.ES256, oidc.PS256}
	keyAlgorithms     = []jose.KeyAlgorithm{jose.RSA_OAEP, jose.RSA_OAEP_256}
	contentAlgorithms = []jose.ContentEncryption{jose.A128CBC_HS256, jose.A256CBC_HS512}
)

// Levels of assurance. The first is asked for; whatever else a provider says isn't enough.
const (
	level2 = "https://www.spid.gov.it/SpidL2"
	level3 = "https://www.spid.gov.it/SpidL3"
)

// codeClaim holds the fiscal code, TINIT-<code>: a string, or a list of all the codes that the identity proves.
const codeClaim = "https://attributes.eid.gov.it/fiscal_number"

const (
	loginAge   = 10 * time.Minute // from the beginning to the way back
	requestAge = 5 * time.Minute  // of what we sign
	patience   = 10 * time.Second // for a provider's answer
	refresh    = time.Hour        // of its metadata
	retry      = 15 * time.Second // after they couldn't be had
	maxAnswer  = 1 << 20
	maxQuery   = 8 << 10 // bytes of the parameters of a way back
)

// Door is a provider of identity, for the pages.
type Door struct {
	provider Provider
	settings *Settings
	keys     *Keys
	now      func() time.Time
	log      *slog.Logger
	client   *http.Client
	used     *lru.Cache[string, struct{}] // states of logins that came back
	messages *messages                    // nil: they are kept elsewhere

	mu    sync.Mutex
	known *metadata // guarded by mu
	tried time.Time // guarded by mu
}

// Open reads the keys and returns a door for each provider. It asks them nothing yet: the ledger serves without them.
func Open(s *Settings, now func() time.Time, log *slog.Logger) ([]web.Door, *Keys, error) {
	keys, err := ReadKeys(s.Keys)
	if err != nil {
		return nil, nil, err
	}
	var doors []web.Door
	var kept *messages
	if s.Messages != nil {
		if kept, err = openMessages(s.Messages.Folder, s.Messages.Key); err != nil {
			return nil, nil, err
		}
	}
	for _, p := range s.Providers {
		used, err := lru.New[string, struct{}](1 << 14)
		if err != nil {
			return nil, nil, err
		}
		doors = append(doors, &Door{
			provider: p, settings: s, keys: keys, now: now, log: log, used: used, messages: kept,
			client: &http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		})
	}
	return doors, keys, nil
}

// metadata are what a provider publishes about itself.
type metadata struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	UserInfo      string `json:"userinfo_endpoint"`
	JWKS          string `json:"jwks_uri"`
	EndSession    string `json:"end_session_endpoint"`
	Revocation    string `json:"revocation_endpoint"`
	SaysIssuer    bool   `json:"authorization_response_iss_parameter_supported"`

	verifier *oidc.IDTokenVerifier
	until    time.Time
}

// metadata asks the provider, or returns what it said within the last hour. While it can't be reached its last word holds.
func (d *Door) metadata(ctx context.Context) (*metadata, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	switch {
	case d.known != nil && now.Before(d.known.until):
		return d.known, nil
	case now.Sub(d.tried) < retry:
		if d.known != nil {
			return d.known, nil
		}
		return nil, refuse("unreachable", errors.New("its metadata couldn't be had a moment ago"))
	}
	d.tried = now
	m, err := d.discover(ctx)
	if err != nil && d.known == nil {
		return nil, refuse("unreachable", err)
	} else if err != nil {
		d.log.Warn("a provider of identity can't be asked for its metadata", "provider", d.provider.ID, "error", err)
		return d.known, nil
	}
	d.known = m
	return m, nil
}

func (d *Door) discover(ctx context.Context) (*metadata, error) {
	ctx = oidc.ClientContext(context.WithoutCancel(ctx), d.client)
	p, err := oidc.NewProvider(ctx, d.provider.Issuer) // compares the issuer
	if err != nil {
		return nil, errors.New("its discovery document couldn't be read, or is another issuer's")
	}
	m := &metadata{until: d.now().Add(refresh)}
	if err := p.Claims(m); err != nil {
		return nil, fmt.Errorf("its discovery document: %w", err)
	}
	for _, e := range []struct {
		name, url string
		optional  bool
	}{
		{"authorization_endpoint", m.Authorization, false}, {"token_endpoint", m.Token, false}, {"userinfo_endpoint", m.UserInfo, false}, {"jwks_uri", m.JWKS, false},
		{"end_session_endpoint", m.EndSession, true}, {"revocation_endpoint", m.Revocation, true},
	} {
		if e.url == "" && e.optional {
			continue
		}
		if err := checkURL(e.name, e.url); err != nil {
			return nil, err
		}
	}
	keys := oidc.NewRemoteKeySet(ctx, m.JWKS) // asks again when a key isn't among those it knows
	if d.known != nil && d.known.JWKS == m.JWKS {
		m.verifier = d.known.verifier
	} else {
		m.verifier = oidc.NewVerifier(d.provider.Issuer, keys, &oidc.Config{ClientID: d.settings.ClientID, SupportedSigningAlgs: signatures, Now: d.now})
	}
	return m, nil
}

func refuse(reason string, cause error) error { return &web.Refusal{Reason: reason, Cause: cause} }

// ID, Kind, Name and Options are web.Door's.
func (d *Door) ID() string { return d.provider.ID }

func (d *Door) Kind() string { return d.provider.Kind }

func (d *Door) Name() string { return d.provider.Name }

func (d *Door) Options() []string { return nil }

// attempt is a login under way. Its cookie:
//
//	base64url(u64 unix seconds ‖ random 32) "." language "." path of a page
type attempt struct {
	raw   [40]byte
	visit web.Visit
	door  string
}

func (d *Door) newAttempt(v web.Visit) *attempt {
	a := &attempt{visit: v, door: d.provider.ID}
	binary.BigEndian.PutUint64(a.raw[:8], uint64(d.now().Unix()))
	rand.Read(a.raw[8:])
	return a
}

func (a *attempt) cookie() string {
	return base64.RawURLEncoding.EncodeToString(a.raw[:]) + "." + a.visit.Lang + "." + a.visit.Next
}

func (d *Door) parseAttempt(cookie string) (*attempt, error) {
	parts := strings.SplitN(cookie, ".", 3)
	if len(parts) != 3 {
		return nil, errors.New("no login is under way in this browser")
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(parts[0])
	if err != nil || len(raw) != 40 {
		return nil, errors.New("no login is under way in this browser")
	}
	return &attempt{[40]byte(raw), web.Visit{Lang: parts[1], Next: parts[2]}, d.provider.ID}, nil
}

// derive makes one of the attempt's secrets, of this provider, beginning and page alone.
func (a *attempt) derive(what string) []byte {
	m := hmac.New(sha256.New, a.raw[8:])
	fmt.Fprintf(m, "%s/login-%s\x00%s\x00%s\x00%s\x00", ledger.NameSpace, what, a.door, a.visit.Lang, a.visit.Next)
	m.Write(a.raw[:8])
	return m.Sum(nil)
}

// SPID wants letters and digits alone in these two.
func (a *attempt) state() string { return hex.EncodeToString(a.derive("state")) }

func (a *attempt) nonce() string { return hex.EncodeToString(a.derive("nonce")) }

func (a *attempt) codeVerifier() string {
	return base64.RawURLEncoding.EncodeToString(a.derive("pkce"))
}

func (a *attempt) codeChallenge() string {
	sum := sha256.Sum256([]byte(a.codeVerifier()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (d *Door) redirectURI() string { return d.settings.redirectURI(d.provider) }

func (s *Settings) redirectURI(p Provider) string { return s.Origin + web.DoorPath + p.ID }

// Begin sends the browser to the provider with a signed request.
func (d *Door) Begin(r *http.Request, v web.Visit) (web.Step, error) {
	m, err := d.metadata(r.Context())
	if err != nil {
		return web.Step{}, err
	}
	a := d.newAttempt(v)
	now := d.now()
	request, err := d.keys.sign(map[string]any{
		"iss": d.settings.ClientID, "aud": d.provider.Issuer, "iat": now.Unix(), "exp": now.Add(requestAge).Unix(), "jti": uuid.NewString(),
		"client_id": d.settings.ClientID, "response_type": "code", "scope": "openid", "redirect_uri": d.redirectURI(),
		"code_challenge": a.codeChallenge(), "code_challenge_method": "S256", "state": a.state(), "nonce": a.nonce(),
		// On a computer that others use too, the one before may still be logged in at the provider.
		"prompt": "consent login", "acr_values": level2, "ui_locales": v.Lang,
		"claims": map[string]any{"userinfo": map[string]any{codeClaim: map[string]bool{"essential": true}}},
	})
	if err != nil {
		return web.Step{}, fmt.Errorf("couldn't sign a request to log in: %w", err)
	}
	if err := d.keep(Exchange{State: a.state(), Request: request}); err != nil {
		return web.Step{}, err
	}
	u, err := url.Parse(m.Authorization)
	if err != nil {
		return web.Step{}, err
	}
	q := u.Query()
	for name, value := range map[string]string{
		"client_id": d.settings.ClientID, "response_type": "code", "scope": "openid", "request": request,
		"code_challenge": a.codeChallenge(), "code_challenge_method": "S256",
	} {
		q.Set(name, value)
	}
	u.RawQuery = q.Encode()
	return web.Step{Location: u.String(), Cookie: a.cookie()}, nil
}

// Return takes the browser back.
func (d *Door) Return(r *http.Request, cookie string) (session.Identity, web.Visit, error) {
	a, err := d.parseAttempt(cookie)
	if err != nil {
		return session.Identity{}, web.Visit{}, refuse("expired", err)
	}
	m, err := d.metadata(r.Context())
	if err != nil {
		return session.Identity{}, a.visit, err
	}
	if len(r.URL.RawQuery) > maxQuery {
		return session.Identity{}, a.visit, refuse("invalid", errors.New("the parameters are too long"))
	}
	x := Exchange{State: a.state(), Response: r.URL.RawQuery}
	var identity session.Identity
	code, err := d.checkReturn(m, r.URL.Query(), a)
	if err == nil {
		identity, err = d.identify(r.Context(), m, a, code, &x)
	}
	var refusal *web.Refusal
	switch {
	case errors.As(err, &refusal):
		x.Outcome = refusal.Reason
	case err != nil:
		x.Outcome = "failed"
	default:
		x.Outcome = "in"
	}
	// Nobody is let in whose login isn't written down.
	if kept := d.keep(x); kept != nil {
		return session.Identity{}, a.visit, kept
	}
	return identity, a.visit, err
}

func (d *Door) keep(x Exchange) error {
	if d.messages == nil {
		return nil
	}
	return d.messages.keep(d.now(), d.provider.ID, x)
}

// checkReturn checks that these parameters answer this attempt, for the first time, and returns the code.
func (d *Door) checkReturn(m *metadata, q url.Values, a *attempt) (code string, err error) {
	for name, values := range q {
		if len(values) > 1 {
			return "", refuse("invalid", fmt.Errorf("a parameter comes more than once: %q", name))
		}
	}
	begun := time.Unix(int64(binary.BigEndian.Uint64(a.raw[:8])), 0)
	if !hmac.Equal([]byte(q.Get("state")), []byte(a.state())) {
		return "", refuse("expired", errors.New("the state isn't that of the login under way in this browser"))
	}
	if age := d.now().Sub(begun); age > loginAge || age < -time.Minute {
		return "", refuse("expired", errors.New("the login began too long ago"))
	}
	if again, _ := d.used.ContainsOrAdd(a.state(), struct{}{}); again {
		return "", refuse("expired", errors.New("this login came back before"))
	}
	if iss := q.Get("iss"); iss != d.provider.Issuer && (q.Has("iss") || m.SaysIssuer) {
		return "", refuse("invalid", errors.New("iss isn't that of the provider that was asked"))
	}
	if q.Has("error") {
		return "", refusalOf(q.Get("error"), q.Get("error_description"))
	}
	if q.Get("code") == "" {
		return "", refuse("invalid", errors.New("neither a code nor an error came"))
	}
	return q.Get("code"), nil
}

// tokens are the token endpoint's answer.
type tokens struct {
	Type    string `json:"token_type"`
	Access  string `json:"access_token"`
	IDToken string `json:"id_token"`
}

// identify asks the provider who logged in.
func (d *Door) identify(ctx context.Context, m *metadata, a *attempt, code string, x *Exchange) (who session.Identity, err error) {
	var t tokens
	answer, err := d.post(ctx, m.Token, m.Token, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {d.redirectURI()}, "code_verifier": {a.codeVerifier()},
	})
	if err != nil {
		return who, err
	}
	x.Tokens = string(answer)
	if err := json.Unmarshal(answer, &t); err != nil || !strings.EqualFold(t.Type, "Bearer") || t.Access == "" {
		return who, refuse("invalid", errors.New("the token endpoint's answer isn't one"))
	}
	ctx = oidc.ClientContext(ctx, d.client)
	id, err := m.verifier.Verify(ctx, t.IDToken)
	if err != nil {
		return who, refuse("invalid", reasonOf("the ID token", err))
	}
	var claims struct {
		ACR   string `json:"acr"`
		Party string `json:"azp"`
	}
	if err := id.Claims(&claims); err != nil {
		return who, refuse("invalid", errors.New("the ID token's claims aren't what they have to be"))
	}
	level := map[string]int{level2: 2, level3: 3}[claims.ACR]
	switch {
	case !hmac.Equal([]byte(id.Nonce), []byte(a.nonce())):
		err = errors.New("the ID token's nonce isn't that of this login")
	case len(id.Audience) != 1 || claims.Party != "" && claims.Party != d.settings.ClientID:
		err = errors.New("the ID token is for others too")
	case id.Subject == "":
		err = errors.New("the ID token names no subject")
	case d.now().Sub(id.IssuedAt) > loginAge || id.IssuedAt.Sub(d.now()) > time.Minute:
		err = errors.New("the ID token wasn't issued just now")
	// Not all providers send it with a code, though SPID and CIE say that they do; userinfo's subject binds the two as well.
	case id.AccessTokenHash != "" && id.VerifyAccessToken(t.Access) != nil:
		err = errors.New("the ID token isn't of this access token")
	}
	if err != nil {
		return who, refuse("invalid", err)
	}
	if level == 0 {
		return who, refuse("level", errors.New("the login's level isn't 2 or 3"))
	}
	token, codes, err := d.userInfo(ctx, m, t.Access, id.Subject, x)
	return session.Identity{
		Provider: d.provider.ID, Level: level, Subjects: codes, At: id.IssuedAt, Token: token, IDToken: t.IDToken, AccessToken: t.Access,
	}, err
}

// userInfo returns the signed userinfo, and the codes that it says are the subject's.
func (d *Door) userInfo(ctx context.Context, m *metadata, access, subject string, x *Exchange) (token string, codes []ledger.Subject, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, m.UserInfo, nil)
	if err != nil {
		return "", nil, err
	}
	r.Header.Set("Authorization", "Bearer "+access)
	r.Header.Set("Accept", "application/jwt, application/jose")
	answer, kind, err := d.ask(r)
	if err != nil {
		return "", nil, err
	}
	x.UserInfo = string(answer)
	if kind != "application/jwt" && kind != "application/jose" {
		return "", nil, refuse("invalid", errors.New("userinfo isn't signed and encrypted"))
	}
	plain, err := d.keys.decrypt(strings.TrimSpace(string(answer)))
	if err != nil {
		return "", nil, refuse("invalid", fmt.Errorf("userinfo: %w", err))
	}
	token = string(plain)
	info, err := m.verifier.Verify(ctx, token)
	if err != nil {
		return "", nil, refuse("invalid", reasonOf("userinfo", err))
	}
	var claims map[string]json.RawMessage
	if err := info.Claims(&claims); err != nil || info.Subject != subject || len(info.Audience) != 1 {
		return "", nil, refuse("invalid", errors.New("userinfo is about another subject, or for others too"))
	}
	if codes, err = parseCodes(claims[codeClaim]); err != nil {
		return "", nil, refuse("no_code", err)
	}
	return token, codes, nil
}

// parseCodes reads the claim. Nothing is repaired: another spelling may be another person.
func parseCodes(claim json.RawMessage) ([]ledger.Subject, error) {
	if claim == nil {
		return nil, errors.New("userinfo has no fiscal code")
	}
	var texts []string
	var one string
	if json.Unmarshal(claim, &one) == nil {
		texts = []string{one}
	} else if json.Unmarshal(claim, &texts) != nil || len(texts) == 0 || len(texts) > 8 {
		return nil, errors.New("the fiscal code isn't a text, or up to eight")
	}
	var codes []ledger.Subject
	for _, text := range texts {
		code, ok := strings.CutPrefix(text, "TINIT-")
		subject, err := ledger.ParseSubject(code)
		if !ok || err != nil || slices.Contains(codes, subject) {
			return nil, errors.New("a fiscal code isn't TINIT- and a code, or comes twice")
		}
		codes = append(codes, subject)
	}
	return codes, nil
}

// reasonOf says what was wrong with a token, without what it says.
func reasonOf(what string, err error) error {
	var expired *oidc.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		return fmt.Errorf("%s is expired", what)
	case strings.Contains(err.Error(), "expected audience"):
		return fmt.Errorf("%s is for another client", what)
	case strings.Contains(err.Error(), "different provider"):
		return fmt.Errorf("%s is of another provider", what)
	}
	return fmt.Errorf("%s isn't signed by the provider", what)
}
