// SPDX-License-Identifier: EUPL-1.2

package ijson

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// decodeEscape decodes the escape that b starts with, a surrogate pair as one.
// n is its length in bytes, 0 if it is no escape or an unpaired surrogate.
func decodeEscape(b []byte) (r rune, n int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	r = decodeUnit(b)
	if r < 0 || !utf16.IsSurrogate(r) {
		return r, lengthIf(r >= 0, 6)
	}
	r = utf16.DecodeRune(r, decodeUnit(b[6:]))
	return r, lengthIf(r != utf8.RuneError, 12)
}

func lengthIf(ok bool, n int) int {
	if ok {
		return n
	}
	return 0
}

// decodeUnit decodes the \uXXXX that b starts with, or returns -1.
func decodeUnit(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// unescape returns a scanned string's text; raw must have passed str.
func unescape(raw []byte) []byte {
	text := make([]byte, 0, len(raw))
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(text, raw...)
		}
		r, n := decodeEscape(raw[i:])
		text = utf8.AppendRune(append(text, raw[:i]...), r)
		raw = raw[i+n:]
	}
}
