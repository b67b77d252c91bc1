// SPDX-License-Identifier: EUPL-1.2

package consent

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// What a record stands on, from the strongest. All but the passkey's are the word of the body that signed the event's
// receipt.
const (
	EvidencePasskey      = "passkey"      // signed by the citizen, or a delegate, with a passkey enrolled in the list
	EvidenceRegistration = "registration" // a new passkey, after a login or at a desk
	EvidenceLogin        = "login"        // after a login with SPID or CIE
	EvidenceDesk         = "desk"         // at a body's desk (Punto Utente Evoluto)
	EvidenceClock        = "clock"        // a validity that ended
)

// MaxStatement is the length of the longest statement in bytes.
const MaxStatement = ledger.MaxConsent

// maxCredential is the length of a credential's id (WebAuthn level 3, 4).
const maxCredential = 1023

// Evidence is what a record stands on. Which members are there follows from the type:
//
//	{"type":"passkey","credential":"…","authenticator_data":"…","client_data":"…","signature":"…"}
//	{"type":"registration","authenticator_data":"…","client_data":"…","login":"…64 hex"}     or "document" in place of "login"
//	{"type":"login","login":"…64 hex"}
//	{"type":"desk","document":"carta d'identità, modulo firmato prot. 2026/1234"}
//	{"type":"clock"}
//
// Bytes are base64url without padding, those that the browser gave. login is SHA-256 of the signed login token, which is
// sealed beside in the private part.
type Evidence struct {
	Type              string        `json:"type"`
	Credential        ledger.Base64 `json:"credential,omitempty"`
	AuthenticatorData ledger.Base64 `json:"authenticator_data,omitempty"`
	ClientData        ledger.Base64 `json:"client_data,omitempty"` // clientDataJSON
	Signature         ledger.Base64 `json:"signature,omitempty"`
	Login             ledger.Hex    `json:"login,omitzero"`
	Document          string        `json:"document,omitempty"` // what was shown and signed
}

// Statement is what a body's consent member holds, written in exactly one way:
//
//	{"record":{"@context":{…},…},"evidence":{"type":"desk","document":"…"}}
type Statement struct {
	Record   *Record
	Bytes    []byte // of the record: what a passkey signs
	Evidence Evidence
}

type statementJSON struct {
	Record   json.RawMessage `json:"record"`
	Evidence Evidence        `json:"evidence"`
}

// FormatStatement puts a record's bytes and its evidence together. It refuses, with a *ledger.Problem, what ParseStatement
// would refuse.
func FormatStatement(record []byte, e Evidence) (json.RawMessage, error) {
	r, err := ParseRecord(record)
	if err != nil {
		return nil, err
	}
	return formatStatement(r, record, &e)
}

func formatStatement(r *Record, record []byte, e *Evidence) (json.RawMessage, error) {
	if p := e.check(r.Kind); p != nil {
		return nil, p
	}
	evidence, err := marshal(e)
	if err != nil {
		return nil, err
	}
	out := slices.Concat([]byte(`{"record":`), record, []byte(`,"evidence":`), evidence, []byte("}"))
	if len(out) > MaxStatement {
		return nil, problem(ledger.CodeTooLong, "consent", fmt.Sprintf("at most %d bytes", MaxStatement), strconv.Itoa(len(out)))
	}
	return out, nil
}

// ParseStatement reads a body's consent member. What it accepts, FormatStatement writes to the same bytes. Errors are
// *ledger.Problem, at "consent", "record" or "evidence" or within.
func ParseStatement(raw []byte) (*Statement, error) {
	if len(raw) > MaxStatement {
		return nil, problem(ledger.CodeTooLong, "consent", fmt.Sprintf("at most %d bytes", MaxStatement), strconv.Itoa(len(raw)))
	}
	var w statementJSON
	if err := ijson.Unmarshal(raw, &w); err != nil {
		return nil, jsonProblem("consent", err)
	}
	r, err := ParseRecord(w.Record)
	if err != nil {
		return nil, err
	}
	again, err := formatStatement(r, w.Record, &w.Evidence)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, raw) {
		return nil, problem(ledger.CodeSyntax, "consent", "the one way to write this statement", "another")
	}
	return &Statement{r, w.Record, w.Evidence}, nil
}

func (e *Evidence) check(kind string) *ledger.Problem {
	if !slices.Contains(forms[kind].evidence, e.Type) {
		return problem(CodeEvidence, "evidence#type", "evidence that "+kind+" takes", textFound(e.Type))
	}
	passkey := e.Type == EvidencePasskey
	browser := passkey || e.Type == EvidenceRegistration
	for _, m := range []struct {
		where     string
		n, most   int
		is, wants bool
	}{
		{"credential", len(e.Credential), maxCredential, len(e.Credential) > 0, passkey},
		{"authenticator_data", len(e.AuthenticatorData), 4096, len(e.AuthenticatorData) > 0, browser},
		{"client_data", len(e.ClientData), 4096, len(e.ClientData) > 0, browser},
		{"signature", len(e.Signature), 1024, len(e.Signature) > 0, passkey},
	} {
		if m.is != m.wants || m.n > m.most {
			return problem(CodeEvidence, "evidence#"+m.where, fmt.Sprintf("up to %d bytes with passkeys alone", m.most), fmt.Sprintf("%d bytes", m.n))
		}
	}
	login, document := e.Login != (ledger.Hex{}), e.Document != ""
	ok := false
	switch e.Type {
	case EvidenceLogin:
		ok = login && !document
	case EvidenceDesk:
		ok = document && !login
	case EvidenceRegistration:
		ok = login != document
	default:
		ok = !login && !document
	}
	if !ok {
		return problem(CodeEvidence, "evidence", "the login's digest or the document, where the type has one", "another combination")
	}
	if document {
		if p, ok := ledger.CheckText(e.Document, ledger.MaxText).(*ledger.Problem); ok {
			return problem(p.Code, "evidence#document", p.Expected, p.Found)
		}
	}
	return nil
}

// CheckLogin says whether a private part holds the login token that evidence names; true where it names none.
func (e *Evidence) CheckLogin(private *ledger.Private) bool {
	if e.Login == (ledger.Hex{}) {
		return private.Login == ""
	}
	return private.Login != "" && sha256.Sum256([]byte(private.Login)) == e.Login
}
