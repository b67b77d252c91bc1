// SPDX-License-Identifier: EUPL-1.2

package checks

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
)

const (
	inps     = "53b40136-65f2-424b-acfb-7fae17e35c60"
	bologna  = "2d6de81f-961a-4e12-8617-cce887ed7f86"
	pensions = "978e5066-7159-42a1-b057-ec7e47525f8b"
	version  = "11111111-2222-4333-8444-555555555555"
	client   = "be54418b-fa38-4060-bf11-eac2cc1a48ca"
	purpose  = "4a153b51-5d47-4db9-be7e-e73dbcae4bb9"
	api      = "https://api.inps.example/waas/v1"
	content  = `{"beneficiario":{"codice_fiscale":"RSSMRA80A01H501U"},"ente":{"codice_ufficio":"0042","codice_fiscale_operatore_ente":"op-9"}}`
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

type object map[string]any

func (o object) with(pairs ...any) object {
	c := object{}
	for k, v := range o {
		c[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		if c[pairs[i].(string)] = pairs[i+1]; pairs[i+1] == nil {
			delete(c, pairs[i].(string))
		}
	}
	return c
}

type keys map[string]jose.JSONWebKey

func (k keys) Key(_ context.Context, kid string, _ time.Time) (jose.JSONWebKey, error) {
	if key, ok := k[kid]; ok {
		return key, nil
	}
	return jose.JSONWebKey{}, pdnd.ErrUnknownKey
}

var secrets = sync.OnceValue(func() (s struct {
	pdnd   *rsa.PrivateKey
	client *rsa.PrivateKey
	proof  *ecdsa.PrivateKey
}) {
	var err error
	if s.pdnd, err = rsa.GenerateKey(rand.Reader, 2048); err == nil {
		if s.client, err = rsa.GenerateKey(rand.Reader, 2048); err == nil {
			s.proof, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		}
	}
	if err != nil {
		panic(err)
	}
	return s
})

// sign makes a token with a key of go-jose's.
func sign(alg jose.SignatureAlgorithm, key any, header object, claims any) string {
	options := &jose.SignerOptions{}
	for name, value := range header {
		options = options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		panic(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return compact
}

func voucher(claims object) string {
	return sign(jose.RS256, secrets().pdnd, object{"typ": "at+jwt", "use": "sig", "kid": "pdnd"}, claims)
}

func evidence(claims object) string {
	return sign(jose.RS256, secrets().client, object{"typ": "JWT", "kid": "client"}, claims)
}

func voucherClaims() object {
	iat := noon.Unix() - 60
	return object{
		"jti": "9b2f1f0e-55c4-4c1e-8f6f-7c9d3f0a1b22", "iss": "interop.pagopa.it", "aud": api, "client_id": client, "sub": client,
		"iat": iat, "nbf": iat, "exp": iat + 600, "purposeId": purpose,
		"producerId": inps, "consumerId": bologna, "eserviceId": pensions, "descriptorId": version,
	}
}

func evidenceClaims() object {
	iat := noon.Unix() - 61
	return object{
		"iss": client, "aud": api, "purposeId": purpose, "dnonce": 1234567890123, "jti": "0a5b7a0e-6a52-4a3b-9a0e-2f5c7f7f1a11",
		"iat": iat, "exp": iat + 600, "userID": "op-7f3c", "userLocation": "sportello-12", "LoA": "LOA3",
	}
}

func digestOf(compact string) object {
	return object{"alg": "SHA256", "value": fmt.Sprintf("%x", sha256.Sum256([]byte(compact)))}
}

// audit02 sets the headers of a call whose voucher names the evidence.
func audit02(h http.Header, v, e object) {
	compact := evidence(e)
	h.Set(HeaderEvidence, compact)
	h.Set("Authorization", "Bearer "+voucher(v.with("digest", digestOf(compact))))
}

func thumbprint() string {
	sum, err := (&jose.JSONWebKey{Key: secrets().proof.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// bound sets the headers of a call with a voucher bound to a key.
func bound(h http.Header, jti, url string) {
	v := voucher(voucherClaims().with("cnf", object{"jkt": thumbprint()}))
	sum := sha256.Sum256([]byte(v))
	h.Set("Authorization", "DPoP "+v)
	h.Set(HeaderProof, sign(jose.ES256, secrets().proof, object{"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: secrets().proof.Public()}},
		object{"jti": jti, "htm": "POST", "htu": url, "iat": noon.Unix(), "ath": base64.RawURLEncoding.EncodeToString(sum[:])}))
}

// signed sets the headers of a request under INTEGRITY_REST_02.
func signed(h http.Header, claims object) {
	sum := sha256.Sum256([]byte(content))
	digest := "SHA-256=" + base64.StdEncoding.EncodeToString(sum[:])
	h.Set(HeaderDigest, digest)
	h.Set(HeaderSignature, evidence(object{
		"iss": client, "aud": api, "jti": "d3c1e7c8", "iat": noon.Unix(), "exp": noon.Unix() + 100,
		"signed_headers": []object{{"digest": digest}, {"content-type": "application/json"}},
	}.with(pairsOf(claims)...)))
}

func pairsOf(o object) (pairs []any) {
	for k, v := range o {
		pairs = append(pairs, k, v)
	}
	return pairs
}

// memory notes tokens in RAM.
type memory struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (m *memory) Seen(kind, jti string, until time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !until.After(noon) {
		return false, fmt.Errorf("a token that is over")
	}
	seen := m.seen[kind+" "+jti]
	m.seen[kind+" "+jti] = true
	return seen, nil
}

func newChecker(t testing.TB) *Checker {
	t.Helper()
	consumers, err := LoadConsumers(&config.PDND{Consumers: []config.Consumer{{Body: "c_a944", Tenant: bologna}, {Body: "c_f205", Client: client}}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{
		PDND: keys{"pdnd": {Key: secrets().pdnd.Public()}}, Clients: keys{"client": {Key: secrets().client.Public()}},
		Issuers: []string{"interop.pagopa.it"}, Consumers: consumers, Seen: &memory{seen: make(map[string]bool)}, Now: func() time.Time { return noon },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func service(profile string) *config.EService {
	return &config.EService{
		ID: pensions, Provider: "inps", ProducerID: inps, Descriptors: []string{version}, Audience: []string{api}, URL: api, Profile: profile,
	}
}

func call(headers func(h http.Header)) (*http.Request, []byte) {
	r := httptest.NewRequest("POST", "/waas/v1/consultazione?x=y", strings.NewReader(content))
	r.Header.Set("Content-Type", "application/json")
	headers(r.Header)
	return r, []byte(content)
}
