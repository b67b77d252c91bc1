// SPDX-License-Identifier: EUPL-1.2

package jws

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

func derSignature(t *testing.T, r, s *big.Int) []byte {
	t.Helper()
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func testKeys(t testing.TB) []Key {
	t.Helper()
	var keys []Key
	for _, alg := range []string{ES256, RS256, EdDSA} {
		k, _ := testKey(t, alg)
		keys = append(keys, k)
	}
	return keys
}

func TestFormatKeysAndParseKeys(t *testing.T) {
	keys := testKeys(t)
	data, err := FormatKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseKeys(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(keys, again); diff != "" {
		t.Error(diff)
	}
	for _, k := range keys {
		data, err := FormatKey(k)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseKey(data); err != nil || !cmp.Equal(k, again) {
			t.Errorf("%s: %v, %v", data, again, err)
		}
	}
	none, err := FormatKeys(nil)
	if err != nil || string(none) != `{"keys":[]}` {
		t.Errorf("%s, %v", none, err)
	}
	if keys, err := ParseKeys(none); err != nil || len(keys) != 0 {
		t.Errorf("%v, %v", keys, err)
	}
}

func TestFormatKeyIsDeterministic(t *testing.T) {
	k, err := ParseKey([]byte(rfc8037OKP))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"alg":"EdDSA","crv":"Ed25519","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","kty":"OKP","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	if got, err := FormatKey(k); err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}

// TestKeysOfOtherImplementation exchanges JWK sets with go-jose.
func TestKeysOfOtherImplementation(t *testing.T) {
	keys := testKeys(t)
	data, err := FormatKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	var theirs jose.JSONWebKeySet
	if err := json.Unmarshal(data, &theirs); err != nil {
		t.Fatal(err)
	}
	for i, k := range keys {
		their := theirs.Keys[i]
		if !their.Key.(interface{ Equal(crypto.PublicKey) bool }).Equal(k.Public) || their.KeyID != k.Kid || their.Algorithm != k.Alg {
			t.Errorf("they read %+v", their)
		}
		print, err := their.Thumbprint(crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Thumbprint(k.Public); err != nil || got != base64.RawURLEncoding.EncodeToString(print) {
			t.Errorf("thumbprint %s, %v; theirs %x", got, err, print)
		}
	}
	if data, err = json.Marshal(theirs); err != nil {
		t.Fatal(err)
	}
	if ours, err := ParseKeys(data); err != nil || !cmp.Equal(keys, ours) {
		t.Errorf("%v, %v", ours, err)
	}
}

func TestForeignMembers(t *testing.T) {
	foreign := strings.Replace(rfc8037OKP, "{", `{"use":"sig","key_ops":["verify"],"x5c":["MIIB"],"exp":1795305600,"nbf":1,"alg":"EdDSA","kid":"a","ext":true,"x-it":{"p":1},`, 1)
	keys, err := ParseKeys([]byte(`{"issuer":"https://auth.example","keys":[` + foreign + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != 1 || keys[0].Kid != "a" || keys[0].Alg != EdDSA {
		t.Errorf("%+v", keys)
	}
}

func rsaJWK(n, e []byte) string {
	b64 := base64.RawURLEncoding.EncodeToString
	return `{"kty":"RSA","n":"` + b64(n) + `","e":"` + b64(e) + `"}`
}

func edJWK(t *testing.T, x string) string {
	t.Helper()
	raw, err := hex.DecodeString(x)
	if err != nil {
		t.Fatal(err)
	}
	return `{"kty":"OKP","crv":"Ed25519","x":"` + base64.RawURLEncoding.EncodeToString(raw) + `"}`
}

func TestParseKeyRefuses(t *testing.T) {
	modulus := signers()[RS256].Public().(*rsa.PublicKey).N.Bytes()
	even := slices.Clone(modulus)
	even[len(even)-1] &^= 1
	half := slices.Clone(modulus[128:])
	half[0] |= 0x80
	f := []byte{1, 0, 1}
	with := func(jwk, more string) string { return strings.Replace(jwk, "{", "{"+more+",", 1) }
	for _, test := range []struct {
		name, jwk string
		want      Error
	}{
		{"no JSON", "", Error{"", "an object", "the end"}},
		{"a name twice", `{"kty":"EC","kty":"RSA"}`, Error{"", "each name once", "a name twice at byte 17"}},
		{"no kty", `{}`, Error{"/kty", "EC, RSA or OKP", "nothing"}},
		{"kty in another letter case", `{"Kty":"EC"}`, Error{"/kty", "EC, RSA or OKP", "nothing"}},
		{"kty as a number", `{"kty":1}`, Error{"/kty", "a string, not empty", "something else"}},
		{"kid null", with(rfc7515EC, `"kid":null`), Error{"/kid", "a string, not empty", "something else"}},
		{"kid empty", with(rfc7515EC, `"kid":""`), Error{"/kid", "a string, not empty", "something else"}},
		{"kid with a space", with(rfc7515EC, `"kid":"a b"`), Error{"/kid", "1 to 128 visible ASCII characters", "other characters"}},
		{"for encryption", with(rfc7515EC, `"use":"enc"`), Error{"/use", "sig", "enc"}},
		{"another alg", with(rfc7515EC, `"alg":"ES384"`), Error{"/alg", "ES256", "ES384"}},
		{"an alg of another type", with(rfc7515EC, `"alg":"RS256"`), Error{"/alg", "ES256", "RS256"}},
		{"PSS", with(rfc7515RSA, `"alg":"PS256"`), Error{"/alg", "RS256", "PS256"}},
		{"P-384", `{"kty":"EC","crv":"P-384"}`, Error{"/crv", "P-256", "P-384"}},
		{"Ed448", `{"kty":"OKP","crv":"Ed448"}`, Error{"/crv", "Ed25519", "Ed448"}},
		{"X25519", `{"kty":"OKP","crv":"X25519"}`, Error{"/crv", "Ed25519", "X25519"}},
		{"no x", `{"kty":"EC","crv":"P-256"}`, Error{"/x", "base64url without padding", "nothing"}},
		{"no y", strings.Replace(rfc7515EC, `"y"`, `"Y"`, 1), Error{"/y", "base64url without padding", "nothing"}},
		{"padding", strings.Replace(rfc7515EC, `VEU"`, `VEU="`, 1), Error{"/x", "base64url without padding", "other text"}},
		{"a line break", strings.Replace(rfc7515EC, `VEU"`, `V\nEU"`, 1), Error{"/x", "base64url without padding", "other text"}},
		{"spare bits", strings.Replace(rfc7515EC, `VEU"`, `VEV"`, 1), Error{"/x", "base64url without padding", "other text"}},
		{"off the curve", strings.Replace(rfc7515EC, `"x":"f8`, `"x":"g8`, 1), Error{"/x", "a point of P-256", "none"}},
		{"RSA of 1024 bits", rsaJWK(half, f), Error{"/n", "2048 to 4096 bits", "1024 bits"}},
		{"RSA of 4104 bits", rsaJWK(append(bytes.Repeat([]byte{0xff}, 257), modulus...), f), Error{"/n", "at most 4096 bits", "4104 bits"}},
		{"an even modulus", rsaJWK(even, f), Error{"/n", "an odd modulus", "an even one"}},
		{"a leading zero", rsaJWK(append([]byte{0}, modulus...), f), Error{"/n", "a number without leading zero bytes", "257 bytes"}},
		{"no n", `{"kty":"RSA","e":"AQAB"}`, Error{"/n", "base64url without padding", "nothing"}},
		{"an empty e", rsaJWK(modulus, nil), Error{"/e", "a string, not empty", "something else"}},
		{"e = 1", rsaJWK(modulus, []byte{1}), Error{"/e", "an odd exponent from 3 to 2^31−1", "another number"}},
		{"e = 65536", rsaJWK(modulus, []byte{1, 0, 0}), Error{"/e", "an odd exponent from 3 to 2^31−1", "another number"}},
		{"e = 2^31+1", rsaJWK(modulus, []byte{128, 0, 0, 1}), Error{"/e", "at most 31 bits", "32 bits"}},
		{"Ed25519 of 33 bytes", edJWK(t, strings.Repeat("01", 33)), Error{"/x", "32 bytes", "33 bytes"}},
		{"y with no x", edJWK(t, "02"+strings.Repeat("00", 31)), Error{"/x", "a point of Ed25519 of large order", "none"}},
		{"y = p+3", edJWK(t, "f0"+strings.Repeat("ff", 30)+"7f"), Error{"/x", "a point of Ed25519 of large order", "none"}},
	} {
		k, err := ParseKey([]byte(test.jwk))
		if diff := cmp.Diff(error(&test.want), err); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
		if !cmp.Equal(k, Key{}) {
			t.Errorf("%s: a key with the error", test.name)
		}
	}
	for _, name := range private {
		for _, jwk := range []string{rfc7515EC, rfc7515RSA, rfc8037OKP, `{"kty":"oct"}`} {
			_, err := ParseKey([]byte(with(jwk, `"`+name+`":"AQAB"`)))
			if bad := (*Error)(nil); !errors.As(err, &bad) || bad.Where != "/"+name || strings.Contains(bad.Found, "AQAB") {
				t.Errorf("%s in %s: %v", name, jwk, err)
			}
		}
	}
	for _, exponent := range [][]byte{{3}, {1, 0, 1}, {127, 255, 255, 255}} {
		if _, err := ParseKey([]byte(rsaJWK(modulus, exponent))); err != nil {
			t.Errorf("e = %x: %v", exponent, err)
		}
	}
}

// TestSmallOrderKeys holds that no key passes under which crypto/ed25519 takes
// one signature for several messages.
func TestSmallOrderKeys(t *testing.T) {
	forged := 0
	for _, y := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		for _, sign := range []byte{0, 0x80} {
			k, err := hex.DecodeString(y)
			if err != nil {
				t.Fatal(err)
			}
			k[31] |= sign
			signature := make([]byte, 64) // R the neutral element, s = 0
			signature[0] = 1
			for i := range 64 {
				if ed25519.Verify(k, []byte{byte(i)}, signature) {
					forged++
					break
				}
			}
			if _, err := NewKey("k", ed25519.PublicKey(k)); err == nil {
				t.Errorf("accepted %x", k)
			}
		}
	}
	if forged < 8 {
		t.Errorf("only %d of these keys take forged signatures: the list is wrong", forged)
	}
}

// TestUsablePoint compares with how crypto/ed25519 decodes: for a y without x
// it refuses every signature, for another the honest one verifies.
func TestUsablePoint(t *testing.T) {
	for i := range 200 {
		public, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if !usablePoint(public) {
			t.Errorf("refused key %d, %x", i, public)
		}
	}
	refused := 0
	for range 1000 {
		random := make([]byte, 32)
		if _, err := rand.Read(random); err != nil {
			t.Fatal(err)
		}
		if !usablePoint(random) {
			refused++
		}
	}
	if refused < 400 || refused > 600 {
		t.Errorf("refused %d of 1000 random y; half of them have no x", refused)
	}
}

func TestParseKeysRefuses(t *testing.T) {
	okp := strings.Replace(rfc8037OKP, "{", `{"kid":"same",`, 1)
	ec := strings.Replace(rfc7515EC, "{", `{"kid":"same",`, 1)
	for _, test := range []struct {
		name, set string
		want      Error
	}{
		{"no keys", `{}`, Error{"/keys", "an array of keys", "something else"}},
		{"null", `{"keys":null}`, Error{"/keys", "an array of keys", "something else"}},
		{"an object", `{"keys":{}}`, Error{"/keys", "an array of keys", "something else"}},
		{"one key", rfc8037OKP, Error{"/keys", "an array of keys", "something else"}},
		{"a number in it", `{"keys":[1]}`, Error{"/keys/0", "an object", "a number"}},
		{"a bad key", `{"keys":[` + rfc8037OKP + `,{"kty":"oct"}]}`, Error{"/keys/1/kty", "EC, RSA or OKP", "oct"}},
		{"a kid twice", `{"keys":[` + okp + `,` + ec + `]}`, Error{"/keys/1/kid", "each kid once", "same again"}},
		{"a thumbprint twice", `{"keys":[` + rfc8037OKP + `,` + rfc8037OKP + `]}`, Error{"/keys/1/kid", "each kid once", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k again"}},
		{"too many", `{"keys":[1` + strings.Repeat(",1", 1000) + `]}`, Error{"/keys", "at most 1000 keys", "1001 keys"}},
		{"too long", `{"keys":[]}` + strings.Repeat(" ", 1<<20), Error{"", "at most 1048576 bytes", "1048587 bytes"}},
	} {
		keys, err := ParseKeys([]byte(test.set))
		if diff := cmp.Diff(error(&test.want), err); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
		if keys != nil {
			t.Errorf("%s: keys with the error", test.name)
		}
	}
}

func TestFormatKeyRefuses(t *testing.T) {
	k, _ := testKey(t, ES256)
	//lint:ignore SA1019 what a careless caller can make
	offCurve := &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}
	for _, test := range []struct {
		name string
		key  Key
	}{
		{"another alg", Key{"k", RS256, k.Public}},
		{"no alg", Key{"k", "", k.Public}},
		{"a private key", Key{"k", ES256, signers()[ES256]}},
		{"off the curve", Key{"k", ES256, offCurve}},
		{"a bad kid", Key{"k k", ES256, k.Public}},
	} {
		if data, err := FormatKey(test.key); err == nil {
			t.Errorf("%s: %s", test.name, data)
		}
	}
	_, err := FormatKeys([]Key{k, k})
	if want := (&Error{"/keys/1/kid", "each kid once", k.Kid + " again"}); !cmp.Equal(error(want), err) {
		t.Errorf("%v", err)
	}
}

func FuzzParseKeys(f *testing.F) {
	data, err := FormatKeys(testKeys(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	for _, jwk := range []string{rfc7515EC, rfc7515RSA, rfc7638RSA, rfc8037OKP} {
		f.Add([]byte(`{"keys":[` + jwk + `]}`))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := ParseKeys(data)
		if err != nil {
			if bad := (*Error)(nil); !errors.As(err, &bad) {
				t.Fatalf("%#v", err)
			}
			return
		}
		formatted, err := FormatKeys(keys)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseKeys(formatted)
		if err != nil || !cmp.Equal(keys, again) {
			t.Fatalf("%s: %v, %v", formatted, again, err)
		}
		twice, err := FormatKeys(again)
		if err != nil || !bytes.Equal(formatted, twice) {
			t.Errorf("%s re-encodes to %s, %v", formatted, twice, err)
		}
	})
}
