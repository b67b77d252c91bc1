// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// Classes of an audit's findings. Findings of the first two keep an audit from being proven; the others are for a person to
// look at.
const (
	ClassIntegrity  = "integrity"  // a rule of docs/formats.md is broken, or something is left out
	ClassConformity = "conformity" // against what the body declared, what its tokens say, or the consent that it names
	ClassAnomaly    = "anomaly"    // unusual, by a stated method
	ClassQuality    = "quality"    // data that say nothing
)

// MaxEvidence is how many entries a finding shows, and a line of the section on special events.
const MaxEvidence = 10

// AuditConfig is what an audit of a body is made with. The period is of when accesses occurred.
type AuditConfig struct {
	Body string
	// All audits every body, of what the authority opened: Body is "". Operators and cases are each body's own, and the
	// report sums each body up.
	All       bool
	From, To  time.Time // To not in it; zero: all
	Zone      *time.Location
	NewSorter func() (Sorter[AuditItem], error)
	Consents  func(name string, partial bool) Consents
	Declared  *AuditPurposes   // what the body declared; nil: not compared
	Watched   []ledger.Subject // the DPO's own watch list
	Limits    AuditLimits
	// ShowOperators names operators, and case references, in the report. Else they have pseudonyms which the same list gives
	// again, and which say nothing to who hasn't the list.
	ShowOperators bool
	Subject       ledger.Subject // whose events Report.Subject shows; "": nobody's
	Breach        *AuditBreach   // what a breach is about; nil: none
	// Each is given every breach of a rule as it is found, also those that a finding doesn't show; nil: for none.
	Each func(class, code string, e AuditEvidence) error
	// Affected is given whom a breach concerns, ascending by code; nil: for none.
	Affected func(who ledger.Subject, p AuditAffected) error
}

// AuditLimits are the thresholds of anomalies and of data quality.
type AuditLimits struct {
	Burst        int           // calls of one operator in BurstWindow that are too many when exceeded
	BurstWindow  time.Duration //
	Hours        AuditHours
	OutOfHours   int           // calls of one operator out of hours
	Many         int           // operators who looked at one citizen in ManyWindow
	ManyWindow   time.Duration //
	NoCase       int           // calls of one operator without a case
	OneOperator  float64       // share of all calls by persons that one operator's id may have
	OneCase      float64       // share of all calls with a case that one case may have
	LeastShared  int           // calls below which no share is looked at
	ShiftV       float64       // Cramér's V between two weeks or months
	LeastInShift int           // accesses that each of the two must have
}

// DefaultAuditLimits are those of docs/audit.md.
func DefaultAuditLimits() AuditLimits {
	return AuditLimits{
		Burst: 60, BurstWindow: time.Hour, Hours: AuditHours{Opens: 7 * 60, Closes: 20 * 60}, OutOfHours: 5, Many: 5, ManyWindow: 30 * 24 * time.Hour, NoCase: 10,
		OneOperator: 0.5, OneCase: 0.2, LeastShared: 50, ShiftV: 0.3, LeastInShift: 50,
	}
}

// AuditItem is an access or an event about consent, as far as sorting needs it. It is ordered by Key, Time, Epoch and Index.
type AuditItem struct {
	Key                              string
	Time                             int64 // unix_ms
	Epoch                            uint32
	Index                            uint64
	Use                              uint32 // its place among the uses
	Flags                            uint64
	Receipt, Operator, Case, Subject string
	Data                             []byte
}

// Flags of an AuditItem.
const (
	flagDenied    = 1 << iota
	flagPerson    // a person acted
	flagCaseKnown // whether there is a case is known
	flagConsent   // an event about consent, not an access
)

// AuditEvidence is an entry of the log that a finding rests on. It names no citizen and no operator.
type AuditEvidence struct {
	Origin     string `json:"origin"`
	Index      uint64 `json:"index"`
	Receipt    string `json:"receipt,omitempty"`
	OccurredAt string `json:"occurred_at,omitempty"`
	Expected   string `json:"expected,omitempty"`
	Found      string `json:"found,omitempty"`
}

// AuditFinding is what was found, and how often.
type AuditFinding struct {
	Class string `json:"class"`
	Code  string `json:"code"`
	// About says what it is about: a purpose, an operator's pseudonym, two weeks; "" where the code says all.
	About    string          `json:"about,omitempty"`
	Count    uint64          `json:"count"`
	Value    string          `json:"value,omitempty"` // what was measured, against the threshold
	First    string          `json:"first,omitempty"`
	Last     string          `json:"last,omitempty"`
	Evidence []AuditEvidence `json:"evidence"`
}

// AuditCount is how often something occurred.
type AuditCount struct {
	Name  string `json:"name"`
	Count uint64 `json:"count"`
}

// AuditList is what one year's list proves.
type AuditList struct {
	Origin        string   `json:"origin"`
	Complete      bool     `json:"complete"`
	CompleteUntil string   `json:"complete_until,omitempty"`
	Events        uint64   `json:"events"`
	Open          uint64   `json:"open"`
	Erased        uint64   `json:"erased"`
	Withheld      uint64   `json:"withheld"`
	Unexplained   uint64   `json:"unexplained"`
	Found         uint64   `json:"problems_found"`
	TreeSize      uint64   `json:"tree_size"`
	Witnesses     []string `json:"witnesses"`
	Monitors      []string `json:"monitors"`
}

// AuditUse is one way in which the body consults data: a line of its register.
type AuditUse struct {
	Provider   string   `json:"provider"`
	EService   string   `json:"eservice"`
	PurposeID  string   `json:"purpose_id"`
	Purpose    string   `json:"purpose"`
	LegalBasis string   `json:"legal_basis"`
	Reference  string   `json:"legal_reference,omitempty"`
	Categories []string `json:"data_categories"`
	Actor      string   `json:"actor"`
	Accesses   uint64   `json:"accesses"`
	Denied     uint64   `json:"denied"`
	First      string   `json:"first"`
	Last       string   `json:"last"`
}

// AuditSpecial are the events of one kind that a DPO wants to see each for itself.
type AuditSpecial struct {
	Kind     string          `json:"kind"`
	Count    uint64          `json:"count"`
	Evidence []AuditEvidence `json:"evidence"`
}

// AuditOperator is what one operator did.
type AuditOperator struct {
	Name       string `json:"name"` // or a pseudonym
	Calls      uint64 `json:"calls"`
	OutOfHours uint64 `json:"out_of_hours"`
	NoCase     uint64 `json:"without_case"`
	Busiest    int    `json:"most_in_window"`
	First      string `json:"first"`
	Last       string `json:"last"`
}

// AuditReport is what an audit comes to.
type AuditReport struct {
	Body     string      `json:"body"`
	Lists    []AuditList `json:"lists"`
	Accesses uint64      `json:"accesses"` // granted and denied, each once whoever signed it
	Denied   uint64      `json:"denied"`
	Calls    uint64      `json:"calls"`    // receipts of accesses, each side's
	Citizens uint64      `json:"citizens"` // of accesses
	// Signed says by whom accesses are signed: both, provider, consumer.
	Signed    []AuditCount    `json:"signed"`
	Operators uint64          `json:"operators"` // known ones
	Top       []AuditOperator `json:"busiest_operators"`
	Kinds     []AuditCount    `json:"kinds"`
	Days      []AuditCount    `json:"days"`
	Months    []AuditCount    `json:"months"`
	Hours     [7][24]uint64   `json:"hours"` // of accesses by persons: weekday from Monday, hour
	Uses      []AuditUse      `json:"uses"`
	MoreUses  uint64          `json:"more_uses"` // accesses of ways beyond those of Uses
	Profiles  []AuditCount    `json:"profiles"`  // of calls
	Flags     []AuditCount    `json:"flags"`     // of calls
	Denials   []AuditCount    `json:"denials"`   // policies that denied
	Special   []AuditSpecial  `json:"special"`
	Findings  []AuditFinding  `json:"findings"`
	More      []AuditCount    `json:"more_findings"` // by code: findings beyond MaxListed
	// Names are those of the bodies that accesses name, as their records do.
	Names    []AuditName      `json:"names"`
	Problems []ledger.Problem `json:"-"`
	Found    uint64           `json:"problems_found"` // those beyond MaxListed included
	// What couldn't be looked at.
	WithoutPrivate uint64 `json:"without_private"` // calls whose private part isn't in the list
	Unopened       uint64 `json:"unopened"`        // events
	Unreplayed     uint64 `json:"unreplayed"`      // decisions
	Replayed       uint64 `json:"replayed"`
	Undecided      uint64 `json:"undecided"`        // accesses recorded while no policies were active
	ConsentsSeen   uint64 `json:"consents_checked"` // accesses whose consent the body itself collected
	ConsentsUnseen uint64 `json:"consents_unseen"`  // others that name one
	Outside        uint64 `json:"outside_period"`   // events

	Bodies []AuditBody `json:"bodies,omitempty"` // of an audit of all

	Provided *AuditProvided `json:"provided,omitempty"` // nil where the body gave no records

	Subject []AuditSubjectEvent `json:"subject_events,omitempty"`
	// SubjectProvided are the entries of others' accesses to the citizen's data at the body.
	SubjectProvided []AuditEvidence `json:"subject_provided,omitempty"`
	// SubjectDeferred are the citizen's events whose notice an order puts off, which aren't among Subject.
	SubjectDeferred uint64             `json:"subject_deferred,omitempty"`
	Breach          *AuditBreachReport `json:"breach,omitempty"`
}

// AuditName is what a body is called.
type AuditName struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Proven reports whether nothing is missing, and no rule and nothing declared is broken.
func (r *AuditReport) Proven() bool { return r.Found == 0 && len(r.Lists) > 0 }

// Audit looks at a body's events over a period, in memory that doesn't grow with them: what has to be grouped goes into
// sorters. Use it from one goroutine: give Each of verifier.Agency its Event, then List what the list proves, year by year,
// and Conclude. docs/audit.md has every rule and method.
type Audit struct {
	AuditConfig
	report   *AuditReport
	accesses Sorter[AuditItem] // by call, so that the two sides of one are found
	groups   Sorter[AuditItem] // by operator, citizen and case
	consents Sorter[AuditItem] // by citizen, in the order of the log
	sorters  []Sorter[AuditItem]

	ledger   string // its name
	uses     map[string]uint32
	purposes map[string]uint32
	words    []string          // of purposes
	findings map[string]int    // place in the report
	more     map[string]uint64 // findings by code
	listed   map[string]int    // likewise, those in the report
	special  map[string]*AuditSpecial
	watched  map[ledger.Subject]int // line
	weeks    map[string]map[uint32]uint64
	months   map[string]map[uint32]uint64
	counts   struct{ kinds, days, months, profiles, flags, denials, signed, provided map[string]uint64 }
	seed     []byte            // of pseudonyms
	persons  map[string]uint64 // by body, "" for the one: accesses by persons whose id is known
	cased    map[string]uint64 // accesses with a case
	bodies   map[string]*AuditBody
	about    string            // the body that findings are about, in an audit of all
	last     string            // receipt of the last event
	names    map[string]string // of bodies

	lastProvided string // citizen of the last event of the records
}

// NewAudit returns an audit that has seen nothing. Close it.
func NewAudit(c AuditConfig) (*Audit, error) {
	a := &Audit{
		AuditConfig: c, report: new(AuditReport), uses: map[string]uint32{}, purposes: map[string]uint32{}, findings: map[string]int{},
		more: map[string]uint64{}, listed: map[string]int{}, special: map[string]*AuditSpecial{}, watched: map[ledger.Subject]int{},
		weeks: map[string]map[uint32]uint64{}, months: map[string]map[uint32]uint64{}, names: map[string]string{},
		persons: map[string]uint64{}, cased: map[string]uint64{}, bodies: map[string]*AuditBody{},
	}
	a.report.Body = c.Body
	for n, who := range c.Watched {
		a.watched[who] = n + 1
	}
	k := &a.counts
	for _, m := range []*map[string]uint64{&k.kinds, &k.days, &k.months, &k.profiles, &k.flags, &k.denials, &k.signed, &k.provided} {
		*m = map[string]uint64{}
	}
	for _, s := range []*Sorter[AuditItem]{&a.accesses, &a.groups, &a.consents} {
		one, err := c.NewSorter()
		if err != nil {
			return nil, fmt.Errorf("couldn't begin to sort: %w", err)
		}
		*s = one
		a.sorters = append(a.sorters, one)
	}
	return a, nil
}

// Close gives back what the sorters hold.
func (a *Audit) Close() {
	for _, s := range a.sorters {
		s.Close()
	}
}

// find counts an occurrence of a finding.
func (a *Audit) find(class, code, about string, e AuditEvidence) error {
	a.blame(class)
	if class == ClassIntegrity || class == ClassConformity {
		a.problem(ledger.Problem{Code: code, Where: fmt.Sprintf("%s/%d", e.Origin, e.Index), Expected: e.Expected, Found: e.Found})
	}
	if f := a.finding(class, code, about); f != nil {
		f.Count++
		f.span(e.OccurredAt)
		if len(f.Evidence) < MaxEvidence {
			f.Evidence = append(f.Evidence, e)
		}
	}
	if a.Each == nil {
		return nil
	}
	return a.Each(class, code, e)
}

// problem tells of a broken rule.
func (a *Audit) problem(p ledger.Problem) {
	a.report.Found++
	if len(a.report.Problems) < MaxListed {
		a.report.Problems = append(a.report.Problems, p)
	}
}

// finding is the one of a code about something; nil where there are too many of the code.
func (a *Audit) finding(class, code, about string) *AuditFinding {
	key := code + "\x00" + about
	n, ok := a.findings[key]
	switch {
	case ok:
		return &a.report.Findings[n]
	case a.listed[code] == MaxListed:
		a.more[code]++
		return nil
	}
	a.listed[code]++
	a.findings[key] = len(a.report.Findings)
	a.report.Findings = append(a.report.Findings, AuditFinding{Class: class, Code: code, About: about, Evidence: []AuditEvidence{}})
	return &a.report.Findings[len(a.report.Findings)-1]
}

// span widens when the finding's events occurred.
func (f *AuditFinding) span(at string) {
	if at == "" {
		return
	}
	if f.First == "" || at < f.First {
		f.First = at
	}
	f.Last = max(f.Last, at)
}

// pseudonym stands for what a report doesn't name. The key is from the list: who hasn't that can't try values.
func (a *Audit) pseudonym(kind, value string) string {
	m := hmac.New(sha256.New, a.seed)
	m.Write([]byte("traccia/audit/" + kind + "\x00" + value))
	return kind + "-" + hex.EncodeToString(m.Sum(nil)[:5])
}

// named is a value, or its pseudonym.
func (a *Audit) named(kind, value string) string {
	switch body, rest := a.bodyOf(value); {
	case rest == "":
		return body
	case a.ShowOperators:
		return value
	case a.All:
		return body + " " + a.pseudonym(kind, value)
	}
	return a.pseudonym(kind, value)
}

// Conclude goes through what was sorted, and says what all of it comes to.
func (a *Audit) Conclude() (*AuditReport, error) {
	a.about = ""
	for _, step := range []func() error{a.covered, a.foldConsents, a.eachAccess, a.eachGroup} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	a.shifts()
	r, k := a.report, &a.counts
	for _, c := range []struct {
		from map[string]uint64
		to   *[]AuditCount
	}{{k.kinds, &r.Kinds}, {k.profiles, &r.Profiles}, {k.flags, &r.Flags}, {k.denials, &r.Denials}, {k.signed, &r.Signed}, {a.more, &r.More}} {
		*c.to = countsOf(c.from)
		slices.SortStableFunc(*c.to, func(x, y AuditCount) int { return cmp.Compare(y.Count, x.Count) })
	}
	r.Days, r.Months = countsOf(k.days), countsOf(k.months)
	if r.Provided != nil {
		r.Provided.Months = countsOf(k.provided)
	}
	slices.SortFunc(r.Uses, func(x, y AuditUse) int {
		return cmp.Or(cmp.Compare(y.Accesses, x.Accesses), cmp.Compare(x.key(), y.key()))
	})
	r.Uses = slices.DeleteFunc(r.Uses, func(u AuditUse) bool { return u.Accesses == 0 })
	for _, kind := range specialKinds {
		if s := a.special[kind]; s != nil {
			r.Special = append(r.Special, *s)
		}
	}
	if a.All {
		r.Bodies = a.sums()
	}
	for id, name := range a.names {
		r.Names = append(r.Names, AuditName{id, name})
	}
	slices.SortFunc(r.Names, func(x, y AuditName) int { return cmp.Compare(x.ID, y.ID) })
	order := []string{ClassIntegrity, ClassConformity, ClassAnomaly, ClassQuality}
	slices.SortStableFunc(r.Findings, func(x, y AuditFinding) int {
		return cmp.Or(cmp.Compare(slices.Index(order, x.Class), slices.Index(order, y.Class)), cmp.Compare(x.Code, y.Code),
			cmp.Compare(y.Count, x.Count), cmp.Compare(x.About, y.About))
	})
	return r, nil
}

// countsOf are a map's counts by name.
func countsOf(m map[string]uint64) []AuditCount {
	list := make([]AuditCount, 0, len(m))
	for name, n := range m {
		list = append(list, AuditCount{name, n})
	}
	slices.SortFunc(list, func(x, y AuditCount) int { return cmp.Compare(x.Name, y.Name) })
	return list
}
