// SPDX-License-Identifier: EUPL-1.2

package seal

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

type vectors struct {
	Event struct {
		AAD       text
		AEADNonce text `json:"aead_nonce"`
		Body      string
		Key       text
		Leaf      text
		Nonce     text
		Stored    text
	} `json:"seal_event"`
	Private struct {
		AEADNonce text `json:"aead_nonce"`
		Key       text
		Private   string
		Digest    text `json:"private_digest"`
		Salt      text
		Stored    text
	} `json:"seal_private"`
	Wraps []struct {
		AEADNonce  text `json:"aead_nonce"`
		Class      Class
		Handle     text
		HandleKey  text `json:"handle_key"`
		K          text
		Month, Who string
		Stored     text
		Under      text
	}
	Day struct {
		Public          text `json:"authority_public"`
		Secret          text `json:"authority_secret"`
		Day, Origin     string
		Info, Stored, W text
	} `json:"day_key"`
}

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
	if len(v.Wraps) == 0 {
		t.Fatal("vectors are missing")
	}
	return v
}

func TestEventVector(t *testing.T) {
	v := readVectors(t).Event
	k, bodyNonce := [32]byte(v.Key), [32]byte(v.Nonce)
	if got := ledger.HashLeaf(v.Leaf); got != [32]byte(v.AAD) {
		t.Errorf("HashLeaf = %x, want %x", got, v.AAD)
	}
	got := sealParts(&k, (*[24]byte)(v.AEADNonce), [32]byte(v.AAD), &bodyNonce, []byte(v.Body))
	if !bytes.Equal(got, v.Stored) {
		t.Errorf("sealed = %x, want %x", got, v.Stored)
	}
	nonce, body, err := OpenEvent(&k, v.Leaf, v.Stored)
	if err != nil || nonce != bodyNonce || string(body) != v.Body {
		t.Errorf("OpenEvent = %x, %q, %v, want %x, %q", nonce, body, err, bodyNonce, v.Body)
	}
}

func TestPrivateVector(t *testing.T) {
	v := readVectors(t).Private
	k, wantSalt, digest := [32]byte(v.Key), [32]byte(v.Salt), [32]byte(v.Digest)
	got := sealParts(&k, (*[24]byte)(v.AEADNonce), digest, &wantSalt, []byte(v.Private))
	if !bytes.Equal(got, v.Stored) {
		t.Errorf("sealed = %x, want %x", got, v.Stored)
	}
	salt, content, err := OpenPrivate(&k, digest, v.Stored)
	if err != nil || salt != wantSalt || string(content) != v.Private {
		t.Errorf("OpenPrivate = %x, %q, %v, want %x, %q", salt, content, err, wantSalt, v.Private)
	}
}

func TestWrapVectors(t *testing.T) {
	for _, v := range readVectors(t).Wraps {
		handleKey, under, k := [32]byte(v.HandleKey), [32]byte(v.Under), [32]byte(v.K)
		handle := Handle(&handleKey, v.Class, v.Month, v.Who)
		if handle != [32]byte(v.Handle) {
			t.Errorf("%s: Handle = %x, want %x", v.Class, handle, v.Handle)
		}
		if got := sealParts(&under, (*[24]byte)(v.AEADNonce), handle, &k, nil); !bytes.Equal(got, v.Stored) {
			t.Errorf("%s: wrapped = %x, want %x", v.Class, got, v.Stored)
		}
		if got, err := Unwrap(&under, handle, v.Stored); err != nil || got != k {
			t.Errorf("%s: Unwrap = %x, %v, want %x", v.Class, got, err, k)
		}
	}
}

// The library draws the ephemeral key itself, so the vector can only be opened.
func TestDayVector(t *testing.T) {
	v := readVectors(t).Day
	secret, err := ecdh.X25519().NewPrivateKey(v.Secret)
	if err != nil {
		t.Fatal(err)
	}
	if got := dayInfo(v.Origin, v.Day); !bytes.Equal(got, v.Info) {
		t.Errorf("info = %x, want %x", got, v.Info)
	}
	if got, err := UnwrapDay(secret, v.Origin, v.Day, v.Stored); err != nil || got != [32]byte(v.W) {
		t.Errorf("UnwrapDay = %x, %v, want %x", got, err, v.W)
	}
	w := [32]byte(v.W)
	stored, err := WrapDay(v.Public, v.Origin, v.Day, &w)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := UnwrapDay(secret, v.Origin, v.Day, stored); err != nil || got != w {
		t.Errorf("UnwrapDay of a new wrap = %x, %v, want %x", got, err, w)
	}
	if NameDay(stored) == NameDay(v.Stored) {
		t.Error("two wraps of a day key have one name")
	}
}

// opening is something that opens, and how: the table of every test that tampers.
type opening struct {
	name   string
	stored []byte
	aad    []byte // leaf, digest or handle; for a day key its info's text
	key    []byte
	open   func(key, aad, stored []byte) error
}

func openings(t testing.TB) []opening {
	t.Helper()
	v := readVectors(t)
	wrap := v.Wraps[0]
	return []opening{
		{"event", v.Event.Stored, v.Event.Leaf, v.Event.Key, func(key, aad, stored []byte) error {
			nonce, body, err := OpenEvent((*[32]byte)(key), aad, stored)
			if err != nil && (body != nil || nonce != [32]byte{}) {
				return fmt.Errorf("a refused body was returned")
			}
			return err
		}},
		{"private", v.Private.Stored, v.Private.Digest, v.Private.Key, func(key, aad, stored []byte) error {
			salt, content, err := OpenPrivate((*[32]byte)(key), [32]byte(aad), stored)
			if err != nil && (content != nil || salt != [32]byte{}) {
				return fmt.Errorf("a refused private part was returned")
			}
			return err
		}},
		{"wrap", wrap.Stored, wrap.Handle, wrap.Under, func(key, aad, stored []byte) error {
			k, err := Unwrap((*[32]byte)(key), [32]byte(aad), stored)
			if err != nil && k != [32]byte{} {
				return fmt.Errorf("a refused key was returned")
			}
			return err
		}},
		{"day", v.Day.Stored, []byte(v.Day.Origin + " " + v.Day.Day), v.Day.Secret, func(key, aad, stored []byte) error {
			secret, err := ecdh.X25519().NewPrivateKey(key)
			if err != nil {
				return err
			}
			origin, day, _ := strings.Cut(string(aad), " ")
			w, err := UnwrapDay(secret, origin, day, stored)
			if err != nil && w != [32]byte{} {
				return fmt.Errorf("a refused key was returned")
			}
			return err
		}},
	}
}

func TestEveryBitFlippedIsRefused(t *testing.T) {
	for _, o := range openings(t) {
		t.Run(o.name, func(t *testing.T) {
			if err := o.open(o.key, o.aad, o.stored); err != nil {
				t.Fatal(err)
			}
			flip := func(what string, b []byte, ignored func(bit int) bool, open func([]byte) error) {
				for bit := range len(b) * 8 {
					flipped := slices.Clone(b)
					flipped[bit/8] ^= 1 << (bit % 8)
					if err := open(flipped); err != ErrOpen && !ignored(bit) {
						t.Errorf("bit %d of the %s: %v, want ErrOpen", bit, what, err)
					}
				}
			}
			none := func(int) bool { return false }
			// X25519 clamps its secret keys.
			clamped := func(bit int) bool { return o.name == "day" && (bit < 3 || bit >= 254) }
			flip("key", o.key, clamped, func(b []byte) error { return o.open(b, o.aad, o.stored) })
			flip("binding", o.aad, none, func(b []byte) error { return o.open(o.key, b, o.stored) })
			flip("stored", o.stored, none, func(b []byte) error { return o.open(o.key, o.aad, b) })
			for size := range len(o.stored) {
				if err := o.open(o.key, o.aad, o.stored[:size]); err != ErrOpen {
					t.Errorf("%d bytes: %v, want ErrOpen", size, err)
				}
			}
			if err := o.open(o.key, o.aad, append(slices.Clone(o.stored), 0)); err != ErrOpen {
				t.Errorf("a byte more: %v, want ErrOpen", err)
			}
		})
	}
}

// What the AEAD accepts under the right key is still refused when the commitment or the digest says something else.
func TestCommitmentIsChecked(t *testing.T) {
	v := readVectors(t)
	k, nonce := [32]byte(v.Event.Key), [32]byte(v.Event.Nonce)
	stored := SealEvent(&k, ledger.HashLeaf(v.Event.Leaf), &nonce, []byte(`{"kind":"denied"}`))
	if _, _, err := OpenEvent(&k, v.Event.Leaf, stored); err != ErrOpen {
		t.Errorf("OpenEvent of another body = %v, want ErrOpen", err)
	}
	stored = SealPrivate(&k, [32]byte(v.Private.Digest), &nonce, []byte(`{"kind":"denied"}`))
	if _, _, err := OpenPrivate(&k, [32]byte(v.Private.Digest), stored); err != ErrOpen {
		t.Errorf("OpenPrivate of other content = %v, want ErrOpen", err)
	}
}

func TestOnlyEventsOpen(t *testing.T) {
	k := [32]byte{1}
	leaf, err := ledger.FormatLeaf(ledger.Head{Epoch: 2026})
	if err != nil {
		t.Fatal(err)
	}
	stored := SealEvent(&k, ledger.HashLeaf(leaf), &[32]byte{}, nil)
	for _, leaf := range [][]byte{leaf, leaf[:20], nil} {
		if _, _, err := OpenEvent(&k, leaf, stored); err != ErrOpen {
			t.Errorf("OpenEvent of leaf %x = %v, want ErrOpen", leaf, err)
		}
	}
}

func TestSealTwice(t *testing.T) {
	k, handle := [32]byte{1}, ledger.Hash{2}
	if bytes.Equal(Wrap(&k, handle, &k), Wrap(&k, handle, &k)) {
		t.Error("two wraps have one nonce")
	}
}

func TestDayKeyRefusals(t *testing.T) {
	for _, key := range [][]byte{nil, make([]byte, 31), make([]byte, 33), make([]byte, 32)} {
		if _, err := WrapDay(key, "registro.example/2026", "2026-11-22", &[32]byte{}); err == nil {
			t.Errorf("WrapDay to %x succeeded", key)
		}
	}
	p256, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := UnwrapDay(p256, "registro.example/2026", "2026-11-22", readVectors(t).Day.Stored); err != ErrOpen {
		t.Errorf("UnwrapDay with P-256 = %v, want ErrOpen", err)
	}
}

func TestMonthAndDay(t *testing.T) {
	rome := time.FixedZone("CET", 3600)
	newYear := time.Date(2027, 1, 1, 0, 30, 0, 0, rome)
	if got := Month(newYear); got != "2026-12" {
		t.Errorf("Month = %q, want 2026-12", got)
	}
	if got := Day(newYear); got != "2026-12-31" {
		t.Errorf("Day = %q, want 2026-12-31", got)
	}
}

func TestHandlesDiffer(t *testing.T) {
	key, seen := [32]byte{1}, map[ledger.Hash]bool{}
	for _, class := range []Class{Access, Consent, LookUp, Private} {
		for _, month := range []string{"2026-11", "2026-12"} {
			for _, who := range []string{"inps", "c_h501"} {
				seen[Handle(&key, class, month, who)] = true
			}
		}
	}
	if len(seen) != 16 {
		t.Errorf("%d handles, want 16", len(seen))
	}
}

func FuzzOpen(f *testing.F) {
	tables := openings(f)
	for _, o := range tables {
		f.Add([]byte(o.stored))
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		for _, o := range tables {
			err := o.open(o.key, o.aad, stored)
			if err == nil && !bytes.Equal(stored, o.stored) {
				t.Errorf("%s: %x opens as well", o.name, stored)
			}
			if err != nil && err != ErrOpen {
				t.Errorf("%s: %v", o.name, err)
			}
		}
	})
}

// FuzzRoundTrip seals whatever it is given and opens it again.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("k"), []byte("n"), []byte(`{"kind":"access"}`))
	f.Fuzz(func(t *testing.T, key, head, content []byte) {
		var k, want [32]byte
		copy(k[:], key)
		copy(want[:], head)
		leaf, err := ledger.FormatLeaf(ledger.Event{Epoch: 2026, Commitment: ledger.BodyCommitment(&want, content)})
		if err != nil {
			t.Fatal(err)
		}
		nonce, body, err := OpenEvent(&k, leaf, SealEvent(&k, ledger.HashLeaf(leaf), &want, content))
		if err != nil || nonce != want || !bytes.Equal(body, content) {
			t.Errorf("OpenEvent = %x, %x, %v", nonce, body, err)
		}
		digest := ledger.PrivateDigest(&want, content)
		salt, opened, err := OpenPrivate(&k, digest, SealPrivate(&k, digest, &want, content))
		if err != nil || salt != want || !bytes.Equal(opened, content) {
			t.Errorf("OpenPrivate = %x, %x, %v", salt, opened, err)
		}
		if got, err := Unwrap(&k, digest, Wrap(&k, digest, &want)); err != nil || got != want {
			t.Errorf("Unwrap = %x, %v", got, err)
		}
	})
}

func BenchmarkSealEvent(b *testing.B) {
	k, body := [32]byte{1}, make([]byte, 2500)
	b.SetBytes(2500)
	for b.Loop() {
		SealEvent(&k, ledger.Hash{}, &k, body)
	}
}

func BenchmarkHandle(b *testing.B) {
	k := [32]byte{1}
	for b.Loop() {
		Handle(&k, Access, "2026-11", "RSSMRA80A01H501U")
	}
}
