// SPDX-License-Identifier: EUPL-1.2

package pdnd

import (
	"testing"

	jose "github.com/go-jose/go-jose/v4"
)

// BenchmarkGoJose is what the same two tokens cost by go-jose alone, claims unread.
func BenchmarkGoJose(b *testing.B) {
	a, call := people(), audit02(evidenceHeader, evidenceClaims())
	verify := func(token string, key any) {
		signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
		if err == nil {
			_, err = signed.Verify(key)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		verify(call.Voucher, a.pdnd.Public())
		verify(call.Evidence, a.client.Public())
	}
}

func BenchmarkCheckUnseen(b *testing.B) {
	c, call := newTestChecker(b, 0), audit02(evidenceHeader, evidenceClaims())
	b.ReportAllocs()
	for b.Loop() {
		clear(c.vouchers.now)
		clear(c.evidences.now)
		if _, _, err := c.Check(b.Context(), call); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckVoucherSeen(b *testing.B) {
	c, call := newTestChecker(b, 0), audit02(evidenceHeader, evidenceClaims())
	b.ReportAllocs()
	for b.Loop() {
		clear(c.evidences.now)
		if _, _, err := c.Check(b.Context(), call); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckSeen(b *testing.B) {
	c, call := newTestChecker(b, 0), audit02(evidenceHeader, evidenceClaims())
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := c.Check(b.Context(), call); err != nil {
			b.Fatal(err)
		}
	}
}
