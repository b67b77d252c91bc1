// SPDX-License-Identifier: EUPL-1.2

package agencykey

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/jws"
)

func TestKeyFile(t *testing.T) {
	for _, alg := range []string{jws.ES256, jws.EdDSA, jws.RS256} {
		k, err := New("c_a944", alg)
		if err != nil {
			t.Fatal(err)
		}
		for _, passphrase := range []string{"", "una passphrase"} {
			if passphrase != "" && alg != jws.RS256 {
				continue // deriving a key takes long, and one algorithm is as good as another
			}
			data, err := Format(k, passphrase)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range [][]byte{data, bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))} {
				f, err := Parse(text)
				if err != nil {
					t.Fatalf("%s: %v", alg, err)
				}
				got, err := f.Open(passphrase)
				if err != nil {
					t.Fatalf("%s: %v", alg, err)
				}
				if got.Kid != k.Kid || got.Body != k.Body || got.Alg != alg {
					t.Errorf("read %s %s of %s, wrote %s %s of %s", got.Alg, got.Kid, got.Body, k.Alg, k.Kid, k.Body)
				}
				token, err := jws.Sign("test", []byte("x"), got.Kid, got.Signer)
				if err != nil {
					t.Fatal(err)
				}
				u, err := jws.Parse(token)
				if err != nil {
					t.Fatal(err)
				}
				if err := u.Verify(k.Key); err != nil {
					t.Errorf("%s: the key that was read signs otherwise: %v", alg, err)
				}
			}
		}
	}
}

// TestKeyFileIsPKCS8 reads a key file as another program would.
func TestKeyFileIsPKCS8(t *testing.T) {
	k, err := New("c_a944", jws.ES256)
	if err != nil {
		t.Fatal(err)
	}
	data, err := Format(k, "")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		t.Fatal("no PEM block PRIVATE KEY")
	}
	if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
		t.Error(err)
	}
}

func TestKeyFileRefused(t *testing.T) {
	k, err := New("c_a944", jws.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	data, err := Format(k, "")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for name, bad := range map[string]string{
		"nothing":          "",
		"no lines":         text[strings.Index(text, "-----"):],
		"no block":         text[:strings.Index(text, "-----")],
		"another version":  strings.Replace(text, "key/1", "key/2", 1),
		"an empty kid":     strings.Replace(text, "kid: "+k.Kid, "kid: ", 1),
		"no body":          strings.Replace(text, "body: c_a944\n", "", 1),
		"a bad body":       strings.Replace(text, "c_a944", "C_A944", 1),
		"body before kid":  strings.Replace(strings.Replace(text, "kid: ", "x: ", 1), "body: ", "kid: ", 1),
		"a further line":   strings.Replace(text, "-----BEGIN", "note: x\n-----BEGIN", 1),
		"a public key":     strings.ReplaceAll(text, "PRIVATE KEY", "PUBLIC KEY"),
		"text behind":      text + "more\n",
		"a second block":   text + text[strings.Index(text, "-----"):],
		"protected wrong":  strings.Replace(text, "-----BEGIN", "protection: scrypt\nsalt: AQIDBAUGBwgJCgsMDQ4PEA\n-----BEGIN", 1),
		"protected by tag": strings.Replace(text, "-----BEGIN", "protection: argon2id\nsalt: AQIDBAUGBwgJCgsMDQ4PEA\n-----BEGIN", 1),
	} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%s: read", name)
		}
	}
	f, err := Parse([]byte(strings.Replace(text, "kid: ", "kid: \x1b", 1)))
	if err == nil {
		_, err = f.Open("")
	}
	if err == nil {
		t.Error("a kid with a control character: read")
	}
}

// FuzzKeyFile: what parses and opens is written so that it parses to the same.
func FuzzKeyFile(f *testing.F) {
	k, err := New("c_a944", jws.ES256)
	if err != nil {
		f.Fatal(err)
	}
	data, err := Format(k, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("traccia-agency-key/1\nkid: x\nbody: c_a944\nprotection: argon2id\nsalt: AQIDBAUGBwgJCgsMDQ4PEA\n-----BEGIN TRACCIA PROTECTED KEY-----\nAAAA\n-----END TRACCIA PROTECTED KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			return
		}
		k, err := file.Open("")
		if err != nil {
			return
		}
		again, err := Format(k, "")
		if err != nil {
			t.Fatal(err)
		}
		if second, err := Parse(again); err != nil || second.Kid != file.Kid || second.Body != file.Body {
			t.Errorf("%q was written as %q, %v", data, again, err)
		}
	})
}
