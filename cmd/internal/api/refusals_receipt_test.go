// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger/node"
)

// claim changes a claim of the receipt, which is signed after it.
func claim(name string, value any) func(*draft) {
	return func(d *draft) { d.receiptLate = func(o object) { o.set(name, value) } }
}

// signedBy has the receipt signed as by another body.
func signedBy(body string) func(*draft) {
	return func(d *draft) {
		key, ok := d.f.world.Key(body)
		if !ok {
			panic("no key of " + body)
		}
		d.receipt.claims["iss"] = body
		d.receipt.key, d.receipt.header["kid"] = "body-"+body, key.Kid
	}
}

func both(changes ...func(*draft)) func(*draft) {
	return func(d *draft) {
		for _, change := range changes {
			change(d)
		}
	}
}

func receiptHeader(name string, value any) func(*draft) {
	return func(d *draft) { d.receipt.header.set(name, value) }
}

func receiptBytes(f func([]byte) []byte) func(*draft) {
	return func(d *draft) { d.receipt.bytes = f }
}

func receiptCompact(f func(string) string) func(*draft) {
	return func(d *draft) { d.receipt.compact = f }
}

// named puts the first subject's code, spelled by f, into a claim.
func named(name string, f func(string) string) func(*draft) {
	return func(d *draft) { d.receipt.claims[name] = f(d.subjects[0]["subject"].(string)) }
}

// escaped spells text in JSON escapes alone.
func escaped(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, `\u%04X`, c)
	}
	return b.String()
}

func TestRefusedReceipts(t *testing.T) {
	part := func(n int, f func(string) string) func(string) string {
		return func(compact string) string {
			parts := strings.Split(compact, ".")
			parts[n] = f(parts[n])
			return strings.Join(parts, ".")
		}
	}
	tests := []refusal{
		{"two parts", receiptCompact(func(s string) string { return s[:strings.LastIndex(s, ".")] }), 400, "syntax", "receipt", "2 segments"},
		{"four parts", receiptCompact(func(s string) string { return s + ".AAAA" }), 400, "syntax", "receipt", "4 segments"},
		{"empty header", receiptCompact(part(0, func(string) string { return "" })), 400, "missing", "receipt#header", "nothing"},
		{"empty payload", receiptCompact(part(1, func(string) string { return "" })), 400, "missing", "receipt#payload", "nothing"},
		{"empty signature", receiptCompact(part(2, func(string) string { return "" })), 400, "missing", "receipt#signature", "nothing"},
		{"signature cut off", receiptCompact(part(2, func(s string) string { return s[:len(s)-6] })), 400, "syntax", "receipt#signature", "60 bytes"},
		{"spare bits in the signature", receiptCompact(func(s string) string { return s[:len(s)-1] + "B" }), 400, "syntax", "receipt#signature", ""},
		{"another signature", receiptCompact(part(2, func(string) string { return repeat("A", 86) })), 422, "bad_signature", "receipt", ""},
		{"signed over another receipt", func(d *draft) {
			first := d.f.draft(t, 0)
			first.build(t)
			d.receipt.compact = part(2, func(string) string { return first.receipt.made[strings.LastIndex(first.receipt.made, ".")+1:] })
		}, 422, "bad_signature", "receipt", ""},
		{"a claim changed once signed", receiptCompact(part(1, func(s string) string {
			return encode(bytes.Replace(lenientDecode(s), []byte(`"purpose":"`), []byte(`"purpose":"X`), 1))
		})), 422, "bad_signature", "receipt", ""},

		{"alg none", receiptHeader("alg", "none"), 422, "wrong_algorithm", "receipt#alg", "none"},
		{"alg none with a signature", func(d *draft) { d.receipt.header["alg"], d.receipt.alg = "none", "ES256" }, 422, "wrong_algorithm", "receipt#alg", "none"},
		{"alg None", func(d *draft) { d.receipt.header["alg"], d.receipt.alg = "None", "ES256" }, 422, "wrong_algorithm", "receipt#alg", "another algorithm"},
		{"HS256 with the public key", receiptHeader("alg", "HS256"), 422, "wrong_algorithm", "receipt#alg", "another algorithm"},
		{"alg a person's code", func(d *draft) { d.receipt.header["alg"], d.receipt.alg = d.subjects[0]["subject"], "ES256" }, 422, "wrong_algorithm", "receipt#alg", "another algorithm"},
		{"RS256 for a P-256 key", func(d *draft) { d.receipt.header["alg"], d.receipt.key = "RS256", "pdnd" }, 422, "wrong_algorithm", "receipt#alg", "RS256"},
		{"EdDSA for a P-256 key", func(d *draft) { d.receipt.header["alg"], d.receipt.alg = "EdDSA", "ES256" }, 422, "wrong_algorithm", "receipt#alg", "EdDSA"},
		{"alg a number", func(d *draft) { d.receipt.header["alg"], d.receipt.alg = 1, "ES256" }, 400, "syntax", "receipt#alg", "a number"},
		{"no alg", func(d *draft) { delete(d.receipt.header, "alg"); d.receipt.alg = "ES256" }, 400, "missing", "receipt#alg", "nothing"},
		{"no kid", receiptHeader("kid", absent), 400, "missing", "receipt#kid", "nothing"},
		{"no typ", receiptHeader("typ", absent), 400, "missing", "receipt#typ", "nothing"},
		{"another typ", receiptHeader("typ", "JWT"), 400, "bad_value", "receipt#typ", "3 bytes"},
		{"a voucher as receipt", func(d *draft) { d.top = func(o object) { o["receipt"] = o["voucher"] } }, 400, "unknown_name", "receipt#header", "an unknown name"},
		{"crit", receiptHeader("crit", []string{"exp"}), 400, "unknown_name", "receipt#header", "an unknown name"},
		{"its own key", receiptHeader("jwk", object{"kty": "EC"}), 400, "unknown_name", "receipt#header", "an unknown name"},
		{"alg twice", func(d *draft) { d.receipt.headerBytes = again("alg") }, 400, "syntax", "receipt#alg", "a name twice"},
		{"unknown kid", receiptHeader("kid", "unknown"), 422, "key_unknown", "receipt#kid", "kid unknown"},
		{"kid with a line break", receiptHeader("kid", "a\nb"), 400, "syntax", "receipt#kid", "other characters"},
		{"oversized kid", receiptHeader("kid", repeat("k", 129)), 400, "syntax", "receipt#kid", "129 bytes"},
		{"another body's key", func(d *draft) {
			key, _ := d.f.world.Key("c_h501")
			d.receipt.key, d.receipt.header["kid"] = "body-c_h501", key.Kid
		}, 422, "key_unknown", "receipt#kid", "kid "},
		{"another body's key under the right kid", func(d *draft) { d.receipt.key = "body-c_h501" }, 422, "bad_signature", "receipt", "doesn't verify"},
		{"in PDND's name", func(d *draft) { d.receipt.key, d.receipt.header["alg"] = "pdnd", "RS256" }, 422, "wrong_algorithm", "receipt#alg", "RS256"},

		{"payload no JSON", receiptBytes(func([]byte) []byte { return []byte("x") }), 400, "syntax", "receipt", ""},
		{"payload an array", receiptBytes(func([]byte) []byte { return []byte("[]") }), 400, "syntax", "receipt", "an array"},
		{"bytes behind the payload", receiptBytes(func(b []byte) []byte { return append(bytes.Clone(b), "{}"...) }), 400, "syntax", "receipt", "more text"},
		{"an unknown claim", claim("operator", "op-7f3c"), 400, "unknown_name", "receipt", "an unknown name"},
		{"exp", claim("exp", 1795339800), 400, "unknown_name", "receipt", "an unknown name"},
		{"an unknown part of subjects", receiptBytes(func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"subjects":{`), []byte(`"subjects":{"codes":["RSSMRA80A01H501U"],`), 1)
		}), 400, "unknown_name", "receipt#subjects", "an unknown name"},

		{"another ledger", claim("aud", "other.example"), 422, "wrong_audience", "receipt#aud", "another ledger's name"},
		{"aud in upper case", claim("aud", "REGISTRO.EXAMPLE"), 422, "wrong_audience", "receipt#aud", "another"},
		{"aud an array", claim("aud", []string{ledgerName}), 400, "syntax", "receipt#aud", "an array"},
		{"aud with a space", claim("aud", "registro example"), 400, "bad_name", "receipt#aud", "16 bytes"},
		{"an unregistered iss", claim("iss", "c_zzzz"), 422, "unknown_body", "receipt#iss", "c_zzzz"},
		{"an unregistered provider", claim("provider", "c_zzzz"), 422, "unknown_body", "receipt#provider", "c_zzzz"},
		{"an unregistered consumer", claim("consumer", "c_zzzz"), 422, "unknown_body", "receipt#consumer", "c_zzzz"},
		{"a person for a body", claim("consumer", "rssmra80a01h501u"), 422, "unknown_body", "receipt#consumer", "another of 16 characters"},
		{"iss in upper case", claim("iss", "INPS"), 400, "bad_id", "receipt#iss", "4 bytes"},
		{"iss reserved", claim("iss", "+reported"), 400, "bad_id", "receipt#iss", "9 bytes"},
		{"iss without scope", func(d *draft) { d.receipt.claims["consumer"] = "c_a944"; signedBy("c_h501")(d) }, 422, "no_scope", "receipt#iss", "c_h501"},
		{"role of the consumer", claim("role", "consumer"), 422, "wrong_role", "receipt#role", "consumer"},
		{"role of the provider", func(d *draft) { signedBy(d.receipt.claims["consumer"].(string))(d) }, 422, "wrong_role", "receipt#role", "provider"},
		{"another role", claim("role", "auditor"), 400, "bad_value", "receipt#role", "7 bytes"},
		{"another actor", claim("actor", "robot"), 400, "bad_value", "receipt#actor", "5 bytes"},
		{"jti no uuid", claim("jti", "1"), 400, "bad_uuid", "receipt#jti", "1 bytes"},
		{"jti in upper case", claim("jti", strings.ToUpper(newUUID()[:35])+"A"), 400, "bad_uuid", "receipt#jti", "36 bytes"},
		{"eservice in braces", claim("eservice", "{"+newUUID()+"}"), 400, "bad_uuid", "receipt#eservice", "38 bytes"},
		{"purpose_id in upper case", claim("purpose_id", strings.ToUpper(newUUID()[:35])+"A"), 400, "bad_uuid", "receipt#purpose_id", "36 bytes"},
		{"another eservice", claim("eservice", newUUID()), 422, "claim_mismatch", "voucher#eserviceId", "-"},
		{"another purpose", claim("purpose_id", newUUID()), 422, "claim_mismatch", "voucher#purposeId", "-"},
		{"another consumer", func(d *draft) {
			d.receipt.claims["consumer"] = map[bool]string{true: "c_h501", false: "c_f205"}[d.receipt.claims["consumer"] != "c_h501"]
		}, 422, "claim_mismatch", "voucher#consumerId", "-"},

		{"iat a text", claim("iat", "1795339800"), 400, "syntax", "receipt#iat", "a string"},
		{"iat a fraction", receiptBytes(literal("iat", "1795339800.5")), 400, "syntax", "receipt#iat", "a fraction"},
		{"iat with an exponent", receiptBytes(literal("iat", "1e9")), 400, "syntax", "receipt#iat", "an exponent"},
		{"iat with a leading zero", receiptBytes(literal("iat", "01")), 400, "syntax", "receipt#iat", "a leading zero"},
		{"iat minus zero", receiptBytes(literal("iat", "-0")), 400, "syntax", "receipt#iat", "minus zero"},
		{"iat negative", claim("iat", -1), 400, "bad_time", "receipt#iat", "out of range"},
		{"iat beyond 2^53", receiptBytes(literal("iat", "9007199254740992")), 400, "syntax", "receipt#iat", "a greater number"},
		{"iat beyond all", receiptBytes(literal("iat", repeat("9", 400))), 400, "syntax", "receipt#iat", "a greater number"},
		{"iat in the future", func(d *draft) { d.receipt.claims["iat"] = time.Now().Add(2 * time.Minute).Unix() }, 422, "in_future", "receipt#iat", "Z"},
		{"iat in milliseconds", func(d *draft) { d.receipt.claims["iat"] = time.Now().UnixMilli() }, 422, "in_future", "receipt#iat", ""},
		{"occurred in the future", func(d *draft) { d.receipt.claims["occurred_at"] = at(2 * time.Minute) }, 422, "in_future", "receipt#occurred_at", "Z"},
		{"occurred in local time", claim("occurred_at", "2026-11-22T10:00:00+01:00"), 400, "bad_time", "receipt#occurred_at", "25 bytes"},
		{"occurred on no day", claim("occurred_at", "2026-02-30T10:00:00Z"), 400, "bad_time", "receipt#occurred_at", "20 bytes"},
		{"occurred with a comma", claim("occurred_at", "2026-11-22T10:00:00,5Z"), 400, "bad_time", "receipt#occurred_at", "22 bytes"},
		{"occurred a number", claim("occurred_at", 1795339800), 400, "syntax", "receipt#occurred_at", "a number"},
		{"occurred before the voucher", func(d *draft) { d.receipt.claims["occurred_at"] = at(-time.Hour) }, 422, "not_yet_valid", "voucher#iat", "Z"},

		{"no data category", claim("data_categories", []any{}), 400, "bad_count", "receipt#data_categories", "0"},
		{"65 data categories", claim("data_categories", strings.Split(repeat("x,", 64)+"x", ",")), 400, "bad_count", "receipt#data_categories", "65"},
		{"a data category twice", claim("data_categories", []any{"x", "y", "x"}), 400, "repeated", "receipt#data_categories/2", "occurs before"},
		{"a data category a number", claim("data_categories", []any{"x", 1}), 400, "syntax", "receipt#data_categories/1", "a number"},
		{"a method unknown", claim("operation", object{"method": "TRACE", "path": "/x"}), 400, "bad_value", "receipt#operation/method", "5 bytes"},
		{"a path with a query", claim("operation", object{"method": "GET", "path": "/x?cf=RSSMRA80A01H501U"}), 400, "bad_value", "receipt#operation/path", "byte 2"},
		{"a path without slash", claim("operation", object{"method": "GET", "path": "x"}), 400, "bad_value", "receipt#operation/path", "1 bytes"},
		{"a path oversized", claim("operation", object{"method": "GET", "path": "/" + repeat("x", 512)}), 400, "too_long", "receipt#operation/path", "513"},
		{"no path", claim("operation", object{"method": "GET"}), 400, "missing", "receipt#operation/path", "nothing"},
		{"purpose with a direction mark", claim("purpose", "a\u202eb"), 400, "bad_text", "receipt#purpose", "byte 1"},
		{"purpose with a control", claim("purpose", "a\x1b[2J"), 400, "bad_text", "receipt#purpose", "byte 1"},
		{"purpose empty", claim("purpose", ""), 400, "bad_text", "receipt#purpose", "an empty string"},
		{"purpose oversized", claim("purpose", repeat("à", 201)), 400, "too_long", "receipt#purpose", "201"},
		{"consent_id oversized", claim("consent_id", repeat("x", 201)), 400, "too_long", "receipt#consent_id", "201"},
		{"the receipt oversized", claim("purpose", repeat("x", 8000)), 400, "too_long", "/receipt", ""},
		{"nested too deep", receiptBytes(literal("purpose", repeat("[", 65)+repeat("]", 65))), 400, "syntax", "receipt#purpose", "an array"},

		{"another pair", claim("pair", repeat("ab", 32)), 422, "pair_mismatch", "receipt#pair", "another digest"},
		{"another private_digest", claim("private_digest", repeat("ab", 32)), 422, "digest_mismatch", "receipt#private_digest", "another"},
		{"another request digest", func(d *draft) {
			d.privateBytes = func(b []byte) []byte {
				return bytes.Replace(b, []byte(fmt.Sprintf("%q", d.private["request_digest"])), []byte(`"`+repeat("ab", 32)+`"`), 1)
			}
		}, 422, "pair_mismatch", "receipt#pair", "another digest"},
		{"another root", claim("subjects", object{"count": 3, "root": repeat("ab", 32)}), 422, "root_mismatch", "receipt#subjects/root", "another"},
		{"another order", func(d *draft) {
			d.top = func(object) { d.subjects[0], d.subjects[1] = d.subjects[1], d.subjects[0] }
		}, 422, "root_mismatch", "receipt#subjects/root", "another"},
		{"another salt", func(d *draft) { d.top = func(object) { d.subjects[0]["salt"] = repeat("A", 43) } }, 422, "root_mismatch", "receipt#subjects/root", "another"},
		{"another subject", func(d *draft) { d.top = func(object) { d.subjects[0]["subject"] = "RSSMRA80A01H501U" } }, 422, "root_mismatch", "receipt#subjects/root", "another"},
		{"a subject less", func(d *draft) { d.top = func(o object) { o["subjects"] = d.subjects[:2] } }, 422, "count_mismatch", "receipt#subjects/count", "3"},
		{"count zero", claim("subjects", object{"count": 0, "root": repeat("ab", 32)}), 400, "bad_count", "receipt#subjects/count", "0"},
		{"count 10,001", claim("subjects", object{"count": 10001, "root": repeat("ab", 32)}), 400, "bad_count", "receipt#subjects/count", "10001"},
		{"count a text", claim("subjects", object{"count": "3", "root": repeat("ab", 32)}), 400, "syntax", "receipt#subjects/count", "a string"},
		{"no count", claim("subjects", object{"root": repeat("ab", 32)}), 400, "missing", "receipt#subjects/count", "nothing"},
		{"no root", claim("subjects", object{"count": 3}), 400, "missing", "receipt#subjects/root", "nothing"},

		{"it names a subject", named("legal_reference", func(s string) string { return "Pratica " + s }), 422, "names_subject", "receipt", "one"},
		{"in lower case", named("legal_reference", strings.ToLower), 422, "names_subject", "receipt", "one"},
		{"in a path", func(d *draft) {
			d.receipt.claims["operation"] = object{"method": "GET", "path": "/persone/" + d.subjects[2]["subject"].(string)}
		}, 422, "names_subject", "receipt", "one"},
		{"in a category", func(d *draft) { d.receipt.claims["data_categories"] = []any{"x", d.subjects[0]["subject"]} }, 422, "names_subject", "receipt", "one"},
		{"escaped", func(d *draft) {
			d.receipt.bytes = literal("purpose", `"`+escaped("per "+d.subjects[0]["subject"].(string))+`"`)
		}, 422, "names_subject", "receipt", "one"},
		{"with a long s", func(d *draft) {
			d.subjects[0]["subject"] = "RSSMRA80A01H501U"
			d.receipt.claims["purpose"] = "rſsmra80a01h501u"
		}, 422, "names_subject", "receipt", "one"},
		{"in kid", func(d *draft) { d.receipt.header["kid"] = "k-" + strings.ToLower(d.subjects[0]["subject"].(string)) }, 422, "names_subject", "receipt", "one"},
		{"as consumer", named("consumer", strings.ToLower), 422, "names_subject", "receipt", "one"},
		{"in another's kid", receiptHeader("kid", "k-rssmra80a01h501u"), 422, "key_unknown", "receipt#kid", "kid another of 18 characters"},
	}
	for _, name := range []string{
		"aud", "iss", "jti", "iat", "role", "provider", "consumer", "eservice", "purpose_id", "purpose", "legal_basis", "data_categories",
		"actor", "operation", "occurred_at", "pair", "private_digest", "subjects",
	} {
		tests = append(tests,
			refusal{"no " + name, claim(name, absent), 400, "missing", "receipt#" + name, "nothing"},
			refusal{name + " null", claim(name, nil), 400, "syntax", "receipt#" + name, "null"},
			refusal{name + " twice", receiptBytes(again(name)), 400, "syntax", "receipt#" + name, "a name twice"},
			refusal{name + " a boolean", claim(name, true), 400, "syntax", "receipt#" + name, "true or false"},
		)
	}
	for _, name := range []string{"pair", "private_digest"} {
		tests = append(tests,
			refusal{name + " in upper case", claim(name, repeat("AB", 32)), 400, "syntax", "receipt#" + name, "64 bytes"},
			refusal{name + " short", claim(name, repeat("ab", 31)), 400, "syntax", "receipt#" + name, "62 bytes"},
			refusal{name + " in base64url", claim(name, repeat("A", 43)), 400, "syntax", "receipt#" + name, "43 bytes"},
		)
	}
	checkRefusals(t, tests)
}

func TestRevokedKey(t *testing.T) {
	f := newFixture(t, fastWorld, node.Options{})
	before, after := f.draft(t, 0), f.draft(t, 1)
	recorded := before.build(t)
	first := f.submit(t, recorded).answer(t, 201)
	key, _ := f.world.Key("inps")
	if _, err := f.node.RevokeKey(t.Context(), "inps", key.Kid, "lost"); err != nil {
		t.Fatal(err)
	}
	p := f.submit(t, after.build(t)).problem(t, 422, "key_revoked", "receipt#kid")
	if !strings.Contains(p.Found, key.Kid) {
		t.Errorf("found %q, want the kid", p.Found)
	}
	// What was recorded before still stands, and a retry finds it.
	again := f.submit(t, recorded).answer(t, 200)
	if again.FirstIndex != first.FirstIndex {
		t.Errorf("index %d, then %d", first.FirstIndex, again.FirstIndex)
	}
	// Under the same iss and jti, a thief of the key records nothing else.
	before.receipt.claims["purpose"] = "another"
	f.submit(t, before.build(t)).problem(t, 409, "conflict", "receipt#jti")
}
