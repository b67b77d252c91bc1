// SPDX-License-Identifier: EUPL-1.2

package ledger

import "time"

// Kinds of event about consent, all in ScopeConsent. What such an event says is
// in its body's consent member, which package consent reads.
const (
	KindConsentGiven     = "consent-given"
	KindConsentRefused   = "consent-refused"
	KindConsentWithdrawn = "consent-withdrawn"
	KindConsentExpired   = "consent-expired"
	KindPasskeyEnrolled  = "passkey-enrolled"
	KindPasskeyRevoked   = "passkey-revoked"
	KindMandateGiven     = "mandate-given" // to a delegate
	KindMandateEnded     = "mandate-ended"
)

// ConsentEvent is one event of a citizen's list in ScopeConsent, of whichever
// kind, as a fold over that list takes it.
type ConsentEvent struct {
	Epoch      uint32
	Index      uint64 // in the epoch's log
	Commitment Hash   // of its leaf
	Body       *Body  // nil where it doesn't open
	Receipt    *SignedReceipt
}

// ConsentUse is an access that rests on a consent.
type ConsentUse struct {
	ID         string   // the consent's: the receipt's consent_id
	Consumer   string   // id of the body that consults
	Kinds      []string // of that body
	Purpose    string   // the receipt's
	PurposeID  string   // the receipt's, ""
	Categories []string // the receipt's
	At         time.Time
}

// ConsentUseOf is the use that a receipt makes of the consent that it names.
func ConsentUseOf(r *Receipt, kinds []string) ConsentUse {
	return ConsentUse{
		ID: r.ConsentID, Consumer: r.Consumer, Kinds: kinds,
		Purpose: r.Purpose, PurposeID: r.PurposeID, Categories: r.DataCategories, At: r.Occurred(),
	}
}

// States of a consent, passkey or mandate.
const (
	ConsentInForce   = "in_force"
	ConsentRefused   = "refused"
	ConsentWithdrawn = "withdrawn" // a passkey revoked, a mandate ended
	ConsentExpired   = "expired"   // by its own validity, whether or not the event is there yet
	ConsentDoubtful  = "doubtful"  // a later event of the list doesn't open, and may have ended it
)

// ConsentSummary says what became of a consent, a passkey or a mandate.
type ConsentSummary struct {
	ID         string    `json:"id"`
	Kind       string    `json:"kind"`  // of the event that it began with
	State      string    `json:"state"` // at the instant asked for
	Epoch      uint32    `json:"epoch"`
	Index      uint64    `json:"index"`
	Collector  string    `json:"collector"` // the body that recorded it
	Evidence   string    `json:"evidence"`  // passkey, desk, login, registration or clock
	Recorded   time.Time `json:"recorded_at"`
	Controller string    `json:"controller,omitempty"` // the body that asked
	Recipients []string  `json:"recipients,omitempty"`
	Purposes   []string  `json:"purposes,omitempty"`
	Categories []string  `json:"categories,omitempty"`
	From       time.Time `json:"from,omitzero"`
	Until      time.Time `json:"until,omitzero"`
	Ended      time.Time `json:"ended_at,omitzero"` // when its end was recorded
	Mandate    string    `json:"mandate,omitempty"` // id of the mandate that a delegate acted under
	Relation   string    `json:"relation,omitempty"`
}
