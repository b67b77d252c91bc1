// SPDX-License-Identifier: EUPL-1.2

package verifiertest

import (
	"encoding/binary"
	"fmt"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

// FormatEntries returns the entry bundle of 1 to checkpoint.TileWidth leaves, as checkpoint.ParseEntries reads it.
func FormatEntries(leaves [][]byte) ([]byte, error) {
	if len(leaves) == 0 || len(leaves) > checkpoint.TileWidth {
		return nil, fmt.Errorf("couldn't format entry bundle: %d leaves, expected 1 to %d", len(leaves), checkpoint.TileWidth)
	}
	var b []byte
	for _, leaf := range leaves {
		if len(leaf) > ledger.MaxLeaf {
			return nil, fmt.Errorf("couldn't format entry bundle: a leaf of %d bytes, expected at most %d", len(leaf), ledger.MaxLeaf)
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(leaf)))
		b = append(b, leaf...)
	}
	return b, nil
}
