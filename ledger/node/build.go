// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"crypto/sha256"

	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// PublishBuild records which verifier the ledger hands out to browsers, by the digest of its SHA256SUMS, which the log then
// serves; and returns the record's log index. One that this year's log has already isn't recorded again.
func (n *Node) PublishBuild(ctx context.Context, sums []byte, version, toolchain string) (index uint64, err error) {
	digest := sha256.Sum256(sums)
	if index, ok := n.Registry().Build(digest); ok {
		return index, nil
	}
	record, err := registry.FormatRecord(registry.Build{Name: registry.BrowserVerifier, Version: version, Toolchain: toolchain, SHA256: digest})
	if err != nil {
		return 0, err
	}
	err = n.current(ctx, func(y *year) (err error) {
		index, err = y.seq.RecordWith(ctx, []store.Row{{Table: store.TableBlob, Key: digest[:], Value: sums}}, record)
		return err
	})
	return index, err
}
