// SPDX-License-Identifier: EUPL-1.2

package checks

import (
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// Call is what a good call's tokens say: the part of a receipt, and of its private part, that the consumer answers for.
type Call struct {
	At time.Time // when it was judged

	Consumer  string // body id
	PurposeID string // PDND's
	Actor     string // ledger.ActorOperator or ledger.ActorService
	Pair      ledger.Hex
	Assurance ledger.Assurance // Late is not judged

	// Private has what came beside the voucher, operator, case and request_digest; the answer's digest isn't there yet.
	Private ledger.Private
}

// Seen remembers tokens that may be used once.
type Seen interface {
	// Seen notes a token and says whether it was noted before. What was noted survives a restart, until that instant.
	// Of several callers with the same token at once, exactly one is told that it is new.
	Seen(kind, jti string, until time.Time) (bool, error)
}
