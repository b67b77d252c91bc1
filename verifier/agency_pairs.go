// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"crypto/sha256"

	"github.com/traccia-ledger/traccia/ledger"
)

// pairing ties the receipts that a body signed itself to those of the holders' sides, of the same access to the same
// citizen's data, one to one (docs/formats.md section 3). It keeps what is left over alone: above zero the holder's, below
// the body's own.
type pairing map[[16]byte]int64

// pair takes an event that stands by every rule.
func (c *agencyCheck) pair(e *ListedEvent) {
	r := &e.Opened.Receipt.Receipt
	if kind, _ := ledger.KindOf(e.Kind); !kind.Accesses() || !r.OfCall() {
		return
	}
	b := append(r.Pair[:], r.Provider...)
	b = append(append(b, 0), e.Opened.Body.Subject.Code...)
	sum := sha256.Sum256(b)
	key := [16]byte(sum[:16])
	left, step := c.pairs[key], int64(1)
	if r.Iss == r.Consumer { // also as the party that speaks for the holder
		step = -1
	}
	if left*step < 0 {
		c.report.Paired++
	}
	if left += step; left == 0 {
		delete(c.pairs, key)
		return
	}
	if c.pairs == nil {
		c.pairs = pairing{}
	}
	c.pairs[key] = left
}

// unpaired counts what one side alone signed.
func (c *agencyCheck) unpaired() {
	for _, left := range c.pairs {
		c.report.ByHolder += uint64(max(left, 0))
		c.report.Reported += uint64(max(-left, 0))
	}
}
