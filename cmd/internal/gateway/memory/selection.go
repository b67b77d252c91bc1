// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/traccia-ledger/traccia/ledger"
)

// Selection is a digest of what was asked for, under the provider's own key: equal where the same is asked for again, and
// nothing to whoever hasn't the key. target is path and query.
func (m *Memory) Selection(eservice, method, target string, body []byte) ledger.Hash {
	path, content := sha256.Sum256([]byte(target)), sha256.Sum256(body)
	return m.keys.handle("cohort-selection", eservice, method, hex.EncodeToString(path[:]), hex.EncodeToString(content[:]))
}
