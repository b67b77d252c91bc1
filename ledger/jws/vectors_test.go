// SPDX-License-Identifier: EUPL-1.2

package jws

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"
)

// The published examples: RFC 7515 A.2 and A.3, RFC 7638 §3.1, RFC 8037 A.
// Their tokens lack kid and typ, so Parse refuses them; verify must not.
const (
	rfc7515Payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

	rfc7515RSA = `{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPM` +
		`EzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQ` +
		`OS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PA` +
		`cDTW9gb54h4FRWyuXpoQ"}`
	rfc7515RS256 = "eyJhbGciOiJSUzI1NiJ9." + rfc7515Payload + ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh" +
		"7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHl" +
		"b1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5" +
		"AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"

	rfc7515EC    = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
	rfc7515ES256 = "eyJhbGciOiJFUzI1NiJ9." + rfc7515Payload + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

	rfc8037OKP   = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	rfc8037EdDSA = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

	rfc7638RSA = `{"kty":"RSA","alg":"RS256","kid":"2011-04-29","e":"AQAB","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAt` +
		`VT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY` +
		`368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0` +
		`Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}`
)

func TestPublishedExamples(t *testing.T) {
	for _, test := range []struct{ name, jwk, token, alg string }{
		{"RFC 7515 A.2", rfc7515RSA, rfc7515RS256, RS256},
		{"RFC 7515 A.3", rfc7515EC, rfc7515ES256, ES256},
		{"RFC 8037 A.4", rfc8037OKP, rfc8037EdDSA, EdDSA},
	} {
		k, err := ParseKey([]byte(test.jwk))
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if k.Alg != test.alg {
			t.Errorf("%s: alg %s", test.name, k.Alg)
		}
		end := strings.LastIndexByte(test.token, '.')
		signature, err := base64.RawURLEncoding.DecodeString(test.token[end+1:])
		if err != nil {
			t.Fatal(err)
		}
		if !verify(k.Public, []byte(test.token[:end]), signature) {
			t.Errorf("%s: refused", test.name)
		}
		signature[len(signature)/2] ^= 1
		if verify(k.Public, []byte(test.token[:end]), signature) {
			t.Errorf("%s: accepted with another signature", test.name)
		}
		if verify(k.Public, []byte(test.token[:end]), signature[1:]) {
			t.Errorf("%s: accepted with a short signature", test.name)
		}
		if _, err := Parse(test.token); err == nil {
			t.Errorf("%s: parsed without kid and typ", test.name)
		}
	}
}

func TestThumbprint(t *testing.T) {
	for _, test := range []struct{ jwk, want string }{
		{rfc7638RSA, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		{rfc8037OKP, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
	} {
		k, err := ParseKey([]byte(test.jwk))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Thumbprint(k.Public); err != nil || got != test.want {
			t.Errorf("%s, %v instead of %s", got, err, test.want)
		}
	}
	k, err := ParseKey([]byte(rfc8037OKP))
	if err != nil || k.Kid != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Errorf("default kid %q, %v", k.Kid, err)
	}
}

// TestDeterministicSignature holds Ed25519 signing to RFC 8037 A.4.
func TestDeterministicSignature(t *testing.T) {
	seed, err := base64.RawURLEncoding.DecodeString("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
	if err != nil {
		t.Fatal(err)
	}
	end := strings.LastIndexByte(rfc8037EdDSA, '.')
	signature, err := sign([]byte(rfc8037EdDSA[:end]), EdDSA, ed25519.NewKeyFromSeed(seed))
	if err != nil {
		t.Fatal(err)
	}
	if got := base64.RawURLEncoding.EncodeToString(signature); got != rfc8037EdDSA[end+1:] {
		t.Errorf("signature %s", got)
	}
}
