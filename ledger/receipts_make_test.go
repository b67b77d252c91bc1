// SPDX-License-Identifier: EUPL-1.2

package ledger_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// fixed is a value that anyone can make again.
func fixed(x string) ledger.Hash {
	return sha256.Sum256([]byte("vector/" + x))
}

// deterministic makes an ECDSA key sign as RFC 6979 says, so that the vectors
// come out the same.
type deterministic struct{ *ecdsa.PrivateKey }

func (k deterministic) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.PrivateKey.Sign(nil, digest, opts)
}

func signer(t testing.TB, k keyVector) crypto.Signer {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(k.PKCS8)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	if key, ok := key.(*ecdsa.PrivateKey); ok {
		return deterministic{key}
	}
	return key.(crypto.Signer)
}

// lp is LP(x).
func lp(x string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(x))), x...)
}

const evidenceText = "eyJhbGciOiJSUzI1NiJ9.eyJqdGkiOiJlIn0.ZXZpZGVuY2U"

func samplePrivate() *ledger.Private {
	return &ledger.Private{
		Voucher:         "eyJhbGciOiJSUzI1NiJ9.eyJqdGkiOiJ2In0.dm91Y2hlcg",
		Evidence:        evidenceText,
		Integrity:       "eyJhbGciOiJSUzI1NiJ9.eyJqdGkiOiJpIn0.aW50ZWdyaXR5",
		IdentityHeaders: map[string]string{"INPS-Identity-UserId": "m.rossi", "INPS-Identity-CodiceUfficio": "0042"},
		Operator:        &ledger.Operator{ID: "m.rossi", Office: "Servizi sociali"},
		Case:            "2026/00123",
		RequestDigest:   hex.EncodeToString(fixedBytes("request")),
		ResponseDigest:  hex.EncodeToString(fixedBytes("response")),
	}
}

func fixedBytes(x string) []byte {
	h := fixed(x)
	return h[:]
}

func sampleSubjects() []ledger.SaltedSubject {
	return []ledger.SaltedSubject{
		{Subject: "RSSMRA80A01H501U", Salt: fixed("salt/0")},
		{Subject: "RSSMRA80A01H50MM", Salt: fixed("salt/1")},
		{Subject: "80078750587", Salt: fixed("salt/2")},
	}
}

// sampleReceipt belongs to these subjects and this private part.
func sampleReceipt(t testing.TB, subjects []ledger.SaltedSubject, private []byte) *ledger.Receipt {
	t.Helper()
	tree, err := ledger.NewSubjectTree(subjects)
	if err != nil {
		t.Fatal(err)
	}
	salt := fixed("salt/private")
	return &ledger.Receipt{
		Aud: "registro.example", Iss: "inps", JTI: "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11", IssuedAt: 1795339800,
		Role: ledger.RoleProvider, Provider: "inps", Consumer: "c_a944",
		EService: "843ac013-941a-4afe-8243-e668142e73e6", PurposeID: "9d1f2a34-7a0b-4c77-8f2e-1f6b1f0c2d3e",
		Purpose: "Verifica dell'ISEE per una prestazione sociale", LegalBasis: "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e",
		LegalReference: "D.P.C.M. 159/2013, art. 11", DataCategories: []string{"https://w3id.org/dpv/pd#Income", "https://w3id.org/dpv/pd#Household"},
		Actor: ledger.ActorOperator, Operation: ledger.Operation{Method: "POST", Path: "/isee/v1/attestazioni"},
		OccurredAt: "2026-11-22T09:30:00Z",
		Pair: ledger.Pair("9b2f1f0e-55c4-4c1e-8f6f-7c9d3f0a1b22", hex.EncodeToString(fixedBytes("evidence")),
			hex.EncodeToString(fixedBytes("request"))),
		PrivateDigest: ledger.PrivateDigest(&salt, private),
		Subjects:      ledger.SubjectCommitment{Count: len(subjects), Root: tree.Root()},
	}
}

func sampleSubmission(receipt string, private []byte) *ledger.Submission {
	v := samplePrivate()
	return &ledger.Submission{
		Receipt: receipt, Private: ledger.SaltedPrivate{Salt: fixed("salt/private"), Content: private},
		Voucher: v.Voucher, Evidence: v.Evidence, Subjects: sampleSubjects(),
	}
}

// maker collects the vectors.
type maker struct {
	t    testing.TB
	keys map[string]crypto.Signer
	v    *receiptVectors
	// one sample, from which the others are made by changes
	private []byte
	receipt *ledger.Receipt
	payload string
	compact string
}

func makeReceiptVectors(t testing.TB, keys []keyVector) *receiptVectors {
	m := &maker{t: t, keys: make(map[string]crypto.Signer), v: &receiptVectors{
		Note: "hashes, salts and what is hashed in hex; fixed(x) is the SHA-256 of the ASCII text vector/x; the keys are throw-away keys, " +
			"made for tests only; a text in payloads_refused is the payload of a receipt that is otherwise right; " +
			"code and where are the problem's; everything here is CC0 1.0",
		Keys: keys,
	}}
	for i, k := range keys {
		m.keys[k.Kid] = signer(t, k)
		public, err := jws.NewKey(k.Kid, m.keys[k.Kid].Public())
		m.must(err)
		m.v.Keys[i].JWK, err = jws.FormatKey(public)
		m.must(err)
	}
	var err error
	m.private, err = ledger.FormatPrivate(samplePrivate())
	m.must(err)
	m.receipt = sampleReceipt(t, sampleSubjects(), m.private)
	payload, err := ledger.FormatReceipt(m.receipt)
	m.must(err)
	m.payload = string(payload)
	m.compact = m.sign("vector-es256", m.payload)

	m.pairs()
	m.privates()
	m.receipts()
	m.payloads()
	m.names()
	m.submissions()
	m.bodies()
	m.answers()
	m.statements()
	m.breakGlass()
	m.deferrals()
	return m.v
}

func (m *maker) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *maker) sign(kid, payload string) string {
	m.t.Helper()
	compact, err := jws.Sign(ledger.ReceiptType, []byte(payload), kid, m.keys[kid])
	m.must(err)
	return compact
}

// edit replaces the one place where old stands.
func (m *maker) edit(text, old, new string) string {
	m.t.Helper()
	if strings.Count(text, old) != 1 {
		m.t.Fatalf("%q stands %d times in %s", old, strings.Count(text, old), text)
	}
	return strings.Replace(text, old, new, 1)
}

// set gives a member of an object another value, none if it is "".
func (m *maker) set(text, name, value string) string {
	m.t.Helper()
	var members map[string]json.RawMessage
	m.must(json.Unmarshal([]byte(text), &members))
	members[name] = json.RawMessage(value)
	if value == "" {
		delete(members, name)
	}
	out, err := json.Marshal(members)
	m.must(err)
	return string(out)
}

func (m *maker) pairs() {
	evidence, request := hex.EncodeToString(fixedBytes("evidence")), hex.EncodeToString(fixedBytes("request"))
	for _, x := range [][2]string{{"", ""}, {evidence, ""}, {"", request}, {evidence, request}} {
		const jti = "9b2f1f0e-55c4-4c1e-8f6f-7c9d3f0a1b22"
		hashed := []byte("traccia/v1/pair\x00")
		hashed = append(append(append(hashed, lp(jti)...), lp(x[0])...), lp(x[1])...)
		pair := ledger.Pair(jti, x[0], x[1])
		m.v.Pairs = append(m.v.Pairs, pairVector{jti, x[0], x[1], hex.EncodeToString(hashed), hex.EncodeToString(pair[:])})
	}
}

func (m *maker) privates() {
	salt := fixed("salt/private")
	for _, content := range []string{
		string(m.private),
		`{"voucher":"a.b.c"}`,
		" {\n\t\"operator\" : { \"id\" : \"service:isee-notturno\" }, \"voucher\" : \"a.b.c\", \"case\":\"\\u00e0/\\\"1\\\"\" }\n",
	} {
		hashed := append(append([]byte("traccia/v1/private\x00"), salt[:]...), content...)
		digest := ledger.PrivateDigest(&salt, []byte(content))
		m.v.Private = append(m.v.Private, privateVector{content, hex.EncodeToString(salt[:]), hex.EncodeToString(hashed), hex.EncodeToString(digest[:])})
	}
	p := string(m.private)
	long := strings.Repeat("x", 201)
	m.v.PrivateRefused = []refusal{
		{"empty", "", ledger.CodeSyntax, "private"},
		{"an array", "[]", ledger.CodeSyntax, "private"},
		{"a voucher with a space", m.set(p, "voucher", `"a b"`), ledger.CodeBadText, "private#voucher"},
		{"a voucher too long", m.set(p, "voucher", `"`+strings.Repeat("x", ledger.MaxToken+1)+`"`), ledger.CodeTooLong, "private#voucher"},
		{"evidence null", m.set(p, "evidence", "null"), ledger.CodeSyntax, "private#evidence"},
		{"evidence that is no token", m.set(p, "evidence", `"è"`), ledger.CodeBadText, "private#evidence"},
		{"integrity that is no token", m.set(p, "integrity", `"="`), ledger.CodeBadText, "private#integrity"},
		{"unknown name", m.set(p, "Voucher", `"a.b.c"`), ledger.CodeUnknownName, "private"},
		{"a name twice", m.edit(p, `"case":`, `"case":"1","case":`), ledger.CodeSyntax, "private#case"},
		{"headers no object", m.set(p, "identity_headers", "[]"), ledger.CodeSyntax, "private#identity_headers"},
		{"a header of no text", m.set(p, "identity_headers", `{"A":1}`), ledger.CodeSyntax, "private#identity_headers"},
		{"a header without name", m.set(p, "identity_headers", `{"":"a"}`), ledger.CodeTooLong, "private#identity_headers"},
		{"a header name with a colon", m.set(p, "identity_headers", `{"A:":"a"}`), ledger.CodeBadValue, "private#identity_headers"},
		{"a header with a line break", m.set(p, "identity_headers", `{"A":"a\r\nB: c"}`), ledger.CodeBadText, "private#identity_headers"},
		{"operator a text", m.set(p, "operator", `"m.rossi"`), ledger.CodeSyntax, "private#operator"},
		{"operator without id", m.set(p, "operator", `{"office":"1"}`), ledger.CodeMissing, "private#operator/id"},
		{"operator's id empty", m.set(p, "operator", `{"id":""}`), ledger.CodeBadText, "private#operator/id"},
		{"office too long", m.set(p, "operator", `{"id":"1","office":"`+long+`"}`), ledger.CodeTooLong, "private#operator/office"},
		{"case too long", m.set(p, "case", `"`+long+`"`), ledger.CodeTooLong, "private#case"},
		{"upper-case digest", m.set(p, "request_digest", `"`+strings.Repeat("A", 64)+`"`), ledger.CodeBadHash, "private#request_digest"},
		{"short digest", m.set(p, "response_digest", `"00"`), ledger.CodeBadHash, "private#response_digest"},
	}
}

func (m *maker) receipts() {
	minimal := *m.receipt
	minimal.LegalReference, minimal.Role, minimal.Iss, minimal.Actor = "", ledger.RoleConsumer, "c_a944", ledger.ActorService
	consent := *m.receipt
	consent.ConsentID, consent.OccurredAt, consent.Purpose = "c_a944/0b9c1f6e-3a52-4b0f-8f0e-6a6a5c1d2e3f", "2026-11-22T09:30:00.123456789Z", `Città di «Forlì» "a\b" <&>`
	text := func(r *ledger.Receipt) string {
		payload, err := ledger.FormatReceipt(r)
		m.must(err)
		return string(payload)
	}
	for _, x := range []struct{ name, kid, payload string }{
		{"ES256", "vector-es256", m.payload},
		{"EdDSA, consumer, without optional claims", "vector-eddsa", text(&minimal)},
		{"RS256, with consent and a time with decimals", "vector-rs256", text(&consent)},
		{"claims in another order, with white space", "vector-eddsa", "\n" + strings.Replace(m.set(m.payload, "purpose", `"\u0049SEE"`), ",", " ,\t", 3) + " "},
	} {
		m.addReceipt(x.name, x.kid, x.payload)
	}
	m.receiptsRefused()
}

func (m *maker) receiptsRefused() {
	parts := strings.Split(m.compact, ".")
	encode := base64.RawURLEncoding.EncodeToString
	header := func(h string) string { return encode([]byte(h)) + "." + parts[1] + "." + parts[2] }
	m.v.ReceiptsRefused = []refusal{
		{"empty", "", ledger.CodeSyntax, "receipt"},
		{"two parts", parts[0] + "." + parts[1], ledger.CodeSyntax, "receipt"},
		{"four parts", m.compact + ".", ledger.CodeSyntax, "receipt"},
		{"no signature", parts[0] + "." + parts[1] + ".", ledger.CodeMissing, "receipt#signature"},
		{"a short signature", m.compact[:len(m.compact)-4], ledger.CodeSyntax, "receipt#signature"},
		{"padding", m.compact + "==", ledger.CodeSyntax, "receipt#signature"},
		{"a line break", m.compact + "\n", ledger.CodeSyntax, "receipt"},
		{"spare bits", m.compact[:len(m.compact)-1] + spare(m.compact[len(m.compact)-1]), ledger.CodeSyntax, "receipt#signature"},
		{"alg none", header(`{"alg":"none","kid":"vector-es256","typ":"traccia-receipt+jwt"}`), ledger.CodeAlgorithm, "receipt#alg"},
		{"alg HS256", header(`{"alg":"HS256","kid":"vector-es256","typ":"traccia-receipt+jwt"}`), ledger.CodeAlgorithm, "receipt#alg"},
		{"no kid", header(`{"alg":"ES256","typ":"traccia-receipt+jwt"}`), ledger.CodeMissing, "receipt#kid"},
		{"an empty kid", header(`{"alg":"ES256","kid":"","typ":"traccia-receipt+jwt"}`), ledger.CodeSyntax, "receipt#kid"},
		{"another typ", header(`{"alg":"ES256","kid":"vector-es256","typ":"at+jwt"}`), ledger.CodeBadValue, "receipt#typ"},
		{"a fourth header parameter", header(`{"alg":"ES256","kid":"vector-es256","typ":"traccia-receipt+jwt","crit":[]}`), ledger.CodeUnknownName, "receipt#header"},
		{"too long", m.compact + strings.Repeat("A", ledger.MaxReceipt), ledger.CodeTooLong, "receipt"},
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	m.must(err)
	signature[10] ^= 1
	other := m.set(m.payload, "provider", `"inail"`)
	m.v.SignaturesRefused = []signatureVector{
		{"a bit of the signature changed", parts[0] + "." + parts[1] + "." + encode(signature), "vector-es256"},
		{"another payload", parts[0] + "." + encode([]byte(other)) + "." + parts[2], "vector-es256"},
		{"another kid in the header", header(`{"alg":"ES256","kid":"vector-eddsa","typ":"traccia-receipt+jwt"}`), "vector-es256"},
		{"the alg of another key", header(`{"alg":"EdDSA","kid":"vector-es256","typ":"traccia-receipt+jwt"}`), "vector-es256"},
		{"another key", m.compact, "vector-eddsa"},
	}
}

// spare is the same character with a spare bit set.
func spare(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)|1])
}
