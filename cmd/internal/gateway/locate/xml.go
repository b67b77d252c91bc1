// SPDX-License-Identifier: EUPL-1.2

package locate

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Path is a place in XML.
type Path struct {
	steps     []step
	attribute *name // of the last step's element; nil for its text
}

type step struct {
	name
	anywhere bool // behind //
}

// name of an element or attribute; local may be *.
type name struct {
	space, local string
	spaced       bool // space counts
}

func (n name) matches(x xml.Name) bool {
	return (n.local == "*" || n.local == x.Local) && (!n.spaced || n.space == x.Space)
}

func (n name) String() string {
	if n.spaced {
		return "{" + n.space + "}" + n.local
	}
	return n.local
}

// ParsePath is strict: String gives the same text back.
func ParsePath(s string) (Path, error) {
	var p Path
	for rest := s; rest != "" || len(p.steps) == 0; {
		next := step{}
		switch {
		case p.attribute != nil:
			return Path{}, errors.New("an XPath whose attribute is the last step")
		case strings.HasPrefix(rest, "//"):
			next.anywhere, rest = true, rest[2:]
		case strings.HasPrefix(rest, "/"):
			rest = rest[1:]
		default:
			return Path{}, errors.New("an XPath of steps / and //")
		}
		attribute := strings.HasPrefix(rest, "@")
		rest = strings.TrimPrefix(rest, "@")
		var ok bool
		if next.name, rest, ok = cutName(rest); !ok {
			return Path{}, errors.New("an XPath whose steps are a name, {namespace}name or *, without prefix, predicate or function")
		}
		if attribute {
			if next.anywhere || len(p.steps) == 0 {
				return Path{}, errors.New("an XPath whose attribute stands behind /element/")
			}
			p.attribute = &next.name
			continue
		}
		if p.steps = append(p.steps, next); len(p.steps) > maxSteps {
			return Path{}, errors.New("an XPath of at most " + strconv.Itoa(maxSteps) + " steps")
		}
	}
	return p, nil
}

func cutName(s string) (n name, rest string, ok bool) {
	if strings.HasPrefix(s, "{") {
		end := strings.IndexByte(s, '}')
		if end < 0 {
			return n, "", false
		}
		n.space, n.spaced, s = s[1:end], true, s[end+1:]
	}
	end := strings.IndexByte(s, '/')
	if end < 0 {
		end = len(s)
	}
	n.local, rest = s[:end], s[end:]
	if n.local == "*" {
		return n, rest, true
	}
	for i, c := range n.local {
		letter := c == '_' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c >= utf8.RuneSelf && c != utf8.RuneError
		if !letter && (i == 0 || c != '-' && c != '.' && (c < '0' || '9' < c)) {
			return n, "", false
		}
	}
	return n, rest, n.local != ""
}

func (p Path) String() string {
	var b strings.Builder
	for _, s := range p.steps {
		b.WriteString("/")
		if s.anywhere {
			b.WriteString("/")
		}
		b.WriteString(s.name.String())
	}
	if p.attribute != nil {
		b.WriteString("/@" + p.attribute.String())
	}
	return b.String()
}

// XML reads one XML document. Each element that a step matches must have one for the next, or the place is missing. The last
// step but one alone may match nothing: that is how an empty list looks (/Lista/Persona/CodiceFiscale without a Persona).
// The document's element must be the one that a first step behind / names. White space around an element's text isn't part
// of it.
func XML(r io.Reader, places []Path, f Finder) error {
	source := &limited{r: r}
	w := &xmlReader{source: source, decoder: xml.NewDecoder(source), places: places, finder: f}
	w.decoder.CharsetReader = charset
	var root element
	for i := range places {
		root.follow = append(root.follow, &following{place: i})
	}
	w.open = append(w.open, root)
	for {
		t, err := w.decoder.RawToken()
		if err == io.EOF {
			return w.finish()
		}
		if err != nil {
			return source.fault("no XML")
		}
		source.behind = source.read
		if err := w.token(t); err != nil {
			return err
		}
	}
}

// following is a place on its way: step is the next to match.
type following struct {
	place, step int
	led         bool
}

// element is one that is open.
type element struct {
	raw    xml.Name // prefix and name as written
	spaces map[string]string
	follow []*following // what its children may match
	own    []*following // those that began here
	ends   []int        // places whose text it is
	text   strings.Builder
	inner  bool // it has elements
}

type xmlReader struct {
	source  *limited
	decoder *xml.Decoder
	places  []Path
	finder  Finder
	open    []element // the first is the document
	roots   int
}

func (w *xmlReader) token(t xml.Token) error {
	top := &w.open[len(w.open)-1]
	switch t := t.(type) {
	case xml.StartElement:
		return w.start(t)
	case xml.EndElement:
		if len(w.open) == 1 || top.raw != t.Name {
			return syntax("no XML")
		}
		return w.end()
	case xml.CharData:
		if len(w.open) == 1 && strings.Trim(string(t), " \t\r\n\ufeff") != "" {
			return syntax("text outside the XML document's element")
		}
		if len(top.ends) > 0 {
			if top.text.Len()+len(t) > MaxValue {
				return ErrTooLong
			}
			top.text.Write(t)
		}
	case xml.Directive:
		return syntax("a document type declaration in XML")
	}
	return nil
}

func (w *xmlReader) start(t xml.StartElement) error {
	parent := &w.open[len(w.open)-1]
	if parent.inner = true; len(w.open) > maxDepth {
		return syntax("XML nested deeper than %d", maxDepth)
	}
	if len(w.open) == 1 {
		if w.roots++; w.roots > 1 {
			return syntax("XML with two elements at the top")
		}
	}
	e := element{raw: t.Name, spaces: parent.spaces}
	if err := e.declare(t.Attr); err != nil {
		return err
	}
	full, err := e.resolve(t.Name, true)
	if err != nil {
		return err
	}
	for _, f := range parent.follow {
		steps := w.places[f.place].steps
		next := steps[f.step]
		if next.anywhere {
			e.follow = append(e.follow, f)
		}
		if !next.matches(full) {
			continue
		}
		f.led = true
		if f.step+1 < len(steps) {
			e.own = append(e.own, &following{place: f.place, step: f.step + 1})
			continue
		}
		if w.places[f.place].attribute == nil {
			if !slices.Contains(e.ends, f.place) {
				e.ends = append(e.ends, f.place)
			}
		} else if err := w.attribute(f.place, &e, t.Attr); err != nil {
			return err
		}
	}
	e.follow = append(e.follow, e.own...)
	if len(e.follow) > maxFollowing {
		return syntax("XML in which a path matches in too many ways")
	}
	w.open = append(w.open, e)
	return nil
}

// maxFollowing bounds what // makes of elements nested in each other.
const maxFollowing = 1024

func (w *xmlReader) attribute(place int, e *element, attributes []xml.Attr) error {
	there := false
	for _, a := range attributes {
		full, err := e.resolve(a.Name, false)
		if err != nil {
			return err
		}
		if isDeclaration(a.Name) || !w.places[place].attribute.matches(full) {
			continue
		}
		there = true
		if err := w.finder.Found(place, a.Value); err != nil {
			return err
		}
	}
	if !there {
		return w.finder.Missing(place)
	}
	return nil
}

func (w *xmlReader) end() error {
	e := &w.open[len(w.open)-1]
	for _, place := range e.ends {
		report := func() error { return w.finder.Found(place, strings.Trim(e.text.String(), " \t\r\n")) }
		if e.inner {
			report = func() error { return w.finder.Wrong(place, "an element with elements") }
		}
		if err := report(); err != nil {
			return err
		}
	}
	for _, f := range e.own {
		length := len(w.places[f.place].steps)
		if w.places[f.place].attribute != nil {
			length++
		}
		if !f.led && f.step != length-2 {
			if err := w.finder.Missing(f.place); err != nil {
				return err
			}
		}
	}
	w.open = w.open[:len(w.open)-1]
	return nil
}

func (w *xmlReader) finish() error {
	if len(w.open) != 1 || w.roots != 1 {
		return w.source.fault("no XML document")
	}
	for _, f := range w.open[0].follow {
		if !f.led && !w.places[f.place].steps[0].anywhere {
			if err := w.finder.Missing(f.place); err != nil {
				return err
			}
		}
	}
	return nil
}

func isDeclaration(n xml.Name) bool {
	return n.Space == "xmlns" || n.Space == "" && n.Local == "xmlns"
}

// declare takes the namespaces that an element declares.
func (e *element) declare(attributes []xml.Attr) error {
	own := false
	for _, a := range attributes {
		if !isDeclaration(a.Name) {
			continue
		}
		if !own {
			spaces := make(map[string]string, len(e.spaces)+1)
			for prefix, uri := range e.spaces {
				spaces[prefix] = uri
			}
			if e.spaces, own = spaces, true; len(spaces) > 256 {
				return syntax("XML with more than 256 namespaces")
			}
		}
		prefix := a.Name.Local
		if a.Name.Space == "" {
			prefix = ""
		}
		e.spaces[prefix] = a.Value
	}
	return nil
}

// resolve turns a prefix into its namespace. An attribute without one is in none.
func (e *element) resolve(n xml.Name, isElement bool) (xml.Name, error) {
	switch {
	case n.Space == "xml" || n.Space == "xmlns" || n.Space == "" && !isElement:
		return n, nil
	case n.Space == "":
		return xml.Name{Space: e.spaces[""], Local: n.Local}, nil
	}
	uri, ok := e.spaces[n.Space]
	if !ok {
		return n, syntax("XML with a prefix that isn't declared")
	}
	return xml.Name{Space: uri, Local: n.Local}, nil
}

// charset reads the encodings whose ASCII part is a byte a character: codes are ASCII, and nothing else is given out.
func charset(label string, r io.Reader) (io.Reader, error) {
	switch strings.ToLower(label) {
	case "iso-8859-1", "iso-8859-15", "latin1", "windows-1252", "us-ascii":
		return &latin1{r: r}, nil
	}
	return nil, errors.New("another encoding")
}

type latin1 struct {
	r    io.Reader
	rest []byte
}

func (l *latin1) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		buf := make([]byte, max(len(p)/2, 1))
		n, err := l.r.Read(buf)
		if n == 0 {
			return 0, err
		}
		for _, b := range buf[:n] {
			l.rest = utf8.AppendRune(l.rest, rune(b))
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}
