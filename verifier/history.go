// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"sync"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
)

// Codes of problems of histories, beside those of packages ledger and opened.
const (
	CodeBadCheckpoint   = "bad_checkpoint"    // no log of the policy signed it
	CodeTooFewWitnesses = "too_few_witnesses" // of the policy
	CodeNoMonitor       = "no_monitor"        // none of the policy's cosigned
	CodeOtherLedger     = "other_ledger"      // than the other years'
	CodeNoPreamble      = "no_preamble"       // leaf 0 isn't this log's
	CodeNoHead          = "no_head"           // no head there, or one that can't be
	CodeHeadAhead       = "head_ahead"        // more than 60 s after the latest cosignature
	CodeHeadClock       = "head_clock"        // heads whose time doesn't grow
	CodeAfterFinal      = "after_final"       // a leaf after the final head
	CodeNotFinal        = "not_final"         // a past year's part doesn't end with its final head
	CodeYearMissing     = "year_missing"      // between two years, or before the first
	CodePreviousLog     = "previous_log"      // a year that doesn't follow on the one before
	CodeWrongScopes     = "wrong_scopes"      // not those that the head states
	CodeNoVRFProof      = "no_vrf_proof"      // a list whose key isn't given
	CodeBadVRFProof     = "bad_vrf_proof"     // not of this citizen, scope and year
	CodeDeferredOverdue = "deferred_overdue"  // +deferred's key should be given by now
	CodeBadIndexProof   = "bad_index_proof"   // doesn't lead to the head's root
	CodeNumberAbsent    = "number_absent"     // a gap in a list
	CodeMoreEvents      = "more_events"       // than the list has
	CodeStrayEvent      = "stray_event"       // that no list leads to
	CodeNotCovered      = "not_covered"       // an event that the head can't cover
	CodeNotAscending    = "not_ascending"     // leaf indexes don't ascend with the numbers
	CodeLeafMissing     = "leaf_missing"      // of a number in a list
	CodeWrongTag        = "wrong_tag"         // the tag isn't the leaf's subject tag
	CodeOtherSubject    = "other_subject"     // a body of another citizen
	CodeOtherScope      = "other_scope"       // a body of another list
	CodeWrongRole       = "wrong_role"        // of a receipt
	CodeTwice           = "recorded_twice"    // one (iss, jti) twice
	CodeNoHeads         = "no_heads"          // a head before or after an event isn't there
	CodeHeadsApart      = "heads_apart"       // heads far apart that aren't neighbours
	CodeNoConsent       = "no_consent"        // the consent that a receipt names isn't there, or not in force
	CodeNoReceipt       = "no_receipt"        // a statement on nothing in the lists
	CodeNotOpened       = "not_opened"        // without a ground
	CodeStale           = "stale"             // the head is too old
)

// States of an event.
const (
	StateOpen        = "open"        // opened, and right by every rule
	StateErased      = "erased"      // not opened, on a ground that was checked
	StateWithheld    = "withheld"    // not opened, without such a ground
	StateUnexplained = "unexplained" // it breaks a rule
)

// Limits of formats section 5.
const (
	staleAfter  = 10 * time.Minute
	oldAfter    = 48 * time.Hour
	aheadAtMost = time.Minute
)

// HistoryReport says what a citizen's bundle proves.
type HistoryReport struct {
	// Malformed is set when the file isn't a bundle at all.
	Malformed *ledger.Problem

	Excerpt bool // chosen events: nothing is said of others
	Subject ledger.Subject
	// Complete says that the list is whole up to CompleteUntil, and not stale.
	Complete bool
	// CompleteUntil is the instant of the last year's head; zero unless every rule holds.
	CompleteUntil time.Time
	Stale         bool
	Shards        []HistoryShard
	Scopes        []HistoryScope
	Events        []HistoryEvent          // by year and index
	Consents      []ledger.ConsentSummary // as of the last head; empty of an excerpt
	Problems      []ledger.Problem
	notes         []Text // see Notes
	years         int
	done          map[string]int // of how many years each step was done
	unsure        map[Place]bool // accesses whose consent nobody can check any more
}

// Missing says each problem in plain words of a language, it or en, and then exactly.
func (r *HistoryReport) Missing(lang string) []string {
	list := make([]string, len(r.Problems))
	for i, p := range r.Problems {
		list[i] = Plain(p).In(lang) + exactly(p)
	}
	return list
}

// Notes says in a language, it or en, what isn't proven, though nothing is wrong.
func (r *HistoryReport) Notes(lang string) []string {
	list := make([]string, len(r.notes))
	for i, n := range r.notes {
		list[i] = n.In(lang)
	}
	return list
}

// HistoryShard is one year of a bundle.
type HistoryShard struct {
	Origin    string    `json:"origin"`
	KeyFrom   string    `json:"key_from,omitempty"` // the year that announced its key; "" where the policy names it
	Size      uint64    `json:"tree_size"`
	Head      time.Time `json:"head,omitzero"`      // its instant; zero of an excerpt
	Final     bool      `json:"final,omitempty"`    // the year is over
	Cosigned  time.Time `json:"cosigned,omitzero"`  // the latest cosignature
	Witnesses []string  `json:"witnesses"`          // that cosigned
	Monitors  []string  `json:"monitors,omitempty"` // that cosigned
}

// HistoryScope is what one list of one year holds.
type HistoryScope struct {
	Epoch    uint32 `json:"epoch"`
	Scope    string `json:"scope"`
	Events   uint32 `json:"events"`
	Withheld bool   `json:"withheld,omitempty"` // its key isn't given yet (+deferred)
	// Attested is up to when its party last attested, signed, that its own records and the ledger agree; Alarm that they
	// don't. Both zero: declared, not checked.
	Attested time.Time `json:"attested,omitzero"`
	Alarm    time.Time `json:"alarm,omitzero"`
}

// SessionPlace is the place of a receipt in a session of break-glass, which a public record opened.
type SessionPlace struct {
	Session string `json:"session"`
	Number  int    `json:"number"`
}

// Span is the time between two heads.
type Span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// HistoryEvent is one event. What it says stands only while State is open.
type HistoryEvent struct {
	Epoch   uint32  `json:"epoch"`
	Index   uint64  `json:"index"`
	Scope   string  `json:"scope"`
	Number  *uint32 `json:"number,omitempty"` // in its scope; unknown in an excerpt
	State   string  `json:"state"`
	Ground  string  `json:"ground,omitempty"`  // of an erasure: retention, request
	Request *Place  `json:"request,omitempty"` // the event with the request for the erasure
	Between *Span   `json:"between,omitempty"` // when it was recorded, of one that isn't opened
	Kind    string  `json:"kind,omitempty"`
	Agency  string  `json:"agency,omitempty"` // who consulted
	Name    string  `json:"agency_name,omitempty"`
	Issuer  string  `json:"issuer,omitempty"` // who signed
	Key     string  `json:"key_basis,omitempty"`
	Kid     string  `json:"kid,omitempty"`         // of the key that signed
	KeyAt   *uint64 `json:"key_record,omitempty"`  // index of the record that registers it
	Partner *uint64 `json:"paired_with,omitempty"` // index of the other side's receipt of the same access, in the same year

	Provider       string   `json:"provider,omitempty"` // whose data
	ProviderName   string   `json:"provider_name,omitempty"`
	OccurredAt     string   `json:"occurred_at,omitempty"`
	RecordedAt     string   `json:"recorded_at,omitempty"`
	Purpose        string   `json:"purpose,omitempty"`
	LegalBasis     string   `json:"legal_basis,omitempty"`
	LegalReference string   `json:"legal_reference,omitempty"`
	DataCategories []string `json:"data_categories,omitempty"`
	Actor          string   `json:"actor,omitempty"`
	ConsentID      string   `json:"consent_id,omitempty"`
	Mandate        string   `json:"mandate,omitempty"` // of a look-up: under which a delegate was shown the citizen's list
	Profile        string   `json:"assurance,omitempty"`
	Flags          []string `json:"flags,omitempty"` // of the assurance: what the consumer's tokens lacked
	Late           bool     `json:"late,omitempty"`
	// BreakGlass says that the answer was released while the ledger was down, before it was recorded: of an event denied
	// too.
	BreakGlass *SessionPlace `json:"break_glass,omitempty"`
	People     int           `json:"people,omitempty"` // whom the same receipt is about

	// What was decided: allow, deny, or recorded where no policies were active. Replayed says that it was decided again, by
	// the policies that the log names, and came out the same.
	Effect   string          `json:"effect,omitempty"`
	Bundle   string          `json:"policy_bundle,omitempty"` // digest of the policies
	Policies []string        `json:"policies,omitempty"`      // that determined it
	Grounds  []ledger.Ground `json:"grounds,omitempty"`       // what they say, where the bundle is at hand
	Replayed bool            `json:"replayed,omitempty"`

	Deferred   *Deferred `json:"deferred,omitempty"`   // the notice was put off
	Statements []Place   `json:"statements,omitempty"` // events that state something of this one
	About      *Place    `json:"about,omitempty"`      // the event that this one states something of
	Receipt    string    `json:"receipt,omitempty"`    // that this one states something of
	Statement  string    `json:"statement,omitempty"`  // what: recorded-in-error, undelivered, not-asked
	Text       string    `json:"text,omitempty"`       // and in whose words
	IssuerName string    `json:"issuer_name,omitempty"`
}

// Proven reports whether nothing is wrong: a whole bundle is complete, and of an excerpt every event is right.
func (r *HistoryReport) Proven() bool {
	return r.Malformed == nil && len(r.Problems) == 0 && (r.Complete || r.Excerpt)
}

// History checks a citizen's bundle (docs/history.md) by every rule of docs/formats.md section 5, with the keys and
// witnesses that the reader's policy trusts and the reader's clock. Of a year whose log the policy doesn't name it takes
// the key that the year before announced, if the bundle shows that.
//
// It can't see records that the ledger left out of the file (revoked keys, longer terms of retention): monitors can. The
// report's notes say so, and of which events the decision wasn't replayed.
func History(file []byte, policy *checkpoint.Policy, now time.Time, rules Rules) *HistoryReport {
	b, err := history.Parse(file)
	if err != nil {
		return &HistoryReport{Malformed: asProblem(err)}
	}
	return judgeHistory(b, policy, now, rules)
}

// HistoryOf checks a bundle that isn't in a file, by the same rules as History.
func HistoryOf(b *history.Bundle, policy *checkpoint.Policy, now time.Time, rules Rules) *HistoryReport {
	if err := b.Check(); err != nil {
		return &HistoryReport{Malformed: asProblem(err)}
	}
	return judgeHistory(b, policy, now, rules)
}

func judgeHistory(b *history.Bundle, policy *checkpoint.Policy, now time.Time, rules Rules) *HistoryReport {
	if find := rules.Policies; find != nil {
		var one sync.Mutex // years are checked side by side
		rules.Policies = func(digest ledger.Hash) ledger.Bundle {
			one.Lock()
			defer one.Unlock()
			return find(digest)
		}
	}
	c := &historyCheck{report: &HistoryReport{Excerpt: b.Excerpt, Subject: b.Subject, years: len(b.Shards)}, bundle: b, policy: policy, now: now, rules: rules}
	c.progress(StepFile, 1, 1)
	for i := range b.Shards {
		c.shard(i)
	}
	c.attested()
	c.years()
	c.judge()
	c.conclude()
	return c.report
}
