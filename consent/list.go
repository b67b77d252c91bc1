// SPDX-License-Identifier: EUPL-1.2

package consent

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// skew is how far the clocks of collectors, gateways and ledger may differ.
const skew = time.Minute

// List folds a citizen's events in +consent, in the order of the log, into what is in force. What it says after an event
// is what was in force at that event's place, for every reader alike. It belongs to one goroutine.
type List struct {
	// Also, when set, is asked about every passkey's answer too, with a nil credential about a registration.
	Also func(p *Passkey, c *Credential, challenge ledger.Hash, e *Evidence) error

	name    string
	partial bool // nobody knows what came before the first event
	begun   bool
	gap     bool        // an event didn't open
	last    ledger.Hash // commitment of the last event
	entries []*entry    // in order
}

// entry is a consent given or refused, a passkey enrolled or a mandate given, and what became of it.
type entry struct {
	*Record
	evidence   string
	credential *Credential // of a passkey
	collector  string
	epoch      uint32
	index      uint64
	recorded   time.Time
	ended      string // a state, "" while nothing ended it
	endedAt    time.Time
	doubtful   bool // an event that doesn't open came after it
}

// NewList begins the fold of a citizen's list in the ledger of this name. Partial says that the list may have events
// before the first: what those began isn't known, and the first record's place isn't checked.
func NewList(name string, partial bool) *List { return &List{name: name, partial: partial} }

// Clone is a list of its own that goes on from where this one stands.
func (l *List) Clone() *List {
	c := *l
	c.entries = make([]*entry, len(l.entries))
	for i, x := range l.entries {
		e := *x
		c.entries[i] = &e
	}
	return &c
}

// Last is the body_commitment of the list's last event, which the next record has to name; nil: there is none.
func (l *List) Last() *ledger.Hash {
	if !l.begun {
		return nil
	}
	last := l.last
	return &last
}

// Until is the latest end of validity of anything in the list: as long as that its events have to open, and the months of
// retention after it. Zero if there is none.
func (l *List) Until() (until time.Time) {
	for _, e := range l.entries {
		if e.Validity.Until.After(until) {
			until = e.Validity.Until
		}
	}
	return until
}

// Add takes the list's next event. The problem says why it changes nothing: then it is no statement that counts. An event
// of another kind, or one that doesn't open, is none either; the next record names it all the same.
func (l *List) Add(e ledger.ConsentEvent) *ledger.Problem {
	previous, known := l.Last(), l.begun || !l.partial
	l.begun, l.last = true, e.Commitment
	if e.Body == nil {
		l.gap = true
		for _, x := range l.entries {
			x.doubtful = x.doubtful || x.ended == ""
		}
		return nil
	}
	if !IsKind(e.Body.Kind) {
		return nil
	}
	s, err := ParseStatement(e.Body.Consent)
	if err != nil {
		p, _ := err.(*ledger.Problem)
		return p
	}
	r := s.Record
	switch {
	case r.Kind != e.Body.Kind:
		return problem(CodeOtherPlace, "record#@type", "that of an event "+e.Body.Kind, "another")
	case r.Ledger != l.name || r.Epoch != e.Epoch:
		return problem(CodeOtherPlace, "record#traccia:epoch", fmt.Sprintf("%s in %d", l.name, e.Epoch), "another ledger or year")
	case known && (r.Previous == nil) != (previous == nil), known && r.Previous != nil && *r.Previous != *previous:
		return problem(CodeOtherPlace, "record#traccia:previous", "the body_commitment of the last event in +consent", "another")
	case e.Receipt.Subjects.Count != 1 || e.Receipt.Subjects.Root != ledger.Hex(r.Subject):
		return problem(CodeOtherPlace, "record#dpv:hasDataSubject", "the root of the receipt's one subject", "another")
	case e.Receipt.ConsentDigest != sha256.Sum256(e.Body.Consent):
		return problem(ledger.CodeDigestMismatch, "receipt#consent_digest", "the digest of the body's consent member", "another")
	case e.Receipt.ConsentID != r.concerns():
		return problem(ledger.CodeBadValue, "receipt#consent_id", "the id of the consent that the record is about", "another, or none")
	}
	at := time.UnixMilli(e.Body.RecordedAt).UTC()
	if r.Created.After(at.Add(skew)) {
		return problem(ledger.CodeBadTime, "record#dct:created", "not after it is recorded", "a later instant")
	}
	if slices.ContainsFunc(l.entries, func(x *entry) bool { return x.ID == r.ID }) {
		return problem(ledger.CodeRepeated, "record#dct:identifier", "a fresh id", "one of the list")
	}
	credential, p := l.checkEvidence(s, at)
	if p != nil {
		return p
	}
	if r.Ends != "" {
		return l.end(r, at)
	}
	l.entries = append(l.entries, &entry{
		Record: r, evidence: s.Evidence.Type, credential: credential, collector: e.Receipt.Iss,
		epoch: e.Epoch, index: e.Index, recorded: at,
	})
	return nil
}

// concerns is the id of the consent that a record is about; "" of passkeys and mandates.
func (r *Record) concerns() string {
	switch r.Kind {
	case ledger.KindConsentGiven, ledger.KindConsentRefused, ledger.KindEntitlementGiven:
		return r.ID
	case ledger.KindConsentWithdrawn, ledger.KindConsentExpired, ledger.KindEntitlementEnded:
		return r.Ends
	}
	return ""
}

// checkEvidence checks what a record stands on, and that it doesn't outlive it.
func (l *List) checkEvidence(s *Statement, at time.Time) (*Credential, *ledger.Problem) {
	r, e := s.Record, &s.Evidence
	if v := r.Validity; v != nil && !at.Before(v.Until) {
		return nil, problem(ledger.CodeBadTime, "record#dpv:hasDuration/traccia:until", "after it is recorded", "an instant before")
	}
	// One that begins in a far year would keep its keys until then.
	if v := r.Validity; v != nil && v.Until.After(at.AddDate(MaxYears, 0, 1)) {
		return nil, problem(ledger.CodeBadTime, "record#dpv:hasDuration/traccia:until", fmt.Sprintf("at most %d years after it is recorded", MaxYears), "a later instant")
	}
	if r.Mandate != "" {
		mandate := l.find(r.Mandate, ledger.KindMandateGiven)
		if p := mandate.usable(at, r, "record#traccia:mandate"); p != nil {
			return nil, p
		}
	}
	challenge := Challenge(l.name, r.Epoch, s.Bytes)
	switch e.Type {
	case EvidenceRegistration:
		c, err := CheckRegistration(r.Passkey, challenge, e)
		if err == nil && l.Also != nil {
			err = l.Also(r.Passkey, nil, challenge, e)
		}
		if err != nil {
			return nil, problem(CodeEvidence, "evidence", "a new passkey, made for this record", "another answer")
		}
		return c, nil
	case EvidencePasskey:
		passkey := l.passkey(e.Credential, at)
		if p := passkey.usable(at, r, "evidence#credential"); p != nil {
			return nil, p
		}
		if passkey.Mandate != r.Mandate {
			return nil, problem(CodeEvidence, "record#traccia:mandate", "the mandate that the passkey was enrolled for, if any", "another, or none")
		}
		err := CheckAssertion(passkey.Passkey, passkey.credential, challenge, e)
		if err == nil && l.Also != nil {
			err = l.Also(passkey.Passkey, passkey.credential, challenge, e)
		}
		if err != nil {
			return nil, problem(CodeEvidence, "evidence", "this record, signed with the passkey", "another signature")
		}
	}
	return nil, nil
}

// passkey is the last one enrolled with this credential id, of those that are usable if there is one.
func (l *List) passkey(id []byte, at time.Time) *entry {
	var found *entry
	for _, x := range l.entries {
		if x.Kind == ledger.KindPasskeyEnrolled && bytes.Equal(x.credential.ID, id) && (found == nil || x.state(at) == ledger.ConsentInForce) {
			found = x
		}
	}
	return found
}

func (l *List) find(id, kind string) *entry {
	for _, x := range l.entries {
		if x.ID == id && x.Kind == kind {
			return x
		}
	}
	return nil
}

// usable says why nothing can stand on a passkey or mandate now, or not for as long as the record wants; nil: it can.
func (x *entry) usable(at time.Time, r *Record, where string) *ledger.Problem {
	switch {
	case x == nil:
		return problem(CodeUnknown, where, "one recorded before in this list", "none of this id")
	case x.state(at) == ledger.ConsentDoubtful:
		return problem(ledger.CodeConsentErased, where, "one in force", "one after which an event of the list doesn't open")
	case x.state(at) != ledger.ConsentInForce:
		return problem(CodeNotInForce, where, "one in force", "one that isn't")
	case at.Before(x.Validity.From.Add(-skew)):
		return problem(CodeNotInForce, where, "one in force", "one that begins later")
	case r.Validity != nil && r.Validity.Until.After(x.Validity.Until):
		return problem(ledger.CodeBadTime, "record#dpv:hasDuration/traccia:until", "not after the end of the passkey or mandate that the record stands on", "a later instant")
	}
	return nil
}

// begins says what kind of event a kind ends.
var begins = map[string]string{
	ledger.KindConsentWithdrawn: ledger.KindConsentGiven,
	ledger.KindConsentExpired:   ledger.KindConsentGiven,
	ledger.KindEntitlementEnded: ledger.KindEntitlementGiven,
	ledger.KindPasskeyRevoked:   ledger.KindPasskeyEnrolled,
	ledger.KindMandateEnded:     ledger.KindMandateGiven,
}

func (l *List) end(r *Record, at time.Time) *ledger.Problem {
	const where = "record#traccia:ends"
	x := l.find(r.Ends, begins[r.Kind])
	switch {
	case x == nil && l.partial:
		return nil // begun before what is known
	case x == nil:
		return problem(CodeUnknown, where, "one recorded before in this list", "none of this id")
	case x.ended != "":
		return problem(CodeNotInForce, where, "one that hasn't ended", "one that ended before")
	case r.Kind == ledger.KindConsentExpired && at.Before(x.Validity.Until):
		return problem(ledger.CodeBadTime, where, "one whose validity is over", "one that is valid still")
	}
	x.ended, x.endedAt, x.doubtful = ledger.ConsentWithdrawn, at, false
	if r.Kind == ledger.KindConsentExpired {
		x.ended = ledger.ConsentExpired
	}
	return nil
}

func (x *entry) state(at time.Time) string {
	switch {
	case x.Kind == ledger.KindConsentRefused:
		return ledger.ConsentRefused
	case x.ended != "":
		return x.ended
	case !at.Before(x.Validity.Until):
		return ledger.ConsentExpired
	case x.doubtful:
		return ledger.ConsentDoubtful
	}
	return ledger.ConsentInForce
}

// Covers says why a consent doesn't cover an access at the place of the log that the fold has come to; nil: it does.
//
// Words are compared byte for byte: which words mean the same is for no reader to judge. A purpose is met by the receipt's
// purpose or PDND's purpose id; all of the receipt's categories have to be among the consent's. Kind is that of the event which gave
// it: a consent, or an entitlement. With ledger.CodeConsentErased it can't be said.
func (l *List) Covers(u ledger.ConsentUse) (kind string, p *ledger.Problem) {
	const where = "receipt#consent_id"
	i := slices.IndexFunc(l.entries, func(x *entry) bool { return x.ID == u.ID && x.Terms != nil })
	if i < 0 && l.gap {
		return "", problem(ledger.CodeConsentErased, where, "a consent in the citizen's list", "none of this id among the events that open")
	}
	if i < 0 {
		return "", problem(CodeUnknown, where, "a consent in the citizen's list", "none of this id")
	}
	x := l.entries[i]
	switch state := x.state(u.At); {
	case state == ledger.ConsentDoubtful:
		return "", problem(ledger.CodeConsentErased, where, "a consent in force", "one after which an event of the list doesn't open")
	case state != ledger.ConsentInForce:
		return "", problem(CodeNotInForce, where, "a consent in force", state)
	case u.At.Before(x.Validity.From) || u.At.Before(x.recorded.Add(-skew)):
		return "", problem(CodeNotInForce, "receipt#occurred_at", "after the consent begins and was recorded", "an instant before")
	}
	receives := slices.ContainsFunc(x.Terms.Recipients, func(s string) bool {
		return ledger.ConsentReaches(s, u.Consumer, u.Attributes)
	})
	if !receives {
		return "", problem(CodeNotCovered, "receipt#consumer", "a recipient of the consent", "another body")
	}
	if !slices.Contains(x.Terms.Purposes, u.Purpose) && (u.PurposeID == "" || !slices.Contains(x.Terms.Purposes, u.PurposeID)) {
		return "", problem(CodeNotCovered, "receipt#purpose", "a purpose of the consent", "another")
	}
	for n, category := range u.Categories {
		if !slices.Contains(x.Terms.Categories, category) {
			return "", problem(CodeNotCovered, fmt.Sprintf("receipt#data_categories/%d", n), "a category of the consent", "another")
		}
	}
	return x.Kind, nil
}

// Summaries says what became of each consent, passkey and mandate, as of an instant at the place that the fold has come
// to; in the order of the log.
func (l *List) Summaries(at time.Time) []ledger.ConsentSummary {
	list := []ledger.ConsentSummary{}
	for _, x := range l.entries {
		s := ledger.ConsentSummary{
			ID: x.ID, Kind: x.Kind, State: x.state(at), Epoch: x.epoch, Index: x.index, Collector: x.collector, Evidence: x.evidence,
			Recorded: x.recorded, From: x.Validity.From, Until: x.Validity.Until, Ended: x.endedAt, Mandate: x.Mandate,
		}
		if t := x.Terms; t != nil {
			s.Controller, s.Recipients, s.Purposes, s.Categories = t.Controller, t.Recipients, t.Purposes, t.Categories
			s.LegalBasis, s.Language, s.Notice, s.NoticeVersion = t.LegalBasis, x.Language, t.Notice.Digest, t.Notice.Version
		}
		if x.credential != nil {
			s.Credential = x.credential.ID
		}
		if x.Relation != nil {
			s.Relation = x.Relation.Kind
		}
		list = append(list, s)
	}
	return list
}
