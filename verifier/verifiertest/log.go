// SPDX-License-Identifier: EUPL-1.2

// Package verifiertest is a log that does what a test tells it, lies included:
// whatever leaves it is given, proven with its own key. It is for tests alone.
package verifiertest

import (
	"context"
	"crypto/rand"
	"io/fs"
	"slices"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

// Log is a checkpoint.Fetcher. It isn't safe for concurrent use with Add.
type Log struct {
	Origin string
	VKey   string
	Leaves [][]byte
	Blobs  map[string][]byte // what records name, by path: blob/<digest>
	signer note.Signer
}

// NewLog returns an empty log with a key of its own. It panics for an origin
// that can't name a key.
func NewLog(origin string) *Log {
	private, public, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		panic(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		panic(err)
	}
	return &Log{Origin: origin, VKey: public, signer: signer}
}

// Fork returns a log with the same key and the first size leaves.
func (l *Log) Fork(size int) *Log {
	f := *l
	f.Leaves = slices.Clone(l.Leaves[:size])
	return &f
}

// Add appends leaves, whatever they are.
func (l *Log) Add(leaves ...[]byte) { l.Leaves = append(l.Leaves, leaves...) }

// Verifier is the log's key.
func (l *Log) Verifier() note.Verifier {
	v, err := note.NewVerifier(l.VKey)
	if err != nil {
		panic(err)
	}
	return v
}

func (l *Log) tree(from, to uint64) *testonly.Tree {
	t := testonly.New(rfc6962.DefaultHasher)
	t.AppendData(l.Leaves[from:to]...)
	return t
}

// At is the state of the log at a size.
func (l *Log) At(size uint64) checkpoint.Checkpoint {
	return checkpoint.Checkpoint{Origin: l.Origin, Size: size, Root: ledger.Hash(l.tree(0, size).Hash())}
}

// Checkpoint is the signed state of all leaves.
func (l *Log) Checkpoint() []byte {
	signed, err := checkpoint.Sign(l.signer, l.At(uint64(len(l.Leaves))))
	if err != nil {
		panic(err)
	}
	return signed
}

// Proof is the tlog-proof of one leaf at the log's size.
func (l *Log) Proof(index uint64) string {
	size := uint64(len(l.Leaves))
	hashes, err := l.tree(0, size).InclusionProof(index, size)
	if err != nil {
		panic(err)
	}
	p := checkpoint.Proof{Index: index, Checkpoint: l.Checkpoint()}
	for _, h := range hashes {
		p.Hashes = append(p.Hashes, ledger.Hash(h))
	}
	return string(checkpoint.FormatProof(p))
}

// Fetch serves the checkpoint and tiles of the log as it is.
func (l *Log) Fetch(_ context.Context, path string) ([]byte, error) {
	if path == "checkpoint" {
		return l.Checkpoint(), nil
	}
	if blob, ok := l.Blobs[path]; ok {
		return blob, nil
	}
	t, err := checkpoint.ParsePath(path)
	if err != nil || t.Level > 3 {
		return nil, fs.ErrNotExist
	}
	span := uint64(1) << (8 * max(t.Level, 0)) // leaves below one hash
	start := t.Index * checkpoint.TileWidth
	if (start+uint64(t.Width))*span > uint64(len(l.Leaves)) {
		return nil, fs.ErrNotExist
	}
	if t.Level == checkpoint.EntryLevel {
		return FormatEntries(l.Leaves[start : start+uint64(t.Width)])
	}
	var hashes []byte
	for i := start; i < start+uint64(t.Width); i++ {
		hashes = append(hashes, l.tree(i*span, (i+1)*span).Hash()...)
	}
	return hashes, nil
}
