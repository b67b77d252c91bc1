// SPDX-License-Identifier: EUPL-1.2

package login_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/traccia-ledger/traccia/cmd/internal/web/login"
)

// TestLogin: in with level 2 and 3, out on both sides.
func TestLogin(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	if p := b.login(who{Account: "anna", ACR: levelTwo}); p.status != http.StatusOK || p.url.Path != "/it/privacy" {
		t.Fatalf("login ended at %s with %d\n%s\n%s", p.url.Path, p.status, s.log, s.provider.stderr)
	}
	if got := b.shows(); got != anna {
		t.Errorf("it shows %q", got)
	}
	if other := s.browser(); other.login(who{Account: "bruno", ACR: levelThree}).status != http.StatusOK || other.shows() != bruno || b.shows() != anna {
		t.Error("two people in two browsers aren't told apart")
	}
	p := b.do(http.MethodPost, s.URL+"/it/esci")
	if p.status != http.StatusOK || !strings.Contains(p.body, s.provider.front.URL+"/session/end?") || b.shows() != "" {
		t.Errorf("logout: %d, shows %q\n%s", p.status, b.shows(), p.body)
	}
	if logged := s.log.String(); strings.Contains(logged, string(anna)) || strings.Contains(logged, "couldn't") {
		t.Errorf("the log says %s", logged)
	}
}

// refused says whether a page tells the citizen this reason, and lets nobody in.
func (b *browser) refused(p page, reason string) bool {
	texts := map[string]string{
		"cancelled": "L&#39;accesso è stato annullato", "consent": "Non hai acconsentito", "level": "Il livello di sicurezza usato è troppo basso",
		"attempts": "Troppi tentativi", "suspended": "sospesa o revocata", "expired": "È passato troppo tempo", "no_code": "non ha trasmesso un codice fiscale valido",
		"provider": "ha risposto con un errore", "unreachable": "non risponde", "invalid": "non ha superato i nostri controlli",
	}
	return p.status >= 400 && strings.Contains(p.body, texts[reason]) && b.shows() == "" && !strings.Contains(p.body, string(anna))
}

// TestRefusals: what the provider says that doesn't let anyone in, each in plain words.
func TestRefusals(t *testing.T) {
	s := newSite(t)
	for _, test := range []struct {
		who    who
		reason string
	}{
		{who{Account: "anna", ACR: levelOne}, "level"},
		{who{Account: "anna", ACR: "https://www.spid.gov.it/SpidL4"}, "level"},
		{who{Account: "anna"}, "level"},
		{who{Account: "nobody", ACR: levelTwo}, "no_code"},
		{who{Error: "access_denied"}, "cancelled"},
		{who{Error: "access_denied", Description: "ErrorCode nr19"}, "attempts"},
		{who{Error: "access_denied", Description: "ErrorCode nr20"}, "level"},
		{who{Error: "access_denied", Description: "ErrorCode nr21"}, "expired"},
		{who{Error: "access_denied", Description: "ErrorCode nr22"}, "consent"},
		{who{Error: "access_denied", Description: "ErrorCode nr23"}, "suspended"},
		{who{Error: "access_denied", Description: "ErrorCode nr25"}, "cancelled"},
		{who{Error: "access_denied", Description: "ErrorCode nr08"}, "cancelled"},
		{who{Error: "consent_required"}, "consent"},
		{who{Error: "temporarily_unavailable"}, "provider"},
		{who{Error: "server_error", Description: "RSSMRA80A01H501U <script>alert(1)</script>"}, "provider"},
		{who{Error: "made_up", Description: "RSSMRA80A01H501U"}, "provider"},
	} {
		b := s.browser()
		if p := b.login(test.who); !b.refused(p, test.reason) {
			t.Errorf("%+v: %d, expected it to be refused as %s\n%s", test.who, p.status, test.reason, s.log)
		} else if strings.Contains(p.body, "alert(1)") {
			t.Errorf("%+v: its own words are shown", test.who)
		}
	}
	if strings.Contains(s.log.String(), string(anna)) {
		t.Errorf("the log names a person: %s", s.log)
	}
	s.provider.stop()
	b := s.browser()
	if p, _ := b.follow(b.do(http.MethodGet, s.URL+"/it/entra/spid"), nil); p.status < 500 {
		t.Errorf("without a provider: %d at %s", p.status, p.url)
	}
}

// TestReturns: an answer counts in the browser that asked for it, as it came, once, for a while.
func TestReturns(t *testing.T) {
	s := newSite(t)
	good := who{Account: "anna", ACR: levelTwo}
	change := func(name string, values ...string) func(*url.URL) {
		return func(u *url.URL) {
			q := u.Query()
			q.Del(name)
			q[name] = values
			u.RawQuery = q.Encode()
		}
	}
	for name, test := range map[string]struct {
		change func(*url.URL)
		reason string
	}{
		"another state":         {change("state", strings.Repeat("0", 64)), "expired"},
		"no state":              {change("state"), "expired"},
		"two states":            {change("state", "1", "2"), "invalid"},
		"another issuer":        {change("iss", "https://other.example"), "invalid"},
		"no issuer":             {change("iss"), "invalid"},
		"another code":          {change("code", "0123456789"), "provider"},
		"no code":               {change("code"), "invalid"},
		"an error beside it":    {change("error", "access_denied"), "cancelled"},
		"an error, no state":    {func(u *url.URL) { u.RawQuery = "error=access_denied" }, "expired"},
		"a code twice":          {change("code", "1", "1"), "invalid"},
		"a state of other kind": {change("state", "%00"), "expired"},
	} {
		b := s.browser()
		back := b.begin(good)
		test.change(back)
		if p, _ := b.follow(b.do(http.MethodGet, back.String()), nil); !b.refused(p, test.reason) {
			t.Errorf("%s: %d, expected it to be refused as %s\n%s", name, p.status, test.reason, s.log)
		}
	}
	// In another browser, also one with a login of its own under way: nobody can be let in as somebody else.
	anna, other := s.browser(), s.browser()
	back := anna.begin(good)
	if p := other.do(http.MethodGet, back.String()); !other.refused(p, "expired") {
		t.Errorf("in a browser without a login: %d", p.status)
	}
	theirs := other.begin(who{Account: "bruno", ACR: levelTwo})
	if p := other.do(http.MethodGet, back.String()); !other.refused(p, "expired") {
		t.Errorf("in a browser with another login: %d", p.status)
	}
	// The failed return took that browser's own login with it.
	if p := other.do(http.MethodGet, theirs.String()); !other.refused(p, "expired") {
		t.Errorf("after it: %d", p.status)
	}
	// Once: also if somebody kept the cookie.
	kept := anna.cookies()
	if p, _ := anna.follow(anna.do(http.MethodGet, back.String()), nil); p.status != http.StatusOK || anna.shows() == "" {
		t.Fatalf("the good one: %d\n%s", p.status, s.log)
	}
	thief := s.browser()
	thief.setCookies(kept)
	if p := thief.do(http.MethodGet, back.String()); !thief.refused(p, "expired") {
		t.Errorf("a second time: %d", p.status)
	}
	// For ten minutes.
	late := s.browser()
	back = late.begin(good)
	s.clock.set(11 * time.Minute)
	if p := late.do(http.MethodGet, back.String()); !late.refused(p, "expired") {
		t.Errorf("after eleven minutes: %d", p.status)
	}
}

// TestTokens: tokens that the provider didn't make for this login, or that it made badly. All come over its own connection:
// what is tested is that we look.
func TestTokens(t *testing.T) {
	s := newSite(t)
	p := s.provider
	stranger := newKey(t, "first") // its id is that of the provider's key
	id := func(key jose.JSONWebKey, change func(map[string]any)) func(*http.Response) {
		return onPath("/token", func(body []byte) []byte {
			var answer map[string]any
			if err := json.Unmarshal(body, &answer); err != nil {
				t.Error(err)
			}
			answer["id_token"] = p.resign(answer["id_token"].(string), key, change)
			return marshal(t, answer)
		})
	}
	info := func(change func(map[string]any)) func(*http.Response) {
		return onPath("/me", func(body []byte) []byte { return s.reencrypt(body, p.key, change, true) })
	}
	other := newKey(t, "other")
	now := time.Now()
	set := func(name string, value any) func(map[string]any) {
		return func(claims map[string]any) { claims[name] = value }
	}
	var kept []byte
	for _, test := range []struct {
		name   string
		tamper func(*http.Response)
		reason string
	}{
		{"ID token: none, so that the rest is known to matter", id(p.key, func(map[string]any) {}), ""},
		{"ID token: another's signature", id(stranger, func(map[string]any) {}), "invalid"},
		{"ID token: unsigned", onPath("/token", func(b []byte) []byte { return unsign(t, b) }), "invalid"},
		{"ID token: expired", id(p.key, set("exp", now.Add(-time.Minute).Unix())), "invalid"},
		{"ID token: issued long ago", id(p.key, set("iat", now.Add(-time.Hour).Unix())), "invalid"},
		{"ID token: issued in the future", id(p.key, set("iat", now.Add(time.Hour).Unix())), "invalid"},
		{"ID token: another login's nonce", id(p.key, set("nonce", strings.Repeat("a", 64))), "invalid"},
		{"ID token: no nonce", id(p.key, func(c map[string]any) { delete(c, "nonce") }), "invalid"},
		{"ID token: another client's", id(p.key, set("aud", "https://other.example")), "invalid"},
		{"ID token: another client's too", id(p.key, set("aud", []string{s.URL, "https://other.example"})), "invalid"},
		{"ID token: another authorized party", id(p.key, set("azp", "https://other.example")), "invalid"},
		{"ID token: another provider's", id(p.key, set("iss", "https://other.example")), "invalid"},
		{"ID token: another subject", id(p.key, set("sub", "somebody")), "invalid"},
		{"ID token: no subject", id(p.key, set("sub", "")), "invalid"},
		{"ID token: of another access token", id(p.key, set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")), "invalid"},
		{"ID token: level 1", id(p.key, set("acr", levelOne)), "level"},
		{"ID token: no level", id(p.key, func(c map[string]any) { delete(c, "acr") }), "level"},
		{"ID token: both levels", id(p.key, set("acr", levelOne+" "+levelTwo)), "level"},
		{"ID token: a level of another type", id(p.key, set("acr", 2)), "invalid"},
		{"token endpoint: no JSON", onPath("/token", func([]byte) []byte { return []byte("<html>") }), "invalid"},
		{"token endpoint: another type", onPath("/token", func(b []byte) []byte { return []byte(strings.Replace(string(b), "Bearer", "DPoP", 1)) }), "invalid"},
		{"token endpoint: an error", func(r *http.Response) { r.StatusCode = http.StatusInternalServerError }, "provider"},
		{"userinfo: made again, so that the rest is known to matter", info(func(map[string]any) {}), ""},
		{"userinfo: another subject", info(set("sub", "somebody")), "invalid"},
		{"userinfo: another client's", info(set("aud", "https://other.example")), "invalid"},
		{"userinfo: another provider's", info(set("iss", "https://other.example")), "invalid"},
		{"userinfo: expired", info(set("exp", now.Add(-time.Minute).Unix())), "invalid"},
		{"userinfo: no code", info(func(c map[string]any) { delete(c, codeClaim) }), "no_code"},
		{"userinfo: a code of another country", info(set(codeClaim, "TINDE-"+string(anna))), "no_code"},
		{"userinfo: a code without its country", info(set(codeClaim, string(anna))), "no_code"},
		{"userinfo: a code in lower case", info(set(codeClaim, "TINIT-"+strings.ToLower(string(anna)))), "no_code"},
		{"userinfo: a code with a wrong check character", info(set(codeClaim, "TINIT-RSSMRA80A01H501A")), "no_code"},
		{"userinfo: a number", info(set(codeClaim, 80078750587)), "no_code"},
		{"userinfo: no codes", info(set(codeClaim, []string{})), "no_code"},
		{"userinfo: a code twice", info(set(codeClaim, []string{"TINIT-" + string(anna), "TINIT-" + string(anna)})), "no_code"},
		{"userinfo: another's signature", onPath("/me", func(b []byte) []byte { return s.reencrypt(b, stranger, func(map[string]any) {}, true) }), "invalid"},
		{"userinfo: signed only", onPath("/me", func(b []byte) []byte { return s.reencrypt(b, p.key, func(map[string]any) {}, false) }), "invalid"},
		{"userinfo: encrypted only", onPath("/me", func(b []byte) []byte { return s.encrypt([]byte(`{"sub":"x"}`), s.recipient(), jose.RSA_OAEP_256) }), "invalid"},
		{"userinfo: plain", func(r *http.Response) {
			if r.Request.URL.Path == "/me" {
				r.Header.Set("Content-Type", "application/json")
				rewrite(r, func([]byte) []byte { return []byte(`{"sub":"x","` + codeClaim + `":"TINIT-` + string(anna) + `"}`) })
			}
		}, "invalid"},
		{"userinfo: encrypted for another", onPath("/me", func(b []byte) []byte { return s.encrypt(b, other.Public(), jose.RSA_OAEP_256) }), "invalid"},
		{"userinfo: encrypted as nobody should", onPath("/me", func(b []byte) []byte { return s.encrypt(b, s.recipient(), jose.RSA1_5) }), "invalid"}, //nolint:staticcheck // refused
		{"userinfo: kept for the next", onPath("/me", func(b []byte) []byte { kept = b; return b }), ""},
		{"userinfo: another login's", onPath("/me", func([]byte) []byte { return kept }), "invalid"},
	} {
		p.tampering(test.tamper)
		b, account := s.browser(), "anna"
		if test.name == "userinfo: another login's" {
			account = "bruno"
		}
		got := b.login(who{Account: account, ACR: levelTwo})
		if test.reason == "" && b.shows() != anna || test.reason != "" && !b.refused(got, test.reason) {
			t.Errorf("%s: %d, expected %q\n%s", test.name, got.status, test.reason, s.log)
		}
	}
	if strings.Contains(s.log.String(), string(anna)) {
		t.Errorf("the log names a person: %s", s.log)
	}
}

// TestSeveralCodes: an identity that proves two.
func TestSeveralCodes(t *testing.T) {
	s := newSite(t)
	s.provider.codes["anna"] = []string{"TINIT-" + string(anna), "TINIT-" + string(bruno)}
	s.provider.run()
	b := s.browser()
	if p := b.login(who{Account: "anna", ACR: levelTwo}); p.status != http.StatusOK || b.shows() != anna || !strings.Contains(p.body, "prova 2 codici fiscali") {
		t.Errorf("%d, shows %q\n%s", p.status, b.shows(), s.log)
	}
}

// TestRotation: the provider's key changes between two logins; ours does too.
func TestRotation(t *testing.T) {
	s := newSite(t)
	good := who{Account: "anna", ACR: levelTwo}
	if b := s.browser(); b.login(good).status != http.StatusOK {
		t.Fatalf("before: %s", s.log)
	}
	s.provider.key = newKey(t, "second")
	s.provider.run()
	if b := s.browser(); b.login(good).status != http.StatusOK || b.shows() != anna {
		t.Errorf("after: %s", s.log)
	}
	// Ours, as the provider knows them from the moment it reads them again.
	before := len(s.keys.Public().Keys)
	keys, err := login.NewKeys(s.settings.Keys)
	if err != nil || len(keys.Public().Keys) != before+2 {
		t.Fatalf("%d keys, %v", len(keys.Public().Keys), err)
	}
	s.provider.client = s.settings.Metadata(keys)
	s.provider.run()
	if b := s.browser(); b.login(good).status == http.StatusOK {
		t.Error("userinfo that only the new key opens was opened with the old one")
	}
	s.open()
	if b := s.browser(); b.login(good).status != http.StatusOK || b.shows() != anna {
		t.Errorf("with our new keys: %s", s.log)
	}
}
