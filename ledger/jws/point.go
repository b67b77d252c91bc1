// SPDX-License-Identifier: EUPL-1.2

package jws

import (
	"crypto/ed25519"
	"math/big"
	"slices"
)

// The field and curve of RFC 8032 §5.1.
var (
	fieldPrime = number255("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed")
	curveD     = number255("52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3")

	// smallOrder are the y of the points whose order divides 8. Under such a key
	// anybody can sign, and crypto/ed25519 takes it.
	smallOrder = []*big.Int{
		big.NewInt(0),
		big.NewInt(1),
		number255("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffec"),
		number255("05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826"),
		number255("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7"),
	}
)

func number255(hex string) *big.Int {
	n, ok := new(big.Int).SetString(hex, 16)
	if !ok {
		panic("jws: bad constant " + hex)
	}
	return n
}

// usablePoint says whether k, 32 bytes, decodes as RFC 8032 §5.1.3 wants, to a
// point that is not of small order: y < p, and (y²−1)/(dy²+1) a square.
func usablePoint(k ed25519.PublicKey) bool {
	bytes := slices.Clone(k)
	bytes[31] &= 0x7f // the sign of x
	slices.Reverse(bytes)
	y := new(big.Int).SetBytes(bytes)
	if y.Cmp(fieldPrime) >= 0 || slices.ContainsFunc(smallOrder, func(s *big.Int) bool { return s.Cmp(y) == 0 }) {
		return false
	}
	one := big.NewInt(1)
	square := new(big.Int).Mul(y, y)
	u := new(big.Int).Sub(square, one)
	v := square.Mul(square, curveD)
	v.Add(v, one)
	u.Mul(u, v) // u/v is a square exactly when uv is
	return big.Jacobi(u.Mod(u, fieldPrime), fieldPrime) == 1
}
