// SPDX-License-Identifier: EUPL-1.2

package postgres

import (
	"bytes"
	"hash/crc32"

	"github.com/traccia-ledger/traccia/ledger/store"
)

// layout is how a database keeps the rows, as its row in store_format says.
//
// With a spread above 1 the keys of tables that grow at their end have one byte
// more in front: the remainder by spread of the CRC-32 (IEEE) of the key without
// its last byte. Neighbours stay together by 256, and the writes of a moment go
// to several ranges of CockroachDB instead of one. With 0 or 1 keys are as they
// are: PostgreSQL has one place to write to, and ascending keys suit it best.
type layout struct {
	version, needs, spread int
}

// growing are the tables whose keys ascend. Those of the others are in random
// order after a prefix, or few.
var growing = map[store.Table]bool{
	store.TableLeaf: true, store.TableTile: true, store.TableBody: true, store.TablePrivate: true,
	store.TableRecord: true, store.TableHead: true, store.TableConsentEnd: true, store.TableSession: true,
}

// parts returns into how many parts the rows of a table are spread, 0 for none.
func (l layout) parts(t store.Table) int {
	if l.spread > 1 && growing[t] {
		return l.spread
	}
	return 0
}

// stored returns the key that the database has for a key.
func (l layout) stored(t store.Table, key []byte) []byte {
	parts := l.parts(t)
	if parts == 0 {
		return key
	}
	part := crc32.ChecksumIEEE(key[:len(key)-1]) % uint32(parts)
	return append([]byte{byte(part)}, key...)
}

// given undoes stored.
func (l layout) given(t store.Table, stored []byte) []byte {
	if l.parts(t) == 0 {
		return stored
	}
	return stored[1:]
}

// next returns the least key above key.
func next(key []byte) []byte { return append(bytes.Clone(key), 0) }
