// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// Special kinds of event, in the order of a report.
const (
	SpecialGlass    = "break_glass" // released while the ledger was down
	SpecialVital    = "vital"       // on vital interests: emergencies
	SpecialDeferred = "deferred"    // whose notice is put off
	SpecialLate     = "late"        // recorded late
)

var specialKinds = []string{
	SpecialGlass, SpecialVital, ledger.KindDenied, SpecialLate, ledger.KindUndelivered, ledger.KindDispute, ledger.KindCorrection, SpecialDeferred, ledger.KindLookUp,
}

// noUse stands for the ways of consulting beyond maxUses.
const noUse = ^uint32(0)

// AuditSubjectEvent is one event of the citizen whom an answer under GDPR Art. 15 is for. It names no operator.
type AuditSubjectEvent struct {
	Origin     string          `json:"origin"`
	Index      uint64          `json:"index"`
	Kind       string          `json:"kind"`
	OccurredAt string          `json:"occurred_at"`
	RecordedAt string          `json:"recorded_at"`
	Provider   string          `json:"provider"`
	Purpose    string          `json:"purpose"`
	LegalBasis string          `json:"legal_basis"`
	Reference  string          `json:"legal_reference,omitempty"`
	Categories []string        `json:"data_categories"`
	Actor      string          `json:"actor"`
	Issuer     string          `json:"issuer"` // who signed
	Receipt    string          `json:"receipt"`
	Consent    string          `json:"consent_id,omitempty"`
	Effect     string          `json:"effect,omitempty"`
	Grounds    []ledger.Ground `json:"grounds,omitempty"`
}

// Event takes the next event of a list, as Agency gives it.
func (a *Audit) Event(e *ListedEvent) error {
	if e.Opened != nil {
		if name, _, err := ledger.ParseOrigin(e.Opened.Body.Origin); err == nil && a.ledger == "" {
			a.ledger = name
		}
	}
	if a.seed == nil && e.Seed != nil {
		a.seed = slices.Clone(e.Seed[:])
	}
	at := a.evidence(e)
	if a.about = ""; e.Opened != nil {
		a.about = e.Opened.Body.Agency
	}
	for _, f := range e.Faults {
		one := at
		one.Expected, one.Found = f.Expected, f.Found
		if err := a.find(ClassIntegrity, f.Code, "", one); err != nil {
			return err
		}
	}
	if e.Opened == nil {
		a.report.Unopened++
		return nil
	}
	if len(e.Faults) > 0 {
		return nil // what it says stands on nothing
	}
	b, r := e.Opened.Body, &e.Opened.Receipt.Receipt
	a.names[r.Consumer], a.names[r.Provider] = e.Name, e.ProviderName
	kind, _ := ledger.KindOf(b.Kind)
	if kind.Consent {
		if err := a.consentEvent(e); err != nil {
			return err
		}
	}
	if !a.inPeriod(r.Occurred()) {
		a.report.Outside++
		return nil
	}
	a.counts.kinds[b.Kind]++
	switch {
	case a.Subject == "" || b.Subject.Code != a.Subject:
	case b.Scope == ledger.ScopeDeferred:
		a.report.SubjectDeferred++
	default:
		a.report.Subject = append(a.report.Subject, a.subjectEvent(e, at))
	}
	a.isSpecial(b.Kind, at)
	if !kind.Accesses() {
		return nil
	}
	return a.access(e, at)
}

func (a *Audit) inPeriod(at time.Time) bool {
	return (a.From.IsZero() || !at.Before(a.From)) && (a.To.IsZero() || at.Before(a.To))
}

func (a *Audit) evidence(e *ListedEvent) AuditEvidence {
	at := AuditEvidence{Origin: ledger.Origin(a.ledger, e.Epoch), Index: e.Index}
	if e.Opened != nil {
		at.Origin, at.Receipt, at.OccurredAt = e.Opened.Body.Origin, e.Opened.Receipt.ReceiptID(), e.Opened.Receipt.OccurredAt
	}
	return at
}

// isSpecial counts an event for the section of its kind, if there is one.
func (a *Audit) isSpecial(kind string, at AuditEvidence) {
	if !slices.Contains(specialKinds, kind) {
		return
	}
	s := a.special[kind]
	if s == nil {
		s = &AuditSpecial{Kind: kind, Evidence: []AuditEvidence{}}
		a.special[kind] = s
	}
	if s.Count++; len(s.Evidence) < MaxEvidence {
		s.Evidence = append(s.Evidence, at)
	}
}

func (a *Audit) subjectEvent(e *ListedEvent, at AuditEvidence) AuditSubjectEvent {
	b, r := e.Opened.Body, &e.Opened.Receipt.Receipt
	s := AuditSubjectEvent{
		Origin: at.Origin, Index: e.Index, Kind: b.Kind, OccurredAt: r.OccurredAt, RecordedAt: e.RecordedAt, Provider: r.Provider, Purpose: r.Purpose,
		LegalBasis: r.LegalBasis, Reference: r.LegalReference, Categories: r.DataCategories, Actor: r.Actor, Issuer: r.Iss, Receipt: at.Receipt,
		Consent: r.ConsentID,
	}
	if d := e.Opened.Decision; d != nil && accesses(b.Kind) {
		s.Effect = d.Effect
		if e.Opened.Bundle != nil {
			s.Grounds = e.Opened.Bundle.Explain(d)
		}
	}
	return s
}

// access judges one receipt of an access, and hands it on to be grouped.
func (a *Audit) access(e *ListedEvent, at AuditEvidence) error {
	b, r := e.Opened.Body, &e.Opened.Receipt.Receipt
	// What is about the receipt and not its citizens is said once: the events of a receipt stand one behind the other.
	first := a.last != at.Receipt
	a.last = at.Receipt
	if b.Assurance.Late {
		a.isSpecial(SpecialLate, at)
	}
	if b.Scope == ledger.ScopeDeferred {
		a.isSpecial(SpecialDeferred, at)
	}
	if r.BreakGlass != nil {
		a.isSpecial(SpecialGlass, at)
	}
	if vital(e) {
		a.isSpecial(SpecialVital, at)
	}
	a.decided(e)
	if err := a.consentUse(e, at); err != nil {
		return err
	}
	who := operatorOf(e)
	if first {
		a.report.Calls++
		a.counts.profiles[b.Assurance.Profile]++
		for _, flag := range b.Assurance.Flags {
			a.counts.flags[flag]++
		}
		if e.Private == nil {
			a.report.WithoutPrivate++
		}
		for _, check := range []func(*ListedEvent, AuditEvidence) error{a.tokens, a.declared} {
			if err := check(e, at); err != nil {
				return err
			}
		}
		if err := a.missing(e, who, at); err != nil {
			return err
		}
	}
	i := &AuditItem{
		Time: r.Occurred().UnixMilli(), Epoch: e.Epoch, Index: e.Index, Receipt: at.Receipt, Subject: string(b.Subject.Code),
		// The provider's receipt comes first, then the body's own of the same call: also that of a body that speaks for the provider.
		Key: string(r.Pair[:]) + string(b.Subject.Code) + "\x00" + r.Provider + "\x00" + r.EService + "\x00" + r.Consumer + "\x00" + map[bool]string{true: "b", false: "a"}[r.Iss == r.Consumer],
	}
	if b.Kind == ledger.KindDenied {
		i.Flags |= flagDenied
	}
	if r.Actor == ledger.ActorOperator && !strings.HasPrefix(who, servicePrefix) {
		i.Flags |= flagPerson
	}
	if who != "" {
		i.Operator = a.ofBody(r.Consumer, who)
	}
	if e.Private != nil && e.Private.Case != "" {
		i.Case = a.ofBody(r.Consumer, e.Private.Case)
	}
	if e.Private != nil || slices.Contains(b.Assurance.Flags, ledger.FlagCaseMissing) {
		i.Flags |= flagCaseKnown
	}
	n, ok := a.use(AuditUse{
		Provider: r.Provider, EService: r.EService, PurposeID: r.PurposeID, Purpose: r.Purpose, LegalBasis: r.LegalBasis, Reference: r.LegalReference,
		Categories: slices.Sorted(slices.Values(r.DataCategories)), Actor: r.Actor,
	})
	if i.Use = n; !ok {
		i.Use = noUse
	}
	return a.accesses.Add(i)
}

// vital says whether an access rests on vital interests: those that nobody could wait for.
func vital(e *ListedEvent) bool {
	if d := e.Opened.Decision; d != nil && d.Facts != nil {
		return slices.Contains(vitalBases, d.Facts.LegalBasis)
	}
	return slices.ContainsFunc(vitalBases, func(basis string) bool {
		return e.Opened.Receipt.LegalBasis == basis || strings.HasSuffix(e.Opened.Receipt.LegalBasis, "#"+basis)
	})
}

// Legal bases of the default vocabulary that a rule looks for.
var (
	vitalBases   = []string{"A6-1-d", "A9-2-c"}
	consentBases = []string{"A6-1-a", "A6-1-a-explicit-consent", "A6-1-a-non-explicit-consent", "A9-2-a", "CONSENT"}
)

// decided counts what the policies said; that it replays, the list's check found.
func (a *Audit) decided(e *ListedEvent) {
	d := e.Opened.Decision
	switch {
	case d == nil, d.Effect == ledger.EffectRecorded:
		a.report.Undecided++
	case e.Opened.Bundle == nil:
		a.report.Unreplayed++
	default:
		a.report.Replayed++
	}
	if d == nil || d.Effect != ledger.EffectDeny {
		return
	}
	for _, id := range d.Policies {
		a.counts.denials[id]++
	}
	if len(d.Policies) == 0 {
		a.counts.denials[""]++
	}
}

// servicePrefix begins the id of an operator that is no person.
const servicePrefix = "service:"

// operatorOf is who acted, as the private part says, or else the consumer's evidence in it.
func operatorOf(e *ListedEvent) string {
	v := e.Private
	switch {
	case v == nil:
		return ""
	case v.Operator != nil:
		return v.Operator.ID
	}
	return claimsOf(v.Evidence).UserID
}

// Codes of data quality.
const (
	CodeOperatorMissing = "operator_missing" // a person acted, and nothing says who
	CodeOperatorEmpty   = "operator_empty"   // an id that names nobody
	CodeOperatorShared  = "operator_shared"  // one id for most
	CodeCaseMissing     = "case_missing"
	CodeCaseEmpty       = "case_empty"  // a reference that says nothing
	CodeCaseShared      = "case_shared" // one reference for many citizens
)

// missing tells of a call by a person that says neither who nor why.
func (a *Audit) missing(e *ListedEvent, who string, at AuditEvidence) error {
	b, r := e.Opened.Body, &e.Opened.Receipt.Receipt
	if r.Actor != ledger.ActorOperator || strings.HasPrefix(who, servicePrefix) {
		return nil
	}
	flagged := func(flag string) bool { return slices.Contains(b.Assurance.Flags, flag) }
	for _, part := range []struct {
		value        string
		known, empty bool // the ledger's own flags say something where the private part isn't at hand
		missing, bad string
	}{
		{who, e.Private != nil || flagged(ledger.FlagOperatorMissing), flagged(ledger.FlagOperatorConstant), CodeOperatorMissing, CodeOperatorEmpty},
		{caseOf(e), e.Private != nil || flagged(ledger.FlagCaseMissing), false, CodeCaseMissing, CodeCaseEmpty},
	} {
		code, about := "", ""
		switch {
		case part.value == "" && part.empty:
			code, about = part.bad, meansFiller
		case part.value == "" && part.known:
			code = part.missing
		case part.value != "":
			if about = meaningless(part.value); about != "" {
				code = part.bad
			}
		}
		if code == "" {
			continue
		}
		if err := a.find(ClassQuality, code, about, at); err != nil {
			return err
		}
	}
	return nil
}

func caseOf(e *ListedEvent) string {
	if e.Private == nil {
		return ""
	}
	return e.Private.Case
}

// month, week and day of an instant in the body's zone.
func (a *Audit) units(ms int64) (day, week, month string, at time.Time) {
	at = time.UnixMilli(ms).In(a.Zone)
	year, n := at.ISOWeek()
	return at.Format(time.DateOnly), fmt.Sprintf("%d-W%02d", year, n), at.Format("2006-01"), at
}
