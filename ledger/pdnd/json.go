// SPDX-License-Identifier: EUPL-1.2

package pdnd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/traccia-ledger/traccia/ledger"
)

// maxDepth bounds the nesting of a token's JSON; the object itself is level 1.
const maxDepth = 64

// latest is the last second that RFC 3339 can write (year 9999).
const latest = 253402300799

// member points into the bytes parsed.
type member struct {
	name []byte // unescaped
	raw  []byte
}

type duplicateError struct{ name string }

func (e *duplicateError) Error() string { return "a name occurs twice" }

var errNotObject = errors.New("not one JSON object")

// parseObject returns the members of the one JSON object that data is. A name that occurs twice, at whatever depth, is
// refused: two readers of such a token could see two different claims.
func parseObject(data []byte) ([]member, error) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, errNotObject
	}
	w := walker{data: data}
	w.space()
	if w.data[w.at] != '{' {
		return nil, errNotObject
	}
	return w.object(1)
}

// walker goes over JSON that json.Valid has accepted, so it needn't look for syntax errors.
type walker struct {
	data []byte
	at   int
}

func (w *walker) space() {
	for w.at < len(w.data) {
		switch w.data[w.at] {
		case ' ', '\t', '\r', '\n':
			w.at++
		default:
			return
		}
	}
}

func (w *walker) object(depth int) ([]member, error) {
	if depth > maxDepth {
		return nil, errNotObject
	}
	members := make([]member, 0, 16)
	var seen map[string]bool
	w.at++
	for {
		w.space()
		if w.data[w.at] == '}' {
			w.at++
			return members, nil
		}
		if w.data[w.at] == ',' {
			w.at++
			continue
		}
		quoted := w.text()
		name := quoted[1 : len(quoted)-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			name = []byte(unquote(quoted))
		}
		if len(members) == 16 {
			seen = make(map[string]bool)
			for _, m := range members {
				seen[string(m.name)] = true
			}
		}
		if seen != nil {
			if seen[string(name)] {
				return nil, &duplicateError{string(name)}
			}
			seen[string(name)] = true
		} else if find(members, string(name)) != nil {
			return nil, &duplicateError{string(name)}
		}
		w.space()
		w.at++ // the colon
		w.space()
		start := w.at
		if err := w.value(depth); err != nil {
			return nil, err
		}
		members = append(members, member{name, w.data[start:w.at]})
	}
}

func (w *walker) value(depth int) error {
	switch w.data[w.at] {
	case '{':
		_, err := w.object(depth + 1)
		return err
	case '[':
		if depth == maxDepth {
			return errNotObject
		}
		w.at++
		for {
			w.space()
			switch w.data[w.at] {
			case ']':
				w.at++
				return nil
			case ',':
				w.at++
			default:
				if err := w.value(depth + 1); err != nil {
					return err
				}
			}
		}
	case '"':
		w.text()
	default:
		for strings.IndexByte(",]} \t\r\n", w.data[w.at]) < 0 {
			w.at++
		}
	}
	return nil
}

// text moves over a string and returns it, quotes included.
func (w *walker) text() []byte {
	start := w.at
	for w.at++; w.data[w.at] != '"'; w.at++ {
		if w.data[w.at] == '\\' {
			w.at++
		}
	}
	w.at++
	return w.data[start:w.at]
}

func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return string(raw)
	}
	return s
}

// find returns the raw value, or nil. (A value that is there is never empty.)
func find(members []member, name string) []byte {
	for i := range members {
		if string(members[i].name) == name {
			return members[i].raw
		}
	}
	return nil
}

// kind says what a value is without saying the value.
func kind(raw []byte) string {
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '"':
		return fmt.Sprintf("a string of %d characters", utf8.RuneCountInString(unquote(raw)))
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// reader reads claims one by one and keeps the first problem.
type reader struct {
	where   string // "voucher", "evidence" …
	members []member
	problem *ledger.Problem
}

func (r *reader) refuse(code, name, expected, found string) {
	if r.problem == nil {
		r.problem = &ledger.Problem{Code: code, Where: r.where + "#" + name, Expected: expected, Found: found}
	}
}

// wrong refuses a claim that is missing or not of the shape expected.
func (r *reader) wrong(name, expected string) {
	raw := find(r.members, name)
	if raw == nil {
		r.refuse(ledger.CodeMissing, name, expected, "nothing")
		return
	}
	r.refuse(ledger.CodeBadValue, name, expected, kind(raw))
}

func (r *reader) has(name string) bool { return find(r.members, name) != nil }

// text reads a required string of 1 to limit bytes.
func (r *reader) text(name string, limit int) string {
	raw := find(r.members, name)
	if len(raw) > 2 && raw[0] == '"' {
		if s := unquote(raw); len(s) <= limit {
			return s
		}
	}
	r.wrong(name, fmt.Sprintf("a string of 1 to %d bytes", limit))
	return ""
}

func (r *reader) uuid(name string) string {
	if raw := find(r.members, name); len(raw) == 38 && raw[0] == '"' {
		if s := unquote(raw); isUUID(s) {
			return s
		}
	}
	r.wrong(name, "a uuid in lower case")
	return ""
}

func (r *reader) optionalUUID(name string) string {
	if !r.has(name) {
		return ""
	}
	return r.uuid(name)
}

// parseStrings returns the strings of an array, or nil if it is anything else.
func parseStrings(raw []byte) []string {
	var values []*string // null isn't a string
	if json.Unmarshal(raw, &values) != nil || slices.Contains(values, nil) {
		return nil
	}
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = *v
	}
	return texts
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case !isHex(c):
			return false
		}
	}
	return true
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' }

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// seconds reads a required NumericDate; fractions, exponents and signs are refused.
func (r *reader) seconds(name string) time.Time {
	raw := string(find(r.members, name))
	if isDigits(raw) {
		if n, err := strconv.ParseInt(raw, 10, 64); err == nil && n <= latest {
			return time.Unix(n, 0).UTC()
		}
	}
	r.wrong(name, "a whole number of seconds since 1970")
	return time.Time{}
}
