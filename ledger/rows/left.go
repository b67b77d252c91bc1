// SPDX-License-Identifier: EUPL-1.2

package rows

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/traccia-ledger/traccia/ledger"
)

// LeftKind is what a citizen left with the ledger beside the log.
type LeftKind byte

// The kinds of LeftKey.
const (
	LeftErasure LeftKind = 'e' // a request that what is recorded be erased
	LeftNotice  LeftKind = 'n' // an address to which notices go
)

// LeftKey finds what a citizen left in an epoch, one row of each kind:
//
//	u32 epoch ‖ u8 kind ‖ first 16 bytes of HMAC(handle key, NS/left ‖ 00 ‖ u8 kind ‖ LP(subject))
func LeftKey(handleKey *[32]byte, epoch uint32, kind LeftKind, subject ledger.Subject) []byte {
	m := hmac.New(sha256.New, handleKey[:])
	m.Write([]byte(ledger.NameSpace + "/left\x00"))
	m.Write([]byte{byte(kind)})
	writeText(m, string(subject))
	return append(LeftPrefix(epoch, kind), m.Sum(nil)[:16]...)
}

// LeftPrefix begins the keys of a kind in an epoch.
func LeftPrefix(epoch uint32, kind LeftKind) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 21), epoch), byte(kind))
}

// SealLeft returns the row of a LeftKey, AEAD XChaCha20-Poly1305 under HMAC(handle key, NS/left-seal ‖ 00 ‖ key):
//
//	aead_nonce 24 ‖ sealed content, AAD = key
func SealLeft(handleKey *[32]byte, key, content []byte) []byte {
	aead := leftAEAD(handleKey, key)
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(content)+aead.Overhead())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, content, key)
}

// OpenLeft is the inverse of SealLeft; ErrMalformed.
func OpenLeft(handleKey *[32]byte, key, row []byte) ([]byte, error) {
	aead := leftAEAD(handleKey, key)
	if len(key) != 21 || len(row) < aead.NonceSize() {
		return nil, ErrMalformed
	}
	content, err := aead.Open(nil, row[:aead.NonceSize()], row[aead.NonceSize():], key)
	if err != nil {
		return nil, ErrMalformed
	}
	return content, nil
}

func leftAEAD(handleKey *[32]byte, key []byte) cipher.AEAD {
	m := hmac.New(sha256.New, handleKey[:])
	m.Write([]byte(ledger.NameSpace + "/left-seal\x00"))
	m.Write(key)
	a, err := chacha20poly1305.NewX(m.Sum(nil))
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	return a
}
