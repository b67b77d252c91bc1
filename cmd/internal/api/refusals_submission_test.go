// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
)

// top changes a member of the submission after all else was made.
func top(name string, value any) func(*draft) {
	return func(d *draft) { d.top = func(o object) { o.set(name, value) } }
}

// rewrite changes the submission's bytes.
func rewrite(f func([]byte) []byte) func(*draft) {
	return func(d *draft) { d.bytes = f }
}

// subject changes a member of the second subject; the root is made anew.
func subject(name string, value any) func(*draft) {
	return func(d *draft) { d.subjects[1].set(name, value) }
}

func private(name string, value any) func(*draft) {
	return func(d *draft) { d.privateLate = func(o object) { o.set(name, value) } }
}

func privateBytes(f func([]byte) []byte) func(*draft) {
	return func(d *draft) { d.privateBytes = f }
}

// people makes a draft about n invented persons.
func people(n int) func(*draft) {
	return func(d *draft) {
		d.subjects = nil
		for i := range n {
			code := fmt.Appendf(nil, "BCDFGL80A01N%03d", i%1000)
			code[0], code[1] = byte('A'+i/1000%26), byte('A'+i/26000)
			var salt [32]byte
			rand.Read(salt[:])
			d.subjects = append(d.subjects, object{"subject": checked(string(code)), "salt": encode(salt[:])})
		}
	}
}

// checked adds the check character that makes a code right.
func checked(code string) string {
	for c := 'A'; c <= 'Z'; c++ {
		if _, err := ledger.ParseSubject(code + string(c)); err == nil {
			return code + string(c)
		}
	}
	panic("no check character fits")
}

func repeat(s string, n int) string { return strings.Repeat(s, n) }

func TestRefusedSubmissions(t *testing.T) {
	tail := func(s string) func([]byte) []byte {
		return func(b []byte) []byte { return append(bytes.Clone(b), s...) }
	}
	head := func(s string) func([]byte) []byte { return func(b []byte) []byte { return append([]byte(s), b...) } }
	std := func(s any) string { return base64.StdEncoding.EncodeToString(lenientDecode(s.(string))) }
	tests := []refusal{
		{"nothing", rewrite(func([]byte) []byte { return []byte{} }), 400, "syntax", "body", ""},
		{"no JSON", rewrite(func([]byte) []byte { return []byte("receipt=1") }), 400, "syntax", "body", ""},
		{"an array", rewrite(func(b []byte) []byte { return []byte("[" + string(b) + "]") }), 400, "syntax", "body", "an array"},
		{"null", rewrite(func([]byte) []byte { return []byte("null") }), 400, "syntax", "body", ""},
		{"cut off", rewrite(func(b []byte) []byte { return b[:len(b)-1] }), 400, "syntax", "body", "end"},
		{"a byte order mark", rewrite(head("\ufeff")), 400, "syntax", "body", "byte order mark"},
		{"bytes behind", rewrite(tail("x")), 400, "syntax", "body", "more text"},
		{"two objects", rewrite(tail("{}")), 400, "syntax", "body", "more text"},
		{"a zero byte behind", rewrite(tail("\x00")), 400, "syntax", "body", "more text"},
		{"a comment", rewrite(head("/* */")), 400, "syntax", "body", ""},
		{"a comma too many", rewrite(with(",")), 400, "syntax", "body", ""},
		{"UTF-16", rewrite(func(b []byte) []byte {
			wide := []byte{0xff, 0xfe}
			for _, c := range b {
				wide = append(wide, c, 0)
			}
			return wide
		}), 400, "syntax", "body", ""},
		{"bad UTF-8", rewrite(with(",\"receipt2\":\"\xff\"")), 400, "unknown_name", "body", "unknown name"},
		{"bad UTF-8 in a value", rewrite(literal("evidence", "\"\xff\xfe\"")), 400, "syntax", "/evidence", "other bytes"},
		{"an unpaired surrogate", rewrite(literal("evidence", `"\ud800"`)), 400, "syntax", "/evidence", "surrogate"},
		{"a noncharacter", rewrite(literal("evidence", `"\uffff"`)), 400, "syntax", "/evidence", "noncharacter"},
		{"nested too deep", rewrite(literal("subjects", repeat("[", 100)+repeat("]", 100))), 400, "syntax", "/subjects/0", "an array"},
		{"an unknown member", rewrite(with(`,"note":"RSSMRA80A01H501U"`)), 400, "unknown_name", "body", "an unknown name"},
		{"a member named as a person", rewrite(with(`,"RSSMRA80A01H501U":1`)), 400, "unknown_name", "body", "an unknown name"},
		{"another letter case", rewrite(func(b []byte) []byte { return bytes.Replace(b, []byte(`"voucher"`), []byte(`"Voucher"`), 1) }), 400, "unknown_name", "body", "an unknown name"},
		{"an unknown member of a subject", subject("name", "Mario"), 400, "unknown_name", "/subjects/1", "an unknown name"},
		{"an unknown member of private", top("private", object{"salt": "", "content": "", "x": 1}), 400, "unknown_name", "/private", "an unknown name"},

		{"no private salt", top("private", object{"content": ""}), 400, "missing", "/private/salt", "nothing"},
		{"no private content", top("private", object{"salt": ""}), 400, "missing", "/private/content", "nothing"},
		{"private content a number", top("private", object{"salt": "", "content": 1}), 400, "syntax", "/private/content", "a number"},
		{"private salt null", top("private", object{"salt": nil, "content": ""}), 400, "syntax", "/private/salt", "null"},
		{"private salt short", func(d *draft) { d.salt = d.salt[:42] }, 400, "bad_salt", "/private/salt", "42 bytes"},
		{"private salt padded", func(d *draft) { d.salt = std(d.salt) }, 400, "bad_salt", "/private/salt", "44 bytes"},
		{"private salt in hex", func(d *draft) { d.salt = fmt.Sprintf("%X", lenientDecode(d.salt)) }, 400, "bad_salt", "/private/salt", "64 bytes"},
		{"private salt in std base64", func(d *draft) { d.salt = repeat("+", 43) }, 400, "bad_salt", "/private/salt", "43 bytes"},
		{"private salt with spare bits", func(d *draft) { d.salt = d.salt[:42] + "B" }, 400, "bad_salt", "/private/salt", "43 bytes"},
		{"private content padded", top("private", object{"salt": repeat("A", 43), "content": "e30="}), 400, "bad_base64", "/private/content", "4 bytes"},
		{"private content in std base64", top("private", object{"salt": repeat("A", 43), "content": "+/+/"}), 400, "bad_base64", "/private/content", "4 bytes"},
		{"private content with a line break", top("private", object{"salt": repeat("A", 43), "content": "e3\n0"}), 400, "bad_base64", "/private/content", "4 bytes"},
		{"private content with spare bits", top("private", object{"salt": repeat("A", 43), "content": "e31"}), 400, "bad_base64", "/private/content", "3 bytes"},
		{"private content empty", top("private", object{"salt": repeat("A", 43), "content": ""}), 400, "syntax", "private", ""},
		{"private content oversized", top("private", object{"salt": repeat("A", 43), "content": repeat("A", 4*(65536/3+1))}), 400, "too_long", "/private/content", "6553"},

		{"no subjects in the list", top("subjects", []any{}), 400, "bad_count", "/subjects", "0"},
		{"10,001 subjects", people(10_001), 400, "bad_count", "/subjects", "10001"},
		{"subjects null", top("subjects", nil), 400, "syntax", "/subjects", "null"},
		{"a subject that is text", top("subjects", []any{"RSSMRA80A01H501U"}), 400, "syntax", "/subjects/0", "a string"},
		{"no code", subject("subject", absent), 400, "missing", "/subjects/1/subject", "nothing"},
		{"no salt", subject("salt", absent), 400, "missing", "/subjects/1/salt", "nothing"},
		{"code a number", subject("subject", 80078750587), 400, "syntax", "/subjects/1/subject", "a number"},
		{"salt null", subject("salt", nil), 400, "syntax", "/subjects/1/salt", "null"},
		{"code empty", subject("subject", ""), 422, "bad_subject", "/subjects/1/subject", "an empty string"},
		{"bad check character", subject("subject", "RSSMRA80A01H501V"), 422, "bad_subject", "/subjects/1/subject", "16 bytes"},
		{"bad check digit", subject("subject", "80078750588"), 422, "bad_subject", "/subjects/1/subject", "11 bytes"},
		{"lower case", subject("subject", "rssmra80a01h501u"), 422, "bad_subject", "/subjects/1/subject", "16 bytes"},
		{"white space", subject("subject", " RSSMRA80A01H501U"), 422, "bad_subject", "/subjects/1/subject", "17 bytes"},
		{"with its prefix", subject("subject", "TINIT-RSSMRA80A01H501U"), 422, "bad_subject", "/subjects/1/subject", "22 bytes"},
		{"beyond ASCII", subject("subject", "RSSMRÀ80A01H501U"), 422, "bad_subject", "/subjects/1/subject", "17 bytes"},
		{"oversized code", subject("subject", repeat("A", 60_000)), 422, "bad_subject", "/subjects/1/subject", "60000 bytes"},
		{"salt padded", func(d *draft) { d.subjects[1]["salt"] = std(d.subjects[1]["salt"]) }, 400, "bad_salt", "/subjects/1/salt", "44 bytes"},
		{"salt of 31 bytes", subject("salt", encode(make([]byte, 31))), 400, "bad_salt", "/subjects/1/salt", "42 bytes"},
		{"salt in hex", subject("salt", repeat("AB", 32)), 400, "bad_salt", "/subjects/1/salt", "64 bytes"},
		{"salt of another alphabet", subject("salt", repeat("/", 43)), 400, "bad_salt", "/subjects/1/salt", "43 bytes"},
		{"a subject twice", func(d *draft) { d.subjects[2]["subject"] = d.subjects[0]["subject"] }, 422, "subject_repeated", "/subjects/2/subject", "occurs before"},
		{"a salt twice", func(d *draft) { d.subjects[2]["salt"] = d.subjects[0]["salt"] }, 422, "salt_repeated", "/subjects/2/salt", "occurs before"},
		{"the private part's salt", func(d *draft) { d.subjects[1]["salt"] = d.salt }, 422, "salt_repeated", "/subjects/1/salt", "private"},
		{"a code twice in one subject", rewrite(func(b []byte) []byte {
			return bytes.Replace(b, []byte(`{"salt":"`), []byte(`{"salt":"","salt":"`), 1)
		}), 400, "syntax", "/subjects/0/salt", "a name twice"},

		{"another voucher inside", private("voucher", "e30.e30.AAAA"), 422, "token_mismatch", "private#voucher", "another"},
		{"another evidence inside", private("evidence", "e30.e30.AAAA"), 422, "token_mismatch", "private#evidence", "another"},
		{"no evidence inside", private("evidence", absent), 422, "token_mismatch", "private#evidence", "another"},
		{"no voucher inside", private("voucher", absent), 400, "missing", "private#voucher", "nothing"},
		{"no evidence beside", top("evidence", absent), 422, "token_mismatch", "private#evidence", "another"},
		{"a private part that isn't JSON", privateBytes(func([]byte) []byte { return []byte("\x00\x01") }), 400, "syntax", "private", ""},
		{"a private part of two objects", privateBytes(tail("{}")), 400, "syntax", "private", "more text"},
		{"an unknown member inside", private("beneficiary", "RSSMRA80A01H501U"), 400, "unknown_name", "private", "an unknown name"},
		{"integrity no token", private("integrity", "RSSMRA80A01H501U!"), 400, "bad_text", "private#integrity", "another character"},
		{"integrity oversized", private("integrity", repeat("a", 16385)), 400, "too_long", "private#integrity", "16385"},
		{"33 identity headers", private("identity_headers", many(33)), 400, "bad_count", "private#identity_headers", "33"},
		{"a bad header name", private("identity_headers", object{"op 7f3c": "x"}), 400, "bad_value", "private#identity_headers", "byte 2"},
		{"a header value with a line break", private("identity_headers", object{"A": "RSSMRA80A01H501U\r\n"}), 400, "bad_text", "private#identity_headers", "byte 16"},
		{"an operator without id", private("operator", object{"office": "1"}), 400, "missing", "private#operator/id", "nothing"},
		{"an empty operator id", private("operator", object{"id": ""}), 400, "bad_text", "private#operator/id", "an empty string"},
		{"an oversized operator id", private("operator", object{"id": repeat("m.rossi", 100)}), 400, "too_long", "private#operator/id", "700"},
		{"an operator as text", private("operator", "m.rossi"), 400, "syntax", "private#operator", "a string"},
		{"an oversized case", private("case", repeat("x", 201)), 400, "too_long", "private#case", "201"},
		{"request_digest in upper case", private("request_digest", repeat("AB", 32)), 400, "bad_hash", "private#request_digest", "64 bytes"},
		{"response_digest short", private("response_digest", repeat("ab", 31)), 400, "bad_hash", "private#response_digest", "62 bytes"},
		{"request_digest a number", private("request_digest", 1), 400, "syntax", "private#request_digest", "a number"},
		{"nested too deep inside", privateBytes(literal("operator", repeat(`{"a":`, 70)+"1"+repeat("}", 70))), 400, "unknown_name", "private#operator", "an unknown name"},
	}
	for _, name := range []string{"receipt", "private", "voucher", "subjects"} {
		tests = append(tests, refusal{"no " + name, top(name, absent), 400, "missing", "/" + name, "nothing"})
	}
	for _, name := range []string{"receipt", "voucher", "evidence"} {
		tests = append(tests,
			refusal{name + " a number", top(name, 1), 400, "syntax", "/" + name, "a number"},
			refusal{name + " null", top(name, nil), 400, "syntax", "/" + name, "null"},
			refusal{name + " an object", top(name, object{"payload": "e30"}), 400, "syntax", "/" + name, "an object"},
			refusal{name + " with white space", top(name, "e30. e30.AAAA"), 400, "bad_text", "/" + name, "another character"},
			refusal{name + " in std base64", top(name, "e30.+/+/.AAAA"), 400, "bad_text", "/" + name, "another character"},
			refusal{name + " padded", top(name, "e30=.e30.AAAA"), 400, "bad_text", "/" + name, "another character"},
		)
	}
	tests = append(tests,
		refusal{"receipt empty", top("receipt", ""), 400, "bad_text", "/receipt", "an empty string"},
		refusal{"voucher empty", top("voucher", ""), 400, "missing", "/voucher", "nothing"},
		refusal{"receipt oversized", top("receipt", repeat("a", 8193)), 400, "too_long", "/receipt", "8193"},
		refusal{"voucher oversized", top("voucher", repeat("a", 16385)), 400, "too_long", "/voucher", "16385"},
		refusal{"evidence oversized", top("evidence", repeat("a", 16385)), 400, "too_long", "/evidence", "16385"},
		refusal{"private a string", top("private", "e30"), 400, "syntax", "/private", "a string"},
		refusal{"subjects an object", top("subjects", object{}), 400, "syntax", "/subjects", "an object"},
	)
	for _, name := range []string{"receipt", "private", "voucher", "evidence", "subjects"} {
		tests = append(tests, refusal{name + " twice", rewrite(again(name)), 400, "syntax", "/" + name, "a name twice"})
	}
	for _, name := range []string{"voucher", "evidence", "request_digest", "operator", "case"} {
		tests = append(tests, refusal{name + " twice inside", privateBytes(again(name)), 400, "syntax", "private#" + name, "a name twice"})
	}
	checkRefusals(t, tests)
}

func many(n int) object {
	o := object{}
	for i := range n {
		o[fmt.Sprintf("X-%d", i)] = "x"
	}
	return o
}
