// SPDX-License-Identifier: EUPL-1.2

package dishonest

import (
	"bytes"
	"context"
	"iter"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

// ownRecords are the provider's, out of the operator's reach, and what it found wrong with answers as they came.
type ownRecords struct {
	file []byte
	told []string
}

func (r *ownRecords) tell(p ledger.Problem) {
	r.told = append(r.told, p.Code+": "+p.Where+": expected "+p.Expected+", found "+p.Found)
}

// lines reads the file as a check does.
func (r *ownRecords) lines() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for line := range bytes.Lines(r.file) {
			if !yield(bytes.TrimSuffix(line, []byte("\n")), nil) {
				return
			}
		}
	}
}

// acknowledge answers the provider's submission, from the log that it is shown, with the number that it is told. The
// provider checks the answer, and keeps what it says if all is proven.
func (w *world) acknowledge(log *verifiertest.Log, at, told uint64, nonce [32]byte, body []byte, s *ledger.Submission) {
	w.t.Helper()
	sent, err := ledger.ParseReceipt(s.Receipt)
	if err != nil {
		w.t.Fatal(err)
	}
	key := w.keyAt(sent.Iss, sent.JWS.Header.Kid)
	answer, err := ledger.FormatAnswer(&ledger.Answer{
		ReceiptID: sent.ReceiptID(), Origin: log.Origin, FirstIndex: at, Count: 1, Checkpoint: string(log.Checkpoint()),
		Entries: []ledger.AnswerEntry{{Index: at, Leaf: log.Leaves[at], Nonce: nonce[:], Body: body, Proof: log.Proof(at), Number: &told}},
		Key:     &ledger.AnswerKey{Index: key, Leaf: log.Leaves[key], Proof: log.Proof(key)},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	report := verifier.Receipt(answer, []note.Verifier{log.Verifier()}, s)
	for _, p := range report.Problems() {
		w.provider.tell(p)
	}
	if !report.Proven() {
		return
	}
	entries, err := own.Entries(report.Answer, s, w.now)
	if p, ok := err.(*ledger.Problem); ok {
		w.provider.tell(*p)
	} else if err != nil {
		w.t.Fatal(err)
	}
	for i := range entries {
		w.provider.file = own.AppendEntry(w.provider.file, &entries[i])
	}
}

// keyAt is the leaf that registers a key.
func (w *world) keyAt(body, kid string) uint64 {
	for at, raw := range w.log.Leaves {
		leaf, _ := ledger.ParseLeaf(raw)
		record, _ := leaf.(ledger.Record)
		parsed, _ := registry.ParseRecord(record.JSON)
		if key, ok := parsed.(registry.Key); ok && key.Body == body && key.Kid == kid {
			return uint64(at)
		}
	}
	w.t.Fatalf("no key %s of %s", kid, body)
	return 0
}

// attests has the provider compare its records with the log.
func (s *stage) attests(policy *checkpoint.Policy) []string {
	s.t.Helper()
	key, err := jws.NewKey(provider+"-1", signerOf(provider).Public())
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := verifier.Provider(s.t.Context(), verifier.ProviderConfig{
		Scope: provider, Policy: policy, Signed: s.signed, Fetch: s.log, Now: s.now, Records: s.provider.lines, Parts: 3,
		Proofs: func(_ context.Context, _ string, subjects []ledger.Subject) (list [][]byte, err error) {
			for _, subject := range subjects {
				if s.ofAnother {
					subject = neighbour
				}
				pi, _ := s.k(ledger.SubjectAlpha(subject, provider, epoch))
				list = append(list, pi)
			}
			return list, nil
		},
		Keys: []jws.Key{key}, Providers: []string{provider},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range r.Problems {
		s.provider.tell(p)
	}
	return s.provider.told
}
