// SPDX-License-Identifier: EUPL-1.2

package index

import "encoding/binary"

// Check says what proof shows about key in the tree with this root, or ErrProof. It trusts nothing in the proof: a result
// is true of every tree with that root in which subtrees of one key are leaves, and a head's root, which monitors
// recompute, is of such a tree.
//
// A Match doesn't say which of an event's two fields holds the key, nor that the leaf is an event: the caller follows
// Index into the log and looks.
func Check(root, key Hash, proof []byte) (Result, error) {
	if len(proof) < 2 {
		return Result{}, ErrProof
	}
	kind, depth := proof[0], int(proof[1])
	rest := proof[2:]
	bitmapLen := (depth + 7) / 8
	if len(rest) < bitmapLen {
		return Result{}, ErrProof
	}
	bitmap := rest[:bitmapLen]
	rest = rest[bitmapLen:]
	if depth%8 != 0 && bitmap[bitmapLen-1]<<(depth%8) != 0 {
		return Result{}, ErrProof
	}
	if depth > 0 && !sent(bitmap, depth-1) {
		return Result{}, ErrProof
	}

	var result Result
	var at Hash
	switch kind {
	case wireEmpty:
		result.Kind = Absent
	case wireMatch:
		if len(rest) < 8 {
			return Result{}, ErrProof
		}
		index := [8]byte(rest)
		rest = rest[8:]
		result = Result{Kind: Match, Index: binary.BigEndian.Uint64(index[:])}
		at = hashLeaf(&key, &index)
	case wireOther:
		if len(rest) < 40 {
			return Result{}, ErrProof
		}
		other, index := Hash(rest), [8]byte(rest[32:])
		rest = rest[40:]
		if other == key || commonBits(&other, &key) < depth {
			return Result{}, ErrProof
		}
		result.Kind = Absent
		at = hashLeaf(&other, &index)
	default:
		return Result{}, ErrProof
	}

	for d := depth - 1; d >= 0; d-- {
		var sibling Hash
		if sent(bitmap, d) {
			if len(rest) < 32 {
				return Result{}, ErrProof
			}
			sibling = Hash(rest[len(rest)-32:])
			rest = rest[:len(rest)-32]
			if sibling == (Hash{}) {
				return Result{}, ErrProof
			}
		}
		if bit(&key, d) == 0 {
			at = hashNode(&at, &sibling)
		} else {
			at = hashNode(&sibling, &at)
		}
	}
	if len(rest) != 0 || at != root {
		return Result{}, ErrProof
	}
	return result, nil
}

// sent reports whether the sibling at depth d+1 is in the proof; the others are empty.
func sent(bitmap []byte, d int) bool { return bitmap[d/8]&(0x80>>(d%8)) != 0 }
