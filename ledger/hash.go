// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
)

// Hash is a SHA-256 digest.
type Hash = [32]byte

// HashLeaf is RFC 6962's hash of a leaf: H(00 ‖ leaf).
func HashLeaf(leaf []byte) Hash {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(leaf)
	return Hash(h.Sum(nil))
}

// HashChildren is RFC 6962's hash of an inner node: H(01 ‖ left ‖ right).
func HashChildren(left, right Hash) Hash {
	var b [65]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[33:], right[:])
	return sha256.Sum256(b[:])
}

// appendLP appends LP(x): the length in bytes as a u16, then x. All callers
// pass texts that were checked to be far shorter; a longer one is a mistake in
// the program.
func appendLP(b []byte, x string) []byte {
	if len(x) > math.MaxUint16 {
		panic("ledger: a text longer than 65535 bytes has no length prefix")
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(x)))
	return append(b, x...)
}
