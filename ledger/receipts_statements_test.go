// SPDX-License-Identifier: EUPL-1.2

package ledger_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// deferralVector is an order that puts off a notice.
type deferralVector struct {
	Header    string `json:"header"`
	Payload   string `json:"payload"`
	Signature string `json:"signature"` // hex
	Compact   string `json:"compact"`
	Digest    string `json:"digest"` // what a receipt says of it
}

const statedReceipt = `{"kind":"recorded-in-error","receipt":"inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11","text":"Registrato due volte"}`

// stating is the sample's payload as a statement, and of no call.
func (m *maker) stating(statement string) string {
	text := m.set(m.payload, "statement", statement)
	text = m.set(text, "jti", `"5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a12"`)
	for _, name := range []string{"eservice", "purpose_id", "pair"} {
		text = m.set(text, name, "")
	}
	return text
}

func (m *maker) statements() {
	correction := m.stating(statedReceipt)
	dispute := m.stating(strings.Replace(statedReceipt, "recorded-in-error", "not-asked", 1))
	dispute = m.set(m.set(dispute, "iss", `"c_a944"`), "role", `"consumer"`)
	m.addReceipt("a correction", "vector-es256", correction)
	m.addReceipt("a dispute", "vector-eddsa", dispute)
	request := m.set(m.set(m.set(m.stating(""), "role", `"requester"`), "provider", `"c_a944"`), "iss", `"c_a944"`)
	m.addReceipt("a citizen's request", "vector-eddsa", m.set(request, "operation", `{"method":"DELETE","path":"/months/2026-11"}`))

	for _, x := range []struct{ why, text, name, value, code, where string }{
		{"another kind of statement", correction, "statement", `{"kind":"late","receipt":"inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11"}`, ledger.CodeBadValue, "statement/kind"},
		{"a statement about nothing", correction, "statement", `{"kind":"recorded-in-error"}`, ledger.CodeMissing, "statement/receipt"},
		{"a statement about a jti alone", correction, "statement", `{"kind":"recorded-in-error","receipt":"5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11"}`, ledger.CodeBadValue, "statement/receipt"},
		{"a statement about itself", correction, "jti", `"5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11"`, ledger.CodeBadValue, "statement/receipt"},
		{"a statement with an unknown name", correction, "statement", `{"kind":"recorded-in-error","receipt":"inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11","month":"2026-11"}`, ledger.CodeUnknownName, "statement"},
		{"a statement too long", correction, "statement", strings.Replace(statedReceipt, "due volte", strings.Repeat("x", 200), 1), ledger.CodeTooLong, "statement/text"},
		{"a statement with a control character", correction, "statement", strings.Replace(statedReceipt, "due volte", `\u0007`, 1), ledger.CodeBadText, "statement/text"},
		{"a statement null", correction, "statement", "null", ledger.CodeSyntax, "statement"},
		{"a statement of a call", correction, "eservice", `"843ac013-941a-4afe-8243-e668142e73e6"`, ledger.CodeBadValue, "role"},
		{"a statement with a pair", correction, "pair", `"` + strings.Repeat("1", 64) + `"`, ledger.CodeBadValue, "role"},
		{"a statement with a consent", correction, "consent_id", `"c"`, ledger.CodeBadValue, "consent_id"},
		{"a statement with an order", correction, "deferral", `"` + strings.Repeat("1", 64) + `"`, ledger.CodeBadValue, "deferral"},
		{"a correction by another", correction, "iss", `"inail"`, ledger.CodeBadValue, "iss"},
		{"a correction by a requester", correction, "role", `"requester"`, ledger.CodeBadValue, "role"},
		{"a dispute by the provider's side", dispute, "role", `"provider"`, ledger.CodeBadValue, "role"},
		{"a dispute by another than the consumer", dispute, "iss", `"inail"`, ledger.CodeBadValue, "iss"},
		{"an order in a consumer's receipt", m.set(m.payload, "role", `"consumer"`), "deferral", `"` + strings.Repeat("1", 64) + `"`, ledger.CodeBadValue, "role"},
		{"an order that is no digest", m.payload, "deferral", `"1"`, ledger.CodeSyntax, "deferral"},
	} {
		m.v.PayloadsRefused = append(m.v.PayloadsRefused, refusal{x.why, m.set(x.text, x.name, x.value), x.code, "receipt#" + x.where})
	}
	m.stated(correction)
}

// stated makes a submission without a call.
func (m *maker) stated(payload string) {
	s := sampleSubmission("", []byte(`{"operator":{"id":"m.rossi"}}`))
	s.Voucher, s.Evidence = "", ""
	digest := ledger.PrivateDigest(&s.Private.Salt, s.Private.Content)
	s.Receipt = m.sign("vector-es256", m.set(payload, "private_digest", fmt.Sprintf("%q", hex.EncodeToString(digest[:]))))
	text := func(s ledger.Submission) string {
		data, err := ledger.FormatSubmission(&s)
		m.must(err)
		return string(data)
	}
	first := m.v.Submissions[0]
	m.v.Submissions = append(m.v.Submissions, submission{"a statement, without voucher", text(*s), string(s.Private.Content), first.Leaves, first.LeafHashes, first.Root})
	withVoucher := *s
	withVoucher.Voucher = "a.b.c"
	m.v.SubmissionsRefused = append(m.v.SubmissionsRefused, refusal{"a voucher beside a statement", text(withVoucher), ledger.CodeBadValue, "/voucher"})
}

func (m *maker) addReceipt(name, kid, payload string) {
	compact := m.sign(kid, payload)
	parts := strings.Split(compact, ".")
	digest := sha256.Sum256([]byte(payload))
	r, err := ledger.ParseReceipt(compact)
	m.must(err)
	m.v.Receipts = append(m.v.Receipts, receiptVector{name, string(m.decode(parts[0])), payload, hex.EncodeToString(m.decode(parts[2])), compact,
		hex.EncodeToString(digest[:]), r.ReceiptID()})
}

func (m *maker) decode(part string) []byte {
	m.t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(part)
	m.must(err)
	return data
}

func sampleDeferral() *ledger.Deferral {
	return &ledger.Deferral{
		Aud: "registro.example", Iss: "procura_bo", JTI: "0b5f3c52-6f0d-4a39-9d0c-0a4c4a3f3f10",
		Reference: "art. 329 c.p.p., decreto 17/2026", Until: "2027-06-30T00:00:00Z",
	}
}

func (m *maker) deferrals() {
	compact, err := ledger.SignDeferral(sampleDeferral(), "vector-es256", m.keys["vector-es256"])
	m.must(err)
	parts := strings.Split(compact, ".")
	payload := string(m.decode(parts[1]))
	digest := ledger.DeferralDigest(compact)
	m.v.Deferrals = []deferralVector{{string(m.decode(parts[0])), payload, hex.EncodeToString(m.decode(parts[2])), compact, hex.EncodeToString(digest[:])}}
	for _, x := range []struct{ why, name, value, code, where string }{
		{"no ledger", "aud", `""`, ledger.CodeBadName, "aud"},
		{"no body", "iss", `"Procura"`, ledger.CodeBadID, "iss"},
		{"no jti", "jti", "", ledger.CodeMissing, "jti"},
		{"a jti that is no uuid", "jti", `"17"`, ledger.CodeBadUUID, "jti"},
		{"no reference", "reference", `""`, ledger.CodeBadText, "reference"},
		{"a reference too long", "reference", `"` + strings.Repeat("à", 201) + `"`, ledger.CodeTooLong, "reference"},
		{"a date without time", "until", `"2027-06-30"`, ledger.CodeBadTime, "until"},
		{"another zone", "until", `"2027-06-30T00:00:00+01:00"`, ledger.CodeBadTime, "until"},
		{"for ever", "until", `null`, ledger.CodeSyntax, "until"},
		{"an unknown name", "subject", `"RSSMRA80A01H501U"`, ledger.CodeUnknownName, ""},
	} {
		token, err := jws.Sign(ledger.DeferralType, []byte(m.set(payload, x.name, x.value)), "vector-es256", m.keys["vector-es256"])
		m.must(err)
		m.v.DeferralsRefused = append(m.v.DeferralsRefused, refusal{x.why, token, x.code, strings.TrimSuffix("deferral#"+x.where, "#")})
	}
	m.v.DeferralsRefused = append(m.v.DeferralsRefused,
		refusal{"a receipt", m.compact, ledger.CodeBadValue, "deferral#typ"},
		refusal{"nothing", "", ledger.CodeSyntax, "deferral"},
		refusal{"too long", compact + strings.Repeat("A", ledger.MaxDeferral), ledger.CodeTooLong, "deferral"},
	)
	m.deferred(compact)
}

// deferred makes a submission and a body with an order.
func (m *maker) deferred(compact string) {
	s := sampleSubmission("", m.private)
	s.Deferral = compact
	digest := ledger.DeferralDigest(compact)
	claim := func(order ledger.Hash) string {
		return m.sign("vector-es256", m.set(m.payload, "deferral", fmt.Sprintf("%q", hex.EncodeToString(order[:]))))
	}
	s.Receipt = claim(digest)
	text := func(change func(*ledger.Submission)) string {
		copied := *s
		change(&copied)
		data, err := ledger.FormatSubmission(&copied)
		m.must(err)
		return string(data)
	}
	first := m.v.Submissions[0]
	m.v.Submissions = append(m.v.Submissions, submission{"an access whose notice is deferred", text(func(*ledger.Submission) {}), string(m.private), first.Leaves, first.LeafHashes, first.Root})
	named := sampleDeferral()
	named.Reference = "decreto 17/2026 su rssmra80a01h501u"
	naming, err := ledger.SignDeferral(named, "vector-es256", m.keys["vector-es256"])
	m.must(err)
	m.v.SubmissionsRefused = append(m.v.SubmissionsRefused,
		refusal{"an order left out", text(func(s *ledger.Submission) { s.Deferral = "" }), ledger.CodeMissing, "/deferral"},
		refusal{"an order that the receipt doesn't name", text(func(s *ledger.Submission) { s.Receipt = m.compact }), ledger.CodeDigestMismatch, "receipt#deferral"},
		refusal{"another order", text(func(s *ledger.Submission) { s.Receipt = claim(fixed("order")) }), ledger.CodeDigestMismatch, "receipt#deferral"},
		refusal{"an order that is none", text(func(s *ledger.Submission) { s.Deferral = "a.b.c" }), ledger.CodeSyntax, "deferral#header"},
		refusal{"an order that names a subject", text(func(s *ledger.Submission) {
			s.Deferral, s.Receipt = naming, claim(ledger.DeferralDigest(naming))
		}), ledger.CodeNamesSubject, "deferral"},
	)

	one := s.Subjects[:1]
	tree, err := ledger.NewSubjectTree(one)
	m.must(err)
	b := sampleBody(s.Receipt, one[0], 0, nil)
	b.Scope, b.Deferral = ledger.ScopeDeferred, compact
	body, err := ledger.FormatBody(b)
	m.must(err)
	nonce, root, leaf := fixed("nonce/deferred"), tree.Root(), leafHash(one[0])
	commitment := ledger.BodyCommitment(&nonce, body)
	m.v.Bodies = append(m.v.Bodies, bodyVector{string(body), hex.EncodeToString(nonce[:]), hex.EncodeToString(commitment[:]), hex.EncodeToString(leaf[:]), []string{}, 1, hex.EncodeToString(root[:])})
	order := `"deferral":"` + compact + `"`
	m.v.BodiesRefused = append(m.v.BodiesRefused, []refusal{
		{"an empty order", m.edit(string(body), order, `"deferral":""`), ledger.CodeSyntax, "body"},
		{"an order that is no token", m.edit(string(body), order, `"deferral":"a b"`), ledger.CodeBadText, "body#deferral"},
		{"an order too long", m.edit(string(body), order, `"deferral":"`+strings.Repeat("A", ledger.MaxDeferral+1)+`"`), ledger.CodeTooLong, "body#deferral"},
		{"an order in another place", m.edit(m.edit(string(body), ","+order, ""), `"scope":`, order+`,"scope":`), ledger.CodeSyntax, "body"},
	}...)
}

func TestDeferralVectors(t *testing.T) {
	v := readReceiptVectors(t)
	for _, x := range v.Deferrals {
		d, err := ledger.ParseDeferral(x.Compact)
		if err != nil {
			t.Fatal(err)
		}
		if digest := ledger.DeferralDigest(x.Compact); string(d.JWS.Payload) != x.Payload || hex.EncodeToString(digest[:]) != x.Digest || d.Ends().Year() != 2027 {
			t.Errorf("%+v, digest %x", d.Deferral, digest)
		}
	}
	for _, x := range v.DeferralsRefused {
		_, err := ledger.ParseDeferral(x.Text)
		x.check(t, err)
	}
	if limit := ledger.DeferralLimit(2026).Format("2006-01-02T15:04:05Z07:00"); limit != "2029-01-01T00:00:00Z" {
		t.Errorf("orders of 2026 end by %s", limit)
	}
}

func FuzzParseDeferral(f *testing.F) {
	v := readReceiptVectors(f)
	for _, x := range v.Deferrals {
		f.Add(x.Compact)
	}
	for _, x := range v.DeferralsRefused {
		f.Add(x.Text)
	}
	f.Fuzz(func(t *testing.T, compact string) {
		d, err := ledger.ParseDeferral(compact)
		if err != nil {
			refusedWell(t, err, compact)
			return
		}
		parts := strings.Split(d.Compact, ".")
		if encode := base64.RawURLEncoding.EncodeToString; d.Compact != compact || encode(d.JWS.Payload) != parts[1] {
			t.Errorf("%q kept as %q", compact, d.Compact)
		}
	})
}

func TestStates(t *testing.T) {
	about := func(change func(*ledger.Receipt)) *ledger.Receipt {
		r := &ledger.Receipt{Aud: "registro.example", Iss: "inps", JTI: "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11", Role: ledger.RoleProvider, Provider: "inps", Consumer: "c_a944"}
		change(r)
		return r
	}
	none := func(*ledger.Receipt) {}
	if got, want := ledger.UndeliveredJTI(about(none).ReceiptID()), "b14d7ea8-7872-807c-ae3d-75230de0e3f2"; got != want {
		t.Errorf("a gateway's own statement is %s, want %s", got, want)
	}
	own := about(func(r *ledger.Receipt) {
		r.Statement = &ledger.Statement{Kind: ledger.StatementError, Receipt: r.ReceiptID()}
	})
	others := about(func(r *ledger.Receipt) {
		r.Statement = &ledger.Statement{Kind: ledger.StatementNotAsked, Receipt: r.ReceiptID()}
		r.Iss, r.Role = "c_a944", ledger.RoleConsumer
	})
	for _, s := range []*ledger.Receipt{own, others} {
		if err := s.States(about(none)); err != nil {
			t.Errorf("%s: %v", s.Statement.Kind, err)
		}
	}
	for name, x := range map[string]struct {
		s      *ledger.Receipt
		where  string
		change func(*ledger.Receipt)
	}{
		"another receipt":                   {own, "statement/receipt", func(r *ledger.Receipt) { r.JTI = "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a10" }},
		"another ledger":                    {own, "aud", func(r *ledger.Receipt) { r.Aud = "altro.example" }},
		"another provider":                  {others, "provider", func(r *ledger.Receipt) { r.Provider = "inail" }},
		"another consumer":                  {others, "consumer", func(r *ledger.Receipt) { r.Consumer = "c_h501" }},
		"another role":                      {own, "role", func(r *ledger.Receipt) { r.Role = ledger.RoleConsumer }},
		"a dispute of what a consumer said": {others, "statement/receipt", func(r *ledger.Receipt) { r.Role = ledger.RoleConsumer }},
		"a statement about a statement":     {own, "statement/receipt", func(r *ledger.Receipt) { r.Statement = own.Statement }},
		"a dispute of who looked into it":   {others, "statement/receipt", func(r *ledger.Receipt) { r.Role = ledger.RoleRequester }},
	} {
		var p *ledger.Problem
		if err := x.s.States(about(x.change)); !errors.As(err, &p) || p.Code != ledger.CodeNotParty || p.Where != "receipt#"+x.where {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKinds(t *testing.T) {
	for _, name := range []string{ledger.KindAccess, ledger.KindDenied, ledger.KindCorrection, ledger.KindDispute, ledger.KindConsentGiven,
		ledger.KindConsentWithdrawn, ledger.KindRequest, ledger.KindLookUp} {
		if k, ok := ledger.KindOf(name); !ok || k.Name != name || k.Class == "" {
			t.Errorf("%s: %+v", name, k)
		}
	}
	if _, ok := ledger.KindOf("other"); ok {
		t.Error("a kind that there isn't")
	}
	for _, s := range []string{ledger.StatementError, ledger.StatementUndelivered, ledger.StatementNotAsked} {
		if k := (&ledger.Statement{Kind: s}).StatedKind(); k.Statement != s || k.Accesses() {
			t.Errorf("%s: %+v", s, k)
		}
	}
	if k := (&ledger.Statement{}).StatedKind(); !reflect.DeepEqual(k, ledger.Kind{}) {
		t.Errorf("a statement of nothing: %+v", k)
	}
}
