// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"fmt"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxText is how many characters (Unicode code points) a text has at most
// wherever no other limit is given.
const MaxText = 200

// checker keeps the first problem of a series of checks.
type checker struct {
	problem *Problem
}

func (c *checker) fail(code, where, expected, found string) {
	if c.problem == nil {
		c.problem = &Problem{code, where, expected, found}
	}
}

// text checks 1 to most characters of text: no control character, line or
// paragraph separator or bidirectional control, which could make a page show
// something else.
func (c *checker) text(where, s string, most int) {
	n := 0
	for i, r := range s {
		n++
		if ' ' <= r && r < 0x7f {
			continue
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 || r < 0xa0 || r == 0x2028 || r == 0x2029 ||
			unicode.Is(unicode.Bidi_Control, r) || unicode.Is(unicode.Noncharacter_Code_Point, r) {
			c.fail(CodeBadText, where, "text without control characters", fmt.Sprintf("one at byte %d", i))
			return
		}
	}
	if n == 0 {
		c.fail(CodeBadText, where, fmt.Sprintf("1 to %d characters", most), "an empty string")
	}
	if n > most {
		c.fail(CodeTooLong, where, fmt.Sprintf("1 to %d characters", most), strconv.Itoa(n))
	}
}

// word checks that s is one of a few words.
func (c *checker) word(where, s string, words ...string) {
	expected := ""
	for _, w := range words {
		if s == w {
			return
		}
	}
	for i, w := range words {
		if i > 0 {
			expected += ", "
		}
		expected += w
	}
	c.fail(CodeBadValue, where, "one of "+expected, textFound(s))
}

func (c *checker) id(where, s string) {
	if CheckID(s) != nil {
		c.fail(CodeBadID, where, "1 to 64 characters of a-z, 0-9, _ and -", textFound(s))
	}
}

func (c *checker) uuid(where, s string) {
	if !isUUID(s) {
		c.fail(CodeBadUUID, where, "a uuid in lower-case hex, 8-4-4-4-12", textFound(s))
	}
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || '9' < c) && (c < 'a' || 'f' < c) {
				return false
			}
		}
	}
	return true
}

func (c *checker) time(where, s string) {
	if _, ok := parseTime(s); !ok {
		c.fail(CodeBadTime, where, "RFC 3339 in UTC, as 2026-11-22T09:30:00Z", textFound(s))
	}
}

// parseTime reads RFC 3339 in UTC with a final Z and up to 9 decimals.
func parseTime(s string) (time.Time, bool) {
	// time.Parse also takes a comma, and any number of decimals.
	const seconds = "2006-01-02T15:04:05"
	if len(s) < len(seconds)+1 || len(s) > len(seconds)+len(".000000000Z") || s[len(s)-1] != 'Z' {
		return time.Time{}, false
	}
	if len(s) > len(seconds)+1 && s[len(seconds)] != '.' {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339, s)
	return t, err == nil
}

// digest checks the hex text of a hash that may be absent.
func (c *checker) digest(where, s string) {
	if s != "" && !isHex(s) {
		c.fail(CodeBadHash, where, hexDigits, hexFound(s))
	}
}

// hash checks a hash that must be there.
func (c *checker) hash(where string, h Hex) {
	if h == (Hex{}) {
		c.fail(CodeMissing, where, hexDigits, "nothing")
	}
}

// token checks the outer form of a compact JWS: base64url and dots.
func (c *checker) token(where, s string, most int) {
	if s == "" {
		c.fail(CodeBadText, where, "a compact JWS", "an empty string")
		return
	}
	if len(s) > most {
		c.fail(CodeTooLong, where, fmt.Sprintf("at most %d bytes", most), strconv.Itoa(len(s)))
		return
	}
	// Without a branch for each byte: every event's body repeats its receipt.
	var other byte
	for i := range len(s) {
		other |= notToken[s[i]]
	}
	if other != 0 {
		c.fail(CodeBadText, where, "a compact JWS", "another character")
	}
}

var notToken = func() (is [256]byte) {
	for i := range is {
		is[i] = 1
	}
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_." {
		is[c] = 0
	}
	return is
}()

// CheckText refuses, with a *Problem without a place, what is no text of at most
// this many characters: see MaxText.
func CheckText(s string, most int) error {
	var c checker
	c.text("", s, most)
	if c.problem != nil {
		return c.problem
	}
	return nil
}

// CheckUUID refuses, with a *Problem without a place, all but 8-4-4-4-12
// lower-case hex digits.
func CheckUUID(s string) error {
	var c checker
	c.uuid("", s)
	if c.problem != nil {
		return c.problem
	}
	return nil
}
