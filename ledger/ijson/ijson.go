// SPDX-License-Identifier: EUPL-1.2

// Package ijson reads JSON as every format of Traccia wants it: one I-JSON
// object (RFC 7493), with the narrower rules of the format page's notation.
//
// What it accepts:
//
//	{"jti":"0b0f2c5e-…","iat":1795305600,"subjects":{"count":1,"root":"9f…"}}
//
// UTF-8 without a byte order mark; no name twice in an object, compared after
// unescaping; no unpaired surrogate and no noncharacter, raw or escaped, in a
// string or name; nothing but JSON white space around the object; nesting of at
// most [MaxDepth], the object itself being level 1; numbers only as 0 or
// -?[1-9][0-9]*, within ±(2^53−1).
//
// Nothing is trusted. Two readers that take a document through this package
// read the same members and the same values from it, whatever else parses JSON
// on their side: that is why it exists beside encoding/json, which lets the last
// of two equal names win, ignores letter case and replaces broken text. All that
// this package accepts, encoding/json accepts too.
//
// The documents hold personal data, in values and possibly in names that nobody
// foresaw. An [Error] therefore repeats no value and no name from the document:
// only names that the Go type declares, array positions, kinds, lengths and
// offsets.
package ijson

import (
	"encoding/json"
	"reflect"
)

// MaxDepth is the deepest nesting of objects and arrays; the document's own
// object is level 1.
const MaxDepth = 64

// MaxNumber is the greatest magnitude of a number, 2^53−1.
const MaxNumber = 1<<53 - 1

// Error says why a document was refused. It is the only error type of this
// package for bad documents.
type Error struct {
	// Pointer is the RFC 6901 pointer of the offending value, "" for the
	// document. It goes no deeper than the names that the Go type declares, so
	// it is always "" from Check.
	Pointer string
	// Expected and Found complete "expected …, found …".
	Expected, Found string
}

func (e *Error) Error() string {
	at := ""
	if e.Pointer != "" {
		at = " at " + e.Pointer
	}
	return "bad JSON" + at + ": expected " + e.Expected + ", found " + e.Found
}

// Check reports whether data is one strict I-JSON object; if not, as an *Error.
func Check(data []byte) error {
	s := scanner{data: data}
	if err := s.document(anyObject, reflect.Value{}); err != nil {
		return err
	}
	return nil
}

// Unmarshal decodes one strict I-JSON object into the struct that v points to,
// which should be zero. Members match the names in the json tags exactly; others
// are refused; a field without omitempty or omitzero must be there; null is
// refused. A bad document gives an *Error.
//
// Fields may be strings, integers, booleans, structs, slices, maps with string
// keys, pointers to these, and json.RawMessage, which takes any value. A type
// with UnmarshalText takes a string; when it refuses with an *Error, that one's
// Expected and Found are passed on, so they must not repeat the text. Another
// target is a programming error and gives another error.
func Unmarshal(data []byte, v any) error { return unmarshal(data, v, false) }

// UnmarshalKnown is Unmarshal for a document to which others may add: members of its object with other names are passed over.
func UnmarshalKnown(data []byte, v any) error { return unmarshal(data, v, true) }

func unmarshal(data []byte, v any, added bool) error {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return &json.InvalidUnmarshalError{Type: reflect.TypeOf(v)}
	}
	want, err := shapeOf(p.Type().Elem())
	if err != nil {
		return err
	}
	s := scanner{data: data, added: added}
	if err := s.document(want, p.Elem()); err != nil {
		p.Elem().SetZero()
		return err
	}
	return nil
}
