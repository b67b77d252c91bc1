// SPDX-License-Identifier: EUPL-1.2

// Package vrf is the verifiable random function behind the tags of events: ECVRF-EDWARDS25519-SHA512-TAI of RFC 9381
// (suite 3), on filippo.io/edwards25519 for the group.
//
// Whoever holds an epoch's key computes one output for each input; whoever has the public key, which stands in the
// epoch's preamble, checks a proof that an output is the only one for its input. A proof for another output must be
// impossible even for the holder of the key, or a citizen could be shown an empty list under a false tag. So keys and
// proofs are decoded exactly as RFC 8032 section 5.1.3 says (the group's library alone takes y >= p, and x = 0 with the
// sign bit), and keys of small order are refused.
//
// A proof is 80 bytes:
//
//	+----------------------+-----------+-------------------------+
//	| Γ, a point        32 | c      16 | s, little-endian     32 |
//	+----------------------+-----------+-------------------------+
//
// Operations on the key take constant time. Hashing an input to the curve tries one candidate after the other, so its
// time tells a little about the input to whoever measures it; nobody outside chooses when an output is computed.
package vrf

import (
	"crypto/sha512"
	"crypto/subtle"
	"errors"

	"filippo.io/edwards25519"
)

// The domain separators of RFC 9381, sections 5.4 and 5.5.
const (
	suite        = 3
	encodeFront  = 1
	challengeTag = 2
	outputTag    = 3
	back         = 0
)

const (
	pointSize     = 32
	challengeSize = 16
	proofSize     = pointSize + challengeSize + 32
)

// ErrVerify says that a proof does not prove. It is one error for every cause.
var ErrVerify = errors.New("VRF proof does not verify")

// ErrKey says that 32 bytes are no public key: not the encoding of a point, or a point of small order.
var ErrKey = errors.New("not a VRF public key")

// PrivateKey is an epoch's key. It is safe for concurrent use.
type PrivateKey struct {
	x         *edwards25519.Scalar
	noncePart [32]byte // second half of SHA-512(seed): makes the nonce of section 5.4.2.2
	public    [32]byte
}

// NewKey expands a seed of 32 random bytes, the SK of RFC 9381, which must be kept secret.
func NewKey(seed [32]byte) *PrivateKey {
	expanded := sha512.Sum512(seed[:])
	x, err := edwards25519.NewScalar().SetBytesWithClamping(expanded[:32])
	if err != nil {
		panic(err) // only for a length other than 32
	}
	k := &PrivateKey{x: x, noncePart: [32]byte(expanded[32:])}
	copy(k.public[:], new(edwards25519.Point).ScalarBaseMult(x).Bytes())
	return k
}

// Public returns the encoded public key.
func (k *PrivateKey) Public() [32]byte { return k.public }

// Output returns VRF(alpha) without a proof, in about half the time of Prove.
func (k *PrivateKey) Output(alpha []byte) [64]byte {
	h := encodeToCurve(&k.public, alpha)
	return output(h.ScalarMult(k.x, h))
}

// Prove returns the proof pi of VRF(alpha), and VRF(alpha) itself.
func (k *PrivateKey) Prove(alpha []byte) (pi [proofSize]byte, beta [64]byte) {
	h := encodeToCurve(&k.public, alpha)
	hBytes := h.Bytes()
	gamma := new(edwards25519.Point).ScalarMult(k.x, h)

	digest := sha512.New()
	digest.Write(k.noncePart[:])
	digest.Write(hBytes)
	nonce, err := edwards25519.NewScalar().SetUniformBytes(digest.Sum(nil))
	if err != nil {
		panic(err) // only for a length other than 64
	}
	u := new(edwards25519.Point).ScalarBaseMult(nonce)
	v := new(edwards25519.Point).ScalarMult(nonce, h)

	gammaBytes := gamma.Bytes()
	c := challenge(k.public[:], hBytes, gammaBytes, u.Bytes(), v.Bytes())
	s := edwards25519.NewScalar().MultiplyAdd(challengeScalar(&c), k.x, nonce)

	return formatProof(&proof{gamma: gamma, c: c, s: s}), output(gamma)
}

// Verify checks that pi proves VRF(alpha) under the public key, and returns VRF(alpha). The error is ErrVerify, whatever
// is wrong. Its time depends on its inputs, which are all public to the caller.
func Verify(public [32]byte, pi, alpha []byte) (beta [64]byte, err error) {
	y, err := parseKey(&public)
	if err != nil {
		return beta, ErrVerify
	}
	p, err := parseProof(pi)
	if err != nil {
		return beta, ErrVerify
	}
	h := encodeToCurve(&public, alpha)
	minusC := challengeScalar(&p.c)
	minusC.Negate(minusC)

	u := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(minusC, y, p.s)
	v := new(edwards25519.Point).VarTimeMultiScalarMult(
		[]*edwards25519.Scalar{p.s, minusC}, []*edwards25519.Point{h, p.gamma})
	c := challenge(public[:], h.Bytes(), pi[:pointSize], u.Bytes(), v.Bytes())
	if subtle.ConstantTimeCompare(c[:], p.c[:]) != 1 {
		return beta, ErrVerify
	}
	return output(p.gamma), nil
}

// CheckKey says whether 32 bytes, say of a preamble, are a public key that proofs can be verified under. The error is
// ErrKey.
func CheckKey(public [32]byte) error {
	_, err := parseKey(&public)
	return err
}

// parseKey is ECVRF_validate_key of section 5.4.5.
func parseKey(public *[32]byte) (*edwards25519.Point, error) {
	y, ok := decodePoint(public[:])
	if !ok || isIdentity(new(edwards25519.Point).MultByCofactor(y)) {
		return nil, ErrKey
	}
	return y, nil
}

type proof struct {
	gamma *edwards25519.Point
	c     [challengeSize]byte
	s     *edwards25519.Scalar
}

func formatProof(p *proof) (pi [proofSize]byte) {
	copy(pi[:], p.gamma.Bytes())
	copy(pi[pointSize:], p.c[:])
	copy(pi[pointSize+challengeSize:], p.s.Bytes())
	return pi
}

func parseProof(pi []byte) (*proof, error) {
	if len(pi) != proofSize {
		return nil, ErrVerify
	}
	gamma, ok := decodePoint(pi[:pointSize])
	if !ok {
		return nil, ErrVerify
	}
	s, err := edwards25519.NewScalar().SetCanonicalBytes(pi[pointSize+challengeSize:])
	if err != nil {
		return nil, ErrVerify
	}
	return &proof{gamma: gamma, c: [challengeSize]byte(pi[pointSize:]), s: s}, nil
}

// encodeToCurve is ECVRF_encode_to_curve_try_and_increment of section 5.4.1.1, with the public key as salt.
func encodeToCurve(public *[32]byte, alpha []byte) *edwards25519.Point {
	digest := sha512.New()
	var sum [sha512.Size]byte
	for counter := 0; counter < 256; counter++ {
		digest.Reset()
		digest.Write([]byte{suite, encodeFront})
		digest.Write(public[:])
		digest.Write(alpha)
		digest.Write([]byte{byte(counter), back})
		h, ok := decodePoint(digest.Sum(sum[:0])[:pointSize])
		if ok && !isIdentity(h.MultByCofactor(h)) {
			return h
		}
	}
	panic("vrf: no point in 256 tries") // 2^-256
}

// challenge is ECVRF_challenge_generation of section 5.4.3, over encoded points.
func challenge(points ...[]byte) (c [challengeSize]byte) {
	digest := sha512.New()
	digest.Write([]byte{suite, challengeTag})
	for _, p := range points {
		digest.Write(p)
	}
	digest.Write([]byte{back})
	copy(c[:], digest.Sum(nil))
	return c
}

func challengeScalar(c *[challengeSize]byte) *edwards25519.Scalar {
	var wide [32]byte
	copy(wide[:], c[:])
	s, err := edwards25519.NewScalar().SetCanonicalBytes(wide[:])
	if err != nil {
		panic(err) // 128 bits are below the group's order
	}
	return s
}

// output is ECVRF_proof_to_hash of section 5.2.
func output(gamma *edwards25519.Point) (beta [64]byte) {
	digest := sha512.New()
	digest.Write([]byte{suite, outputTag})
	digest.Write(new(edwards25519.Point).MultByCofactor(gamma).Bytes())
	digest.Write([]byte{back})
	digest.Sum(beta[:0])
	return beta
}

// decodePoint is RFC 8032 section 5.1.3.
func decodePoint(b []byte) (*edwards25519.Point, bool) {
	if !canonical(b) {
		return nil, false
	}
	p, err := new(edwards25519.Point).SetBytes(b)
	return p, err == nil
}

// canonical says whether 32 bytes are the one encoding of whatever point they encode: y below p = 2^255 - 19, and no
// sign bit where x = 0, which is at y = 1 and y = -1.
func canonical(b []byte) bool {
	ones := b[31]&0x7f == 0x7f
	zeros := b[31]&0x7f == 0
	for _, x := range b[1:31] {
		ones = ones && x == 0xff
		zeros = zeros && x == 0
	}
	if ones && b[0] >= 0xed {
		return false
	}
	xIsZero := zeros && b[0] == 1 || ones && b[0] == 0xec
	return !xIsZero || b[31]&0x80 == 0
}

func isIdentity(p *edwards25519.Point) bool {
	return p.Equal(edwards25519.NewIdentityPoint()) == 1
}
