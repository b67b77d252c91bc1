// SPDX-License-Identifier: EUPL-1.2

package seal

import (
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/traccia-ledger/traccia/ledger"
)

// Class is what a K seals.
type Class string

// The classes of docs/formats.md section 6.
const (
	Access  Class = "access"  // accesses and denied accesses of a subject
	Consent Class = "consent" // consents given and withdrawn, and a citizen's requests
	LookUp  Class = "look-up" // look-ups by a DPO or an authority
	Private Class = "private" // private parts of an agency's receipts
)

// Handle names the row that holds the wrapped K of who, a subject or for Private an agency, in a month (see Month)
// under the epoch's handle key. Without that key a handle tells nothing about who it is for.
//
//	HMAC-SHA256(handle key, "traccia/v1/handle" 00 ‖ 0006 "access" ‖ 0007 "2026-11" ‖ 0010 subject)
//
// It panics if a part has more than 65,535 bytes, which no subject, id or month that was parsed has.
func Handle(handleKey *[32]byte, class Class, month, who string) (handle ledger.Hash) {
	message := append([]byte(ledger.NameSpace), "/handle\x00"...)
	message = appendLP(message, string(class))
	message = appendLP(message, month)
	message = appendLP(message, who)
	mac := hmac.New(sha256.New, handleKey[:])
	mac.Write(message)
	mac.Sum(handle[:0])
	return handle
}

// Wrap wraps a K under a month key or a day key. What is stored is 72 bytes, bound to the row's handle:
//
//	+-------------+------------------+--------+
//	| nonce    24 | encrypted: K  32 | tag 16 |
//	+-------------+------------------+--------+
func Wrap(under *[32]byte, handle ledger.Hash, k *[32]byte) []byte {
	return sealParts(under, freshNonce(), handle, k, nil)
}

// Unwrap returns the K that Wrap wrapped for this handle. The error is ErrOpen.
func Unwrap(under *[32]byte, handle ledger.Hash, stored []byte) ([32]byte, error) {
	if len(stored) != sealedSize {
		return [32]byte{}, ErrOpen
	}
	k, _, err := openParts(under, handle, stored)
	return k, err
}

const (
	encapsulatedSize = 32
	daySize          = encapsulatedSize + 32 + 16
)

// WrapDay wraps a day key W to the authority's X25519 public key (32 bytes), for one shard and one day (see Day). What is
// stored is 80 bytes of RFC 9180 base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305:
//
//	+------------------------+------------------+--------+
//	| encapsulated key    32 | encrypted: W  32 | tag 16 |
//	+------------------------+------------------+--------+
//
// It fails for bytes that are no public key.
func WrapDay(authority []byte, origin, day string, w *[32]byte) (stored []byte, err error) {
	public, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(authority)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the authority's key: %w", err)
	}
	stored, err = hpke.Seal(public, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), dayInfo(origin, day), w[:])
	if err != nil {
		return nil, fmt.Errorf("couldn't wrap a day key to the authority: %w", err)
	}
	return stored, nil
}

// UnwrapDay returns the W that WrapDay wrapped for this shard and day. The key is an X25519 *ecdh.PrivateKey, or whatever
// holds one. The error is ErrOpen.
func UnwrapDay(authority ecdh.KeyExchanger, origin, day string, stored []byte) (w [32]byte, err error) {
	if len(stored) != daySize || authority.Curve() != ecdh.X25519() {
		return w, ErrOpen
	}
	private, err := hpke.NewDHKEMPrivateKey(authority)
	if err != nil {
		return w, ErrOpen
	}
	plaintext, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), dayInfo(origin, day), stored)
	if err != nil {
		return w, ErrOpen
	}
	return [32]byte(plaintext), nil
}

// NameDay is how a wrap under a day key names that day key: SHA-256 of what WrapDay returned.
func NameDay(stored []byte) ledger.Hash { return sha256.Sum256(stored) }

// dayInfo binds a day key to its shard and day:
//
//	"traccia/v1/wrap" 00 ‖ 0015 "registro.example/2026" ‖ 000a "2026-11-22"
func dayInfo(origin, day string) []byte {
	info := append([]byte(ledger.NameSpace), "/wrap\x00"...)
	info = appendLP(info, origin)
	return appendLP(info, day)
}

func appendLP(b []byte, s string) []byte {
	if len(s) > math.MaxUint16 {
		panic("seal: a part is longer than its length field can say")
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}
