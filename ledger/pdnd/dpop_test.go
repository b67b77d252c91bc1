// SPDX-License-Identifier: EUPL-1.2

package pdnd

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/traccia-ledger/traccia/ledger"
)

// jwkOf is a key as a member of a header, and its thumbprint.
func jwkOf(t testing.TB, key any) (object, string) {
	t.Helper()
	k := jose.JSONWebKey{Key: key}
	data, err := k.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var o object
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	sum, err := k.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return o, base64.RawURLEncoding.EncodeToString(sum)
}

func TestCheckProof(t *testing.T) {
	key := people().clientEC
	public, thumbprint := jwkOf(t, key.Public())
	private, _ := jwkOf(t, key)
	rsaPublic, rsaThumbprint := jwkOf(t, people().client.Public())
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const voucher = "a.b.c"
	sum := sha256.Sum256([]byte(voucher))
	header := object{"typ": "dpop+jwt", "alg": "ES256", "jwk": public}
	claims := object{"jti": "e1j3V_bKic8-LAEB", "htm": "POST", "htu": api + "/consultazione", "iat": noon.Unix(), "ath": base64.RawURLEncoding.EncodeToString(sum[:])}
	for _, test := range []struct {
		name           string
		key            crypto.Signer
		header, claims any
		thumbprint     string
		want           string // "" for good, or code and place
	}{
		{"good", key, header, claims, thumbprint, ""},
		{"RSA", people().client, object{"typ": "dpop+jwt", "alg": "RS256", "jwk": rsaPublic}, claims, rsaThumbprint, ""},
		{"host in capitals, default port, query", key, header, with(claims, "htu", "HTTPS://API.inps.example:443/pdnd/rest/waas-consultazione-pensioni/v1/consultazione?a=b#c"), thumbprint, ""},
		{"a minute old", key, header, with(claims, "iat", noon.Add(-time.Minute).Unix()), thumbprint, ""},
		{"another's voucher", key, header, claims, rsaThumbprint, "claim_mismatch header:DPoP#jwk"},
		{"signed by another", other, header, claims, thumbprint, "bad_signature header:DPoP"},
		{"private key", key, with(header, "jwk", private), claims, thumbprint, "bad_value header:DPoP#jwk"},
		{"no key", key, with(header, "jwk", absent), claims, thumbprint, "missing header:DPoP#jwk"},
		{"no key but a text", key, with(header, "jwk", "x"), claims, thumbprint, "bad_value header:DPoP#jwk"},
		{"shared secret", key, with(header, "jwk", object{"kty": "oct", "k": "AAAA"}), claims, thumbprint, "bad_value header:DPoP#jwk"},
		{"type", key, with(header, "typ", "JWT"), claims, thumbprint, "type_refused header:DPoP#typ"},
		{"none", key, with(header, "alg", "none"), claims, thumbprint, "wrong_algorithm header:DPoP#alg"},
		{"algorithm of another key", key, with(header, "alg", "RS256"), claims, thumbprint, "wrong_algorithm header:DPoP#alg"},
		{"method", key, header, with(claims, "htm", "GET"), thumbprint, "claim_mismatch header:DPoP#htm"},
		{"method in small letters", key, header, with(claims, "htm", "post"), thumbprint, "claim_mismatch header:DPoP#htm"},
		{"host", key, header, with(claims, "htu", "https://evil.example/pdnd"), thumbprint, "claim_mismatch header:DPoP#htu"},
		{"path", key, header, with(claims, "htu", api+"/altro"), thumbprint, "claim_mismatch header:DPoP#htu"},
		{"relative", key, header, with(claims, "htu", "/consultazione"), thumbprint, "bad_value header:DPoP#htu"},
		{"no htu", key, header, with(claims, "htu", absent), thumbprint, "missing header:DPoP#htu"},
		{"too old", key, header, with(claims, "iat", noon.Add(-90*time.Second).Unix()), thumbprint, "expired header:DPoP#iat"},
		{"of tomorrow", key, header, with(claims, "iat", noon.Add(time.Hour).Unix()), thumbprint, "not_yet_valid header:DPoP#iat"},
		{"iat as text", key, header, with(claims, "iat", "1"), thumbprint, "bad_value header:DPoP#iat"},
		{"another voucher", key, header, with(claims, "ath", base64.RawURLEncoding.EncodeToString(make([]byte, 32))), thumbprint, "digest_mismatch header:DPoP#ath"},
		{"no ath", key, header, with(claims, "ath", absent), thumbprint, "missing header:DPoP#ath"},
		{"no jti", key, header, with(claims, "jti", absent), thumbprint, "missing header:DPoP#jti"},
		{"no proof", nil, nil, nil, thumbprint, "missing header:DPoP"},
	} {
		t.Run(test.name, func(t *testing.T) {
			u, err := url.Parse(api + "/consultazione?x=y")
			if err != nil {
				t.Fatal(err)
			}
			p := Proof{Method: "POST", URL: u, Voucher: voucher, KeyThumbprint: test.thumbprint}
			if test.key != nil {
				p.Token = sign(test.key, test.header, test.claims)
			}
			jti, until, err := CheckProof(p, noon)
			got := ""
			var problem *ledger.Problem
			if errors.As(err, &problem) {
				got = problem.Code + " " + problem.Where
			} else if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Fatalf("%q, expected %q", got, test.want)
			}
			if err == nil && (jti != "e1j3V_bKic8-LAEB" || !until.After(noon)) {
				t.Errorf("jti %q until %v", jti, until)
			}
		})
	}
}

// A provider judges more of the tokens than the ledger can.
func TestCheckAtTheProvider(t *testing.T) {
	const version = "11111111-2222-4333-8444-555555555555"
	good := func() Call {
		call := audit02(evidenceHeader, evidenceClaims())
		call.Audience, call.DescriptorIDs = []string{"https://other.example", api}, []string{version}
		return call
	}
	_, thumbprint := jwkOf(t, people().clientEC.Public())
	for _, test := range []struct {
		name   string
		change func(c *Call)
		want   string
	}{
		{"good", func(*Call) {}, ""},
		{"other audience", func(c *Call) { c.Audience = c.Audience[:1] }, "wrong_audience voucher#aud"},
		{"other version", func(c *Call) { c.DescriptorIDs = []string{purpose} }, "claim_mismatch voucher#descriptorId"},
		{"a voucher for two, an evidence for the other", func(c *Call) {
			c.Evidence = sign(people().client, evidenceHeader, with(evidenceClaims(), "aud", "https://b.example"))
			c.Voucher = sign(people().pdnd, voucherHeader, with(with(voucherClaims(), "aud", api+", https://b.example"), "digest", digestOf(c.Evidence)))
		}, "wrong_audience evidence#aud"},
		{"bound", func(c *Call) {
			c.Voucher = sign(people().pdnd, voucherHeader, with(with(voucherClaims(), "digest", digestOf(c.Evidence)), "cnf", object{"jkt": thumbprint}))
		}, ""},
		{"bound otherwise", func(c *Call) {
			c.Voucher = sign(people().pdnd, voucherHeader, with(voucherClaims(), "cnf", object{"x5t#S256": thumbprint}))
		}, "bad_value voucher#cnf"},
		{"bound to nothing", func(c *Call) {
			c.Voucher = sign(people().pdnd, voucherHeader, with(voucherClaims(), "cnf", object{"jkt": strings.Repeat("!", 43)}))
		}, "bad_value voucher#cnf"},
	} {
		call := good()
		test.change(&call)
		_, claims, err := newTestChecker(t, 0).Check(t.Context(), call)
		got := ""
		var p *ledger.Problem
		if errors.As(err, &p) {
			got = p.Code + " " + p.Where
		}
		if got != test.want {
			t.Errorf("%s: %q, expected %q", test.name, got, test.want)
		}
		if err == nil && (claims.ClientID != client || claims.ConsumerID != bologna || claims.PurposeID != purpose || (claims.KeyThumbprint == thumbprint) != (test.name == "bound")) {
			t.Errorf("%s: claims %+v", test.name, claims)
		}
	}
}

func FuzzCheckProof(f *testing.F) {
	public, thumbprint := jwkOf(f, people().clientEC.Public())
	f.Add(sign(people().clientEC, object{"typ": "dpop+jwt", "alg": "ES256", "jwk": public}, object{"jti": "x"}))
	u := &url.URL{Scheme: "https", Host: "a.example", Path: "/"}
	f.Fuzz(func(t *testing.T, token string) {
		if _, _, err := CheckProof(Proof{Token: token, Method: "GET", URL: u, Voucher: "v", KeyThumbprint: thumbprint}, noon); err == nil {
			t.Error("accepted")
		}
	})
}
