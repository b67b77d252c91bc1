// SPDX-License-Identifier: EUPL-1.2

package seal

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"slices"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
)

// TestDayKeys: the authority opens each wrap with the day key that it names; a day, a shard and a start have their own.
func TestDayKeys(t *testing.T) {
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := [32]byte(private.PublicKey().Bytes())
	days, err := NewDayKeys(public)
	if err != nil {
		t.Fatal(err)
	}
	names := map[ledger.Hash]bool{}
	for i, at := range []struct {
		origin, day string
		fresh       bool
	}{
		{"registro.example/2026", "2026-11-22", true}, {"registro.example/2026", "2026-11-22", false},
		{"registro.example/2026", "2026-11-23", true}, {"registro.example/2027", "2026-11-23", true},
	} {
		k, handle := [32]byte{byte(i)}, ledger.Hash{7, byte(i)}
		sealed, fresh, err := days.Wrap(at.origin, at.day, handle, &k)
		if err != nil || (fresh != nil) != at.fresh || len(sealed) != 144 {
			t.Fatalf("%d: %d bytes, new %v, %v", i, len(sealed), fresh != nil, err)
		}
		name, wrap, err := OpenWrap(&k, handle, sealed)
		if err != nil {
			t.Fatal(err)
		}
		if names[name] == at.fresh {
			t.Errorf("%d: day key %x", i, name)
		}
		names[name] = true
		if fresh == nil {
			continue
		}
		w, err := UnwrapDay(private, at.origin, at.day, fresh.Stored)
		if err != nil || NameDay(fresh.Stored) != name {
			t.Fatal(err)
		}
		if got, err := Unwrap(&w, handle, wrap); err != nil || got != k {
			t.Errorf("%d: the authority unwraps %x, %v", i, got, err)
		}
	}
	days.Forget("2026-11-23")
	if days.w == [32]byte{} {
		t.Error("the day's key is forgotten before the day is over")
	}
	if days.Forget("2026-11-24"); days.w != [32]byte{} {
		t.Error("a day key is kept after its day")
	}
	if _, err := NewDayKeys([32]byte{}); err == nil {
		t.Error("day keys for nobody")
	}
}

// TestSealedForAuthority: no bit of what is sealed for the authority can be changed.
func TestSealedForAuthority(t *testing.T) {
	k, hash := [32]byte{1}, ledger.Hash{2}
	wrap := SealWrap(&k, hash, ledger.Hash{3}, Wrap(&k, hash, &k))
	tags := SealTags(&k, hash, []byte("tags"))
	if got, err := OpenTags(&k, hash, tags); err != nil || string(got) != "tags" {
		t.Fatalf("%q, %v", got, err)
	}
	for name, c := range map[string]struct {
		sealed []byte
		open   func(k *[32]byte, hash ledger.Hash, b []byte) error
	}{
		"wrap": {wrap, func(k *[32]byte, hash ledger.Hash, b []byte) error { _, _, err := OpenWrap(k, hash, b); return err }},
		"tags": {tags, func(k *[32]byte, hash ledger.Hash, b []byte) error { _, err := OpenTags(k, hash, b); return err }},
	} {
		for bit := range 8 * len(c.sealed) {
			changed := slices.Clone(c.sealed)
			changed[bit/8] ^= 1 << (bit % 8)
			if c.open(&k, hash, changed) != ErrOpen {
				t.Errorf("%s: bit %d", name, bit)
			}
		}
		if c.open(&[32]byte{9}, hash, c.sealed) != ErrOpen || c.open(&k, ledger.Hash{9}, c.sealed) != ErrOpen || c.open(&k, hash, nil) != ErrOpen {
			t.Errorf("%s: opens elsewhere", name)
		}
	}
	if _, err := OpenTags(&k, hash, wrap); err != ErrOpen {
		t.Error("a wrap opens as tags")
	}
	if bytes.Equal(wrap, SealWrap(&k, hash, ledger.Hash{3}, Wrap(&k, hash, &k))) {
		t.Error("sealed twice with one nonce")
	}
}
