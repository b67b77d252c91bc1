// SPDX-License-Identifier: EUPL-1.2

package engine

import (
	"encoding/binary"
	"fmt"

	"github.com/google/trillian"
	"google.golang.org/protobuf/proto"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/store"
)

var be = binary.BigEndian

const hashPrefix = 8 // bytes of a leaf hash in the keys of store.TableLeafHash

func logKey(log int64) []byte { return be.AppendUint64(make([]byte, 0, 24), uint64(log)) }

func leafKey(log int64, index uint64) []byte { return be.AppendUint64(logKey(log), index) }

func tileKey(id tileID) []byte {
	return be.AppendUint64(append(logKey(id.log), byte(id.level)), id.index)
}

// leafHashKey is the key without the index: the prefix of those that match.
func leafHashKey(log int64, hash []byte) []byte { return append(logKey(log), hash[:hashPrefix]...) }

func identityKey(log int64, identity []byte) []byte { return append(logKey(log), identity...) }

func queueKey(log int64, nanos uint64, identity []byte) []byte {
	return append(be.AppendUint64(logKey(log), nanos), identity...)
}

// What the value of a leaf row starts with.
const (
	leafPlain    = 0 // the leaf follows: a shard's
	leafTrillian = 1 // a trillian.LogLeaf follows: one that came by Trillian's interface
)

// leafRow returns the leaf that a row holds.
func leafRow(index uint64, value []byte) ([]byte, error) {
	if len(value) > 0 && value[0] == leafPlain {
		return value[1:], nil
	}
	leaf, err := logLeaf(index, value)
	if err != nil {
		return nil, err
	}
	return leaf.LeafValue, nil
}

// logLeaf returns the same as Trillian wants it.
func logLeaf(index uint64, value []byte) (*trillian.LogLeaf, error) {
	if len(value) > 0 && value[0] == leafPlain {
		hash := ledger.HashLeaf(value[1:])
		return &trillian.LogLeaf{
			LeafValue: value[1:], MerkleLeafHash: hash[:], LeafIdentityHash: hash[:], LeafIndex: int64(index),
		}, nil
	}
	leaf := new(trillian.LogLeaf)
	if len(value) == 0 || value[0] != leafTrillian || proto.Unmarshal(value[1:], leaf) != nil {
		return nil, fmt.Errorf("%w: leaf %d", store.ErrDamaged, index)
	}
	return leaf, nil
}

// arena hands out small slices cut from one allocation.
type arena []byte

func (a *arena) cut(n int) []byte {
	b := (*a)[:n:n]
	*a = (*a)[n:]
	return b
}
