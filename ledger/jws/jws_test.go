// SPDX-License-Identifier: EUPL-1.2

package jws

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

const testType = "traccia-receipt+jwt"

var testPayload = []byte(`{"aud":"registro.example"}`)

// signers has one private key of each algorithm.
var signers = sync.OnceValue(func() map[string]crypto.Signer {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return map[string]crypto.Signer{ES256: ec, RS256: r, EdDSA: ed}
})

func testKey(t testing.TB, alg string) (Key, crypto.Signer) {
	t.Helper()
	s := signers()[alg]
	k, err := NewKey("k-"+alg, s.Public())
	if err != nil {
		t.Fatal(err)
	}
	return k, s
}

func testToken(t testing.TB, alg string, payload []byte) (string, Key) {
	t.Helper()
	k, s := testKey(t, alg)
	token, err := Sign(testType, payload, k.Kid, s)
	if err != nil {
		t.Fatal(err)
	}
	return token, k
}

func TestSignAndVerify(t *testing.T) {
	for alg := range signers() {
		token, k := testToken(t, alg, testPayload)
		u, err := Parse(token)
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		if want := (Header{alg, k.Kid, testType}); u.Header != want {
			t.Errorf("header %+v instead of %+v", u.Header, want)
		}
		if string(u.Payload) != string(testPayload) {
			t.Errorf("payload %q", u.Payload)
		}
		if err := u.Verify(k); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func TestSignNamesKeyByThumbprint(t *testing.T) {
	s := signers()[ES256]
	token, err := Sign(testType, testPayload, "", s)
	if err != nil {
		t.Fatal(err)
	}
	u, err := Parse(token)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := Thumbprint(s.Public()); err != nil || u.Header.Kid != want {
		t.Errorf("kid %q instead of %q, %v", u.Header.Kid, want, err)
	}
}

// TestOtherImplementation signs and verifies with go-jose, both ways.
func TestOtherImplementation(t *testing.T) {
	for alg, s := range signers() {
		token, k := testToken(t, alg, testPayload)
		theirs, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		payload, err := theirs.Verify(s.Public())
		if err != nil || string(payload) != string(testPayload) {
			t.Errorf("%s: they read %q, %v", alg, payload, err)
		}

		signer, err := jose.NewSigner(
			jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: jose.JSONWebKey{Key: s, KeyID: k.Kid}},
			(&jose.SignerOptions{}).WithType(testType))
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign(testPayload)
		if err != nil {
			t.Fatal(err)
		}
		token, err = signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		ours, err := Parse(token)
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		if err := ours.Verify(k); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

// TestTamperedBytes flips each bit of a token, and removes and doubles each byte.
func TestTamperedBytes(t *testing.T) {
	accepted := func(token string, k Key) bool {
		u, err := Parse(token)
		return err == nil && u.Verify(k) == nil
	}
	for alg := range signers() {
		token, k := testToken(t, alg, []byte(`{}`))
		if !accepted(token, k) {
			t.Fatalf("%s: refused untouched", alg)
		}
		for i := range token {
			for bit := range 8 {
				changed := []byte(token)
				changed[i] ^= 1 << bit
				if accepted(string(changed), k) {
					t.Errorf("%s: accepted with bit %d of byte %d flipped", alg, bit, i)
				}
			}
			if accepted(token[:i]+token[i+1:], k) || accepted(token[:i]+token[i:i+1]+token[i:], k) {
				t.Errorf("%s: accepted with byte %d removed or doubled", alg, i)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	b64 := base64.RawURLEncoding.EncodeToString
	sig := b64(make([]byte, 64))
	rsaSig := b64(make([]byte, 256))
	head := func(header string) string { return b64([]byte(header)) + ".e30." + sig }
	good := `{"alg":"ES256","kid":"k","typ":"t"}`
	if _, err := Parse(head(good)); err != nil {
		t.Fatal(err)
	}
	h := b64([]byte(good))
	for _, test := range []struct {
		name, token string
		want        Error
	}{
		{"nothing", "", Error{"", "three segments", "1 segment"}},
		{"two segments", "e30.e30", Error{"", "three segments", "2 segments"}},
		{"five segments", "a.b.c.d.e", Error{"", "three segments", "5 segments"}},
		{"too long", strings.Repeat("a", MaxToken+1), Error{"", "at most 65536 bytes", "65537 bytes"}},
		{"no header", ".e30." + sig, Error{"header", "base64url without padding", "nothing"}},
		{"no payload", h + ".." + sig, Error{"payload", "base64url without padding", "nothing"}},
		{"no signature", h + ".e30.", Error{"signature", "base64url without padding", "nothing"}},
		{"padding", h + ".e30=." + sig, Error{"payload", "base64url without padding", "other text"}},
		{"the other alphabet", h + ".+30." + sig, Error{"payload", "base64url without padding", "other text"}},
		{"spare bits", h + ".eyJ." + sig, Error{"payload", "base64url without padding", "other text"}},
		{"a line break", h + ".e3\n0." + sig, Error{"", "base64url without padding", "a line break"}},
		{"a line break at the end", head(good) + "\r\n", Error{"", "base64url without padding", "a line break"}},
		{"a space before", " " + head(good), Error{"header", "base64url without padding", "other text"}},
		{"a long header", strings.Repeat("a", 1025) + ".e30." + sig, Error{"header", "at most 1024 characters", "1025 characters"}},
		{"an array", head(`[]`), Error{"header", "an object", "an array"}},
		{"no alg", head(`{"kid":"k","typ":"t"}`), Error{"header/alg", "a string", "nothing"}},
		{"no kid", head(`{"alg":"ES256","typ":"t"}`), Error{"header/kid", "a string", "nothing"}},
		{"no typ", head(`{"alg":"ES256","kid":"k"}`), Error{"header/typ", "a string", "nothing"}},
		{"crit", head(`{"alg":"ES256","kid":"k","typ":"t","crit":["b64"]}`), Error{"header", "one of the names alg, kid, typ", "an unknown name"}},
		{"jwk", head(`{"alg":"ES256","kid":"k","typ":"t","jwk":{}}`), Error{"header", "one of the names alg, kid, typ", "an unknown name"}},
		{"jku", head(`{"alg":"ES256","jku":"https://x.example","kid":"k","typ":"t"}`), Error{"header", "one of the names alg, kid, typ", "an unknown name"}},
		{"letter case", head(`{"Alg":"ES256","kid":"k","typ":"t"}`), Error{"header", "one of the names alg, kid, typ", "an unknown name"}},
		{"twice", head(`{"alg":"ES256","alg":"ES256","kid":"k","typ":"t"}`), Error{"header/alg", "each name once", "a name twice"}},
		{"none", head(`{"alg":"none","kid":"k","typ":"t"}`), Error{"header/alg", "ES256, RS256 or EdDSA", "none"}},
		{"HS256", head(`{"alg":"HS256","kid":"k","typ":"t"}`), Error{"header/alg", "ES256, RS256 or EdDSA", "HS256"}},
		{"es256", head(`{"alg":"es256","kid":"k","typ":"t"}`), Error{"header/alg", "ES256, RS256 or EdDSA", "es256"}},
		{"no text as alg", head(`{"alg":"","kid":"k","typ":"t"}`), Error{"header/alg", "ES256, RS256 or EdDSA", "nothing"}},
		{"an alg to hide in", head(`{"alg":"` + strings.Repeat("a", 33) + `","kid":"k","typ":"t"}`), Error{"header/alg", "ES256, RS256 or EdDSA", "a string of 33 bytes"}},
		{"an empty kid", head(`{"alg":"ES256","kid":"","typ":"t"}`), Error{"header/kid", "1 to 128 visible ASCII characters", "0 bytes"}},
		{"a long kid", head(`{"alg":"ES256","kid":"` + strings.Repeat("k", 129) + `","typ":"t"}`), Error{"header/kid", "1 to 128 visible ASCII characters", "129 bytes"}},
		{"a kid with a line", head(`{"alg":"ES256","kid":"k\nk","typ":"t"}`), Error{"header/kid", "1 to 128 visible ASCII characters", "other characters"}},
		{"a typ with an accent", head(`{"alg":"ES256","kid":"k","typ":"è"}`), Error{"header/typ", "1 to 128 visible ASCII characters", "other characters"}},
		{"a short signature", h + ".e30." + b64(make([]byte, 63)), Error{"signature", "64 bytes for ES256", "63 bytes"}},
		{"an ASN.1 signature", h + ".e30." + b64(make([]byte, 70)), Error{"signature", "64 bytes for ES256", "70 bytes"}},
		{"RSA of 1024 bits", b64([]byte(`{"alg":"RS256","kid":"k","typ":"t"}`)) + ".e30." + b64(make([]byte, 128)), Error{"signature", "256 to 512 bytes for RS256", "128 bytes"}},
		{"Ed25519 with RSA's length", b64([]byte(`{"alg":"EdDSA","kid":"k","typ":"t"}`)) + ".e30." + rsaSig, Error{"signature", "64 bytes for EdDSA", "256 bytes"}},
	} {
		u, err := Parse(test.token)
		if u != nil {
			t.Errorf("%s: not nil", test.name)
		}
		if diff := cmp.Diff(&test.want, err); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

// TestAlgorithmConfusion has each key verify tokens that claim each algorithm
// and carry each signature.
func TestAlgorithmConfusion(t *testing.T) {
	for claimed := range signers() {
		for signed, s := range signers() {
			if claimed == signed {
				continue
			}
			input := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+claimed+`","kid":"k","typ":"t"}`)) + ".e30"
			signature, err := sign([]byte(input), signed, s)
			if err != nil {
				t.Fatal(err)
			}
			u, err := Parse(input + "." + base64.RawURLEncoding.EncodeToString(signature))
			if err != nil {
				continue // the signature's length gave it away
			}
			for verifier := range signers() {
				if u.Verify(Key{"k", verifier, signers()[verifier].Public()}) == nil {
					t.Errorf("%s accepted a token that claims %s and is signed with %s", verifier, claimed, signed)
				}
			}
			err = u.Verify(Key{"k", signed, s.Public()})
			if want := (&Error{"header/alg", signed, claimed}); !cmp.Equal(error(want), err) {
				t.Errorf("%v instead of %v", err, want)
			}
			// a key whose own Alg lies
			if u.Verify(Key{"k", claimed, s.Public()}) == nil {
				t.Errorf("accepted under a key of %s marked for %s", signed, claimed)
			}
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	token, k := testToken(t, ES256, testPayload)
	u, err := Parse(token)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		key  Key
		want Error
	}{
		{"another kid", Key{"k2", k.Alg, k.Public}, Error{"header/kid", "k2", "k-ES256"}},
		{"another key", Key{k.Kid, k.Alg, other.Public()}, Error{"signature", "a signature by k-ES256 over this token", "another"}},
		{"another curve", Key{k.Kid, k.Alg, p384.Public()}, Error{"/crv", "P-256", "P-384"}},
		{"no key", Key{k.Kid, k.Alg, nil}, Error{"", "a P-256, RSA or Ed25519 public key", "<nil>"}},
		{"a private key", Key{k.Kid, k.Alg, other}, Error{"", "a P-256, RSA or Ed25519 public key", "*ecdsa.PrivateKey"}},
		{"a short Ed25519 key", Key{k.Kid, EdDSA, ed25519.PublicKey{1}}, Error{"/x", "32 bytes", "1 byte"}},
	} {
		if diff := cmp.Diff(error(&test.want), u.Verify(test.key)); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestZeroSignature(t *testing.T) {
	k, _ := testKey(t, ES256)
	u := &Unverified{Header: Header{ES256, k.Kid, testType}, input: "e30.e30", signature: make([]byte, 64)}
	if u.Verify(k) == nil {
		t.Error("accepted r = s = 0")
	}
}

// TestSecondSignature shows the hole that the package comment admits.
func TestSecondSignature(t *testing.T) {
	token, k := testToken(t, ES256, testPayload)
	u, err := Parse(token)
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).SetBytes(u.signature[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(u.signature[32:])
	if err := u.Verify(k); err != nil {
		t.Errorf("r ‖ −s: %v", err)
	}
}

// badSigner stands for a device that answers wrongly.
type badSigner struct {
	crypto.Signer
	signature []byte
	err       error
}

func (b badSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return b.signature, b.err
}

func TestSignRefuses(t *testing.T) {
	ec := signers()[ES256]
	broken := errors.New("the device is gone")
	huge := new(big.Int).Lsh(big.NewInt(1), 256)
	for _, test := range []struct {
		name, typ, kid string
		payload        []byte
		signer         crypto.Signer
	}{
		{"no payload", "t", "k", nil, ec},
		{"no typ", "", "k", testPayload, ec},
		{"a kid with a space", "t", "k k", testPayload, ec},
		{"too long", "t", "k", make([]byte, MaxToken), ec},
		{"a broken device", "t", "k", testPayload, badSigner{ec, nil, broken}},
		{"r ‖ s from a device", "t", "k", testPayload, badSigner{ec, make([]byte, 64), nil}},
		{"r = 0", "t", "k", testPayload, badSigner{ec, derSignature(t, new(big.Int), big.NewInt(1)), nil}},
		{"s of 257 bits", "t", "k", testPayload, badSigner{ec, derSignature(t, big.NewInt(1), huge), nil}},
		{"bytes after the signature", "t", "k", testPayload, badSigner{ec, append(derSignature(t, big.NewInt(1), big.NewInt(1)), 0), nil}},
	} {
		if token, err := Sign(test.typ, test.payload, test.kid, test.signer); err == nil || token != "" {
			t.Errorf("%s: %q, %v", test.name, token, err)
		}
	}
	if _, err := Sign("t", testPayload, "k", badSigner{ec, nil, broken}); !errors.Is(err, broken) {
		t.Errorf("the device's error is lost: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for alg := range signers() {
		token, _ := testToken(f, alg, testPayload)
		f.Add(token)
	}
	f.Add(rfc7515ES256)
	f.Add("e30.e30.e30")
	f.Fuzz(func(t *testing.T, compact string) {
		u, err := Parse(compact)
		if err != nil {
			if bad := (*Error)(nil); !errors.As(err, &bad) || u != nil {
				t.Fatalf("%#v, %v", err, u)
			}
			return
		}
		b64 := base64.RawURLEncoding.EncodeToString
		header, err := base64.RawURLEncoding.DecodeString(compact[:strings.IndexByte(compact, '.')])
		if err != nil {
			t.Fatal(err)
		}
		if again := b64(header) + "." + b64(u.Payload) + "." + b64(u.signature); again != compact {
			t.Errorf("%q re-encodes to %q", compact, again)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	token, _ := testToken(b, ES256, make([]byte, 2500))
	b.ReportAllocs()
	b.SetBytes(int64(len(token)))
	for b.Loop() {
		if _, err := Parse(token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{ES256, RS256, EdDSA} {
		b.Run(alg, func(b *testing.B) {
			token, k := testToken(b, alg, make([]byte, 2500))
			u, err := Parse(token)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := u.Verify(k); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSign(b *testing.B) {
	for _, alg := range []string{ES256, RS256, EdDSA} {
		b.Run(alg, func(b *testing.B) {
			k, s := testKey(b, alg)
			payload := make([]byte, 2500)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Sign(testType, payload, k.Kid, s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
