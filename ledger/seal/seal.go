// SPDX-License-Identifier: EUPL-1.2

// Package seal keeps bodies and private parts unreadable without a key that can be destroyed, as docs/formats.md
// section 6 says: XChaCha20-Poly1305 for what is sealed and for the wraps of its keys, HPKE (RFC 9180) for the
// authority's day keys.
//
// A key K belongs to one subject (or, for private parts, one agency), one calendar month and one class. It is stored
// only wrapped, in a row found by its handle; destroying the wraps, or the month key they are under, erases everything
// that K seals, and leaves the log's leaves and their proofs as they are.
//
// The AEAD does not commit to its key: one sealed text can be made that opens under two keys. So opening always checks
// the commitment in the leaf, or the digest in the receipt, as well. Callers need no second check.
package seal

import (
	"crypto/rand"
	"errors"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"golang.org/x/crypto/chacha20poly1305"
)

const (
	nonceSize  = chacha20poly1305.NonceSizeX
	headSize   = 32 // a body's nonce, a private part's salt
	sealedSize = nonceSize + headSize + chacha20poly1305.Overhead
)

// ErrOpen says that sealed bytes, or a wrap, do not open. It is one error for every cause.
var ErrOpen = errors.New("sealed bytes do not open")

// SealEvent seals an event's body under its K, bound to the leaf by its Merkle leaf hash. What is stored is
//
//	+-------------+------------------------------------------+--------+
//	| nonce    24 | encrypted: nonce of the body 32 ‖ body   | tag 16 |
//	+-------------+------------------------------------------+--------+
func SealEvent(k *[32]byte, leafHash ledger.Hash, nonce *[32]byte, body []byte) []byte {
	return sealParts(k, freshNonce(), leafHash, nonce, body)
}

// OpenEvent opens what SealEvent made for this leaf, which is the whole event leaf, and checks the leaf's commitment.
// The error is ErrOpen.
func OpenEvent(k *[32]byte, leaf, stored []byte) (nonce [32]byte, body []byte, err error) {
	parsed, err := ledger.ParseLeaf(leaf)
	if err != nil {
		return nonce, nil, ErrOpen
	}
	event, ok := parsed.(ledger.Event)
	if !ok {
		return nonce, nil, ErrOpen
	}
	nonce, body, err = openParts(k, ledger.HashLeaf(leaf), stored)
	if err != nil || ledger.BodyCommitment(&nonce, body) != event.Commitment {
		return [32]byte{}, nil, ErrOpen
	}
	return nonce, body, nil
}

// SealPrivate seals a private part under its agency's K, bound to the receipt by its private_digest. What is stored has
// the shape that SealEvent shows, with the salt in place of the body's nonce.
func SealPrivate(k *[32]byte, digest ledger.Hash, salt *[32]byte, content []byte) []byte {
	return sealParts(k, freshNonce(), digest, salt, content)
}

// OpenPrivate opens what SealPrivate made for the receipt with this private_digest, and checks the digest. The error is
// ErrOpen.
func OpenPrivate(k *[32]byte, digest ledger.Hash, stored []byte) (salt [32]byte, content []byte, err error) {
	salt, content, err = openParts(k, digest, stored)
	if err != nil || ledger.PrivateDigest(&salt, content) != digest {
		return [32]byte{}, nil, ErrOpen
	}
	return salt, content, nil
}

// Month returns the UTC calendar month of recorded_at in the form that handles and month keys use: 2026-11.
func Month(recordedAt time.Time) string { return recordedAt.UTC().Format("2006-01") }

// Day returns the UTC day that names a day key: 2026-11-22.
func Day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func freshNonce() *[nonceSize]byte {
	var nonce [nonceSize]byte
	rand.Read(nonce[:])
	return &nonce
}

func sealParts(k *[32]byte, aeadNonce *[nonceSize]byte, aad ledger.Hash, head *[32]byte, rest []byte) []byte {
	aead, err := chacha20poly1305.NewX(k[:])
	if err != nil {
		panic(err) // only for a key of another length
	}
	stored := make([]byte, nonceSize+headSize+len(rest), sealedSize+len(rest))
	copy(stored, aeadNonce[:])
	plaintext := stored[nonceSize:]
	copy(plaintext, head[:])
	copy(plaintext[headSize:], rest)
	return aead.Seal(stored[:nonceSize], aeadNonce[:], plaintext, aad[:])
}

func openParts(k *[32]byte, aad ledger.Hash, stored []byte) (head [32]byte, rest []byte, err error) {
	if len(stored) < sealedSize {
		return head, nil, ErrOpen
	}
	aead, err := chacha20poly1305.NewX(k[:])
	if err != nil {
		panic(err) // only for a key of another length
	}
	plaintext, err := aead.Open(nil, stored[:nonceSize], stored[nonceSize:], aad[:])
	if err != nil {
		return head, nil, ErrOpen
	}
	return [32]byte(plaintext), plaintext[headSize:], nil
}
