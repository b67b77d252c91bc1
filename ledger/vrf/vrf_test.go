// SPDX-License-Identifier: EUPL-1.2

package vrf

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"slices"
	"sync"
	"testing"

	"filippo.io/edwards25519"
)

type vectors struct {
	RFC9381     []rfcVector `json:"vrf_rfc9381"`
	RefusedKeys []text      `json:"vrf_refused_keys"`
	Tags        struct {
		Seed    text `json:"vrf_seed"`
		Public  text `json:"vrf_public_key"`
		Subject []tagVector
		Agency  []tagVector
	}
}

type rfcVector struct {
	Number                     int
	SK, PK, Alpha, H, Pi, Beta text
}

type tagVector struct{ Alpha, Beta, Proof text }

// text is bytes written in hex.
type text []byte

func (t *text) UnmarshalText(b []byte) (err error) {
	*t, err = hex.DecodeString(string(b))
	return err
}

func readVectors(t testing.TB) (v vectors) {
	t.Helper()
	data, err := os.ReadFile("../testdata/vectors-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.RFC9381) == 0 || len(v.RefusedKeys) == 0 || len(v.Tags.Subject) == 0 || len(v.Tags.Agency) == 0 {
		t.Fatal("vectors are missing")
	}
	return v
}

func checkKnown(t *testing.T, seed, public, alpha, wantPi, wantBeta text) {
	t.Helper()
	k := NewKey([32]byte(seed))
	if got := k.Public(); got != [32]byte(public) {
		t.Errorf("Public() = %x, want %x", got, public)
	}
	pi, beta := k.Prove(alpha)
	if pi != [80]byte(wantPi) {
		t.Errorf("Prove: pi = %x, want %x", pi, wantPi)
	}
	if beta != [64]byte(wantBeta) {
		t.Errorf("Prove: beta = %x, want %x", beta, wantBeta)
	}
	if got := k.Output(alpha); got != beta {
		t.Errorf("Output = %x, want %x", got, beta)
	}
	got, err := Verify([32]byte(public), wantPi, alpha)
	if err != nil || got != beta {
		t.Errorf("Verify = %x, %v, want %x", got, err, beta)
	}
}

func TestRFC9381(t *testing.T) {
	for _, v := range readVectors(t).RFC9381 {
		t.Run(fmt.Sprint(v.Number), func(t *testing.T) {
			public := [32]byte(v.PK)
			if got := encodeToCurve(&public, v.Alpha).Bytes(); [32]byte(got) != [32]byte(v.H) {
				t.Errorf("H = %x, want %x", got, v.H)
			}
			checkKnown(t, v.SK, v.PK, v.Alpha, v.Pi, v.Beta)
		})
	}
}

func TestTagKeys(t *testing.T) {
	v := readVectors(t).Tags
	for i, tag := range slices.Concat(v.Subject, v.Agency) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			checkKnown(t, v.Seed, v.Public, tag.Alpha, tag.Proof, tag.Beta)
		})
	}
}

func TestRefusedKeys(t *testing.T) {
	v := readVectors(t)
	for _, key := range v.RefusedKeys {
		if err := CheckKey([32]byte(key)); err != ErrKey {
			t.Errorf("CheckKey(%x) = %v, want ErrKey", []byte(key), err)
		}
		if beta, err := Verify([32]byte(key), v.RFC9381[0].Pi, nil); err != ErrVerify || beta != [64]byte{} {
			t.Errorf("Verify under %x = %x, %v, want ErrVerify", []byte(key), beta, err)
		}
	}
	for _, r := range v.RFC9381 {
		if err := CheckKey([32]byte(r.PK)); err != nil {
			t.Errorf("CheckKey(%x) = %v", []byte(r.PK), err)
		}
	}
}

// A key of small order would let anyone prove any output: what the refusal is for.
func TestSmallOrderKeyForgery(t *testing.T) {
	alpha := []byte("alpha")
	public := [32]byte(edwards25519.NewIdentityPoint().Bytes())
	h := encodeToCurve(&public, alpha)
	nonce, err := edwards25519.NewScalar().SetUniformBytes(make([]byte, 64))
	if err != nil {
		t.Fatal(err)
	}
	gamma := edwards25519.NewIdentityPoint()
	c := challenge(public[:], h.Bytes(), gamma.Bytes(),
		new(edwards25519.Point).ScalarBaseMult(nonce).Bytes(), new(edwards25519.Point).ScalarMult(nonce, h).Bytes())
	pi := formatProof(&proof{gamma: gamma, c: c, s: nonce})
	if _, err := Verify(public, pi[:], alpha); err != ErrVerify {
		t.Errorf("Verify under the identity = %v, want ErrVerify", err)
	}
}

func TestEveryBitFlippedIsRefused(t *testing.T) {
	v := readVectors(t).RFC9381[2]
	public, beta := [32]byte(v.PK), [64]byte{}
	refuse := func(what string, public [32]byte, pi, alpha []byte) {
		t.Helper()
		if got, err := Verify(public, pi, alpha); err != ErrVerify || got != beta {
			t.Errorf("%s: Verify = %x, %v, want ErrVerify", what, got, err)
		}
	}
	for bit := range len(v.Pi) * 8 {
		pi := slices.Clone(v.Pi)
		pi[bit/8] ^= 1 << (bit % 8)
		refuse(fmt.Sprintf("bit %d of the proof", bit), public, pi, v.Alpha)
	}
	for bit := range len(v.PK) * 8 {
		key := public
		key[bit/8] ^= 1 << (bit % 8)
		refuse(fmt.Sprintf("bit %d of the key", bit), key, v.Pi, v.Alpha)
	}
	for bit := range len(v.Alpha) * 8 {
		alpha := slices.Clone(v.Alpha)
		alpha[bit/8] ^= 1 << (bit % 8)
		refuse(fmt.Sprintf("bit %d of alpha", bit), public, v.Pi, alpha)
	}
	for size := range len(v.Pi) {
		refuse(fmt.Sprintf("%d bytes", size), public, v.Pi[:size], v.Alpha)
	}
	refuse("81 bytes", public, append(slices.Clone(v.Pi), 0), v.Alpha)
	refuse("alpha with a zero byte", public, v.Pi, append(slices.Clone(v.Alpha), 0))
}

func TestScalarOfProofIsReduced(t *testing.T) {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	for _, v := range readVectors(t).RFC9381 {
		pi := slices.Clone(v.Pi)
		slices.Reverse(pi[48:])
		new(big.Int).Add(new(big.Int).SetBytes(pi[48:]), order).FillBytes(pi[48:])
		slices.Reverse(pi[48:])
		if _, err := Verify([32]byte(v.PK), pi, v.Alpha); err != ErrVerify {
			t.Errorf("s + order: Verify = %v, want ErrVerify", err)
		}
	}
}

// The encodings that RFC 8032 refuses and the group's library takes, and a few that both take.
func TestDecodePoint(t *testing.T) {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	encode := func(y *big.Int, sign byte) []byte {
		b := y.FillBytes(make([]byte, 32))
		slices.Reverse(b)
		b[31] |= sign << 7
		return b
	}
	for offset := int64(-40); offset < 19; offset++ {
		for sign := range byte(2) {
			y := new(big.Int).Add(p, big.NewInt(offset))
			checkDecode(t, encode(y, sign), offset < 0 && (offset != -1 || sign == 0))
			if small := offset + 40; small < 19 {
				checkDecode(t, encode(big.NewInt(small), sign), small != 1 || sign == 0)
			}
		}
	}
}

func checkDecode(t *testing.T, b []byte, canonical bool) {
	t.Helper()
	lenient, err := new(edwards25519.Point).SetBytes(b)
	onCurve := err == nil
	got, ok := decodePoint(b)
	if ok != (canonical && onCurve) {
		t.Errorf("decodePoint(%x) = %v, want %v", b, ok, canonical && onCurve)
	}
	if ok && (got.Equal(lenient) != 1 || [32]byte(got.Bytes()) != [32]byte(b)) {
		t.Errorf("decodePoint(%x) is another point", b)
	}
	if onCurve && !canonical && [32]byte(lenient.Bytes()) == [32]byte(b) {
		t.Errorf("%x re-encodes to itself", b)
	}
}

// Adding a point of small order to Γ leaves the output as it is, and the proof still does not verify.
func TestTorsionOnGamma(t *testing.T) {
	v := readVectors(t)
	r := v.RFC9381[0]
	for _, encoded := range v.RefusedKeys {
		torsion, ok := decodePoint(encoded)
		if !ok || isIdentity(torsion) {
			continue
		}
		p, err := parseProof(r.Pi)
		if err != nil {
			t.Fatal(err)
		}
		p.gamma.Add(p.gamma, torsion)
		if got := output(p.gamma); got != [64]byte(r.Beta) {
			t.Errorf("output moved with torsion %x", []byte(encoded))
		}
		pi := formatProof(p)
		if _, err := Verify([32]byte(r.PK), pi[:], r.Alpha); err != ErrVerify {
			t.Errorf("torsion %x on Γ: Verify = %v, want ErrVerify", []byte(encoded), err)
		}
	}
}

func TestManyInputs(t *testing.T) {
	k := NewKey([32]byte{1})
	seen := map[[64]byte]int{}
	for i := range 200 {
		alpha := fmt.Appendf(nil, "input %d", i)
		pi, beta := k.Prove(alpha)
		got, err := Verify(k.Public(), pi[:], alpha)
		if err != nil || got != beta || k.Output(alpha) != beta {
			t.Fatalf("input %d: Verify = %x, %v, want %x", i, got, err, beta)
		}
		if j, ok := seen[beta]; ok {
			t.Fatalf("inputs %d and %d have one output", i, j)
		}
		seen[beta] = i
	}
}

func TestConcurrentUse(t *testing.T) {
	k := NewKey([32]byte{2})
	want := k.Output([]byte("alpha"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if pi, beta := k.Prove([]byte("alpha")); beta != want || pi == [80]byte{} {
				t.Error("a concurrent Prove gave another output")
			}
		})
	}
	wg.Wait()
}

func FuzzParseProof(f *testing.F) {
	v := readVectors(f)
	for _, r := range v.RFC9381 {
		f.Add([]byte(r.PK), []byte(r.Pi), []byte(r.Alpha))
	}
	for _, key := range v.RefusedKeys {
		f.Add([]byte(key), append(slices.Clone([]byte(key)), make([]byte, 48)...), []byte(nil))
	}
	f.Fuzz(func(t *testing.T, key, pi, alpha []byte) {
		if p, err := parseProof(pi); err == nil {
			if got := formatProof(p); [80]byte(pi) != got {
				t.Errorf("%x re-encodes as %x", pi, got)
			}
		} else if err != ErrVerify {
			t.Errorf("error %v", err)
		}
		if len(key) == 32 {
			if _, err := Verify([32]byte(key), pi, alpha); err != nil && err != ErrVerify {
				t.Errorf("error %v", err)
			}
		}
	})
}

func BenchmarkOutput(b *testing.B) {
	k, alpha := NewKey([32]byte{3}), make([]byte, 50)
	for b.Loop() {
		alpha[0]++
		k.Output(alpha)
	}
}

func BenchmarkProve(b *testing.B) {
	k, alpha := NewKey([32]byte{3}), make([]byte, 50)
	for b.Loop() {
		alpha[0]++
		k.Prove(alpha)
	}
}

func BenchmarkVerify(b *testing.B) {
	k, alpha := NewKey([32]byte{3}), make([]byte, 50)
	pi, _ := k.Prove(alpha)
	for b.Loop() {
		if _, err := Verify(k.Public(), pi[:], alpha); err != nil {
			b.Fatal(err)
		}
	}
}
