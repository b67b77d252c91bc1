// SPDX-License-Identifier: EUPL-1.2

package checkpoint_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

const origin = "registro.example/2026"

// key returns the keys of a log, made from seed.
func key(t testing.TB, name string, seed byte) (note.Signer, note.Verifier, string) {
	t.Helper()
	// ed25519.GenerateKey may ignore its reader, NewKeyFromSeed doesn't.
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	vkey, err := note.NewEd25519VerifierKey(name, private.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	hash := strings.Split(vkey, "+")[1]
	s, err := note.NewSigner("PRIVATE+KEY+" + name + "+" + hash + "+" +
		base64.StdEncoding.EncodeToString(append([]byte{1}, private.Seed()...)))
	if err != nil {
		t.Fatal(err)
	}
	v, err := checkpoint.ParseKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return s, v, vkey
}

func sign(t testing.TB, s note.Signer, c checkpoint.Checkpoint) []byte {
	t.Helper()
	signed, err := checkpoint.Sign(s, c)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestSignOpen(t *testing.T) {
	s, v, _ := key(t, origin, 1)
	want := checkpoint.Checkpoint{Origin: origin, Size: 70000, Root: ledger.Hash{1, 2, 3}}
	signed := sign(t, s, want)
	got, err := checkpoint.Open(signed, v)
	if err != nil || got != want {
		t.Errorf("Open = %v, %v, want %v", got, err, want)
	}
	_, other, _ := key(t, "registro.example/2027", 2)
	if got, err := checkpoint.Open(signed, other, v); err != nil || got != want {
		t.Errorf("Open with two keys = %v, %v", got, err)
	}

	_, sameName, _ := key(t, origin, 3)
	for name, vs := range map[string][]note.Verifier{"no key": nil, "another log": {other}, "another key": {sameName}} {
		if got, err := checkpoint.Open(signed, vs...); err != checkpoint.ErrCheckpoint || got != (checkpoint.Checkpoint{}) {
			t.Errorf("%s: Open = %v, %v", name, got, err)
		}
	}
	body := len(signed) - 1
	for b := range 8 * body {
		bad := bytes.Clone(signed)
		bad[b/8] ^= 1 << (b % 8)
		if got, err := checkpoint.Open(bad, v); err == nil {
			t.Fatalf("bit %d of %q: Open = %v", b, bad, got)
		}
	}
	for n := range signed {
		if got, err := checkpoint.Open(signed[:n], v); err == nil {
			t.Errorf("cut to %d: Open = %v", n, got)
		}
	}
}

// TestOpenRefuses opens notes that the log's key signed and that aren't checkpoints.
func TestOpenRefuses(t *testing.T) {
	s, v, _ := key(t, origin, 1)
	root := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32))
	for name, text := range map[string]string{
		"an extension line":      origin + "\n5\n" + root + "\nextra\n",
		"an empty extension":     origin + "\n5\n" + root + "\n\n",
		"another origin":         "altro.example/2026\n5\n" + root + "\n",
		"a prefix of the origin": "registro.example\n5\n" + root + "\n",
		"a leading zero":         origin + "\n05\n" + root + "\n",
		"a sign":                 origin + "\n+5\n" + root + "\n",
		"a negative size":        origin + "\n-5\n" + root + "\n",
		"a size of 2^64":         origin + "\n18446744073709551616\n" + root + "\n",
		"no size":                origin + "\n\n" + root + "\n",
		"no root":                origin + "\n5\n",
		"a short root":           origin + "\n5\n" + base64.StdEncoding.EncodeToString(make([]byte, 31)) + "\n",
		"a long root":            origin + "\n5\n" + base64.StdEncoding.EncodeToString(make([]byte, 33)) + "\n",
		"base64 with spare bits": origin + "\n5\n" + root[:42] + "F=\n",
		"base64 without padding": origin + "\n5\n" + root[:43] + "\n",
		"base64url":              origin + "\n5\n" + strings.Repeat("-", 43) + "=\n",
		"a root of nothing":      origin + "\n0\n" + root + "\n",
		"spaces":                 origin + " \n5\n" + root + "\n",
		"nothing":                "\n",
	} {
		signed, err := note.Sign(&note.Note{Text: text}, s)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := checkpoint.Open(signed, v); err != checkpoint.ErrCheckpoint {
			t.Errorf("%s: Open = %v, %v", name, got, err)
		}
	}
	if _, err := checkpoint.Sign(s, checkpoint.Checkpoint{Origin: "altro.example/2026"}); err == nil {
		t.Error("Sign under another's name")
	}
	if _, err := checkpoint.Sign(s, checkpoint.Checkpoint{Origin: origin, Root: ledger.Hash{1}}); err == nil {
		t.Error("Sign of size 0 with a root")
	}
}

func TestParseKeys(t *testing.T) {
	_, v1, k1 := key(t, origin, 1)
	_, v2, k2 := key(t, "registro.example/2027", 2)
	got, err := checkpoint.ParseKeys([]byte("# keys\n\n  " + k1 + " \r\n\t# more\n" + k2))
	if err != nil || len(got) != 2 || got[0].KeyHash() != v1.KeyHash() || got[1].KeyHash() != v2.KeyHash() {
		t.Errorf("ParseKeys = %v, %v", got, err)
	}
	parts := strings.Split(k1, "+")
	cosigner, err := f_note.VKeyToCosignatureV1(k1)
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{
		"nothing":           "",
		"comments alone":    "# a\n\n",
		"twice":             k1 + "\n" + k1 + "\n",
		"two on a line":     k1 + " " + k2,
		"another hash":      parts[0] + "+00000000+" + parts[2],
		"capitals":          parts[0] + "+" + strings.ToUpper(parts[1]) + "+" + parts[2],
		"another name":      "x" + k1,
		"a cut key":         k1[:len(k1)-4],
		"a longer key":      k1 + "AAAA",
		"a witness's key":   cosigner,
		"no name":           k1[len(parts[0]):],
		"a comment after":   k1 + " # mine",
		"a private key":     "PRIVATE+KEY+" + k1,
		"not base64":        parts[0] + "+" + parts[1] + "+" + strings.ReplaceAll(parts[2], "A", "*"),
		"a key with spaces": strings.Replace(k1, "registro", "re gistro", 1),
	} {
		if got, err := checkpoint.ParseKeys([]byte(file)); err == nil {
			t.Errorf("%s: ParseKeys = %v", name, got)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	_, _, k := key(f, origin, 1)
	f.Add(k)
	f.Add("a+00000000+AQ==")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := checkpoint.ParseKey(text)
		if err != nil {
			return
		}
		if !strings.HasPrefix(text, fmt.Sprintf("%s+%08x+", v.Name(), v.KeyHash())) {
			t.Errorf("%q is of %s", text, v.Name())
		}
	})
}

func FuzzOpen(f *testing.F) {
	s, v, _ := key(f, origin, 1)
	f.Add(sign(f, s, checkpoint.Checkpoint{Origin: origin, Size: 5, Root: ledger.Hash{1}}))
	f.Fuzz(func(t *testing.T, signed []byte) {
		c, err := checkpoint.Open(signed, v)
		if err != nil {
			return
		}
		text, _, _ := bytes.Cut(sign(t, s, c), []byte("\n\n"))
		if !bytes.HasPrefix(signed, append(text, "\n\n"...)) {
			t.Errorf("%q opens as %q", signed, text)
		}
	})
}
