// SPDX-License-Identifier: EUPL-1.2

package ijson

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// scanner walks one document once and, where it was given a place, puts there
// what it finds. Beside what it decodes it allocates only for untyped objects,
// for escapes and for errors.
type scanner struct {
	data []byte
	pos  int
	// names of the untyped objects that are open, innermost last
	names [][]byte
	added bool // the document's object may have names that its struct hasn't
}

// document scans the whole. into is where its object goes, or the zero Value.
func (s *scanner) document(want *shape, into reflect.Value) *Error {
	if bytes.HasPrefix(s.data, []byte("\ufeff")) {
		return &Error{Expected: "an object", Found: "a byte order mark"}
	}
	s.space()
	if s.peek() != '{' {
		return &Error{Expected: "an object", Found: s.kindFound()}
	}
	if err := s.value(want, 1, into); err != nil {
		return err
	}
	s.space()
	if s.pos < len(s.data) {
		return s.syntax("nothing after the object", "more text")
	}
	return nil
}

// open steps into the object or array at pos and says whether it has members.
func (s *scanner) open(closing byte) bool {
	s.pos++
	s.space()
	if s.peek() == closing {
		s.pos++
		return false
	}
	return true
}

// next steps over the comma after a member, or out of the object or array.
func (s *scanner) next(closing byte) (more bool, err *Error) {
	s.space()
	switch s.peek() {
	case closing:
		s.pos++
		return false, nil
	case ',':
		s.pos++
		s.space()
		return true, nil
	}
	if closing == '}' {
		return false, s.syntax("a comma or the object's end", s.kindFound())
	}
	return false, s.syntax("a comma or the array's end", s.kindFound())
}

// name returns a member's name, unescaped.
func (s *scanner) name() ([]byte, *Error) {
	if s.peek() != '"' {
		return nil, s.syntax("a name", s.kindFound())
	}
	raw, escaped, err := s.str()
	if err != nil || !escaped {
		return raw, err
	}
	return unescape(raw), nil
}

func (s *scanner) number() (int64, *Error) {
	const form = "an integer within ±(2^53−1)"
	negative := s.peek() == '-'
	if negative {
		s.pos++
	}
	start := s.pos
	var n int64
	for ; s.pos < len(s.data) && '0' <= s.data[s.pos] && s.data[s.pos] <= '9'; s.pos++ {
		if n > MaxNumber/10 {
			return 0, s.syntax(form, "a greater number")
		}
		n = n*10 + int64(s.data[s.pos]-'0')
	}
	switch c := s.peek(); {
	case s.pos == start:
		return 0, s.syntax(form, "no digits")
	case s.data[start] == '0' && s.pos > start+1:
		return 0, s.syntax(form, "a leading zero")
	case n == 0 && negative:
		return 0, s.syntax(form, "minus zero")
	case n > MaxNumber:
		return 0, s.syntax(form, "a greater number")
	case c == '.':
		return 0, s.syntax(form, "a fraction")
	case c == 'e' || c == 'E':
		return 0, s.syntax(form, "an exponent")
	}
	if negative {
		n = -n
	}
	return n, nil
}

// at says whether w stands at pos.
func (s *scanner) at(w string) bool { return bytes.HasPrefix(s.data[s.pos:], []byte(w)) }

func (s *scanner) word(w string) *Error {
	if !s.at(w) {
		return s.syntax(w, "another word")
	}
	s.pos += len(w)
	return nil
}

// str scans a string and returns what stands between the quotes, a part of
// data, and whether it has escapes.
func (s *scanner) str() (raw []byte, escaped bool, err *Error) {
	data, i := s.data, s.pos+1
	for i < len(data) {
		for i+8 <= len(data) && plain(binary.LittleEndian.Uint64(data[i:])) {
			i += 8
		}
		if i == len(data) {
			break
		}
		switch c := data[i]; {
		case c == '"':
			raw = data[s.pos+1 : i]
			s.pos = i + 1
			return raw, escaped, nil
		case c == '\\':
			escaped = true
			r, n := decodeEscape(data[i:])
			if n == 0 {
				s.pos = i
				return nil, false, s.syntax("a valid escape", "another, or an unpaired surrogate")
			}
			if noncharacter(r) {
				s.pos = i
				return nil, false, s.syntax("characters", "an escaped noncharacter")
			}
			i += n
		case c < 0x20:
			s.pos = i
			return nil, false, s.syntax("characters", "a control character")
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(data[i:])
			if n == 1 {
				s.pos = i
				return nil, false, s.syntax("UTF-8", "other bytes")
			}
			if noncharacter(r) {
				s.pos = i
				return nil, false, s.syntax("characters", "a noncharacter")
			}
			i += n
		}
	}
	s.pos = i
	return nil, false, s.syntax("a closing quote", theEnd)
}

// plain says whether all eight bytes of w are ASCII of a string that needs no
// second look: neither control characters nor quote nor backslash.
func plain(w uint64) bool {
	const low, high = 0x0101010101010101, 0x8080808080808080
	quote, backslash := w^'"'*low, w^'\\'*low
	// Each term sets the top bit of some byte if and only if one is found.
	return (w|(w-' '*low)|(quote-low)&^quote|(backslash-low)&^backslash)&high == 0
}

// noncharacter says whether Unicode reserves r for internal use.
func noncharacter(r rune) bool {
	return r&0xfffe == 0xfffe || 0xfdd0 <= r && r <= 0xfdef
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the byte at pos, or 0 at the end; no syntax has a zero byte.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

// syntax makes the error of a document that is no strict I-JSON, which an
// offset finds better than a pointer alone.
func (s *scanner) syntax(expected, found string) *Error {
	return &Error{Expected: expected, Found: found + " at byte " + strconv.Itoa(s.pos)}
}

// under puts one more reference token before the pointer.
func (e *Error) under(token string) *Error {
	e.Pointer = "/" + pointerEscape.Replace(token) + e.Pointer
	return e
}

var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1")

const (
	theEnd   = "the end"
	notValue = "something else"
)

// kindFound names the kind of value that starts at pos.
func (s *scanner) kindFound() string {
	if s.pos >= len(s.data) {
		return theEnd
	}
	switch c := s.data[s.pos]; {
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case c == '"':
		return "a string"
	case c == '-' || '0' <= c && c <= '9':
		return "a number"
	case s.at("true") || s.at("false"):
		return "true or false"
	case s.at("null"):
		return "null"
	}
	return notValue
}

func (k kind) String() string {
	switch k {
	case kindString, kindText:
		return "a string"
	case kindNumber:
		return "a number"
	case kindBool:
		return "true or false"
	case kindList:
		return "an array"
	case kindDict, kindStruct:
		return "an object"
	}
	return "a value"
}
