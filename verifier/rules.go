// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// Rules are what this package has from others, so that a reader takes only what it needs.
type Rules struct {
	// Consents begins the fold of a citizen's list in +consent, of which partial says that earlier years may have had
	// some; package consent has it. Nil: no access that names a consent is explained.
	Consents func(name string, partial bool) Consents
	// Policies returns the bundle of policies with this digest, by which decisions are replayed; nil where it isn't at
	// hand. Package policies reads bundles. Nil: no decision is replayed, and reports say so.
	Policies func(digest ledger.Hash) ledger.Bundle
	// Verify, when not nil, says whether a receipt's signature is good under a key, as JWS.Verify of the receipt does: for readers
	// who remember what they verified. It is called by several goroutines.
	Verify func(r *ledger.SignedReceipt, key jws.Key) error
	// Progress, when not nil, is told by History how much of a step is done of a year, or of the step of events in all.
	Progress func(step string, done, of int)
}

// Consents folds a citizen's list in +consent, in the order of the log.
type Consents interface {
	// Add takes the list's next event; the problem says why it doesn't count.
	Add(e ledger.ConsentEvent) *ledger.Problem
	// Covers says why nothing of the list covers an access behind the events so far; nil: an event of this kind does. With
	// ledger.CodeConsentErased it can't be said.
	Covers(u ledger.ConsentUse) (kind string, p *ledger.Problem)
	// Summaries says what became of each consent, passkey and mandate, as of an instant.
	Summaries(at time.Time) []ledger.ConsentSummary
}
