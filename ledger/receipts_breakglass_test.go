// SPDX-License-Identifier: EUPL-1.2

package ledger_test

import (
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
)

// inSession is the sample's payload as that of an access in a session of break-glass.
func (m *maker) inSession(value string) string {
	text := m.set(m.payload, "legal_basis", `"https://w3id.org/dpv/legal/eu/gdpr#A6-1-d"`)
	return m.set(text, "break_glass", value)
}

func (m *maker) breakGlass() {
	const session = `"session":"0f9e7c1a-5b1d-4a86-9f0e-2f4c3c1a7b55"`
	digest := `"` + strings.Repeat("1", 64) + `"`
	first, second := m.inSession(`{`+session+`,"number":1}`), m.inSession(`{`+session+`,"number":1000,"previous":`+digest+`}`)
	m.addReceipt("the first of a session of break-glass", "vector-es256", first)
	m.addReceipt("the last of a session of break-glass", "vector-es256", second)
	for _, x := range []struct{ why, text, name, value, code, where string }{
		{"a session that is no uuid", first, "break_glass", `{"session":"1","number":1}`, ledger.CodeBadUUID, "break_glass/session"},
		{"a session without number", first, "break_glass", `{` + session + `}`, ledger.CodeMissing, "break_glass/number"},
		{"a session's number 0", first, "break_glass", `{` + session + `,"number":0}`, ledger.CodeBadCount, "break_glass/number"},
		{"a session's number 1001", first, "break_glass", `{` + session + `,"number":1001,"previous":` + digest + `}`, ledger.CodeBadCount, "break_glass/number"},
		{"a session's first with one before", first, "break_glass", `{` + session + `,"number":1,"previous":` + digest + `}`, ledger.CodeBadValue, "break_glass/previous"},
		{"a session's second with none before", first, "break_glass", `{` + session + `,"number":2}`, ledger.CodeBadValue, "break_glass/previous"},
		{"a session with an unknown name", first, "break_glass", `{` + session + `,"number":1,"person":"x"}`, ledger.CodeUnknownName, "break_glass"},
		{"a session null", first, "break_glass", `null`, ledger.CodeSyntax, "break_glass"},
		{"a session on another legal basis", first, "legal_basis", `"https://w3id.org/dpv/legal/eu/gdpr#A6-1-e"`, ledger.CodeBadValue, "legal_basis"},
		{"a session with a consent", first, "consent_id", `"c"`, ledger.CodeBadValue, "break_glass"},
		{"a session of a consumer's", first, "role", `"consumer"`, ledger.CodeBadValue, "role"},
		{"a session of a statement", m.stating(statedReceipt), "break_glass", `{` + session + `,"number":1}`, ledger.CodeBadValue, "break_glass"},
	} {
		m.v.PayloadsRefused = append(m.v.PayloadsRefused, refusal{x.why, m.set(x.text, x.name, x.value), x.code, "receipt#" + x.where})
	}
}
