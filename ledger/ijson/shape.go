// SPDX-License-Identifier: EUPL-1.2

package ijson

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
)

type kind uint8

const (
	kindAny kind = iota
	kindString
	kindText // a string that a TextUnmarshaler reads
	kindNumber
	kindBool
	kindList
	kindDict   // an object with any names
	kindStruct // an object with the names of its fields
)

// shape is what a Go type expects to find in a document.
type shape struct {
	kind     kind
	min, max int64   // of kindNumber
	elem     *shape  // of kindList and kindDict
	fields   []field // of kindStruct, at most 64
	required uint64  // bit i stands for fields[i]
	names    string  // of kindStruct: the fields' names, for messages
}

type field struct {
	name  string
	index int // in the struct
	shape *shape
}

var (
	anyValue  = &shape{kind: kindAny}
	anyObject = &shape{kind: kindDict, elem: anyValue}
	anyList   = &shape{kind: kindList, elem: anyValue}

	rawMessage      = reflect.TypeFor[json.RawMessage]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()

	shapes sync.Map // reflect.Type of a struct to its finished *shape
)

func shapeOf(t reflect.Type) (*shape, error) {
	if known, ok := shapes.Load(t); ok {
		return known.(*shape), nil
	}
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("ijson: can't decode into %v, only into a struct", t)
	}
	made, err := build(t, make(map[reflect.Type]*shape))
	if err != nil {
		return nil, err
	}
	shapes.Store(t, made)
	return made, nil
}

// build makes the shape of t. open holds the structs begun so far, because a
// type may contain itself.
func build(t reflect.Type, open map[reflect.Type]*shape) (*shape, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch p := reflect.PointerTo(t); {
	case t == rawMessage:
		return anyValue, nil
	case p.Implements(textUnmarshaler):
		return &shape{kind: kindText}, nil
	case p.Implements(jsonUnmarshaler):
		return nil, fmt.Errorf("ijson: %v has UnmarshalJSON without UnmarshalText", t)
	}
	switch t.Kind() {
	case reflect.String:
		return &shape{kind: kindString}, nil
	case reflect.Bool:
		return &shape{kind: kindBool}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		limit := min(int64(1)<<(t.Bits()-1)-1, MaxNumber)
		return &shape{kind: kindNumber, min: max(-limit-1, -MaxNumber), max: limit}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &shape{kind: kindNumber, max: int64(min(^uint64(0)>>(64-t.Bits()), MaxNumber))}, nil
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return nil, fmt.Errorf("ijson: %v has no UnmarshalText to say how bytes are written", t)
		}
		elem, err := build(t.Elem(), open)
		return &shape{kind: kindList, elem: elem}, err
	case reflect.Map:
		if t.Key().Kind() != reflect.String || reflect.PointerTo(t.Key()).Implements(textUnmarshaler) {
			return nil, fmt.Errorf("ijson: %v has keys that are no plain strings", t)
		}
		elem, err := build(t.Elem(), open)
		return &shape{kind: kindDict, elem: elem}, err
	case reflect.Struct:
		if begun, ok := open[t]; ok {
			return begun, nil
		}
		s := &shape{kind: kindStruct}
		open[t] = s
		return s, s.addFields(t, open)
	}
	return nil, fmt.Errorf("ijson: can't decode into a %v", t)
}

func (s *shape) addFields(t reflect.Type, open map[reflect.Type]*shape) error {
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		if tag == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case f.Anonymous:
			return fmt.Errorf("ijson: %v embeds %v", t, f.Type)
		case len(s.fields) == 64:
			return fmt.Errorf("ijson: %v has more than 64 fields", t)
		case options != "" && options != "omitempty" && options != "omitzero":
			return fmt.Errorf("ijson: %v.%s has the option %s", t, f.Name, options)
		case name == "":
			name = f.Name
		}
		sub, err := build(f.Type, open)
		if err != nil {
			return fmt.Errorf("%w, in %v.%s", err, t, f.Name)
		}
		if options == "" {
			s.required |= 1 << len(s.fields)
		}
		s.fields = append(s.fields, field{name, i, sub})
		names = append(names, name)
	}
	s.names = strings.Join(names, ", ")
	return nil
}

// find returns the position of the field called name, or -1. Documents mostly
// keep the order of the type, so the one at next is tried first.
func (s *shape) find(name []byte, next int) int {
	if next < len(s.fields) && s.fields[next].name == string(name) {
		return next
	}
	for i := range s.fields {
		if s.fields[i].name == string(name) {
			return i
		}
	}
	return -1
}
