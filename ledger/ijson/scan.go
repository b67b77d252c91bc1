// SPDX-License-Identifier: EUPL-1.2

package ijson

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// scanner walks one document once. It allocates only for untyped objects,
// for names with escapes, for texts and for errors.
type scanner struct {
	data []byte
	pos  int
	// names of the untyped objects that are open, innermost last
	names [][]byte
}

func (s *scanner) document(want *shape) *Error {
	if bytes.HasPrefix(s.data, []byte("\ufeff")) {
		return &Error{Expected: "an object", Found: "a byte order mark"}
	}
	s.space()
	if s.peek() != '{' {
		return &Error{Expected: "an object", Found: s.kindFound()}
	}
	if err := s.value(want, 1); err != nil {
		return err
	}
	s.space()
	if s.pos < len(s.data) {
		return s.syntax("nothing after the object", "more text")
	}
	return nil
}

// value scans the value at pos, which lies at this nesting level if it is an
// object or array.
func (s *scanner) value(want *shape, level int) *Error {
	switch c := s.peek(); {
	case c == '{' && (want.kind == kindStruct || want.kind == kindDict || want.kind == kindAny):
		if level > MaxDepth {
			return s.syntax("at most 64 levels of nesting", "more")
		}
		if want.kind == kindStruct {
			return s.members(want, level)
		}
		return s.dict(want, level)
	case c == '[' && (want.kind == kindList || want.kind == kindAny):
		if level > MaxDepth {
			return s.syntax("at most 64 levels of nesting", "more")
		}
		return s.list(want, level)
	case c == '"' && want.kind == kindText:
		return s.text(want.typ)
	case c == '"' && (want.kind == kindString || want.kind == kindAny):
		_, _, err := s.str()
		return err
	case (c == '-' || '0' <= c && c <= '9') && (want.kind == kindNumber || want.kind == kindAny):
		n, err := s.number()
		if err == nil && want.kind == kindNumber && (n < want.min || n > want.max) {
			return &Error{Expected: fmt.Sprintf("a number from %d to %d", want.min, want.max), Found: "a number out of that range"}
		}
		return err
	case (c == 't' || c == 'f') && (want.kind == kindBool || want.kind == kindAny):
		if c == 't' {
			return s.word("true")
		}
		return s.word("false")
	case c == 'n' && want.kind == kindAny:
		return s.word("null")
	}
	if found := s.kindFound(); want.kind != kindAny && found != notValue && found != theEnd {
		return &Error{Expected: want.kind.String(), Found: found}
	}
	return s.syntax(want.kind.String(), s.kindFound())
}

// members scans an object with the names of a struct's fields.
func (s *scanner) members(want *shape, level int) *Error {
	var seen uint64
	next := 0
	for more := s.open('}'); more; {
		name, err := s.name()
		if err != nil {
			return err
		}
		i := want.find(name, next)
		if i < 0 {
			return &Error{Expected: "one of the names " + want.names, Found: "an unknown name"}
		}
		f := &want.fields[i]
		next = i + 1
		if seen&(1<<i) != 0 {
			return (&Error{Expected: "each name once", Found: "a name twice"}).under(f.name)
		}
		seen |= 1 << i
		if err := s.member(f.shape, level); err != nil {
			return err.under(f.name)
		}
		if more, err = s.next('}'); err != nil {
			return err
		}
	}
	if missing := want.required &^ seen; missing != 0 {
		f := &want.fields[bits.TrailingZeros64(missing)]
		return (&Error{Expected: f.shape.kind.String(), Found: "nothing"}).under(f.name)
	}
	return nil
}

// dict scans an object with any names. Errors inside don't name the member.
func (s *scanner) dict(want *shape, level int) *Error {
	elem := anyValue
	if want.kind == kindDict {
		elem = want.elem
	}
	if s.names == nil {
		s.names = make([][]byte, 0, fewNames)
	}
	seen := nameSet{base: len(s.names)}
	for more := s.open('}'); more; {
		name, err := s.name()
		if err != nil {
			return err
		}
		if !s.add(&seen, name) {
			return s.syntax("each name once", "a name twice")
		}
		if err := s.member(elem, level); err != nil {
			err.Pointer = ""
			return err
		}
		if more, err = s.next('}'); err != nil {
			return err
		}
	}
	s.names = s.names[:seen.base]
	return nil
}

// fewNames is up to how many names of an object are compared one by one.
const fewNames = 32

// nameSet holds the names of one untyped object: scanner.names from base on,
// and once those are more than a few, all of them in a map.
type nameSet struct {
	base int
	many map[string]struct{}
}

// add returns false if the name, unescaped, is in the set already.
func (s *scanner) add(set *nameSet, name []byte) bool {
	if set.many != nil {
		before := len(set.many)
		set.many[string(name)] = struct{}{}
		return len(set.many) > before
	}
	few := s.names[set.base:]
	for _, other := range few {
		if string(other) == string(name) {
			return false
		}
	}
	s.names = append(s.names, name)
	if len(few) == fewNames {
		set.many = make(map[string]struct{}, 4*fewNames)
		for _, other := range s.names[set.base:] {
			set.many[string(other)] = struct{}{}
		}
	}
	return true
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

// member scans what follows a name.
func (s *scanner) member(want *shape, level int) *Error {
	s.space()
	if s.peek() != ':' {
		return s.syntax("a colon", s.kindFound())
	}
	s.pos++
	s.space()
	return s.value(want, level+1)
}

func (s *scanner) list(want *shape, level int) *Error {
	elem := anyValue
	if want.kind == kindList {
		elem = want.elem
	}
	i := 0
	for more := s.open(']'); more; i++ {
		err := s.value(elem, level+1)
		if err != nil && want.kind == kindAny {
			return err
		}
		if err != nil {
			return err.under(strconv.Itoa(i))
		}
		if more, err = s.next(']'); err != nil {
			return err
		}
	}
	return nil
}

// text scans a string and has a value of type t judge it.
func (s *scanner) text(t reflect.Type) *Error {
	text, escaped, bad := s.str()
	if bad != nil {
		return bad
	}
	if escaped {
		text = unescape(text)
	}
	err := reflect.New(t).Interface().(encoding.TextUnmarshaler).UnmarshalText(text)
	if err == nil {
		return nil
	}
	if said := (*Error)(nil); errors.As(err, &said) {
		return &Error{Expected: said.Expected, Found: said.Found}
	}
	return &Error{Expected: "a valid " + t.String(), Found: fmt.Sprintf("a string of %d bytes", len(text))}
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

func (s *scanner) word(w string) *Error {
	if !bytes.HasPrefix(s.data[s.pos:], []byte(w)) {
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
	case c == 't' || c == 'f':
		return "true or false"
	case c == 'n':
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
