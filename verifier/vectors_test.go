// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

var update = flag.Bool("update", false, "run a ledger and write testdata anew")

// tampered is a case of testdata/tampered.json; testdata/README.md says how to
// read it.
type tampered struct {
	Name       string         `json:"name"`
	Of         string         `json:"of"`
	Key        string         `json:"key"`
	Submission string         `json:"submission,omitempty"`
	Set        map[string]any `json:"set,omitempty"`
	Malformed  bool           `json:"malformed,omitempty"`
	Fails      []string       `json:"fails,omitempty"`
	Unchecked  []string       `json:"unchecked,omitempty"`
}

func readData(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readLogs(t testing.TB, name string) []note.Verifier {
	t.Helper()
	logs, err := checkpoint.ParseKeys(readData(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return logs
}

func readSubmission(t testing.TB, name string) *ledger.Submission {
	t.Helper()
	s, err := ledger.ParseSubmission(readData(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// set puts a value at a JSON Pointer, or takes the member out if it is nil.
func set(doc any, pointer string, value any) any {
	if pointer == "" {
		return value
	}
	name, rest, more := strings.Cut(pointer[1:], "/")
	if more {
		rest = "/" + rest
	}
	switch d := doc.(type) {
	case map[string]any:
		if rest == "" && value == nil {
			delete(d, name)
		} else {
			d[name] = set(d[name], rest, value)
		}
	case []any:
		i, err := strconv.Atoi(name)
		if err != nil {
			panic(err)
		}
		d[i] = set(d[i], rest, value)
	}
	return doc
}

func (c *tampered) apply(t *testing.T) []byte {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(readData(t, c.Of)))
	decoder.UseNumber()
	var doc any
	if err := decoder.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	for pointer, value := range c.Set {
		doc = set(doc, pointer, value)
	}
	return jsonOf(t, doc)
}

func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	var cases []tampered
	if err := json.Unmarshal(readData(t, "tampered.json"), &cases); err != nil {
		t.Fatal(err)
	}
	proven := 0
	for _, c := range cases {
		var s *ledger.Submission
		if c.Submission != "" {
			s = readSubmission(t, c.Submission)
		}
		r := verifier.Receipt(c.apply(t), readLogs(t, c.Key), s)
		want := len(c.Fails) == 0 && len(c.Unchecked) == 0 && !c.Malformed
		if want {
			proven++
		}
		if r.Proven() != want || (r.Malformed != nil) != c.Malformed {
			t.Errorf("%s: proven %v, malformed %v", c.Name, r.Proven(), r.Malformed)
		}
		if got := failed(r); !slices.Equal(got, c.Fails) {
			t.Errorf("%s: failed %v, want %v", c.Name, got, c.Fails)
		}
		if got := unchecked(r); !c.Malformed && !slices.Equal(got, c.Unchecked) {
			t.Errorf("%s: unchecked %v, want %v", c.Name, got, c.Unchecked)
		}
	}
	if proven == 0 || proven > 4 || len(cases) < 25 {
		t.Errorf("%d of %d vectors are proven", proven, len(cases))
	}
}

// writeVectors makes testdata from what a real ledger answers.
func writeVectors(t *testing.T) {
	l := theLedger()
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join("testdata", name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	few, many := l.few.answer, l.many.answer
	other := verifiertest.NewLog(few.Origin)
	addLeaves(other, 30, "leaf")
	write("log.vkey", []byte(l.vkey+"\n"))
	write("other.vkey", []byte(other.VKey+"\n"))
	for name, r := range map[string]recorded{"answer": l.few, "range": l.many} {
		a, err := ledger.FormatAnswer(r.answer)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ledger.FormatSubmission(r.submission)
		if err != nil {
			t.Fatal(err)
		}
		write(name+".json", append(a, '\n'))
		write(name+"-submission.json", append(s, '\n'))
	}

	cp, inclusion, body, signature, subject := verifier.CheckCheckpoint, verifier.CheckInclusion, verifier.CheckBody, verifier.CheckSignature, verifier.CheckSubject
	checks := func(names ...string) []string { return names }
	of := func(name string, set map[string]any, fails ...string) tampered {
		return tampered{Name: name, Of: "answer.json", Key: "log.vkey", Set: set, Fails: fails}
	}
	but := func(c tampered, unchecked ...string) tampered {
		c.Unchecked = unchecked
		return c
	}
	ranged := func(name string, set map[string]any, fails ...string) tampered {
		c := of(name, set, fails...)
		c.Of, c.Submission = "range.json", "range-submission.json"
		return c
	}
	flip := func(data []byte, at int) string {
		b := bytes.Clone(data)
		b[at] ^= 1
		return base64.RawURLEncoding.EncodeToString(b)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	e := few.Entries
	member := func(i int, name string) string { return "/entries/" + strconv.Itoa(i) + "/" + name }
	sameSubmission := of("as answered, with its submission", nil)
	sameSubmission.Submission = "answer-submission.json"
	otherSubmission := of("with another submission", nil, subject)
	otherSubmission.Submission = "range-submission.json"
	otherKey := but(of("with the key of another log of that name", nil, cp), inclusion, signature)
	otherKey.Key = "other.vkey"
	noSubmission := ranged("a range without its submission", nil)
	noSubmission.Submission, noSubmission.Unchecked = "", checks(body, subject)
	fewer := of("a count too low", map[string]any{"/count": 2})
	fewer.Malformed, fewer.Fails = true, nil
	padded := of("a leaf in padded base64", map[string]any{member(0, "leaf"): b64(e[0].Leaf) + "=="})
	padded.Malformed, padded.Fails = true, nil
	cases := []tampered{
		of("as answered", nil), sameSubmission, otherSubmission, otherKey,
		but(of("a space in the checkpoint", map[string]any{"/checkpoint": strings.Replace(few.Checkpoint, "\n\n", "\n \n", 1)}, cp), inclusion, signature),
		but(of("the checkpoint of another log of that name", map[string]any{"/checkpoint": string(other.Checkpoint())}, cp), inclusion, signature),
		but(of("another origin", map[string]any{"/origin": "altro.example/" + few.Origin[len(few.Origin)-4:]}, cp, body, signature), inclusion, subject),
		of("a bit of a subject tag", map[string]any{member(1, "leaf"): flip(e[1].Leaf, 6)}, inclusion),
		of("a bit of an agency tag", map[string]any{member(1, "leaf"): flip(e[1].Leaf, 38)}, inclusion),
		but(of("a bit of a commitment", map[string]any{member(0, "leaf"): flip(e[0].Leaf, 101)}, inclusion, body), subject),
		but(of("a bit of a leaf's type", map[string]any{member(0, "leaf"): flip(e[0].Leaf, 1)}, inclusion), body, subject),
		of("a proof of another index", map[string]any{member(0, "proof"): e[1].Proof}, inclusion),
		of("an index moved", map[string]any{"/first_index": few.FirstIndex + 1, member(0, "index"): e[0].Index + 1, member(1, "index"): e[1].Index + 1, member(2, "index"): e[2].Index + 1}, inclusion),
		of("a bit of the last nonce", map[string]any{member(2, "nonce"): flip(e[2].Nonce, 31)}, body),
		but(of("a later instant in the last body", map[string]any{member(2, "body"): b64(bytes.Replace(e[2].Body, []byte(`"recorded_at":1`), []byte(`"recorded_at":2`), 1))}, body), subject),
		but(of("a space in the last body", map[string]any{member(2, "body"): b64(append(bytes.Clone(e[2].Body), ' '))}, body), subject),
		of("bodies swapped with their nonces", map[string]any{member(1, "body"): b64(e[2].Body), member(2, "body"): b64(e[1].Body), member(1, "nonce"): b64(e[2].Nonce), member(2, "nonce"): b64(e[1].Nonce)}, body, subject),
		of("another receipt's id", map[string]any{"/receipt_id": many.ReceiptID}, signature),
		of("no key", map[string]any{"/key": nil}, signature),
		of("a bit of the key's record", map[string]any{"/key/leaf": flip(few.Key.Leaf, len(few.Key.Leaf)-4)}, signature),
		of("the key of another body", map[string]any{"/key/leaf": b64(l.reported.answer.Key.Leaf), "/key/index": l.reported.answer.Key.Index}, signature),
		of("a key of a later index", map[string]any{"/key/index": few.FirstIndex + 3}, signature),
		fewer, padded,
		ranged("a range as answered", nil), noSubmission,
		ranged("a bit of the last of many leaves", map[string]any{"/range/leaves": flip(many.Range.Leaves, len(many.Range.Leaves)-40)}, inclusion),
		ranged("a hash to the left changed", map[string]any{"/range/left": flip(flatten(many.Range.Left), 0)}, inclusion),
		ranged("no hashes to the right", map[string]any{"/range/right": ""}, inclusion),
		ranged("a nonce of many changed", map[string]any{member(149, "nonce"): flip(many.Entries[149].Nonce, 0)}, body),
		ranged("another receipt beside many", map[string]any{"/receipt": l.few.submission.Receipt}, signature),
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(cases); err != nil {
		t.Fatal(err)
	}
	write("tampered.json", out.Bytes())
}

func flatten(list []ledger.Hash) []byte {
	var all []byte
	for _, h := range list {
		all = append(all, h[:]...)
	}
	return all
}

// FuzzReceipt writes over any part of an answer: it never panics, and what is
// changed isn't proven. (Package ledger fuzzes the form as a whole.)
func FuzzReceipt(f *testing.F) {
	logs := readLogs(f, "log.vkey")
	var answers [2]*ledger.Answer
	var submissions [2]*ledger.Submission
	for i, name := range []string{"answer", "range"} {
		var err error
		if answers[i], err = ledger.ParseAnswer(readData(f, name+".json")); err != nil {
			f.Fatal(err)
		}
		submissions[i] = readSubmission(f, name+"-submission.json")
	}
	for part := range uint8(12) {
		f.Add(part, uint16(0), []byte{1})
		f.Add(part, uint16(40), []byte("c2sp.org/tlog-proof@v1\n"))
	}
	f.Fuzz(func(t *testing.T, part uint8, at uint16, patch []byte) {
		which := int(part) / 6 % 2
		a := copyOf(answers[which])
		last := len(a.Entries) - 1
		switch int(part) % 6 {
		case 0:
			a.Checkpoint = string(overwrite([]byte(a.Checkpoint), at, patch))
		case 1:
			a.Entries[0].Body = overwrite(a.Entries[0].Body, at, patch)
		case 2:
			a.Entries[last].Nonce = overwrite(a.Entries[last].Nonce, at, patch)
		case 3:
			a.Key.Leaf = overwrite(a.Key.Leaf, at, patch)
		case 4:
			a.Key.Proof = string(overwrite([]byte(a.Key.Proof), at, patch))
		case 5:
			if a.Range != nil {
				a.Range.Leaves = overwrite(a.Range.Leaves, at, patch)
			} else {
				a.Entries[last].Leaf = overwrite(a.Entries[last].Leaf, at, patch)
			}
		}
		same := cmp.Equal(a, answers[which])
		data, err := ledger.FormatAnswer(a)
		if err != nil {
			return
		}
		r := verifier.Receipt(data, logs, submissions[which])
		if len(r.Checks) != 5 || r.Proven() != same || r.Proven() == (len(r.Problems()) > 0) {
			t.Errorf("the same: %v, checks %+v", same, r.Checks)
		}
	})
}

// overwrite puts patch at some place of b, which may grow by it.
func overwrite(b []byte, at uint16, patch []byte) []byte {
	i := int(at) % (len(b) + 1)
	return slices.Concat(b[:i], patch, b[min(len(b), i+len(patch)):])
}
