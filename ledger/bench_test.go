// SPDX-License-Identifier: EUPL-1.2

package ledger_test

import (
	"strconv"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
)

func sampleVector(b *testing.B) *ledger.Submission {
	b.Helper()
	s, err := ledger.ParseSubmission([]byte(readReceiptVectors(b).Submissions[0].Submission))
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func BenchmarkFormatBody(b *testing.B) {
	receipt := readReceiptVectors(b).Receipts[2].Compact // RS256, the longest
	tree, err := ledger.NewSubjectTree(inventedList(8))
	if err != nil {
		b.Fatal(err)
	}
	body := sampleBody(receipt, invented(0), 0, tree.Proof(0))
	data, err := ledger.FormatBody(body)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ledger.FormatBody(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseBody(b *testing.B) {
	data := []byte(readReceiptVectors(b).Bodies[0].Body)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ledger.ParseBody(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseReceipt(b *testing.B) {
	compact := readReceiptVectors(b).Receipts[0].Compact
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ledger.ParseReceipt(compact); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseSubmission(b *testing.B) {
	data := []byte(readReceiptVectors(b).Submissions[0].Submission)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ledger.ParseSubmission(data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen is all that a submission costs besides its parsing, signatures
// and tokens.
func BenchmarkOpen(b *testing.B) {
	s := sampleVector(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Open(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNames(b *testing.B) {
	r, err := ledger.ParseReceipt(readReceiptVectors(b).Receipts[0].Compact)
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1, 10_000} {
		var subjects []ledger.Subject
		for i := range n {
			subjects = append(subjects, invented(i).Subject)
		}
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				if r.Names(subjects) {
					b.Fatal("named")
				}
			}
		})
	}
}

func BenchmarkParseSubmission10000(b *testing.B) {
	s := sampleVector(b)
	s.Subjects = inventedList(10_000)
	data, err := ledger.FormatSubmission(s)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := ledger.ParseSubmission(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFormatAnswer(b *testing.B) {
	a, err := ledger.ParseAnswer([]byte(readReceiptVectors(b).Answers[0].Answer))
	if err != nil {
		b.Fatal(err)
	}
	a.Entries, a.Count = a.Entries[:1], 1
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ledger.FormatAnswer(a); err != nil {
			b.Fatal(err)
		}
	}
}
