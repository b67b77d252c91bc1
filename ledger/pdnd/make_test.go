// SPDX-License-Identifier: EUPL-1.2

package pdnd

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
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

const (
	inps     = "53b40136-65f2-424b-acfb-7fae17e35c60"
	bologna  = "2d6de81f-961a-4e12-8617-cce887ed7f86"
	pensions = "978e5066-7159-42a1-b057-ec7e47525f8b"
	client   = "be54418b-fa38-4060-bf11-eac2cc1a48ca"
	purpose  = "4a153b51-5d47-4db9-be7e-e73dbcae4bb9"
	api      = "https://api.inps.example/pdnd/rest/waas-consultazione-pensioni/v1"
)

// noon is when the access of most tests takes place.
var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

type object = map[string]any

// with returns a copy with one member set, or taken out where value is absent.
func with(o object, name string, value any) object {
	c := object{}
	for k, v := range o {
		c[k] = v
	}
	if c[name] = value; value == absent {
		delete(c, name)
	}
	return c
}

type absentType struct{}

var absent any = absentType{}

// raw is a payload or header written by hand.
type raw string

func encode(part any) string {
	if r, ok := part.(raw); ok {
		return base64.RawURLEncoding.EncodeToString([]byte(r))
	}
	data, err := json.Marshal(part)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

// sign signs whatever header and payload it is given, by the kind of the key.
func sign(key crypto.Signer, header, payload any) string {
	message := encode(header) + "." + encode(payload)
	sum := sha256.Sum256([]byte(message))
	var signature []byte
	var err error
	switch k := key.(type) {
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])
	case *ecdsa.PrivateKey:
		r, s, e := ecdsa.Sign(rand.Reader, k, sum[:])
		err = e
		if err == nil {
			signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	}
	if err != nil {
		panic(err)
	}
	return message + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func digestOf(compact string) object {
	return object{"alg": "SHA256", "value": fmt.Sprintf("%x", sha256.Sum256([]byte(compact)))}
}

type staticKeys map[string]jose.JSONWebKey

func (k staticKeys) Key(_ context.Context, kid string, _ time.Time) (jose.JSONWebKey, error) {
	if key, ok := k[kid]; ok {
		return key, nil
	}
	return jose.JSONWebKey{}, ErrUnknownKey
}

type actors struct {
	pdnd, client, stranger *rsa.PrivateKey
	clientEC               *ecdsa.PrivateKey
	pdndKeys, clientKeys   staticKeys
}

var people = sync.OnceValue(func() actors {
	var a actors
	for _, k := range []**rsa.PrivateKey{&a.pdnd, &a.client, &a.stranger} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		*k = key
	}
	var err error
	if a.clientEC, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		panic(err)
	}
	a.pdndKeys = staticKeys{"pdnd": {Key: a.pdnd.Public(), Algorithm: "RS256"}}
	a.clientKeys = staticKeys{"client": {Key: a.client.Public()}, "client-ec": {Key: a.clientEC.Public(), Algorithm: "ES256"}}
	return a
})

func newTestChecker(t testing.TB, size int) *Checker {
	t.Helper()
	c, err := NewChecker(Config{Issuers: []string{"interop.pagopa.it"}, PDND: people().pdndKeys, Clients: people().clientKeys, CacheSize: size})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var (
	voucherHeader  = object{"alg": "RS256", "use": "sig", "typ": "at+jwt", "kid": "pdnd"}
	evidenceHeader = object{"alg": "RS256", "typ": "JWT", "kid": "client"}
)

func voucherClaims() object {
	iat := noon.Unix() - 60
	return object{
		"jti": "9b2f1f0e-55c4-4c1e-8f6f-7c9d3f0a1b22", "iss": "interop.pagopa.it", "aud": api, "client_id": client, "sub": client,
		"iat": iat, "nbf": iat, "exp": iat + 600, "purposeId": purpose,
		"producerId": inps, "consumerId": bologna, "eserviceId": pensions, "descriptorId": "11111111-2222-4333-8444-555555555555",
	}
}

func evidenceClaims() object {
	iat := noon.Unix() - 61
	return object{
		"iss": client, "aud": api, "purposeId": purpose, "dnonce": 1234567890123, "jti": "0a5b7a0e-6a52-4a3b-9a0e-2f5c7f7f1a11",
		"iat": iat, "exp": iat + 600, "userID": "op-7f3c", "userLocation": "sportello-12", "LoA": "LOA3",
	}
}

func goodCall() Call {
	return Call{OccurredAt: noon, ProducerID: inps, ConsumerID: bologna, EServiceID: pensions, PurposeID: purpose}
}

// audit02 is a call whose voucher carries the digest of this evidence.
func audit02(header, claims any) Call {
	call := goodCall()
	call.Evidence = sign(people().client, header, claims)
	call.Voucher = sign(people().pdnd, voucherHeader, with(voucherClaims(), "digest", digestOf(call.Evidence)))
	return call
}
