// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// Rules are what this package has from others, so that a reader takes only what it needs.
type Rules struct {
	// Consents begins the fold of a citizen's list in +consent, of which partial says that earlier years may have had
	// some; package consent has it. Nil: no access that names a consent is explained.
	Consents func(name string, partial bool) Consents
	// Policies returns the bundle of policies with this digest, by which decisions are replayed; nil where it isn't at
	// hand. Package policies reads bundles. Nil: no decision is replayed, and reports say so.
	Policies func(digest ledger.Hash) ledger.Bundle
}

// Consents folds a citizen's list in +consent, in the order of the log.
type Consents interface {
	// Add takes the list's next event; the problem says why it doesn't count.
	Add(e ledger.ConsentEvent) *ledger.Problem
	// Covers says why a consent doesn't cover an access behind the events so far; nil: it does. Erased is true where that
	// can't be said because an event of the list doesn't open.
	Covers(u ledger.ConsentUse) (p *ledger.Problem, erased bool)
	// Summaries says what became of each consent, passkey and mandate, as of an instant.
	Summaries(at time.Time) []ledger.ConsentSummary
}
