// SPDX-License-Identifier: EUPL-1.2

package checkpoint

import (
	"bytes"
	"errors"

	tlogproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/traccia-ledger/traccia/ledger"
)

// Proof is an offline proof that a leaf is in a log (c2sp.org/tlog-proof), without extra data:
//
//	c2sp.org/tlog-proof@v1
//	index 1
//	gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
//
//	registro.example/2026
//	2
//	B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
//
//	— registro.example/2026 Az3grlgtzPICa5OS8npVmf1M…
type Proof struct {
	Index      uint64        // of the leaf
	Hashes     []ledger.Hash // RFC 6962 inclusion proof, the leaf's sibling first
	Checkpoint []byte        // signed, and not opened yet
}

// ErrProof is the one answer to a proof that is malformed or doesn't lead to the checkpoint's root.
var ErrProof = errors.New("tlog-proof refused")

// maxHashes is the height of the tallest tree.
const maxHashes = 64

// FormatProof returns the text of p.
func FormatProof(p Proof) []byte {
	return tlogproof.TLogProof{Index: p.Index, Hashes: p.Hashes, Checkpoint: p.Checkpoint}.Marshal()
}

// ParseProof parses the text of a proof. It checks the form alone: call Open, or Policy.Open, on its checkpoint, and
// then Check. A proof with extra data is refused, since nothing vouches for them. The error is ErrProof.
func ParseProof(text []byte) (Proof, error) {
	var t tlogproof.TLogProof
	if err := t.Unmarshal(text); err != nil || t.ExtraData != nil || len(t.Hashes) > maxHashes || len(t.Checkpoint) == 0 {
		return Proof{}, ErrProof
	}
	p := Proof{Index: t.Index, Hashes: t.Hashes, Checkpoint: t.Checkpoint}
	if !bytes.Equal(FormatProof(p), text) {
		return Proof{}, ErrProof
	}
	return p, nil
}

// Check says whether p proves that the leaf with this hash is in the log at c, which the caller has opened from
// p.Checkpoint or has from elsewhere. The error is ErrProof.
func (p Proof) Check(leaf ledger.Hash, c Checkpoint) error {
	hashes := make([][]byte, len(p.Hashes))
	for i := range p.Hashes {
		hashes[i] = p.Hashes[i][:]
	}
	if proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, c.Size, leaf[:], hashes, c.Root[:]) != nil {
		return ErrProof
	}
	return nil
}
