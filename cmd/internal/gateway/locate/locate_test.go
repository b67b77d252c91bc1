// SPDX-License-Identifier: EUPL-1.2

package locate

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// log is what a Finder was told: "0 text", "0 missing", "0 wrong a number".
type log []string

func (l *log) Found(place int, text string) error {
	*l = append(*l, fmt.Sprint(place, " ", text))
	return nil
}
func (l *log) Missing(place int) error { *l = append(*l, fmt.Sprint(place, " missing")); return nil }
func (l *log) Wrong(place int, kind string) error {
	*l = append(*l, fmt.Sprint(place, " wrong ", kind))
	return nil
}
func (l *log) Alike(place int) error { *l = append(*l, fmt.Sprint(place, " alike")); return nil }

func TestJSON(t *testing.T) {
	for _, test := range []struct{ pointers, document, want string }{
		{"/a/b", `{"a":{"b":"x"}}`, "0 x"},
		{"/a/b", `{"a":{"b":"x"},"a":{"b":"y"}}`, "0 x,0 y"}, // another reader may take either
		{"/a/b", `{"a":{"\u0062":"x"}}`, "0 x"},
		{"/a/b", `{"a":{"c":1}}`, "0 missing"},
		{"/a/b", `{"a":{"b":"x","B":"y"},"A":{"b":"z"}}`, "0 x,0 alike,0 alike"},
		{"/a/codice_fiscale", `{"a":{"codiceFiscale":"x","codice fiscale":1,"codice_fi\u017fcale":2,"cod\u0131ce_fiscale":3,"codice":4}}`, "0 alike,0 alike,0 alike,0 alike,0 missing"},
		{"/a/*", `{"a":[{"-":1}]}`, "0 wrong an object"},
		{"/a/b", `{"a":null}`, "0 missing"},
		{"/a/b", `{"a":[]}`, "0 missing"},
		{"/a/b", `{"a":"b"}`, "0 missing"},
		{"/a/b", `{"a":{"b":1}}`, "0 wrong a number"},
		{"/a/b", `{"a":{"b":true}}`, "0 wrong a boolean"},
		{"/a/b", `{"a":{"b":{}}}`, "0 wrong an object"},
		{"/a/b", `{"a":{"b":["x"]}}`, "0 wrong an array"},
		{"/a/*/b", `{"a":[{"b":"x"},{"b":"y"}]}`, "0 x,0 y"},
		{"/a/*/b", `{"a":[{"b":"x"},{}]}`, "0 x,0 missing"},
		{"/a/*/b", `{"a":[]}`, ""},
		{"/a/*/b", `{"a":{"*":{"b":"x"}}}`, "0 missing"},
		{"/a/1", `{"a":["x","y"]}`, "0 y"},
		{"/a/2", `{"a":["x","y"]}`, "0 missing"},
		{"/a/01", `{"a":["x","y"]}`, "0 missing"},
		{"/a/1", `{"a":{"1":"x"}}`, "0 x"},
		{"/*", `["x","y"]`, "0 x,0 y"},
		{"/a~1b/~0", `{"a/b":{"~":"x"}}`, "0 x"},
		{"/a /a/b", `{"a":"x"}`, "0 x,1 missing"},
		{"/a /a", `{"a":"x"}`, "0 x,1 x"},
		{"/", `{"":"x"}`, "0 x"},
		{"/a", `"x"`, "0 missing"},
		{"/a", ``, "no JSON"},
		{"/a", `{"a":"x"`, "0 x,no JSON"},
		{"/a", `{"a":"x"} {}`, "0 x,something behind the JSON value"},
		{"/*", strings.Repeat("[", 20_000), "0 wrong an array,no JSON"},
	} {
		var places []Pointer
		for p := range strings.FieldsSeq(test.pointers) {
			pointer, err := ParsePointer(p)
			if err != nil {
				t.Fatal(err)
			}
			places = append(places, pointer)
		}
		var got log
		if err := JSON(strings.NewReader(test.document), places, &got); err != nil {
			got = append(got, err.Error())
		}
		if g := strings.Join(got, ","); g != test.want {
			t.Errorf("%s in %.60s: %s, expected %s", test.pointers, test.document, g, test.want)
		}
	}
}

func TestXML(t *testing.T) {
	const ns = `<l:Lista xmlns:l="urn:l"><l:P cf="x" l:cf="y"/></l:Lista>`
	for _, test := range []struct{ path, document, want string }{
		{"/F/B/@cf", `<F><B cf="x"/></F>`, "0 x"},
		{"/F/B/@cf", `<F xmlns="urn:a"><B cf="x"/></F>`, "0 x"},
		{"/F/B/@cf", `<F><B/></F>`, "0 missing"},
		{"/F/B/@cf", `<F><C/></F>`, ""},
		{"/F/B/@cf", `<G><B cf="x"/></G>`, "0 missing"},
		{"/F/B/@cf", `<F><C><B cf="x"/></C></F>`, ""},
		{"/F/B/@cf", `<F><B cf="x" cf="y"/></F>`, "0 x,0 y"},
		{"//B/@cf", `<F><C><B cf="x"/></C><B cf="y"/></F>`, "0 x,0 y"},
		{"/F/B/cf", `<F><B><cf> x
</cf></B><B><cf>y</cf><cf>z</cf></B></F>`, "0 x,0 y,0 z"},
		{"/F/B/cf", `<F><B><cf>x</cf></B><B/></F>`, "0 x,0 missing"},
		{"/F/L/B/cf", `<F/>`, "0 missing"},
		{"/F/L/B/cf", `<F><L/></F>`, ""},
		{"/F/cf", `<F><cf><i>x</i></cf></F>`, "0 wrong an element with elements"},
		{"/F/cf", `<F><cf>a&amp;b<!-- c --><![CDATA[d]]></cf></F>`, "0 a&bd"},
		{"/F/*", `<F><a>x</a><b>y</b></F>`, "0 x,0 y"},
		{"//cf", `<F><cf>x</cf></F>`, "0 x"},
		{"//cf", `<F/>`, ""},
		{"//a//cf", `<F><a><a><cf>x</cf></a></a></F>`, "0 x"},
		{"/Lista/P/@cf", ns, "0 x,0 y"},
		{"/Lista/P/@{urn:l}cf", ns, "0 y"},
		{"/{urn:l}Lista/P/@{}cf", ns, "0 x"},
		{"/{urn:m}Lista/P/@cf", ns, "0 missing"},
		{"/F/@cf", `<?xml version="1.0" encoding="ISO-8859-1"?><F nome="` + "\xe0" + `" cf="x"/>`, "0 x"},
		{"/F/@cf", `<?xml version="1.0" encoding="UTF-16"?><F cf="x"/>`, "no XML"},
		{"/F/@cf", `<!DOCTYPE F [<!ENTITY a "b">]><F cf="&a;"/>`, "a document type declaration in XML"},
		{"/F/@cf", `<F cf="&a;"/>`, "no XML"},
		{"/F/@cf", `<F cf="x">`, "0 x,no XML document"},
		{"/F/@cf", `<F cf="x"></G>`, "0 x,no XML"},
		{"/F/@cf", `<F cf="x"/><F/>`, "0 x,XML with two elements at the top"},
		{"/F/@cf", `text`, "text outside the XML document's element"},
		{"/F/@cf", ``, "no XML document"},
		{"/F/@cf", `<F u:cf="x"/>`, "XML with a prefix that isn't declared"},
		{"//a", strings.Repeat("<a>", 200), "XML nested deeper than 128"},
	} {
		path, err := ParsePath(test.path)
		if err != nil {
			t.Fatal(err)
		}
		var got log
		if err := XML(strings.NewReader(test.document), []Path{path}, &got); err != nil {
			got = append(got, err.Error())
		}
		if g := strings.Join(slices.Compact(got), ","); g != test.want {
			t.Errorf("%s in %.80s: %s, expected %s", test.path, test.document, g, test.want)
		}
	}
}

func TestPlacesRefused(t *testing.T) {
	for _, s := range []string{"", "a", "/a~", "/a~2", strings.Repeat("/a", 33)} {
		if _, err := ParsePointer(s); err == nil {
			t.Errorf("pointer %q accepted", s)
		}
	}
	for _, s := range []string{"", "a", "/", "//", "/a/", "/@a", "//@a", "/a//@b", "/a/@b/c", "/a[1]", "/n:a", "/a/text()", "/{a", "/1a", "/..", strings.Repeat("/a", 33)} {
		if _, err := ParsePath(s); err == nil {
			t.Errorf("path %q accepted", s)
		}
	}
}

// endless is a document whose one value never ends.
type endless struct {
	start string
	n     int64
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.start)
	e.start = e.start[n:]
	for i := n; i < len(p); i++ {
		p[i] = 'A'
	}
	e.n += int64(len(p))
	return len(p), nil
}

func TestBounded(t *testing.T) {
	pointer, _ := ParsePointer("/a")
	path, _ := ParsePath("/F/@a")
	text, _ := ParsePath("/F/a")
	for name, read := range map[string]func(r io.Reader) error{
		`{"a":"`:  func(r io.Reader) error { return JSON(r, []Pointer{pointer}, new(log)) },
		`{"b":"`:  func(r io.Reader) error { return JSON(r, []Pointer{pointer}, new(log)) },
		`<F a="`:  func(r io.Reader) error { return XML(r, []Path{path}, new(log)) },
		`<F><a>x`: func(r io.Reader) error { return XML(r, []Path{text}, new(log)) },
	} {
		e := &endless{start: name}
		if err := read(e); !errors.Is(err, ErrTooLong) {
			t.Errorf("%s…: %v", name, err)
		}
		if e.n > 5*MaxValue {
			t.Errorf("%s…: read %d bytes", name, e.n)
		}
	}
	if err := JSON(io.MultiReader(strings.NewReader(`{"a`), broken{}), []Pointer{pointer}, new(log)); !errors.Is(err, errBroken) {
		t.Errorf("a source that fails: %v", err)
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

func FuzzPlaces(f *testing.F) {
	f.Add("/a/*/b~0", "/a//{u}b/@c")
	f.Fuzz(func(t *testing.T, pointer, path string) {
		if p, err := ParsePointer(pointer); err == nil && p.String() != pointer {
			t.Errorf("%q gives %q", pointer, p)
		}
		if p, err := ParsePath(path); err == nil && p.String() != path {
			t.Errorf("%q gives %q", path, p)
		}
	})
}

func FuzzDocuments(f *testing.F) {
	f.Add([]byte(`{"a":[{"b":"x"}]}`))
	f.Add([]byte(`<a xmlns="u"><b c="x">y</b></a>`))
	pointer, _ := ParsePointer("/a/*/b")
	attribute, _ := ParsePath("//b/@c")
	text, _ := ParsePath("/a//b")
	f.Fuzz(func(t *testing.T, document []byte) {
		// A text found stands in the document, character references and escapes apart.
		check := func(l log) {
			for _, line := range l {
				if _, found, _ := strings.Cut(line, " "); found == "" && !strings.HasSuffix(line, " ") {
					t.Errorf("told %q", line)
				}
			}
		}
		var l log
		if JSON(strings.NewReader(string(document)), []Pointer{pointer}, &l) == nil {
			check(l)
		}
		l = nil
		if XML(strings.NewReader(string(document)), []Path{attribute, text}, &l) == nil {
			check(l)
		}
	})
}
