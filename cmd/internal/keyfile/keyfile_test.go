// SPDX-License-Identifier: EUPL-1.2

package keyfile

import (
	"bytes"
	"testing"
)

// TestKeyFileTampered flips each bit of a protected key file: none may open, and none may pass as another's.
func TestKeyFileTampered(t *testing.T) {
	const kind = "traccia-test-key/1"
	data, err := Format(kind, [][2]string{{"kid", "one"}, {"body", "c_a944"}}, []byte("the key in PKCS#8"), "una passphrase")
	if err != nil {
		t.Fatal(err)
	}
	original, err := Parse(data, kind, "kid", "body")
	if err != nil || original.Values[1] != "c_a944" {
		t.Fatal(original, err)
	}
	// Deriving the key takes long. With the right one at hand, even a changed salt must not open.
	aead, err := keyCipher("una passphrase", original.salt)
	if err != nil {
		t.Fatal(err)
	}
	if der, err := original.unseal(aead); err != nil || string(der) != "the key in PKCS#8" {
		t.Fatal(err)
	}
	for i := range 8 * len(data) {
		changed := bytes.Clone(data)
		changed[i/8] ^= 1 << (i % 8)
		f, err := Parse(changed, kind, "kid", "body")
		if err != nil || f.lines == original.lines && bytes.Equal(f.secret, original.secret) {
			continue // refused, or changed in white space that PEM leaves open
		}
		if _, err := f.unseal(aead); err == nil {
			t.Errorf("opens with bit %d of byte %d flipped", i%8, i/8)
		}
	}
}
