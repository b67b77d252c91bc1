// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// MaxConsent is the length of the longest consent member of a body in bytes.
const MaxConsent = 32 << 10

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
	Attributes []string // of that body in PDND, as its record states them
	Purpose    string   // the receipt's
	PurposeID  string   // the receipt's, ""
	Categories []string // the receipt's
	At         time.Time
}

// ConsentUseOf is the use that a receipt makes of the consent that it names.
func ConsentUseOf(r *Receipt, attributes []string) ConsentUse {
	return ConsentUse{
		ID: r.ConsentID, Consumer: r.Consumer, Attributes: attributes,
		Purpose: r.Purpose, PurposeID: r.PurposeID, Categories: r.DataCategories, At: r.Occurred(),
	}
}

// ConsentKind stands before an attribute of bodies in PDND among a consent's
// recipients, as kind:Comuni e loro Consorzi e Associazioni.
const ConsentKind = "kind:"

// ConsentReaches says whether a recipient of a consent is this body, whose record
// states these attributes.
func ConsentReaches(recipient, body string, attributes []string) bool {
	if kind, ok := strings.CutPrefix(recipient, ConsentKind); ok {
		return slices.Contains(attributes, kind)
	}
	return recipient == body
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
	// What who shows it needs beside, and its citizen alone.
	Credential    []byte   `json:"-"` // id of a passkey's credential, for the browser that signs with it
	LegalBasis    []string `json:"-"`
	Language      string   `json:"-"` // of what was shown
	Notice        Hash     `json:"-"` // SHA-256 of what was shown; zero: there was none
	NoticeVersion string   `json:"-"`
}

// ConsentSubmission is what a body sends to have an event about consent recorded.
// In JSON, salts and the private part's bytes are base64url without padding:
//
//	{"receipt":"eyJ…","private":{"salt":"UVAx…43","content":"e30"},
//	"subject":{"subject":"RSSMRA80A01H501U","salt":"8sv7…43"},"consent":{"record":{…},"evidence":{…}}}
//
// Without the consent member it is a look-up: a body asks what concerns it of a
// citizen's consents, with a voucher in the private part.
type ConsentSubmission struct {
	Receipt string // compact JWS of role requester, see ParseReceipt
	Private SaltedPrivate
	Subject SaltedSubject
	Consent json.RawMessage // the body's consent member, kept byte for byte; nil in a look-up
}

type consentSubmissionJSON struct {
	Receipt string          `json:"receipt"`
	Private privateJSON     `json:"private"`
	Subject subjectJSON     `json:"subject"`
	Consent json.RawMessage `json:"consent,omitempty"`
}

// ParseConsentSubmission decodes a submission. Errors are *Problem with JSON
// Pointers. What the consent member says is left to its reader.
func ParseConsentSubmission(data []byte) (*ConsentSubmission, error) {
	var w consentSubmissionJSON
	if err := ijson.Unmarshal(data, &w); err != nil {
		return nil, jsonProblem(err)
	}
	var c checker
	c.token("/receipt", w.Receipt, MaxReceipt)
	s := &ConsentSubmission{Receipt: w.Receipt, Private: c.private(w.Private), Consent: w.Consent}
	if w.Consent != nil {
		c.object("/consent", w.Consent, MaxConsent)
	}
	var err error
	if s.Subject.Subject, err = ParseSubject(w.Subject.Subject); err != nil {
		c.fail(CodeBadSubject, "/subject/subject", subjectForm, textFound(w.Subject.Subject))
	}
	var ok bool
	if s.Subject.Salt, ok = parseBase64Hash(w.Subject.Salt); !ok {
		c.fail(CodeBadSalt, "/subject/salt", saltForm, textFound(w.Subject.Salt))
	}
	if c.problem != nil {
		return nil, c.problem
	}
	return s, nil
}

// FormatConsentSubmission encodes a submission.
func FormatConsentSubmission(s *ConsentSubmission) ([]byte, error) {
	data, err := marshal(consentSubmissionJSON{
		Receipt: s.Receipt,
		Private: privateJSON{base64url.EncodeToString(s.Private.Salt[:]), base64url.EncodeToString(s.Private.Content)},
		Subject: subjectJSON{string(s.Subject.Subject), base64url.EncodeToString(s.Subject.Salt[:])},
		Consent: s.Consent,
	})
	if err != nil {
		return nil, err
	}
	if _, err := ParseConsentSubmission(data); err != nil {
		return nil, err
	}
	return data, nil
}
