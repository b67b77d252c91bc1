// SPDX-License-Identifier: EUPL-1.2

package dev

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	jose "github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/errgroup"

	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// Issuer is what the stand-in writes into vouchers: PDND's test environment.
const Issuer = "uat.interop.pagopa.it"

// Files that a World keeps in its directory.
const (
	PDNDKeysFile   = "pdnd.jwks.json"    // public keys of the stand-in for PDND
	ClientKeysFile = "clients.jwks.json" // public keys of its clients
	secretsFile    = "dev-keys.pem"      // every private key
)

// clientKeys is how many keys the clients share, as the municipalities of one software house do.
const clientKeys = 4

// secrets are the private keys of a World by their names: pdnd, client-0 …, body-<id>.
type secrets map[string]crypto.Signer

// openSecrets reads the keys of a directory, makes those that are missing and publishes PDND's and the clients'.
func openSecrets(dir string, ids []string) (secrets, error) {
	file := filepath.Join(dir, secretsFile)
	s, err := readSecrets(file)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the development keys: %w", err)
	}
	wanted := []string{"pdnd"}
	for i := range clientKeys {
		wanted = append(wanted, clientKey(i))
	}
	for _, id := range ids {
		wanted = append(wanted, bodyKey(id))
	}
	made, err := s.makeMissing(wanted)
	if err != nil {
		return nil, fmt.Errorf("couldn't make development keys: %w", err)
	}
	if made {
		if err := s.write(file); err != nil {
			return nil, fmt.Errorf("couldn't keep the development keys: %w", err)
		}
	}
	if err := s.publish(filepath.Join(dir, PDNDKeysFile), wanted[:1]); err != nil {
		return nil, err
	}
	return s, s.publish(filepath.Join(dir, ClientKeysFile), wanted[1:1+clientKeys])
}

func clientKey(i int) string   { return fmt.Sprintf("client-%d", i) }
func bodyKey(id string) string { return "body-" + id }

// readSecrets returns no keys where there is no file yet.
func readSecrets(file string) (secrets, error) {
	s := make(secrets)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	for len(data) > 0 {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, errors.New("not a list of PEM blocks")
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, errors.New("a key that doesn't sign")
		}
		s[block.Headers["Name"]], data = signer, rest
	}
	return s, nil
}

// makeMissing makes RSA keys on all cores: each takes some 100 ms.
func (s secrets) makeMissing(wanted []string) (made bool, err error) {
	keys := make([]crypto.Signer, len(wanted))
	var g errgroup.Group
	for i, name := range wanted {
		if s[name] != nil {
			continue
		}
		made = true
		g.Go(func() (err error) {
			if i <= clientKeys {
				keys[i], err = rsa.GenerateKey(rand.Reader, 2048)
				return err
			}
			keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return false, err
	}
	for i, name := range wanted {
		if keys[i] != nil {
			s[name] = keys[i]
		}
	}
	return made, nil
}

func (s secrets) write(file string) error {
	var data []byte
	for name, key := range s {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		block := &pem.Block{Type: "PRIVATE KEY", Headers: map[string]string{"Name": name}, Bytes: der}
		data = append(data, pem.EncodeToMemory(block)...)
	}
	return durable.Replace(file, data, 0o600)
}

func (s secrets) publish(file string, names []string) error {
	var keys []jws.Key
	for _, name := range names {
		k, err := s.public(name)
		if err != nil {
			return err
		}
		keys = append(keys, k)
	}
	set, err := jws.FormatKeys(keys)
	if err == nil {
		err = durable.Replace(file, set, 0o644)
	}
	if err != nil {
		return fmt.Errorf("couldn't publish keys: %w", err)
	}
	return nil
}

// public is a key under its RFC 7638 thumbprint.
func (s secrets) public(name string) (jws.Key, error) { return jws.NewKey("", s[name].Public()) }

// tokens signs what PDND and its clients sign.
type tokens struct {
	pdnd    jose.Signer
	clients [clientKeys]jose.Signer
}

func newTokens(s secrets) (*tokens, error) {
	signer := func(name string, options *jose.SignerOptions) (jose.Signer, error) {
		k, err := s.public(name)
		if err != nil {
			return nil, err
		}
		key := jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: s[name], KeyID: k.Kid}}
		return jose.NewSigner(key, options)
	}
	var t tokens
	var err error
	if t.pdnd, err = signer("pdnd", (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("use", "sig")); err != nil {
		return nil, err
	}
	for i := range t.clients {
		if t.clients[i], err = signer(clientKey(i), (&jose.SignerOptions{}).WithType("JWT")); err != nil {
			return nil, err
		}
	}
	return &t, nil
}

func signToken(s jose.Signer, claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := s.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
