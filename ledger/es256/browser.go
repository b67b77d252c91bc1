// SPDX-License-Identifier: EUPL-1.2

//go:build js

package es256

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"math/big"
	"syscall/js"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

var errKey = errors.New("not a point of P-256")

// ParseKey reads an uncompressed point, 65 bytes: 4 ‖ x ‖ y.
func ParseKey(point []byte) (*ecdsa.PublicKey, error) {
	if len(point) != 1+2*size || point[0] != 4 {
		return nil, errKey
	}
	x, y := new(big.Int).SetBytes(point[1:1+size]), new(big.Int).SetBytes(point[1+size:])
	if !onCurve(x, y) {
		return nil, errKey
	}
	return &ecdsa.PublicKey{Curve: elliptic.P256(), X: x, Y: y}, nil
}

// FormatKey returns the uncompressed point. The error says that the key isn't one.
func FormatKey(key *ecdsa.PublicKey) ([]byte, error) {
	if key.X == nil || key.Y == nil || !onCurve(key.X, key.Y) {
		return nil, errKey
	}
	point := make([]byte, 1+2*size)
	point[0] = 4
	key.X.FillBytes(point[1 : 1+size])
	key.Y.FillBytes(point[1+size:])
	return point, nil
}

// onCurve says whether y² = x³ − 3x + b over P-256's field, with both coordinates reduced.
func onCurve(x, y *big.Int) bool {
	p, b := elliptic.P256().Params().P, elliptic.P256().Params().B
	if x.Sign() < 0 || y.Sign() < 0 || x.Cmp(p) >= 0 || y.Cmp(p) >= 0 {
		return false
	}
	right := new(big.Int).Mul(x, x)
	right.Sub(right, big.NewInt(3))
	right.Mul(right, x)
	right.Add(right, b)
	left := new(big.Int).Mul(y, y)
	return left.Mod(left, p).Cmp(right.Mod(right, p)) == 0
}

// Verify checks a signature r ‖ s, 64 bytes, as JWS has it.
func Verify(key *ecdsa.PublicKey, message, signature []byte) bool {
	point, err := FormatKey(key)
	if err != nil || len(signature) != 2*size {
		return false
	}
	subtle := js.Global().Get("crypto").Get("subtle")
	algorithm := map[string]any{"name": "ECDSA", "namedCurve": "P-256", "hash": "SHA-256"}
	public, ok := await(subtle.Call("importKey", "raw", octets(point), algorithm, false, []any{"verify"}))
	if !ok {
		return false
	}
	good, ok := await(subtle.Call("verify", algorithm, public, octets(signature), octets(message)))
	return ok && good.Type() == js.TypeBoolean && good.Bool()
}

// VerifyASN1 checks a signature in DER, as Web Authentication has it.
func VerifyASN1(key *ecdsa.PublicKey, message, signature []byte) bool {
	var inner cryptobyte.String
	var r, s []byte
	input := cryptobyte.String(signature)
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() ||
		!inner.ReadASN1Integer(&r) || !inner.ReadASN1Integer(&s) || !inner.Empty() || len(r) > size || len(s) > size {
		return false
	}
	left := func(number []byte) []byte { return append(bytes.Repeat([]byte{0}, size-len(number)), number...) }
	return Verify(key, message, append(left(r), left(s)...))
}

func octets(data []byte) js.Value {
	array := js.Global().Get("Uint8Array").New(len(data))
	js.CopyBytesToJS(array, data)
	return array
}

// await waits for a promise; false where it is rejected.
func await(promise js.Value) (value js.Value, ok bool) {
	done := make(chan struct{})
	settle := func(good bool) js.Func {
		return js.FuncOf(func(_ js.Value, args []js.Value) any {
			value, ok = args[0], good
			close(done)
			return nil
		})
	}
	resolved, rejected := settle(true), settle(false)
	defer resolved.Release()
	defer rejected.Release()
	promise.Call("then", resolved, rejected)
	<-done
	return value, ok
}
