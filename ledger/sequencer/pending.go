// SPDX-License-Identifier: EUPL-1.2

package sequencer

import (
	"encoding/json"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// Pending is a submission that passed every check, with whatever could be
// computed before its place in the log is known. It is never kept once its
// events are made.
type Pending struct {
	Receipt   *ledger.SignedReceipt
	Kind      string // of the body, e.g. "access"
	Scope     string // formats §3
	Agency    string
	Subjects  []PendingSubject
	AgencyK   [32]byte // k_a
	Private   PendingPrivate
	Assurance ledger.Assurance
	Decision  json.RawMessage
	// Deferral is the order that puts off the notice, compact; "" in statements and
	// outside ledger.ScopeDeferred. DeferredUntil is until when it is put off, zero
	// outside that scope.
	Deferral      string
	DeferredUntil time.Time
	Version       uint64 // of the registry that the checks relied on
}

// PendingSubject is one subject of a submission, in its order.
type PendingSubject struct {
	ledger.SaltedSubject
	Proof []ledger.Hash // under the receipt's root
	K     [32]byte      // k_s
}

// PendingPrivate is the private part as it was received.
type PendingPrivate struct {
	Salt    [32]byte
	Content []byte
}
