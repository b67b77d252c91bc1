// SPDX-License-Identifier: EUPL-1.2

// Package keyfile is the file of a private key that somebody other than the ledger's operator keeps: lines that say what it
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
// It holds nonce[24] ‖ XChaCha20-Poly1305(K, nonce, PKCS#8), bound to all lines before it; K is argon2id(passphrase, salt)
// of 32 bytes by the second recommendation of RFC 9106, section 4: 3 passes, 64 MiB, 4 threads. Lines end in \n; \r\n is
// read as \n.
package keyfile

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
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
)

const (
	plainBlock     = "PRIVATE KEY"
	protectedBlock = "TRACCIA PROTECTED KEY"
	maxSize        = 1 << 16
	saltSize       = 16
)

var (
	// ErrMalformed: these bytes are no key file of this kind.
	ErrMalformed = errors.New("malformed key file")
	// errPassphrase covers a changed file too: the cipher can't tell them apart.
	errPassphrase = errors.New("the passphrase doesn't open this key file, or the file was changed")
)

// Format encodes a key of a kind in PKCS#8, with lines "name: value", protected unless the passphrase is "".
func Format(kind string, lines [][2]string, der []byte, passphrase string) ([]byte, error) {
	text := kind + "\n"
	for _, line := range lines {
		text += line[0] + ": " + line[1] + "\n"
	}
	if passphrase == "" {
		return append([]byte(text), pem.EncodeToMemory(&pem.Block{Type: plainBlock, Bytes: der})...), nil
	}
	salt := make([]byte, saltSize)
	rand.Read(salt)
	text += "protection: argon2id\nsalt: " + base64.RawURLEncoding.EncodeToString(salt) + "\n"
	nonce := make([]byte, chacha20poly1305.NonceSizeX)
	rand.Read(nonce)
	aead, err := keyCipher(passphrase, salt)
	if err != nil {
		return nil, err
	}
	sealed := aead.Seal(nonce, nonce, der, []byte(text))
	return append([]byte(text), pem.EncodeToMemory(&pem.Block{Type: protectedBlock, Bytes: sealed})...), nil
}

func keyCipher(passphrase string, salt []byte) (cipher.AEAD, error) {
	return chacha20poly1305.NewX(argon2.IDKey([]byte(passphrase), salt, 3, 64<<10, 4, chacha20poly1305.KeySize))
}

// File is a key file taken apart, its secret still closed.
type File struct {
	Values []string // of its lines
	lines  string   // all before the block
	salt   []byte   // nil without a passphrase
	secret []byte   // PKCS#8, or its protected form
}

// Parse reads what Format wrote with this kind and lines of these names. The error is ErrMalformed.
func Parse(data []byte, kind string, names ...string) (*File, error) {
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	begin := bytes.Index(data, []byte("-----BEGIN "))
	if begin < 0 {
		return nil, ErrMalformed
	}
	f := &File{lines: string(data[:begin])}
	values, ok := cutLines(f.lines, kind, names...)
	expected := plainBlock
	if !ok {
		values, ok = cutLines(f.lines, kind, append(names, "protection", "salt")...)
		if !ok || values[len(names)] != "argon2id" {
			return nil, ErrMalformed
		}
		var err error
		if f.salt, err = base64.RawURLEncoding.Strict().DecodeString(values[len(names)+1]); err != nil || len(f.salt) != saltSize {
			return nil, ErrMalformed
		}
		expected = protectedBlock
	}
	f.Values = values[:len(names)]
	block, rest := pem.Decode(data[begin:])
	if block == nil || block.Type != expected || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, ErrMalformed
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

// Secret gives the key in PKCS#8, with the passphrase if it has one.
func (f *File) Secret(passphrase string) ([]byte, error) {
	switch {
	case f.salt == nil && passphrase != "":
		return nil, errors.New("this key file has no passphrase")
	case f.salt != nil && passphrase == "":
		return nil, errors.New("this key file needs its passphrase")
	case f.salt == nil:
		return f.secret, nil
	}
	aead, err := keyCipher(passphrase, f.salt)
	if err != nil {
		return nil, err
	}
	return f.unseal(aead)
}

// unseal gives the PKCS#8 of a protected key.
func (f *File) unseal(aead cipher.AEAD) ([]byte, error) {
	n := aead.NonceSize()
	if len(f.secret) < n {
		return nil, ErrMalformed
	}
	der, err := aead.Open(nil, f.secret[:n], f.secret[n:], []byte(f.lines))
	if err != nil {
		return nil, errPassphrase
	}
	return der, nil
}

// Read reads a key file that only its owner can, and the passphrase from its own; passphraseFile may be "".
func Read(path, passphraseFile string) (data []byte, passphrase string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", fmt.Errorf("couldn't read the key file: %w", err)
	}
	if mode := info.Mode(); runtime.GOOS != "windows" && mode.IsRegular() && mode.Perm()&0o077 != 0 {
		return nil, "", cli.Usagef("%s holds a private key and has mode %04o: run chmod 600 %s, and ask who read it", path, mode.Perm(), path)
	}
	if data, err = cli.ReadFile(path, maxSize); err != nil {
		return nil, "", fmt.Errorf("couldn't read the key file: %w", err)
	}
	passphrase, err = ReadPassphrase(passphraseFile)
	return data, passphrase, err
}

// ReadPassphrase reads a passphrase from its file; "" for none.
func ReadPassphrase(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	return cli.ReadSecret(path)
}
