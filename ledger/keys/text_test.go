// SPDX-License-Identifier: EUPL-1.2

package keys

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// What is on disk outlives this program, so its bytes are pinned.
const (
	plainKey = `traccia-key/1
purpose: vrf
id: registro.example/2026
plain: AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA
sum: 74f6ba6561441e17dbef8a5041fabc6890f15cebf0dc084f0b973ba26e84f269
`
	protectedKeys = `traccia-keys/1
protection: argon2id
time: 1
memory-kib: 8
threads: 1
salt: AQIDBAUGBwgJCgsMDQ4PEA
check: LqAb88ttxPC3VvtQqXy8Dpi-65lP4iFdIFSMaZRVTtJ7smcnhlxV75D3EtNUtvmBE-btkOSktZwfVYYWbG9h5HvIB15ylti7
sum: e3f14ab8d4f96287fd5d58eb9a6ce833548dd7298b49ce31f7dbaa8e03006c0d
`
)

func withSum(lines string) []byte {
	sum := sha256.Sum256([]byte(lines))
	return []byte(lines + "sum: " + hex.EncodeToString(sum[:]) + "\n")
}

func TestKeyFileIsStable(t *testing.T) {
	f, err := parseKeyFile([]byte(plainKey))
	if err != nil {
		t.Fatal(err)
	}
	if f.purpose != purposeVRF || f.id != "registro.example/2026" || f.form != plain || f.content[0] != 1 || f.content[31] != 32 {
		t.Errorf("parsed %+v", f)
	}
}

func TestProtectionIsStable(t *testing.T) {
	p, err := parseProtection([]byte(protectedKeys))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.unlock("correct horse"); err != nil {
		t.Errorf("unlock = %v", err)
	}
	if _, err := p.unlock("Correct horse"); !errors.Is(err, ErrPassphrase) {
		t.Errorf("unlock with another passphrase = %v, want ErrPassphrase", err)
	}
}

// Files with a right sum, and something else wrong.
func TestRefusedFiles(t *testing.T) {
	key := plainKey[:strings.Index(plainKey, "sum: ")]
	protection := protectedKeys[:strings.Index(protectedKeys, "sum: ")]
	change := func(text, from, to string) []byte {
		t.Helper()
		changed := strings.Replace(text, from, to, 1)
		if changed == text {
			t.Fatalf("nothing to change: %q", from)
		}
		return withSum(changed)
	}
	for _, data := range [][]byte{
		change(key, "key/1", "key/2"), change(key, "purpose: vrf\n", ""), change(key, "purpose: vrf\n", "purpose vrf\n"),
		change(key, "purpose", "use"), change(key, "id: ", "name: "), change(key, "plain: ", "secret: "),
		change(key, "HyA\n", "HyAA\n"), change(key, "HyA\n", "Hy\n"), change(key, "HyA\n", "HyB\n"),
		change(key, "HyA\n", "HyA=\n"), change(key, "HyA\n", "H\ryA\n"), change(key, "plain: ", "wrapped: "),
		change(key, "id: ", "id:"), change(key, "purpose: vrf\n", "purpose: vrf\npurpose: vrf\n"), change(key, "vrf\n", "vrf\n\n"),
		change(key, "vrf\n", "vrf\r\n"), withSum(""), withSum("traccia-key/1\n"), []byte(key), nil,
	} {
		if f, err := parseKeyFile(data); err != ErrDamaged && !(err == nil && f.purpose != purposeVRF) {
			t.Errorf("parseKeyFile(%q) = %+v, %v, want ErrDamaged", data, f, err)
		}
	}
	for _, data := range [][]byte{
		change(protection, "keys/1", "keys/2"), change(protection, "argon2id", "argon2i"), change(protection, "argon2id", "none"),
		change(protection, "time: 1", "time: 01"), change(protection, "time: 1", "time: 0"), change(protection, "time: 1", "time: 65"),
		change(protection, "time: 1", "time: 4294967297"), change(protection, "time: 1", "time: +1"),
		change(protection, "kib: 8", "kib: 7"), change(protection, "kib: 8", "kib: 4194305"),
		change(protection, "threads: 1", "threads: 0"), change(protection, "threads: 1", "threads: 65"),
		change(protection, "threads: 1", "threads: 2"), change(protection, "threads: 1", "threads: 257"),
		change(protection, "PEA", "PE"), change(protection, "check: ", "check: AA"), change(protection, "time: 1\n", ""),
		[]byte(protection), withSum("traccia-keys/1\n"), withSum("traccia-keys/1\nprotection: none\ntime: 1\n"), nil,
	} {
		if p, err := parseProtection(data); err != ErrDamaged {
			t.Errorf("parseProtection(%q) = %+v, %v, want ErrDamaged", data, p, err)
		}
	}
}

func TestEveryBitFlippedIsRefused(t *testing.T) {
	refuse := func(data string, parse func([]byte) error) {
		for bit := range len(data) * 8 {
			flipped := []byte(data)
			flipped[bit/8] ^= 1 << (bit % 8)
			if err := parse(flipped); err != ErrDamaged {
				t.Errorf("bit %d: %v, want ErrDamaged", bit, err)
			}
		}
		for size := range len(data) {
			if err := parse([]byte(data[:size])); err != ErrDamaged {
				t.Errorf("%d bytes: %v, want ErrDamaged", size, err)
			}
		}
	}
	refuse(plainKey, func(b []byte) error { _, err := parseKeyFile(b); return err })
	refuse(protectedKeys, func(b []byte) error { _, err := parseProtection(b); return err })
}

// The settings are bound to what the passphrase opens: nobody makes guessing cheaper unnoticed.
func TestProtectionIsBound(t *testing.T) {
	lines := protectedKeys[:strings.Index(protectedKeys, "sum: ")]
	for _, change := range [][2]string{{"time: 1", "time: 2"}, {"kib: 8", "kib: 16"}, {"AQID", "AQIE"}} {
		p, err := parseProtection(withSum(strings.Replace(lines, change[0], change[1], 1)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.unlock("correct horse"); !errors.Is(err, ErrPassphrase) {
			t.Errorf("%s: unlock = %v, want ErrPassphrase", change[1], err)
		}
	}
}

func FuzzParseKeyFile(f *testing.F) {
	f.Add([]byte(plainKey))
	f.Add([]byte(plainKey[:strings.Index(plainKey, "sum: ")]))
	f.Add(formatKeyFile(&keyFile{purposeMonth, "2026-11.1", wrapped, make([]byte, wrapSize)}))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, data := range [][]byte{data, withSum(string(data))} {
			key, err := parseKeyFile(data)
			if err == nil && !bytes.Equal(formatKeyFile(key), data) {
				t.Errorf("%q re-encodes as %q", data, formatKeyFile(key))
			}
			if err != nil && err != ErrDamaged {
				t.Errorf("error %v", err)
			}
		}
	})
}

func FuzzParseProtection(f *testing.F) {
	f.Add([]byte(protectedKeys))
	f.Add([]byte(protectedKeys[:strings.Index(protectedKeys, "sum: ")]))
	f.Add(formatProtection(&protection{}))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, data := range [][]byte{data, withSum(string(data))} {
			p, err := parseProtection(data)
			if err == nil && !bytes.Equal(formatProtection(p), data) {
				t.Errorf("%q re-encodes as %q", data, formatProtection(p))
			}
			if err != nil && err != ErrDamaged {
				t.Errorf("error %v", err)
			}
		}
	})
}

func FuzzParseSlot(f *testing.F) {
	f.Add(monthsDir, "2026-11.1")
	f.Add(epochsDir, "2026.log")
	f.Fuzz(func(t *testing.T, folder, base string) {
		if s, ok := parseSlot(folder, base); ok && s.base() != folder+"/"+base {
			t.Errorf("%q in %q is the slot %+v", base, folder, s)
		}
	})
}
