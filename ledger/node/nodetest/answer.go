// SPDX-License-Identifier: EUPL-1.2

package nodetest

import (
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// CheckAnswer verifies the answer to a submission as its sender would, with
// nothing but the log's verifier key, and returns the checkpoint it leads to.
func CheckAnswer(raw []byte, a *ledger.Answer, vkey string) (checkpoint.Checkpoint, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return checkpoint.Checkpoint{}, err
	}
	cp, err := checkpoint.Open([]byte(a.Checkpoint), verifier)
	if err != nil {
		return cp, err
	}
	formatted, err := ledger.FormatAnswer(a)
	if err != nil {
		return cp, err
	}
	if _, err := ledger.ParseAnswer(formatted); err != nil {
		return cp, err
	}
	return cp, checkAnswer(raw, a, cp, verifier)
}

func checkAnswer(raw []byte, a *ledger.Answer, cp checkpoint.Checkpoint, verifier note.Verifier) error {
	sub, err := ledger.ParseSubmission(raw)
	if err != nil {
		return err
	}
	opened, err := sub.Open()
	if err != nil {
		return err
	}
	receipt := opened.Receipt
	if a.ReceiptID != receipt.Iss+"/"+receipt.JTI || a.Origin != cp.Origin || a.Count != len(sub.Subjects) {
		return fmt.Errorf("an answer about %s of %s with %d entries", a.ReceiptID, a.Origin, a.Count)
	}
	leaves, err := provenLeaves(a, cp, verifier)
	if err != nil {
		return err
	}
	first, err := ledger.ParseBody(a.Entries[0].Body)
	if err != nil {
		return err
	}
	for i, subject := range sub.Subjects {
		want := *first
		want.Subject = ledger.BodySubject{Code: subject.Subject, Salt: subject.Salt, Position: i, Proof: opened.Subjects.Proof(i)}
		body, err := ledger.FormatBody(&want)
		if err != nil {
			return err
		}
		if e := a.Entries[i]; e.Body != nil && string(e.Body) != string(body) {
			return fmt.Errorf("the body of entry %d is another one", i)
		}
		leaf, err := ledger.ParseLeaf(leaves[i])
		if err != nil {
			return err
		}
		event, ok := leaf.(ledger.Event)
		if !ok || event.Commitment != ledger.BodyCommitment((*[32]byte)(a.Entries[i].Nonce), body) {
			return fmt.Errorf("entry %d doesn't commit to its body", i)
		}
	}
	recorded, err := ledger.ParseReceipt(first.Receipt)
	if err != nil {
		return err
	}
	if recorded.PayloadDigest != receipt.PayloadDigest || first.Agency != receipt.Consumer || first.Origin != cp.Origin {
		return errors.New("the body is about another receipt")
	}
	// Sent again, it may have had another signature: the recorded one counts.
	return checkKey(a, recorded, cp, verifier)
}

// provenLeaves returns the leaves of the entries, proven under the checkpoint.
func provenLeaves(a *ledger.Answer, cp checkpoint.Checkpoint, verifier note.Verifier) ([][]byte, error) {
	if a.Range == nil {
		var leaves [][]byte
		for i, e := range a.Entries {
			if err := checkProof(e.Proof, e.Index, e.Leaf, cp, verifier); err != nil {
				return nil, fmt.Errorf("entry %d: %w", i, err)
			}
			leaves = append(leaves, e.Leaf)
		}
		return leaves, nil
	}
	const width = 102
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	all, err := factory.NewRange(0, a.FirstIndex, byteSlices(a.Range.Left))
	if err != nil {
		return nil, err
	}
	var leaves [][]byte
	for i := range a.Count {
		leaf := a.Range.Leaves[i*width:][:width]
		hash := ledger.HashLeaf(leaf)
		if err := all.Append(hash[:], nil); err != nil {
			return nil, err
		}
		leaves = append(leaves, leaf)
	}
	rest, err := factory.NewRange(a.FirstIndex+uint64(a.Count), cp.Size, byteSlices(a.Range.Right))
	if err != nil {
		return nil, err
	}
	if err := all.AppendRange(rest, nil); err != nil {
		return nil, err
	}
	if root, err := all.GetRootHash(nil); err != nil || ledger.Hash(root) != cp.Root {
		return nil, errors.New("the range doesn't lead to the checkpoint's root")
	}
	return leaves, nil
}

func byteSlices(hashes []ledger.Hash) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}

func checkProof(text string, index uint64, leaf []byte, cp checkpoint.Checkpoint, verifier note.Verifier) error {
	p, err := checkpoint.ParseProof([]byte(text))
	if err != nil {
		return err
	}
	own, err := checkpoint.Open(p.Checkpoint, verifier)
	if err != nil {
		return err
	}
	if own != cp || p.Index != index {
		return fmt.Errorf("a proof of leaf %d under another checkpoint", p.Index)
	}
	return p.Check(ledger.HashLeaf(leaf), cp)
}

// checkKey follows the receipt's signature to the log: a record before the
// event registers the key.
func checkKey(a *ledger.Answer, receipt *ledger.SignedReceipt, cp checkpoint.Checkpoint, verifier note.Verifier) error {
	if a.Key == nil || a.Key.Index >= a.FirstIndex {
		return errors.New("no key, or one that was registered after the event")
	}
	if err := checkProof(a.Key.Proof, a.Key.Index, a.Key.Leaf, cp, verifier); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	leaf, err := ledger.ParseLeaf(a.Key.Leaf)
	if err != nil {
		return err
	}
	record, ok := leaf.(ledger.Record)
	if !ok {
		return errors.New("the key's leaf isn't a record")
	}
	parsed, err := registry.ParseRecord(record.JSON)
	if err != nil {
		return err
	}
	key, ok := parsed.(registry.Key)
	if !ok || key.Body != receipt.Iss || key.Kid != receipt.JWS.Header.Kid {
		return errors.New("the record is of another key")
	}
	public, err := jws.ParseKey(key.JWK)
	if err != nil {
		return err
	}
	return receipt.JWS.Verify(public)
}

// SameEntries says how two answers to one submission differ in what may not:
// place, leaves, nonces, bodies and numbers. Checkpoints and proofs may.
func SameEntries(a, b *ledger.Answer) error {
	if a.ReceiptID != b.ReceiptID || a.FirstIndex != b.FirstIndex || a.Count != b.Count {
		return fmt.Errorf("%s at %d with %d entries, and at %d with %d", a.ReceiptID, a.FirstIndex, a.Count, b.FirstIndex, b.Count)
	}
	if (a.Range == nil) != (b.Range == nil) || a.Range != nil && string(a.Range.Leaves) != string(b.Range.Leaves) {
		return fmt.Errorf("%s: other leaves", a.ReceiptID)
	}
	for i := range a.Entries {
		x, y := a.Entries[i], b.Entries[i]
		switch {
		case x.Index != y.Index, string(x.Leaf) != string(y.Leaf):
			return fmt.Errorf("%s, entry %d: another leaf", a.ReceiptID, i)
		case string(x.Nonce) != string(y.Nonce), string(x.Body) != string(y.Body):
			return fmt.Errorf("%s, entry %d: another nonce or body", a.ReceiptID, i)
		case (x.Number == nil) != (y.Number == nil), x.Number != nil && *x.Number != *y.Number:
			return fmt.Errorf("%s, entry %d: another number", a.ReceiptID, i)
		}
	}
	return nil
}
