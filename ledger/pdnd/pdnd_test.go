// SPDX-License-Identifier: EUPL-1.2

package pdnd

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
)

func TestSampleTokens(t *testing.T) {
	data, err := os.ReadFile("testdata/sample-tokens.json")
	if err != nil {
		t.Fatal(err)
	}
	var sample map[string]string
	if err := json.Unmarshal(data, &sample); err != nil {
		t.Fatal(err)
	}
	keys := func(jwk string) *KeySet {
		file := filepath.Join(t.TempDir(), "jwks.json")
		if err := os.WriteFile(file, []byte(`{"keys":[`+jwk+`]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		set, err := FileKeys(file)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	clients := keys(sample["client_jwk"])
	c, err := NewChecker(Config{Issuers: []string{"interop.pagopa.it"}, PDND: keys(sample["pdnd_jwk"]), Clients: clients})
	if err != nil {
		t.Fatal(err)
	}
	call := Call{Voucher: sample["voucher"], Evidence: sample["evidence"], OccurredAt: time.Unix(1767261700, 0),
		ProducerID: inps, ConsumerID: bologna, EServiceID: pensions, PurposeID: purpose}
	result, claims, err := c.Check(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	if result.Profile != ledger.ProfileAudit02 || len(result.Flags) != 0 {
		t.Errorf("got %+v, want AUDIT_REST_02 without flags", result)
	}
	if claims.EvidenceDigest != sample["evidence_digest_hex"] {
		t.Errorf("evidence digest %s, want %s", claims.EvidenceDigest, sample["evidence_digest_hex"])
	}
	if claims.VoucherJTI != "9b2f1f0e-55c4-4c1e-8f6f-7c9d3f0a1b22" || claims.UserID != "op-7f3c" || result.LoA != 3 {
		t.Errorf("got claims %+v", claims)
	}

	request := signedRequest{token: sample["Agid-JWT-Signature"], digest: sample["Digest"], kind: "application/json", body: sample["body"]}
	signature, err := request.check(t, []string{"https://ledger.example/rest/access-receipts/v1"}, clients, time.Unix(1767261750, 0))
	if err != nil {
		t.Fatal(err)
	}
	if signature.Kid != sample["client_kid"] || signature.Issuer != client {
		t.Errorf("got %+v", signature)
	}
}

func TestProfiles(t *testing.T) {
	a := people()
	evidence := sign(a.client, evidenceHeader, with(evidenceClaims(), "dnonce", absent))
	voucher := sign(a.pdnd, voucherHeader, voucherClaims())
	for _, test := range []struct {
		name    string
		call    Call
		profile string
		flags   []string
	}{
		{"with digest", audit02(evidenceHeader, evidenceClaims()), ledger.ProfileAudit02, nil},
		{"without digest", Call{Voucher: voucher, Evidence: evidence, OccurredAt: noon}, ledger.ProfileAudit01, nil},
		{"voucher only", Call{Voucher: voucher, OccurredAt: noon}, ledger.ProfileVoucher, nil},
		{"evidence kept back", Call{Voucher: audit02(evidenceHeader, evidenceClaims()).Voucher, OccurredAt: noon}, ledger.ProfileVoucher, []string{FlagEvidenceWithheld}},
		{"old voucher", Call{Voucher: sign(a.pdnd, voucherHeader, with(with(voucherClaims(), "producerId", absent), "consumerId", absent)), OccurredAt: noon, ProducerID: inps},
			ledger.ProfileVoucher, []string{FlagOldVoucher}},
		{"audience as comma list", Call{Voucher: sign(a.pdnd, voucherHeader, with(voucherClaims(), "aud", "https://other.example, "+api)), Evidence: evidence, OccurredAt: noon}, ledger.ProfileAudit01, nil},
		{"audience as array", Call{Voucher: sign(a.pdnd, voucherHeader, with(voucherClaims(), "aud", []string{"https://other.example", api})), Evidence: evidence, OccurredAt: noon}, ledger.ProfileAudit01, nil},
		{"evidence by ES256", Call{Voucher: voucher, Evidence: sign(a.clientEC, object{"alg": "ES256", "kid": "client-ec"}, evidenceClaims()), OccurredAt: noon}, ledger.ProfileAudit01, nil},
		{"within leeway before", Call{Voucher: voucher, OccurredAt: noon.Add(-90 * time.Second)}, ledger.ProfileVoucher, nil},
		{"within leeway after", Call{Voucher: voucher, OccurredAt: noon.Add(540*time.Second + 29*time.Second)}, ledger.ProfileVoucher, nil},
		{"unknown claims", Call{Voucher: sign(a.pdnd, voucherHeader, with(voucherClaims(), "interaction", object{"id": "x", "ratio": 1.5})), OccurredAt: noon}, ledger.ProfileVoucher, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			result, _, err := newTestChecker(t, 0).Check(t.Context(), test.call)
			if err != nil {
				t.Fatal(err)
			}
			if result.Profile != test.profile || !slices.Equal(result.Flags, test.flags) {
				t.Errorf("got %s %v, want %s %v", result.Profile, result.Flags, test.profile, test.flags)
			}
		})
	}
}

func TestEvidenceQuality(t *testing.T) {
	for _, test := range []struct {
		name   string
		claims object
		flags  []string
		loa    int
	}{
		{"as documented", evidenceClaims(), nil, 3},
		{"dnonce as text", with(evidenceClaims(), "dnonce", "0234567890123"), []string{ledger.FlagDnonceText}, 3},
		{"LoA2", with(evidenceClaims(), "LoA", "LoA2"), nil, 2},
		{"userLoa", with(with(evidenceClaims(), "LoA", absent), "userLoa", "3"), nil, 3},
		{"loa", with(with(evidenceClaims(), "LoA", absent), "loa", "loa1"), nil, 1},
		{"no LoA", with(evidenceClaims(), "LoA", absent), []string{FlagLoAMissing}, 0},
		{"30 days", with(evidenceClaims(), "exp", noon.Unix()-61+30*86400), []string{ledger.FlagEvidenceLongLived}, 3},
		{"no operator", with(evidenceClaims(), "userID", absent), []string{ledger.FlagOperatorMissing}, 3},
		{"empty operator", with(evidenceClaims(), "userID", ""), []string{ledger.FlagOperatorMissing}, 3},
		{"constant", with(evidenceClaims(), "userID", "Test"), []string{ledger.FlagOperatorConstant}, 3},
		{"zeros", with(evidenceClaims(), "userID", "0000"), []string{ledger.FlagOperatorConstant}, 3},
		{"the body's own code", with(evidenceClaims(), "userID", "80078750587"), []string{ledger.FlagOperatorConstant}, 3},
		{"fiscal code", with(evidenceClaims(), "userID", "RSSMRA80A01H501U"), []string{FlagOperatorFiscalCode}, 3},
		{"service", with(evidenceClaims(), "userID", "service:isee-nightly"), nil, 3},
		{"nameless service", with(evidenceClaims(), "userID", "service:"), []string{ledger.FlagOperatorConstant}, 3},
		{"another issuer", with(evidenceClaims(), "iss", "fruitore"), []string{FlagEvidenceIssuer}, 3},
		{"issued by the tenant", with(evidenceClaims(), "iss", bologna), nil, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			result, _, err := newTestChecker(t, 0).Check(t.Context(), audit02(evidenceHeader, test.claims))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(result.Flags, test.flags) || result.LoA != test.loa {
				t.Errorf("got flags %v and LoA %d, want %v and %d", result.Flags, result.LoA, test.flags, test.loa)
			}
		})
	}
}

// checkProblem also makes sure that no problem carries a secret or personal value of these tests.
func checkProblem(t *testing.T, err error, code, where string) {
	t.Helper()
	var p *ledger.Problem
	if !errors.As(err, &p) {
		t.Fatalf("got %v, want a problem %s at %s", err, code, where)
	}
	if p.Code != code || p.Where != where {
		t.Errorf("got %s at %s (expected %q, found %q), want %s at %s", p.Code, p.Where, p.Expected, p.Found, code, where)
	}
	if p.Expected == "" || p.Found == "" {
		t.Errorf("the problem doesn't say what was expected and found: %+v", p)
	}
	for _, personal := range []string{"op-7f3c", "sportello-12", "RSSMRA80A01H501U", "rssmra80a01h501u", "eyJ"} {
		if strings.Contains(fmt.Sprintf("%+v %v", *p, err), personal) {
			t.Errorf("the problem says %s: %v", personal, err)
		}
	}
}

func TestVoucherRefused(t *testing.T) {
	a := people()
	public, err := x509.MarshalPKIXPublicKey(a.pdnd.Public())
	if err != nil {
		t.Fatal(err)
	}
	confused := encode(with(voucherHeader, "alg", "HS256")) + "." + encode(voucherClaims())
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(confused))
	confused += "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	good := sign(a.pdnd, voucherHeader, voucherClaims())
	parts := strings.Split(good, ".")

	tests := []struct {
		name, token, code, where string
	}{
		{"nothing", "", ledger.CodeSyntax, "voucher"},
		{"not a token", "RSSMRA80A01H501U", ledger.CodeSyntax, "voucher"},
		{"four parts", good + ".x", ledger.CodeSyntax, "voucher"},
		{"padding", parts[0] + "=." + parts[1] + "." + parts[2], ledger.CodeSyntax, "voucher"},
		{"line break", parts[0] + ".\n" + parts[1] + "." + parts[2], ledger.CodeSyntax, "voucher"},
		{"oversized", good + strings.Repeat("A", ledger.MaxToken), ledger.CodeSyntax, "voucher"},
		{"payload no object", sign(a.pdnd, voucherHeader, raw(`[]`)), ledger.CodeSyntax, "voucher"},
		{"payload not UTF-8", sign(a.pdnd, voucherHeader, raw("{\"a\":\"\xff\"}")), ledger.CodeSyntax, "voucher"},
		{"payload too deep", sign(a.pdnd, voucherHeader, raw(`{"a":`+strings.Repeat("[", 64)+strings.Repeat("]", 64)+`}`)), ledger.CodeSyntax, "voucher"},
		{"name twice in header", sign(a.pdnd, raw(`{"alg":"RS256","typ":"at+jwt","kid":"pdnd","alg":"RS256"}`), voucherClaims()), ledger.CodeRepeated, "voucher"},
		{"name twice in payload", sign(a.pdnd, voucherHeader, raw(`{"jti":"a","\u006ati":"b"}`)), ledger.CodeRepeated, "voucher"},
		{"name twice, a fiscal code", sign(a.pdnd, voucherHeader, raw(`{"rssmra80a01h501u":"a","rssmra80a01h501u":"b"}`)), ledger.CodeRepeated, "voucher"},
		{"name twice further in", sign(a.pdnd, voucherHeader, raw(`{"x":[{"y":{"z":1,"z":2}}]}`)), ledger.CodeRepeated, "voucher"},
		{"alg none", encode(with(voucherHeader, "alg", "none")) + "." + parts[1] + ".", CodeAlgorithm, "voucher#alg"},
		{"alg NoNe", encode(with(voucherHeader, "alg", "NoNe")) + "." + parts[1] + "." + parts[2], CodeAlgorithm, "voucher#alg"},
		{"alg confusion", confused, CodeAlgorithm, "voucher#alg"},
		{"alg ES256", sign(a.clientEC, with(voucherHeader, "alg", "ES256"), voucherClaims()), CodeAlgorithm, "voucher#alg"},
		{"alg missing", sign(a.pdnd, with(voucherHeader, "alg", absent), voucherClaims()), ledger.CodeMissing, "voucher#alg"},
		{"typ missing", sign(a.pdnd, with(voucherHeader, "typ", absent), voucherClaims()), ledger.CodeMissing, "voucher#typ"},
		{"typ JWT", sign(a.pdnd, with(voucherHeader, "typ", "JWT"), voucherClaims()), CodeType, "voucher#typ"},
		{"crit", sign(a.pdnd, with(voucherHeader, "crit", []string{"b64"}), voucherClaims()), ledger.CodeBadValue, "voucher#crit"},
		{"b64", sign(a.pdnd, with(voucherHeader, "b64", false), voucherClaims()), ledger.CodeBadValue, "voucher#b64"},
		{"kid missing", sign(a.pdnd, with(voucherHeader, "kid", absent), voucherClaims()), ledger.CodeMissing, "voucher#kid"},
		{"kid with spaces", sign(a.pdnd, with(voucherHeader, "kid", "a b"), voucherClaims()), ledger.CodeBadValue, "voucher#kid"},
		{"kid unknown", sign(a.pdnd, with(voucherHeader, "kid", "other"), voucherClaims()), CodeKeyUnknown, "voucher#kid"},
		{"kid a fiscal code", sign(a.pdnd, with(voucherHeader, "kid", "x-RSSMRA80A01H501U"), voucherClaims()), CodeKeyUnknown, "voucher#kid"},
		{"wrong key", sign(a.stranger, voucherHeader, voucherClaims()), CodeSignature, "voucher"},
		{"signature of another payload", parts[0] + "." + encode(with(voucherClaims(), "purposeId", client)) + "." + parts[2], CodeSignature, "voucher"},
		{"no signature", parts[0] + "." + parts[1] + ".", CodeSignature, "voucher"},
	}
	claim := func(code, name string, value any) {
		tests = append(tests, struct{ name, token, code, where string }{
			fmt.Sprintf("%s = %v", name, value), sign(a.pdnd, voucherHeader, with(voucherClaims(), name, value)), code, "voucher#" + name})
	}
	for _, name := range []string{"jti", "iss", "aud", "client_id", "sub", "iat", "nbf", "exp", "purposeId"} {
		claim(ledger.CodeMissing, name, absent)
	}
	for _, name := range []string{"jti", "iss", "aud", "client_id", "sub", "purposeId", "producerId", "consumerId", "eserviceId", "descriptorId"} {
		claim(ledger.CodeBadValue, name, 7)
		claim(ledger.CodeBadValue, name, nil)
		claim(ledger.CodeBadValue, name, "")
	}
	for _, name := range []string{"iat", "nbf", "exp"} {
		claim(ledger.CodeBadValue, name, "1767261600")
		claim(ledger.CodeBadValue, name, 1767261600.5)
		claim(ledger.CodeBadValue, name, -1)
		claim(ledger.CodeBadValue, name, uint64(1)<<63)
	}
	claim(ledger.CodeBadValue, "jti", "9B2F1F0E-55C4-4C1E-8F6F-7C9D3F0A1B22")
	claim(ledger.CodeBadValue, "jti", "RSSMRA80A01H501U")
	claim(ledger.CodeBadValue, "aud", []any{api, 7})
	claim(ledger.CodeBadValue, "aud", []any{api, nil})
	claim(ledger.CodeBadValue, "aud", api+",")
	claim(ledger.CodeBadValue, "aud", []string{})
	claim(ledger.CodeBadValue, "digest", strings.Repeat("a", 64))
	claim(ledger.CodeBadValue, "digest", object{"alg": "SHA1", "value": strings.Repeat("a", 64)})
	claim(ledger.CodeBadValue, "digest", object{"alg": "SHA256", "value": strings.Repeat("A", 64)})
	claim(ledger.CodeBadValue, "digest", object{"alg": "SHA256", "value": "aa"})
	claim(CodeMismatch, "sub", bologna)
	claim(CodeIssuer, "iss", "uat.interop.pagopa.it")
	claim(CodeIssuer, "iss", "RSSMRA80A01H501U")
	claim(CodeMismatch, "producerId", bologna)
	claim(CodeMismatch, "consumerId", inps)
	claim(CodeMismatch, "eserviceId", inps)
	claim(CodeMismatch, "purposeId", inps)
	claim(CodeExpired, "exp", noon.Unix()-30)
	claim(CodeNotYetValid, "nbf", noon.Unix()+31)
	claim(CodeNotYetValid, "iat", noon.Unix()+31)
	claim(CodeLifetime, "exp", noon.Unix()-60)

	c := newTestChecker(t, 0)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			call := goodCall()
			call.Voucher = test.token
			_, _, err := c.Check(t.Context(), call)
			checkProblem(t, err, test.code, test.where)
		})
	}
}

func TestEvidenceRefused(t *testing.T) {
	a := people()
	good := evidenceClaims()
	tests := []struct {
		name        string
		call        Call
		code, where string
	}{
		{"digest of another", Call{Voucher: sign(a.pdnd, voucherHeader, with(voucherClaims(), "digest", digestOf("another"))),
			Evidence: sign(a.client, evidenceHeader, good), OccurredAt: noon}, ledger.CodeDigestMismatch, "voucher#digest"},
		{"issuer of another client", Call{Voucher: sign(a.pdnd, voucherHeader, voucherClaims()),
			Evidence: sign(a.client, evidenceHeader, with(good, "iss", inps)), OccurredAt: noon}, CodeMismatch, "evidence#iss"},
		{"alg none", audit02(with(evidenceHeader, "alg", "none"), good), CodeAlgorithm, "evidence#alg"},
		{"alg HS256", audit02(with(evidenceHeader, "alg", "HS256"), good), CodeAlgorithm, "evidence#alg"},
		{"alg PS256", audit02(with(evidenceHeader, "alg", "PS256"), good), CodeAlgorithm, "evidence#alg"},
		{"alg of another key", audit02(with(evidenceHeader, "alg", "ES256"), good), CodeAlgorithm, "evidence#alg"},
		{"typ of a voucher", audit02(with(evidenceHeader, "typ", "at+jwt"), good), CodeType, "evidence#typ"},
		{"kid unknown", audit02(with(evidenceHeader, "kid", "pdnd"), good), CodeKeyUnknown, "evidence#kid"},
		{"wrong key", audit02(with(evidenceHeader, "kid", "client-ec"), good), CodeAlgorithm, "evidence#alg"},
		{"name twice", audit02(evidenceHeader, raw(`{"userID":"a","userID":"RSSMRA80A01H501U"}`)), ledger.CodeRepeated, "evidence"},
		{"two levels", audit02(evidenceHeader, with(good, "loa", "3")), ledger.CodeBadValue, "evidence#loa"},
	}
	stranger := audit02(evidenceHeader, good)
	stranger.Evidence = sign(a.stranger, evidenceHeader, good)
	stranger.Voucher = sign(a.pdnd, voucherHeader, with(voucherClaims(), "digest", digestOf(stranger.Evidence)))
	tests = append(tests, struct {
		name        string
		call        Call
		code, where string
	}{"another's key", stranger, CodeSignature, "evidence"})
	claim := func(code, name string, value any) {
		tests = append(tests, struct {
			name        string
			call        Call
			code, where string
		}{fmt.Sprintf("%s = %v", name, value), audit02(evidenceHeader, with(good, name, value)), code, "evidence#" + name})
	}
	for _, name := range []string{"jti", "iss", "aud", "iat", "exp", "purposeId", "dnonce"} {
		claim(ledger.CodeMissing, name, absent)
		claim(ledger.CodeBadValue, name, true)
		claim(ledger.CodeBadValue, name, nil)
	}
	for _, value := range []any{123456789012, 12345678901234, "123456789012", "12345678901234", "123456789012a", 123456789012.5, -123456789012, []int{1}} {
		claim(ledger.CodeBadValue, "dnonce", value)
	}
	for _, value := range []any{3, "LOA", "LOA5", "LOA0", "high", "LOA33", ""} {
		claim(ledger.CodeBadValue, "LoA", value)
	}
	claim(ledger.CodeBadValue, "userID", 7)
	claim(ledger.CodeBadValue, "userID", strings.Repeat("a", 257))
	claim(ledger.CodeBadValue, "userLocation", object{})
	claim(ledger.CodeBadValue, "nbf", "soon")
	claim(CodeNotYetValid, "nbf", noon.Unix()+31)
	claim(CodeNotYetValid, "iat", noon.Unix()+31)
	claim(CodeExpired, "exp", noon.Unix()-30)
	claim(CodeLifetime, "exp", noon.Unix()-61+30*86400+1)
	claim(CodeLifetime, "exp", noon.Unix()-61)
	claim(CodeAudience, "aud", "https://other.example")
	claim(CodeAudience, "aud", "https://other.example/RSSMRA80A01H501U")
	claim(CodeMismatch, "purposeId", client)

	c := newTestChecker(t, 0)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := c.Check(t.Context(), test.call)
			checkProblem(t, err, test.code, test.where)
		})
	}
}

func TestEverySignatureBit(t *testing.T) {
	call := audit02(evidenceHeader, evidenceClaims())
	c := newTestChecker(t, 0)
	if _, _, err := c.Check(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	last := strings.LastIndexByte(call.Voucher, '.') + 1
	signature, err := base64.RawURLEncoding.DecodeString(call.Voucher[last:])
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(signature) * 8 {
		signature[i/8] ^= 1 << (i % 8)
		bad := call
		bad.Voucher = call.Voucher[:last] + base64.RawURLEncoding.EncodeToString(signature)
		_, _, err := c.Check(t.Context(), bad)
		checkProblem(t, err, CodeSignature, "voucher")
		signature[i/8] ^= 1 << (i % 8)
	}
}

func TestCacheJudgesAnew(t *testing.T) {
	keys := staticKeys{"pdnd": people().pdndKeys["pdnd"]}
	c, err := NewChecker(Config{Issuers: []string{"interop.pagopa.it"}, PDND: keys, Clients: people().clientKeys})
	if err != nil {
		t.Fatal(err)
	}
	call := audit02(evidenceHeader, evidenceClaims())
	first, firstClaims, err := c.Check(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	again, againClaims, err := c.Check(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(first, again); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(firstClaims, againClaims); d != "" {
		t.Error(d)
	}

	late := call
	late.OccurredAt = noon.Add(time.Hour)
	_, _, err = c.Check(t.Context(), late)
	checkProblem(t, err, CodeExpired, "voucher#exp")

	keys["pdnd"] = jose.JSONWebKey{Key: people().stranger.Public()}
	_, _, err = c.Check(t.Context(), call)
	checkProblem(t, err, CodeSignature, "voucher")

	delete(keys, "pdnd")
	_, _, err = c.Check(t.Context(), call)
	checkProblem(t, err, CodeKeyUnknown, "voucher#kid")
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache[int](10)
	for i := range 1000 {
		c.put(&verified[int]{digest: digest{byte(i), byte(i >> 8)}})
		if _, ok := c.get(digest{}); !ok {
			t.Fatalf("after %d others the one always asked for is gone", i)
		}
		if n := len(c.now) + len(c.old); n > 10 {
			t.Fatalf("holds %d, want at most 10", n)
		}
	}
}

func TestCheckerNeedsConfig(t *testing.T) {
	if _, err := NewChecker(Config{PDND: staticKeys{}, Clients: staticKeys{}}); err == nil {
		t.Error("no issuers: want an error")
	}
}

func TestKeysFailure(t *testing.T) {
	c, err := NewChecker(Config{Issuers: []string{"interop.pagopa.it"}, PDND: brokenKeys{}, Clients: brokenKeys{}})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Check(t.Context(), audit02(evidenceHeader, evidenceClaims()))
	var p *ledger.Problem
	if err == nil || errors.As(err, &p) {
		t.Errorf("got %v, want an error that is no problem of the submission", err)
	}
}

type brokenKeys struct{}

func (brokenKeys) Key(context.Context, string, time.Time) (jose.JSONWebKey, error) {
	return jose.JSONWebKey{}, errors.New("no route to host")
}
