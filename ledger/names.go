// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/traccia-ledger/traccia/ledger/jws"
)

// Names reports whether the receipt contains the code of one of these subjects,
// in any letter case, as a part of whatever: in its compact bytes, in the
// decoded payload, in the key id, or in any string or name of the payload after
// unescaping; of one of IntegrityType, in the token and in the receipt's payload.
// Such a receipt is refused (§4).
func (s *SignedReceipt) Names(subjects []Subject) bool {
	f := newFinder(subjects)
	return f.inToken(s.Compact, s.JWS) || s.JWS.Header.Typ == IntegrityType && f.inObject(s.payload)
}

// Names says the same of an order as of a receipt.
func (s *SignedDeferral) Names(subjects []Subject) bool {
	return newFinder(subjects).inToken(s.Compact, s.JWS)
}

func (f *finder) inToken(compact string, token *jws.Unverified) bool {
	return f.in([]byte(compact)) || f.in([]byte(token.Header.Kid)) || f.inObject(token.Payload)
}

// inObject looks into a payload that was parsed before.
func (f *finder) inObject(payload []byte) bool {
	if f.in(payload) {
		return true
	}
	// Without escapes and beyond ASCII every string is a part of the payload.
	if bytes.IndexByte(payload, '\\') < 0 && isASCII(payload) {
		return false
	}
	tokens := json.NewDecoder(bytes.NewReader(payload))
	for {
		token, err := tokens.Token()
		if err != nil {
			return false // the end
		}
		if text, ok := token.(string); ok && f.in([]byte(fold(text))) {
			return true
		}
	}
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// fold maps the few letters beyond ASCII that differ from an ASCII letter in
// case only, as the long s and the Kelvin sign do, to that letter.
func fold(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf {
			if c := unicode.ToUpper(unicode.ToLower(r)); c < utf8.RuneSelf {
				return c
			}
		}
		return r
	}, text)
}

// finder finds any of many codes in a text. A bit for each hash of the first
// four characters lets nearly all positions pass at the cost of one load.
type finder struct {
	codes map[Subject]struct{}
	bits  []uint64
	shift int
}

// newFinder makes a finder with at least 16 bits for each code.
func newFinder(subjects []Subject) *finder {
	size := max(10, bits.Len(uint(16*len(subjects))))
	f := &finder{
		codes: make(map[Subject]struct{}, len(subjects)),
		bits:  make([]uint64, 1<<(size-6)),
		shift: 32 - size,
	}
	for _, s := range subjects {
		f.codes[s] = struct{}{}
		h := f.hash([]byte(s))
		f.bits[h/64] |= 1 << (h % 64)
	}
	return f
}

// hash is a hash of the first four bytes, the same in any ASCII letter case.
func (f *finder) hash(b []byte) uint32 {
	return (binary.LittleEndian.Uint32(b) &^ 0x20202020) * 0x9e3779b1 >> f.shift
}

// in reports whether text contains a code in any ASCII letter case.
func (f *finder) in(text []byte) bool {
	for i := 0; i+11 <= len(text); i++ {
		h := f.hash(text[i:])
		if f.bits[h/64]&(1<<(h%64)) == 0 {
			continue
		}
		var room [16]byte
		window := room[:copy(room[:], text[i:])]
		for j, c := range window {
			if 'a' <= c && c <= 'z' {
				window[j] = c - 0x20
			}
		}
		if _, ok := f.codes[Subject(window)]; ok && len(window) == 16 {
			return true
		}
		if _, ok := f.codes[Subject(window[:11])]; ok {
			return true
		}
	}
	return false
}
