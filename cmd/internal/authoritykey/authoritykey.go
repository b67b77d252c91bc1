// SPDX-License-Identifier: EUPL-1.2

// Package authoritykey is the key pair of the authority that opens what a ledger records without its operator, in its files.
package authoritykey

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/keyfile"
	"github.com/traccia-ledger/traccia/ledger/ijson"
	"github.com/traccia-ledger/traccia/ledger/seal"
)

// fileKind begins the private key's file; package keyfile has its form.
//
//	traccia-authority-key/1
//	kid: kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k
//	-----BEGIN PRIVATE KEY-----
const fileKind = "traccia-authority-key/1"

var errFile = errors.New("expected a key file as verifier authority key writes it")

// New makes a key pair.
func New() (*ecdh.PrivateKey, error) { return ecdh.X25519().GenerateKey(rand.Reader) }

// Format encodes a private key, protected unless the passphrase is "".
func Format(k *ecdh.PrivateKey, passphrase string) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, fmt.Errorf("couldn't encode the key: %w", err)
	}
	return keyfile.Format(fileKind, [][2]string{{"kid", Kid([32]byte(k.PublicKey().Bytes()))}}, der, passphrase)
}

// Read reads a private key's file, which only its owner can read. passphraseFile may be "".
func Read(path, passphraseFile string) (*ecdh.PrivateKey, error) {
	data, passphrase, err := keyfile.Read(path, passphraseFile)
	if err != nil {
		return nil, err
	}
	k, err := openKey(data, passphrase)
	if err != nil {
		return nil, cli.Usagef("%s: %w", path, err)
	}
	return k, nil
}

func openKey(data []byte, passphrase string) (*ecdh.PrivateKey, error) {
	f, err := keyfile.Parse(data, fileKind, "kid")
	if err != nil {
		return nil, errFile
	}
	der, err := f.Secret(passphrase)
	if errors.Is(err, keyfile.ErrMalformed) {
		return nil, errFile
	} else if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	k, ok := parsed.(*ecdh.PrivateKey)
	if err != nil || !ok || k.Curve() != ecdh.X25519() || Kid([32]byte(k.PublicKey().Bytes())) != f.Values[0] {
		return nil, errFile
	}
	return k, nil
}

// jwk is the public key as RFC 8037 has it.
type jwk struct {
	Crv string `json:"crv"`
	Kid string `json:"kid"`
	Kty string `json:"kty"`
	X   string `json:"x"`
}

// FormatPublic writes a public key as a JWK (RFC 8037).
//
//	{"crv":"X25519","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","kty":"OKP","x":"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"}
func FormatPublic(public [32]byte) []byte {
	return fmt.Appendf(nil, `{"crv":"X25519","kid":"%s","kty":"OKP","x":"%s"}`+"\n", Kid(public), base64.RawURLEncoding.EncodeToString(public[:]))
}

// ParsePublic reads what FormatPublic wrote.
func ParsePublic(text []byte) (public [32]byte, err error) {
	const expected = "expected an X25519 key as a JWK, as verifier authority key writes it"
	var k jwk
	if err := ijson.Unmarshal(text, &k); err != nil {
		return public, errors.New(expected)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(k.X)
	if err != nil || len(raw) != 32 || k.Crv != "X25519" || k.Kty != "OKP" {
		return public, errors.New(expected)
	}
	public = [32]byte(raw)
	if _, err := seal.NewDayKeys(public); err != nil || k.Kid != Kid(public) {
		return public, errors.New(expected + ", whose kid is its thumbprint")
	}
	return public, nil
}

// Kid is the key's thumbprint (RFC 7638), by which two people can tell that they have the same key.
func Kid(public [32]byte) string {
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"X25519","kty":"OKP","x":"%s"}`, base64.RawURLEncoding.EncodeToString(public[:])))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
