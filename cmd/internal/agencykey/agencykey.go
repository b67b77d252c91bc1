// SPDX-License-Identifier: EUPL-1.2

// Package agencykey is a body's private key in its file, and the requests that
// the body signs with it: what the commands of a body's side share.
package agencykey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/keyfile"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// Key is a body's private key; package keyfile has the form of its file.
//
//	traccia-agency-key/1
//	kid: NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs
//	body: c_a944
//	-----BEGIN PRIVATE KEY-----
type Key struct {
	jws.Key
	Body   string
	Signer crypto.Signer
}

const (
	keyFileKind = "traccia-agency-key/1"
	rsaBits     = 3072 // of new keys: NIST's 128 bits of strength
)

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
		return nil, cli.WrongFlag("--alg", "ES256, EdDSA or RS256", strconv.Quote(alg))
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
	return keyfile.Format(keyFileKind, [][2]string{{"kid", k.Kid}, {"body", k.Body}}, der, passphrase)
}

// File is a key file taken apart, its secret still closed.
type File struct {
	Kid, Body string
	file      *keyfile.File
}

var errKeyFile = errors.New("expected a key file as agency key new writes it (see agency key new --help)")

// Parse reads what Format wrote.
func Parse(data []byte) (*File, error) {
	f, err := keyfile.Parse(data, keyFileKind, "kid", "body")
	if err != nil || ledger.CheckID(f.Values[1]) != nil {
		return nil, errKeyFile
	}
	return &File{f.Values[0], f.Values[1], f}, nil
}

// Open gives the key, with the passphrase if it has one.
func (f *File) Open(passphrase string) (*Key, error) {
	der, err := f.file.Secret(passphrase)
	if errors.Is(err, keyfile.ErrMalformed) {
		return nil, errKeyFile
	} else if err != nil {
		return nil, err
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

// Read reads a key file that only its owner can. passphraseFile may be "".
func Read(path, passphraseFile string) (*Key, error) {
	data, passphrase, err := keyfile.Read(path, passphraseFile)
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
