// SPDX-License-Identifier: EUPL-1.2

package jws

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/traccia-ledger/traccia/ledger/es256"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

const (
	minRSA, maxRSA = 2048, 4096 // bits
	// maxSet bounds a JWK set in bytes and maxKeys in keys.
	maxSet  = 1 << 20
	maxKeys = 1000
)

// Key is a public key with the name and the one algorithm it verifies.
type Key struct {
	Kid string
	Alg string // ES256, RS256 or EdDSA
	// Public is a *ecdsa.PublicKey on P-256, a *rsa.PublicKey or an
	// ed25519.PublicKey.
	Public crypto.PublicKey
}

// NewKey names a public key; kid "" stands for its RFC 7638 thumbprint. It
// refuses what is no usable key of the three kinds.
func NewKey(kid string, public crypto.PublicKey) (Key, error) {
	j, err := describe(public)
	if err != nil {
		return Key{}, err
	}
	if kid == "" {
		kid = j.thumbprint()
	}
	if err := checkName("/kid", kid); err != nil {
		return Key{}, err
	}
	return Key{kid, j.Alg, public}, nil
}

// algorithm returns what a key verifies, after the checks that cost nothing.
func algorithm(public crypto.PublicKey) (string, error) {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return ES256, nil
		}
		return "", &Error{"/crv", "P-256", k.Curve.Params().Name}
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSA || n > maxRSA {
			return "", &Error{"/n", fmt.Sprintf("%d to %d bits", minRSA, maxRSA), count(n, "bit")}
		}
		return RS256, nil
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return "", &Error{"/x", "32 bytes", count(len(k), "byte")}
		}
		return EdDSA, nil
	}
	return "", &Error{"", "a P-256, RSA or Ed25519 public key", fmt.Sprintf("%T", public)}
}

// jwk is a key as FormatKey writes it, members in alphabetical order.
//
//	{"alg":"EdDSA","crv":"Ed25519","kid":"k1","kty":"OKP","use":"sig","x":"11qYAYKx…"}
type jwk struct {
	Alg string `json:"alg,omitempty"`
	Crv string `json:"crv,omitempty"`
	E   string `json:"e,omitempty"`
	Kid string `json:"kid,omitempty"`
	Kty string `json:"kty"`
	N   string `json:"n,omitempty"`
	Use string `json:"use,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
}

// describe checks a public key fully and returns its JWK without kid.
func describe(public crypto.PublicKey) (jwk, error) {
	alg, err := algorithm(public)
	if err != nil {
		return jwk{}, err
	}
	text := base64.RawURLEncoding.EncodeToString
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		point, err := es256.FormatKey(k)
		if err != nil {
			return jwk{}, &Error{"/x", "a point of P-256", "none"}
		}
		return jwk{Alg: alg, Crv: "P-256", Kty: "EC", Use: "sig", X: text(point[1:33]), Y: text(point[33:])}, nil
	case *rsa.PublicKey:
		if k.N.Bit(0) == 0 {
			return jwk{}, &Error{"/n", "an odd modulus", "an even one"}
		}
		if k.E < 3 || k.E%2 == 0 || k.E > 1<<31-1 {
			return jwk{}, &Error{"/e", "an odd exponent from 3 to 2^31−1", "another number"}
		}
		return jwk{Alg: alg, E: text(big.NewInt(int64(k.E)).Bytes()), Kty: "RSA", N: text(k.N.Bytes()), Use: "sig"}, nil
	case ed25519.PublicKey:
		if !usablePoint(k) {
			return jwk{}, &Error{"/x", "a point of Ed25519 of large order", "none"}
		}
		return jwk{Alg: alg, Crv: "Ed25519", Kty: "OKP", Use: "sig", X: text(k)}, nil
	}
	panic("jws: a key type without a description")
}

// thumbprint is over the required members, in alphabetical order (RFC 7638).
func (j jwk) thumbprint() string {
	j.Alg, j.Kid, j.Use = "", "", ""
	data, err := json.Marshal(j)
	if err != nil {
		panic(err) // strings always marshal
	}
	sum := sha256.Sum256(data)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Thumbprint returns the RFC 7638 thumbprint of a key, SHA-256 in base64url.
func Thumbprint(public crypto.PublicKey) (string, error) {
	j, err := describe(public)
	if err != nil {
		return "", err
	}
	return j.thumbprint(), nil
}

// FormatKey writes a key as a JWK: always the same bytes for the same key.
func FormatKey(k Key) ([]byte, error) {
	j, err := k.jwk()
	if err != nil {
		return nil, err
	}
	return json.Marshal(j)
}

// FormatKeys writes keys as a JWK set, in their order.
//
//	{"keys":[{"alg":"ES256","crv":"P-256","kid":"k1","kty":"EC","use":"sig","x":"…","y":"…"}]}
func FormatKeys(keys []Key) ([]byte, error) {
	set := struct {
		Keys []jwk `json:"keys"`
	}{make([]jwk, len(keys))}
	for i, k := range keys {
		j, err := k.jwk()
		if err != nil {
			return nil, under(err, i)
		}
		set.Keys[i] = j
	}
	if err := refuseRepeated(keys); err != nil {
		return nil, err
	}
	return json.Marshal(set)
}

func (k Key) jwk() (jwk, error) {
	checked, err := NewKey(k.Kid, k.Public)
	if err != nil {
		return jwk{}, err
	}
	if checked.Alg != k.Alg {
		return jwk{}, &Error{"/alg", checked.Alg, shown(k.Alg)}
	}
	j, err := describe(k.Public)
	j.Kid = checked.Kid
	return j, err
}

// ParseKeys reads a JWK set (RFC 7517). Every key must be one that NewKey takes;
// members that others add (x5c, exp, key_ops…) are ignored, private ones are
// refused. A key without kid is named by its thumbprint; no kid may repeat. The
// error is an *Error.
func ParseKeys(jwks []byte) ([]Key, error) {
	set, err := parseObject(jwks)
	if err != nil {
		return nil, err
	}
	var each []json.RawMessage
	if json.Unmarshal(set["keys"], &each) != nil || each == nil {
		return nil, &Error{"/keys", "an array of keys", "something else"}
	}
	if len(each) > maxKeys {
		return nil, &Error{"/keys", fmt.Sprintf("at most %d keys", maxKeys), count(len(each), "key")}
	}
	keys := make([]Key, len(each))
	for i, data := range each {
		if keys[i], err = ParseKey(data); err != nil {
			return nil, under(err, i)
		}
	}
	if err := refuseRepeated(keys); err != nil {
		return nil, err
	}
	return keys, nil
}

func refuseRepeated(keys []Key) error {
	seen := make(map[string]bool, len(keys))
	for i, k := range keys {
		if seen[k.Kid] {
			return &Error{"/keys/" + strconv.Itoa(i) + "/kid", "each kid once", k.Kid + " again"}
		}
		seen[k.Kid] = true
	}
	return nil
}

func under(err error, i int) error {
	if bad := (*Error)(nil); errors.As(err, &bad) {
		return &Error{"/keys/" + strconv.Itoa(i) + bad.Where, bad.Expected, bad.Found}
	}
	return err
}

func parseObject(data []byte) (map[string]json.RawMessage, error) {
	if len(data) > maxSet {
		return nil, &Error{"", fmt.Sprintf("at most %d bytes", maxSet), count(len(data), "byte")}
	}
	if err := ijson.Check(data); err != nil {
		bad := err.(*ijson.Error)
		return nil, &Error{"", bad.Expected, bad.Found}
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, &Error{"", "a JSON object", "something else"}
	}
	return members, nil
}

// private are the members that hold secrets (RFC 7518 §6).
var private = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// ParseKey reads one JWK as ParseKeys does.
func ParseKey(data []byte) (Key, error) {
	members, err := parseObject(data)
	if err != nil {
		return Key{}, err
	}
	for _, name := range private {
		if _, ok := members[name]; ok {
			return Key{}, &Error{"/" + name, "a public key", "a private or symmetric one: keep it secret, register its public part"}
		}
	}
	var j jwk
	for name, to := range map[string]*string{
		"alg": &j.Alg, "crv": &j.Crv, "e": &j.E, "kid": &j.Kid, "kty": &j.Kty, "n": &j.N, "use": &j.Use, "x": &j.X, "y": &j.Y,
	} {
		if raw, ok := members[name]; ok && (raw[0] != '"' || json.Unmarshal(raw, to) != nil || *to == "") {
			return Key{}, &Error{"/" + name, "a string, not empty", "something else"}
		}
	}
	if j.Use != "" && j.Use != "sig" {
		return Key{}, &Error{"/use", "sig", shown(j.Use)}
	}
	public, err := j.public()
	if err != nil {
		return Key{}, err
	}
	k, err := NewKey(j.Kid, public)
	if err == nil && j.Alg != "" && j.Alg != k.Alg {
		err = &Error{"/alg", k.Alg, shown(j.Alg)}
	}
	if err != nil {
		return Key{}, err
	}
	return k, nil
}

func (j *jwk) public() (crypto.PublicKey, error) {
	switch {
	case j.Kty == "EC" && j.Crv == "P-256":
		x, err := octets("/x", j.X, 32)
		if err != nil {
			return nil, err
		}
		y, err := octets("/y", j.Y, 32)
		if err != nil {
			return nil, err
		}
		k, err := es256.ParseKey(bytes.Join([][]byte{{4}, x, y}, nil))
		if err != nil {
			return nil, &Error{"/x", "a point of P-256", "none"}
		}
		return k, nil
	case j.Kty == "OKP" && j.Crv == "Ed25519":
		x, err := octets("/x", j.X, ed25519.PublicKeySize)
		return ed25519.PublicKey(x), err
	case j.Kty == "RSA":
		n, err := number("/n", j.N, maxRSA)
		if err != nil {
			return nil, err
		}
		e, err := number("/e", j.E, 31)
		if err != nil {
			return nil, err
		}
		return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
	case j.Kty == "EC":
		return nil, &Error{"/crv", "P-256", shown(j.Crv)}
	case j.Kty == "OKP":
		return nil, &Error{"/crv", "Ed25519", shown(j.Crv)}
	}
	return nil, &Error{"/kty", "EC, RSA or OKP", shown(j.Kty)}
}

// octets decodes a member of exactly size bytes.
func octets(where, text string, size int) ([]byte, error) {
	raw, err := decodeMember(where, text)
	if err == nil && len(raw) != size {
		err = &Error{where, count(size, "byte"), count(len(raw), "byte")}
	}
	return raw, err
}

// number decodes a Base64urlUInt (RFC 7518 §2) of at most bits bits.
func number(where, text string, bits int) (*big.Int, error) {
	raw, err := decodeMember(where, text)
	if err != nil {
		return nil, err
	}
	if raw[0] == 0 {
		return nil, &Error{where, "a number without leading zero bytes", count(len(raw), "byte")}
	}
	n := new(big.Int).SetBytes(raw)
	if n.BitLen() > bits {
		return nil, &Error{where, "at most " + count(bits, "bit"), count(n.BitLen(), "bit")}
	}
	return n, nil
}

func decodeMember(where, text string) ([]byte, error) {
	if text == "" {
		return nil, &Error{where, "base64url without padding", "nothing"}
	}
	raw, err := strict.DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, &Error{where, "base64url without padding", "other text"}
	}
	return raw, nil
}
