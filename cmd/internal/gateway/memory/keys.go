// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
)

// keyFile is the name of the key file, which is written in one way:
//
//	traccia-gateway-memory/1
//	scope: inps
//	ledger: registro.example
//	key: 43 characters of base64url
const (
	keyFile     = "memory.key"
	keyFileKind = "traccia-gateway-memory/1"
	maxKeyFile  = 1 << 10
)

// keys are what a key file gives.
type keys struct {
	scope, ledger string
	secret        []byte
	handles       []byte
	aead          cipher.AEAD
}

var errKeyFile = errors.New(keyFile + ": expected the file as it was made; restore it from a backup")

func createKeys(path, scope, ledgerName string, secret []byte) error {
	if err := errors.Join(ledger.CheckID(scope), ledger.CheckName(ledgerName)); err != nil {
		return err
	}
	if secret == nil {
		secret = newSecret()
	}
	return durable.Create(path, formatKeys(scope, ledgerName, secret), 0o600)
}

func newSecret() []byte {
	secret := make([]byte, 32)
	rand.Read(secret)
	return secret
}

func formatKeys(scope, ledgerName string, secret []byte) []byte {
	return fmt.Appendf(nil, "%s\nscope: %s\nledger: %s\nkey: %s\n", keyFileKind, scope, ledgerName, base64.RawURLEncoding.EncodeToString(secret))
}

func readKeys(path string) (*keys, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode(); runtime.GOOS != "windows" && mode.Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s holds a secret and has mode %04o: run chmod 600 %s, and ask who read it", path, mode.Perm(), path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxKeyFile))
	if err != nil {
		return nil, err
	}
	return parseKeys(data)
}

func parseKeys(data []byte) (*keys, error) {
	lines := strings.Split(string(data), "\n")
	if len(lines) != 5 {
		return nil, errKeyFile
	}
	secret, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimPrefix(lines[3], "key: "))
	if err != nil || len(secret) != 32 {
		return nil, errKeyFile
	}
	k, err := newKeys(strings.TrimPrefix(lines[1], "scope: "), strings.TrimPrefix(lines[2], "ledger: "), secret)
	if err != nil || string(formatKeys(k.scope, k.ledger, secret)) != string(data) || ledger.CheckID(k.scope) != nil || ledger.CheckName(k.ledger) != nil {
		return nil, errKeyFile
	}
	return k, nil
}

func newKeys(scope, ledgerName string, secret []byte) (*keys, error) {
	k := &keys{scope: scope, ledger: ledgerName, secret: secret}
	var err error
	if k.handles, err = hkdf.Expand(sha256.New, secret, "traccia/v1/memory-handles", 32); err != nil {
		return nil, err
	}
	sealing, err := hkdf.Expand(sha256.New, secret, "traccia/v1/memory-sealing", chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	k.aead, err = chacha20poly1305.NewX(sealing)
	return k, err
}

// handle names something in a row's key; each part has fewer than 65,536 bytes.
func (k *keys) handle(label string, parts ...string) (h [32]byte) {
	mac := hmac.New(sha256.New, k.handles)
	mac.Write(append([]byte("traccia/v1/"+label), 0))
	for _, part := range parts {
		mac.Write(binary.BigEndian.AppendUint16(nil, uint16(len(part))))
		mac.Write([]byte(part))
	}
	mac.Sum(h[:0])
	return h
}

// seal appends a plaintext to a row's value, bound to its key and to what stands before.
func (k *keys) seal(key, value, plain []byte) []byte {
	nonce := make([]byte, chacha20poly1305.NonceSizeX)
	rand.Read(nonce)
	data := append(append([]byte{}, key...), value...)
	return k.aead.Seal(append(value, nonce...), nonce, plain, data)
}

// unseal opens what seal appended after the first n bytes of a value.
func (k *keys) unseal(key, value []byte, n int) ([]byte, error) {
	if len(value) < n+chacha20poly1305.NonceSizeX {
		return nil, errDamaged
	}
	data := append(append([]byte{}, key...), value[:n]...)
	rest := value[n:]
	plain, err := k.aead.Open(nil, rest[:chacha20poly1305.NonceSizeX], rest[chacha20poly1305.NonceSizeX:], data)
	if err != nil {
		return nil, errDamaged
	}
	return plain, nil
}
