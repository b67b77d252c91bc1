// SPDX-License-Identifier: EUPL-1.2

package witness

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// NewKey makes the key of a witness: the signer's text for a file that only
// its owner reads, and the vkey for policies (Ed25519, cosignature/v1).
func NewKey(name string) (skey, vkey string, err error) {
	skey, plain, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return "", "", fmt.Errorf("couldn't make a witness key: %w", err)
	}
	if vkey, err = f_note.VKeyToCosignatureV1(plain); err != nil {
		return "", "", fmt.Errorf("couldn't make a witness key: %w", err)
	}
	return skey, vkey, nil
}

// ReadKey reads a signer from the file that holds what NewKey returned.
func ReadKey(path string) (note.Signer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the witness key: %w", err)
	}
	s, err := f_note.NewSignerForCosignatureV1(strings.TrimSpace(string(data)))
	if err != nil {
		return nil, fmt.Errorf("couldn't read the witness key in %s: %w", path, err)
	}
	return s, nil
}

func originHash(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return hex.EncodeToString(sum[:])
}
