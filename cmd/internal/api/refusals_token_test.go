// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// tokenCase is a change to a voucher or an evidence, the same for both.
type tokenCase struct {
	name   string
	change func(*token)
	status int
	code   string
	where  string // behind "voucher" or "evidence"
	found  string
}

func header(name string, value any) func(*token) {
	return func(k *token) { k.header.set(name, value) }
}

func claims(name string, value any) func(*token) {
	return func(k *token) { k.claims.set(name, value) }
}

// claimBytes and compact change a token before and after it is signed.
func claimBytes(f func([]byte) []byte) func(*token) { return func(k *token) { k.bytes = f } }
func compact(f func(string) string) func(*token)    { return func(k *token) { k.compact = f } }

func onPart(n int, f func(string) string) func(*token) {
	return compact(func(s string) string {
		parts := strings.Split(s, ".")
		parts[n] = f(parts[n])
		return strings.Join(parts, ".")
	})
}

// seconds from now.
func seconds(from time.Duration) int64 { return time.Now().Add(from).Unix() }

var tokenCases = []tokenCase{
	{"of two parts", compact(func(s string) string { return s[:strings.LastIndex(s, ".")] }), 400, "syntax", "", "2 parts"},
	{"of five parts", compact(func(s string) string { return s + ".AAAA.AAAA" }), 400, "syntax", "", "5 parts"},
	{"with an empty header", onPart(0, func(string) string { return "" }), 400, "syntax", "", "part 1"},
	{"with an empty payload", onPart(1, func(string) string { return "" }), 400, "syntax", "", "part 2"},
	{"with spare bits", onPart(1, func(string) string { return "e31" }), 400, "syntax", "", "part 2"},
	{"with an empty signature", onPart(2, func(string) string { return "" }), 422, "bad_signature", "", "another signature"},
	{"with another signature", onPart(2, func(s string) string { return "AAAA" + s[4:] }), 422, "bad_signature", "", "another signature"},
	{"changed once signed", onPart(1, func(s string) string {
		return encode(bytes.Replace(lenientDecode(s), []byte(`"iat":`), []byte(`"iat": `), 1))
	}), 422, "bad_signature", "", "another signature"},
	{"as an array", claimBytes(func([]byte) []byte { return []byte("[]") }), 400, "syntax", "", "something else"},
	{"as two objects", claimBytes(func(b []byte) []byte { return append(bytes.Clone(b), "{}"...) }), 400, "syntax", "", "something else"},
	{"in bad UTF-8", claimBytes(with(",\"x\":\"\xff\"")), 400, "syntax", "", "something else"},
	{"nested too deep", claimBytes(with(`,"x":` + repeat("[", 70) + repeat("]", 70))), 400, "syntax", "", "something else"},
	{"with a header that isn't JSON", func(k *token) { k.headerBytes = func([]byte) []byte { return []byte("x") } }, 400, "syntax", "", "something else"},
	{"with alg twice", func(k *token) { k.headerBytes = again("alg") }, 400, "repeated", "", "twice alg"},
	{"with exp twice", claimBytes(again("exp")), 400, "repeated", "", "twice exp"},
	{"with a name twice that is a person's", claimBytes(with(`,"RSSMRA80A01H501U":1,"RSSMRA80A01H501U":2`)), 400, "repeated", "", "16 characters"},
	{"with a name twice, once escaped", claimBytes(with(`,"\u0065xp":1`)), 400, "repeated", "", "twice exp"},

	{"with alg none", header("alg", "none"), 422, "wrong_algorithm", "#alg", "none"},
	{"with alg none, signed", func(k *token) { k.header["alg"], k.alg = "none", "RS256" }, 422, "wrong_algorithm", "#alg", "none"},
	{"with HS256 and the public key", header("alg", "HS256"), 422, "wrong_algorithm", "#alg", "HS256"},
	{"with PS256", func(k *token) { k.header["alg"], k.alg = "PS256", "RS256" }, 422, "wrong_algorithm", "#alg", "PS256"},
	{"with an alg of one's own", func(k *token) { k.header["alg"], k.alg = "X", "RS256" }, 422, "wrong_algorithm", "#alg", "another algorithm"},
	{"with alg a number", func(k *token) { k.header["alg"], k.alg = 1, "RS256" }, 400, "bad_value", "#alg", "a number"},
	{"without alg", func(k *token) { k.header.set("alg", absent); k.alg = "RS256" }, 400, "missing", "#alg", "nothing"},
	{"without kid", header("kid", absent), 400, "missing", "#kid", "nothing"},
	{"with kid a number", header("kid", 1), 400, "bad_value", "#kid", "a number"},
	{"with an oversized kid", header("kid", repeat("k", 129)), 400, "bad_value", "#kid", "129 characters"},
	{"with a kid of control characters", header("kid", "a\nb"), 400, "bad_value", "#kid", "3 characters"},
	{"with an unknown kid", header("kid", "unknown"), 422, "key_unknown", "#kid", "unknown"},
	{"with a person's code as kid", header("kid", "k-RSSMRA80A01H501U"), 422, "key_unknown", "#kid", "18 characters"},
	{"with a path as kid", header("kid", "../../etc/passwd"), 422, "key_unknown", "#kid", "passwd"},
	{"with another typ", header("typ", "dpop+jwt"), 422, "type_refused", "#typ", "dpop+jwt"},
	{"with typ a number", header("typ", 1), 400, "bad_value", "#typ", "a number"},
	{"with crit", header("crit", []string{"exp"}), 400, "bad_value", "#crit", "an array"},
	{"with b64", header("b64", false), 400, "bad_value", "#b64", "a boolean"},
	{"of another's key", func(k *token) { k.key = map[bool]string{true: "client-0", false: "client-1"}[k.key != "client-0"] }, 422, "bad_signature", "", "another signature"},
	{"of a key in its header", func(k *token) { k.header["jwk"], k.key = object{"kty": "RSA"}, "client-3" }, 422, "bad_signature", "", "another signature"},

	{"with jti a number", claims("jti", 1), 400, "bad_value", "#jti", "a number"},
	{"with iss a number", claims("iss", 1), 400, "bad_value", "#iss", "a number"},
	{"with an oversized iss", claims("iss", repeat("i", 257)), 400, "bad_value", "#iss", "257 characters"},
	{"with aud a number", claims("aud", 1), 400, "bad_value", "#aud", "a number"},
	{"with aud an empty array", claims("aud", []any{}), 400, "bad_value", "#aud", "an array"},
	{"with aud an array of null", claims("aud", []any{nil}), 400, "bad_value", "#aud", "an array"},
	{"with an empty aud in a list", claims("aud", "a,,b"), 400, "bad_value", "#aud", "a string of 4 characters"},
	{"with exp a text", claims("exp", "1795339800"), 400, "bad_value", "#exp", "a string"},
	{"with exp a fraction", claimBytes(literal("exp", "1795339800.5")), 400, "bad_value", "#exp", "a number"},
	{"with exp in 10^9", claimBytes(literal("exp", "2e9")), 400, "bad_value", "#exp", "a number"},
	{"with exp beyond all", claimBytes(literal("exp", "99999999999999999999")), 400, "bad_value", "#exp", "a number"},
	{"with exp negative", claims("exp", -1), 400, "bad_value", "#exp", "a number"},
	{"with exp before iat", func(k *token) { k.claims["exp"], k.claims["iat"] = seconds(-60), seconds(-30) }, 422, "lifetime_wrong", "#exp", "Z"},
	{"that is expired", func(k *token) {
		k.claims["iat"], k.claims["nbf"], k.claims["exp"] = seconds(-time.Hour), seconds(-time.Hour), seconds(-40*time.Minute)
	}, 422, "expired", "#exp", "Z"},
	{"that is not yet issued", func(k *token) { k.claims["iat"], k.claims["exp"] = seconds(5*time.Minute), seconds(10*time.Minute) }, 422, "not_yet_valid", "#iat", "Z"},
	{"that is not yet valid", func(k *token) { k.claims["nbf"], k.claims["exp"] = seconds(5*time.Minute), seconds(10*time.Minute) }, 422, "not_yet_valid", "#nbf", "Z"},
	{"with iat a boolean", claims("iat", true), 400, "bad_value", "#iat", "a boolean"},
	{"with purposeId in upper case", claims("purposeId", "4A153B51-0000-4000-8000-000000000000"), 400, "bad_value", "#purposeId", "36 characters"},
	{"with purposeId no uuid", claims("purposeId", "RSSMRA80A01H501U"), 400, "bad_value", "#purposeId", "16 characters"},
}

func TestRefusedTokens(t *testing.T) {
	var tests []refusal
	for _, part := range []struct {
		name     string
		of       func(*draft) *token
		required []string
	}{
		{"voucher", func(d *draft) *token { return &d.voucher }, []string{"jti", "iss", "aud", "client_id", "sub", "iat", "nbf", "exp", "purposeId"}},
		{"evidence", func(d *draft) *token { return &d.evidence }, []string{"jti", "iss", "aud", "iat", "exp", "purposeId", "dnonce"}},
	} {
		on := func(f func(*token)) func(*draft) { return func(d *draft) { f(part.of(d)) } }
		for _, c := range tokenCases {
			tests = append(tests, refusal{part.name + " " + c.name, on(c.change), c.status, c.code, part.name + c.where, c.found})
		}
		for _, name := range part.required {
			tests = append(tests,
				refusal{part.name + " without " + name, on(claims(name, absent)), 400, "missing", part.name + "#" + name, "nothing"},
				refusal{part.name + " with null as " + name, on(claims(name, nil)), 400, "bad_value", part.name + "#" + name, "null"},
			)
		}
	}
	voucher := func(name string, value any) func(*draft) {
		return func(d *draft) { d.voucher.claims.set(name, value) }
	}
	evidence := func(name string, value any) func(*draft) {
		return func(d *draft) { d.evidence.claims.set(name, value) }
	}
	// Under a voucher without digest an evidence must be its client's.
	unlinked := func(f func(*draft)) func(*draft) {
		return func(d *draft) { delete(d.voucher.claims, "digest"); f(d) }
	}
	tests = append(tests,
		refusal{"voucher by ES256", func(d *draft) { d.voucher.header["alg"], d.voucher.key = "ES256", "body-inps" }, 422, "wrong_algorithm", "voucher#alg", "ES256"},
		refusal{"evidence by ES256 for an RSA key", func(d *draft) { d.evidence.header["alg"], d.evidence.key = "ES256", "body-inps" }, 422, "wrong_algorithm", "evidence#alg", "ES256"},
		refusal{"evidence by EdDSA", func(d *draft) { d.evidence.header["alg"], d.evidence.alg = "EdDSA", "RS256" }, 422, "wrong_algorithm", "evidence#alg", "EdDSA"},
		refusal{"voucher without typ", func(d *draft) { delete(d.voucher.header, "typ") }, 400, "missing", "voucher#typ", "nothing"},
		refusal{"a client's voucher", func(d *draft) { d.voucher.header["kid"], d.voucher.key = d.evidence.header["kid"], d.evidence.key }, 422, "key_unknown", "voucher#kid", ""},
		refusal{"an evidence by PDND", func(d *draft) { d.evidence.header["kid"], d.evidence.key = d.voucher.header["kid"], "pdnd" }, 422, "key_unknown", "evidence#kid", ""},
		refusal{"the evidence as voucher", func(d *draft) {
			d.top = func(o object) { o["voucher"] = o["evidence"] }
			d.privateLate = func(o object) { o["voucher"] = o["evidence"] }
		}, 422, "type_refused", "voucher#typ", "JWT"},
		refusal{"the voucher as evidence", func(d *draft) {
			d.top = func(o object) { o["evidence"] = o["voucher"] }
			d.privateLate = func(o object) { o["evidence"] = o["voucher"] }
		}, 422, "type_refused", "evidence#typ", "at+jwt"},
		refusal{"voucher of another issuer", voucher("iss", "pdnd.example"), 422, "issuer_unknown", "voucher#iss", "pdnd.example"},
		refusal{"voucher jti no uuid", voucher("jti", "1"), 400, "bad_value", "voucher#jti", "1 characters"},
		refusal{"voucher sub not the client", voucher("sub", newUUID()), 422, "claim_mismatch", "voucher#sub", "-"},
		refusal{"voucher of another producer", voucher("producerId", newUUID()), 422, "claim_mismatch", "voucher#producerId", "-"},
		refusal{"voucher of another consumer", voucher("consumerId", newUUID()), 422, "claim_mismatch", "voucher#consumerId", "-"},
		refusal{"voucher of another e-service", voucher("eserviceId", newUUID()), 422, "claim_mismatch", "voucher#eserviceId", "-"},
		refusal{"voucher of another purpose", voucher("purposeId", newUUID()), 422, "claim_mismatch", "voucher#purposeId", "-"},
		refusal{"voucher producerId a number", voucher("producerId", 1), 400, "bad_value", "voucher#producerId", "a number"},
		refusal{"voucher digest a text", both(voucher("digest", repeat("ab", 32))), 400, "bad_value", "voucher#digest", "a string"},
		refusal{"voucher digest by another hash", voucher("digest", object{"alg": "SHA512", "value": repeat("ab", 32)}), 400, "bad_value", "voucher#digest", "an object"},
		refusal{"voucher digest in upper case", voucher("digest", object{"alg": "SHA256", "value": repeat("AB", 32)}), 400, "bad_value", "voucher#digest", "64 characters"},
		refusal{"voucher digest short", voucher("digest", object{"alg": "SHA256", "value": repeat("ab", 31)}), 400, "bad_value", "voucher#digest", "62 characters"},
		refusal{"voucher digest of another evidence", voucher("digest", object{"alg": "SHA256", "value": repeat("ab", 32)}), 422, "digest_mismatch", "voucher#digest", repeat("ab", 32)},
		refusal{"evidence of another client", unlinked(evidence("iss", newUUID())), 422, "claim_mismatch", "evidence#iss", "-"},
		refusal{"evidence of a person", unlinked(evidence("iss", "RSSMRA80A01H501U")), 422, "claim_mismatch", "evidence#iss", "16 characters"},
		refusal{"evidence for another audience", evidence("aud", "https://other.example"), 422, "wrong_audience", "evidence#aud", "other.example"},
		refusal{"voucher for another audience", voucher("aud", "https://other.example"), 422, "wrong_audience", "evidence#aud", "https://"},
		refusal{"evidence for another purpose", evidence("purposeId", newUUID()), 422, "claim_mismatch", "evidence#purposeId", "-"},
		refusal{"evidence that lives for 31 days", func(d *draft) { d.evidence.claims["exp"] = seconds(31 * 24 * time.Hour) }, 422, "lifetime_wrong", "evidence#exp", "h"},
		refusal{"dnonce short", evidence("dnonce", 123), 400, "bad_value", "evidence#dnonce", "a number"},
		refusal{"dnonce of letters", evidence("dnonce", "123456789012a"), 400, "bad_value", "evidence#dnonce", "13 characters"},
		refusal{"LoA 5", evidence("LoA", "LOA5"), 400, "bad_value", "evidence#LoA", "4 characters"},
		refusal{"LoA twice", evidence("userLoa", "3"), 400, "bad_value", "evidence#userLoa", "more than one"},
		refusal{"userID a number", evidence("userID", 12345678), 400, "bad_value", "evidence#userID", "a number"},
		refusal{"userID an object", evidence("userID", object{"cf": "RSSMRA80A01H501U"}), 400, "bad_value", "evidence#userID", "an object"},
		refusal{"userID oversized", evidence("userID", repeat("RSSMRA80A01H501U", 20)), 400, "bad_value", "evidence#userID", "320 characters"},
		refusal{"userLocation a number", evidence("userLocation", 1), 400, "bad_value", "evidence#userLocation", "a number"},
	)
	for i := range tests {
		// A digest made of null isn't one to link.
		change := tests[i].change
		tests[i].change = func(d *draft) {
			d.voucher.claims["jti"], d.evidence.claims["jti"] = newUUID(), newUUID()
			change(d)
			if strings.HasPrefix(tests[i].name, "voucher digest") {
				d.unlinked = true
			}
		}
	}
	checkRefusals(t, tests)
}
