// SPDX-License-Identifier: EUPL-1.2

package own

import (
	"encoding/json"
	"fmt"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// MaxSubjects is up to how many subjects' proofs are asked for at once.
const MaxSubjects = 1000

// ProofsRequest asks the ledger for the VRF proofs of subjects' keys in the asking party's scope.
//
//	{"epoch":2026,"subjects":["RSSMRA80A01H501U","80078750587"]}
type ProofsRequest struct {
	Epoch    uint32           `json:"epoch"`
	Subjects []ledger.Subject `json:"subjects"`
}

// ProofsAnswer has them, 80 bytes for each subject in the request's order.
//
//	{"origin":"registro.example/2026","scope":"inps","proofs":["x1nN…107 characters","kq3…"]}
type ProofsAnswer struct {
	Origin string          `json:"origin"`
	Scope  string          `json:"scope"`
	Proofs []ledger.Base64 `json:"proofs"`
}

func problem(code, where, expected, found string) *ledger.Problem {
	return &ledger.Problem{Code: code, Where: where, Expected: expected, Found: found}
}

func syntax(err error) error {
	if e, ok := err.(*ijson.Error); ok {
		return problem(ledger.CodeSyntax, e.Pointer, e.Expected, e.Found)
	}
	return problem(ledger.CodeSyntax, "", "an I-JSON object", "something else")
}

// ParseProofsRequest reads a request. The error is a *ledger.Problem that repeats no subject.
func ParseProofsRequest(data []byte) (*ProofsRequest, error) {
	r := new(ProofsRequest)
	if err := ijson.Unmarshal(data, r); err != nil {
		return nil, syntax(err)
	}
	if n := len(r.Subjects); n < 1 || n > MaxSubjects {
		return nil, problem(ledger.CodeBadCount, "/subjects", fmt.Sprintf("1 to %d", MaxSubjects), fmt.Sprint(n))
	}
	for i, s := range r.Subjects {
		if _, err := ledger.ParseSubject(string(s)); err != nil {
			return nil, problem(ledger.CodeBadSubject, fmt.Sprintf("/subjects/%d", i), "a code with a right check character", fmt.Sprintf("%d characters", len(s)))
		}
	}
	return r, nil
}

// FormatProofsRequest writes a request of 1 to MaxSubjects subjects.
func FormatProofsRequest(r *ProofsRequest) ([]byte, error) { return json.Marshal(r) }

// ParseProofsAnswer reads an answer.
func ParseProofsAnswer(data []byte) (*ProofsAnswer, error) {
	a := new(ProofsAnswer)
	if err := ijson.Unmarshal(data, a); err != nil {
		return nil, syntax(err)
	}
	for i, p := range a.Proofs {
		if len(p) != 80 {
			return nil, problem(ledger.CodeBadValue, fmt.Sprintf("/proofs/%d", i), "80 bytes", fmt.Sprint(len(p)))
		}
	}
	return a, nil
}

// FormatProofsAnswer writes an answer.
func FormatProofsAnswer(a *ProofsAnswer) ([]byte, error) { return json.Marshal(a) }

// CheckAnswer says where a provider's check was recorded.
//
//	{"origin":"registro.example/2026","index":70123}
type CheckAnswer struct {
	Origin string `json:"origin"`
	Index  uint64 `json:"index"` // of the record's leaf
}

// ParseCheckAnswer reads an answer.
func ParseCheckAnswer(data []byte) (*CheckAnswer, error) {
	a := new(CheckAnswer)
	if err := ijson.Unmarshal(data, a); err != nil {
		return nil, syntax(err)
	}
	return a, nil
}

// FormatCheckAnswer writes an answer.
func FormatCheckAnswer(a *CheckAnswer) ([]byte, error) { return json.Marshal(a) }
