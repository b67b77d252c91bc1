// SPDX-License-Identifier: EUPL-1.2

package authoritykey

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

func TestKeyFiles(t *testing.T) {
	k, err := New()
	if err != nil {
		t.Fatal(err)
	}
	file, err := Format(k, "")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "garante.key")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := Read(path, ""); err != nil || !again.Equal(k) {
		t.Errorf("read another key: %v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path, ""); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others can read: %v", err)
	}
	agency, err := agencykey.New("c_a944", jws.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	other, err := agencykey.Format(agency, "")
	if err != nil {
		t.Fatal(err)
	}
	signing := strings.Replace(string(other), "traccia-agency-key/1", fileKind, 1)
	for name, bad := range map[string]string{
		"an agency's key":  string(other),
		"a signing key":    strings.Replace(signing, "body: c_a944\n", "", 1),
		"another kid":      strings.Replace(string(file), "kid: ", "kid: x", 1),
		"no key":           "",
		"another kind":     strings.Replace(string(file), "key/1", "key/2", 1),
		"a further member": strings.Replace(string(file), "-----BEGIN", "more: x\n-----BEGIN", 1),
	} {
		if _, err := openKey([]byte(bad), ""); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}

func TestPublic(t *testing.T) {
	k, err := New()
	if err != nil {
		t.Fatal(err)
	}
	public := [32]byte(k.PublicKey().Bytes())
	text := string(FormatPublic(public))
	if got, err := ParsePublic([]byte(text)); err != nil || got != public {
		t.Fatalf("%x, %v", got, err)
	}
	for name, bad := range map[string]string{
		"another curve":   strings.Replace(text, "X25519", "Ed25519", 1),
		"another kid":     strings.Replace(text, `"kid":"`, `"kid":"x`, 1),
		"a private key":   strings.Replace(text, `"x":`, `"d":"AA","x":`, 1),
		"a short key":     strings.Replace(text, `"x":"`, `"x":"AA`, 1),
		"a low order key": string(FormatPublic([32]byte{})),
		"nothing":         "",
	} {
		if _, err := ParsePublic([]byte(bad)); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}
