// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// MaxSingleProofs is up to how many subjects an answer has a leaf, body and
// proof in each entry; above it, one range stands for all.
const MaxSingleProofs = 100

// Answer is what a submitter gets back and keeps: the file that proves its
// entries, readable without the ledger. Bytes are base64url without padding.
//
//	{"receipt_id":"inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11","origin":"registro.example/2026",
//	"first_index":4711,"count":1,"checkpoint":"registro.example/2026\n4712\n…",
//	"entries":[{"index":4711,"leaf":"AQEAAAfq…","nonce":"jndY…43","body":"eyJvcmlnaW4…",
//	"proof":"c2sp.org/tlog-proof@v1\n…","number":0}]}
//
// Above [MaxSingleProofs] subjects an entry has no leaf and no proof; range
// holds the leaves and what proves them all at once. Only the first entry then
// has its body: the others differ from it in their subject alone, which the
// submitter has.
type Answer struct {
	ReceiptID  string        `json:"receipt_id"`  // <iss>/<jti>
	Origin     string        `json:"origin"`      // of the shard that has the entries
	FirstIndex uint64        `json:"first_index"` // of the first entry's leaf
	Count      int           `json:"count"`       // of subjects, entries and leaves
	Checkpoint string        `json:"checkpoint"`  // signed note, that the proofs lead to
	Entries    []AnswerEntry `json:"entries"`
	Receipt    string        `json:"receipt,omitempty"` // compact, where bodies aren't there to hold it
	Range      *AnswerRange  `json:"range,omitempty"`
	Key        *AnswerKey    `json:"key,omitempty"`
}

// AnswerKey proves with which key the receipt was signed: the record by which
// the log registers it, so that the answer is checked with nothing else in hand
// than the log's own key.
type AnswerKey struct {
	Index uint64 `json:"index"`
	Leaf  Base64 `json:"leaf"`  // of type record
	Proof string `json:"proof"` // c2sp.org/tlog-proof, at the answer's checkpoint
}

// AnswerEntry is one event, at FirstIndex + its place.
type AnswerEntry struct {
	Index  uint64  `json:"index"`
	Leaf   Base64  `json:"leaf,omitempty"`
	Nonce  Base64  `json:"nonce"` // 32 bytes
	Body   Base64  `json:"body,omitempty"`
	Proof  string  `json:"proof,omitempty"`  // c2sp.org/tlog-proof
	Number *uint64 `json:"number,omitempty"` // i for the scope's party, j for the consumer
}

// AnswerRange proves the leaves at [FirstIndex, FirstIndex+Count) together: the
// compact ranges to the left and right of them at the checkpoint's size.
type AnswerRange struct {
	Left   Hashes `json:"left"`   // from left to right
	Right  Hashes `json:"right"`  // likewise
	Leaves Base64 `json:"leaves"` // 102 bytes each
}

func (a *Answer) check() *Problem {
	var c checker
	iss, jti, _ := strings.Cut(a.ReceiptID, "/")
	if CheckID(iss) != nil || !isUUID(jti) {
		c.fail(CodeBadValue, "/receipt_id", "a body's id, / and a uuid", textFound(a.ReceiptID))
	}
	if _, _, err := ParseOrigin(a.Origin); err != nil {
		c.fail(CodeBadName, "/origin", "a ledger's name, / and an epoch", textFound(a.Origin))
	}
	if a.Count < 1 || a.Count > MaxSubjects {
		c.fail(CodeBadCount, "/count", fmt.Sprintf("1 to %d", MaxSubjects), strconv.Itoa(a.Count))
	}
	if n := len(a.Entries); n != a.Count {
		c.fail(CodeBadCount, "/entries", strconv.Itoa(a.Count), strconv.Itoa(n))
	}
	if a.FirstIndex > ijson.MaxNumber-MaxSubjects {
		c.fail(CodeBadValue, "/first_index", "a number within 2^53", "a greater number")
	}
	if a.Checkpoint == "" {
		c.fail(CodeBadText, "/checkpoint", "a signed note", "an empty string")
	}
	if (a.Range != nil) != (a.Count > MaxSingleProofs) {
		c.fail(CodeBadValue, "/range", fmt.Sprintf("a range above %d subjects and only there", MaxSingleProofs), "the contrary")
	}
	for i := range a.Entries {
		if c.problem == nil {
			a.Entries[i].check(&c, i, a.FirstIndex, a.Range != nil)
		}
	}
	if a.Key != nil && (len(a.Key.Leaf) == 0 || a.Key.Proof == "") {
		c.fail(CodeMissing, "/key", "a leaf and its proof", "nothing")
	}
	if a.Range != nil && len(a.Range.Leaves) != a.Count*eventLength {
		c.fail(CodeBadValue, "/range/leaves", fmt.Sprintf("%d bytes", a.Count*eventLength), strconv.Itoa(len(a.Range.Leaves)))
	}
	return c.problem
}

func (e *AnswerEntry) check(c *checker, i int, first uint64, ranged bool) {
	at := func(name string) string { return fmt.Sprintf("/entries/%d/%s", i, name) }
	if e.Index != first+uint64(i) {
		c.fail(CodeBadValue, at("index"), strconv.FormatUint(first+uint64(i), 10), strconv.FormatUint(e.Index, 10))
	}
	if len(e.Nonce) != 32 {
		c.fail(CodeBadValue, at("nonce"), "32 bytes", strconv.Itoa(len(e.Nonce)))
	}
	if ranged {
		if len(e.Leaf) > 0 || e.Proof != "" {
			c.fail(CodeBadValue, fmt.Sprintf("/entries/%d", i), "no leaf and no proof beside a range", "one")
		}
		return
	}
	if len(e.Leaf) != eventLength {
		c.fail(CodeBadValue, at("leaf"), fmt.Sprintf("%d bytes", eventLength), strconv.Itoa(len(e.Leaf)))
	}
	if len(e.Body) == 0 {
		c.fail(CodeMissing, at("body"), "a body", "nothing")
	}
	if e.Proof == "" {
		c.fail(CodeMissing, at("proof"), "a proof", "nothing")
	}
}

// ParseAnswer decodes an answer: its form, and that the entries are as many and
// as numbered as it says. What they prove is for package verifier. Errors are
// *Problem with JSON Pointers.
func ParseAnswer(data []byte) (*Answer, error) {
	a := new(Answer)
	if err := ijson.Unmarshal(data, a); err != nil {
		return nil, jsonProblem(err)
	}
	if p := a.check(); p != nil {
		return nil, p
	}
	return a, nil
}

// FormatAnswer encodes an answer. It refuses, with a *Problem, what
// [ParseAnswer] would refuse.
func FormatAnswer(a *Answer) ([]byte, error) {
	if p := a.check(); p != nil {
		return nil, p
	}
	return marshal(a)
}
