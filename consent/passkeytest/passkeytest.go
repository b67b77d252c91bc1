// SPDX-License-Identifier: EUPL-1.2

// Package passkeytest is an authenticator in software, for tests: it answers a page's challenge as a browser with a
// passkey does (W3C Web Authentication level 3, without attestation), and can be told to answer wrongly.
package passkeytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"testing"
)

// Passkey is one credential at one relying party.
type Passkey struct {
	RP     string // domain
	Origin string // of the page
	ID     []byte
	Key    crypto.Signer // *ecdsa.PrivateKey on P-256, ed25519.PrivateKey or *rsa.PrivateKey
	Flags  byte          // of the authenticator data: present and verified, unless a test changes it
}

// New makes a passkey with an algorithm: ES256, EdDSA or RS256.
func New(t testing.TB, alg, rp, origin string) *Passkey {
	t.Helper()
	p := &Passkey{RP: rp, Origin: origin, ID: make([]byte, 32), Flags: 0x05}
	rand.Read(p.ID)
	var err error
	switch alg {
	case "ES256":
		p.Key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, p.Key, err = ed25519.GenerateKey(rand.Reader)
	case "RS256":
		p.Key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		err = fmt.Errorf("no algorithm %q", alg)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ClientData is what the browser signs of the page.
func (p *Passkey) ClientData(typ string, challenge [32]byte) []byte {
	return fmt.Appendf(nil, `{"type":"%s","challenge":"%s","origin":"%s","crossOrigin":false}`,
		typ, base64.RawURLEncoding.EncodeToString(challenge[:]), p.Origin)
}

// Register answers navigator.credentials.create.
func (p *Passkey) Register(challenge [32]byte) (authenticatorData, clientData []byte) {
	data := p.data(p.Flags | 0x40)
	data = append(data, make([]byte, 16)...) // aaguid
	data = binary.BigEndian.AppendUint16(data, uint16(len(p.ID)))
	data = append(data, p.ID...)
	return append(data, CoseKey(p.Key.Public())...), p.ClientData("webauthn.create", challenge)
}

// Sign answers navigator.credentials.get.
func (p *Passkey) Sign(t testing.TB, challenge [32]byte) (authenticatorData, clientData, signature []byte) {
	t.Helper()
	authenticatorData, clientData = p.data(p.Flags), p.ClientData("webauthn.get", challenge)
	return authenticatorData, clientData, p.SignOver(t, authenticatorData, clientData)
}

// SignOver signs what a test made of the data.
func (p *Passkey) SignOver(t testing.TB, authenticatorData, clientData []byte) []byte {
	t.Helper()
	client := sha256.Sum256(clientData)
	message := append(append([]byte(nil), authenticatorData...), client[:]...)
	var hash crypto.Hash
	if _, ok := p.Key.(ed25519.PrivateKey); !ok {
		sum := sha256.Sum256(message)
		message, hash = sum[:], crypto.SHA256
	}
	signature, err := p.Key.Sign(rand.Reader, message, hash)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

func (p *Passkey) data(flags byte) []byte {
	rp := sha256.Sum256([]byte(p.RP))
	return append(append(rp[:], flags), 0, 0, 0, 0)
}

// CoseKey is a public key as an authenticator writes it (RFC 9052, in CTAP2's canonical CBOR).
func CoseKey(key crypto.PublicKey) []byte {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			panic(err) // only for a point that isn't on the curve
		}
		out := []byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20}
		out = append(out, point[1:33]...)
		return append(append(out, 0x22, 0x58, 0x20), point[33:]...)
	case ed25519.PublicKey:
		return append([]byte{0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 0x20}, key...)
	case *rsa.PublicKey:
		n := key.N.Bytes()
		out := []byte{0xa4, 0x01, 0x03, 0x03, 0x39, 0x01, 0x00, 0x20, 0x59}
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(n))), n...)
		return append(out, 0x21, 0x43, byte(key.E>>16), byte(key.E>>8), byte(key.E))
	}
	panic("passkeytest: no key of a passkey")
}
