// SPDX-License-Identifier: EUPL-1.2

//go:build !js

package es256

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"math/big"
)

// ParseKey reads an uncompressed point, 65 bytes: 4 ‖ x ‖ y.
func ParseKey(point []byte) (*ecdsa.PublicKey, error) {
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
}

// FormatKey returns the uncompressed point. The error says that the key isn't one.
func FormatKey(key *ecdsa.PublicKey) ([]byte, error) { return key.Bytes() }

// Verify checks a signature r ‖ s, 64 bytes, as JWS has it.
func Verify(key *ecdsa.PublicKey, message, signature []byte) bool {
	if len(signature) != 2*size {
		return false
	}
	digest := sha256.Sum256(message)
	r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
	return ecdsa.Verify(key, digest[:], r, s)
}

// VerifyASN1 checks a signature in DER, as Web Authentication has it.
func VerifyASN1(key *ecdsa.PublicKey, message, signature []byte) bool {
	digest := sha256.Sum256(message)
	return ecdsa.VerifyASN1(key, digest[:], signature)
}
