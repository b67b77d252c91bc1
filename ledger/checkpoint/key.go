// SPDX-License-Identifier: EUPL-1.2

package checkpoint

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// The signature types of c2sp.org/signed-note that are used here.
const (
	algEd25519     = 0x01 // a log
	algCosignature = 0x04 // a witness, Ed25519
	algMLDSA       = 0x06 // a witness, ML-DSA-44
)

var errVKey = errors.New("malformed verifier key")

// ParseKey parses a log's verifier key, an Ed25519 vkey of c2sp.org/signed-note:
//
//	registro.example/2026+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k
func ParseKey(vkey string) (note.Verifier, error) {
	v, _, err := parseVKey(vkey, algEd25519)
	return v, err
}

// ParseKeys parses a file of log verifier keys: one a line; blank lines and lines that start with # are skipped. At least
// one key, and none twice.
func ParseKeys(file []byte) ([]note.Verifier, error) {
	var keys []note.Verifier
	var seen []string
	for i, line := range strings.Split(string(file), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		v, err := ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("couldn't parse line %d: %w", i+1, err)
		}
		if slices.Contains(seen, line) {
			return nil, fmt.Errorf("couldn't parse line %d: a key that is there already", i+1)
		}
		keys, seen = append(keys, v), append(seen, line)
	}
	if len(keys) == 0 {
		return nil, errors.New("couldn't find a verifier key: each is a line name+hash+base64")
	}
	return keys, nil
}

// parseVKey parses a vkey of one of the types in algs, and returns the public key that it wraps too. It takes one spelling
// of each key.
func parseVKey(vkey string, algs ...byte) (note.Verifier, string, error) {
	name, rest, _ := strings.Cut(vkey, "+")
	_, key64, _ := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.Strict().DecodeString(key64)
	if err != nil || len(key) < 1+ed25519.PublicKeySize || !slices.Contains(algs, key[0]) {
		return nil, "", errVKey
	}
	sum := sha256.Sum256(slices.Concat([]byte(name), []byte("\n"), key))
	if fmt.Sprintf("%s+%08x+%s", name, sum[:4], base64.StdEncoding.EncodeToString(key)) != vkey {
		return nil, "", errVKey
	}
	var v note.Verifier
	if key[0] == algEd25519 {
		v, err = note.NewVerifier(vkey)
	} else {
		v, err = f_note.NewVerifierForCosignatureV1(vkey)
	}
	if err != nil {
		return nil, "", errVKey
	}
	return v, string(key[1:]), nil
}
