// SPDX-License-Identifier: EUPL-1.2

package subjects

import (
	"errors"
	"html"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/traccia-ledger/traccia/ledger"
)

// CodePersonal: an answer that is to be about nobody holds what looks like a person's code.
const CodePersonal = "names_person"

// NamesNobody refuses an answer, to be released without an event, in which the code of a natural person is to be seen: at
// whatever place, in content of whatever kind, escaped as JSON, XML and HTML do or not. It doesn't look into base64, and knows
// no code of 11 digits.
func NamesNobody(h http.Header, content io.Reader) error {
	for _, values := range h {
		for _, value := range values {
			// Word by word: of cookies and tokens a random part often looks like a code.
			for word := range strings.FieldsFuncSeq(value, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }) {
				if len(word) == 16 && ledger.NamesPerson(word) {
					return personal()
				}
			}
		}
	}
	const again = 256 // of each part is read with the next: more than a code with all its letters escaped
	part := make([]byte, 64<<10)
	for kept := 0; ; {
		n, err := io.ReadFull(content, part[kept:])
		if n > 0 && encoded(h) {
			return noEncoding("answer")
		}
		text := string(part[:kept+n])
		if plain := unescape(text); ledger.NamesPerson(text) || plain != text && ledger.NamesPerson(plain) {
			return personal()
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
		kept = copy(part, part[len(part)-again:])
	}
}

func personal() *ledger.Problem {
	return &ledger.Problem{Code: CodePersonal, Where: "answer", Expected: "an answer about nobody, as nothing is recorded of it", Found: "what looks like a person's code"}
}

var escaped = regexp.MustCompile(`\\u[0-9A-Fa-f]{4}`)

func unescape(text string) string {
	return html.UnescapeString(escaped.ReplaceAllStringFunc(text, func(s string) string {
		c, _ := strconv.ParseUint(s[2:], 16, 16) // four hex digits
		return string(rune(c))
	}))
}
