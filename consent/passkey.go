// SPDX-License-Identifier: EUPL-1.2

package consent

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/big"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/es256"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// What is checked of Web Authentication level 3 (W3C), sections 6.1, 6.5.1, 7.1 and 7.2: type, challenge and origin of the
// client data, relying party, presence and verification of the user, key and signature. Not looked at are attestation, the
// content of extensions, which browsers ask authenticators for by themselves, and signature counters, which passkeys kept
// in several devices leave at zero.

// errPasskey is the one error of what a browser gave.
var errPasskey = errors.New("no good passkey response")

// Bits of the flags in authenticator data.
const (
	flagPresent  = 0x01
	flagVerified = 0x04
	flagEligible = 0x08 // for backup
	flagBackedUp = 0x10
	flagAttested = 0x40 // a new credential follows
	flagExtended = 0x80
)

// Credential is a passkey's id and public key.
type Credential struct {
	ID   []byte
	COSE []byte           // the key as the authenticator wrote it
	Key  crypto.PublicKey // *ecdsa.PublicKey on P-256, ed25519.PublicKey or *rsa.PublicKey
}

// CheckRegistration reads a new passkey out of a browser's answer to this challenge, at the place that p names.
func CheckRegistration(p *Passkey, challenge ledger.Hash, e *Evidence) (*Credential, error) {
	rest, err := checkResponse(p, "webauthn.create", challenge, e.ClientData, e.AuthenticatorData)
	if err != nil {
		return nil, err
	}
	// aaguid 16 ‖ u16 length ‖ id ‖ key
	if e.AuthenticatorData[32]&flagAttested == 0 || len(rest) < 18 {
		return nil, errPasskey
	}
	n := int(binary.BigEndian.Uint16(rest[16:]))
	if rest = rest[18:]; n == 0 || n > maxCredential || len(rest) < n {
		return nil, errPasskey
	}
	id, rest := rest[:n], rest[n:]
	key, behind, err := parseKey(rest)
	if err != nil {
		return nil, err
	}
	if err := checkExtensions(e.AuthenticatorData[32], behind); err != nil {
		return nil, err
	}
	return &Credential{id, rest[:len(rest)-len(behind)], key}, nil
}

// CheckAssertion checks that a passkey signed this challenge, at the place that p names.
func CheckAssertion(p *Passkey, c *Credential, challenge ledger.Hash, e *Evidence) error {
	if !bytes.Equal(e.Credential, c.ID) {
		return errPasskey
	}
	rest, err := checkResponse(p, "webauthn.get", challenge, e.ClientData, e.AuthenticatorData)
	if err != nil {
		return err
	}
	if e.AuthenticatorData[32]&flagAttested != 0 {
		return errPasskey
	}
	if err := checkExtensions(e.AuthenticatorData[32], rest); err != nil {
		return err
	}
	client := sha256.Sum256(e.ClientData)
	signed := append(bytes.Clone(e.AuthenticatorData), client[:]...)
	digest := sha256.Sum256(signed)
	ok := false
	switch key := c.Key.(type) {
	case *ecdsa.PublicKey:
		ok = es256.VerifyASN1(key, signed, e.Signature)
	case ed25519.PublicKey:
		ok = ed25519.Verify(key, signed, e.Signature)
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], e.Signature) == nil
	}
	if !ok {
		return errPasskey
	}
	return nil
}

// checkResponse checks what both answers have, and returns the authenticator data behind the counter.
func checkResponse(p *Passkey, typ string, challenge ledger.Hash, client, data []byte) (rest []byte, err error) {
	// A browser may add members, never one name twice.
	var members map[string]json.RawMessage
	if ijson.Check(client) != nil || json.Unmarshal(client, &members) != nil {
		return nil, errPasskey
	}
	text := func(name string) (s string) {
		if json.Unmarshal(members[name], &s) != nil {
			return ""
		}
		return s
	}
	if text("type") != typ || text("origin") != p.Origin || text("challenge") != base64.RawURLEncoding.EncodeToString(challenge[:]) {
		return nil, errPasskey
	}
	if cross, ok := members["crossOrigin"]; ok && string(cross) != "false" {
		return nil, errPasskey
	}
	if _, ok := members["topOrigin"]; ok {
		return nil, errPasskey
	}
	// rp id hash 32 ‖ flags ‖ u32 counter
	rp := sha256.Sum256([]byte(p.RP))
	if len(data) < 37 || !bytes.Equal(data[:32], rp[:]) {
		return nil, errPasskey
	}
	flags := data[32]
	if flags&flagPresent == 0 || flags&flagVerified == 0 || flags&(flagEligible|flagBackedUp) == flagBackedUp {
		return nil, errPasskey
	}
	return data[37:], nil
}

// checkExtensions takes one CBOR map exactly where the flags announce extensions.
func checkExtensions(flags byte, data []byte) error {
	if flags&flagExtended == 0 {
		if len(data) > 0 {
			return errPasskey
		}
		return nil
	}
	rest, ok := skip(data, 4)
	if !ok || len(rest) > 0 || data[0]>>5 != 5 {
		return errPasskey
	}
	return nil
}

// skip passes over one CBOR item of definite length, nested no deeper.
func skip(data []byte, depth int) (rest []byte, ok bool) {
	major, n, rest, ok := parseHead(data)
	if !ok || depth == 0 {
		return nil, false
	}
	switch major {
	case 0, 1, 7:
		return rest, true
	case 2, 3:
		if n > len(rest) {
			return nil, false
		}
		return rest[n:], true
	case 4, 5:
		if major == 5 {
			n *= 2
		}
		for range n {
			if rest, ok = skip(rest, depth-1); !ok {
				return nil, false
			}
		}
		return rest, true
	}
	return nil, false
}

// parseKey reads a COSE_Key (RFC 9052, 9053; CTAP2's canonical CBOR) that signs with ES256, EdDSA or RS256.
//
//	ES256  {1:2, 3:-7, -1:1, -2:x, -3:y}      EdDSA  {1:1, 3:-8, -1:6, -2:x}      RS256  {1:3, 3:-257, -1:n, -2:e}
func parseKey(data []byte) (key crypto.PublicKey, rest []byte, err error) {
	ints, texts, rest, err := parseMap(data)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case ints[1] == 2 && ints[3] == -7 && ints[-1] == 1 && len(ints) == 3 && len(texts) == 2 && len(texts[-2]) == 32 && len(texts[-3]) == 32:
		point := append(append([]byte{4}, texts[-2]...), texts[-3]...)
		key, err := es256.ParseKey(point)
		if err != nil {
			return nil, nil, errPasskey
		}
		return key, rest, nil
	case ints[1] == 1 && ints[3] == -8 && ints[-1] == 6 && len(ints) == 3 && len(texts) == 1 && len(texts[-2]) == ed25519.PublicKeySize:
		return ed25519.PublicKey(texts[-2]), rest, nil
	case ints[1] == 3 && ints[3] == -257 && len(ints) == 2 && len(texts) == 2 && len(texts[-2]) == 3:
		n := new(big.Int).SetBytes(texts[-1])
		e := int(texts[-2][0])<<16 | int(texts[-2][1])<<8 | int(texts[-2][2])
		if bits := n.BitLen(); bits < 2048 || bits > 4096 || bits != 8*len(texts[-1]) || e%2 == 0 || e < 1<<16 {
			return nil, nil, errPasskey
		}
		return &rsa.PublicKey{N: n, E: e}, rest, nil
	}
	return nil, nil, errPasskey
}

// parseMap reads a CBOR map (RFC 8949) whose keys are small integers and whose values are integers or byte strings, in
// their shortest form, of definite length, no key twice; and returns what is behind it.
func parseMap(data []byte) (ints map[int]int, texts map[int][]byte, rest []byte, err error) {
	ints, texts = map[int]int{}, map[int][]byte{}
	major, count, data, ok := parseHead(data)
	if !ok || major != 5 || count > 8 {
		return nil, nil, nil, errPasskey
	}
	for range count {
		var key, value int
		if key, data, ok = parseInt(data); !ok {
			return nil, nil, nil, errPasskey
		}
		_, isInt := ints[key]
		_, isText := texts[key]
		if isInt || isText {
			return nil, nil, nil, errPasskey
		}
		if major, n, rest, ok := parseHead(data); ok && major == 2 {
			if n > len(rest) {
				return nil, nil, nil, errPasskey
			}
			texts[key], data = rest[:n], rest[n:]
			continue
		}
		if value, data, ok = parseInt(data); !ok {
			return nil, nil, nil, errPasskey
		}
		ints[key] = value
	}
	return ints, texts, data, nil
}

func parseInt(data []byte) (n int, rest []byte, ok bool) {
	major, n, rest, ok := parseHead(data)
	switch {
	case ok && major == 0:
		return n, rest, true
	case ok && major == 1:
		return -1 - n, rest, true
	}
	return 0, nil, false
}

// parseHead reads a CBOR head with an argument below 65,536.
func parseHead(data []byte) (major byte, n int, rest []byte, ok bool) {
	if len(data) == 0 {
		return 0, 0, nil, false
	}
	major, info, rest := data[0]>>5, data[0]&31, data[1:]
	switch {
	case info < 24:
		return major, int(info), rest, true
	case info == 24 && len(rest) >= 1 && rest[0] >= 24:
		return major, int(rest[0]), rest[1:], true
	case info == 25 && len(rest) >= 2 && rest[0] > 0:
		return major, int(binary.BigEndian.Uint16(rest)), rest[2:], true
	}
	return 0, 0, nil, false
}
