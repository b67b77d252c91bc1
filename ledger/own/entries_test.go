// SPDX-License-Identifier: EUPL-1.2

package own

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
)

// answered is an answer to a submission of some subjects, as far as Entries reads it.
func answered(t *testing.T, count int, change func(r *ledger.Receipt, b *ledger.Body, a *ledger.Answer)) (*ledger.Answer, *ledger.Submission) {
	t.Helper()
	s := &ledger.Submission{}
	for i := range count {
		for check := byte('0'); check <= '9'; check++ {
			if p, err := ledger.ParseSubject(fmt.Sprintf("%010d%c", i, check)); err == nil {
				s.Subjects = append(s.Subjects, ledger.SaltedSubject{Subject: p, Salt: [32]byte{byte(i), byte(i >> 8), 1}})
			}
		}
	}
	tree, err := ledger.NewSubjectTree(s.Subjects)
	if err != nil {
		t.Fatal(err)
	}
	r := ledger.Receipt{
		Aud: "registro.example", Iss: "inps", JTI: "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11", IssuedAt: 1795339800, Role: ledger.RoleProvider,
		Provider: "inps", Consumer: "c_a944", EService: "978e5066-7159-42a1-b057-ec7e47525f8b", PurposeID: "4a153b51-5d47-4db9-be7e-e73dbcae4bb9",
		Purpose: "Verifica ISEE", LegalBasis: "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e", DataCategories: []string{"https://w3id.org/dpv/pd#Income"},
		Actor: ledger.ActorService, Operation: ledger.Operation{Method: "GET", Path: "/isee"}, OccurredAt: "2026-11-22T09:30:00Z",
		Pair: ledger.Hex{1}, PrivateDigest: ledger.Hex{2}, Subjects: ledger.SubjectCommitment{Count: count, Root: ledger.Hex(tree.Root())},
	}
	b := ledger.Body{
		Origin: "registro.example/2026", Kind: ledger.KindAccess, Subject: ledger.BodySubject{Code: s.Subjects[0].Subject, Salt: s.Subjects[0].Salt, Proof: tree.Proof(0)},
		Scope: "inps", Agency: "c_a944", RecordedAt: 1795339800123,
		Assurance: ledger.Assurance{Profile: ledger.ProfileRequest, Flags: []string{}}, Decision: json.RawMessage(`{"effect":"recorded"}`),
	}
	a := &ledger.Answer{ReceiptID: "inps/" + r.JTI, Origin: b.Origin, FirstIndex: 70, Count: count}
	for i := range count {
		number := uint64(i + 3)
		a.Entries = append(a.Entries, ledger.AnswerEntry{Index: 70 + uint64(i), Leaf: []byte{byte(i)}, Number: &number})
	}
	if change != nil {
		change(&r, &b, a)
	}
	if b.Receipt, err = ledger.SignReceipt(&r, "k", ed25519.NewKeyFromSeed(make([]byte, 32))); err != nil {
		t.Fatal(err)
	}
	if a.Entries[0].Body, err = ledger.FormatBody(&b); err != nil {
		t.Fatal(err)
	}
	return a, s
}

// TestEntries: what is kept of an answer, and what a party doesn't take for one.
func TestEntries(t *testing.T) {
	at := time.UnixMilli(1795339801000)
	for name, c := range map[string]struct {
		count  int
		change func(r *ledger.Receipt, b *ledger.Body, a *ledger.Answer)
		want   int
		code   string // of a problem; "line" for ErrLine
	}{
		"one":  {1, nil, 1, ""},
		"some": {7, nil, 7, ""},
		"many": {150, func(_ *ledger.Receipt, _ *ledger.Body, a *ledger.Answer) {
			a.Range = &ledger.AnswerRange{Leaves: make([]byte, 102*150)}
			for i := range a.Entries {
				a.Range.Leaves[102*i], a.Entries[i].Leaf = byte(i), nil
			}
		}, 150, ""},
		"a consumer's": {1, func(r *ledger.Receipt, b *ledger.Body, _ *ledger.Answer) {
			r.Role, b.Scope = ledger.RoleConsumer, ledger.ScopeReported
		}, 0, ""},
		"deferred": {1, func(r *ledger.Receipt, b *ledger.Body, _ *ledger.Answer) {
			r.Deferral, b.Scope = ledger.Hex{1}, ledger.ScopeDeferred
		}, 0, ""},
		"put into deferred":  {1, func(_ *ledger.Receipt, b *ledger.Body, _ *ledger.Answer) { b.Scope = ledger.ScopeDeferred }, 0, CodeOtherScope},
		"put into reported":  {1, func(_ *ledger.Receipt, b *ledger.Body, _ *ledger.Answer) { b.Scope = ledger.ScopeReported }, 0, CodeOtherScope},
		"put into another's": {1, func(_ *ledger.Receipt, b *ledger.Body, _ *ledger.Answer) { b.Scope = "inail" }, 0, CodeOtherScope},
		"without a number":   {2, func(_ *ledger.Receipt, _ *ledger.Body, a *ledger.Answer) { a.Entries[1].Number = nil }, 0, CodeNoNumber},
		"a number too great": {1, func(_ *ledger.Receipt, _ *ledger.Body, a *ledger.Answer) { *a.Entries[0].Number = 1 << 32 }, 0, CodeNoNumber},
		"an odd name":        {1, func(_ *ledger.Receipt, _ *ledger.Body, a *ledger.Answer) { a.Origin = `a"b/2026` }, 0, "line"},
	} {
		t.Run(name, func(t *testing.T) {
			a, s := answered(t, c.count, c.change)
			got, err := Entries(a, s, at)
			var p *ledger.Problem
			switch {
			case c.code == "line" && !errors.Is(err, ErrLine), c.code == "" && err != nil, c.code != "" && c.code != "line" && (!errors.As(err, &p) || p.Code != c.code):
				t.Fatalf("%v, want %q", err, c.code)
			}
			if len(got) != c.want {
				t.Fatalf("%d entries, want %d", len(got), c.want)
			}
			for i, e := range got {
				leaf := []byte{byte(i)}
				if a.Range != nil {
					leaf = append(leaf, make([]byte, 101)...)
				}
				want := Entry{
					Subject: s.Subjects[i].Subject, Origin: "registro.example/2026", Number: uint32(i + 3), Index: 70 + uint64(i),
					Leaf: ledger.HashLeaf(leaf), Receipt: a.ReceiptID, At: at.UnixMilli(),
				}
				if diff := cmp.Diff(want, e); diff != "" {
					t.Error(diff)
				}
				line := AppendEntry(nil, &e)
				if back, err := ParseEntry(line[:len(line)-1]); err != nil || *back != e {
					t.Errorf("%s: %v", line, err)
				}
			}
		})
	}
	if _, err := Entries(&ledger.Answer{Entries: []ledger.AnswerEntry{{Body: []byte("{}")}}}, &ledger.Submission{}, at); err == nil {
		t.Error("a body that isn't one")
	}
}
