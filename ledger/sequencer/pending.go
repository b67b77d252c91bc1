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

	// Consent is the body's consent member, of kinds about consent alone.
	Consent json.RawMessage
	// Consents says how many events of a subject's list in ledger.ScopeConsent the
	// checks relied on; nil where they relied on none.
	Consents []SeenConsents
	// KeepUntil is until when the events of kinds of class consent have to open,
	// and the month's retention after it; zero: as long as others of their month.
	KeepUntil time.Time
	// Ends is when the validity of a consent that is given ends; zero elsewhere.
	Ends time.Time
}

// SeenConsents is how many events of one subject's list in ledger.ScopeConsent,
// in this shard, a check saw.
type SeenConsents struct {
	Subject ledger.Subject
	Count   uint32
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
