// SPDX-License-Identifier: EUPL-1.2

// Package jws signs and verifies the tokens that Traccia defines itself:
// receipts and proofs of keys. They are compact JWS (RFC 7515) of one narrow
// form, so that one token has one reading:
//
//	eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIiwidHlwIjoidHJhY2NpYS1yZWNlaXB0K2p3dCJ9.e30.<signature>
//	{"alg":"ES256","kid":"k1","typ":"traccia-receipt+jwt"} . {} . 64 bytes
//
// Three segments of base64url without padding or spare bits; a header that is
// strict I-JSON with exactly alg, kid and typ; alg one of [ES256] (r ‖ s, 64
// bytes), [RS256] and [EdDSA] with Ed25519 (RFC 8037).
//
// What a token says of itself is never trusted: the caller chooses the key, by
// the kid and from where it keeps keys in force, and the key, not the header,
// decides the algorithm. A [Key] is P-256, RSA of 2048 to 4096 bits, or Ed25519,
// and has been checked to be a usable public key by [NewKey] or a parser here.
//
// A token is not the name of what it says: one payload has many good signatures,
// and from each of ES256 anybody makes a second, r ‖ −s. Identify by the payload.
//
// Tokens of others (vouchers, tracking evidence) are not read here.
package jws

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/traccia-ledger/traccia/ledger/es256"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// The algorithms, as headers and JWKs name them.
const (
	ES256 = "ES256"
	RS256 = "RS256"
	EdDSA = "EdDSA"

	// Algorithms is what an Error expects where alg is none of them.
	Algorithms = "ES256, RS256 or EdDSA"
)

const (
	// MaxToken is the greatest length of a compact token, in bytes.
	MaxToken = 1 << 16
	// maxHeader bounds the header's segment, so that a refusal is cheap.
	maxHeader = 1 << 10
	// maxName bounds kid and typ, in bytes.
	maxName = 128
)

// Error says what is wrong with a token or key, for the administration that
// made it. It may name algorithms and kids, and repeats nothing else that came.
type Error struct {
	// Where is "" for the whole, "header", "header/alg", "payload" or
	// "signature" of a token, or the RFC 6901 pointer into a JWK or JWK set.
	Where           string
	Expected, Found string
}

func (e *Error) Error() string {
	at := ""
	if e.Where != "" {
		at = e.Where + ": "
	}
	return at + "expected " + e.Expected + ", found " + e.Found
}

// Header is a token's protected header, all of it.
type Header struct {
	Alg string `json:"alg"`
	Kid string `json:"kid"` // 1 to 128 visible ASCII characters
	Typ string `json:"typ"` // likewise
}

// Unverified is a well-formed token whose signature is not yet checked. Until
// Verify has returned nil, Header and Payload are the word of whoever sent it.
type Unverified struct {
	Header    Header
	Payload   []byte
	input     string // what is signed: the first two segments with their dot
	signature []byte
}

// strict refuses spare bits but skips line breaks, which Parse refuses first.
var strict = base64.RawURLEncoding.Strict()

// Parse reads a compact token. The error is an *Error.
func Parse(compact string) (*Unverified, error) {
	if len(compact) > MaxToken {
		return nil, &Error{"", fmt.Sprintf("at most %d bytes", MaxToken), fmt.Sprintf("%d bytes", len(compact))}
	}
	if n := strings.Count(compact, ".") + 1; n != 3 {
		return nil, &Error{"", "three segments", count(n, "segment")}
	}
	if strings.ContainsAny(compact, "\r\n") {
		return nil, &Error{"", "base64url without padding", "a line break"}
	}
	end := strings.LastIndexByte(compact, '.')
	u := &Unverified{input: compact[:end]}
	header, payload, _ := strings.Cut(u.input, ".")
	if len(header) > maxHeader {
		return nil, &Error{"header", fmt.Sprintf("at most %d characters", maxHeader), fmt.Sprintf("%d characters", len(header))}
	}
	raw, err := decode("header", header)
	if err != nil {
		return nil, err
	}
	if err := u.Header.parse(raw); err != nil {
		return nil, err
	}
	if u.Payload, err = decode("payload", payload); err != nil {
		return nil, err
	}
	if u.signature, err = decode("signature", compact[end+1:]); err != nil {
		return nil, err
	}
	if err := u.checkLength(); err != nil {
		return nil, err
	}
	return u, nil
}

func decode(where, segment string) ([]byte, error) {
	if segment == "" {
		return nil, &Error{where, "base64url without padding", "nothing"}
	}
	raw, err := strict.DecodeString(segment)
	if err != nil {
		return nil, &Error{where, "base64url without padding", "other text"}
	}
	return raw, nil
}

func (h *Header) parse(raw []byte) error {
	if err := ijson.Unmarshal(raw, h); err != nil {
		if bad := (*ijson.Error)(nil); errors.As(err, &bad) {
			return &Error{"header" + bad.Pointer, bad.Expected, bad.Found}
		}
		return err
	}
	return h.check()
}

func (h *Header) check() error {
	switch h.Alg {
	case ES256, RS256, EdDSA:
	default:
		return &Error{"header/alg", Algorithms, shown(h.Alg)}
	}
	if err := checkName("header/kid", h.Kid); err != nil {
		return err
	}
	return checkName("header/typ", h.Typ)
}

// checkName refuses what would not be safe to show in a log or on a terminal.
func checkName(where, name string) error {
	expected := fmt.Sprintf("1 to %d visible ASCII characters", maxName)
	if name == "" || len(name) > maxName {
		return &Error{where, expected, count(len(name), "byte")}
	}
	if !visible(name) {
		return &Error{where, expected, "other characters"}
	}
	return nil
}

func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < '!' || r > '~' })
}

// shown is the name of an algorithm or key type, if it can be one.
func shown(name string) string {
	if name == "" {
		return "nothing"
	}
	if len(name) > 32 || !visible(name) {
		return "a string of " + count(len(name), "byte")
	}
	return name
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (u *Unverified) checkLength() error {
	n := len(u.signature)
	if u.Header.Alg == RS256 {
		if n < minRSA/8 || n > maxRSA/8 {
			return &Error{"signature", fmt.Sprintf("%d to %d bytes for RS256", minRSA/8, maxRSA/8), count(n, "byte")}
		}
	} else if n != 64 {
		return &Error{"signature", "64 bytes for " + u.Header.Alg, count(n, "byte")}
	}
	return nil
}

// Verify checks the signature under k, whose kid and algorithm must be the
// header's. The error is an *Error.
func (u *Unverified) Verify(k Key) error {
	if u.Header.Kid != k.Kid {
		return &Error{"header/kid", k.Kid, u.Header.Kid}
	}
	alg, err := algorithm(k.Public)
	if err != nil {
		return err
	}
	if k.Alg != alg {
		return &Error{"", "a key for " + alg, "one marked for " + shown(k.Alg)}
	}
	if u.Header.Alg != alg {
		return &Error{"header/alg", alg, u.Header.Alg}
	}
	if !verify(k.Public, []byte(u.input), u.signature) {
		return &Error{"signature", "a signature by " + k.Kid + " over this token", "another"}
	}
	return nil
}

// verify checks a signature with the algorithm that the key stands for.
func verify(public crypto.PublicKey, input, signature []byte) bool {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		return es256.Verify(k, input, signature)
	case *rsa.PublicKey:
		digest := sha256.Sum256(input)
		return rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], signature) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(k, input, signature)
	}
	return false
}

// Sign makes a compact token. The algorithm follows from the signer's key, which
// may live in a device; kid "" stands for its thumbprint.
func Sign(typ string, payload []byte, kid string, s crypto.Signer) (string, error) {
	alg, err := algorithm(s.Public())
	if err != nil {
		return "", err
	}
	if kid == "" {
		if kid, err = Thumbprint(s.Public()); err != nil {
			return "", err
		}
	}
	if len(payload) == 0 {
		return "", &Error{"payload", "a payload", "nothing"}
	}
	h := Header{alg, kid, typ}
	if err := h.check(); err != nil {
		return "", err
	}
	header, err := json.Marshal(h)
	if err != nil {
		return "", fmt.Errorf("couldn't format header: %w", err)
	}
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := sign([]byte(input), alg, s)
	if err != nil {
		return "", fmt.Errorf("couldn't sign with key %s: %w", kid, err)
	}
	compact := input + "." + base64.RawURLEncoding.EncodeToString(signature)
	if len(compact) > MaxToken {
		return "", &Error{"", fmt.Sprintf("at most %d bytes", MaxToken), fmt.Sprintf("%d bytes", len(compact))}
	}
	return compact, nil
}

func sign(input []byte, alg string, s crypto.Signer) ([]byte, error) {
	if alg == EdDSA {
		return s.Sign(rand.Reader, input, crypto.Hash(0))
	}
	digest := sha256.Sum256(input)
	signature, err := s.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil || alg == RS256 {
		return signature, err
	}
	var pair struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(signature, &pair); err != nil || len(rest) > 0 {
		return nil, errors.New("the signer's ECDSA signature is not ASN.1")
	}
	if pair.R.Sign() <= 0 || pair.S.Sign() <= 0 || pair.R.BitLen() > 256 || pair.S.BitLen() > 256 {
		return nil, errors.New("the signer's ECDSA signature is not of P-256")
	}
	out := make([]byte, 64)
	pair.R.FillBytes(out[:32])
	pair.S.FillBytes(out[32:])
	return out, nil
}
