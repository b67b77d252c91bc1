// SPDX-License-Identifier: EUPL-1.2

package login

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/go-jose/go-jose/v4"

	"github.com/traccia-ledger/traccia/ledger/durable"
)

// keyBits of the RSA keys; SPID and CIE take 2048 and more.
const keyBits = 3072

// Uses of a key (RFC 7517).
const (
	useSign    = "sig"
	useEncrypt = "enc"
)

// Keys are the private keys with which the ledger speaks to providers of identity: it signs requests and its own
// authentication with the newest of those for signing, and opens what any of those for encryption was encrypted for.
//
// The file is a JWK set (RFC 7517) of RSA keys, the newest first, readable for its owner alone. Whoever has it can pose as
// the ledger towards the providers; nothing that is recorded depends on it.
type Keys struct{ set jose.JSONWebKeySet }

// NewKeys adds a fresh key for signing and one for encryption to the file, and makes it if need be. Older keys stay until
// they are taken out by hand: providers may know those alone for a while.
func NewKeys(path string) (*Keys, error) {
	k, err := ReadKeys(path)
	create := errors.Is(err, fs.ErrNotExist)
	if create {
		k = new(Keys)
	} else if err != nil {
		return nil, err
	}
	var fresh []jose.JSONWebKey
	for use, alg := range map[string]string{useSign: string(jose.RS256), useEncrypt: string(jose.RSA_OAEP_256)} {
		private, err := rsa.GenerateKey(rand.Reader, keyBits)
		if err != nil {
			return nil, fmt.Errorf("couldn't make a key: %w", err)
		}
		key := jose.JSONWebKey{Key: private, Use: use, Algorithm: alg}
		if key.KeyID, err = thumbprint(key); err != nil {
			return nil, err
		}
		fresh = append(fresh, key)
	}
	k.set.Keys = append(fresh, k.set.Keys...)
	data, err := json.MarshalIndent(k.set, "", "  ")
	if err != nil {
		return nil, err
	}
	write := durable.Replace
	if create {
		write = durable.Create // over a file that appeared meanwhile nothing is written
	}
	if err := write(path, append(data, '\n'), 0o600); err != nil {
		return nil, fmt.Errorf("couldn't write the login's keys: %w", err)
	}
	return k, nil
}

// ReadKeys reads the file, which nobody else may be able to read.
func ReadKeys(path string) (*Keys, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the login's keys: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("couldn't read the login's keys: %s can be read by others (mode %o, expected 600)", path, info.Mode().Perm())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the login's keys: %w", err)
	}
	k := new(Keys)
	if err := json.Unmarshal(data, &k.set); err != nil {
		return nil, fmt.Errorf("couldn't read the login's keys in %s: expected a JWK set", path)
	}
	uses := map[string]int{}
	for i, key := range k.set.Keys {
		private, ok := key.Key.(*rsa.PrivateKey)
		kid, err := thumbprint(key)
		if !ok || err != nil || private.N.BitLen() < 2048 || key.KeyID != kid || key.Use != useSign && key.Use != useEncrypt {
			return nil, fmt.Errorf("couldn't read the login's keys in %s: keys/%d: expected a private RSA key of 2048 bits or more, with use and its thumbprint as kid, found another", path, i)
		}
		uses[key.Use]++
	}
	if uses[useSign] == 0 || uses[useEncrypt] == 0 {
		return nil, fmt.Errorf("couldn't read the login's keys in %s: expected one with use sig and one with use enc, found %d and %d", path, uses[useSign], uses[useEncrypt])
	}
	return k, nil
}

func thumbprint(key jose.JSONWebKey) (string, error) {
	sum, err := key.Thumbprint(crypto.SHA256)
	return base64.RawURLEncoding.EncodeToString(sum), err
}

// Public is the JWK set that providers read.
func (k *Keys) Public() jose.JSONWebKeySet {
	var set jose.JSONWebKeySet
	for _, key := range k.set.Keys {
		set.Keys = append(set.Keys, key.Public())
	}
	return set
}

// sign makes a compact JWS of claims with the newest key.
func (k *Keys) sign(claims any) (string, error) {
	for _, key := range k.set.Keys {
		if key.Use != useSign {
			continue
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
		if err != nil {
			return "", err
		}
		payload, err := json.Marshal(claims)
		if err != nil {
			return "", err
		}
		signed, err := signer.Sign(payload)
		if err != nil {
			return "", err
		}
		return signed.CompactSerialize()
	}
	return "", errors.New("no key to sign with")
}

// decrypt opens a compact JWE that one of the keys is named by.
func (k *Keys) decrypt(compact string) ([]byte, error) {
	e, err := jose.ParseEncryptedCompact(compact, keyAlgorithms, contentAlgorithms)
	if err != nil {
		return nil, errors.New("it isn't encrypted as it has to be")
	}
	for _, key := range k.set.Keys {
		if key.Use == useEncrypt && key.KeyID == e.Header.KeyID {
			return e.Decrypt(key)
		}
	}
	return nil, errors.New("it is encrypted for no key of ours")
}
