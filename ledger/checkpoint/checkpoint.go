// SPDX-License-Identifier: EUPL-1.2

// Package checkpoint is how a log speaks to outsiders: signed checkpoints (c2sp.org/tlog-checkpoint), witnesses'
// cosignatures (c2sp.org/tlog-cosignature) and the policy that says how many are enough (c2sp.org/tlog-policy), proofs of
// one leaf (c2sp.org/tlog-proof), and the tiles and entry bundles of the log itself (c2sp.org/tlog-tiles), which Reader
// reads and authenticates.
//
// Trusted are the verifier keys and the policy that the caller brings; checkpoints, proofs and whatever a Fetcher returns
// are not. Nothing here opens a connection: fetching is the caller's.
//
// What must always hold: what a parser here accepts formats to the same bytes (a policy or key file, written by people,
// to the same meaning); a checkpoint is only ever returned after its log's signature was checked, under the key whose
// name is its origin line; a leaf that Reader.Read handed out is only to be believed once Read has returned nil.
package checkpoint

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
)

// Checkpoint says that the log with this origin has this root at this size. Its text, which is signed, has three lines
// and no extension lines:
//
//	registro.example/2026
//	70000
//	CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
type Checkpoint struct {
	Origin string // ledger.Origin; also the name of the log's key
	Size   uint64
	Root   ledger.Hash
}

// ErrCheckpoint is the one answer to a checkpoint that is malformed or not signed by the log.
var ErrCheckpoint = errors.New("checkpoint refused")

var emptyRoot = ledger.Hash(rfc6962.DefaultHasher.EmptyRoot())

// Sign returns c as a note signed by s, whose name must be c's origin.
func Sign(s note.Signer, c Checkpoint) ([]byte, error) {
	if s.Name() != c.Origin {
		return nil, fmt.Errorf("couldn't sign checkpoint of %q with the key of %q", c.Origin, s.Name())
	}
	text := c.text()
	if back, err := parseText(text); err != nil || back != c {
		return nil, fmt.Errorf("couldn't sign checkpoint of %q: not one that would be opened", c.Origin)
	}
	signed, err := note.Sign(&note.Note{Text: text}, s)
	if err != nil {
		return nil, fmt.Errorf("couldn't sign checkpoint: %w", err)
	}
	return signed, nil
}

// Open returns the checkpoint in signed, if the one of logs whose name is its origin line signed it. Other signatures,
// such as cosignatures, are ignored; Policy.Open checks them. The error is ErrCheckpoint.
func Open(signed []byte, logs ...note.Verifier) (Checkpoint, error) {
	c, _, err := open(signed, logs, nil)
	return c, err
}

// Cosign adds the cosignature of s, a signer of formats/note, to a checkpoint signed by log. Whoever calls it states that
// this checkpoint is consistent with all that they saw of the log before, so they check that first.
func Cosign(signed []byte, log note.Verifier, s note.Signer) ([]byte, error) {
	_, n, err := open(signed, []note.Verifier{log}, nil)
	if err != nil {
		return nil, err
	}
	out, err := note.Sign(n, s)
	if err != nil {
		return nil, fmt.Errorf("couldn't cosign checkpoint: %w", err)
	}
	return out, nil
}

// open checks a note with the keys of logs and of others, and that a log of the name of its origin signed it. A bad
// signature of any known key refuses the note, as c2sp.org/signed-note advises.
func open(signed []byte, logs, others []note.Verifier) (Checkpoint, *note.Note, error) {
	n, err := note.Open(signed, note.VerifierList(slices.Concat(logs, others)...))
	if err != nil {
		return Checkpoint{}, nil, ErrCheckpoint
	}
	// Signatures too have one spelling; the library ignores the spare bits of base64.
	for _, s := range slices.Concat(n.Sigs, n.UnverifiedSigs) {
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return Checkpoint{}, nil, ErrCheckpoint
		}
	}
	c, err := parseText(n.Text)
	if err != nil {
		return Checkpoint{}, nil, ErrCheckpoint
	}
	for _, l := range logs {
		if l.Name() == c.Origin && signature(n, l) != nil {
			return c, n, nil
		}
	}
	return Checkpoint{}, nil, ErrCheckpoint
}

// signature returns the verified signature of v in n, or nil.
func signature(n *note.Note, v note.Verifier) *note.Signature {
	for i, s := range n.Sigs {
		if s.Name == v.Name() && s.Hash == v.KeyHash() {
			return &n.Sigs[i]
		}
	}
	return nil
}

func (c Checkpoint) text() string {
	return string(log.Checkpoint{Origin: c.Origin, Size: c.Size, Hash: c.Root[:]}.Marshal())
}

// parseText parses the text of a checkpoint. The library takes several spellings of a size and of base64; comparing with
// what we would write leaves one.
func parseText(text string) (Checkpoint, error) {
	var p log.Checkpoint
	rest, err := p.Unmarshal([]byte(text))
	if err != nil || len(rest) != 0 || len(p.Hash) != 32 {
		return Checkpoint{}, ErrCheckpoint
	}
	c := Checkpoint{Origin: p.Origin, Size: p.Size, Root: ledger.Hash(p.Hash)}
	if c.text() != text || c.Size == 0 && c.Root != emptyRoot {
		return Checkpoint{}, ErrCheckpoint
	}
	return c, nil
}
