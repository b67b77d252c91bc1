// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// Hex is a hash that JSON holds as 64 lower-case hex digits. It is assignable
// to and comparable with [Hash]. Zero is that of nothing: an optional one that is
// zero isn't there, so zeros are refused where a hash is read.
type Hex [32]byte

// MarshalText writes 64 lower-case hex digits.
func (h Hex) MarshalText() ([]byte, error) {
	return hex.AppendEncode(nil, h[:]), nil
}

// UnmarshalText reads 64 lower-case hex digits that aren't all zero.
func (h *Hex) UnmarshalText(text []byte) error {
	if !isHex(string(text)) {
		return &ijson.Error{Expected: hexDigits, Found: hexFound(string(text))}
	}
	_, err := hex.Decode(h[:], text)
	return err
}

const (
	hexDigits = "64 lower-case hex digits, not all zero"
	hexZeros  = "0000000000000000000000000000000000000000000000000000000000000000"
)

// hexFound describes a text that isn't isHex.
func hexFound(s string) string {
	if s == hexZeros {
		return "64 zeros"
	}
	return textFound(s)
}

// isHex reports whether s is 64 lower-case hex digits, not all zero.
func isHex(s string) bool {
	if len(s) != 64 || s == hexZeros {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || '9' < c) && (c < 'a' || 'f' < c) {
			return false
		}
	}
	return true
}

// base64url is strict: no padding, no line breaks, spare bits zero.
var base64url = base64.RawURLEncoding.Strict()

// Base64 is bytes that JSON holds as base64url without padding (RFC 4648 §5).
type Base64 []byte

// MarshalText writes base64url without padding.
func (b Base64) MarshalText() ([]byte, error) {
	return base64url.AppendEncode(nil, b), nil
}

// UnmarshalText reads base64url without padding, spare bits zero.
func (b *Base64) UnmarshalText(text []byte) error {
	decoded, ok := parseBase64(string(text))
	if !ok {
		return &ijson.Error{Expected: "base64url without padding", Found: textFound(string(text))}
	}
	*b = decoded
	return nil
}

// Hashes are hashes that JSON holds one after the other, as base64url without
// padding.
type Hashes []Hash

// MarshalText writes base64url without padding.
func (h Hashes) MarshalText() ([]byte, error) {
	all := make([]byte, 0, 32*len(h))
	for i := range h {
		all = append(all, h[i][:]...)
	}
	return base64url.AppendEncode(nil, all), nil
}

// UnmarshalText reads base64url without padding, of a multiple of 32 bytes.
func (h *Hashes) UnmarshalText(text []byte) error {
	all, ok := parseBase64(string(text))
	if !ok || len(all)%32 != 0 {
		return &ijson.Error{Expected: "hashes of 32 bytes in base64url without padding", Found: textFound(string(text))}
	}
	*h = make(Hashes, 0, len(all)/32)
	for one := range slices.Chunk(all, 32) {
		*h = append(*h, Hash(one))
	}
	return nil
}

// parseBase64 decodes strict base64url. encoding/base64 passes over line
// breaks, which would give one value two spellings.
func parseBase64(s string) ([]byte, bool) {
	for i := range len(s) {
		if s[i] == '\n' || s[i] == '\r' {
			return nil, false
		}
	}
	b, err := base64url.DecodeString(s)
	return b, err == nil
}

// parseBase64Hash decodes the 43 characters that 32 bytes have in base64url.
func parseBase64Hash(s string) (h [32]byte, ok bool) {
	if len(s) != 43 {
		return h, false
	}
	b, ok := parseBase64(s)
	if !ok || len(b) != 32 {
		return h, false
	}
	return [32]byte(b), true
}

// textFound describes a text without repeating it.
func textFound(s string) string {
	if s == "" {
		return "an empty string"
	}
	return fmt.Sprintf("a string of %d bytes", len(s))
}
