// SPDX-License-Identifier: EUPL-1.2

// Package subjects finds whose data a call is about: each distinct code at the places that the configuration names, of the
// request and of the provider's answer, in the order in which they stand there.
//
// What must hold: no answer about a person is taken for one about nobody. A place that leads nowhere, a value that is no
// code, a list with an item that has none, a document in base64 that names nobody, content of another kind than the places
// are for: each is an error, and nothing may be released. An answer is about nobody only where the operation says that it
// may be, and then only when its lists are empty or its status is an error, and [NamesNobody] sees no code in it.
//
// A code is taken exactly as it stands: lower case, spaces or a number instead of a text are errors, and never mended
// (docs/formats.md, section 3). Errors are *ledger.Problem for what the document says, and hold no code; any other error
// means that it couldn't be read.
package subjects

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/locate"
	"github.com/traccia-ledger/traccia/ledger"
)

// Codes of problems, beside ledger.CodeBadSubject and ledger.CodeBadCount.
const (
	CodeNoSubject  = "no_subject"         // nobody's code where there must be one
	CodeUnreadable = "unreadable_content" // another kind of content, or broken
	CodeAlike      = "alike_name"         // of a request: one that the provider could take for a place's
)

// OfRequest finds the codes in a request, whose content the body is. There may be none, where the answer names the persons.
func OfRequest(route *config.Route, r *http.Request, body io.Reader) ([]ledger.Subject, error) {
	c := collector{part: "request", seen: make(map[ledger.Subject]bool)}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &ledger.Problem{Code: CodeUnreadable, Where: "request#query", Expected: "name=value&name=value", Found: "something else"}
	}
	m := message{r.Header, query, route.Variables, body}
	if err := each(c.part, route.Operation.Request, m, &c); err != nil {
		return nil, err
	}
	if len(route.Operation.Request) > 0 && len(route.Operation.Response) == 0 && len(c.list) == 0 {
		return nil, noSubject(c.part)
	}
	return c.list, nil
}

// OfAnswer finds the codes in an answer and returns them behind those already found in the request, each once. In an answer
// of status 204, 304, 400 and above no place has to lead anywhere; one that has no content has its headers. That nobody is
// named at all is an error unless the operation may be empty.
func OfAnswer(o *config.Operation, status int, h http.Header, body io.Reader, already []ledger.Subject) ([]ledger.Subject, error) {
	noContent := status == http.StatusNoContent || status == http.StatusNotModified
	c := collector{part: "answer", lenient: noContent || status >= http.StatusBadRequest, seen: make(map[ledger.Subject]bool)}
	for _, s := range already {
		c.add(s)
	}
	sources := o.Response
	if noContent || o.Method == http.MethodHead {
		sources = slices.DeleteFunc(slices.Clone(sources), func(s config.Source) bool { return s.Header == "" })
	}
	var p *ledger.Problem
	err := each(c.part, sources, message{header: h, body: body}, &c)
	if err != nil && (!c.lenient || !errors.As(err, &p) || p.Code != CodeUnreadable) {
		return nil, err // of an error a page of HTML is no fault
	}
	if len(c.list) == 0 && !o.MayBeEmpty {
		return nil, noSubject(c.part)
	}
	return c.list, nil
}

func noSubject(part string) *ledger.Problem {
	return &ledger.Problem{Code: CodeNoSubject, Where: part, Expected: "the code of each person that it is about", Found: "none"}
}

// message is a request or an answer.
type message struct {
	header    http.Header
	query     url.Values
	variables map[string]string
	body      io.Reader
}

// taker is told what stands at a source.
type taker interface {
	take(where, text string) error
	missing(s *config.Source, where, found string) error
	alike(where string) error
}

// collector keeps each code once.
type collector struct {
	part    string
	lenient bool
	seen    map[ledger.Subject]bool
	list    []ledger.Subject
}

func (c *collector) take(where, text string) error {
	s, err := ledger.ParseSubject(text)
	if err != nil {
		found := fmt.Sprintf("%d characters that are none", len([]rune(text)))
		if _, err := ledger.ParseSubject(strings.ToUpper(strings.TrimSpace(text))); err == nil {
			found = "one in lower case or with spaces"
		}
		return &ledger.Problem{Code: ledger.CodeBadSubject, Where: where, Expected: "a code of 16 characters A-Z 0-9 or 11 digits, with a right check character", Found: found}
	}
	if c.add(s); len(c.list) > ledger.MaxSubjects {
		return &ledger.Problem{Code: ledger.CodeBadCount, Where: c.part, Expected: fmt.Sprintf("at most %d persons", ledger.MaxSubjects), Found: "more"}
	}
	return nil
}

func (c *collector) add(s ledger.Subject) {
	if !c.seen[s] {
		c.seen[s], c.list = true, append(c.list, s)
	}
}

func (c *collector) missing(s *config.Source, where, found string) error {
	if s.Optional || c.lenient {
		return nil
	}
	return &ledger.Problem{Code: CodeNoSubject, Where: where, Expected: "a person's code", Found: found}
}

// alike refuses what the provider could read for the place, as the consumer chose; of the provider's own answer nothing.
func (c *collector) alike(where string) error {
	if c.part != "request" {
		return nil
	}
	return alike(where)
}

func alike(where string) error {
	return &ledger.Problem{Code: CodeAlike, Where: where, Expected: "this name alone, as it is written here", Found: "one that differs in letter case or signs"}
}

// each tells the taker what stands at the sources of a message. The body is read once.
func each(part string, sources []config.Source, m message, t taker) error {
	var inBody []*config.Source
	for i := range sources {
		s := &sources[i]
		var values []string
		var others map[string][]string
		name := s.Header + s.Query
		switch {
		case s.Header != "":
			name = http.CanonicalHeaderKey(name)
			values, others = m.header[name], m.header
		case s.Query != "":
			values, others = m.query[name], m.query
		case s.Variable != "":
			values = []string{m.variables[s.Variable]}
		default:
			inBody = append(inBody, s)
			continue
		}
		where := part + "#" + Name(s)
		for other := range others {
			if other != name && locate.Alike(other, name) {
				if err := t.alike(where); err != nil {
					return err
				}
			}
		}
		if len(values) == 0 {
			if err := t.missing(s, where, "nothing"); err != nil {
				return err
			}
		}
		for _, v := range values {
			if err := value(s, where, v, t); err != nil {
				return err
			}
		}
	}
	if len(inBody) == 0 {
		return nil
	}
	return content(part, inBody, m, t)
}

// Name is how problems call a source.
func Name(s *config.Source) string {
	name := s.JSON + s.XPath
	switch {
	case s.Header != "":
		name = "header:" + s.Header
	case s.Query != "":
		name = "query:" + s.Query
	case s.Variable != "":
		name = "path:" + s.Variable
	}
	if s.Base64 != nil {
		name += " base64 " + Name(s.Base64)
	}
	return name
}

// content reads a body by its Content-Type: by the JSON or the XPath sources.
func content(part string, sources []*config.Source, m message, t taker) error {
	unreadable := func(expected, found string) error {
		return &ledger.Problem{Code: CodeUnreadable, Where: part, Expected: expected, Found: found}
	}
	if encoded(m.header) {
		return noEncoding(part)
	}
	media, _, err := mime.ParseMediaType(m.header.Get("Content-Type"))
	isJSON := media == "application/json" || strings.HasSuffix(media, "+json")
	isXML := media == "application/xml" || media == "text/xml" || strings.HasSuffix(media, "+xml")
	var chosen []*config.Source
	for _, s := range sources {
		if isJSON && s.JSON != "" || isXML && s.XPath != "" {
			chosen = append(chosen, s)
		}
	}
	if err != nil || len(chosen) == 0 {
		expected := "JSON"
		if sources[0].XPath != "" {
			expected = "XML"
		}
		return unreadable("a Content-Type of "+expected, "another or none")
	}
	return document(part, part+"#", chosen, m.body, t)
}

func encoded(h http.Header) bool {
	return slices.ContainsFunc(h.Values("Content-Encoding"), func(e string) bool { return e != "" && !strings.EqualFold(e, "identity") })
}

func noEncoding(part string) *ledger.Problem {
	return &ledger.Problem{Code: CodeUnreadable, Where: part, Expected: "content without a Content-Encoding", Found: "one"}
}

// document reads one document, whose sources are all of one kind. Problems name part#source.
func document(part, prefix string, sources []*config.Source, body io.Reader, t taker) error {
	f := &finder{prefix: prefix, sources: sources, taker: t, counts: make([]int, len(sources))}
	var err error
	kind := "JSON"
	if sources[0].JSON != "" {
		places := make([]locate.Pointer, len(sources))
		for i, s := range sources {
			if places[i], err = locate.ParsePointer(s.JSON); err != nil {
				return err
			}
		}
		err = locate.JSON(body, places, f)
	} else {
		kind = "XML"
		places := make([]locate.Path, len(sources))
		for i, s := range sources {
			if places[i], err = locate.ParsePath(s.XPath); err != nil {
				return err
			}
		}
		err = locate.XML(body, places, f)
	}
	var bad *locate.SyntaxError
	switch {
	case errors.As(err, &bad):
		return &ledger.Problem{Code: CodeUnreadable, Where: part, Expected: "well-formed " + kind, Found: bad.Error()}
	case errors.Is(err, locate.ErrTooLong):
		return &ledger.Problem{Code: CodeUnreadable, Where: part, Expected: fmt.Sprintf("values of at most %d bytes", locate.MaxValue), Found: "a longer one"}
	}
	return err
}

// finder hands on what locate finds.
type finder struct {
	prefix  string
	sources []*config.Source
	taker   taker
	counts  []int // how often each source led somewhere or nowhere
}

func (f *finder) where(place int) string {
	where := f.prefix + Name(f.sources[place])
	if f.counts[place] > 1 {
		where += fmt.Sprintf(" (number %d)", f.counts[place])
	}
	return where
}

func (f *finder) Found(place int, text string) error {
	f.counts[place]++
	return value(f.sources[place], f.where(place), text, f.taker)
}

func (f *finder) Missing(place int) error {
	f.counts[place]++
	return f.taker.missing(f.sources[place], f.where(place), "nothing")
}

func (f *finder) Wrong(place int, kind string) error {
	f.counts[place]++
	return &ledger.Problem{Code: ledger.CodeBadSubject, Where: f.where(place), Expected: "a text", Found: kind}
}

func (f *finder) Alike(place int) error { return f.taker.alike(f.where(place)) }

// value takes a text found, through base64 where that is what it is.
func value(s *config.Source, where, text string, t taker) error {
	if text == "" {
		return t.missing(s, where, "an empty text")
	}
	if s.Base64 == nil {
		return t.take(where, text)
	}
	counted := &counter{taker: t}
	// Go's decoder passes over line ends, with which MIME breaks long base64.
	decoded := base64.NewDecoder(base64.StdEncoding.Strict(), strings.NewReader(text))
	err := document(where, where+" at ", []*config.Source{s.Base64}, decoded, counted)
	var corrupt base64.CorruptInputError
	if errors.As(err, &corrupt) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &ledger.Problem{Code: CodeUnreadable, Where: where, Expected: "base64", Found: "something else"}
	}
	if err == nil && counted.n == 0 {
		return &ledger.Problem{Code: CodeNoSubject, Where: where, Expected: "a person's code in the document", Found: "none"}
	}
	return err
}

// counter also refuses what its taker would let pass for being optional: a document that is there is about somebody.
type counter struct {
	taker
	n int
}

func (c *counter) take(where, text string) error {
	c.n++
	return c.taker.take(where, text)
}

// Text reads the one text at a source of a request, "" where there is none and that is allowed. More than one is an error.
func Text(s *config.Source, r *http.Request, body io.Reader) (string, error) {
	var one single
	err := each("request", []config.Source{*s}, message{header: r.Header, query: r.URL.Query(), body: body}, &one)
	var p *ledger.Problem
	if s.Optional && errors.As(err, &p) && p.Code == CodeUnreadable {
		return "", nil
	}
	return one.text, err
}

type single struct{ text string }

func (o *single) take(where, text string) error {
	if n := len([]rune(text)); o.text != "" || n > ledger.MaxText || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return &ledger.Problem{Code: ledger.CodeBadText, Where: where, Expected: fmt.Sprintf("one text of up to %d characters without control characters", ledger.MaxText), Found: fmt.Sprintf("%d characters, or a second one", n)}
	}
	o.text = text
	return nil
}

func (o *single) missing(s *config.Source, where, found string) error {
	if s.Optional {
		return nil
	}
	return &ledger.Problem{Code: ledger.CodeMissing, Where: where, Expected: "a text", Found: found}
}

func (o *single) alike(where string) error { return alike(where) }
