// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// Limits of input files, in bytes.
const (
	maxInput        = 1 << 17
	maxSubjectsFile = 1 << 20 // ten thousand codes, with room for comments
)

// claims is the claims file: a receipt's payload (ledger.Receipt), where what
// can be computed may be left out.
type claims struct {
	Aud            string           `json:"aud"`
	Iss            string           `json:"iss,omitempty"` // the key's body
	JTI            string           `json:"jti,omitempty"` // a random uuid
	IssuedAt       int64            `json:"iat,omitempty"` // now
	Role           string           `json:"role,omitempty"`
	Provider       string           `json:"provider"`
	Consumer       string           `json:"consumer"`
	EService       string           `json:"eservice,omitempty"`   // the voucher's eserviceId
	PurposeID      string           `json:"purpose_id,omitempty"` // the voucher's purposeId
	Purpose        string           `json:"purpose"`
	LegalBasis     string           `json:"legal_basis"`
	LegalReference string           `json:"legal_reference,omitempty"`
	DataCategories []string         `json:"data_categories"`
	Actor          string           `json:"actor"`
	Operation      ledger.Operation `json:"operation"`
	OccurredAt     string           `json:"occurred_at,omitempty"` // now
	ConsentID      string           `json:"consent_id,omitempty"`
	Pair           *ledger.Hex      `json:"pair,omitempty"` // of voucher, evidence and request
	// These two rest on salts made here.
	PrivateDigest json.RawMessage `json:"private_digest,omitempty"`
	Subjects      json.RawMessage `json:"subjects,omitempty"`
}

// inputProblem says what is wrong in an input file. Whoever typed the command
// mends it, so it ends with the exit code of usage.
func inputProblem(code, where, expected, found string) error {
	return &cli.Usage{Err: &ledger.Problem{Code: code, Where: where, Expected: expected, Found: found}}
}

// in names a member of an input file: claims.json#operation/path.
func in(path, pointer string) string {
	if pointer == "" {
		return path
	}
	return path + "#" + strings.TrimPrefix(pointer, "/")
}

// readObject reads a file of one strict JSON object.
func readObject(path string, into any) error {
	data, err := cli.ReadFile(path, maxInput)
	if err != nil {
		return fmt.Errorf("couldn't read input: %w", err)
	}
	err = ijson.Unmarshal(data, into)
	var bad *ijson.Error
	if !errors.As(err, &bad) {
		return err
	}
	code := ledger.CodeSyntax
	switch bad.Found {
	case "nothing":
		code = ledger.CodeMissing
	case "an unknown name":
		code = ledger.CodeUnknownName
	}
	return inputProblem(code, in(path, bad.Pointer), bad.Expected, bad.Found)
}

func readClaims(path string) (*claims, error) {
	c := new(claims)
	if err := readObject(path, c); err != nil {
		return nil, err
	}
	for name, there := range map[string]bool{"private_digest": c.PrivateDigest != nil, "subjects": c.Subjects != nil} {
		if there {
			return nil, inputProblem(ledger.CodeUnknownName, in(path, name), "nothing: it is computed, over salts made now", "a value")
		}
	}
	return c, nil
}

// readPrivate reads the private part file: ledger.Private without the voucher
// and the evidence, which have files of their own.
func readPrivate(path string) (*ledger.Private, error) {
	if path == "" {
		return new(ledger.Private), nil
	}
	var p struct {
		Integrity       string            `json:"integrity,omitempty"`
		IdentityHeaders map[string]string `json:"identity_headers,omitempty"`
		Operator        *ledger.Operator  `json:"operator,omitempty"`
		Case            string            `json:"case,omitempty"`
		RequestDigest   string            `json:"request_digest,omitempty"`
		ResponseDigest  string            `json:"response_digest,omitempty"`
	}
	if err := readObject(path, &p); err != nil {
		return nil, err
	}
	return &ledger.Private{
		Integrity: p.Integrity, IdentityHeaders: p.IdentityHeaders, Operator: p.Operator,
		Case: p.Case, RequestDigest: p.RequestDigest, ResponseDigest: p.ResponseDigest,
	}, nil
}

// readToken reads a file of one compact token, line ends behind it tolerated.
func readToken(path string) (string, error) {
	data, err := cli.ReadFile(path, maxInput)
	if err != nil {
		return "", fmt.Errorf("couldn't read token: %w", err)
	}
	return string(bytes.TrimRight(data, "\r\n")), nil
}

// voucherClaims is what a receipt takes from the voucher. The ledger verifies
// the voucher; here it is read as it stands.
type voucherClaims struct {
	jti, purposeID, eserviceID, consumerID, clientID string
}

func parseVoucher(path, compact string) (*voucherClaims, error) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, inputProblem(ledger.CodeSyntax, path, "a compact JWS of three segments", strconv.Itoa(len(parts)))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var members map[string]json.RawMessage
	if err != nil || json.Unmarshal(payload, &members) != nil {
		return nil, inputProblem(ledger.CodeSyntax, path, "a JSON object in base64url as payload", "something else")
	}
	text := func(name string) (s string) {
		if json.Unmarshal(members[name], &s) != nil {
			return ""
		}
		return s
	}
	v := &voucherClaims{jti: text("jti"), purposeID: text("purposeId"), eserviceID: text("eserviceId"), consumerID: text("consumerId"), clientID: text("client_id")}
	if v.jti == "" || len(v.jti) > ledger.MaxText {
		return nil, inputProblem(ledger.CodeMissing, in(path, "jti"), "a uuid", "something else or nothing")
	}
	return v, nil
}

// readSubjects reads codes of persons, one a line. Lines that are blank or
// begin with # are passed over, as is space around a code. The error names the
// line, never the code.
func readSubjects(path string) ([]ledger.Subject, error) {
	data, err := cli.ReadFile(path, maxSubjectsFile)
	if err != nil {
		return nil, fmt.Errorf("couldn't read subjects: %w", err)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // what Windows' editors put first
	var subjects []ledger.Subject
	lines := make(map[ledger.Subject]int)
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		where := path + ":" + strconv.Itoa(number)
		s, err := ledger.ParseSubject(line)
		if err != nil {
			return nil, inputProblem(ledger.CodeBadSubject, where, "16 characters A-Z 0-9 or 11 digits, with a right check character", fmt.Sprintf("%d bytes", len(line)))
		}
		if first := lines[s]; first != 0 {
			return nil, inputProblem(ledger.CodeSubjectRepeated, where, "each code once", "the one of line "+strconv.Itoa(first))
		}
		lines[s] = number
		subjects = append(subjects, s)
	}
	if n := len(subjects); n < 1 || n > ledger.MaxSubjects {
		return nil, inputProblem(ledger.CodeBadCount, path, fmt.Sprintf("1 to %d codes, one a line", ledger.MaxSubjects), strconv.Itoa(n))
	}
	return subjects, nil
}
