// SPDX-License-Identifier: EUPL-1.2

package ledger_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
)

// payloads makes the claims that are refused.
func (m *maker) payloads() {
	refuse := func(why, text, code, claim string) {
		m.v.PayloadsRefused = append(m.v.PayloadsRefused, refusal{why, text, code, strings.TrimSuffix("receipt#"+claim, "#")})
	}
	var claims map[string]json.RawMessage
	m.must(json.Unmarshal([]byte(m.payload), &claims))
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range claims {
			if !yield(name) {
				return
			}
		}
	})
	for _, name := range names {
		if name != "legal_reference" {
			refuse("no "+name, m.set(m.payload, name, ""), ledger.CodeMissing, name)
		}
		refuse(name+" null", m.set(m.payload, name, "null"), ledger.CodeSyntax, name)
		refuse(name+" of another kind", m.set(m.payload, name, "true"), ledger.CodeSyntax, name)
	}
	text := func(n int) string { return `"` + strings.Repeat("à", n) + `"` }
	hash, root := strings.Repeat("0", 64), strings.Repeat("1", 64)
	for _, x := range []struct{ why, name, value, code, where string }{
		{"", "aud", `""`, ledger.CodeBadName, ""},
		{"", "aud", `"registro example"`, ledger.CodeBadName, ""},
		{"", "aud", `"registro+example"`, ledger.CodeBadName, ""},
		{"", "iss", `"INPS"`, ledger.CodeBadID, ""},
		{"", "iss", `"+consent"`, ledger.CodeBadID, ""},
		{"", "iss", `""`, ledger.CodeBadID, ""},
		{"", "jti", `"5A0E7B3C-52F0-4D0E-9D5E-3F1B7F0F7A11"`, ledger.CodeBadUUID, ""},
		{"", "jti", `"5a0e7b3c52f04d0e9d5e3f1b7f0f7a11"`, ledger.CodeBadUUID, ""},
		{"", "jti", `"{5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a1}"`, ledger.CodeBadUUID, ""},
		{"", "iat", "-1", ledger.CodeBadTime, ""},
		{"", "iat", "1795339800.5", ledger.CodeSyntax, ""},
		{"", "iat", `"1795339800"`, ledger.CodeSyntax, ""},
		{"", "role", `"Provider"`, ledger.CodeBadValue, ""},
		{"", "provider", `"c h501"`, ledger.CodeBadID, ""},
		{"a consumer of 65 bytes", "consumer", `"` + strings.Repeat("a", 65) + `"`, ledger.CodeBadID, ""},
		{"", "eservice", `"isee"`, ledger.CodeBadUUID, ""},
		{"", "purpose_id", `""`, ledger.CodeMissing, ""},
		{"an empty purpose", "purpose", `""`, ledger.CodeBadText, ""},
		{"a purpose of 201 characters", "purpose", text(201), ledger.CodeTooLong, ""},
		{"a control character", "purpose", `"a\u0007"`, ledger.CodeBadText, ""},
		{"a C1 control character", "purpose", `"a\u0085"`, ledger.CodeBadText, ""},
		{"a line separator", "purpose", `"a\u2028b"`, ledger.CodeBadText, ""},
		{"a bidirectional control", "purpose", `"a\u202eb"`, ledger.CodeBadText, ""},
		{"a noncharacter", "purpose", `"a\uffffb"`, ledger.CodeSyntax, ""},
		{"an unpaired surrogate", "purpose", `"a\ud800b"`, ledger.CodeSyntax, ""},
		{"", "legal_basis", text(201), ledger.CodeTooLong, ""},
		{"", "legal_reference", text(201), ledger.CodeTooLong, ""},
		{"no category", "data_categories", "[]", ledger.CodeBadCount, ""},
		{"65 categories", "data_categories", "[" + strings.TrimSuffix(strings.Repeat(`"a",`, 65), ",") + "]", ledger.CodeBadCount, ""},
		{"a category twice", "data_categories", `["a","b","a"]`, ledger.CodeRepeated, "data_categories/2"},
		{"an empty category", "data_categories", `["a",""]`, ledger.CodeBadText, "data_categories/1"},
		{"a category of another kind", "data_categories", `["a",1]`, ledger.CodeSyntax, "data_categories/1"},
		{"", "actor", `"person"`, ledger.CodeBadValue, ""},
		{"no method", "operation", `{"path":"/a"}`, ledger.CodeMissing, "operation/method"},
		{"", "operation", `{"method":"get","path":"/a"}`, ledger.CodeBadValue, "operation/method"},
		{"", "operation", `{"method":"GET","path":""}`, ledger.CodeBadValue, "operation/path"},
		{"", "operation", `{"method":"GET","path":"a"}`, ledger.CodeBadValue, "operation/path"},
		{"", "operation", `{"method":"GET","path":"/a?b=c"}`, ledger.CodeBadValue, "operation/path"},
		{"", "operation", `{"method":"GET","path":"/à"}`, ledger.CodeBadValue, "operation/path"},
		{"a path of 513 bytes", "operation", `{"method":"GET","path":"/` + strings.Repeat("a", 512) + `"}`, ledger.CodeTooLong, "operation/path"},
		{"an unknown name in operation", "operation", `{"method":"GET","path":"/a","query":"b"}`, ledger.CodeUnknownName, "operation"},
		{"", "occurred_at", `"2026-11-22T10:30:00+01:00"`, ledger.CodeBadTime, ""},
		{"", "occurred_at", `"2026-11-22T09:30:00z"`, ledger.CodeBadTime, ""},
		{"", "occurred_at", `"2026-11-22 09:30:00Z"`, ledger.CodeBadTime, ""},
		{"", "occurred_at", `"2026-11-22T9:30:00Z"`, ledger.CodeBadTime, ""},
		{"", "occurred_at", `"2026-11-22T09:30:60Z"`, ledger.CodeBadTime, ""},
		{"", "occurred_at", `"2026-11-31T09:30:00Z"`, ledger.CodeBadTime, ""},
		{"", "occurred_at", `"2026-11-22T09:30:00.Z"`, ledger.CodeBadTime, ""},
		{"", "occurred_at", `"2026-11-22T09:30:00,5Z"`, ledger.CodeBadTime, ""},
		{"", "occurred_at", `"2026-11-22T09:30:00.1234567890Z"`, ledger.CodeBadTime, ""},
		{"", "occurred_at", `"2026-11-22T09:30Z"`, ledger.CodeBadTime, ""},
		{"", "consent_id", text(201), ledger.CodeTooLong, ""},
		{"upper-case hex", "pair", `"` + strings.Repeat("A", 64) + `"`, ledger.CodeSyntax, ""},
		{"", "pair", `"` + hash[1:] + `"`, ledger.CodeSyntax, ""},
		{"", "private_digest", `"` + hash + `0"`, ledger.CodeSyntax, ""},
		{"", "subjects", `{"root":"` + root + `"}`, ledger.CodeMissing, "subjects/count"},
		{"no subjects", "subjects", `{"count":0,"root":"` + root + `"}`, ledger.CodeBadCount, "subjects/count"},
		{"too many subjects", "subjects", `{"count":10001,"root":"` + root + `"}`, ledger.CodeBadCount, "subjects/count"},
		{"", "subjects", `{"count":1,"root":"g` + hash[1:] + `"}`, ledger.CodeSyntax, "subjects/root"},
		{"a pair of zeros", "pair", `"` + hash + `"`, ledger.CodeSyntax, ""},
		{"a deferral of zeros", "deferral", `"` + hash + `"`, ledger.CodeSyntax, ""},
		{"a consent_digest of zeros", "consent_digest", `"` + hash + `"`, ledger.CodeSyntax, ""},
		{"a private_digest of zeros", "private_digest", `"` + hash + `"`, ledger.CodeSyntax, ""},
		{"a root of zeros", "subjects", `{"count":1,"root":"` + hash + `"}`, ledger.CodeSyntax, "subjects/root"},
		{"a previous of zeros", "break_glass", `{"session":"5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11","number":1,"previous":"` + hash + `"}`, ledger.CodeSyntax, "break_glass/previous"},
		{"an unknown claim", "operator", `"m.rossi"`, ledger.CodeUnknownName, "."},
		{"a claim in another letter case", "ISS", `"inps"`, ledger.CodeUnknownName, "."},
	} {
		if x.why == "" {
			x.why = x.name + " " + x.value
		}
		switch x.where {
		case "":
			x.where = x.name
		case ".":
			x.where = ""
		}
		refuse(x.why, m.set(m.payload, x.name, x.value), x.code, x.where)
	}
	refuse("iss twice", m.edit(m.payload, `"jti":`, `"iss":"inps","jti":`), ledger.CodeSyntax, "iss")
	refuse("iss twice, once escaped", m.edit(m.payload, `"jti":`, `"\u0069ss":"inps","jti":`), ledger.CodeSyntax, "iss")
	refuse("something after the object", m.payload+"{}", ledger.CodeSyntax, "")
	refuse("a byte order mark", "\ufeff"+m.payload, ledger.CodeSyntax, "")
	refuse("an array", "["+m.payload+"]", ledger.CodeSyntax, "")
}

// names makes receipts that contain a subject's code, and some that don't.
func (m *maker) names() {
	add := func(why, compact string, named bool, subjects ...string) {
		if subjects == nil {
			subjects = []string{"RSSMRA80A01H501U", "80078750587"}
		}
		m.v.Names = append(m.v.Names, namesVector{why, compact, subjects, named})
	}
	with := func(name, value string) string {
		return m.sign("vector-eddsa", m.set(m.payload, name, value))
	}
	add("nobody's", m.compact, false)
	add("another's", with("purpose", `"RSSMRA80A01H50MM"`), false)
	add("broken by a hyphen", with("purpose", `"RSSMRA-80A01H501U"`), false)
	add("cut", with("purpose", `"RSSMRA80A01H501"`), false)
	add("in the purpose", with("purpose", `"su RSSMRA80A01H501U"`), true)
	add("in mixed letter case", with("purpose", `"rssMRA80a01h501u"`), true)
	add("in a longer run", with("purpose", `"XRSSMRA80A01H501U1"`), true)
	add("in the path", with("operation", `{"method":"GET","path":"/v1/RSSMRA80A01H501U"}`), true)
	add("in a category", with("data_categories", `["a","rssmra80a01h501u"]`), true)
	add("digits in a longer run", with("legal_reference", `"9980078750587123"`), true)
	add("digits as the consent", with("consent_id", `"80078750587"`), true)
	add("in the id of a body", with("consumer", `"rssmra80a01h501u"`), true)
	add("escaped", with("purpose", `"\u0052SSMRA80A01H501U"`), true)
	add("escaped throughout", with("purpose", `"`+escaped("rssmra80a01h501u")+`"`), true)
	add("after another escape", with("purpose", `"a\/RSSMRA80A01H501U\ud83d\ude00"`), true)
	add("after a letter beyond ASCII", with("purpose", `"èRSSMRA80A01H501U"`), true)
	add("with the long s", with("purpose", `"RSſMRA80A01H501U"`), true)
	add("with a Kelvin sign", with("purpose", `"`+strings.Replace(kowalska(), "K", "\u212a", 1)+`"`), true, kowalska())
	add("a full-width letter is another letter", with("purpose", `"ＲSSMRA80A01H501U"`), false)

	// In what nobody decodes: the signature's base64url, and the key id.
	parts := strings.Split(m.compact, ".")
	signature := "RSSMRA80A01H501U" + parts[2][16:]
	add("in the signature's characters", parts[0]+"."+parts[1]+"."+signature, true)
	header := `{"alg":"ES256","kid":"rssmra80a01h501u","typ":"traccia-receipt+jwt"}`
	add("as the key id", base64.RawURLEncoding.EncodeToString([]byte(header))+"."+parts[1]+"."+parts[2], true)
}

func escaped(s string) string {
	out := ""
	for _, c := range s {
		out += fmt.Sprintf(`\u%04x`, c)
	}
	return out
}

// kowalska is an invented code with a K.
func kowalska() string {
	for c := 'A'; c <= 'Z'; c++ {
		if s, err := ledger.ParseSubject("KWLNNA80A41Z127" + string(c)); err == nil {
			return string(s)
		}
	}
	panic("no check letter is right")
}

func (m *maker) submissions() {
	s := sampleSubmission(m.compact, m.private)
	data, err := ledger.FormatSubmission(s)
	m.must(err)
	x := submission{Name: "three subjects", Submission: string(data), Private: string(m.private), Root: hex.EncodeToString(m.receipt.Subjects.Root[:])}
	for _, subject := range s.Subjects {
		hash := leafHash(subject)
		x.Leaves = append(x.Leaves, hex.EncodeToString(append(lp(string(subject.Subject)), subject.Salt[:]...)))
		x.LeafHashes = append(x.LeafHashes, hex.EncodeToString(hash[:]))
	}
	m.v.Submissions = append(m.v.Submissions, x)

	text := x.Submission
	one := s.Subjects[0]
	salt := base64.RawURLEncoding.EncodeToString(one.Salt[:])
	entry := func(subject, salt string) string { return `{"subject":"` + subject + `","salt":"` + salt + `"}` }
	first := entry(string(one.Subject), salt)
	subjects := func(list ...string) string { return m.set(text, "subjects", "["+strings.Join(list, ",")+"]") }
	private := base64.RawURLEncoding.EncodeToString(m.private)
	privateSalt := base64.RawURLEncoding.EncodeToString(s.Private.Salt[:])
	with := func(change func(*ledger.Submission)) string {
		s := sampleSubmission(m.compact, m.private)
		change(s)
		data, err := ledger.FormatSubmission(s)
		m.must(err)
		return string(data)
	}
	m.v.SubmissionsRefused = []refusal{
		{"empty", "", ledger.CodeSyntax, ""},
		{"no receipt", m.set(text, "receipt", ""), ledger.CodeMissing, "/receipt"},
		{"an empty receipt", m.set(text, "receipt", `""`), ledger.CodeBadText, "/receipt"},
		{"a receipt that is none", m.set(text, "receipt", `"a.b.c"`), ledger.CodeSyntax, "receipt#header"},
		{"no private part", m.set(text, "private", ""), ledger.CodeMissing, "/private"},
		{"no salt of the private part", m.set(text, "private", `{"content":"`+private+`"}`), ledger.CodeMissing, "/private/salt"},
		{"a short salt of the private part", m.set(text, "private", `{"salt":"AAAA","content":"`+private+`"}`), ledger.CodeBadSalt, "/private/salt"},
		{"padding in the private part", m.set(text, "private", `{"salt":"`+privateSalt+`","content":"e30="}`), ledger.CodeBadBase64, "/private/content"},
		{"spare bits in the private part", m.set(text, "private", `{"salt":"`+privateSalt+`","content":"e31"}`), ledger.CodeBadBase64, "/private/content"},
		{"an empty private part", m.set(text, "private", `{"salt":"`+privateSalt+`","content":""}`), ledger.CodeSyntax, "private"},
		{"no voucher", m.set(text, "voucher", ""), ledger.CodeMissing, "/voucher"},
		{"another voucher", m.set(text, "voucher", `"a.b.c"`), ledger.CodeTokenMismatch, "private#voucher"},
		{"another evidence", m.set(text, "evidence", `"a.b.c"`), ledger.CodeTokenMismatch, "private#evidence"},
		{"evidence only in the private part", m.set(text, "evidence", ""), ledger.CodeTokenMismatch, "private#evidence"},
		{"no subjects", m.set(text, "subjects", ""), ledger.CodeMissing, "/subjects"},
		{"0 subjects", subjects(), ledger.CodeBadCount, "/subjects"},
		{"a wrong check character", subjects(entry("RSSMRA80A01H501X", salt)), ledger.CodeBadSubject, "/subjects/0/subject"},
		{"lower case", subjects(first, entry("rssmra80a01h501u", salt)), ledger.CodeBadSubject, "/subjects/1/subject"},
		{"a space before", subjects(entry(" RSSMRA80A01H501U", salt)), ledger.CodeBadSubject, "/subjects/0/subject"},
		{"no subject", subjects(`{"salt":"` + salt + `"}`), ledger.CodeMissing, "/subjects/0/subject"},
		{"no salt", subjects(`{"subject":"RSSMRA80A01H501U"}`), ledger.CodeMissing, "/subjects/0/salt"},
		{"a short salt", subjects(entry("RSSMRA80A01H501U", salt[1:])), ledger.CodeBadSalt, "/subjects/0/salt"},
		{"a salt with padding", subjects(entry("RSSMRA80A01H501U", salt+"=")), ledger.CodeBadSalt, "/subjects/0/salt"},
		{"a salt in hex", subjects(entry("RSSMRA80A01H501U", hex.EncodeToString(one.Salt[:]))), ledger.CodeBadSalt, "/subjects/0/salt"},
		{"a salt with spare bits", subjects(entry("RSSMRA80A01H501U", salt[:42]+spare(salt[42]))), ledger.CodeBadSalt, "/subjects/0/salt"},
		{"a subject twice", with(func(s *ledger.Submission) { s.Subjects[2].Subject = one.Subject }), ledger.CodeSubjectRepeated, "/subjects/2/subject"},
		{"a salt twice", with(func(s *ledger.Submission) { s.Subjects[2].Salt = one.Salt }), ledger.CodeSaltRepeated, "/subjects/2/salt"},
		{"the private part's salt again", with(func(s *ledger.Submission) { s.Subjects[1].Salt = s.Private.Salt }), ledger.CodeSaltRepeated, "/subjects/1/salt"},
		{"a salt changed", with(func(s *ledger.Submission) { s.Subjects[1].Salt[0] ^= 1 }), ledger.CodeRootMismatch, "receipt#subjects/root"},
		{"another subject", with(func(s *ledger.Submission) { s.Subjects[0].Subject = "RSSMRA80A01H5LMX" }), ledger.CodeRootMismatch, "receipt#subjects/root"},
		{"another order", with(func(s *ledger.Submission) { slices.Reverse(s.Subjects) }), ledger.CodeRootMismatch, "receipt#subjects/root"},
		{"a subject less", with(func(s *ledger.Submission) { s.Subjects = s.Subjects[:2] }), ledger.CodeCountMismatch, "receipt#subjects/count"},
		{"the private part's salt changed", with(func(s *ledger.Submission) { s.Private.Salt[31] ^= 1 }), ledger.CodeDigestMismatch, "receipt#private_digest"},
		{"a space more in the private part", with(func(s *ledger.Submission) { s.Private.Content = append(slices.Clone(m.private), ' ') }), ledger.CodeDigestMismatch, "receipt#private_digest"},
		{"a subject named in the receipt", with(func(s *ledger.Submission) {
			s.Receipt = m.sign("vector-eddsa", m.set(m.payload, "purpose", `"su rssmra80a01h501u"`))
		}), ledger.CodeNamesSubject, "receipt"},
		{"an unknown name", m.set(text, "subject", "1"), ledger.CodeUnknownName, ""},
	}
}

func (m *maker) bodies() {
	s := sampleSubmission(m.compact, m.private)
	tree, err := ledger.NewSubjectTree(s.Subjects)
	m.must(err)
	root := tree.Root()
	for i, subject := range s.Subjects {
		body, err := ledger.FormatBody(sampleBody(m.compact, subject, i, tree.Proof(i)))
		m.must(err)
		nonce := fixed(fmt.Sprintf("nonce/%d", i))
		commitment, leaf := ledger.BodyCommitment(&nonce, body), leafHash(subject)
		proof := []string{}
		for _, h := range tree.Proof(i) {
			proof = append(proof, hex.EncodeToString(h[:]))
		}
		m.v.Bodies = append(m.v.Bodies, bodyVector{string(body), hex.EncodeToString(nonce[:]), hex.EncodeToString(commitment[:]),
			hex.EncodeToString(leaf[:]), proof, tree.Len(), hex.EncodeToString(root[:])})
	}
	m.bodiesRefused(m.v.Bodies[0].Body)
}

func sampleBody(receipt string, subject ledger.SaltedSubject, position int, proof []ledger.Hash) *ledger.Body {
	b := &ledger.Body{
		Origin: "registro.example/2026", Kind: ledger.KindAccess, Scope: "inps", Agency: "c_a944", RecordedAt: 1795339800123,
		Receipt: receipt, Decision: json.RawMessage(`{"effect":"recorded"}`),
		Subject: ledger.BodySubject{Code: subject.Subject, Salt: subject.Salt, Position: position, Proof: proof},
		Assurance: ledger.Assurance{
			Profile: ledger.ProfileAudit02, LoA: 2, Late: position == 1, Flags: []string{ledger.FlagDnonceText},
			Voucher:  ledger.VoucherCheck{Alg: "RS256", Kid: "qZndzptl4WAcICj04AHB4nhumBSeHFLaQP4IAHX6rqU", Issuer: "interop.pagopa.it"},
			Evidence: &ledger.EvidenceCheck{Alg: "RS256", Kid: `k"1\2`},
		},
	}
	if position == 2 {
		b.Assurance.Profile, b.Assurance.Evidence, b.Assurance.LoA, b.Assurance.Flags = ledger.ProfileVoucher, nil, 0, nil
	}
	return b
}
