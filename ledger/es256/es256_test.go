// SPDX-License-Identifier: EUPL-1.2

package es256

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"math/big"
	"testing"
)

// Run it for browsers too: GOOS=js GOARCH=wasm go test -exec "$(go env GOROOT)/lib/wasm/go_js_wasm_exec" ./ledger/es256

func newKey(t testing.TB) (*ecdsa.PrivateKey, *ecdsa.PublicKey) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	public, err := ParseKey(point)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := FormatKey(public); err != nil || !bytes.Equal(again, point) {
		t.Fatalf("FormatKey = %x, %v, want %x", again, err, point)
	}
	return private, public
}

// TestVerify: whatever the standard library says of a signature is said.
func TestVerify(t *testing.T) {
	private, public := newKey(t)
	_, other := newKey(t)
	message := []byte("a message")
	digest := sha256.Sum256(message)
	der, err := ecdsa.SignASN1(rand.Reader, private, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &pair); err != nil {
		t.Fatal(err)
	}
	order := elliptic.P256().Params().N
	minus := new(big.Int).Sub(order, pair.S)
	for _, c := range []struct {
		name string
		r, s *big.Int
		want bool
	}{
		{"as signed", pair.R, pair.S, true},
		{"the other s", pair.R, minus, true},
		{"r zero", new(big.Int), pair.S, false},
		{"s zero", pair.R, new(big.Int), false},
		{"both zero", new(big.Int), new(big.Int), false},
		{"r the order", order, pair.S, false},
		{"s the order", pair.R, order, false},
		{"swapped", pair.S, pair.R, false},
		{"s and one", pair.R, new(big.Int).Add(pair.S, big.NewInt(1)), false},
	} {
		raw := make([]byte, 64)
		c.r.FillBytes(raw[:32])
		c.s.FillBytes(raw[32:])
		if got := Verify(public, message, raw); got != c.want || got != ecdsa.Verify(&private.PublicKey, digest[:], c.r, c.s) {
			t.Errorf("%s: Verify = %v, want %v", c.name, got, c.want)
		}
		text, err := asn1.Marshal(struct{ R, S *big.Int }{c.r, c.s})
		if err != nil {
			t.Fatal(err)
		}
		if got := VerifyASN1(public, message, text); got != c.want {
			t.Errorf("%s: VerifyASN1 = %v, want %v", c.name, got, c.want)
		}
		if Verify(other, message, raw) || Verify(public, []byte("another"), raw) {
			t.Errorf("%s: it verifies with another key, or another message", c.name)
		}
	}
	for bit := range len(der) * 8 {
		text := bytes.Clone(der)
		text[bit/8] ^= 1 << (bit % 8)
		if VerifyASN1(public, message, text) {
			t.Errorf("bit %d of the DER flipped is accepted", bit)
		}
	}
	for n := range len(der) {
		if VerifyASN1(public, message, der[:n]) {
			t.Errorf("%d bytes of DER are accepted", n)
		}
	}
	if VerifyASN1(public, message, append(bytes.Clone(der), 0)) {
		t.Error("DER with a byte behind it is accepted")
	}
}

func TestParseKey(t *testing.T) {
	private, _ := newKey(t)
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(p []byte) []byte) []byte { return f(bytes.Clone(point)) }
	for name, p := range map[string][]byte{
		"nothing":       nil,
		"infinity":      {0},
		"short":         point[:64],
		"long":          change(func(p []byte) []byte { return append(p, 0) }),
		"another form":  change(func(p []byte) []byte { p[0] = 6; return p }),
		"off the curve": change(func(p []byte) []byte { p[64] ^= 1; return p }),
		"zeros":         append([]byte{4}, make([]byte, 64)...),
		"x not reduced": change(func(p []byte) []byte { copy(p[1:], bytes.Repeat([]byte{0xff}, 32)); return p }),
	} {
		if _, err := ParseKey(p); err == nil {
			t.Errorf("%s: ParseKey takes it", name)
		}
	}
}
