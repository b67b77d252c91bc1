// SPDX-License-Identifier: EUPL-1.2

package ledger_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
)

// bodiesRefused makes the bodies that are refused, each by one change of b.
func (m *maker) bodiesRefused(b string) {
	var members map[string]json.RawMessage
	m.must(json.Unmarshal([]byte(b), &members))
	zeros := strings.Repeat("A", 43)
	for _, x := range []struct{ why, old, new, code, where string }{
		{"white space", `{"origin":`, `{ "origin":`, ledger.CodeSyntax, ""},
		{"another order", `"scope":"inps","agency":"c_a944"`, `"agency":"c_a944","scope":"inps"`, ledger.CodeSyntax, ""},
		{"an escape too many", `"kind":"access"`, `"kind":"\u0061ccess"`, ledger.CodeSyntax, ""},
		{"a slash escaped", `"registro.example/2026"`, `"registro.example\/2026"`, ledger.CodeSyntax, ""},
		{"a quote escaped by number", `k\"1`, `k\u00221`, ledger.CodeSyntax, ""},
		{"loa 0 written out", `"loa":2`, `"loa":0`, ledger.CodeSyntax, ""},
		{"no origin", `"origin":"registro.example/2026",`, ``, ledger.CodeMissing, "origin"},
		{"an origin without epoch", `"registro.example/2026"`, `"registro.example"`, ledger.CodeBadName, "origin"},
		{"an origin with a leading zero", `"registro.example/2026"`, `"registro.example/02026"`, ledger.CodeBadName, "origin"},
		{"another kind", `"kind":"access"`, `"kind":"Access"`, ledger.CodeBadValue, "kind"},
		{"a kind twice", `"kind":"access"`, `"kind":"access","kind":"access"`, ledger.CodeSyntax, "kind"},
		{"an unknown name", `"kind":"access"`, `"kind":"access","operator":"m.rossi"`, ledger.CodeUnknownName, ""},
		{"a wrong check character", `RSSMRA80A01H501U`, `RSSMRA80A01H501V`, ledger.CodeBadSubject, "subject/code"},
		{"a short salt", `"salt":"`, `"salt":"` + zeros + `","x":"`, ledger.CodeUnknownName, "subject"},
		{"no salt", `"salt":` + string(m.member(members["subject"], "salt")), `"salt":""`, ledger.CodeBadSalt, "subject/salt"},
		{"a negative position", `"position":0`, `"position":-1`, ledger.CodeBadCount, "subject/position"},
		{"position 10,000", `"position":0`, `"position":10000`, ledger.CodeBadCount, "subject/position"},
		{"a position as text", `"position":0`, `"position":"0"`, ledger.CodeSyntax, "subject/position"},
		{"a proof hash too short", `"proof":["`, `"proof":["AAAA","`, ledger.CodeBadBase64, "subject/proof/0"},
		{"a proof of 15 hashes", `"proof":[`, `"proof":[` + strings.Repeat(`"`+zeros+`",`, 13), ledger.CodeBadCount, "subject/proof"},
		{"proof null", `"proof":` + string(m.member(members["subject"], "proof")), `"proof":null`, ledger.CodeSyntax, "subject/proof"},
		{"another reserved word", `"scope":"inps"`, `"scope":"+other"`, ledger.CodeBadID, "scope"},
		{"a reserved word as agency", `"agency":"c_a944"`, `"agency":"+consent"`, ledger.CodeBadID, "agency"},
		{"before 1970", `1795339800123`, `-1`, ledger.CodeBadTime, "recorded_at"},
		{"a fraction", `1795339800123`, `1795339800.123`, ledger.CodeSyntax, "recorded_at"},
		{"no receipt", `"receipt":"` + m.compact + `"`, `"receipt":""`, ledger.CodeBadText, "receipt"},
		{"a receipt that is no token", `"receipt":"` + m.compact + `"`, `"receipt":"a b"`, ledger.CodeBadText, "receipt"},
		{"a receipt too long", m.compact, m.compact + strings.Repeat("A", ledger.MaxReceipt), ledger.CodeTooLong, "receipt"},
		{"another profile", `"AUDIT_REST_02"`, `"AUDIT_REST_03"`, ledger.CodeBadValue, "assurance/profile"},
		{"evidence where the profile has none", `"AUDIT_REST_02"`, `"VOUCHER_ONLY"`, ledger.CodeBadValue, "assurance/evidence"},
		{"alg none", `"voucher":{"alg":"RS256"`, `"voucher":{"alg":"none"`, ledger.CodeBadValue, "assurance/voucher/alg"},
		{"no issuer", `,"issuer":"interop.pagopa.it"`, ``, ledger.CodeMissing, "assurance/voucher/issuer"},
		{"loa 5", `"loa":2`, `"loa":5`, ledger.CodeBadValue, "assurance/loa"},
		{"late as text", `"late":false`, `"late":"false"`, ledger.CodeSyntax, "assurance/late"},
		{"a flag with a space", `"dnonce_text"`, `"dnonce text"`, ledger.CodeBadValue, "assurance/flags"},
		{"a flag twice", `"dnonce_text"`, `"dnonce_text","dnonce_text"`, ledger.CodeRepeated, "assurance/flags"},
		{"17 flags", `"dnonce_text"`, `"` + strings.Join(strings.Split("abcdefghijklmnopq", ""), `","`) + `"`, ledger.CodeBadCount, "assurance/flags"},
		{"a decision that is no object", `{"effect":"recorded"}`, `"recorded"`, ledger.CodeSyntax, "decision"},
		{"white space around the decision", `"decision":{`, `"decision": {`, ledger.CodeSyntax, ""},
		{"a decision nested too deep", `"recorded"`, strings.Repeat("[", 63) + strings.Repeat("]", 63), ledger.CodeSyntax, "decision"},
		{"a decision too long", `"recorded"`, `"` + strings.Repeat("x", ledger.MaxDecision) + `"`, ledger.CodeTooLong, "decision"},
		{"something after it", `"recorded"}}`, `"recorded"}}{}`, ledger.CodeSyntax, ""},
	} {
		m.v.BodiesRefused = append(m.v.BodiesRefused, refusal{x.why, m.edit(b, x.old, x.new), x.code, strings.TrimSuffix("body#"+x.where, "#")})
	}
}

// member is the raw value of an object's member.
func (m *maker) member(object []byte, name string) json.RawMessage {
	var members map[string]json.RawMessage
	m.must(json.Unmarshal(object, &members))
	return members[name]
}

const sampleCheckpoint = "registro.example/2026\n4714\n0fb9f9fb7c5aabd2edbecb01fe5d4869ddad8045dc1=\n\n— registro.example/2026 AAAA\n"

// sampleAnswer is of the right form; what it would have to prove is the business
// of other vectors.
func (m *maker) sampleAnswer() *ledger.Answer {
	a := &ledger.Answer{ReceiptID: m.receipt.ReceiptID(), Origin: "registro.example/2026", FirstIndex: 4711, Count: len(m.v.Bodies), Checkpoint: sampleCheckpoint}
	for i, b := range m.v.Bodies {
		nonce, number := fixed(fmt.Sprintf("nonce/%d", i)), uint64(i)
		leaf, err := ledger.FormatLeaf(ledger.Event{
			Epoch: 2026, SubjectTag: fixed(fmt.Sprintf("subject-tag/%d", i)), AgencyTag: fixed(fmt.Sprintf("agency-tag/%d", i)),
			Commitment: ledger.BodyCommitment(&nonce, []byte(b.Body)),
		})
		m.must(err)
		a.Entries = append(a.Entries, ledger.AnswerEntry{
			Index: 4711 + uint64(i), Leaf: leaf, Nonce: nonce[:], Body: []byte(b.Body), Proof: "c2sp.org/tlog-proof@v1\nindex " + fmt.Sprint(4711+i) + "\n", Number: &number,
		})
	}
	return a
}

func (m *maker) rangedAnswer() *ledger.Answer {
	const n = ledger.MaxSingleProofs + 1
	a := &ledger.Answer{ReceiptID: m.receipt.ReceiptID(), Origin: "registro.example/2026", Count: n, Checkpoint: sampleCheckpoint, Receipt: m.compact,
		Range: &ledger.AnswerRange{Left: ledger.Hashes{fixed("left/0"), fixed("left/1")}}}
	for i := range n {
		nonce := fixed(fmt.Sprintf("nonce/%d", i))
		a.Entries = append(a.Entries, ledger.AnswerEntry{Index: uint64(i), Nonce: nonce[:]})
		leaf, err := ledger.FormatLeaf(ledger.Event{Epoch: 2026, Commitment: nonce})
		m.must(err)
		a.Range.Leaves = append(a.Range.Leaves, leaf...)
	}
	return a
}

func (m *maker) answers() {
	text := func(a *ledger.Answer) string {
		data, err := ledger.FormatAnswer(a)
		m.must(err)
		return string(data)
	}
	several, ranged := text(m.sampleAnswer()), text(m.rangedAnswer())
	m.v.Answers = []answerVector{{"three subjects, a proof each", several}, {"101 subjects, one range", ranged}}

	single := m.sampleAnswer()
	single.Entries, single.Count = single.Entries[:1], 1
	one := text(single)
	entry := single.Entries[0]
	b64 := base64.RawURLEncoding.EncodeToString
	for _, x := range []struct{ why, old, new, code, where string }{
		{"no receipt id", `"receipt_id":"` + single.ReceiptID + `",`, ``, ledger.CodeMissing, "/receipt_id"},
		{"a receipt id without uuid", single.ReceiptID, "inps", ledger.CodeBadValue, "/receipt_id"},
		{"a receipt id of three parts", single.ReceiptID, single.ReceiptID + "/1", ledger.CodeBadValue, "/receipt_id"},
		{"an origin without epoch", `"origin":"registro.example/2026"`, `"origin":"registro.example"`, ledger.CodeBadName, "/origin"},
		{"a first index that isn't the first entry's", `"first_index":4711`, `"first_index":4710`, ledger.CodeBadValue, "/entries/0/index"},
		{"no entries counted", `"count":1`, `"count":0`, ledger.CodeBadCount, "/count"},
		{"an entry less than counted", `"count":1`, `"count":2`, ledger.CodeBadCount, "/entries"},
		{"no checkpoint", `"checkpoint":` + quoted(single.Checkpoint), `"checkpoint":""`, ledger.CodeBadText, "/checkpoint"},
		{"no leaf", `"leaf":"` + b64(entry.Leaf) + `",`, ``, ledger.CodeBadValue, "/entries/0/leaf"},
		{"padding", b64(entry.Nonce), b64(entry.Nonce) + "=", ledger.CodeSyntax, "/entries/0/nonce"},
		{"a nonce of 33 bytes", b64(entry.Nonce), b64(append(append([]byte{}, entry.Nonce...), 0)), ledger.CodeBadValue, "/entries/0/nonce"},
		{"no nonce", `"nonce":"` + b64(entry.Nonce) + `",`, ``, ledger.CodeMissing, "/entries/0/nonce"},
		{"no body", `"body":"` + b64(entry.Body) + `",`, ``, ledger.CodeMissing, "/entries/0/body"},
		{"no proof", `"proof":` + quoted(entry.Proof) + `,`, ``, ledger.CodeMissing, "/entries/0/proof"},
		{"a negative number", `"number":0`, `"number":-1`, ledger.CodeSyntax, "/entries/0/number"},
		{"a range beside a proof", `"entries":`, `"range":{"left":"","right":"","leaves":""},"entries":`, ledger.CodeBadValue, "/range"},
		{"an unknown name", `"entries":`, `"salt":"","entries":`, ledger.CodeUnknownName, ""},
	} {
		m.v.AnswersRefused = append(m.v.AnswersRefused, refusal{x.why, m.edit(one, x.old, x.new), x.code, x.where})
	}
	leaves := b64(m.rangedAnswer().Range.Leaves)
	for _, x := range []struct{ why, old, new, code, where string }{
		{"no range", ranged[strings.Index(ranged, `,"range":`):], `}`, ledger.CodeBadValue, "/range"},
		{"a leaf beside a range", `"entries":[{"index":0,`, `"entries":[{"index":0,"leaf":"AAAA",`, ledger.CodeBadValue, "/entries/0"},
		{"a byte less in the leaves", leaves, b64(m.rangedAnswer().Range.Leaves[1:]), ledger.CodeBadValue, "/range/leaves"},
		{"half a hash", `"right":""`, `"right":"AAAA"`, ledger.CodeSyntax, "/range/right"},
	} {
		m.v.AnswersRefused = append(m.v.AnswersRefused, refusal{x.why, m.edit(ranged, x.old, x.new), x.code, x.where})
	}
}

func quoted(s string) string {
	return `"` + strings.ReplaceAll(s, "\n", `\n`) + `"`
}
