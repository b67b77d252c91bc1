// SPDX-License-Identifier: EUPL-1.2

package pdnd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

func jwk(t *testing.T, kid string, key any, more ...string) string {
	t.Helper()
	data, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: kid, Use: "sig"})
	if err != nil {
		t.Fatal(err)
	}
	return string(data[:len(data)-1]) + strings.Join(more, "") + "}"
}

func set(jwks ...string) string { return `{"keys":[` + strings.Join(jwks, ",") + `]}` }

// site answers as a JWKS URL does; it needs no network, so that time in these tests is synctest's.
type site struct {
	body   atomic.Value // string; "" answers 503
	loads  atomic.Int32
	answer time.Duration
}

func (s *site) RoundTrip(r *http.Request) (*http.Response, error) {
	s.loads.Add(1)
	select {
	case <-time.After(s.answer):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	body := s.body.Load().(string)
	status := http.StatusOK
	if body == "" {
		status = http.StatusServiceUnavailable
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Request: r, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func TestURLKeys(t *testing.T) {
	a := people()
	one, two := jwk(t, "one", a.pdnd.Public()), jwk(t, "two", a.client.Public())
	synctest.Test(t, func(t *testing.T) {
		s := &site{answer: time.Second}
		s.body.Store(set(one))
		keys, err := URLKeys("https://interop.example/.well-known/jwks.json", &http.Client{Transport: s})
		if err != nil {
			t.Fatal(err)
		}
		expect := func(kid string, at time.Time, want error, loads int32) {
			t.Helper()
			if _, err := keys.Key(t.Context(), kid, at); !errors.Is(err, want) {
				t.Errorf("key %s: got %v, want %v", kid, err, want)
			}
			if got := s.loads.Load(); got != loads {
				t.Errorf("key %s: %d loads, want %d", kid, got, loads)
			}
		}
		start := time.Now()
		expect("one", start, nil, 1)
		s.body.Store(set(one, two))
		expect("two", start, ErrUnknownKey, 1) // it was loaded moments ago
		time.Sleep(minRefresh)
		expect("two", start, nil, 2)
		expect("three", start, ErrUnknownKey, 2)

		// A rotation: one leaves the set, and stays good for what it signed before.
		s.body.Store(set(two))
		time.Sleep(minRefresh)
		expect("three", start, ErrUnknownKey, 3)
		expect("one", start, nil, 3)
		expect("one", time.Now(), ErrKeyNotInForce, 3)
		s.body.Store(set(one, two))
		time.Sleep(minRefresh)
		expect("one", time.Now(), nil, 4)

		// A failure: the last good set stands; an unknown kid is nobody's fault.
		s.body.Store("")
		time.Sleep(minRefresh)
		if _, err := keys.Key(t.Context(), "three", start); err == nil || errors.Is(err, ErrUnknownKey) {
			t.Errorf("got %v, want the failure of the load", err)
		}
		expect("two", start, nil, 5)

		// A set that is asked often is loaded again in the background.
		s.body.Store(set(one, two, jwk(t, "three", a.stranger.Public())))
		time.Sleep(maxAge)
		if _, err := keys.Key(t.Context(), "two", start); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		expect("three", start, nil, 6)

		// A site that hangs doesn't hold a caller that gives up.
		s.answer = time.Hour
		time.Sleep(minRefresh)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := keys.Key(ctx, "four", start); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the caller's deadline", err)
		}
		time.Sleep(loadTimeout)
		synctest.Wait()
	})
}

func TestURLKeysRefused(t *testing.T) {
	for _, u := range []string{"http://interop.example/jwks.json", "ftp://localhost/x", "https://", "file:///etc/passwd", "http://127.0.0.1.example/", "://", ""} {
		if _, err := URLKeys(u, &http.Client{Transport: &site{}}); err == nil {
			t.Errorf("%q: want an error", u)
		}
	}
	redirect := roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Scheme == "http" {
			t.Error("followed a redirect away from https")
		}
		return &http.Response{StatusCode: http.StatusFound, Header: http.Header{"Location": {"http://interop.example/"}}, Body: http.NoBody, Request: r}, nil
	})
	if _, err := URLKeys("https://interop.example/", &http.Client{Transport: redirect}); err == nil {
		t.Error("redirect to http: want an error")
	}
	long := roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(io.LimitReader(endless{}, 1<<40)), Request: r}, nil
	})
	if _, err := URLKeys("https://interop.example/", &http.Client{Transport: long}); err == nil {
		t.Error("endless answer: want an error")
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestFileKeys(t *testing.T) {
	a := people()
	file := filepath.Join(t.TempDir(), "jwks.json")
	if _, err := FileKeys(file); err == nil {
		t.Error("no file: want an error")
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(set(jwk(t, "rsa", a.pdnd.Public(), `,"nbf":1767225600,"exp":1767312000`), jwk(t, "ec", a.clientEC.Public()),
		jwk(t, "", a.client.Public()), `{"kty":"EC","crv":"P-521","kid":"other","x":"AA","y":"AA"}`, `{"kty":"AKP","kid":"new"}`))
	keys, err := FileKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		kid  string
		at   int64
		want error
	}{
		{"rsa", 1767225599, ErrKeyNotInForce}, {"rsa", 1767225600, nil}, {"rsa", 1767311999, nil}, {"rsa", 1767312000, ErrKeyNotInForce},
		{"ec", 0, nil}, {"other", 0, ErrUnknownKey}, {"new", 0, ErrUnknownKey}, {"", 0, ErrUnknownKey},
	} {
		if _, err := keys.Key(t.Context(), test.kid, time.Unix(test.at, 0)); !errors.Is(err, test.want) {
			t.Errorf("%s at %d: got %v, want %v", test.kid, test.at, err, test.want)
		}
	}
}

func TestParseKeySetRefused(t *testing.T) {
	a := people()
	private, err := json.Marshal(jose.JSONWebKey{Key: a.pdnd, KeyID: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "[]", "{}", `{"keys":{}}`, `{"keys":null}`, `{"keys":[7]}`, `{"keys":[],"keys":[]}`, set(string(private)),
		set(`{"kty":"oct","kid":"x","k":"AAAA"}`), set(jwk(t, "x", a.pdnd.Public(), `,"nbf":"soon"`)), set(jwk(t, "x", a.pdnd.Public(), `,"kid":"y"`))} {
		if _, err := parseKeySet([]byte(text)); err == nil {
			t.Errorf("%.60s: want an error", text)
		}
	}
}

func FuzzParseKeySet(f *testing.F) {
	sample, err := os.ReadFile("testdata/sample-tokens.json")
	if err != nil {
		f.Fatal(err)
	}
	var tokens map[string]string
	if err := json.Unmarshal(sample, &tokens); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(set(tokens["pdnd_jwk"], tokens["client_jwk"])))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","nbf":1}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parseKeySet(data)
		if err != nil {
			return
		}
		for kid, held := range keys {
			for _, k := range held {
				if kid == "" || !usable(k.Key) || !k.IsPublic() {
					t.Errorf("kept a key that it mustn't")
				}
			}
		}
	})
}

// FuzzParseObject holds the walker against encoding/json: the same members with the same values.
func FuzzParseObject(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1,"b":[{"c":"d\"}"}],"\u0061b":null}`, ` {"a" : -1.5e3 , "b":true}`, `{"a":1,"a":2}`, `{"a":{"b":1,"b":1}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		members, err := parseObject(data)
		var want map[string]json.RawMessage
		wantErr := json.Unmarshal(data, &want)
		if err != nil {
			return
		}
		if wantErr != nil || want == nil || len(want) != len(members) {
			t.Fatalf("%d members, encoding/json has %d (%v)", len(members), len(want), wantErr)
		}
		for _, m := range members {
			if !bytes.Equal(m.raw, want[string(m.name)]) {
				t.Errorf("a member differs from encoding/json's")
			}
		}
	})
}

// FuzzParseToken: what parses has one text only, names an algorithm of its profile, and is read without a panic.
func FuzzParseToken(f *testing.F) {
	sample, err := os.ReadFile("testdata/sample-tokens.json")
	if err != nil {
		f.Fatal(err)
	}
	var tokens map[string]string
	if err := json.Unmarshal(sample, &tokens); err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"voucher", "evidence", "Agid-JWT-Signature"} {
		parts := strings.Split(tokens[name], ".")
		f.Add(decode(parts[0]), decode(parts[1]), decode(parts[2]))
	}
	f.Fuzz(func(t *testing.T, header, payload, signature []byte) {
		compact := fmt.Sprintf("%s.%s.%s", encode(raw(header)), encode(raw(payload)), encode(raw(signature)))
		for _, p := range []*profile{&voucherProfile, &evidenceProfile, &requestProfile} {
			token, err := p.parse(compact)
			if err != nil {
				continue
			}
			h, b, err := p.split(token.compact)
			if err != nil || !bytes.Equal(h, header) || !bytes.Equal(b, payload) {
				t.Errorf("%s: parts differ: %v", p.where, err)
			}
			v, e := reader{where: p.where, members: token.claims}, reader{where: p.where, members: token.claims}
			if voucher := readVoucher(&v); v.problem == nil && (voucher.jti == "" || len(voucher.audience) == 0) {
				t.Errorf("a voucher without jti or aud was read")
			}
			if evidence := readEvidence(&e); e.problem == nil && (evidence.jti == "" || evidence.loa > 4) {
				t.Errorf("an evidence without jti was read")
			}
			judgeSignedHeaders(&v, &http.Request{Header: http.Header{"Digest": {"x"}}}, nil)
		}
	})
}

func decode(part string) []byte {
	h, _, err := voucherProfile.split(part + ".AA.AA")
	if err != nil {
		panic(err)
	}
	return h
}
