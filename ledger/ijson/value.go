// SPDX-License-Identifier: EUPL-1.2

package ijson

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"math/bits"
	"reflect"
	"strconv"
)

// value scans the value at pos, which lies at this nesting level if it is an
// object or array. into fits its shape, or is the zero Value: so it always is
// inside a value of any kind, which is kept as it stands.
func (s *scanner) value(want *shape, level int, into reflect.Value) *Error {
	if want.kind != kindAny {
		return s.typed(want, level, settle(into))
	}
	start := s.pos
	if err := s.any(level); err != nil {
		return err
	}
	if into.IsValid() {
		settle(into).SetBytes(bytes.Clone(s.data[start:s.pos]))
	}
	return nil
}

// settle follows pointers down to a value, making what they point to.
func settle(into reflect.Value) reflect.Value {
	for into.IsValid() && into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	return into
}

// any scans a value of any kind.
func (s *scanner) any(level int) *Error {
	none := reflect.Value{}
	switch c := s.peek(); {
	case c == '{':
		return s.dict(anyObject, level, none)
	case c == '[':
		return s.list(anyList, level, none)
	case c == '"':
		_, _, err := s.str()
		return err
	case c == '-' || '0' <= c && c <= '9':
		_, err := s.number()
		return err
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	}
	return s.syntax(kindAny.String(), s.kindFound())
}

// typed scans a value of the kind that is wanted.
func (s *scanner) typed(want *shape, level int, into reflect.Value) *Error {
	switch c := s.peek(); {
	case c == '{' && want.kind == kindStruct:
		return s.members(want, level, into)
	case c == '{' && want.kind == kindDict:
		return s.dict(want, level, into)
	case c == '[' && want.kind == kindList:
		return s.list(want, level, into)
	case c == '"' && want.kind == kindText:
		return s.text(into)
	case c == '"' && want.kind == kindString:
		raw, escaped, err := s.str()
		if err != nil {
			return err
		}
		if escaped {
			raw = unescape(raw)
		}
		into.SetString(string(raw))
		return nil
	case (c == '-' || '0' <= c && c <= '9') && want.kind == kindNumber:
		n, err := s.number()
		switch {
		case err != nil:
			return err
		case n < want.min || n > want.max:
			return &Error{Expected: fmt.Sprintf("a number from %d to %d", want.min, want.max), Found: "a number out of that range"}
		case into.CanInt():
			into.SetInt(n)
		default:
			into.SetUint(uint64(n))
		}
		return nil
	case (c == 't' || c == 'f') && want.kind == kindBool:
		into.SetBool(c == 't')
		if c == 't' {
			return s.word("true")
		}
		return s.word("false")
	}
	if found := s.kindFound(); found != notValue && found != theEnd {
		return &Error{Expected: want.kind.String(), Found: found}
	}
	return s.syntax(want.kind.String(), s.kindFound())
}

// deeper refuses an object or array at too deep a level.
func (s *scanner) deeper(level int) *Error {
	if level > MaxDepth {
		return s.syntax("at most 64 levels of nesting", "more")
	}
	return nil
}

// members scans an object with the names of a struct's fields.
func (s *scanner) members(want *shape, level int, into reflect.Value) *Error {
	if err := s.deeper(level); err != nil {
		return err
	}
	var seen uint64
	others := nameSet{base: len(s.names)}
	next := 0
	for more := s.open('}'); more; {
		name, err := s.name()
		if err != nil {
			return err
		}
		i := want.find(name, next)
		if i < 0 && s.added && level == 1 {
			if !s.add(&others, name) {
				return s.syntax("each name once", "a name twice")
			}
			if err = s.member(anyValue, level, reflect.Value{}); err != nil {
				return err
			}
			if more, err = s.next('}'); err != nil {
				return err
			}
			continue
		}
		if i < 0 {
			return &Error{Expected: "one of the names " + want.names, Found: "an unknown name"}
		}
		f := &want.fields[i]
		next = i + 1
		if seen&(1<<i) != 0 {
			return (&Error{Expected: "each name once", Found: "a name twice"}).under(f.name)
		}
		seen |= 1 << i
		if err := s.member(f.shape, level, into.Field(f.index)); err != nil {
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
func (s *scanner) dict(want *shape, level int, into reflect.Value) *Error {
	if err := s.deeper(level); err != nil {
		return err
	}
	if into.IsValid() {
		into.Set(reflect.MakeMap(into.Type()))
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
		var value reflect.Value
		if into.IsValid() {
			value = reflect.New(into.Type().Elem()).Elem()
		}
		if err := s.member(want.elem, level, value); err != nil {
			err.Pointer = ""
			return err
		}
		if into.IsValid() {
			into.SetMapIndex(reflect.ValueOf(string(name)).Convert(into.Type().Key()), value)
		}
		if more, err = s.next('}'); err != nil {
			return err
		}
	}
	s.names = s.names[:seen.base]
	return nil
}

// member scans what follows a name.
func (s *scanner) member(want *shape, level int, into reflect.Value) *Error {
	s.space()
	if s.peek() != ':' {
		return s.syntax("a colon", s.kindFound())
	}
	s.pos++
	s.space()
	return s.value(want, level+1, into)
}

func (s *scanner) list(want *shape, level int, into reflect.Value) *Error {
	if err := s.deeper(level); err != nil {
		return err
	}
	if into.IsValid() {
		into.Set(reflect.MakeSlice(into.Type(), 0, 0))
	}
	i := 0
	for more := s.open(']'); more; i++ {
		var value reflect.Value
		if into.IsValid() {
			into.Grow(1)
			into.SetLen(i + 1)
			value = into.Index(i)
		}
		err := s.value(want.elem, level+1, value)
		if err != nil && want == anyList {
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

// text scans a string and has the value that it is for read it.
func (s *scanner) text(into reflect.Value) *Error {
	text, escaped, bad := s.str()
	if bad != nil {
		return bad
	}
	if escaped {
		text = unescape(text)
	}
	err := into.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(text)
	if err == nil {
		return nil
	}
	if said := (*Error)(nil); errors.As(err, &said) {
		return &Error{Expected: said.Expected, Found: said.Found}
	}
	return &Error{Expected: "a valid " + into.Type().String(), Found: fmt.Sprintf("a string of %d bytes", len(text))}
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
