// SPDX-License-Identifier: EUPL-1.2

package checks

import (
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// Call is what a good call's tokens say: the part of a receipt, and of its private part, that the consumer answers for.
type Call struct {
	At time.Time // when it was judged

	Consumer  string // body id
	VoucherID string // its jti
	PurposeID string // PDND's
	Actor     string // ledger.ActorOperator, or ledger.ActorService where nobody or service:<name> is named
	Pair      ledger.Hex
	Assurance ledger.Assurance // Late is not judged

	// Private has what came beside the voucher, operator, case and request_digest; the answer's digest isn't there yet.
	Private ledger.Private

	// Within their lives both may be used again, which is normal, and counted.
	VoucherReused, EvidenceReused bool
}

func (c *Call) flag(flag string) {
	if !slices.Contains(c.Assurance.Flags, flag) {
		c.Assurance.Flags = append(c.Assurance.Flags, flag)
		slices.Sort(c.Assurance.Flags)
	}
}

// Seen remembers tokens that may be used once.
type Seen interface {
	// Seen notes a token and says whether it was noted before. What was noted survives a restart, until that instant, once
	// something about the call was released.
	// Of several callers with the same token at once, exactly one is told that it is new.
	Seen(kind, jti string, until time.Time) (bool, error)
}

// recent remembers some tokens for statistics: between half and all of its limit.
type recent struct {
	mu       sync.Mutex
	now, old map[[16]byte]bool // guarded by mu: by the start of their SHA-256
}

const maxRecent = 64 << 10

func newRecent() *recent { return &recent{now: make(map[[16]byte]bool)} }

// again notes a token and says whether it is known.
func (r *recent) again(token string) bool {
	sum := sha256.Sum256([]byte(token))
	key := [16]byte(sum[:])
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now[key] {
		return true
	}
	known := r.old[key]
	if len(r.now) >= maxRecent/2 {
		r.old, r.now = r.now, make(map[[16]byte]bool)
	}
	r.now[key] = true
	return known
}
