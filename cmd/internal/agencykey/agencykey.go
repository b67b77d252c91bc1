// SPDX-License-Identifier: EUPL-1.2

// Package agencykey is a body's private key in its file, and the requests that
// the body signs with it: what the commands of a body's side share.
package agencykey

import (
	"bytes"
	"crypto"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
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

// Key is a body's private key as its file has it: lines that say whose it
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
type Key struct {
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
	rsaBits        = 3072 // of new keys: NIST's 128 bits of strength
)

// errPassphrase covers a changed file too: the cipher can't tell them apart.
var errPassphrase = errors.New("the passphrase doesn't open this key file, or the file was changed")

// New makes a key of a body, for one of the three algorithms.
func New(body, alg string) (*Key, error) {
	var signer crypto.Signer
	var err error
	switch alg {
	case jws.ES256:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jws.EdDSA:
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	case jws.RS256:
		signer, err = rsa.GenerateKey(rand.Reader, rsaBits)
	default:
		return nil, cli.Usagef("--alg: expected ES256, EdDSA or RS256, found %q", alg)
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't make a key: %w", err)
	}
	public, err := jws.NewKey("", signer.Public())
	return &Key{Key: public, Body: body, Signer: signer}, err
}

// Format encodes a key, protected unless the passphrase is "".
func Format(k *Key, passphrase string) ([]byte, error) {
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

// File is a key file taken apart, its secret still closed.
type File struct {
	lines     string // all before the block
	Kid, Body string
	salt      []byte // nil without a passphrase
	secret    []byte // PKCS#8, or its protected form
}

var errKeyFile = errors.New("expected a key file as agency key new writes it (see agency key new --help)")

// Parse reads what Format wrote.
func Parse(data []byte) (*File, error) {
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	begin := bytes.Index(data, []byte("-----BEGIN "))
	if begin < 0 {
		return nil, errKeyFile
	}
	f := &File{lines: string(data[:begin])}
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
	f.Kid, f.Body = values[0], values[1]
	block, rest := pem.Decode(data[begin:])
	if block == nil || block.Type != kind || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 || ledger.CheckID(f.Body) != nil {
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

// Open gives the key, with the passphrase if it has one.
func (f *File) Open(passphrase string) (*Key, error) {
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
	public, err := jws.NewKey(f.Kid, signer.Public())
	if err != nil {
		return nil, fmt.Errorf("the key file holds no usable key: %w", err)
	}
	return &Key{Key: public, Body: f.Body, Signer: signer}, nil
}

// unseal gives the PKCS#8 of a protected key.
func (f *File) unseal(aead cipher.AEAD) ([]byte, error) {
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

// Read reads a key file that only its owner can. passphraseFile may be "".
func Read(path, passphraseFile string) (*Key, error) {
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
	passphrase, err := ReadPassphrase(passphraseFile)
	if err != nil {
		return nil, err
	}
	f, err := Parse(data)
	if err != nil {
		return nil, cli.Usagef("%s: %w", path, err)
	}
	k, err := f.Open(passphrase)
	if err != nil {
		return nil, cli.Usagef("%s: %w", path, err)
	}
	return k, nil
}

// ReadPassphrase reads a passphrase from its file; "" for none.
func ReadPassphrase(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	return cli.ReadSecret(path)
}
