// SPDX-License-Identifier: EUPL-1.2

// Package locate reads the texts at given places of a JSON or XML document, in one pass, without keeping the document.
//
// A place in JSON is a JSON Pointer (RFC 6901) in which a segment * stands for each item of an array:
//
//	/elenco_flussi/*/flusso        /beneficiario/codice_fiscale        /righe/0/cf
//
// A place in XML is a small part of XPath 1.0: steps of / or //, each a name or *, the last perhaps an attribute. A name
// matches in whatever namespace; {uri}name in that one alone:
//
//	/Flusso/Beneficiario/@CodiceFiscale        //{http://inps.it/Casellario}CodiceFiscale
//
// The document is untrusted. Whoever reads it must see every text that another reader could see at the place: of a JSON name
// that occurs twice both values are given. A document type declaration, an entity of its own or an encoding other than
// UTF-8, ISO-8859-1, windows-1252 and US-ASCII is refused. Nesting and the longest single value are bounded, so memory is.
//
// Errors repeat nothing of the document.
package locate

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxValue bounds one value, in bytes as it stands in the document: INPS's flows have up to 10 MB of base64.
	MaxValue = 16 << 20
	maxDepth = 128 // of XML; of JSON the decoder bounds it
	maxSteps = 32
)

// Finder is told what is at the places, by their number. An error ends the reading and is returned as it is.
type Finder interface {
	// Found gives a text.
	Found(place int, text string) error
	// Missing says that a place leads nowhere: a member, attribute or element that isn't there, or null.
	Missing(place int) error
	// Wrong says that something else than a text is there: kind is "a number", "an object" …
	Wrong(place int, kind string) error
	// Alike says that a member of JSON isn't at the place, but that a lenient reader could take its name for one of the
	// place's: see [Alike].
	Alike(place int) error
}

// Alike says whether two names are the same but for letter case and signs: codice_fiscale, CODICE_FISCALE, codiceFiscale. Go's
// encoding/json, .NET and others read any of them for another.
func Alike(a, b string) bool {
	for {
		x, restA := cutLetter(a)
		y, restB := cutLetter(b)
		if x != y || x == 0 {
			return x == y
		}
		a, b = restA, restB
	}
}

// cutLetter cuts off the first letter or digit, in one case; 0 where there is none.
func cutLetter(s string) (letter rune, rest string) {
	i := strings.IndexFunc(s, func(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) })
	if i < 0 {
		return 0, ""
	}
	letter, size := utf8.DecodeRuneInString(s[i:])
	return unicode.ToUpper(unicode.ToLower(letter)), s[i+size:]
}

// SyntaxError says that a document can't be read, and never with its own words.
type SyntaxError struct{ reason string }

func (e *SyntaxError) Error() string { return e.reason }

func syntax(format string, args ...any) error { return &SyntaxError{fmt.Sprintf(format, args...)} }

// ErrTooLong: one value is longer than [MaxValue].
var ErrTooLong = errors.New("a value is too long")

// limited lets a decoder read ahead of what it has decoded by MaxValue at most.
type limited struct {
	r      io.Reader
	read   int64
	behind int64 // how much of it was decoded when the last token ended
	failed error // of r itself, which is not the document's fault
}

func (l *limited) Read(p []byte) (int, error) {
	if l.read-l.behind > MaxValue {
		l.failed = ErrTooLong
		return 0, l.failed
	}
	n, err := l.r.Read(p)
	l.read += int64(n)
	if err != nil && err != io.EOF {
		l.failed = err
	}
	return n, err
}

// fault tells a source that can't be read from a document that is wrong.
func (l *limited) fault(format string, args ...any) error {
	if l.failed != nil {
		return l.failed
	}
	return syntax(format, args...)
}
