// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"crypto/sha256"
	"fmt"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/seal"
)

// months lets the sequencer and the openers wrap under month keys without
// seeing one: where a KMS would stand.
type months struct{ dir *keys.Dir }

func (m months) Wrap(month string, handle ledger.Hash, k *[32]byte) ([]byte, error) {
	key, version, err := m.dir.Month(month)
	if err != nil {
		return nil, err
	}
	return keys.FormatWrap(version, seal.Wrap(&key, handle, k)), nil
}

func (m months) Unwrap(month string, handle ledger.Hash, stored []byte) ([32]byte, error) {
	version, wrap, err := keys.ParseWrap(stored)
	if err != nil {
		return [32]byte{}, err
	}
	key, err := m.dir.MonthKey(month, version)
	if err != nil {
		return [32]byte{}, fmt.Errorf("couldn't use the key of %s: %w", month, err)
	}
	return seal.Unwrap(&key, handle, wrap)
}

// isErased says whether the erasure journal names this very wrap.
func isErased(e keys.Erasure, stored []byte) bool {
	_, wrap, err := keys.ParseWrap(stored)
	return err == nil && sha256.Sum256(wrap) == e.Wrap
}
