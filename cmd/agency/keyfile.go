// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"crypto"
	"crypto/cipher"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// agencyKey is a body's private key as its file has it: lines that say whose it
// is, then PKCS#8 in PEM (RFC 7468), which other programs read past the lines.
//
//	traccia-agency-key/1
//	kid: NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs
//	body: c_a944
//	-----BEGIN PRIVATE KEY-----
//	MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg…
//	-----END PRIVATE KEY-----
//
// With a passphrase, another block follows two more lines:
//
//	protection: argon2id
//	salt: AQIDBAUGBwgJCgsMDQ4PEA
//	-----BEGIN TRACCIA PROTECTED KEY-----
//
// It holds nonce[24] ‖ XChaCha20-Poly1305(K, nonce, PKCS#8), bound to all lines
// before it; K is argon2id(passphrase, salt) of 32 bytes by the second
// recommendation of RFC 9106, section 4: 3 passes, 64 MiB, 4 threads. Lines end
// in \n; \r\n is read as \n.
type agencyKey struct {
	jws.Key
	Body   string
	Signer crypto.Signer
}

const (
	keyFileKind    = "traccia-agency-key/1"
	plainBlock     = "PRIVATE KEY"
	protectedBlock = "TRACCIA PROTECTED KEY"
	maxKeyFile     = 1 << 16
	saltSize       = 16
)

// errPassphrase covers a changed file too: the cipher can't tell them apart.
var errPassphrase = errors.New("the passphrase doesn't open this key file, or the file was changed")

// formatKeyFile encodes a key, protected unless the passphrase is "".
func formatKeyFile(k *agencyKey, passphrase string) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.Signer)
	if err != nil {
		return nil, fmt.Errorf("couldn't encode the key: %w", err)
	}
	lines := keyFileKind + "\nkid: " + k.Kid + "\nbody: " + k.Body + "\n"
	if passphrase == "" {
		return append([]byte(lines), pem.EncodeToMemory(&pem.Block{Type: plainBlock, Bytes: der})...), nil
	}
	salt := make([]byte, saltSize)
	rand.Read(salt)
	lines += "protection: argon2id\nsalt: " + base64.RawURLEncoding.EncodeToString(salt) + "\n"
	nonce := make([]byte, chacha20poly1305.NonceSizeX)
	rand.Read(nonce)
	aead, err := keyCipher(passphrase, salt)
	if err != nil {
		return nil, err
	}
	sealed := aead.Seal(nonce, nonce, der, []byte(lines))
	return append([]byte(lines), pem.EncodeToMemory(&pem.Block{Type: protectedBlock, Bytes: sealed})...), nil
}

func keyCipher(passphrase string, salt []byte) (cipher.AEAD, error) {
	return chacha20poly1305.NewX(argon2.IDKey([]byte(passphrase), salt, 3, 64<<10, 4, chacha20poly1305.KeySize))
}

// keyFile is a key file taken apart, its secret still closed.
type keyFile struct {
	lines     string // all before the block
	kid, body string
	salt      []byte // nil without a passphrase
	secret    []byte // PKCS#8, or its protected form
}

var errKeyFile = errors.New("expected a key file as agency key new writes it (see agency key new --help)")

// parseKeyFile reads what formatKeyFile wrote.
func parseKeyFile(data []byte) (*keyFile, error) {
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	begin := bytes.Index(data, []byte("-----BEGIN "))
	if begin < 0 {
		return nil, errKeyFile
	}
	f := &keyFile{lines: string(data[:begin])}
	values, ok := cutLines(f.lines, keyFileKind, "kid", "body")
	kind := plainBlock
	if !ok {
		values, ok = cutLines(f.lines, keyFileKind, "kid", "body", "protection", "salt")
		if !ok || values[2] != "argon2id" {
			return nil, errKeyFile
		}
		var err error
		if f.salt, err = base64.RawURLEncoding.Strict().DecodeString(values[3]); err != nil || len(f.salt) != saltSize {
			return nil, errKeyFile
		}
		kind = protectedBlock
	}
	f.kid, f.body = values[0], values[1]
	block, rest := pem.Decode(data[begin:])
	if block == nil || block.Type != kind || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 || ledger.CheckID(f.body) != nil {
		return nil, errKeyFile
	}
	f.secret = block.Bytes
	return f, nil
}

// cutLines takes "kind\nname: value\n…" apart; the names are exactly these, and
// no value is empty.
func cutLines(text, kind string, names ...string) (values []string, ok bool) {
	lines := strings.Split(text, "\n")
	if len(lines) != len(names)+2 || lines[0] != kind || lines[len(lines)-1] != "" {
		return nil, false
	}
	for i, name := range names {
		value, ok := strings.CutPrefix(lines[i+1], name+": ")
		if !ok || value == "" {
			return nil, false
		}
		values = append(values, value)
	}
	return values, true
}

// open gives the key, with the passphrase if it has one.
func (f *keyFile) open(passphrase string) (*agencyKey, error) {
	der := f.secret
	switch {
	case f.salt == nil && passphrase != "":
		return nil, errors.New("this key file has no passphrase")
	case f.salt != nil && passphrase == "":
		return nil, errors.New("this key file needs its passphrase")
	case f.salt != nil:
		aead, err := keyCipher(passphrase, f.salt)
		if err != nil {
			return nil, err
		}
		if der, err = f.unseal(aead); err != nil {
			return nil, err
		}
	}
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errKeyFile
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, errKeyFile
	}
	public, err := jws.NewKey(f.kid, signer.Public())
	if err != nil {
		return nil, fmt.Errorf("the key file holds no usable key: %w", err)
	}
	return &agencyKey{Key: public, Body: f.body, Signer: signer}, nil
}

// unseal gives the PKCS#8 of a protected key.
func (f *keyFile) unseal(aead cipher.AEAD) ([]byte, error) {
	n := aead.NonceSize()
	if len(f.secret) < n {
		return nil, errKeyFile
	}
	der, err := aead.Open(nil, f.secret[:n], f.secret[n:], []byte(f.lines))
	if err != nil {
		return nil, errPassphrase
	}
	return der, nil
}

// readKey reads a key file that only its owner can. passphraseFile may be "".
func readKey(path, passphraseFile string) (*agencyKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the key file: %w", err)
	}
	if mode := info.Mode(); runtime.GOOS != "windows" && mode.IsRegular() && mode.Perm()&0o077 != 0 {
		return nil, cli.Usagef("%s holds a private key and has mode %04o: run chmod 600 %s, and ask who read it", path, mode.Perm(), path)
	}
	data, err := cli.ReadFile(path, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the key file: %w", err)
	}
	passphrase, err := readPassphrase(passphraseFile)
	if err != nil {
		return nil, err
	}
	f, err := parseKeyFile(data)
	if err != nil {
		return nil, cli.Usagef("%s: %w", path, err)
	}
	k, err := f.open(passphrase)
	if err != nil {
		return nil, cli.Usagef("%s: %w", path, err)
	}
	return k, nil
}

func readPassphrase(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	return cli.ReadSecret(path)
}
