// SPDX-License-Identifier: EUPL-1.2

package ledger_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

const contentDigest = "SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

// integrityClaims are the payload of a token as GovWay writes it, over a receipt.
func integrityClaims(claims string) map[string]any {
	return map[string]any{
		"iss": "ComuneDiBologna", "sub": "cartella-sociale", "client_id": "be54418b-0c3e-4b1a-9d3b-7a7c0a9a1f10",
		"aud": "https://registro.example/v1", "jti": "d3c1e7c8-3f57-4f6f-8c1e-2a4d7e1b9c55", "iat": 1795339800, "nbf": 1795339800, "exp": 1795340100,
		"signed_headers": []any{
			map[string]any{"digest": contentDigest}, map[string]any{"content-type": "application/json"}, map[string]any{"traccia-claims": claims},
		},
	}
}

func sampleClaims(t testing.TB) (string, []byte) {
	t.Helper()
	private, err := ledger.FormatPrivate(samplePrivate())
	if err != nil {
		t.Fatal(err)
	}
	r := sampleReceipt(t, sampleSubjects(), private)
	claims, err := ledger.FormatClaims(r)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := ledger.ParseClaims(claims); err != nil || !reflect.DeepEqual(back, r) {
		t.Fatalf("claims come back as %+v, %v", back, err)
	}
	return claims, private
}

func signIntegrity(t testing.TB, claims any, key crypto.Signer) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jws.Sign(ledger.IntegrityType, payload, "client-1", key)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func integrityKey(t testing.TB) (crypto.Signer, jws.Key) {
	t.Helper()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jws.NewKey("client-1", signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	return signer, key
}

func TestReceiptSignedAsRequest(t *testing.T) {
	claims, private := sampleClaims(t)
	signer, key := integrityKey(t)
	token := signIntegrity(t, integrityClaims(claims), signer)
	receipt, err := ledger.ParseReceipt(token)
	if err != nil {
		t.Fatal(err)
	}
	if err := receipt.JWS.Verify(key); err != nil {
		t.Error(err)
	}
	if want := sampleReceipt(t, sampleSubjects(), private); !reflect.DeepEqual(&receipt.Receipt, want) {
		t.Errorf("got %+v, want %+v", receipt.Receipt, want)
	}
	// The entry is the same as that of a receipt signed by the body itself.
	payload, _ := base64.RawURLEncoding.DecodeString(claims)
	direct, err := jws.Sign(ledger.ReceiptType, payload, "k1", signer)
	if err != nil {
		t.Fatal(err)
	}
	if other, err := ledger.ParseReceipt(direct); err != nil || other.PayloadDigest != receipt.PayloadDigest {
		t.Errorf("another entry: %v", err)
	}
	// What came beside the token completes the submission.
	submission := sampleSubmission(token, private)
	whole, err := ledger.FormatSubmission(submission)
	if err != nil {
		t.Fatal(err)
	}
	content, err := ledger.FormatContent(submission)
	if err != nil || string(content) != strings.Replace(string(whole), `"receipt":"`+token+`",`, "", 1) {
		t.Fatalf("content %s, %v", content, err)
	}
	joined, err := ledger.Complete(content, token)
	if err != nil || string(joined) != string(whole) {
		t.Errorf("completed to %s, %v", joined, err)
	}
	if _, err := ledger.Complete(whole, token); err == nil {
		t.Error("a content with a receipt of its own was taken")
	}
	back, err := ledger.ParseSubmission(joined)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := back.Open(); err != nil {
		t.Error(err)
	}
}

// Each bit of the token is under the signature or makes it no token.
func TestReceiptSignedAsRequestFlipped(t *testing.T) {
	claims, _ := sampleClaims(t)
	signer, key := integrityKey(t)
	token := signIntegrity(t, integrityClaims(claims), signer)
	for i := range len(token) {
		for bit := range 7 {
			flipped := []byte(token)
			flipped[i] ^= 1 << bit
			if r, err := ledger.ParseReceipt(string(flipped)); err == nil && r.JWS.Verify(key) == nil {
				t.Fatalf("bit %d of byte %d flipped, and good", bit, i)
			}
		}
	}
}

func TestReceiptSignedAsRequestNamesNobody(t *testing.T) {
	signer, _ := integrityKey(t)
	private, err := ledger.FormatPrivate(samplePrivate())
	if err != nil {
		t.Fatal(err)
	}
	for name, purpose := range map[string]string{"plain": "ISEE di RSSMRA80A01H501U", "long s": "ISEE di rſsmra80a01h501u"} {
		r := sampleReceipt(t, sampleSubjects(), private)
		r.Purpose = purpose
		claims, err := ledger.FormatClaims(r)
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := ledger.ParseReceipt(signIntegrity(t, integrityClaims(claims), signer))
		if err != nil {
			t.Fatal(err)
		}
		if !receipt.Names([]ledger.Subject{"RSSMRA80A01H501U"}) {
			t.Errorf("%s: the code isn't found", name)
		}
		if receipt.Names([]ledger.Subject{"RSSMRA80A01H50MM"}) {
			t.Errorf("%s: another code is found", name)
		}
	}
}

func TestReceiptSignedAsRequestRefused(t *testing.T) {
	claims, _ := sampleClaims(t)
	signer, _ := integrityKey(t)
	headers := func(change func([]any) []any) func(map[string]any) {
		return func(c map[string]any) { c["signed_headers"] = change(c["signed_headers"].([]any)) }
	}
	for _, test := range []struct {
		name        string
		change      func(map[string]any)
		code, where string
	}{
		{"no signed headers", func(c map[string]any) { delete(c, "signed_headers") }, ledger.CodeBadValue, "receipt#typ"},
		{"an operator", func(c map[string]any) { c["userID"] = "m.rossi" }, ledger.CodeUnknownName, "receipt"},
		{"no audience", func(c map[string]any) { delete(c, "aud") }, ledger.CodeMissing, "receipt#aud"},
		{"an audience of numbers", func(c map[string]any) { c["aud"] = []int{1} }, ledger.CodeBadValue, "receipt#aud"},
		{"no jti", func(c map[string]any) { delete(c, "jti") }, ledger.CodeMissing, "receipt#jti"},
		{"an empty jti", func(c map[string]any) { c["jti"] = "" }, ledger.CodeBadText, "receipt#jti"},
		{"over before it began", func(c map[string]any) { c["exp"] = 1795339800 }, ledger.CodeBadTime, "receipt#exp"},
		{"a person as subject", func(c map[string]any) { c["sub"] = "app-rssmra80a01h501u" }, ledger.CodeNamesSubject, "receipt#sub"},
		{"a person as issuer", func(c map[string]any) { c["iss"] = "RSSMRA80A01H50MM" }, ledger.CodeNamesSubject, "receipt#iss"},
		{"a person in an audience", func(c map[string]any) { c["aud"] = []string{"https://x.example/RSSMRA80A01H501U"} }, ledger.CodeNamesSubject, "receipt#aud"},
		{"the voucher signed too", headers(func(h []any) []any { return append(h, map[string]any{"authorization": "Bearer eyJ"}) }), ledger.CodeUnknownName, "receipt#signed_headers"},
		{"a header twice", headers(func(h []any) []any { return append(h, map[string]any{"digest": contentDigest}) }), ledger.CodeRepeated, "receipt#signed_headers"},
		{"two headers in one", headers(func(h []any) []any {
			return []any{map[string]any{"digest": contentDigest, "content-type": "application/json"}, h[2]}
		}), ledger.CodeRepeated, "receipt#signed_headers"},
		{"no digest", headers(func(h []any) []any { return h[1:] }), ledger.CodeMissing, "receipt#signed_headers"},
		{"a digest in hex", headers(func(h []any) []any {
			return append(h[1:], map[string]any{"digest": "SHA-256=" + strings.Repeat("ab", 32)})
		}), ledger.CodeMissing, "receipt#signed_headers"},
		{"no claims", headers(func(h []any) []any { return h[:2] }), ledger.CodeMissing, "receipt#signed_headers"},
		{"claims with padding", headers(func(h []any) []any { return append(h[:2], map[string]any{"traccia-claims": claims + "="}) }), ledger.CodeMissing, "receipt#signed_headers"},
		{"claims that are no receipt", headers(func(h []any) []any { return append(h[:2], map[string]any{"traccia-claims": "e30"}) }), ledger.CodeMissing, "receipt#aud"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := maps.Clone(integrityClaims(claims))
			test.change(c)
			_, err := ledger.ParseReceipt(signIntegrity(t, c, signer))
			var p *ledger.Problem
			if !errors.As(err, &p) || p.Code != test.code || p.Where != test.where {
				t.Errorf("got %v, want %s at %s", err, test.code, test.where)
			}
		})
	}
}

func FuzzParseIntegrity(f *testing.F) {
	claims, _ := sampleClaims(f)
	good, err := json.Marshal(integrityClaims(claims))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(good))
	f.Add(`{"signed_headers":[]}`)
	f.Fuzz(func(t *testing.T, payload string) {
		encode := base64.RawURLEncoding.EncodeToString
		compact := encode([]byte(`{"alg":"ES256","kid":"k1","typ":"JWT"}`)) + "." + encode([]byte(payload)) + "." + encode(make([]byte, 64))
		r, err := ledger.ParseReceipt(compact)
		if err != nil {
			refusedWell(t, err, payload)
			return
		}
		again, err := ledger.FormatClaims(&r.Receipt)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ledger.ParseClaims(again); err != nil || !reflect.DeepEqual(*back, r.Receipt) {
			t.Errorf("%+v comes back as %+v, %v", r.Receipt, back, err)
		}
	})
}
