// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// A receipt may also be signed as INTEGRITY_REST_02 signs a request, by the gateway that its body has on PDND: the
// payload travels in a header that the token covers (docs/formats.md §9).
//
//	Traccia-Claims: eyJhdWQiOiJyZWdpc3Ryby5leGFtcGxlIiwiaXNzIjoiY19hOTQ0Ii…
//	Agid-JWT-Signature: eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InRyYzk0…
//
//	{"iss":"Ente","client_id":"be54418b-…","aud":"https://registro.example/v1","jti":"d3c1e7c8-…","iat":1795339800,"exp":1795340100,
//	 "signed_headers":[{"digest":"SHA-256=rwHI7Wmn…"},{"content-type":"application/json"},{"traccia-claims":"eyJhdWQi…"}]}
const (
	// IntegrityType is the typ in the header of a receipt of this form.
	IntegrityType = "JWT"
	// ClaimsHeader is the HTTP header that holds the receipt's payload, in base64url without padding.
	ClaimsHeader = "Traccia-Claims"
)

// integrity is the token's payload. Whoever reads the event reads it, so what isn't known to name software or bodies is
// refused: a gateway can be told to add an operator.
type integrity struct {
	Iss           string              `json:"iss,omitempty"`
	Sub           string              `json:"sub,omitempty"`
	ClientID      string              `json:"client_id,omitempty"`
	PurposeID     string              `json:"purposeId,omitempty"`
	Aud           json.RawMessage     `json:"aud"` // of the ledger's e-service, a text or several; the ledger checks it when it records
	JTI           string              `json:"jti"`
	IssuedAt      int64               `json:"iat"`
	NotBefore     int64               `json:"nbf,omitempty"`
	Expires       int64               `json:"exp"`
	SignedHeaders []map[string]string `json:"signed_headers"`
}

// signsHeaders tells a request's signature from another token of the same type.
func signsHeaders(payload []byte) bool {
	var t struct {
		SignedHeaders json.RawMessage `json:"signed_headers"`
	}
	return json.Unmarshal(payload, &t) == nil && t.SignedHeaders != nil
}

// parseIntegrity returns the receipt's payload that the token covers. Problems are at the claims' names.
func parseIntegrity(payload []byte) ([]byte, *Problem) {
	var t integrity
	if err := ijson.Unmarshal(payload, &t); err != nil {
		return nil, jsonProblem(err)
	}
	var c checker
	for _, m := range []struct{ where, text string }{
		{"iss", t.Iss}, {"sub", t.Sub}, {"client_id", t.ClientID}, {"purposeId", t.PurposeID}, {"jti", t.JTI},
	} {
		if m.text == "" && m.where != "jti" {
			continue
		}
		c.text(m.where, m.text, MaxText)
		if NamesPerson(m.text) {
			c.fail(CodeNamesSubject, m.where, "the name of a body or of software", "a person's code")
		}
	}
	c.audience(t.Aud)
	if t.Expires <= t.IssuedAt {
		c.fail(CodeBadTime, "exp", "later than iat", strconv.FormatInt(t.Expires, 10))
	}
	claims := c.signedHeaders(t.SignedHeaders)
	return claims, c.problem
}

// audience takes a text or an array of texts, as gateways write it.
func (c *checker) audience(raw json.RawMessage) {
	var list []string
	if len(raw) > 0 && raw[0] == '"' {
		list = []string{""}
		json.Unmarshal(raw, &list[0])
	} else if json.Unmarshal(raw, &list) != nil {
		list = nil
	}
	if n := len(list); n < 1 || n > 16 {
		c.fail(CodeBadValue, "aud", "a text, or 1 to 16 texts", "something else")
	}
	for _, one := range list {
		c.text("aud", one, 1024)
		if NamesPerson(one) {
			c.fail(CodeNamesSubject, "aud", "the address of an e-service", "a person's code")
		}
	}
}

// signedHeaders returns what the one of ClaimsHeader holds. Others than those that concern content are refused: what a
// gateway signs beside them could be a live token.
func (c *checker) signedHeaders(list []map[string]string) []byte {
	const where = "signed_headers"
	signed := make(map[string]string)
	for _, one := range list {
		for name, value := range one {
			if _, twice := signed[name]; twice || len(one) != 1 {
				c.fail(CodeRepeated, where, "one header in each object, none twice", "something else")
			}
			switch name {
			case "digest", "content-type", "content-encoding", strings.ToLower(ClaimsHeader):
			default:
				c.fail(CodeUnknownName, where, "digest, content-type, content-encoding and traccia-claims", "another header")
			}
			signed[name] = value
		}
	}
	if sum, ok := strings.CutPrefix(signed["digest"], "SHA-256="); !ok || !isSum(sum) {
		c.fail(CodeMissing, where, "digest, as SHA-256= and 32 bytes in base64", textFound(signed["digest"]))
	}
	for _, name := range []string{"content-type", "content-encoding"} {
		if value, ok := signed[name]; ok {
			c.text(where, value, MaxText)
			if NamesPerson(value) {
				c.fail(CodeNamesSubject, where, "a kind of content", "a person's code")
			}
		}
	}
	claims, ok := parseBase64(signed[strings.ToLower(ClaimsHeader)])
	if !ok || len(claims) == 0 {
		c.fail(CodeMissing, where, "traccia-claims, the receipt's claims in base64url without padding", textFound(signed[strings.ToLower(ClaimsHeader)]))
	}
	return claims
}

func isSum(text string) bool {
	sum, err := base64.StdEncoding.Strict().DecodeString(text)
	return err == nil && len(sum) == sha256.Size && base64.StdEncoding.EncodeToString(sum) == text
}

// NamesPerson says whether a text holds, in any letter case, what has all of the form of a natural person's code, changed
// for omocodia or not: among random ids nearly none does.
func NamesPerson(text string) bool {
	upper := strings.ToUpper(fold(text))
	for i := 0; i+16 <= len(upper); i++ {
		if code := upper[i : i+16]; looksPersonal(code) {
			if _, err := ParseSubject(code); err == nil {
				return true
			}
		}
	}
	return false
}

func looksPersonal(code string) bool {
	const letters, months, digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "ABCDEHLMPRST", "0123456789LMNPQRSTUV"
	for i, allowed := range [...]string{
		letters, letters, letters, letters, letters, letters, digits, digits, months, digits, digits, letters, digits, digits, digits, letters,
	} {
		if strings.IndexByte(allowed, code[i]) < 0 {
			return false
		}
	}
	return true
}

// FormatClaims is the value of ClaimsHeader for a receipt, and of the header traccia-claims that the token signs. It
// refuses, with a *Problem, what [ParseReceipt] would refuse.
func FormatClaims(r *Receipt) (string, error) {
	payload, err := FormatReceipt(r)
	if err != nil {
		return "", err
	}
	return base64url.EncodeToString(payload), nil
}

// ParseClaims is the contrary of FormatClaims. Errors are *Problem at "receipt#<path>".
func ParseClaims(value string) (*Receipt, error) {
	payload, ok := parseBase64(value)
	if !ok || len(payload) == 0 || len(value) > MaxReceipt {
		return nil, &Problem{CodeBadBase64, "receipt", fmt.Sprintf("at most %d characters of base64url without padding", MaxReceipt), textFound(value)}
	}
	r := new(Receipt)
	if err := ijson.Unmarshal(payload, r); err != nil {
		return nil, jsonProblem(err).under("receipt")
	}
	if p := r.check(); p != nil {
		return nil, p.under("receipt")
	}
	return r, nil
}
