// SPDX-License-Identifier: EUPL-1.2

// Package own is what a scope's party keeps of its own events, out of the ledger's reach, so that it can check that the
// ledger hides and plants none (docs/provider-check.md): a line for each event that was acknowledged to it, and the VRF
// proofs of its subjects' keys. Both are files of lines, each written in exactly one way.
//
// Lines name citizens and, with the keys, recognise their events in the public log: the files are as secret as the data
// that they are about. Errors repeat none of it.
package own

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// MaxLine bounds a line, in bytes.
const MaxLine = 1 << 10

// ErrLine says that a line isn't one of this package's, whatever is wrong with it.
var ErrLine = errors.New("not a line as it was written")

// Entry is one event as it was acknowledged to the party that numbers it. Its leaf commits to a body that the party opened
// and compared with its own receipt when it wrote the line, so the body itself isn't needed again.
//
//	{"subject":"RSSMRA80A01H501U","origin":"registro.example/2026","number":0,"index":4711,"leaf":"5f0c…64 hex",
//	"receipt":"inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11","at":1795339800123}
type Entry struct {
	Subject ledger.Subject
	Origin  string      // of the log
	Number  uint32      // i, as the answer told
	Index   uint64      // of the leaf
	Leaf    ledger.Hash // Merkle leaf hash
	Receipt string      // <iss>/<jti>; iss is the scope
	At      int64       // when the answer came, unix_ms by the party's clock
}

// Subject comes first, so that a reader that wants some subjects' lines only needn't read the others.
const (
	subjectName = `{"subject":"`
	originName  = `","origin":"`
	numberName  = `","number":`
	indexName   = `,"index":`
	leafName    = `,"leaf":"`
	receiptName = `","receipt":"`
	atName      = `","at":`
	piName      = `","pi":"`
)

// AppendEntry appends an entry's line, with its end.
func AppendEntry(b []byte, e *Entry) []byte {
	b = append(append(b, subjectName...), e.Subject...)
	b = append(append(b, originName...), e.Origin...)
	b = strconv.AppendUint(append(b, numberName...), uint64(e.Number), 10)
	b = strconv.AppendUint(append(b, indexName...), e.Index, 10)
	b = hex.AppendEncode(append(b, leafName...), e.Leaf[:])
	b = append(append(b, receiptName...), e.Receipt...)
	b = strconv.AppendInt(append(b, atName...), e.At, 10)
	return append(b, '}', '\n')
}

// ParseEntry reads a line, without its end. The error is ErrLine.
func ParseEntry(line []byte) (*Entry, error) {
	r := reader{rest: line}
	e := new(Entry)
	e.Subject = r.subject()
	e.Origin = r.origin(numberName)
	e.Number = uint32(r.number(indexName, math.MaxUint32))
	e.Index = r.number(leafName, ijson.MaxNumber)
	if n, err := hex.Decode(e.Leaf[:], r.upTo(receiptName, 64)); n != 32 || err != nil {
		return nil, ErrLine
	}
	e.Receipt = string(r.upTo(atName, 128))
	e.At = int64(r.number("}", ijson.MaxNumber))
	if r.failed || len(r.rest) > 0 || !isReceipt(e.Receipt) {
		return nil, ErrLine
	}
	// What is left of other spellings, such as capital hex digits.
	if again := AppendEntry(make([]byte, 0, len(line)+1), e); !bytes.Equal(again[:len(again)-1], line) {
		return nil, ErrLine
	}
	return e, nil
}

// Scope returns the scope that the entry is in: its party's id.
func (e *Entry) Scope() string {
	scope, _, _ := strings.Cut(e.Receipt, "/")
	return scope
}

// Proof is the VRF proof of k_s of one subject, in one scope and year.
//
//	{"subject":"RSSMRA80A01H501U","origin":"registro.example/2026","pi":"x1nN…107 characters"}
type Proof struct {
	Subject ledger.Subject
	Origin  string
	Pi      [80]byte
}

// AppendProof appends a proof's line, with its end.
func AppendProof(b []byte, p *Proof) []byte {
	b = append(append(b, subjectName...), p.Subject...)
	b = append(append(b, originName...), p.Origin...)
	b = base64.RawURLEncoding.AppendEncode(append(b, piName...), p.Pi[:])
	return append(b, '"', '}', '\n')
}

// ParseProof reads a line, without its end. The error is ErrLine.
func ParseProof(line []byte) (*Proof, error) {
	r := reader{rest: line}
	p := new(Proof)
	p.Subject = r.subject()
	p.Origin = r.origin(piName)
	text := r.upTo(`"}`, 107)
	if r.failed || len(r.rest) > 0 || len(text) != 107 || bytes.ContainsAny(text, "\r\n") {
		return nil, ErrLine
	}
	if n, err := base64.RawURLEncoding.Strict().Decode(p.Pi[:], text); n != len(p.Pi) || err != nil {
		return nil, ErrLine
	}
	return p, nil
}

// SubjectOf returns the bytes of the subject of a line of either kind, which is otherwise not looked at. The error is
// ErrLine.
func SubjectOf(line []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(line, []byte(subjectName))
	end := bytes.IndexByte(rest, '"')
	if !ok || end < 0 {
		return nil, ErrLine
	}
	return rest[:end], nil
}

// Codes of what is wrong with an answer that is otherwise proven.
const (
	CodeOtherScope = "other_scope" // a provider's receipt outside of its submitter's own scope
	CodeNoNumber   = "no_number"   // the party isn't told the number of its event
)

// Entries returns what the party keeps of an answer to its own submission: nothing where the receipt isn't one of a
// provider's side, which alone are numbered in their submitter's scope, or is deferred as it says. The caller has proven
// the answer against the submission (verifier.Receipt); at is when it came. The error is a *ledger.Problem, ErrLine for a
// log whose name no line can hold, or of an answer that wasn't proven.
func Entries(a *ledger.Answer, s *ledger.Submission, at time.Time) ([]Entry, error) {
	first, err := ledger.ParseBody(a.Entries[0].Body)
	if err != nil {
		return nil, err
	}
	receipt, err := ledger.ParseReceipt(first.Receipt)
	if err != nil || receipt.Role != ledger.RoleProvider {
		return nil, err
	}
	// Of what is deferred nobody is told the numbers, nor of what is stated about it.
	if first.Scope == ledger.ScopeDeferred && (receipt.Deferral != ledger.Hex{} || receipt.Statement != nil) {
		return nil, nil
	}
	if first.Scope != receipt.Iss {
		return nil, &ledger.Problem{Code: CodeOtherScope, Where: "/entries/0/body#scope", Expected: receipt.Iss, Found: first.Scope}
	}
	if strings.ContainsAny(a.Origin, `"\\`) || len(s.Subjects) != len(a.Entries) {
		return nil, ErrLine // a name that JSON would have to escape
	}
	list := make([]Entry, len(a.Entries))
	for i, e := range a.Entries {
		if e.Number == nil || *e.Number > math.MaxUint32 {
			return nil, &ledger.Problem{Code: CodeNoNumber, Where: fmt.Sprintf("/entries/%d/number", i), Expected: "the number of the event in its list", Found: "none"}
		}
		leaf := []byte(e.Leaf)
		if a.Range != nil {
			size := len(a.Range.Leaves) / a.Count
			leaf = a.Range.Leaves[i*size : (i+1)*size]
		}
		list[i] = Entry{
			Subject: s.Subjects[i].Subject, Origin: a.Origin, Number: uint32(*e.Number), Index: e.Index, Leaf: ledger.HashLeaf(leaf),
			Receipt: a.ReceiptID, At: at.UnixMilli(),
		}
	}
	return list, nil
}

// reader takes a line apart from its beginning. After it failed it gives nothing.
type reader struct {
	rest   []byte
	failed bool
}

// upTo returns what stands before the next name, at most so many bytes.
func (r *reader) upTo(name string, most int) []byte {
	at := bytes.Index(r.rest, []byte(name))
	if at < 0 || at > most {
		r.rest, r.failed = nil, true
		return nil
	}
	text := r.rest[:at]
	r.rest = r.rest[at+len(name):]
	return text
}

func (r *reader) subject() ledger.Subject {
	if len(r.upTo(subjectName, 0)) > 0 {
		r.failed = true
	}
	s, err := ledger.ParseSubject(string(r.upTo(originName, 16)))
	r.failed = r.failed || err != nil
	return s
}

func (r *reader) origin(name string) string {
	o := string(r.upTo(name, 256))
	_, _, err := ledger.ParseOrigin(o)
	r.failed = r.failed || err != nil || strings.ContainsAny(o, `"\`)
	return o
}

func (r *reader) number(name string, most uint64) uint64 {
	n, err := strconv.ParseUint(string(r.upTo(name, 16)), 10, 64)
	r.failed = r.failed || err != nil || n > most
	return n
}

func isReceipt(id string) bool {
	iss, jti, _ := strings.Cut(id, "/")
	if ledger.CheckID(iss) != nil || len(jti) != 36 {
		return false
	}
	for i, c := range []byte(jti) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (c == '-') || !dash && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
