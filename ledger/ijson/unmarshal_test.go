// SPDX-License-Identifier: EUPL-1.2

package ijson

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hash is a type with a text form, as the formats' hashes have.
type hash [2]byte

func (h *hash) UnmarshalText(text []byte) error {
	if len(text) != 4 {
		return &Error{Expected: "4 hex digits", Found: "another length"}
	}
	_, err := hex.Decode(h[:], text)
	return err
}

type inner struct {
	Name string `json:"name"`
	Root *inner `json:"root,omitempty"`
}

// sample has a field of each kind.
type sample struct {
	Text    string            `json:"text"`
	Small   int8              `json:"small,omitempty"`
	Byte    uint8             `json:"byte,omitempty"`
	Signed  int64             `json:"signed,omitzero"`
	Large   uint64            `json:"large,omitempty"`
	Flag    bool              `json:"flag,omitempty"`
	Hash    hash              `json:"hash,omitzero"`
	Hashes  []hash            `json:"hashes,omitempty"`
	Inner   inner             `json:"inner,omitzero"`
	Inners  []inner           `json:"inners,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	ByName  map[string]inner  `json:"by_name,omitempty"`
	Raw     json.RawMessage   `json:"raw,omitempty"`
	Odd     string            `json:"a/b~c,omitempty"`
	At      *time.Time        `json:"at,omitempty"`
	Plain   string            `json:",omitempty"`
	Ignored string            `json:"-"`
	//lint:ignore U1000 no document may set it
	private string
}

const wholeSample = `{"text":"à\n","small":-128,"byte":255,"signed":-9007199254740991,"large":9007199254740991,"flag":true,
	"hash":"00fF","hashes":["0001","0002"],"inner":{"name":"a","root":{"name":"b"}},"inners":[{"name":"c"},{"name":"d"}],
	"headers":{"A":"1","a":"2"},"by_name":{"x":{"name":"e"}},"raw":{ "k":[1,null,"x"]},"a/b~c":"odd","at":"2026-11-22T09:00:00Z","Plain":"p"}`

func TestUnmarshal(t *testing.T) {
	var got sample
	if err := Unmarshal([]byte(wholeSample), &got); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	want := sample{
		Text: "à\n", Small: -128, Byte: 255, Signed: -MaxNumber, Large: MaxNumber, Flag: true,
		Hash: hash{0, 255}, Hashes: []hash{{0, 1}, {0, 2}}, Inner: inner{"a", &inner{Name: "b"}},
		Inners: []inner{{Name: "c"}, {Name: "d"}}, Headers: map[string]string{"A": "1", "a": "2"},
		ByName: map[string]inner{"x": {Name: "e"}}, Raw: json.RawMessage(`{ "k":[1,null,"x"]}`), Odd: "odd", At: &at, Plain: "p",
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(sample{})); diff != "" {
		t.Error(diff)
	}

	got = sample{}
	if err := Unmarshal([]byte(`{"\u0074ext":""}`), &got); err != nil {
		t.Errorf("an escaped name: %v", err)
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	const names = "one of the names text, small, byte, signed, large, flag, hash, hashes, inner, inners, headers, by_name, raw, a/b~c, at, Plain"
	for _, test := range []struct {
		name, doc string
		want      Error
	}{
		{"missing", `{}`, Error{"/text", "a string", "nothing"}},
		{"missing deeper", `{"text":"","inners":[{"name":""},{}]}`, Error{"/inners/1/name", "a string", "nothing"}},
		{"letter case", `{"text":"","Text":""}`, Error{"", names, "an unknown name"}},
		{"only letter case", `{"Text":""}`, Error{"", names, "an unknown name"}},
		{"unknown deeper", `{"text":"","inner":{"name":"","RSSMRA85T10A562S":1}}`, Error{"/inner", "one of the names name, root", "an unknown name"}},
		{"a field that JSON ignores", `{"text":"","Ignored":""}`, Error{"", names, "an unknown name"}},
		{"a field that is not exported", `{"text":"","private":""}`, Error{"", names, "an unknown name"}},
		{"twice", `{"text":"","text":""}`, Error{"/text", "each name once", "a name twice"}},
		{"twice, once escaped", `{"text":"","te\u0078t":""}`, Error{"/text", "each name once", "a name twice"}},
		{"twice in a map", `{"text":"","headers":{"a":"","\u0061":""}}`, Error{"/headers", "each name once", "a name twice at byte 37"}},
		{"twice in a raw value", `{"text":"","raw":[{"a":1,"a":1}]}`, Error{"/raw", "each name once", "a name twice at byte 28"}},
		{"null", `{"text":null}`, Error{"/text", "a string", "null"}},
		{"null for a pointer", `{"text":"","inner":{"name":"","root":null}}`, Error{"/inner/root", "an object", "null"}},
		{"null for a map", `{"text":"","headers":null}`, Error{"/headers", "an object", "null"}},
		{"null in a list", `{"text":"","hashes":["0001",null]}`, Error{"/hashes/1", "a string", "null"}},
		{"null in a map", `{"text":"","headers":{"a":null}}`, Error{"/headers", "a string", "null"}},
		{"a number for a string", `{"text":1}`, Error{"/text", "a string", "a number"}},
		{"a string for a number", `{"text":"","byte":"1"}`, Error{"/byte", "a number", "a string"}},
		{"a number for a flag", `{"text":"","flag":1}`, Error{"/flag", "true or false", "a number"}},
		{"a flag for a hash", `{"text":"","hash":false}`, Error{"/hash", "a string", "true or false"}},
		{"an object for a list", `{"text":"","inners":{"name":""}}`, Error{"/inners", "an array", "an object"}},
		{"an array for an object", `{"text":"","inner":[]}`, Error{"/inner", "an object", "an array"}},
		{"no value", `{"text":}`, Error{"/text", "a string", "something else at byte 8"}},
		{"no word", `{"text":not json}`, Error{"/text", "a string", "something else at byte 8"}},
		{"a word", `{"text":"","flag":truth}`, Error{"/flag", "true", "another word at byte 18"}},
		{"too great", `{"text":"","byte":256}`, Error{"/byte", "a number from 0 to 255", "a number out of that range"}},
		{"too small", `{"text":"","small":-129}`, Error{"/small", "a number from -128 to 127", "a number out of that range"}},
		{"negative", `{"text":"","large":-1}`, Error{"/large", "a number from 0 to 9007199254740991", "a number out of that range"}},
		{"a fraction", `{"text":"","byte":1.0}`, Error{"/byte", "an integer within ±(2^53−1)", "a fraction at byte 19"}},
		{"a text's own words", `{"text":"","hashes":["0001","secret"]}`, Error{"/hashes/1", "4 hex digits", "another length"}},
		{"a text that doesn't say", `{"text":"","hash":"zzzz"}`, Error{"/hash", "a valid ijson.hash", "a string of 4 bytes"}},
		{"a time", `{"text":"","at":"yesterday"}`, Error{"/at", "a valid time.Time", "a string of 9 bytes"}},
		{"a name to escape", `{"text":"","a/b~c":1}`, Error{"/a~1b~0c", "a string", "a number"}},
		{"deep in a map", `{"text":"","by_name":{"RSSMRA85T10A562S":{"name":1}}}`, Error{"/by_name", "a string", "a number"}},
		{"deep in a raw value", `{"text":"","raw":{"a":[{"b":1.5}]}}`, Error{"/raw", "an integer within ±(2^53−1)", "a fraction at byte 29"}},
		{"too deep in a raw value", `{"text":"","raw":` + strings.Repeat("[", 64), Error{"/raw", "at most 64 levels of nesting", "more at byte 80"}},
		{"more after it", `{"text":""}{}`, Error{"", "nothing after the object", "more text at byte 11"}},
		{"no object", `"text"`, Error{"", "an object", "a string"}},
	} {
		var got sample
		err := Unmarshal([]byte(test.doc), &got)
		if diff := cmp.Diff(error(&test.want), err); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
		if diff := cmp.Diff(sample{}, got, cmp.AllowUnexported(sample{})); diff != "" {
			t.Errorf("%s: decoded in spite of the error: %s", test.name, diff)
		}
	}
}

// TestTargets holds that a target this package can't be strict about is refused
// whatever the document.
func TestTargets(t *testing.T) {
	type node struct {
		Next []node `json:"next,omitempty"`
	}
	var many struct {
		A struct {
			B0, B1, B2, B3, B4, B5, B6, B7 struct{} `json:"-"`
		} `json:"a,omitempty"`
	}
	for _, v := range []any{&node{}, &many, &struct{}{}} {
		if err := Unmarshal([]byte(`{}`), v); err != nil {
			t.Errorf("%T: %v", v, err)
		}
	}
	var nothing *node
	for _, v := range []any{
		nil,
		node{},
		nothing,
		new(string),
		new(map[string]string),
		new(json.RawMessage),
		new(struct{ A any }),
		new(struct{ A float64 }),
		new(struct{ A []byte }),
		new(struct{ A [2]string }),
		new(struct{ A map[int]string }),
		new(struct{ A map[time.Time]string }),
		new(struct{ A chan int }),
		new(struct{ A []any }),
		new(struct {
			A int `json:"a,string"`
		}),
		new(struct{ inner }),
		new(struct{ A onlyJSON }),
		new(struct{ A struct{ A complex64 } }),
		manyFields(),
	} {
		err := Unmarshal([]byte(`{}`), v)
		if bad := (*Error)(nil); err == nil || errors.As(err, &bad) {
			t.Errorf("%T: %v", v, err)
		}
	}
	// has a text form, so it is a string and not a number
	if err := Unmarshal([]byte(`{"A":1}`), new(struct{ A big.Int })); !cmp.Equal(err, error(&Error{"/A", "a string", "a number"})) {
		t.Error(err)
	}
	if err := Unmarshal([]byte(`{}`), new(time.Time)); !cmp.Equal(err, error(&Error{"", "a string", "an object"})) {
		t.Error(err)
	}
}

type onlyJSON struct{}

func (*onlyJSON) UnmarshalJSON([]byte) error { return nil }

// manyFields points to a struct with one field more than fit.
func manyFields() any {
	return new(struct {
		A0, A1, A2, A3, A4, A5, A6, A7, A8, A9, B0, B1, B2, B3, B4, B5, B6, B7, B8, B9, C0, C1, C2, C3, C4, C5, C6, C7, C8, C9, D0, D1,
		D2, D3, D4, D5, D6, D7, D8, D9, E0, E1, E2, E3, E4, E5, E6, E7, E8, E9, F0, F1, F2, F3, F4, F5, F6, F7, F8, F9, G0, G1, G2, G3,
		G4 string
	})
}

// TestUnmarshalKnown: names that a type doesn't have are passed over in the document's own object, and there alone.
func TestUnmarshalKnown(t *testing.T) {
	type in struct {
		A int `json:"a"`
	}
	type out struct {
		B string `json:"b"`
		I in     `json:"i"`
	}
	for doc, want := range map[string]string{
		`{"x":[{"b":1}],"b":"c","B":null,"i":{"a":1},"y":{}}`: "",
		`{"b":"c","i":{"a":1}}`:                               "",
		`{"x":1,"b":"c","i":{"a":1},"x":2}`:                   "expected each name once, found a name twice at byte 30",
		`{"b":"c","x":1,"i":{"a":1},"b":"c"}`:                 "at /b: expected each name once, found a name twice",
		`{"b":"c","i":{"a":1,"x":1}}`:                         "at /i: expected one of the names a, found an unknown name",
		`{"B":"c","i":{"a":1}}`:                               "at /b: expected a string, found nothing",
		`{"b":"c","i":{"a":1},"x":1.5}`:                       "expected an integer within ±(2^53−1), found a fraction at byte 26",
		`{"b":"c","i":{"a":1},"x":{"y":1,"y":1}}`:             "expected each name once, found a name twice at byte 35",
	} {
		var got out
		err := UnmarshalKnown([]byte(doc), &got)
		switch {
		case want == "" && (err != nil || got != out{"c", in{1}}):
			t.Errorf("%s: %+v, %v", doc, got, err)
		case want != "" && (err == nil || !strings.HasSuffix(err.Error(), want)):
			t.Errorf("%s: %v, want %s", doc, err, want)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(wholeSample))
	f.Add([]byte(`{"text":""}`))
	f.Add([]byte(`{"text":"\ud83d\ude00","raw":[],"headers":{"\u0061":"\\"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var got, other, again sample
		if err := Unmarshal(data, &got); err != nil {
			if bad := (*Error)(nil); !errors.As(err, &bad) {
				t.Fatalf("%#v", err)
			}
			return
		}
		if err := Check(data); err != nil {
			t.Fatalf("%q decodes, but: %v", data, err)
		}
		if err := json.Unmarshal(data, &other); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if diff := cmp.Diff(got, other, cmp.AllowUnexported(sample{})); diff != "" {
			t.Errorf("%q: %s", data, diff)
		}
		got.Hash, got.Hashes = hash{}, nil // which have no MarshalText
		formatted, err := json.Marshal(got)
		if err != nil {
			return // years beyond 9999
		}
		if err := Unmarshal(formatted, &again); err != nil {
			t.Fatalf("%q becomes %q: %v", data, formatted, err)
		}
	})
}
