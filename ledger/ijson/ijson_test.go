// SPDX-License-Identifier: EUPL-1.2

package ijson

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

type vectors struct {
	JSON    []string `json:"json"`
	Refused []struct {
		Why string `json:"why"`
		Hex string `json:"hex"`
	} `json:"json_refused"`
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	data, err := os.ReadFile("../testdata/vectors-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.JSON) < 10 || len(v.Refused) < 40 {
		t.Fatalf("only %d and %d vectors", len(v.JSON), len(v.Refused))
	}
	return v
}

func TestVectors(t *testing.T) {
	v := readVectors(t)
	for _, doc := range v.JSON {
		if err := Check([]byte(doc)); err != nil {
			t.Errorf("%s: %v", doc, err)
		}
	}
	for _, r := range v.Refused {
		doc, err := hex.DecodeString(r.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if Check(doc) == nil {
			t.Errorf("%s: accepted", r.Why)
		}
		// the same one level down, and within an array
		for _, around := range []string{`{"x":%s}`, `{"x":[0,%s]}`, `{"x":{"":%s}}`} {
			if json.Valid(doc) && doc[0] != '[' && doc[0] != '"' && doc[0] != 'n' {
				if deeper := fmt.Appendf(nil, around, doc); Check(deeper) == nil {
					t.Errorf("%s: accepted as %s", r.Why, deeper)
				}
			}
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	for _, test := range []struct{ name, doc, expected, found string }{
		{"nothing", ``, "an object", "the end"},
		{"a byte order mark", "\ufeff{}", "an object", "a byte order mark"},
		{"a number", `1`, "an object", "a number"},
		{"true", `true`, "an object", "true or false"},
		{"text", `x`, "an object", "something else"},
		{"text that begins as null does", `not json`, "an object", "something else"},
		{"no end", `{"a":1`, "a comma or the object's end", "the end at byte 6"},
		{"no value", `{"a":`, "a value", "the end at byte 5"},
		{"no colon", `{"a" 1}`, "a colon", "a number at byte 5"},
		{"no name", `{1:1}`, "a name", "a number at byte 1"},
		{"no comma", `{"a":[1 2]}`, "a comma or the array's end", "a number at byte 8"},
		{"no array's end", `{"a":[1`, "a comma or the array's end", "the end at byte 7"},
		{"a comma too many in an array", `{"a":[1,]}`, "a value", "something else at byte 8"},
		{"an open string", `{"a":"b`, "a closing quote", "the end at byte 7"},
		{"an open name", `{"a`, "a closing quote", "the end at byte 3"},
		{"a lone backslash", `{"a":"\`, "a valid escape", "another, or an unpaired surrogate at byte 6"},
		{"an unknown escape", `{"a":"\x41"}`, "a valid escape", "another, or an unpaired surrogate at byte 6"},
		{"a short escape", `{"a":"\u12"}`, "a valid escape", "another, or an unpaired surrogate at byte 6"},
		{"a signed escape", `{"a":"\u+123"}`, "a valid escape", "another, or an unpaired surrogate at byte 6"},
		{"a surrogate and a letter", `{"a":"\ud83dx"}`, "a valid escape", "another, or an unpaired surrogate at byte 6"},
		{"half a surrogate pair", `{"a":"\ud83d\u"}`, "a valid escape", "another, or an unpaired surrogate at byte 6"},
		{"two high surrogates", `{"a":"\ud83d\ud83d"}`, "a valid escape", "another, or an unpaired surrogate at byte 6"},
		{"an escaped noncharacter", `{"a":"b\ufdd0"}`, "characters", "an escaped noncharacter at byte 7"},
		{"a noncharacter of another plane", "{\"a\":\"\U0001ffff\"}", "characters", "a noncharacter at byte 6"},
		{"the last noncharacter", "{\"\U0010fffe\":1}", "characters", "a noncharacter at byte 2"},
		{"DEL is a character, NUL is not", "{\"a\":\"\x7f\x00\"}", "characters", "a control character at byte 7"},
		{"bytes that are not UTF-8", "{\"a\":\"\xc3\"}", "UTF-8", "other bytes at byte 6"},
		{"a word", `{"a":nul}`, "null", "another word at byte 5"},
		{"a longer word", `{"a":nulls}`, "a comma or the object's end", "something else at byte 9"},
		{"a minus", `{"a":-}`, "an integer within ±(2^53−1)", "no digits at byte 6"},
		{"minus zero", `{"a":-0}`, "an integer within ±(2^53−1)", "minus zero at byte 7"},
		{"an exponent", `{"a":1E0}`, "an integer within ±(2^53−1)", "an exponent at byte 6"},
		{"many digits", `{"a":` + strings.Repeat("9", 400) + `}`, "an integer within ±(2^53−1)", "a greater number at byte 20"},
		{"many zeros", `{"a":` + strings.Repeat("0", 400) + `}`, "an integer within ±(2^53−1)", "a leading zero at byte 405"},
		{"a name twice", `{"a":{"b":1,"c":2,"b":3}}`, "each name once", "a name twice at byte 21"},
		{"two objects", `{} {}`, "nothing after the object", "more text at byte 3"},
		{"64 levels are enough", strings.Repeat(`{"a":`, 65), "at most 64 levels of nesting", "more at byte 320"},
		{"a million levels", `{"a":` + strings.Repeat(`[`, 1_000_000), "at most 64 levels of nesting", "more at byte 68"},
	} {
		if diff := cmp.Diff(error(&Error{"", test.expected, test.found}), Check([]byte(test.doc))); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

// TestManyNames crosses from comparing names one by one to a map.
func TestManyNames(t *testing.T) {
	for _, n := range []int{1, fewNames - 1, fewNames, fewNames + 1, fewNames + 2, 1000} {
		for nested := range 2 {
			var names []string
			for i := range n {
				names = append(names, fmt.Sprintf(`"%d":{"0":{},"1":{}}`, i))
			}
			doc := func() []byte {
				d := "{" + strings.Join(names, ",") + "}"
				if nested == 1 {
					d = `{"0":0,"1":[` + d + `,{"0":1}],"2":` + d + `}`
				}
				return []byte(d)
			}
			if err := Check(doc()); err != nil {
				t.Errorf("%d names: %v", n, err)
			}
			for _, again := range []string{`"0":0`, fmt.Sprintf(`"%d":0`, n-1), fmt.Sprintf(`"\u00%x%s":0`, strconv.Itoa(n - 1)[0], strconv.Itoa(n - 1)[1:])} {
				names = append(names, again)
				if Check(doc()) == nil {
					t.Errorf("%d names and %s: accepted", n, again)
				}
				names = names[:n]
			}
		}
	}
}

func TestErrorText(t *testing.T) {
	for _, test := range []struct {
		err  Error
		want string
	}{
		{Error{"", "an object", "an array"}, "bad JSON: expected an object, found an array"},
		{Error{"/a/0", "a string", "null"}, "bad JSON at /a/0: expected a string, found null"},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("%q instead of %q", got, test.want)
		}
	}
}

// strictly decides like Check, slowly and with encoding/json's tokens. It can't
// see unpaired surrogates, which encoding/json replaces.
func strictly(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("UTF-8")
	}
	if !json.Valid(data) || bytes.TrimLeft(data, " \t\r\n")[0] != '{' {
		return errors.New("syntax")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	type level struct {
		object bool
		names  []string
		tokens int
	}
	var open []*level
	for {
		token, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			open = open[:len(open)-1]
			continue
		}
		if len(open) > 0 {
			in := open[len(open)-1]
			in.tokens++
			if in.object && in.tokens%2 == 1 {
				name := token.(string)
				if slices.Contains(in.names, name) {
					return errors.New("a name twice")
				}
				in.names = append(in.names, name)
			}
		}
		switch v := token.(type) {
		case json.Delim:
			open = append(open, &level{object: v == '{'})
			if len(open) > 64 {
				return errors.New("nesting")
			}
		case json.Number:
			n, err := strconv.ParseInt(v.String(), 10, 64)
			if err != nil || n > 1<<53-1 || n < -(1<<53-1) || !numberForm.MatchString(v.String()) {
				return errors.New("a number")
			}
		case string:
			for _, r := range v {
				if r >= 0xfdd0 && r < 0xfdf0 || r%0x10000 >= 0xfffe {
					return errors.New("a noncharacter")
				}
			}
		}
	}
}

var numberForm = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)

func FuzzCheck(f *testing.F) {
	v := readVectors(f)
	for _, doc := range v.JSON {
		f.Add([]byte(doc))
	}
	for _, r := range v.Refused {
		doc, err := hex.DecodeString(r.Hex)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
	}
	f.Add([]byte(receipt))
	f.Fuzz(func(t *testing.T, data []byte) {
		err := Check(data)
		slow := strictly(data)
		if err == nil && slow != nil {
			t.Errorf("accepted %q: %v", data, slow)
		}
		if err != nil && slow == nil && !bytes.Contains(bytes.ToLower(data), []byte(`\ud`)) {
			t.Errorf("refused %q: %v", data, err)
		}
		var members map[string]any
		if err == nil && json.Unmarshal(data, &members) != nil {
			t.Errorf("encoding/json refuses %q", data)
		}
	})
}

// receipt has the shape and size of a receipt's payload.
var receipt = `{"aud":"registro.example","iss":"c_a944","jti":"0b0f2c5e-6d0c-4a58-9a5b-1f0f5a9c7c11","iat":1795305600,"role":"provider",` +
	`"provider":"inps","consumer":"c_a944","eservice":"isee-attestazione","purpose_id":"5b1c4b3a-0b5c-4b47-8a43-9b9a6f4f1f10",` +
	`"purpose":"` + strings.Repeat("Verifica dei requisiti per la concessione di prestazioni sociali agevolate; ", 12) + `",` +
	`"legal_basis":"public_interest","legal_reference":"` + strings.Repeat("d.P.C.M. 5 dicembre 2013, n. 159, art. 11, comma 8. ", 10) + `",` +
	`"data_categories":["isee","nucleo_familiare","patrimonio","redditi"],"actor":"operator",` +
	`"operation":{"method":"POST","path":"/ConsultazioneAttestazione/{protocollo}"},"occurred_at":"2026-11-22T09:00:00Z",` +
	`"pair":"` + strings.Repeat("9f", 32) + `","private_digest":"` + strings.Repeat("0a", 32) + `",` +
	`"subjects":{"count":1,"root":"` + strings.Repeat("c3", 32) + `"}}`

func BenchmarkCheck(b *testing.B) {
	data := []byte(receipt)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Check(data); err != nil {
			b.Fatal(err)
		}
	}
}

// claims is as much of a receipt as the benchmark needs.
type claims struct {
	Aud        string   `json:"aud"`
	Iss        string   `json:"iss"`
	Jti        string   `json:"jti"`
	Iat        int64    `json:"iat"`
	Role       string   `json:"role"`
	Provider   string   `json:"provider"`
	Consumer   string   `json:"consumer"`
	EService   string   `json:"eservice"`
	PurposeID  string   `json:"purpose_id"`
	Purpose    string   `json:"purpose"`
	Basis      string   `json:"legal_basis"`
	Reference  string   `json:"legal_reference,omitempty"`
	Categories []string `json:"data_categories"`
	Actor      string   `json:"actor"`
	Operation  struct {
		Method string `json:"method"`
		Path   string `json:"path"`
	} `json:"operation"`
	OccurredAt    string `json:"occurred_at"`
	Pair          string `json:"pair"`
	PrivateDigest string `json:"private_digest"`
	Subjects      struct {
		Count int    `json:"count"`
		Root  string `json:"root"`
	} `json:"subjects"`
}

func BenchmarkUnmarshal(b *testing.B) {
	data := []byte(receipt)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var c claims
		if err := Unmarshal(data, &c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodingJSON(b *testing.B) {
	data := []byte(receipt)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var c claims
		if err := json.Unmarshal(data, &c); err != nil {
			b.Fatal(err)
		}
	}
}
